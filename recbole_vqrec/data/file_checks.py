"""What is wrong with an atomic file: errors that name the line, where pandas and RecBole say little."""

from pathlib import Path

import numpy as np
import pandas as pd

from recbole_vqrec.errors import VQRecError

OF_ENCODING = "convert the file, or set encoding to the file's own"


def refuse_missing_files(folder, dataset, parts=None):
    """Raise `VQRecError` if the folder of a data set or one of its interaction files is not there.

    Args:
        folder (str or Path): the data set's folder.
        dataset (str): D.
        parts (list of str, optional): of <D>.<part>.inter, where the file is split already.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise VQRecError(
            f"{folder}: data set folder not found; put {dataset}.inter there, "
            "or make it with 'recbole-vqrec preprocess', or set data_path"
        )
    for part in parts or [None]:
        file = folder / (f"{dataset}.{part}.inter" if part else f"{dataset}.inter")
        if not file.is_file():
            raise VQRecError(f"{file}: interaction file not found; expected RecBole's atomic format")


def refuse_wrong_header(path, separator, encoding, needed):
    """Raise `VQRecError` if the first line of an atomic file is not its header, no line follows, or bytes are wrong.

    Args:
        path (str or Path): the file.
        separator, encoding (str): of the file.
        needed (list of str): columns it has to have.
    """
    lines = _lines(path, encoding)
    header, rows = next(lines, "").rstrip("\n"), next(lines, None)
    if header.startswith("\ufeff"):
        raise VQRecError(f"{path}: begins with a byte order mark; save it as UTF-8 without one")
    columns = header.split(separator)
    untyped = [column for column in columns if ":" not in column]
    missing = [name for name in needed if name not in [column.split(":")[0] for column in columns]]
    if untyped or missing:
        fault = f"column '{untyped[0]}' has no type" if untyped else f"has no column {missing[0]}"
        form = separator.join(f"{name}:{'float' if name == 'timestamp' else 'token'}" for name in needed)
        raise VQRecError(f"{path} line 1: {fault}; expected a header such as '{form}', found '{header[:80]}'")
    if rows is None:
        raise VQRecError(f"{path}: has a header and no interactions")


def _lines(path, encoding):
    """Yield the lines of a file; raise `VQRecError` that names the first line that is not in its encoding."""
    try:
        with open(path, encoding=encoding) as lines:
            yield from lines
    except UnicodeDecodeError:
        explain_wrong_bytes(path, encoding)


def explain_wrong_bytes(path, encoding, remedy=OF_ENCODING):
    """Raise `VQRecError` that names the first line that is not in its encoding, if there is one."""
    try:
        Path(path).read_bytes().decode(encoding)
    except UnicodeDecodeError as error:
        line = error.object[: error.start].decode(encoding).count("\n") + 1
        raise VQRecError(
            f"{path} line {line}: is not {encoding} (byte 0x{error.object[error.start]:02x}, {error.reason}); {remedy}"
        ) from None


def refuse_wrong_field_counts(path, separator, encoding):
    """Raise `VQRecError` that names the first line with too many or few fields, which pandas shifts or drops.

    Or the first line that is not in the encoding.
    """
    lines = _lines(path, encoding)
    expected = next(lines, "").count(separator)
    for number, line in enumerate(lines, start=2):
        if line.count(separator) != expected and line.strip():
            raise VQRecError(
                f"{path} line {number}: {line.count(separator) + 1} fields, the header has {expected + 1}; "
                "correct or remove the line"
            )


def explain_bad_line(path, separator):
    """Raise `VQRecError` that names the first line whose value in a float column is no number, if there is one."""
    form = {"sep": separator, "quoting": 3, "encoding_errors": "replace"}  # of text; numbers are ASCII
    table = pd.read_csv(path, dtype=str, engine="python", on_bad_lines="skip", **form)
    for column in table:
        if str(column).endswith(":float"):
            values = table[column].dropna()
            wrong = values[pd.to_numeric(values, errors="coerce").isna()]
            if len(wrong):
                raise VQRecError(
                    f"{path} line {wrong.index[0] + 2}: {column.split(':')[0]} is '{wrong.iloc[0]}', "
                    "expected a number; correct or remove the line"
                )


def refuse_missing_values(path, features, fields):
    """Raise `VQRecError` that names the first line without a value in one of these fields.

    Args:
        path (str or Path): the file, for the message.
        features (pd.DataFrame): its lines in their order.
        fields (iterable of str): those that it has of these must be filled.
    """
    for field in fields:
        if field in features:
            missing = np.flatnonzero(features[field].isna())
            if len(missing):
                raise VQRecError(
                    f"{path} line {missing[0] + 2}: {field} is missing ({len(missing):,} such lines; empty, "
                    "'NA' and 'null' read as missing); correct or remove the line"
                )


def refuse_swallowed_lines(path, features, fields):
    """Raise `VQRecError` that names the first line whose quote opens a field and is closed in a later line or field.

    Args:
        path (str or Path): the file, for the message.
        features (pd.DataFrame): its lines in their order, as pandas' reader has taken them.
        fields (iterable of str): of tokens.
    """
    for field in fields:
        values = pd.Series(features[field].unique(), dtype=str) if field in features else pd.Series(dtype=str)
        swallowed = values[values.str.contains(r"[\n\t]")]
        if len(swallowed):
            line = np.flatnonzero(features[field].astype(str) == swallowed.iloc[0])[0] + 2
            raise VQRecError(
                f"{path} line {line}: the quote that opens {field} swallows what follows; remove it, or double the "
                "quotes of the field and put it in quotes"
            )
