"""A comparison of small models on the data set `tiny`."""

from small import SMALL

from recbole_vqrec.comparison.compare import compare

OPTIONS = {**SMALL, "topk": [5, 10], "valid_metric": "NDCG@10"}


def small_compare(models, seeds=1, **options):
    said = []
    report = compare(["tiny"], models, "out", seeds, options={**OPTIONS, **options}, say=said.append)
    return report, said
