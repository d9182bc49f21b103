"""`recbole-vqrec download`: the public raw files, by their published addresses."""

import click

from recbole_vqrec.cli.common import one_line_errors


@click.group()
def download():
    """Public raw files by their published addresses."""


def _options(command):
    command = click.option("--force", is_flag=True, help="fetch again what is there")(command)
    return click.option("--raw", default="raw", show_default=True, help="folder of the raw files")(command)


@download.command("amazon")
@click.option("--version", type=click.Choice(["2018", "2023"]), default="2018", show_default=True, help="release")
@click.option("--category", required=True, help="full or short name: Scientific, Pantry, Arts, Office, ...")
@_options
@one_line_errors
def download_amazon(version, category, raw, force):
    """Ratings and item metadata of an Amazon category.

    \b
    Example: recbole-vqrec download amazon --version 2018 --category Scientific --raw raw
    """
    from recbole_vqrec.preprocess import download as stage

    stage.download(stage.amazon_files(version, category, raw), force, click.echo)


@download.command("online-retail")
@_options
@one_line_errors
def download_online_retail(raw, force):
    """The UCI Online Retail table.

    \b
    Example: recbole-vqrec download online-retail --raw raw
    """
    from recbole_vqrec.preprocess import download as stage

    stage.download(stage.online_retail_files(raw), force, click.echo)
