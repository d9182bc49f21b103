"""`recbole-vqrec import-unisrec` and `export-unisrec`: the authors' published layout to ours and back."""

from pathlib import Path

import click

from recbole_vqrec.cli.common import dataset_options, one_line_errors
from recbole_vqrec.cli.item_codes import _stage_options, item_code_options

max_length_option = click.option(
    "--max-length", default=50, show_default=True, help="items to which the authors' histories are cut"
)


def _say(made):
    """Say what was left out or filled in, what was made, where, and how long it took."""
    click.echo("\n".join([*made["notes"], ", ".join(f"{value:,} {name}" for name, value in made["summary"].items())]))
    click.echo("\n".join(map(str, made["paths"])))


@click.command("import-unisrec")
@click.argument("folder", type=click.Path())
@click.option("--name", default=None, help="data set name  [default: the authors' name]")
@click.option("--out", default="dataset", show_default=True, help="folder of the data sets")
@click.option(
    "--ids",
    type=click.Choice(["original", "number"]),
    default="original",
    show_default=True,
    help="item and user ids: the raw ones of .item2index and .user2index, or the authors' numbers",
)
@item_code_options("plm", "item_codes")
@click.option("--plm-size", default=768, show_default=True, help="size of the vectors in .feat1CLS")
@click.option("--index", type=click.Path(), default=None, help="faiss index  [default: the one in FOLDER]")
@click.option(
    "--missing",
    type=click.Choice(["refuse", "nearest-text", "embeddings"]),
    default=None,
    help="codes of items that the index lacks  [default: embeddings where FOLDER has .feat1CLS, else refuse]",
)
@max_length_option
@click.option("--force", is_flag=True, help="replace a data set of this name that is no import")
@one_line_errors
def import_unisrec(folder, out, name, ids, plm_size, index, missing, max_length, force, **given):
    """The authors' files (UniSRec, VQ-Rec) -> atomic files, text embeddings and item codes.

    \b
    Example: recbole-vqrec import-unisrec downloads/Scientific --missing nearest-text
             recbole-vqrec import-unisrec downloads/FHCKM --ids number
    """
    from recbole_vqrec.interchange.import_unisrec import import_unisrec

    options = _stage_options(given)
    made = import_unisrec(folder, out, options, name, ids, index, missing, plm_size, max_length, force)
    _say(made)


@click.command("export-unisrec")
@dataset_options
@item_code_options("plm", "text_columns", "item_codes")
@click.option("--out", required=True, type=click.Path(), help="folder to write")
@max_length_option
@one_line_errors
def export_unisrec(dataset, force, out, max_length, **given):
    """A data set -> the authors' layout, for their scripts.

    \b
    Example: recbole-vqrec export-unisrec --dataset Scientific --out dataset/downstream/Scientific
    """
    from recbole_vqrec.interchange.export_unisrec import export_unisrec

    options = _stage_options(given)
    made = export_unisrec(Path(options["data_path"]) / dataset, dataset, out, options, max_length, force)
    _say(made)
