"""Options of each row: those found before (props/comparison.yaml), or the best of a small grid on validation."""

import random

from sklearn.model_selection import ParameterGrid

from recbole_vqrec.comparison.runs import Run
from recbole_vqrec.config import Config
from recbole_vqrec.defaults import read_props
from recbole_vqrec.errors import VQRecError


def stated_options(model, dataset):
    """Return the options of a model in props/comparison.yaml: its own, every model's on this data set, its own on it.

    Args:
        model, dataset (str): names.
    """
    stated = read_props("comparison.yaml")
    every = stated["options"].get(model, stated["options"]["others"])
    here = stated["tuned"].get(dataset, {})
    return {**every, **here.get("others", {}), **here.get(model, {})}


def trials(run, budget, given=()):
    """Return the trials of a row: what it would be run with otherwise, and points of its grid in props/comparison.yaml.

    What it would be run with is always tried, so that tuning cannot leave a model worse on validation than it was.

    Args:
        run (Run): a run of the row, whose seed and options all trials share.
        budget (int): trials at most, the same for each row; a larger grid is sampled.
        given (iterable of str): options that the user has set; they are not tuned.

    Returns:
        list of Run: empty where the model has no grid, or all of it is given.
    """
    stated = read_props("comparison.yaml")["grid"]
    grid = stated.get(run.model, stated["others"])
    grid = {name: values for name, values in grid.items() if name not in given}
    if not grid:
        return []
    points = list(ParameterGrid(grid))
    random.Random(0).shuffle(points)
    own = _in_force(run, grid)
    tried = [own, *(point for point in points if point != own)][:budget]
    return [
        Run(run.out, run.dataset, run.row, run.model, run.seed, {**run.options, **point}, point) for point in tried
    ]


def best_trial(tried, results):
    """Return the best trial by validation score, or None where none was finished.

    Args:
        tried (list of Run): the trials.
        results (list of dict or None): of each.
    """
    scored = zip(tried, results)
    finished = [(trial, result) for trial, result in scored if result and result["best_valid_score"] is not None]
    if not finished:
        return None
    sign = 1 if finished[0][1]["valid_score_bigger"] else -1
    return max(finished, key=lambda pair: sign * pair[1]["best_valid_score"])[0]


def _in_force(run, names):
    """Return the values that a run has of the options named."""
    try:
        config = Config(run.model, run.dataset, None, dict(run.options))
    except VQRecError:  # the run will say so
        return {}
    return {name: config[name] for name in names}
