"""Data sets with clustered embeddings and a few interactions, for the tests of the encoding stage."""

import numpy as np
import pytest

from recbole_vqrec import artifacts, provenance
from recbole_vqrec.config import stage_options


@pytest.fixture
def clustered():
    """Function (n, d, seed) -> [n, d] float32 vectors around 20 centres."""

    def make(n, d, seed=0):
        draw = np.random.default_rng(seed)
        return (draw.normal(size=(20, d))[draw.integers(20, size=n)] * 3 + draw.normal(size=(n, d)) + 1).astype("f4")

    return make


@pytest.fixture
def options(tmp_path):
    """Options of the stage: 4 codebooks of 8 codes."""
    given = {"plm": "tiny", "codebooks": 4, "codes_per_codebook": 8, "data_path": str(tmp_path / "dataset")}
    return stage_options(given=given)


@pytest.fixture
def domain(tmp_path, clustered):
    """Function (name, items, d, seed) that writes <name>.inter, <name>.item and the embeddings by "tiny".

    Every item but the last is in the training split: user u0 has them all and then v, t; the item "last" is a target.
    """

    def write(name, items=40, d=8, seed=0, plm="tiny", pooling="cls", embeddings=None):
        folder = tmp_path / "dataset" / name
        folder.mkdir(parents=True, exist_ok=True)
        ids = [f"{name[0]}{row}" for row in range(items - 1)] + ["last"]
        history = [*ids[:-1], ids[0], ids[-1]]
        lines = [f"u0\t{item}\t{time}" for time, item in enumerate(history)]
        header = "user_id:token\titem_id:token\ttimestamp:float"
        (folder / f"{name}.inter").write_text("\n".join([header, *lines]) + "\n")
        (folder / f"{name}.item").write_text("item_id:token\ttitle:token_seq\n" + "".join(f"{i}\ttext\n" for i in ids))
        path = artifacts.embedding_file(folder, name, "tiny")
        vectors = clustered(items, d, seed) if embeddings is None else embeddings
        inputs = provenance.fingerprints(folder / f"{name}.item")
        manifest = {"options": {"plm": plm, "pooling": pooling}, "inputs": inputs}
        artifacts.write_artifact(path, "text embedding", {"embeddings": vectors}, manifest, ids)
        return folder

    return write
