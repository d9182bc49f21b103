"""Files of one JSON object a line -> objects; bad lines are noted with their numbers."""

import orjson

from recbole_vqrec.preprocess.raw_files import BLOCK_SIZE, blocks


def read_json_lines(path, bad, **reading):
    """Yield lists of (line number, object) block by block, in file order.

    Args:
        path (str or Path): the file, compressed or not.
        bad (BadLines): receives the lines that are no JSON object.
        reading: block_size and progress of `raw_files.blocks`.
    """
    reading.setdefault("block_size", BLOCK_SIZE)
    loads = orjson.loads
    for line, block in blocks(path, **reading):
        found = []
        for number, content in enumerate(block[:-1].split(b"\n"), start=line):
            try:
                value = loads(content)
            except orjson.JSONDecodeError as error:
                if content.strip():
                    bad.add(number, f"not JSON ({error.msg})", content.decode("utf-8", "replace"))
                continue
            if isinstance(value, dict):
                found.append((number, value))
            else:
                bad.add(number, "expected a JSON object", content.decode("utf-8", "replace"))
        bad.lines += block.count(b"\n")
        yield found


def as_text(value):
    """Return a JSON value as text: the parts of a list joined by a blank, nothing for objects and null."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return " ".join(filter(None, map(as_text, value)))
    return "" if value is None or isinstance(value, (bool, dict)) else str(value)
