"""<D>.import.json: what an imported data set was made from, so that the same import is not done twice."""

import json

from recbole_vqrec import __version__, artifacts
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.interchange.layout import find_file
from recbole_vqrec.interchange.part_files import FEATURES

KIND = "imported data set"
FORMAT = 1
NOT_PARTS = ("train.inter", "valid.inter", "test.inter", "filtered_id", "pt_datasets")


def record_file(target, name):
    """Return the path of a data set's record."""
    return target / f"{name}.import.json"


def made_from(layout, index, options):
    """Return the part of a record that tells whether a result is up to date.

    Args:
        layout (Layout): the authors' folder.
        index (Path or None): the faiss index.
        options (dict): plain values.

    Raises:
        VQRecError: a file cannot be read.
    """
    files = [find_file(layout.folder, f"{layout.name}.{suffix}") for suffix in NOT_PARTS]
    for part in layout.parts:
        files += [layout.part_file(part, suffix) for suffix in ("item2index", "user2index", "text", *FEATURES)]
    try:
        inputs = artifacts.fingerprints(*filter(None, [*files, index]))
    except OSError as error:
        raise VQRecError(f"{error.filename}: cannot be read ({error.strerror})") from error
    return {"kind": KIND, "format": FORMAT, "options": options, "inputs": inputs}


def up_to_date(target, name, made_by):
    """Return the paths of the files in place where they are what `made_by` would make, else None."""
    try:
        record = json.loads(record_file(target, name).read_text(encoding="utf-8"))
        paths = [target / made for made in record["outputs"]]
        same = {**record, **made_by} == record and artifacts.fingerprints(*paths) == record["outputs"]
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return paths if same else None


def write_record(target, name, made_by, paths):
    """Write the record of the files in place."""
    record = {**made_by, "recbole_vqrec": __version__, "outputs": artifacts.fingerprints(*paths)}
    with artifacts.replace_when_done(record_file(target, name)) as temporary:
        temporary.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
