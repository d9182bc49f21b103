"""The public raw files by their published addresses (props/download.yaml), resumed where a connection broke.

A file is written as <name>.part and takes its name when its size, and where one is known its checksum, is right.
"""

import functools
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import requests
import yaml
from tqdm import tqdm

from recbole_vqrec.artifacts import file_hash
from recbole_vqrec.config import props_folder
from recbole_vqrec.errors import VQRecError, nearest

VERSIONS = ("2018", "2023")
BLOCK = 1 << 15  # bytes; what a broken connection had brought of the last block is fetched again
TRANSIENT = (408, 425, 429, 500, 502, 503, 504)  # answers that may be better later


@dataclass(frozen=True)
class RemoteFile:
    """A published file and its place here.

    Args:
        address (str): of the file.
        path (Path): where it belongs.
        size (int, optional): bytes, where known.
        sha256 (str, optional): where known.
    """

    address: str
    path: Path
    size: int | None = None
    sha256: str | None = None


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
            _verify(file, file.path, "remove it, or --force to fetch it again")
            say(f"{file.path} (there already; --force fetches it again)")
            continue
        try:
            file.path.parent.mkdir(parents=True, exist_ok=True)
            _fetch(file, say, progress)
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
    return f"{file.address}: cannot be fetched ({reason[:200]}); fetch it elsewhere and put it there as {file.path}{also}"


def _fetch(file, say, progress):
    """Fetch one file to <path>.part, connecting again as long as something new arrives, then give it its name."""
    part = file.path.with_name(f"{file.path.name}.part")
    limit, wait = settings()["download_attempts"], settings()["download_wait"]
    reached, in_vain, answered = _size(part), 0, False
    while not (done := _transfer(file, part, progress)).complete:
        answered = answered or done.answered
        if not answered:
            raise done.error  # no network: waiting will not help
        in_vain = 0 if _size(part) > reached else in_vain + 1
        reached = max(reached, _size(part))
        if in_vain >= limit:
            raise done.error or requests.ConnectionError(f"{limit} connections in a row broke at {reached:,} bytes")
        pause = wait * 2 ** max(in_vain - 1, 0)
        say(f"{file.path.name}: connection lost at {_size(part):,} bytes, again in {pause:g} seconds")
        time.sleep(pause)
    try:
        _verify(file, part, "the server has another file than this program knows; report it, or fetch it by hand")
    except VQRecError:
        part.unlink()  # the next attempt must not build on it
        raise
    os.replace(part, file.path)


class _Transfer(NamedTuple):
    complete: bool
    answered: bool = True
    error: Exception | None = None


def _transfer(file, part, progress):
    """Append to the part what one connection brings."""
    have = _size(part)
    headers = {"Accept-Encoding": "identity"}  # bytes as they are stored, so that ranges and sizes mean the file
    if have:
        headers["Range"] = f"bytes={have}-"
    answered = False
    try:
        timeout = settings()["download_timeout"]
        with requests.get(file.address, headers=headers, stream=True, timeout=timeout) as answer:
            answered = True
            if answer.status_code == 416:  # nothing beyond what we have: it is complete, or not of this file
                total = _total(answer)
                if have != total:
                    part.unlink()
                return _Transfer(have == total)
            if answer.status_code in TRANSIENT:
                return _Transfer(False, error=requests.HTTPError(f"{answer.status_code} {answer.reason}"))
            answer.raise_for_status()
            start = _start(answer)
            if start not in (0, have):
                part.unlink()
                return _Transfer(False)
            total = _total(answer)
            _write(answer, part, start, total, progress)
    except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
        return _Transfer(False, answered, error)
    have = _size(part)
    if total is not None and have > total:
        part.unlink()
        raise requests.ConnectionError(f"the server sent {have:,} bytes, it had said {total:,}")
    return _Transfer(total is None or have == total)


def _write(answer, part, start, total, progress):
    with open(part, "ab" if start else "wb") as out, tqdm(
        desc=part.stem, initial=start, total=total, unit="B", unit_scale=True, disable=not progress
    ) as bar:
        for block in answer.iter_content(BLOCK):
            out.write(block)
            bar.update(len(block))
        out.flush()
        os.fsync(out.fileno())


def _size(path):
    return path.stat().st_size if path.is_file() else 0


def _start(answer):
    """Return the position of an answer's first byte: 0 where the server sends the whole file."""
    match = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
    return int(match.group(1)) if answer.status_code == 206 and match else 0


def _total(answer):
    """Return the size of the whole file, or None where the server does not say."""
    if answer.status_code in (206, 416):
        match = re.search(r"/(\d+)$", answer.headers.get("Content-Range", ""))
        return int(match.group(1)) if match else None
    length = answer.headers.get("Content-Length", "")
    return int(length) if length.isdigit() else None


def _verify(file, path, remedy):
    """Raise `VQRecError` if a file has another size or checksum than is known."""
    size = path.stat().st_size
    if file.size is not None and size != file.size:
        raise VQRecError(f"{file.path}: has {size:,} bytes, expected {file.size:,}; {remedy}")
    if file.sha256 and file_hash(path) != file.sha256:
        raise VQRecError(f"{file.path}: has another SHA-256 than {file.sha256[:12]}... ({size:,} bytes); {remedy}")
