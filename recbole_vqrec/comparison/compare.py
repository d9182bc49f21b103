"""`recbole-vqrec compare`: the matrix of data sets, models and seeds, and its report, in numbered steps."""

import contextlib
import os
from dataclasses import replace
from pathlib import Path

import filelock

from recbole_vqrec import registry
from recbole_vqrec.comparison.executor import execute_all, processes_by_default
from recbole_vqrec.comparison.runs import Run, finished_runs, take_over
from recbole_vqrec.comparison.tuning import chosen_trial, refuse_untuned_seeds, stated_options, trials
from recbole_vqrec.config import external_options
from recbole_vqrec.defaults import LAUNCH_OPTIONS, known_options, own_defaults, props_folder, read_props
from recbole_vqrec.distributed import gpu_ids
from recbole_vqrec.errors import VQRecError, examples, nearest
from recbole_vqrec.option_types import refuse_wrong_values
from recbole_vqrec.report.comparison_report import write_report
from recbole_vqrec.report.rows import rows_of

FIRST_SEED = 2020  # RecBole's default
LOCK = ".comparison.lock"
OF_THE_TABLE = ("seed", "dataset", "resume", *sorted(LAUNCH_OPTIONS))  # options that say which runs there are


def compare(
    datasets, models, out, seeds=1, tune=0, processes=None, config_files=None, options=None, rows=None, say=print
):
    """Train, test and report every model on every data set with every seed; what is there is not repeated.

    Options of a run, later ones win: props, props/comparison.yaml, tuning, config files, the row's own, `options`.

    Args:
        datasets (list of str): names.
        models (list of str): model names, or rows of `rows`.
        out (str or Path): folder of runs and report.
        seeds (int): runs of each row, with seeds 2020, 2021, ...
        tune (int): trials of each row on the validation split before; 0 takes the options stated.
        processes (int, optional): runs at a time; by default as many as cores and memory, or GPUs, allow.
        config_files (list of str, optional): yaml files with options of all rows.
        options (dict, optional): options of all rows.
        rows (dict, optional): row name -> options, "model" among them: {"VQRec no ids": {"model": "VQRec", ...}}.
        say (callable): receives lines about what happens.

    Returns:
        Path: report.md; report.html lies beside it.

    Raises:
        VQRecError: an unknown model, data set or option; the folder is in use, or holds runs of another kind.
    """
    # 1. what to run
    rows = rows or {}
    files, given = options_of_all_runs(config_files, options)
    share_gpus(files, given)
    processes = processes or processes_by_default()
    matrix = [_first_run(out, dataset, name, files, given, rows) for dataset in datasets for name in models]
    with _folder_of_its_own(out):
        rows_of(finished_runs(out))  # what cannot be in one table is told now, not after hours
        # 2. tune each row on the validation split
        if tune:
            own = [(run, {*files, *given, *rows.get(run.row, ())}) for run in matrix]
            matrix = _tuned(own, tune, processes, say)
        # 3. every seed on the test split
        execute_all([_seeded(run, FIRST_SEED + k) for run in matrix for k in range(seeds)], processes, say=say)
        # 4. report
        return write_report(out, say=say)


@contextlib.contextmanager
def _folder_of_its_own(out):
    """Make the folder, and keep other comparisons out of it."""
    lock = filelock.FileLock(Path(out) / LOCK, timeout=0)
    try:
        Path(out).mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except filelock.Timeout:
        raise VQRecError(f"{out}: another comparison is writing there; wait for it, or choose another --out") from None
    except OSError as error:
        why = f"cannot be the folder of a comparison ({error.strerror})"
        raise VQRecError(f"{out}: {why}; choose another --out") from error
    try:
        yield
    finally:
        lock.release()


def options_of_all_runs(config_files, options):
    """Return the options of yaml files, without a seed, which single runs have, and those given.

    Args:
        config_files (list of str or None): yaml files, later ones win.
        options (dict or None): given.

    Raises:
        VQRecError: as `external_options`; a given option says what is run, which the table does.
    """
    given, files = external_options(None, options), external_options(config_files)
    for name in OF_THE_TABLE:  # a file may be one that single runs have as well
        files.pop(name, None)
    _refuse_options_of_the_table(given)
    return files, given


def share_gpus(files, given):
    """Take `gpu_id` out of the options of all runs and let these GPUs be the ones that they share.

    Args:
        files, given (dict): as `options_of_all_runs` returns them; what is given wins.
    """
    gpus = given.pop("gpu_id", files.pop("gpu_id", None))
    if gpus is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu_ids(gpus)


def _refuse_options_of_the_table(options, where="", names=OF_THE_TABLE):
    """Refuse options that say which runs a table has."""
    wrong = [name for name in options if name in names]
    if wrong:
        raise VQRecError(
            f"{where}{examples(wrong)}: not for all runs of a table; its data sets, models, seeds and processes "
            "have options of their own, see --help"
        )


def _first_run(out, dataset, name, files, given, rows):
    """Return the first run of a row, once model and data set are known to exist."""
    own = dict(rows.get(name, {}))
    model = own.pop("model", name)
    if not isinstance(model, str):
        raise VQRecError(f"row '{name}': model: {model!r}, expected the name of a model")
    if name not in rows and name not in registry.model_names():
        raise VQRecError(f"unknown model '{name}'{nearest(name, [*rows, *registry.model_names()])}")
    registry.entry(model)
    for what, each in (("row", name), ("data set", dataset)):
        if "/" in each or each in (".", "..") or each != each.strip():
            raise VQRecError(f"{what} '{each}': a {what}'s name is that of its folder; expected a name without '/'")
    for option in own:
        if option not in known_options():
            raise VQRecError(f"{name}: unknown option '{option}'{nearest(option, known_options())}")
    _refuse_options_of_the_table(own, f"row '{name}': ", (*OF_THE_TABLE, "gpu_id"))
    options = {**stated_options(model, dataset), **files, **own, **given}
    refuse_wrong_values(options, props_folder())
    if options.get("stage") == "pretrain":
        raise VQRecError(f"{name}: stage: pretrain, but a comparison tests its runs; pre-train first")
    _refuse_other_evaluation(name, options)
    data_path = Path(options.get("data_path") or own_defaults(model)["data_path"])
    if not (data_path / dataset).is_dir():
        there = [folder.name for folder in data_path.iterdir() if folder.is_dir()] if data_path.is_dir() else []
        raise VQRecError(f"{data_path / dataset}: data set folder not found{nearest(dataset, there)}; set data_path")
    return Run(str(out), dataset, name, model, FIRST_SEED, {**options, "data_path": os.path.abspath(data_path)})


def _refuse_other_evaluation(name, options):
    """Refuse what has no rank of each test user's target, which the report is made of."""
    asked, supported = options.get("eval_args") or {}, read_props("overall.yaml")["eval_args"]
    mode = asked.get("mode", "full") if isinstance(asked, dict) else None
    if set(mode.values() if isinstance(mode, dict) else [mode]) != {"full"} or "LS" not in asked.get("split", "LS"):
        raise VQRecError(f"{name}: eval_args: {asked}, a comparison ranks all items, leave-one-out: {supported}")


def _tuned(matrix, budget, processes, say):
    """Return the runs with the best values of their trials, all trials of all rows run together.

    Args:
        matrix (list of tuple): of each row its first run, and the names of the options that the user has set.
    """
    of_row = [(run, trials(run, budget, given)) for run, given in matrix]
    for run, tried in of_row:
        refuse_untuned_seeds(run, tried)
        if len(tried) < budget:
            say(f"{run.dataset} {run.row}: {len(tried)} trials, its grid has no more")
    results = iter(execute_all([trial for _, tried in of_row for trial in tried], processes, say=say))
    chosen = []
    for run, tried in of_row:
        made = [next(results) for _ in tried]
        if tried and not any(made):  # its seeds would have values that no trial has shown to be the best
            say(f"{run.dataset} {run.row}: every trial failed, so it is not run; the same command tries again")
            continue
        trial = chosen_trial(run, tried, made, say)
        if trial:
            run = replace(run, options=trial.options)
            take_over(trial, run)
        chosen.append(run)
    return chosen


def _seeded(run, seed):
    return replace(run, seed=seed)
