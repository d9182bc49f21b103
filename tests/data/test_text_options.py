import pytest
from small import small_config, write_codes, write_vectors

from recbole_vqrec import quick_start
from recbole_vqrec.data.text_options import refuse_other_text_options
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.quantization.item_codes import ItemCodes

ITEMS = [f"i{number}" for number in range(12)]
MADE_WITH_CLS = r"pooling: mean is asked for, but {} of tiny was made with cls; leave the option out"


@pytest.fixture
def embedded(tiny):
    """Codes and vectors whose files say pooling: cls."""
    write_vectors(tiny, "tiny", ITEMS)
    codes = ItemCodes.load(write_codes(tiny, "tiny", ITEMS), "")
    made = {**codes.manifest, "language_model": {"plm": "bert-base-uncased", "pooling": "cls"}}
    ItemCodes(codes.item_ids, codes.codes, codes.codes_per_codebook, made).save(tiny / "tiny.small.codes.safetensors")
    return tiny


@pytest.mark.parametrize(
    "model, options, what",
    [
        ("VQRec", {}, "tiny.small.codes.safetensors"),
        ("VQRec", {"item_representation": "code+text"}, "tiny.small.codes.safetensors"),
        ("SASRecText", {}, "its text vectors"),
    ],
)
def test_another_pooling_than_the_files_is_refused(embedded, model, options, what):
    with pytest.raises(VQRecError, match=MADE_WITH_CLS.format(what)):
        quick_start.run(model, "tiny", None, {**options, "pooling": "mean", "item_codes": "small"})


def test_the_vectors_count_where_the_code_file_does_not_say(embedded):
    write_codes(embedded, "tiny", ITEMS)
    options = {"item_codes": "small", "pooling": "mean", "plm": "bert-base-uncased"}
    refuse_other_text_options(small_config("VQRec", **options))  # codes alone: the vectors are not read
    with pytest.raises(VQRecError, match=MADE_WITH_CLS.format("its text vectors")):
        refuse_other_text_options(small_config("VQRec", item_representation="code+text", **options))


def test_what_is_not_given_equal_or_not_read_is_no_contradiction(embedded):
    for model, options in (("VQRec", {}), ("VQRec", {"pooling": "cls"}), ("SASRec", {"pooling": "mean"})):
        refuse_other_text_options(small_config(model, item_codes="small", **options))
