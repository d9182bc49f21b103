"""Free memory goes back to the system."""

import ctypes
from pathlib import Path

import numpy as np
import pytest

from recbole_vqrec.memory import return_free_memory

ARRAY = 100_000  # bytes, below the size from which glibc maps memory of its own


def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_holes_in_the_heap_go_back():
    if not Path("/proc/self/statm").is_file() or not hasattr(ctypes.CDLL(None), "malloc_trim"):
        pytest.skip("needs Linux with glibc")
    arrays = [np.ones(ARRAY, np.uint8) for _ in range(2000)]
    kept = arrays[::50]  # holes between them, none at the end of the heap
    before = resident_bytes()
    del arrays
    return_free_memory()
    assert before - resident_bytes() > 1000 * ARRAY and kept[0][0] == 1
