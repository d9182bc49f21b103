"""Histories as users give them, lists, a data frame or a file -> lists of item ids, oldest first, for each user."""

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import torch

from recbole_vqrec.errors import VQRecError, examples
from recbole_vqrec.preprocess.atomic_files import read_delimited

USER, ITEM, TIME = ("user", "user_id"), ("item", "item_id"), ("time", "timestamp")


def as_histories(histories):
    """Return users and their histories.

    Args:
        histories (list, dict or pd.DataFrame): a list of lists of item ids (users are 0, 1, ...), user -> list of item
            ids, or a data frame with columns user (or user_id), item (or item_id) and perhaps time (or timestamp);
            without times, rows are in order.

    Returns:
        tuple: list of users, and list of lists of item ids (str), oldest first.

    Raises:
        VQRecError: another form, a column, a user or an item missing, a time missing or not a number.
    """
    if isinstance(histories, pd.DataFrame):
        return _of_table(histories)
    if isinstance(histories, dict):
        users, lists = list(histories), list(histories.values())
    else:
        lists = list(histories) if isinstance(histories, (list, tuple)) else [None]
        users = list(range(len(lists)))
    for user, items in zip(users, lists):
        if isinstance(items, (str, bytes)) or not hasattr(items, "__iter__"):
            raise VQRecError(
                f"histories: of user {user}: expected a list of item ids, found {type(items).__name__}; give a list of "
                "lists, a dict of lists or a data frame with columns user, item and perhaps time"
            )
    return users, [[str(item) for item in items] for items in lists]


def _of_table(table):
    user, item = _column(table, USER), _column(table, ITEM)
    table = table.reset_index(drop=True)
    for column in (user, item):
        missing = table[column].isna() | (table[column] == "")
        if missing.any():
            line = missing.idxmax() + 1
            raise VQRecError(f"histories: {column} is missing in row {line:,}; expected an id")
    table = table.assign(**{item: table[item].astype(str)})
    time = next((name for name in TIME if name in table), None)
    if time is not None:
        times = table[time]
        if not pd.api.types.is_datetime64_any_dtype(times):
            times = pd.to_numeric(times, errors="coerce")
        if times.isna().any():
            wrong = table[times.isna()].iloc[0]
            raise VQRecError(f"histories: {time} '{wrong[time]}' of user {wrong[user]} is no time; expected a number")
        table = table.assign(**{time: times}).sort_values(time, kind="stable")
    lists = table.groupby(user, sort=False)[item].agg(list)
    users = list(dict.fromkeys(table.sort_index()[user])) if time is not None else list(lists.index)
    return users, [lists[name] for name in users]


def _column(table, names):
    for name in names:
        if name in table:
            return name
    raise VQRecError(f"histories: column '{names[0]}' not found; the columns are {examples(table.columns, 8)}")


def read_histories(path):
    """Return the data frame of a file of histories, all columns as text except those of a parquet file.

    Args:
        path (str or Path): .parquet, .csv, or tab-separated (.tsv, .inter; RecBole's column types are dropped).

    Raises:
        VQRecError: missing, or not readable as a table.
    """
    path = Path(path)
    if not path.is_file():
        raise VQRecError(f"{path}: histories not found; give a .csv, .tsv, .inter or .parquet file")
    try:
        if path.suffix == ".parquet":
            table = pd.DataFrame(pl.read_parquet(path).to_dict(as_series=False))
        else:
            separator = "," if path.suffix == ".csv" else "\t"
            table = read_delimited(path, separator)
    except (ValueError, OSError, pl.exceptions.PolarsError) as error:
        raise VQRecError(f"{path}: not readable as a table ({' '.join(str(error).split())})") from error
    return table.rename(columns=lambda name: str(name).split(":")[0]).reset_index(drop=True)


def padded(rows, device, fill, longest=None):
    """Return [U, L] int64 of lists of numbers, filled up at the end."""
    longest = longest or max(len(each) for each in rows)
    table = np.full((len(rows), longest), fill, dtype=np.int64)
    for index, each in enumerate(rows):
        table[index, : len(each)] = each
    return torch.from_numpy(table).to(device)
