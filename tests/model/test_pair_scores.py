import pytest
import torch

from recbole_vqrec.errors import VQRecError
from recbole_vqrec.model.co_occurrence import CoOccurrence
from recbole_vqrec.model.text_similarity import TextSimilarity

MADE = {
    "co_occurrence": lambda options: CoOccurrence(torch.tensor([[1, 2]]), torch.ones(1), options),
    "text_similarity": lambda options: TextSimilarity(torch.zeros(2, 2), torch.zeros(2), options),
}


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("weight", -1, "weight: -1, expected a number of at least 0"),
        ("weight", "much", "weight: 'much', expected a number"),
        ("decay", 1.5, r"decay: 1.5, expected a number in \(0, 1\]"),
        ("scale", 0, "scale: 0, expected a number above 0"),
        ("history", 2.5, "history: 2.5, expected a whole number"),
    ],
)
def test_options_out_of_range_are_named(name, option, value, expected):
    fitting = {f"{name}_weight": 2.0, f"{name}_decay": 0.5, f"{name}_scale": 3.0, f"{name}_history": 2}
    with pytest.raises(VQRecError, match=f"{name}_{expected}"):
        MADE[name]({**fitting, f"{name}_{option}": value})
