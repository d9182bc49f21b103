"""Users' sequences <-> the authors' prefix rows, which are leave-one-out splits already made (paper, section 3.1.3).

A user with the items a b c d e has, newest first,

    train   a b | c      a | b       a history and the item that follows it
    valid   a b c | d
    test    a b c d | e

and histories are cut to the latest items.
"""

import contextlib
import itertools

from recbole_vqrec import artifacts
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.interchange.layout import SPLITS, read_lines

COLUMNS = ("user_id", "item_id_list", "item_id")
HEADER = "user_id:token\titem_id_list:token_seq\titem_id:token"
SHORTEST = 4  # interactions of a user who has a row in every split


def read_users(files, max_length):
    """Yield (user, items) in the order of the files, the items oldest first and complete.

    Only one user's rows are held in memory.

    Args:
        files (dict): split -> path of its rows; all three with the same users in the same order.
        max_length (int): items to which histories are cut.

    Raises:
        VQRecError: a line of another form, a user without all three splits, or rows that are not the prefixes of one
            sequence, newest first.
    """
    train, valid, test = (_rows(files[split]) for split in SPLITS)
    by_user = itertools.groupby(train, key=lambda row: row[1])
    seen = set()
    for valid_row, test_row in itertools.zip_longest(valid, test):
        group = next(by_user, None)
        heads = [valid_row, test_row]
        rows = list(group[1]) if group else []
        heads.append(rows[0] if rows else None)
        users = {head[1] if head else None for head in heads}
        if len(users) != 1:
            _explain_users(files, dict(zip(("valid", "test", "train"), heads)))
        user = users.pop()
        if user in seen:
            raise VQRecError(f"{files['valid']} line {valid_row[0]}: user '{user}' for the second time; remove one")
        seen.add(user)
        yield user, _sequence(files, [test_row, valid_row, *rows], max_length)
    left = next(by_user, None)
    if left:
        _explain_users(files, {"train": next(left[1]), "valid": None, "test": None})


def _rows(path):
    """Yield (line number, user, history, target) of a file of prefix rows."""
    lines = read_lines(path)
    _, header = next(lines, (1, ""))
    names = tuple(column.split(":")[0] for column in header.lstrip("\ufeff").split("\t"))
    if names != COLUMNS:
        raise VQRecError(f"{path} line 1: found '{header[:80]}', expected the columns {', '.join(COLUMNS)}")
    for number, line in lines:
        fields = line.split("\t")
        if len(fields) != 3 or not all(fields):
            raise VQRecError(f"{path} line {number}: found {len(fields)} fields, expected user, history, item")
        yield number, *fields


def _explain_users(files, heads):
    """Raise an error that names the splits whose next rows are of different users."""
    found = [
        f"{files[split].name} line {row[0]} has user '{row[1]}'" if row else f"{files[split].name} has no more users"
        for split, row in heads.items()
    ]
    raise VQRecError(
        f"{files['train'].parent}: {', '.join(found)}; every user needs rows in all three splits, in the same order"
    )


def _sequence(files, rows, max_length):
    """Return the items of one user whose rows (test, valid, train newest first) must be prefixes of each other."""
    for position, (newer, older) in enumerate(itertools.pairwise(rows)):
        expected = f"{older[2]} {older[3]}"
        if older[2].count(" ") + 1 == max_length:
            expected = expected.partition(" ")[2]
        if newer[2] != expected:
            where = [files[("test", "valid")[at] if at < 2 else "train"].name for at in (position, position + 1)]
            raise VQRecError(
                f"{files['train'].parent}: the history of {where[0]} line {newer[0]} is not the history and item of "
                f"{where[1]} line {older[0]} (user '{older[1]}', histories cut to {max_length} items); rows must be "
                "prefixes of one sequence, newest first"
            )
    number, user, history, _ = rows[-1]
    if " " in history:
        raise VQRecError(
            f"{files['train']} line {number}: the last row of user '{user}' has {history.count(' ') + 1} items, "
            "expected 1; the rows before it are missing"
        )
    return [history, *(row[3] for row in reversed(rows))]


def write_users(files, users, max_length):
    """Write the prefix rows of users; nothing is replaced unless all three files are complete.

    Args:
        files (dict): split -> path to write.
        users (iterable of tuple): user and items, oldest first, at least `SHORTEST`.
        max_length (int): items to which histories are cut.

    Raises:
        VQRecError: a user with too few interactions.
    """
    with contextlib.ExitStack() as stack:
        temporary = {split: stack.enter_context(artifacts.replace_when_done(files[split])) for split in SPLITS}
        with contextlib.ExitStack() as opened:
            out = {
                split: opened.enter_context(open(temporary[split], "w", encoding="utf-8", newline="\n"))
                for split in SPLITS
            }
            for file in out.values():
                file.write(f"{HEADER}\n")
            for user, items in users:
                if len(items) < SHORTEST:
                    raise VQRecError(
                        f"user '{user}' has {len(items)} interactions; the authors' splits need {SHORTEST} of each "
                        "user; preprocess with --user-k 5"
                    )
                last = len(items) - 1
                for target in range(last, 0, -1):
                    split = {last: "test", last - 1: "valid"}.get(target, "train")
                    history = " ".join(items[max(0, target - max_length) : target])
                    out[split].write(f"{user}\t{history}\t{items[target]}\n")
