"""What the authors' files say of the items and users of each domain: ids, text embeddings, texts.

Axis legend: N items, d embedding size.
"""

import numpy as np
import pandas as pd

from recbole_vqrec import artifacts
from recbole_vqrec.errors import VQRecError, examples
from recbole_vqrec.interchange.layout import read_bytes, read_lines, read_numbers

FEATURES = {"feat1CLS": False, "feat2CLS": True}  # suffix -> whether it is the word-drop view
TEXT_HEADER = "item_id:token\ttext:token_seq"


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
            original[f"{part.prefix}{number}"] = f"{part.id_prefix}{identifier}"
    return (original if ids == "original" else {number: number for number in original}), original


def read_features(layout, suffix, item_of, plm_size):
    """Return the text embeddings [N, d] in the order of numbers, or None where a domain has no such file.

    Args:
        layout (Layout): the folder.
        suffix (str): "feat1CLS" or "feat2CLS".
        item_of (dict): number -> our id of all items.
        plm_size (int): d.

    Raises:
        VQRecError: another number of rows than items, or a value that is not finite.
    """
    files = [layout.part_file(part, suffix) for part in layout.parts]
    if None in files:
        return None
    features = np.empty((len(item_of), plm_size), dtype=np.float32)
    start = 0
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
        block = features[start : start + count]
        block[:] = np.frombuffer(content, dtype="<f4").reshape(rows, plm_size)
        if not np.isfinite(block).all():
            raise VQRecError(f"{file}: row {int(np.argwhere(~np.isfinite(block))[0, 0])} is not finite")
        start += count
    return features


def read_texts(layout, item_of, original):
    """Return the item texts as a data frame in the order of the files, or None where they cannot be told.

    Args:
        layout (Layout): the folder.
        item_of (dict): number -> our id of all items.
        original (dict or None): number -> original id.

    Returns:
        pd.DataFrame or None: item_id, domain (in a mix only), text.

    Raises:
        VQRecError: a line of another form, an item twice, or other items than those of .item2index.
    """
    files = [layout.part_file(part, "text") for part in layout.parts]
    if None in files or original is None:
        return None
    rows = []
    for part, file in zip(layout.parts, files):
        texts = _texts_of(file)
        number_of = {
            identifier[len(part.id_prefix) :]: number
            for number, identifier in original.items()
            if number.startswith(part.prefix)
        }
        artifacts.rows_of(list(texts), number_of, file, "use the file of this data set")
        unknown = [item for item in texts if item not in number_of]
        if unknown:
            raise VQRecError(
                f"{file}: {len(unknown):,} items ({examples(unknown)}) are not in {part.name}.item2index; use the "
                "file of this data set"
            )
        rows += [(item_of[number_of[item]], part.name, text) for item, text in texts.items()]
    table = pd.DataFrame(rows, columns=["item_id", "domain", "text"])
    return table if layout.parts[0].prefix else table.drop(columns="domain")


def _texts_of(file):
    """Return item -> text of a .text file."""
    lines = read_lines(file)
    _, header = next(lines, (1, ""))
    if header.lstrip("\ufeff") != TEXT_HEADER:
        raise VQRecError(f"{file} line 1: found '{header[:60]}', expected item_id:token, tab, text:token_seq")
    texts = {}
    for number, line in lines:
        item, tab, text = line.partition("\t")
        if not tab or not item:
            raise VQRecError(f"{file} line {number}: found '{line[:60]}', expected item, tab, text")
        if item in texts:
            raise VQRecError(f"{file} line {number}: item '{item}' for the second time; remove it")
        texts[item] = text
    return texts
