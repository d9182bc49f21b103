import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbole_vqrec.preprocess.text_cleaning import LONGEST_TEXT, clean_text


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("Arts, Music &amp; Photography", "Arts, Music & Photography."),
        ("a <b>bold</b> word<br/>next", "a bold word next."),
        ('<span class="a-size-medium a-color-secondary"', ""),
        ("<style>p {x: y}</style>Saw<!-- no -->", "Saw."),
        ('12" bar', "12 bar."),
        ("ends in dots. . ..", "ends in dots."),
        ("tab\tline\r\nbreak\x00\x85\u2028end", "tab line break end."),
        ("size < 5 and > 3, I <3 it", "size < 5 and > 3, I <3 it."),
        ("5 &lt; 6", "5 < 6."),
        ("  ...  ", ""),
        ("", ""),
        ("NA", "NA."),
    ],
)
def test_literal(raw, clean):
    assert clean_text(raw) == clean


def test_long_fields():
    words = "word " * 500
    assert clean_text(words, "empty") == ""
    assert clean_text(words) == ("word " * 399).strip() + "."
    assert clean_text("x" * 5000) == "x" * 1999 + "."
    assert clean_text("x" * 1998, "empty") == "x" * 1998 + "."
    assert clean_text("x" * 1999, "empty") == ""


@given(st.text(max_size=60), st.integers(1, 60))
def test_one_clean_line(part, times):
    text = clean_text(part * times)
    assert text == " ".join(text.split()) and '"' not in text
    assert text == "" or text.endswith(".")
    assert len(text) <= LONGEST_TEXT
