"""<D>.import.json and <D>.export.json: what a result was made from, so that the same is not done twice."""

import json

from recbole_vqrec import __version__, artifacts, provenance
from recbole_vqrec.errors import VQRecError

FORMAT = 1


def record_file(folder, name, kind):
    """Return the path of a record, `kind` being "import" or "export"."""
    return folder / f"{name}.{kind}.json"


def made_from(files, options):
    """Return the part of a record that tells whether a result is up to date.

    Args:
        files (iterable of Path): what is read, None for what is not there.
        options (dict): plain values.

    Raises:
        VQRecError: a file cannot be read.
    """
    try:
        inputs = provenance.fingerprints(*filter(None, files))
    except OSError as error:
        raise VQRecError(f"{error.filename}: cannot be read ({error.strerror})") from error
    return {"format": FORMAT, "options": options, "inputs": inputs}


def up_to_date(path, made_by):
    """Return the paths of the files in place where they are what `made_by` would make, else None."""
    record, paths = _read(path)
    try:
        same = {**record, **made_by} == record and provenance.fingerprints(*paths) == record["outputs"]
    except OSError:
        return None
    return paths if same and paths else None


def recorded_outputs(path):
    """Return the paths of the files that a record says were made; none where there is no readable record."""
    return _read(path)[1]


def _read(path):
    """Return a record and the paths of its outputs, both empty where it cannot be read."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return record, [path.parent / made for made in record["outputs"]]
    except (OSError, ValueError, TypeError, KeyError):
        return {}, []


def write_record(path, made_by, outputs):
    """Write the record of the files in place."""
    record = {**made_by, "recbole_vqrec": __version__, "outputs": provenance.fingerprints(*outputs)}
    with artifacts.replace_when_done(path) as temporary:
        temporary.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
