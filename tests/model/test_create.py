import pytest
from small import SMALL

from recbole_vqrec import quick_start
from recbole_vqrec.errors import VQRecError


@pytest.mark.parametrize(
    "model, options, message",
    [
        ("SASRec", {"hidden_size": 301}, "SASRec: RecBole's model does not take its options .*hidden size"),
        ("SASRec", {"hidden_act": "gelo"}, "KeyError: 'gelo'"),
        ("SASRec", {"loss_type": "X"}, "loss_type: 'X' is none of CE, BPR"),
        ("BERT4Rec", {"loss_type": "BPR", "hidden_act": "gelo"}, "BERT4Rec: RecBole's model does not take its options"),
        ("BERT4Rec", {"mask_ratio": 0.1}, "mask_ratio: 0.1 of MAX_ITEM_LIST_LENGTH 5 is less than one item"),
    ],
)
def test_options_that_a_model_of_recbole_does_not_take(tiny, model, options, message):
    with pytest.raises(VQRecError, match=message):
        quick_start.run(model, "tiny", None, {**SMALL, **options})
