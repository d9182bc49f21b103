import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_vqrec.model import scoring
from recbole_vqrec.model.scoring import SubItemScorer, top_k

D, M, H = 4, 8, 6


def scorer(items, seed=0, known=None, dtype=torch.uint8):
    draw = torch.Generator().manual_seed(seed)
    vectors = torch.randn(1 + D * M, H, generator=draw)
    codes = torch.randint(0, M, (items, D), generator=draw, dtype=dtype)
    return SubItemScorer(vectors, codes, M, known)


def dense(own, queries):
    """Reference: the items' vectors, code by code, normalised, times the queries."""
    table = torch.stack(
        [sum(own.code_vectors[1 + k * M + int(code)] for k, code in enumerate(row)) / D for row in own.codes]
    )
    return queries @ F.normalize(table, dim=1).T


@pytest.mark.parametrize("users", [1, 3, 16, 17])
@pytest.mark.parametrize("items", [1, 5, 40])
def test_sub_item_scores_are_the_dense_product(monkeypatch, users, items):
    monkeypatch.setattr(scoring, "BLOCK", 7)
    own, queries = scorer(items), torch.randn(users, H)
    found = torch.cat([scores for _, scores in own.blocks(queries)], dim=1)
    assert torch.allclose(found, dense(own, queries), atol=1e-5)
    rows = torch.arange(0, items, 2)
    some = torch.cat([scores for _, scores in own.blocks(queries, rows)], dim=1)
    assert torch.allclose(some, dense(own, queries)[:, rows], atol=1e-5)


def test_codes_stay_a_byte_each_and_more_codes_than_256_work():
    own = scorer(100)
    assert own.codes.dtype == torch.uint8 and own.codes.nbytes + own.inverse_norms.nbytes == 100 * (D + 4)
    vectors, codes = torch.randn(1 + 2 * 512, H), torch.tensor([[511, 0], [3, 300]], dtype=torch.int32)
    wide = SubItemScorer(vectors, codes, 512)
    expected = (vectors[[512, 4]] + vectors[[513, 813]]) / 2
    assert torch.allclose(wide.vectors(codes), expected, atol=1e-6)


def test_norms_of_known_items_are_taken_over():
    own = scorer(40)
    first = SubItemScorer(own.code_vectors, own.codes[:30], M)
    first.inverse_norms += 5  # to be recognised
    assert torch.equal(SubItemScorer(own.code_vectors, own.codes, M, first).inverse_norms[:30], first.inverse_norms)
    other = own.codes.clone()
    other[0] += 1
    again = SubItemScorer(own.code_vectors, other % M, M, first)
    assert not torch.allclose(again.inverse_norms[:30], first.inverse_norms)


def test_an_item_of_zero_norm_has_score_zero():
    own = SubItemScorer(torch.zeros(1 + D * M, H), torch.zeros(2, D, dtype=torch.uint8), M)
    assert torch.cat([scores for _, scores in own.blocks(torch.ones(1, H))], 1).tolist() == [[0.0, 0.0]]


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_top_k_is_the_stable_sort_of_all_scores(data):
    users, items = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 60))
    k, block = data.draw(st.integers(1, 70)), data.draw(st.integers(1, 20))
    seed, levels = data.draw(st.integers(0, 999)), data.draw(st.integers(1, 30))
    scores = np.random.default_rng(seed).integers(0, levels, size=(users, items)).astype(np.float32)  # many ties
    blocks = [(start, torch.from_numpy(scores[:, start : start + block])) for start in range(0, items, block)]
    best, rows = top_k(blocks, users, k)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    assert np.array_equal(rows.numpy(), order)
    assert np.array_equal(best.numpy(), np.take_along_axis(scores, order, axis=1))


def test_minus_infinity_is_never_chosen():
    scores = torch.tensor([[1.0, float("-inf"), 2.0]])
    best, rows = top_k([(0, scores)], 1, 3)
    assert rows.tolist() == [[2, 0, -1]]
    assert top_k([], 2, 3)[1].shape == (2, 0)
