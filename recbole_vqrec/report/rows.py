"""Runs of a comparison -> the rows of its tables, each with all seeds of one model.

Axis legend: S seeds, U test users.
"""

from dataclasses import dataclass

import numpy as np

from recbole_vqrec.comparison.inputs import NO_MATTER
from recbole_vqrec.defaults import own_defaults
from recbole_vqrec.errors import VQRecError, examples
from recbole_vqrec.evaluation.user_ranks import UserRanks
from recbole_vqrec.report.metric_names import leading_metric, ranked_metrics
from recbole_vqrec.report.published import published_results
from recbole_vqrec.trainer.stages import preset_of

OURS = "VQRec"
ONE_PRETRAINING = (
    " All seeds of {names} start from one pre-trained run: p says nothing about another pre-training."
)
PROTOCOL = (
    "eval_args", "valid_metric", "epochs", "stopping_step", "eval_step", "MAX_ITEM_LIST_LENGTH", "tied_items",
    "seen_weight", "co_occurrence_weight", "text_similarity_weight", "new_item_weight",
)  # fmt: skip


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

    @property
    def model(self):
        """Name of the model."""
        return self.results[0]["model"]

    @property
    def pretrained(self):
        """Whether it started from a pre-trained run, which the preset `scratch` of fine-tuning does not."""
        result = self.results[0]
        return result["stage"] == "finetune" and bool(preset_of(result["options"])["load"])

    def of_recipe(self):
        """Return the options that the row has by its recipe, which may give models different ones."""
        options, stage = self.results[0]["options"], self.results[0]["stage"]
        plain = own_defaults(self.model, stage=stage)
        of_recipe = own_defaults(self.model, stage=stage, recipe=options.get("recipe") or "paper")
        return {name: options.get(name) for name, value in of_recipe.items() if plain.get(name) != value}

    def users(self, metric, ties_in_order=False):
        """Return the metric of each user with each seed, [S, U].

        Args:
            metric (str): its name.
            ties_in_order (bool): items that a model cannot tell apart in the order of `tied_items`, which is of no help
                to models of ids; else in random order, as published figures have them.
        """
        ranks = self.ranks if ties_in_order else [each.ties_by_chance() for each in self.ranks]
        return np.stack([each.metric(metric) for each in ranks])

    def mean(self, metric, ties_in_order=False):
        """Return the mean over users and seeds; see `users`."""
        return float(self.users(metric, ties_in_order).mean())

    def deviation(self, metric, ties_in_order=False):
        """Return the standard deviation between seeds, or None with one seed; see `users`."""
        return float(self.users(metric, ties_in_order).mean(axis=1).std(ddof=1)) if len(self.ranks) > 1 else None

    def median(self, name):
        """Return the median of a number of the results, "seconds" for example: one slow run does not count."""
        return float(np.median([result[name] for result in self.results]))


def rows_of(finished):
    """Return data set -> list of `Row` for finished runs.

    Args:
        finished (list of tuple): data set, row name, folder and result, as `finished_runs` gives them.

    Raises:
        VQRecError: ranks missing or damaged; runs of one data set with other interactions or test users; seeds of one
            row with other options or data.
    """
    table = {}
    for dataset, name, folder, result in finished:
        table.setdefault(dataset, {}).setdefault(name, []).append((folder, result, UserRanks.load(folder)))
    rows = {}
    for dataset, of_name in table.items():
        first = next(iter(of_name.values()))[0]
        for runs in of_name.values():
            for folder, result, ranks in runs:
                if ranks.user_ids != first[2].user_ids or (ranks.target_count != first[2].target_count).any():
                    raise VQRecError(f"{folder}: has other test users or targets than {first[0]}; delete one, redo it")
                _refuse_other_interactions(dataset, folder, result, *first[:2])
                _refuse_another_row(folder, result, *runs[0][:2])
        rows[dataset] = [
            Row(dataset, name, [result for _, result, _ in runs], [ranks for _, _, ranks in runs])
            for name, runs in of_name.items()
        ]
    return {dataset: sorted(found, key=_place) for dataset, found in rows.items()}


def _refuse_another_row(folder, result, first_folder, first):
    """Refuse two seeds of a row that differ in more than the seed: their mean would be of no model."""
    if result["model"] != first["model"]:
        models = f"of model {result['model']}, {first_folder} of {first['model']}"
        raise VQRecError(f"{folder}: {models}; delete one of them")
    for what in ("options", "inputs"):
        one, other = result[what], first[what]
        # a file that was there for one seed only, or lay elsewhere, is no other file
        both = (one.keys() | other.keys()) - NO_MATTER if what == "options" else one.keys() & other.keys()
        names = sorted(name for name in both if one.get(name) != other.get(name))
        if names:
            raise VQRecError(
                f"{folder}: differs from {first_folder} in more than the seed ({what}: {examples(names)}); delete one "
                "of them and run it again"
            )


def _refuse_other_interactions(dataset, folder, result, first_folder, first):
    """Refuse rows that were trained on other files of interactions, though their test users are the same."""
    both = result["inputs"].keys() & first["inputs"].keys()
    changed = [name for name in sorted(both) if name.startswith(f"{dataset}.") and name.endswith(".inter")
               and result["inputs"][name] != first["inputs"][name]]  # fmt: skip
    if changed:
        raise VQRecError(f"{folder}: was run on another {examples(changed)} than {first_folder}; delete one, redo it")


def differences(rows):
    """Return a line for each option, and the number of items, that makes a comparison unfair where rows do not share it.

    Args:
        rows (list of Row): of one data set.
    """
    items = [(f"{row.results[0]['statistics'][1]:,}", row.name) for row in rows]  # some models load those of <D>.item
    told = [_told("items ranked", items)]
    of_all, own = own_defaults(None), {row.name: own_defaults(row.model) for row in rows}
    for option in PROTOCOL:
        values = []
        for row in rows:
            options = row.results[0]["options"]
            of_model = own[row.name].get(option) != of_all.get(option)  # ItemCoOccurrence counts
            if option in options and not of_model:  # of tied items, models of ids have none
                values.append((str(options[option]), row.name))
        told.append(_told(option, values))
    return [line for line in told if line]


def _told(what, values):
    """Return "epochs: 12 SASRec; 300 VQRec" of (value, row name), "" where all rows have the same."""
    names = {}
    for value, name in values:
        names.setdefault(value, []).append(name)
    return f"{what}: " + "; ".join(f"{value} {', '.join(of)}" for value, of in names.items()) if len(names) > 1 else ""


def _place(row):
    """Return the place of a row: as in the paper, others after them by name, ours last."""
    order = [*published_results("Scientific")]
    return (row.model == OURS, order.index(row.model) if row.model in order else len(order), row.name)


def ours(rows):
    """Return the rows of VQRec, the one that stands for it first: pre-trained as in the paper, of that name, or any."""
    own = [row for row in rows if row.model == OURS]
    return sorted(own, key=lambda row: (not row.pretrained, row.name != OURS))


def one_pretraining(rows):
    """Return a sentence about the rows whose seeds share a checkpoint; "" where there are none."""
    names = [row.name for row in rows if row.pretrained]
    return ONE_PRETRAINING.format(names=", ".join(names)) if names else ""


def shown_metrics(rows):
    """Return the metrics that the tables of a data set show: those its runs were tested with, `metrics` and `topk`."""
    return ranked_metrics([result for row in rows for result in row.results])


def shown_leading_metric(rows):
    """Return the metric of tests, groups and plots, "ndcg@10" by default."""
    return leading_metric(shown_metrics(rows))
