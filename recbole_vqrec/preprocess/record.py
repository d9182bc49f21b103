"""<D>.preprocess.json: how the atomic files of a data set were made, with their statistics.

The record holds neither date nor folder, so the same input gives the same bytes.
"""

import json
from pathlib import Path

from recbole_vqrec import __version__, artifacts, provenance
from recbole_vqrec.errors import VQRecError, examples

KIND = "preprocessed data set"
FORMAT = 1


def record_file(folder, dataset):
    """Return the path of a data set's record."""
    return Path(folder) / f"{dataset}.preprocess.json"


def atomic_files_of(folder, dataset):
    """Return the paths of <D>.inter and <D>.item."""
    return [artifacts.atomic_file(folder, dataset, suffix) for suffix in ("inter", "item")]


def made_from(source, options, inputs):
    """Return the part of a record that tells whether a result is up to date.

    Args:
        source (str): the command, "amazon 2018" for example.
        options (dict): plain values.
        inputs (list of path): the raw files, recorded by name and SHA-256; their order says what each is read as.

    Raises:
        VQRecError: an input is missing or cannot be read.
    """
    for path in inputs:
        if not Path(path).is_file():
            raise VQRecError(f"{path}: not found; put the file there, or give its path")
    try:
        return {"source": source, "options": options, "inputs": provenance.fingerprints(*inputs)}
    except OSError as error:
        raise VQRecError(f"{error.filename}: cannot be read ({error.strerror})") from error


def read_record(folder, dataset):
    """Return the record of a data set, or None where there is none that can be read."""
    try:
        record = json.loads(record_file(folder, dataset).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    known = isinstance(record, dict) and (record.get("kind"), record.get("format")) == (KIND, FORMAT)
    return record if known else None


def own_or_of_domains(folder, dataset, file_of):
    """Return the files of one kind that a data set has: its own, or its domains' where it is merged and has none.

    Args:
        folder (Path): of the data set.
        dataset (str): name.
        file_of (callable): folder and name of a data set -> path of its file.

    Returns:
        list of tuple: data set and file.
    """
    path, record = file_of(folder, dataset), read_record(folder, dataset) or {}
    if path.is_file() or record.get("source") != "merge":
        return [(dataset, path)]
    return [(domain, file_of(folder.parent / domain, domain)) for domain in record["options"]["datasets"]]


def up_to_date(folder, dataset, made_by, say):
    """Return the record where the files in place are what `made_by` would make, and say so; else None."""
    record = read_record(folder, dataset)
    paths = atomic_files_of(folder, dataset)
    if record is None or not _made_by(record, made_by):
        return None
    if not all(path.is_file() for path in paths) or provenance.fingerprints(*paths) != record.get("outputs"):
        return None
    say(f"{dataset}: up to date ({', '.join(map(str, paths))}); --force redoes it")
    return record


def refuse_foreign_files(folder, dataset, force=False):
    """Refuse to write over atomic files that have no record: somebody made them in another way.

    Args:
        folder (str or Path): the data set's folder.
        dataset (str): D.
        force (bool): they may be written over.

    Raises:
        VQRecError: there are such files.
    """
    there = [path for path in atomic_files_of(folder, dataset) if path.is_file()]
    if there and not force and not record_file(folder, dataset).is_file():
        raise VQRecError(
            f"{examples(map(str, there))}: would be replaced, and {record_file(folder, dataset).name} does not say "
            "that they were made here; give another --name, or let preprocess or merge write over them with --force"
        )


def _made_by(record, made_by):
    """Tell whether a record says `made_by`; inputs in another order are read as something else."""
    same = all(record.get(name) == value for name, value in made_by.items())
    return same and list(record["inputs"]) == list(made_by["inputs"])


def announce(folder, dataset, made_by):
    """Write a record without outputs before files take their places: what a kill leaves then is known to be made here.

    Args:
        folder, dataset, made_by: as `write_record`.
    """
    write_record(folder, dataset, made_by, {}, {}, {})


def outputs_of(files):
    """Return the part of a record that tells which files it is of, from the temporary ones: others may replace those.

    Args:
        files (dict): path of an atomic file -> temporary file that will take its place.
    """
    return {path.name: provenance.fingerprint(temporary) for path, temporary in files.items()}


def write_record(folder, dataset, made_by, statistics, notes, outputs):
    """Write the record of files that have taken their places, and return it.

    Args:
        folder (str or Path): the data set's folder.
        dataset (str): D.
        made_by (dict): see `made_from`.
        statistics (dict): of the result.
        notes (dict): counts of what was read and dropped.
        outputs (dict): see `outputs_of`.
    """
    record = {
        "kind": KIND,
        "format": FORMAT,
        "recbole_vqrec": __version__,
        "dataset": dataset,
        **made_by,
        "statistics": statistics,
        "counts": notes,
        "outputs": outputs,
    }
    path = record_file(folder, dataset)
    with artifacts.replace_when_done(path) as temporary:
        temporary.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return record


def say_summary(folder, dataset, record, seconds, say):
    """Say what a data set holds, what was left out, where it lies and how long it took."""
    made = record["statistics"]
    say(f"{dataset}: {made['users']:,} users, {made['items']:,} items, {made['interactions']:,} interactions")
    say(
        f"  average length {made['average_length']:.2f}, average text length {made['average_text_length']:.2f} "
        f"characters, sparsity {made['sparsity']:.4%}"
    )
    counts = [f"{count:,} {name.replace('_', ' ')}" for name, count in record["counts"].items() if count]
    if counts:
        say(f"  {', '.join(counts)}")
    if made["items_without_text"]:
        say(f"  {made['items_without_text']:,} items have no text; theirs is '.'")
    paths = [*atomic_files_of(folder, dataset), record_file(folder, dataset)]
    say(f"  {', '.join(map(str, paths))} ({seconds:.1f} s)")
