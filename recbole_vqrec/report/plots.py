"""The plots of a comparison's report, as PNG files."""

from pathlib import Path

import numpy as np

from recbole_vqrec import artifacts
from recbole_vqrec.report.comparison_tables import group_values
from recbole_vqrec.report.metric_names import short_name
from recbole_vqrec.report.published import published_row
from recbole_vqrec.report.rows import OURS, shown_leading_metric

DPI = 120
OTHERS = ("C0", "C1", "C2", "C4", "C5", "C6", "C7", "C8", "C9")
STYLES = ("-", "--", ":", "-.")  # of lines, and
HATCHES = ("", "///", "...", "xxx")  # of bars, which tell rows of one color apart


def draw_all(rows, folder):
    """Draw every plot of a data set.

    Args:
        rows (list of Row): of one data set.
        folder (Path): receives <data set>-<plot>.png.

    Returns:
        dict: title -> path.
    """
    lead = short_name(shown_leading_metric(rows))
    plots = {
        f"Test {lead}": _scores,
        "Validation score by epoch, first seed": _curves,
        f"{lead} by how often the target item was seen in training": _groups,
        "Time and memory": _cost,
    }
    made = {}
    for title, draw in plots.items():
        path = Path(folder) / f"{rows[0].dataset}-{draw.__name__.strip('_')}.png"
        figure = draw(rows)
        with artifacts.replace_when_done(path) as temporary:
            figure.savefig(temporary, format="png", dpi=DPI)
        made[title] = path
    return made


def _figure(width, height, columns=1):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure  # no pyplot: nothing global, no display needed

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, columns)
    for axis in np.atleast_1d(axes):
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="y", alpha=0.3)
        axis.set_axisbelow(True)
    return figure, axes


def _color(index, name):
    """Return color, line style and hatch of a row: red is the row VQRec's alone, where all rows have their own."""
    if name == OURS:
        return "C3", STYLES[0], HATCHES[0]
    again = index // len(OTHERS) % len(STYLES)
    return OTHERS[index % len(OTHERS)], STYLES[again], HATCHES[again]


def _scores(rows):
    """Bars of the leading metric with the deviation between seeds, the published value as a mark."""
    figure, axis = _figure(8, 0.35 * len(rows) + 1.2)
    names, lead = [row.name for row in rows], shown_leading_metric(rows)
    deviations = [row.deviation(lead) for row in rows]
    errors = [np.nan if deviation is None else deviation for deviation in deviations]  # no bar with one seed
    colors = ["C3" if row.model == OURS else "C0" for row in rows]
    axis.barh(names, [row.mean(lead) for row in rows], xerr=errors, capsize=3, color=colors)
    marked = []
    for place, row in enumerate(rows):
        published = published_row(row.model, row.pretrained, row.dataset, row.results[0]["statistics"])
        if published and lead in published[0] and published[1] == row.pretrained:
            marked.append((published[0][lead], place))
    if marked:
        axis.plot(*zip(*marked), "k|", markersize=16, markeredgewidth=2, label="published")
        axis.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    axis.set_xlabel(f"test {short_name(lead)}")
    axis.invert_yaxis()
    axis.grid(axis="y", visible=False)
    axis.grid(axis="x", alpha=0.3)
    return figure


def _curves(rows):
    """Validation score of each epoch, the first seed of each row."""
    figure, axis = _figure(8, 4)
    for index, row in enumerate(rows):
        scores = row.results[0]["valid_scores"]
        epochs = row.results[0].get("valid_epochs", range(1, len(scores) + 1))  # older runs have none
        color, style, _ = _color(index, row.name)
        marker = "." if len(scores) < 3 else ""
        axis.plot(epochs, scores, style, color=color, label=row.name, marker=marker)
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.set_xlabel("epoch")
    axis.set_ylabel("validation score (early stopping)")
    axis.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _groups(rows):
    """The leading metric of each group of target items."""
    groups, values = group_values(rows)
    figure, axis = _figure(max(8, 0.1 * len(values) * len(groups) + 4), 4)
    width = 0.8 / max(len(values), 1)
    places = np.arange(len(groups))
    for index, (name, of_groups) in enumerate(values.items()):
        shifted = places + (index - (len(values) - 1) / 2) * width
        color, _, hatch = _color(index, name)
        axis.bar(shifted, of_groups, width, color=color, hatch=hatch, edgecolor="white", linewidth=0, label=name)
    axis.set_xticks(places, [f"{label}\n({count:,})" for label, count in groups])
    axis.set_xlabel("training interactions of the target item (test users)")
    axis.set_ylabel(f"test {short_name(shown_leading_metric(rows))}")
    axis.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _cost(rows):
    """Seconds of training and peak memory."""
    figure, (left, right) = _figure(9, 0.35 * len(rows) + 1.4, columns=2)
    names = [row.name for row in rows]
    for axis, values, label in (
        (left, [row.median("seconds") for row in rows], "seconds of training"),
        (right, [row.median("peak_memory") / 2**20 for row in rows], "peak memory, MB"),
    ):
        bars = axis.barh(names, values, color="C0")
        axis.bar_label(bars, fmt="{:,.0f}", padding=3)
        axis.margins(x=0.15)
        axis.invert_yaxis()
        axis.grid(axis="y", visible=False)
        axis.set_xlabel(label)
    return figure
