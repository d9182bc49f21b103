"""Interactions as read -> what is kept and in which order (paper, section 3.1.1).

Axis legend: R interactions, U users, N items.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from recbole_vqrec.errors import VQRecError


class NothingLeft(VQRecError):
    """No interaction survives the k-core."""


@dataclass(frozen=True)
class Interactions:
    """Interactions; as read they are in the order of the input.

    Attributes:
        user_ids, item_ids (pl.Series): U and N external ids in the order of their numbers, see `in_id_order`.
        users, items (np.ndarray): [R] rows of `user_ids` and `item_ids`.
        timestamps (np.ndarray): [R] float64, seconds.
        ratings (np.ndarray): [R] float64; zeros where the source has none.
    """

    user_ids: pl.Series
    item_ids: pl.Series
    users: np.ndarray
    items: np.ndarray
    timestamps: np.ndarray
    ratings: np.ndarray

    def __len__(self):
        return len(self.users)

    def take(self, rows):
        """Return the interactions of a mask or of row numbers, in that order."""
        chosen = (self.users[rows], self.items[rows], self.timestamps[rows], self.ratings[rows])
        return Interactions(self.user_ids, self.item_ids, *chosen)

    def table(self):
        """Return the data frame that <D>.inter holds; times are whole numbers where all of them are."""
        times = self.timestamps
        whole = bool(np.all((np.abs(times) < 2**53) & (times == np.floor(times))))
        return pl.DataFrame(
            {
                "user_id": self.user_ids.gather(self.users),
                "item_id": self.item_ids.gather(self.items),
                "timestamp": times.astype(np.int64) if whole else times,
            }
        )

    def used_items(self):
        """Return the ids of the items that occur, in id order."""
        return self.item_ids.gather(np.unique(self.items))


class InteractionCollector:
    """Gathers interactions block by block; each id is held in memory once."""

    def __init__(self):
        self._ids = {"user_id": pl.Categories.random(), "item_id": pl.Categories.random()}
        self._parts = []

    def add(self, table):
        """Add rows with text columns user_id and item_id, number columns timestamp and, where known, rating."""
        rating = pl.col("rating") if "rating" in table.columns else pl.lit(0.0)
        ids = [pl.col(name).cast(pl.Categorical(categories)) for name, categories in self._ids.items()]
        numbers = [pl.col("timestamp").cast(pl.Float64), rating.cast(pl.Float64).alias("rating")]
        self._parts.append(table.select(*ids, *numbers))

    def interactions(self):
        """Return all `Interactions` in the order in which they were added."""
        schema = {name: pl.Categorical(categories) for name, categories in self._ids.items()}
        nothing = pl.DataFrame(schema={**schema, "timestamp": pl.Float64, "rating": pl.Float64})
        table = pl.concat([nothing, *self._parts])
        self._parts.clear()
        (user_ids, users), (item_ids, items) = (_numbered(table[name]) for name in self._ids)
        return Interactions(user_ids, item_ids, users, items, table["timestamp"].to_numpy(), table["rating"].to_numpy())


def _numbered(column):
    """Return the distinct ids of a categorical column in id order, and each row's position among them."""
    distinct = column.unique()
    names = distinct.cast(pl.String)
    order = in_id_order(names)
    codes = distinct.to_physical().to_numpy()[order]
    position = np.zeros(int(codes.max()) + 1 if len(codes) else 0, dtype=np.uint32)
    position[codes] = np.arange(len(codes), dtype=np.uint32)
    return names.gather(order), position[column.to_physical().to_numpy()]


def in_id_order(names):
    """Return the rows that sort ids: by number where all of them are whole numbers, else by their UTF-8 bytes.

    Args:
        names (pl.Series): distinct ids.
    """
    numeric = bool(names.str.contains(r"^[0-9]+$").all())
    length = names.str.len_bytes() if numeric else pl.repeat(0, len(names), dtype=pl.UInt32, eager=True)
    table = pl.DataFrame({"length": length, "name": names})
    return table.select(pl.arg_sort_by("length", "name")).to_series().to_numpy()


def without_duplicates(interactions):
    """Return the interactions without the repetitions of a row (same user, item, rating and time); the first stays."""
    pairs = interactions.users.astype(np.uint64) * len(interactions.item_ids) + interactions.items
    ordered = np.sort(pairs)
    repeated = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    if not len(repeated):
        return interactions
    # few users rate an item twice: only their rows are compared in full
    position = np.minimum(np.searchsorted(repeated, pairs), len(repeated) - 1)
    rows = np.flatnonzero(repeated[position] == pairs)
    names = ("users", "items", "ratings", "timestamps")
    table = pl.DataFrame({name: getattr(interactions, name)[rows] for name in names}).with_columns(row=rows)
    first = table.unique(names, keep="first", maintain_order=True)["row"].to_numpy()
    keep = np.ones(len(interactions), dtype=bool)
    keep[rows] = False
    keep[first] = True
    return interactions.take(keep)


def k_core(interactions, user_k, item_k):
    """Return the largest part in which every user has `user_k` and every item `item_k` interactions or more.

    Args:
        interactions (Interactions): in any order, which is kept.
        user_k, item_k (int): 1 keeps all.

    Raises:
        NothingLeft: no interaction survives.
    """
    before, rounds = len(interactions), 0
    while len(interactions):
        rounds += 1
        keep = np.bincount(interactions.users)[interactions.users] >= user_k
        keep &= np.bincount(interactions.items)[interactions.items] >= item_k
        if keep.all():
            return interactions
        interactions = interactions.take(keep)
    raise NothingLeft(
        f"nothing is left of {before:,} interactions after {rounds} rounds of {user_k}-core users and {item_k}-core "
        "items; lower --user-k and --item-k, or give more data"
    )


def in_final_order(interactions, ties="input", seed=0):
    """Return the interactions by user, then time, then position in the input.

    Args:
        interactions (Interactions): in the order of the input.
        ties (str): "input", or "shuffle": equal times of a user in random order, as in the authors' files.
        seed (int): of the random order.
    """
    keys = [interactions.timestamps, interactions.users]
    if ties == "shuffle":
        keys.insert(0, np.random.default_rng(seed).permutation(len(interactions)))
    return interactions.take(np.lexsort(keys))
