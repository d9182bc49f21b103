"""Runs of a comparison -> values of each row -> the tables of a report.

Axis legend: S seeds, U test users.
"""

from dataclasses import dataclass

import numpy as np

from recbole_vqrec.errors import VQRecError
from recbole_vqrec.evaluation.user_ranks import UserRanks
from recbole_vqrec.report.item_groups import item_groups
from recbole_vqrec.report.metric_names import leading_metric, ranked_metrics, short_name
from recbole_vqrec.report.published import published_results
from recbole_vqrec.report.significance import paired_test

OURS = "VQRec"


@dataclass(frozen=True)
class Row:
    """All seeds of one model on one data set.

    Args:
        dataset, name (str): of the data set, and in the table.
        results (list of dict): as result.json has them, one a seed.
        ranks (list of UserRanks): one a seed.
    """

    dataset: str
    name: str
    results: list
    ranks: list

    def users(self, metric):
        """Return the metric of each user with each seed, [S, U]."""
        return np.stack([ranks.metric(metric) for ranks in self.ranks])

    def mean(self, metric):
        """Return the mean over users and seeds."""
        return float(self.users(metric).mean())

    def deviation(self, metric):
        """Return the standard deviation between seeds, or None with one seed."""
        return float(self.users(metric).mean(axis=1).std(ddof=1)) if len(self.ranks) > 1 else None

    def average(self, name):
        """Return the mean of a number of the results, "seconds" for example."""
        return float(np.mean([result[name] for result in self.results]))


def rows_of(finished):
    """Return data set -> list of `Row` for finished runs.

    Args:
        finished (list of tuple): data set, row name, folder and result, as `finished_runs` gives them.

    Raises:
        VQRecError: ranks missing or damaged, or runs of one data set with other test users.
    """
    table = {}
    for dataset, name, folder, result in finished:
        table.setdefault(dataset, {}).setdefault(name, []).append((folder, result, UserRanks.load(folder)))
    rows = {}
    for dataset, of_name in table.items():
        first = next(iter(of_name.values()))[0]
        for runs in of_name.values():
            for folder, _, ranks in runs:
                if ranks.user_ids != first[2].user_ids or (ranks.target_count != first[2].target_count).any():
                    raise VQRecError(f"{folder}: has other test users or targets than {first[0]}; delete one, redo it")
        rows[dataset] = [
            Row(dataset, name, [result for _, result, _ in runs], [ranks for _, _, ranks in runs])
            for name, runs in of_name.items()
        ]
    return {dataset: sorted(found, key=_place) for dataset, found in rows.items()}


def _place(row):
    """Return the place of a row: as in the paper, others after them by name, ours last."""
    order = [*published_results("Scientific")]
    model = row.results[0]["model"]
    return (model == OURS, order.index(model) if model in order else len(order), row.name)


def ours(rows):
    """Return the row that the others are compared with: VQRec, else the first row of that model, else None."""
    named = [row for row in rows if row.name == OURS] + [row for row in rows if row.results[0]["model"] == OURS]
    return named[0] if named else None


def shown_metrics(rows):
    """Return the metrics that the tables of a data set show: those its runs were tested with, `metrics` and `topk`."""
    return ranked_metrics([result for row in rows for result in row.results])


def shown_leading_metric(rows):
    """Return the metric of tests, groups and plots, "ndcg@10" by default."""
    return leading_metric(shown_metrics(rows))


def main_table(rows):
    """Return header and lines of a data set's main table: a line a metric, a column a model, as in the paper.

    The best of a line is bold, the second underlined; the last column is the gain of VQRec over the best other.

    Args:
        rows (list of Row): of one data set.
    """
    own = ours(rows)
    header = ["metric", *(row.name for row in rows), f"{own.name if own else OURS} over best other"]
    lines = []
    for metric in shown_metrics(rows):
        means = [row.mean(metric) for row in rows]
        best = sorted(set(round(mean, 4) for mean in means), reverse=True)
        cells = []
        for row, mean in zip(rows, means):
            text = f"{mean:.4f}"
            if round(mean, 4) in best[:2]:
                text = f"**{text}**" if round(mean, 4) == best[0] else f"<u>{text}</u>"
            deviation = row.deviation(metric)
            cells.append(text if deviation is None else f"{text} ± {deviation:.4f}")
        others = [mean for row, mean in zip(rows, means) if row is not own]
        gain = f"{own.mean(metric) / max(others) - 1:+.1%}" if own and others and max(others) > 0 else ""
        lines.append([short_name(metric), *cells, gain])
    return header, lines


def significance_table(rows):
    """Return header and lines of VQRec against each other row: difference, interval, p; empty without VQRec."""
    own, metric = ours(rows), shown_leading_metric(rows)
    header = [f"{own.name if own else OURS} against", f"{short_name(metric)} difference", "95 % interval", "p", ""]
    others = [row for row in rows if row is not own]
    if own is None:
        return header, []
    lines = []
    for row in others:
        test = paired_test(own.users(metric), row.users(metric))
        interval = f"{test.low:+.4f} to {test.high:+.4f}"
        lines.append([row.name, f"{test.difference:+.4f}", interval, f"{test.p_value:.2g}", test.stars(len(others))])
    return header, lines


def published_table(rows):
    """Return header and lines of our numbers beside the published ones, where the data set is the paper's."""
    published = published_results(rows[0].dataset, rows[0].results[0]["statistics"])
    metrics = [metric for metric in shown_metrics(rows) if all(metric in of for of in published.values())]
    if not metrics:
        return ["model"], []
    lead = leading_metric(metrics)
    columns = [f"{short_name(metric)} {which}" for metric in metrics for which in ("here", "paper")]
    header = ["model", *columns, f"{short_name(lead)} ratio"]
    lines = []
    for row in rows:
        paper = published.get(row.name)
        if paper is not None:
            cells = [f"{value:.4f}" for metric in metrics for value in (row.mean(metric), paper[metric])]
            lines.append([row.name, *cells, f"{row.mean(lead) / paper[lead]:.2f}"])
    return header, lines


def cost_table(rows):
    """Return header and lines of parameters, epochs, seconds of training and peak memory, means over seeds."""
    header = ["model", "parameters", "epochs", "seconds", "seconds/epoch", "peak MB", "seeds"]
    lines = [
        [row.name, f"{row.average('parameters'):,.0f}", f"{row.average('epochs'):.0f}", f"{row.average('seconds'):.0f}"]
        + [f"{row.average('seconds') / max(row.average('epochs'), 1):.1f}"]
        + [f"{row.average('peak_memory') / 2**20:,.0f}", str(len(row.results))]
        for row in rows
    ]
    return header, lines


def group_values(rows, groups=5):
    """Return labels of the item groups and row name -> values [groups]; see `item_groups`."""
    metric = shown_leading_metric(rows)
    found = item_groups(rows[0].ranks[0].target_count, groups)
    values = {row.name: [float(row.users(metric)[:, users].mean()) for _, users in found] for row in rows}
    return [(label, len(users)) for label, users in found], values


def group_table(rows):
    """Return header and lines of the leading metric by how often the target item was seen in training."""
    groups, values = group_values(rows)
    lead = short_name(shown_leading_metric(rows))
    header = [f"{lead}; seen in training", *(f"{label} ({count:,} users)" for label, count in groups)]
    return header, [[name, *(f"{value:.4f}" for value in of_groups)] for name, of_groups in values.items()]


def shared_options(rows):
    """Return the options that all rows were run with, in one line, paths left out."""
    return _told(_shared(rows))


def options_table(rows):
    """Return header and lines of the options that only some rows were run with."""
    shared = _shared(rows)
    lines = []
    for row in rows:
        options = row.results[0]["run_options"]
        own = _told({name: value for name, value in options.items() if name not in shared})
        lines.append([row.name, own or "as in props/"])
    return ["model", "options"], lines


def _shared(rows):
    first, *others = [row.results[0]["run_options"] for row in rows]
    return {name: value for name, value in first.items() if all(name in o and o[name] == value for o in others)}


def _told(options):
    return ", ".join(f"{name} {value}" for name, value in sorted(options.items()) if not name.endswith("path"))
