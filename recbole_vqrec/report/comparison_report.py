"""Runs of a comparison -> report.md with plots, and report.html with everything inside; nothing is trained here."""

import base64
import html
import re
import time
from pathlib import Path
from urllib.parse import quote, unquote

from recbole_vqrec import artifacts, registry
from recbole_vqrec.comparison.runs import failures, finished_runs, finished_trials
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.report import comparison_tables as tables
from recbole_vqrec.report import markup
from recbole_vqrec.report.ablation_report import ablation_part, split_off
from recbole_vqrec.report.plots import draw_all
from recbole_vqrec.report.rows import differences, one_pretraining, rows_of

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
    "Full ranking over all items, leave-one-out, history not masked. Items that a model cannot tell apart are in random "
    "order, as the papers' top-k leaves them: a metric is its mean over all orders. Where \"ties in order\" is said, they "
    "are in that of the option tied_items, which recommendations have and which is of no help to models of ids. Mean "
    "over test users and seeds; ± is the standard deviation between seeds. **Best**, <u>second</u>."
)
TEST = (
    "Of no difference, over test users and seeds: the variance of the mean over users, each user's metric averaged over "
    "the seeds, plus that of each model's mean over seeds. \\* p < .05, \\*\\* p < .01 after Bonferroni correction for the "
    "lines of the table; none with a single seed, where p is about two trained models and not about their methods."
)
PUBLISHED = (
    "Published: VQ-Rec paper, WWW 2023, by the kind of model, whatever its row is called; pre-trained on five domains "
    "there. VQRec from scratch stands beside its ablation without pre-training.{texts}"
)
COST = (
    "Medians over the seeds, one process each; seconds of training with validation, peak memory. Runs beside others on "
    "the same machine are slower. What a fine-tuned row was pre-trained for is not counted."
)
TRIED = "Trials with the first seed; in bold the one that gave the row its options.{untuned}"
GROUPS = (
    "Groups of like size by the target item's training interactions."
)
OPTIONS = (
    "All models: {shared}. Values that a grid of props/comparison.yaml has are shown for each; without trials they are "
    "those of the papers, or were found before, as props/ says."
)
UNEQUAL = "**Not the same for all rows**, so beware of comparing them: {differences}."


def write_report(out, say=print):
    """Write report.md, report.html and plots/ from the runs below a folder.

    Args:
        out (str or Path): folder of a comparison.
        say (callable): receives the line that says what was made.

    Returns:
        Path: report.md.

    Raises:
        VQRecError: no run at all, a run of another version, or runs that cannot be in one table.
    """
    start = time.perf_counter()
    out, failed = Path(out), failures(out)
    rows = rows_of(finished_runs(out))
    if not rows and not failed:
        raise VQRecError(f"{out}: no run there; run 'recbole-vqrec compare --out {out}' first")
    parts, count = ["# Comparison", TIES], 0
    for dataset, of_dataset in rows.items():
        ablated, compared = split_off(of_dataset)
        parts += _dataset_part(dataset, compared, draw_all(compared, out / "plots"), out)
        if ablated:
            parts += ablation_part(dataset, ablated, [])  # sparse items are there already
        count += sum(len(row.results) for row in of_dataset)
    parts += _ablations_below(out)
    if failed:
        parts += ["## Failed runs", markup.table(["data set", "model", "run", "why"], failed, "left")]
    if rows:
        parts += ["## Made with", _versions(rows)]
    parts.append(f"`recbole-vqrec compare --from {out}` makes this report again.")
    text = "\n\n".join(parts) + "\n"
    for name, content in (("report.md", text), ("report.html", _html(text, out))):
        with artifacts.replace_when_done(out / name) as temporary:
            temporary.write_text(content, encoding="utf-8")
    say(
        f"{out / 'report.md'}, report.html: {count} runs"
        f"{f', {len(failed)} failed' if failed else ''}, {time.perf_counter() - start:.1f} s"
    )
    return out / "report.md"


def _dataset_part(dataset, rows, plots, out):
    users, items, interactions = rows[0].results[0]["statistics"]
    parts = [f"## {dataset}", f"{users:,} users, {items:,} items, {interactions:,} interactions"]
    parts.append(markup.table(*tables.main_table(rows)))
    if differences(rows):
        parts.append(UNEQUAL.format(differences=". ".join(differences(rows))))
    trials = {row.name: finished_trials(out, dataset, row.name) for row in rows}
    for title, table, note in (
        ("VQRec against each", tables.significance_table(rows), TEST + one_pretraining(rows)),
        ("Beside the published numbers", tables.published_table(rows), PUBLISHED.format(texts=_language_models(rows))),
        ("Sparse items", tables.group_table(rows), GROUPS),
        ("Cost", tables.cost_table(rows), COST),
        ("Tuning", tables.tuning_table(rows, trials), TRIED.format(untuned=_untuned(trials))),
        ("Options", tables.options_table(rows), OPTIONS.format(shared=tables.shared_options(rows) or "as in props/")),
    ):
        if table[1]:
            words = title in ("Options", "Tuning")
            parts += [f"### {title}", markup.table(*table, "left" if words else "right"), note]
    files = {title: quote(path.relative_to(out).as_posix()) for title, path in plots.items()}
    return parts + [f"### {title}\n\n![{title}]({file})" for title, file in files.items()]


def _ablations_below(out):
    """Return the paragraphs about ablations in folders of their own below the comparison's."""
    parts = []
    for folder in sorted({file.parent for file in out.glob("**/ablation.md")} - {out}):
        for dataset, rows in rows_of(finished_runs(folder)).items():
            ablated, compared = split_off(rows)
            parts += ablation_part(dataset, ablated, compared) if ablated else []
    return parts


def _untuned(trials):
    """Return a sentence about the rows that have no trials; "" where all have."""
    names = [name for name, results in trials.items() if not results]
    return f" Without trials: {', '.join(names)}." if names else ""


def _language_models(rows):
    """Return a sentence about the language models of the texts; "" where no row reads texts."""
    models = {row.results[0]["options"].get("plm") for row in rows if registry.known(row.model).reads_texts}
    return f" Text vectors here are of {', '.join(sorted(map(str, models)))}, there of BERT." if models else ""


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
        data = base64.b64encode((out / unquote(html.unescape(match.group(1)))).read_bytes()).decode()
        return f'src="data:image/png;base64,{data}"'

    body = re.sub(r'src="([^":]+\.png)"', embedded, body)
    return PAGE.format(style=STYLE, body=body)
