"""`recbole-vqrec preprocess` and `merge`: raw files -> atomic files."""

from pathlib import Path

import click
from click.core import ParameterSource

from recbole_vqrec.cli.common import config_files_option, one_line_errors, props_options
from recbole_vqrec.errors import VQRecError

AT_LEAST_ONE = {"type": click.IntRange(1)}
RULES = {
    "user_k": AT_LEAST_ONE,
    "item_k": AT_LEAST_ONE,
    "duplicates": {"type": click.Choice(["drop", "keep"])},
    "ties": {"type": click.Choice(["input", "shuffle"])},
    "ties_seed": {"type": click.IntRange(0), "flag": "--seed"},
    "long_text": {"type": click.Choice(["beginning", "empty"])},
}


@click.group()
def preprocess():
    """Raw files -> atomic files."""


def _output_options(command):
    command = config_files_option(command)
    command = click.option("--force", is_flag=True, help="redo even where the result is up to date")(command)
    return click.option("--out", default="dataset", show_default=True, help="folder of the data sets")(command)


def _rules(given):
    return {**{name: given[name] for name in RULES}, "clean": True}


def _names(text):
    return [name.strip() for name in text.split(",") if name.strip()]


def _text_columns(text):
    """Return the columns that --text-columns names, each once, or None where it is not given."""
    from recbole_vqrec.preprocess.item_text import distinct_columns

    return None if text is None else distinct_columns(_names(text))


def _make(out, name, source, options, inputs, read, force):
    """Make a data set below `out`; lines about bad input go to stderr, the summary to stdout."""
    from recbole_vqrec.preprocess.dataset_files import make_dataset

    if not name or Path(name).name != name:
        raise VQRecError(f"name '{name}' is no plain file name; give another one as --name")
    make_dataset(Path(out) / name, name, source, options, inputs, read, force, click.echo)


def _warn(line):
    click.echo(f"note: {line}", err=True)


@preprocess.command()
@click.option("--version", type=click.Choice(["2018", "2023"]), default="2018", show_default=True, help="release")
@click.option("--ratings", type=click.Path(), help="ratings csv, or reviews with one JSON object a line; .gz .xz .zip")
@click.option("--metadata", type=click.Path(), help="metadata with one JSON object a line")
@click.option("--category", help="category whose files are looked for below --raw; full name or one of its words")
@click.option("--raw", type=click.Path(), default=".", show_default=True, help="folder of the raw files")
@click.option("--name", help="name of the data set  [default: the category as given]")
@props_options("preprocess.yaml", {"raw_text_columns": {"flag": "--text-columns"}, **RULES})
@_output_options
@one_line_errors
def amazon(version, ratings, metadata, category, raw, name, raw_text_columns, out, force, **given):
    """Amazon reviews of the 2018 or 2023 release.

    \b
    Example: recbole-vqrec preprocess amazon --category Scientific --raw downloads
             recbole-vqrec preprocess amazon --version 2023 --ratings Video_Games.jsonl.gz \\
                 --metadata meta_Video_Games.jsonl.gz --name Games
    """
    from recbole_vqrec.preprocess.amazon import read_amazon
    from recbole_vqrec.preprocess.amazon_categories import find_files, full_category

    if category and not (ratings and metadata):
        found = find_files(full_category(category, version), version, raw)
        ratings, metadata = ratings or found[0], metadata or found[1]
    if not (ratings and metadata and (name or category)):
        raise VQRecError("amazon: give --ratings, --metadata and --name, or --category and --raw")
    columns = _text_columns(raw_text_columns)
    options = {**_rules(given), "raw_text_columns": columns}

    def read():
        return read_amazon(ratings, metadata, version, columns, _warn)

    _make(out, name or category, f"amazon {version}", options, [ratings, metadata], read, force)


@preprocess.command("online-retail")
@click.option("--input", "table", type=click.Path(), required=True, help="xlsx of UCI, or csv; .gz .xz .zip")
@click.option("--name", default="OR", show_default=True, help="name of the data set")
@props_options("preprocess.yaml", RULES)
@_output_options
@one_line_errors
def online_retail(table, name, out, force, **given):
    """Online Retail: invoices are users, stock codes are items.

    \b
    Example: recbole-vqrec preprocess online-retail --input "Online Retail.xlsx" --name OR
    """
    from recbole_vqrec.preprocess.online_retail import read_online_retail

    def read():
        return read_online_retail(table, _warn)

    _make(out, name, "online-retail", _rules(given), [table], read, force)


@preprocess.command()
@click.option("--inter", type=click.Path(), required=True, help="interactions: user_id, item_id, timestamp")
@click.option("--item", type=click.Path(), required=True, help="items: item_id and texts")
@click.option("--name", help="name of the data set  [default: name of the .inter file]")
@click.option("--text-columns", help="columns of the item text, comma-separated  [default: all of type token_seq]")
@props_options("preprocess.yaml", RULES)
@_output_options
@one_line_errors
def atomic(inter, item, name, text_columns, out, force, **given):
    """Any data set in RecBole's atomic format, plain or compressed.

    \b
    Example: recbole-vqrec preprocess atomic --inter games.inter.gz --item games.item.gz --text-columns title
    """
    from recbole_vqrec.preprocess.atomic_input import read_atomic

    name = name or Path(inter).name.split(".inter")[0]
    columns = _text_columns(text_columns)
    options = {**_rules(given), "text_columns": columns}
    for given_file, suffix in ((inter, "inter"), (item, "item")):
        if Path(given_file).resolve() == (Path(out) / name / f"{name}.{suffix}").resolve():
            raise VQRecError(f"{given_file}: the result would replace its own input; give another --name or --out")

    def read():
        return read_atomic(inter, item, columns, _warn)

    _make(out, name, "atomic", options, [inter, item], read, force)


@preprocess.command("ml-100k")
@click.option("--domains", type=click.Choice(["genre"]), help="one data set for each primary genre, 5-core")
@props_options("preprocess.yaml", {"user_k": AT_LEAST_ONE, "item_k": AT_LEAST_ONE})
@_output_options
@click.pass_context
@one_line_errors
def ml_100k(context, domains, user_k, item_k, out, force):
    """The MovieLens-100k that RecBole ships, with movie texts; whole, or as domains with --user-k and --item-k.

    \b
    Example: recbole-vqrec preprocess ml-100k
             recbole-vqrec preprocess ml-100k --domains genre
    """
    from recbole_vqrec.preprocess import ml_100k as source

    if domains:
        options = {**source.WHOLE, "user_k": user_k, "item_k": item_k}
        source.preprocess_genres(out, options, force, click.echo)
    else:
        given = ParameterSource.COMMANDLINE
        if given in (context.get_parameter_source("user_k"), context.get_parameter_source("item_k")):
            raise VQRecError("--user-k, --item-k: of --domains genre; the whole data set is taken as it is")
        source.preprocess_ml_100k(Path(out) / source.NAME, force, click.echo)


@click.command()
@click.option("--datasets", required=True, help="names of the data sets, comma-separated; they become the domains")
@click.option("--name", required=True, help="name of the result")
@click.option("--data-path", default="dataset", show_default=True, help="folder of the data sets")
@click.option("--force", is_flag=True, help="redo even where the result is up to date")
@one_line_errors
def merge(datasets, name, data_path, force):
    """Several data sets -> one with all their domains; users and items get their domain's name in front.

    \b
    Example: recbole-vqrec merge --datasets games,beauty,toys,tools --name GBTT
    """
    from recbole_vqrec.preprocess.merge import merge_datasets

    merge_datasets(data_path, _names(datasets), name, force, click.echo)
