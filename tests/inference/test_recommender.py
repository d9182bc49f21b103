import dataclasses
import pickle
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from trained_runs import TEXT_SIMILARITY

from recbole_vqrec import Recommender, artifacts
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.inference.catalogue_files import write_catalogue

ITEMS = [f"i{number}" for number in range(12)]


FINE_TUNED = ["fine-tuned", "fine-tuned with text", "fine-tuned with ids"]
WITH_CO_OCCURRENCE = [f"{name} with co-occurrence" for name in ("VQRec", "VQRec code+text", "SASRec")]
WITH_TEXT_SIMILARITY = [f"{name} with text similarity" for name in TEXT_SIMILARITY]
MODELS = [
    "VQRec", "with text", "with ids", *FINE_TUNED, "SASRec", "CORE", "LightSANs", "SASRecText", "UniSRec",
    "UniSRec with ids", "FDSA", "S3Rec", "RecGURU", "ItemCoOccurrence",
    *WITH_CO_OCCURRENCE, *WITH_TEXT_SIMILARITY,
]  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_the_scores_are_those_of_the_model(trained, name):
    run, (histories, scores) = trained[name]
    found = Recommender.load(run).recommend(histories, k=100, filter_seen=False)
    assert found.columns.tolist() == ["user", "rank", "item", "score"]
    for user, expected in enumerate(scores):
        own = found[found.user == user]
        assert own["rank"].tolist() == list(range(1, 13)) and sorted(own.item) == sorted(ITEMS)
        assert np.allclose(own.score, [expected[ITEMS.index(item)] for item in own.item], atol=1e-5)
        assert (np.diff(own.score) <= 0).all()


@pytest.mark.parametrize("name", WITH_CO_OCCURRENCE)
def test_co_occurrence_is_added_to_the_items_that_are_scored_and_to_no_other(trained, name, tmp_path):
    run, (histories, scores) = trained[name]
    recommender, plain = Recommender.load(run), Recommender.load(run)
    assert (recommender.catalogue.text_vectors is None) == ("text" not in name)  # the neighbours' texts are not kept
    without = dataclasses.replace(plain.catalogue, item_pairs=None, pair_strengths=None)
    write_catalogue(tmp_path, without)
    shutil.copyfile(run / "checkpoint.safetensors", tmp_path / "checkpoint.safetensors")
    plain = Recommender.load(tmp_path)
    wanted = ["i2", "i7", "i11"]
    found = recommender.recommend(histories, k=3, filter_seen=False, candidates=wanted).set_index(["user", "item"])
    base = plain.recommend(histories, k=3, filter_seen=False, candidates=wanted).set_index(["user", "item"])
    for (user, item), row in found.iterrows():
        assert np.isclose(row.score, scores[user][ITEMS.index(item)], atol=1e-5)
    assert (found.score - base.score[found.index] > 0.1).any() and (found.score - base.score[found.index] > -1e-5).all()
    if name.startswith("SASRec"):
        return
    for each in (recommender, plain):
        each.add_items({"new": "purple glue"})
        each.remove_items(["i7"])
    history = [["i2", "new"], ["new"], ["i3"]]
    found = recommender.recommend(history, k=20, filter_seen=False).set_index(["user", "item"]).score
    base = plain.recommend(history, k=20, filter_seen=False).set_index(["user", "item"]).score
    assert len(found) == len(base) == 36 and set(found.index) == set(base.index)
    added = found - base[found.index]
    assert np.allclose(added[1], 0, atol=1e-5)
    assert (added[0] > 0.1).any() and (added[2] > 0.1).any()
    catalogue, options = recommender.catalogue, recommender.config  # an added item: as the formula of its neighbours
    strengths = dict(zip(map(tuple, catalogue.item_pairs.tolist()), catalogue.pair_strengths.tolist()))
    strength = [strengths.get((min(3, row), max(3, row)), 0) for row in range(12)]
    mean = np.dot(np.array(strength)[catalogue.neighbours[0]], catalogue.weights[0])
    assert np.isclose(added[2, "new"], np.log1p(options["co_occurrence_scale"] * mean), atol=1e-5)
    saved = tmp_path / "copy"
    recommender.save(saved)
    again = Recommender.load(saved).recommend(history, k=20, filter_seen=False).set_index(["user", "item"]).score
    assert np.allclose(again[found.index], found, atol=1e-6)


@pytest.mark.parametrize("name", WITH_TEXT_SIMILARITY)
def test_a_new_item_has_the_similarity_of_its_own_text(trained, name, tmp_path):
    run, _ = trained[name]
    if name.startswith("SASRec "):
        with pytest.raises(VQRecError, match="SASRec knows its items by id only"):
            Recommender.load(run).add_items({"new": "purple glue"})
        return
    recommender, plain = Recommender.load(run), Recommender.load(run)
    plain.served.engine.history_scores.text_similarity.weight = 0
    plain.served.engine.history_scores.history_scores.new_item_weight = 0
    for each in (recommender, plain):
        each.add_items({"new": "purple glue", "twin": "purple glue"})
    history = [["i2", "new"], ["twin"], ["i3"]]
    tables = [each.recommend(history, k=20, filter_seen=False) for each in (recommender, plain)]
    tables = [each.set_index(["user", "item"]) for each in tables]
    added = tables[0].score - tables[1].score[tables[0].index]
    vectors = recommender.catalogue.text_vectors
    own = vectors - vectors[:12][recommender.catalogue.popularity[:12] > 0].mean(axis=0)
    own /= np.linalg.norm(own, axis=1, keepdims=True)
    kernel = np.exp(4 * (own @ own.T - 1)) * (1 - np.eye(14))
    names = [*recommender.catalogue.item_ids]
    new_item_weight = 0.5 * (recommender.catalogue.popularity == 0)
    for user, weights in enumerate([{"new": 2, "i2": 1.8}, {"twin": 2}, {"i3": 2}]):
        expected = new_item_weight + sum(weight * kernel[names.index(item)] for item, weight in weights.items())
        assert np.allclose(added[user][names], expected, atol=1e-4)
    assert np.isclose(added[1, "new"], 2.5, atol=1e-4)  # the same text under another id
    recommender.save(tmp_path / "copy")
    again = Recommender.load(tmp_path / "copy").recommend(history, k=20, filter_seen=False).set_index(["user", "item"])
    assert np.allclose(again.score[tables[0].index], tables[0].score, atol=1e-5)
    among = recommender.recommend(history, k=20, filter_seen=False, candidates=["i1", "new"])
    among = among.set_index(["user", "item"])
    assert np.allclose(among.score, tables[0].score[among.index], atol=1e-5)


def test_the_run_folder_is_enough_and_nothing_is_unpickled(run, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("pickle used")

    for module, name in ((torch, "load"), (torch, "save"), (pickle, "load"), (pickle, "loads"), (pickle, "dump")):
        monkeypatch.setattr(module, name, refuse)
    assert not (run.parent / "dataset").exists()
    recommender = Recommender.load(run)
    recommender.recommend([["i1", "i2"]], k=3)
    recommender.save(run.parent / "copy")
    Recommender.load(run.parent / "copy")


def test_seen_items_are_left_out_and_candidates_keep_to_themselves(recommender):
    found = recommender.recommend([["i1", "i2", "i1"]], k=12)
    assert sorted(found.item) == sorted(set(ITEMS) - {"i1", "i2"})
    found = recommender.recommend([["i1", "i2"]], k=12, candidates=["i2", "i5", "i3", "i5"])
    assert sorted(found.item) == ["i3", "i5"]
    every = recommender.recommend([["i1", "i2"]], k=12, filter_seen=False)
    some = recommender.recommend([["i1", "i2"]], k=12, filter_seen=False, candidates=["i5", "i3"])
    assert some.item.tolist() == [item for item in every.item if item in ("i3", "i5")]
    assert recommender.recommend([["i1"]], k=3, candidates=["i1"]).empty


def test_k_beyond_the_catalogue_gives_what_there_is(recommender):
    assert len(recommender.recommend([["i1"]], k=10_000)) == 11
    for wrong in (0, -1, 2.5, "3", True, None):
        with pytest.raises(VQRecError, match="expected a whole number of at least 1"):
            recommender.recommend([["i1"]], k=wrong)


def test_unknown_items_are_skipped_and_counted_or_refused(recommender, caplog):
    found = recommender.recommend([["i1", "none", "i2"], ["nil"]], k=3)
    plain = recommender.recommend([["i1", "i2"]], k=3)
    assert found.item[:3].tolist() == plain.item.tolist()
    assert found.attrs == {"unknown_items": 2, "by_popularity": [1]}
    assert "2 item ids of the histories are not known" in caplog.text
    with pytest.raises(VQRecError, match=r"histories: 2 item ids that the run does not know \(none, nil\)"):
        recommender.recommend([["i1", "none"], ["nil"]], unknown="error")
    with pytest.raises(VQRecError, match=r"candidates: 1 item ids that the run does not know \(none\)"):
        recommender.recommend([["i1"]], candidates=["i2", "none"])


def test_an_empty_history_gives_the_most_popular(recommender, caplog):
    found = recommender.recommend({"new": []}, k=12)
    popularity = dict(zip(recommender.catalogue.item_ids, recommender.catalogue.popularity.tolist()))
    assert found.score.tolist() == sorted(popularity.values(), reverse=True)
    assert [popularity[item] for item in found.item] == found.score.tolist()
    assert found.attrs["by_popularity"] == ["new"] and "most popular" in caplog.text


def test_popularity_counts_the_training_split(sequences, recommender):
    counts = dict.fromkeys(ITEMS, 0)
    for items in sequences.values():
        for item in items[:-2]:  # the last two are validation and test
            counts[item] += 1
    assert dict(zip(recommender.catalogue.item_ids, recommender.catalogue.popularity.tolist())) == counts


def test_no_histories(recommender):
    for nothing in ([], {}, pd.DataFrame({"user": [], "item": []})):
        assert recommender.recommend(nothing).empty


def test_one_history_gives_the_same_alone_and_among_many(recommender):
    draw = np.random.default_rng(0)
    histories = [[f"i{item}" for item in draw.integers(0, 12, size=draw.integers(1, 20))] for _ in range(150)]
    together = recommender.recommend(histories, k=4)
    for user in (0, 63, 64, 149):
        alone = recommender.recommend([histories[user]], k=4)
        same = together[together.user == user]
        assert alone.item.tolist() == same.item.tolist()
        assert np.allclose(alone.score, same.score, atol=1e-5)


def test_only_the_latest_items_are_read_but_all_are_filtered(recommender):
    long = ["i0", "i9", *["i3", "i4", "i5", "i6", "i7"]]  # the model reads five
    found = recommender.recommend([long], k=12)
    assert not {"i0", "i9"} & set(found.item)
    short = recommender.recommend([long[-5:]], k=12)
    assert [item for item in short.item if item not in ("i0", "i9")] == found.item.tolist()


def test_product_of_the_embeddings_is_the_score(trained, recommender):
    histories = [["i1", "i2"], ["i5"]]
    for name in ("VQRec", "SASRec"):
        recommender = Recommender.load(trained[name][0])
        items, users = recommender.item_embeddings(), recommender.sequence_embeddings(histories)
        scores = users.vectors @ items.vectors.T / (recommender.config["temperature"] or 1)
        found = recommender.recommend(histories, k=12, filter_seen=False)
        for row, user in enumerate(users.ids):
            own = found[found.user == user]
            assert np.allclose([scores[row, items.ids.index(item)] for item in own.item], own.score, atol=1e-4)
    with pytest.raises(VQRecError, match="CORE has no vectors"):
        Recommender.load(trained["CORE"][0]).sequence_embeddings(histories)
    with pytest.raises(VQRecError, match=r"no embedding \(users 1\)"):
        recommender.sequence_embeddings([["i1"], []])


@pytest.mark.parametrize("name", ["VQRec", "SASRec"])
def test_similar_items_are_those_of_largest_cosine(trained, name):
    recommender = Recommender.load(trained[name][0])
    ids, vectors = recommender.item_embeddings()
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = vectors @ vectors[ids.index("i4")]
    expected = sorted((item for item in ids if item != "i4"), key=lambda item: -cosine[ids.index(item)])
    found = recommender.similar_items("i4", 3)
    assert found.columns.tolist() == ["rank", "item", "score"] and found.item.tolist() == expected[:3]
    assert np.allclose(found.score, np.sort(cosine)[::-1][1:4], atol=1e-5)
    with pytest.raises(VQRecError, match="similar: 1 item ids that the run does not know"):
        recommender.similar_items("none")


def test_explain_counts_shared_codes(recommender):
    codes = dict(zip(recommender.catalogue.item_ids, recommender.catalogue.codes))
    found = recommender.explain(["i1", "none", "i2", "i1", "i7"], "i2")
    assert found.item[0] == "i2" and found.shared_codes[0] == 4 and (found.of_codes == 4).all()
    assert sorted(found.item) == ["i1", "i2", "i7"]
    for item, shared in zip(found.item, found.shared_codes):
        assert shared == (codes[item] == codes["i2"]).sum()


def test_a_model_without_codes_says_so(trained):
    with pytest.raises(VQRecError, match="SASRec has no item codes"):
        Recommender.load(trained["SASRec"][0]).explain(["i1"], "i2")


def test_the_permutation_of_a_fine_tuned_run_is_in_its_scores(trained):
    items = Recommender.load(trained["fine-tuned"][0]).served.engine.model.items
    assert items.permutation is not None
    assert not torch.allclose(items.code_vectors(), items.code_embedding.weight, atol=1e-3)


def test_a_pre_trained_run_recommends_as_it_is(trained):
    recommender = Recommender.load(trained["pre-trained"][0])
    recommender.add_items({"new": "red glue"})
    items, users = recommender.item_embeddings(), recommender.sequence_embeddings([["i1", "i2"]])
    found = recommender.recommend([["i1", "i2"]], k=13, filter_seen=False)
    expected = (users.vectors @ items.vectors.T)[0] / recommender.config["temperature"]
    assert sorted(found.item) == sorted([*ITEMS, "new"])
    assert np.allclose(found.score, [expected[items.ids.index(item)] for item in found.item], atol=3e-4)


def test_ids_may_be_numbers(recommender):
    recommender.add_items({"7": "red glue"})
    assert recommender.similar_items(7, 3).equals(recommender.similar_items("7", 3))
    assert recommender.explain([7], 7).shared_codes.tolist() == [4]


def test_a_run_folder_with_options_of_another_version(run, monkeypatch):
    from recbole_vqrec.trainer import checkpoint

    load = checkpoint.load

    def with_unknown_option(path):
        tensors, ids, manifest = load(path)
        return tensors, ids, {**manifest, "config": {**manifest["config"], "no_such_option": 1}, "recbole_vqrec": "9.9"}

    monkeypatch.setattr(checkpoint, "load", with_unknown_option)
    with pytest.raises(VQRecError, match=f"{run}: its options are not those of this.*made by recbole-vqrec 9.9"):
        Recommender.load(run)


@pytest.mark.parametrize("lost", ["checkpoint.safetensors", "catalogue.safetensors"])
def test_a_run_folder_that_lacks_a_file(run, lost):
    (run / lost).unlink()
    with pytest.raises(VQRecError, match=f"{lost}: {lost.split('.')[0]} not found; give the folder of a run"):
        Recommender.load(run)


def test_a_run_folder_of_another_version(run, monkeypatch):
    catalogue = Recommender.load(run).catalogue
    monkeypatch.setattr(artifacts, "FORMAT_VERSION", 99)
    write_catalogue(run, catalogue)
    monkeypatch.undo()
    with pytest.raises(VQRecError, match="format version 99, this program reads 1"):
        Recommender.load(run)


def test_a_damaged_catalogue(run):
    path = artifacts.catalogue_file(run)
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(VQRecError, match="damaged"):
        Recommender.load(run)


def test_no_histories_have_no_embeddings(run):
    recommender = Recommender.load(run)
    one, none = (recommender.sequence_embeddings(histories).vectors for histories in ([["i1"]], []))
    assert none.shape == (0, one.shape[1]) and none.dtype == one.dtype


@pytest.mark.parametrize("name", ["VQRec", "with text"])
def test_a_run_loaded_in_inference_mode(trained, name):
    with torch.inference_mode():
        recommender = Recommender.load(trained[name][0])
        inside = recommender.recommend([["i1", "i2"]], k=5)
    assert recommender.recommend([["i1", "i2"]], k=5).equals(inside)
