import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small import SMALL, random_domains, small_config, write_codes, write_domains, write_inter

from recbole_vqrec import Recommender, quick_start
from recbole_vqrec.data.dataset import create_dataset
from recbole_vqrec.data.mixed_domains import MixedDomains
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.preprocess.merge import merge_datasets


def mix(**options):
    return create_dataset(small_config(dataset="mix", stage="pretrain", **options))


def named_pairs(dataset, sequences):
    """Return every trained (user, history, next item) with external ids."""
    users, items = dataset.field2id_token["user_id"], dataset.field2id_token["item_id"]
    history, following = sequences.histories(np.arange(len(sequences)))
    found = []
    for row in range(len(sequences)):
        for position in np.flatnonzero(following[row]):
            user = users[sequences.users[sequences.start[row]]]
            found.append((user, tuple(items[history[row, : position + 1]]), items[following[row, position]]))
    return found


def test_ten_rows(tmp_path):
    write_domains(tmp_path / "dataset", toys={"u": list("abcd"), "v": list("ba")}, tools={"u": list("aba"), "w": ["c"]})
    dataset = mix()
    assert dataset.domains == ["toys", "tools"]
    assert sorted(named_pairs(dataset, dataset.training)) == [
        ("tools-u", ("tools-a",), "tools-b"),
        ("toys-u", ("toys-a",), "toys-b"),
        ("toys-u", ("toys-a", "toys-b"), "toys-c"),
        ("toys-v", ("toys-b",), "toys-a"),
    ]
    assert named_pairs(dataset, dataset.validation_users(0)) == [("toys-u", ("toys-a", "toys-b", "toys-c"), "toys-d")]
    assert named_pairs(dataset, dataset.validation_users(1)) == [("tools-u", ("tools-a", "tools-b"), "tools-a")]
    share = dict(zip(dataset.field2id_token["item_id"][1:], dataset.item_frequency[1:].tolist()))
    assert share == {
        "toys-a": 0.25,
        "toys-b": 0.25,
        "toys-c": 0.25,
        "toys-d": 0,
        "tools-a": 0,
        "tools-b": 0.25,
        "tools-c": 0,
    }


def test_without_validation_every_interaction_is_trained(tmp_path):
    write_domains(tmp_path / "dataset", toys={"u": list("abc")}, tools={"u": list("ab")})
    assert len(named_pairs(mix(validate=False), mix(validate=False).training)) == 3


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 23), min_size=1, max_size=6), st.integers(1, 5), st.booleans())
def test_every_pair_once_with_its_latest_history(counts, stride, held_out):
    """Brute force over users: pair j of a user has its latest L items, or at least L - stride + 1 of them."""
    dataset, limit = MixedDomains.__new__(MixedDomains), 5
    dataset.max_item_list_len = limit
    dataset._items = np.arange(1, sum(counts) + 1, dtype=np.int32)
    dataset._users = np.repeat(np.arange(len(counts)), counts).astype(np.int32)
    dataset.item_domain = np.zeros(sum(counts) + 1, dtype=np.int64)
    sequences = dataset._training_sequences(stride, held_out)
    history, following = sequences.histories(np.arange(len(sequences)))
    found = {}
    for row, position in zip(*np.nonzero(following)):
        assert following[row, position] not in found
        found[int(following[row, position])] = tuple(history[row, : position + 1].tolist())
    expected, start = {}, 1
    for count in counts:
        trained = count - 1 if held_out and count > 2 else count
        expected.update({start + j: list(range(start, start + j)) for j in range(1, trained)})
        start += count
    assert set(found) == set(expected)
    for target, before in expected.items():
        least = min(len(before), limit - stride + 1 if len(before) > limit else limit)
        assert len(found[target]) >= least and list(found[target]) == before[-len(found[target]) :]
        assert stride > 1 or list(found[target]) == before[-limit:]


def test_shares_of_domains(tmp_path):
    random_domains(tmp_path / "dataset")
    dataset = mix()
    pairs = np.bincount(dataset.training.domain, dataset.training.targets)
    assert dataset.domain_shares(1.0) == pytest.approx(pairs / pairs.sum())
    assert dataset.domain_shares(0.0) == pytest.approx([0.5, 0.5])
    assert dataset.item_frequency.sum().item() == pytest.approx(1)


def test_domains_of_a_merge_are_those_of_its_items(tmp_path):
    """Item "b-x" of domain "a" is "a-b-x", as item "x" of domain "a-b" would be."""
    for name, items in {"a": ["b-x", "y", "z"], "a-b": ["q", "r", "s"]}.items():
        write_inter(tmp_path / "dataset" / name, name, {"u": items})
        lines = ["item_id:token\ttitle:token_seq", *(f"{item}\tthing" for item in items)]
        (tmp_path / "dataset" / name / f"{name}.item").write_text("\n".join(lines) + "\n")
    merge_datasets("dataset", ["a", "a-b"], "mix", say=lambda line: None)
    write_codes(tmp_path / "dataset" / "mix", "mix", ["a-b-x", "a-y", "a-z", "a-b-q", "a-b-r", "a-b-s"])
    dataset = mix()
    numbers = dict(zip(dataset.field2id_token["item_id"][1:], dataset.item_domain[1:].tolist()))
    assert numbers == {"a-b-x": 0, "a-y": 0, "a-z": 0, "a-b-q": 1, "a-b-r": 1, "a-b-s": 1}


def test_domains_of_an_import_are_those_of_its_items(tmp_path):
    folder = write_domains(tmp_path / "dataset", **{"tea": {"u": list("xyz")}, "tea-pots": {"u": list("xyz")}})
    ids = [f"{domain}-{item}\t{domain}" for domain in ("tea", "tea-pots") for item in "xyz"]
    (folder / "mix.item").write_text("\n".join(["item_id:token\tdomain:token", *ids]) + "\n")
    assert mix().domains == ["tea"]
    (folder / "mix.import.json").write_text("{}")
    assert mix().domains == ["tea", "tea-pots"] and mix().item_domain.tolist() == [-1, 0, 0, 0, 1, 1, 1]


def test_names_of_the_merge_record_win(tmp_path):
    """Domains whose names hold the separator, one the beginning of the other."""
    folder = write_domains(tmp_path / "dataset", **{"a": {"u": list("xyz")}, "a-b": {"u": list("xyz")}})
    record = {"kind": "preprocessed data set", "format": 1, "source": "merge", "options": {"datasets": ["a", "a-b"]}}
    (folder / "mix.preprocess.json").write_text(json.dumps(record))
    dataset = mix()
    numbers = dict(zip(dataset.field2id_token["item_id"][1:], dataset.item_domain[1:].tolist()))
    assert numbers["a-x"] == 0 and numbers["a-b-x"] == 1


@pytest.mark.parametrize(
    "record, sequences",
    [
        ({"source": "atomic", "options": {}}, {"u": ["a-x", "a-y", "a-z"], "v": ["b-x", "b-y", "b-z"]}),
        (None, {"u": ["a-x", "b-y", "a-z"], "v": ["b-x", "b-y", "b-z"]}),  # a user of both
        (None, {"u": ["a-x", "a-y", "z"], "v": ["b-x", "b-y", "b-z"]}),
    ],
)
def test_ids_with_a_dash_are_no_domains_where_nobody_has_merged_any(tmp_path, record, sequences):
    folder = tmp_path / "dataset" / "mix"
    write_inter(folder, "mix", sequences)
    write_codes(folder, "mix", sorted({item for items in sequences.values() for item in items}))
    if record:
        record = {"kind": "preprocessed data set", "format": 1, **record}
        (folder / "mix.preprocess.json").write_text(json.dumps(record))
    dataset = mix()
    assert dataset.domains == ["mix"] and set(dataset.item_domain[1:].tolist()) == {0}


def test_a_domain_that_has_changed_since_the_merge_is_told(tmp_path, caplog):
    for name in ("toys", "tools"):
        write_inter(tmp_path / "dataset" / name, name, {"u": list("abcd")})
        (tmp_path / "dataset" / name / f"{name}.item").write_text(
            "item_id:token\ttitle:token_seq\n" + "".join(f"{item}\tthing\n" for item in "abcd")
        )
    merge_datasets("dataset", ["toys", "tools"], "mix", say=lambda line: None)
    write_codes(tmp_path / "dataset" / "mix", "mix", [f"{name}-{item}" for name in ("toys", "tools") for item in "abcd"])
    with caplog.at_level("WARNING"):
        mix()
        assert not caplog.messages
        write_inter(tmp_path / "dataset" / "toys", "toys", {"u": list("dcba")})
        mix()
    [said] = caplog.messages
    assert "toys.inter has changed since it was merged" in said
    assert said.endswith("run 'recbole-vqrec merge --datasets toys,tools --name mix'")


def test_prefix_rows_are_no_interactions_to_pre_train_on(tmp_path):
    folder = tmp_path / "dataset" / "mix"
    folder.mkdir(parents=True)
    for split in ("train", "valid", "test"):
        rows = "u\ti1 i2\ti3\nv\ti2\ti1\n"
        header = "user_id:token\titem_id_list:token_seq\titem_id:token\n"
        (folder / f"mix.{split}.inter").write_text(header + rows)
    write_codes(folder, "mix", ["i1", "i2", "i3"])
    with pytest.raises(VQRecError, match="mix: pre-training reads interactions, not the prefix rows"):
        mix()


def test_a_domain_of_one_user_and_sequences_of_length_one(tmp_path):
    write_domains(tmp_path / "dataset", one={"u": list("abcd")}, many={f"u{n}": ["x"] for n in range(5)})
    dataset = mix()
    assert (
        len(dataset.training) == 1 and len(dataset.validation_users(0)) == 1 and len(dataset.validation_users(1)) == 0
    )


def test_nothing_to_train(tmp_path):
    write_domains(tmp_path / "dataset", a={"u": ["x"], "v": ["y"]}, b={"u": ["z"]})
    with pytest.raises(VQRecError, match="no user has two interactions"):
        mix(topk=[1], valid_metric="NDCG@1")


def merged_record(tmp_path, **domain_codes):
    """Write domains a and b, merged, without codes of the mix; domain -> arguments of `write_codes`."""
    folder = write_domains(tmp_path / "dataset", a={"u": list("xyzx")}, b={"u": list("xyz")})
    for file in folder.glob("*.safetensors"):
        file.unlink()
    record = {"kind": "preprocessed data set", "format": 1, "source": "merge", "options": {"datasets": ["a", "b"]}}
    (folder / "mix.preprocess.json").write_text(json.dumps(record))
    for domain, arguments in domain_codes.items():
        write_inter(tmp_path / "dataset" / domain, domain, {"u": list("xyz")})
        write_codes(tmp_path / "dataset" / domain, domain, list("xyz"), **arguments, codes="bert-base-uncased.opq4x8")


def test_codes_of_the_domains_serve_the_mix(tmp_path):
    merged_record(tmp_path, a={}, b={})
    dataset = mix(item_codes=None)
    rows = {token: dataset.item_codes[i].tolist() for i, token in enumerate(dataset.field2id_token["item_id"]) if i}
    assert rows["a-x"] == rows["b-x"] and rows["a-x"] != rows["a-y"]  # write_codes draws the same for both domains


def test_domains_of_different_layouts(tmp_path):
    merged_record(tmp_path, a={}, b={"codes_per_codebook": 16})
    with pytest.raises(VQRecError, match="has 4 codebooks of 16 codes, configured are 4 of 8"):
        mix(item_codes=None)


def test_a_domain_without_codes(tmp_path):
    merged_record(tmp_path, a={})
    with pytest.raises(VQRecError, match="b.bert-base-uncased.opq4x8.*not found.*encode --datasets a,b --name mix"):
        mix(item_codes=None)


def test_a_stride_beyond_the_limit_loses_no_target(tmp_path):
    write_domains(tmp_path / "dataset", a={"u": list("abcdefghijklmnop")}, b={"u": list("xyz")})
    training = mix(window_stride=50, MAX_ITEM_LIST_LENGTH=3, validate=False).training
    _, following = training.histories(np.arange(len(training)))
    assert (following > 0).sum() == training.targets.sum() == 15 + 2


def test_a_mix_without_joint_codes_is_pre_trained_and_takes_no_new_items(tmp_path):
    merged_record(tmp_path, a={}, b={})
    options = {"stage": "pretrain", "item_codes": None, "topk": [1], "valid_metric": "NDCG@1", "state": "ERROR"}
    run = quick_start.run("VQRec", "mix", None, {**SMALL, **options})["run"]
    recommender = Recommender.load(run)
    assert len(recommender.recommend([["a-x", "a-y"]], k=2)) == 2
    with pytest.raises(VQRecError, match="without a quantizer"):
        recommender.add_items({"new": "red glue"})
