"""RecBole's atomic files: written in final order and only when complete, items read with their text columns."""

from pathlib import Path

import pandas as pd

from recbole_vqrec import artifacts
from recbole_vqrec.errors import VQRecError, examples

SEPARATOR = "\t"


def write_table(path, table, types):
    """Write a data frame as an atomic file.

    Args:
        path (str or Path): the file; replaced only when complete.
        table (pd.DataFrame): columns named as in `types`.
        types (dict): column name -> "token", "token_seq", "float" or "float_seq", in file order.
    """
    cleaned = table[list(types)].copy()
    for column in cleaned:
        if not pd.api.types.is_numeric_dtype(cleaned[column]):
            # tabs and line breaks end a field, and RecBole's reader takes a quote at the start of a field as quoting
            cleaned[column] = cleaned[column].astype(str).str.replace(r'[\s"]+', " ", regex=True).str.strip()
    cleaned.columns = [f"{column}:{types[column]}" for column in types]
    with artifacts.replace_when_done(path) as temporary:
        cleaned.to_csv(temporary, sep=SEPARATOR, index=False, lineterminator="\n", quoting=3, encoding="utf-8")


def read_table(path, remedy):
    """Return an atomic file as text columns whose names have lost their type; missing fields are "".

    Args:
        path (str or Path): the file.
        remedy (str): what to do if it is missing.

    Raises:
        VQRecError: the file is missing, not UTF-8, or a line has another number of fields than the header.
    """
    path = Path(path)
    if not path.is_file():
        raise VQRecError(f"{path}: not found; {remedy}")
    try:
        table = pd.read_csv(path, sep=SEPARATOR, dtype=str, quoting=3, keep_default_na=False, encoding="utf-8")
    except UnicodeDecodeError as error:
        raise VQRecError(f"{path}: not UTF-8 at byte {error.start}; convert the file") from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise VQRecError(f"{path}: {' '.join(str(error).split())}; correct the line or the header") from error
    untyped = [column for column in table if ":" not in column]
    if untyped:
        raise VQRecError(f"{path} line 1: column {examples(untyped)} has no type; write it as 'name:token'")
    return table.rename(columns=lambda column: column.split(":")[0])
