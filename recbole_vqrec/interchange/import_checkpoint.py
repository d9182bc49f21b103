"""The authors' pre-trained checkpoint (VQRec-FHCKM-300.pth) -> ours, to fine-tune from.

Axis legend: D codebooks, M codes per codebook, H hidden size.

Theirs is a pickled dict with "config" and "state_dict". Its code embeddings are [D * (M + 1), H] with row k * (M + 1)
as padding of codebook k; ours are [1 + D * M, H] with one padding row. Its attention has three projections, ours one.
"""

import pickle
import re
import time
from pathlib import Path

import numpy as np
import torch

from recbole_vqrec import artifacts, provenance
from recbole_vqrec.defaults import own_defaults
from recbole_vqrec.errors import VQRecError, examples
from recbole_vqrec.interchange import inert_pickle
from recbole_vqrec.trainer import checkpoint

CODES, PERMUTATION, POSITIONS = "pq_code_embedding.weight", "trans_matrix", "position_embedding.weight"
SIZES = ("n_heads", "hidden_act", "layer_norm_eps", "hidden_dropout_prob", "attn_dropout_prob", "temperature")
DAMAGE = (RuntimeError, pickle.UnpicklingError, EOFError, KeyError, TypeError, ValueError, AttributeError, OSError)


def import_checkpoint(path, out, force=False):
    """Write the authors' checkpoint as one of ours.

    Args:
        path (str or Path): the .pth file; nothing in it is run.
        out (str or Path): run folder to write, saved/FHCKM for example.
        force (bool): replace a checkpoint that is there.

    Returns:
        tuple: path of the checkpoint, and a dict of its sizes and seconds.

    Raises:
        VQRecError: no readable checkpoint of that layout, or `out` holds a checkpoint.
    """
    start = time.perf_counter()
    target = checkpoint.checkpoint_file(out)
    if target.is_file() and not force:
        raise VQRecError(f"{target}: is there already; choose another --out, or say --force")
    state, their_options = _read(path)
    tensors, sizes = _converted(path, state)
    options = {**own_defaults("VQRec", stage="pretrain"), **sizes, "stage": "pretrain"}
    given = ((name, their_options.get(name)) for name in SIZES)
    options.update((name, value) for name, value in given if isinstance(value, (int, float, str)))
    if options["hidden_size"] % options["n_heads"]:
        raise VQRecError(f"{path}: hidden size {options['hidden_size']} is no multiple of {options['n_heads']} heads")
    manifest = {
        "model": "VQRec",
        "stage": "pretrain",
        "dataset": "imported",
        "config": options,
        "optimizer": [],
        "progress": {"epoch": -1, "step": 0},
        "inputs": {Path(path).name: provenance.file_hash(path)},
    }
    arrays = {f"model.{name}": np.ascontiguousarray(value.float().numpy()) for name, value in tensors.items()}
    artifacts.write_artifact(target, checkpoint.KIND, arrays, manifest, [])
    return target, {**sizes, "seconds": time.perf_counter() - start}


def _read(path):
    """Return the state dict and the plain options of the authors' file."""
    if not Path(path).is_file():
        raise VQRecError(f"{path}: checkpoint not found; give the authors' .pth file")
    try:
        content = torch.load(path, map_location="cpu", pickle_module=inert_pickle, weights_only=False)
        state = content["state_dict"]
    except DAMAGE as error:
        kind = type(error).__name__
        raise VQRecError(f"{path}: no checkpoint of the authors' layout, or damaged ({kind})") from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise VQRecError(f"{path}: its state_dict holds other things than tensors")
    config = content.get("config") if isinstance(content, dict) else None
    options = config if isinstance(config, dict) else getattr(config, "final_config_dict", {})
    return state, options if isinstance(options, dict) else {}


def _converted(path, state):
    """Return our tensors by name, and the sizes they have."""
    state = {name.removeprefix("module."): value for name, value in state.items()}
    wanted = (CODES, PERMUTATION, POSITIONS, "LayerNorm.weight", "LayerNorm.bias")
    missing = [name for name in wanted if name not in state]
    if missing:
        raise VQRecError(f"{path}: lacks {examples(missing)}, it is no checkpoint of the authors' VQRec")
    codebooks, rows = state[PERMUTATION].shape[:2]
    table = state[CODES]
    if len(table) != codebooks * rows:
        raise VQRecError(
            f"{path}: {len(table)} code embeddings for {codebooks} codebooks of {rows - 1} codes and padding"
        )
    codes = table.view(codebooks, rows, -1)[:, 1:].flatten(0, 1)
    tensors = {
        "items.code_embedding.weight": torch.cat([codes.new_zeros(1, codes.shape[1]), codes]),
        "encoder.position_embedding.weight": state[POSITIONS],
        "encoder.LayerNorm.weight": state["LayerNorm.weight"],
        "encoder.LayerNorm.bias": state["LayerNorm.bias"],
    }
    layers = {int(found[1]) for name in state if (found := re.match(r"trm_encoder\.layer\.(\d+)\.", name))}
    try:
        for layer in sorted(layers):
            tensors.update(_layer(state, layer))
    except KeyError as error:
        raise VQRecError(f"{path}: lacks {error.args[0]}, it is no checkpoint of the authors' VQRec") from error
    inner = state["trm_encoder.layer.0.feed_forward.dense_1.weight"].shape[0]
    return tensors, {
        "codebooks": codebooks,
        "codes_per_codebook": rows - 1,
        "hidden_size": table.shape[1],
        "inner_size": inner,
        "n_layers": len(layers),
        "MAX_ITEM_LIST_LENGTH": len(state[POSITIONS]),
    }


def _layer(state, number):
    """Return the tensors of one Transformer layer under our names."""
    theirs, ours = f"trm_encoder.layer.{number}", f"encoder.layers.{number}"
    tensors = {}
    for kind in ("weight", "bias"):
        attention = [state[f"{theirs}.multi_head_attention.{part}.{kind}"] for part in ("query", "key", "value")]
        tensors[f"{ours}.0.query_key_value.{kind}"] = torch.cat(attention)
        for part in ("dense", "LayerNorm"):
            tensors[f"{ours}.0.{part}.{kind}"] = state[f"{theirs}.multi_head_attention.{part}.{kind}"]
        for part in ("dense_1", "dense_2", "LayerNorm"):
            tensors[f"{ours}.1.{part}.{kind}"] = state[f"{theirs}.feed_forward.{part}.{kind}"]
    return tensors
