import pandas as pd
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pandas._libs.parsers import STR_NA_VALUES

from recbole_vqrec.errors import VQRecError
from recbole_vqrec.preprocess.atomic_files import NA_WORDS, read_interactions, read_table, write_table

TYPES = {"item_id": "token", "title": "token_seq", "brand": "token_seq"}


def as_recbole_reads(path):
    """Read as recbole.data.dataset.Dataset._load_feat does."""
    return pd.read_csv(path, delimiter="\t", dtype=str, encoding="utf-8", engine="python").fillna("")


def test_missing_words_are_those_of_pandas():
    assert {*NA_WORDS, ""} == set(STR_NA_VALUES)


def test_literal_bytes(tmp_path):
    table = pd.DataFrame({"item_id": ["B1", "B2"], "title": ['12" bar', '"q"\tx\n'], "brand": ["NA", ""]})
    write_table(tmp_path / "x.item", table, TYPES)
    assert (tmp_path / "x.item").read_bytes() == (
        b'item_id:token\ttitle:token_seq\tbrand:token_seq\nB1\t"12"" bar"\tNA.\nB2\t"""q"" x"\t\n'
    )
    assert read_table(tmp_path / "x.item", "").values.tolist() == [["B1", '12" bar', "NA."], ["B2", '"q" x', ""]]


TEXT = st.one_of(st.text(max_size=12), st.sampled_from(["NA", '"', '""', '"x', "null", "#", "\ufeff", " nan "]))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=4), st.booleans())
def test_any_text_survives(tmp_path, texts, with_polars):
    columns = {"item_id": [f"B{row}" for row in range(len(texts))], "title": [], "brand": []}
    columns["title"], columns["brand"] = map(list, zip(*texts, strict=True))
    path = tmp_path / "x.item"
    write_table(path, (pl if with_polars else pd).DataFrame(columns), TYPES)
    ours, recbole = read_table(path, ""), as_recbole_reads(path)
    recbole.columns = list(TYPES)
    assert ours.equals(recbole)
    for name in ("title", "brand"):
        for before, after in zip(columns[name], ours[name], strict=True):
            visible = "".join(c if c.isprintable() or ord(c) > 0x9F else " " for c in before).split()
            assert after.split() == visible or after == f"{' '.join(visible)}."


def test_full_disk_is_named(tmp_path, monkeypatch):
    def full_disk(*_, **__):
        raise OSError("No space left on device (os error 28)")  # as polars raises it

    monkeypatch.setattr(pl.DataFrame, "write_csv", full_disk)
    table = pd.DataFrame({"item_id": ["B1"], "title": [""], "brand": [""]})
    with pytest.raises(VQRecError, match="x.item: writing failed .No space left"):
        write_table(tmp_path / "x.item", table, TYPES)


def test_token_that_reads_as_missing_is_refused(tmp_path):
    table = pd.DataFrame({"item_id": ["B1", "null"], "title": ["", ""], "brand": ["", ""]})
    with pytest.raises(VQRecError, match="x.item line 3: item_id is 'null', which RecBole reads as missing"):
        write_table(tmp_path / "x.item", table, TYPES)
    assert list(tmp_path.iterdir()) == []


def test_rows_are_written_in_pieces(tmp_path, monkeypatch):
    table = pl.DataFrame({"item_id": ["B1", "B2", "null"], "title": ["", "x", "y"], "brand": ["", "", "z"]})
    write_table(tmp_path / "whole", table[:2], TYPES)
    monkeypatch.setattr("recbole_vqrec.preprocess.atomic_files.ROWS_AT_ONCE", 1)
    write_table(tmp_path / "pieces", table[:2], TYPES)
    assert (tmp_path / "pieces").read_bytes() == (tmp_path / "whole").read_bytes()
    with pytest.raises(VQRecError, match="line 4"):
        write_table(tmp_path / "bad", table, TYPES)
    write_table(tmp_path / "empty", table[:0], TYPES)
    assert (tmp_path / "empty").read_text() == "item_id:token\ttitle:token_seq\tbrand:token_seq\n"


def test_open_quote_is_refused(tmp_path):
    (tmp_path / "x.item").write_text('item_id:token\ttitle:token_seq\nB1\t"open\nB2\tclosed"\n')
    with pytest.raises(VQRecError, match="line 2: the quote that opens title swallows the next line"):
        read_table(tmp_path / "x.item", "")
    (tmp_path / "x.item").write_text('item_id:token\ttitle:token_seq\nB1\t"open\n')
    with pytest.raises(VQRecError, match="x.item: .*correct the line"):
        read_table(tmp_path / "x.item", "")


def test_a_field_too_many_in_every_line_shifts_nothing(tmp_path):
    (tmp_path / "x.item").write_text("item_id:token\ttitle:token_seq\ni1\tglue\t\ni2\ttape\t\n")
    with pytest.raises(VQRecError, match="x.item: its lines have more fields than the header"):
        read_table(tmp_path / "x.item", "")


@pytest.mark.parametrize(
    "content, message",
    [
        ("user_id:token\titem_id:token\nu\ti\n", "line 1: has no column timestamp, only user_id, item_id"),
        ("user_id:token\titem_id:token\ttimestamp:float\nu\ti\t1\nu\tj\tsoon\n", "line 3: timestamp is 'soon'"),
    ],
)
def test_interactions_without_times(tmp_path, content, message):
    (tmp_path / "x.inter").write_text(content)
    with pytest.raises(VQRecError, match=message):
        read_interactions(tmp_path / "x.inter", "")
