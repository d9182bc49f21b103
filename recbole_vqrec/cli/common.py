"""What the commands share: errors as one line, options that repeat."""

import functools
import sys

import click

from recbole_vqrec.errors import VQRecError


def one_line_errors(function):
    """Turn bad input into one line on stderr and exit code 2."""

    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except VQRecError as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(2)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            sys.exit(130)

    return wrapped


def dataset_options(command, required=True):
    """Add --dataset, --data-path, --config-files and --force to a command; `required` is about --dataset."""
    command = click.option("--force", is_flag=True, help="redo even where the result is up to date")(command)
    command = click.option("--config-files", default=None, help="yaml files with options, blank-separated")(command)
    command = click.option("--data-path", default=None, help="folder of the data sets")(command)
    return click.option("--dataset", required=required, help="data set name, a folder below data-path")(command)
