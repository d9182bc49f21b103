"""What an encoder cannot hold: which items followed one another in training, counted and added to the scores.

An item that hundreds bought after another is in the training data, but a Transformer whose items share codes or texts
blurs it with all items alike. The count of the pair is exact, needs no training, and is zero for an item that is new.

Axis legend: P unordered pairs of items, e entries.
"""

import torch

from recbole_vqrec.data.item_pairs import in_both_orders
from recbole_vqrec.errors import foreign_data_set
from recbole_vqrec.model.pair_scores import PairScores


class CoOccurrence(PairScores):
    """Adds w * sum_p decay^p * log(1 + scale * s_ij) to the score of each item j; see `PairScores`.

    s_ij says how strongly the items followed one another in training (see `item_pairs`). Scores are logits, so the
    logarithm and w = 1 fit them as they are.

    Args:
        pairs (torch.LongTensor): [P, 2] items, each unordered pair once.
        strengths (torch.FloatTensor): [P].
        config (Config): co_occurrence_weight (w), co_occurrence_decay, co_occurrence_scale, co_occurrence_history.
    """

    def __init__(self, pairs, strengths, config):
        super().__init__(*in_both_orders(pairs, strengths), "co_occurrence", config)

    def logit(self, strength):
        """Return log(1 + scale * s) [e]."""
        return torch.log1p(self.scale * strength)


def create_co_occurrence(config, dataset):
    """Return the `CoOccurrence` of a data set, or None where it is switched off.

    Args:
        config (Config): see `CoOccurrence`.
        dataset (SequenceDataset): gives `item_pairs`, None where it has none.

    Raises:
        VQRecError: a data set that is not of this package.
    """
    if not config["co_occurrence_weight"]:
        return None
    if not hasattr(dataset, "item_pairs"):
        raise foreign_data_set("co_occurrence_weight", "the training split")
    return None if dataset.item_pairs is None else CoOccurrence(*dataset.item_pairs, config)
