"""The order of items that a model cannot tell apart, because they have the same item codes (or text vectors).

The paper has no rule for them, and a top-k breaks such ties by chance. On Scientific with the published codes 8.6 % of
the test targets have the codes of another item, most often another size or colour of the same product.

Axis legend: B histories, L positions, N items with padding, D features of an item.
"""

import numpy as np
import torch
from torch import nn

from recbole_vqrec.errors import refuse_other

ORDERS = ("unseen_popular", "popular", "arbitrary")
SPAN = 1e-4  # of a score; far above the rounding of equal ones (1e-6 of cosine / tau), far below what tells items apart


class TiedItems(nn.Module):
    """Puts items of the same features in order by shifting their scores, by at most 2e-4.

    Args:
        features (torch.Tensor): [N, D] all that the model knows of each item, its codes; row 0 the padding item.
        popularity (torch.LongTensor, optional): [N] how often each item occurs in the training split; by default items
            count as equally popular and come in the order of their internal ids.
        order (str): "unseen_popular": items of the history come last, then by popularity; "popular": by popularity
            alone; "arbitrary": scores are left as they are.

    Attributes:
        any (bool): whether there is anything to put in order.
        group (torch.IntTensor): [N] the same number for items of the same features, -1 for the padding item.

    Raises:
        VQRecError: no such order.
    """

    def __init__(self, features, popularity=None, order="unseen_popular"):
        super().__init__()
        refuse_other("tied_items", order, ORDERS)
        group, sizes = groups(np.ascontiguousarray(features[1:].cpu().numpy()))
        tied = sizes[group] > 1
        shift = popularity_shift(group, sizes, None if popularity is None else popularity[1:])
        self.any = order != "arbitrary" and bool(tied.any())
        seen_shift = SPAN * tied * (order == "unseen_popular")
        # derived from the data set anew each time, so no part of a checkpoint
        for name, values in {"popularity_shift": shift, "seen_shift": seen_shift}.items():
            padded = torch.from_numpy(np.concatenate([[0], values])).float()
            self.register_buffer(name, padded, persistent=False)
        self.register_buffer("group", torch.from_numpy(np.concatenate([[-1], group])).int(), persistent=False)

    def shift_all(self, scores, item_seq):
        """Return the scores of all items with ties put in order.

        Args:
            scores (torch.Tensor): [B, N], changed in place.
            item_seq (torch.LongTensor): [B, L] histories, 0 as padding.
        """
        if self.any:
            seen = scores.gather(1, item_seq) - self.seen_shift[item_seq]
            scores.scatter_(1, item_seq, seen).sub_(self.popularity_shift)
        return scores

    def shift_one(self, scores, items, item_seq):
        """Return the score of one item a row, shifted as `shift_all` does.

        Args:
            scores (torch.Tensor): [B].
            items (torch.LongTensor): [B].
            item_seq (torch.LongTensor): [B, L] histories, 0 as padding.
        """
        if not self.any:
            return scores
        seen = (item_seq == items[:, None]).any(dim=1)
        return scores - self.popularity_shift[items] - self.seen_shift[items] * seen


def popularity_shift(group, sizes, popularity=None):
    """Return what to subtract from the items' scores, [N] in [0, SPAN), so that those of one group come by popularity.

    Args:
        group (np.ndarray): [N] of each item.
        sizes (np.ndarray): items of each group.
        popularity (array-like, optional): [N].
    """
    count = len(group)
    popularity = np.zeros(count) if popularity is None else np.asarray(popularity)
    order = np.lexsort((np.arange(count), -popularity, group))
    start = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    rank = np.empty(count, dtype=np.int64)
    rank[order] = np.arange(count) - start[group[order]]
    return SPAN * rank / sizes[group]


def groups(features):
    """Return the group [N] of rows that are equal, and the number of rows in each group.

    Rows are compared through one number each, which takes a tenth of the time of sorting whole rows.
    """
    words = (features + 0).view(np.uint8)  # + 0: there is a negative zero
    words = np.pad(words, ((0, 0), (0, -words.shape[1] % 8))).view(np.uint64)
    factors = np.random.default_rng(0).integers(1 << 63, size=words.shape[1], dtype=np.uint64) * 2 + 1
    _, first, group, sizes = np.unique(
        (words * factors).sum(axis=1), return_index=True, return_inverse=True, return_counts=True
    )
    if not np.array_equal(features, features[first[group]]):  # different rows with the same number
        _, group, sizes = np.unique(features, axis=0, return_inverse=True, return_counts=True)
    return group.reshape(-1), sizes  # numpy 2.0 gives it another dimension
