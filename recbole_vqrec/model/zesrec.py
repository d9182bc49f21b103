"""ZESRec: zero-shot recommendation from text vectors through one linear layer (Ding et al., 2021, arXiv 2105.08318).

Axis legend: N items with padding, H hidden size.
"""

from recbole_vqrec.model.sasrectext import SASRecText
from recbole_vqrec.model.text_representation import TextAndIdRepresentation


class ZESRec(SASRecText):
    """SASRecText whose items may lie off their text: item vector = universal embedding + offset, the offset penalized.

    loss = cross-entropy + lambda_v / 2 sum_j |offset_j|^2, the maximum a posteriori of offset_j ~ N(0, 1 / lambda_v).
    In a new domain the offsets are unknown and zero: they are no part of what is carried over. Without
    `offset_penalty` there are none, as in the VQ-Rec paper's comparison.

    Args:
        config (Config): options of props/model/ZESRec.yaml.
        dataset (ItemTextDataset): gives `item_text_vectors` [N, d_w].

    Raises:
        VQRecError: as `TextModel`.
    """

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.offset_penalty = config["offset_penalty"]
        if self.offset_penalty is not None:
            self.tied_items = None  # offsets tell all items apart
            vectors, adaptor = self.items.text_vectors, self.items.adaptor
            self.items = TextAndIdRepresentation(vectors, adaptor, config["hidden_size"], 0.0)

    def calculate_loss(self, interaction):
        """Return the cross-entropy as `NextItemModel` has it, plus the penalty of the offsets."""
        return self._penalized(super().calculate_loss(interaction))

    def pretraining_loss(self, interaction):
        """Return the contrast within the batch as `TextModel` has it, plus the penalty of the offsets."""
        return self._penalized(super().pretraining_loss(interaction))

    def _penalized(self, loss):
        if self.offset_penalty is None:
            return loss
        return loss + self.offset_penalty / 2 * self.items.id_embedding.weight.square().sum()
