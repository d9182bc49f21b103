"""What a history says beyond its encoding: which items are in it, and what followed its items in training.

Axis legend: B histories, L positions, N items with padding.
"""

from torch import nn

from recbole_vqrec.errors import VQRecError
from recbole_vqrec.model.co_occurrence import create_co_occurrence


class HistoryScores(nn.Module):
    """Adds seen_weight to the scores of the items of the history, and the co-occurrence to those of all items.

    Where users do not come back to an item, most of what an encoder ranks first is what they have; where they do, it
    may be too low.

    Args:
        seen_weight (float): added to the logits of the history's items.
        co_occurrence (CoOccurrence, optional): see there.
    """

    def __init__(self, seen_weight, co_occurrence=None):
        super().__init__()
        self.seen_weight, self.co_occurrence = seen_weight, co_occurrence

    def add_to_all(self, scores, item_seq, lengths):
        """Return the scores of all items with what the histories add.

        Args:
            scores (torch.Tensor): [B, N], changed in place.
            item_seq (torch.LongTensor): [B, L] items, oldest first, 0 as padding at the end.
            lengths (torch.LongTensor): [B] items in each history.
        """
        if self.seen_weight:
            scores.scatter_(1, item_seq, scores.gather(1, item_seq) + self.seen_weight)
        return scores if self.co_occurrence is None else self.co_occurrence.add_to_all(scores, item_seq, lengths)

    def add_to_one(self, scores, items, item_seq, lengths):
        """Return the scores [B] of one item a history, `items` [B], with what the histories add; see `add_to_all`."""
        scores = scores + self.seen_weight * (item_seq == items[:, None]).any(dim=1)
        return scores if self.co_occurrence is None else self.co_occurrence.add_to_one(scores, items, item_seq, lengths)


def create_history_scores(config, dataset):
    """Return the `HistoryScores` of a data set, or None where nothing is added and in pre-training on many domains.

    Args:
        config (Config): seen_weight and the options of `CoOccurrence`.
        dataset (SequenceDataset): see `create_co_occurrence`; None is added where its `scored_by_engine` is set.

    Raises:
        VQRecError: seen_weight is no number; as `create_co_occurrence`.
    """
    if config["stage"] == "pretrain" or getattr(dataset, "scored_by_engine", False):
        return None
    seen_weight = config["seen_weight"] or 0
    if isinstance(seen_weight, bool) or not isinstance(seen_weight, (int, float)):
        raise VQRecError(f"seen_weight: {seen_weight!r}, expected a number such as -5, or auto")
    co_occurrence = create_co_occurrence(config, dataset)
    return HistoryScores(seen_weight, co_occurrence) if seen_weight or co_occurrence else None
