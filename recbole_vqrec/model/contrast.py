"""UniSRec's pre-training in pure functions: in-batch contrast, and sequences with items left out (KDD 2022, 2.2).

Axis legend: B sequences, L positions, T pairs of this process, A of all processes, U their different items, H hidden
size.
"""

import torch
import torch.nn.functional as F

from recbole_vqrec.data.batches import BATCH_TARGETS, FIRST_TARGET
from recbole_vqrec.model.losses import contrastive_loss
from recbole_vqrec.model.negatives import log_counts


def in_batch_contrast(queries, keys, items):
    """Return the contrast of each query with its own key against the keys of the batch's other items.

    loss = -1/T sum_t log( exp(q_t.k_t) / sum_{u: u = t or items_u != items_t} exp(q_t.k_u) )  (UniSRec, Eq. 6)

    Scores and sums are in float32, under autocast too.

    Args:
        queries (torch.Tensor): [T, H], any temperature applied.
        keys (torch.Tensor): [T, H] in the same order.
        items (torch.LongTensor): [T] what a pair is about; other pairs about the same are left out.

    Returns:
        torch.Tensor: scalar.
    """
    own = torch.arange(len(items), device=items.device)
    with torch.autocast(queries.device.type, enabled=False):  # which would round float32 operands again
        scores = queries.float() @ keys.float().T
    same = (items[:, None] == items).fill_diagonal_(False)
    return F.cross_entropy(scores.masked_fill(same, float("-inf")), own)


def item_contrast(queries, items, own, keys_of, chunk=1 << 22):
    """Return the contrast of each query with an item of the batch against its other items (UniSRec, Eq. 5).

    That is `in_batch_contrast` where a key is an item's: each item is scored once, as often as it stands in the batch.

    Args:
        queries (torch.Tensor): [T, H], any temperature applied.
        items (torch.LongTensor): [A] of all pairs.
        own (torch.LongTensor or slice): [T] each query's place among them, slice(None) where the order is the same.
        keys_of (callable): items [U] -> keys [U, H].
        chunk (int): scores held at once.

    Returns:
        torch.Tensor: scalar.
    """
    candidates, column, counts = torch.unique(items, return_inverse=True, return_counts=True)
    return contrastive_loss(queries, keys_of(candidates), column[own], log_counts(counts), chunk=chunk)


def batch_targets(interaction, packed, stated):
    """Return the items [A] that the pairs of a batch lead to, those of other processes included, and which are own [T].

    An item is made from its text or id, so a process forms the keys of all pairs itself and nothing is gathered.

    Args:
        interaction (Interaction): optionally batch_targets [A] and first_target [1].
        packed (PackedSequences): which token belongs where.
        stated (torch.LongTensor): [B, L] or [B], see `NextItemModel.next_items`.
    """
    if stated.dim() == 1:
        return stated, torch.arange(len(stated), device=stated.device)
    first = int(interaction[FIRST_TARGET]) if FIRST_TARGET in interaction else 0
    items = interaction[BATCH_TARGETS] if BATCH_TARGETS in interaction else stated[stated > 0]
    trained = packed.pack(stated) > 0
    return items, packed.pack(row_order(stated) + first)[trained]


def row_order(following):
    """Return for each position [B, L] the number of trained positions before it, rows one after the other."""
    trained = (following > 0).flatten()
    return (trained.cumsum(0) - trained.long()).view(following.shape)


def drop_items(item_seq, item_seq_len, probability):
    """Leave each item of a sequence out with a probability, but never all of them (UniSRec, item drop).

    Args:
        item_seq (torch.LongTensor): [B, L] items, oldest first, 0 as padding at the end.
        item_seq_len (torch.LongTensor): [B].
        probability (float): 0 .. 1.

    Returns:
        tuple: item_seq [B, L] and item_seq_len [B] of the same kind; where all fell, a random one stays.
    """
    draws = torch.rand(item_seq.shape, device=item_seq.device)
    inside = torch.arange(item_seq.shape[1], device=item_seq.device) < item_seq_len[:, None]
    most = torch.where(inside, draws, -1.0).argmax(dim=1, keepdim=True)
    kept = (inside & (draws >= probability)).scatter(1, most, True)
    order = torch.argsort((~kept).to(torch.int8), dim=1, stable=True)
    return (item_seq * kept).gather(1, order), kept.sum(dim=1)
