import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from recbole.model.layers import TransformerEncoder

from recbole_vqrec.errors import VQRecError
from recbole_vqrec.model.packed_sequences import PackedSequences
from recbole_vqrec.model.sequence_encoder import SequenceEncoder, causal_attention

OPTIONS = {
    "hidden_size": 12, "n_layers": 2, "n_heads": 3, "inner_size": 20, "hidden_dropout_prob": 0.0,
    "attn_dropout_prob": 0.0, "hidden_act": "gelu", "layer_norm_eps": 1e-12, "initializer_range": 0.5,
    "MAX_ITEM_LIST_LENGTH": 7,
}  # fmt: skip


def recboles(encoder):
    """Return RecBole's TransformerEncoder with the weights of ours."""
    reference = TransformerEncoder(2, 3, 12, 20, 0.0, 0.0, "gelu", 1e-12)
    for theirs, ours in zip(reference.layer, encoder.layers):
        attention, feed_forward = ours
        for part, weight in zip(("query", "key", "value"), attention.query_key_value.weight.chunk(3)):
            getattr(theirs.multi_head_attention, part).weight.data = weight.detach()
            getattr(theirs.multi_head_attention, part).bias.data.zero_()
        theirs.multi_head_attention.dense.load_state_dict(attention.dense.state_dict())
        theirs.feed_forward.dense_1.load_state_dict(feed_forward.dense_1.state_dict())
        theirs.feed_forward.dense_2.load_state_dict(feed_forward.dense_2.state_dict())
    return reference


def test_states_equal_recboles_encoder():
    encoder = SequenceEncoder(OPTIONS)
    vectors, lengths = torch.randn(4, 7, 12), torch.tensor([7, 1, 3, 5])
    real = torch.arange(7) < lengths[:, None]
    mask = torch.where(torch.tril(real[:, None, None, :].expand(-1, -1, 7, -1)), 0.0, -10000.0)
    hidden = encoder.LayerNorm(vectors + encoder.position_embedding.weight)
    expected = recboles(encoder)(hidden, mask)[-1]
    packed = PackedSequences(lengths)
    assert torch.allclose(encoder(packed.pack(vectors), packed), packed.pack(expected), atol=1e-5)


def test_a_position_sees_nothing_behind_it():
    encoder = SequenceEncoder(OPTIONS)
    vectors = torch.randn(2, 7, 12)
    changed = vectors.clone()
    changed[:, 4:] = torch.randn(2, 3, 12)
    packed = PackedSequences(torch.tensor([7, 7]))
    before, after = (encoder(packed.pack(values), packed).view(2, 7, 12) for values in (vectors, changed))
    assert torch.allclose(before[:, :4], after[:, :4], atol=1e-6)
    assert not torch.allclose(before[:, 4], after[:, 4], atol=1e-3)


@given(st.lists(st.integers(1, 7), min_size=1, max_size=9), st.integers(1, 3))
def test_the_states_of_the_last_tokens_alone_are_those_of_all(lengths, layers):
    encoder = SequenceEncoder({**OPTIONS, "n_layers": layers}).double()  # float32 gradients differ by up to 1e-4
    packed = PackedSequences(torch.tensor(lengths))
    vectors = torch.randn(sum(lengths), 12, dtype=torch.float64, requires_grad=True)
    upstream, results = torch.randn(len(lengths), 12, dtype=torch.float64), []
    for last in (encoder(vectors, packed)[packed.last], encoder(vectors, packed, last_only=True)):
        results.append((last, *torch.autograd.grad((last * upstream).sum(), [vectors, *encoder.parameters()])))
    for expected, found in zip(*results):
        assert torch.allclose(expected, found, atol=1e-10)


def test_attention_with_dropout_has_the_mean_of_attention_without():
    query, key, value = torch.randn(3, 1, 2, 5, 4)
    exact = causal_attention(query, key, value, 0.0)
    mean = sum(causal_attention(query, key, value, 0.3) for _ in range(4000)) / 4000
    assert torch.allclose(mean, exact, atol=0.1)
    tiny = causal_attention(query, key, value, 1e-4 / 2**16)  # rounds to no dropout at all
    assert torch.allclose(tiny, exact, atol=1e-6)


@pytest.mark.parametrize(
    "change, message",
    [({"n_heads": 5}, "multiple of n_heads"), ({"hidden_act": "gelo"}, "gelu")],
)
def test_impossible_sizes_are_named(change, message):
    with pytest.raises(VQRecError, match=message):
        SequenceEncoder({**OPTIONS, **change})
