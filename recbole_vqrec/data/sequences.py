"""Prefix rows -> training sequences: the same (history -> next item) pairs with far fewer tokens.

Axis legend: R prefix rows, S training sequences, L history limit.

RecBole and the authors train on one row for each prefix of a user's sequence. In a causal encoder the hidden state
at position p of a long row is the last hidden state of the prefix row of length p + 1, so all rows that are prefixes
of one another are trained by the longest of them. Which rows those are is found by comparing their items, not assumed.
"""

import logging
from dataclasses import dataclass

import numpy as np

from recbole_vqrec.distributed import is_first

AUTO = "auto"  # a window_stride
LOGGER = logging.getLogger("recbole_vqrec")


@dataclass(frozen=True)
class TrainingSequences:
    """Rows that stand for themselves and for the prefixes they contain.

    Args:
        row (np.ndarray): [S] the longest row of each group.
        targets (np.ndarray): [S] how many pairs it trains: those at its last `targets` positions.
    """

    row: np.ndarray
    targets: np.ndarray

    def __len__(self):
        return len(self.row)


def single_rows(count):
    """Return each of `count` rows as a sequence with one target."""
    return TrainingSequences(np.arange(count), np.ones(count, dtype=np.int64))


def prefix_groups(users, histories, lengths, targets, window_stride=1):
    """Group prefix rows into training sequences so that every row's pair is trained exactly once.

    A user's history beyond the limit L slides: its rows share no first item and, with absolute positions, no hidden
    states. With `window_stride` 1 each such row stays on its own, which is exact. With a stride s, s consecutive rows
    share the window of the last of them, so that a pair sees between L - s + 1 and L latest items. "auto" is as
    `stride_of` has it.

    Args:
        users (np.ndarray): [R] user of each row.
        histories (np.ndarray): [R, L] items, oldest first, 0 as padding at the end.
        lengths (np.ndarray): [R] items in each history.
        targets (np.ndarray): [R] next item of each row.
        window_stride (int or str): from 1 on, beyond L it counts as L; or "auto".

    Returns:
        TrainingSequences: its targets sum to R.
    """
    order, grows, slides = _chains(users, histories, lengths, targets)
    limit, index = histories.shape[1], np.arange(len(order))
    longest = ~np.append(grows[1:], False)[: len(order)]
    others = lengths[order][longest & ~slides].sum()  # tokens of what is within the limit
    window_stride = stride_of(window_stride, limit, slides.sum(), others)
    before_slides = np.maximum.accumulate(np.where(slides, 0, index)) if len(order) else index
    within_stride = slides & ((index - before_slides - 1) % window_stride != 0)
    return _groups(order, starts=~(grows | within_stride))


def stride_of(wanted, limit, beyond, others):
    """Return how many pairs beyond the limit share a window.

    Args:
        wanted (int or str): a number, cut to the limit; "auto" is 1, which is exact, unless windows of single pairs
            make most of the tokens of an epoch: then it is half of the limit.
        limit (int): L.
        beyond (int): pairs whose history is beyond the limit.
        others (int): tokens of all else.
    """
    if wanted != AUTO:
        return min(wanted, limit)
    return max(limit // 2, 1) if beyond * limit > others else 1


def tell_windows(lengths, targets, limit):
    """Log that pairs share windows, for who has not asked for it; nothing where none do.

    Args:
        lengths, targets (np.ndarray): [S] items and pairs of each training sequence.
        limit (int): L.
    """
    beyond = (lengths == limit) & (targets < limit)
    stride = targets[beyond].max(initial=1)
    if stride > 1 and is_first():
        tokens = lengths.sum()
        exact = tokens + ((targets[beyond] - 1) * limit).sum()
        LOGGER.info(
            "histories are long: pairs beyond the first %d items of a user train in windows of %d pairs, with their "
            "latest %d to %d items, %s tokens an epoch; --window_stride=1 is exact, with %s tokens",
            limit, stride, limit - stride + 1, limit, f"{tokens:,}", f"{exact:,}",
        )  # fmt: skip


def windows(users, histories, lengths, targets):
    """Cut each user's training sequence, targets included, into stretches of at most L items.

    For models that hide items of a sequence themselves (BERT4Rec): every item is read once an epoch, whereas prefix
    rows read the first of n items n - 1 times and never show the last one.

    Args:
        users, histories, lengths, targets: as `prefix_groups`.

    Returns:
        TrainingSequences: rows whose history plus target, cut to the latest L, are the stretches.
    """
    order, grows, slides = _chains(users, histories, lengths, targets)
    index = np.arange(len(order))
    starts, limit = ~(grows | slides), histories.shape[1]
    if not len(order):
        return _groups(order, starts)
    first, chain = np.flatnonzero(starts), np.cumsum(starts) - 1
    last = np.append(first[1:], len(order)) - 1
    ends = (last[chain] - index) % limit == 0
    earliest = lengths[order][first] + 1 + (last - first) % limit  # items of a chain up to its earliest end
    ends[first] |= earliest > limit  # else nobody would read the first one
    return _groups(order, starts=np.concatenate([[True], ends[:-1]]))


def _groups(order, starts):
    """Return one sequence for each stretch of ordered rows, from one start to the next."""
    first = np.flatnonzero(starts)
    end = np.append(first[1:], len(order))[: len(first)]
    return TrainingSequences(order[end - 1], end - first)


def _chains(users, histories, lengths, targets):
    """Order the rows and tell which continue the row before: order [R], grown by one [R], slid by one [R].

    The authors write the longest prefix first, RecBole the shortest; the order with more continuations is taken.
    """
    orders = [np.argsort(users, kind="stable"), np.lexsort((-np.arange(len(users)), users))]
    linked = [(order, *_continuations(users, histories, lengths, targets, order)) for order in orders]
    return max(linked, key=lambda chain: chain[1].sum() + chain[2].sum())


def _continuations(users, histories, lengths, targets, order):
    """Tell for each ordered row whether it is the one before plus its target: [R] grown, [R] slid by one."""
    users, histories, lengths, targets = users[order], histories[order], lengths[order], targets[order]
    limit = histories.shape[1]
    full = lengths[:-1] == limit
    expected = histories[:-1].copy()
    expected[full, :-1] = histories[:-1][full, 1:]
    expected[np.arange(len(expected)), np.minimum(lengths[:-1], limit - 1)] = targets[:-1]
    same = (users[1:] == users[:-1]) & (expected == histories[1:]).all(axis=1)
    grown = same & (lengths[1:] == lengths[:-1] + 1)
    slid = same & full & (lengths[1:] == limit)
    none = np.zeros(min(len(order), 1), dtype=bool)
    return np.concatenate([none, grown]), np.concatenate([none, slid])
