"""Text embeddings -> item codes, learned on the items of the training split only ("strict").

Axis legend: N items, n training items, D codebooks, M codes per codebook, d embedding size.
"""

import os
import time
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_vqrec import artifacts
from recbole_vqrec.data.item_code_table import codes_name, codes_path
from recbole_vqrec.embedding.text_encoder import KIND as EMBEDDING_KIND
from recbole_vqrec.embedding.text_encoder import load_embeddings
from recbole_vqrec.errors import VQRecError, examples
from recbole_vqrec.preprocess.atomic_files import read_table
from recbole_vqrec.quantization.item_codes import KIND, ItemCodes
from recbole_vqrec.quantization.product_quantizer import FEWEST_POINTS_PER_CENTROID
from recbole_vqrec.quantization.quality import quality, quality_lines
from recbole_vqrec.quantization.quantizers import check_options, load_quantizer, random_codes, train_quantizer

OPTIONS = (
    "quantizer", "codebooks", "codes_per_codebook", "whiten",
    "opq_schedule", "opq_iterations", "quantizer_sample", "quantizer_seed",
)  # fmt: skip
LANGUAGE_MODEL = ("plm", "pooling")  # what has to be equal where embeddings share a quantizer


def encode_dataset(folder, dataset, options, force=False, say=print):
    """Learn or reuse a quantizer, encode all items of a data set and write the code file, unless it is up to date.

    Args:
        folder (str or Path): the data set's folder with interactions and text embeddings.
        dataset (str): D.
        options (dict): those of props/item_codes.yaml.
        force (bool): redo.
        say (callable): receives the lines of the quality report, and one if there are too few items.

    Returns:
        tuple: path of the code file, and whether it was written now.

    Raises:
        VQRecError: embeddings missing, stale or not finite, items without embedding, sizes that cannot be, or a
            quantizer to reuse that is missing or was trained on another language model.
    """
    folder, other = Path(folder), str(options["reuse_quantizer"] or "")
    if other and not other.endswith(".safetensors"):
        other = codes_path(folder.parent / other, other, {**options, "reuse_quantizer": None, "item_codes": None})
    return _encode(folder, dataset, {dataset: folder}, options, other, force, say)


def encode_jointly(data_path, datasets, name, options, force=False, say=print):
    """Learn one quantizer on the training items of several domains and encode each of them, and all together.

    The merged code file <name>.<codes> holds the item ids "<domain>-<id>"; each domain gets a code file of its own
    with the same quantizer, the one that reuse_quantizer: <name> makes.

    Args:
        data_path (str or Path): folder of the data sets.
        datasets (list of str): the domains, each with interactions and text embeddings.
        name (str): of the merged data set.
        options, force, say: see `encode_dataset`.

    Returns:
        list of tuple: path and whether it was written now; the merged file first, then one a domain.

    Raises:
        VQRecError: as `encode_dataset`; a name that is also a domain, random codes, or domains embedded by different
            language models.
    """
    data_path = Path(data_path)
    if len(datasets) < 2 or len(set(datasets)) < len(datasets) or name in datasets:
        raise VQRecError(f"datasets {','.join(datasets)} and name {name}: expected two or more different names")
    if options["quantizer"] == "random" or options["reuse_quantizer"]:
        raise VQRecError("one quantizer for several data sets is learned: leave out --reuse and --quantizer random")
    merged = _encode(data_path / name, name, {each: data_path / each for each in datasets}, options, None, force, say)
    written = [merged]
    for dataset in datasets:
        folder = data_path / dataset
        reuse = {**options, "reuse_quantizer": name}
        written.append(_encode(folder, dataset, {dataset: folder}, reuse, merged[0], force, say))
    return written


def _encode(folder, name, domains, options, quantizer_file, force, say):
    """Encode the items of `domains` (data set -> folder) into the code file of `name` with a new or stored quantizer."""
    start = time.perf_counter()
    check_options(options)
    path = codes_path(folder, name, options)
    embedding_files = {
        dataset: artifacts.embedding_file(place, dataset, options["plm"]) for dataset, place in domains.items()
    }
    models = {dataset: _language_model(dataset, file, options) for dataset, file in embedding_files.items()}
    _refuse_different(models)
    made_by = {option: options[option] for option in OPTIONS}
    made_by["reuse_quantizer"] = os.path.relpath(quantizer_file, folder) if quantizer_file else None
    made_by["datasets"] = list(domains)
    files = [file for dataset, place in domains.items() for file in interaction_files(place, dataset)]
    files += [*embedding_files.values(), *([quantizer_file] if quantizer_file else [])]
    remedy = f"run 'recbole-vqrec encode --dataset {options['reuse_quantizer']}' first"
    quantizer = _stored_quantizer(quantizer_file, models, options, remedy) if quantizer_file else None
    inputs = {os.path.relpath(file, folder): artifacts.fingerprint(file) for file in files}
    if not force and artifacts.is_up_to_date(path, KIND, made_by, inputs):
        return path, False

    parts = [_items(dataset, domains[dataset], embedding_files[dataset], options) for dataset in domains]
    prefixes = [f"{dataset}-" if len(domains) > 1 else "" for dataset in domains]
    item_ids = [prefix + item_id for prefix, (part, _, _) in zip(prefixes, parts) for item_id in part]
    embeddings = np.concatenate([vectors for _, vectors, _ in parts])
    manifest = {"dataset": name, "options": made_by, "inputs": inputs, "language_model": next(iter(models.values()))}
    if quantizer is None:
        training = np.concatenate([vectors[rows] for _, vectors, rows in parts])
        manifest["training_items"] = len(training)
        quantizer = train_quantizer(_sample(training, options, say), options)
    if quantizer is None:
        codes, decoded = random_codes(item_ids, *_layout(options), options["quantizer_seed"]), None
    else:
        codes = quantizer.encode(embeddings)
        decoded = quantizer.decode(codes)
    report = quality(codes, options["codes_per_codebook"], embeddings, decoded)
    manifest["quality"] = report
    tensors = quantizer.tensors() if quantizer else None
    ItemCodes(item_ids, codes, options["codes_per_codebook"], manifest).save(path, tensors)
    say(f"{path}: {len(item_ids):,} items, {path.stat().st_size / 1e6:.1f} MB, {time.perf_counter() - start:.1f} s")
    for line in quality_lines(report, options["codes_per_codebook"]):
        say(line)
    return path, True


def _layout(options):
    return options["codebooks"], options["codes_per_codebook"]


def _language_model(dataset, file, options):
    """Return plm and pooling of a data set's embedding file, which must be there and up to date."""
    remedy = _embed_again(dataset, options)
    manifest = artifacts.read_manifest(file, EMBEDDING_KIND, remedy)
    artifacts.refuse_stale(file, manifest, remedy)
    return {option: manifest["options"].get(option) for option in LANGUAGE_MODEL}


def _embed_again(dataset, options):
    return f"run 'recbole-vqrec embed --dataset {dataset} --plm {options['plm']}'"


def _refuse_different(models):
    """Raise `VQRecError` unless all data sets (name -> plm and pooling) were embedded alike."""
    (first, expected), *others = models.items()
    for dataset, found in others:
        if found != expected:
            raise VQRecError(
                f"{dataset} is embedded by {found['plm']} ({found['pooling']}), {first} by {expected['plm']} "
                f"({expected['pooling']}); embed all data sets of one quantizer with the same plm and pooling"
            )


def _stored_quantizer(file, models, options, remedy):
    """Return the quantizer of a code file if it fits the embeddings and the options."""
    quantizer = load_quantizer(file, remedy)
    manifest = artifacts.read_manifest(file, KIND, remedy)
    artifacts.refuse_stale(file, manifest, remedy)
    if "language_model" in manifest:  # an imported index does not say
        _refuse_different({Path(file).name: manifest["language_model"], **models})
    found = (quantizer.codebooks, quantizer.codes_per_codebook)
    if found != _layout(options):
        raise VQRecError(
            f"{file}: has {found[0]} codebooks of {found[1]} codes, asked for are {options['codebooks']} of "
            f"{options['codes_per_codebook']}; say --codebooks {found[0]} --codes {found[1]}"
        )
    return quantizer


def _items(dataset, folder, file, options):
    """Return item ids, embeddings [N, d] and the rows of the training items of a data set."""
    item_ids, embeddings, _ = load_embeddings(file, _embed_again(dataset, options))
    broken = np.flatnonzero(~np.isfinite(embeddings).all(axis=1))
    if broken.size:
        names = examples([item_ids[row] for row in broken])
        raise VQRecError(
            f"{file}: the embeddings of {broken.size:,} items are not finite ({names}); "
            f"{_embed_again(dataset, options)} --force --dtype float32"
        )
    trained_on = sorted(training_items(folder, dataset))
    return item_ids, embeddings, artifacts.rows_of(item_ids, trained_on, file, _embed_again(dataset, options))


def _sample(training, options, say):
    """Return the training items [n, d] that the quantizer learns from; say so where they are too few."""
    most = options["quantizer_sample"]
    codes_per_codebook = options["codes_per_codebook"]
    if most < codes_per_codebook:
        raise VQRecError(f"quantizer_sample: {most} items cannot fill {codes_per_codebook} codes; choose more items")
    if len(training) > most:
        chosen = np.random.default_rng(options["quantizer_seed"]).permutation(len(training))[:most]
        training = training[np.sort(chosen)]
    if options["quantizer"] != "random" and len(training) < FEWEST_POINTS_PER_CENTROID * codes_per_codebook:
        enough = 1 << max(1, (len(training) // FEWEST_POINTS_PER_CENTROID).bit_length() - 1)
        say(
            f"note: {len(training):,} training items for {codes_per_codebook} codes per codebook, fewer than "
            f"{FEWEST_POINTS_PER_CENTROID} a code; --codes {enough} would be backed by enough"
        )
    return training


def interaction_files(folder, dataset):
    """Return the interaction files of a data set: <D>.inter, or the authors' three parts."""
    whole = artifacts.atomic_file(folder, dataset, "inter")
    if whole.is_file():
        return [whole]
    parts = [artifacts.atomic_file(folder, f"{dataset}.{part}", "inter") for part in ("train", "valid", "test")]
    if all(part.is_file() for part in parts):
        return parts
    raise VQRecError(f"{whole}: interaction file not found; put it there, or make it with 'recbole-vqrec preprocess'")


def training_items(folder, dataset):
    """Return the ids of items that occur in the training split: leave-one-out, or the authors' train part.

    Args:
        folder (str or Path): the data set's folder.
        dataset (str): D.
    """
    file = interaction_files(folder, dataset)[0]
    table = read_table(file, "")
    if "item_id_list" in table:
        return set(table["item_id"]).union(*table["item_id_list"].str.split())
    table["timestamp"] = pd.to_numeric(table["timestamp"], errors="coerce")
    table = table.sort_values(["user_id", "timestamp"], kind="stable")
    from_end = table.groupby("user_id").cumcount(ascending=False)
    size = table.groupby("user_id")["item_id"].transform("size")
    # RecBole holds out the last two pairs (history -> item) of a user, but leaves one pair for training
    held_out = np.clip(size - 2, 0, 2)
    return set(table["item_id"][(size > 1) & (from_end >= held_out)])
