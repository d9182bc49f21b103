import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_vqrec.model.negatives import log_counts, masked_as_zero, semi_synthetic_codes
from recbole_vqrec.quantization.item_codes import flatten


def drawn(codes, codes_per_codebook, rho, count, seed=1):
    return semi_synthetic_codes(codes, codes_per_codebook, rho, count, torch.Generator().manual_seed(seed))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.integers(2, 9), st.integers(1, 5), st.integers(0, 3), st.floats(0, 1), st.integers(0, 999))
def test_codes_stay_in_their_codebook_and_off_the_padding_row(codebooks, size, targets, count, rho, seed):
    codes = flatten(torch.randint(size, (targets, codebooks)), size)
    made = drawn(codes, size, rho, count, seed)
    assert made.shape == (targets, count, codebooks)
    codebook_of = (made - 1) // size
    assert torch.equal(codebook_of, torch.arange(codebooks).expand_as(made)) and (made > 0).all()


def test_replacements_are_uniform_and_as_frequent_as_rho():
    """One item, 4 codes a codebook: a code differs with probability rho * 3/4, and then is each other code alike."""
    codes = flatten(torch.tensor([[2, 0, 3]]), 4)
    made = drawn(codes, 4, 0.75, 40_000)[0] - torch.tensor([1, 5, 9])
    for codebook, own in enumerate([2, 0, 3]):
        share = torch.bincount(made[:, codebook], minlength=4) / 40_000
        expected = torch.full((4,), 0.75 / 4)
        expected[own] += 0.25
        assert torch.allclose(share, expected, atol=0.01)
    replaced = (made != torch.tensor([2, 0, 3])).float()
    assert abs((replaced[:, 0] * replaced[:, 1]).mean() - (0.75 * 0.75) ** 2) < 0.01  # codebooks are independent


@pytest.mark.parametrize("rho, changed", [(0.0, False), (1.0, True)])
def test_rho_zero_keeps_and_one_replaces_all(rho, changed):
    codes = flatten(torch.randint(200, (30, 8)), 200)
    made = drawn(codes, 200, rho, 1)[:, 0]
    assert (made != codes).float().mean() > 0.9 if changed else torch.equal(made, codes)


def test_a_function_of_the_seed():
    codes = flatten(torch.randint(8, (5, 4)), 8)
    assert torch.equal(drawn(codes, 8, 0.5, 2, 7), drawn(codes, 8, 0.5, 2, 7))
    assert not torch.equal(drawn(codes, 8, 0.5, 2, 7), drawn(codes, 8, 0.5, 2, 8))


def test_weights_of_candidates():
    assert torch.allclose(log_counts(torch.tensor([1, 3])).exp(), torch.tensor([1.0, 3.0]))
    corrected = log_counts(torch.tensor([1, 3]), torch.tensor([0.5, 3.0])).exp()
    assert torch.allclose(corrected, torch.tensor([2.0, 1.0]))
    assert masked_as_zero(torch.tensor([1, 3]))[:, 0].exp().tolist() == [0.0, pytest.approx(2.0)]


def test_corrected_weights_estimate_the_sum_over_all_items():
    """logQ: the expectation of the weighted in-batch sum is the plain sum over all items."""
    values, frequency = torch.tensor([1.0, 5.0, 2.0, 7.0]), torch.tensor([0.4, 0.3, 0.2, 0.1])
    torch.manual_seed(0)
    sums = []
    for _ in range(4000):
        items, counts = torch.multinomial(frequency, 16, replacement=True).unique(return_counts=True)
        sums.append((log_counts(counts, 16 * frequency[items]).exp() * values[items]).sum())
    assert torch.stack(sums).mean().item() == pytest.approx(15.0, rel=0.03)
