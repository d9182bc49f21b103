"""Lines of separated fields -> data frames, block by block; bad lines are noted with their numbers.

A block without quotes or faults goes through polars at once; any other block line by line, with the same result.
"""

import csv
import io
import math
import re

import polars as pl

from recbole_vqrec.preprocess.atomic_files import CONTROL, NA_WORDS
from recbole_vqrec.preprocess.raw_files import BLOCK_SIZE, blocks

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
HOLDS_CONTROL = re.compile(CONTROL).search
LINE = "line\n"  # column of line numbers: no column of a file has a line break in its name


def read_delimited(path, separator, columns, ids, numbers, bad, header=False, encoding="utf-8", **reading):
    """Yield data frames of the good lines of a file, in file order.

    Args:
        path (str or Path): the file, compressed or not.
        separator (str): one character.
        columns (list of str): name of every field of a line.
        ids (list of str): columns that identify; they have to be there and must not read as missing in RecBole.
        numbers (list of str): columns that have to be finite numbers.
        bad (BadLines): receives the other lines.
        header (bool): the first line is a header.
        encoding (str): of the file.
        reading: block_size and progress of `raw_files.blocks`.

    Yields:
        pl.DataFrame: LINE (number in the file), ids and other columns as text without blanks around, numbers as
        Float64.
    """
    reading.setdefault("block_size", BLOCK_SIZE)
    for line, block in blocks(path, encoding=encoding, **reading):
        if header and line == 1:
            block, line = block[block.index(b"\n") + 1 :], 2
        bad.lines += block.count(b"\n")
        table = _at_once(block, line, separator, columns, ids, numbers)
        if table is None:
            table = _line_by_line(block, line, separator, columns, ids, numbers, bad)
        yield table


def _at_once(block, line, separator, columns, ids, numbers):
    """Return the table of a block, or None where any line needs a closer look."""
    lines = block.count(b"\n")
    if b'"' in block or b"\0" in block or block.count(b"\r") != block.count(b"\r\n"):
        return None
    if block.count(separator.encode()) != (len(columns) - 1) * lines:
        return None
    try:
        table = pl.read_csv(
            io.BytesIO(block),
            separator=separator,
            has_header=False,
            quote_char=None,
            schema={name: pl.String for name in columns},
        )
    except (pl.exceptions.PolarsError, ValueError):
        return None
    if table.height != lines:
        return None
    table = table.with_columns(pl.col(columns).fill_null("").str.strip_chars())
    table = table.with_columns(pl.col(numbers).cast(pl.Float64, strict=False))
    faulty_id = pl.col(ids).is_in(["", *NA_WORDS]) | pl.col(ids).str.contains(CONTROL)
    faulty_number = pl.col(numbers).is_finite().not_().fill_null(True)
    if any(table.select(faulty_id.any()).row(0)) or (numbers and any(table.select(faulty_number.any()).row(0))):
        return None
    return table.select(pl.int_range(line, line + lines, dtype=pl.Int64).alias(LINE), *columns)


def _line_by_line(block, line, separator, columns, ids, numbers, bad):
    kept = []
    for number, content in enumerate(block[:-1].split(b"\n"), start=line):
        try:
            text = content.decode().rstrip("\r")
        except UnicodeDecodeError as error:
            bad.add(number, f"not UTF-8 at byte {error.start}", content.decode("utf-8", "replace"))
            continue
        if not text.strip(" "):
            continue
        fields, fault = _fields(text, separator, columns, ids, numbers)
        if fault:
            bad.add(number, fault, text)
        else:
            kept.append([number, *fields])
    schema = {LINE: pl.Int64, **{name: pl.Float64 if name in numbers else pl.String for name in columns}}
    return pl.DataFrame(kept, schema=schema, orient="row")


def _fields(text, separator, columns, ids, numbers):
    """Return (values of a line, None), or (None, what is wrong with it)."""
    if '"' not in text and "\r" not in text:
        fields = text.split(separator)
    else:
        try:
            fields = next(csv.reader([text + "\n"], delimiter=separator))
        except csv.Error as error:
            return None, "a line break inside a field" if "new-line" in str(error) else str(error)
        if fields[-1].endswith("\n"):
            return None, "a quote is opened and never closed"
    if len(fields) != len(columns):
        return None, f"{len(fields)} fields, expected {len(columns)} ({separator.join(columns)})"
    fields = [field.strip() for field in fields]
    for index, name in enumerate(columns):
        if name in ids and (fault := id_fault(fields[index])):
            return None, f"{name} {fault}"
        if name in numbers:
            value = as_number(fields[index])
            if value is None:
                return None, f"{name} {fields[index]!r} is not a number"
            fields[index] = value
    return fields, None


def as_number(text):
    """Return the finite number that a text spells in ASCII digits, or None."""
    value = float(text) if NUMBER.fullmatch(text) else math.nan
    return value if math.isfinite(value) else None


def id_fault(text):
    """Return what keeps a text from being a user or item id in an atomic file, or None."""
    if not text:
        return "is empty"
    if text in NA_WORDS:
        return f"is {text!r}, which RecBole reads as missing"
    return "holds a control character" if HOLDS_CONTROL(text) else None
