"""Seconds and peak memory of `recbole-vqrec preprocess amazon` on synthetic raw files of any size.

The files look like the 2018 release: users and items with long tails, ids of the real lengths, times in whole days,
metadata of some kilobytes an item with entities, tags, repeated lines and items that nobody rated.

    python benchmarks/preprocess.py 1e6 5e6 1e7 2.5e7 5e7
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np
import polars as pl
from isal import igzip

ITEMS_A_RATING = 0.05
USERS_A_RATING = 0.15
WORDS = "steel kit blue &amp; <b>new</b> pack of large cable for home garden set 12&quot; wireless mini".split()


def synthetic_amazon(folder, ratings, seed=0):
    """Write a ratings csv and a metadata json.gz, and return their paths.

    Args:
        folder (Path): where.
        ratings (int): lines of the csv; items are 5 % of that, users 15 %.
        seed (int): of the random numbers.
    """
    random = np.random.default_rng(seed)
    items = max(10, int(ratings * ITEMS_A_RATING))
    users = max(10, int(ratings * USERS_A_RATING))
    item_ids = pl.Series([f"B{number:09X}" for number in random.permutation(items * 7)[:items]])
    user_ids = pl.Series([f"A{number:013X}" for number in random.permutation(users * 7)[:users]])
    day = 86400
    table = pl.DataFrame(
        {
            "item": item_ids.gather(_long_tail(random, items, ratings, 1.3)),
            "user": user_ids.gather(_long_tail(random, users, ratings, 1.8)),
            "rating": random.integers(1, 6, ratings).astype(float),
            "time": random.integers(11_000, 17_800, ratings) * day,
        }
    )
    csv = folder / "ratings.csv"
    table.write_csv(csv, include_header=False)
    metadata = folder / "meta.json.gz"
    tails = [_rest_of_metadata(random) for _ in range(500)]
    with igzip.open(metadata, "wb", compresslevel=1) as file:
        for number, item_id in enumerate(item_ids):
            title = " ".join(random.choice(WORDS, 12)) if number % 50 else '<span class="a-size-medium"'
            category = ["Industrial & Scientific", WORDS[number % 15]]
            head = {"category": category, "title": title, "brand": WORDS[number % 7]}
            line = json.dumps(head)[:-1] + f', "asin": "{item_id}", ' + tails[number % 500] + "\n"
            file.write(line.encode() * (1 + (number % 100 == 0)))
    return csv, metadata


def _long_tail(random, size, count, power):
    """Return `count` draws of 0 .. size - 1 whose frequencies fall off as those of users and items do."""
    return np.minimum((size * random.random(count) ** power).astype(np.int64), size - 1)


def _rest_of_metadata(random):
    """Return the other keys of a metadata line, 3 to 5 kilobytes that nobody reads here."""
    also = [f"B{number:09X}" for number in random.integers(0, 2**36, random.integers(60, 140))]
    images = [f"https://images-na.ssl-images-amazon.com/images/I/{name}._SS40_.jpg" for name in also[:8]]
    text = " ".join(random.choice(WORDS, 150))
    return json.dumps({"description": [text], "also_buy": also, "also_view": also[::-1], "image": images})[1:]


def measure(arguments):
    """Run a console command in a process of its own; return (seconds, processor seconds, peak memory in bytes).

    Args:
        arguments (list of str): of `recbole-vqrec`.
    """
    started = time.monotonic()
    child = os.spawnv(os.P_NOWAIT, sys.executable, [sys.executable, "-m", "recbole_vqrec", *arguments])
    _, status, usage = os.wait4(child, 0)
    if status:
        raise SystemExit("the command failed")
    return time.monotonic() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


@click.command()
@click.argument("ratings", nargs=-1, type=float, default=(1e6,))
@click.option("--folder", type=click.Path(path_type=Path), help="where the files are made  [default: a temporary one]")
def main(ratings, folder):
    """Measure each number of RATINGS; seconds a million that stay the same show that time grows linearly."""
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
    for count in map(int, ratings):
        with tempfile.TemporaryDirectory(dir=folder) as work:
            work = Path(work)
            csv, metadata = synthetic_amazon(work, count)
            size = (csv.stat().st_size + metadata.stat().st_size) / 2**20
            options = ["--ratings", str(csv), "--metadata", str(metadata), "--name", "B", "--out", str(work / "out")]
            seconds, work_seconds, memory = measure(["preprocess", "amazon", *options])
            click.echo(
                f"{count:,} ratings, {size:,.0f} MB on disk: {seconds:.1f} s, {work_seconds:.1f} s of processor time "
                f"({work_seconds / count * 1e6:.2f} s a million), peak {memory / 2**30:.2f} GB"
            )


if __name__ == "__main__":
    main()
