"""From a pre-trained run to the model of a new domain: options it sets, weights it gives."""

from fnmatch import fnmatch
from logging import getLogger

import numpy as np
import torch

from recbole_vqrec import artifacts, registry
from recbole_vqrec.data.dataset import item_ids_of
from recbole_vqrec.data.item_code_table import codes_path
from recbole_vqrec.data.text_vector_table import made_by
from recbole_vqrec.defaults import own_defaults
from recbole_vqrec.embedding.embed import embed_command
from recbole_vqrec.errors import VQRecError, examples
from recbole_vqrec.inference.catalogue_files import KIND as CATALOGUE_KIND
from recbole_vqrec.model.code_permutation import CodePermutation
from recbole_vqrec.model.reference_permutation import ReferencePermutation
from recbole_vqrec.quantization.domain import LANGUAGE_MODEL, refuse_different, same_language_model
from recbole_vqrec.quantization.item_codes import KIND as CODES_KIND
from recbole_vqrec.trainer import checkpoint
from recbole_vqrec.trainer.leakage import leakage
from recbole_vqrec.trainer.permutation_start import first_matching, pretrained_codes
from recbole_vqrec.trainer.stages import permutation_of, preset_of

# What the pre-trained weights fix; anything else may differ in fine-tuning.
INHERITED = (
    "hidden_size", "inner_size", "n_layers", "n_heads", "hidden_act", "layer_norm_eps", "MAX_ITEM_LIST_LENGTH",
    "codebooks", "codes_per_codebook", "plm", "pooling",
)  # fmt: skip
OF_ONE_MODEL = ("experts", "transductive", "offset_penalty")  # which parameters UniSRec and ZESRec have
CODE_EMBEDDING = "items.code_embedding.weight"
OWN = ("items.item_codes", "items.text_mean", "items.text_scale", "items.text_vectors", "items.permutation.")
IDS = "items.id_embedding.weight"


def pretrained_model(run):
    """Return the model name of a pre-trained run, None without one.

    Args:
        run (str or Path): run folder or checkpoint.
    """
    return checkpoint.read_manifest(run)["model"] if run else None


def inherited_options(options):
    """Return the options that a pre-trained run sets in fine-tuning, where the user sets none.

    Args:
        options (dict): checkpoint, preset, presets, finetune_stages.

    Raises:
        VQRecError: no checkpoint given although the preset loads from one, none there, or an unknown preset.
    """
    preset, representation = preset_of(options), "code"
    inherited = {"permutation": permutation_of(options)}
    if options["checkpoint"] is not None:
        manifest = checkpoint.read_manifest(options["checkpoint"])
        of_files = _made(checkpoint.checkpoint_file(options["checkpoint"])).get("pooling")  # the option may be another
        pretrained = {**manifest["config"], **({"pooling": of_files} if of_files else {})}
        inherited.update({name: pretrained[name] for name in (*INHERITED, *OF_ONE_MODEL) if name in pretrained})
        if "temperature" in pretrained and not _is_default_of_pretraining("temperature", manifest):
            inherited["temperature"] = pretrained["temperature"]
        if manifest["stage"] == "finetune" or "item_representation" in own_defaults(manifest["model"]):  # else not read
            representation = pretrained.get("item_representation") or representation
    elif preset["load"]:
        raise VQRecError(f"preset {options['preset']}: no checkpoint given; say --checkpoint=saved/<pre-trained run>")
    if preset["add_id"] and "id" not in representation.split("+"):
        representation += "+id"
    return {**inherited, "item_representation": representation}


def _is_default_of_pretraining(option, manifest):
    """Tell whether a pre-trained run has an option's default, which fine-tuning may have otherwise, and no choice."""
    if manifest["stage"] != "pretrain":
        return False
    options = manifest["config"]
    defaults = own_defaults(manifest["model"], manifest["dataset"], "pretrain", options.get("recipe", "paper"))
    return option in defaults and options[option] == defaults[option]


def load_pretrained(config, model, dataset):
    """Load into a model what its preset takes from the checkpoint, and start its permutation.

    Code embeddings that were themselves permuted are loaded as they were used; id embeddings where the checkpoint is of
    the same data set, to go on with a finished run, each item's by its external id.

    Args:
        config (Config): options of props/finetune.yaml.
        model (VQRec): of the new domain.
        dataset (ItemCodesDataset): the new domain's.

    Returns:
        list of str: lines that say what was loaded and what was not.

    Raises:
        VQRecError: a checkpoint of another model, code layout, language model or size; a preset that adds id embeddings
            where the model has none.
    """
    preset = preset_of(config)
    if preset["add_id"] and getattr(model.items, "id_embedding", None) is None:
        raise VQRecError(
            f"preset {config['preset']}: adds id embeddings, {config['model']} has none here; set preset to inductive "
            "or full, or take VQRec or UniSRec, with an item_representation that is not given or has +id"
        )
    patterns = preset["load"]
    if not patterns:
        return ["nothing is loaded from a checkpoint: every parameter starts at random"]
    path = checkpoint.checkpoint_file(config["checkpoint"])
    tensors, item_ids, manifest = checkpoint.load(path)
    _refuse_other_model(path, config, manifest)
    if hasattr(dataset, "codebooks"):  # else a model that reads no codes
        _refuse_other_layout(path, config, manifest, dataset)
        _refuse_other_language_model(path, config, manifest)
    elif registry.of(config).dataset == registry.TEXT_DATASET:
        _refuse_other_text_vectors(path, config)
    pretrained = _model_state(tensors, manifest["config"])
    own = model.state_dict()
    own_ids, same_data = item_ids_of(dataset), manifest["dataset"] == config["dataset"]
    if same_data and IDS in own and IDS in pretrained:  # RecBole numbers items anew once there are more interactions
        zero = IDS.removeprefix("items.") in getattr(model.items, "zero_for_new_items", ())
        new = torch.zeros_like(own[IDS]) if zero else own[IDS]
        pretrained[IDS] = _rows_by_item(pretrained[IDS], item_ids, new.cpu(), own_ids)
    not_carried = OWN if same_data else (*OWN, IDS)
    wanted = [name for name in own if not name.startswith(not_carried) and any(fnmatch(name, p) for p in patterns)]
    fresh = [name for name in wanted if name not in pretrained]
    loaded = [name for name in wanted if name in pretrained]
    wrong = [name for name in loaded if own[name].shape != pretrained[name].shape]
    if wrong:
        raise VQRecError(f"{path}: {_why_it_does_not_fit(wrong[0], own, pretrained, config, manifest)}")
    model.load_state_dict({name: pretrained[name] for name in loaded}, strict=False)
    told = leakage(config["dataset"], own_ids, manifest, item_ids)
    if told:
        getLogger().warning(told)
    stage = {"train": ", trained on that alone", "finetune": ", fine-tuned there"}.get(manifest["stage"], "")
    lines = [f"{len(loaded)} parameters loaded from {path}, {manifest['model']} on {manifest['dataset']}{stage}"]
    if fresh:
        lines.append(f"not in the checkpoint, start at random: {examples(fresh)}")
    new_items = sorted({*own_ids} - {*item_ids})
    if IDS in loaded and new_items:
        lines.append(f"without an id embedding in the checkpoint, start anew: {examples(new_items)}")
    if not same_data and IDS in own and IDS in pretrained:
        lines.append("id embeddings start anew: those of the checkpoint are of other items")
    left = sorted(name for name in pretrained if name not in own and not name.startswith(OWN))
    if left:
        lines.append(f"in the checkpoint and not in this model, left out: {examples(left)}")
    permutation = getattr(model.items, "permutation", None)
    if isinstance(permutation, CodePermutation) and CODE_EMBEDDING in loaded:
        codebook, assignment = first_matching(config, dataset, path, tensors, manifest)
        permutation.start(torch.from_numpy(codebook), torch.from_numpy(assignment), config["permutation_confidence"])
        moved = (assignment != np.arange(assignment.shape[1])).mean() if len(assignment) else 0
        lines.append(f"permutation starts from {config['permutation_start']}: {moved:.0%} of the codes change place")
    return lines


def _model_state(tensors, options):
    """Return the model's tensors of a checkpoint, a permutation of its own applied to its code embeddings as it was."""
    state = {name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")}
    before = {n.removeprefix("items.permutation."): v for n, v in state.items() if n.startswith("items.permutation.")}
    permutation = None
    if "assignment" in before:
        kind, iterations = options["permutation"], options["permutation_iterations"]
        permutation = CodePermutation(*before["assignment"].shape, kind == "hard", iterations)
    elif "rows" in before:
        books, count = before["rows"].shape
        permutation = ReferencePermutation(books, count - 1)
    if permutation is not None:
        permutation.load_state_dict(before)
        with torch.no_grad():
            state[CODE_EMBEDDING] = permutation.eval()(state[CODE_EMBEDDING])
    return {name: value for name, value in state.items() if not name.startswith("items.permutation.")}


def _rows_by_item(table, item_ids, new, own_ids):
    """Return a table [1 + N, H] with a row for each own item: that of the given table, else that of `new`."""
    if table.shape[1:] != new.shape[1:]:
        return table  # refused with the other sizes
    row = {item_id: number for number, item_id in enumerate(item_ids, start=1)}
    both = {number: row[item_id] for number, item_id in enumerate(own_ids, start=1) if item_id in row}
    rows = new.clone()
    rows[[0, *both]] = table[[0, *both.values()]]  # row 0 is the padding item
    return rows


def _refuse_other_model(path, config, manifest):
    if manifest["model"] != config["model"]:
        raise VQRecError(f"{path}: a checkpoint of {manifest['model']}, to be fine-tuned is {config['model']}")


def _refuse_other_layout(path, config, manifest, dataset):
    found = (manifest["config"]["codebooks"], manifest["config"]["codes_per_codebook"])
    own = (dataset.codebooks, dataset.codes_per_codebook)
    if found != own:
        raise VQRecError(
            f"{path}: pre-trained on {found[0]} codebooks of {found[1]} codes, {config['dataset']} has {own[0]} of "
            f"{own[1]}; run 'recbole-vqrec encode --dataset {config['dataset']} --codebooks {found[0]} "
            f"--codes {found[1]}'"
        )


def _refuse_other_language_model(path, config, manifest):
    """Refuse codes of vectors that another language model, or another pooling of it, has made; where files say so."""
    own = _made(path)  # what the run read, where its data set has been embedded again
    try:
        files = pretrained_codes(path, manifest), codes_path(config["data_path"], config["dataset"], config)
        before, now = (artifacts.read_manifest(file, CODES_KIND, "").get("language_model") for file in files)
    except VQRecError:  # one of them is not there
        return
    if before and now:
        refuse_different({str(path): own if own.keys() >= {*LANGUAGE_MODEL} else before, config["dataset"]: now})


def _refuse_other_text_vectors(path, config):
    """Refuse text vectors of another language model, or pooling of it, than the run's; where files say so."""
    before, now = _made(path), made_by(config)
    told = before.keys() & now.keys() >= {*LANGUAGE_MODEL}
    if told and not same_language_model(before, now):
        command = embed_command(config["dataset"], before["plm"], before["pooling"])
        raise VQRecError(
            f"{path}: pre-trained on text vectors of {before['plm']} ({before['pooling']}), {config['dataset']} has "
            f"those of {now['plm']} ({now['pooling']}); run '{command}'"
        )


def _made(path):
    """Return how the catalogue beside a checkpoint says that texts became vectors, {} where there is none to read."""
    try:
        return artifacts.read_manifest(artifacts.catalogue_file(path.parent), CATALOGUE_KIND, "")["made"]
    except VQRecError:  # a checkpoint alone
        return {}


def _why_it_does_not_fit(name, own, pretrained, config, manifest):
    shapes = f"{name} is {list(pretrained[name].shape)}, here {list(own[name].shape)}"
    if name.startswith("items.text_projection"):
        return (
            f"{shapes}: pre-trained on text vectors of {manifest['config']['plm']}, this run has those of "
            f"{config['plm']}; embed and encode {config['dataset']} with --plm {manifest['config']['plm']}"
        )
    return f"{shapes}; leave hidden_size and the other options that give a model its sizes as they were"
