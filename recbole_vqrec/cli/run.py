"""`recbole-vqrec run` and run_recbole_vqrec.py: train, test and compare models in RecBole's style."""

import sys

import click

from recbole_vqrec.cli.common import one_line_errors
from recbole_vqrec.errors import VQRecError

RECBOLE_STYLE = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": ["-h", "--help"]}


def options_of(arguments):
    """Return the options of RecBole-style arguments `--name=value` as a dict of text.

    Raises:
        VQRecError: an argument of another form.
    """
    options = {}
    for argument in arguments:
        name, equals, value = argument.removeprefix("--").partition("=")
        if not argument.startswith("--") or not equals:
            raise VQRecError(f"argument '{argument}': write options as --name=value")
        options[name] = value
    return options


def _split(options):
    """Take model, dataset, models and config_files out of RecBole-style options."""
    taken = {name: options.pop(name, None) for name in ("model", "dataset", "models", "config_files")}
    taken["config_files"] = (taken["config_files"] or "").split() or None
    taken["models"] = [name.strip() for name in (taken["models"] or "").split(",") if name.strip()]
    return taken


def _run(arguments):
    from recbole_vqrec import distributed

    options = options_of(arguments)
    return distributed.spawn(_run_here, options, (options.get("config_files") or "").split())


def _run_here(options):
    """Run in this process; the first of several speaks."""
    from recbole_vqrec import distributed, quick_start
    from recbole_vqrec.report import run_table
    from recbole_vqrec.trainer.checkpoint import checkpoint_file

    taken = _split(options)
    if not any(taken.values()) and not options.keys() & {"resume", "stage", "checkpoint"}:
        from recbole_vqrec.demo import demo

        return demo(config_dict=options)
    if taken["model"] and taken["models"]:
        raise VQRecError("model and models are both given; name all of them in models, or one in model")
    said = ""
    if taken["models"]:
        results, table = quick_start.compare(taken["models"], taken["dataset"], taken["config_files"], options)
        said = f"\ntable: {table}"
    else:
        results = [quick_start.run(taken["model"], taken["dataset"], taken["config_files"], options)]
    if distributed.is_first():
        pretrained = results[0]["stage"] == "pretrain"
        click.echo(f"\n{run_table.domain_table(results[0]) if pretrained else run_table.table(results)}\n{said}")
        for result in results:
            click.echo(f"{result['model']}: {checkpoint_file(result['run'])}")
    return results


@one_line_errors
def run_recbole_style():
    """Entry point of run_recbole_vqrec.py."""
    if any(argument in ("-h", "--help") for argument in sys.argv[1:]):
        click.echo(run.get_help(click.Context(run, info_name="run_recbole_vqrec.py")))
        return
    _run(sys.argv[1:])


@click.command(context_settings=RECBOLE_STYLE)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@one_line_errors
def run(arguments):
    """Train and test a model; options as in RecBole, --name=value.

    \b
    Example: recbole-vqrec run --model=VQRec --dataset=Scientific --config_files="a.yaml b.yaml" --learning_rate=0.003
    Several: recbole-vqrec run --models=VQRec,SASRec --dataset=Scientific
    Go on:   recbole-vqrec run --resume=saved/VQRec-Scientific-Nov-24-2026_12-00-00
    Processes: torchrun --nproc_per_node 4 -m recbole_vqrec run --model=VQRec ..., or RecBole's --nproc=4
    Demo:    recbole-vqrec run
    """
    _run(arguments)
