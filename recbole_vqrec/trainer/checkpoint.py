"""A trained model as tensors and plain values in one safetensors file, written whole or not; nothing is pickled.

    saved/<run>/checkpoint.safetensors    model, optimizer and early-stopping state, item codes, item ids, config
    saved/<run>/run.log                   what the run printed
"""

import contextlib
import json
from enum import Enum
from pathlib import Path

import torch

from recbole_vqrec import artifacts
from recbole_vqrec.defaults import DEVICE_OPTIONS, LAUNCH_OPTIONS, known_options
from recbole_vqrec.errors import VQRecError, examples

KIND = "checkpoint"
FILE_NAME = "checkpoint.safetensors"
RETIRED_OPTIONS = {"co_occurrence_neighbours": 0}  # of earlier versions: the value that means what is done now
LATER_OPTIONS = {"FDSA": {"fusion_norm": False}}  # model -> options that came later, and what runs before did
REMEDY = "give the folder of a run, such as saved/<run>"


def checkpoint_file(run):
    """Return the checkpoint of a run given by its folder or by the file itself."""
    run = Path(run)
    return run if run.suffix == ".safetensors" else run / FILE_NAME


def plain_options(config):
    """Return the options from which an equal config can be built: plain values, none that RecBole derives.

    Args:
        config (Config): of a run.
    """
    chosen = (known_options() | set(config.external_config_dict)) - LAUNCH_OPTIONS - DEVICE_OPTIONS
    options = {}
    for name, value in config.final_config_dict.items():
        if name in chosen and not isinstance(value, Enum):
            with contextlib.suppress(TypeError):  # a value that json cannot hold is none a yaml file could set
                options[name] = json.loads(json.dumps(value))
    if (options.get("train_neg_sample_args") or {}).get("distribution") == "none":
        options["train_neg_sample_args"] = None  # RecBole's Config fills None in, and refuses what it filled in
    options["data_path"] = str(Path(config["data_path"]).parent)  # RecBole has joined the data set's name to it
    return options


def save(path, config, model, optimizer, item_ids, progress):
    """Write a checkpoint.

    Args:
        path (Path): the file.
        config (Config): its plain options are stored.
        model (nn.Module): all parameters and buffers are stored.
        optimizer (torch.optim.Optimizer): its state is stored.
        item_ids (list of str): external id of each item but the padding item.
        progress (dict): plain values: epoch, early-stopping state, best result.
    """
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    state = optimizer.state_dict()
    for parameter, values in state["state"].items():
        for name, value in values.items():
            tensors[f"optimizer.{parameter}.{name}"] = torch.as_tensor(value)
    manifest = {
        "model": config["model"],
        "stage": config["stage"] or "train",
        "dataset": config["dataset"],
        "config": plain_options(config),
        "optimizer": state["param_groups"],
        "progress": progress,
    }
    arrays = {name: tensor.detach().cpu().contiguous().numpy() for name, tensor in tensors.items()}
    artifacts.write_artifact(path, KIND, arrays, manifest, item_ids)


def read_manifest(run):
    """Return the manifest of a run, its tensors not read; options that are no more are left out of its config.

    Raises:
        VQRecError: no checkpoint there, its head damaged, or of another program or format.
    """
    return _in_force(artifacts.read_manifest(checkpoint_file(run), KIND, REMEDY))


def load(run):
    """Return (tensors by full name, item ids, manifest as `read_manifest` gives it) of a run.

    Raises:
        VQRecError: no checkpoint there, damaged, or of another program or format.
    """
    arrays, item_ids, manifest = artifacts.read_artifact(checkpoint_file(run), KIND, REMEDY)
    return {name: torch.from_numpy(array) for name, array in arrays.items()}, item_ids, _in_force(manifest)


def _in_force(manifest):
    options = {n: v for n, v in manifest["config"].items() if RETIRED_OPTIONS.get(n, ...) != v}
    options = {n: v for n, v in options.items() if n not in DEVICE_OPTIONS}  # older ones have them
    return {**manifest, "config": {**LATER_OPTIONS.get(manifest["model"], {}), **options}}


def restore_model(run, model, model_name, item_ids):
    """Load a run's parameters and buffers into a model.

    Args:
        run (str or Path): run folder or checkpoint file.
        model (nn.Module): receives the state.
        model_name (str): has to be the checkpoint's.
        item_ids (list of str): have to be the checkpoint's, in order; a row means one item.

    Returns:
        tuple: tensors and manifest, as `load`.

    Raises:
        VQRecError: another model, other items, or other shapes.
    """
    tensors, saved_ids, manifest = load(run)
    path = checkpoint_file(run)
    if manifest["model"] != model_name:
        raise VQRecError(f"{path}: a checkpoint of {manifest['model']}, not of {model_name}")
    if saved_ids != item_ids:
        different = [new for new, old in zip(item_ids, saved_ids) if new != old] or ["their number"]
        raise VQRecError(
            f"{path}: was trained on other items of {manifest['dataset']} ({examples(different)} differ); "
            "use the data set it was trained on"
        )
    state = {name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")}
    own = model.state_dict()
    wrong = [n for n in own.keys() | state.keys() if n not in own or n not in state or own[n].shape != state[n].shape]
    if wrong:
        raise VQRecError(f"{path}: does not fit the configured {model_name} ({examples(sorted(wrong))} differ)")
    model.load_state_dict(state)
    return tensors, manifest


def restore_optimizer(optimizer, tensors, manifest):
    """Load the optimizer state of a checkpoint into an optimizer over the same parameters."""
    state = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, parameter, key = name.split(".")
            state.setdefault(int(parameter), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": manifest["optimizer"]})
