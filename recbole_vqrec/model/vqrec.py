"""VQ-Rec: vector-quantized item representation for transferable sequential recommendation (Hou et al., WWW 2023).

Axis legend: B sequences, L positions, T trained pairs, N items with padding, H hidden size.
"""

import torch
import torch.nn.functional as F
from recbole.model.abstract_recommender import SequentialRecommender
from recbole.utils import InputType

from recbole_vqrec.data.batches import TARGET_LIST
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.model.item_representation import CodeItemRepresentation
from recbole_vqrec.model.losses import full_softmax_loss
from recbole_vqrec.model.packed_sequences import PackedSequences
from recbole_vqrec.model.sequence_encoder import SequenceEncoder


class VQRec(SequentialRecommender):
    """Item codes -> mean code embedding -> causal Transformer -> cosine / tau with every item.

    Args:
        config (Config): options of props/model/VQRec.yaml and of the sequence encoder.
        dataset (ItemCodesDataset): gives `item_codes` [N, D] and `codes_per_codebook`.

    Raises:
        VQRecError: the data set has no item codes, or temperature or loss_type is not usable.
    """

    input_type = InputType.POINTWISE  # one positive item a row, no sampled negatives

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        if getattr(dataset, "item_codes", None) is None:
            raise VQRecError("VQRec needs a data set with item codes; build it with recbole_vqrec, or call register()")
        if not config["temperature"] > 0:
            raise VQRecError(f"temperature: {config['temperature']}, expected a number above 0 such as 0.07")
        if config["loss_type"] != "CE":
            raise VQRecError(f"loss_type: '{config['loss_type']}', VQRec trains with CE")
        self.temperature, self.loss_chunk = config["temperature"], config["loss_chunk"]
        self.items = CodeItemRepresentation(
            dataset.item_codes, dataset.codes_per_codebook, config["hidden_size"], config["initializer_range"]
        )
        self.encoder = SequenceEncoder(config)
        self._evaluation_table = None

    def item_table(self):
        """Return the item vectors [N, H]; outside training they are computed once for the same parameters."""
        if self.training or torch.is_grad_enabled():
            return self.items.table()
        weight = self.items.code_embedding.weight
        version = (weight.data_ptr(), weight._version)
        if self._evaluation_table is None or self._evaluation_table[0] != version:
            self._evaluation_table = (version, self.items.table())
        return self._evaluation_table[1]

    def forward(self, item_seq, item_seq_len):
        """Return the hidden state of each history's last item.

        Args:
            item_seq (torch.LongTensor): [B, L] items, oldest first, 0 as padding at the end.
            item_seq_len (torch.LongTensor): [B] items in each history.

        Returns:
            torch.Tensor: [B, H].
        """
        packed = PackedSequences(item_seq_len)
        return self.encoder(F.embedding(packed.pack(item_seq), self.item_table()), packed)[packed.last]

    def calculate_loss(self, interaction):
        """Return the full-softmax cross-entropy over all items with cosine / tau scores (paper, section 2.4).

        Args:
            interaction (Interaction): prefix rows (item_id_list [B, L], item_length [B], item_id [B]), or sequences with
                the next item of each trained position (item_id_list [B, L], target_list [B, L]).

        Returns:
            torch.Tensor: scalar, the mean over the trained pairs.
        """
        table, packed = self.item_table(), PackedSequences(interaction[self.ITEM_SEQ_LEN])
        states = self.encoder(F.embedding(packed.pack(interaction[self.ITEM_SEQ]), table), packed)
        if TARGET_LIST in interaction:
            targets = packed.pack(interaction[TARGET_LIST])
            trained = targets.nonzero().squeeze(1)
            states, targets = states[trained], targets[trained]
        else:
            states, targets = states[packed.last], interaction[self.POS_ITEM_ID]
        queries = F.normalize(states, dim=-1) / self.temperature
        return full_softmax_loss(queries, F.normalize(table[1:], dim=-1), targets - 1, self.loss_chunk)

    def predict(self, interaction):
        """Return the score of one item a row: [B], cosine / tau."""
        table = self.item_table()
        state = self.forward(interaction[self.ITEM_SEQ], interaction[self.ITEM_SEQ_LEN])
        item = F.embedding(interaction[self.ITEM_ID], table)
        return F.cosine_similarity(state, item, dim=-1) / self.temperature

    def full_sort_predict(self, interaction):
        """Return the scores of all items: [B, N], cosine / tau; column 0 is the padding item."""
        state = self.forward(interaction[self.ITEM_SEQ], interaction[self.ITEM_SEQ_LEN])
        return (F.normalize(state, dim=-1) / self.temperature) @ F.normalize(self.item_table(), dim=-1).T
