"""The public raw files, by their published addresses in props/download.yaml."""

import re
import time
from pathlib import Path
from typing import NamedTuple

import requests

from recbole_vqrec.defaults import read_props
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.preprocess.amazon_categories import full_category
from recbole_vqrec.preprocess.transfer import RemoteFile, fetch, verify

PROPS = "download.yaml"


class CategoryFiles(NamedTuple):
    """An Amazon category: its full name, and the names of its ratings and metadata files."""

    category: str
    ratings: str
    metadata: str


def category_files(version, category):
    """Return the `CategoryFiles` of a release.

    Args:
        version (str or int): 2018 or 2023.
        category (str): full name or the paper's short name, in any case ("Scientific").

    Raises:
        VQRecError: no such release or category; names the nearest.
    """
    name = full_category(category, version)
    release = read_props(PROPS)[f"amazon_{version}"]
    return CategoryFiles(name, *(_file_name(release[kind].format(category=name)) for kind in ("ratings", "metadata")))


def amazon_files(version, category, raw):
    """Return the `RemoteFile`s of a category: <raw>/Ratings/<ratings> and <raw>/Metadata/<metadata>."""
    name = full_category(category, version)
    release = read_props(PROPS)[f"amazon_{version}"]
    sha256 = dict(release["categories"].values())[name]
    ratings, metadata = (release[kind].format(category=name) for kind in ("ratings", "metadata"))
    return [
        RemoteFile(ratings, Path(raw) / "Ratings" / _file_name(ratings), sha256=sha256),
        RemoteFile(metadata, Path(raw) / "Metadata" / _file_name(metadata)),
    ]


def online_retail_files(raw):
    """Return the `RemoteFile` of UCI Online Retail."""
    found = read_props(PROPS)["online_retail"]
    return [RemoteFile(found["address"], Path(raw) / found["file"], found["size"], found["sha256"])]


def _file_name(address):
    return address.rsplit("/", 1)[-1]


def download(files, force=False, say=print, progress=True):
    """Fetch files that are not there yet.

    Args:
        files (list of RemoteFile): what to fetch.
        force (bool): fetch again what is there.
        say (callable): receives a line for each file, and for each broken connection.
        progress (bool): show a progress bar.

    Returns:
        list of Path: the files, in the order given.

    Raises:
        VQRecError: no network, no such file, too many broken connections, another size or checksum than known, or
            the disk is full; names the files that are still to be fetched, from where and to where.
    """
    for file in files:
        started = time.monotonic()
        if file.path.is_file() and not force:
            verify(file, file.path, "remove it, or --force to fetch it again")
            say(f"{file.path} (there already; --force fetches it again)")
            continue
        try:
            file.path.parent.mkdir(parents=True, exist_ok=True)
            limits = (read_props(PROPS)[f"download_{name}"] for name in ("attempts", "wait", "timeout"))
            fetch(file, *limits, say, progress)
        except requests.RequestException as error:
            others = [other for other in files if other is not file and not other.path.is_file()]
            raise VQRecError(_by_hand(file, others, error)) from error
        except OSError as error:
            raise VQRecError(f"{file.path}: cannot be written ({error.strerror}); what is there is kept") from error
        size = file.path.stat().st_size
        checked = "checksum right" if file.sha256 else "no checksum is published"
        say(f"{file.path}: {size:,} bytes, {checked}, {time.monotonic() - started:.1f} seconds")
    return [file.path for file in files]


def _by_hand(file, others, error):
    """Return what to do where a file cannot be fetched from here."""
    reason = " ".join(str(error).split())
    reason = re.sub(r".*\(Caused by (.*)\)$", r"\1", reason).split(" for url: ")[0]
    also = "".join(f", and {other.address} as {other.path}" for other in others)
    return f"{file.address}: cannot be fetched ({reason[:200]}); fetch it elsewhere and save it as {file.path}{also}"
