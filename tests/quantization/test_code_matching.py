import numpy as np
import pytest

from recbole_vqrec.errors import VQRecError
from recbole_vqrec.quantization.code_matching import (
    centroid_vectors,
    match_at_random,
    match_centroids,
    match_items,
    match_usage,
)
from recbole_vqrec.quantization.product_quantizer import ProductQuantizer


def vectors(count=600, size=12, seed=0):
    draw = np.random.default_rng(seed)
    centers = draw.normal(size=(40, size)).astype(np.float32)
    return centers[draw.integers(40, size=count)] + draw.normal(scale=0.1, size=(count, size)).astype(np.float32)


def shuffled(quantizer, seed=1):
    """Return the quantizer with its codebooks and codes in another order, and that order."""
    draw = np.random.default_rng(seed)
    books, count, size = quantizer.centroids.shape
    order, codes = draw.permutation(books), np.stack([draw.permutation(count) for _ in range(books)])
    rows = quantizer.rotation.reshape(books, size, -1)[order].reshape(books * size, -1)
    offset = quantizer.offset.reshape(books, size)[order].ravel()
    centroids = np.stack([quantizer.centroids[k][codes[position]] for position, k in enumerate(order)])
    return ProductQuantizer(rows, offset, centroids, quantizer.whitening), order, codes


@pytest.mark.parametrize("whiten", [None, 8])
def test_centroid_vectors_add_up_to_what_codes_stand_for(whiten):
    quantizer = ProductQuantizer.train(vectors(), 4, 8, whiten=whiten)
    codes = quantizer.encode(vectors(20))
    parts = centroid_vectors(quantizer)[np.arange(4), codes].sum(axis=1)
    decoded = quantizer.decode(codes)
    assert np.allclose(decoded - decoded[0], parts - parts[0], atol=1e-4)


@pytest.mark.parametrize("whiten", [None, 8])
def test_another_order_of_codebooks_and_codes_is_found(whiten):
    quantizer = ProductQuantizer.train(vectors(), 4, 8, whiten=whiten)
    other, order, codes = shuffled(quantizer)
    codebook, assignment = match_centroids(other, quantizer)
    assert codebook.tolist() == order.tolist() and np.array_equal(assignment, codes)


def test_items_coded_twice_show_the_order():
    quantizer = ProductQuantizer.train(vectors(), 4, 8)
    other, order, codes = shuffled(quantizer)
    codebook, assignment = match_items(other.encode(vectors()), quantizer.encode(vectors()), 8)
    assert codebook.tolist() == order.tolist() and (assignment == codes).mean() >= 0.95


def test_usage_matches_ranks():
    codebook, assignment = match_usage(np.array([[5, 9, 0], [1, 2, 3]]), np.array([[1, 2, 3], [3, 2, 1]]))
    assert codebook.tolist() == [0, 1] and assignment.tolist() == [[1, 2, 0], [2, 1, 0]]


def test_random_is_a_bijection_and_follows_the_seed():
    codebook, assignment = match_at_random(3, 16, seed=5)
    assert codebook.tolist() == [0, 1, 2] and (np.sort(assignment) == np.arange(16)).all()
    assert np.array_equal(assignment, match_at_random(3, 16, seed=5)[1])
    assert not np.array_equal(assignment, match_at_random(3, 16, seed=6)[1])


def test_quantizers_that_cannot_be_matched():
    quantizer = ProductQuantizer.train(vectors(), 4, 8)
    with pytest.raises(VQRecError, match="same layout and language model"):
        match_centroids(quantizer, ProductQuantizer.train(vectors(size=16), 4, 8))
    with pytest.raises(VQRecError, match="product quantizer, not of object"):
        match_centroids(quantizer, object())
