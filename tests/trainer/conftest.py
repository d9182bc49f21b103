import numpy as np
import pytest
from fine_tuning import ITEMS, OPTIONS
from small import write_codes, write_inter, write_vectors

from recbole_vqrec import quick_start


@pytest.fixture
def other(tmp_path, tiny):
    """A second domain `other`, with its own codes and text vectors; `tiny` gets text vectors as well."""
    draw = np.random.default_rng(5)
    folder = tmp_path / "dataset" / "other"
    sequences = {f"u{user}": [str(item) for item in draw.choice(ITEMS, size=5 + user % 4)] for user in range(20)}
    write_inter(folder, "other", sequences)
    write_codes(folder, "other", ITEMS)
    for name in ("tiny", "other"):
        write_vectors(tmp_path / "dataset" / name, name, ITEMS)
    return folder


@pytest.fixture
def pretrained(other):
    return quick_start.run("VQRec", "tiny", None, dict(OPTIONS))["run"]
