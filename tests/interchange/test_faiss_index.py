"""Quantizer and codes <-> the authors' faiss index."""

import faiss
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from authors_files import FEATURES, quantizer
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.quantization.faiss_index import read_index, write_index
from recbole_vqrec.quantization.product_quantizer import ProductQuantizer


def test_round_trip(tmp_path):
    codes = np.array([[0, 255], [3, 4], [3, 4]])
    write_index(tmp_path / "i.index", quantizer(), codes)
    read, read_codes = read_index(tmp_path / "i.index")
    np.testing.assert_array_equal(read_codes, codes)
    for name, array in quantizer().tensors().items():
        np.testing.assert_array_equal(read.tensors()[name], array)


def test_faiss_adds_vectors_with_the_codes_of_our_encoder(tmp_path):
    """The authors' loader adds all features to the index and reads their codes back."""
    write_index(tmp_path / "i.index", quantizer(), np.zeros((2, 2)))
    index = faiss.read_index(str(tmp_path / "i.index"))
    assert index.ntotal == 2
    index.add(FEATURES)
    faiss.write_index(index, str(tmp_path / "more.index"))
    _, codes = read_index(tmp_path / "more.index")
    np.testing.assert_array_equal(codes[2:], quantizer().encode(FEATURES))


def test_index_made_by_faiss_searches_alike_when_written_again(tmp_path):
    vectors = np.random.default_rng(1).normal(size=(400, 8)).astype(np.float32)
    index = faiss.index_factory(8, "OPQ2,IVF1,PQ2x8", faiss.METRIC_INNER_PRODUCT)
    faiss.downcast_VectorTransform(index.chain.at(0)).niter = 1
    index.train(vectors)
    index.add(vectors)
    faiss.write_index(index, str(tmp_path / "a.index"))
    write_index(tmp_path / "b.index", *read_index(tmp_path / "a.index"))
    again = faiss.read_index(str(tmp_path / "b.index"))
    distances, found = index.search(vectors[:5], 3)
    distances_again, found_again = again.search(vectors[:5], 3)
    np.testing.assert_array_equal(found, found_again)
    np.testing.assert_array_equal(distances, distances_again)


def test_other_sizes_are_refused(tmp_path):
    small = ProductQuantizer(np.eye(4, dtype=np.float32), np.zeros(4, dtype=np.float32), np.zeros((2, 16, 2)))
    with pytest.raises(VQRecError, match="16 codes per codebook"):
        write_index(tmp_path / "i.index", small, np.zeros((1, 2)))


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    def full(index, path):
        raise RuntimeError("Error in write\nError: write error: No space left on device")

    monkeypatch.setattr(faiss, "write_index", full)
    with pytest.raises(VQRecError, match="x.index: writing failed .*No space left on device.*nothing was left"):
        write_index(tmp_path / "x.index", quantizer(), quantizer().encode(FEATURES))
    assert list(tmp_path.iterdir()) == []


LIMITED = pytest.mark.skipif(
    not hasattr(faiss, "set_deserialization_vector_byte_limit"), reason="this faiss asks for any amount of memory"
)


@LIMITED
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.one_of(st.integers(0, 200), st.integers(0, 4484)), content=st.binary(max_size=8), cut=st.booleans())
def test_any_damage_is_refused_or_read(tmp_path, at, content, cut):
    path = tmp_path / "i.index"
    write_index(path, quantizer(), quantizer().encode(FEATURES))
    whole = path.read_bytes()
    path.write_bytes(whole[:at] + content + (b"" if cut else whole[at + len(content) :]))
    before = faiss.get_deserialization_vector_byte_limit()
    try:
        _, codes = read_index(path)
    except VQRecError as error:
        assert "\n" not in str(error) and "not a readable faiss index" in str(error) or "expected a faiss" in str(error)
    else:
        assert codes.shape[0] <= 5 and codes.dtype == np.int64
    assert faiss.get_deserialization_vector_byte_limit() == before
