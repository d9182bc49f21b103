"""One training epoch and one evaluation: our path against a plain one, side by side in one run.

    python benchmarks/train_epoch.py [--data ../shared/data/scientific] [--plain-steps 3]

(a) ours: every position of a user's sequence trained in one row, rows of like length, items from codes once a step.
(b) plain, as the authors' code works: one row a prefix, padded to 50, the codes of every position looked up, the item
    table rebuilt for each batch, torch's own dropout. Of it a few steps are timed and scaled to the epoch.
(c) the share of the machine's float32 matrix-product rate that (a) reaches for the arithmetic it needs, in float32 and
    with `precision: bfloat16`.
Both give the same loss for the same parameters at dropout 0, which is checked first.
"""

import argparse
import gzip
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from recbole.data import data_preparation
from recbole.model.layers import TransformerEncoder
from tabulate import tabulate

from recbole_vqrec.config import Config
from recbole_vqrec.data.batches import TARGET_LIST, SequenceBatches
from recbole_vqrec.data.dataset import create_dataset
from recbole_vqrec.quantization.domain import training_items
from recbole_vqrec.quantization.item_codes import ItemCodes
from recbole_vqrec.run_log import PeakMemory
from recbole_vqrec.trainer.create import create_trainer

ROOT = Path(__file__).resolve().parent.parent
EPOCH, MEMORY, EVALUATION, OPERATIONS = "training epoch, s", "  peak memory, MB", "evaluation, s", "operations"
ROWS = {EPOCH: ".2f", MEMORY: ",.0f", EVALUATION: ".2f"}


def prepare(folder, data):
    """Write the interaction files of Scientific, or synthetic ones of its size, and random codes for their items."""
    folder.mkdir(parents=True)
    found = bool(data) and Path(data).is_dir()
    print(f"sequences of {data}" if found else f"{data} is not there: synthetic sequences of the size of Scientific")
    if found:
        for split in ("train", "valid", "test"):
            content = gzip.decompress((Path(data) / f"Scientific.{split}.inter.gz").read_bytes())
            (folder / f"Scientific.{split}.inter").write_bytes(content)
    else:
        draw = np.random.default_rng(0)
        with open(folder / "Scientific.inter", "w") as file:
            file.write("user_id:token\titem_id:token\ttimestamp:float\n")
            for user in range(8442):
                for at, item in enumerate(draw.zipf(1.2, size=min(5 + draw.geometric(0.4), 90)) % 4385):
                    file.write(f"{user}\t{item}\t{at}\n")
    items = sorted(training_items(folder, "Scientific") | {str(item) for item in range(4385)})
    codes = np.random.default_rng(0).integers(0, 256, size=(len(items), 32))
    ItemCodes(items, codes, 256).save(folder / "Scientific.random.codes.safetensors")


class PlainVQRec(torch.nn.Module):
    """The model of (b): RecBole's encoder on padded prefix rows, codes looked up for each position."""

    def __init__(self, model, config):
        super().__init__()
        self.model, self.temperature = model, config["temperature"]
        dropouts = config["hidden_dropout_prob"], config["attn_dropout_prob"]
        sizes = config["n_layers"], config["n_heads"], config["hidden_size"], config["inner_size"]
        self.encoder = TransformerEncoder(*sizes, *dropouts, config["hidden_act"], config["layer_norm_eps"])
        self.dropout = torch.nn.Dropout(dropouts[0])
        self.load_from(model)

    @torch.no_grad()
    def load_from(self, model):
        """Copy the parameters of our model."""
        for theirs, (attention, feed_forward) in zip(self.encoder.layer, model.encoder.layers):
            own = theirs.multi_head_attention
            for linear, weight, bias in zip(
                (own.query, own.key, own.value),
                attention.query_key_value.weight.chunk(3),
                attention.query_key_value.bias.chunk(3),
            ):
                linear.weight.copy_(weight)
                linear.bias.copy_(bias)
            own.dense.load_state_dict(attention.dense.state_dict())
            theirs.feed_forward.dense_1.load_state_dict(feed_forward.dense_1.state_dict())
            theirs.feed_forward.dense_2.load_state_dict(feed_forward.dense_2.state_dict())

    def item_vectors(self, items):
        """Return [..., H] vectors of items, each from its own code look-up."""
        return F.embedding(self.model.items.item_codes[items], self.model.items.code_embedding.weight).mean(dim=-2)

    def states(self, rows):
        """Return [B, H] last states of prefix rows."""
        items, encoder = rows["item_id_list"], self.model.encoder
        hidden = self.item_vectors(items) + encoder.position_embedding.weight[: items.shape[1]]
        hidden = self.dropout(encoder.LayerNorm(hidden))
        mask = self.model.get_attention_mask(items)
        hidden = self.encoder(hidden, mask, output_all_encoded_layers=True)[-1]
        return F.normalize(self.model.gather_indexes(hidden, rows["item_length"] - 1), dim=-1)

    def scores(self, rows):
        """Return [B, N] scores, the item table made anew."""
        table = self.item_vectors(torch.arange(self.model.n_items))
        return self.states(rows) @ F.normalize(table, dim=-1).T / self.temperature

    def loss(self, rows):
        """Return the cross-entropy over the items without padding."""
        return F.cross_entropy(self.scores(rows)[:, 1:], rows["item_id"] - 1)


def build(**options):
    """Return (config, loaders, model) of the paper-size model on Scientific."""
    config = Config("VQRec", "Scientific", None, {"item_codes": "random", "show_progress": False, **options})
    loaders = data_preparation(config, create_dataset(config))
    torch.manual_seed(0)
    return config, loaders, config.model_class(config, loaders[0].dataset)


def check_same_loss(rows=600):
    """Return the mean loss of both paths over the same pairs at dropout 0; they must agree to 1e-5."""
    config, (stock, _, _), model = build(hidden_dropout_prob=0.0, attn_dropout_prob=0.0, training_batches="stock_rows")
    plain = PlainVQRec(model, config)
    stock._dataset = stock._dataset.copy(stock._dataset.inter_feat[:rows])
    with torch.no_grad():
        expected = plain.loss(stock._dataset[np.arange(rows)]).item()
        total = 0.0
        for batch in SequenceBatches(stock, "all_positions", 2048, 65536):
            total += model.calculate_loss(batch).item() * (batch[TARGET_LIST] > 0).sum().item()
    assert abs(total / rows - expected) < 1e-5, (total / rows, expected)
    return expected


def product_rate(size=2048, repeats=8):
    """Return the best measured float32 matrix-product rate, in operations a second."""
    left, right = torch.randn(size, size), torch.randn(size, size)
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        left @ right
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def needed_operations(config, batches, items):
    """Return the multiplications and additions an epoch needs: encoder, attention, loss; forward and backward."""
    hidden, inner = config["hidden_size"], config["inner_size"]
    length = batches.lengths[batches.sequences.row].astype(np.float64)
    linear = length.sum() * config["n_layers"] * (4 * hidden**2 + 2 * hidden * inner)
    attention = (length**2).sum() * config["n_layers"] * 2 * hidden
    loss = float(batches.sequences.targets.sum()) * items * hidden
    return 2 * 3 * (linear + attention + loss)


def timed(function):
    """Return the seconds a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main():
    """Run the comparison and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=str(ROOT.parent / "shared" / "data" / "scientific"))
    parser.add_argument("--plain-steps", type=int, default=3, help="steps of the plain path that are timed")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        import os

        os.chdir(temporary)
        prepare(Path("dataset/Scientific"), given.data)
        compare(given)
        os.chdir("/")


def time_ours(**options):
    """Return the model and what our path needs: seconds of an epoch and an evaluation, peak MB, operations."""
    config, (train, valid, _), model = build(**options)
    trainer = create_trainer(config, model)
    trainer.eval_collector.data_collect(train)
    trainer._train_epoch(train, 0)  # warm up
    with PeakMemory(config["device"]) as memory:
        epoch = min(timed(lambda: trainer._train_epoch(train, epoch)) for epoch in (1, 2))
    model.eval()
    evaluation = min(timed(lambda: trainer.evaluate(valid, load_best_model=False)) for _ in range(2))
    operations = needed_operations(config, trainer._fast_batches(train), model.n_items - 1)
    return model, {EPOCH: epoch, MEMORY: memory.bytes / 2**20, EVALUATION: evaluation, OPERATIONS: operations}


def compare(given):
    """Time both paths on the prepared data set."""
    print(f"same loss at dropout 0: {check_same_loss():.5f}", flush=True)
    model, ours = time_ours()
    reduced = time_ours(precision="bfloat16")[1]
    rate = product_rate()

    padded, (stock, stock_valid, _), _ = build(training_batches="stock_rows", eval_batch_size=2048)
    plain = PlainVQRec(model, padded).train()
    optimizer = torch.optim.Adam(plain.parameters(), lr=1e-3)

    def plain_step(rows):
        optimizer.zero_grad()
        plain.loss(rows).backward()
        optimizer.step()

    steps = iter(stock)
    plain_step(next(steps))  # warm up
    with PeakMemory(padded["device"]) as plain_memory:
        step = np.median([timed(lambda: plain_step(next(steps))) for _ in range(given.plain_steps)])
    plain_epoch = step * len(stock)
    plain.eval()
    with torch.no_grad():
        rows = next(iter(stock_valid))[0]
        scoring = min(timed(lambda: torch.topk(plain.scores(rows), 50)) for _ in range(2)) * len(stock_valid)

    table = []
    for (name, digits), slow in zip(ROWS.items(), (plain_epoch, plain_memory.bytes / 2**20, scoring)):
        numbers = (format(number, digits) for number in (reduced[name], ours[name], slow))
        table.append([name, *numbers, f"{slow / ours[name]:.0f}"])
    heads = ["", "ours, bfloat16", "ours", "plain", "plain / ours"]
    print(tabulate(table, heads, disable_numparse=True, colalign=["left", *["right"] * 4]))
    print(f"a 2048 x 2048 float32 matrix product: {rate / 1e9:.0f} GFLOP/s, {torch.get_num_threads()} threads")
    for precision, numbers in (("float32", ours), ("bfloat16", reduced)):
        reached = numbers[OPERATIONS] / numbers[EPOCH]
        print(
            f"{precision}: {numbers[OPERATIONS] / 1e12:.2f}e12 operations an epoch, "
            f"{reached / 1e9:.0f} GFLOP/s, {reached / rate:.0%} of that rate"
        )


if __name__ == "__main__":
    main()
