"""What a run of a comparison has read: the files of its data set and its checkpoint, each with a fingerprint."""

import functools
from pathlib import Path

from recbole_vqrec import artifacts, provenance, registry


def inputs_of(run, trained):
    """Return file -> fingerprint of what a run has read; files of the data set by name, a checkpoint by its whole path.

    Args:
        run (Run): that was run.
        trained (str or Path): the run folder it left, whose checkpoint holds all options.
    """
    from recbole_vqrec.data.item_code_table import codes_path
    from recbole_vqrec.embedding.embed import embedding_path
    from recbole_vqrec.quantization.domain import interaction_files
    from recbole_vqrec.trainer import checkpoint

    options, folder = checkpoint.read_manifest(trained)["config"], _folder(run)
    files = [*interaction_files(folder, run.dataset), artifacts.atomic_file(folder, run.dataset, "item")]
    entry = registry.known(run.model)
    if entry.reads_texts:
        files.append(embedding_path(folder, run.dataset, {"plm": options["plm"], "word_drop": 0}))
    if entry.dataset == registry.CODES_DATASET:
        files.append(codes_path(folder, run.dataset, options))
    found = {file.name: _fingerprint(file) for file in files if file.is_file()}
    if options.get("checkpoint"):
        file = checkpoint.checkpoint_file(options["checkpoint"]).absolute()
        found[str(file)] = _fingerprint(file)
    return found


def changed_inputs(run, recorded):
    """Return the names of recorded files that are others now; one that is not there any more counts as the same."""
    files = {name: _folder(run) / name for name in recorded}
    return [name for name, file in files.items() if file.is_file() and _fingerprint(file) != recorded[name]]


def _folder(run):
    return Path(run.options["data_path"]) / run.dataset


def _fingerprint(file):
    state = file.stat()
    return _fingerprint_of(file, state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=None)
def _fingerprint_of(file, changed, size):
    """Return a file's fingerprint, read again only where the file has changed: all runs of a matrix have the same."""
    return provenance.fingerprint(file)
