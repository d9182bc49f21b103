"""`recbole-vqrec preprocess`: raw files -> atomic files."""

from pathlib import Path

import click

from recbole_vqrec.cli.common import one_line_errors


@click.group()
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
