import gzip

import pytest

INTER = """\
user_id:token\titem_id:token\trating:float\ttimestamp:float
10\tb\t1\t7
9\ta\t2\t7.5
9\tb\t2\t3
9\tb\t2\t3
9\tunknown\t2\t3
"""
ITEM = '''\
item_id:token\ttitle:token_seq\tyear:token\tcategories:token_seq
b\t"The ""B"""\t1999\tx & y
a\tNA\t2000\t
a\tsecond\t2000\t
'''


@pytest.fixture
def files(tmp_path):
    inter, item = tmp_path / "d.inter.gz", tmp_path / "d.item"
    inter.write_bytes(gzip.compress(INTER.encode()))
    item.write_text(ITEM)
    return inter, item


def preprocess(command, inter, item, out, *more):
    files = ["--inter", inter, "--item", item, "--out", out, "--user-k", 1, "--item-k", 1]
    return command("preprocess", "atomic", *files, *more)


def test_literal_result(command, files, tmp_path):
    result = preprocess(command, *files, tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    assert (tmp_path / "out/d/d.inter").read_text() == (
        "user_id:token\titem_id:token\ttimestamp:float\n9\tb\t3.0\n9\ta\t7.5\n10\tb\t7.0\n"
    )
    assert (tmp_path / "out/d/d.item").read_text() == (
        "item_id:token\ttitle:token_seq\tcategories:token_seq\na\tNA.\t\nb\tThe B.\tx & y.\n"
    )
    preprocess(command, *files, tmp_path / "out", "--text-columns", "year,title", "--name", "e")
    assert (tmp_path / "out/e/e.item").read_text().splitlines()[1] == "a\t2000.\tNA."


def test_the_result_is_a_fixed_point(command, files, tmp_path):
    preprocess(command, *files, tmp_path / "out")
    first = tmp_path / "out/d"
    preprocess(command, first / "d.inter", first / "d.item", tmp_path / "again")
    for suffix in ("inter", "item"):
        assert (tmp_path / f"again/d/d.{suffix}").read_bytes() == (first / f"d.{suffix}").read_bytes()


def test_blanks_of_any_kind_around_an_id_are_none_of_it(command, tmp_path):
    (tmp_path / "d.inter").write_text("user_id:token\titem_id:token\ttimestamp:float\nu\ti0\t1\nu\ti0\u00a0\t2\n")
    (tmp_path / "d.item").write_text("item_id:token\ttitle:token_seq\ni0\tGlue\ni0\u00a0\tTape\n")
    result = preprocess(command, tmp_path / "d.inter", tmp_path / "d.item", tmp_path / "out")
    assert "d: 1 users, 1 items, 2 interactions" in result.stdout, result.stderr
    assert (tmp_path / "out/d/d.item").read_text().splitlines()[1:] == ["i0\tGlue."]


def test_files_that_the_command_did_not_make_are_not_replaced(command, files, tmp_path):
    own = tmp_path / "out/d"
    own.mkdir(parents=True)
    (own / "d.item").write_text(ITEM)
    result = preprocess(command, files[0], own / "d.item", tmp_path / "out")
    assert result.exit_code == 2 and "d.item: the result would replace its own input" in result.stderr
    result = preprocess(command, *files, tmp_path / "out")
    assert result.exit_code == 2 and "d.item: would be replaced, and d.preprocess.json does not say" in result.stderr
    assert (own / "d.item").read_text() == ITEM and not (own / "d.inter").exists()
    assert preprocess(command, *files, tmp_path / "out", "--force").exit_code == 0


def test_refusals(command, files, tmp_path):
    inter, item = files
    out = tmp_path / "out"

    def said(*arguments):
        result = preprocess(command, *arguments)
        assert result.exit_code == 2
        return result.stderr

    assert "no text column 'titel', did you mean 'title'?" in said(inter, item, out, "--text-columns", "titel")
    assert "expected a header like 'item_id:token' with user_id, item_id, timestamp" in said(item, item, out)
    (tmp_path / "n.inter").write_text("user_id\titem_id\ttimestamp\n1\t2\t3\n")
    assert "expected a header" in said(tmp_path / "n.inter", item, out)
    (tmp_path / "n.inter").write_text("user_id:token\titem_id:token\ttimestamp:float\nu\ta\tlong ago\n")
    assert "line 2: timestamp 'long ago' is not a number" in said(tmp_path / "n.inter", item, out)
    (tmp_path / "n.inter").write_text("user_id:token\titem_id:token\ttimestamp:float\n")
    assert "has no lines" in said(tmp_path / "n.inter", item, out)
    preprocess(command, *files, out)
    assert "would replace its own input" in said(out / "d/d.inter", item, out)
    assert "no plain file name" in said(inter, item, out, "--name", "../x")
