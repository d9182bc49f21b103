import bz2
import gzip
import hashlib
import json
import lzma
import zipfile

import pytest

from recbole_vqrec.errors import VQRecError
from recbole_vqrec.preprocess.amazon import read_amazon
from recbole_vqrec.preprocess.amazon_categories import find_files, full_category

INTER = """\
user_id:token\titem_id:token\ttimestamp:float
U1\tB2\t30
U1\tB1\t30
U1\tB3\t30
U2\tB2\t10
U2\tB1\t20
U2\tB3\t20
"""
ITEM = """\
item_id:token\ttitle:token_seq\tcategories:token_seq\tbrand:token_seq
B1\tSaw & Blade.\tTools Hand Tools.\tAcme Co.
B2\tnull.\t\t
B3\t.\t\t
"""


def preprocess(command, ratings, metadata, out, *more):
    options = ["--ratings", ratings, "--metadata", metadata, "--name", "D", "--out", out]
    return command("preprocess", "amazon", *options, "--user-k", 2, "--item-k", 2, *more)


def written(out):
    return [(out / "D" / f"D.{suffix}").read_bytes() for suffix in ("inter", "item")]


def sha256(out):
    return [hashlib.sha256(content).hexdigest() for content in written(out)]


def test_2018_literal_result(command, amazon_files, tmp_path):
    result = preprocess(command, *amazon_files, tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    assert [content.decode() for content in written(tmp_path / "out")] == [INTER, ITEM]
    record = json.loads((tmp_path / "out/D/D.preprocess.json").read_text())
    assert record["statistics"] == {
        "users": 2,
        "items": 3,
        "interactions": 6,
        "average_length": 3.0,
        "average_text_length": round((39 + 5 + 1) / 3, 4),
        "items_without_text": 1,
        "sparsity": 0.0,
    }
    assert record["counts"] == {
        "bad_lines_of_metadata": 0,
        "repeated_metadata_lines": 1,
        "bad_lines_of_ratings": 0,
        "interactions_read": 9,
        "without_metadata": 1,
        "duplicates": 1,
        "below_k_core": 1,
    }
    assert "2 users, 3 items, 6 interactions" in result.stdout
    assert "1 items have no text" in result.stdout


def test_duplicates_can_be_kept(command, amazon_files, tmp_path):
    preprocess(command, *amazon_files, tmp_path / "out", "--duplicates", "keep")
    assert written(tmp_path / "out")[0].decode().count("U1\tB3\t30") == 2


def test_ties_shuffle_depends_on_the_seed_only(command, amazon_files, tmp_path):
    orders = set()
    for seed in (1, 2, 3, 4, 5, 1):
        out = tmp_path / f"out{seed}"
        preprocess(command, *amazon_files, out, "--ties", "shuffle", "--seed", seed, "--force")
        content = written(out)[0]
        assert sorted(content.splitlines()) == sorted(INTER.encode().splitlines())
        orders.add((seed, content))
    assert len(orders) == 5  # seed 1 gave the same twice
    assert len({content for _, content in orders}) > 1
    assert json.loads((tmp_path / "out1/D/D.preprocess.json").read_text())["options"]["ties"] == "shuffle"


def test_reviews_and_ratings_give_the_same(command, amazon_files, tmp_path):
    ratings, metadata = amazon_files
    reviews = tmp_path / "reviews.json.gz"
    with gzip.open(reviews, "wt") as file:
        for line in ratings.read_text().splitlines():
            item, user, rating, time = line.split(",")
            review = {"reviewerID": user, "asin": item, "overall": float(rating), "unixReviewTime": int(time)}
            file.write(json.dumps({**review, "reviewText": "line\nbreak"}) + "\n")
    preprocess(command, reviews, metadata, tmp_path / "out")
    assert [content.decode() for content in written(tmp_path / "out")] == [INTER, ITEM]


@pytest.mark.parametrize("json_lines", [True, False])
def test_2023_times_are_milliseconds(command, tmp_path, json_lines):
    rows = [("U1", "B1", 5.0, 1588687728923), ("U1", "B2", 4.0, 1588687728000)]
    ratings, metadata = tmp_path / "C.x", tmp_path / "m.jsonl"
    if json_lines:
        keys = ("user_id", "parent_asin", "rating", "timestamp")
        reviews = [{**dict(zip(keys, row, strict=True)), "asin": "other"} for row in rows]
        ratings.write_text("".join(json.dumps(review) + "\n" for review in reviews))
    else:
        lines = "".join(",".join(map(str, row)) + "\n" for row in rows)
        ratings.write_text("user_id,parent_asin,rating,timestamp\n" + lines)
    items = [
        {"parent_asin": "B1", "title": "A", "categories": ["c", "d"], "store": "S", "details": {}},
        {"parent_asin": "B2", "title": None, "categories": [], "store": None, "features": ["f"]},
    ]
    metadata.write_text("".join(json.dumps(item) + "\n" for item in items))
    result = preprocess(command, ratings, metadata, tmp_path / "out", "--version", "2023", "--user-k", 1, "--item-k", 1)
    assert result.exit_code == 0, result.stderr
    inter, item = (content.decode() for content in written(tmp_path / "out"))
    assert inter.splitlines()[1:] == ["U1\tB2\t1588687728.0", "U1\tB1\t1588687728.923"]
    assert item.splitlines()[1:] == ["B1\tA.\tc d.\tS.", "B2\t.\t\t"]


def test_identical_bytes_whatever_compression_and_block_size(command, amazon_files, tmp_path):
    ratings, metadata = amazon_files
    plain = ratings.read_bytes()
    (tmp_path / "r.csv.gz").write_bytes(gzip.compress(plain[:40]) + gzip.compress(plain[40:]))
    (tmp_path / "r.csv.xz").write_bytes(lzma.compress(plain))
    (tmp_path / "r.csv.bz2").write_bytes(bz2.compress(plain))
    with zipfile.ZipFile(tmp_path / "r.csv.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("r.csv", plain)
    (tmp_path / "r.misnamed.gz").write_bytes(plain)
    (tmp_path / "r.mark.csv").write_bytes(b"\xef\xbb\xbf" + plain)
    (tmp_path / "r.windows.csv").write_bytes(plain.replace(b"\n", b"\r\n"))
    (tmp_path / "r.end.csv").write_bytes(plain.rstrip(b"\n"))
    preprocess(command, ratings, metadata, tmp_path / "first")
    expected = sha256(tmp_path / "first")
    for file in sorted(tmp_path.glob("r.*")):
        assert preprocess(command, file, metadata, tmp_path / file.name[2:]).exit_code == 0
        assert sha256(tmp_path / file.name[2:]) == expected, file
    whole = read_amazon(ratings, metadata, "2018", ["title"], progress=False)
    for block_size in (1, 7, 64):
        marked = tmp_path / "r.mark.csv"
        parts = read_amazon(marked, metadata, "2018", ["title"], progress=False, block_size=block_size)
        assert parts.interactions.table().equals(whole.interactions.table())
        assert parts.items.equals(whole.items)


def test_up_to_date_says_so_and_force_redoes(command, amazon_files, tmp_path):
    out = tmp_path / "out"
    preprocess(command, *amazon_files, out)
    record = (out / "D/D.preprocess.json").read_bytes()
    stamp = (out / "D/D.inter").stat().st_ino
    assert "up to date" in preprocess(command, *amazon_files, out).stdout
    assert (out / "D/D.inter").stat().st_ino == stamp
    assert "up to date" not in preprocess(command, *amazon_files, out, "--force").stdout
    assert (out / "D/D.preprocess.json").read_bytes() == record
    assert "up to date" not in preprocess(command, *amazon_files, out, "--ties", "shuffle").stdout
    preprocess(command, *amazon_files, out)
    (out / "D/D.item").write_text("somebody's")
    assert "up to date" not in preprocess(command, *amazon_files, out).stdout
    amazon_files[0].write_text(amazon_files[0].read_text() + "B1,U1,1.0,1\n")
    assert "7 interactions" in preprocess(command, *amazon_files, out).stdout


def rejected(result, *parts):
    assert result.exit_code == 2
    errors = [line for line in result.stderr.splitlines() if "error:" in line]
    assert len(errors) == 1
    for part in parts:
        assert part in errors[0]
    return errors[0]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("B1,U1,5.0", "line 10: 3 fields, expected 4"),
        ("B1,U1,5.0,1,2", "line 10: 5 fields, expected 4"),
        ("B1,U1,5.0,soon", "line 10: timestamp 'soon' is not a number"),
        ("B1,U1,5.0,nan", "line 10: timestamp 'nan' is not a number"),
        (",U1,5.0,1", "line 10: item_id is empty"),
        ("B1,NULL,5.0,1", "line 10: user_id is 'NULL', which RecBole reads as missing"),
        ('B1,"U1,5.0,1', "line 10: a quote is opened and never closed"),
        ("B1,U\t1,5.0,1", "line 10: user_id holds a control character"),
        (b"B1,U\xe91,5.0,1", "line 10: not UTF-8 at byte 4"),
    ],
)
def test_bad_ratings_line(command, amazon_files, tmp_path, line, said):
    ratings, metadata = amazon_files
    good = ratings.read_bytes()
    line = line if isinstance(line, bytes) else line.encode()
    ratings.write_bytes(good + line + b"\n")
    rejected(preprocess(command, ratings, metadata, tmp_path / "out"), f"{ratings}: 1 of 10 lines are bad", said)
    assert not list((tmp_path / "out").rglob("*.*"))
    # below 0.1 % the line is left out and shown
    ratings.write_bytes(good + line + b"\n" + b"B7,U7,1.0,1\n" * 1000)
    result = preprocess(command, ratings, metadata, tmp_path / "out")
    assert result.exit_code == 0
    assert said in result.stderr and "left out" in result.stderr
    assert [content.decode() for content in written(tmp_path / "out")] == [INTER, ITEM]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"asin": "B1", ', "line 6: no JSON object"),
        (b"[1]", "line 6: no JSON object (Expected `object`, got `array`)"),
        (b'{"title": "x"}', "line 6: has no asin"),
        (b'{"asin": 5}', "line 6: has no asin"),
        (b'{"x": ' + b"[" * 100_000, "line 6: no JSON object (maximum recursion depth"),
        (b'{"asin": "NA"}', "line 6: asin is 'NA'"),
        (b'{"asin": "B\xff"}', "line 6: no JSON object"),
    ],
)
def test_bad_metadata_line(command, amazon_files, tmp_path, line, said):
    ratings, metadata = amazon_files
    metadata.write_bytes(gzip.compress(gzip.decompress(metadata.read_bytes()) + line + b"\n"))
    rejected(preprocess(command, ratings, metadata, tmp_path / "out"), str(metadata), said, "0.1%")


def test_bad_files_stop_at_once(command, amazon_files, tmp_path):
    ratings, metadata = amazon_files
    out = tmp_path / "out"
    rejected(preprocess(command, tmp_path / "no.csv", metadata, out), "no.csv: not found")
    cut = tmp_path / "cut.gz"
    cut.write_bytes(metadata.read_bytes()[:-20])
    rejected(preprocess(command, ratings, cut, out), str(cut), "truncated or damaged, get it again")
    cut.write_bytes(metadata.read_bytes()[:30] + b"\0\0\0\0" + metadata.read_bytes()[34:])
    rejected(preprocess(command, ratings, cut, out), str(cut), "truncated or damaged, get it again")
    empty = tmp_path / "empty.csv"
    empty.write_bytes(b"")
    rejected(preprocess(command, empty, metadata, out), "empty.csv: is empty")
    empty.write_bytes("B1,U1,1,1\n".encode("utf-16"))
    rejected(preprocess(command, empty, metadata, out), "UTF-16")
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a", "1")
        archive.writestr("b", "2")
    rejected(preprocess(command, tmp_path / "two.zip", metadata, out), "holds 2 files (a, b)")
    packed = tmp_path / "packed.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a", "1")
    content = bytearray(packed.read_bytes())
    for place in (8, content.index(b"PK\x01\x02") + 10):  # method 9, Deflate64, in both headers
        content[place] = 9
    packed.write_bytes(content)
    rejected(preprocess(command, packed, metadata, out), "packed.zip: cannot be unpacked here", "unpack it first")
    rejected(preprocess(command, ratings, metadata, out, "--version", "2023"), "has no parent_asin", "--version")
    rejected(preprocess(command, ratings, metadata, out, "--text-columns", "titel"), "did you mean 'title'?")
    (tmp_path / "other.csv").write_text("X1,U1,1,1\n" * 5)
    rejected(preprocess(command, tmp_path / "other.csv", metadata, out), "give two files that belong together")
    assert not list(out.rglob("*.*"))


def test_empty_result_and_folder_that_cannot_be_written(command, amazon_files, tmp_path):
    ratings, metadata = amazon_files
    error = rejected(preprocess(command, ratings, metadata, tmp_path / "out", "--user-k", 9), "nothing is left of 7")
    assert "lower --user-k" in error
    (tmp_path / "file").write_text("in the way")
    rejected(preprocess(command, ratings, metadata, tmp_path / "file"), "cannot be written")
    assert not list((tmp_path / "out").rglob("*.*"))


def test_a_failing_write_leaves_the_old_result(command, amazon_files, tmp_path, monkeypatch):
    out = tmp_path / "out"
    preprocess(command, *amazon_files, out)
    before = written(out)

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("recbole_vqrec.preprocess.dataset_files.write_rows", full_disk)
    rejected(preprocess(command, *amazon_files, out, "--duplicates", "keep"), "No space left on device")
    assert written(out) == before
    assert sorted(path.name for path in (out / "D").iterdir()) == ["D.inter", "D.item", "D.preprocess.json"]


def test_categories(command, amazon_files, tmp_path):
    assert full_category("scientific", "2018") == "Industrial_and_Scientific"
    assert full_category("Food", "2018") == "Grocery_and_Gourmet_Food"
    assert full_category("Home", "2018") == "Home_and_Kitchen"
    assert full_category("prime_pantry", "2018") == "Prime_Pantry"
    assert full_category("Baby", "2023") == "Baby_Products"
    with pytest.raises(VQRecError, match="Baby_Products or Handmade_Products or Office_Products"):
        full_category("Products", "2023")
    with pytest.raises(VQRecError, match="did you mean 'Video_Games'"):
        full_category("Vidio_Games", "2018")
    raw = tmp_path / "raw"
    (raw / "Ratings").mkdir(parents=True)
    ratings, metadata = raw / "Ratings/Industrial_and_Scientific.csv", raw / "meta_Industrial_and_Scientific.json.gz"
    metadata.write_bytes(amazon_files[1].read_bytes())
    with pytest.raises(VQRecError, match="no Industrial_and_Scientific.csv, .*_5.json"):
        find_files("Industrial_and_Scientific", "2018", raw)
    ratings.write_bytes(amazon_files[0].read_bytes())
    of_2023 = raw / "Ratings/Industrial_and_Scientific.csv.gz"
    of_2023.write_bytes(gzip.compress(b"user_id,parent_asin,rating,timestamp\nU1,B1,5.0,1000\n"))
    (raw / "meta_Industrial_and_Scientific.jsonl").write_text("{}\n")
    assert find_files("Industrial_and_Scientific", "2018", raw) == (ratings, metadata)
    assert find_files("Industrial_and_Scientific", "2023", raw)[0] == of_2023
    options = ["--category", "Scientific", "--raw", raw, "--out", tmp_path / "out", "--user-k", 2, "--item-k", 2]
    result = command("preprocess", "amazon", *options)
    assert "Scientific: 2 users, 3 items, 6 interactions" in result.stdout
    rejected(command("preprocess", "amazon", "--name", "X"), "give --ratings, --metadata and --name")


def test_real_magazine_subscriptions(command, shared_data, tmp_path):
    folder = shared_data("amazon_raw")
    result = command("preprocess", "amazon", "--category", "Magazine", "--raw", folder, "--out", tmp_path)
    assert "Magazine: 284 users, 126 items, 1,950 interactions" in result.stdout
