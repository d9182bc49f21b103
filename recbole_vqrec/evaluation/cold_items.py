"""How well items are recommended that training has never seen and that were added by their texts.

A share of the items is held out of the data set: its interactions, the quantizer and the model know nothing of them.
Then they are added to the run by text, and the last item of every user is to be found among all items, cold and warm.

Axis legend: U users, N items, d_w size of text vectors.
"""

import shutil
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from tabulate import tabulate

from recbole_vqrec import artifacts, quick_start, registry
from recbole_vqrec.config import stage_options
from recbole_vqrec.data.text_vector_table import made_by
from recbole_vqrec.embedding.embed import embed_command
from recbole_vqrec.embedding.text_encoder import load_embeddings
from recbole_vqrec.errors import VQRecError, examples
from recbole_vqrec.inference.new_items import as_items
from recbole_vqrec.inference.recommender import USERS_AT_ONCE, Recommender
from recbole_vqrec.model.scoring import top_k
from recbole_vqrec.preprocess.atomic_files import read_interactions, write_table
from recbole_vqrec.preprocess.item_text import item_texts
from recbole_vqrec.quantization.encode import encode_dataset, reuse_remedy, reused_file
from recbole_vqrec.quantization.quantizers import load_quantizer
from recbole_vqrec.trainer.run_folder import new_run_folder

CUT_OFFS = (10, 50)


def evaluate_cold_items(model, dataset, share, seed=2020, config_file_list=None, config_dict=None, say=print):
    """Train without a share of the items, add them by text, and compare with text neighbours and popularity.

    Args:
        model (str or None): model name, one that can take new items; that of the options, or VQRec, by default.
        dataset (str): data set with <D>.inter, <D>.item and text embeddings.
        share (float): of the items that are held out, in (0, 1).
        seed (int): of the choice of items.
        config_file_list, config_dict: as `quick_start.run`.
        say (callable): receives what is done.

    Returns:
        tuple: list of (name, cold metrics, warm metrics), and the run folder; metrics is name -> value.

    Raises:
        VQRecError: files missing, an item that is not described, a share that leaves no items, a model that cannot
            take new items, or item_codes that name a file.
    """
    start = time.perf_counter()
    options = stage_options(config_file_list, {k: v for k, v in (config_dict or {}).items() if v is not None})
    model = model or options.get("model") or "VQRec"
    if not registry.entry(model).takes_new_items:  # before hours of training
        able = [name for name, entry in registry.OWN_MODELS.items() if entry.takes_new_items]
        raise VQRecError(f"{model} has an embedding of each item's id, so none can be added; choose {', '.join(able)}")
    if options.get("nproc", 1) != 1:
        raise VQRecError(f"nproc: {options['nproc']}, held-out items are evaluated in one process; leave it out")
    _refuse_code_file(options)
    folder = Path(options["data_path"]) / dataset
    # 1. which items are cold
    sequences = _sequences(folder, dataset)
    items = sorted(set().union(*sequences.values()))
    if not 0 < share < 1 or not 0 < round(share * len(items)) < len(items):
        raise VQRecError(f"cold_items: {share}, expected a share in (0, 1) that holds out some of {len(items):,} items")
    cold = set(np.random.default_rng(seed).choice(items, size=round(share * len(items)), replace=False).tolist())
    text = _texts(folder, dataset, items, options)
    as_items({item: text[item] for item in sorted(cold)}, {})  # what cannot be added is refused before training
    # 2. a data set without them, with a quantizer of its own or the one to reuse
    reused = _reused_quantizer(options)
    files = _files(folder, dataset, options)
    home = new_run_folder({**options, "model": f"cold-{model}", "dataset": dataset})
    _write_warm(files, home / "dataset" / dataset, dataset, sequences, cold)
    given = {**(config_dict or {}), "data_path": str(home / "dataset"), "checkpoint_dir": str(home), **reused}
    warm_options = stage_options(config_file_list, given)
    encode_dataset(home / "dataset" / dataset, dataset, warm_options, say=lambda line: None)
    say(f"{len(cold):,} of {len(items):,} items are held out; training on the others")
    # 3. train, add the cold items by text
    run = quick_start.run(model, dataset, config_file_list, given)["run"]
    recommender = Recommender.load(run)
    histories = {user: each[:-1] for user, each in sequences.items() if len(each) > 1}
    targets = {user: sequences[user][-1] for user in histories}
    warm_before = _ranks(recommender, histories, targets)
    trained = set(recommender.catalogue.item_ids)
    added = [item for item in items if item not in trained]
    recommender.add_items({item: text[item] for item in added})
    recommender.save(run)
    # 4. ranks of the targets
    ranks = {
        model: _ranks(recommender, histories, targets),
        "text, last item": _text_ranks(folder, dataset, options, recommender, histories, targets, mean=False),
        "text, mean of history": _text_ranks(folder, dataset, options, recommender, histories, targets, mean=True),
        "popularity": _popular_ranks(recommender, targets),
    }
    is_cold = np.array([target in cold for target in targets.values()])
    rows = [(name, _metrics(each[is_cold]), _metrics(each[~is_cold])) for name, each in ranks.items()]
    rows.insert(1, (f"{model}, cold items not added", {}, _metrics(warm_before[~is_cold])))
    say(
        f"{is_cold.sum():,} cold and {(~is_cold).sum():,} warm targets among {len(recommender.catalogue):,} items; "
        f"{len(added):,} items added by text; {time.perf_counter() - start:.0f} s; {run}"
    )
    return rows, run


def table(rows):
    """Return the result of `evaluate_cold_items` as text."""
    names = [f"{letter}@{k}" for k in CUT_OFFS for letter in "RN"]
    lines = [
        [name, *(f"{cold[each]:.4f}" if cold else "" for each in names), *(f"{warm[each]:.4f}" for each in names)]
        for name, cold, warm in rows
    ]
    headers = ["", *(f"cold {name}" for name in names), *(f"warm {name}" for name in names)]
    return tabulate(lines, headers, disable_numparse=True, colalign=("left", *["right"] * 2 * len(names)))


def _sequences(folder, dataset):
    """Return user -> items in final order."""
    file = artifacts.atomic_file(folder, dataset, "inter")
    rows = read_interactions(file, "put it there, or make it with 'recbole-vqrec preprocess'")
    rows = rows.sort_values(["user_id", "timestamp"], kind="stable")
    return rows.groupby("user_id", sort=False)["item_id"].agg(list).to_dict()


def _texts(folder, dataset, items, options):
    """Return item -> text; refuse, before hours of training, an item that has none to be added by."""
    file = artifacts.atomic_file(folder, dataset, "item")
    empty = options["empty_text"] or made_by({**options, "data_path": folder, "dataset": dataset}).get("empty_text")
    text = dict(zip(*item_texts(file, options["text_columns"], empty or " ")))
    missing = [item for item in items if item not in text]
    if missing:
        raise VQRecError(f"{file}: lacks items of {dataset}.inter ({examples(missing)}); add them")
    return text


def _refuse_code_file(options):
    """Refuse item_codes that name a file: the codes of the warm items are made anew, and would be written over it."""
    if artifacts.is_code_file(options["item_codes"]):
        raise VQRecError(
            f"item_codes: {options['item_codes']}, but codes are made anew without the items that are held out; leave "
            "it out, or set reuse_quantizer to that file to keep its quantizer"
        )


def _reused_quantizer(options):
    """Return the option reuse_quantizer as a file, which a data set of another folder finds; {} where it is not set."""
    file = reused_file(options["data_path"], options)
    if file is None:
        return {}
    load_quantizer(file, reuse_remedy(options))
    return {"reuse_quantizer": str(file)}


def _files(source, dataset, options):
    """Return the files of texts and embeddings; refuse, before anything is written, one that is missing."""
    remedy = f"run '{embed_command(dataset, options['plm'], options['pooling'])}'"
    files = artifacts.atomic_file(source, dataset, "item"), artifacts.embedding_file(source, dataset, options["plm"])
    for file in files:
        if not file.is_file():
            raise VQRecError(f"{file}: not found; {remedy}")
    return files


def _write_warm(files, target, dataset, sequences, cold):
    """Write the data set without the cold items; texts and embeddings are copies.

    RecBole keeps the only pair of a user with two items for training; where its target is the one to be evaluated, it
    is left out.
    """
    target.mkdir(parents=True)
    rows = []
    for user, items in sequences.items():
        warm = [(position, item) for position, item in enumerate(items) if item not in cold]
        if len(warm) == 2 and items[-1] not in cold:
            warm.pop()
        rows += [(user, item, position) for position, item in warm]
    types = {"user_id": "token", "item_id": "token", "timestamp": "float"}
    write_table(target / f"{dataset}.inter", pd.DataFrame(rows, columns=list(types)), types)
    for file in files:
        shutil.copyfile(file, target / file.name)


def _ranks(recommender, histories, targets):
    """Return the rank [U] of each target from 0, infinite beyond the largest cut-off; the history is not masked."""
    found = recommender.recommend(histories, k=max(CUT_OFFS), filter_seen=False)
    rank = {(user, item): rank - 1 for user, rank, item in zip(found.user, found["rank"], found.item)}
    return np.array([rank.get(pair, np.inf) for pair in targets.items()])


def _text_ranks(folder, dataset, options, recommender, histories, targets, mean):
    """Return ranks by the cosine of text vectors with the last item of the history, or with its mean."""
    path = artifacts.embedding_file(folder, dataset, options["plm"])
    item_ids, vectors, _ = load_embeddings(path, "embed the data set")
    ids = recommender.catalogue.item_ids
    rows = artifacts.rows_of(item_ids, ids, path, "embed the data set")
    vectors = F.normalize(torch.from_numpy(vectors[rows]), dim=1)
    row, found, users = recommender.served.row, [], list(histories)
    for start in range(0, len(users), USERS_AT_ONCE):
        batch = [[row[item] for item in histories[user]] for user in users[start : start + USERS_AT_ONCE]]
        queries = torch.stack([vectors[each].mean(dim=0) if mean else vectors[each[-1]] for each in batch])
        found.append(top_k([(0, queries @ vectors.T)], len(batch), max(CUT_OFFS))[1])
    wanted = torch.tensor([row[target] for target in targets.values()])
    return _places(torch.cat(found), wanted)


def _popular_ranks(recommender, targets):
    """Return ranks by the number of training interactions."""
    order = np.argsort(-recommender.catalogue.popularity, kind="stable")[: max(CUT_OFFS)]
    wanted = torch.tensor([recommender.served.row[target] for target in targets.values()])
    return _places(torch.from_numpy(order.copy()).expand(len(wanted), -1), wanted)


def _places(found, wanted):
    """Return the column [U] of each wanted item in the items found [U, k], infinite where it is not there."""
    hit = found == wanted[:, None]
    return np.where(hit.any(dim=1).numpy(), hit.int().argmax(dim=1).numpy(), np.inf)


def _metrics(ranks):
    """Return recall and NDCG of ranks from 0, one target a user."""
    found = {}
    for k in CUT_OFFS:
        hit = ranks < k
        found[f"R@{k}"] = float(hit.mean()) if len(ranks) else float("nan")
        gain = np.where(hit, 1 / np.log2(np.where(hit, ranks, 0) + 2), 0)
        found[f"N@{k}"] = float(gain.mean()) if len(ranks) else float("nan")
    return found
