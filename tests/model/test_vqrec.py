import pytest
import torch
from small import small_config
from recbole.data import data_preparation
from recbole.data.interaction import Interaction

from recbole_vqrec.data.dataset import create_dataset
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.model.item_representation import CodeItemRepresentation
from recbole_vqrec.model.vqrec import VQRec


@pytest.fixture
def model(tiny):
    config = small_config()
    return VQRec(config, data_preparation(config, create_dataset(config))[0]._dataset)


def histories():
    return Interaction(
        {
            "item_id_list": torch.tensor([[1, 2, 3, 0, 0], [4, 0, 0, 0, 0]]),
            "item_length": torch.tensor([3, 1]),
            "item_id": torch.tensor([5, 6]),
        }
    )


def test_an_item_is_the_mean_of_its_code_embeddings():
    codes = torch.tensor([[0, 0], [1, 5], [2, 4]])
    items = CodeItemRepresentation(codes, 3, 4, 0.02)
    weight = items.code_embedding.weight
    assert weight.shape == (7, 4)
    assert items.table()[0].abs().sum() == 0  # the padding item
    assert torch.allclose(items.table()[1], (weight[1] + weight[5]) / 2)
    assert torch.allclose(items(codes[None, 1:])[0, 1], (weight[2] + weight[4]) / 2)
    items.table().sum().backward()
    assert weight.grad[0].abs().sum() == 0


def test_scores_are_cosine_over_temperature(model):
    model.eval()
    with torch.no_grad():
        scores = model.full_sort_predict(histories())
        states = model(histories()["item_id_list"], histories()["item_length"])
        table = model.items.table()
        for row in range(2):
            for item in range(1, 13):
                cosine = states[row] @ table[item] / states[row].norm() / table[item].norm()
                assert scores[row, item].item() == pytest.approx(cosine.item() / model.temperature, abs=1e-4)
        assert torch.allclose(model.predict(histories()), scores[[0, 1], [5, 6]], atol=1e-4)


def test_loss_is_cross_entropy_over_the_items_without_padding(model):
    scores = model.full_sort_predict(histories())[:, 1:]
    expected = torch.nn.functional.cross_entropy(scores, torch.tensor([4, 5]))
    assert model.calculate_loss(histories()).item() == pytest.approx(expected.item(), abs=1e-5)


def test_padding_changes_no_score(model):
    model.eval()
    whole = histories().interaction
    short = Interaction({name: values[:, :3] if values.dim() > 1 else values for name, values in whole.items()})
    assert torch.allclose(model.full_sort_predict(histories()), model.full_sort_predict(short), atol=1e-5)


def test_the_evaluation_table_follows_the_parameters(model, monkeypatch):
    calls = []
    original = model.items.table
    monkeypatch.setattr(model.items, "table", lambda: calls.append(1) or original())
    model.eval()
    with torch.no_grad():
        before = model.full_sort_predict(histories())
        model.full_sort_predict(histories())
        assert len(calls) == 1
        model.items.code_embedding.weight.add_(torch.randn_like(model.items.code_embedding.weight))
        assert not torch.allclose(before, model.full_sort_predict(histories()))
    assert len(calls) == 2


def test_every_parameter_learns(model):
    model.train()
    model.calculate_loss(histories()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize(
    "options, message", [({"loss_type": "BPR"}, "trains with CE")]
)
def test_settings_it_cannot_use(tiny, options, message):
    config = small_config(**options)
    dataset = data_preparation(config, create_dataset(config))[0]._dataset
    with pytest.raises(VQRecError, match=message):
        VQRec(config, dataset)


def test_a_data_set_without_codes_is_refused(tiny):
    config = small_config()
    dataset = create_dataset(small_config("SASRec"))
    with pytest.raises(VQRecError, match="needs a data set with item codes"):
        VQRec(config, dataset)
