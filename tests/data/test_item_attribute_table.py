import pytest
from small import small_config

from recbole_vqrec.data.item_attribute_table import load_item_attributes
from recbole_vqrec.errors import VQRecError

TOKENS = ["[PAD]", "b", "a", "c"]


@pytest.fixture
def item_file(tiny):
    def write(header, *lines):
        (tiny / "tiny.item").write_text("\n".join([header, *lines]) + "\n")

    return write


def attributes(**options):
    names, table = load_item_attributes(small_config("S3Rec", attribute_min_items=2, **options), TOKENS)
    return [{names[index] for index in row.nonzero()[0]} for row in table]


def test_values_of_categories_and_brand_that_items_share(item_file):
    item_file(
        "item_id:token\ttitle:token_seq\tcategories:token_seq\tbrand:token_seq",
        "a\tx\tToys > Games.\tAcme.",
        "b\tx\tToys > Puzzles.\tacme",
        "c\tx\tBooks\tOther",
    )
    shared = {"categories: toys", "brand: acme"}
    assert attributes() == [set(), shared, shared, set()]


def test_the_end_of_the_authors_text(item_file):
    lines = [
        "a\tA 4.5 inch roll. Tools Sanding. ACME.",
        "b\tRoll no. 2. Tools Sanding. Other.",
        "c\tRoll. Tapes. acme.",
    ]
    item_file("item_id:token\ttext:token_seq", *lines)
    assert attributes() == [set(), {"text: tools sanding"}, {"text: tools sanding", "text: acme"}, {"text: acme"}]


def test_words_of_a_title(item_file):
    item_file("item_id:token\ttitle:token_seq", "a\tred cup", "b\tred plate", "c\tblue cup")
    found = attributes(attribute_columns="title", attribute_separator=" ")
    assert found == [set(), {"title: red"}, {"title: red", "title: cup"}, {"title: cup"}]


def test_bad_input(item_file, tiny):
    item_file("item_id:token\ttitle:token_seq", "a\tx", "b\tx", "c\ty")
    with pytest.raises(
        VQRecError, match="none of the columns categories.*S3Rec needs attributes: set attribute_columns"
    ):
        attributes()
    with pytest.raises(VQRecError, match="has no column colour, only item_id, title"):
        attributes(attribute_columns="colour")
    item_file("item_id:token\tbrand:token_seq", "a\tx", "b\ty", "c\tz")
    with pytest.raises(VQRecError, match="no value of brand is shared by 2 items"):
        attributes()
    item_file("item_id:token\tbrand:token_seq", "a\tx", "b\tx")
    with pytest.raises(VQRecError, match=r"lacks 1 of 3 items of the data set \(c\)"):
        attributes()
    (tiny / "tiny.item").unlink()
    with pytest.raises(VQRecError, match="not found; S3Rec takes attributes"):
        attributes()
