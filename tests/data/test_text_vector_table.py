import json

import numpy as np
import pytest
import torch
from small import small_config, write_inter, write_vectors
from recbole.data import data_preparation

from recbole_vqrec import artifacts
from recbole_vqrec.data.dataset import SequenceDataset
from recbole_vqrec.data.text_vector_table import load_text_vectors
from recbole_vqrec.errors import VQRecError

ITEMS = [f"i{number}" for number in range(12)]


def text_config(**options):
    return small_config("SASRec", plm="bert-base-uncased", **options)


def test_vectors_are_matched_by_item_id(tiny):
    vectors = write_vectors(tiny, "tiny", ITEMS[::-1])
    dataset = SequenceDataset(text_config())
    table = dataset.item_text_vectors
    assert table.shape == (13, 6) and table.dtype == torch.float32
    assert table[0].abs().sum() == 0
    for internal, token in enumerate(dataset.field2id_token["item_id"]):
        if internal:
            assert table[internal].tolist() == vectors[token].tolist()


def test_the_splits_share_one_table(tiny):
    write_vectors(tiny, "tiny", ITEMS)
    config = text_config()
    dataset = SequenceDataset(config)
    table = dataset.item_text_vectors
    assert data_preparation(config, dataset)[0]._dataset.item_text_vectors is table


def test_missing_vectors_say_how_to_make_them_and_which_there_are(tiny):
    write_vectors(tiny, "tiny", ITEMS, plm="other")
    with pytest.raises(
        VQRecError, match="embed --dataset tiny --plm bert-base-uncased.*there are tiny.other.emb.safetensors"
    ):
        SequenceDataset(text_config()).item_text_vectors


def test_items_without_vector_are_named(tiny):
    write_vectors(tiny, "tiny", ITEMS[1:])
    with pytest.raises(VQRecError, match=r"lacks 1 of 12 items of the data set \(i0\)"):
        SequenceDataset(text_config()).item_text_vectors


def test_stale_vectors_are_refused(tiny):
    write_vectors(tiny, "tiny", ITEMS, inputs={"tiny.item": "0"})
    with pytest.raises(VQRecError, match="out of date, tiny.item changed"):
        SequenceDataset(text_config()).item_text_vectors


def test_vectors_that_are_not_finite_are_refused(tiny):
    path = artifacts.embedding_file(tiny, "tiny", "bert-base-uncased")
    manifest = {"options": {}, "inputs": {}}
    vectors = np.ones((12, 6), np.float32)
    vectors[3, 2] = np.nan
    artifacts.write_artifact(path, "text embedding", {"embeddings": vectors}, manifest, ITEMS)
    with pytest.raises(VQRecError, match=r"not finite \(i3\)"):
        SequenceDataset(text_config()).item_text_vectors


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_the_view_with_words_left_out_is_pooled_as_the_texts_are(tiny, pooling):
    write_vectors(tiny, "tiny", ITEMS, pooling=pooling)
    config, command = text_config(), "embed --dataset tiny --plm bert-base-uncased"
    of_pooling = "--pooling mean " if pooling == "mean" else ""
    with pytest.raises(VQRecError, match=f"run 'recbole-vqrec {command} {of_pooling}--word-drop 0.15'"):
        load_text_vectors(config, ["[PAD]", *ITEMS], word_drop=True)
    for other in ("cls", "mean"):
        write_vectors(tiny, "tiny", ITEMS, plm="bert-base-uncased.word-drop", pooling=other)
        if other == pooling:
            assert load_text_vectors(config, ["[PAD]", *ITEMS], word_drop=True).shape == (13, 6)
            continue
        said = rf"tiny with words left out is embedded by .* \({other}\), tiny by .* \({pooling}\)"
        with pytest.raises(VQRecError, match=said):
            load_text_vectors(config, ["[PAD]", *ITEMS], word_drop=True)


def test_a_merged_data_set_takes_its_domains_vectors(tmp_path):
    tokens = ["[PAD]"]
    expected = [np.zeros(6)]
    for domain, items in {"a": ["x", "y"], "b": ["x", "z"]}.items():
        folder = tmp_path / "dataset" / domain
        write_inter(folder, domain, {"u": items})
        vectors = write_vectors(folder, domain, items)
        tokens += [f"{domain}-{item}" for item in items]
        expected += [vectors[item] for item in items]
    merged = tmp_path / "dataset" / "mix"
    merged.mkdir()
    record = {"kind": "preprocessed data set", "format": 1, "source": "merge", "options": {"datasets": ["b", "a"]}}
    (merged / "mix.preprocess.json").write_text(json.dumps(record))
    options = {"data_path": str(merged), "dataset": "mix", "plm": "bert-base-uncased", "pooling": "cls"}
    assert np.allclose(load_text_vectors(options, tokens), expected)
    write_vectors(tmp_path / "dataset" / "a", "a", ["x", "y"], pooling="mean")
    with pytest.raises(VQRecError, match=r"a is embedded by bert-base-uncased \(mean\), b by .* \(cls\)"):
        load_text_vectors(options, tokens)
    artifacts.embedding_file(tmp_path / "dataset" / "b", "b", "bert-base-uncased").unlink()
    with pytest.raises(VQRecError, match="embed --dataset b"):
        load_text_vectors(options, tokens)


def test_domains_whose_items_would_have_one_id(tmp_path):
    for domain, items in {"a": ["b-1", "x"], "a-b": ["1", "y"]}.items():
        write_inter(tmp_path / "dataset" / domain, domain, {"u": items})
        write_vectors(tmp_path / "dataset" / domain, domain, items)
    merged = tmp_path / "dataset" / "mix"
    merged.mkdir()
    record = {"kind": "preprocessed data set", "format": 1, "source": "merge", "options": {"datasets": ["a", "a-b"]}}
    (merged / "mix.preprocess.json").write_text(json.dumps(record))
    options = {"data_path": str(merged), "dataset": "mix", "plm": "bert-base-uncased", "pooling": "cls"}
    with pytest.raises(VQRecError, match="mix: item 'a-b-1' would come from a and a-b"):
        load_text_vectors(options, ["[PAD]", "a-b-1", "a-x", "a-b-y"])
