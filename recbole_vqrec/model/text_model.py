"""What the models over text vectors share: where their vectors come from, and pre-training on mixed domains.

Axis legend: B sequences, L positions, T trained pairs, N items with padding, H hidden size.
"""

import torch
import torch.nn.functional as F

from recbole_vqrec.data.batches import TARGET_LIST
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.model.contrast import batch_targets, item_contrast
from recbole_vqrec.model.next_item import NextItemModel
from recbole_vqrec.model.packed_sequences import PackedSequences
from recbole_vqrec.model.sequence_encoder import SequenceEncoder
from recbole_vqrec.model.text_representation import TextItemRepresentation
from recbole_vqrec.model.tied_items import TiedItems


class TextModel(NextItemModel):
    """Text vector -> adaptor -> causal Transformer -> score with every item.

    Args:
        config (Config): options of props/model/<model>.yaml.
        dataset (ItemTextDataset): gives `item_text_vectors` [N, d_w].

    Raises:
        VQRecError: as `NextItemModel`; the data set has no text vectors.
    """

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        vectors = text_vectors_of(dataset, config["model"])
        self.items = TextItemRepresentation(vectors, self.adaptor(config, vectors.shape[1]))
        self.encoder = SequenceEncoder(config)
        if config["stage"] != "pretrain":  # items of the same text, as VQRec's of the same codes
            popularity = getattr(dataset, "item_popularity", None)
            self.tied_items = TiedItems(vectors, popularity, config["tied_items"])

    def adaptor(self, config, text_size):
        """Return the module [R, d_w] -> [R, H] that makes item vectors of text vectors."""
        raise NotImplementedError

    def pretraining_loss(self, interaction):
        """Return the contrast of each hidden state with its next item against the batch's other next items.

        Args:
            interaction (Interaction): item_id_list [B, L], item_length [B], target_list [B, L] or item_id [B], and
                optionally the targets of all processes, see `batch_targets`.

        Returns:
            torch.Tensor: scalar, the mean over the T trained pairs.
        """
        return self.sequence_item_contrast(interaction)[0]

    def sequence_item_contrast(self, interaction):
        """Return the loss of `pretraining_loss`, the last hidden states [B, H], and the items [B] that follow them."""
        packed = PackedSequences(interaction[self.ITEM_SEQ_LEN])
        history = packed.pack(interaction[self.ITEM_SEQ])
        stated = self.next_items(interaction)
        targets, own = batch_targets(interaction, packed, stated)
        items = torch.unique(torch.cat([history, stated.flatten(), targets]))
        vectors = self.items.of_items(items)
        states = self.encoder(F.embedding(torch.searchsorted(items, history), vectors), packed)
        trained, _ = self.pairs_of(interaction, states, packed)
        last = packed.pack(stated)[packed.last] if TARGET_LIST in interaction else stated

        def keys_of(candidates):
            return self.keys(F.embedding(torch.searchsorted(items, candidates), vectors))

        loss = item_contrast(self.queries(trained), targets, own, keys_of, self.loss_chunk)
        return loss, states[packed.last], last


def text_vectors_of(dataset, model):
    """Return a data set's text vectors [N, d_w].

    Raises:
        VQRecError: it has none.
    """
    vectors = getattr(dataset, "item_text_vectors", None)
    if vectors is None:
        raise VQRecError(f"{model} needs a data set with text vectors; build it with recbole_vqrec, or call register()")
    return vectors
