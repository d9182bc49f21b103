"""Which columns form an item's text."""

import shutil

import pytest

from recbole_vqrec.errors import VQRecError
from recbole_vqrec.preprocess.amazon import read_amazon
from recbole_vqrec.preprocess.atomic_input import read_atomic
from recbole_vqrec.preprocess.item_text import distinct_columns


@pytest.fixture
def atomic_files(tmp_path):
    inter, item = tmp_path / "d.inter", tmp_path / "d.item"
    inter.write_text("user_id:token\titem_id:token\ttimestamp:float\nu\ta\t1\n")
    item.write_text("item_id:token\ttitle:token_seq\tbrand:token_seq\na\tBall\tRed\n")
    return inter, item


def atomic(files):
    return ["atomic", "--inter", files[0], "--item", files[1], "--user-k", 1, "--item-k", 1]


def amazon(files):
    return ["amazon", "--ratings", files[0], "--metadata", files[1], "--name", "d", "--user-k", 1, "--item-k", 1]


def test_each_column_counts_once_in_the_order_given():
    assert distinct_columns(["title", "brand", "title"]) == ["title", "brand"]
    with pytest.raises(VQRecError, match="text columns: none are named; name some"):
        distinct_columns([])


def test_a_column_named_twice(command, atomic_files, amazon_files, tmp_path):
    for arguments in (atomic(atomic_files), amazon(amazon_files)):
        results = [
            command("preprocess", *arguments, "--out", tmp_path / "out", "--text-columns", columns)
            for columns in ("title,title", "title")
        ]
        assert [result.exit_code for result in results] == [0, 0] and "up to date" in results[1].stdout
        assert (tmp_path / "out/d/d.item").read_text().startswith("item_id:token\ttitle:token_seq\n")
        shutil.rmtree(tmp_path / "out")
    assert read_atomic(*atomic_files, ["brand", "brand"]).items.rows() == [("a", "Red")]
    assert read_amazon(*amazon_files, "2018", ["title", "title"]).items.columns == ["item_id", "title"]


@pytest.mark.parametrize("columns", ["", " , "])
def test_no_column_named(command, atomic_files, amazon_files, tmp_path, columns):
    for arguments in (atomic(atomic_files), amazon(amazon_files)):
        result = command("preprocess", *arguments, "--out", tmp_path / "out", "--text-columns", columns)
        assert result.exit_code == 2 and "text columns: none are named; name some" in result.stderr
