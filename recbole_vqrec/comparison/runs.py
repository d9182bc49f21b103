"""The runs of a comparison and the folder of each.

    <out>/<dataset>/<row>/seed-<seed>/            a run that is tested
    <out>/<dataset>/<row>/trial-<options>/        a trial of tuning, chosen by its validation score
        result.json          metrics, options, curve, seconds, peak memory, versions
        ranks.safetensors    rank of each test user's target
        run.log              what the run said, its whole configuration first
    <out>/<dataset>/<row>/<run>.failed.json       why a run failed; it is tried again next time
    <out>/<dataset>/<row>/.<run>.unfinished/      a run under way, or interrupted: the same command goes on with it

A row of the table is a model, or a model with options under a name of its own.
"""

import glob
import hashlib
import json
import os
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

from recbole_vqrec import artifacts
from recbole_vqrec.comparison.inputs import changed_inputs, changed_options
from recbole_vqrec.defaults import props_folder
from recbole_vqrec.errors import VQRecError, examples
from recbole_vqrec.option_types import as_they_are_read
from recbole_vqrec.trainer import checkpoint

FORMAT = 2
RESULT, LOG = "result.json", "run.log"
PARTS = {"model", "run_options", "options", "inputs", "versions", "test_result"}  # of a result


@dataclass(frozen=True)
class Run:
    """One training and test of one row of the table.

    Args:
        out (str): folder of the comparison.
        dataset (str): name.
        row (str): name in the table.
        model (str): model name.
        seed (int): of the run.
        options (dict): all options that are given, plain values.
        trial (dict, optional): the values tried, where the run is a trial of tuning.
    """

    out: str
    dataset: str
    row: str
    model: str
    seed: int
    options: dict
    trial: dict = field(default=None)

    @property
    def name(self):
        """Name of the run's folder."""
        if self.trial is None:
            return f"seed-{self.seed}"
        values = "_".join(f"{name}={value}" for name, value in sorted(self.trial.items()))
        digest = hashlib.sha256(values.encode()).hexdigest()[:6]
        return f"trial-{artifacts.short_name(values)[:60]}-{digest}"

    @property
    def folder(self):
        """The run's folder."""
        return Path(self.out) / self.dataset / self.row / self.name

    @property
    def failure(self):
        """The file that says why the run failed."""
        return self.folder.parent / f"{self.name}.failed.json"

    @property
    def unfinished(self):
        """The folder that the run works in until it is complete."""
        return self.folder.parent / f".{self.name}.unfinished"

    @property
    def lock(self):
        """The file that one process holds while it works there."""
        return self.folder.parent / f".{self.name}.lock"

    def as_dict(self):
        """Return plain values from which an equal run can be made."""
        return json.loads(json.dumps(asdict(self)))

    def result(self):
        """Return the result of the run, or None where it has not been made.

        Raises:
            VQRecError: made by another version, with other options or of other data, not readable, or a folder without
                a result.
        """
        path = self.folder / RESULT
        if not path.is_file():
            if self.folder.exists():
                raise VQRecError(f"{self.folder}: has no {RESULT}, it is not a run's; delete the folder")
            return None
        result = read_result(path)
        told = changed_options(self, result)
        if result["model"] != self.model or told:
            raise VQRecError(
                f"{self.folder}: was run with other options ({examples(told or ['model'])}); give them again, "
                "choose another --out, or delete the folder"
            )
        changed = changed_inputs(self, result["inputs"])
        if changed:
            raise VQRecError(
                f"{self.folder}: was run on other data, {examples(changed)} changed since; delete the folder, or "
                "choose another --out"
            )
        return result

    def clear(self):
        """Remove what is unfinished of this run; nobody else may be running it."""
        for folder in self.folder.parent.glob(glob.escape(f".{self.name}.") + "*"):  # earlier versions had other names
            shutil.rmtree(folder, ignore_errors=True)
        self.lock.unlink(missing_ok=True)


def take_over(trial, run):
    """Let a trial of tuning be the run with its options and its seed, whose result it has; nothing where that is there.

    Args:
        trial (Run): finished.
        run (Run): the run tested, with the trial's options and seed.
    """
    if run.folder.exists():
        return
    run.clear()
    shutil.copytree(trial.folder, run.unfinished)
    described = {**read_result(trial.folder / RESULT), "run": str(run.folder), "trial": None}
    (run.unfinished / RESULT).write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")
    os.replace(run.unfinished, run.folder)
    run.failure.unlink(missing_ok=True)


def read_result(path):
    """Return the content of a result.json of a comparison.

    Raises:
        VQRecError: not readable, or of another format version.
    """
    try:
        result = json.loads(Path(path).read_text(encoding="utf-8"))
        version = result.get("format") if isinstance(result, dict) else None
    except (OSError, ValueError) as error:
        raise VQRecError(f"{path}: not readable ({error}); delete the folder, and compare again") from error
    if version != FORMAT:
        raise VQRecError(
            f"{path}: format version {version}, this program reads {FORMAT}; delete the folder, or choose another --out"
        )
    lacking = sorted(PARTS - result.keys())
    if lacking:
        raise VQRecError(f"{path}: lacks {examples(lacking)}; delete the folder, and compare again")
    options = {**checkpoint.LATER_OPTIONS.get(result["model"], {}), **result["options"]}
    result["options"] = as_they_are_read(options, props_folder())  # of before a code file could be called 2024
    return result


def finished_runs(out):
    """Return (data set, row, folder, result) of every tested run below a folder, in order.

    Raises:
        VQRecError: one of another version, or not readable.
    """
    files = _of_seeds(Path(out).glob(f"*/*/seed-*/{RESULT}"))
    return [(file.parts[-4], file.parts[-3], file.parent, read_result(file)) for file in files]


def seeds_there(run):
    """Return the results of all seeds of a run's row that are there.

    Raises:
        VQRecError: as `finished_runs`.
    """
    return [read_result(file) for file in _of_seeds(run.folder.parent.glob(f"seed-*/{RESULT}"))]


def finished_trials(out, dataset, row):
    """Return the results of all trials of a row, in order of their names.

    Raises:
        VQRecError: as `finished_runs`.
    """
    return [read_result(file) for file in sorted((Path(out) / dataset / row).glob(f"trial-*/{RESULT}"))]


def failures(out):
    """Return (data set, row, run name, message) of the runs that failed and have no result."""
    found = []
    for file in sorted(Path(out).glob("*/*/*.failed.json")):
        name = file.name.removesuffix(".failed.json")
        if not (file.parent / name / RESULT).is_file():
            message = json.loads(file.read_text(encoding="utf-8"))["error"]
            found.append((file.parts[-3], file.parts[-2], name, message))
    return found


def _of_seeds(files):
    """Return the results of seeds among files, a row after the other, in order of the seeds."""
    files = [file for file in files if _seed(file).isdigit()]
    return sorted(files, key=lambda file: (file.parts[:-2], int(_seed(file))))


def _seed(file):
    return file.parent.name.removeprefix("seed-")
