"""The number format of a training step's matrix products."""

import contextlib

import torch

from recbole_vqrec.errors import VQRecError, nearest

PRECISIONS = ("float32", "bfloat16")


def check_precision(name):
    """Refuse a precision that does not exist.

    Args:
        name (str or None): `precision` of props/overall.yaml; None is float32.

    Raises:
        VQRecError: an unknown name.
    """
    if name not in (None, *PRECISIONS):
        raise VQRecError(f"precision: '{name}' is none of {', '.join(PRECISIONS)}{nearest(str(name), PRECISIONS)}")


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
