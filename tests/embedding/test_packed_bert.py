"""The packed forward pass against transformers' own, text by text; other models are left to transformers."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoModel, DistilBertConfig, DistilBertModel

from recbole_vqrec.embedding import packed_bert
from recbole_vqrec.embedding.packed_bert import PackedBert, can_pack
from recbole_vqrec.embedding.split_products import Float32Weight, fastest_weight
from recbole_vqrec.embedding.text_encoder import TextEncoder

BATCHES = st.lists(st.lists(st.integers(0, 18), min_size=1, max_size=8).map(tuple), min_size=1, max_size=6)


@pytest.fixture(scope="module")
def model(tiny_bert):
    return AutoModel.from_pretrained(tiny_bert).eval()


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
# Of the vector's length; what rounding does to a model of 16 dimensions depends on the tokens: 5e-6 and 1.7e-4 at most
# of 3,000 random texts. How exact one product is stands in test_split_products.
@pytest.mark.parametrize(("weight_class", "tolerance"), [(Float32Weight, 2e-5), (fastest_weight(), 5e-4)])
@given(batch=BATCHES, pooling=st.sampled_from(["cls", "mean"]))
def test_equals_transformers(model, weight_class, tolerance, batch, pooling):
    with torch.inference_mode():
        states = [model(input_ids=torch.tensor([tokens])).last_hidden_state[0] for tokens in batch]
        want = torch.stack([each[0] if pooling == "cls" else each.mean(dim=0) for each in states])
        got = PackedBert(model, weight_class)(batch, pooling)
    assert ((got - want).norm(dim=1) <= tolerance * want.norm(dim=1)).all()


def test_an_earlier_result_is_not_overwritten(model):
    packed = PackedBert(model)
    with torch.inference_mode():
        first = packed([(2, 7, 3)], "cls")
        kept = first.clone()
        packed([(2, 9, 3), (2, 8, 3)], "cls")
    assert torch.equal(first, kept)


def test_only_what_is_computed_alike_is_packed(model, tiny_bert):
    assert can_pack(model)
    changed = AutoModel.from_pretrained(tiny_bert).eval()
    changed.config.layer_norm_eps = 0.5  # as a model that computes something else than its configuration says
    assert not can_pack(changed)
    changed = AutoModel.from_pretrained(tiny_bert).eval()
    changed.config.hidden_act = "relu"
    assert not can_pack(changed)


def test_another_architecture_goes_the_plain_way(tiny_bert, tmp_path):
    torch.manual_seed(1)
    sizes = {"vocab_size": 19, "dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 16, "max_position_embeddings": 32}
    DistilBertModel(DistilBertConfig(**sizes)).save_pretrained(tmp_path)
    TextEncoder(tiny_bert).tokenizer.save_pretrained(tmp_path)
    encoder = TextEncoder(str(tmp_path))
    assert encoder.packed is None
    texts = ["red glue", "sand paper of steel"]
    np.testing.assert_allclose(encoder.encode(texts), [encoder.encode([text])[0] for text in texts], atol=1e-5)


def test_memory_is_kept_between_batches(model, monkeypatch):
    packed, made = PackedBert(model), []
    empty = torch.empty
    monkeypatch.setattr(packed_bert.torch, "empty", lambda *size, **kind: made.append(size) or empty(*size, **kind))
    with torch.inference_mode():
        packed([(2, 7, 3), (2, 3)], "mean")
        first = len(made)
        packed([(2, 8, 3), (2, 3)], "mean")
    assert first and len(made) == first
