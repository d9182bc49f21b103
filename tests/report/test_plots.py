import pytest

from recbole_vqrec.report.plots import OTHERS, STYLES, _color, validated_epochs


def test_rows_of_one_color_differ_in_line_and_hatch():
    looks = [_color(index, f"row {index}") for index in range(len(OTHERS) * len(STYLES))]
    assert len({(color, style) for color, style, _ in looks}) == len({(c, hatch) for c, _, hatch in looks}) == 36
    assert "C3" not in [color for color, _, _ in looks] and _color(5, "VQRec") == ("C3", "-", "")


@pytest.mark.parametrize(
    "epochs, step, scores, expected",
    [
        (2, 5, 1, [2]),  # RecBole validates at the last epoch then
        (3, 1, 3, [1, 2, 3]),
        (7, 2, 3, [2, 4, 6]),  # the seventh has no validation
        (5, 2, 3, [2, 4, 5]),  # fine-tuning validates at the end
        (6, 1, 2, [5, 6]),  # four epochs of S3Rec's own pre-training before
        (1, 1, 0, []),
    ],
)
def test_scores_stand_at_their_epochs(epochs, step, scores, expected):
    result = {"epochs": epochs, "valid_scores": [0.1] * scores, "options": {"eval_step": step, "epochs": epochs}}
    assert validated_epochs(result) == expected
