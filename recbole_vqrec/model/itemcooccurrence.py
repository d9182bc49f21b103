"""Item-based collaborative filtering of sequences (after Sarwar et al., WWW 2001): no encoder, nothing to learn.

The baseline that any sequence encoder should beat. Axis legend: B histories, N items with padding.
"""

import torch
from recbole.model.abstract_recommender import SequentialRecommender
from recbole.utils import InputType

from recbole_vqrec.errors import VQRecError
from recbole_vqrec.model.history_scores import create_history_scores

POPULARITY = 1e-3  # of log(1 + interactions): it only orders items that never followed an item of the history


class ItemCoOccurrence(SequentialRecommender):
    """Scores an item by how often it followed the latest items of the history, or they it; see `CoOccurrence`.

    Args:
        config (Config): co_occurrence_weight and the options beside it.
        dataset (SequenceDataset): gives `item_pairs` and `item_popularity`.

    Raises:
        VQRecError: as `create_history_scores`; co_occurrence_weight is 0.
    """

    input_type = InputType.POINTWISE
    has_encoder = False

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        if not config["co_occurrence_weight"]:
            raise VQRecError("co_occurrence_weight: 0, ItemCoOccurrence has nothing else to score with")
        self.history_scores = create_history_scores(config, dataset)
        popularity = POPULARITY * torch.log1p(dataset.item_popularity.float())
        self.register_buffer("popularity", popularity, persistent=False)
        self.nothing = torch.nn.Parameter(torch.zeros(1))  # trainers want a parameter

    def calculate_loss(self, interaction):
        """Return 0: all there is to know has been counted."""
        return self.nothing.sum()

    def predict(self, interaction):
        """Return the score of one item a row: [B]."""
        scores = self.popularity[interaction[self.ITEM_ID]]
        return self._with_history(scores, interaction, interaction[self.ITEM_ID])

    def full_sort_predict(self, interaction):
        """Return the scores of all items: [B, N]; column 0 is the padding item."""
        return self._with_history(self.popularity.repeat(len(interaction), 1), interaction)

    def _with_history(self, scores, interaction, items=None):
        if self.history_scores is None:  # an engine adds it
            return scores
        history = interaction[self.ITEM_SEQ], interaction[self.ITEM_SEQ_LEN]
        if items is None:
            return self.history_scores.add_to_all(scores, *history)
        return self.history_scores.add_to_one(scores, items, *history)
