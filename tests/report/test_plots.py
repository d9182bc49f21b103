from recbole_vqrec.report.plots import OTHERS, STYLES, _color


def test_rows_of_one_color_differ_in_line_and_hatch():
    looks = [_color(index, f"row {index}") for index in range(len(OTHERS) * len(STYLES))]
    assert len({(color, style) for color, style, _ in looks}) == len({(c, hatch) for c, _, hatch in looks}) == 36
    assert "C3" not in [color for color, _, _ in looks] and _color(5, "VQRec") == ("C3", "-", "")
