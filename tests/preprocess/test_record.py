"""When a data set counts as up to date."""

import json
import shutil

import numpy as np
import polars as pl
import pytest

from recbole_vqrec.preprocess import record
from recbole_vqrec.preprocess.dataset_files import RawData, make_dataset
from recbole_vqrec.preprocess.interactions import Interactions


@pytest.fixture
def preprocess(command, amazon_files, tmp_path):
    """Return two raw files, and a function that preprocesses two and tells whether the result was up to date."""

    def run(ratings, metadata):
        options = ["--ratings", ratings, "--metadata", metadata, "--name", "D", "--user-k", 1, "--item-k", 1]
        result = command("preprocess", "amazon", *options, "--out", tmp_path / "out")
        assert result.exit_code == 0, result.stderr
        return "up to date" in result.stdout

    return amazon_files, run


def test_a_change_of_either_of_two_files_of_one_name_is_noticed(preprocess, tmp_path):
    files, up_to_date = preprocess
    ratings, metadata = (tmp_path / folder / "Games.jsonl" for folder in "ab")
    for raw, path in zip(files, (ratings, metadata)):
        path.parent.mkdir()
        shutil.copyfile(raw, path)
    assert not up_to_date(ratings, metadata) and up_to_date(ratings, metadata)
    ratings.write_text(ratings.read_text() + "B2,U9,5.0,20\n")
    assert not up_to_date(ratings, metadata)


def test_inputs_of_different_names_are_recorded_by_their_names(preprocess, tmp_path):
    (ratings, metadata), up_to_date = preprocess
    assert not up_to_date(ratings, metadata) and up_to_date(ratings, metadata)
    written = json.loads((tmp_path / "out/D/D.preprocess.json").read_text())
    assert list(written["inputs"]) == [ratings.name, metadata.name]


def test_inputs_that_change_places_are_not_up_to_date(tmp_path):
    folder, files = tmp_path / "D", [tmp_path / "d.inter", tmp_path / "d.item"]
    folder.mkdir()
    for path in (*files, folder / "D.inter", folder / "D.item"):
        path.write_text(path.name)
    outputs = record.outputs_of({path: path for path in record.atomic_files_of(folder, "D")})
    record.write_record(folder, "D", record.made_from("atomic", {}, files), {}, {}, outputs)

    def up_to_date(inputs):
        return record.up_to_date(folder, "D", record.made_from("atomic", {}, inputs), lambda line: None) is not None

    assert up_to_date(files) and not up_to_date(files[::-1])


def test_a_record_of_an_earlier_version_is_up_to_date(tmp_path):
    for name in ("d.inter", "d.item", "D.inter", "D.item"):
        (tmp_path / name).write_text(name)
    (tmp_path / "D.preprocess.json").write_text(
        """{
 "kind": "preprocessed data set", "format": 1, "recbole_vqrec": "1.0.0", "dataset": "D", "source": "atomic",
 "options": {},
 "inputs": {
  "d.inter": "ca77db30f1d2183a630a8491bae05931e343477a834041bbab738f85b6ce3a80",
  "d.item": "b2c3a1b5d60a5476451ea5e32d10fd25b495e741f3457ad0e9d750bfd1d7c76f"
 },
 "statistics": {}, "counts": {},
 "outputs": {
  "D.inter": "af3ba7927e7a67318eb82ba637e66b9e21207584fa05c7081aeacb37bfc1665d",
  "D.item": "7b858aa030ccdcdd49cac4733385cc2279e001c5e5e54e1337c0064f8779b612"
 }
}
"""
    )
    made_by = record.made_from("atomic", {}, [tmp_path / "d.inter", tmp_path / "d.item"])
    assert record.up_to_date(tmp_path, "D", made_by, lambda line: None)


def test_what_a_kill_leaves_before_the_record_is_known_to_be_made_here(tmp_path):
    assert not record.announce(tmp_path / "d", "d", {"source": "atomic", "options": {}, "inputs": {"x": "1"}})
    for path in record.atomic_files_of(tmp_path / "d", "d"):
        path.write_text("half of the work")
    record.refuse_foreign_files(tmp_path / "d", "d")
    made_by = {"source": "atomic", "options": {}, "inputs": {"x": "1"}}
    assert record.up_to_date(tmp_path / "d", "d", made_by, print) is None


def test_files_that_another_command_has_replaced_are_not_recorded_as_ones_own(tmp_path, monkeypatch):
    items = pl.DataFrame({"item_id": ["a"], "title": ["glue"]})
    raw = RawData(Interactions(pl.Series(["u"]), pl.Series(["a"]), *(np.zeros(1, dtype=int) for _ in range(4))), items)
    folder, inputs = tmp_path / "D", [tmp_path / "raw"]
    inputs[0].write_text("raw")
    options = {"user_k": 1, "item_k": 1, "duplicates": "keep", "ties": "input", "ties_seed": 0, "clean": False}

    def made():
        return make_dataset(folder, "D", "atomic", options, inputs, lambda: raw, say=lambda line: None)[1]

    def another(*args):
        (folder / "D.item").write_text("of another command")
        return {}

    with monkeypatch.context() as patched:
        patched.setattr("recbole_vqrec.preprocess.dataset_files.statistics", another)
        patched.setattr("recbole_vqrec.preprocess.dataset_files.say_summary", lambda *args: None)
        assert made()
    assert made() and not made()
