"""Text embeddings -> item codes, learned on the items of the training split only ("strict").

Axis legend: N items, n training items, D codebooks, M codes per codebook, d embedding size.
"""

import os
import time
from pathlib import Path

import numpy as np

from recbole_vqrec import artifacts, provenance
from recbole_vqrec.data.item_code_table import codes_path, encode_command
from recbole_vqrec.errors import VQRecError, refuse_other
from recbole_vqrec.preprocess.domain_ids import merged_item_ids
from recbole_vqrec.quantization.domain import Domain, refuse_different
from recbole_vqrec.quantization.item_codes import KIND, ItemCodes
from recbole_vqrec.quantization.product_quantizer import FEWEST_POINTS_PER_CENTROID
from recbole_vqrec.quantization.quality import quality, quality_lines
from recbole_vqrec.quantization.quantizers import QUANTIZERS, load_quantizer, random_codes, train_quantizer

OPTIONS = (
    "quantizer", "codebooks", "codes_per_codebook", "whiten",
    "opq_schedule", "opq_iterations", "quantizer_sample", "quantizer_seed",
)  # fmt: skip


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
    folder = Path(folder)
    domain = Domain(dataset, folder, options["plm"], options["pooling"])
    return _encode(folder, dataset, [domain], options, reused_file(folder.parent, options), force, say)


def reused_file(data_path, options):
    """Return the code file that reuse_quantizer names, as a file or as a data set; None where it names none.

    Args:
        data_path (str or Path): folder of the data sets.
        options (dict): those of props/item_codes.yaml.
    """
    named = str(options["reuse_quantizer"] or "")
    if not named or artifacts.is_code_file(named):
        return named or None
    return codes_path(Path(data_path) / named, named, {**options, "reuse_quantizer": None, "item_codes": None})


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
        VQRecError: as `encode_dataset`; a name that is also a domain, random codes, domains embedded by different
            language models, or an item id that two domains make.
    """
    data_path = Path(data_path)
    if len(datasets) < 2 or len(set(datasets)) < len(datasets) or name in datasets:
        raise VQRecError(f"datasets {','.join(datasets)} and name {name}: expected two or more different names")
    if options["quantizer"] == "random" or options["reuse_quantizer"]:
        raise VQRecError("one quantizer for several data sets is learned: leave out --reuse and --quantizer random")
    if artifacts.is_code_file(options["item_codes"]):
        raise VQRecError(f"item_codes: {options['item_codes']} is one file, each data set gets its own; give a name")
    domains = [Domain(dataset, data_path / dataset, options["plm"], options["pooling"]) for dataset in datasets]
    merged = _encode(data_path / name, name, domains, options, None, force, say)
    reuse = {**options, "reuse_quantizer": name}
    alone = [_encode(each.folder, each.dataset, [each], reuse, merged[0], force, say) for each in domains]
    return [merged, *alone]


def _encode(folder, name, domains, options, quantizer_file, force, say):
    """Write the code file of `name` for the items of its domains, with the quantizer of a code file or a new one."""
    start = time.perf_counter()
    refuse_other("quantizer", options["quantizer"], QUANTIZERS)
    path = codes_path(folder, name, options)
    models = {domain.dataset: domain.language_model() for domain in domains}
    refuse_different(models)
    quantizer = _stored_quantizer(quantizer_file, models, options) if quantizer_file else None
    made_by, inputs = _origin(path.parent, domains, options, quantizer_file)
    if not force and provenance.is_up_to_date(path, KIND, made_by, inputs):
        return path, False

    manifest = {"dataset": name, "options": made_by, "inputs": inputs, "language_model": next(iter(models.values()))}
    item_ids, embeddings, training_rows = _items(name, domains)
    if not quantizer_file:
        training = _sample(embeddings, training_rows, options, say)
        quantizer = train_quantizer(training, options)
        manifest["training_items"] = len(training)
    layout = options["codebooks"], options["codes_per_codebook"]
    codes = quantizer.encode(embeddings) if quantizer else random_codes(item_ids, *layout, options["quantizer_seed"])
    manifest["quality"] = quality(codes, layout[1], embeddings, quantizer.decode(codes) if quantizer else None)
    ItemCodes(item_ids, codes, layout[1], manifest).save(path, quantizer.tensors() if quantizer else None)
    say(f"{path}: {len(item_ids):,} items, {path.stat().st_size / 1e6:.1f} MB, {time.perf_counter() - start:.1f} s")
    for line in quality_lines(manifest["quality"], layout[1]):
        say(line)
    return path, True


def reuse_remedy(options):
    """Return what to do where the file that reuse_quantizer names cannot be used."""
    named = str(options["reuse_quantizer"])
    if artifacts.is_code_file(named):
        return "set reuse_quantizer to a data set or to another code file"
    options = {**options, "reuse_quantizer": None}
    alone, jointly = encode_command(named, options), encode_command(named, options, ["A", "B"])
    return f"run '{alone}' first, or for several data sets '{jointly}'"


def _stored_quantizer(file, models, options):
    """Return the quantizer of a code file if it fits the embeddings and the options."""
    remedy = reuse_remedy(options)
    quantizer = load_quantizer(file, remedy)
    manifest = artifacts.read_manifest(file, KIND, remedy)
    provenance.refuse_stale(file, manifest, remedy)
    if "language_model" in manifest:  # an imported index does not say
        refuse_different({Path(file).name: manifest["language_model"], **models})
    found = (quantizer.codebooks, quantizer.codes_per_codebook)
    if found != (options["codebooks"], options["codes_per_codebook"]):
        raise VQRecError(
            f"{file}: has {found[0]} codebooks of {found[1]} codes, asked for are {options['codebooks']} of "
            f"{options['codes_per_codebook']}; say --codebooks {found[0]} --codes {found[1]}"
        )
    return quantizer


def _origin(folder, domains, options, quantizer_file):
    """Return the manifest entries "options" and "inputs"; files are named as seen from the code file's folder."""
    made_by = {option: options[option] for option in OPTIONS}
    made_by["datasets"] = [domain.dataset for domain in domains]
    files = [file for domain in domains for file in domain.files]
    if quantizer_file:
        made_by["reuse_quantizer"] = os.path.relpath(quantizer_file, folder)
        files.append(quantizer_file)
    return made_by, {os.path.relpath(file, folder): provenance.fingerprint(file) for file in files}


def _items(name, domains):
    """Return item ids, embeddings [N, d] and training rows [n] of all domains of `name`, one after the other."""
    item_ids, embeddings, training_rows, start = {}, [], [], 0
    for domain in domains:
        ids, vectors, rows = domain.items()
        item_ids[domain.dataset] = ids
        embeddings.append(vectors)
        training_rows.append(rows + start)
        start += len(ids)
    sizes = {domain.dataset: vectors.shape[1] for domain, vectors in zip(domains, embeddings)}
    if len(set(sizes.values())) > 1:
        raise VQRecError(f"embeddings of different sizes ({sizes}); embed all data sets with the same plm")
    merged = item_ids[domains[0].dataset] if len(domains) == 1 else merged_item_ids(name, item_ids)
    return merged, np.concatenate(embeddings), np.concatenate(training_rows)


def _sample(embeddings, rows, options, say):
    """Return the training items [n, d] that the quantizer learns from; say so where they are too few."""
    most, codes_per_codebook = options["quantizer_sample"], options["codes_per_codebook"]
    if most < codes_per_codebook:
        raise VQRecError(f"quantizer_sample: {most} items cannot fill {codes_per_codebook} codes; choose more items")
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(options["quantizer_seed"]).permutation(rows)[:most])
    if options["quantizer"] != "random" and len(rows) < FEWEST_POINTS_PER_CENTROID * codes_per_codebook:
        enough = 1 << max(1, (len(rows) // FEWEST_POINTS_PER_CENTROID).bit_length() - 1)
        say(
            f"note: {len(rows):,} training items for {codes_per_codebook} codes per codebook, fewer than "
            f"{FEWEST_POINTS_PER_CENTROID} a code; --codes {enough} would be backed by enough"
        )
    return embeddings[rows]
