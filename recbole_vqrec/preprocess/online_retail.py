"""Online Retail of the UCI repository, xlsx or one of the csv layouts in use -> raw data (paper, section 3.1.1).

An invoice is a user, a stock code an item, the description of its first row the item's text.
"""

import contextlib
import io
import zipfile
from pathlib import Path

import polars as pl
from python_calamine import CalamineError, CalamineWorkbook

from recbole_vqrec.errors import VQRecError
from recbole_vqrec.preprocess.bad_lines import BadLines
from recbole_vqrec.preprocess.dataset_files import RawData
from recbole_vqrec.preprocess.delimited import LINE, id_fault, read_delimited
from recbole_vqrec.preprocess.interactions import InteractionCollector
from recbole_vqrec.preprocess.raw_files import encoding_of, first_line, open_raw

COLUMNS = {
    "invoiceno": "user_id",
    "invoice": "user_id",
    "stockcode": "item_id",
    "description": "title",
    "invoicedate": "time",
    "quantity": "rating",
}
NEEDED = ("user_id", "item_id", "title", "time", "rating")
# two-digit years first: %Y would read them as years of the first century
WORKBOOK_PART = "[Content_Types].xml"  # a member that every xlsx file has, itself a zip file
WORKBOOK_MARKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # first bytes of xlsx and xls
TIME_FORMATS = ("%m/%d/%y %H:%M", "%m/%d/%Y %H:%M", "%Y-%m-%d %H:%M:%S")


def read_online_retail(path, say=print, **reading):
    """Return the `RawData` of the table; rows without description are dropped.

    Args:
        path (path): xlsx, all of whose sheets are read, or csv in UTF-8 or Latin-1, plain or compressed.
        say (callable): receives one line about bad lines, and one about each sheet that is left out.
        reading: block_size and progress of `raw_files.blocks`.

    Raises:
        VQRecError: a column is missing, the file is damaged, or too many lines are bad.
    """
    bad = BadLines(path)
    collector = InteractionCollector()
    titles, undescribed = [], 0
    workbook = _workbook_of(path)
    for table in _csv(path, bad, reading) if workbook is None else _sheets(workbook, path, bad, say):
        table = _with_times(table, bad)
        described = table.filter(pl.col("title") != "")
        undescribed += table.height - described.height
        collector.add(described)
        titles.append(described.select("item_id", pl.col("title").str.to_lowercase()))
    bad.report(say)
    items = pl.concat(titles).unique("item_id", keep="first", maintain_order=True)
    return RawData(collector.interactions(), items, {"bad_lines": bad.count, "rows_without_description": undescribed})


def _csv(path, bad, reading):
    encoding = encoding_of(path)
    columns = _columns(first_line(path, encoding).replace('"', "").split(","), path)
    yield from read_delimited(
        path, ",", columns, ["user_id", "item_id"], [], bad, header=True, encoding=encoding, **reading
    )


def _columns(header, path):
    columns = [name.strip().lower().replace(" ", "") for name in header]
    columns = [COLUMNS.get(name, name) for name in columns]
    for name in NEEDED:
        if columns.count(name) != 1:
            said = next(header for header, column in COLUMNS.items() if column == name)
            raise VQRecError(f"{path} line 1: expected one column {said}, found {', '.join(header)}")
    return columns


def _workbook_of(path):
    """Return the workbook that a file is, or that is compressed in it; None where it holds text."""
    if _is_workbook(path):
        content = Path(path).read_bytes()
    else:
        with open_raw(path) as (file, _):
            start = file.read(4)
            if start not in WORKBOOK_MARKS:
                return None
            content = start + file.read()
    try:
        return CalamineWorkbook.from_filelike(io.BytesIO(content))
    except (CalamineError, OSError) as error:
        raise VQRecError(f"{path}: not a readable workbook ({error}); get the file again") from error


def _is_workbook(path):
    """Tell whether a file is a workbook as it lies there, or is called one."""
    if not Path(path).is_file():
        raise VQRecError(f"{path}: not found; put the file there, or give its path")
    with contextlib.suppress(OSError, zipfile.BadZipFile):  # what is read next will say so
        if WORKBOOK_PART in zipfile.ZipFile(path).namelist():
            return True
    return str(path).lower().endswith((".xlsx", ".xls"))


def _sheets(workbook, path, bad, say):
    """Yield the rows of each sheet as `read_delimited` yields lines; the lines of a sheet are numbered from 1."""
    sheets = {name: workbook.get_sheet_by_name(name).to_python() for name in workbook.sheet_names}
    filled = {name: rows for name, rows in sheets.items() if rows}
    if not filled:
        raise VQRecError(f"{path}: has no sheet with rows; get the file again")
    first = next(iter(filled))
    for name, rows in filled.items():
        try:
            columns = _columns([str(cell) for cell in rows[0]], path)
        except VQRecError as error:
            if name == first:
                raise
            say(f"sheet {name!r} left out: {error}")
            continue
        chosen, kept = [columns.index(column) for column in NEEDED], []
        for line, row in enumerate(rows[1:], start=2):
            values = [_cell_text(row[index]) for index in chosen]
            bad.lines += 1
            if fault := id_fault(values[0]) or id_fault(values[1]):
                bad.add(line, f"invoice or stock code {fault}", ",".join(values))
            else:
                kept.append([line, *values])
        yield pl.DataFrame(kept, schema={LINE: pl.Int64, **dict.fromkeys(NEEDED, pl.String)}, orient="row")


def _cell_text(value):
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()  # times become "2010-12-01 08:26:00"


def _with_times(table, bad):
    """Return the rows whose time and quantity can be read, times as seconds since 1970."""
    stamps = [pl.col("time").str.to_datetime(form, strict=False) for form in TIME_FORMATS]
    table = table.with_columns(
        pl.coalesce(stamps).dt.epoch("s").alias("timestamp"), pl.col("rating").cast(pl.Float64, strict=False)
    )
    wrong = pl.col("timestamp").is_null() | pl.col("rating").is_null()
    for row in table.filter(wrong).iter_rows(named=True):
        fault = f"time {row['time']!r} is no m/d/Y H:M" if row["timestamp"] is None else "quantity is not a number"
        bad.add(row[LINE], fault)
    return table.filter(~wrong)
