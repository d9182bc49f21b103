"""What the latest items of a history add to the scores of items they go with, whatever it is that pairs them.

Axis legend: B histories, L positions, N items with padding, R items, e entries (items paired with one of a
history).
"""

import torch
from torch import nn

ENTRIES_AT_ONCE = 1 << 20  # bounds the memory; an entry takes some fifty bytes


class PairScores(nn.Module):
    """Adds w * sum_p decay^p * logit(s_ij) to the score of each item j that is paired with i.

    i is the item p steps before the end of the history, s_ij the strength of the pair. A subclass says what pairs are,
    and what `logit` makes of their strength.

    Args:
        item, other (torch.LongTensor): [e] pairs, as they count: item in the history, item that is scored.
        strength (torch.FloatTensor): [e].
        name (str): the options are <name>_weight (w), <name>_decay, <name>_scale and <name>_history, how many of the
            latest items count.
        config (Config): the options.
    """

    def __init__(self, item, other, strength, name, config):
        super().__init__()
        self.weight, self.scale = config[f"{name}_weight"], config[f"{name}_scale"]
        self.decay, self.history = config[f"{name}_decay"], config[f"{name}_history"]
        order = torch.argsort(item, stable=True)
        item, other, strength = item[order], other[order], strength[order]
        items = int(item.max()) + 1 if len(item) else 0
        start = torch.zeros(items + 2, dtype=torch.int64)  # the last row is that of all items without a pair
        start[1:-1] = torch.bincount(item, minlength=items).cumsum(0)
        start[-1] = start[-2]
        # derived from the data set anew each time, so no part of a checkpoint
        for name, values in {"start": start, "other": other.int(), "strength": strength.float()}.items():
            self.register_buffer(name, values, persistent=False)

    def logit(self, strength):
        """Return what a pair of a strength [e] adds to a score [e]."""
        raise NotImplementedError

    def value(self, step, strength):
        """Return what is added to a score [e] for strengths [e] that many steps back in the history [e]."""
        return self.weight * self.decay**step * self.logit(strength)

    def latest(self, item_seq, lengths):
        """Return history [R], steps back in it [R] and item [R] of the latest items of histories.

        Args:
            item_seq (torch.LongTensor): [B, L] items, oldest first, 0 as padding at the end.
            lengths (torch.LongTensor): [B] items in each history.
        """
        steps = torch.arange(min(self.history, item_seq.shape[1]), device=item_seq.device)
        history, step = (steps < lengths[:, None]).nonzero(as_tuple=True)
        return history, step, item_seq[history, lengths[history] - 1 - step]

    def entries(self, item_seq, lengths):
        """Yield what is paired with the latest items of histories, at most about `ENTRIES_AT_ONCE` at once.

        Args:
            item_seq, lengths: see `latest`.

        Yields:
            tuple: history [e], steps back in it [e], paired item [e] and strength [e]; all those of one position of a
            history come together, each paired item once.
        """
        history, step, item = self.latest(item_seq, lengths)
        for history, step, item in self._pieces(history, step, item.clamp(max=len(self.start) - 2)):
            row, place = ranges(self.start, item)
            yield history[row], step[row], self.other[place].long(), self.strength[place]

    def _pieces(self, history, step, item):
        ends = (self.start[item + 1] - self.start[item]).cumsum(0)
        if not len(ends) or ends[-1] <= ENTRIES_AT_ONCE:
            return [(history, step, item)]
        sizes = torch.bincount((ends - 1).clamp(min=0) // ENTRIES_AT_ONCE).tolist()
        return zip(*(each.split(sizes) for each in (history, step, item)))

    def add_to_all(self, scores, item_seq, lengths):
        """Return the scores of all items with what the histories add.

        Args:
            scores (torch.Tensor): [B, N], changed in place.
            item_seq, lengths: see `latest`.
        """
        for history, step, item, strength in self.entries(item_seq, lengths):
            value = self.value(step, strength).to(scores.dtype)
            scores.view(-1).index_add_(0, history * scores.shape[1] + item, value)
        return scores

    def add_to_one(self, scores, items, item_seq, lengths):
        """Return the scores [B] of one item a history, `items` [B], with what the histories add; see `add_to_all`."""
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
