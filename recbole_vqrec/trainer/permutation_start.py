"""Which pre-trained code each code of a new domain takes at first: what the learning of a permutation starts from.

Axis legend: N items with padding, D codebooks, M codes per codebook.
"""

from pathlib import Path

import numpy as np

from recbole_vqrec import artifacts
from recbole_vqrec.data.item_code_table import codes_path
from recbole_vqrec.errors import VQRecError, refuse_other
from recbole_vqrec.inference.catalogue_files import read_catalogue
from recbole_vqrec.quantization import code_matching
from recbole_vqrec.quantization.item_codes import PADDING_CODE
from recbole_vqrec.quantization.quantizers import load_quantizer, quantizer_of

STARTS = ("quantizers", "items", "usage", "random", "identity")


def first_matching(config, dataset, path, tensors, manifest):
    """Return the matching of the new domain's codes with the pre-trained ones that permutation_start names.

    Args:
        config (Config): options of props/finetune.yaml.
        dataset (ItemCodesDataset): the new domain's.
        path (Path): of the checkpoint.
        tensors, manifest (dict): of the checkpoint.

    Returns:
        tuple: codebooks [D] and their codes [D, M], both np.ndarray, as `CodePermutation.start` takes them.

    Raises:
        VQRecError: an unknown start, or one whose quantizer or item codes are not to be had.
    """
    name, layout = config["permutation_start"], (dataset.codebooks, dataset.codes_per_codebook)
    if name == "identity":
        return np.arange(layout[0]), np.tile(np.arange(layout[1]), (layout[0], 1))
    if name == "random":
        return code_matching.match_at_random(*layout, config["permutation_seed"])
    if name == "usage":
        own, others = dataset.item_codes, tensors.get("model.items.item_codes")
        if others is None:  # imported from a file that has none
            raise VQRecError(f"{path}: has no item codes whose usage could be counted; set permutation_start: random")
        return code_matching.match_usage(*(_uses(codes, layout) for codes in (own, others)))
    refuse_other("permutation_start", name, STARTS)
    remedy = f"set permutation_start: {'usage or random' if 'model.items.item_codes' in tensors else 'random'}"
    other = _pretrained_quantizer(path, manifest, remedy)
    if name == "quantizers":
        own = load_quantizer(codes_path(config["data_path"], config["dataset"], config), remedy)
        return code_matching.match_centroids(own, other)
    codes = dataset.item_codes[1:].numpy() - 1 - np.arange(layout[0]) * layout[1]
    return code_matching.match_items(codes, other.encode(dataset.item_text_vectors[1:].numpy()), layout[1])


def _uses(item_codes, layout):
    """Return how many items use each code, [D, M], of flat ids [N, D] with the padding item first."""
    counts = np.bincount(np.asarray(item_codes[1:]).ravel(), minlength=1 + layout[0] * layout[1])
    return np.delete(counts, PADDING_CODE).reshape(layout)


def _pretrained_quantizer(path, manifest, remedy):
    """Return the quantizer of a run's codes: what its folder keeps; the data set may have new codes by now."""
    if not artifacts.catalogue_file(path.parent).is_file():
        return load_quantizer(pretrained_codes(path, manifest, remedy), remedy)
    kept = read_catalogue(path.parent)[0].quantizer
    if not kept:
        raise VQRecError(f"{path}: holds no quantizer, as with random codes or several quantizers; {remedy}")
    return quantizer_of(kept)


def pretrained_codes(path, manifest, remedy="encode it again"):
    """Return the code file, with its quantizer, of a run: the copy in its folder, else the data set's.

    Args:
        path (Path): of the checkpoint.
        manifest (dict): of the checkpoint.
        remedy (str): what to do if neither is there.

    Raises:
        VQRecError: neither is there.
    """
    options = manifest["config"]
    copies = sorted(path.parent.glob("*codes.safetensors"))
    file = codes_path(Path(options["data_path"]) / manifest["dataset"], manifest["dataset"], options)
    for candidate in (*copies, file):
        if candidate.is_file():
            return candidate
    raise VQRecError(
        f"{file}: the codes of {path} are not there, their quantizer cannot be matched; put the file there, or {remedy}"
    )
