"""The text of each item: chosen columns of <D>.item, joined by a blank (paper, section 3.1.1)."""

from recbole_vqrec.errors import VQRecError, examples, nearest
from recbole_vqrec.preprocess.atomic_files import SEPARATOR, read_table

NOT_TEXT = ("item_id", "domain")  # columns of <D>.item that are no text


def distinct_columns(names):
    """Return names of text columns in their order, each once.

    Args:
        names (iterable of str): as the user gave them.

    Raises:
        VQRecError: there are none.
    """
    names = list(dict.fromkeys(names))
    if not names:
        raise VQRecError("text columns: none are named; name some, such as title,brand, or leave --text-columns out")
    return names


def text_columns_of(path):
    """Return the columns of an item file that are text where none are named: all but item_id and domain."""
    with open(path, encoding="utf-8-sig") as lines:
        return _text_columns_among(column.split(":")[0] for column in next(lines, "").rstrip("\n").split(SEPARATOR))


def _text_columns_among(columns):
    return [column for column in columns if column not in NOT_TEXT]


def item_texts(path, text_columns=None, empty_text=None, remedy="make it with 'recbole-vqrec preprocess'"):
    """Return the item ids and texts of an atomic item file.

    Args:
        path (str or Path): <D>.item with a column item_id.
        text_columns (list of str, optional): columns that form the text; by default all but item_id and domain.
        empty_text (str, optional): text of items whose columns are all empty.
        remedy (str): what to do if the file is missing.

    Returns:
        tuple: item ids (list of str) and texts (list of str), in file order.

    Raises:
        VQRecError: file or column missing, duplicate ids, or an item without text and no `empty_text`.
    """
    table = read_table(path, remedy)
    if "item_id" not in table:
        raise VQRecError(f"{path}: has no column item_id, only {', '.join(table.columns)}")
    if not len(table):
        raise VQRecError(f"{path}: has a header and no items")
    columns = list(text_columns or _text_columns_among(table))
    missing = [column for column in columns if column not in table]
    if missing or not columns:
        name = missing[0] if missing else "(none)"
        raise VQRecError(
            f"{path}: text column '{name}' not found{nearest(name, table.columns)} "
            f"The columns are {', '.join(table.columns)}; set text_columns"
        )
    twice = table["item_id"][table["item_id"].duplicated()]
    if len(twice):
        raise VQRecError(f"{path} line {twice.index[0] + 2}: item id '{twice.iloc[0]}' for the second time; remove it")
    texts = table[columns].apply(lambda row: " ".join(part.strip() for part in row if part.strip()), axis=1)
    empty = table["item_id"][texts == ""]
    if len(empty):
        if not empty_text:
            raise VQRecError(
                f"{path} line {empty.index[0] + 2}: no text in {', '.join(columns)} for {len(empty):,} items "
                f"({examples(empty)}); fill them in, or set empty_text to a text for such items"
            )
        texts = texts.where(texts != "", empty_text)
    return table["item_id"].tolist(), texts.tolist()
