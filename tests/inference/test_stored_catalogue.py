import shutil

import numpy as np
import pytest
import torch
from trained_runs import copied

from recbole_vqrec import Recommender, artifacts
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.inference import stored_catalogue
from recbole_vqrec.inference.catalogue import Change
from recbole_vqrec.inference.catalogue_files import write_change
from recbole_vqrec.inference.stored_catalogue import StoredCatalogue


def test_a_change_writes_what_it_holds_and_not_all_items(run):
    before = artifacts.catalogue_file(run).read_bytes()
    recommender = Recommender.load(run)
    recommender.add_items({"a": "red glue", "b": "blue\n tape"}, persist=True)
    recommender.remove_items(["i3", "a"], persist=True)
    recommender.add_items({"a": "grey glue"}, persist=True)
    assert artifacts.catalogue_file(run).read_bytes() == before
    assert list(artifacts.change_files(run)) == [1, 2, 3]
    loaded = Recommender.load(run)
    assert loaded.catalogue.item_ids[12:] == ["a", "b"] and loaded.text_of("a") == "grey glue"
    assert loaded.text_of("b") == "blue tape"
    histories = [["i1", "b"], ["a"]]
    assert loaded.recommend(histories, k=20).equals(recommender.recommend(histories, k=20))
    assert "i3" not in loaded.item_embeddings().ids


@pytest.fixture
def merging(monkeypatch):
    """Changes become part of the catalogue after three of them."""
    monkeypatch.setattr(stored_catalogue, "MOST_CHANGES", 2)


def test_changes_become_part_of_the_catalogue(run, merging):
    first, second = Recommender.load(run), Recommender.load(run)
    for number in range(8):
        (first, second)[number % 2].add_items({f"n{number}": f"red glue {number}"}, persist=True)
    assert list(artifacts.change_files(run)) == [7, 8]
    first.refresh()
    assert first.catalogue.item_ids == second.catalogue.item_ids == StoredCatalogue(run).catalogue.item_ids
    assert first.catalogue.item_ids[12:] == [f"n{number}" for number in range(8)]


def test_a_first_change_merges_what_earlier_processes_left(run, monkeypatch):
    monkeypatch.setattr(stored_catalogue, "FEW_CHANGES", 1)
    for number in range(3):
        Recommender.load(run).add_items({f"n{number}": "red glue"}, persist=True)
    assert list(artifacts.change_files(run)) == [3]
    assert StoredCatalogue(run).catalogue.item_ids[12:] == ["n0", "n1", "n2"]


def test_what_a_kill_while_merging_leaves_is_not_applied_twice(run, tmp_path, merging):
    recommender = Recommender.load(run)
    for number in range(2):
        recommender.add_items({f"n{number}": "red glue"}, persist=True)
    left = {path.name: path.read_bytes() for path in artifacts.change_files(run).values()}
    recommender.add_items({"n2": "red glue"}, persist=True)
    assert len(left) == 2 and not artifacts.change_files(run)
    for name, content in left.items():
        (run / name).write_bytes(content)
    assert Recommender.load(run).catalogue.item_ids[12:] == ["n0", "n1", "n2"]
    Recommender.load(run).add_items({"n3": "red glue"}, persist=True)
    assert recommender.refresh() and recommender.catalogue.item_ids[12:] == ["n0", "n1", "n2", "n3"]


def test_a_merge_that_fails_loses_nothing(run, merging, monkeypatch, caplog):
    def fail(*args):
        raise VQRecError("disk full")

    recommender = Recommender.load(run)
    with monkeypatch.context() as patch:
        patch.setattr(stored_catalogue.files, "write_catalogue", fail)
        for number in range(4):
            recommender.add_items({f"n{number}": "red glue"}, persist=True)
    assert "disk full" in caplog.text
    assert len(Recommender.load(run).catalogue) == 16
    recommender.add_items({"n4": "red glue"}, persist=True)
    assert not artifacts.change_files(run) and len(Recommender.load(run).catalogue) == 17


def test_a_save_replaces_the_changes(run, tmp_path):
    recommender, other = Recommender.load(run), Recommender.load(run)
    recommender.add_items({"a": "red glue"}, persist=True)
    recommender.save(run)
    assert not artifacts.change_files(run)
    assert other.refresh() and other.catalogue.item_ids[12:] == ["a"]
    shutil.copytree(run, tmp_path / "copy")
    Recommender.load(tmp_path / "copy").add_items({"lost": "red glue"}, persist=True)
    recommender.save(tmp_path / "copy")  # the changes there belong to what is replaced
    assert Recommender.load(tmp_path / "copy").catalogue.item_ids[12:] == ["a"]


@pytest.fixture
def changed(run):
    """A run folder with two changes."""
    recommender = Recommender.load(run)
    for item in "ab":
        recommender.add_items({item: "red glue"}, persist=True)
    return run


def test_a_damaged_change(changed):
    path = artifacts.change_file(changed, 2)
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(VQRecError, match="change-00000002.*damaged; put it back, or delete it and the changes after"):
        Recommender.load(changed)
    path.write_bytes(content[:20])
    with pytest.raises(VQRecError, match="change-00000002.*not a readable catalogue change file"):
        Recommender.load(changed)
    path.unlink()
    assert Recommender.load(changed).catalogue.item_ids[12:] == ["a"]


def test_a_change_that_is_missing(changed):
    artifacts.change_file(changed, 1).unlink()
    with pytest.raises(VQRecError, match="change-00000001.safetensors: not found, but catalogue.change-00000002"):
        Recommender.load(changed)


@pytest.mark.parametrize(
    "change",
    [
        Change(["a"], ["there already"], {"codes": np.zeros((1, 4), np.uint8)}),
        Change(["c"], ["no codes"]),
        Change(["c"], ["other codes"], {"codes": np.zeros((1, 5), np.uint8)}),
        Change(["c"], ["unknown"], {"colours": np.zeros((1, 5), np.uint8)}),
        Change(["never there"]),
    ],
)
def test_a_change_that_does_not_fit(changed, change):
    write_change(changed, 3, change)
    with pytest.raises(VQRecError, match="do not fit catalogue.safetensors"):
        Recommender.load(changed)


@pytest.mark.parametrize("texts", [["one", "two"], []])
def test_a_change_whose_parts_differ_in_length(changed, texts):
    write_change(changed, 3, Change(["c"], texts, {"codes": np.zeros((1, 4), np.uint8)}))
    with pytest.raises(VQRecError, match="change-00000003.safetensors: its parts are not all of 1 items"):
        Recommender.load(changed)


@pytest.mark.parametrize("name", ["VQRec", "with text", "fine-tuned with text"])
def test_additions_one_by_one_give_what_loading_anew_gives(trained, tmp_path, name):
    """The engine takes over what it knows of the other items; the engine before a change stays as it was."""
    run = copied(trained, name, tmp_path)
    recommender = Recommender.load(run)
    for number, text in enumerate(["red glue", "blue tape", "red glue"]):
        recommender.add_items({f"n{number}": text}, persist=True)
    before = recommender.served.engine
    state = before.sequence_vectors([[1, 12]])  # row 12 is n0
    recommender.remove_items(["n0"], persist=True)
    recommender.add_items({"n0": "grey tape 7"}, persist=True)  # in its old row, with other features
    loaded = Recommender.load(run)
    assert np.allclose(loaded.item_embeddings().vectors, recommender.item_embeddings().vectors, atol=1e-6)
    histories = [["i1", "n0"], ["n1", "i4"]]
    one, other = (each.recommend(histories, k=20, filter_seen=False) for each in (loaded, recommender))
    assert one.item.tolist() == other.item.tolist() and np.allclose(one.score, other.score, atol=1e-5)
    assert torch.allclose(before.sequence_vectors([[1, 12]]), state, atol=1e-6)
    assert not torch.allclose(recommender.served.engine.sequence_vectors([[1, 12]]), state, atol=1e-3)
