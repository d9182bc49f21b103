"""The number format of a training step's matrix products."""

import contextlib

import torch

PRECISIONS = ("float32", "bfloat16")


@contextlib.contextmanager
def products_in(name, device):
    """Form the matrix products inside in a precision; parameters and sums keep float32.

    Layers run under autocast. Products that leave autocast, those of the losses, keep float32 operands and results and
    are multiplied in bfloat16 where the device can (a CPU with AMX, a GPU with tensor cores).

    Args:
        name (str or None): float32 or bfloat16.
        device (torch.device): where the step runs.
    """
    if name != "bfloat16":
        yield
        return
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast(device.type, dtype=torch.bfloat16):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
