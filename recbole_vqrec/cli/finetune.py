"""`recbole-vqrec finetune`: a pre-trained model -> a model of a new domain."""

import functools

import click

from recbole_vqrec.cli.common import one_line_errors
from recbole_vqrec.cli.run import RECBOLE_STYLE, options_of


@click.command(context_settings=RECBOLE_STYLE)
@click.option("--dataset", required=True, help="data set of the new domain, with item codes")
@click.option("--checkpoint", required=True, help="pre-trained run, saved/<run>")
@click.option("--preset", default=None, help="inductive | transductive | full | scratch | zero_shot  [default: full]")
@click.option("--config-files", "--config_files", default=None, help="yaml files with options, blank-separated")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@one_line_errors
def finetune(dataset, checkpoint, preset, config_files, arguments):
    """Fine-tune a pre-trained model on a new domain, in stages; further options as in RecBole, --name=value.

    \b
    Example: recbole-vqrec finetune --dataset Scientific --checkpoint saved/VQRec-GBTT-... --preset inductive
             recbole-vqrec finetune --dataset Scientific --checkpoint RUN --learning_rate=0.003 --permutation=hard
    Several: torchrun --nproc_per_node 4 -m recbole_vqrec finetune --dataset Scientific ..., or --nproc=4
    """
    from recbole_vqrec import distributed

    options = {**options_of(arguments), **({"preset": preset} if preset else {})}
    files = (config_files or "").split() or None
    distributed.spawn(functools.partial(_finetune, dataset, checkpoint, files), options, files)


def _finetune(dataset, checkpoint, config_files, options):
    """Fine-tune in this process and say what came out."""
    from recbole_vqrec import distributed, quick_start
    from recbole_vqrec.report import run_table
    from recbole_vqrec.trainer.checkpoint import checkpoint_file

    result = quick_start.finetune(dataset, checkpoint, config_files, options)
    if distributed.is_first():
        click.echo(f"\n{run_table.table([result])}\n\n{checkpoint_file(result['run'])}")
