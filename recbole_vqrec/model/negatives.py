"""Negatives of contrastive pre-training: semi-synthetic codes, and how often in-batch items count (paper, section 2.3).

Axis legend: T targets, S semi-synthetic negatives of a target, D codebooks, M codes per codebook, U different items.
"""

import torch

from recbole_vqrec.quantization.item_codes import flatten


def semi_synthetic_codes(codes, codes_per_codebook, replacement_probability, count, generator):
    """Return codes of items that do not exist: each code replaced by a uniform code of the same codebook, or kept.

    A pure function of its arguments and the generator's state; draws on the generator's device (paper, section 2.3.2).

    Args:
        codes (torch.LongTensor): [T, D] flat code ids of the positives, none of them padding.
        codes_per_codebook (int): M.
        replacement_probability (float): rho, 0 .. 1, of each code; a replacement may draw the code that was there.
        count (int): S.
        generator (torch.Generator): source of the random numbers.

    Returns:
        torch.LongTensor: [T, S, D] flat code ids, on the device of `codes`.
    """
    shape = (len(codes), count, codes.shape[1])
    drawn = torch.randint(codes_per_codebook, shape, generator=generator, device=generator.device)
    replaced = torch.rand(shape, generator=generator, device=generator.device) < replacement_probability
    uniform = flatten(drawn.flatten(0, 1), codes_per_codebook).view(shape).to(codes.device)
    return torch.where(replaced.to(codes.device), uniform, codes[:, None])


def log_counts(counts, expected=None):
    """Return the log-weights of candidates in the sum over negatives.

    Without a correction an item counts as often as it stands in the batch (Eq. 8). With one, it counts once in
    expectation however popular it is, so that the sum estimates the one over all items (logQ, Yi et al., RecSys 2019).

    Args:
        counts (torch.LongTensor): [U] occurrences among the in-batch and the sampled items.
        expected (torch.Tensor, optional): [U] occurrences that the sampling of batches lets expect.

    Returns:
        torch.Tensor: [U].
    """
    weights = counts.to(torch.float32).log()
    return weights if expected is None else weights - expected.log()


def masked_as_zero(own_counts):
    """Return the extra term of a target whose duplicates are masked as the authors' code does it: by a score of 0.

    Each duplicate still adds exp(0) to the denominator there (reference code, `masked_fill(mask, 0)` before exp).

    Args:
        own_counts (torch.LongTensor): [T] occurrences of each target's item in the batch, itself included.

    Returns:
        torch.Tensor: [T, 1] log(occurrences - 1), -inf where there are no duplicates.
    """
    return (own_counts - 1).to(torch.float32).log()[:, None]
