"""Runs of a comparison -> report.md with plots, and report.html with everything inside; nothing is trained here."""

import base64
import html
import re
import time
from pathlib import Path

from tabulate import tabulate

from recbole_vqrec import artifacts
from recbole_vqrec.comparison.runs import failures, finished_runs
from recbole_vqrec.report import comparison_tables as tables
from recbole_vqrec.report.plots import draw_all

STYLE = """body { font: 15px/1.5 sans-serif; max-width: 1100px; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: 1em 0; font-size: 13px; display: block; overflow-x: auto }
th, td { padding: .3em .7em; border-bottom: 1px solid #ddd; text-align: right; white-space: nowrap }
th:first-child, td:first-child { text-align: left } td { font-variant-numeric: tabular-nums }
img { max-width: 100% } h2 { border-bottom: 2px solid #222; margin-top: 2em }"""

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Comparison</title><style>{style}</style></head><body>
{body}
</body></html>
"""
TIES = (
    "Full ranking over all items, leave-one-out, history not masked. Models of codes or texts put items they cannot "
    "tell apart in the order that their option tied_items names; where items still score equally, a metric is its "
    "mean over all orders. Mean over test users and seeds; ± is the standard deviation between seeds. "
    "**Best**, <u>second</u>."
)
TEST = (
    "Paired t-test over the test users, each user's metric averaged over the seeds; "
    "\\* p < .05, \\*\\* p < .01 after Bonferroni correction for the comparisons in the table."
)


def write_report(out, say=print):
    """Write report.md, report.html and plots/ from the runs below a folder.

    Args:
        out (str or Path): folder of a comparison.
        say (callable): receives the line that says what was made.

    Returns:
        Path: report.md.

    Raises:
        VQRecError: no finished run, a run of another version, or runs with other test users.
    """
    start = time.perf_counter()
    out, failed = Path(out), failures(out)
    rows = tables.rows_of(finished_runs(out))
    parts = ["# Comparison", TIES]
    for dataset, of_dataset in rows.items():
        parts += _dataset_part(dataset, of_dataset, draw_all(of_dataset, out / "plots"), out)
    for file in sorted(out.glob("**/ablation.md")):
        title, _, content = file.read_text(encoding="utf-8").partition("\n")
        parts += [f"#{title}", content.strip().replace("\n## ", "\n### ")]
    if failed:
        parts += ["## Failed runs", _table((["data set", "model", "run", "why"], failed), "left")]
    parts += ["## Made with", _versions(rows), f"`recbole-vqrec compare --from {out.name}` makes this report again."]
    text = "\n\n".join(parts) + "\n"
    for name, content in (("report.md", text), ("report.html", _html(text, out))):
        with artifacts.replace_when_done(out / name) as temporary:
            temporary.write_text(content, encoding="utf-8")
    count = sum(len(row.results) for of_dataset in rows.values() for row in of_dataset)
    say(
        f"{out / 'report.md'}, report.html: {count} runs"
        f"{f', {len(failed)} failed' if failed else ''}, {time.perf_counter() - start:.1f} s"
    )
    return out / "report.md"


def _dataset_part(dataset, rows, plots, out):
    users, items, interactions = rows[0].results[0]["statistics"]
    parts = [f"## {dataset}", f"{users:,} users, {items:,} items, {interactions:,} interactions"]
    parts.append(_table(tables.main_table(rows)))
    for title, table, note in (
        ("VQRec against each", tables.significance_table(rows), TEST),
        ("Beside the published numbers", tables.published_table(rows), "Published: VQ-Rec paper, WWW 2023."),
        ("Sparse items", tables.group_table(rows), "Groups of like size by the target item's training interactions."),
        ("Cost", tables.cost_table(rows), "One process each; seconds of training with validation, peak memory."),
        ("Options", tables.options_table(rows), f"All models: {tables.shared_options(rows) or 'as in props/'}."),
    ):
        if table[1]:
            parts += [f"### {title}", _table(table, "left" if title == "Options" else "right"), note]
    return parts + [f"### {title}\n\n![{title}]({path.relative_to(out).as_posix()})" for title, path in plots.items()]


def _table(table, align="right"):
    header, lines = table
    lines = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    aligned = ("left", *[align] * (len(header) - 1))
    return tabulate(lines, header, tablefmt="pipe", disable_numparse=True, colalign=aligned)


def _versions(rows):
    """Return the versions of the runs, each different one."""
    kinds = {}
    for of_dataset in rows.values():
        for row in of_dataset:
            for result in row.results:
                kind = ", ".join(f"{name} {value}" for name, value in result["versions"].items())
                kinds.setdefault(kind, set()).add(row.name)
    if len(kinds) == 1:
        return next(iter(kinds))
    return "\n".join(f"- {', '.join(sorted(names))}: {kind}" for kind, names in kinds.items())


def _html(text, out):
    """Return the report as one page, its plots inside."""
    import markdown

    body = markdown.markdown(text, extensions=["tables"])

    def embedded(match):
        data = base64.b64encode((out / html.unescape(match.group(1))).read_bytes()).decode()
        return f'src="data:image/png;base64,{data}"'

    body = re.sub(r'src="([^":]+\.png)"', embedded, body)
    return PAGE.format(style=STYLE, body=body)
