"""The authors' published files -> atomic files, text embeddings and item codes matched by item id."""

import contextlib
import re
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from recbole_vqrec import artifacts, provenance
from recbole_vqrec.embedding.embed import OPTIONS as EMBEDDING_OPTIONS
from recbole_vqrec.embedding.embed import embedding_path
from recbole_vqrec.embedding.text_encoder import KIND as EMBEDDING_KIND
from recbole_vqrec.errors import VQRecError, examples
from recbole_vqrec.interchange.layout import (
    SPLITS, Layout, find_file, number_order, read_bytes, read_lines, write_lines, write_numbers,
)  # fmt: skip
from recbole_vqrec.interchange.part_files import FEATURES, read_features, read_ids, read_texts
from recbole_vqrec.interchange.prefix_rows import read_users
from recbole_vqrec.interchange.record import made_from, record_file, up_to_date, write_record
from recbole_vqrec.preprocess.atomic_files import write_table
from recbole_vqrec.quantization.domain import training_items
from recbole_vqrec.quantization.import_index import import_index

ITEM_TYPES = {"item_id": "token", "domain": "token", "text": "token_seq"}


def import_unisrec(
    folder, out, options, name=None, ids="original", index=None, missing="auto", plm_size=768, max_length=50,
    force=False, progress=True,
):  # fmt: skip
    """Write <D>.inter, <D>.item, text embeddings and item codes from a folder in the authors' layout.

    What is not in the folder is not made. <D>.item2index and <D>.user2index are kept beside the result, so that
    `export_unisrec` gives the same numbers again.

    Args:
        folder (str or Path): the authors' folder of one data set; see `interchange.layout`.
        out (str or Path): folder of the data sets.
        options (dict): of props/item_codes.yaml; plm names the language model of the features.
        name (str, optional): D, by default the authors' name.
        ids (str): "original" ids (from .item2index and .user2index; "<domain>-<id>" in a mix) or the authors'
            "number"s.
        index (str or Path, optional): faiss index, by default the one in the folder.
        missing (str): see `quantization.import_index`; "auto" is "embeddings" where there are features, as the
            authors' own loader does, else "refuse".
        plm_size (int): size of a vector in .feat1CLS.
        max_length (int): items to which the authors' histories are cut.
        force (bool): redo, and replace a data set that was not made by this function.
        progress (bool): show a progress bar.

    Returns:
        dict: "summary" (users, items, interactions, average length, ... as name -> value), "paths" (list of Path)
        and "notes" (list of str). The summary is empty where the result was up to date.

    Raises:
        VQRecError: files missing, damaged or not of one data set; see the functions called.
    """
    started = time.monotonic()
    layout = Layout.find(folder)
    name = name or layout.name
    target = Path(out) / name
    inter, item = artifacts.atomic_file(target, name, "inter"), artifacts.atomic_file(target, name, "item")
    if inter.is_file() and not (target / f"{name}.item2index").is_file() and not force:
        raise VQRecError(f"{inter}: is there and is no import; choose another --name, or --force to replace it")
    index = Path(index) if index else _index_of(layout)
    chosen = {"name": name, "ids": ids, "missing": missing, "plm_size": plm_size, "max_length": max_length}
    chosen.update((option, options[option]) for option in (*EMBEDDING_OPTIONS, "item_codes"))
    made_by, record = made_from([*layout.files(), index], chosen), record_file(target, name, "import")
    done = None if force else up_to_date(record, made_by)
    if done:
        return {"summary": {}, "paths": done, "notes": [f"{name}: up to date; --force redoes it"]}

    item_of, original = read_ids(layout, "item2index", ids)
    user_of, _ = read_ids(layout, "user2index", ids)
    table = _interactions(layout, item_of, user_of, max_length, progress)
    if item_of is None:
        item_of = _numbers_in(layout, table)
    features = {suffix: read_features(layout, suffix, item_of, plm_size) for suffix in FEATURES}
    texts = read_texts(layout, item_of, original)

    kept = _keep_numbers(layout, target, name, item_of, user_of, table)
    write_table(inter, table, {"user_id": "token", "item_id": "token", "timestamp": "float"})
    paths, notes = [inter], []
    if texts is None:
        notes.append(f"no item texts: needs .text and .item2index of {layout.name}")
    else:
        write_table(item, texts, {column: ITEM_TYPES[column] for column in texts})
        paths.append(item)
    if features["feat1CLS"] is None:
        notes.append(f"no text embeddings: needs .feat1CLS of {layout.name}")
    source = inter if texts is None else item
    for suffix, vectors in features.items():
        if vectors is not None:
            paths.append(_write_embeddings(target, name, options, list(item_of.values()), suffix, vectors, source))
    if index:
        if missing == "auto":
            missing = "refuse" if features["feat1CLS"] is None else "embeddings"
        path, said = _write_codes(layout, target, name, index, options, missing, list(item_of.values()))
        paths.append(path)
        notes.append(said)
    write_record(record, made_by, [*kept, *paths])
    return {"summary": _summary(table, len(item_of), texts, time.monotonic() - started), "paths": paths, "notes": notes}


def _interactions(layout, item_of, user_of, max_length, progress):
    """Return the interactions as a data frame user_id, item_id, timestamp, users in the order of their numbers."""
    files = {split: layout.split_file(split) for split in SPLITS}
    found = {}
    shared = {}  # one object an id, which bounds memory
    for user, items in tqdm(read_users(files, max_length), desc="import", unit=" users", disable=not progress):
        _check_numbers(layout, user, "user", [user], user_of)
        _check_numbers(layout, user, "item", items, item_of)
        names = item_of or shared
        found[user] = [names.setdefault(number, number) for number in items]
    if not found:
        raise VQRecError(f"{files['valid']}: has no users")
    absent = [number for number in user_of or () if number not in found]
    if absent:
        raise VQRecError(
            f"{files['valid']}: {len(absent):,} users of {layout.name}.user2index have no rows ({examples(absent)}); "
            "every user needs rows in all three splits"
        )
    order = sorted(found, key=number_order)
    lengths = np.array([len(found[user]) for user in order])
    names = np.array([user_of[user] if user_of else user for user in order], dtype=object)
    return pd.DataFrame(
        {
            "user_id": np.repeat(names, lengths),
            "item_id": np.array([item for user in order for item in found[user]], dtype=object),
            "timestamp": np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths),
        }
    )


def _keep_numbers(layout, target, name, item_of, user_of, table):
    """Write which of our ids has which of the authors' numbers, and the domains of a mix; return the paths."""
    paths = [target / f"{name}.{suffix}" for suffix in ("item2index", "user2index")]
    write_numbers(paths[0], item_of.values(), item_of)
    if user_of is None:
        user_of = dict.fromkeys(table["user_id"])
        user_of.update(zip(user_of, user_of))
    write_numbers(paths[1], user_of.values(), user_of)
    if layout.parts[0].prefix:
        paths.append(target / f"{name}.pt_datasets")
        write_lines(paths[-1], [",".join(part.name for part in layout.parts)])
    return paths


def _numbers_in(layout, table):
    """Return number -> number for 0 ... the highest that occurs in each domain."""
    highest = {}
    for number in table["item_id"].unique():
        prefix, dash, digits = number.rpartition("-")
        highest[prefix + dash] = max(highest.get(prefix + dash, 0), int(digits))
    numbers = (f"{part.prefix}{n}" for part in layout.parts for n in range(highest.get(part.prefix, -1) + 1))
    return {number: number for number in numbers}


def _check_numbers(layout, user, kind, numbers, known):
    """Raise `VQRecError` for a number that is unknown, or of another form where none are known."""
    if known is not None:
        wrong = [number for number in numbers if number not in known]
        expected = f"one of {layout.name}.{kind}2index"
    else:
        prefixes = [part.prefix for part in layout.parts]
        form = re.compile(f"({'|'.join(map(re.escape, prefixes))})[0-9]+")
        wrong = [number for number in numbers if not form.fullmatch(number)]
        expected = f"<domain>-<number> with domain 0..{len(prefixes) - 1}" if prefixes[0] else "a number"
    if wrong:
        mix = "-" in wrong[0] and not layout.parts[0].prefix
        hint = f" (a mix of domains needs {layout.name}.pt_datasets)" if mix else ""
        raise VQRecError(
            f"{layout.split_file('test')}: user '{user}': unknown {kind} number '{wrong[0]}', expected {expected}{hint}"
        )


def _write_embeddings(target, name, options, item_ids, suffix, vectors, source):
    """Write the features as text embeddings of the language model in `options`."""
    path = embedding_path(target, name, {**options, "word_drop": FEATURES[suffix]})
    manifest = {
        "dataset": name,
        "options": {option: options[option] for option in EMBEDDING_OPTIONS},
        "inputs": provenance.fingerprints(source),
        "imported": f"{name}.{suffix}",
    }
    if FEATURES[suffix]:
        manifest["options"]["word_drop"] = "as imported"
    artifacts.write_artifact(path, EMBEDDING_KIND, {"embeddings": vectors}, manifest, item_ids)
    return path


def _index_of(layout):
    """Return the faiss index of the folder, or None."""
    found = sorted(layout.folder.glob(f"{layout.name}.*.index*"))
    if len(found) > 1:
        names = examples(path.name for path in found)
        raise VQRecError(f"{layout.folder}: holds {len(found)} indexes ({names}); name one with --index")
    return found[0] if found else None


def _write_codes(layout, target, name, index, options, missing, item_ids):
    """Write the codes of an index, decompressed to a temporary folder where needed."""
    _check_filtered_ids(layout, target, name, item_ids)
    with contextlib.ExitStack() as stack:
        if index.suffix in (".gz", ".xz"):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            content, index = read_bytes(index), folder / index.stem
            index.write_bytes(content)
        return import_index(target, name, index, options, missing, item_ids)


def _check_filtered_ids(layout, target, name, item_ids):
    """Raise `VQRecError` if <D>.filtered_id, the rows of a mix's index, are not the training items in their order."""
    path = find_file(layout.folder, f"{layout.name}.filtered_id")
    if path is None:
        return
    trained = training_items(target, name)
    kept = dict(line.split("\t") for _, line in read_lines(target / f"{name}.item2index"))
    expected = [kept[item] for item in item_ids if item in trained]
    found = [line for _, line in read_lines(path)]
    for row, (one, other) in enumerate(zip(expected, found), 1):
        if one != other:
            raise VQRecError(f"{path} line {row}: found '{other}', expected '{one}', the next training item")
    if len(expected) != len(found):
        raise VQRecError(f"{path}: has {len(found):,} lines, expected the {len(expected):,} training items")


def _summary(table, items, texts, seconds):
    """Return what was imported, as name -> value."""
    users, interactions = table["user_id"].nunique(), len(table)
    found = {
        "users": users,
        "items": items,
        "interactions": interactions,
        "average length": round(interactions / users, 2),
        "sparsity": round(1 - interactions / (users * items), 6),
        "seconds": round(seconds, 1),
    }
    if texts is not None:
        characters = texts["text"].str.removesuffix(" ").str.len()  # the authors end every text in a blank
        found["average text length"] = round(characters.mean(), 2)
    return found
