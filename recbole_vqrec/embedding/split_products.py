"""Products of float32 matrices out of bfloat16 products, several times as fast where the processor has AMX.

A float32 number is the sum of two bfloat16 numbers to 16 bits, x = high + low, so x @ w is high @ high + high @ low +
low @ high with an error of about 1e-5 of its size when the sums are kept in float32 (Henry, Tang, Heinecke 2019,
"Leveraging the bfloat16 Artificial Intelligence Datatype For Higher-Precision Computations"). torch has no product of
bfloat16 matrices that returns float32 on a CPU; the MKL inside its builds for x86 has one.

Axis legend: T rows, K inner size, N columns.
"""

import ctypes
import functools
from pathlib import Path

import torch

ROW_MAJOR, AS_IS, TRANSPOSED = 101, 111, 112  # of CBLAS
BLOCK = 2**17  # numbers split at a time: what stays in a core's cache


class Float32Weight:
    """A weight [N, K] by which float32 states are multiplied as they are."""

    def __init__(self, weight):
        self.columns = len(weight)
        self.transposed = weight.t()

    def add_product(self, states, out, memory):
        """Add states [T, K] @ weight^T to out [T, N]."""
        out.addmm_(states, self.transposed)


class SplitWeight:
    """A weight [N, K] in two bfloat16 parts, by which states are multiplied in three bfloat16 products."""

    def __init__(self, weight):
        self.columns = len(weight)
        self.high = weight.bfloat16()
        self.low = (weight - self.high).bfloat16()

    def add_product(self, states, out, memory):
        """Add states [T, K] @ weight^T to out [T, N].

        Args:
            states (Tensor): [T, K] float32, contiguous.
            out (Tensor): [T, N] float32, contiguous.
            memory (callable): (name, rows, columns, dtype) -> Tensor to work in.
        """
        high, low = (memory(name, *states.shape, torch.bfloat16) for name in ("high", "low"))
        rest = memory("rest", 1, BLOCK)[0]
        for block, its_high, its_low in zip(*(each.view(-1).split(BLOCK) for each in (states, high, low))):
            its_rest = rest[: len(block)]
            its_high.copy_(block)
            torch.sub(block, its_rest.copy_(its_high), out=its_rest)
            its_low.copy_(its_rest)
        for part, weight in ((low, self.high), (high, self.low), (high, self.high)):
            _add_bfloat16_product(part, weight, out)


def fastest_weight():
    """Return the class of weights that is fastest on this machine: `SplitWeight` or `Float32Weight`."""
    return SplitWeight if is_available() else Float32Weight


@functools.lru_cache(maxsize=None)
def is_available():
    """Tell whether the processor has AMX and the product is there and right."""
    cpu = Path("/proc/cpuinfo")
    if not cpu.exists() or "amx_bf16" not in cpu.read_text():
        return False
    try:
        _gemm()
    except (OSError, AttributeError):
        return False
    states, weight, out = torch.arange(6.0).view(2, 3), torch.arange(12.0).view(4, 3), torch.ones(2, 4)
    _add_bfloat16_product(states.bfloat16(), weight.bfloat16(), out)
    return torch.equal(out, 1 + states @ weight.t())


def _add_bfloat16_product(states, weight, out):
    """Add states [T, K] @ weight [N, K]^T, both bfloat16 and contiguous, to out [T, N] float32."""
    rows, inner = states.shape
    columns = len(weight)
    _gemm()(
        ROW_MAJOR, AS_IS, TRANSPOSED, rows, columns, inner, 1.0, states.data_ptr(), inner, weight.data_ptr(), inner,
        1.0, out.data_ptr(), columns,
    )  # fmt: skip


@functools.lru_cache(maxsize=None)
def _gemm():
    """Return MKL's cblas_gemm_bf16bf16f32.

    Raises:
        OSError or AttributeError: this build of torch has none.
    """
    function = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so")).cblas_gemm_bf16bf16f32
    integer, number, address = ctypes.c_int, ctypes.c_float, ctypes.c_void_p
    function.argtypes = [*[integer] * 6, number, address, integer, address, integer, number, address, integer]
    function.restype = None
    return function
