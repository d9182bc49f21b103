import pytest
import torch
from small import small_config, write_vectors
from recbole.data import data_preparation

from recbole_vqrec import quick_start
from recbole_vqrec.data.dataset import create_dataset
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.model.item_representation import REPRESENTATIONS, CodeItemRepresentation

CODES = torch.tensor([[0, 0], [1, 5], [2, 4]])
TEXTS = torch.tensor([[0.0, 0.0, 0.0], [1.0, 2.0, 7.0], [3.0, 4.0, 7.0]])
STANDARDISED = torch.tensor([[-1.0, -1.0, 0.0], [1.0, 1.0, 0.0]])  # by hand: means 2, 3, 7, deviations 1, 1, 0


def test_the_code_part_is_the_mean_of_the_code_vectors():
    items = CodeItemRepresentation(CODES, 3, 4, 0.02)
    vectors = items.code_vectors()
    assert items.only_codes
    assert torch.allclose(items.table()[1:], vectors[CODES[1:]].mean(dim=1))
    assert torch.allclose(items.of_items(torch.tensor([2, 1])), items.table()[[2, 1]])


def test_text_and_id_are_added():
    items = CodeItemRepresentation(CODES, 3, 4, 0.02, TEXTS, ids=True)
    codes_and_text = items.code_vectors()[CODES[1:]].mean(dim=1) + STANDARDISED @ items.text_projection.weight.T
    assert torch.allclose(items.table()[1:], codes_and_text, atol=1e-6)  # ids start at zero
    torch.nn.init.normal_(items.id_embedding.weight)
    assert torch.allclose(items.table()[1:], codes_and_text + items.id_embedding.weight[1:], atol=1e-6)
    assert items.table()[0].abs().sum() == 0 and not items.only_codes


def test_other_codes_of_an_item_keep_its_text():
    items = CodeItemRepresentation(CODES, 3, 4, 0.02, TEXTS)
    changed = items.of_items(torch.tensor([1]), codes=CODES[2:])
    expected = items.code_vectors()[CODES[2]].mean(dim=0) + STANDARDISED[0] @ items.text_projection.weight.T
    assert torch.allclose(changed[0], expected, atol=1e-6)


def test_a_new_item_is_the_same_as_one_of_the_data_set():
    items = CodeItemRepresentation(CODES, 3, 4, 0.02, TEXTS)
    assert torch.allclose(items(CODES[1:], TEXTS[1:]), items.table()[1:], atol=1e-6)
    with pytest.raises(VQRecError, match="needs the text vectors of new items"):
        items(CODES[1:])


@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_every_part_learns_and_is_in_the_checkpoint(tiny, name):
    write_vectors(tiny, "tiny", [f"i{number}" for number in range(12)])
    config = small_config(item_representation=name, plm="bert-base-uncased", epochs=2)
    data = data_preparation(config, create_dataset(config))
    model = config.model_class(config, data[0]._dataset)
    state = set(model.items.state_dict())
    assert ("text_projection.weight" in state) == ("text" in name) and ("id_embedding.weight" in state) == (
        "id" in name
    )
    for batch in data[0]:
        model.calculate_loss(batch).backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, key

    result = quick_start.run("VQRec", "tiny", None, {**config.external_config_dict})
    _, loaded, _, _, _, test_data = quick_start.load_data_and_model(result["run"])
    assert set(loaded.items.state_dict()) == state


def test_an_unknown_representation_names_the_nearest(tiny):
    with pytest.raises(VQRecError, match=r"item_representation: 'code\+txt' is none of .*did you mean 'code\+text'"):
        quick_start.run("VQRec", "tiny", None, dict(small_config(item_representation="code+txt").external_config_dict))


def test_text_without_vectors_says_which_file_is_missing(tiny):
    with pytest.raises(VQRecError, match="emb.safetensors"):
        quick_start.run("VQRec", "tiny", None, dict(small_config(item_representation="code+text").external_config_dict))
