"""A run folder that several objects, threads and processes read and change."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from recbole_vqrec import Recommender, artifacts
from recbole_vqrec.errors import UnavailableError, VQRecError
from recbole_vqrec.inference.stored_catalogue import StoredCatalogue


def test_two_recommenders_that_write_into_one_run_folder(run):
    """Each sees the other's items, none is lost, whoever comes first."""
    first, second = Recommender.load(run), Recommender.load(run)
    first.add_items({"a": "red glue"}, persist=True)
    second.add_items({"b": "blue glue"}, persist=True)
    assert second.catalogue.item_ids[-2:] == ["a", "b"]
    assert first.catalogue.item_ids[-1] == "a" and first.refresh() and first.catalogue.item_ids[-2:] == ["a", "b"]
    assert not first.refresh() and not second.refresh()
    first.remove_items(["b"], persist=True)
    with pytest.raises(VQRecError, match="not in the catalogue"):
        second.remove_items(["b"], persist=True)
    assert not list(run.glob(".*.tmp"))


def test_what_is_not_persisted_stays_until_the_object_goes(run):
    first, second = Recommender.load(run), Recommender.load(run)
    first.add_items({"a": "red glue"})
    first.remove_items(["i5"])
    second.add_items({"b": "blue glue"}, persist=True)
    assert first.refresh() and first.catalogue.item_ids[12:] == ["b", "a"]
    first.add_items({"c": "grey tape"}, persist=True)
    assert first.catalogue.item_ids[12:] == ["b", "c", "a"] and "i5" not in first.item_embeddings().ids
    loaded = Recommender.load(run)
    assert loaded.catalogue.item_ids[12:] == ["b", "c"] and "i5" in loaded.item_embeddings().ids
    second.refresh()
    second.add_items({"a": "green glue"}, persist=True)
    assert first.refresh() and first.catalogue.item_ids[12:] == ["b", "c", "a"]
    assert first.text_of("a") == "green glue"  # what is in the folder wins
    first.save(run)
    assert not first.refresh() and "i5" not in Recommender.load(run).item_embeddings().ids


def test_many_threads_that_add_and_read(run):
    recommenders = [Recommender.load(run), Recommender.load(run)]
    failures, stop = [], threading.Event()

    def read():
        while not stop.is_set():
            try:
                recommenders[0].recommend([["i1", "i2"]], k=5)
            except Exception as error:  # noqa: BLE001, any error fails the test
                failures.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda n: recommenders[n % 2].add_items({f"n{n}": f"red glue {n}"}, persist=True), range(12)))
    finally:
        stop.set()
        reader.join()
    assert not failures
    assert sorted(StoredCatalogue(run).catalogue.item_ids[12:]) == sorted(f"n{n}" for n in range(12))


def test_an_interrupted_write_leaves_the_old_file(run, monkeypatch):
    before = artifacts.catalogue_file(run).read_bytes()
    recommender = Recommender.load(run)

    def fail(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(artifacts, "save_file", fail)
    with pytest.raises(VQRecError, match="No space left on device"):
        recommender.add_items({"new": "red glue"}, persist=True)
    assert artifacts.catalogue_file(run).read_bytes() == before
    assert len(recommender.catalogue) == 12
    assert np.all([not name.name.endswith(".tmp") for name in run.iterdir()])


def test_a_change_that_was_refused_leaves_nothing_unserved(run):
    first, second = Recommender.load(run), Recommender.load(run)
    first.add_items({"a": "red glue", "b": "blue glue"}, persist=True)
    features = second._features(["green tape"])
    second._features = lambda texts: first.add_items({"c": "grey tape"}, persist=True) and features  # meanwhile
    with pytest.raises(VQRecError, match="already"):
        second.add_items({"c": "green tape"}, persist=True)
    assert len(second.catalogue.item_ids) == 12 and second.refresh() and second.catalogue.item_ids[-1] == "c"
    assert not second.refresh() and second.text_of("c") == "grey tape"
    first.remove_items(["b"], persist=True)
    with pytest.raises(VQRecError, match="not in the catalogue"):
        second.remove_items(["b"], persist=True)
    assert second.refresh() and "b" not in second.item_embeddings().ids


def test_a_catalogue_of_another_run_is_refused(run, tmp_path):
    file = artifacts.catalogue_file(run)
    arrays, ids, manifest = artifacts.read_artifact(file, "catalogue", "")
    artifacts.write_artifact(file, "catalogue", arrays, manifest, [f"other {item}" for item in ids])
    with pytest.raises(UnavailableError, match="has other items than checkpoint.safetensors, as where saving was"):
        Recommender.load(run)
