"""One run of a comparison in a process of its own: `python -m recbole_vqrec.comparison.worker RUN.json`.

What it makes appears in the run's folder when it is complete, or not at all. It ends when its standard input does,
which the comparison holds open, and leaves what the same run goes on from.
"""

import contextlib
import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

import filelock
import torch

from recbole_vqrec.comparison.inputs import changed_since, inputs_of, options_in_force, refuse_changed_meanwhile
from recbole_vqrec.comparison.runs import FORMAT, LOG, RESULT, Run
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.trainer import checkpoint
from recbole_vqrec.trainer.resume import newest_first, resume_point

PACKAGES = ("recbole", "torch", "numpy", "pandas", "scipy", "faiss-cpu", "transformers")
DESCRIPTION = "run.json"  # of an unfinished run
ERROR_CODE = 2  # of bad input; any other code is a crash


def execute(run):
    """Train and test one run and leave its folder; go on with it where an interrupted comparison left it.

    Args:
        run (Run): what to run.

    Raises:
        VQRecError: bad input or a wrong option.
    """
    run.folder.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(run.lock):  # of a process that outlives its comparison by a step
        try:
            if not (run.folder / RESULT).is_file():
                _execute(run)
        except Exception:  # none of those that ask for the end, after which a resume point may be there
            run.clear()
            raise
        run.clear()


def _execute(run):
    from recbole_vqrec import quick_start
    from recbole_vqrec.evaluation import user_ranks

    made_with, in_force = versions(), options_in_force(run)  # those of now: a file may be edited meanwhile
    began, interrupted = _begin(run, {**run.as_dict(), "versions": made_with, "in_force": in_force})
    options = {**run.options, "seed": run.seed, "checkpoint_dir": str(run.unfinished / "saved"), "resume": interrupted}
    result = quick_start.run(run.model, run.dataset, None, {"show_progress": False, "state": "WARNING", **options})
    made = Path(result["run"])
    if not (made / user_ranks.FILE_NAME).is_file():
        raise VQRecError(f"{run.dataset}: not one test target a user; a comparison needs leave-one-out")
    inputs = inputs_of(run, made)
    refuse_changed_meanwhile(run, inputs, began)
    complete = run.unfinished / "complete"
    complete.mkdir()
    for name in (LOG, user_ranks.FILE_NAME):
        if (made / name).is_file():
            shutil.move(made / name, complete / name)
    described = {
        "format": FORMAT, **result, "run": str(run.folder), "row": run.row, "seed": run.seed,
        "run_options": run.as_dict()["options"], "options": in_force, "trial": run.trial,
        "inputs": inputs, "versions": made_with, "threads": torch.get_num_threads(),
    }  # fmt: skip
    (complete / RESULT).write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")
    os.replace(complete, run.folder)


def _begin(run, description):
    """Return when the run began, in seconds since the epoch, and its folder in case it goes on from a resume point.

    It goes on where the same program with the same options and data was interrupted, else what was left is removed.
    """
    file, stated = run.unfinished / DESCRIPTION, json.dumps(description)
    if file.is_file() and file.read_text(encoding="utf-8") == stated:
        began = file.stat().st_mtime
        for folder in run.unfinished.glob("saved/*"):
            with contextlib.suppress(VQRecError):  # nothing to go on from, or not readable
                if not changed_since(run, inputs_of(run, resume_point(folder)), began):
                    return began, str(folder)
    run.clear()
    (run.unfinished / "saved").mkdir(parents=True)
    file.write_text(stated, encoding="utf-8")
    return time.time(), None


def versions():
    """Return the versions of what a result depends on, this program's own code among them, and the machine's kind."""
    from recbole_vqrec import __version__

    found = {"recbole-vqrec": f"{__version__} (code {_code()})"}
    found |= {"python": platform.python_version(), "machine": platform.machine()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _code():
    """Return eight digits that are others once a line of this package is."""
    code, package = hashlib.sha256(), Path(__file__).parents[1]
    for file in sorted(package.rglob("*.py")):
        code.update(file.relative_to(package).as_posix().encode() + b"\0" + file.read_bytes())
    return code.hexdigest()[:8]


def end_with_the_comparison(run):
    """Stop this process as SIGTERM does once its standard input ends, for whoever has been killed tells nobody.

    Training itself ends at a resume point; once it is over, the test is still made, which takes seconds.
    """

    def watch():
        while os.read(0, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    def end(number, frame):
        trained = list(run.unfinished.glob(f"saved/*/{checkpoint.FILE_NAME}"))
        if not trained or any(newest_first(file.parent) for file in trained):
            sys.exit(128 + number)

    signal.signal(signal.SIGTERM, end)
    threading.Thread(target=watch, daemon=True).start()


def main(file):
    """Execute the run that a json file describes; bad input gives one line on stderr and exit code 2."""
    run = Run(**json.loads(Path(file).read_text(encoding="utf-8")))
    end_with_the_comparison(run)
    try:
        execute(run)
    except VQRecError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(ERROR_CODE)


if __name__ == "__main__":
    main(sys.argv[1])
