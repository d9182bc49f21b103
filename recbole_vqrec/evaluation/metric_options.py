"""Whether the options metrics, topk and valid_metric belong together; RecBole fails after the first epoch."""

from recbole_vqrec.errors import VQRecError, examples, refuse_other

WITHOUT_CUT_OFF = ("auc", "gauc", "logloss", "mae", "rmse")


def refuse_wrong_metrics(options):
    """Refuse unknown metrics, those that full ranking cannot give, and a valid_metric that is not computed.

    Args:
        options (dict): metrics (str or list), topk (int or list), valid_metric, eval_args.

    Raises:
        VQRecError: names what is computed.
    """
    from recbole.evaluator import metric_types

    metrics, cut_offs = options["metrics"], options["topk"]
    metrics = [metrics] if isinstance(metrics, str) else list(metrics)
    cut_offs = cut_offs if isinstance(cut_offs, (list, tuple)) else [cut_offs]
    for metric in metrics:
        refuse_other("metrics", str(metric).lower(), sorted(metric_types))
    _refuse_metrics_of_values(metrics, options["eval_args"]["mode"])
    computed = []
    for metric in metrics:
        alone = str(metric).lower() in WITHOUT_CUT_OFF
        computed += [str(metric)] if alone else [f"{metric}@{cut_off}" for cut_off in cut_offs]
    if str(options["valid_metric"]).lower() not in [name.lower() for name in computed]:
        raise VQRecError(
            f"valid_metric: {options['valid_metric']} is not computed, metrics and topk give {examples(computed, 8)}; "
            "set valid_metric to one of these"
        )


def _refuse_metrics_of_values(metrics, mode):
    """Refuse metrics that compare scores with labels, which items that are ranked in full do not have."""
    from recbole.evaluator import metric_types
    from recbole.utils import EvaluatorType

    ranking = sorted(name for name, kind in metric_types.items() if kind == EvaluatorType.RANKING)
    of_values = [str(metric) for metric in metrics if str(metric).lower() not in ranking]
    modes = mode.values() if isinstance(mode, dict) else [mode]
    if of_values and "full" in modes:
        raise VQRecError(f"metrics: full ranking has no {examples(of_values)}; choose of {', '.join(ranking)}")
