"""Every test runs in a folder of its own; the data set `tiny`."""

import numpy as np
import pytest
import torch
from hypothesis import settings
from small import write_codes, write_inter
from trained_runs import recommender, run, sequences, trained  # noqa: F401, fixtures of inference and serving

from recbole_vqrec import compat

compat.apply()
settings.register_profile("no time limit", deadline=None)  # a busy machine is no failure
settings.load_profile("no time limit")


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """RecBole writes log/ and log_tensorboard/ into the current folder."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)


@pytest.fixture
def tiny(tmp_path):
    """A data set `tiny` of 30 users and 12 items with codes `small`, histories of 1 to 9 items."""
    draw = np.random.default_rng(1)
    items = [f"i{number}" for number in range(12)]
    sequences = {f"u{user}": [str(item) for item in draw.choice(items, size=4 + user % 8)] for user in range(30)}
    folder = tmp_path / "dataset" / "tiny"
    write_inter(folder, "tiny", sequences)
    write_codes(folder, "tiny", items)
    (folder / "tiny.item").write_text(
        "item_id:token\ttitle:token_seq\n" + "".join(f"{item}\tthing number {item}\n" for item in items)
    )
    return folder
