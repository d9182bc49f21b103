"""Atomic files, text embeddings and item codes -> the authors' layout, so that their scripts run on the data set.

Axis legend: N items, d embedding size, D codebooks.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from recbole_vqrec import artifacts
from recbole_vqrec.data.item_code_table import codes_path
from recbole_vqrec.embedding.text_encoder import KIND as EMBEDDING_KIND
from recbole_vqrec.embedding.text_encoder import load_embeddings
from recbole_vqrec.errors import VQRecError, examples
from recbole_vqrec.interchange.layout import SPLITS, number_order, parts_of, read_lines, write_numbers
from recbole_vqrec.interchange.part_files import FEATURES
from recbole_vqrec.interchange.prefix_rows import write_users
from recbole_vqrec.preprocess.atomic_files import read_table
from recbole_vqrec.preprocess.item_text import item_texts
from recbole_vqrec.quantization.encode import training_items
from recbole_vqrec.quantization.faiss_index import index_name, write_index
from recbole_vqrec.quantization.item_codes import KIND as CODES_KIND
from recbole_vqrec.quantization.product_quantizer import ProductQuantizer


def export_unisrec(folder, dataset, out, options, max_length=50, force=False):
    """Write the authors' files of a data set; texts, embeddings and codes where there are any.

    Users and items keep the numbers they were imported with (<D>.item2index and <D>.user2index beside the data set),
    else they are numbered as the authors do: in the order of the interactions.

    Args:
        folder (str or Path): the data set's folder.
        dataset (str): D.
        out (str or Path): folder to write.
        options (dict): of props/item_codes.yaml; plm and item_codes name the embeddings and codes.
        max_length (int): items to which histories are cut.
        force (bool): replace an export that is there.

    Returns:
        dict: "paths" (list of Path) and "notes" (list of str).

    Raises:
        VQRecError: the result is there already, a user has too few interactions, or numbers of other items.
    """
    folder, out = Path(folder), Path(out)
    inter = artifacts.atomic_file(folder, dataset, "inter")
    users, items = _sequences(inter, dataset)
    files = {split: out / f"{dataset}.{split}.inter" for split in SPLITS}
    there = [path.name for path in files.values() if path.exists()]
    if there and not force:
        raise VQRecError(f"{out}: holds {examples(there)} already; --force replaces them")
    parts = parts_of(folder, dataset)
    texts = _texts(folder, dataset, options)
    every_item = dict.fromkeys(item for sequence in items for item in sequence)
    every_item.update(dict.fromkeys(texts or ()))
    item_number = _numbers(folder / f"{dataset}.item2index", every_item)
    user_number = _numbers(folder / f"{dataset}.user2index", users)

    order = sorted(zip(users, items), key=lambda user: number_order(user_number[user[0]]))
    rows = ((user_number[user], [item_number[item] for item in sequence]) for user, sequence in order)
    write_users(files, rows, max_length)
    paths, notes = list(files.values()), []
    paths += _write_ids(out, parts, "item2index", item_number) + _write_ids(out, parts, "user2index", user_number)
    if texts is None:
        notes.append(f"no .text: {dataset} has no .item file")
    else:
        paths += _write_texts(out, parts, texts)
    if len(parts) > 1:
        seen = training_items(folder, dataset)
        filtered = (f"{number}\n" for item, number in item_number.items() if item in seen)
        paths.append(_write_lines(out / f"{dataset}.filtered_id", filtered))
        paths.append(_write_lines(out / f"{dataset}.pt_datasets", [",".join(part.name for part in parts) + "\n"]))
    for found, said in (
        _write_features(folder, dataset, out, parts, options, item_number),
        _write_index(folder, dataset, out, options, item_number),
    ):
        paths += found
        notes += said
    return {"paths": paths, "notes": notes}


def _sequences(inter, dataset):
    """Return users in the order of the file, and their items by time and position in the file."""
    table = read_table(inter, f"make it with 'recbole-vqrec preprocess' (data set {dataset})")
    missing = [column for column in ("user_id", "item_id", "timestamp") if column not in table]
    if missing:
        raise VQRecError(f"{inter}: has no column {missing[0]}, only {', '.join(table.columns)}")
    time = pd.to_numeric(table["timestamp"], errors="coerce")
    wrong = np.flatnonzero(~np.isfinite(time))
    if len(wrong):
        raise VQRecError(
            f"{inter} line {wrong[0] + 2}: timestamp is '{table['timestamp'].iloc[wrong[0]]}', expected a number"
        )
    user, users = pd.factorize(table["user_id"])
    order = np.lexsort((time, user))
    ends = np.cumsum(np.bincount(user, minlength=len(users)))
    items = np.split(table["item_id"].to_numpy()[order], ends[:-1]) if len(users) else []
    return list(users), [sequence.tolist() for sequence in items]


def _texts(folder, dataset, options):
    """Return item id -> text, or None where there is no <D>.item."""
    path = artifacts.atomic_file(folder, dataset, "item")
    if not path.is_file():
        return None
    return dict(zip(*item_texts(path, options["text_columns"], options["empty_text"] or " ")))


def _numbers(path, ids):
    """Return id -> number in the order of numbers: as imported, else in the order given."""
    if not path.is_file():
        return {identifier: str(number) for number, identifier in enumerate(ids)}
    kept = dict(line.split("\t") for _, line in read_lines(path))
    unknown = [identifier for identifier in ids if identifier not in kept]
    if unknown:
        raise VQRecError(
            f"{path}: has no number for {len(unknown):,} ids of the data set ({examples(unknown)}); it is of another "
            "version of the data set, remove it to number anew"
        )
    return kept


def _of_part(ids, part):
    return [identifier for identifier in ids if identifier.startswith(part.prefix)]


def _write_ids(out, parts, suffix, numbers):
    paths = []
    for part in parts:
        cut = len(part.prefix)
        paths.append(out / f"{part.name}.{suffix}")
        chosen = _of_part(numbers, part)
        write_numbers(paths[-1], [identifier[cut:] for identifier in chosen], [numbers[i][cut:] for i in chosen])
    return paths


def _write_texts(out, parts, texts):
    return [
        _write_lines(
            out / f"{part.name}.text",
            ["item_id:token\ttext:token_seq\n"]
            + [f"{item[len(part.prefix) :]}\t{texts[item].strip()}\n" for item in _of_part(texts, part)],
        )
        for part in parts
    ]


def _write_lines(path, lines):
    with artifacts.replace_when_done(path) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as file:
        file.writelines(lines)
    return path


def _write_features(folder, dataset, out, parts, options, item_number):
    """Return (paths, notes) of the text embeddings as headerless float32 in the order of numbers."""
    path = artifacts.embedding_file(folder, dataset, options["plm"])
    remedy = f"run 'recbole-vqrec embed --dataset {dataset} --plm {options['plm']}'"
    if not path.is_file():
        return [], [f"no .{FEATURES}: {path.name} is not there; {remedy}"]
    artifacts.refuse_stale(path, artifacts.read_manifest(path, EMBEDDING_KIND, remedy), remedy)
    item_ids, embeddings, _ = load_embeddings(path, remedy)
    paths = []
    for part in parts:
        rows = artifacts.rows_of(item_ids, _of_part(item_number, part), path, remedy)
        paths.append(out / f"{part.name}.{FEATURES}")
        with artifacts.replace_when_done(paths[-1]) as temporary:
            embeddings[rows].astype("<f4").tofile(temporary)
    return paths, []


def _write_index(folder, dataset, out, options, item_number):
    """Return (paths, notes) of the item codes as a faiss index; items whose codes were only filled in are left out."""
    path = codes_path(folder, dataset, options)
    published = artifacts.codes_file(folder, dataset, "published")
    if not path.is_file() and not options["item_codes"] and published.is_file():
        path = published
    remedy = f"run 'recbole-vqrec encode --dataset {dataset}'"
    if not path.is_file():
        return [], [f"no .index: {path.name} is not there; {remedy}"]
    tensors, item_ids, manifest = artifacts.read_artifact(path, CODES_KIND, remedy)
    artifacts.refuse_stale(path, manifest, remedy)
    arrays = [tensors.get(f"quantizer.{name}") for name in ("rotation", "offset", "centroids")]
    if any(array is None for array in arrays) or manifest["codes_per_codebook"] != 256:
        return [], [f"no .index: {path.name} is no product quantizer of 256 codes, which the authors' scripts need"]
    filled = set(manifest.get("filled_items", ()))
    rows = artifacts.rows_of(item_ids, [item for item in item_number if item not in filled], path, remedy)
    made = out / f"{dataset}.{index_name(manifest['codebooks'])}"
    write_index(made, ProductQuantizer(*arrays), tensors["codes"][rows])
    return [made], []
