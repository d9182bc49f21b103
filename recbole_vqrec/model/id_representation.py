"""Item ids -> item vectors, for the models of the comparison that know items by their id only.

Axis legend: N items with padding, R rows, H hidden size.
"""

import torch
import torch.nn.functional as F
from torch import nn


class IdItemRepresentation(nn.Module):
    """One vector an item, learned.

    Args:
        n_items (int): N.
        hidden_size (int): H.
        initializer_range (float): standard deviation of the initial vectors.
    """

    def __init__(self, n_items, hidden_size, initializer_range):
        super().__init__()
        self.id_embedding = nn.Embedding(n_items, hidden_size, padding_idx=0)
        nn.init.normal_(self.id_embedding.weight, std=initializer_range)
        with torch.no_grad():
            self.id_embedding.weight[0] = 0

    def table(self):
        """Return the vectors of all items, [N, H]; the padding item's is zero."""
        return self.id_embedding.weight

    def of_items(self, items):
        """Return the vectors of some items, [R, H]."""
        return F.embedding(items, self.id_embedding.weight)
