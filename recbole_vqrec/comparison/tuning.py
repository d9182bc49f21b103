"""Options of each row: those found before (props/comparison.yaml), or the best of a small grid on validation."""

import random
from dataclasses import replace

from sklearn.model_selection import ParameterGrid

from recbole_vqrec.comparison.inputs import changed_options
from recbole_vqrec.comparison.runs import Run, finished_trials, seeds_there
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


def grid_of(model):
    """Return option -> values that tuning may try for a model, from props/comparison.yaml."""
    stated = read_props("comparison.yaml")["grid"]
    return stated.get(model, stated["others"])


def trials(run, budget, given=()):
    """Return the trials of a row: what it would be run with otherwise, and points of its grid in props/comparison.yaml.

    What it would be run with is always tried, so that tuning cannot leave a model worse on validation than it was.

    Args:
        run (Run): a run of the row, whose seed and options all trials share.
        budget (int): trials at most, the same for each row; a larger grid is sampled.
        given (iterable of str): options that the user has set, in files, rows or the command; they are not tuned.

    Returns:
        list of Run: empty where the model has no grid, or all of it is given.
    """
    grid = {name: values for name, values in grid_of(run.model).items() if name not in given}
    if not grid:
        return []
    points = list(ParameterGrid(grid))
    random.Random(0).shuffle(points)
    own = _in_force(run, grid)
    tried = [own, *(point for point in points if point != own)][:budget]
    return [
        Run(run.out, run.dataset, run.row, run.model, run.seed, {**run.options, **point}, point) for point in tried
    ]


def refuse_untuned_seeds(run, tried):
    """Refuse, before the first trial, a row whose seeds were run without any.

    Args:
        run (Run): a run of the row.
        tried (list of Run): its trials, made or not.

    Raises:
        VQRecError: names the folder.
    """
    if tried and seeds_there(run) and not finished_trials(run.out, run.dataset, run.row):
        raise VQRecError(
            f"{run.folder.parent}: its seeds were run without trials; choose another --out, delete the folder, or "
            "leave out --tune"
        )


def chosen_trial(run, tried, results, say):
    """Return the trial whose values a row is run with: the best, or that of the seeds that are there.

    They differ where a trial that had failed, or a new one, is better than those known when the seeds were run.

    Args:
        run (Run): a run of the row.
        tried (list of Run): the trials.
        results (list of dict or None): of each.
        say (callable): receives the line that says which.
    """
    best, there = best_trial(tried, results), seeds_there(run)
    finished = [trial for trial, result in zip(tried, results) if result]
    used = [trial for trial in finished if there and not _differs(run, trial, there[0])]
    chosen = best if not used or best in used else used[0]
    say(f"{run.dataset} {run.row}: best of {len(tried)} trials {best.trial if best else {}}")
    if chosen is not best:
        say(f"{run.folder.parent}: its seeds were run with {chosen.trial}, which is kept; delete them to take the best")
    return chosen


def _differs(run, trial, result):
    """Return whether a run with a trial's values would be another than one that is there."""
    return bool(changed_options(replace(run, options=trial.options), result))


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
