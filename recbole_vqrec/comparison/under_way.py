"""How far the runs of a comparison are that are under way, from their logs."""

import re

from recbole_vqrec.comparison.runs import LOG

EPOCH = re.compile(r"epoch (\d+) (?:training|evaluating)(?:.*valid_score: (-?\d+\.\d+))?")
TAIL = 4000  # bytes of a log that are read; an epoch has fewer


def told(runs):
    """Return "Scientific SASRec seed-2020: epoch 12, 0.0531; ..." of runs, the number being the last validation score.

    Args:
        runs (iterable of Run): under way.
    """
    return "; ".join(f"{run.dataset} {run.row} {run.name}{_place(run)}" for run in runs)


def _place(run):
    """Return ": epoch 12, 0.0531", or "" before the first epoch has ended."""
    try:
        logs = sorted(run.unfinished.glob(f"saved/*/{LOG}"))
        found = list(EPOCH.finditer(_tail(logs[-1]))) if logs else []
    except OSError:  # the run has ended meanwhile
        return ""
    scores = [each[2] for each in found if each[2]]
    return f": epoch {found[-1][1]}{f', {float(scores[-1]):.4f}' if scores else ''}" if found else ""


def _tail(path):
    with open(path, "rb") as log:
        log.seek(max(0, path.stat().st_size - TAIL))
        return log.read().decode("utf-8", "replace")
