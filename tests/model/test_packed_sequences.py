import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_vqrec.model.packed_sequences import PackedSequences, length_blocks, real_tokens

LENGTHS = torch.tensor([1, 50, 2, 3, 17, 4, 5, 8, 9, 16])


def test_length_blocks_hold_each_row_once_with_little_padding():
    assert [(LENGTHS[rows].tolist(), longest) for rows, longest in length_blocks(LENGTHS)] == [
        ([1, 2], 2), ([3, 4], 4), ([5, 8], 8), ([9, 16], 16), ([17], 17), ([50], 50),
    ]  # fmt: skip


def test_tokens_of_three_sequences():
    packed = PackedSequences(torch.tensor([3, 1, 4]))
    padded = torch.tensor([[10, 11, 12, 0], [20, 0, 0, 0], [30, 31, 32, 33]])
    assert packed.pack(padded).tolist() == [20, 10, 11, 12, 30, 31, 32, 33]
    assert packed.last.tolist() == [3, 0, 7]  # in the order of the batch
    assert packed.position.tolist() == [0, 0, 1, 2, 0, 1, 2, 3]
    blocks = [tokens.tolist() for _, tokens in packed.padded_blocks(packed.pack(padded))]
    assert blocks == [[[20]], [[10, 11, 12, 0], [30, 31, 32, 33]]]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=30))
def test_packing_padding_and_unpacking_are_inverse(lengths):
    lengths = torch.tensor(lengths)
    real = torch.arange(60) < lengths[:, None]
    padded = torch.randint(1, 1000, real.shape) * real
    packed = PackedSequences(lengths)
    tokens = packed.pack(padded)
    assert sorted(tokens.tolist()) == sorted(padded[real].tolist())
    assert tokens[packed.last].tolist() == padded[torch.arange(len(lengths)), lengths - 1].tolist()
    again = torch.cat([real_tokens(block, values) for block, values in packed.padded_blocks(tokens)])
    assert torch.equal(again, tokens)
    waste = sum(block.rows * block.longest for block in packed.blocks)
    assert waste <= 2 * len(tokens)
