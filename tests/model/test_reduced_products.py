"""Steps in bfloat16: products of float32 operands, and rows of zeros that change nothing."""

import pytest
import torch

from recbole_vqrec.model import losses, reduced_products
from recbole_vqrec.model.packed_sequences import PackedSequences
from recbole_vqrec.model.reduced_products import ROWS, float32_operands, padding_rows
from recbole_vqrec.model.sequence_encoder import SequenceEncoder
from recbole_vqrec.trainer.precision import products_in

CPU = torch.device("cpu")
ENCODER = {
    "hidden_size": 8, "inner_size": 16, "n_layers": 2, "n_heads": 2, "hidden_dropout_prob": 0.0, "hidden_act": "gelu",
    "attn_dropout_prob": 0.0, "layer_norm_eps": 1e-12, "initializer_range": 0.5, "MAX_ITEM_LIST_LENGTH": 6,
}  # fmt: skip


def test_rows_are_added_to_a_multiple_and_only_in_bfloat16_on_a_cpu():
    assert padding_rows(300, CPU) == 0
    with products_in("float32", CPU):
        assert padding_rows(300, CPU) == 0
    with products_in("bfloat16", CPU):
        assert [padding_rows(count, CPU) for count in (0, 1, ROWS, 300)] == [0, ROWS - 1, 0, 84]
        assert padding_rows(300, torch.device("cuda")) == 0


def test_float32_operands_keep_float32_and_the_precision_is_put_back():
    left, right = torch.randn(64, 300), torch.randn(300, 64)
    with products_in("bfloat16", CPU):
        assert (left @ right).dtype == torch.bfloat16
        with float32_operands(CPU):
            assert torch.get_float32_matmul_precision() == "medium" and (left @ right).dtype == torch.float32
        assert torch.get_float32_matmul_precision() == "highest"
        with pytest.raises(ZeroDivisionError), float32_operands(CPU):
            1 / 0
    assert torch.get_float32_matmul_precision() == "highest"
    with float32_operands(CPU):
        assert torch.get_float32_matmul_precision() == "highest"


@pytest.mark.parametrize("count", [1, 127, 128, 300])
@pytest.mark.parametrize("chunk", [1, 150 * 128, 1 << 22])
def test_the_loss_and_its_gradients_do_not_see_the_added_rows(count, chunk, monkeypatch):
    monkeypatch.setattr(reduced_products.torch, "set_float32_matmul_precision", lambda name: None)  # products stay exact
    draw = torch.Generator().manual_seed(count)
    parts = [torch.randn(*shape, generator=draw) for shape in ((count, 8), (150, 8), (count, 3))]
    targets, weights = torch.randint(150, (count,), generator=draw), torch.rand(150, generator=draw)
    found = {}
    for precision in ("float32", "bfloat16"):
        given = [part.clone().requires_grad_() for part in parts]
        with products_in(precision, CPU):
            loss = losses.contrastive_loss(given[0], given[1], targets, weights, given[2], chunk)
        loss.backward()
        found[precision] = [loss.detach(), *(part.grad for part in given)]
    for exact, padded in zip(found["float32"], found["bfloat16"]):
        assert padded.shape == exact.shape
        torch.testing.assert_close(padded, exact, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("scores_at_once", "rows"), [(1, 1), (150 * 70, 70), (150 * 128, 128), (150 * 300, 256)])
def test_a_block_of_the_loss_is_whole_multiples_or_what_memory_allows(scores_at_once, rows, monkeypatch):
    found = []
    monkeypatch.setattr(losses._ContrastiveLoss, "apply", lambda *arguments: found.append(arguments[-2:]))
    with products_in("bfloat16", CPU):
        losses.full_softmax_loss(torch.ones(300, 8), torch.ones(150, 8), torch.zeros(300).long(), scores_at_once)
    assert found == [(300, rows)]


@pytest.mark.parametrize("causal", [True, False])
def test_the_encoder_and_its_gradients_do_not_see_the_added_rows(causal, monkeypatch):
    torch.manual_seed(0)
    encoder = SequenceEncoder(ENCODER)
    packed, vectors = PackedSequences(torch.tensor([1, 6, 3, 2])), torch.randn(12, 8)

    def states_and_gradients():
        encoder.zero_grad()
        given = vectors.clone().requires_grad_()
        states = encoder(given, packed, causal)
        (states * torch.arange(8.0)).sum().backward()
        return [states.detach(), given.grad, *(parameter.grad.clone() for parameter in encoder.parameters())]

    expected = states_and_gradients()
    assert reduced_products.with_padding_rows(vectors) is vectors
    monkeypatch.setattr("recbole_vqrec.model.reduced_products.padding_rows", lambda count, device: 116)
    for found, exact in zip(states_and_gradients(), expected):
        assert found.shape == exact.shape
        torch.testing.assert_close(found, exact, rtol=1e-4, atol=1e-5)
