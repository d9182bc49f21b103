"""`recbole-vqrec serve`: a trained run as an HTTP service."""

import click

from recbole_vqrec.cli.common import one_line_errors
from recbole_vqrec.cli.recommend import load, run_option
from recbole_vqrec.errors import VQRecError


@click.command()
@run_option
@click.option("--host", default="127.0.0.1", show_default=True, help="address to listen on")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one")
@click.option(
    "--token",
    default=None,
    envvar="RECBOLE_VQREC_TOKEN",
    show_envvar=True,
    help="bearer token of writes; beyond loopback there are no writes without one",
)
@one_line_errors
def serve(run, host, port, token):
    """Recommendations over HTTP, with a page to try them at / and the API at /docs.

    \b
    Example: recbole-vqrec serve --run saved/RUN
             curl -d '{"histories": [["B00006BBZQ"]]}' -H 'Content-Type: application/json' localhost:8000/recommend
             curl -d '{"items": {"new-1": "Digital caliper"}}' -H 'Content-Type: application/json' localhost:8000/items
    """
    try:
        import uvicorn

        from recbole_vqrec.serving.app import LOOPBACK, create_app
    except ImportError as error:
        raise VQRecError(f"{error.name} is not installed; run pip install -c constraints.txt '.[serve]'") from error
    import torch

    torch.set_num_threads(1)  # requests run side by side
    recommender = load(run)
    app = create_app(recommender, host, token)
    listening = listen(host, port)
    writes = "with the token" if token else "open to this machine" if host in LOOPBACK else "off (no --token)"
    address = f"[{host}]" if ":" in host else host
    click.echo(
        f"{recommender.config['model']} on {recommender.config['dataset']}, {recommender.catalogue.recommended:,} items, "
        f"writes {writes}\nhttp://{address}:{listening.getsockname()[1]}  (API: /docs)"
    )
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, server_header=False))
    server.run(sockets=[listening])


def listen(host, port):
    """Return a socket that listens.

    Raises:
        VQRecError: no such address here, or the port is taken.
    """
    import socket

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends without delay only where the protocol is named; else answers wait 40 ms for the client's ACK
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise VQRecError(f"{host}:{port}: cannot listen ({error.strerror}); choose another --port or --host") from error
    return listening
