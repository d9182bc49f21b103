"""The authors' files -> ours and back, on three users and five items."""

import gzip
import lzma

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import authors_files
from authors_files import FEATURES, FILES, HEADER, INTER, quantizer
from recbole_vqrec import artifacts
from recbole_vqrec.cli import main
from recbole_vqrec.config import stage_options
from recbole_vqrec.embedding.text_encoder import load_embeddings
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.interchange.export_unisrec import export_unisrec
from recbole_vqrec.interchange.import_unisrec import import_unisrec
from recbole_vqrec.preprocess.atomic_files import read_table
from recbole_vqrec.quantization.item_codes import ItemCodes


def bring_in(folder, out, **options):
    return import_unisrec(folder, out, stage_options(), plm_size=4, progress=False, **options)


def lines(path):
    return path.read_text(encoding="utf-8").splitlines()


def test_import_literal(tmp_path):
    made = bring_in(authors_files.write(tmp_path / "a"), tmp_path / "out")
    folder = tmp_path / "out" / "Toy"
    assert lines(folder / "Toy.inter") == INTER
    assert lines(folder / "Toy.item") == FILES["text"]
    assert lines(folder / "Toy.item2index") == FILES["item2index"]
    summary = made["summary"]
    assert (summary["users"], summary["items"], summary["interactions"], summary["average length"]) == (3, 5, 13, 4.33)
    ids, embeddings, manifest = load_embeddings(folder / "Toy.bert-base-uncased.emb.safetensors", "")
    assert ids == ["X00A", "B00B", "B00C", "B00D", "B00E"]
    np.testing.assert_array_equal(embeddings, FEATURES)
    assert manifest["options"]["plm"] == "bert-base-uncased"
    codes = ItemCodes.load(folder / "Toy.published.codes.safetensors", "")
    assert codes.item_ids == ids
    # the index lacks item 4, whose own embedding is encoded, as the authors' loader does
    np.testing.assert_array_equal(codes.codes, quantizer().encode(FEATURES))
    assert codes.manifest["filled_items"] == ["B00E"] and codes.manifest["options"]["missing"] == "embeddings"


def test_import_with_numbers_as_ids(tmp_path):
    bring_in(authors_files.write(tmp_path / "a"), tmp_path / "out", ids="number", name="Numbers")
    folder = tmp_path / "out" / "Numbers"
    assert lines(folder / "Numbers.inter")[1:4] == ["0\t0\t0", "0\t1\t1", "0\t2\t2"]
    assert lines(folder / "Numbers.item")[1] == "4\tgreen paint"


def test_import_without_id_files_takes_the_numbers_that_occur(tmp_path):
    source = authors_files.write(tmp_path / "a", item2index=None, user2index=None)
    with pytest.raises(VQRecError, match="Toy.item2index: not found; put it there, or choose --ids number"):
        bring_in(source, tmp_path / "out")
    made = bring_in(source, tmp_path / "out", ids="number")
    assert lines(tmp_path / "out" / "Toy" / "Toy.item2index") == ["0\t0", "1\t1", "2\t2", "3\t3", "4\t4"]
    assert "no item texts" in made["notes"][0]


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_compressed_files_give_the_same_bytes(tmp_path, pack):
    plain = authors_files.write(tmp_path / "a")
    bring_in(plain, tmp_path / "out")
    packed = tmp_path / "packed"
    packed.mkdir()
    for file in plain.iterdir():
        suffix = {gzip.compress: ".gz", lzma.compress: ".xz"}[pack]
        (packed / f"{file.name}{suffix}").write_bytes(pack(file.read_bytes()))
    bring_in(packed, tmp_path / "again")
    for file in (tmp_path / "out" / "Toy").iterdir():
        assert file.read_bytes() == (tmp_path / "again" / "Toy" / file.name).read_bytes(), file.name


def test_export_of_an_import_is_the_authors_files(tmp_path):
    source = authors_files.write(tmp_path / "a")
    bring_in(source, tmp_path / "out")
    export_unisrec(tmp_path / "out" / "Toy", "Toy", tmp_path / "back", stage_options())
    names = sorted(file.name for file in source.iterdir())
    assert sorted(file.name for file in (tmp_path / "back").iterdir()) == names
    for name in names:
        assert (tmp_path / "back" / name).read_bytes() == (source / name).read_bytes(), name


def test_import_of_an_export_is_the_data_set(tmp_path):
    """Ids and times as our own preprocessing writes them; numbers are given by first appearance."""
    folder = tmp_path / "data" / "Own"
    folder.mkdir(parents=True)
    (folder / "Own.inter").write_text(
        "user_id:token\titem_id:token\ttimestamp:float\n"
        "anna\tz\t0\nanna\ty\t1\nanna\tz\t2\nanna\tx\t3\nbob\tx\t0\nbob\tw\t1\nbob\ty\t2\nbob\ty\t3\n"
    )
    (folder / "Own.item").write_text("item_id:token\ttext:token_seq\nz\tsome tea\nw\ta cup\ny\tmilk\nx\ta spoon\n")
    export_unisrec(folder, "Own", tmp_path / "theirs", stage_options())
    assert lines(tmp_path / "theirs" / "Own.item2index") == ["z\t0", "y\t1", "x\t2", "w\t3"]
    assert lines(tmp_path / "theirs" / "Own.train.inter") == [HEADER, "0\t0\t1", "1\t2\t3"]
    assert lines(tmp_path / "theirs" / "Own.test.inter") == [HEADER, "0\t0 1 0\t2", "1\t2 3 1\t1"]
    bring_in(tmp_path / "theirs", tmp_path / "again")
    for suffix in ("inter", "item"):
        assert (tmp_path / "again" / "Own" / f"Own.{suffix}").read_bytes() == (folder / f"Own.{suffix}").read_bytes()


def test_export_orders_by_time_then_position(tmp_path):
    folder = tmp_path / "Own"
    folder.mkdir()
    (folder / "Own.inter").write_text(
        "item_id:token\tuser_id:token\ttimestamp:float\nd\tu\t9\na\tu\t1\nb\tu\t2.5\nc\tu\t2.5\ne\tu\t10\n"
    )
    export_unisrec(folder, "Own", tmp_path / "theirs", stage_options())
    assert lines(tmp_path / "theirs" / "Own.item2index") == ["a\t0", "b\t1", "c\t2", "d\t3", "e\t4"]
    assert lines(tmp_path / "theirs" / "Own.test.inter") == [HEADER, "0\t0 1 2 3\t4"]


def test_users_are_in_the_order_of_their_numbers(tmp_path):
    rows = {
        split: [HEADER, *(f"{user}\t{row}" for user in ("10", "2", "0"))]
        for split, row in (("train.inter", "0\t1"), ("valid.inter", "0 1\t2"), ("test.inter", "0 1 2\t3"))
    }
    source = authors_files.write(tmp_path / "a", features=False, index=False, user2index=None, text=None, **rows)
    bring_in(source, tmp_path / "out", ids="number")
    folder = tmp_path / "out" / "Toy"
    users = [line.split("\t")[0] for line in lines(folder / "Toy.inter")[1:]]
    assert users == ["0"] * 4 + ["2"] * 4 + ["10"] * 4
    with open(folder / "Toy.inter", "w") as file:  # any order of the lines
        file.write("\n".join([INTER[0], *(f"{user}\t{item}\t{item}" for user in ("10", "0", "2") for item in "0123")]))
    export_unisrec(folder, "Toy", tmp_path / "back", stage_options())
    assert lines(tmp_path / "back" / "Toy.valid.inter") == [HEADER, "0\t0 1\t2", "2\t0 1\t2", "10\t0 1\t2"]


def test_mix_of_domains_both_ways(tmp_path):
    source = authors_files.write_mix(tmp_path / "FT")
    bring_in(source, tmp_path / "out")
    folder = tmp_path / "out" / "FT"
    assert lines(folder / "FT.inter")[1:3] == ["Food-U1\tFood-X00A\t0", "Food-U1\tFood-B00B\t1"]
    assert lines(folder / "FT.inter")[14] == "Toys-U1\tToys-X00A\t0"
    assert lines(folder / "FT.item")[1] == "Food-B00E\tFood\tgreen paint"
    codes = ItemCodes.load(folder / "FT.published.codes.safetensors", "")
    np.testing.assert_array_equal(codes.codes, quantizer().encode(np.concatenate([FEATURES, FEATURES])))
    export_unisrec(folder, "FT", tmp_path / "back", stage_options())
    names = sorted(file.name for file in source.iterdir())
    assert sorted(file.name for file in (tmp_path / "back").iterdir()) == names
    for name in names:
        assert (tmp_path / "back" / name).read_bytes() == (source / name).read_bytes(), name


MERGED = [
    "user_id:token\titem_id:token\ttimestamp:float",
    *["tea-u\ttea-b\t0", "tea-u\ttea-a\t1", "tea-u\ttea-b\t2", "tea-u\ttea-c\t3"],
    *(f"tea-pots-u\ttea-pots-{item}\t{time}" for time, item in enumerate("aaba")),
]
MERGED_ITEMS = [
    "item_id:token\tdomain:token\ttext:token_seq",
    *["tea-a\ttea\tgreen tea", "tea-b\ttea\tblack tea", "tea-c\ttea\tmint"],
    *["tea-pots-a\ttea-pots\tbig pot", "tea-pots-b\ttea-pots\tpot"],
]


def test_merged_data_set_gets_the_layout_of_a_mix(tmp_path):
    """Domains that are the beginning of each other's names, as `recbole-vqrec merge` makes them."""
    folder = tmp_path / "data" / "Mix"
    folder.mkdir(parents=True)
    (folder / "Mix.inter").write_text("\n".join(MERGED) + "\n")
    (folder / "Mix.item").write_text("\n".join(MERGED_ITEMS) + "\n")
    export_unisrec(folder, "Mix", tmp_path / "theirs", stage_options())
    assert lines(tmp_path / "theirs" / "Mix.pt_datasets") == ["tea,tea-pots"]
    assert lines(tmp_path / "theirs" / "Mix.train.inter") == [HEADER, "0-0\t0-0\t0-1", "1-0\t1-0\t1-0"]
    assert lines(tmp_path / "theirs" / "Mix.test.inter") == [HEADER, "0-0\t0-0 0-1 0-0\t0-2", "1-0\t1-0 1-0 1-1\t1-0"]
    assert lines(tmp_path / "theirs" / "Mix.filtered_id") == ["0-0", "0-1", "1-0"]
    assert lines(tmp_path / "theirs" / "tea.item2index") == ["b\t0", "a\t1", "c\t2"]
    assert lines(tmp_path / "theirs" / "tea-pots.text") == ["item_id:token\ttext:token_seq", "a\tbig pot", "b\tpot"]
    bring_in(tmp_path / "theirs", tmp_path / "again")
    assert lines(tmp_path / "again" / "Mix" / "Mix.inter") == MERGED
    assert lines(tmp_path / "again" / "Mix" / "Mix.item") == MERGED_ITEMS
    (folder / "Mix.inter").write_text("\n".join([*MERGED, "cups-u\ttea-a\t0"]) + "\n")
    with pytest.raises(VQRecError, match="id 'cups-u' is of none of the domains tea, tea-pots"):
        export_unisrec(folder, "Mix", tmp_path / "other", stage_options())


def test_mix_with_numbers_as_ids(tmp_path):
    source = authors_files.write_mix(tmp_path / "FT")
    for file in source.glob("*2index"):
        file.unlink()
    bring_in(source, tmp_path / "out", ids="number")
    folder = tmp_path / "out" / "FT"
    assert lines(folder / "FT.inter")[14] == "1-0\t1-0\t0"
    export_unisrec(folder, "FT", tmp_path / "back", stage_options())
    for name in ("FT.train.inter", "FT.test.inter", "FT.filtered_id", f"FT.{authors_files.INDEX}", "Toys.feat1CLS"):
        assert (tmp_path / "back" / name).read_bytes() == (source / name).read_bytes(), name
    (source / "FT.pt_datasets").unlink()
    with pytest.raises(VQRecError, match="unknown user number '0-0', expected a number .a mix of domains needs FT.pt"):
        bring_in(source, tmp_path / "other", ids="number")


def test_second_view_of_the_texts(tmp_path):
    source = authors_files.write(tmp_path / "a")
    (FEATURES + 1).tofile(source / "Toy.feat2CLS")
    bring_in(source, tmp_path / "out")
    path = tmp_path / "out" / "Toy" / "Toy.bert-base-uncased.word-drop.emb.safetensors"
    np.testing.assert_array_equal(load_embeddings(path, "")[1], FEATURES + 1)
    export_unisrec(tmp_path / "out" / "Toy", "Toy", tmp_path / "back", stage_options())
    assert (tmp_path / "back" / "Toy.feat2CLS").read_bytes() == (source / "Toy.feat2CLS").read_bytes()


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


def test_filtered_ids_must_be_the_training_items(tmp_path):
    source = authors_files.write_mix(tmp_path / "FT")
    (source / "FT.filtered_id").write_text("0-0\n0-1\n0-3\n")
    with pytest.raises(VQRecError, match="FT.filtered_id line 3: found '0-3', expected '0-2'"):
        bring_in(source, tmp_path / "out")


@pytest.mark.parametrize(
    "changed, said",
    [
        ({"test.inter": None}, "Toy.test.inter: not found; all three splits are needed"),
        ({"valid.inter": FILES["valid.inter"][:-1]}, "Toy.valid.inter has no more users, Toy.test.inter line 4"),
        ({"item2index": FILES["item2index"][:-1]}, "unknown item number '4', expected those of Toy.item2index"),
        ({"item2index": ["X00A 0"]}, "Toy.item2index line 1: found 'X00A 0', expected id, tab, number"),
        ({"item2index": [*FILES["item2index"], "B00F\t6"]}, "number 5 is missing"),
        ({"item2index": [*FILES["item2index"], "X00A\t5"]}, "line 6: 'X00A' for the second time"),
        ({"item2index": [*FILES["item2index"], "B00F\t4"]}, "line 6: '4' for the second time"),
        ({"item2index": ["B0 A\t0", *FILES["item2index"][1:]]}, "id 'B0 A' has a blank or quote; choose --ids number"),
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


def test_bad_time(tmp_path):
    folder = tmp_path / "Own"
    folder.mkdir()
    (folder / "Own.inter").write_text("user_id:token\titem_id:token\ttimestamp:float\nu\ta\t1\nu\tb\tx\n")
    with pytest.raises(VQRecError, match="Own.inter line 3: timestamp is 'x', expected a number"):
        export_unisrec(folder, "Own", tmp_path / "theirs", stage_options())


def test_commands(tmp_path):
    source = authors_files.write(tmp_path / "a")
    run = CliRunner()
    arguments = ["import-unisrec", str(source), "--out", str(tmp_path / "data"), "--plm-size", "4"]
    said = run.invoke(main, arguments, catch_exceptions=False)
    assert said.exit_code == 0 and "3 users, 5 items, 13 interactions" in said.output
    assert "4 items from Toy.OPQ2,IVF1,PQ2x8.strict.index, 1 that it lacks by embeddings (B00E)" in said.output
    export = ["export-unisrec", "--dataset", "Toy", "--data-path", str(tmp_path / "data"), "--out", str(tmp_path / "b")]
    assert run.invoke(main, export, catch_exceptions=False).exit_code == 0
    again = run.invoke(main, export)
    assert again.exit_code == 2 and "holds Toy.train.inter, Toy.valid.inter, Toy.test.inter already" in again.output
    assert run.invoke(main, [*export, "--force"]).exit_code == 0
    wrong = run.invoke(main, ["import-unisrec", str(tmp_path / "nowhere")])
    assert wrong.exit_code == 2 and "nowhere: folder not found" in wrong.output


def test_imported_embeddings_are_up_to_date_for_embed(tmp_path):
    """`embed` must not encode again what the authors' features already are."""
    from recbole_vqrec.embedding.text_encoder import embed_dataset

    bring_in(authors_files.write(tmp_path / "a"), tmp_path / "out")
    path, made = embed_dataset(tmp_path / "out" / "Toy", "Toy", stage_options())
    assert not made
    artifacts.refuse_stale(path, artifacts.read_manifest(path, "text embedding", ""), "")
