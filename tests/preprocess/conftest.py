"""Small raw files and the shared real data."""

import gzip
import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from recbole_vqrec.cli import main

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def command():
    """Return a function that runs the console command and returns its result; it must not end in a traceback."""

    def run(*arguments):
        result = CliRunner().invoke(main, [str(argument) for argument in arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        return result

    return run


@pytest.fixture(scope="session")
def shared_data():
    """Return a function that returns the path of a real raw file, or skips the test where it is absent."""
    folder = Path(os.environ.get("VQREC_SHARED_DATA") or REPOSITORY.parent / "shared" / "data")

    def path(name):
        if not (folder / name).exists():
            pytest.skip(f"needs real data: {folder / name} is absent; set VQREC_SHARED_DATA to its folder")
        return folder / name

    return path


METADATA = [
    {"asin": "B1", "title": "Saw &amp; <b>Blade</b>", "category": ["Tools", "Hand\tTools"], "brand": 'Acme "Co"...'},
    {"asin": "B2", "title": "null", "category": [], "brand": ""},
    {"asin": "B1", "title": "a second time", "category": [], "brand": "X"},
    {"asin": "B3", "title": '<span class="a-size-medium a-color-secondary"', "category": [], "brand": ""},
    {"asin": "B9", "title": "nobody rates it", "category": [], "brand": ""},
]
RATINGS = """\
B1,U2,5.0,20
B2,U2,3.0,10
B3,U2,3.0,20
B2,U1,4.0,30
B1,U1,4.0,30
B3,U1,4.0,30
B3,U1,4.0,30
B7,U1,4.0,5
B2,U3,4.0,5
"""


@pytest.fixture
def amazon_files(tmp_path):
    """Return the paths of ratings and metadata of three users and three described items, one item undescribed."""
    ratings, metadata = tmp_path / "r.csv", tmp_path / "m.json.gz"
    ratings.write_text(RATINGS, encoding="utf-8")
    metadata.write_bytes(gzip.compress("".join(json.dumps(item) + "\n" for item in METADATA).encode()))
    return ratings, metadata
