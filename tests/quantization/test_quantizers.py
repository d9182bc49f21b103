"""Quantizers against brute force, their properties, and their way to a file and back."""

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from recbole_vqrec.errors import VQRecError
from recbole_vqrec.quantization.item_codes import ItemCodes
from recbole_vqrec.quantization.principal_axes import Whitening, balanced_rotation, principal_axes
from recbole_vqrec.quantization.product_quantizer import ProductQuantizer
from recbole_vqrec.quantization.quality import reconstruction_error
from recbole_vqrec.quantization.quantizers import load_quantizer, random_codes, train_quantizer
from recbole_vqrec.quantization.residual_quantizer import ResidualQuantizer

KINDS = ["opq", "pq", "rq"]


@pytest.fixture(params=KINDS)
def trained(request, options, clustered):
    """A quantizer of 4 x 8 codes for vectors of size 10, not a multiple of 4."""
    return train_quantizer(clustered(200, 10), {**options, "quantizer": request.param})


def brute_force(quantizer, vector):
    """Return the codes of one vector by comparing every centroid."""
    if isinstance(quantizer, ResidualQuantizer):
        codes = []
        for centroids in quantizer.centroids:
            distances = [((vector - centroid) ** 2).sum() for centroid in centroids]
            codes.append(int(np.argmin(distances)))
            vector = vector - centroids[codes[-1]]
        return codes
    rotated = quantizer.rotation.astype(np.float64) @ vector + quantizer.offset
    parts = rotated.reshape(quantizer.codebooks, -1)
    return [
        int(np.argmin([((part - centroid) ** 2).sum() for centroid in centroids]))
        for part, centroids in zip(parts, quantizer.centroids)
    ]


def test_encode_is_the_nearest_centroid(trained, clustered):
    vectors = clustered(50, 10, seed=1)
    codes = trained.encode(vectors, block=7)
    assert codes.tolist() == [brute_force(trained, vector) for vector in vectors]
    np.testing.assert_array_equal(codes, trained.encode(vectors))


def test_encode_undoes_decode(options, clustered):
    quantizer = train_quantizer(clustered(200, 8), options)
    codes = np.random.default_rng(0).integers(8, size=(50, 4))
    np.testing.assert_array_equal(quantizer.encode(quantizer.decode(codes)), codes)


def test_a_known_product_quantizer():
    quantizer = ProductQuantizer(np.eye(2, dtype="f4"), np.zeros(2, "f4"), np.array([[[0], [10]], [[0], [2]]], "f4"))
    assert quantizer.encode(np.array([[1, 1.5], [9, 0], [5, 1]], "f4")).tolist() == [[0, 1], [1, 0], [0, 0]]
    assert quantizer.decode(np.array([[1, 1]])).tolist() == [[10, 2]]


def test_codes_are_those_of_faiss(clustered):
    vectors = clustered(300, 8)
    quantizer = ProductQuantizer.train(vectors, 4, 8)
    reference = faiss.ProductQuantizer(8, 4, 3)
    faiss.copy_array_to_vector(quantizer.centroids.ravel(), reference.centroids)
    packed = np.unpackbits(reference.compute_codes(vectors @ quantizer.rotation.T), axis=1, bitorder="little")
    want = packed[:, :12].reshape(300, 4, 3) @ [1, 2, 4]
    assert (quantizer.encode(vectors) == want).mean() > 0.999  # equal up to ties of rounding


@settings(max_examples=30, deadline=None)
@given(arrays(np.float32, (6, 10), elements=st.floats(-1e6, 1e6, width=32)))
def test_codes_stay_in_range(vectors):
    for kind in KINDS:
        codes = _quantizer(kind).encode(vectors)
        assert codes.shape == (6, 4) and codes.min() >= 0 and codes.max() < 8
        assert np.isfinite(_quantizer(kind).decode(codes)).all()


def _quantizer(kind, cache={}):
    if kind not in cache:
        vectors = np.random.default_rng(0).normal(size=(64, 10)).astype("f4")
        trained = ResidualQuantizer.train(vectors, 4, 8) if kind == "rq" else None
        cache[kind] = trained or ProductQuantizer.train(vectors, 4, 8, rotate=kind == "opq")
    return cache[kind]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("whiten", [None, 5])
def test_file_round_trip(tmp_path, options, clustered, kind, whiten):
    vectors = clustered(100, 10)
    trained = train_quantizer(vectors, {**options, "quantizer": kind, "whiten": whiten})
    codes = trained.encode(vectors)
    ids = [f"i{row}" for row in range(100)]
    ItemCodes(ids, codes, 8).save(tmp_path / "x.codes.safetensors", trained.tensors())
    stored = load_quantizer(tmp_path / "x.codes.safetensors")
    assert type(stored) is type(trained) and stored.input_size == 10
    new = clustered(30, 10, seed=5)
    np.testing.assert_array_equal(stored.encode(new), trained.encode(new))
    np.testing.assert_array_equal(stored.decode(codes), trained.decode(codes))
    again = ItemCodes.load(tmp_path / "x.codes.safetensors", "")
    assert again.item_ids == ids and (again.codes == codes).all() and again.codes_per_codebook == 8


def test_load_as_product_quantizer(tmp_path, options, clustered):
    path = tmp_path / "x.codes.safetensors"
    for kind, refused in (("opq", None), ("rq", "holds a ResidualQuantizer"), ("random", "holds no quantizer")):
        trained = train_quantizer(clustered(100, 10), {**options, "quantizer": kind})
        ItemCodes(["a"], np.zeros((1, 4), int), 8).save(path, trained.tensors() if trained else None)
        if refused is None:
            np.testing.assert_array_equal(ProductQuantizer.load(path).centroids, trained.centroids)
        else:
            with pytest.raises(VQRecError, match=refused):
                ProductQuantizer.load(path)


def test_training_repeats_itself(options, clustered, trained):
    kind = "rq" if isinstance(trained, ResidualQuantizer) else "opq"
    first, second = (train_quantizer(clustered(200, 10), {**options, "quantizer": kind}) for _ in range(2))
    np.testing.assert_array_equal(first.centroids, second.centroids)


def test_rotation_is_orthonormal_and_helps(clustered):
    # all variance in the first of four sub-vectors: without a rotation three codebooks are idle
    vectors = clustered(500, 16) * np.array([5] * 4 + [0.1] * 12, "f4")
    plain = ProductQuantizer.train(vectors, 4, 16, rotate=False)
    error = {"plain": reconstruction_error(vectors, plain.decode(plain.encode(vectors)))}
    for schedule, iterations in (("balanced", 0), ("balanced", 5), ("faiss", 0)):
        quantizer = ProductQuantizer.train(vectors, 4, 16, schedule=schedule, iterations=iterations)
        np.testing.assert_allclose(quantizer.rotation @ quantizer.rotation.T, np.eye(16), atol=1e-4)
        error[schedule, iterations] = reconstruction_error(vectors, quantizer.decode(quantizer.encode(vectors)))
    assert error["balanced", 0] < error["plain"] / 3 and error["balanced", 5] < error["plain"] / 3
    assert error["faiss", 0] < error["plain"] / 3


@pytest.mark.parametrize("schedule, iterations", [("faiss", 0), ("balanced", 2)])
def test_a_mean_far_from_zero_does_no_harm(clustered, schedule, iterations):
    vectors = clustered(2000, 16)
    error = {}
    for mean in (0, 30):
        quantizer = ProductQuantizer.train(vectors + mean, 4, 16, iterations=iterations, schedule=schedule)
        found = quantizer.decode(quantizer.encode(vectors + mean)) - mean
        error[mean] = ((found - vectors) ** 2).sum()
    assert error[30] == pytest.approx(error[0], rel=0.05)


def test_balanced_rotation_deals_out_the_variance():
    # variances 64, 32, 16, 8 on the axes: 64 with 8 in one codebook, 32 with 16 in the other
    draw = np.random.default_rng(0).normal(size=(20_000, 4))
    vectors = (draw * np.sqrt([8, 64, 16, 32])).astype("f4")
    rotation = balanced_rotation(vectors, 2)
    axes = np.abs(rotation).argmax(axis=1).reshape(2, 2)
    assert {frozenset(pair.tolist()) for pair in axes} == {frozenset({1, 0}), frozenset({3, 2})}


def test_balanced_rotation_of_constant_and_flat_vectors():
    for vectors in (np.zeros((5, 6), "f4"), np.ones((5, 6), "f4"), np.eye(6, dtype="f4")[:2]):
        rotation = balanced_rotation(vectors, 4)
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(4), atol=1e-5)


def test_whitening_against_numpy(clustered):
    vectors = clustered(300, 6) * np.array([1, 2, 3, 4, 5, 6], "f4")
    whitening = Whitening.train(vectors, 6)
    white = whitening.apply(vectors)
    np.testing.assert_allclose(np.cov(white.T), np.eye(6), atol=1e-3)
    np.testing.assert_allclose(white.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(whitening.undo(white), vectors, atol=1e-3)
    mean, variances, axes = principal_axes(vectors)
    np.testing.assert_allclose(variances, np.sort(np.linalg.eigvalsh(np.cov(vectors.T)))[::-1], rtol=1e-4)
    # fewer dimensions keep the first principal components
    kept = (vectors - mean) @ axes[:2].T @ axes[:2] + mean
    few = Whitening.train(vectors, 2)
    np.testing.assert_allclose(few.undo(few.apply(vectors)), kept, atol=1e-3)


def test_random_codes_depend_on_item_and_seed_only():
    ids = [f"i{row}" for row in range(2000)]
    codes = random_codes(ids, 4, 8, seed=1)
    np.testing.assert_array_equal(random_codes(ids[::-1], 4, 8, seed=1)[::-1], codes)
    assert (random_codes(ids, 4, 8, seed=2) != codes).mean() > 0.8
    assert np.bincount(codes.ravel(), minlength=8).min() > 900  # 1,000 expected of each


@pytest.mark.parametrize(
    "given, message",
    [
        ({"quantizer": "opk"}, "quantizer: 'opk' is none of opq, pq, rq, random, did you mean 'opq'?"),
        ({"codes_per_codebook": 6}, "codes_per_codebook: 6 is not a power of two"),
        ({"codebooks": 11}, "codebooks: 11 does not fit vectors of size 10"),
        ({"codes_per_codebook": 64}, "40 training items cannot fill 64 codes per codebook; choose codes_per_codebook"),
        ({"whiten": 11}, "whiten: 11 dimensions cannot be had from 40 vectors that vary in 10; choose 1..10"),
        ({"whiten": 3}, "codebooks: 4 does not fit vectors of size 3"),
        ({"opq_schedule": "fais"}, "opq_schedule: 'fais' is none of balanced, faiss, did you mean 'faiss'?"),
    ],
)
def test_options_that_cannot_be(options, clustered, given, message):
    with pytest.raises(VQRecError) as error:
        train_quantizer(clustered(40, 10), {**options, **given})
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("given", [{"opq_schedule": "faiss"}, {"opq_iterations": 2}])
def test_faiss_learns_a_rotation_from_as_many_items_as_the_rotation_has_rows(options, clustered, given):
    given = {**options, "codes_per_codebook": 4, **given}  # 4 codebooks: 8 of 10 dimensions are rotated
    with pytest.raises(VQRecError, match="7 training items are too few for faiss to learn .* takes 8; choose"):
        train_quantizer(clustered(7, 10), given)
    assert train_quantizer(clustered(8, 10), given).rotation.shape == (8, 10)
    assert train_quantizer(clustered(7, 10), {**options, "codes_per_codebook": 4}).rotation.shape == (8, 10)


def test_wrong_size_and_not_finite(trained, options, clustered):
    with pytest.raises(VQRecError, match=r"embeddings of shape \(5, 9\) for a quantizer of vectors of size 10"):
        trained.encode(clustered(5, 9))
    vectors = clustered(40, 10)
    vectors[3, 2] = np.nan
    with pytest.raises(VQRecError, match="row 3 of the embeddings is not finite"):
        train_quantizer(vectors, options)
