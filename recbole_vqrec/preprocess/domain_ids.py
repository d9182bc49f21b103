"""Ids of a merged data set, "<domain>-<id>": no two of its domains may make the same."""

import polars as pl

from recbole_vqrec.errors import VQRecError


def refuse_shared_ids(maker, what, ids):
    """Refuse an id that two data sets make: "a-b-1" is item "b-1" of data set a, and item "1" of data set a-b.

    Args:
        maker (str): what puts them together, the command or the merged data set, for the message.
        what (str): "item" or "user".
        ids (dict): data set -> ids with its name in front, a list or a polars column.

    Raises:
        VQRecError: names the first such id and the data sets that make it.
    """
    made = pl.concat([pl.Series(each, dtype=pl.String).unique(maintain_order=True) for each in ids.values()])
    twice = made.filter(made.is_duplicated())
    if len(twice):
        domains = " and ".join(domain for domain, each in ids.items() if twice[0] in each)
        raise VQRecError(f"{maker}: {what} '{twice[0]}' would come from {domains}; rename one of these data sets")
