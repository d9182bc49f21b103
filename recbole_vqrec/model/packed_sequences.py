"""The real tokens of a padded batch, one after another: linear layers spend nothing on padding, attention very little.

Axis legend: B sequences, L longest, T real tokens of the batch, b rows and l longest of a block.
"""

from typing import NamedTuple

import torch


class Block(NamedTuple):
    """Sequences of like length, which attention reads as one padded block.

    Args:
        start, end (int): its tokens among the packed ones.
        rows, longest (int): b, l.
        sequences (torch.LongTensor): [b] which of the batch they are.
        inside (torch.LongTensor or None): place of each token in the flat block [b * l]; None where nothing is padding.
    """

    start: int
    end: int
    rows: int
    longest: int
    sequences: torch.Tensor
    inside: torch.Tensor

    def real(self, device):
        """Return which tokens of the padded block are no padding, [b, l] bool; None where all are real."""
        if self.inside is None:
            return None
        flat = torch.zeros(self.rows * self.longest, dtype=torch.bool, device=device)
        return flat.index_fill_(0, self.inside, True).view(self.rows, self.longest)


class PackedSequences:
    """Where the tokens of a batch lie when packed, ordered by block, sequence and position.

    Args:
        lengths (torch.LongTensor): [B] tokens of each sequence, at least 1.

    Attributes:
        row (torch.LongTensor): [T] sequence of each token.
        position (torch.LongTensor): [T] its place in the sequence.
        last (torch.LongTensor): [B] the last token of each sequence.
        blocks (list of Block): cover all tokens, in order.
    """

    def __init__(self, lengths):
        rows_of_blocks, row, position, self.blocks, start = [], [], [], [], 0
        for rows, longest in length_blocks(lengths):
            grid = torch.arange(longest, device=lengths.device)
            inside = (grid < lengths[rows][:, None]).flatten().nonzero().squeeze(1)
            row.append(rows[inside // longest])
            position.append(inside % longest)
            end = start + len(inside)
            full = len(inside) == len(rows) * longest
            self.blocks.append(Block(start, end, len(rows), longest, rows, None if full else inside))
            rows_of_blocks.append(rows)
            start = end
        order = torch.cat(rows_of_blocks)
        self.row, self.position = torch.cat(row), torch.cat(position)
        self.last = torch.empty_like(order)
        self.last[order] = lengths[order].cumsum(0) - 1

    def pack(self, padded):
        """Return the [T, ...] real tokens of a padded [B, L, ...] tensor."""
        return padded[self.row, self.position]

    def padded_blocks(self, packed):
        """Yield (block, its [b, l, ...] tokens, padding is zero) of packed [T, ...] tokens; rows beyond T left out."""
        # split, not slices: the gradient of each slice would be as large as the whole
        sizes = [block.end - block.start for block in self.blocks]
        parts = packed.split([*sizes, len(packed) - len(self.row)])
        for block, tokens in zip(self.blocks, parts):
            if block.inside is not None:
                empty = tokens.new_zeros(block.rows * block.longest, *tokens.shape[1:])
                tokens = empty.index_copy_(0, block.inside, tokens)
            yield block, tokens.view(block.rows, block.longest, *tokens.shape[1:])


def real_tokens(block, padded):
    """Return the packed tokens of a block from its padded [b, l, ...] ones."""
    flat = padded.reshape(block.rows * block.longest, *padded.shape[2:])
    return flat if block.inside is None else flat.index_select(0, block.inside)


def length_blocks(lengths):
    """Split sequences by length so that a random batch needs little padding.

    Args:
        lengths (torch.LongTensor): [B] tokens of each sequence, at least 1.

    Returns:
        list of tuple: (rows LongTensor, longest int) with lengths in 1-2, 3-4, 5-8, 9-16, ...; each row once.
    """
    class_of_row = (lengths - 1).clamp(min=1).float().log2().floor().long()
    blocks = []
    for length_class in class_of_row.unique().tolist():
        rows = (class_of_row == length_class).nonzero().squeeze(1)
        blocks.append((rows, int(lengths[rows].max())))
    return blocks
