"""What a history says beyond its encoding: the items in it, what followed them in training, what texts are like theirs;
and what an item that training has not seen is given in advance.

Axis legend: B histories, L positions, N items with padding, R items.
"""

import contextlib

from torch import nn

from recbole_vqrec.errors import foreign_data_set
from recbole_vqrec.model.co_occurrence import create_co_occurrence
from recbole_vqrec.model.text_similarity import create_text_similarity


class HistoryScores(nn.Module):
    """Adds seen_weight to the scores of the items of the history, co-occurrence and text similarity to those of all.

    Where users do not come back to an item, most of what an encoder ranks first is what they have; where they do, it
    may be too low.

    Args:
        seen_weight (float): added to the logits of the history's items.
        co_occurrence (CoOccurrence, optional): see there.
        text_similarity (TextSimilarity, optional): see there.
        new_item_weight (float): added to the logits of items without training interactions.
        popularity (torch.LongTensor, optional): [N] training interactions, row 0 the padding item.
    """

    def __init__(self, seen_weight, co_occurrence=None, text_similarity=None, new_item_weight=0, popularity=None):
        super().__init__()
        self.new_item_weight = new_item_weight
        new = None
        if new_item_weight:
            new = new_item_scores(new_item_weight, popularity)
            new[0] = 0  # the padding item is no new one
        self.register_buffer("new_item_scores", new, persistent=False)
        self.seen_weight, self.co_occurrence, self.text_similarity = seen_weight, co_occurrence, text_similarity

    def _parts(self):
        return [part for part in (self.co_occurrence, self.text_similarity) if part is not None]

    def add_to_all(self, scores, item_seq, lengths):
        """Return the scores of all items with what the histories add.

        Args:
            scores (torch.Tensor): [B, N], changed in place.
            item_seq (torch.LongTensor): [B, L] items, oldest first, 0 as padding at the end.
            lengths (torch.LongTensor): [B] items in each history.
        """
        if self.seen_weight:
            scores.scatter_(1, item_seq, scores.gather(1, item_seq) + self.seen_weight)
        if self.new_item_scores is not None:
            scores += self.new_item_scores
        for part in self._parts():
            scores = part.add_to_all(scores, item_seq, lengths)
        return scores

    def add_to_one(self, scores, items, item_seq, lengths):
        """Return the scores [B] of one item a history, `items` [B], with what the histories add; see `add_to_all`."""
        scores = scores + self.seen_weight * (item_seq == items[:, None]).any(dim=1)
        if self.new_item_scores is not None:
            scores = scores + self.new_item_scores[items]
        for part in self._parts():
            scores = part.add_to_one(scores, items, item_seq, lengths)
        return scores


def create_history_scores(config, dataset):
    """Return the `HistoryScores` of a data set, or None where nothing is added and in pre-training on many domains.

    Args:
        config (Config): seen_weight, new_item_weight and the options of `CoOccurrence` and `TextSimilarity`.
        dataset (SequenceDataset): see `create_co_occurrence` and `create_text_similarity`; None is added where its
            `scored_by_engine` is set.

    Raises:
        VQRecError: as `create_co_occurrence` and `create_text_similarity`; a data set that is not of this package.
    """
    if config["stage"] == "pretrain" or getattr(dataset, "scored_by_engine", False):
        return None
    seen_weight, new_item_weight = config["seen_weight"] or 0, config["new_item_weight"] or 0
    parts = create_co_occurrence(config, dataset), create_text_similarity(config, dataset)
    if seen_weight == "auto":  # our data sets have put a number there
        raise foreign_data_set("seen_weight: auto", "the training split")
    if not seen_weight and not new_item_weight and not any(parts):
        return None
    popularity = getattr(dataset, "item_popularity", None)
    if new_item_weight and popularity is None:
        raise foreign_data_set("new_item_weight", "the training interactions")
    return HistoryScores(seen_weight, *parts, new_item_weight, popularity)


@contextlib.contextmanager
def encoder_alone(model):
    """Let a model score without what histories add, where it has an encoder at all.

    Args:
        model (SequentialRecommender): made by `create_model`; has `has_encoder` set to False where it has none.
    """
    history_scores = getattr(model, "history_scores", None)
    if history_scores is None or not getattr(model, "has_encoder", True):
        yield
        return
    model.history_scores = None
    try:
        yield
    finally:
        model.history_scores = history_scores


def new_item_scores(weight, popularity):
    """Return the weight [R] of items, 0 for those with training interactions; their numbers are `popularity` [R]."""
    return weight * (popularity == 0).float()
