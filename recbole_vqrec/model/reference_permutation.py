"""The permutation as the VQ-Rec authors' code computes it, for comparison: it never learns and is no bijection.

Axis legend: D codebooks, M codes per codebook, H hidden size.
"""

import torch
from torch import nn

from recbole_vqrec import distributed
from recbole_vqrec.model.code_permutation import gumbel_noise

ITERATIONS, TEMPERATURE = 3, 0.7  # the authors' setting


class ReferencePermutation(nn.Module):
    """Row maxima of 3 Sinkhorn rounds, hardened with `ceil`, whose gradient is zero; padding takes part as row 0.

    Several codes can read one row, some read the padding row, and other rows are read by none. Noise is drawn in
    training; in evaluation the last drawn rows hold, which are part of the state.

    Args:
        codebooks, codes_per_codebook (int): D, M.

    Attributes:
        scores (torch.nn.Parameter): [D, M + 1, M + 1] uniform in 0 .. 1.
        rows (torch.LongTensor): [D, M + 1] the row that each code reads, 0 is padding.
        fixed (torch.BoolTensor): [1] whether they are drawn no more.
    """

    def __init__(self, codebooks, codes_per_codebook):
        super().__init__()
        count = codes_per_codebook + 1
        self.scores = nn.Parameter(torch.rand(codebooks, count, count))
        self.register_buffer("rows", torch.arange(count).repeat(codebooks, 1))
        self.register_buffer("fixed", torch.zeros(1, dtype=torch.bool))
        with torch.no_grad():
            self.matrix()

    def matrix(self):
        """Return [D, M + 1, M + 1] zeros and ones, one 1 a row, drawn anew."""
        scores = torch.log(self.scores.clamp(min=1e-6)) + gumbel_noise(self.scores)
        scores = scores / TEMPERATURE
        for _ in range(ITERATIONS):
            scores = scores - torch.logsumexp(scores, dim=2, keepdim=True)
            scores = scores - torch.logsumexp(scores, dim=1, keepdim=True)
        soft = scores.exp()
        largest = soft * (soft == soft.max(dim=2, keepdim=True).values)
        hard = torch.ceil(largest)
        self.rows.copy_(hard.detach().argmax(dim=2))
        return hard

    def fix(self):
        """Keep the last drawn rows for good, in all processes those of the first."""
        self.rows.copy_(torch.tensor(distributed.from_first(self.rows.tolist())))
        self.fixed.fill_(True)
        self.scores.requires_grad_(False)

    def forward(self, table):
        """Return [1 + D * M, H] code embeddings read from a table [1 + D * M, H], padding first."""
        books, count = self.rows.shape
        padded = torch.cat([table[:1].expand(books, 1, -1), table[1:].view(books, count - 1, -1)], dim=1)
        if self.training and not self.fixed:
            permuted = torch.bmm(self.matrix(), padded)
        else:
            permuted = padded.gather(1, self.rows[:, :, None].expand(-1, -1, table.shape[1]))
        return torch.cat([table[:1], permuted[:, 1:].reshape(books * (count - 1), -1)])
