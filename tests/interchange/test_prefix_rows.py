"""Users' sequences <-> prefix rows."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_vqrec.errors import VQRecError
from recbole_vqrec.interchange.layout import SPLITS
from recbole_vqrec.interchange.prefix_rows import HEADER, read_users, write_users


def files(folder):
    return {split: folder / f"D.{split}.inter" for split in SPLITS}


def put(folder, train, valid, test):
    for split, rows in zip(SPLITS, (train, valid, test)):
        files(folder)[split].write_text("\n".join([HEADER, *rows]) + "\n")


def brute_force(users, limit):
    """The rows of the layout, straight from its description."""
    rows = {split: [HEADER] for split in SPLITS}
    for user, items in users:
        for target in reversed(range(1, len(items))):
            split = "test" if target == len(items) - 1 else "valid" if target == len(items) - 2 else "train"
            rows[split].append("\t".join([user, " ".join(items[:target][-limit:]), items[target]]))
    return {split: "\n".join(lines) + "\n" for split, lines in rows.items()}


def test_rows_of_one_user_newest_first(tmp_path):
    write_users(files(tmp_path), [("7", list("abcde"))], max_length=2)
    assert files(tmp_path)["train"].read_text() == f"{HEADER}\n7\ta b\tc\n7\ta\tb\n"
    assert files(tmp_path)["valid"].read_text() == f"{HEADER}\n7\tb c\td\n"
    assert files(tmp_path)["test"].read_text() == f"{HEADER}\n7\tc d\te\n"


sequences = st.lists(st.lists(st.sampled_from("abc"), min_size=4, max_size=12), min_size=1, max_size=5)


@settings(max_examples=40, deadline=None)
@given(sequences, st.integers(1, 6))
def test_round_trip_and_brute_force(tmp_path_factory, items, limit):
    folder = tmp_path_factory.mktemp("rows")
    users = [(str(number), sequence) for number, sequence in enumerate(items)]
    write_users(files(folder), users, limit)
    assert {split: path.read_text() for split, path in files(folder).items()} == brute_force(users, limit)
    assert list(read_users(files(folder), limit)) == users


@settings(max_examples=40, deadline=None)
@given(st.integers(4, 9), st.integers(2, 5), st.data())
def test_no_lost_row_goes_unnoticed(tmp_path_factory, length, limit, data):
    folder = tmp_path_factory.mktemp("rows")
    items = list("abcdefghij")[:length]
    write_users(files(folder), [("0", items), ("1", items[::-1])], limit)
    path = files(folder)[data.draw(st.sampled_from(SPLITS))]
    lines = path.read_text().splitlines()
    del lines[data.draw(st.integers(0, len(lines) - 1))]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(VQRecError):
        list(read_users(files(folder), limit))


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=60), st.sampled_from(SPLITS))
def test_any_bytes_give_an_error_of_one_line(tmp_path_factory, content, split):
    folder = tmp_path_factory.mktemp("rows")
    write_users(files(folder), [("0", list("abcde"))], 3)
    files(folder)[split].write_bytes(HEADER.encode() + b"\n" + content)
    with pytest.raises(VQRecError) as error:
        list(read_users(files(folder), 3))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "train, valid, test, said",
    [
        (["0\ta\tb"], ["0\ta b\tc"], ["0\ta b x\td"], "D.test.inter line 2 is not the history .* D.valid.inter"),
        (["0\tb\ta"], ["0\ta b\tc"], ["0\ta b c\td"], "D.valid.inter line 2 is not the history .* D.train.inter"),
        (["0\ta\tb", "0\ta b\tc"], ["0\ta b c\td"], ["0\ta b c d\te"], "newest first"),
        (["0\ta b\tc"], ["0\ta b c\td"], ["0\ta b c d\te"], "expected 1; the rows before it are missing"),
        (["0\ta\tb"], ["0\ta b\tc"], [], "D.test.inter has no more users"),
        (["1\ta\tb"], ["0\ta b\tc"], ["0\ta b c\td"], "D.train.inter line 2 has user '1'"),
        (["0\ta\tb", "1\ta\tb"], ["0\ta b\tc"], ["0\ta b c\td"], "D.train.inter line 3 has user '1', D.valid.inter"),
        (["0\ta\tb", "1\ta\tb", "0\ta\tb"], ["0\ta b\tc", "1\ta b\tc", "0\ta b\tc"],
         ["0\ta b c\td", "1\ta b c\td", "0\ta b c\td"], "D.valid.inter line 4: user '0' for the second time"),
        (["0\ta\tb"], ["0\ta b"], ["0\ta b c\td"], "D.valid.inter line 2: found 2 fields"),
    ],
)  # fmt: skip
def test_wrong_rows(tmp_path, train, valid, test, said):
    put(tmp_path, train, valid, test)
    with pytest.raises(VQRecError, match=said):
        list(read_users(files(tmp_path), 50))


def test_wrong_header(tmp_path):
    put(tmp_path, [], [], [])
    files(tmp_path)["train"].write_text("user\titem\n")
    with pytest.raises(VQRecError, match="line 1: found 'user\titem', expected the columns user_id"):
        list(read_users(files(tmp_path), 50))


def test_too_few_interactions_leave_nothing_behind(tmp_path):
    with pytest.raises(VQRecError, match="user 'b' has 3 interactions"):
        write_users(files(tmp_path), [("a", list("abcd")), ("b", list("abc"))], 50)
    assert list(tmp_path.iterdir()) == []
