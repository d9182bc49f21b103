"""The tables of a comparison's report: header and lines of cells for the rows of one data set."""

from recbole_vqrec.comparison.tuning import grid_of
from recbole_vqrec.report.item_groups import item_groups
from recbole_vqrec.report.markup import Markup
from recbole_vqrec.report.metric_names import leading_metric, short_name
from recbole_vqrec.report.published import published_row
from recbole_vqrec.report.rows import OURS, ours, shown_leading_metric, shown_metrics
from recbole_vqrec.report.significance import paired_test

IN_ORDER = ", ties in order"  # of tied_items


def main_table(rows):
    """Return header and lines of a data set's main table: a line a metric, a column a model, as in the paper.

    Items that a model cannot tell apart are in random order; a last line has the leading metric with them in the order of
    `tied_items`, where that makes a difference. The best of a line is bold, the second underlined; the last column is the
    gain of VQRec over the best other model.

    Args:
        rows (list of Row): of one data set.
    """
    own = next(iter(ours(rows)), None)
    others = [row for row in rows if row.model != OURS]
    compared = own is not None and bool(others)
    header = ["metric", *(row.name for row in rows), *([f"{own.name} over best other model"] if compared else [])]
    lines, lead = [], shown_leading_metric(rows)
    shown = [(metric, False) for metric in shown_metrics(rows)]
    if any((row.users(lead) != row.users(lead, ties_in_order=True)).any() for row in rows):
        shown.append((lead, True))
    for metric, in_order in shown:
        means = {row.name: row.mean(metric, in_order) for row in rows}
        best = sorted(set(round(mean, 4) for mean in means.values()), reverse=True)
        cells = []
        for row, mean in zip(rows, means.values()):
            text = f"{mean:.4f}"
            if round(mean, 4) in best[:2]:
                text = f"**{text}**" if round(mean, 4) == best[0] else f"<u>{text}</u>"
            deviation = row.deviation(metric, in_order)
            cells.append(Markup(text if deviation is None else f"{text} ± {deviation:.4f}"))
        if compared:
            best_other = max(means[row.name] for row in others)
            cells.append(f"{means[own.name] / best_other - 1:+.1%}" if best_other > 0 else "")
        lines.append([short_name(metric) + (IN_ORDER if in_order else ""), *cells])
    return header, lines


def significance_table(rows):
    """Return header and lines of each row of VQRec against each other model, and of the first against its others.

    Each line has difference, interval and p, and difference and p with ties in order; there is none without VQRec.
    """
    own, metric = ours(rows), shown_leading_metric(rows)
    header = ["", "against", f"{short_name(metric)} difference", "95 % interval", "p", "", IN_ORDER.strip(", "), "p", ""]
    pairs = [(row, other) for row in own for other in rows if other.model != OURS]
    pairs += [(own[0], other) for other in own[1:]]
    lines = []
    for row, other in pairs:
        by_chance, ordered = (paired_test(row.users(metric, ties), other.users(metric, ties)) for ties in (False, True))
        difference, *p_value = _test_cells(by_chance, len(pairs))
        interval = f"{by_chance.low:+.4f} to {by_chance.high:+.4f}"
        lines.append([row.name, other.name, difference, interval, *p_value, *_test_cells(ordered, len(pairs))])
    return header, lines


def _test_cells(test, comparisons):
    """Return difference, p and stars of a `PairedTest` as cells."""
    stars = Markup(test.stars(comparisons).replace("*", "\\*"))
    return [f"{test.difference:+.4f}", f"{test.p_value:.2g}", stars]


def published_table(rows):
    """Return header and lines of our numbers beside the published ones, where the data set is the paper's."""
    found = {row.name: published_row(row.model, row.pretrained, row.dataset, row.results[0]["statistics"])
             for row in rows}  # fmt: skip
    found = {name: published for name, published in found.items() if published}
    metrics = [metric for metric in shown_metrics(rows) if all(metric in values for values, _ in found.values())]
    if not metrics or not found:
        return ["model"], []
    lead = leading_metric(metrics)
    columns = [f"{short_name(metric)} {which}" for metric in metrics for which in ("here", "paper")]
    header = ["model", "pre-trained", *columns, f"{short_name(lead)} ratio"]
    lines = []
    for row in rows:
        if row.name in found:
            paper, pretrained = found[row.name]
            here = {metric: row.mean(metric) for metric in metrics}
            cells = [f"{value:.4f}" for metric in metrics for value in (here[metric], paper[metric])]
            where = {(True, True): "here, paper", (False, True): "paper only", (True, False): "here only"}
            told = where.get((row.pretrained, pretrained), "no")
            lines.append([row.name, told, *cells, f"{here[lead] / paper[lead]:.2f}"])
    return header, lines


def cost_table(rows):
    """Return header and lines of parameters, epochs, seconds of training and peak memory, medians over seeds."""
    header = ["model", "parameters", "epochs", "seconds", "seconds/epoch", "peak MB", "threads", "seeds"]
    lines = []
    for row in rows:
        numbers = [f"{row.median('parameters'):,.0f}", f"{row.median('epochs'):.0f}", f"{row.median('seconds'):.0f}"]
        each = f"{row.median('seconds') / max(row.median('epochs'), 1):.1f}"
        threads = ", ".join(sorted({str(result["threads"]) for result in row.results}))
        memory = f"{row.median('peak_memory') / 2**20:,.0f}"
        lines.append([row.name, *numbers, each, memory, threads, str(len(row.results))])
    return header, lines


def tuning_table(rows, trials):
    """Return header and lines of the trials of all rows, the best of each first, those in bold that it is run with.

    Args:
        rows (list of Row): of one data set.
        trials (dict): row name -> results of its trials.
    """
    lines = []
    for row in rows:
        results = [result for result in trials[row.name] if result["best_valid_score"] is not None]
        sign = -1 if results and results[0]["valid_score_bigger"] else 1
        for result in sorted(results, key=lambda result: sign * result["best_valid_score"]):
            score, tried = f"{result['best_valid_score']:.4f}", result["trial"]
            taken = all(row.results[0]["options"].get(name) == value for name, value in tried.items())
            score = Markup(f"**{score}**") if taken else score
            lines.append([row.name, _told(tried), str(result["epochs"]), score])
    return ["model", "values tried", "epochs", "validation score"], lines


def group_values(rows, groups=5):
    """Return labels of the item groups and row name -> values [groups]; see `item_groups`.

    Ties are in random order: by popularity, a rare item would come after all those a model cannot tell it from.
    """
    metric = shown_leading_metric(rows)
    found = item_groups(rows[0].ranks[0].target_count, groups)
    of_users = {row.name: row.users(metric) for row in rows}
    values = {name: [float(each[:, users].mean()) for _, users in found] for name, each in of_users.items()}
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
    """Return header and lines of the options that only some rows were run with, and those that tuning may change."""
    shared = _shared(rows)
    lines = []
    for row in rows:
        result = row.results[0]
        tunable = {name: result["options"][name] for name in grid_of(row.model) if name in result["options"]}
        options = {**tunable, **row.of_recipe(), **result["run_options"]}
        own = _told({name: value for name, value in options.items() if name not in shared})
        lines.append([row.name, own or "no others"])
    return ["model", "options"], lines


def _shared(rows):
    first, *others = [row.results[0]["run_options"] for row in rows]
    return {name: value for name, value in first.items() if all(name in o and o[name] == value for o in others)}


def _told(options):
    return ", ".join(f"{name} {value}" for name, value in sorted(options.items()) if not name.endswith("path"))
