"""The authors' files -> ours and back, on three users and five items."""

import gzip
import lzma

import numpy as np
import pytest
from click.testing import CliRunner

import authors_files
from authors_files import FEATURES, FILES, HEADER, INTER, bring_in, lines, quantizer
from recbole_vqrec import artifacts, provenance
from recbole_vqrec.cli import main
from recbole_vqrec.config import stage_options
from recbole_vqrec.embedding.text_encoder import load_embeddings
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.interchange.export_unisrec import export_unisrec
from recbole_vqrec.quantization.item_codes import ItemCodes


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
        if file.name == "Toy.import.json":  # names the files it was made from
            continue
        assert file.read_bytes() == (tmp_path / "again" / "Toy" / file.name).read_bytes(), file.name


def test_export_of_an_import_is_the_authors_files(tmp_path):
    source = authors_files.write(tmp_path / "a")
    bring_in(source, tmp_path / "out")
    export_unisrec(tmp_path / "out" / "Toy", "Toy", tmp_path / "back", stage_options())
    names = sorted(file.name for file in source.iterdir())
    assert {file.name for file in (tmp_path / "back").iterdir()} == {*names, "Toy.export.json"}
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


def test_second_view_of_the_texts(tmp_path):
    source = authors_files.write(tmp_path / "a")
    (FEATURES + 1).tofile(source / "Toy.feat2CLS")
    bring_in(source, tmp_path / "out")
    path = tmp_path / "out" / "Toy" / "Toy.bert-base-uncased.word-drop.emb.safetensors"
    np.testing.assert_array_equal(load_embeddings(path, "")[1], FEATURES + 1)
    export_unisrec(tmp_path / "out" / "Toy", "Toy", tmp_path / "back", stage_options())
    assert (tmp_path / "back" / "Toy.feat2CLS").read_bytes() == (source / "Toy.feat2CLS").read_bytes()


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
    assert again.exit_code == 0 and "Toy: up to date; --force redoes it" in again.output
    assert "3 users" in run.invoke(main, [*export, "--force"]).output
    (tmp_path / "b" / "Toy.export.json").unlink()
    foreign = run.invoke(main, export)
    assert foreign.exit_code == 2
    assert "holds Toy.train.inter, Toy.valid.inter, Toy.test.inter, which no export made" in foreign.output
    assert run.invoke(main, [*export, "--force"]).exit_code == 0
    wrong = run.invoke(main, ["import-unisrec", str(tmp_path / "nowhere")])
    assert wrong.exit_code == 2 and "nowhere: folder not found" in wrong.output


def test_imported_embeddings_are_up_to_date_for_embed(tmp_path):
    """`embed` must not encode again what the authors' features already are."""
    from recbole_vqrec.embedding.embed import embed_dataset

    bring_in(authors_files.write(tmp_path / "a"), tmp_path / "out")
    path, made = embed_dataset(tmp_path / "out" / "Toy", "Toy", stage_options())
    assert not made
    provenance.refuse_stale(path, artifacts.read_manifest(path, "text embedding", ""), "")


def test_a_second_import_does_nothing(tmp_path):
    source, folder = authors_files.write(tmp_path / "a"), tmp_path / "out" / "Toy"
    first = bring_in(source, tmp_path / "out")
    times = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    again = bring_in(source, tmp_path / "out")
    assert again["notes"] == ["Toy: up to date; --force redoes it"] and again["summary"] == {}
    assert set(first["paths"]) <= set(again["paths"])
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == times
    assert bring_in(source, tmp_path / "out", force=True)["summary"]["users"] == 3


@pytest.mark.parametrize("change", ["option", "input", "output", "lost", "record"])
def test_an_import_is_redone_where_something_changed(tmp_path, change):
    source, folder = authors_files.write(tmp_path / "a"), tmp_path / "out" / "Toy"
    bring_in(source, tmp_path / "out")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    if change == "input":
        authors_files.write(source, text=[*FILES["text"][:-1], "B00D\tdark blue paint"])
    elif change == "output":
        (folder / "Toy.inter").write_text("user_id:token\n")
    elif change == "lost":
        (folder / "Toy.user2index").unlink()
    elif change == "record":
        (folder / "Toy.import.json").write_text("[]")
    made = bring_in(source, tmp_path / "out", **({"ids": "number"} if change == "option" else {}))
    assert made["summary"]["users"] == 3
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert (after == before) == (change in ("output", "lost", "record"))
    assert bring_in(source, tmp_path / "out", **({"ids": "number"} if change == "option" else {}))["summary"] == {}


@pytest.fixture
def exported(tmp_path):
    """A data set of ours, a function that exports it, and the folder of the export."""
    bring_in(authors_files.write(tmp_path / "a"), tmp_path / "out")
    folder, back = tmp_path / "out" / "Toy", tmp_path / "back"

    def export(force=False, **changed):
        length = changed.pop("max_length", 50)
        return export_unisrec(folder, "Toy", back, {**stage_options(), **changed}, length, force, progress=False)

    export()
    return folder, export, back


def test_a_second_export_does_nothing(exported):
    _, export, back = exported
    times = {path: path.stat().st_mtime_ns for path in back.iterdir()}
    again = export()
    assert again["notes"] == ["Toy: up to date; --force redoes it"] and again["summary"] == {}
    assert {*again["paths"], back / "Toy.export.json"} == set(times)
    assert {path: path.stat().st_mtime_ns for path in back.iterdir()} == times
    assert export(force=True)["summary"]["users"] == 3


@pytest.mark.parametrize("change", ["option", "input", "output", "lost", "record", "killed"])
def test_an_export_is_redone_where_something_changed(exported, change, monkeypatch):
    folder, export, back = exported
    before = {path.name: path.read_bytes() for path in back.iterdir()}
    if change == "input":
        (folder / "Toy.item").write_text((folder / "Toy.item").read_text().replace("paint", "varnish"))
    elif change == "output":
        (back / "Toy.valid.inter").write_text("user_id:token\n")
    elif change == "lost":
        (back / "Toy.item2index").unlink()
    elif change == "record":
        (back / "Toy.export.json").write_text("[]")
    elif change == "killed":
        monkeypatch.setattr("recbole_vqrec.interchange.export_unisrec.write_numbers", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            export(force=True)
        monkeypatch.undo()
    changed = {"max_length": 2} if change == "option" else {}
    if change == "input":  # the features are those of the earlier texts
        with pytest.raises(VQRecError, match="out of date, Toy.item changed"):
            export()
        for path in folder.glob("*.safetensors"):
            path.unlink()
    assert export(**changed)["summary"]["users"] == 3
    after = {path.name: path.read_bytes() for path in back.iterdir()}
    assert (after == before) == (change in ("output", "lost", "record", "killed"))
    assert export(**changed)["summary"] == {}


def test_what_is_no_longer_made_is_removed(exported):
    folder, export, back = exported
    index = next(back.glob("*.index"))
    (back / "mine.txt").write_text("kept")
    next(folder.glob("*.codes.safetensors")).unlink()
    assert any(note.startswith("no .index") for note in export()["notes"])
    assert not index.exists() and (back / "Toy.text").exists() and (back / "mine.txt").exists()
