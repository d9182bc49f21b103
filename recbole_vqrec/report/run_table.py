"""Results of runs as one table."""

import json
from pathlib import Path

from tabulate import tabulate

from recbole_vqrec import artifacts
from recbole_vqrec.report.metric_names import in_table_order, short_name


def table(results, style="simple"):
    """Return a table of results: one line a model, metrics, epochs, seconds of training, peak memory.

    Args:
        results (list of dict): as `quick_start.run` gives them.
        style (str): of tabulate.
    """
    metrics = list(dict.fromkeys(metric for result in results for metric in in_table_order(result["test_result"])))
    rows = [
        [result["model"], *(f"{result['test_result'].get(metric, float('nan')):.4f}" for metric in metrics)]
        + [result["epochs"], f"{result['seconds']:.0f}", f"{result['peak_memory'] / 2**20:,.0f}"]
        for result in results
    ]
    headers = ["model", *map(short_name, metrics), "epochs", "seconds", "peak MB"]
    align = ("left", *["right"] * (len(headers) - 1))
    return tabulate(rows, headers, tablefmt=style, colalign=align, disable_numparse=True)


def domain_table(result, style="simple"):
    """Return the validation metrics of a pre-training run: one line a domain, and one over all users.

    Args:
        result (dict): as `quick_start.pretrain` gives it.
        style (str): of tabulate.
    """
    found = result["best_valid_result"] or {}
    metrics = in_table_order([name for name in found if " " not in name])
    domains = list(dict.fromkeys(name.rpartition(" ")[0] for name in found if " " in name))
    rows = [[domain, *(f"{found[f'{domain} {metric}']:.4f}" for metric in metrics)] for domain in domains]
    rows.append(["all users", *(f"{found[metric]:.4f}" for metric in metrics)])
    headers = ["validation", *map(short_name, metrics)]
    return tabulate(rows, headers, tablefmt=style, disable_numparse=True)


def summary(result):
    """Return the test metrics of a result in one line."""
    return "  ".join(f"{name} {result['test_result'][name]:.4f}" for name in in_table_order(result["test_result"]))


def write_result(folder, result):
    """Write a run's result to <folder>/result.json and return its path."""
    path = Path(folder) / "result.json"
    with artifacts.replace_when_done(path) as temporary:
        temporary.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return path


def write_table(folder, results):
    """Write a comparison as a markdown table into `folder` and return its path."""
    stamp = Path(results[0]["run"]).name.split("-", 1)[1]
    path = Path(folder) / f"comparison-{stamp}.md"
    with artifacts.replace_when_done(path) as temporary:
        temporary.write_text(table(results, "github") + "\n", encoding="utf-8")
    return path
