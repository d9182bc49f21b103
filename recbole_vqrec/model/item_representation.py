"""Item codes -> item vectors: the mean of an item's code embeddings (paper, section 2.2.1, Eq. 3).

Axis legend: N items with padding, D codebooks, M codes per codebook, H hidden size.
"""

import torch
import torch.nn.functional as F
from torch import nn

from recbole_vqrec.quantization.item_codes import PADDING_CODE, table_size


class CodeItemRepresentation(nn.Module):
    """One embedding a code of each codebook; an item is the mean of its D code embeddings.

    Args:
        item_codes (torch.LongTensor): [N, D] flat code ids, row 0 the padding item.
        codes_per_codebook (int): M.
        hidden_size (int): H.
        initializer_range (float): standard deviation of the initial embeddings; they are not the centroids.
    """

    def __init__(self, item_codes, codes_per_codebook, hidden_size, initializer_range):
        super().__init__()
        self.register_buffer("item_codes", item_codes)
        rows = table_size(item_codes.shape[1], codes_per_codebook)
        self.code_embedding = nn.Embedding(rows, hidden_size, padding_idx=PADDING_CODE)
        nn.init.normal_(self.code_embedding.weight, std=initializer_range)
        with torch.no_grad():
            self.code_embedding.weight[PADDING_CODE] = 0

    def table(self):
        """Return the vectors of all items, [N, H]; the padding item's is zero."""
        padding = self.code_embedding.weight.new_zeros(1, self.code_embedding.weight.shape[1])
        return torch.cat([padding, self._mean(self.item_codes[1:])])

    def forward(self, codes):
        """Return the vectors of codes that need not belong to an item.

        Args:
            codes (torch.LongTensor): [..., D] flat code ids, none of them padding.

        Returns:
            torch.Tensor: [..., H].
        """
        return self._mean(codes.reshape(-1, codes.shape[-1])).view(*codes.shape[:-1], -1)

    def _mean(self, codes):
        """Return the mean embedding [R, H] of codes [R, D] without padding, a fifth of the time of padding_idx."""
        return F.embedding_bag(codes, self.code_embedding.weight, mode="mean")
