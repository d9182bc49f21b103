"""UniSRec: universal sequence representations from item texts (Hou et al., KDD 2022, arXiv 2206.05941).

Axis legend: B sequences, L positions, T trained pairs, N items with padding, H hidden size.
"""

import torch
import torch.nn.functional as F

from recbole_vqrec.data.text_vector_table import load_text_vectors
from recbole_vqrec.model.contrast import drop_items, in_batch_contrast
from recbole_vqrec.model.packed_sequences import PackedSequences
from recbole_vqrec.model.text_model import TextModel
from recbole_vqrec.model.text_representation import MixtureOfExpertsAdaptor, TextAndIdRepresentation


class UniSRec(TextModel):
    """Text vector -> mixture of whitened experts -> causal Transformer -> cosine / tau with every item.

    Args:
        config (Config): options of props/model/UniSRec.yaml.
        dataset (ItemTextDataset): gives `item_text_vectors` [N, d_w].

    Raises:
        VQRecError: as `TextModel`; no word-drop vectors for pre-training.
    """

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.item_drop, self.share_of_item_drop = config["item_drop"], config["share_of_item_drop"]
        self.sequence_contrast = config["sequence_contrast"]
        # a preset of fine-tuning asks for ids by VQRec's option, which in other stages is of VQRec alone
        preset_adds_id = config["stage"] == "finetune" and "id" in str(config["item_representation"]).split("+")
        if config["transductive"] or preset_adds_id:
            self.tied_items = None  # ids tell all items apart
            size, scale = config["hidden_size"], config["initializer_range"]
            self.items = TextAndIdRepresentation(self.items.text_vectors, self.items.adaptor, size, scale)
        if config["stage"] == "pretrain" and self.sequence_contrast and self.share_of_item_drop < 1:
            tokens = dataset.field2id_token[dataset.iid_field]
            self.items.second_view = torch.from_numpy(load_text_vectors(config, tokens, word_drop=True))

    def adaptor(self, config, text_size):
        """Return the mixture of experts."""
        return MixtureOfExpertsAdaptor(
            text_size, config["hidden_size"], config["experts"], config["adaptor_dropout"], config["initializer_range"]
        )

    def pretraining_loss(self, interaction):
        """Return sequence-item contrast + lambda * sequence-sequence contrast (UniSRec, Eq. 5-7).

        The next items of all processes are candidates, of the augmented sequences a process's own.

        Args:
            interaction (Interaction): item_id_list [B, L], item_length [B], target_list [B, L] or item_id [B].

        Returns:
            torch.Tensor: scalar.
        """
        loss, states, following = self.sequence_item_contrast(interaction)
        if not self.sequence_contrast:
            return loss
        augmented = self.augmented_states(interaction[self.ITEM_SEQ], interaction[self.ITEM_SEQ_LEN])
        return loss + self.sequence_contrast * in_batch_contrast(self.queries(states), self.keys(augmented), following)

    def augmented_states(self, item_seq, item_seq_len):
        """Return the last hidden states [B, H] of augmented sequences: items left out, or words of their texts.

        Each sequence is augmented in one of both ways, and of its items those are affected that fall with `item_drop`.
        """
        by_items = torch.rand(len(item_seq), device=item_seq.device) < self.share_of_item_drop
        dropped, dropped_len = drop_items(item_seq, item_seq_len, self.item_drop)
        item_seq = torch.where(by_items[:, None], dropped, item_seq)
        packed = PackedSequences(torch.where(by_items, dropped_len, item_seq_len))
        history = packed.pack(item_seq)
        views = by_items[packed.row] | (torch.rand(len(history), device=history.device) >= self.item_drop)
        vectors = torch.zeros(len(history), self.encoder.position_embedding.weight.shape[1], device=history.device)
        for view, rows in ((False, views.nonzero().squeeze(1)), (True, (~views).nonzero().squeeze(1))):
            if len(rows):
                items, index = torch.unique(history[rows], return_inverse=True)
                made = self.items.of_items(items, second_view=True) if view else self.items.of_items(items)
                vectors = vectors.index_copy(0, rows, F.embedding(index, made))
        return self.encoder(vectors, packed)[packed.last]
