"""Attributes of items, such as categories and brand, from <D>.item in RecBole's item order.

Axis legend: N items with padding, A attributes.
"""

import re
from collections import Counter
from pathlib import Path

import numpy as np

from recbole_vqrec import artifacts
from recbole_vqrec.errors import VQRecError, examples
from recbole_vqrec.preprocess.atomic_files import read_table

USUAL_COLUMNS = ("categories", "category", "brand", "store", "genre", "class")
SENTENCES = 2  # the authors' text is "title. categories. brand."


def load_item_attributes(config, tokens):
    """Return the attributes that items share, and which item has which.

    Args:
        config (Config): data_path (the data set's folder), dataset, and attribute_columns, attribute_separator,
            attribute_min_items of props/model/S3Rec.yaml.
        tokens (sequence of str): internal item id -> external id, tokens[0] is the padding item.

    Returns:
        tuple: list of str, A names "column: value", and np.ndarray [N, A] bool.

    Raises:
        VQRecError: no item file, no columns to take attributes from, items missing, or no attribute shared.
    """
    dataset = config["dataset"]
    path = artifacts.atomic_file(Path(config["data_path"]), dataset, "item")
    remedy = "set attribute_columns to columns of it (with attribute_separator ' ' every word is an attribute)"
    if not path.is_file():
        raise VQRecError(f"{path}: not found; {config['model']} takes attributes such as categories and brand from it")
    table = read_table(path, remedy)
    columns = _columns(config, table, path, remedy)
    rows = artifacts.rows_of(table["item_id"].tolist(), [str(token) for token in tokens[1:]], path, remedy)
    values = [_values(column, table[column].fillna("").tolist(), config["attribute_separator"]) for column in columns]
    of_item = [set().union(*(column[row] for column in values)) for row in rows]
    counts = Counter(attribute for attributes in of_item for attribute in attributes)
    names = sorted(name for name, count in counts.items() if count >= config["attribute_min_items"])
    if not names:
        fewest = config["attribute_min_items"]
        raise VQRecError(f"{path}: no value of {', '.join(columns)} is shared by {fewest} items; {remedy}")
    place = {name: index for index, name in enumerate(names)}
    made = np.zeros((len(tokens), len(names)), dtype=bool)
    for row, attributes in enumerate(of_item, start=1):
        made[row, [place[name] for name in attributes if name in place]] = True
    return names, made


def _columns(config, table, path, remedy):
    """Return the columns that are stated, else the usual ones, else the authors' text."""
    given = config["attribute_columns"]
    given = [name.strip() for name in given.split(",")] if isinstance(given, str) else given
    if given:
        missing = [name for name in given if name not in table]
        if missing:
            there = ", ".join(map(str, table.columns))
            raise VQRecError(f"{path}: has no column {examples(missing)}, only {there}; {remedy}")
        return given
    found = [name for name in USUAL_COLUMNS if name in table] or ["text"] * ("text" in table)
    if not found:
        raise VQRecError(
            f"{path}: has none of the columns {', '.join(USUAL_COLUMNS)}, text; {config['model']} needs attributes: "
            f"{remedy}"
        )
    return found


def _values(column, cells, separator):
    """Return for each item a set of attributes; of the column "text" the last sentences, categories and brand."""
    if column == "text":
        sentences = [[part for part in re.split(r"\.(?:\s+|$)", cell) if part][1:][-SENTENCES:] for cell in cells]
        return [{f"text: {part.strip().lower()}" for part in parts} for parts in sentences]
    parts = [re.split(separator, cell) for cell in cells]
    cleaned = [{part.strip(" .").lower() for part in of_item} for of_item in parts]
    return [{f"{column}: {part}" for part in of_item if any(map(str.isalnum, part))} for of_item in cleaned]
