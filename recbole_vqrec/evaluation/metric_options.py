"""Whether the options metrics, topk and valid_metric belong together; RecBole fails after the first epoch."""

from recbole_vqrec.errors import VQRecError, examples, refuse_other

WITHOUT_CUT_OFF = ("auc", "gauc", "logloss", "mae", "rmse")


def refuse_wrong_metrics(options):
    """Refuse unknown metrics, and a valid_metric that is not among those that are computed.

    Args:
        options (dict): metrics (str or list), topk (int or list), valid_metric.

    Raises:
        VQRecError: names what is computed.
    """
    from recbole.evaluator import metric_types

    metrics, cut_offs = options["metrics"], options["topk"]
    metrics = [metrics] if isinstance(metrics, str) else list(metrics)
    cut_offs = cut_offs if isinstance(cut_offs, (list, tuple)) else [cut_offs]
    for metric in metrics:
        refuse_other("metrics", str(metric).lower(), sorted(metric_types))
    computed = []
    for metric in metrics:
        alone = str(metric).lower() in WITHOUT_CUT_OFF
        computed += [str(metric)] if alone else [f"{metric}@{cut_off}" for cut_off in cut_offs]
    if str(options["valid_metric"]).lower() not in [name.lower() for name in computed]:
        raise VQRecError(
            f"valid_metric: {options['valid_metric']} is not computed, metrics and topk give {examples(computed, 8)}; "
            "set valid_metric to one of these"
        )
