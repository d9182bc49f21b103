import pandas as pd
import polars as pl
import pytest

from recbole_vqrec.errors import VQRecError
from recbole_vqrec.inference.histories import as_histories, read_histories

TABLE = pd.DataFrame(
    {"user": ["b", "a", "b", "a", "b"], "item": ["1", "2", "3", "4", "5"], "time": ["9", "2", "10", "1", "9"]}
)


def test_lists_and_dicts():
    assert as_histories([["a", 5], []]) == ([0, 1], [["a", "5"], []])
    assert as_histories({"u": ("a", "b")}) == (["u"], [["a", "b"]])


def test_users_come_in_the_order_of_rows_whatever_the_index():
    table = TABLE.iloc[[1, 0, 2, 3, 4]]  # index 1, 0, ...
    assert as_histories(table)[0] == ["a", "b"] and as_histories(table.drop(columns="time"))[0] == ["a", "b"]


def test_tables_are_in_time_then_row_order_and_users_in_order_of_appearance():
    assert as_histories(TABLE) == (["b", "a"], [["1", "5", "3"], ["4", "2"]])
    assert as_histories(TABLE[["user", "item"]]) == (["b", "a"], [["1", "3", "5"], ["2", "4"]])


@pytest.mark.parametrize("name", ["h.csv", "h.tsv", "h.inter", "h.parquet"])
def test_files(tmp_path, name):
    path = tmp_path / name
    if name.endswith("parquet"):
        pl.DataFrame(TABLE.to_dict("list")).write_parquet(path)
    else:
        columns = {"user": "user_id:token", "item": "item_id:token", "time": "timestamp:float"}
        table = TABLE.rename(columns=columns) if name.endswith("inter") else TABLE
        table.to_csv(path, index=False, sep="," if name.endswith("csv") else "\t")
    assert as_histories(read_histories(path)) == (["b", "a"], [["1", "5", "3"], ["4", "2"]])


@pytest.mark.parametrize(
    "histories, message",
    [
        (["i1", "i2"], "of user 0: expected a list of item ids, found str"),
        ("i1", "expected a list of item ids, found NoneType"),
        (None, "expected a list of item ids"),
        ({"u": 5}, "of user u: expected a list of item ids, found int"),
        (pd.DataFrame({"who": [], "item": []}), "column 'user' not found; the columns are who, item"),
        (pd.DataFrame({"user": ["u", None], "item": ["a", "b"]}), "histories: user is missing in row 2"),
        (pd.DataFrame({"user": ["u", None], "item": ["a", "b"], "time": [1, 2]}), "user is missing in row 2"),
        (pd.DataFrame({"user": ["u", ""], "item": ["a", "b"]}), "histories: user is missing in row 2"),
        (pd.DataFrame({"user": ["u"], "item": [float("nan")]}), "histories: item is missing in row 1"),
        (pd.DataFrame({"user": ["u"], "item": ["a"], "time": ["soon"]}), "time 'soon' of user u is no time"),
    ],
)
def test_other_forms_are_refused(histories, message):
    with pytest.raises(VQRecError, match=message):
        as_histories(histories)


def test_files_that_are_no_tables(tmp_path):
    with pytest.raises(VQRecError, match="none.csv: histories not found"):
        read_histories(tmp_path / "none.csv")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(VQRecError, match="empty.csv: not readable as a table"):
        read_histories(tmp_path / "empty.csv")
    (tmp_path / "bad.parquet").write_text("no parquet")
    with pytest.raises(VQRecError, match="bad.parquet: not readable as a table"):
        read_histories(tmp_path / "bad.parquet")


def test_a_field_too_many_shifts_nothing(tmp_path):
    (tmp_path / "x.csv").write_text("user,item\na,i1,\nb,i2,\n")
    with pytest.raises(VQRecError, match="its lines have more fields than the header"):
        read_histories(tmp_path / "x.csv")
