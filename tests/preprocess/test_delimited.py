import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recbole_vqrec.preprocess import delimited
from recbole_vqrec.preprocess.bad_lines import BadLines

COLUMNS = ["user_id", "title", "timestamp"]
FIELD = st.one_of(
    st.sampled_from(["", " ", "NA", "null", "1", " 7 ", "1e3", "-.5", "+1.", "1_0", "inf", "nan", "0x1", "1e999"]),
    st.sampled_from(["\u0663", "\uff11"]),  # digits that are not ASCII
    st.text(alphabet='a \t\r"\x1f\x00\x85\xa0é#', max_size=4),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(FIELD, min_size=2, max_size=4), min_size=1, max_size=3))
@example([["u", "a", "1"], ["u", "1"], ["u", "a", "1", "2"]])
@example([["u", "a\r", "1\r"]])
def test_both_ways_agree(rows):
    block = "".join(",".join(row) + "\n" for row in rows).encode()
    arguments = (block, 1, ",", COLUMNS, ["user_id"], ["timestamp"])
    fast = delimited._at_once(*arguments)
    bad = BadLines("x")
    slow = delimited._line_by_line(*arguments, bad)
    if fast is not None:
        assert bad.count == 0
        assert fast.equals(slow)


def test_the_fast_way_is_taken():
    block = "u,é#,1\nv,,2.5\r\n".encode()
    table = delimited._at_once(block, 5, ",", COLUMNS, ["user_id"], ["timestamp"])
    assert table.rows() == [(5, "u", "é#", 1.0), (6, "v", "", 2.5)]


def test_quotes_are_undone(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text('user_id,title,timestamp\n"u","a, ""b""",1\n\nv,12" bar,2\n')
    bad = BadLines(path)
    tables = list(delimited.read_delimited(path, ",", COLUMNS, ["user_id"], ["timestamp"], bad, header=True))
    assert [row for table in tables for row in table.rows()] == [(2, "u", 'a, "b"', 1.0), (4, "v", '12" bar', 2.0)]
    assert (bad.count, bad.lines) == (0, 3)


@pytest.mark.parametrize("row", ["u,7,1", 'u,"7",1'])  # at once, and line by line
def test_a_column_may_be_called_line(tmp_path, row):
    path = tmp_path / "x.csv"
    path.write_text(f"user_id,line,timestamp\n{row}\n")
    columns = ["user_id", "line", "timestamp"]
    (table,) = delimited.read_delimited(path, ",", columns, ["user_id"], ["timestamp"], BadLines(path), header=True)
    assert table.rows() == [(2, "u", "7", 1.0)] and table["line"].to_list() == ["7"]
