"""The console command: one subcommand a stage, options named and explained as in props/*.yaml."""

import click

from recbole_vqrec import __version__
from recbole_vqrec.cli.ablate import ablate
from recbole_vqrec.cli.compare import compare
from recbole_vqrec.cli.download import download
from recbole_vqrec.cli.evaluate import evaluate
from recbole_vqrec.cli.finetune import finetune
from recbole_vqrec.cli.interchange import export_unisrec, import_unisrec
from recbole_vqrec.cli.item_codes import embed, encode
from recbole_vqrec.cli.preprocess import merge, preprocess
from recbole_vqrec.cli.pretrain import import_checkpoint, pretrain
from recbole_vqrec.cli.recommend import add_items, export, recommend, remove_items, similar
from recbole_vqrec.cli.run import run
from recbole_vqrec.cli.serve import serve


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main():
    """VQ-Rec for RecBole: raw -> atomic -> embedding -> codes -> pre-train -> fine-tune -> compare -> recommend."""


for command in (
    download, preprocess, merge, embed, encode, pretrain, finetune, run, compare, ablate,
    import_unisrec, export_unisrec, import_checkpoint,
):  # fmt: skip
    main.add_command(command)
for command in (recommend, similar, add_items, remove_items, export, serve, evaluate):
    main.add_command(command)
