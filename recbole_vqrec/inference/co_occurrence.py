"""Co-occurrence in serving: what followed one another in training, for histories and items of the catalogue.

Axis legend: U users, N items without padding, A of them added after training, P neighbours, n items of a block, R items,
e entries.
"""

import numpy as np
import torch

from recbole_vqrec.inference.histories import padded
from recbole_vqrec.model.co_occurrence import CoOccurrence, ranges


class ServedCoOccurrence:
    """Adds the co-occurrence to scores; an added item has the weighted mean of that of its neighbours by text.

    Without that, new items would fall behind all others. In a history an added item brings nothing.

    Args:
        co_occurrence (CoOccurrence): of the trained items, numbered from 1.
        catalogue (Catalogue): N items.
    """

    def __init__(self, co_occurrence, catalogue):
        self.co_occurrence, self.trained, self.added = co_occurrence, catalogue.trained, 0
        device = co_occurrence.start.device
        if catalogue.neighbours is not None and len(catalogue.neighbours):
            neighbours = torch.from_numpy(catalogue.neighbours).long().to(device)
            self.added = len(neighbours)
            order = torch.argsort(neighbours.flatten(), stable=True)
            self.weights = torch.from_numpy(catalogue.weights).to(device).flatten()[order]
            self.added_item = order // neighbours.shape[1]
            sizes = torch.bincount(neighbours.flatten(), minlength=self.trained)
            self.start = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])

    def with_catalogue(self, catalogue):
        """Return the same for a changed catalogue."""
        return ServedCoOccurrence(self.co_occurrence, catalogue)

    def add_to(self, blocks, rows, among):
        """Yield blocks of scores with the co-occurrence.

        Args:
            blocks (iterable): (first item among those scored, scores [U, n]).
            rows (list of list of int): U histories of item rows, none empty.
            among (torch.LongTensor or None): ascending item rows, the only ones that are scored.
        """
        user, item, value = self._entries(rows)
        scored, column = columns_of(item, among)
        user, value = user[scored], value[scored]
        for start, scores in blocks:
            here = (column >= start) & (column < start + scores.shape[1])
            yield start, scores.index_put((user[here], column[here] - start), value[here], accumulate=True)

    def _entries(self, rows):
        """Return user [e], item row [e] and what is added [e]."""
        device, found = self.co_occurrence.start.device, []
        lengths = torch.tensor([len(each) for each in rows], device=device)
        histories = padded([np.asarray(each) + 1 for each in rows], device, fill=0)
        for step, user, item, strength in self.co_occurrence.entries(histories, lengths):
            found.append((user, item - 1, self.co_occurrence.value(step, strength)))
            if self.added:
                user, item, strength = self._of_added(user, item - 1, strength)
                found.append((user, item, self.co_occurrence.value(step, strength)))
        return (torch.cat(each) for each in zip(*found))

    def _of_added(self, user, item, strength):
        """Return user [e], row [e] and strength [e] of the added items of which some of these trained ones are
        neighbours.
        """
        entry, place = ranges(self.start, item)
        key, which = torch.unique(user[entry] * self.added + self.added_item[place], return_inverse=True)
        summed = strength.new_zeros(len(key)).index_add_(0, which, strength[entry] * self.weights[place])
        return key // self.added, self.trained + key % self.added, summed


def create_served_co_occurrence(config, catalogue):
    """Return the `ServedCoOccurrence` of a run, or None where it scores without."""
    if catalogue.item_pairs is None:
        return None
    pairs, counts = torch.from_numpy(catalogue.item_pairs).long() + 1, torch.from_numpy(catalogue.pair_counts)
    return ServedCoOccurrence(CoOccurrence(pairs, counts, config).to(config["device"]), catalogue)


def columns_of(rows, among):
    """Return which item rows [R] are scored, a bool mask or a slice, and the columns of those that are.

    Args:
        rows (torch.LongTensor): [R].
        among (torch.LongTensor or None): ascending item rows, the only ones that are scored; None where all are.
    """
    if among is None:
        return slice(None), rows
    if not len(among):
        return torch.zeros(len(rows), dtype=torch.bool, device=rows.device), rows[:0]
    column = torch.searchsorted(among.to(rows.device), rows).clamp(max=len(among) - 1)
    scored = among.to(rows.device)[column] == rows
    return scored, column[scored]
