"""What a step in bfloat16 needs beyond autocast: float32 products multiplied in bfloat16, and shapes that come again."""

import contextlib

import torch

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


@contextlib.contextmanager
def float32_operands(device):
    """Leave autocast; products of float32 matrices inside are still multiplied in bfloat16 if it was on.

    Results are float32, which sums over all items need. Where the device has no such product (a CPU without AMX, a GPU
    without tensor cores) it is exact.

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
