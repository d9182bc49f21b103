"""The public raw files, by their published addresses in props/download.yaml."""

import functools
import re
import time
from pathlib import Path
from typing import NamedTuple

import requests
import yaml

from recbole_vqrec.config import props_folder
from recbole_vqrec.errors import VQRecError, nearest
from recbole_vqrec.preprocess.transfer import RemoteFile, fetch, verify

VERSIONS = ("2018", "2023")


class CategoryFiles(NamedTuple):
    """An Amazon category: its full name, and the names of its ratings and metadata files."""

    category: str
    ratings: str
    metadata: str


@functools.lru_cache(maxsize=None)
def settings():
    """Return props/download.yaml."""
    with open(props_folder() / "download.yaml", encoding="utf-8") as file:
        return yaml.safe_load(file)


def category_files(version, category):
    """Return the `CategoryFiles` of a release.

    Args:
        version (str or int): 2018 or 2023.
        category (str): full name or the paper's short name, in any case ("Scientific").

    Raises:
        VQRecError: no such release or category; names the nearest.
    """
    release = _release(version)
    name, _ = _category(release, version, category)
    return CategoryFiles(name, *(_file_name(release[kind].format(category=name)) for kind in ("ratings", "metadata")))


def amazon_files(version, category, raw):
    """Return the `RemoteFile`s of a category: <raw>/Ratings/<ratings> and <raw>/Metadata/<metadata>."""
    release = _release(version)
    name, sha256 = _category(release, version, category)
    ratings, metadata = (release[kind].format(category=name) for kind in ("ratings", "metadata"))
    return [
        RemoteFile(ratings, Path(raw) / "Ratings" / _file_name(ratings), sha256=sha256),
        RemoteFile(metadata, Path(raw) / "Metadata" / _file_name(metadata)),
    ]


def online_retail_files(raw):
    """Return the `RemoteFile` of UCI Online Retail."""
    found = settings()["online_retail"]
    return [RemoteFile(found["address"], Path(raw) / found["file"], found["size"], found["sha256"])]


def _file_name(address):
    return address.rsplit("/", 1)[-1]


def _release(version):
    if str(version) not in VERSIONS:
        raise VQRecError(f"version: '{version}' is none of {', '.join(VERSIONS)}")
    return settings()[f"amazon_{version}"]


def _category(release, version, category):
    """Return (full name, checksum of the ratings) of a category."""
    known = {short.lower(): found for short, found in release["categories"].items()}
    known.update({found[0].lower(): found for found in release["categories"].values()})
    if str(category).lower() not in known:
        names = [found[0] for found in release["categories"].values()]
        hint = nearest(category, [*release["categories"], *names]) or f"; there are {', '.join(names)}"
        raise VQRecError(f"category '{category}' is not in the {version} release{hint}")
    return known[str(category).lower()]


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
            fetch(file, *(settings()[f"download_{name}"] for name in ("attempts", "wait", "timeout")), say, progress)
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
