"""What an encoder cannot hold: which items followed one another in training, counted and added to the scores.

An item that hundreds bought after another is in the training data, but a Transformer whose items share codes or texts
blurs it with all items alike. The count of the pair is exact, needs no training, and is zero for an item that is new.

Axis legend: B histories, L positions, N items with padding, P pairs of items, e entries (the
neighbours of positions of histories).
"""

import torch
from torch import nn

from recbole_vqrec.data.item_pairs import in_both_orders
from recbole_vqrec.errors import VQRecError, refuse_out_of_range

ENTRIES_AT_ONCE = 1 << 20  # bounds the memory; an entry takes some fifty bytes


class CoOccurrence(nn.Module):
    """Adds w * sum_p decay^p * log(1 + scale * s_ij) to the score of each item j.

    i is the item p steps before the end of the history; s_ij is the strength of the pair (see `item_pairs`). Scores are
    logits, so the logarithm and w = 1 fit them as they are.

    Args:
        pairs (torch.LongTensor): [P, 2] items, each unordered pair once.
        strengths (torch.FloatTensor): [P] how strongly they followed one another in training.
        config (Config): co_occurrence_weight (w), co_occurrence_decay, co_occurrence_scale, co_occurrence_history.

    Raises:
        VQRecError: an option out of its range.
    """

    def __init__(self, pairs, strengths, config):
        super().__init__()
        refuse_out_of_range(config, option_ranges("co_occurrence", good_weight=1))
        self.weight, self.scale = config["co_occurrence_weight"], config["co_occurrence_scale"]
        self.decay, self.history = config["co_occurrence_decay"], int(config["co_occurrence_history"])
        item, neighbour, strength = in_both_orders(pairs, strengths)
        order = torch.argsort(item, stable=True)
        item, neighbour, strength = item[order], neighbour[order], strength[order]
        items = int(item.max()) + 1 if len(item) else 0
        start = torch.zeros(items + 2, dtype=torch.int64)  # the last row is that of all items without a neighbour
        start[1:-1] = torch.bincount(item, minlength=items).cumsum(0)
        start[-1] = start[-2]
        # derived from the data set anew each time, so no part of a checkpoint
        for name, values in {"start": start, "neighbour": neighbour.int(), "strength": strength.float()}.items():
            self.register_buffer(name, values, persistent=False)

    def entries(self, item_seq, lengths):
        """Yield the neighbours of the latest items of the histories, at most about `ENTRIES_AT_ONCE` at once.

        Args:
            item_seq (torch.LongTensor): [B, L] items, oldest first, 0 as padding at the end.
            lengths (torch.LongTensor): [B] items in each history.

        Yields:
            tuple: history [e], steps back in it [e], neighbour [e] and its strength [e]; all those of one position of
            a history come together, each neighbour once.
        """
        steps = torch.arange(min(self.history, item_seq.shape[1]), device=item_seq.device)
        history, step = (steps < lengths[:, None]).nonzero(as_tuple=True)
        latest = item_seq[history, lengths[history] - 1 - step].clamp(max=len(self.start) - 2)
        for history, step, latest in self._pieces(history, step, latest):
            row, place = ranges(self.start, latest)
            yield history[row], step[row], self.neighbour[place].long(), self.strength[place]

    def _pieces(self, history, step, latest):
        ends = (self.start[latest + 1] - self.start[latest]).cumsum(0)
        if not len(ends) or ends[-1] <= ENTRIES_AT_ONCE:
            return [(history, step, latest)]
        sizes = torch.bincount((ends - 1).clamp(min=0) // ENTRIES_AT_ONCE).tolist()
        return zip(*(each.split(sizes) for each in (history, step, latest)))

    def value(self, step, strength):
        """Return what is added to a score [e] for strengths [e] that many steps back in the history [e]."""
        return self.weight * self.decay**step * torch.log1p(self.scale * strength)

    def add_to_all(self, scores, item_seq, lengths):
        """Return the scores of all items with their co-occurrence.

        Args:
            scores (torch.Tensor): [B, N], changed in place.
            item_seq, lengths: see `entries`.
        """
        for history, step, item, strength in self.entries(item_seq, lengths):
            value = self.value(step, strength).to(scores.dtype)
            scores.view(-1).index_add_(0, history * scores.shape[1] + item, value)
        return scores

    def add_to_one(self, scores, items, item_seq, lengths):
        """Return the scores [B] of one item a history, `items` [B], with their co-occurrence; see `add_to_all`."""
        for history, step, item, strength in self.entries(item_seq, lengths):
            asked = item == items[history]
            value = self.value(step[asked], strength[asked]).to(scores.dtype)
            scores = scores.index_add(0, history[asked], value)
        return scores


def ranges(start, rows):
    """Return the entries of some rows of a table whose row r has the entries start[r] .. start[r + 1] - 1.

    Args:
        start (torch.LongTensor): [rows + 1].
        rows (torch.LongTensor): [R].

    Returns:
        tuple: which of the R rows each entry is of [e], and its place in the table [e].
    """
    first = start[rows]
    size = start[rows + 1] - first
    row = torch.repeat_interleave(torch.arange(len(rows), device=rows.device), size)
    return row, torch.arange(len(row), device=rows.device) - (size.cumsum(0) - size - first)[row]


def option_ranges(name, good_weight):
    """Return the `refuse_out_of_range` ranges of the weight, decay, scale and history of what a history adds."""
    return {
        f"{name}_weight": (lambda value: value > 0, f"a number of at least 0, such as {good_weight}"),
        f"{name}_decay": (lambda value: 0 < value <= 1, "a number in (0, 1]"),
        f"{name}_scale": (lambda value: value > 0, "a number above 0"),
        f"{name}_history": (lambda value: value >= 1 and int(value) == value, "a whole number of at least 1"),
    }


def create_co_occurrence(config, dataset):
    """Return the `CoOccurrence` of a data set, or None where it is switched off.

    Args:
        config (Config): see `CoOccurrence`.
        dataset (SequenceDataset): gives `item_pairs`, None where it has none.

    Raises:
        VQRecError: an option out of its range; a data set that is not of this package.
    """
    if not config["co_occurrence_weight"]:
        return None
    if not hasattr(dataset, "item_pairs"):
        raise VQRecError(
            "co_occurrence_weight needs the training split of a data set of this package; build it with recbole_vqrec, "
            "or call register()"
        )
    return None if dataset.item_pairs is None else CoOccurrence(*dataset.item_pairs, config)
