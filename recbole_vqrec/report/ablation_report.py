"""Runs of an ablation -> ablation.md: mean and deviation, paired significance, the paper's numbers beside them."""

from pathlib import Path

from tabulate import tabulate

from recbole_vqrec import artifacts
from recbole_vqrec.comparison.runs import finished_runs
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.report.comparison_tables import group_table, rows_of, shown_leading_metric, shown_metrics
from recbole_vqrec.report.metric_names import short_name
from recbole_vqrec.report.published import published_ablations
from recbole_vqrec.report.significance import paired_test

NOTE = (
    "Test split, mean over users and seeds, ± standard deviation between seeds. p: paired t-test of the first row "
    "against the row over the test users, each user's {lead} averaged over the seeds; \\* p < .05, \\*\\* p < .01 after "
    "Bonferroni correction for the rows. In brackets: VQ-Rec paper, table 4."
)


def write_ablation(out, dataset, names, say=print):
    """Write ablation.md from the runs below a folder.

    Args:
        out (str or Path): folder of the runs.
        dataset (str): name.
        names (list of str): rows in order; the first is the full model.
        say (callable): receives the line that says what was made.

    Returns:
        Path: ablation.md.

    Raises:
        VQRecError: no finished run of the first row.
    """
    rows = {row.name: row for row in rows_of(finished_runs(out)).get(dataset, [])}
    shown = [rows[name] for name in names if name in rows]
    if not shown or shown[0].name != names[0]:
        raise VQRecError(f"{out}: no finished run of {names[0]} on {dataset}; see the .failed.json files there")
    header, lines = ablation_table(shown)
    note = NOTE.format(lead=short_name(shown_leading_metric(shown)))
    group_header, group_lines = group_table([shown[0], *(row for name, row in rows.items() if name not in names)])
    text = (
        f"# Ablation on {dataset}\n\n{note}\n\n{tabulate(lines, header, 'pipe', disable_numparse=True)}\n\n"
        f"## Sparse items\n\n{tabulate(group_lines, group_header, 'pipe', disable_numparse=True)}\n"
    )
    path = Path(out) / "ablation.md"
    with artifacts.replace_when_done(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    say(f"{path}: {len(shown)} rows")
    return path


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
