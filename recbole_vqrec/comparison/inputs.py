"""What a run of a comparison follows from: all its options, the files of its data set, its checkpoint."""

import functools
import json
import time
from pathlib import Path

from recbole_vqrec import artifacts, provenance, registry
from recbole_vqrec.config import Config
from recbole_vqrec.defaults import DEVICE_OPTIONS
from recbole_vqrec.errors import VQRecError, examples

# options that make no other run
NO_MATTER = {"data_path", "seed", "show_progress", "state", "checkpoint_dir", *DEVICE_OPTIONS}


def options_in_force(run):
    """Return every option that a run has, given or by default, but those that make no other run.

    Args:
        run (Run): to be run, or that was run.

    Raises:
        VQRecError: a wrong option, or a checkpoint that is not there.
    """
    return json.loads(_options_in_force(run.model, run.dataset, json.dumps(run.options, sort_keys=True)))


@functools.lru_cache(maxsize=None)
def _options_in_force(model, dataset, given):
    from recbole_vqrec.trainer import checkpoint

    options = checkpoint.plain_options(Config(model, dataset, None, json.loads(given)))
    return json.dumps({name: value for name, value in options.items() if name not in NO_MATTER}, sort_keys=True)


def changed_options(run, result):
    """Return lines about the options that a run would have now and had not, or the other way round.

    What counts are the options in force, given or by default; where they cannot be worked out, since a checkpoint has
    gone, those given.

    Args:
        run (Run): to be run.
        result (dict): of the run that is there.
    """
    try:
        wanted, had = options_in_force(run), result["options"]
    except VQRecError:
        wanted, had = run.as_dict()["options"], result["run_options"]
    names = sorted((wanted.keys() | had.keys()) - NO_MATTER)
    different = [name for name in names if wanted.get(name) != had.get(name)]
    return [f"{name}: {had.get(name)} there, {wanted.get(name)} asked for" for name in different]


def inputs_of(run, trained):
    """Return file -> fingerprint of what a run has read; files of its data set by name, others by their whole path.

    Args:
        run (Run): that was run.
        trained (str or Path): the run folder it left, whose checkpoint holds all options.
    """
    from recbole_vqrec.data.item_code_table import code_files
    from recbole_vqrec.data.text_vector_table import vector_files
    from recbole_vqrec.quantization.domain import interaction_files
    from recbole_vqrec.trainer import checkpoint

    options, folder = checkpoint.read_manifest(trained)["config"], _folder(run)
    files = [*interaction_files(folder, run.dataset), artifacts.atomic_file(folder, run.dataset, "item")]
    entry = registry.known(run.model)
    if entry.reads_texts or options.get("text_similarity_weight"):
        vectors = vector_files(folder, run.dataset, {"plm": options["plm"], "word_drop": 0})
        files += [file for _, file in vectors]
    if entry.dataset == registry.CODES_DATASET:
        files += [file for _, file in code_files(folder, run.dataset, options)]
    found = {
        file.name if file.parent == folder else str(file.absolute()): _fingerprint(file)
        for file in files
        if file.is_file()
    }
    if options.get("checkpoint"):
        file = checkpoint.checkpoint_file(options["checkpoint"]).absolute()
        found[str(file)] = _fingerprint(file)
    return found


def refuse_changed_meanwhile(run, recorded, began):
    """Refuse a run whose files were written while it read them: it is not known which version it has seen.

    Args:
        run (Run): that was run.
        recorded (dict): as `inputs_of` gives it.
        began (float): when the run began, in seconds since the epoch.

    Raises:
        VQRecError: names the files.
    """
    changed = changed_since(run, recorded, began)
    if changed:
        raise VQRecError(f"{examples(changed)}: written while the run was reading it; run again")


def changed_since(run, recorded, began):
    """Return the names of recorded files that were written after a moment, in seconds since the epoch."""
    now = time.time()  # a file of the future is of a clock that goes wrong
    return [name for name in recorded if began < (_folder(run) / name).stat().st_mtime <= now]


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
