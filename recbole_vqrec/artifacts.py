"""Names and formats of the files between the stages: safetensors with item ids and a manifest, written whole or not.

Axis legend: N items.

    dataset/<D>/<D>.inter, <D>.item           atomic files (RecBole's format)
    dataset/<D>/<D>.<plm>.emb.safetensors     text embeddings, one row an item
    dataset/<D>/<D>.<codes>.codes.safetensors item codes and the quantizer that made them
    saved/<run>/checkpoint.safetensors        a trained model
    saved/<run>/catalogue.safetensors         the items a run can recommend: ids, texts, codes, popularity
    saved/<run>/catalogue.change-00000001.safetensors   items added or removed since that file was written
"""

import hashlib
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from recbole_vqrec.atomic_write import replace_when_done
from recbole_vqrec.errors import UnavailableError, VQRecError, examples

FORMAT_VERSION = 1
MANIFEST_KEY = "manifest"
ITEM_IDS_KEY = "item_ids"
CHANGE_FILES = "catalogue.change-*.safetensors"


def atomic_file(folder, dataset, suffix):
    """Return the path of an atomic file, `suffix` being "inter" or "item"."""
    return Path(folder) / f"{dataset}.{suffix}"


def embedding_file(folder, dataset, plm):
    """Return the path of a data set's text embeddings by the language model `plm`."""
    return Path(folder) / f"{dataset}.{short_name(plm)}.emb.safetensors"


def codes_file(folder, dataset, codes):
    """Return the path of a data set's item codes called `codes`."""
    return Path(folder) / f"{dataset}.{codes}.codes.safetensors"


def is_code_file(named):
    """Return whether item_codes or reuse_quantizer, which may also be a name, is the path of a code file."""
    return str(named or "").endswith(".safetensors")


def catalogue_file(run):
    """Return the path of the items that a run can recommend, given its folder."""
    return Path(run) / "catalogue.safetensors"


def change_file(run, number):
    """Return the path of a change of a run's catalogue; numbers start at 1."""
    return Path(run) / f"catalogue.change-{number:08d}.safetensors"


def change_files(run):
    """Return number -> path of the changes in a run folder, in order."""
    found = {path.name.split(".")[1].removeprefix("change-"): path for path in Path(run).glob(CHANGE_FILES)}
    return {int(number): path for number, path in sorted(found.items()) if number.isdecimal()}


def short_name(plm):
    """Return a file-name-safe short name of a language model given by hub name, folder or `package:NAME`."""
    name = str(plm).removeprefix("package:").rstrip("/\\")
    return re.sub(r"[^\w.-]+", "-", re.split(r"[/\\]", name)[-1])


def content_hash(tensors):
    """Return the SHA-256 over names, shapes, types and bytes of arrays, independent of their order."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.data.cast("B") if array.size else b"")
    return digest.hexdigest()


def write_artifact(path, kind, tensors, manifest, item_ids=None):
    """Write arrays with their item ids and how they were made, replacing `path` only when complete.

    Args:
        path (str or Path): the file to write.
        kind (str): what it is, "text embedding", "item codes", "checkpoint", "catalogue" or "catalogue change".
        tensors (dict of str to np.ndarray): the arrays; those aligned to items have N rows.
        manifest (dict): plain values that say how the arrays were made.
        item_ids (list of str, optional): N item ids, none with a line break.

    Raises:
        UnavailableError: the file cannot be written, or the disk is full.
    """
    from recbole_vqrec import __version__

    tensors = {name: np.asarray(array, order="C") for name, array in tensors.items()}  # 0-d stays 0-d
    if item_ids is not None:
        tensors[ITEM_IDS_KEY] = lines_to_array(item_ids)
    manifest = {
        "kind": kind,
        "format": FORMAT_VERSION,
        "recbole_vqrec": __version__,
        **manifest,
        "content": content_hash(tensors),
    }
    with replace_when_done(path) as temporary:
        try:
            save_file(tensors, temporary, metadata={MANIFEST_KEY: json.dumps(manifest)})
        except SafetensorError as error:  # a full disk is no OSError there
            raise UnavailableError(f"{path}: writing failed ({error}); nothing was left behind") from error


def lines_to_array(lines):
    """Return texts without line breaks as the uint8 array that an artifact holds, each ended by a line break."""
    return np.frombuffer("".join(f"{line}\n" for line in lines).encode(), np.uint8)


def array_to_lines(array):
    """Return the texts of which `lines_to_array` has made an array."""
    return array.tobytes().decode().split("\n")[:-1]


def stored_manifest(path):
    """Return what stands in the place of the manifest; raises SafetensorError, KeyError, ValueError or OSError."""
    with safe_open(path, framework="numpy") as file:
        return json.loads((file.metadata() or {})[MANIFEST_KEY])


def file_version(path):
    """Return what differs between two versions of a file that is replaced whole, None where there is none."""
    try:
        stat = Path(path).stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns, stat.st_size


def read_manifest(path, kind, remedy):
    """Return the manifest of an artifact without reading its arrays.

    Args:
        path (str or Path): the file.
        kind (str): what it has to be.
        remedy (str): what the user should do if the file is missing or unusable.

    Raises:
        UnavailableError: missing, damaged, of another kind, or of another format version.
    """
    path = Path(path)
    if not path.is_file():
        raise UnavailableError(f"{path}: {kind} not found; {remedy}")
    try:
        manifest = stored_manifest(path)
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        fault = f"not a readable {kind} file, damaged or of another program"
        raise UnavailableError(f"{path}: {fault}; {remedy}") from error
    if not isinstance(manifest, dict) or manifest.get("kind") != kind:
        found = manifest.get("kind") if isinstance(manifest, dict) else type(manifest).__name__
        raise UnavailableError(f"{path}: holds '{found}', expected '{kind}'; {remedy}")
    if manifest.get("format") != FORMAT_VERSION:
        raise UnavailableError(
            f"{path}: format version {manifest.get('format')}, this program reads {FORMAT_VERSION}; {remedy}"
        )
    return manifest


def read_artifact(path, kind, remedy):
    """Return (arrays, item ids or None, manifest) of an artifact whose content is verified.

    Raises:
        UnavailableError: as `read_manifest`, and if the arrays are not those that were written.
    """
    manifest = read_manifest(path, kind, remedy)
    try:
        with safe_open(path, framework="numpy") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError) as error:  # deleted or replaced meanwhile
        raise UnavailableError(f"{path}: {kind} not readable any more ({error}); {remedy}") from error
    if content_hash(tensors) != manifest.get("content"):
        raise UnavailableError(f"{path}: content does not match its checksum, the file is damaged; {remedy}")
    item_ids = tensors.pop(ITEM_IDS_KEY, None)
    if item_ids is not None:
        item_ids = array_to_lines(item_ids)
        twice = [item_id for item_id, count in Counter(item_ids).items() if count > 1]
        if twice:
            raise UnavailableError(f"{path}: duplicate item ids ({examples(twice)}); {remedy}")
    return tensors, item_ids, manifest


def rows_of(item_ids, wanted, path, remedy):
    """Return for each wanted item id its row in an artifact.

    Args:
        item_ids (list of str): the artifact's item ids, [N].
        wanted (iterable of str): the ids to find.
        path, remedy: for the message.

    Returns:
        np.ndarray: int64, one row number per wanted id.

    Raises:
        VQRecError: some wanted ids are not there.
    """
    row = {item_id: index for index, item_id in enumerate(item_ids)}
    wanted = list(wanted)
    missing = [item_id for item_id in wanted if item_id not in row]
    if missing:
        raise VQRecError(
            f"{path}: lacks {len(missing):,} of {len(wanted):,} items of the data set ({examples(missing)}); {remedy}"
        )
    return np.fromiter((row[item_id] for item_id in wanted), dtype=np.int64, count=len(wanted))
