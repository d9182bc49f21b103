"""Raw data in memory -> <D>.inter, <D>.item and the record of how they were made."""

import contextlib
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from recbole_vqrec import artifacts
from recbole_vqrec.errors import VQRecError, examples
from recbole_vqrec.preprocess.atomic_files import write_rows
from recbole_vqrec.preprocess.interactions import Interactions, in_final_order, k_core, without_duplicates
from recbole_vqrec.preprocess.item_text import NOT_TEXT
from recbole_vqrec.preprocess.record import (
    announce,
    made_from,
    outputs_of,
    refuse_foreign_files,
    say_summary,
    up_to_date,
    write_record,
)
from recbole_vqrec.preprocess.text_cleaning import clean_text

TYPES = {"user_id": "token", "item_id": "token", "timestamp": "float"}
EMPTY_TEXT = "."  # what the authors' rule makes of an empty field


@dataclass(frozen=True)
class RawData:
    """What a reader gives.

    Attributes:
        interactions (Interactions): in the order of the input.
        items (pl.DataFrame): item_id, each once, and raw text columns.
        notes (dict): counts for the record, such as bad lines.
        tokens (tuple of str): columns of one token, such as a year; the others are token sequences.
    """

    interactions: Interactions
    items: pl.DataFrame
    notes: dict = field(default_factory=dict)
    tokens: tuple = ()


def make_dataset(folder, dataset, source, options, inputs, read, force=False, say=print):
    """Write the atomic files of a data set; do nothing where they are up to date.

    Args:
        folder (str or Path): the data set's folder.
        dataset (str): D.
        source (str): the command that makes it, "amazon 2018" for example.
        options (dict): those of props/preprocess.yaml that matter here.
        inputs (list of path): the raw files.
        read (callable): returns the `RawData`; called only where there is something to do.
        force (bool): redo.
        say (callable): receives the summary, line by line.

    Returns:
        tuple: the record (dict), and whether the files were written now.

    Raises:
        VQRecError: bad input, nothing left, or a folder that cannot be written.
    """
    started = time.monotonic()
    made_by = made_from(source, options, inputs)
    paths = [artifacts.atomic_file(folder, dataset, suffix) for suffix in ("inter", "item")]
    record = None if force else up_to_date(folder, dataset, made_by, say)
    if record:
        return record, False
    refuse_foreign_files(folder, dataset, force)
    with contextlib.ExitStack() as files:
        files.callback(_remove_if_empty, folder)
        # the temporary files come first: a folder that cannot be written shows before the work, not after it
        inter, item = (files.enter_context(artifacts.replace_when_done(path)) for path in paths)
        raw = read()
        interactions, dropped = refine(raw, options)
        items = item_table(raw.items, interactions.used_items(), options)
        write_rows(inter, interactions.table(), TYPES, paths[0])
        write_rows(item, items, item_types(items, raw.tokens), paths[1])
        outputs = outputs_of(dict(zip(paths, (inter, item))))
        announce(folder, dataset, made_by)
    counts = {**raw.notes, **dropped}
    record = write_record(folder, dataset, made_by, statistics(interactions, items), counts, outputs)
    say_summary(folder, dataset, record, time.monotonic() - started, say)
    return record, True


def _remove_if_empty(folder):
    with contextlib.suppress(OSError):
        Path(folder).rmdir()


def item_types(items, tokens=()):
    """Return the atomic type of each column of an item table."""
    return {name: "token" if name in (*NOT_TEXT, *tokens) else "token_seq" for name in items.columns}


def refine(raw, options):
    """Return the interactions that stay, in final order, and how many were dropped why."""
    known = raw.interactions.item_ids.is_in(raw.items["item_id"].implode()).to_numpy()
    kept = raw.interactions.take(known[raw.interactions.items])
    dropped = {"interactions_read": len(raw.interactions), "without_metadata": len(raw.interactions) - len(kept)}
    if len(raw.interactions) and not len(kept):
        raise VQRecError(
            f"none of the {len(known):,} items of the interactions is described (interactions: "
            f"{examples(raw.interactions.item_ids)}; descriptions: {examples(raw.items['item_id'].head(3))}); "
            "give two files that belong together"
        )
    if options["duplicates"] == "drop":
        before = len(kept)
        kept = without_duplicates(kept)
        dropped["duplicates"] = before - len(kept)
    before = len(kept)
    kept = k_core(kept, options["user_k"], options["item_k"])
    dropped["below_k_core"] = before - len(kept)
    return in_final_order(kept, options["ties"], options["ties_seed"]), dropped


def item_table(items, wanted, options):
    """Return the rows of the wanted items, in that order, with clean text; an item without any text gets "."."""
    rows = pl.DataFrame({"item_id": wanted}).join(items, on="item_id", how="left", maintain_order="left")
    text_columns = [name for name in items.columns if name not in NOT_TEXT]
    if options["clean"]:
        cleaned = [
            pl.Series(name, [clean_text(text, options["long_text"]) for text in rows[name]], dtype=pl.String)
            for name in text_columns
        ]
        rows = rows.with_columns(cleaned)
    if text_columns:
        empty = pl.all_horizontal(pl.col(text_columns) == "")
        first = text_columns[0]
        rows = rows.with_columns(pl.when(empty).then(pl.lit(EMPTY_TEXT)).otherwise(pl.col(first)).alias(first))
    return rows


def statistics(interactions, items):
    """Return users, items, interactions, average length, average text length in characters, and sparsity."""
    return describe(len(np.unique(interactions.users)), len(interactions), items)


def describe(users, interactions, items):
    """Return the statistics of a data set from its numbers of users and interactions and its item table."""
    text_columns = [name for name in items.columns if name not in NOT_TEXT]
    parts = [pl.when(pl.col(name) != "").then(pl.col(name)) for name in text_columns]
    texts = items.select(pl.concat_str(parts, separator=" ", ignore_nulls=True) if parts else pl.lit("")).to_series()
    return {
        "users": users,
        "items": items.height,
        "interactions": interactions,
        "average_length": round(interactions / users, 4),
        "average_text_length": round(float(texts.str.len_chars().mean()), 4),
        "items_without_text": int(texts.is_in(["", EMPTY_TEXT]).sum()),
        "sparsity": round(1 - interactions / users / items.height, 8),
    }
