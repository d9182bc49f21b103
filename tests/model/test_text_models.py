import math

import pytest
import torch
from small import SMALL, small_config, write_vectors
from recbole.data import data_preparation
from recbole.data.interaction import Interaction

from recbole_vqrec import quick_start, registry
from recbole_vqrec.data.dataset import create_dataset
from recbole_vqrec.data.batches import TARGET_LIST
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.model.contrast import drop_items
from recbole_vqrec.model.packed_sequences import PackedSequences
from recbole_vqrec.model.text_representation import MixtureOfExpertsAdaptor
from recbole_vqrec.trainer import checkpoint

ITEMS = [f"i{number}" for number in range(12)]
NAMES = ["SASRecText", "ZESRec", "UniSRec"]


def build(name, **options):
    config = small_config(name, **options)
    dataset = data_preparation(config, create_dataset(config))[0]._dataset
    return config.model_class(config, dataset)


@pytest.fixture
def vectors(tiny):
    return write_vectors(tiny, "tiny", ITEMS)


def histories():
    item_seq = torch.tensor([[1, 2, 3, 0, 0], [4, 0, 0, 0, 0], [5, 6, 0, 0, 0]])
    length, item = torch.tensor([3, 1, 2]), torch.tensor([5, 6, 5])
    return Interaction({"item_id_list": item_seq, "item_length": length, "item_id": item})


def sequences():
    rows = histories()
    following = torch.tensor([[2, 3, 5, 0, 0], [6, 0, 0, 0, 0], [6, 5, 0, 0, 0]])
    return Interaction({**rows.interaction, TARGET_LIST: following})


def test_experts_equal_their_formula():
    adaptor = MixtureOfExpertsAdaptor(6, 4, 3, 0.0, 0.5).eval()
    for parameter in adaptor.parameters():
        torch.nn.init.normal_(parameter)
    vectors = torch.randn(5, 6)
    made = adaptor(vectors)
    for row in range(5):
        scores = [(vectors[row] @ adaptor.gate[:, e]).item() for e in range(3)]
        shares = [math.exp(score) / sum(map(math.exp, scores)) for score in scores]
        expected = sum(share * ((vectors[row] - adaptor.bias[e]) @ adaptor.weight[e]) for e, share in enumerate(shares))
        assert torch.allclose(made[row], expected, atol=1e-5)


def test_each_expert_drops_other_parts_of_a_text():
    adaptor = MixtureOfExpertsAdaptor(4, 4, 2, 0.5, 0.5)
    adaptor.gates = lambda vectors: torch.full((len(vectors), 2), 0.5)
    torch.nn.init.zeros_(adaptor.bias)
    with torch.no_grad():
        adaptor.weight.copy_(torch.eye(4).expand(2, 4, 4))
    kept_by = adaptor(torch.ones(5000, 4))  # of two experts, kept values are doubled
    assert set(kept_by.unique().tolist()) == {0.0, 1.0, 2.0}
    assert (kept_by == 1).float().mean().item() == pytest.approx(0.5, abs=0.02)


def test_gates_are_noisy_in_training_only():
    adaptor = MixtureOfExpertsAdaptor(6, 4, 3, 0.0, 0.5)
    vectors = torch.randn(1000, 6)
    assert not torch.equal(adaptor.gates(vectors), adaptor.gates(vectors))
    noisy = adaptor.gates(vectors).log()  # gates start at zero: what is left is noise of deviation softplus(0) + 0.01
    assert (noisy[:, 0] - noisy[:, 1]).std().item() == pytest.approx((math.log(2) + 0.01) * math.sqrt(2), rel=0.1)
    adaptor.eval()
    assert torch.allclose(adaptor.gates(vectors), torch.full((1000, 3), 1 / 3))


def test_zesrec_penalizes_offsets(vectors):
    model = build("ZESRec", offset_penalty=0.3).eval()
    plain = model.calculate_loss(histories()).item()
    with torch.no_grad():
        model.items.id_embedding.weight[1:] = 0.1
        table = model.items.adaptor(model.items.text_vectors) + model.items.id_embedding.weight
        table[0] = 0
    assert torch.allclose(model.item_table(), table)
    scores = model.full_sort_predict(histories())[:, 1:]
    entropy = torch.nn.functional.cross_entropy(scores, histories()["item_id"] - 1)
    penalty = 0.3 / 2 * 12 * 16 * 0.1**2
    assert model.calculate_loss(histories()).item() == pytest.approx(entropy.item() + penalty, rel=1e-4)
    assert plain > 0
    with_penalty = model.pretraining_loss(histories()).item()
    model.offset_penalty = None
    assert with_penalty == pytest.approx(model.pretraining_loss(histories()).item() + penalty, rel=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_pretraining_contrasts_each_position_with_the_batch(vectors, name):
    model = build(name, sequence_contrast=0) if name == "UniSRec" else build(name)
    model.eval()
    table = model.keys(model.items.table())
    batch, total = sequences(), 0.0
    targets = [2, 3, 5, 6, 6, 5]
    prefixes = [[1], [1, 2], [1, 2, 3], [4], [5], [5, 6]]
    for prefix, target in zip(prefixes, targets):
        query = model.queries(model.forward(torch.tensor([prefix]), torch.tensor([len(prefix)])))[0]
        others = [other for other in targets if other != target]
        scores = [(query @ table[item]).item() for item in [target, *others]]
        total -= scores[0] - torch.logsumexp(torch.tensor(scores), 0).item()
    assert model.pretraining_loss(batch).item() == pytest.approx(total / 6, rel=1e-4)


def test_unisrec_adds_the_contrast_of_sequences_with_words_or_items_left_out(tiny, vectors):
    write_vectors(tiny, "tiny", ITEMS, plm="bert-base-uncased.word-drop", seed=1)
    config = small_config("UniSRec", sequence_contrast=0.5, item_drop=0.0)
    config["stage"] = "pretrain"
    dataset = data_preparation(config, create_dataset(small_config("UniSRec")))[0]._dataset
    model = config.model_class(config, dataset).eval()
    model.share_of_item_drop = 1  # nothing falls, so a sequence is contrasted with itself
    batch = sequences()
    states = model.forward(batch["item_id_list"], batch["item_length"])
    scores = model.queries(states) @ model.keys(states).T
    different = torch.tensor([5, 6, 5])[:, None] != torch.tensor([5, 6, 5])
    scores = scores.masked_fill(~(different | torch.eye(3, dtype=torch.bool)), float("-inf"))
    contrast = (torch.logsumexp(scores, 1) - scores.diagonal()).mean()
    loss, _, _ = model.sequence_item_contrast(batch)
    assert model.pretraining_loss(batch).item() == pytest.approx((loss + 0.5 * contrast).item(), rel=1e-4)
    model.share_of_item_drop = 0
    assert torch.allclose(model.augmented_states(batch["item_id_list"], batch["item_length"]), states, atol=1e-5)
    model.item_drop = 1.0  # the words of all items fall
    augmented = model.augmented_states(batch["item_id_list"], batch["item_length"])
    assert not torch.allclose(augmented, states, atol=1e-3)
    model.items.text_vectors.copy_(model.items.second_view)
    model.train(), model.eval()
    assert torch.allclose(augmented, model.forward(batch["item_id_list"], batch["item_length"]), atol=1e-5)


@pytest.mark.parametrize("share_of_item_drop", [1.0, 0.0])
def test_unisrec_augments_the_items_that_fall(tiny, vectors, share_of_item_drop):
    write_vectors(tiny, "tiny", ITEMS, plm="bert-base-uncased.word-drop", seed=1)
    config = small_config("UniSRec", item_drop=0.5)
    config["stage"] = "pretrain"
    dataset = data_preparation(config, create_dataset(small_config("UniSRec")))[0]._dataset
    model = config.model_class(config, dataset).eval()
    model.share_of_item_drop = share_of_item_drop
    item_seq, length = torch.tensor([[1, 2, 3, 4, 5], [6, 7, 8, 0, 0]]), torch.tensor([5, 3])
    torch.manual_seed(4)
    augmented = model.augmented_states(item_seq, length)
    torch.manual_seed(4)
    torch.rand(2)  # which of both ways
    dropped, dropped_length = drop_items(item_seq, length, 0.5)
    if share_of_item_drop:
        assert (dropped_length < length).any()
        assert torch.allclose(augmented, model.forward(dropped, dropped_length), atol=1e-5)
        return
    falls = torch.rand(8) < 0.5
    assert falls.any() and not falls.all()
    first, second = model.items.table(), model.items.of_items(torch.arange(len(ITEMS) + 1), second_view=True)
    packed = PackedSequences(length)
    history = packed.pack(item_seq)
    vectors_of_both = torch.where(falls[:, None], second[history], first[history])
    assert torch.allclose(augmented, model.encoder(vectors_of_both, packed)[packed.last], atol=1e-5)


def test_unisrec_asks_for_word_drop_vectors_where_it_needs_them(tiny, vectors):
    config = small_config("UniSRec")
    config["stage"] = "pretrain"
    dataset = data_preparation(config, create_dataset(small_config("UniSRec")))[0]._dataset
    with pytest.raises(VQRecError, match="embed --dataset tiny --plm bert-base-uncased --word-drop 0.15"):
        config.model_class(config, dataset)


def test_transductive_items_are_text_plus_id(vectors):
    model = build("UniSRec", transductive=True).eval()
    expected = model.items.adaptor(model.items.text_vectors) + model.items.id_embedding.weight
    expected[0] = 0
    assert torch.allclose(model.items.table(), expected) and model.items.table()[0].abs().sum() == 0
    assert torch.allclose(model.items.of_items(torch.tensor([3, 1])), expected[[3, 1]], atol=1e-6)


@pytest.mark.parametrize("stage", ["train", "pretrain"])
def test_the_item_representation_of_vqrec_is_not_read_before_fine_tuning(tiny, vectors, caplog, stage):
    given = {**SMALL, "stage": stage, "item_representation": "code+text+id", "sequence_contrast": 0}
    with caplog.at_level("WARNING"):
        run = quick_start.run("UniSRec", "tiny", None, given)["run"]
    [unread] = [line for line in caplog.messages if line.startswith("not read by UniSRec: ")]
    assert "item_representation" in unread
    assert "model.items.id_embedding.weight" not in checkpoint.load(run)[0]


def test_transductive_pretraining_has_the_second_view(tiny, vectors):
    write_vectors(tiny, "tiny", ITEMS, plm="bert-base-uncased.word-drop", seed=1)
    given = {**SMALL, "transductive": True, "share_of_item_drop": 0.5}
    run = quick_start.pretrain(name="tiny", model="UniSRec", config_dict=given)["run"]
    assert "model.items.id_embedding.weight" in checkpoint.load(run)[0]


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_learns(vectors, name):
    model = build(name)
    model.train()
    model.calculate_loss(sequences()).backward()
    for parameter, value in model.named_parameters():
        assert value.grad is not None and value.grad.abs().sum() > 0, parameter


@pytest.mark.parametrize("name", NAMES)
def test_text_vectors_are_no_part_of_the_state(vectors, name):
    assert not [key for key in build(name).state_dict() if "vectors" in key or "view" in key]


@pytest.mark.parametrize("name", NAMES)
def test_inner_product_where_no_temperature_is_given(vectors, name):
    model = build(name, temperature=None).eval()
    states = model.forward(histories()["item_id_list"], histories()["item_length"])
    assert torch.allclose(model.full_sort_predict(histories()), states @ model.items.table().T, atol=1e-6)


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("UniSRec", {"experts": 0}, "experts: 0"),
        ("UniSRec", {"item_drop": 1.5}, "item_drop: 1.5"),
        ("ZESRec", {"offset_penalty": -1}, "offset_penalty"),
        *((name, {"temperature": 0}, "temperature") for name in NAMES),
        *((name, {"loss_type": "BPR"}, f"{name} trains with CE") for name in NAMES),
    ],
)
def test_settings_they_cannot_use(vectors, name, options, message):
    with pytest.raises(VQRecError, match=message):
        build(name, **options)


@pytest.mark.parametrize("name", NAMES)
def test_a_data_set_without_text(tiny, name):
    with pytest.raises(VQRecError, match="embed --dataset tiny --plm bert-base-uncased"):
        build(name)
    stock = create_dataset(small_config("SASRec"))
    stock.__class__ = type(stock).__mro__[1]  # RecBole's own data set knows no text vectors
    with pytest.raises(VQRecError, match="needs a data set with text vectors"):
        registry.load(registry.entry(name).model)(small_config(name), stock)


@pytest.mark.parametrize("name", NAMES)
def test_a_run_is_read_again(vectors, name):
    result = quick_start.run(name, "tiny", None, dict(SMALL))
    _, model, _, _, _, _ = quick_start.load_data_and_model(result["run"])
    assert type(model).__name__ == name


@pytest.mark.parametrize(
    "name, preset", [("UniSRec", "inductive"), ("UniSRec", "transductive"), ("SASRecText", "full")]
)
def test_fine_tuning_starts_from_a_pretrained_adaptor_and_encoder(tiny, vectors, name, preset):
    pretrained = quick_start.run(name, "tiny", None, dict(SMALL))
    given = {**SMALL, "preset": preset, "learning_rate": 1e-9}
    tuned = quick_start.finetune("tiny", pretrained["run"], None, given)
    before, after = (checkpoint.load(result["run"])[0] for result in (pretrained, tuned))
    carried = [key for key in before if key.startswith("model.")]
    assert any("adaptor" in key for key in carried) and all(
        torch.allclose(before[k], after[k], atol=1e-5) for k in carried
    )
    assert ("model.items.id_embedding.weight" in after) == (preset == "transductive")
