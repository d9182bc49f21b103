"""`recbole-vqrec compare`: the matrix of data sets, models and seeds, and its report."""

import click

from recbole_vqrec.cli.common import exit_on_sigterm, one_line_errors, tell_failures
from recbole_vqrec.cli.run import RECBOLE_STYLE, options_of
from recbole_vqrec.errors import VQRecError


@click.command(context_settings=RECBOLE_STYLE)
@click.option("--datasets", help="data set names, comma-separated")
@click.option("--models", help="model names, ours or any RecBole sequential model, or rows of --rows, comma-separated")
@click.option("--out", default="reports/main", show_default=True, help="folder of the runs and the report")
@click.option("--seeds", type=click.IntRange(min=1), default=1, show_default=True, help="runs of each model")
@click.option("--tune", type=click.IntRange(min=0), default=0, show_default=True, help="trials a model, on validation")
@click.option("--processes", type=click.IntRange(min=1), help="runs at a time  [default: what the machine allows]")
@click.option("--rows", type=click.Path(), help="yaml file, row name: its options, 'model' among them")
@click.option("--data-path", help="folder of the data sets")
@click.option("--config-files", "--config_files", default="", help="yaml files with options of all runs")
@click.option("--from", "source", type=click.Path(), help="only make the report again, from the runs in this folder")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@one_line_errors
def compare(datasets, models, out, seeds, tune, processes, rows, data_path, config_files, source, arguments):
    """Train and test models on data sets with several seeds, and report; what is there is not repeated.

    A run that fails does not stop the others, but the exit code is 1 then.

    \b
    Example: recbole-vqrec compare --datasets Scientific,OR --models SASRec,VQRec --seeds 5 --out reports/main
    Options of all runs are written as in RecBole: --epochs=2
    """
    from recbole_vqrec.comparison.compare import compare as run_comparison
    from recbole_vqrec.comparison.rows import read_rows
    from recbole_vqrec.report.comparison_report import write_report

    if source:
        write_report(source, say=click.echo)
        return
    exit_on_sigterm()
    names = {"--datasets": _names(datasets), "--models": _names(models)}
    for option, given in names.items():
        if not given:
            raise VQRecError(f"{option}: give one or more names, separated by commas")
    options = options_of(arguments)
    if data_path:
        options["data_path"] = data_path
    rows = read_rows(rows)
    left_out = [name for name in rows if name not in names["--models"]]
    if left_out:
        click.echo(f"not in --models, so not run: {', '.join(left_out)}")
    run_comparison(*names.values(), out, seeds, tune, processes, config_files.split(), options, rows, say=click.echo)
    tell_failures(out, *names.values(), seeds, tune > 0)


def _names(text):
    return list(dict.fromkeys(name.strip() for name in (text or "").split(",") if name.strip()))
