"""What a bfloat16 step needs beyond autocast: float32 operands multiplied in bfloat16, and shapes that come again."""

import contextlib

import torch
import torch.nn.functional as F

from recbole_vqrec.compat import autocast_is_on

ROWS = 128  # of a matrix, in whole blocks of which batches are padded


def padding_rows(count, device):
    """Return how many rows of zeros bring a matrix to a shape that comes again.

    On a CPU a bfloat16 product compiles a kernel for each new shape, which takes longer than the product; token counts
    are ever new, their multiples are few. Nothing is added on other devices, nor outside of autocast.

    Args:
        count (int): rows there are.
        device (torch.device): of the matrix.
    """
    return -count % ROWS if device.type == "cpu" and autocast_is_on("cpu") else 0


def with_padding_rows(matrix):
    """Return a matrix [R, C] with its `padding_rows` at the end; the matrix itself where there are none.

    Args:
        matrix (torch.Tensor): [R, C].
    """
    added = padding_rows(len(matrix), matrix.device)
    return F.pad(matrix, (0, 0, 0, added)) if added else matrix


@contextlib.contextmanager
def float32_operands(device):
    """Leave autocast; products of float32 matrices inside still round their operands if it was on.

    To bfloat16 on a CPU, to TF32 on a GPU; results are float32, which sums over all items need. Where the device has no
    such product (a CPU without AMX, a GPU without tensor cores) it is exact.

    Args:
        device (torch.device): where the products are.
    """
    before, reduced = torch.get_float32_matmul_precision(), autocast_is_on(device.type)
    if reduced:
        torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
