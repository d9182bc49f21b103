"""A run folder served by several objects, as by several processes: what one writes the others see, and nothing is lost."""

import shutil

import pytest
from trained_runs import copied

from recbole_vqrec import Recommender, artifacts
from recbole_vqrec.errors import UnavailableError

HISTORY = [["i1", "i2"]]


def removed(recommender):
    catalogue = recommender.catalogue
    return {item for item, gone in zip(catalogue.item_ids, catalogue.removed) if gone}


def test_saving_in_place_keeps_what_another_process_has_added(run):
    first, second = Recommender.load(run), Recommender.load(run)
    first.add_items({"a": "red glue"}, persist=True)
    second.remove_items(["i5"])
    second.save(run)
    for each in (second, Recommender.load(run)):
        assert "a" in each.catalogue.item_ids and removed(each) == {"i5"}
    first.refresh()
    assert removed(first) == {"i5"}


def test_a_change_of_several_items_survives_that_another_process_makes_a_part_of_it(run):
    first, second = Recommender.load(run), Recommender.load(run)
    second.remove_items(["i1", "i2"])
    second.add_items({"x": "red glue", "y": "blue tape"})
    first.remove_items(["i1"], persist=True)
    first.add_items({"x": "red glue"}, persist=True)
    assert second.refresh()
    assert removed(second) == {"i1", "i2"} and second.text_of("y") == "blue tape"
    assert second.recommend(HISTORY, k=20).equals(second.recommend(HISTORY, k=20))


def test_an_item_removed_twice_at_once_leaves_a_run_that_can_be_read(run):
    Recommender.load(run).remove_items(["i3", "i1", "i3"], persist=True)
    assert removed(Recommender.load(run)) == {"i1", "i3"}


def test_what_is_written_has_the_last_word_over_what_was_not(run, tmp_path):
    recommender = Recommender.load(run)
    recommender.add_items({"x": "red glue", "y": "blue tape"})
    recommender.remove_items(["x", "y"])
    recommender.add_items({"x": "grey glue"}, persist=True)
    recommender.save(tmp_path / "other")
    for each in (recommender, Recommender.load(tmp_path / "other")):
        assert removed(each) == {"y"} and each.text_of("x") == "grey glue"
    assert Recommender.load(run).catalogue.item_ids[12:] == ["x"]


def test_a_link_that_is_moved_does_not_mix_two_runs(trained, tmp_path):
    one, other = (copied(trained, name, tmp_path) for name in ("VQRec", "fine-tuned with text"))
    link = tmp_path / "current"
    link.symlink_to(one)
    recommender = Recommender.load(link)
    before = recommender.recommend(HISTORY)
    link.unlink()
    link.symlink_to(other)
    assert not recommender.refresh() and recommender.recommend(HISTORY).equals(before)
    assert not Recommender.load(link).recommend(HISTORY).equals(before)


def test_a_run_folder_made_of_links(run, tmp_path):
    linked = tmp_path / "linked"
    linked.mkdir()
    for file in run.iterdir():
        (linked / file.name).symlink_to(file)
    expected = Recommender.load(run).recommend(HISTORY)
    assert Recommender.load(linked).recommend(HISTORY).equals(expected)
    assert Recommender.load(linked / "checkpoint.safetensors").recommend(HISTORY).equals(expected)


def test_another_model_in_the_folder_is_told(run, trained):
    recommender = Recommender.load(run)
    Recommender.load(trained["with text"][0]).save(run)
    for step in (
        recommender.refresh,
        lambda: recommender.add_items({"a": "red glue"}, persist=True),
        lambda: recommender.save(run),
        lambda: recommender.save(run / "elsewhere"),
    ):
        with pytest.raises(UnavailableError, match="its checkpoint has been replaced; load the run again"):
            step()
    assert not list((run / "elsewhere").glob("*"))


def test_a_folder_that_has_gone_is_not_made_again(run):
    recommender = Recommender.load(run)
    shutil.rmtree(run)
    assert not recommender.refresh()
    with pytest.raises(UnavailableError, match="catalogue.safetensors: is not there any more, nothing was written"):
        recommender.add_items({"a": "red glue"}, persist=True)
    assert not artifacts.catalogue_file(run).parent.exists()
