"""The props yaml: defaults of every option, for a model, a data set, a stage and a recipe."""

import copy
import functools
from pathlib import Path

import recbole.config
import yaml

from recbole_vqrec import registry
from recbole_vqrec.errors import VQRecError, refuse_other

# Options that RecBole 1.2.1 reads but no yaml file of it lists.
UNLISTED_OPTIONS = {"encoding", "contrast", "sim", "use_filter", "tail_ratio", "eta"}
# What is run and where, rather than how; set by launchers.
LAUNCH_OPTIONS = {
    "model", "dataset", "config_files", "config_file", "models",
    "nproc", "ip", "port", "world_size", "offset", "group_offset", "local_rank",
}  # fmt: skip
# Of the machine a run is on, and of no run: the GPU there may be another one, or none, where it is loaded.
DEVICE_OPTIONS = {"gpu_id", "use_gpu"}
STAGES = ("train", "pretrain", "finetune")


def props_folder():
    """Return the folder of our props: inside the package when installed from a wheel, beside it in a checkout."""
    here = Path(__file__).resolve().parent
    return next(folder for folder in (here / "props", here.parent / "props") if folder.is_dir())


def parse_yaml(path):
    """Return the content of a yaml file as RecBole reads it, 1e-3 being a number; {} of an empty one.

    Raises:
        VQRecError: not yaml, or not UTF-8.
        OSError: not there, or not to be read.
    """
    with open(path, encoding="utf-8") as file:
        try:
            return yaml.load(file, Loader=yaml_loader()) or {}
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise VQRecError(f"{path}: not valid yaml ({' '.join(str(error).split())})") from None


_read_props = functools.lru_cache(maxsize=None)(parse_yaml)  # ours and RecBole's files do not change while we run


def read_props(name):
    """Return the content of a file below props/, "download.yaml" for example; not to be changed."""
    return _read_props(props_folder() / name)


@functools.lru_cache(maxsize=None)
def yaml_loader():
    """Return RecBole's own yaml loader, which reads 1e-3 as a number."""
    return recbole.config.Config._build_yaml_loader(None)


def own_defaults(model, dataset=None, stage="train", recipe="paper"):
    """Return our default options for a model, a data set, a stage and a recipe, every one from props yaml.

    Args:
        model (str): model name; None for a model without props of ours.
        dataset (str, optional): data set name.
        stage (str): one of STAGES; "train" has no file of its own.
        recipe (str): "paper", which has no file either, or another of props/recipe/.

    Raises:
        VQRecError: no such stage or recipe.
    """
    refuse_other("stage", stage, STAGES)
    folder = props_folder()
    recipes = {file.name.partition(".")[0] for file in folder.glob("recipe/*.yaml")}
    refuse_other("recipe", recipe, ["paper", *sorted(recipes)])
    files = [folder / "overall.yaml", folder / "item_codes.yaml", folder / "model" / f"{model}.yaml"]
    if stage != "train":
        files += [folder / f"{stage}.yaml", folder / "model" / f"{model}.{stage}.yaml"]
    if dataset:
        files.append(folder / "dataset" / f"{dataset}.yaml")
    parts = ["", f".{model}", f".{model}.{stage}"]
    if registry.known(model).reads_texts:
        parts.insert(1, ".texts")
    files += [folder / "recipe" / f"{recipe}{part}.yaml" for part in parts]
    defaults = {}
    for file in files:
        if file.is_file():
            defaults.update(_read_props(file))
    return copy.deepcopy(defaults)  # RecBole writes into nested values


@functools.lru_cache(maxsize=None)
def options_of_models():
    """Return every option name that the props of some model, ours or RecBole's, define."""
    files = [*props_folder().glob("model/*.yaml"), *_recbole_properties().glob("model/*.yaml")]
    return frozenset(name for file in files for name in _read_props(file))


@functools.lru_cache(maxsize=None)
def known_options():
    """Return every option name that RecBole's or our props, or RecBole's argument lists, define."""
    from recbole.utils import dataset_arguments, evaluation_arguments, general_arguments, training_arguments

    names = LAUNCH_OPTIONS | UNLISTED_OPTIONS
    names = names.union(dataset_arguments, evaluation_arguments, general_arguments, training_arguments)
    for file in [*props_folder().rglob("*.yaml"), *_recbole_properties().rglob("*.yaml")]:
        if file.name not in ("url.yaml", "kg_url.yaml", "comparison.yaml"):
            names.update(_read_props(file))
    return frozenset(names)


def _recbole_properties():
    return Path(recbole.config.__file__).resolve().parent.parent / "properties"
