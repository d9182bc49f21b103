"""The files of a run's catalogue: one with all items, and a small one for each change since that was written.

    saved/<run>/catalogue.safetensors                  all items
    saved/<run>/catalogue.change-00000001.safetensors  the items of one addition or one removal

A change thus costs what it holds and not what the catalogue holds. The manifest of the catalogue names the last change
that is part of it, "changes"; those after it are applied when it is read. Changes are deleted once they are part of the
catalogue, so what a process that is killed in between leaves behind is never applied twice.

Axis legend: N items without padding, n items of a change.
"""

import contextlib

import numpy as np

from recbole_vqrec import artifacts
from recbole_vqrec.errors import UnavailableError, VQRecError, examples
from recbole_vqrec.inference.catalogue import Catalogue, Change, one_line

KIND, CHANGE_KIND = "catalogue", "catalogue change"
REMEDY = "give the folder of a run made by this version of 'recbole-vqrec run'"
CHANGE_REMEDY = "put it back, or delete it and the changes after it, whose items are then lost"
TEXTS_KEY, QUANTIZER_PREFIX = "texts", "quantizer."
OF_ALL_ITEMS, OF_OTHERS = ("codes", "text_vectors"), ("neighbours", "weights", "item_pairs", "pair_strengths")


def write_catalogue(run, catalogue):
    """Write a catalogue as one file into a run folder, in place of the one there and of its changes.

    Args:
        run (str or Path): run folder.
        catalogue (Catalogue): N items.

    Returns:
        int: the number of the last change that it takes the place of, 0 where there was none.

    Raises:
        UnavailableError: the folder cannot be written.
    """
    tensors = {
        TEXTS_KEY: _text_array(catalogue.texts),
        "popularity": catalogue.popularity,
        "removed": catalogue.removed,
        **{f"{QUANTIZER_PREFIX}{name}": array for name, array in catalogue.quantizer.items()},
        **{name: getattr(catalogue, name) for name in OF_ALL_ITEMS + OF_OTHERS if getattr(catalogue, name) is not None},
    }
    replaced = artifacts.change_files(run)
    last = max(replaced, default=0)
    manifest = {"made": catalogue.made, "codes_per_codebook": catalogue.codes_per_codebook, "changes": last}
    artifacts.write_artifact(artifacts.catalogue_file(run), KIND, tensors, manifest, catalogue.item_ids)
    for path in replaced.values():
        with contextlib.suppress(OSError):  # it is not read any more
            path.unlink()
    return last


def refuse_changed_items(run, catalogue):
    """Refuse to go on with a run whose items have other codes or text vectors by now.

    Nothing is said where the run keeps no readable catalogue, or one of other items: its checkpoint tells those.

    Args:
        run (str or Path): run folder.
        catalogue (Catalogue): of the data set as it is.

    Returns:
        bool: whether the run keeps a catalogue that begins with these items, perhaps with others added, and that has
        all that the run's options need.

    Raises:
        VQRecError: some differ; the message names them. Or options need what a catalogue that was changed lacks.
    """
    try:
        kept, count = read_catalogue(run)[0], len(catalogue.item_ids)
    except UnavailableError:
        return False
    if list(kept.item_ids[:count]) != list(catalogue.item_ids):  # what was added came after
        return False
    for name, command in (("codes", "encode"), ("text_vectors", "embed")):
        before, now = getattr(kept, name), getattr(catalogue, name)
        if before is None or now is None or np.array_equal(before[:count], now):
            continue
        same_size = before.shape[1:] == now.shape[1:]
        rows = np.flatnonzero((before[:count] != now).any(axis=1)) if same_size else range(count)
        raise VQRecError(
            f"{run}: items have other {name.replace('_', ' ')} than the run was trained with so far "
            f"({examples([catalogue.item_ids[row] for row in rows])}); {command} the data set as before, or start a "
            "new run"
        )
    needed = ("codes", "text_vectors", "item_pairs")
    lacking = [name for name in needed if getattr(kept, name) is None and getattr(catalogue, name) is not None]
    if lacking and (len(kept) > count or kept.removed.any() or artifacts.change_files(run)):
        raise VQRecError(
            f"{run}: the options given need {examples(lacking)}, which its catalogue lacks, and items were added to "
            "that or removed; go on without these options"
        )
    return not lacking


def read_catalogue(run):
    """Return the `Catalogue` of a run folder without its changes, and the number of the last change that it holds.

    Raises:
        UnavailableError: missing, damaged, of another format version, or without one of its parts.
    """
    path = artifacts.catalogue_file(run)
    tensors, item_ids, manifest = artifacts.read_artifact(path, KIND, REMEDY)
    lacking = [name for name in (TEXTS_KEY, "popularity", "removed") if name not in tensors]
    if lacking or item_ids is None:
        raise UnavailableError(f"{path}: lacks {examples(lacking or ['item ids'])}; {REMEDY}")
    texts = artifacts.array_to_lines(tensors.pop(TEXTS_KEY))
    quantizer = {name: tensors.pop(name) for name in list(tensors) if name.startswith(QUANTIZER_PREFIX)}
    of_all = [array for name, array in tensors.items() if name not in OF_OTHERS]
    _refuse_other_length(path, item_ids, [texts, *of_all], REMEDY)
    catalogue = Catalogue(
        item_ids,
        texts,
        codes_per_codebook=manifest["codes_per_codebook"],
        quantizer={name.removeprefix(QUANTIZER_PREFIX): array for name, array in quantizer.items()},
        made=manifest["made"],
        **tensors,
    )
    return catalogue, manifest.get("changes", 0)


def write_change(run, number, change):
    """Write a `Change` as the change of a number.

    Raises:
        UnavailableError: the folder cannot be written.
    """
    tensors = {name: array for name, array in change.features.items() if array is not None}
    if change.texts is not None:
        tensors[TEXTS_KEY] = _text_array(change.texts)
    artifacts.write_artifact(artifacts.change_file(run, number), CHANGE_KIND, tensors, {}, change.item_ids)


def read_changes(run, number):
    """Return the changes of a run folder after that of a number, in order.

    Raises:
        UnavailableError: one is missing, damaged, or of another format version.
    """
    changes = []
    while True:
        path = artifacts.change_file(run, number + len(changes) + 1)
        if not path.exists():
            later = [each for each in artifacts.change_files(run) if each > number + len(changes)]
            if not later:
                return changes
            if not path.exists():  # else it was written just now
                there = artifacts.change_file(run, later[0]).name
                raise UnavailableError(f"{path}: not found, but {there}; {CHANGE_REMEDY}")
        tensors, item_ids, _ = artifacts.read_artifact(path, CHANGE_KIND, CHANGE_REMEDY)
        texts = artifacts.array_to_lines(tensors.pop(TEXTS_KEY)) if TEXTS_KEY in tensors else None
        of_all = [*tensors.values()] if texts is None else [texts, *tensors.values()]
        _refuse_other_length(path, item_ids or [], of_all, CHANGE_REMEDY)
        changes.append(Change(item_ids, texts, tensors))


def catalogue_version(run):
    """Return what differs between two versions of a run's catalogue file, None where there is none."""
    return artifacts.file_version(artifacts.catalogue_file(run))


def _text_array(texts):
    return artifacts.lines_to_array(map(one_line, texts) if any("\n" in text for text in texts) else texts)


def _refuse_other_length(path, item_ids, parts, remedy):
    if {*map(len, parts)} - {len(item_ids)}:
        raise UnavailableError(f"{path}: its parts are not all of {len(item_ids):,} items; {remedy}")
