"""RecBole's atomic files: written in final order and only when complete, items read with their text columns.

Fields are quoted as in csv files where they hold a quote, which RecBole's reader and `read_table` undo.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl

from recbole_vqrec import artifacts
from recbole_vqrec.data.file_checks import explain_wrong_bytes
from recbole_vqrec.errors import VQRecError, examples

SEPARATOR = "\t"
ROWS_AT_ONCE = 1 << 20  # bounds the memory of writing
CONTROL = r"[\x00-\x1f\x7f-\x9f]"
NA_WORDS = (
    "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "None", "n/a", "nan", "null",
)  # fmt: skip  # RecBole reads these as missing (pandas' default)


def write_table(path, table, types):
    """Write a data frame as an atomic file.

    Every run of blanks, line breaks and control characters in a token_seq becomes one blank; in a token, control
    characters become blanks. A token_seq that reads as missing, such as "NA", gets a dot.

    Args:
        path (str or Path): the file; replaced only when complete.
        table (pd.DataFrame or pl.DataFrame): columns named as in `types`.
        types (dict): column name -> "token", "token_seq", "float" or "float_seq", in file order.

    Raises:
        VQRecError: a token that RecBole reads as missing, or a folder that cannot be written.
    """
    with artifacts.replace_when_done(path) as temporary:
        write_rows(temporary, table, types, path)


def write_rows(temporary, table, types, path):
    """Write as `write_table` does, to a temporary file of the caller; `path` is named in messages."""
    if isinstance(table, pd.DataFrame):
        table = pl.DataFrame({name: _series(table[name]) for name in types})
    fields = [_field(name, types[name], table.schema[name]) for name in types]
    header = {name: f"{name}:{types[name]}" for name in types}
    try:
        with open(temporary, "wb") as file:
            for start in range(0, max(table.height, 1), ROWS_AT_ONCE):
                rows = table.slice(start, ROWS_AT_ONCE).select(fields)
                _refuse_missing_tokens(rows, types, path, first_line=start + 2)
                rows = rows.rename(header)
                rows.write_csv(file, separator=SEPARATOR, include_header=start == 0, quote_style="necessary")
    except OSError as error:  # polars gives no strerror, which `replace_when_done` shows
        raise OSError(error.errno or 0, str(error)) from error


def _refuse_missing_tokens(rows, types, path, first_line):
    for name in types:
        if types[name] == "token":
            missing = rows[name].is_in(NA_WORDS).fill_null(False)
            if missing.any():
                raise VQRecError(
                    f"{path} line {missing.arg_true()[0] + first_line}: {name} is '{rows[name].filter(missing)[0]}', "
                    "which RecBole reads as missing; rename it"
                )


def _series(column):
    """Return a pandas column as polars column without the detour over pyarrow."""
    return column.to_numpy() if pd.api.types.is_numeric_dtype(column) else column.fillna("").astype(str).tolist()


def _field(name, kind, dtype):
    """Return the polars expression of a column as it is written; empty fields are nulls, which write nothing."""
    field = pl.col(name)
    if dtype.is_numeric():
        return field
    if kind == "token":
        field = field.cast(pl.String).str.replace_all(CONTROL, " ").str.strip_chars()
    else:
        field = field.cast(pl.String).str.replace_all(r"[\s\x00-\x1f\x7f-\x9f]+", " ").str.strip_chars()
        field = pl.when(field.is_in(NA_WORDS)).then(field + ".").otherwise(field)
    return pl.when(field == "").then(None).otherwise(field).alias(name)


def read_delimited(path, separator):
    """Return a delimited file as text columns; pandas' way of taking a field too many for an index is an error.

    Raises:
        ValueError: not readable, one of pandas' errors.
    """
    table = pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8")
    if not isinstance(table.index, pd.RangeIndex):
        raise pd.errors.ParserError("its lines have more fields than the header")
    return table


def read_interactions(path, remedy):
    """Return a whole file of interactions as `read_table`, its timestamp as numbers; see `with_times`."""
    return with_times(read_table(path, remedy), path)


def with_times(table, path):
    """Return interactions with their timestamp as numbers.

    Args:
        table (pd.DataFrame): of `read_table`.
        path (str or Path): the file, for the message.

    Raises:
        VQRecError: a column that is missing, or a time that is no number.
    """
    missing = [name for name in ("user_id", "item_id", "timestamp") if name not in table]
    if missing:
        raise VQRecError(f"{path} line 1: has no column {examples(missing)}, only {examples(table.columns, 8)}; add it")
    times = pd.to_numeric(table["timestamp"], errors="coerce")
    wrong = np.flatnonzero(times.isna())
    if len(wrong):
        found = table["timestamp"].iloc[wrong[0]]
        raise VQRecError(f"{path} line {wrong[0] + 2}: timestamp is '{found}', expected a number; correct the line")
    return table.assign(timestamp=times)


def read_table(path, remedy):
    """Return an atomic file as text columns whose names have lost their type; missing fields are "".

    Args:
        path (str or Path): the file.
        remedy (str): what to do if it is missing.

    Raises:
        VQRecError: the file is missing, not UTF-8, a line has another number of fields than the header, or a quote
            opens a field and is not closed in its line.
    """
    path = Path(path)
    if not path.is_file():
        raise VQRecError(f"{path}: not found; {remedy}")
    try:
        table = read_delimited(path, SEPARATOR)
    except UnicodeDecodeError as error:
        explain_wrong_bytes(path, "utf-8", "convert the file")
        raise VQRecError(f"{path}: {error}") from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise VQRecError(f"{path}: {' '.join(str(error).split())}; correct the line or the header") from error
    untyped = [column for column in table if ":" not in column]
    if untyped:
        raise VQRecError(f"{path} line 1: column {examples(untyped)} has no type; write it as 'name:token'")
    for column in table:
        swallowed = table[column].str.contains("\n", regex=False)
        if swallowed.any():
            raise VQRecError(
                f"{path} line {swallowed.idxmax() + 2}: the quote that opens {column.split(':')[0]} swallows the next "
                "line; remove it, or double the quotes of the field and put it in quotes"
            )
    return table.rename(columns=lambda column: column.split(":")[0])
