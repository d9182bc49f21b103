"""Which number an item or user gets in the authors' layout: the one it was imported with, else by first appearance."""

from recbole_vqrec import artifacts
from recbole_vqrec.errors import VQRecError, examples
from recbole_vqrec.interchange.layout import find_file, number_order, parts_named, parts_of, read_lines
from recbole_vqrec.preprocess.atomic_files import read_table


def number_items_and_users(folder, dataset, users, items, further_items):
    """Return the domains of a data set and the numbers of its items and users.

    Args:
        folder (Path): the data set's folder; <D>.item2index, <D>.user2index and <D>.pt_datasets as an import keeps
            them are used where they are there.
        dataset (str): D.
        users (list of str): ids in the order in which they are to be numbered.
        items (list of list of str): each user's items, oldest first.
        further_items (iterable of str): items that may occur in no sequence, numbered last.

    Returns:
        tuple: list of Part, item id -> number, user id -> number, both in the order of numbers.

    Raises:
        VQRecError: the kept numbers are of another version of the data set, or an id is of none of its domains.
    """
    every_item = dict.fromkeys(item for sequence in items for item in sequence)
    every_item.update(dict.fromkeys(further_items))
    if find_file(folder, f"{dataset}.pt_datasets"):
        parts = parts_of(folder, dataset)
    else:
        parts = parts_named(domains) if (domains := _domains(folder, dataset)) else parts_of(folder, dataset)
    numbers = (
        _kept(folder / f"{dataset}.{suffix}", ids) or _by_first_appearance(parts, ids)
        for suffix, ids in (("item2index", every_item), ("user2index", users))
    )
    return parts, *(dict(sorted(found.items(), key=lambda pair: number_order(pair[1]))) for found in numbers)


def _domains(folder, dataset):
    """Return the distinct values of the column domain of <D>.item, [] where there is none."""
    path = artifacts.atomic_file(folder, dataset, "item")
    table = read_table(path, "") if path.is_file() else {}
    return list(dict.fromkeys(table["domain"])) if "domain" in table else []


def _kept(path, ids):
    """Return id -> number as an import kept it, or None where it kept none."""
    if not path.is_file():
        return None
    kept = dict(line.split("\t") for _, line in read_lines(path))
    unknown = [identifier for identifier in ids if identifier not in kept]
    if unknown:
        raise VQRecError(
            f"{path}: has no number for {len(unknown):,} ids of the data set ({examples(unknown)}); it is of another "
            "version of the data set, remove it to number anew"
        )
    return kept


def _by_first_appearance(parts, ids):
    """Return id -> number, counted within each domain."""
    next_number = dict.fromkeys((part.prefix for part in parts), 0)
    longest_first = sorted(parts, key=lambda part: -len(part.id_prefix))
    numbers = {}
    for identifier in ids:
        part = next((part for part in longest_first if identifier.startswith(part.id_prefix)), None)
        if part is None:
            names = ", ".join(part.name for part in parts)
            raise VQRecError(f"id '{identifier}' is of none of the domains {names}; expected <domain>-<id>")
        numbers[identifier] = f"{part.prefix}{next_number[part.prefix]}"
        next_number[part.prefix] += 1
    return numbers
