"""What the models of this package share: item vectors -> causal Transformer -> score with every item.

Axis legend: B sequences, L positions, T tokens or trained pairs, N items with padding, H hidden size.
"""

import torch
import torch.nn.functional as F
from recbole.model.abstract_recommender import SequentialRecommender
from recbole.utils import InputType

from recbole_vqrec.data.batches import TARGET_LIST
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.model.history_scores import create_history_scores
from recbole_vqrec.model.losses import full_softmax_loss
from recbole_vqrec.model.packed_sequences import PackedSequences


class NextItemModel(SequentialRecommender):
    """A sequence encoder over item vectors, trained to find the next item among all items.

    A model is this class with its own item representation as `self.items`: a module with `table()` -> [N, H], and,
    where that may give several items the same vector, with `TiedItems` as `self.tied_items`.

    Args:
        config (Config): options of props/model/<model>.yaml, among them those of the sequence encoder; temperature, by
            which cosines are divided, or nothing where the score is the inner product.
        dataset (SequenceDataset): its items.

    Raises:
        VQRecError: loss_type is not CE.
    """

    input_type = InputType.POINTWISE  # one positive item a row, no sampled negatives

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.temperature, self.loss_chunk = config["temperature"], config["loss_chunk"]
        if config["loss_type"] != "CE":
            raise VQRecError(f"loss_type: '{config['loss_type']}', {config['model']} trains with CE")
        self.tied_items = None
        self.history_scores = create_history_scores(config, dataset)
        self._evaluation_table = None

    def train(self, mode=True):
        """Set training or evaluation mode; the item vectors kept for evaluation are forgotten.

        Fused optimizers change parameters without a new version of them, so versions alone would not tell.
        """
        self._evaluation_table = None
        return super().train(mode)

    def item_table(self):
        """Return the item vectors [N, H]; outside training they are computed once for the same parameters."""
        return self._tables()[0]

    def item_keys(self):
        """Return the `keys` [N, H] of all items; outside training they are computed once for the same parameters."""
        table, keys = self._tables()
        return self.keys(table) if keys is None else keys

    def _tables(self):
        """Return the item vectors [N, H] and, outside training, their `keys` [N, H]."""
        if self.training or torch.is_grad_enabled():
            return self.items.table(), None
        version = self._items_version()
        if self._evaluation_table is None or self._evaluation_table[0] != version:
            table = self.items.table()
            self._evaluation_table = (version, table, self.keys(table))
        return self._evaluation_table[1:]

    def _items_version(self):
        tensors = self.items.state_dict(keep_vars=True).values()
        # one made in torch.inference_mode counts no changes
        return [(tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version) for tensor in tensors]

    @torch.inference_mode()
    def take_over_table(self, known):
        """Compute, for use outside training, only the vectors of items that another model does not have.

        Args:
            known (NextItemModel): of the same parameters; its items are the first of these.
        """
        table, keys = known._tables()
        new = self.items.of_items(torch.arange(len(table), len(self.items.item_codes), device=table.device))
        tables = torch.cat([table, new]), torch.cat([keys, self.keys(new)])
        self._evaluation_table = (self._items_version(), *tables)

    def hidden_states(self, item_seq, packed, table, last_only=False):
        """Return the hidden state [T, H] of every token.

        Args:
            item_seq (torch.LongTensor): [B, L] items, oldest first, 0 as padding at the end.
            packed (PackedSequences): which token belongs where.
            table (torch.Tensor): [N, H] item vectors.
            last_only (bool): of the last token of each sequence only, [B, H].
        """
        return self.encoder(F.embedding(packed.pack(item_seq), table), packed, last_only=last_only)

    def queries(self, states):
        """Return hidden states [..., H] scaled so that the inner product with `keys` is the score."""
        return states if self.temperature is None else F.normalize(states, dim=-1) / self.temperature

    def keys(self, item_vectors):
        """Return item vectors [..., H] scaled so that the inner product with `queries` is the score."""
        return item_vectors if self.temperature is None else F.normalize(item_vectors, dim=-1)

    def forward(self, item_seq, item_seq_len):
        """Return the hidden state of each history's last item.

        Args:
            item_seq (torch.LongTensor): [B, L] items, oldest first, 0 as padding at the end.
            item_seq_len (torch.LongTensor): [B] items in each history.

        Returns:
            torch.Tensor: [B, H].
        """
        packed = PackedSequences(item_seq_len)
        return self.hidden_states(item_seq, packed, self.item_table(), last_only=True)

    def calculate_loss(self, interaction):
        """Return the full-softmax cross-entropy over all items (paper, section 2.4).

        Args:
            interaction (Interaction): prefix rows (item_id_list [B, L], item_length [B], item_id [B]), or sequences
                with the next item of each trained position (item_id_list [B, L], target_list [B, L]).

        Returns:
            torch.Tensor: scalar, the mean over the trained pairs.
        """
        table = self.item_table()
        states, targets = self.trained_pairs(interaction, table)
        return full_softmax_loss(self.queries(states), self.keys(table[1:]), targets - 1, self.loss_chunk)

    def trained_pairs(self, interaction, table):
        """Return hidden states [T, H] and next items [T] of the pairs that a batch trains; see `calculate_loss`."""
        packed = PackedSequences(interaction[self.ITEM_SEQ_LEN])
        return self.pairs_of(interaction, self.hidden_states(interaction[self.ITEM_SEQ], packed, table), packed)

    def next_items(self, interaction):
        """Return the item that follows each position, [B, L] with 0 where none is trained, or each row, [B]."""
        return interaction[TARGET_LIST] if TARGET_LIST in interaction else interaction[self.POS_ITEM_ID]

    def pairs_of(self, interaction, states, packed):
        """Return those of all hidden states [T, H] that are trained, and the item that follows each."""
        if TARGET_LIST not in interaction:
            return states[packed.last], interaction[self.POS_ITEM_ID]
        targets = packed.pack(interaction[TARGET_LIST])
        trained = targets.nonzero().squeeze(1)
        return states[trained], targets[trained]

    def predict(self, interaction):
        """Return the score of one item a row: [B]."""
        states = self.forward(interaction[self.ITEM_SEQ], interaction[self.ITEM_SEQ_LEN])
        items = F.embedding(interaction[self.ITEM_ID], self.item_table())
        scores = (self.queries(states) * self.keys(items)).sum(dim=-1)
        if self.tied_items is not None:
            scores = self.tied_items.shift_one(scores, interaction[self.ITEM_ID], interaction[self.ITEM_SEQ])
        if self.history_scores is None:
            return scores
        history = interaction[self.ITEM_SEQ], interaction[self.ITEM_SEQ_LEN]
        return self.history_scores.add_to_one(scores, interaction[self.ITEM_ID], *history)

    def full_sort_predict(self, interaction, items=None):
        """Return the scores of all items: [B, N]; column 0 is the padding item.

        Args:
            interaction (Interaction): item_id_list [B, L], item_length [B].
            items (torch.LongTensor, optional): [U] the only items to score, equal ones equally and by the encoder
                alone; the result is [B, U].
        """
        states = self.forward(interaction[self.ITEM_SEQ], interaction[self.ITEM_SEQ_LEN])
        if items is not None:
            return self.queries(states) @ self.keys(self.item_table()[items]).T
        scores = self.queries(states) @ self.item_keys().T
        if self.tied_items is not None:
            scores = self.tied_items.shift_all(scores, interaction[self.ITEM_SEQ])
        if self.history_scores is None:
            return scores
        return self.history_scores.add_to_all(scores, interaction[self.ITEM_SEQ], interaction[self.ITEM_SEQ_LEN])
