"""`recbole-vqrec recommend`, `add-items`, `remove-items`, `similar`, `export`: what a trained run is used for."""

import time
from pathlib import Path

import click

from recbole_vqrec.cli.common import one_line_errors
from recbole_vqrec.errors import VQRecError


def run_option(command):
    """Add --run to a command."""
    return click.option("--run", required=True, type=click.Path(), help="run folder, saved/<run>")(command)


def load(run):
    """Return the `Recommender` of a run folder."""
    from recbole_vqrec.inference.recommender import Recommender

    return Recommender.load(run)


@click.command()
@run_option
@click.option(
    "--histories", required=True, type=click.Path(), help="user, item[, time] as .csv, .tsv, .inter, .parquet"
)
@click.option("--k", default=10, show_default=True, type=click.IntRange(1), help="items a user")
@click.option("--out", type=click.Path(), default=None, help=".csv or .parquet  [default: csv on the screen]")
@click.option("--keep-seen", is_flag=True, help="recommend items of the history as well")
@click.option(
    "--candidates", type=click.Path(), default=None, help="file with the only item ids to recommend, one a line"
)
@click.option(
    "--unknown", type=click.Choice(["skip", "error"]), default="skip", show_default=True, help="unknown item ids"
)
@one_line_errors
def recommend(run, histories, k, out, keep_seen, candidates, unknown):
    """The best items for each history; users need not be known to the run.

    \b
    Example: recbole-vqrec recommend --run saved/RUN --histories new_users.csv --k 10 --out recommendations.parquet
    """
    from recbole_vqrec.inference.histories import read_histories

    start = time.perf_counter()
    if out and Path(out).suffix not in (".csv", ".parquet"):
        raise VQRecError(f"--out {out}: expected a name that ends with .csv or .parquet")
    found = load(run).recommend(read_histories(histories), k, not keep_seen, _lines(candidates), unknown)
    _write(found, out)
    unknown, popular = found.attrs["unknown_items"], len(found.attrs["by_popularity"])
    click.echo(
        f"{out or 'recommendations'}: {len(found):,} rows, {found.user.nunique():,} users; "
        f"{unknown:,} unknown item ids left out, {popular:,} users by popularity; {time.perf_counter() - start:.1f} s",
        err=not out,
    )


def _lines(path):
    if path is None:
        return None
    try:
        return [line.strip() for line in Path(path).read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise VQRecError(f"{path}: candidates cannot be read ({error}); expected one item id a line, UTF-8") from error


def _write(table, out):
    """Write a table to a .csv or .parquet file, only when complete, or as csv to the screen."""
    import polars as pl

    from recbole_vqrec import artifacts

    if out is None:
        click.echo(table.to_csv(index=False), nl=False)
        return
    with artifacts.replace_when_done(out) as temporary:
        if Path(out).suffix == ".csv":
            table.to_csv(temporary, index=False)
        else:
            pl.DataFrame(table.to_dict("list")).write_parquet(temporary)


@click.command("add-items")
@run_option
@click.option("--items", required=True, type=click.Path(), help=".item file: item_id and the text columns of the run")
@one_line_errors
def add_items(run, items):
    """Make new items recommendable by their texts, in the run folder.

    \b
    Example: recbole-vqrec add-items --run saved/RUN --items new.item
    """
    start = time.perf_counter()
    recommender = load(run)
    added = recommender.add_items(items, persist=True)
    seconds = time.perf_counter() - start
    click.echo(f"{run}: {len(added):,} items added, {recommender.catalogue.recommended:,} in all, {seconds:.1f} s")


@click.command("remove-items")
@run_option
@click.argument("items", nargs=-1, required=True)
@one_line_errors
def remove_items(run, items):
    """Stop recommending items; histories may still hold them.

    \b
    Example: recbole-vqrec remove-items --run saved/RUN B00006BBZQ
    """
    load(run).remove_items(list(items), persist=True)
    click.echo(f"{run}: {len(items):,} items are no longer recommended")


@click.command()
@run_option
@click.option("--item", required=True, help="item id")
@click.option("--k", default=10, show_default=True, type=click.IntRange(1), help="items")
@one_line_errors
def similar(run, item, k):
    """The items whose vectors are nearest to an item's.

    \b
    Example: recbole-vqrec similar --run saved/RUN --item B00006BBZQ --k 5
    """
    from tabulate import tabulate

    recommender = load(run)
    found = recommender.similar_items(item, k)
    text = dict(zip(recommender.catalogue.item_ids, recommender.catalogue.texts))
    rows = [[rank, name, f"{score:.3f}", text[name][:70]] for rank, name, score in found.itertuples(index=False)]
    click.echo(f"{item}: {text[item][:90]}\n")
    click.echo(tabulate(rows, ["", "item", "cosine", "text"], disable_numparse=True))


@click.command()
@run_option
@click.option("--to", "target", type=click.Choice(["onnx", "faiss", "parquet"]), required=True, help="what to write")
@click.option("--out", required=True, type=click.Path(), help="file to write")
@click.option("--index", default="flat", show_default=True, help="with --to faiss: flat (exact), hnsw or ivfpq")
@one_line_errors
def export(run, target, out, index):
    """The sequence encoder as ONNX, or item vectors as a faiss index or a parquet table.

    \b
    Example: recbole-vqrec export --run saved/RUN --to onnx --out encoder.onnx
             recbole-vqrec export --run saved/RUN --to faiss --index hnsw --out items.faiss
             recbole-vqrec export --run saved/RUN --to parquet --out items.parquet
    """
    start = time.perf_counter()
    recommender = load(run)
    if target == "onnx":
        from recbole_vqrec.inference.export_onnx import export_onnx

        said = export_onnx(recommender, out)
    elif target == "faiss":
        from recbole_vqrec.inference.export_vectors import export_faiss

        said = export_faiss(recommender, out, index)
    else:
        from recbole_vqrec.inference.export_vectors import export_parquet

        said = export_parquet(recommender, out)
    click.echo(f"{said}; {time.perf_counter() - start:.1f} s")
