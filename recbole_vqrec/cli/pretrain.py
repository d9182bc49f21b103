"""`recbole-vqrec pretrain`: contrastive pre-training on mixed domains, in one process or several."""

import functools

import click

from recbole_vqrec.cli.common import one_line_errors
from recbole_vqrec.cli.run import RECBOLE_STYLE, options_of


@click.command(context_settings=RECBOLE_STYLE)
@click.option("--datasets", default=None, help="domains, comma-separated; they are merged first")
@click.option("--name", default=None, help="name of the merged data set; the domains joined by + by default")
@click.option("--dataset", default=None, help="a data set that is merged already")
@click.option("--model", default=None, help="model to pre-train [default: VQRec]")
@click.option("--resume", default=None, help="folder of an interrupted run that is to go on")
@click.option("--config_files", "--config-files", default="", help="yaml files with options, blank-separated")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@one_line_errors
def pretrain(datasets, name, dataset, model, resume, config_files, arguments):
    """Pre-train on several domains; options of props/pretrain.yaml and RecBole's, --name=value.

    \b
    Example: recbole-vqrec pretrain --datasets games,beauty,toys,tools --name GBTT
    Merged:  recbole-vqrec pretrain --dataset GBTT --semi_synthetic_negatives=4
    Go on:   recbole-vqrec pretrain --resume saved/VQRec-GBTT-Nov-24-2026_12-00-00
    Several: torchrun --nproc_per_node 4 -m recbole_vqrec pretrain --dataset GBTT
             recbole-vqrec pretrain --dataset GBTT --nproc=4
    """
    from recbole_vqrec import distributed

    domains = [each.strip() for each in (datasets or "").split(",") if each.strip()]
    options = {**options_of(arguments), **({"resume": resume} if resume else {})}
    files = config_files.split() or None
    distributed.spawn(functools.partial(_pretrain, domains, name or dataset, model, files), options, files)


def _pretrain(domains, name, model, config_files, options):
    """Pre-train in this process and say what came out."""
    from recbole_vqrec import distributed, quick_start
    from recbole_vqrec.report import run_table

    result = quick_start.pretrain(domains, name, model, config_files, options)
    if distributed.is_first():
        click.echo(f"\n{run_table.domain_table(result)}\n")
        click.echo(f"{result['epochs']} epochs, {result['seconds']:.0f} s, {result['peak_memory'] / 2**20:,.0f} MB")
        click.echo(f"checkpoint: {quick_start.checkpoint.checkpoint_file(result['run'])}")


@click.command("import-checkpoint")
@click.argument("file", type=click.Path())
@click.option("--out", required=True, type=click.Path(), help="run folder to write")
@click.option("--force", is_flag=True, help="replace the checkpoint that is there")
@one_line_errors
def import_checkpoint(file, out, force):
    """The authors' pre-trained checkpoint (.pth) -> a run folder to fine-tune from; nothing in the file is run.

    \b
    Example: recbole-vqrec import-checkpoint VQRec-FHCKM-300.pth --out saved/FHCKM
    """
    from recbole_vqrec.interchange.import_checkpoint import import_checkpoint

    path, made = import_checkpoint(file, out, force)
    seconds = made.pop("seconds")
    click.echo(f"{path}: {', '.join(f'{name} {value}' for name, value in made.items())} ({seconds:.1f} s)")
