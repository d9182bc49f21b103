"""Files that are missing, damaged, or not of one data set."""

import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import authors_files
from authors_files import FILES, bring_in
from recbole_vqrec.config import stage_options
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.interchange.export_unisrec import export_unisrec
from recbole_vqrec.preprocess.atomic_files import read_table
from recbole_vqrec.quantization.item_codes import ItemCodes


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(FILES)), st.binary(max_size=40), st.integers(0, 100))
def test_any_damage_gives_one_line_or_readable_files(tmp_path_factory, suffix, content, at):
    folder = tmp_path_factory.mktemp("damage")
    source = authors_files.write(folder / "a", index=False)
    file = source / f"Toy.{suffix}"
    whole = file.read_bytes()
    file.write_bytes(whole[:at] + content + whole[at + len(content) :])
    try:
        bring_in(source, folder / "out")
    except VQRecError as error:
        assert "\n" not in str(error)
        return
    target = folder / "out" / "Toy"
    assert set(read_table(target / "Toy.item", "")["item_id"]) >= set(read_table(target / "Toy.inter", "")["item_id"])
    export_unisrec(target, "Toy", folder / "back", stage_options())


@pytest.mark.parametrize(
    "changed, said",
    [
        ({"test.inter": None}, "Toy.test.inter: not found; all three splits are needed"),
        ({"valid.inter": FILES["valid.inter"][:-1]}, "Toy.valid.inter has no more users, Toy.test.inter line 4"),
        ({"item2index": FILES["item2index"][:-1]}, "Toy.test.inter: user '0': unknown item number '4', expected"),
        ({"item2index": ["X00A 0"]}, "Toy.item2index line 1: found 'X00A 0', expected id, tab, number"),
        ({"item2index": [*FILES["item2index"], "B00F\t6"]}, "number 5 is missing"),
        ({"user2index": ["U\x001\t0"]}, r"Toy.user2index line 1: control characters in the id .*; remove them"),
        ({"item2index": [*FILES["item2index"], "X00A\t5"]}, "line 6: 'X00A' for the second time"),
        ({"item2index": [*FILES["item2index"], "B00F\t4"]}, "line 6: '4' for the second time"),
        ({"item2index": ["B0 A\t0", *FILES["item2index"][1:]]}, "id 'B0 A' has a blank or quote; choose --ids"),
        ({"item2index": [*FILES["item2index"], "B00F\t5"]}, "holds 5 rows, expected 6 rows of 4 float32"),
        ({"user2index": [*FILES["user2index"], "U4\t3"]}, "1 users of Toy.user2index have no rows"),
        ({"user2index": FILES["user2index"][:2]}, "unknown user number '2'"),
        ({"text": FILES["text"][:-1]}, "lacks 1 of 5 items of the data set .B00D."),
        ({"text": [*FILES["text"], "B00F\tnew"]}, "Toy.text: 1 items .B00F. are not in Toy.item2index"),
        ({"text": [*FILES["text"], "B00F"]}, "Toy.text line 7: found 'B00F', expected item, tab, text"),
        ({"text": ["item\ttext"]}, "Toy.text line 1: found 'item\ttext', expected item_id:token"),
        ({"text": [*FILES["text"], "X00A\tagain"]}, "Toy.text line 7: item 'X00A' for the second time"),
    ],
)
def test_wrong_files(tmp_path, changed, said):
    with pytest.raises(VQRecError, match=said) as error:
        bring_in(authors_files.write(tmp_path / "a", **changed), tmp_path / "out")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_features_of_another_size(tmp_path):
    source = authors_files.write(tmp_path / "a")
    (source / "Toy.feat1CLS").write_bytes(b"\0" * 79)
    with pytest.raises(VQRecError, match="Toy.feat1CLS: holds 79 bytes, expected 5 rows of 4 float32"):
        bring_in(source, tmp_path / "out")
    np.array([np.nan] * 20, dtype=np.float32).tofile(source / "Toy.feat1CLS")
    with pytest.raises(VQRecError, match="row 0 is not finite"):
        bring_in(source, tmp_path / "out")


def test_truncated_gzip(tmp_path):
    source = authors_files.write(tmp_path / "a")
    content = gzip.compress((source / "Toy.train.inter").read_bytes())
    (source / "Toy.train.inter").unlink()
    (source / "Toy.train.inter.gz").write_bytes(content[:-12])
    with pytest.raises(VQRecError, match="Toy.train.inter.gz: cannot be read after line"):
        bring_in(source, tmp_path / "out")


def test_items_lacking_in_the_index(tmp_path):
    source = authors_files.write(tmp_path / "a", features=False)
    with pytest.raises(VQRecError, match="lacks 1 of 5 items.*choose --missing nearest-text"):
        bring_in(source, tmp_path / "out")
    bring_in(source, tmp_path / "out", missing="nearest-text")
    codes = ItemCodes.load(tmp_path / "out" / "Toy" / "Toy.published.codes.safetensors", "")
    np.testing.assert_array_equal(codes.codes[4], codes.codes[3])  # "green paint" is nearest to "dark green paint"


def test_a_data_set_of_another_origin_is_not_replaced(tmp_path):
    source = authors_files.write(tmp_path / "a")
    own = tmp_path / "out" / "Toy" / "Toy.inter"
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    with pytest.raises(VQRecError, match="is there and is no import"):
        bring_in(source, tmp_path / "out")
    assert own.read_text() == "mine"
    bring_in(source, tmp_path / "out", force=True)
    bring_in(source, tmp_path / "out")  # an import is


def test_kept_numbers_of_another_version(tmp_path):
    bring_in(authors_files.write(tmp_path / "a"), tmp_path / "out")
    folder = tmp_path / "out" / "Toy"
    with open(folder / "Toy.inter", "a") as file:
        file.write("U3\tNEW\t4\n")
    with pytest.raises(VQRecError, match="Toy.item2index: has no number for 1 ids of the data set .NEW."):
        export_unisrec(folder, "Toy", tmp_path / "back", stage_options())


def test_codes_of_another_data_set_leave_the_export_before_as_it_was(tmp_path):
    bring_in(authors_files.write(tmp_path / "a"), tmp_path / "out")
    folder, back = tmp_path / "out" / "Toy", tmp_path / "back"
    made = set(export_unisrec(folder, "Toy", back, stage_options())["paths"])
    before = {path: path.read_bytes() for path in made}
    inter = (folder / "Toy.inter").read_text()
    user, item, _ = inter.splitlines()[1].split("\t")
    (folder / "Toy.inter").write_text(inter + f"{user}\t{item}\t99\n")
    with pytest.raises(VQRecError, match="out of date, Toy.inter changed after it was made"):
        export_unisrec(folder, "Toy", back, stage_options())
    assert {path: path.read_bytes() for path in made} == before
    for codes in folder.glob("*.codes.safetensors"):
        codes.unlink()
    again = set(export_unisrec(folder, "Toy", back, stage_options())["paths"])
    gone = made - again
    assert any(path.name.endswith(".index") for path in gone) and not any(path.exists() for path in gone)


def test_bad_time(tmp_path):
    folder = tmp_path / "Own"
    folder.mkdir()
    (folder / "Own.inter").write_text("user_id:token\titem_id:token\ttimestamp:float\nu\ta\t1\nu\tb\tx\n")
    with pytest.raises(VQRecError, match="Own.inter line 3: timestamp is 'x', expected a number"):
        export_unisrec(folder, "Own", tmp_path / "theirs", stage_options())
