"""Amazon reviews of the 2018 and 2023 releases -> raw data (paper, section 3.1.1).

Ratings come as csv or as reviews of one JSON object a line; which of the two is read from the file itself.
"""

from dataclasses import dataclass

import polars as pl

from recbole_vqrec.errors import VQRecError, nearest
from recbole_vqrec.preprocess.bad_lines import BadLines
from recbole_vqrec.preprocess.dataset_files import RawData
from recbole_vqrec.preprocess.delimited import as_number, id_fault, read_delimited
from recbole_vqrec.preprocess.interactions import InteractionCollector
from recbole_vqrec.preprocess.item_text import distinct_columns
from recbole_vqrec.preprocess.json_lines import as_text, read_json_lines
from recbole_vqrec.preprocess.raw_files import first_line


@dataclass(frozen=True)
class Release:
    """Names of one release.

    Attributes:
        ratings (list of str): columns of a ratings csv without header.
        reviews (dict): column -> key of a review.
        item_key (str): key of the item id in the metadata.
        texts (dict): text column -> key in the metadata.
        ticks (int): units of time in a second.
    """

    ratings: list
    reviews: dict
    item_key: str
    texts: dict
    ticks: int


RELEASES = {
    "2018": Release(
        ["item_id", "user_id", "rating", "timestamp"],
        {"user_id": "reviewerID", "item_id": "asin", "rating": "overall", "timestamp": "unixReviewTime"},
        "asin",
        {
            "title": "title",
            "categories": "category",
            "brand": "brand",
            "features": "feature",
            "description": "description",
        },
        1,
    ),
    "2023": Release(
        ["user_id", "item_id", "rating", "timestamp"],
        {"user_id": "user_id", "item_id": "parent_asin", "rating": "rating", "timestamp": "timestamp"},
        "parent_asin",
        {
            "title": "title",
            "categories": "categories",
            "brand": "store",
            "features": "features",
            "description": "description",
        },
        1000,
    ),
}
COLUMNS_OF_HEADER = {
    "asin": "item_id",
    "parent_asin": "item_id",
    "reviewerID": "user_id",
    "unixReviewTime": "timestamp",
}


def read_amazon(ratings, metadata, version, text_columns, say=print, **reading):
    """Return the `RawData` of a category.

    Args:
        ratings (path): ratings csv or reviews, compressed or not.
        metadata (path): one JSON object an item; of several for one item the first counts.
        version (str): "2018" or "2023".
        text_columns (list of str): of title, categories, brand, features, description.
        say (callable): receives one line about bad lines.
        reading: block_size and progress of `raw_files.blocks`.

    Raises:
        VQRecError: no or an unknown text column, a damaged file, or too many bad lines.
    """
    release = RELEASES[version]
    text_columns = distinct_columns(text_columns)
    for name in text_columns:
        if name not in release.texts:
            raise VQRecError(
                f"text column '{name}' is none of {', '.join(release.texts)}{nearest(name, release.texts)}"
            )
    remedy = f"check that the file belongs to the {version} release (--version), or correct these lines"
    items, notes = _read_metadata(metadata, release, text_columns, BadLines(metadata, remedy), say, reading)
    bad = BadLines(ratings, remedy)
    is_json = first_line(ratings).lstrip().startswith("{")
    collector = InteractionCollector()
    for table in (_reviews if is_json else _ratings)(ratings, release, bad, reading):
        collector.add(table.with_columns(pl.col("timestamp") / release.ticks))
    bad.report(say)
    return RawData(collector.interactions(), items, {**notes, "bad_lines_of_ratings": bad.count})


def _ratings(path, release, bad, reading):
    columns = first_line(path).replace('"', "").split(",")
    columns = [COLUMNS_OF_HEADER.get(name.strip(), name.strip()) for name in columns]
    header = not set(columns).isdisjoint(release.ratings)
    if not header:
        columns = release.ratings
    missing = [name for name in release.ratings if name not in columns]
    if missing or len(set(columns)) < len(columns):
        expected = ", ".join(release.ratings)
        raise VQRecError(f"{path} line 1: columns {', '.join(columns)}, expected {expected}, each once")
    yield from read_delimited(
        path, ",", columns, ["user_id", "item_id"], ["rating", "timestamp"], bad, header=header, **reading
    )


def _reviews(path, release, bad, reading):
    keys = [release.reviews[name] for name in ("user_id", "item_id", "rating", "timestamp")]
    schema = {"user_id": pl.String, "item_id": pl.String, "rating": pl.Float64, "timestamp": pl.Float64}
    for block in read_json_lines(path, keys, bad, **reading):
        rows = []
        for line, (user, item, rating, time) in block:
            fault = _id_fault(user, keys[0]) or _id_fault(item, keys[1])
            rating, time = _number(rating), _number(time)
            if fault or rating is None or time is None:
                bad.add(line, fault or f"{keys[2]} or {keys[3]} is not a number")
            else:
                rows.append((user.strip(), item.strip(), rating, time))
        yield pl.DataFrame(rows, schema=schema, orient="row")


def _number(value):
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value) if abs(value) < 1e300 else None
    return as_number(value.strip()) if isinstance(value, str) else None


def _id_fault(value, key):
    """Return what is wrong with the id under a key of a JSON object, or None."""
    if not isinstance(value, str):
        return f"has no {key}"
    fault = id_fault(value.strip())
    return fault and f"{key} {fault}"


def _read_metadata(path, release, text_columns, bad, say, reading):
    """Return (item_id and raw text columns, counts)."""
    found, twice = {}, 0
    keys = [release.item_key, *(release.texts[name] for name in text_columns)]
    for block in read_json_lines(path, keys, bad, **reading):
        for line, (item_id, *texts) in block:
            if fault := _id_fault(item_id, release.item_key):
                bad.add(line, fault)
            elif (item_id := item_id.strip()) in found:
                twice += 1
            else:
                found[item_id] = [as_text(text) for text in texts]
    bad.report(say)
    texts = zip(*found.values(), strict=True) if found else [[] for _ in text_columns]
    columns = {name: list(values) for name, values in zip(text_columns, texts, strict=True)}
    schema = dict.fromkeys(["item_id", *text_columns], pl.String)
    items = pl.DataFrame({"item_id": list(found), **columns}, schema=schema)
    return items, {"bad_lines_of_metadata": bad.count, "repeated_metadata_lines": twice}
