import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from recbole_vqrec import Recommender, artifacts
from recbole_vqrec.embedding.text_encoder import TextEncoder
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.inference.catalogue import Catalogue
from recbole_vqrec.inference.new_items import as_items

ITEMS = [f"i{number}" for number in range(12)]
STRANGE_IDS = ["a b", "a/b", "商品-1", "товар", "🙂", "x" * 512, "%2F", "..", "a,b", 'quo"te', "0"]


def test_an_item_added_by_its_text_has_the_codes_of_that_text(recommender):
    ids, vectors = recommender.item_embeddings()
    text = recommender.catalogue.texts[ids.index("i3")]
    assert recommender.add_items({"twin": text}) == ["twin"]
    twin = recommender.catalogue.codes[-1]
    assert (twin == recommender.catalogue.codes[ids.index("i3")]).all()
    assert recommender.catalogue.neighbours[0][0] in np.flatnonzero((recommender.catalogue.codes[:12] == twin).all(axis=1))
    as_twin, as_i3 = (recommender.recommend([[item]], k=13, candidates=ITEMS[4:]).item.tolist() for item in ("twin", "i3"))
    assert as_twin == as_i3  # in a history it is read through its codes


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


def test_a_model_that_reads_codes_and_text(trained):
    recommender = Recommender.load(trained["with text"][0])
    before = recommender.recommend([["i1", "i2"]], k=12).set_index("item").score
    recommender.add_items({"twin": recommender.text_of("i3")})
    after = recommender.recommend([["i1", "i2"]], k=13).set_index("item").score
    assert np.allclose(after[before.index], before, atol=1e-4)  # nothing changes for the others
    assert after["twin"] == pytest.approx(after["i3"], abs=3e-4)
    with pytest.raises(VQRecError, match="knows its items by id only, items.id_embedding.weight"):
        Recommender.load(trained["with ids"][0]).add_items({"new": "red glue"})


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
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: recommenders[n % 2].add_items({f"n{n}": f"red glue {n}"}, persist=True), range(12)))
    stop.set()
    reader.join()
    assert not failures
    assert sorted(Catalogue.read(run).item_ids[12:]) == sorted(f"n{n}" for n in range(12))


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


def test_a_name_for_the_columns(tmp_path):
    (tmp_path / "x.item").write_text("item_id:token\ttitle:token_seq\tbrand:token_seq\na\tglue\tacme\n")
    assert as_items(tmp_path / "x.item", {"text_columns": "brand,title"}) == (["a"], ["acme glue"])
