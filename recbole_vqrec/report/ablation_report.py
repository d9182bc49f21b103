"""Runs of an ablation -> its tables: mean and deviation, paired significance, the paper's numbers beside them."""

from pathlib import Path

from recbole_vqrec import artifacts
from recbole_vqrec.comparison.runs import finished_runs
from recbole_vqrec.defaults import read_props
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.report import markup
from recbole_vqrec.report.comparison_tables import group_table
from recbole_vqrec.report.metric_names import short_name
from recbole_vqrec.report.published import published_ablations
from recbole_vqrec.report.rows import one_pretraining, rows_of, shown_leading_metric, shown_metrics
from recbole_vqrec.report.significance import paired_test

NOTE = (
    "Test split, mean over users and seeds, ± standard deviation between seeds. p: of no difference between the first "
    "row and the row in {lead}, over test users and seeds; \\* p < .05, \\*\\* p < .01 after Bonferroni correction for "
    "the rows, none with a single seed. Items that a model cannot tell apart, of which random codes leave none, are in "
    "random order, as the paper's top-k leaves them. In brackets: VQ-Rec paper, table 4.{one_pretraining}"
)


def ablation_names():
    """Return the names of the rows that an ablation may have, the full model first."""
    return list(read_props("ablation.yaml")["ablations"])


def split_off(rows):
    """Return the rows of an ablation among those of a data set, and what is left for the comparison.

    Args:
        rows (list of Row): of one data set.

    Returns:
        tuple: list of Row, the full model first and empty where there is no ablation; list of Row, the full model and
        all that is no variant of it.
    """
    full, *variants = ablation_names()
    found = {row.name: row for row in rows}
    shown = [found[name] for name in (full, *variants) if name in found]
    if full not in found or len(shown) < 2:
        return [], rows
    return shown, [row for row in rows if row.name not in variants]


def write_ablation(out, dataset, say=print):
    """Write ablation.md from the runs below a folder.

    Args:
        out (str or Path): folder of the runs.
        dataset (str): name.
        say (callable): receives the line that says what was made.

    Returns:
        Path: ablation.md.

    Raises:
        VQRecError: no finished run of the full model, or of any other row.
    """
    shown, others = split_off(rows_of(finished_runs(out)).get(dataset, []))
    if not shown:
        raise VQRecError(f"{out}: no finished runs of {ablation_names()[0]} and a part of it on {dataset}; see the "
                         ".failed.json files there")  # fmt: skip
    path = Path(out) / "ablation.md"
    with artifacts.replace_when_done(path) as temporary:
        text = "\n\n".join(ablation_part(dataset, shown, others)).replace("## ", "# ")  # a page of its own
        temporary.write_text(text + "\n", encoding="utf-8")
    say(f"{path}: {len(shown)} rows")
    return path


def ablation_part(dataset, shown, others):
    """Return the paragraphs about an ablation: its table, and sparse items beside the other models.

    Args:
        dataset (str): name.
        shown, others (list of Row): as `split_off` gives them.
    """
    note = NOTE.format(lead=short_name(shown_leading_metric(shown)), one_pretraining=one_pretraining(shown))
    parts = [f"## Ablation on {dataset}", note, markup.table(*ablation_table(shown))]
    if len(others) > 1:
        parts += ["### Sparse items", markup.table(*group_table(others))]
    return parts


def ablation_table(rows):
    """Return header and lines of the ablation: a line a row, compared with the first.

    Args:
        rows (list of Row): the full model first.
    """
    full, *others = rows
    metrics, lead = shown_metrics(rows), shown_leading_metric(rows)
    published = published_ablations(full.dataset, full.results[0]["statistics"])
    lines = []
    for row in rows:
        paper = published.get(row.name, {})
        cells = [_cell(row, metric, paper) for metric in metrics]
        if row is not full:
            test = paired_test(full.users(lead), row.users(lead))
            cells.append(f"{test.p_value:.2g} {test.stars(len(others))}".strip())
        else:
            cells.append("")
        lines.append([row.name, *cells, str(len(row.results))])
    return ["", *(short_name(metric) for metric in metrics), "p", "seeds"], lines


def _cell(row, metric, paper):
    deviation = row.deviation(metric)
    text = f"{row.mean(metric):.4f}" + ("" if deviation is None else f" ± {deviation:.4f}")
    return f"{text} ({paper[metric]:.4f})" if metric in paper else text
