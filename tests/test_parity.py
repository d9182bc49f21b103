"""Fast paths give the numbers of the slow ones: trimmed vs padded, all positions vs prefix rows, at dropout 0."""

import random

import pytest
import torch
from small import small_config, write_vectors
from recbole.data import data_preparation

from recbole_vqrec import registry
from recbole_vqrec.data.batches import SequenceBatches
from recbole_vqrec.data.dataset import create_dataset
from recbole_vqrec.model.all_positions import all_positions_loss
from recbole_vqrec.trainer.create import create_trainer

NO_DROPOUT = {
    "item_dropout": 0.0, "sess_dropout": 0.0, "hidden_dropout_prob": 0.0, "attn_dropout_prob": 0.0, "dropout_prob": 0.0,
    "dropout_probs": [0.0, 0.0], "mask_ratio": 0.5,
}  # fmt: skip
SIZES = {"embedding_size": 16, "n_layers": 2, "n_heads": 2, "num_layers": 1}


@pytest.fixture(autouse=True)
def texts_and_attributes(tiny):
    """Give the items what models beside VQRec read."""
    items = [f"i{number}" for number in range(12)]
    write_vectors(tiny, "tiny", items)
    lines = [f"{item}\tkind {index % 3}" for index, item in enumerate(items)]
    (tiny / "tiny.item").write_text("item_id:token\tcategories:token_seq\n" + "\n".join(lines) + "\n")


def prepared(name, **options):
    config = small_config(name, MAX_ITEM_LIST_LENGTH=8, **{**SIZES, **NO_DROPOUT}, **options)
    dataset = create_dataset(config)
    loaders = data_preparation(config, dataset)
    torch.manual_seed(0)
    return config, loaders, config.model_class(config, loaders[0]._dataset).to(config["device"])


def mean_loss(model, batches, loss, pairs):
    """Return the mean over all pairs of a loss that is a mean over the pairs of a batch, and its gradient."""
    model.zero_grad()
    total = 0
    for batch in batches:
        part = loss(batch) * pairs(batch)
        total = total + part
    total.backward()
    gradient = torch.cat([parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None])
    return total.item(), gradient


@pytest.mark.parametrize("name", ["VQRec", "SASRec", "GRU4Rec", "SASRecText", "ZESRec", "FDSA", "S3Rec"])
def test_all_positions_equal_padded_prefix_rows(tiny, name):
    config, (stock, _, _), model = prepared(name, training_batches="stock_rows")
    loss = model.calculate_loss if name in registry.OWN_MODELS else all_positions_loss(model)
    expected, gradient = mean_loss(model, stock, model.calculate_loss, lambda rows: len(rows["item_id"]))
    fast = SequenceBatches(stock, "all_positions", 40, 10**6)
    found, fast_gradient = mean_loss(model, fast, loss, lambda batch: (batch["target_list"] > 0).sum())
    count = len(stock.dataset)
    assert found / count == pytest.approx(expected / count, abs=1e-5)
    assert torch.allclose(fast_gradient / count, gradient / count, atol=1e-5)


@pytest.mark.parametrize("name", sorted({**registry.RECBOLE_MODELS, **registry.OWN_MODELS}))
def test_trimmed_rows_equal_padded_rows(tiny, name):
    """Every model that the registry lets run on trimmed rows has the losses and scores of padded rows."""
    _, (trimmed, trimmed_valid, _), model = prepared(name)
    _, (padded, padded_valid, _), _ = prepared(name, training_batches="stock_rows")
    model.train()
    losses, scores = [], []
    for train, valid in ((trimmed, trimmed_valid), (padded, padded_valid)):
        train_rows, valid_rows = train.dataset, valid.dataset
        order = train_rows.inter_feat["item_length"].argsort(stable=True)[:40].numpy()  # short rows: real trimming
        torch.manual_seed(1)
        random.seed(1)
        losses.append(model.calculate_loss(train.transform(train_rows, train_rows[order])).item())
        by_user = valid_rows.inter_feat["user_id"].argsort().numpy()
        with torch.no_grad():
            scores.append(torch.stack([model.full_sort_predict(valid_rows[[row]])[0] for row in by_user]))
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    assert torch.allclose(scores[0], scores[1], atol=1e-5)


@pytest.mark.parametrize("name", ["VQRec", "SASRec", "BERT4Rec"])
def test_metrics_do_not_depend_on_trimming_or_batch_size(tiny, name):
    results = []
    for options in ({}, {"training_batches": "stock_rows", "eval_batch_size": 7}):
        config, (train, valid, _), model = prepared(name, **options)
        trainer = create_trainer(config, model)
        trainer.eval_collector.data_collect(train)
        results.append(trainer.evaluate(valid, load_best_model=False))
    assert results[0] == results[1]


def test_unknown_recbole_models_keep_their_padding(tiny):
    assert registry.entry("Caser").batches == "stock_rows"
    assert create_dataset(small_config("Caser")).build()[0][[0]]["item_id_list"].shape == (1, 5)
