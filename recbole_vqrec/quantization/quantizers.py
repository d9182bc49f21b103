"""The quantizers by name: how each is trained, and how one that is stored with item codes is read again.

Axis legend: N items, D codebooks, M codes per codebook, d embedding size.
"""

import hashlib

import numpy as np

from recbole_vqrec import artifacts
from recbole_vqrec.errors import VQRecError, refuse_other
from recbole_vqrec.quantization.item_codes import KIND
from recbole_vqrec.quantization.product_quantizer import ProductQuantizer
from recbole_vqrec.quantization.quantizer import check_sizes
from recbole_vqrec.quantization.residual_quantizer import ResidualQuantizer

QUANTIZERS = ("opq", "pq", "rq", "random")
PREFIX = "quantizer."


def train_quantizer(vectors, options):
    """Learn the quantizer that the options name from vectors [N, d]; None for "random", which learns nothing.

    Args:
        vectors (np.ndarray): text embeddings of training items, [N, d] float32.
        options (dict): those of props/item_codes.yaml.

    Raises:
        VQRecError: unknown quantizer, or sizes that cannot be.
    """
    name = options["quantizer"]
    refuse_other("quantizer", name, QUANTIZERS)
    layout = options["codebooks"], options["codes_per_codebook"]
    if name == "random":
        check_sizes(vectors, *layout)
        return None
    common = {"seed": options["quantizer_seed"], "whiten": options["whiten"]}
    if name == "rq":
        return ResidualQuantizer.train(vectors, *layout, **common)
    return ProductQuantizer.train(
        vectors,
        *layout,
        rotate=name == "opq",
        iterations=options["opq_iterations"],
        schedule=options["opq_schedule"],
        **common,
    )


def random_codes(item_ids, codebooks, codes_per_codebook, seed):
    """Return uniform codes [N, D] int64 that depend on the item id and the seed only (the paper's random codes).

    Args:
        item_ids (list of str): N ids.
        codebooks, codes_per_codebook (int): D and M.
        seed (int): of the draw.
    """
    codes = np.empty((len(item_ids), codebooks), dtype=np.int64)
    for row, item_id in enumerate(item_ids):
        digest = np.frombuffer(hashlib.sha256(item_id.encode()).digest(), dtype=np.uint32)
        codes[row] = np.random.default_rng([seed, *digest]).integers(codes_per_codebook, size=codebooks)
    return codes


def load_quantizer(path, remedy="encode the data set again"):
    """Return the quantizer that is stored with item codes.

    Args:
        path (str or Path): a code file.
        remedy (str): what to do if there is none.

    Returns:
        ProductQuantizer or ResidualQuantizer.

    Raises:
        VQRecError: missing or damaged file, or one without a quantizer (random codes).
    """
    tensors, _, _ = artifacts.read_artifact(path, KIND, remedy)
    stored = {name.removeprefix(PREFIX): array for name, array in tensors.items() if name.startswith(PREFIX)}
    if not stored:
        raise VQRecError(f"{path}: holds no quantizer, as with random codes; {remedy}")
    return quantizer_of(stored)


def quantizer_of(tensors):
    """Return the quantizer whose `tensors()` these are."""
    return (ResidualQuantizer if "residual_centroids" in tensors else ProductQuantizer).from_tensors(tensors)
