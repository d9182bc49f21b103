"""The prefix rows of a data set: one for each (history -> next item), and what can be counted from them.

Axis legend: R prefix rows, L history limit, N items with padding.
"""

import math

import numpy as np
import torch


class PrefixRows:
    """Where the prefix rows of interactions that are sorted by user and time lie.

    Args:
        users (np.ndarray): user of each interaction.
        limit (int): L.

    Attributes:
        target (np.ndarray): [R] interaction to predict.
        start (np.ndarray): [R] first interaction of its history.
        length (np.ndarray): [R] interactions in its history, 1 .. L.
    """

    def __init__(self, users, limit):
        index = np.arange(len(users))
        first = np.concatenate([[True], users[1:] != users[:-1]]) if len(users) else np.zeros(0, dtype=bool)
        user_start = np.maximum.accumulate(np.where(first, index, 0)) if len(users) else index
        self.limit = limit
        self.target = index[~first]
        self.start = np.maximum(user_start, index - limit)[~first]
        self.length = self.target - self.start

    def gather(self, values):
        """Return [R, L] histories of a column, zero-padded at the end."""
        offsets = np.arange(self.limit)
        inside = offsets < self.length[:, None]
        index = np.where(inside, self.start[:, None] + offsets, 0)
        return values[torch.from_numpy(index)] * torch.from_numpy(inside).to(values.dtype)


def training_counts(dataset):
    """Return the interactions of each item in the training split, [N] int64.

    Every interaction but a user's first is the target of one prefix row; the first is the history of the shortest.

    Args:
        dataset (SequentialDataset): the training split.
    """
    rows = dataset.inter_feat
    histories = rows[f"{dataset.iid_field}{dataset.config['LIST_SUFFIX']}"]
    shortest = rows[dataset.item_list_length_field] == 1  # one a user, or all of them where the history limit is 1
    columns = rows[dataset.uid_field], histories[:, 0], rows[dataset.iid_field]
    first = _first_items(*(column[shortest].numpy() for column in columns))
    seen = np.concatenate([rows[dataset.iid_field].numpy(), first])
    return np.bincount(seen, minlength=dataset.item_num)


def _first_items(users, items, targets):
    """Return the first item of each user, given the rows with histories of one item.

    RecBole writes a user's rows from the first on, the authors from the last on; the rows are read in the direction in
    which more of them go on from the target of the row before.

    Args:
        users, items, targets (np.ndarray): user, only item and next item of each row.
    """
    order = np.argsort(users, kind="stable")
    users, items, targets = users[order], items[order], targets[order]
    same = users[1:] == users[:-1]
    onward, back = (same & (targets[:-1] == items[1:])).sum(), (same & (items[:-1] == targets[1:])).sum()
    if back > onward:
        users, items = users[::-1], items[::-1]
    return items[np.unique(users, return_index=True)[1]]


def repeat_log_odds(dataset):
    """Return the log-odds that the next item is one of the history, counted in the training split; at most 0.

    Half a row is added on both sides, so that a split without repeats has a number as well. Where most rows are
    repeats, histories need no correction.

    Args:
        dataset (SequentialDataset): the training split.
    """
    rows = dataset.inter_feat
    targets = rows[dataset.iid_field]
    repeats = int((rows[f"{dataset.iid_field}{dataset.config['LIST_SUFFIX']}"] == targets[:, None]).any(dim=1).sum())
    return min(math.log((repeats + 0.5) / (len(targets) - repeats + 0.5)), 0.0)
