import shutil

import numpy as np
import pytest
import torch
from small import SMALL, random_domains, write_vectors_of_all
from trained_runs import copied

from recbole_vqrec import Recommender, artifacts, quick_start
from recbole_vqrec.embedding.text_encoder import TextEncoder
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.inference.new_items import ItemEncoder, as_items

ITEMS = [f"i{number}" for number in range(12)]
STRANGE_IDS = ["a b", "a/b", "商品-1", "товар", "🙂", "x" * 512, "%2F", "..", "a,b", 'quo"te', "0"]


def test_an_item_added_by_its_text_has_the_codes_of_that_text(recommender):
    ids, vectors = recommender.item_embeddings()
    text = recommender.catalogue.texts[ids.index("i3")]
    assert recommender.add_items({"twin": text}) == ["twin"]
    twin = recommender.catalogue.codes[-1]
    assert (twin == recommender.catalogue.codes[ids.index("i3")]).all()
    same = np.flatnonzero((recommender.catalogue.codes[:12] == twin).all(axis=1))
    assert recommender.catalogue.neighbours[0][0] in same
    as_twin, as_i3 = (recommender.recommend([[item]], k=13, candidates=ITEMS[4:]) for item in ("twin", "i3"))
    assert as_twin.item.tolist() == as_i3.item.tolist()  # in a history it is read through its codes


def test_codes_are_those_of_language_model_and_quantizer(recommender):
    made = recommender.catalogue.made
    vector = TextEncoder(made["plm"], made["pooling"]).encode(["blue glue"])
    recommender.add_items({"new": "blue glue"})
    assert (recommender.catalogue.codes[-1] == recommender._encoder.quantizer().encode(vector)[0]).all()


def test_a_removed_item_is_read_but_not_recommended(recommender):
    before = recommender.recommend([["i4", "i5"]], k=12)
    recommender.remove_items(["i7"])
    after = recommender.recommend([["i4", "i5"]], k=12)
    assert after.item.tolist() == [item for item in before.item if item != "i7"]
    assert not recommender.recommend([["i7"]], k=3).attrs["by_popularity"]
    assert "i7" not in recommender.item_embeddings().ids
    with pytest.raises(VQRecError, match=r"not in the catalogue \(i7\)"):
        recommender.remove_items(["i7"])
    recommender.add_items({"i7": "red tape 9"})
    assert "i7" in recommender.recommend([["i4", "i5"]], k=12).item.tolist()
    assert len(recommender.catalogue) == 12


def test_saved_items_are_there_after_loading(recommender, tmp_path):
    recommender.add_items({"new": "grey tape", "b/c": "red glue\n  2"})
    recommender.remove_items("i1")
    expected = recommender.recommend([["i2", "new"]], k=20)
    recommender.save(tmp_path / "other")
    loaded = Recommender.load(tmp_path / "other")
    assert loaded.recommend([["i2", "new"]], k=20).equals(expected)
    assert loaded.catalogue.texts[-1] == "red glue 2"


def test_an_item_file_is_read_with_the_columns_of_the_run(recommender, tmp_path):
    (tmp_path / "new.item").write_text("item_id:token\ttitle:token_seq\nn1\tred glue\nn2\tblue tape\n")
    assert recommender.add_items(tmp_path / "new.item") == ["n1", "n2"]
    assert recommender.catalogue.texts[-2:] == ["red glue", "blue tape"]


@pytest.mark.parametrize("item_id", STRANGE_IDS)
def test_ids_with_blanks_slashes_and_other_scripts(recommender, tmp_path, item_id):
    recommender.add_items({item_id: "grey glue"})
    recommender.save(tmp_path / "saved")
    loaded = Recommender.load(tmp_path / "saved")
    assert loaded.catalogue.item_ids[-1] == item_id
    assert item_id in loaded.recommend([["i1"]], k=13).item.tolist()


@pytest.mark.parametrize(
    "items, message",
    [
        ({}, "none given"),
        ({"n": ""}, "item 'n': its text is empty"),
        ({"n": " \n\t"}, "item 'n': its text is empty"),
        ({"n": "a" * (1 << 20)}, "item 'n': its text has 1,048,576 characters, more than 20,000"),
        ({"n": None}, "its text is of type NoneType"),
        ({"n": "half \ud800"}, "its text is not valid Unicode"),
        ({"half \ud800": "n"}, "its id is not valid Unicode"),
        ({"": "text"}, "its id is empty"),
        ({" n": "text"}, "its id begins or ends with a blank"),
        ({"a\tb": "text"}, "its id holds a control character"),
        ({"a\nb": "text"}, "its id holds a control character"),
        ({"NA": "text"}, "its id is 'NA', which RecBole reads as missing"),
        ({"x" * 513: "text"}, "its id has 513 characters"),
        ({5: "text"}, "its id is of type int"),
        ({"i3": "text"}, r"in the catalogue already \(i3\)"),
        ([("n", "text")], "expected a dict of id -> text or an .item file, found list"),
        ("none.item", "none.item: not found; give an .item file"),
    ],
)
def test_bad_items_are_refused_and_change_nothing(recommender, items, message):
    before = recommender.served
    with pytest.raises(VQRecError, match=message):
        recommender.add_items(items)
    assert recommender.served is before


def test_duplicate_ids_in_an_item_file(recommender, tmp_path):
    (tmp_path / "new.item").write_text("item_id:token\ttitle:token_seq\nn1\tred glue\nn1\tblue tape\n")
    with pytest.raises(VQRecError, match="new.item line 3: item id 'n1' for the second time"):
        recommender.add_items(tmp_path / "new.item")


def test_a_model_that_knows_items_by_id_says_so(trained):
    with pytest.raises(VQRecError, match="SASRec knows its items by id only"):
        Recommender.load(trained["SASRec"][0]).add_items({"new": "red glue"})


TEXTS_WITH_MORE = ["with text", "with ids", "fine-tuned", "fine-tuned with text", "fine-tuned with ids"]


@pytest.mark.parametrize("name", [*TEXTS_WITH_MORE, "UniSRec", "UniSRec with ids"])
def test_models_that_read_texts_beside_other_things(trained, tmp_path, name):
    recommender = Recommender.load(copied(trained, name, tmp_path))
    history = [["i1", "i2"]]
    before = recommender.recommend(history, k=12).set_index("item").score
    recommender.add_items({"a": "red glue", "b": "blue tape 3"})
    recommender.add_items({"c": "grey tape"}, persist=True)
    after = recommender.recommend(history, k=20).set_index("item").score
    assert np.allclose(after[before.index], before, atol=3e-4)  # nothing changes for the others
    ids, vectors = recommender.item_embeddings()
    assert ids[12:] == ["c", "a", "b"]  # what is not in the run folder comes last
    products = recommender.sequence_embeddings([["i1", "c"]]).vectors @ vectors.T / recommender.config["temperature"]
    found = recommender.recommend([["i1", "c"]], k=20, filter_seen=False)
    assert np.allclose(found.score, [products[0, ids.index(item)] for item in found.item], atol=1e-3)
    assert Recommender.load(tmp_path / f"run-{name}").catalogue.item_ids[12:] == ["c"]


@pytest.mark.parametrize("name", ["with text", "fine-tuned with text", "fine-tuned with ids"])
def test_an_item_added_to_codes_is_scored_as_its_neighbours_are(trained, name):
    recommender = Recommender.load(trained[name][0])
    recommender.add_items({"a": "red glue"})
    ids, vectors = recommender.item_embeddings()
    neighbours, weights = recommender.catalogue.neighbours, recommender.catalogue.weights
    expected = (vectors[neighbours[0]] * weights[0][:, None]).sum(axis=0)
    assert np.allclose(vectors[12], expected / np.linalg.norm(expected), atol=1e-5)


@pytest.mark.parametrize("name", ["UniSRec with ids", "with ids"])
def test_an_item_without_training_has_no_id_part(trained, name):
    recommender = Recommender.load(trained[name][0])
    before = recommender.served.engine.model.items.id_embedding.weight
    recommender.add_items({"a": "red glue"})
    weight = recommender.served.engine.model.items.id_embedding.weight
    assert len(weight) == 14 and (weight[13] == 0).all() and (weight[1:13] != 0).any()
    assert len(before) == 13 and torch.equal(before, weight[:13])  # a request that is being answered keeps its model


@pytest.mark.parametrize("name", ["FDSA", "SASRec"])
def test_a_refused_item_leaves_the_run_folder_as_it_was(trained, tmp_path, name):
    run = copied(trained, name, tmp_path)
    before = artifacts.catalogue_file(run).read_bytes()
    with pytest.raises(VQRecError, match="knows its items by id only"):
        Recommender.load(run).add_items({"new": "red glue"}, persist=True)
    assert artifacts.catalogue_file(run).read_bytes() == before
    Recommender.load(run).recommend([["i1"]])


def test_a_model_that_reads_text_vectors(trained):
    recommender = Recommender.load(trained["SASRecText"][0])
    before = recommender.recommend([["i1", "i2"]], k=12).set_index("item").score
    recommender.add_items({"twin": recommender.text_of("i3")})
    after = recommender.recommend([["i1", "i2"]], k=13).set_index("item").score
    assert np.allclose(after[before.index], before, atol=3e-4)
    assert after["twin"] == pytest.approx(after["i3"], abs=3e-4)


def test_codes_without_quantizer_say_so(recommender):
    recommender._encoder.quantizer_tensors = {}
    with pytest.raises(VQRecError, match="random codes"):
        recommender.add_items({"new": "red glue"})


def test_a_name_for_the_columns(tmp_path):
    (tmp_path / "x.item").write_text("item_id:token\ttitle:token_seq\tbrand:token_seq\na\tglue\tacme\n")
    assert as_items(tmp_path / "x.item", {"text_columns": "brand,title"}) == (["a"], ["acme glue"])


@pytest.mark.parametrize("name", ["VQRec", "with text", "with ids", "VQRec with text similarity"])
def test_a_trained_item_that_comes_again_scores_at_once_as_after_loading(trained, tmp_path, name):
    recommender = Recommender.load(copied(trained, name, tmp_path))
    history = [["i1", "i4"], ["i4"]]
    before = recommender.recommend(history, k=20, filter_seen=False).set_index(["user", "item"]).score
    recommender.remove_items(["i4"], persist=True)
    recommender.add_items({"i4": "grey tape of another kind"}, persist=True)
    found = recommender.recommend(history, k=20, filter_seen=False).set_index(["user", "item"]).score
    again = Recommender.load(tmp_path / f"run-{name}").recommend(history, k=20, filter_seen=False)
    again = again.set_index(["user", "item"]).score
    assert np.allclose(found, again[found.index], atol=1e-5) and not np.allclose(found, before[found.index], atol=1e-3)


def test_new_texts_are_read_as_the_vectors_of_the_run_were(tiny, tmp_path):
    """The embedding file says mean pooling, the run's options the default, cls."""
    path = artifacts.embedding_file(tmp_path / "dataset" / "tiny", "tiny", "bert-base-uncased")
    vectors = np.random.default_rng(0).normal(size=(12, 6)).astype(np.float32)
    made = {"plm": "bert-base-uncased", "pooling": "mean", "max_text_length": 128, "text_columns": ["title"]}
    manifest = {"dataset": "tiny", "options": made, "inputs": {}}
    items = [f"i{number}" for number in range(12)]
    artifacts.write_artifact(path, "text embedding", {"embeddings": vectors}, manifest, items)
    for model, expected in (("SASRecText", "mean"), ("SASRec", "mean"), ("VQRec", "mean")):
        run = quick_start.run(model, "tiny", None, {**SMALL, "state": "ERROR"})["run"]
        found = Recommender.load(run).catalogue.made
        assert (found["pooling"], found["max_text_length"], found["text_columns"]) == (expected, 128, ["title"])


def test_a_byte_order_mark_is_no_part_of_a_column(tiny, tmp_path):
    texts = (tiny / "tiny.item").read_text()
    (tiny / "tiny.item").write_text("\ufeff" + texts, encoding="utf-8")
    run = quick_start.run("VQRec", "tiny", None, {**SMALL, "text_columns": None, "state": "ERROR"})["run"]
    catalogue = Recommender.load(run).catalogue
    assert catalogue.made["text_columns"] == ["title"] and all(catalogue.texts)


def test_another_language_model_in_its_folder_is_refused(recommender, tmp_path):
    made = recommender.catalogue.made
    plm = shutil.copytree(made["plm"], tmp_path / "plm")
    encoder = ItemEncoder({**made, "plm": str(plm)}, {})
    assert made["plm_files"] and encoder.vectors(["red glue"]).shape == (1, 16)
    (plm / "vocab.txt").write_text((plm / "vocab.txt").read_text() + "more\n")
    with pytest.raises(VQRecError, match="plm: the files of .* have changed since"):
        ItemEncoder({**made, "plm": str(plm)}, {}).vectors(["red glue"])


def test_a_run_pre_trained_with_the_recipe_can_recommend(tmp_path):
    folder = random_domains(tmp_path / "dataset")
    write_vectors_of_all(folder, "mix")
    options = {**SMALL, "stage": "pretrain", "recipe": "best", "state": "ERROR"}
    recommender = Recommender.load(quick_start.run("VQRec", "mix", None, options)["run"])
    assert len(recommender.recommend([["a-i1", "a-i2"]], k=3)) == 3


def test_an_item_file_needs_the_text_columns_of_the_run_though_no_option_names_them(tiny, tmp_path):
    run = quick_start.run("VQRec", "tiny", None, {**SMALL, "text_columns": None, "state": "ERROR"})["run"]
    recommender = Recommender.load(run)
    assert recommender.catalogue.made["text_columns"] == ["title"]
    (tmp_path / "new.item").write_text("item_id:token\tname:token_seq\nn\tblue glue\n")
    with pytest.raises(VQRecError, match="text column 'title' not found"):
        recommender.add_items(tmp_path / "new.item")
