"""Whatever the raw files hold: a one-line error and nothing written, or files that the next step reads."""

import functools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recbole_vqrec.errors import VQRecError
from recbole_vqrec.preprocess.amazon import read_amazon
from recbole_vqrec.preprocess.atomic_files import read_table
from recbole_vqrec.preprocess.atomic_input import read_atomic
from recbole_vqrec.preprocess.dataset_files import make_dataset
from recbole_vqrec.preprocess.item_text import item_texts
from recbole_vqrec.preprocess.online_retail import read_online_retail

OPTIONS = {"user_k": 1, "item_k": 1, "duplicates": "drop", "ties": "input", "ties_seed": 0, "long_text": "beginning"}
ANY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
TEXT = st.text(max_size=6).map(str.encode)
FIELD = st.one_of(TEXT, st.sampled_from([b"U1", b"B1", b"B 2", b'"B1"', b"5", b"1e3", b"", b"NA", b"12/1/2010 8:26"]))
READING = {"say": lambda line: None, "progress": False}


def lines(separator, good):
    """Return a strategy of whole files: good lines, lines of odd fields, and lines of any bytes."""
    odd = st.lists(FIELD, min_size=1, max_size=5).map(separator.join)
    return st.lists(st.one_of(st.sampled_from(good), odd, st.binary(max_size=12)), max_size=5).map(b"\n".join)


def read_or_refused(folder, read, inputs, clean=True):
    try:
        options = {**OPTIONS, "clean": clean}
        make_dataset(folder / "D", "D", "any", options, inputs, read, force=True, say=lambda line: None)
    except VQRecError as error:
        assert "\n" not in str(error) and "\r" not in str(error)
        return
    inter, items = read_table(folder / "D/D.inter", ""), read_table(folder / "D/D.item", "")
    assert set(inter["item_id"]) == set(items["item_id"]) and items["item_id"].is_unique
    ids, texts = item_texts(folder / "D/D.item")
    assert ids == items["item_id"].tolist() and all(texts)


RATINGS = [b"B1,U1,5,1", b'"B2",U1,5,1', b"B1,U2,1.0,7\r"]
METADATA = [b'{"asin": "B1"}', b'{"asin": "B2", "title": [["x", "<b>&quot;"]]}', b'{"asin": "B3", "title": 5}']


@ANY
@given(lines(b",", RATINGS), lines(b",", METADATA))
def test_amazon(tmp_path, ratings, metadata):
    files = tmp_path / "any.csv", tmp_path / "any.json"
    files[0].write_bytes(ratings)
    files[1].write_bytes(metadata)
    read_or_refused(tmp_path, functools.partial(read_amazon, *files, "2018", ["title", "brand"], **READING), files)


REVIEWS = {
    "2018": [b'{"reviewerID": "U1", "asin": "B1", "overall": 5.0, "unixReviewTime": 1}', b'{"asin": 1}', b"{}"],
    "2023": [b'{"user_id": "U", "parent_asin": "B1", "rating": 5, "timestamp": 1e12}', b'{"user_id": null}', b"[]"],
}
ODD = [b'{"parent_asin": "B1", "title": "\\u0000\\ud800\\t<b>"}', b'{"parent_asin": ""}']
DESCRIBED = {"2018": METADATA, "2023": ODD}


@pytest.mark.parametrize("version", ["2018", "2023"])
@ANY
@given(data=st.data())
def test_amazon_reviews(tmp_path, version, data):
    files = tmp_path / "any.json", tmp_path / "meta.json"
    first = REVIEWS[version][0]  # what a file holds is told from its first line
    files[0].write_bytes(first + b"\n" + data.draw(lines(b",", REVIEWS[version])))
    files[1].write_bytes(data.draw(lines(b",", DESCRIBED[version])))
    read_or_refused(tmp_path, functools.partial(read_amazon, *files, version, ["title", "brand"], **READING), files)


@ANY
@given(lines(b",", [b"U1,B1,5.0,1588687728923", b"U2,B1,1.0,1588687728923"]), lines(b",", DESCRIBED["2023"]))
def test_amazon_2023_csv(tmp_path, ratings, metadata):
    files = tmp_path / "any.csv", tmp_path / "meta.json"
    files[0].write_bytes(b"user_id,parent_asin,rating,timestamp\n" + ratings)
    files[1].write_bytes(metadata)
    read_or_refused(tmp_path, functools.partial(read_amazon, *files, "2023", ["title"], **READING), files)


ROWS = [b"u,b1,The Bar,1,12/1/2010 8:26", b'u,b 2,"a, ""b""",2,2010-12-01 08:26:00', b"u,b3,,2,1/1/2011 0:00"]


@ANY
@given(lines(b",", ROWS))
def test_online_retail(tmp_path, content):
    file = tmp_path / "any.csv"
    file.write_bytes(b"InvoiceNo,StockCode,Description,Quantity,InvoiceDate\n" + content)
    read_or_refused(tmp_path, functools.partial(read_online_retail, file, **READING), [file])


INTER = [b"u\tb1\t1", b"v\tb1\t2.5", b'"u ""1"\tb2\t-3']
ITEM = [b'b1\t"a ""title"""\tx', b"b2\t\t", b'b3\t5" bar\tNA']


@pytest.mark.parametrize("clean", [True, False])
@ANY
@given(inter=lines(b"\t", INTER), item=lines(b"\t", ITEM))
def test_atomic(tmp_path, inter, item, clean):
    files = tmp_path / "any.inter", tmp_path / "any.item"
    files[0].write_bytes(b"user_id:token\titem_id:token\ttimestamp:float\n" + inter)
    files[1].write_bytes(b"item_id:token\ttitle:token_seq\tbrand:token_seq\n" + item)
    read_or_refused(tmp_path, functools.partial(read_atomic, *files, **READING), files, clean)
