"""Which metrics the tables show, in which order and under which name."""

from recbole_vqrec.evaluation.user_ranks import follows_from_ranks

PAPER = ("recall@10", "ndcg@10", "recall@50", "ndcg@50")
SHORT = {"recall": "R", "ndcg": "N", "hit": "Hit"}


def short_name(metric):
    """Return "N@10" for "ndcg@10"; GAUC has no cut-off and keeps its name."""
    kind, *limit = metric.split("@")
    return "@".join([SHORT.get(kind, kind), *limit])


def in_table_order(metrics):
    """Return metric names as the paper orders them: R@10, N@10, R@50, N@50."""
    return sorted(metrics, key=lambda name: int(name.split("@")[1]) if "@" in name else 0)


def ranked_metrics(results):
    """Return the metrics, in table order, that all runs were tested with and that follow from a target's rank.

    Args:
        results (iterable of dict): as result.json has them.

    Returns:
        list of str: those of the paper where the runs have no such metric in common.
    """
    tested = [result["test_result"] for result in results]
    common = [name for name in tested[0] if all(name in other for other in tested)]
    return in_table_order([name for name in common if follows_from_ranks(name)]) or list(PAPER)


def leading_metric(metrics):
    """Return the metric that tests, groups and plots are about: the first NDCG, else the first."""
    return next((name for name in metrics if name.startswith("ndcg@")), metrics[0])
