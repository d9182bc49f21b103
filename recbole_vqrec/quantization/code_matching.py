"""Which code of one quantizer means what which code of another means: codebook to codebook, code to code.

Axis legend: D codebooks, M codes per codebook, d embedding size, N items.

Each function returns (codebook [D], assignment [D, M]): code c of codebook k stands for code assignment[k, c] of the
other quantizer's codebook codebook[k]. An item is the mean over its codebooks, so their order is free as well.
"""

import numpy as np
from scipy.optimize import linear_sum_assignment

from recbole_vqrec.errors import VQRecError


def match_centroids(quantizer, other):
    """Match the centroids of two quantizers by their distance as text vectors, both rotations undone.

    Args:
        quantizer, other (ProductQuantizer): of the same language model and layout.

    Raises:
        VQRecError: a quantizer of another kind, or of vectors of another size.
    """
    for each in (quantizer, other):
        if not hasattr(each, "rotation"):
            raise VQRecError(
                f"permutation_start: quantizers needs codes of a product quantizer, not of {type(each).__name__}; "
                "set permutation_start: usage or random"
            )
    own, others = centroid_vectors(quantizer), centroid_vectors(other)
    if own.shape != others.shape:
        raise VQRecError(
            f"permutation_start: quantizers of {own.shape} and {others.shape} (codebooks, codes, text vector size) "
            "cannot be matched; encode with the same layout and language model"
        )
    flat = others.reshape(-1, others.shape[2])
    norms = (flat**2).sum(axis=1)
    similarity = np.stack([2 * book @ flat.T - norms for book in own])  # [D, M, D * M], |own|^2 is the same for all
    return _match(similarity.reshape(*own.shape[:2], *others.shape[:2]))


def match_items(codes, other_codes, codes_per_codebook):
    """Match two codings of the same items by how many items have both of two codes.

    Args:
        codes, other_codes (np.ndarray): [N, D] in 0 .. M - 1, of the same items by either quantizer.
        codes_per_codebook (int): M.
    """
    books, count = codes.shape[1], codes_per_codebook
    flat = (other_codes + np.arange(books) * count).astype(np.int64)  # [N, D] in 0 .. D * M - 1
    together = np.zeros((books, count, books * count), dtype=np.float32)
    for k in range(books):
        np.add.at(together[k], (codes[:, k : k + 1], flat), 1)
    expected = np.bincount(flat.ravel(), minlength=books * count) / len(codes)
    own = np.stack([np.bincount(codes[:, k], minlength=count) for k in range(books)])
    surplus = (together - own[:, :, None] * expected) / np.sqrt(own[:, :, None] * expected + 1)
    return _match(surplus.reshape(books, count, books, count))


def match_usage(counts, other_counts):
    """Match codes of the same rank of use, the most used to the most used; codebooks keep their order.

    Args:
        counts, other_counts (np.ndarray): [D, M] uses of each code.
    """
    books, count = counts.shape
    assignment = np.empty((books, count), dtype=np.int64)
    for k in range(books):
        own, others = (np.argsort(-each[k], kind="stable") for each in (counts, other_counts))
        assignment[k, own] = others
    return np.arange(books), assignment


def match_at_random(codebooks, codes_per_codebook, seed):
    """Match each codebook's codes with its own by a random permutation."""
    draw = np.random.default_rng(seed)
    return np.arange(codebooks), np.stack([draw.permutation(codes_per_codebook) for _ in range(codebooks)])


def centroid_vectors(quantizer):
    """Return the [D, M, d] shares of a text vector that the codes of a `ProductQuantizer` stand for."""
    books, count, size = quantizer.centroids.shape
    centroids = quantizer.centroids - quantizer.offset.reshape(books, 1, size)
    rows = quantizer.rotation.reshape(books, size, -1)
    vectors = centroids @ rows
    if quantizer.whitening is None:
        return vectors
    origin = quantizer.whitening.undo(np.zeros((1, vectors.shape[2]), dtype=np.float32))
    return (quantizer.whitening.undo(vectors.reshape(books * count, -1)) - origin).reshape(books, count, -1)


def _match(similarity):
    """Return the codebook and code matching of the largest total similarity [D, M, D, M].

    Codebooks are matched by what their codes could reach if several might take one code, then codes one to one.
    """
    codebook = linear_sum_assignment(similarity.max(axis=3).sum(axis=1), maximize=True)[1]
    chosen = [similarity[k, :, other] for k, other in enumerate(codebook)]
    return codebook, np.stack([linear_sum_assignment(each, maximize=True)[1] for each in chosen])
