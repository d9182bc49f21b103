"""Several data sets -> one with all their domains, the mix for pre-training (paper, section 2.2.1).

Users are never joined across domains: user and item ids get the name of their domain in front.
"""

import time
from pathlib import Path

import polars as pl

from recbole_vqrec import artifacts
from recbole_vqrec.errors import VQRecError, examples
from recbole_vqrec.preprocess.atomic_files import read_table, write_rows
from recbole_vqrec.preprocess.dataset_files import TYPES, describe, item_types
from recbole_vqrec.preprocess.delimited import as_number
from recbole_vqrec.preprocess.domain_ids import refuse_shared_ids
from recbole_vqrec.preprocess.record import (
    announce,
    atomic_files_of,
    made_from,
    outputs_of,
    refuse_foreign_files,
    say_summary,
    up_to_date,
    write_record,
)


def merge_datasets(data_path, datasets, name, force=False, say=print):
    """Write a data set whose items and users are "<domain>-<id>", the domains one after the other, rows as they were.

    Args:
        data_path (str or Path): folder of the data sets, and of the result.
        datasets (list of str): names, which become the domains.
        name (str): name of the result.
        force (bool): redo.
        say (callable): receives the summary.

    Returns:
        tuple: the record (dict), and whether the files were written now.

    Raises:
        VQRecError: fewer than two data sets, a name twice, files missing or faulty, or an id that two data sets make.
    """
    started = time.monotonic()
    if len(datasets) < 2 or len(set(datasets)) < len(datasets) or name in datasets:
        raise VQRecError(
            f"merge: data sets {', '.join(datasets)} into {name}; give two or more different ones and a new name"
        )
    folder = Path(data_path) / name
    sources = {domain: atomic_files_of(Path(data_path) / domain, domain) for domain in datasets}
    made_by = made_from("merge", {"datasets": list(datasets)}, [file for files in sources.values() for file in files])
    record = None if force else up_to_date(folder, name, made_by, say)
    if record:
        return record, False
    refuse_foreign_files(folder, name, force)
    inters, items = [], []
    for domain, (inter, item) in sources.items():
        inters.append(_interactions(inter, domain))
        items.append(_items(item, domain))
        _refuse_unknown_items(inters[-1], items[-1], inter, item)
    refuse_shared_ids("merge", "item", dict(zip(datasets, (table["item_id"] for table in items))))
    refuse_shared_ids("merge", "user", dict(zip(datasets, (table["user_id"] for table in inters))))
    inter, item = pl.concat(inters), pl.concat(items, how="diagonal").fill_null("")
    paths = atomic_files_of(folder, name)
    with artifacts.replace_when_done(paths[0]) as inter_file, artifacts.replace_when_done(paths[1]) as item_file:
        write_rows(inter_file, inter, TYPES, paths[0])
        write_rows(item_file, item, item_types(item), paths[1])
        outputs = outputs_of(dict(zip(paths, (inter_file, item_file))))
        announce(folder, name, made_by)
    statistics = describe(inter["user_id"].n_unique(), inter.height, item)
    record = write_record(folder, name, made_by, statistics, {}, outputs)
    say_summary(folder, name, record, time.monotonic() - started, say)
    return record, True


def _remedy(domain):
    return f"make {domain} with 'recbole-vqrec preprocess'"


def _interactions(path, domain):
    table = read_table(path, _remedy(domain))
    missing = [column for column in TYPES if column not in table]
    if missing:
        raise VQRecError(f"{path} line 1: has no {examples(missing)}; {_remedy(domain)}")
    table = pl.DataFrame({column: table[column].tolist() for column in TYPES}, schema=dict.fromkeys(TYPES, pl.String))
    wrong = [row for row, time in enumerate(table["timestamp"]) if as_number(time) is None]
    if wrong:
        said = table["timestamp"][wrong[0]]
        raise VQRecError(f"{path} line {wrong[0] + 2}: timestamp {said!r} is not a number; {_remedy(domain)}")
    return table.with_columns(pl.lit(f"{domain}-").add(pl.col(name)).alias(name) for name in ("user_id", "item_id"))


def _items(path, domain):
    table = read_table(path, _remedy(domain))
    if "item_id" not in table or table["item_id"].duplicated().any():
        raise VQRecError(f"{path}: expected a column item_id with every item once; {_remedy(domain)}")
    table = pl.DataFrame({column: table[column].tolist() for column in table}, schema=dict.fromkeys(table, pl.String))
    return table.select(
        pl.lit(f"{domain}-").add(pl.col("item_id")).alias("item_id"),
        pl.lit(domain).alias("domain"),
        pl.exclude("item_id", "domain"),
    )


def _refuse_unknown_items(interactions, items, inter, item):
    unknown = interactions.filter(~pl.col("item_id").is_in(items["item_id"].implode()))["item_id"]
    if len(unknown):
        names = examples(unknown.unique(maintain_order=True))
        raise VQRecError(f"{item}: lacks items of {inter.name} ({names}); add them")
