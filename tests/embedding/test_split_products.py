"""Products of bfloat16 parts against float64; without AMX, or without the function in torch, float32 is left alone."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_vqrec.embedding import split_products
from recbole_vqrec.embedding.split_products import Float32Weight, SplitWeight, fastest_weight, is_available

needs_amx = pytest.mark.skipif(not is_available(), reason="no AMX here, or no such product in torch")
SIZES = st.integers(1, 70)


def fresh_memory(name, rows, columns, dtype=torch.float32):
    return torch.empty(rows, columns, dtype=dtype)


def product(weight_class, states, weight, start):
    """Return start + states @ weight^T."""
    out = start.clone()
    weight_class(weight).add_product(states, out, fresh_memory)
    return out


@needs_amx
@settings(deadline=None)
@given(rows=SIZES, inner=SIZES, columns=SIZES, exponent=st.integers(-12, 12), seed=st.integers(0, 99))
def test_as_exact_as_sixteen_bits(rows, inner, columns, exponent, seed):
    random = torch.Generator().manual_seed(seed)
    states = torch.randn(rows, inner, generator=random) * 2.0**exponent
    weight, start = torch.randn(columns, inner, generator=random), torch.randn(rows, columns, generator=random)
    wanted = start.double() + states.double() @ weight.double().t()
    size = start.abs().double() + states.abs().double() @ weight.abs().double().t()  # of what is summed
    error = (product(SplitWeight, states, weight, start) - wanted).abs() / size
    assert error.max() < 3 * 2**-17  # the two roundings to 16 bits, and low @ low


@needs_amx
def test_one_bfloat16_product_would_not_do():
    states, weight, start = torch.full((1, 1), 1 + 2**-10), torch.ones(1, 1), torch.zeros(1, 1)
    assert (states.bfloat16() * weight.bfloat16()).float() == 1
    assert product(SplitWeight, states, weight, start) == 1 + 2**-10


@needs_amx
def test_more_numbers_than_a_block(monkeypatch):
    monkeypatch.setattr(split_products, "BLOCK", 7)
    states, weight, start = torch.randn(5, 6), torch.randn(4, 6), torch.zeros(5, 4)
    torch.testing.assert_close(product(SplitWeight, states, weight, start), states @ weight.t(), atol=1e-4, rtol=1e-4)


def test_float32_weight():
    states, weight, start = torch.randn(5, 6), torch.randn(4, 6), torch.randn(5, 4)
    torch.testing.assert_close(product(Float32Weight, states, weight, start), start + states @ weight.t())


@pytest.fixture
def patched(monkeypatch):
    """Return a monkeypatch after which the machine is asked anew, and once more when the test has ended."""
    is_available.cache_clear()
    yield monkeypatch
    monkeypatch.undo()
    is_available.cache_clear()


@pytest.mark.parametrize("error", [OSError, AttributeError])
def test_torch_without_the_product(patched, error):
    def missing():
        raise error("no such thing")

    patched.setattr(split_products, "_gemm", missing)
    assert fastest_weight() is Float32Weight


@needs_amx
def test_a_product_that_is_wrong_is_not_used(patched):
    patched.setattr(split_products, "_add_bfloat16_product", lambda states, weight, out: None)
    assert fastest_weight() is Float32Weight
