"""Which code file belongs to a data set, and its codes in RecBole's item order.

Axis legend: N items with padding, D codebooks, M codes per codebook.
"""

from logging import getLogger
from pathlib import Path

import numpy as np

from recbole_vqrec import artifacts, provenance
from recbole_vqrec.defaults import read_props
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.preprocess.domain_ids import merged_item_ids
from recbole_vqrec.preprocess.record import own_or_of_domains
from recbole_vqrec.quantization.item_codes import KIND, ItemCodes

OTHER_SPLITS = ("rm_dup_inter", "val_interval", "user_inter_num_interval", "item_inter_num_interval")  # what changes it


def codes_name(options):
    """Return the name of the code file that these options make: <plm>.<quantizer><D>x<M>[.whiten<N>][.of-<other>]."""
    plm = artifacts.short_name(options["plm"])
    name = f"{plm}.{options['quantizer']}{options['codebooks']}x{options['codes_per_codebook']}"
    if options["whiten"]:
        name += f".whiten{options['whiten']}"
    if options["reuse_quantizer"]:
        name += f".of-{artifacts.short_name(options['reuse_quantizer']).removesuffix('.codes.safetensors')}"
    return name


def codes_path(folder, dataset, options):
    """Return the code file for these options: `item_codes` as a path or name where given, else by `codes_name`."""
    given = options["item_codes"]
    if artifacts.is_code_file(given):
        return Path(given)
    return artifacts.codes_file(folder, dataset, given or codes_name(options))


def code_files(folder, dataset, options):
    """Return the files of a data set's codes: its own, or those of its domains where it is merged and has none.

    Args:
        folder (Path): of the data set.
        dataset (str): name.
        options (mapping): of props/item_codes.yaml.

    Returns:
        list of tuple: data set and file.
    """
    if options["item_codes"]:
        return [(dataset, codes_path(folder, dataset, options))]
    return own_or_of_domains(folder, dataset, lambda *place: codes_path(*place, options))


def encode_command(dataset, options, domains=()):
    """Return the command that makes the code file of these options, each that is not the default written out.

    Args:
        dataset (str): data set name.
        options (mapping): of props/item_codes.yaml.
        domains (sequence of str): where they are encoded jointly, with a quantizer of their own.
    """
    what = f"--datasets {','.join(domains)} --name {dataset}" if domains else f"--dataset {dataset}"
    defaults, words = read_props("item_codes.yaml"), [f"recbole-vqrec encode {what}"]
    names = ("plm", "quantizer", "codebooks", "codes_per_codebook", "whiten", "reuse_quantizer")
    for name in names[:-1] if domains else names:
        if options[name] != defaults[name]:
            words.append(f"--{name.replace('_', '-')} {options[name]}")
    return " ".join(words)


def load_item_codes(config, tokens):
    """Return a data set's item codes.

    A merged data set that has no code file of its own takes the codes of its domains, whose files lie beside it: of a
    joint quantizer with `reuse_quantizer`, else of each domain's own.

    Args:
        config (Config): with data_path (the data set's folder), dataset and the options of props/item_codes.yaml.
        tokens (sequence of str): internal item id -> external id, tokens[0] is the padding item.

    Returns:
        tuple: `ItemCodes`, and np.ndarray [N, D] int64 of flat code ids with the padding item first.

    Raises:
        VQRecError: missing, damaged, out of date, other items, or another D or M than configured; domains whose codes
            come from different kinds of quantizers, or that make the same item id.
    """
    folder, dataset = Path(config["data_path"]), config["dataset"]
    path, files = codes_path(folder, dataset, config), code_files(folder, dataset, config)
    if files == [(dataset, path)]:
        codes, remedy = _one_file(path, dataset, config)
    else:
        codes, remedy = _of_domains(files, dataset, config)
    return codes, codes.flat_table(tokens, path, remedy)


def _one_file(path, dataset, config):
    """Return the codes of one file, checked against the configuration, and the remedy for what it may lack."""
    command = encode_command(dataset, config)
    remedy = f"run '{command}', or set item_codes to the code file"
    others = sorted(file.name for file in path.parent.glob("*.codes.safetensors")) if not path.is_file() else []
    if others:
        remedy += f" (there are {', '.join(others)})"
    codes = ItemCodes.load(path, remedy)
    expected = (config["codebooks"], config["codes_per_codebook"])
    found = (codes.codebooks, codes.codes_per_codebook)
    if expected != found:
        raise VQRecError(
            f"{path}: has {found[0]} codebooks of {found[1]} codes, configured are {expected[0]} of {expected[1]}; "
            f"set codebooks: {found[0]} and codes_per_codebook: {found[1]}, or encode again"
        )
    imported = "from_index" in codes.manifest.get("options", {})
    provenance.refuse_stale(path, codes.manifest, "import them again" if imported else f"run '{command}'")
    if "training_items" in codes.manifest:
        _tell_other_split(path, config)
    return codes, remedy


def _tell_other_split(path, config):
    """Warn where a run holds out other interactions than the quantizer was kept from, the last two of each user."""
    split = (config["eval_args"] or {}).get("split")
    changed = [name for name in OTHER_SPLITS if config[name] not in (None, "[0,inf)")]
    if changed or split not in (None, read_props("overall.yaml")["eval_args"]["split"]):
        getLogger().warning(
            f"{path}: learned on all but the last two interactions of each user in the .inter file; this run holds out "
            f"others ({', '.join(changed) or f'eval_args split {split}'}), so the codes may know what it is tested on"
        )


def _of_domains(files, dataset, config):
    """Return the codes of all domains under the merged data set's item ids."""
    remedy = f"run '{encode_command(dataset, config, [domain for domain, _ in files])}'"
    item_ids, codes, layouts = {}, [], {}
    for domain, path in files:
        if not path.is_file():
            raise VQRecError(f"{path}: {KIND} not found, and {dataset} has none of its own; {remedy}")
        own, _ = _one_file(path, domain, config)
        item_ids[domain] = own.item_ids
        codes.append(own.codes)
        options = own.manifest.get("options", {})
        layouts[domain] = tuple(options.get(name) for name in ("quantizer", "whiten"))
    if len(set(layouts.values())) > 1:
        raise VQRecError(f"{dataset}: its domains' codes come from different quantizers ({layouts}); {remedy}")
    item_ids = merged_item_ids(dataset, item_ids)
    return ItemCodes(item_ids, np.concatenate(codes), config["codes_per_codebook"], {"dataset": dataset}), remedy
