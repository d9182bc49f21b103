"""What a file was made from, by content: whether it is up to date, or has to be made again."""

import contextlib
import hashlib
from collections import Counter
from pathlib import Path

from safetensors import SafetensorError

from recbole_vqrec import artifacts
from recbole_vqrec.errors import VQRecError, examples


def file_hash(path):
    """Return the SHA-256 of a file's bytes as hexadecimal text."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def fingerprint(path):
    """Return what identifies a file's content: the recorded hash of an artifact, the SHA-256 of any other file."""
    path = Path(path)
    if path.suffix == ".safetensors":
        with contextlib.suppress(SafetensorError, KeyError, ValueError):
            return artifacts.stored_manifest(path)["content"]
    return file_hash(path)


def fingerprints(*paths):
    """Return the manifest entry "inputs": file name -> fingerprint of the files an artifact is made from.

    The second file of a name, from another folder, is "<name>/2", which no file can be called.
    """
    found, seen = {}, Counter()
    for path in dict.fromkeys(map(Path, paths)):
        seen[path.name] += 1
        found[f"{path.name}/{seen[path.name]}" if seen[path.name] > 1 else path.name] = fingerprint(path)
    return found


def stale_inputs(path, manifest):
    """Return the names of inputs, lying beside an artifact, that have changed since it was made, or since they were."""
    folder, stale = Path(path).parent, []
    for name, recorded in manifest.get("inputs", {}).items():
        file = folder / name
        if file.is_file() and fingerprint(file) != recorded:
            stale.append(name)
        elif file.is_file() and file.suffix == ".safetensors":
            with contextlib.suppress(SafetensorError, KeyError, ValueError):
                stale += stale_inputs(file, artifacts.stored_manifest(file))
    return stale


def refuse_stale(path, manifest, remedy):
    """Raise `VQRecError` if an input of an artifact has changed since the artifact was made."""
    stale = stale_inputs(path, manifest)
    if stale:
        raise VQRecError(f"{path}: out of date, {examples(stale)} changed after it was made; {remedy}")


def is_up_to_date(path, kind, options, inputs):
    """Tell whether `path` already holds what these options and inputs would make.

    Args:
        path (str or Path): the artifact.
        kind (str): its kind.
        options (dict): the manifest entry "options".
        inputs (dict): the manifest entry "inputs".
    """
    try:
        manifest = artifacts.read_manifest(path, kind, "")
    except VQRecError:
        return False
    return manifest.get("options") == options and manifest.get("inputs") == inputs
