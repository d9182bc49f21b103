"""The number format of a training step."""

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


@contextlib.contextmanager
def denormals_flushed(name):
    """Let numbers below 1.2e-38 count as 0 inside, where training is in bfloat16; a processor may take either rule.

    Matrix products in bfloat16 leave so small gradients that Adam's squares of them are denormal, and arithmetic on
    those is so slow that it takes a quarter of a step.

    Args:
        name (str or None): float32 or bfloat16.
    """
    torch.set_flush_denormal(name == "bfloat16")
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
