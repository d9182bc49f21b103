"""What the authors' files say of the items and users of each domain: ids, text embeddings, texts.

Axis legend: N items, d embedding size.
"""

import numpy as np
import pandas as pd

from recbole_vqrec import artifacts
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.interchange.layout import read_bytes, read_numbers
from recbole_vqrec.preprocess.atomic_files import read_table

FEATURES = "feat1CLS"


def read_ids(layout, suffix, ids):
    """Return number -> our id in the order of numbers, and number -> original id; each None where it is not known."""
    files = [layout.part_file(part, suffix) for part in layout.parts]
    if None in files:
        lacking = layout.folder / f"{layout.parts[files.index(None)].name}.{suffix}"
        if ids == "original":
            raise VQRecError(f"{lacking}: not found; put it there, or choose --ids number")
        return None, None
    original = {}
    for part, file in zip(layout.parts, files):
        for number, identifier in enumerate(read_numbers(file)):
            if ids == "original" and ('"' in identifier or identifier.split() != [identifier]):
                raise VQRecError(f"{file}: id '{identifier}' has a blank or quote; choose --ids number")
            original[f"{part.prefix}{number}"] = f"{part.prefix}{identifier}"
    return (original if ids == "original" else {number: number for number in original}), original


def read_features(layout, item_of, plm_size):
    """Return the text embeddings [N, d] in the order of numbers, or None where a domain has no feature file."""
    files = [layout.part_file(part, FEATURES) for part in layout.parts]
    if None in files:
        return None
    blocks = []
    for part, file in zip(layout.parts, files):
        count = sum(number.startswith(part.prefix) for number in item_of)
        content = read_bytes(file)
        rows, rest = divmod(len(content), 4 * plm_size)
        if rest or rows != count:
            size = f"{len(content):,} bytes" if rest else f"{rows:,} rows"
            raise VQRecError(
                f"{file}: holds {size}, expected {count:,} rows of {plm_size} float32, one an item; use the file of "
                "this data set, or set --plm-size"
            )
        block = np.frombuffer(content, dtype="<f4").reshape(rows, plm_size)
        if not np.isfinite(block).all():
            raise VQRecError(f"{file}: row {int(np.argwhere(~np.isfinite(block))[0, 0])} is not finite")
        blocks.append(block)
    return np.concatenate(blocks)


def read_texts(layout, item_of, original):
    """Return the item texts as a data frame item_id, text in the order of the files, or None where there are none."""
    files = [layout.part_file(part, "text") for part in layout.parts]
    if None in files or original is None:
        return None
    tables = []
    for part, file in zip(layout.parts, files):
        table = read_table(file, "")
        if list(table) != ["item_id", "text"]:
            raise VQRecError(f"{file} line 1: has the columns {', '.join(table)}, expected item_id, text")
        table["item_id"] = part.prefix + table["item_id"]
        twice = table["item_id"][table["item_id"].duplicated()]
        if len(twice):
            raise VQRecError(f"{file} line {twice.index[0] + 2}: item '{twice.iloc[0]}' for the second time; remove it")
        wanted = [identifier for number, identifier in original.items() if number.startswith(part.prefix)]
        artifacts.rows_of(table["item_id"].tolist(), wanted, file, "use the file of this data set")
        extra = table["item_id"][~table["item_id"].isin(wanted)]
        if len(extra):
            raise VQRecError(
                f"{file} line {extra.index[0] + 2}: {len(extra):,} items such as '{extra.iloc[0]}' are not in "
                f"{part.name}.item2index; use the file of this data set"
            )
        tables.append(table)
    table = pd.concat(tables, ignore_index=True)
    number_of = dict(zip(original.values(), original))
    table["item_id"] = [item_of[number_of[identifier]] for identifier in table["item_id"]]
    return table
