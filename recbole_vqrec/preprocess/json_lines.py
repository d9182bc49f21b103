"""Files of one JSON object a line -> the values of some keys; bad lines are noted with their numbers."""

from typing import Any

import msgspec

from recbole_vqrec.preprocess.raw_files import BLOCK_SIZE, blocks


def read_json_lines(path, keys, bad, **reading):
    """Yield lists of (line number, values of `keys`) block by block, in file order; a missing key has the value None.

    Args:
        path (str or Path): the file, compressed or not.
        keys (list of str): keys of the objects; all others are skipped without being decoded.
        bad (BadLines): receives the lines that are no JSON object.
        reading: block_size and progress of `raw_files.blocks`.
    """
    reading.setdefault("block_size", BLOCK_SIZE)
    decode = msgspec.json.Decoder(msgspec.defstruct("Line", [(key, Any, None) for key in keys], gc=False)).decode
    values = msgspec.structs.astuple
    for line, block in blocks(path, **reading):
        found = []
        for number, content in enumerate(block[:-1].split(b"\n"), start=line):
            try:
                found.append((number, values(decode(content))))
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                if content.strip():
                    bad.add(number, f"no JSON object ({error})", content.decode("utf-8", "replace"))
        bad.lines += block.count(b"\n")
        yield found


def as_text(value):
    """Return a JSON value as text: the parts of a list joined by a blank, nothing for objects and null."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return " ".join(filter(None, map(as_text, value)))
    return "" if value is None or isinstance(value, (bool, dict)) else str(value)
