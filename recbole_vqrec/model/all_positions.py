"""RecBole's own causal models, trained at every position of a sequence instead of on its prefix rows.

Axis legend: B sequences, L positions, T trained pairs, N items with padding, H hidden size.
"""

import contextlib

from recbole_vqrec.data.batches import TARGET_LIST
from recbole_vqrec.model.losses import full_softmax_loss


def all_positions_loss(model):
    """Return the loss function of a causal RecBole model (SASRec, GRU4Rec) for batches with a target list.

    Their cross-entropy is the mean over rows of the last hidden state against `item_embedding`; the hidden states of
    all prefixes of a sequence are the positions of its longest row, so only the gathering of the last one is skipped.

    Args:
        model (SequentialRecommender): with `forward(item_seq, item_seq_len)`, `item_embedding` and loss_type CE.
    """

    def loss(interaction):
        with _every_position(model):
            hidden = model.forward(interaction[model.ITEM_SEQ], interaction[model.ITEM_SEQ_LEN])
        trained = interaction[TARGET_LIST] > 0
        items = model.item_embedding.weight[: model.n_items]
        return full_softmax_loss(hidden[trained], items, interaction[TARGET_LIST][trained])

    return loss


@contextlib.contextmanager
def _every_position(model):
    """Let the model's `gather_indexes` hand on the states of all positions inside the block."""
    model.gather_indexes = lambda output, index: output
    try:
        yield
    finally:
        del model.gather_indexes
