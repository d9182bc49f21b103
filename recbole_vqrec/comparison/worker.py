"""One run of a comparison in a process of its own: `python -m recbole_vqrec.comparison.worker RUN.json`.

What it makes appears in the run's folder when it is complete, or not at all. It ends when its standard input does,
which the comparison holds open, and leaves what the same run goes on from.
"""

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

import torch

from recbole_vqrec.comparison.inputs import inputs_of, options_in_force, refuse_changed_meanwhile
from recbole_vqrec.comparison.runs import FORMAT, LOG, RESULT, Run
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.trainer.resume import newest_first

PACKAGES = ("recbole", "torch", "numpy", "pandas", "scipy", "faiss-cpu", "transformers")
ERROR_CODE = 2  # of bad input; any other code is a crash


def execute(run):
    """Train and test one run and leave its folder; go on with it where an interrupted comparison left it.

    Args:
        run (Run): what to run.

    Raises:
        VQRecError: bad input or a wrong option.
    """
    try:
        _execute(run)
    except (KeyboardInterrupt, SystemExit):  # asked to end; a resume point may be there
        raise
    except BaseException:
        run.clear()
        raise
    run.clear()


def _execute(run):
    from recbole_vqrec import quick_start
    from recbole_vqrec.evaluation import user_ranks

    began, interrupted = _begin(run)
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
        "run_options": run.as_dict()["options"], "options": options_in_force(run), "trial": run.trial,
        "inputs": inputs, "versions": versions(), "threads": torch.get_num_threads(),
    }  # fmt: skip
    (complete / RESULT).write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")
    if not (run.folder / RESULT).is_file():  # else a process that outlived its comparison has made it meanwhile
        os.replace(complete, run.folder)


def _begin(run):
    """Return when the run began, in seconds since the epoch, and its folder in case it goes on from a resume point.

    It goes on where the same program with the same options was interrupted, else what was left is removed.
    """
    description, stated = run.unfinished / "run.json", json.dumps({**run.as_dict(), "versions": versions()})
    if description.is_file() and description.read_text(encoding="utf-8") == stated:
        for folder in (run.unfinished / "saved").iterdir():
            if newest_first(folder):
                return description.stat().st_mtime, str(folder)
    run.clear()
    (run.unfinished / "saved").mkdir(parents=True)
    description.write_text(stated, encoding="utf-8")
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


def end_with_the_comparison():
    """Stop this process as SIGTERM does once its standard input ends, for whoever has been killed tells nobody."""

    def watch():
        while os.read(0, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    # outside training, which ends by itself: as an error, so that the temporary folder is removed
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    threading.Thread(target=watch, daemon=True).start()


def main(file):
    """Execute the run that a json file describes; bad input gives one line on stderr and exit code 2."""
    try:
        execute(Run(**json.loads(Path(file).read_text(encoding="utf-8"))))
    except VQRecError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(ERROR_CODE)


if __name__ == "__main__":
    end_with_the_comparison()
    main(sys.argv[1])
