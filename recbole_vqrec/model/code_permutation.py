"""Which pre-trained code embedding each code of a new domain takes: one permutation a codebook (paper, Eq. 9-10).

Axis legend: D codebooks, M codes per codebook, H hidden size. Padding is no code and takes no part.
"""

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import nn

from recbole_vqrec.errors import VQRecError, refuse_other

NEAR = 3.0  # largest log of a row sum for that
KINDS = ("soft", "hard", "fixed", "none", "reference")


def doubly_stochastic(scores, iterations=200, tolerance=3e-5):
    """Return the doubly stochastic matrices exp(scores + f_i + g_j) by alternating normalisation (Sinkhorn 1964).

    The gradient is that of the limit, by the implicit function theorem: nothing of the iterations is stored.

    Args:
        scores (torch.Tensor): [D, M, M].
        iterations (int): rounds of a row and a column normalisation at most.
        tolerance (float): largest deviation of a row sum from 1 at which the iterations end.

    Returns:
        torch.Tensor: [D, M, M], columns sum to 1, rows as near as the iterations came.
    """
    return _DoublyStochastic.apply(scores, iterations, tolerance)


class _DoublyStochastic(torch.autograd.Function):
    @staticmethod
    def forward(ctx, scores, iterations, tolerance):
        wide = scores.dtype == torch.float64
        with torch.autocast(scores.device.type, enabled=False):  # bfloat16 never comes near the tolerance
            matrix = _sinkhorn(scores.double() if wide else scores.float(), iterations, tolerance)
        ctx.save_for_backward(matrix)
        return matrix

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, upstream):
        """Return P * (G - a 1' - 1 b'), where a + P b and P' a + b are the row and column sums of P * G."""
        (matrix,) = ctx.saved_tensors
        p = matrix.double()
        weighted = p * upstream
        rows, columns = weighted.sum(2, keepdim=True), weighted.sum(1).unsqueeze(2)
        count = p.shape[1]
        # a constant moved from a to b changes nothing: 1/M fixes it; the small ridge stands for nearly hard matrices
        system = torch.eye(count, dtype=p.dtype, device=p.device) * (1 + 1e-9) - p.mT @ p + 1 / count
        b = torch.linalg.solve(system, columns - p.mT @ rows)
        a = rows - p @ b
        return (weighted - p * (a + b.mT)).to(matrix.dtype), None, None


def _sinkhorn(scores, iterations, tolerance):
    """Return the normalised matrices: by scaling, in a tenth of the time, once log space made row sums about 1."""
    scaled = None
    for done in range(iterations):
        rows = torch.logsumexp(scores, dim=2, keepdim=True)
        deviation = rows.abs().max()
        if done and deviation < NEAR and scaled is None:
            scaled = _scaled(scores.exp(), iterations - done, tolerance)
            if torch.isfinite(scaled).all():
                return scaled
        if deviation <= tolerance:  # only where the scaling under- or overflowed
            break
        scores = scores - rows
        scores = scores - torch.logsumexp(scores, dim=1, keepdim=True)
    return scores.exp()


def _scaled(matrix, iterations, tolerance):
    """Return r_i matrix_ij c_j after at most so many rounds; the columns of `matrix` sum to 1, its rows nearly."""
    c = torch.ones_like(matrix[:, :1])  # [D, 1, M]
    r = torch.ones_like(matrix[:, :, :1])  # [D, M, 1]
    for _ in range(iterations):
        rows = torch.bmm(matrix, c.mT)
        if (rows * r - 1).abs().max() <= tolerance:
            break
        r = 1 / rows
        c = 1 / torch.bmm(r.mT, matrix)
    return r * matrix * c


def best_bijection(matrix):
    """Return for each row of each matrix its column in the one-to-one assignment of the largest sum.

    Args:
        matrix (torch.Tensor or np.ndarray): [D, M, M].

    Returns:
        torch.LongTensor: [D, M].
    """
    if isinstance(matrix, torch.Tensor):
        matrix = matrix.detach().cpu().numpy()
    return torch.from_numpy(np.stack([linear_sum_assignment(each, maximize=True)[1] for each in matrix]))


def gumbel_noise(like):
    """Return noise of the standard Gumbel distribution in the shape of a tensor."""
    return -torch.empty_like(like).exponential_().log()


class CodePermutation(nn.Module):
    """Rows of the pre-trained code-embedding table in the order of the new domain's codes, learned or fixed.

    While it is learned, code c of codebook k has the embedding sum_j P_k[c, j] E^(k)[j], P_k doubly stochastic; once
    fixed, it has that of its own row, each row used exactly once. Everything that the result depends on is in the
    state: what is scored is what is saved and loaded.

    Args:
        codebooks, codes_per_codebook (int): D, M.
        hard (bool): train with the best bijection of P and the gradient of P (straight-through), else with P itself.
        iterations (int): of Sinkhorn, at most.
        noise (float): scale of the Gumbel noise in training, 0 for none.

    Attributes:
        scores (torch.nn.Parameter): [D, M, M], P = doubly_stochastic(scores / temperature).
        codebook (torch.LongTensor): [D] pre-trained codebook that each codebook reads.
        assignment (torch.LongTensor): [D, M] row of that codebook for each code, once fixed.
        fixed (torch.BoolTensor): [1] whether the assignment holds.
        temperature (torch.FloatTensor): [1] set by the trainer.
    """

    def __init__(self, codebooks, codes_per_codebook, hard=False, iterations=200, noise=0.0):
        super().__init__()
        self.hard, self.iterations, self.noise = hard, iterations, noise
        self.scores = nn.Parameter(torch.zeros(codebooks, codes_per_codebook, codes_per_codebook))
        self.register_buffer("codebook", torch.arange(codebooks))
        self.register_buffer("assignment", torch.arange(codes_per_codebook).repeat(codebooks, 1))
        self.register_buffer("fixed", torch.zeros(1, dtype=torch.bool))
        self.register_buffer("temperature", torch.ones(1))

    @torch.no_grad()
    def start(self, codebook, assignment, confidence):
        """Start from a guess: at temperature 1, code c takes its guessed row with weight `confidence`.

        Args:
            codebook (torch.LongTensor): [D] a permutation of the codebooks.
            assignment (torch.LongTensor): [D, M] a bijection of each codebook.
            confidence (float): 1 / M (nothing is known) .. below 1.
        """
        count = self.scores.shape[1]
        self.codebook.copy_(codebook)
        self.assignment.copy_(assignment)
        confidence = min(max(confidence, 1 / count), 1 - 1e-6)
        self.scores.fill_(np.log((1 - confidence) / max(count - 1, 1)))
        self.scores.scatter_(2, assignment[:, :, None].to(self.scores.device), float(np.log(confidence)))

    def matrix(self):
        """Return P, [D, M, M]; hard if asked for, with noise in training."""
        scores = self.scores
        if self.training and self.noise:
            scores = scores + self.noise * gumbel_noise(scores)
        soft = doubly_stochastic(scores / self.temperature, self.iterations)
        if not self.hard:
            return soft
        rows = best_bijection(soft).to(soft.device)
        return torch.zeros_like(soft).scatter_(2, rows[:, :, None], 1.0) + soft - soft.detach()

    def fixed_from_start(self):
        """Hold the start for good; returns self."""
        self.fixed.fill_(True)
        self.scores.requires_grad_(False)
        return self

    def fix(self):
        """Take the best bijection of P for good; the scores train no more."""
        if not self.fixed:
            with torch.no_grad():
                soft = doubly_stochastic(self.scores / self.temperature, self.iterations)
            self.assignment.copy_(best_bijection(soft))
            self.fixed.fill_(True)
        self.scores.requires_grad_(False)

    def forward(self, table):
        """Return the [1 + D * M, H] code embeddings in the new order of a table [1 + D * M, H], padding first."""
        books, count = self.assignment.shape
        if self.fixed:
            rows = 1 + self.codebook[:, None] * count + self.assignment
            return torch.cat([table[:1], table[rows.flatten()]])
        blocks = table[1:].view(books, count, -1)[self.codebook]
        return torch.cat([table[:1], torch.bmm(self.matrix(), blocks).view(books * count, -1)])


def create_permutation(config, dataset):
    """Return the permutation that `permutation` names, None for none or outside fine-tuning.

    Args:
        config (Config): options of props/finetune.yaml.
        dataset (ItemCodesDataset): gives D and M.

    Raises:
        VQRecError: an unknown name, or a temperature that is not above 0.
    """
    kind = config["permutation"] or "none"
    refuse_other("permutation", kind, KINDS)
    layout = dataset.codebooks, dataset.codes_per_codebook
    if kind == "none" or config["stage"] != "finetune":  # an option that all stages of a user's may have
        return None
    if kind == "reference":
        from recbole_vqrec.model.reference_permutation import ReferencePermutation

        return ReferencePermutation(*layout)
    temperatures = config["permutation_temperature"]
    if not isinstance(temperatures, (list, tuple)) or len(temperatures) != 2 or not min(temperatures) > 0:
        raise VQRecError(f"permutation_temperature: {temperatures}, expected [first, last], both above 0")
    learned = CodePermutation(*layout, kind == "hard", config["permutation_iterations"], config["permutation_noise"])
    return learned.fixed_from_start() if kind == "fixed" else learned
