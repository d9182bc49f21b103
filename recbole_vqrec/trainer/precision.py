"""The number format of a training step."""

import contextlib

import torch

PRECISIONS = ("float32", "bfloat16")


def products_in(name, device):
    """Return a context in which layers form their matrix products in a precision; parameters and sums keep float32.

    Args:
        name (str or None): float32 or bfloat16, which is autocast; for losses see `model.reduced_products`.
        device (torch.device): where the step runs.
    """
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=name == "bfloat16")


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
