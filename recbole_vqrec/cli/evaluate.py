"""`recbole-vqrec evaluate --cold-items`: how well items are recommended that were never trained."""

import click

from recbole_vqrec.cli.common import one_line_errors
from recbole_vqrec.cli.run import RECBOLE_STYLE, options_of


@click.command(context_settings=RECBOLE_STYLE)
@click.option("--cold-items", required=True, type=float, help="share of the items that is held out of training")
@click.option("--dataset", required=True, help="data set name, a folder below data_path")
@click.option("--model", default=None, help="a model that can take new items  [default: VQRec]")
@click.option("--cold-seed", default=2020, show_default=True, type=click.IntRange(0), help="of the choice of items")
@click.option("--config_files", "--config-files", default=None, help="yaml files with options, blank-separated")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@one_line_errors
def evaluate(cold_items, dataset, model, cold_seed, config_files, arguments):
    """Train without a share of the items, add them by text, and find cold and warm targets among all items.

    \b
    Example: recbole-vqrec evaluate --cold-items 0.1 --dataset=Scientific --learning_rate=0.003
    """
    from recbole_vqrec.evaluation.cold_items import evaluate_cold_items, table

    files = (config_files or "").split() or None
    rows, _ = evaluate_cold_items(model, dataset, cold_items, cold_seed, files, options_of(arguments), click.echo)
    click.echo(f"\n{table(rows)}")
