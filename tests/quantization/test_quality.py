"""The quality report on literal codes and against brute force."""

import numpy as np
import pytest

from recbole_vqrec.quantization.quality import neighbour_agreement, quality, quality_lines, reconstruction_error


def test_collisions_use_and_entropy():
    codes = np.array([[0, 1], [0, 1], [1, 1], [2, 1]])
    report = quality(codes, 4)
    assert report == {
        "items": 4,
        "distinct_codes": 3,
        "colliding_items": 2,
        "codebook_use": {"min": 0.25, "mean": 0.5},
        "codebook_entropy": {"min": 0.0, "mean": 0.75},
    }
    assert quality_lines(report, 4) == [
        "  distinct codes 3 of 4 items (2 share theirs with another)",
        "  codebook use 50.0% (least 25.0%), entropy 0.75 bits (least 0.00, at most 2.00)",
    ]


def test_reconstruction_error():
    vectors = np.array([[1.0, 1], [3, 1]])
    assert reconstruction_error(vectors, vectors) == 0
    assert reconstruction_error(vectors, vectors.mean(axis=0)) == 1
    assert reconstruction_error(vectors, vectors + [0, 0.5]) == 0.25


def brute_force_agreement(vectors, decoded, count):
    def nearest(matrix, row):
        cosine = [
            (float(matrix[row] @ other / np.linalg.norm(matrix[row]) / np.linalg.norm(other)), number)
            for number, other in enumerate(matrix)
            if number != row
        ]
        return {number for _, number in sorted(cosine, reverse=True)[:count]}

    return np.mean([len(nearest(vectors, row) & nearest(decoded, row)) / count for row in range(len(vectors))])


def test_neighbour_agreement_is_brute_force(clustered):
    vectors = clustered(60, 6)
    noisy = vectors + np.random.default_rng(1).normal(size=vectors.shape)
    assert neighbour_agreement(vectors, noisy) == pytest.approx(brute_force_agreement(vectors, noisy, 10))
    assert neighbour_agreement(vectors, vectors) == 1
    assert 0.2 < neighbour_agreement(vectors, noisy) < 0.99


@pytest.mark.parametrize("items", [1, 2, 11])
def test_few_items(clustered, items):
    vectors = clustered(items, 4)
    assert neighbour_agreement(vectors, vectors) == 1
    assert quality(np.zeros((items, 2), int), 4, vectors, vectors)["reconstruction_error"] == 0


def test_a_sample_of_many_items(clustered):
    vectors = clustered(2500, 4)
    assert neighbour_agreement(vectors, vectors) == 1
