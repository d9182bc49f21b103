"""Exact scores of very many items through the scores of their codes, block by block, and the best k among them.

Axis legend: U users, N items, n items of a block, D codebooks, M codes per codebook, H hidden size.

An item is the mean of its D code vectors, so query . item = sum over k of (query . code vector) / D: a user needs D x M
products, and an item D additions. No table of N x H is formed. For cosine, the norm of every item is kept, N numbers.
"""

import torch
import torch.nn.functional as F

BLOCK = 4096  # items; the codes of a block and the sub-item scores of a batch share the cache
SIMD_USERS = 16  # embedding_bag is many times slower below that many columns (benchmarks/scoring.py)
NORM_FLOOR = 1e-12  # as in torch.nn.functional.normalize


class SubItemScorer:
    """Cosine of queries with items that are means of code vectors.

    Args:
        code_vectors (torch.Tensor): [1 + D * M, H], row 0 is padding.
        codes (torch.Tensor): [N, D] uint8 or int32 in 0 .. M - 1; kept as it is, D bytes an item for M <= 256.
        codes_per_codebook (int): M.
        known (SubItemScorer, optional): one whose items are the first of these; their norms are taken over.
    """

    def __init__(self, code_vectors, codes, codes_per_codebook, known=None):
        self.code_vectors, self.codes = code_vectors, codes
        self.offsets = torch.arange(codes.shape[1], dtype=torch.int32, device=codes.device) * codes_per_codebook + 1
        start = len(known.codes) if known is not None and torch.equal(known.codes, codes[: len(known.codes)]) else 0
        norms = [known.inverse_norms] if start else []
        norms += [1 / self.vectors(block).norm(dim=1).clamp(min=NORM_FLOOR) for _, block in self._blocks(codes, start)]
        self.inverse_norms = torch.cat(norms) if norms else code_vectors.new_zeros(0)

    def __len__(self):
        return len(self.codes)

    def flat(self, codes):
        """Return flat code ids [n, D] int32 of codes [n, D]."""
        return codes.int() + self.offsets

    def vectors(self, codes):
        """Return the item vectors [n, H] of codes [n, D], not normalised."""
        return F.embedding_bag(self.flat(codes), self.code_vectors, mode="mean")

    def blocks(self, queries, rows=None):
        """Yield the scores of all items, block by block.

        Args:
            queries (torch.Tensor): [U, H].
            rows (torch.LongTensor, optional): the items to score, instead of all.

        Yields:
            tuple: number of the block's first item among those scored, and query . item / |item|, [U, n].
        """
        users, size = len(queries), self.codes.shape[1]
        columns = max(users, SIMD_USERS)
        sub_scores = self.code_vectors.new_zeros(len(self.code_vectors), columns)
        sub_scores[:, :users] = self.code_vectors @ (queries.T / size)
        codes = self.codes if rows is None else self.codes[rows]
        inverse_norms = self.inverse_norms if rows is None else self.inverse_norms[rows]
        for start, block in self._blocks(codes):
            scores = F.embedding_bag(self.flat(block), sub_scores, mode="sum")[:, :users]
            yield start, (scores * inverse_norms[start : start + len(block), None]).T

    @staticmethod
    def _blocks(codes, start=0):
        for start in range(start, len(codes), BLOCK):
            yield start, codes[start : start + BLOCK]


def top_k(blocks, users, k):
    """Return the best k of scores that come block by block; of equal scores the item that comes first wins.

    Args:
        blocks (iterable of tuple): first item and scores [U, n] of each block, in order; -inf is never chosen.
        users (int): U.
        k (int): at least 1.

    Returns:
        tuple: scores [U, <= k] in descending order, and item numbers [U, <= k] int64; where a user has fewer items,
        -inf and -1 at the end.
    """
    best = items = None
    for start, scores in blocks:
        if best is None:
            best, items = scores.new_empty(users, 0), torch.empty(users, 0, dtype=torch.long, device=scores.device)
        if best.shape[1] < k:
            new, columns = scores, torch.arange(start, start + scores.shape[1], device=scores.device).expand(users, -1)
        else:
            new, columns = _better(scores, best[:, -1:], start)
            if new.shape[1] == 0:
                continue
        best, order = torch.cat([best, new], dim=1).sort(dim=1, descending=True, stable=True)
        best, items = best[:, :k], torch.cat([items, columns], dim=1).gather(1, order[:, :k])
    if best is None:
        return torch.empty(users, 0), torch.empty(users, 0, dtype=torch.long)
    return best, items.masked_fill(best == float("-inf"), -1)


def _better(scores, threshold, start):
    """Return the scores [U, w] above each user's threshold [U, 1], -inf filled, and their item numbers, ascending."""
    user, column = (scores > threshold).nonzero(as_tuple=True)  # by user, then item
    counts = torch.bincount(user, minlength=len(scores))
    place = torch.arange(len(user), device=user.device) - (counts.cumsum(0) - counts)[user]
    width = int(counts.max()) if len(user) else 0
    found = scores.new_full((len(scores), width), float("-inf"))
    items = torch.full((len(scores), width), -1, dtype=torch.long, device=scores.device)
    found[user, place] = scores[user, column]
    items[user, place] = column + start
    return found, items
