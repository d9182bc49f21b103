import datetime
import hashlib
import lzma
import zipfile

import openpyxl
import pytest

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
ROWS = [
    ("536365", "85123A", "WHITE HANGING HEART, £2", 6, "12/1/2010 8:26", 2.55, "17850", "United Kingdom"),
    ("536365", "71053", "WHITE METAL LANTERN.", 6, "12/1/2010 8:26", 3.39, "17850", "United Kingdom"),
    ("536365", "71053", "WHITE METAL LANTERN.", 6, "12/1/2010 8:26", 3.39, "17850", "United Kingdom"),
    ("536365", "71053", "WHITE METAL LANTERN.", 2, "12/1/2010 8:26", 3.39, "17850", "United Kingdom"),
    ("C536379", "71053", "damaged", -1, "12/2/2010 9:41", 0, "", "United Kingdom"),
    ("C536379", "85123A", "WHITE HANGING HEART", -1, "12/2/2010 9:41", 0, "", "United Kingdom"),
    ("536366", "22633", "", 6, "12/1/2010 8:28", 1.85, "17850", "United Kingdom"),
]
INTER = """\
user_id:token\titem_id:token\ttimestamp:float
536365\t85123A\t1291191960
536365\t71053\t1291191960
536365\t71053\t1291191960
C536379\t71053\t1291282860
C536379\t85123A\t1291282860
"""
ITEM = "item_id:token\ttitle:token_seq\n71053\twhite metal lantern.\n85123A\twhite hanging heart, £2.\n"


def csv_text(rows=ROWS):
    quoted = [[f'"{cell}"' if "," in str(cell) else str(cell) for cell in row] for row in rows]
    return "\n".join([HEADER, *map(",".join, quoted)])


def written(command, file, out, *more):
    rules = ["--user-k", 1, "--item-k", 1, *more]
    result = command("preprocess", "online-retail", "--input", file, "--name", "OR", "--out", out, *rules)
    assert result.exit_code == 0, result.stderr
    return tuple((out / "OR" / f"OR.{suffix}").read_text(encoding="utf-8") for suffix in ("inter", "item"))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
def test_csv(command, tmp_path, encoding):
    (tmp_path / "data.csv.xz").write_bytes(lzma.compress(csv_text().encode(encoding)))
    assert written(command, tmp_path / "data.csv.xz", tmp_path / "out") == (INTER, ITEM)


@pytest.mark.parametrize("layout", ["%m/%d/%y %H:%M", "%Y-%m-%d %H:%M:%S"])
def test_other_layouts_of_time(command, tmp_path, layout):
    rows = [[*row[:4], datetime.datetime.strptime(row[4], "%m/%d/%Y %H:%M").strftime(layout), *row[5:]] for row in ROWS]
    (tmp_path / "data.csv").write_text(csv_text(rows), encoding="utf-8")
    assert written(command, tmp_path / "data.csv", tmp_path / "out") == (INTER, ITEM)


def test_xlsx(command, tmp_path):
    book = openpyxl.Workbook()
    book.active.append(HEADER.split(","))
    for invoice, code, text, quantity, time, *rest in ROWS:
        time = datetime.datetime.strptime(time, "%m/%d/%Y %H:%M")
        number = [int(value) if value.isdigit() else value for value in (invoice, code)]
        book.active.append([*number, text or None, quantity, time, *rest])
    book.save(tmp_path / "Online Retail.xlsx")
    assert written(command, tmp_path / "Online Retail.xlsx", tmp_path / "out") == (INTER, ITEM)


def two_sheets(tmp_path, second_header=HEADER):
    book = openpyxl.Workbook()
    for number, sheet in enumerate((book.active, book.create_sheet("2011"), book.create_sheet("empty"))):
        rows = [ROWS[:4], ROWS[4:], []][number]
        for row in [(second_header if number else HEADER).split(","), *rows] if number < 2 else []:
            sheet.append(row)
    book.save(tmp_path / "Online Retail.xlsx")
    return tmp_path / "Online Retail.xlsx"


def test_all_sheets_of_a_workbook_are_read(command, tmp_path):
    assert written(command, two_sheets(tmp_path), tmp_path / "out") == (INTER, ITEM)


def test_a_workbook_inside_a_zip_file(command, tmp_path):
    with zipfile.ZipFile(tmp_path / "online_retail.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(two_sheets(tmp_path), "Online Retail.xlsx")
    (tmp_path / "table").write_bytes((tmp_path / "Online Retail.xlsx").read_bytes())  # known by its content
    for name in ("online_retail.zip", "table"):
        assert written(command, tmp_path / name, tmp_path / f"out-{name}") == (INTER, ITEM)


def test_a_sheet_of_something_else_is_named(command, tmp_path):
    file = two_sheets(tmp_path, "Notes,B,C,D,E,F,G,H")
    rules = ["--user-k", 1, "--item-k", 1]
    result = command("preprocess", "online-retail", "--input", file, "--out", tmp_path / "out", *rules)
    assert result.exit_code == 0 and "sheet '2011' left out:" in result.stderr and "invoiceno" in result.stderr


def refusal(command, tmp_path, content):
    (tmp_path / "bad.csv").write_text(content)
    result = command("preprocess", "online-retail", "--input", tmp_path / "bad.csv", "--out", tmp_path / "out")
    assert result.exit_code == 2
    return result.stderr


def test_bad_input(command, tmp_path):
    assert "expected one column stockcode" in refusal(command, tmp_path, "InvoiceNo,Description\n1,x\n")
    bad_time = csv_text([(*ROWS[0][:4], "yesterday", *ROWS[0][5:])])
    assert "line 2: time 'yesterday' is no m/d/Y H:M" in refusal(command, tmp_path, bad_time)
    european = csv_text([(*ROWS[0][:4], "13/12/2010 8:26", *ROWS[0][5:])])
    assert "line 2: time '13/12/2010 8:26'" in refusal(command, tmp_path, european)
    many = csv_text([(*ROWS[0][:3], "many", *ROWS[0][4:])])
    assert "line 2: quantity is not a number" in refusal(command, tmp_path, many)
    assert "nothing is left of 3 interactions" in refusal(command, tmp_path, csv_text(ROWS[:4]))
    (tmp_path / "bad.xlsx").write_bytes(b"PK no workbook")
    result = command("preprocess", "online-retail", "--input", tmp_path / "bad.xlsx", "--out", tmp_path / "out")
    assert result.exit_code == 2 and "not a readable workbook" in result.stderr


def test_real_table(command, shared_data, tmp_path):
    file = shared_data("online_retail/data-utf8.csv.xz")
    result = command("preprocess", "online-retail", "--input", file, "--out", tmp_path)
    assert "OR: 16,520 users, 3,469 items, 519,906 interactions" in result.stdout
    # any change of a rule or of the order shows here
    assert hashlib.sha256((tmp_path / "OR/OR.inter").read_bytes()).hexdigest().startswith("306ab79e3847a054")
    assert hashlib.sha256((tmp_path / "OR/OR.item").read_bytes()).hexdigest().startswith("f01fb077306c2c74")
