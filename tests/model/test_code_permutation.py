import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_vqrec.model.code_permutation import CodePermutation, best_bijection, doubly_stochastic
from recbole_vqrec.model.item_representation import CodeItemRepresentation
from recbole_vqrec.model.reference_permutation import ReferencePermutation
from recbole_vqrec.quantization.item_codes import flatten


def unrolled(scores, rounds):
    """Sinkhorn as plain differentiable steps."""
    for _ in range(rounds):
        scores = scores - torch.logsumexp(scores, dim=2, keepdim=True)
        scores = scores - torch.logsumexp(scores, dim=1, keepdim=True)
    return scores.exp()


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 3), st.integers(2, 40), st.floats(0.1, 8), st.integers(0, 1000))
def test_doubly_stochastic(codebooks, count, spread, seed):
    scores = torch.randn(codebooks, count, count, generator=torch.Generator().manual_seed(seed)) * spread
    matrix = doubly_stochastic(scores, iterations=20000)
    assert (matrix >= 0).all()
    assert (matrix.sum(1) - 1).abs().max() < 1e-4 and (matrix.sum(2) - 1).abs().max() < 1e-4


def test_doubly_stochastic_at_the_paper_size():
    matrix = doubly_stochastic(torch.randn(32, 256, 256) / 0.7)
    assert (matrix.sum(1) - 1).abs().max() < 1e-4 and (matrix.sum(2) - 1).abs().max() < 1e-4


def test_entries_that_underflow_everywhere_but_in_log_space():
    matrix = doubly_stochastic(torch.randn(2, 12, 12, dtype=torch.float64) * 2000, iterations=3000)
    assert torch.isfinite(matrix).all()
    assert (matrix.sum(1) - 1).abs().max() < 1e-4 and (matrix.sum(2) - 1).abs().max() < 0.05


def test_the_iterations_are_sinkhorns():
    scores = torch.randn(2, 6, 6, dtype=torch.float64) * 3
    for rounds in (1, 2, 3, 10):
        assert torch.allclose(doubly_stochastic(scores, rounds, 0.0), unrolled(scores, rounds), atol=1e-12)


def test_the_gradient_is_that_of_the_iterations():
    scores = torch.randn(2, 5, 5, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(2, 5, 5, dtype=torch.float64)
    (expected,) = torch.autograd.grad((unrolled(scores, 2000) * upstream).sum(), scores)
    (gradient,) = torch.autograd.grad((doubly_stochastic(scores, 2000, 1e-14) * upstream).sum(), scores)
    assert torch.allclose(gradient, expected, atol=1e-8)


def test_the_gradient_of_a_nearly_hard_matrix_is_finite():
    scores = (torch.eye(6)[None] * 60).requires_grad_()
    (doubly_stochastic(scores) * torch.randn(1, 6, 6)).sum().backward()
    assert torch.isfinite(scores.grad).all()


def test_best_bijection_against_all():
    scores = torch.rand(3, 4, 4)
    for matrix, found in zip(scores, best_bijection(scores)):
        best = max(itertools.permutations(range(4)), key=lambda order: sum(matrix[i, j] for i, j in enumerate(order)))
        assert found.tolist() == list(best)


@pytest.mark.parametrize("hard", [False, True])
def test_the_gradient_reaches_every_entry(hard):
    permutation = CodePermutation(3, 8, hard=hard, noise=1.0)
    torch.nn.init.normal_(permutation.scores)
    (permutation(torch.randn(25, 6)) ** 2 * torch.randn(25, 6)).sum().backward()
    assert (permutation.scores.grad != 0).all()


def test_hard_is_a_bijection_in_training_and_evaluation():
    permutation = CodePermutation(3, 8, hard=True)
    torch.nn.init.normal_(permutation.scores)
    trained, evaluated = permutation.matrix(), permutation.eval().matrix()
    assert torch.allclose(trained, evaluated)
    ones = evaluated.round()
    assert torch.allclose(evaluated, ones, atol=1e-6)
    assert (ones.sum(1) == 1).all() and (ones.sum(2) == 1).all()


def test_the_reference_has_no_gradient_and_is_no_bijection():
    permutation = ReferencePermutation(32, 256)
    assert permutation.training
    (permutation(torch.randn(1 + 32 * 256, 6)) ** 2 * torch.randn(1 + 32 * 256, 6)).sum().backward()
    assert permutation.scores.grad is not None and (permutation.scores.grad == 0).all()
    used = [len(set(rows.tolist())) for rows in permutation.rows]
    assert 190 < np.mean(used) < 215  # of 257
    drawn = permutation.rows.clone()
    permutation.eval()
    table = torch.randn(1 + 32 * 256, 6)
    expected = [table[0] if row == 0 else table[k * 256 + row] for k in range(32) for row in drawn[k, 1:].tolist()]
    assert torch.equal(permutation(table)[1:], torch.stack(expected))


def test_a_fixed_permutation_uses_every_row_once():
    permutation = CodePermutation(3, 8)
    torch.nn.init.normal_(permutation.scores)
    permutation.fix()
    table = torch.randn(25, 6)
    permuted = permutation(table)
    assert torch.equal(permuted[0], table[0])
    for k in range(3):
        block, source = permuted[1 + 8 * k : 9 + 8 * k], table[1 + 8 * k : 9 + 8 * k]
        assert torch.equal(block, source[permutation.assignment[k]])
        assert sorted(permutation.assignment[k].tolist()) == list(range(8))
    assert not permutation.scores.requires_grad


def test_start_is_what_it_is_told():
    permutation = CodePermutation(2, 4)
    codebook, assignment = torch.tensor([1, 0]), torch.tensor([[3, 2, 1, 0], [1, 0, 3, 2]])
    permutation.start(codebook, assignment, 0.7)
    matrix = permutation.matrix()
    assert torch.allclose(matrix.gather(2, assignment[:, :, None]), torch.tensor(0.7)) and matrix.min() > 0.09
    permutation.fix()
    table = torch.arange(9.0)[:, None]
    assert permutation(table).flatten().tolist() == [0, 8, 7, 6, 5, 2, 1, 4, 3]


def test_what_is_scored_is_what_is_loaded():
    permutation, other = CodePermutation(2, 4), CodePermutation(2, 4)
    torch.nn.init.normal_(permutation.scores)
    permutation.temperature.fill_(0.3)
    table = torch.randn(9, 3)
    for _ in range(2):  # learned, then fixed
        other.load_state_dict(permutation.state_dict())
        assert torch.equal(other.eval()(table), permutation.eval()(table))
        permutation.fix()


def test_a_planted_permutation_is_recovered():
    """Item vectors of a table whose rows were shuffled: the permutation finds the rows from the vectors alone."""
    generator = torch.Generator().manual_seed(0)
    codebooks, count, items = 4, 16, 400
    codes = torch.randint(count, (items, codebooks), generator=generator)
    planted = torch.stack([torch.randperm(count, generator=generator) for _ in range(codebooks)])
    table = torch.cat([torch.zeros(1, 32), torch.randn(codebooks * count, 32, generator=generator)])
    moved = planted.gather(1, codes.T).T  # code c is row planted[c] of the pre-trained table
    target = table[flatten(moved, count)].mean(1)

    flat = torch.cat([torch.zeros(1, codebooks, dtype=torch.long), flatten(codes, count)])
    learned = CodePermutation(codebooks, count, noise=0.1)
    representation = CodeItemRepresentation(flat, count, 32, 0.02, permutation=learned)
    representation.code_embedding.weight.data.copy_(table)
    optimizer = torch.optim.Adam([learned.scores], lr=0.1)
    for step in range(300):
        learned.temperature.fill_(max(0.1, 0.99**step))
        scores = (
            torch.nn.functional.normalize(target, dim=1)
            @ torch.nn.functional.normalize(representation.table()[1:], dim=1).T
        )
        loss = torch.nn.functional.cross_entropy(scores / 0.07, torch.arange(items))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    learned.fix()
    assert (learned.assignment == planted).float().mean() >= 0.95


def test_under_autocast_it_is_as_doubly_stochastic():
    scores = torch.randn(2, 64, 64, generator=torch.Generator().manual_seed(0)) * 2
    with torch.autocast("cpu", dtype=torch.bfloat16):
        matrix = doubly_stochastic(scores)
    assert matrix.dtype == torch.float32
    assert (matrix.sum(2) - 1).abs().max() < 1e-4 and (matrix.sum(1) - 1).abs().max() < 1e-4


def test_all_processes_keep_the_rows_that_the_first_has_drawn(monkeypatch):
    permutation = ReferencePermutation(2, 4)
    of_first = torch.tensor([[0, 2, 1, 4, 3], [0, 1, 1, 1, 2]])
    monkeypatch.setattr("recbole_vqrec.distributed.from_first", lambda value: of_first.tolist())
    permutation.fix()
    assert torch.equal(permutation.rows, of_first)
