import inspect

import numpy as np
import polars as pl
import pytest
import torch
from small import SMALL

from recbole_vqrec import Recommender, quick_start
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.inference import export_onnx as onnx_stage
from recbole_vqrec.inference.export_onnx import export_onnx
from recbole_vqrec.inference.export_vectors import export_faiss, export_parquet

can_export = pytest.mark.skipif(
    "dynamo" not in inspect.signature(torch.onnx.export).parameters, reason="torch < 2.5 exports in another way"
)


def test_parquet_holds_ids_vectors_and_codes(recommender, tmp_path):
    recommender.remove_items(["i3"])
    assert "11 items, vectors of size 16, L2-normalised" in export_parquet(recommender, tmp_path / "items.parquet")
    table = pl.read_parquet(tmp_path / "items.parquet")
    ids, vectors = recommender.item_embeddings()
    assert table["item_id"].to_list() == ids and "i3" not in ids
    assert np.array_equal(table["vector"].to_numpy(), vectors)
    codes = dict(zip(recommender.catalogue.item_ids, recommender.catalogue.codes.tolist()))
    assert dict(zip(ids, table["codes"].to_list())) == {item: codes[item] for item in ids}
    assert table["text"][ids.index("i4")] == "red glue 4"


@pytest.mark.parametrize("index", ["flat", "hnsw"])
def test_a_faiss_index_recommends_what_the_recommender_does(recommender, tmp_path, index):
    faiss = pytest.importorskip("faiss")
    said = export_faiss(recommender, tmp_path / "items.faiss", index)
    assert "12 vectors of size 16" in said and "finds 100.0% of the 10 nearest" in said
    ids = (tmp_path / "items.faiss.ids.txt").read_text().splitlines()
    queries = recommender.sequence_embeddings([["i1", "i2"], ["i7"]])
    scores, rows = faiss.read_index(str(tmp_path / "items.faiss")).search(queries.vectors, 4)
    found = recommender.recommend([["i1", "i2"], ["i7"]], k=4, filter_seen=False)
    assert [[ids[row] for row in each] for each in rows] == [found.item[:4].tolist(), found.item[4:].tolist()]
    assert np.allclose(scores.ravel() / recommender.config["temperature"], found.score, atol=1e-4)


def test_an_ivfpq_index_of_many_items(recommender, tmp_path, monkeypatch):
    faiss = pytest.importorskip("faiss")
    from recbole_vqrec.inference import export_vectors
    from recbole_vqrec.inference.recommender import Vectors

    with pytest.raises(VQRecError, match="ivfpq needs 9,984 items or more, there are 12; use hnsw or flat"):
        export_faiss(recommender, tmp_path / "few.faiss", "ivfpq")
    assert not list(tmp_path.glob("few*"))
    monkeypatch.setattr(export_vectors, "LEAST_FOR_IVFPQ", 300)
    vectors = np.random.default_rng(0).normal(size=(400, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    many = Vectors([f"n{row}" for row in range(400)], vectors)
    monkeypatch.setattr(type(recommender), "item_embeddings", lambda self: many)
    export_faiss(recommender, tmp_path / "many.faiss", "ivfpq")
    assert faiss.read_index(str(tmp_path / "many.faiss")).ntotal == 400
    with pytest.raises(VQRecError, match="index: 'hnws' is none of flat, hnsw, ivfpq, did you mean 'hnsw'"):
        export_faiss(recommender, tmp_path / "x.faiss", "hnws")


@can_export
def test_onnx_gives_the_sequence_embeddings_also_of_new_items(recommender, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    said = export_onnx(recommender, tmp_path / "encoder.onnx")
    assert "lengths -> sequence [16]; differs from torch by" in said
    assert [file.name for file in tmp_path.glob("*.onnx*")] == ["encoder.onnx"]
    recommender.add_items({"new": "grey tape"})
    histories = [["i1", "new"], ["i2", "i3", "i4", "i5", "i6"], ["new"], ["i9"]]
    codes = dict(zip(recommender.catalogue.item_ids, recommender.catalogue.codes))
    items, lengths = np.zeros((4, 5, 4), dtype=np.int64), np.array([2, 5, 1, 1])
    for row, history in enumerate(histories):
        items[row, : len(history)] = [codes[item] for item in history]
    session = onnxruntime.InferenceSession(str(tmp_path / "encoder.onnx"))
    (found,) = session.run(["sequence"], {"items": items, "lengths": lengths})
    assert np.allclose(found, recommender.sequence_embeddings(histories).vectors, atol=1e-5)


def check_onnx_of_item_numbers(run, path, history, longest):
    """Export a model without codes and compare the vector of a history, padded to `longest`, with the recommender's."""
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    recommender = Recommender.load(run)
    export_onnx(recommender, path)
    ids = path.with_name(f"{path.name}.ids.txt").read_text().splitlines()
    items = np.array([[ids.index(item) + 1 for item in history] + [0] * (longest - len(history))])
    session = onnxruntime.InferenceSession(str(path))
    (found,) = session.run(["sequence"], {"items": items, "lengths": np.array([len(history)])})
    assert np.allclose(found, recommender.sequence_embeddings([history]).vectors, atol=1e-5)


@can_export
def test_onnx_of_a_stock_model(trained, tmp_path):
    check_onnx_of_item_numbers(trained["SASRec"][0], tmp_path / "sasrec.onnx", ["i1", "i2"], longest=5)
    with pytest.raises(VQRecError, match="CORE has no vectors"):
        export_onnx(Recommender.load(trained["CORE"][0]), tmp_path / "core.onnx")


@can_export
def test_onnx_of_inner_products_and_of_two_encoders(trained, tmp_path):
    check_onnx_of_item_numbers(trained["RecGURU"][0], tmp_path / "recguru.onnx", ["i1"], longest=1)
    with pytest.raises(VQRecError, match="onnx: FDSA has another encoder beside that of items, not exported"):
        export_onnx(Recommender.load(trained["FDSA"][0]), tmp_path / "fdsa.onnx")


def test_an_index_that_cannot_be_written_leaves_the_one_before_with_its_ids(recommender, tmp_path, monkeypatch):
    import faiss

    def full(index, path):
        raise RuntimeError("Error in write\nNo space left on device")

    path = tmp_path / "items.faiss"
    export_faiss(recommender, path)
    before = path.read_bytes(), (tmp_path / "items.faiss.ids.txt").read_bytes()
    recommender.remove_items(["i3"])
    monkeypatch.setattr(faiss, "write_index", full)
    with pytest.raises(VQRecError, match="items.faiss: writing failed .No space left on device.; nothing was left"):
        export_faiss(recommender, path)
    assert before == (path.read_bytes(), (tmp_path / "items.faiss.ids.txt").read_bytes())
    assert len(list(tmp_path.glob("*items.faiss*"))) == 2


def test_vectors_of_a_run_with_co_occurrence_are_those_of_the_encoder_and_say_so(trained, tmp_path):
    run = trained["VQRec code+text with co-occurrence"][0]
    recommender = Recommender.load(run)
    said = export_parquet(recommender, tmp_path / "items.parquet")
    assert said.endswith("L2-normalised, without what histories add to the run's scores")
    vectors = recommender.sequence_embeddings([["i1", "i2"]]).vectors @ recommender.item_embeddings().vectors.T
    scores = recommender.recommend([["i1", "i2"]], k=12, filter_seen=False).set_index("item").score
    added = scores[recommender.item_embeddings().ids].to_numpy() - vectors[0] / recommender.config["temperature"]
    assert (added > -1e-3).all() and (added > 0.1).any() and (np.abs(added) < 1e-3).any()


@can_export
def test_an_export_that_differs_is_refused_and_not_kept(recommender, tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    monkeypatch.setattr(onnx_stage, "TOLERANCE", 0.0)
    with pytest.raises(VQRecError, match="differs from torch by"):
        export_onnx(recommender, tmp_path / "encoder.onnx")
    assert not list(tmp_path.glob("*.onnx*"))


def test_onnx_of_an_old_torch_is_refused(recommender, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.onnx, "export", lambda model, args, f: None)
    with pytest.raises(VQRecError, match="onnx: needs torch >= 2.5, here is"):
        export_onnx(recommender, tmp_path / "encoder.onnx")
    assert not (tmp_path / "encoder.onnx").exists()


def test_a_faiss_index_of_vectors_whose_product_is_not_the_score_is_refused(tiny, tmp_path):
    pytest.importorskip("faiss")
    recommender = Recommender.load(quick_start.run("BERT4Rec", "tiny", None, {**SMALL, "state": "ERROR"})["run"])
    with pytest.raises(VQRecError, match="BERT4Rec has no vectors .* not be exported to a vector index"):
        export_faiss(recommender, tmp_path / "items.faiss")
    assert not list(tmp_path.glob("items*"))
    assert "12 items" in export_parquet(recommender, tmp_path / "items.parquet")
