"""Atomic files, text embeddings and item codes -> the authors' layout, so that their scripts run on the data set."""

import time
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from recbole_vqrec import artifacts, provenance
from recbole_vqrec.data.item_code_table import codes_path
from recbole_vqrec.embedding.embed import embedding_path
from recbole_vqrec.embedding.text_encoder import KIND as EMBEDDING_KIND
from recbole_vqrec.embedding.text_encoder import load_embeddings
from recbole_vqrec.errors import VQRecError, examples
from recbole_vqrec.interchange.layout import SPLITS, number_order, write_lines, write_numbers
from recbole_vqrec.interchange.numbering import number_items_and_users
from recbole_vqrec.interchange.part_files import FEATURES, TEXT_HEADER
from recbole_vqrec.interchange.prefix_rows import write_users
from recbole_vqrec.interchange.record import made_from, record_file, recorded_outputs, up_to_date, write_record
from recbole_vqrec.preprocess.atomic_files import read_table
from recbole_vqrec.preprocess.item_text import item_texts
from recbole_vqrec.quantization.domain import training_items
from recbole_vqrec.quantization.faiss_index import index_name, write_index
from recbole_vqrec.quantization.item_codes import KIND as CODES_KIND
from recbole_vqrec.quantization.product_quantizer import ProductQuantizer

QUANTIZER = ("rotation", "offset", "centroids")


def export_unisrec(folder, dataset, out, options, max_length=50, force=False, progress=True):
    """Write the authors' files of a data set; texts, embeddings and codes where there are any.

    A mix of domains (an imported one, or one made by `recbole-vqrec merge`) gets their layout of a pre-training set.

    Args:
        folder (str or Path): the data set's folder.
        dataset (str): D.
        out (str or Path): folder to write.
        options (dict): of props/item_codes.yaml; plm and item_codes name the embeddings and codes.
        max_length (int): items to which histories are cut.
        force (bool): redo, and replace files of these names that are no export.
        progress (bool): show a progress bar.

    Returns:
        dict: "summary" (users, items, interactions, seconds as name -> value), "paths" (list of Path) and "notes"
        (list of str). The summary is empty where the result was up to date.

    Raises:
        VQRecError: files of these names are there that no export made, a user has too few interactions, or numbers of
            other items.
    """
    started = time.monotonic()
    folder, out = Path(folder), Path(out)
    files = {split: out / f"{dataset}.{split}.inter" for split in SPLITS}
    record = record_file(out, dataset, "export")
    there = [path.name for path in files.values() if path.exists()]
    if there and not record.exists() and not force:
        raise VQRecError(f"{out}: holds {examples(there)}, which no export made; --force replaces them")
    chosen = {"max_length": max_length, **{name: options[name] for name in ("text_columns", "empty_text")}}
    made_by = made_from(_inputs(folder, dataset, options), chosen)
    done = None if force else up_to_date(record, made_by)
    if done:
        return {"summary": {}, "paths": done, "notes": [f"{dataset}: up to date; --force redoes it"]}
    earlier = recorded_outputs(record)
    write_record(record, made_from((), {}), filter(Path.is_file, earlier))  # what a failure leaves is up to date never
    users, items = _sequences(artifacts.atomic_file(folder, dataset, "inter"))
    texts = _texts(folder, dataset, options)
    parts, item_number, user_number = number_items_and_users(folder, dataset, users, items, texts or ())
    _refuse_stale(folder, dataset, options)

    order = sorted(zip(users, items), key=lambda user: number_order(user_number[user[0]]))
    bar = tqdm(order, desc="export", unit=" users", disable=not progress)
    rows = ((user_number[user], [item_number[item] for item in sequence]) for user, sequence in bar)
    write_users(files, rows, max_length)
    paths, notes = list(files.values()), []
    for part in parts:
        for suffix, numbers in (("item2index", item_number), ("user2index", user_number)):
            paths.append(out / f"{part.name}.{suffix}")
            chosen = part.numbers_of(numbers)
            write_numbers(
                paths[-1], map(part.without_prefix, chosen), (number[len(part.prefix) :] for number in chosen.values())
            )
        if texts is not None:
            chosen = part.numbers_of(item_number)
            lines = [f"{part.without_prefix(item)}\t{text.strip()}" for item, text in texts.items() if item in chosen]
            paths.append(out / f"{part.name}.text")
            write_lines(paths[-1], [TEXT_HEADER, *lines])
    if texts is None:
        notes.append(f"no .text: {dataset} has no .item file")
    in_index = list(item_number)
    if parts[0].prefix:
        seen = training_items(folder, dataset)
        in_index = [item for item in item_number if item in seen]
        paths += [out / f"{dataset}.filtered_id", out / f"{dataset}.pt_datasets"]
        write_lines(paths[-2], (item_number[item] for item in in_index))
        write_lines(paths[-1], [",".join(part.name for part in parts)])
    for made, said in (
        *(_write_features(folder, dataset, out, parts, options, item_number, suffix) for suffix in FEATURES),
        _write_index(folder, dataset, out, options, in_index),
    ):
        paths += made
        notes += said
    for path in set(earlier) - set(paths):  # an index or features of other numbers would be read without an error
        path.unlink(missing_ok=True)
    write_record(record, made_by, paths)
    summary = {
        "users": len(users),
        "items": len(item_number),
        "interactions": sum(map(len, items)),
        "seconds": round(time.monotonic() - started, 1),
    }
    return {"summary": summary, "paths": paths, "notes": notes}


def _inputs(folder, dataset, options):
    """Return the paths of the files of a data set that an export reads."""
    names = [f"{dataset}.{suffix}" for suffix in ("inter", "item", "item2index", "user2index", "pt_datasets")]
    paths = [folder / name for name in names] + [_codes_path(folder, dataset, options)]
    paths += [embedding_path(folder, dataset, {"plm": options["plm"], "word_drop": drop}) for drop in FEATURES.values()]
    return [path for path in paths if path.is_file()]


def _refuse_stale(folder, dataset, options):
    """Refuse embeddings and codes of other items or texts before a file is written."""
    sources = [(*_embedding(folder, dataset, options, suffix), EMBEDDING_KIND) for suffix in FEATURES]
    for path, remedy, kind in [*sources, (*_codes(folder, dataset, options), CODES_KIND)]:
        if path.is_file():
            provenance.refuse_stale(path, artifacts.read_manifest(path, kind, remedy), remedy)


def _sequences(inter):
    """Return users in the order of the file, and the items of each by time and position in the file."""
    table = read_table(inter, "make it with 'recbole-vqrec preprocess'")
    missing = [column for column in ("user_id", "item_id", "timestamp") if column not in table]
    if missing:
        raise VQRecError(f"{inter}: has no column {missing[0]}, only {', '.join(table.columns)}")
    times = pd.to_numeric(table["timestamp"], errors="coerce")
    wrong = np.flatnonzero(~np.isfinite(times))
    if len(wrong):
        raise VQRecError(
            f"{inter} line {wrong[0] + 2}: timestamp is '{table['timestamp'].iloc[wrong[0]]}', expected a number"
        )
    if table.empty:
        raise VQRecError(f"{inter}: has no interactions")
    user, users = pd.factorize(table["user_id"])
    ends = np.cumsum(np.bincount(user, minlength=len(users)))
    items = np.split(table["item_id"].to_numpy()[np.lexsort((times, user))], ends[:-1])
    return list(users), [sequence.tolist() for sequence in items]


def _texts(folder, dataset, options):
    """Return item id -> text, or None where there is no <D>.item."""
    path = artifacts.atomic_file(folder, dataset, "item")
    if not path.is_file():
        return None
    return dict(zip(*item_texts(path, options["text_columns"], options["empty_text"] or " ")))


def _write_features(folder, dataset, out, parts, options, item_number, suffix):
    """Return (paths, notes) of the text embeddings as headerless float32 in the order of numbers."""
    path, remedy = _embedding(folder, dataset, options, suffix)
    if not path.is_file():
        return [], [] if FEATURES[suffix] else [f"no .{suffix}: {path.name} is not there; {remedy}"]
    item_ids, embeddings, _ = load_embeddings(path, remedy)
    paths = []
    for part in parts:
        rows = artifacts.rows_of(item_ids, part.numbers_of(item_number), path, remedy)
        paths.append(out / f"{part.name}.{suffix}")
        with artifacts.replace_when_done(paths[-1]) as temporary:
            embeddings[rows].astype("<f4").tofile(temporary)
    return paths, []


def _write_index(folder, dataset, out, options, in_index):
    """Return (paths, notes) of the item codes as a faiss index; items whose codes were only filled in are left out."""
    path, remedy = _codes(folder, dataset, options)
    if not path.is_file():
        return [], [f"no .index: {path.name} is not there; {remedy}"]
    tensors, item_ids, manifest = artifacts.read_artifact(path, CODES_KIND, remedy)
    arrays = {name.removeprefix("quantizer."): tensor for name, tensor in tensors.items() if name != "codes"}
    if set(arrays) != set(QUANTIZER) or manifest["codes_per_codebook"] != 256:
        return [], [f"no .index: {path.name} is no plain product quantizer of 256 codes, which their scripts need"]
    filled = set(manifest.get("filled_items", ()))
    rows = artifacts.rows_of(item_ids, [item for item in in_index if item not in filled], path, remedy)
    made = out / f"{dataset}.{index_name(manifest['codebooks'])}"
    write_index(made, ProductQuantizer(*(arrays[name] for name in QUANTIZER)), tensors["codes"][rows])
    return [made], []


def _embedding(folder, dataset, options, suffix):
    """Return the file of text embeddings that becomes a `suffix` of theirs, and what to do about a faulty one."""
    path = embedding_path(folder, dataset, {"plm": options["plm"], "word_drop": FEATURES[suffix]})
    return path, f"run 'recbole-vqrec embed --dataset {dataset} --plm {options['plm']}'"


def _codes(folder, dataset, options):
    """Return the file of item codes, and what to do about a faulty one."""
    return _codes_path(folder, dataset, options), f"run 'recbole-vqrec encode --dataset {dataset}'"


def _codes_path(folder, dataset, options):
    """Return the item codes of these options, or the published ones where none are named and made."""
    path, published = codes_path(folder, dataset, options), artifacts.codes_file(folder, dataset, "published")
    return published if not path.is_file() and not options["item_codes"] and published.is_file() else path
