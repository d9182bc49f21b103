"""Raw text files as they lie on disk -> blocks of whole lines, whatever their compression.

The kind of compression is read from the first bytes, so a wrong file name does no harm.
"""

import bz2
import contextlib
import lzma
import zipfile
import zlib
from pathlib import Path

from isal import igzip, isal_zlib
from tqdm import tqdm

from recbole_vqrec.errors import VQRecError, examples

BLOCK_SIZE = 1 << 25  # bytes of text read at once, 32 MB
LONGEST_LINE = 1 << 27
UTF8_MARK = b"\xef\xbb\xbf"
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
DAMAGE = (EOFError, zlib.error, isal_zlib.error, lzma.LZMAError, zipfile.BadZipFile, OSError)


@contextlib.contextmanager
def open_raw(path):
    """Yield (decompressed binary file, the file on disk) of a plain, .gz, .xz, .bz2 or one-member .zip file.

    Args:
        path (str or Path): the file.

    Raises:
        VQRecError: missing, unreadable, truncated or damaged, or a zip file with several members.
    """
    path = Path(path)
    try:
        with contextlib.ExitStack() as stack:
            raw = stack.enter_context(open(path, "rb"))
            start = raw.read(6)
            raw.seek(0)
            if start.startswith(b"\x1f\x8b"):
                opened = igzip.IGzipFile(fileobj=raw, mode="rb")
            elif start.startswith(b"\xfd7zXZ\x00"):
                opened = lzma.LZMAFile(raw)
            elif start.startswith(b"BZh"):
                opened = bz2.BZ2File(raw)
            elif start.startswith(b"PK\x03\x04"):
                opened = _only_member(stack.enter_context(zipfile.ZipFile(raw)), path)
            elif start.startswith(b"\x28\xb5\x2f\xfd"):
                raise VQRecError(f"{path}: compressed by zstd, which is not read; unpack it first")
            else:
                opened = contextlib.nullcontext(raw)
            yield stack.enter_context(opened), raw
    except FileNotFoundError:
        raise VQRecError(f"{path}: not found; put the file there, or give its path") from None
    except DAMAGE as error:
        said = getattr(error, "strerror", None) or str(error)
        raise VQRecError(f"{path}: cannot be read to its end ({said}); truncated or damaged, get it again") from error


def _only_member(archive, path):
    members = [name for name in archive.namelist() if not name.endswith("/")]
    if len(members) != 1:
        raise VQRecError(f"{path}: holds {len(members)} files ({examples(members)}), expected one; unpack it")
    try:
        return archive.open(members[0])
    except (RuntimeError, NotImplementedError) as error:  # encrypted, or packed in a way that zipfile does not know
        raise VQRecError(f"{path}: cannot be unpacked here ({error}); unpack it first") from error


def blocks(path, block_size=BLOCK_SIZE, encoding="utf-8", progress=True):
    """Yield (number of the first line, bytes of whole lines, each ended by a line feed) through a text file.

    Args:
        path (str or Path): the file, see `open_raw`.
        block_size (int): bytes read at once; no result depends on it.
        encoding (str): of the file; the blocks are UTF-8. A byte order mark is left out.
        progress (bool): show a progress bar.

    Raises:
        VQRecError: as `open_raw`; UTF-16, or a line so long that this is no text file.
    """
    line, rest = 1, b""
    with open_raw(path) as (file, raw), _bar(path, progress) as bar:
        while True:
            read = file.read(block_size)
            bar.update(raw.tell() - bar.n)
            block = rest + read
            cut = block.rfind(b"\n") + 1 if read else len(block)
            if len(block) - cut > LONGEST_LINE:
                raise VQRecError(f"{path} line {line}: longer than {LONGEST_LINE:,} bytes; expected a text file")
            block, rest = block[:cut], block[cut:]
            if block and line == 1:
                if block.startswith(UTF16_MARKS):
                    raise VQRecError(f"{path}: encoded as UTF-16; convert it to UTF-8")
                block = block.removeprefix(UTF8_MARK)
            if block:
                block = block if block.endswith(b"\n") else block + b"\n"
                block = block if encoding == "utf-8" else block.decode(encoding).encode()
                yield line, block
                line += block.count(b"\n")
            if not read:
                return


def _bar(path, progress):
    size = Path(path).stat().st_size
    return tqdm(total=size, desc=f"read {Path(path).name}", unit="B", unit_scale=True, disable=not progress)


def first_line(path, encoding="utf-8"):
    """Return the first line of a text file without its line break, bytes that are not text replaced."""
    for _, block in blocks(path, 1 << 16, encoding, progress=False):
        return block.split(b"\n", 1)[0].decode("utf-8", "replace").rstrip("\r")
    raise VQRecError(f"{path}: is empty; get the file again")


def encoding_of(path):
    """Return "utf-8" where a whole file is valid UTF-8, else "latin-1", which any bytes are."""
    for _, block in blocks(path, progress=False):
        try:
            block.decode()
        except UnicodeDecodeError:
            return "latin-1"
    return "utf-8"
