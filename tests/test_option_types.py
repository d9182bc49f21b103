import re

import pytest
from small import small_config

from recbole_vqrec.config import stage_options
from recbole_vqrec.defaults import props_folder, read_props
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.option_types import OptionType, option_types, typed_option

LINES = {
    "n: 2  # (int) layers": {"takes": [2, -1], "refuses": [2.5, "2", None, True, [2]], "words": "a whole number"},
    "n: 2  # (int >= 1) layers": {"takes": [1, 9], "refuses": [0], "words": "a whole number of at least 1"},
    "n: 2.0  # (float > 0) rate": {"takes": [1, 1e-9], "refuses": [0, -1, "a"], "words": "a number above 0"},
    "n: 0.5  # (float [0, 1)) dropout": {"takes": [0, 0.9], "refuses": [1, -0.1], "words": "a number in [0, 1)"},
    "n: 0.5  # (float (0, 1]) decay": {"takes": [0.1, 1], "refuses": [0, 1.1], "words": "a number in (0, 1]"},
    "n: ~  # (int >= 1) sizes": {"takes": [None, 1], "refuses": [0], "words": "a whole number of at least 1, or ~"},
    "n: 1  # (float > 0 | ~) tau": {"takes": [None, 1], "refuses": [0], "words": "a number above 0, or ~"},
    "n: 1  # (float | auto) w": {"takes": ["auto", -5.5], "refuses": ["atuo", None], "words": "a number, or auto"},
    "n: True  # (bool) bars": {"takes": [True, False], "refuses": [1, "yes", None], "words": "True or False"},
    "n: [1]  # (list of int >= 1) k": {"takes": [[1, 5], 3], "refuses": [[], [0], ["1"], None], "words": "a list, each "},
    "n: a  # (str) name": {"takes": ["b", 3, None], "refuses": []},
}  # fmt: skip


@pytest.mark.parametrize("line", LINES)
def test_a_line_says_what_an_option_takes(line):
    name, option = typed_option(line)
    expected = LINES[line]
    assert name == "n"
    assert all(option.takes(value) for value in expected["takes"])
    assert not any(option.takes(value) for value in expected["refuses"])
    assert "words" not in expected or str(option).startswith(expected["words"])


@pytest.mark.parametrize("line", ["n: 2", "n: 2  # layers", "  n: 2  # (int) layers", "# (int) layers", "n: 2  # (real) x"])
def test_other_lines_define_nothing(line):
    assert typed_option(line) is None


def test_every_line_that_names_a_type_is_understood_and_its_default_is_taken():
    types, folder = option_types(props_folder()), props_folder()
    for file in folder.rglob("*.yaml"):
        content = read_props(file.relative_to(folder).as_posix())
        for line in file.read_text().splitlines():
            if re.match(r"\w+:.*# \((int|float|bool|list of)", line):
                assert typed_option(line), line
        for name, value in content.items():
            assert name not in types or types[name].takes(value), (file.name, name, value)


def test_an_option_that_several_models_have_is_the_same_in_all():
    found = {}
    for file in props_folder().rglob("*.yaml"):
        for name, option in filter(None, map(typed_option, file.read_text().splitlines())):
            found.setdefault(name, set()).add((option.kind, option.low, option.high, option.low_open, option.high_open))
    assert all(len(kinds) == 1 for kinds in found.values()), found


@pytest.mark.parametrize(
    "name, value, expected",
    [
        ("hidden_dropout_prob", 1.5, r"a number in \[0, 1\)"), ("n_heads", 0, "a whole number of at least 1"),
        ("learning_rate", -1, "a number above 0"), ("train_batch_size", 0.5, "a whole number of at least 1"),
        ("window_stride", 0, "a whole number of at least 1"), ("keep_last", 0, "a whole number of at least 1"),
        ("temperature", 0, "a number above 0, or ~"), ("compile", "yes", "True or False"), ("topk", "[]", "a list, each"),
        ("seen_weight", "atuo", "a number, or auto"), ("text_similarity_weight", "much", "a number of at least 0"),
        ("co_occurrence_decay", 1.5, r"a number in \(0, 1\]"), ("checkpoint_minutes", -1, "a number of at least 0, or ~"),
        ("replacement_probability", 2, r"a number in \[0, 1\]"), ("mask_ratio", 1, r"a number in \(0, 1\)"),
        ("MAX_ITEM_LIST_LENGTH", 0, "a whole number of at least 1"), ("permutation_temperature", [0, 1], "a list, each a"),
    ],
)  # fmt: skip
def test_values_that_cannot_be_are_refused(tiny, name, value, expected):
    with pytest.raises(VQRecError, match=f"^{name}: .*, expected {expected}"):
        small_config(**{name: value})


@pytest.mark.parametrize("name, value", [("codebooks", 0), ("whiten", -3), ("word_drop", 1), ("embedding_batch_tokens", 1.5)])
def test_values_of_the_stages_before_training_are_refused_too(name, value):
    with pytest.raises(VQRecError, match=f"^{name}: {value}, expected a"):
        stage_options(None, {name: value})


def test_numbers_of_numpy_are_numbers():
    import numpy as np

    whole = OptionType("int", low=1)
    assert whole.takes(np.int64(3)) and not whole.takes(np.float64(3.5)) and OptionType("float").takes(np.float32(3.5))
