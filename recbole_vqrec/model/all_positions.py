"""RecBole's own causal models, trained at every position of a sequence instead of on its prefix rows.

Axis legend: B sequences, L positions, T trained pairs, N items with padding, H hidden size.
"""

import contextlib

import torch

from recbole_vqrec.data.batches import TARGET_LIST
from recbole_vqrec.model.losses import full_softmax_loss
from recbole_vqrec.model.packed_sequences import length_blocks


def all_positions_loss(model):
    """Return the loss function of a causal RecBole model (SASRec, GRU4Rec) for batches with a target list.

    Their cross-entropy is the mean over rows of the last hidden state against `item_embedding`; the hidden states of
    all prefixes of a sequence are the positions of its longest row, so only the gathering of the last one is skipped.

    Args:
        model (SequentialRecommender): with `forward(item_seq, item_seq_len)`, `item_embedding` and loss_type CE.
    """

    def loss(interaction):
        item_seq, item_seq_len = interaction[model.ITEM_SEQ], interaction[model.ITEM_SEQ_LEN]
        states, targets = [], []
        for rows, longest in length_blocks(item_seq_len):
            with _every_position(model):
                hidden = model.forward(item_seq[rows, :longest], item_seq_len[rows])
            following = interaction[TARGET_LIST][rows, :longest]
            states.append(hidden[following > 0])
            targets.append(following[following > 0])
        return full_softmax_loss(torch.cat(states), model.item_embedding.weight[: model.n_items], torch.cat(targets))

    return loss


@contextlib.contextmanager
def _every_position(model):
    """Let the model's `gather_indexes` hand on the states of all positions inside the block."""
    model.gather_indexes = lambda output, index: output
    try:
        yield
    finally:
        del model.gather_indexes
