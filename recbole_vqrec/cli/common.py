"""What the commands share: errors as one line, options that repeat."""

import functools
import signal
import sys

import click

from recbole_vqrec.errors import VQRecError, examples


def one_line_errors(function):
    """Turn bad input into one line on stderr and exit code 2."""

    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except VQRecError as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(2)
        except KeyboardInterrupt as interrupt:
            click.echo(str(interrupt) or "interrupted", err=True)
            sys.exit(130)

    return wrapped


def exit_on_sigterm():
    """Let SIGTERM end this process as an exit does, and with it the processes of its runs."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def tell_failures(out, datasets, rows, seeds, tuned=False):
    """Exit with code 1 where runs that were asked for have failed, once the report of the others is written.

    Args:
        out (str or Path): folder of the comparison.
        datasets, rows (list of str): names.
        seeds (int): runs of each row.
        tuned (bool): whether trials were asked for.
    """
    from recbole_vqrec.comparison.compare import FIRST_SEED
    from recbole_vqrec.comparison.runs import failures

    runs = {f"seed-{FIRST_SEED + number}" for number in range(seeds)}
    failed = [
        f"{dataset} {row} {run}"
        for dataset, row, run, _ in failures(out)
        if dataset in datasets and row in rows and (run in runs or tuned and run.startswith("trial-"))
    ]
    if failed:
        click.echo(f"{len(failed)} failed: {examples(failed)}; the same command tries again", err=True)
        sys.exit(1)


def dataset_options(command, required=True):
    """Add --dataset, --data-path, --config-files and --force to a command; `required` is about --dataset."""
    command = click.option("--force", is_flag=True, help="redo even where the result is up to date")(command)
    command = click.option("--config-files", default=None, help="yaml files with options, blank-separated")(command)
    command = click.option("--data-path", default=None, help="folder of the data sets")(command)
    return click.option("--dataset", required=required, help="data set name, a folder below data-path")(command)


def config_files_option(command):
    """Add --config-files to a command whose options are those of `props_options`; the command line wins over the files."""

    def take(context, parameter, files):
        if not files:
            return
        from recbole_vqrec.config import external_options

        try:
            given = external_options(files.split())
        except VQRecError as error:
            raise click.BadParameter(str(error)) from None
        own = {each.name for each in context.command.params}
        found = {{"data_path": "out"}.get(name, name): value for name, value in given.items()}
        found = {name: ",".join(map(str, value)) if isinstance(value, list) else value for name, value in found.items()}
        given = {name: found[name] for name in own & found.keys() if found[name] is not None}
        context.default_map = {**(context.default_map or {}), **given}

    how = "yaml files with options, blank-separated"
    return click.option("--config-files", is_eager=True, expose_value=False, callback=take, help=how)(command)


def said_or_of_files(name, value, options):
    """Return an option of `props_options` as the command line says it, else as the files of --config-files do.

    Args:
        name (str): of the option.
        value: what click has, which may be the default.
        options (dict): those of the files among them.
    """
    said = click.get_current_context().get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE
    return value if said else options.get(name, value)


def props_options(file, flags):
    """Add the options of a props yaml to a command: defaults and help come from the file.

    Args:
        file (str): name below props/, "preprocess.yaml" for example.
        flags (dict): option -> None, or what click.option takes beyond the default, `type` and `flag` for example.
    """

    def decorate(command):
        for name, settings in reversed(flags.items()):
            settings = dict(settings or {})
            flag = settings.pop("flag", f"--{name.replace('_', '-')}")
            value, comment = props_with_comments(file)[name]
            command = click.option(flag, name, default=value, show_default=True, help=comment, **settings)(command)
        return command

    return decorate


@functools.lru_cache(maxsize=None)
def props_with_comments(file):
    """Return name -> (default as text, comment) of a props yaml."""
    from recbole_vqrec.defaults import props_folder

    found = {}
    for line in (props_folder() / file).read_text(encoding="utf-8").splitlines():
        setting, _, comment = line.partition("#")
        if ":" in setting:
            name, _, value = setting.partition(":")
            found[name.strip()] = (value.strip(), comment.strip())
    return found
