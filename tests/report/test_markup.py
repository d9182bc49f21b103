import markdown
from hypothesis import given
from hypothesis import strategies as st

from recbole_vqrec.report.markup import Markup, table


def test_only_marks_of_the_report_are_marks():
    text = table(["model", "a*b*"], [["x|y", "{'items.*': 2, 'encoder.*': 1}"], ["<b>", Markup("**0.5**")]])
    page = markdown.markdown(text, extensions=["tables"])
    assert "<em>" not in page and "<b>" not in page and "<strong>0.5</strong>" in page
    assert "x|y" in page and "{'items.*': 2, 'encoder.*': 1}" in page and "a*b*" in page


@given(st.text(alphabet="ab*`|<>\\_ \n", min_size=1, max_size=12))
def test_a_cell_never_breaks_its_table(text):
    page = markdown.markdown(table(["model", "why"], [["row", f"x{text}x"]]), extensions=["tables"])
    assert page.count("<td") == 2 and not any(f"<{tag}>" in page for tag in ("em", "strong", "code"))
