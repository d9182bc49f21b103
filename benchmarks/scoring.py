"""Exact top-k over very many items: sub-item scores against the dense product, side by side in one run, one thread.

    python benchmarks/scoring.py [--items 1000000] [--codebooks 32] [--k 100] [--users 64] [--dense-items 200000]

The dense product holds the item vectors (H float32 each); where that is too much memory, a part of the items is timed
and scaled. Both give the same items, which is checked.
"""

import argparse
import time

import torch
import torch.nn.functional as F
from tabulate import tabulate

from recbole_vqrec.model.scoring import SubItemScorer, top_k

CODES_PER_CODEBOOK, HIDDEN_SIZE = 256, 300  # the paper's


def timed(function, repeats):
    """Return the least seconds of a call, and its result."""
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        result = function()
        best = min(best, time.perf_counter() - start)
    return best, result


def main():
    """Run the comparison and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--codebooks", type=int, default=32)
    parser.add_argument("--k", type=int, default=100)
    parser.add_argument("--users", type=int, default=64, help="of a batch")
    parser.add_argument("--dense-items", type=int, default=200_000, help="items of the dense product")
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    vectors = torch.randn(1 + given.codebooks * CODES_PER_CODEBOOK, HIDDEN_SIZE)
    codes = torch.randint(0, CODES_PER_CODEBOOK, (given.items, given.codebooks), dtype=torch.uint8)
    queries = F.normalize(torch.randn(given.users, HIDDEN_SIZE), dim=1) / 0.07
    loading, scorer = timed(lambda: SubItemScorer(vectors, codes, CODES_PER_CODEBOOK), 1)
    rows = []
    for users in sorted({1, 16, given.users}):
        batch = queries[:users]
        ours, _ = timed(lambda: top_k(scorer.blocks(batch), users, given.k), given.repeats)
        dense, same = dense_seconds(scorer, batch, given)
        rows.append([users, f"{ours / users * 1e3:.1f}", f"{dense / users * 1e3:.1f}", f"{dense / ours:.1f}", same])
    headers = ["users at once", "sub-item, ms a user", "dense, ms a user", "ratio", "same items"]
    print(tabulate(rows, headers, disable_numparse=True, colalign=["right"] * 5))
    ours, dense = (codes.nbytes + scorer.inverse_norms.nbytes) / 1e6, given.items * HIDDEN_SIZE * 4 / 1e6
    print(
        f"exact top {given.k} of {given.items:,} items, D = {given.codebooks}; codes {codes.nbytes / 1e6:.0f} MB, with "
        f"norms {ours:.0f} MB, dense table {dense:,.0f} MB; norms made in {loading:.1f} s; one thread, "
        f"torch {torch.__version__}"
    )


def dense_seconds(scorer, queries, given):
    """Return the seconds of the dense product over all items, scaled from a part, and whether its items are ours."""
    part = min(given.dense_items, given.items)
    table = F.normalize(scorer.vectors(scorer.codes[:part]), dim=1)
    seconds, (scores, items) = timed(lambda: torch.topk(queries @ table.T, min(given.k, part)), given.repeats)
    ours, own_items = top_k(scorer.blocks(queries, torch.arange(part)), len(queries), min(given.k, part))
    same = torch.allclose(ours, scores, atol=1e-4) and float((own_items == items).float().mean()) > 0.99
    return seconds * given.items / part, "yes" if same else "NO"


if __name__ == "__main__":
    main()
