"""Train, kill with SIGKILL at a chosen moment, resume, and compare with an uninterrupted run; run by test_resume.py.

Every attempt is forked from this process, which has imported everything and started no thread.
"""

import json
import os
import signal
import sys
from pathlib import Path

import recbole_vqrec
from recbole_vqrec import artifacts, compat

compat.apply()
from recbole_vqrec import quick_start  # noqa: E402
from recbole_vqrec.trainer import checkpoint  # noqa: E402
from recbole_vqrec.trainer.sequence_trainer import SequenceTrainer  # noqa: E402

CATALOGUE = artifacts.catalogue_file("").name  # there from the start, and nothing to resume from
moments = {"seen": 0, "kill_at": None}


def moment(function):
    """Count the moments before and after a call, and die at the chosen one."""

    def counted(*args, **kwargs):
        for stage in ("before", "after"):
            moments["seen"] += 1
            if moments["seen"] == moments["kill_at"]:
                os.kill(os.getpid(), signal.SIGKILL)
            if stage == "before":
                result = function(*args, **kwargs)
        return result

    return counted


def attempt(stage, options, folder, kill_at=None, resume=None):
    """Train in a child process; return (whether it came to its end, moments it has seen)."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        moments.update(seen=0, kill_at=kill_at)
        os.replace, os.fsync = moment(os.replace), moment(os.fsync)
        artifacts.save_file = moment(artifacts.save_file)
        SequenceTrainer.after_step = moment(SequenceTrainer.after_step)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        given = {**options, "checkpoint_dir": folder, "stage": stage}
        if resume:
            given["resume"] = resume
        quick_start.run(None if resume else "VQRec", None if resume else "mix", None, given)
        os.write(writing, str(moments["seen"]).encode())
        os._exit(0)
    os.close(writing)
    _, status = os.waitpid(child, 0)
    seen = os.read(reading, 20)
    os.close(reading)
    return status == 0, int(seen or 0)


def final_state(folder):
    """Return what a finished run has left: hash of weights and optimizer, early stopping, result."""
    (run,) = [run for run in Path(folder).iterdir() if (run / "result.json").is_file()]
    manifest = artifacts.read_manifest(run / checkpoint.FILE_NAME, checkpoint.KIND, "")
    result = json.loads((run / "result.json").read_text())
    left = sorted(file.name for file in run.glob("resume-*"))
    progress = {**manifest["progress"], "seconds": None}
    return [manifest["content"], progress, result["best_valid_result"], result["epochs"], left]


def main(stage, count, options):
    """Kill at about `count` evenly spread moments; print the differences as json."""
    finished, seen = attempt(stage, options, "saved/whole")
    expected, wrong = final_state("saved/whole"), []
    kills = sorted({1 + round(step * (seen - 1) / (count - 1)) for step in range(count)})
    for kill_at in kills:
        folder, resume = f"saved/killed-{kill_at}", None
        finished, _ = attempt(stage, options, folder, kill_at)
        while not finished:
            runs = [
                run
                for run in sorted(Path(folder).glob("*"))
                if {file.name for file in run.glob("*.safetensors")} - {CATALOGUE}
            ]
            resume = str(runs[-1]) if runs else None
            if resume and Path(resume, "result.json").is_file():
                break
            finished, _ = attempt(stage, options, folder, None, resume)
        if final_state(folder) != expected:
            wrong.append([kill_at, final_state(folder)])
    print(json.dumps({"moments": seen, "kills": kills, "expected": expected, "wrong": wrong}))


if __name__ == "__main__":
    assert recbole_vqrec.__version__
    main(sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3]))
