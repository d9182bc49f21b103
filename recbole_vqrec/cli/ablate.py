"""`recbole-vqrec ablate`: the paper's ablation table on a data set of one's own."""

import click

from recbole_vqrec.cli.common import exit_on_sigterm, one_line_errors, tell_failures
from recbole_vqrec.cli.run import RECBOLE_STYLE, options_of


@click.command(context_settings=RECBOLE_STYLE)
@click.option("--dataset", required=True, help="data set of the new domain, with text embeddings and codes")
@click.option("--checkpoint", required=True, help="pre-trained run, saved/<run>")
@click.option("--without-negatives", default=None, help="pre-trained run made with --semi_synthetic_negatives=0")
@click.option("--seeds", type=click.IntRange(min=1), default=5, show_default=True, help="runs of each row")
@click.option("--out", default="reports/ablation", show_default=True, help="folder of the runs and the table")
@click.option("--processes", type=click.IntRange(min=1), help="runs at a time  [default: what the machine allows]")
@click.option("--config-files", "--config_files", default="", help="yaml files with options of all rows")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@one_line_errors
def ablate(dataset, checkpoint, without_negatives, seeds, out, processes, config_files, arguments):
    """Fine-tune with and without each part of VQ-Rec; what is there is not repeated. Options: --name=value.

    \b
    Example: recbole-vqrec ablate --dataset Scientific --checkpoint saved/VQRec-GBTT-... --seeds 5
    """
    from recbole_vqrec.comparison import ablation

    exit_on_sigterm()
    options = options_of(arguments)
    path = ablation.ablate(
        dataset, checkpoint, out, seeds, without_negatives, config_files.split(), options, processes, say=click.echo
    )
    click.echo(f"\n{path.read_text(encoding='utf-8')}")
    tell_failures(out, [dataset], ablation.row_names(), seeds)
