"""Ids of a merged data set, "<domain>-<id>": no two of its domains may make the same."""

from itertools import chain

import polars as pl

from recbole_vqrec.errors import VQRecError


def merged_item_ids(maker, ids):
    """Return the item ids of a merged data set, one data set after the other, each with its name in front.

    Args:
        maker (str): as `refuse_shared_ids`.
        ids (dict): data set -> its own item ids.

    Raises:
        VQRecError: as `refuse_shared_ids`.
    """
    named = {domain: [f"{domain}-{item_id}" for item_id in own] for domain, own in ids.items()}
    refuse_shared_ids(maker, "item", named)
    return list(chain(*named.values()))


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
