"""`recbole-vqrec import-unisrec` and `export-unisrec`: the authors' published layout to ours and back."""

from pathlib import Path

import click

from recbole_vqrec.cli.common import dataset_options, one_line_errors, props_options, said_or_of_files
from recbole_vqrec.cli.item_codes import MISSING, _stage_options, item_code_options

AUTHORS = "interchange.yaml"
MAX_LENGTH = {"authors_history": {"type": click.IntRange(1), "flag": "--max-length"}}
IMPORT = {
    "authors_ids": {"type": click.Choice(["original", "number"]), "flag": "--ids"},
    "feature_size": {"type": click.IntRange(1), "flag": "--plm-size"},
    **MISSING,
    **MAX_LENGTH,
}


def _say(made):
    """Say what was left out or filled in, what was made, where, and how long it took."""
    summary = ", ".join(f"{value:,} {name}" for name, value in made["summary"].items())
    click.echo("\n".join([*made["notes"], *filter(None, [summary]), *map(str, made["paths"])]))


@click.command("import-unisrec")
@click.argument("folder", type=click.Path())
@click.option("--name", default=None, help="data set name  [default: the authors' name]")
@click.option("--out", default="dataset", show_default=True, help="folder of the data sets")
@item_code_options("plm", "item_codes")
@click.option("--index", type=click.Path(), default=None, help="faiss index  [default: the one in FOLDER]")
@props_options(AUTHORS, IMPORT)
@click.option("--force", is_flag=True, help="redo, and replace a data set of this name that is no import")
@one_line_errors
def import_unisrec(
    folder, out, name, index, force, authors_ids, feature_size, missing_codes, authors_history, **given
):  # fmt: skip
    """The authors' files (UniSRec, VQ-Rec) -> atomic files, text embeddings and item codes.

    \b
    Example: recbole-vqrec import-unisrec downloads/Scientific --missing nearest-text
             recbole-vqrec import-unisrec downloads/FHCKM --ids number
    """
    from recbole_vqrec.interchange.import_unisrec import import_unisrec

    options = _stage_options(given)
    made = import_unisrec(
        folder, out, options, name, authors_ids, index, missing_codes, feature_size, authors_history, force
    )
    _say(made)


@click.command("export-unisrec")
@dataset_options
@item_code_options("plm", "text_columns", "item_codes")
@click.option("--out", required=True, type=click.Path(), help="folder to write")
@props_options(AUTHORS, MAX_LENGTH)
@one_line_errors
def export_unisrec(dataset, force, out, authors_history, **given):
    """A data set -> the authors' layout, for their scripts.

    \b
    Example: recbole-vqrec export-unisrec --dataset Scientific --out dataset/downstream/Scientific
    """
    from recbole_vqrec.interchange.export_unisrec import export_unisrec

    options = _stage_options(given)
    longest = said_or_of_files("authors_history", authors_history, options)
    made = export_unisrec(Path(options["data_path"]) / dataset, dataset, out, options, longest, force)
    _say(made)
