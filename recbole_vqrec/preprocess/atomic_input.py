"""Any data set in RecBole's atomic format, plain or compressed -> raw data."""

import polars as pl

from recbole_vqrec.errors import VQRecError, nearest
from recbole_vqrec.preprocess.bad_lines import BadLines
from recbole_vqrec.preprocess.dataset_files import RawData
from recbole_vqrec.preprocess.delimited import read_delimited
from recbole_vqrec.preprocess.interactions import InteractionCollector
from recbole_vqrec.preprocess.item_text import distinct_columns
from recbole_vqrec.preprocess.raw_files import first_line


def read_atomic(inter, item, text_columns=None, say=print, **reading):
    """Return the `RawData` of a pair of atomic files.

    Args:
        inter (path): with user_id, item_id, timestamp and perhaps rating.
        item (path): with item_id and text columns; of several lines for one item the first counts.
        text_columns (list of str, optional): by default all token_seq columns or, where there are none, all columns.
        say (callable): receives one line about bad lines.
        reading: block_size and progress of `raw_files.blocks`.

    Raises:
        VQRecError: a column is missing, no text column is named, a file is damaged, or too many lines are bad.
    """
    types = _header(inter, ["user_id", "item_id", "timestamp"])
    numbers = [name for name in ("timestamp", "rating") if name in types]
    bad = BadLines(inter)
    collector = InteractionCollector()
    for table in read_delimited(inter, "\t", list(types), ["user_id", "item_id"], numbers, bad, header=True, **reading):
        collector.add(table)
    bad.report(say)

    types = _header(item, ["item_id"])
    texts = [name for name in types if name != "item_id"]
    if text_columns is not None:
        chosen = distinct_columns(text_columns)
    else:
        chosen = [name for name in texts if types[name] == "token_seq"] or texts
    for name in chosen:
        if name not in texts:
            known = ", ".join(texts)
            raise VQRecError(f"{item} line 1: no text column '{name}'{nearest(name, texts)}; there are {known}")
    bad_items = BadLines(item)
    tables = list(read_delimited(item, "\t", list(types), ["item_id"], [], bad_items, header=True, **reading))
    bad_items.report(say)
    items = pl.concat([table.select("item_id", *chosen) for table in tables])
    once = items.unique("item_id", keep="first", maintain_order=True)
    notes = {
        "bad_lines_of_inter": bad.count,
        "bad_lines_of_item": bad_items.count,
        "repeated_items": items.height - once.height,
    }
    return RawData(collector.interactions(), once, notes)


def _header(path, needed):
    """Return column name -> type of an atomic file."""
    fields = [name.strip().partition(":") for name in first_line(path).split("\t")]
    types = {name: kind for name, _, kind in fields}
    for name in needed:
        if name not in types or not all(kind for _, _, kind in fields) or len(types) < len(fields):
            found = ", ".join(":".join(filter(None, (name, kind))) for name, _, kind in fields)
            raise VQRecError(
                f"{path} line 1: expected a header like 'item_id:token' with {', '.join(needed)}, each column once and "
                f"separated by tabs; found {found[:200]}"
            )
    return types
