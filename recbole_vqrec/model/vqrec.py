"""VQ-Rec: vector-quantized item representation for transferable sequential recommendation (Hou et al., WWW 2023)."""

from recbole_vqrec.errors import VQRecError
from recbole_vqrec.model.code_permutation import create_permutation
from recbole_vqrec.model.item_representation import create_item_representation
from recbole_vqrec.model.next_item import NextItemModel
from recbole_vqrec.model.pretraining import ContrastivePretraining
from recbole_vqrec.model.sequence_encoder import SequenceEncoder
from recbole_vqrec.model.tied_items import TiedItems


class VQRec(NextItemModel):
    """Item codes -> mean code embedding (+ text, + id) -> causal Transformer -> cosine / tau with every item.

    Args:
        config (Config): options of props/model/VQRec.yaml and of the sequence encoder.
        dataset (ItemCodesDataset): gives `item_codes` [N, D] and `codes_per_codebook`.

    Raises:
        VQRecError: the data set has no item codes, or loss_type is not CE.
    """

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        if getattr(dataset, "item_codes", None) is None:
            raise VQRecError("VQRec needs a data set with item codes; build it with recbole_vqrec, or call register()")
        self.items = create_item_representation(config, dataset, create_permutation(config, dataset))
        self.encoder = SequenceEncoder(config)
        self.tied_items = TiedItems(dataset.item_codes, getattr(dataset, "item_popularity", None), config["tied_items"])
        self._pretraining = ContrastivePretraining(config, dataset) if config["stage"] == "pretrain" else None

    def pretraining_loss(self, interaction):
        """Return the contrastive loss of pre-training (paper, Eq. 8); see `ContrastivePretraining.loss`."""
        return self._pretraining.loss(self, interaction)
