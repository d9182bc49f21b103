"""UniSRec's pre-training in pure functions: in-batch contrast, and sequences with items left out (KDD 2022, 2.2).

Axis legend: B sequences, L positions, T pairs of a batch, H hidden size.
"""

import torch
import torch.nn.functional as F


def in_batch_contrast(queries, keys, items):
    """Return the contrast of each query with its own key against the keys of the batch's other items.

    loss = -1/T sum_t log( exp(q_t.k_t) / sum_{u: u = t or items_u != items_t} exp(q_t.k_u) )  (UniSRec, Eq. 5-6)

    Args:
        queries (torch.Tensor): [T, H], any temperature applied.
        keys (torch.Tensor): [T, H].
        items (torch.LongTensor): [T] what a pair is about; other pairs about the same are left out.

    Returns:
        torch.Tensor: scalar.
    """
    scores = queries.float() @ keys.float().T
    same = (items[:, None] == items).fill_diagonal_(False)
    return F.cross_entropy(scores.masked_fill(same, float("-inf")), torch.arange(len(items), device=items.device))


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
