"""The published results of report/published.yaml, for the data sets that are the papers' own."""

import functools
from pathlib import Path

import yaml

FILE = Path(__file__).with_name("published.yaml")


@functools.lru_cache(maxsize=None)
def _content():
    return yaml.safe_load(FILE.read_text(encoding="utf-8"))


def paper_name(dataset, statistics=None):
    """Return the name under which the papers report a data set, or None where it is not theirs.

    Args:
        dataset (str): name here, "OR" for example.
        statistics (sequence of int, optional): users, items and interactions here; other counts than the paper's mean
            another version of the data, which is not compared with the published numbers.
    """
    others = {alias: name for name, aliases in _content()["names"].items() for alias in aliases}
    name = others.get(dataset, dataset)
    if name not in _content()["results"]:
        return None
    return name if statistics is None or list(statistics) == _content()["statistics"][name] else None


def published_results(dataset, statistics=None):
    """Return model -> {"recall@10": .., ..} as published; empty where the data set is not the paper's."""
    return _table("results", paper_name(dataset, statistics))


def published_ablations(dataset, statistics=None):
    """Return variant -> {"recall@10": .., ..} of the VQ-Rec paper's ablation; empty where there is none."""
    return _table("ablations", paper_name(dataset, statistics))


def published_row(model, pretrained, dataset, statistics=None):
    """Return the published values that belong beside a run, and whether they are of a pre-trained model; None if none.

    VQRec from scratch belongs beside the paper's ablation without pre-training, where there is one.

    Args:
        model (str): its name, whatever the row is called.
        pretrained (bool): whether the run started from a pre-trained one.
        dataset, statistics: as `paper_name`.
    """
    if model == "VQRec" and not pretrained:
        scratch = published_ablations(dataset, statistics).get("without pre-training")
        if scratch:
            return scratch, False
    found = published_results(dataset, statistics).get(model)
    return (found, model in _content()["pretrained"]) if found else None


def _table(section, name):
    rows = _content()[section].get(name, {})
    return {row: dict(zip(_content()["metrics"], values)) for row, values in rows.items()}
