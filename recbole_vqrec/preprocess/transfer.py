"""One published file over HTTP, resumed where a connection broke.

It is written as <name>.part and takes its name when its size, and where one is known its checksum, is right.
"""

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import requests
from tqdm import tqdm

from recbole_vqrec.provenance import file_hash
from recbole_vqrec.errors import VQRecError

BLOCK = 1 << 15  # bytes; what a broken connection had brought of the last block is fetched again
FIRST_BYTES = {".gz": b"\x1f\x8b", ".zip": b"PK"}
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


def fetch(file, attempts, wait, timeout, say, progress=True):
    """Fetch one file, connecting again as long as something new arrives.

    Args:
        file (RemoteFile): the file.
        attempts (int): connections in a row that bring nothing new before it stops.
        wait (float): seconds before the next connection, doubled while nothing new arrives.
        timeout (float): seconds without a byte after which a connection counts as broken.
        say (callable): receives a line for each broken connection.
        progress (bool): show a progress bar.

    Raises:
        requests.RequestException: no network, no such file, or too many broken connections.
        VQRecError: another size or checksum than known.
    """
    part = file.path.with_name(f"{file.path.name}.part")
    reached, in_vain, answered = _size(part), 0, False
    while not (done := _transfer(file, part, timeout, progress)).complete:
        answered = answered or done.answered
        if not answered:
            raise done.error  # no network: waiting will not help
        in_vain = 0 if _size(part) > reached else in_vain + 1
        reached = max(reached, _size(part))
        if in_vain >= attempts:
            raise done.error or requests.ConnectionError(f"{attempts} connections in a row broke at {reached:,} bytes")
        pause = wait * 2 ** max(in_vain - 1, 0)
        say(f"{file.path.name}: connection lost at {_size(part):,} bytes, again in {pause:g} seconds")
        time.sleep(pause)
    try:
        verify(file, part, "the server has another file than is known; report it, or fetch it by hand")
    except VQRecError:
        part.unlink()  # the next attempt must not build on it
        raise
    os.replace(part, file.path)


class _Transfer(NamedTuple):
    complete: bool
    answered: bool = True
    error: Exception | None = None


def _transfer(file, part, timeout, progress):
    """Append to the part what one connection brings."""
    have = _size(part)
    headers = {"Accept-Encoding": "identity"}  # bytes as they are stored, so that ranges and sizes mean the file
    if have:
        headers["Range"] = f"bytes={have}-"
    answered = False
    try:
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
    bar = tqdm(desc=part.stem, initial=start, total=total, unit="B", unit_scale=True, disable=not progress)
    with bar, open(part, "ab" if start else "wb") as out:
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


def verify(file, path, remedy):
    """Raise `VQRecError` if a file has another size or checksum than is known, or is a web page in its place."""
    size = path.stat().st_size
    expected = FIRST_BYTES.get(file.path.suffix, b"")
    with open(path, "rb") as opened:
        if opened.read(len(expected)) != expected:
            raise VQRecError(f"{file.path}: is no {file.path.suffix} file ({size:,} bytes, a log-in page?); {remedy}")
    if file.size is not None and size != file.size:
        raise VQRecError(f"{file.path}: has {size:,} bytes, expected {file.size:,}; {remedy}")
    if file.sha256 and file_hash(path) != file.sha256:
        raise VQRecError(f"{file.path}: has another SHA-256 than {file.sha256[:12]}... ({size:,} bytes); {remedy}")
