"""FDSA, S3Rec and RecGURU: their particular formulas, and what they cannot use."""

import pytest
import torch
from small import SMALL, small_config, write_vectors
from recbole.data import data_preparation
from recbole.data.interaction import Interaction

from recbole_vqrec import quick_start, registry
from recbole_vqrec.data.batches import TARGET_LIST
from recbole_vqrec.data.dataset import create_dataset
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.model.packed_sequences import PackedSequences
from recbole_vqrec.model.recguru import reverse_gradient
from recbole_vqrec.model.s3rec import mask_some, random_segments
from recbole_vqrec.trainer import checkpoint
from recbole_vqrec.trainer.two_stage_trainer import PRETRAINED

ITEMS = [f"i{number}" for number in range(12)]
NAMES = ["FDSA", "S3Rec", "RecGURU"]


@pytest.fixture(autouse=True)
def texts(tiny):
    write_vectors(tiny, "tiny", ITEMS)
    lines = [f"{item}\tcolour {index % 3} > shape {index % 2}" for index, item in enumerate(ITEMS)]
    (tiny / "tiny.item").write_text("item_id:token\tcategories:token_seq\n" + "\n".join(lines) + "\n")


def build(name, change=None, **options):
    config = small_config(name, **options)
    dataset = data_preparation(config, create_dataset(config))[0]._dataset
    if change:
        change(dataset)
    return config.model_class(config, dataset)


def sequences():
    item_seq = torch.tensor([[1, 2, 3, 0, 0], [4, 0, 0, 0, 0], [5, 6, 0, 0, 0]])
    following = torch.tensor([[2, 3, 5, 0, 0], [6, 0, 0, 0, 0], [6, 5, 0, 0, 0]])
    length, item = torch.tensor([3, 1, 2]), torch.tensor([5, 6, 5])
    columns = {"item_id_list": item_seq, "item_length": length, "item_id": item, TARGET_LIST: following}
    return Interaction(columns)


def entropy(states, table, items):
    """Return the cross-entropy of items among the rows of a table, row 0 left out."""
    scores = states @ table[1:].T
    return (torch.logsumexp(scores, 1) - scores[torch.arange(len(items)), items - 1]).mean()


@pytest.mark.parametrize("fusion_norm", [True, False])
def test_fdsa_joins_the_states_of_ids_and_texts(fusion_norm):
    model = build("FDSA", fusion_norm=fusion_norm).eval()
    item_seq = torch.tensor([[1, 2, 3]])
    packed = PackedSequences(torch.tensor([3]))
    ids = model.encoder(model.items.id_embedding.weight[item_seq[0]], packed)
    texts = model.feature_encoder(model.features.table()[item_seq[0]], packed)
    joined = torch.cat([ids, texts], dim=1) @ model.fusion.weight.T + model.fusion.bias
    if fusion_norm:
        joined = (joined - joined.mean(1, keepdim=True)) / joined.std(1, correction=0, keepdim=True)
    assert torch.allclose(model.forward(item_seq, torch.tensor([3]))[0], joined[2], atol=1e-6)
    scores = model.full_sort_predict(Interaction({"item_id_list": item_seq, "item_length": torch.tensor([3])}))
    assert torch.allclose(scores[0], joined[2] @ model.items.id_embedding.weight.T, atol=1e-6)


def test_recguru_rebuilds_the_sequence_from_the_users_state():
    model = build("RecGURU", reconstruction_weight=0.5, temperature=None).eval()
    batch, table = sequences(), model.items.table()
    losses, rebuilt, truth = [], [], []
    for row, length in enumerate([3, 1, 2]):
        items = batch["item_id_list"][row, :length]
        packed = PackedSequences(torch.tensor([length]))
        states = model.encoder(table[items], packed)
        losses.append((states, batch[TARGET_LIST][row, :length]))
        before = torch.cat([torch.zeros(1, 16), table[items[:-1]]])
        rebuilt.append(model.decoder(before + model.to_decoder(states[-1]), packed))
        truth.append(items)
    expected = entropy(torch.cat([s for s, _ in losses]), table, torch.cat([t for _, t in losses]))
    expected = expected + 0.5 * entropy(torch.cat(rebuilt), table, torch.cat(truth))
    assert model.calculate_loss(batch).item() == pytest.approx(expected.item(), rel=1e-5)


def test_recguru_turns_the_gradient_of_the_discriminator_round():
    values = torch.ones(2, 3, requires_grad=True)
    (reverse_gradient(values) * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert values.grad.tolist() == [[-1, -2, -3]] * 2


def gradients(model, loss):
    """Return name -> gradient, zeros where the loss does not depend on a parameter."""
    names, parameters = zip(*model.named_parameters())
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    return {name: torch.zeros_like(p) if each is None else each for name, p, each in zip(names, parameters, found)}


def test_recguru_guesses_the_domain_of_each_sequence():
    domains = torch.tensor([-1] + [0] * 3 + [1] * 9)

    def of_two_domains(dataset):
        dataset.item_domain = domains.numpy()

    torch.manual_seed(3)
    model = build("RecGURU", of_two_domains, adversarial_weight=0.7, reconstruction_weight=0).eval()
    batch = sequences()
    users = model.forward(batch["item_id_list"], batch["item_length"])
    guess = torch.nn.functional.cross_entropy(model.discriminator(users), domains[torch.tensor([3, 4, 6])])
    expected = model.pretraining_loss(batch).item() - 0.7 * guess.item()
    total = gradients(model, model.pretraining_loss(batch))
    of_guess = gradients(model, guess)
    model.adversarial_weight = 0
    plain = model.pretraining_loss(batch)
    assert plain.item() == pytest.approx(expected, rel=1e-4)
    without = gradients(model, plain)
    for name, each in of_guess.items():  # the discriminator learns the domain, the encoder to hide it
        sign = 1 if name.startswith("discriminator") else -1
        assert torch.allclose(total[name] - without[name], sign * 0.7 * each, atol=1e-6), name
    assert {name.split(".")[0] for name in of_guess} >= {"discriminator", "encoder", "items"}
    assert build("RecGURU").discriminator is None


def test_s3rec_predicts_attributes_by_a_bilinear_score():
    model = build("S3Rec")
    has = torch.tensor([[1.0, 0, 0, 1, 0], [0, 1, 0, 0, 1]])
    vectors = torch.randn(2, 16)
    total = 0.0
    for row in range(2):
        for attribute in range(5):
            vector = model.attribute_embedding.weight[attribute]
            score = (model.bilinear[2].weight @ vectors[row]) @ vector + model.attribute_bias[attribute]
            probability = torch.sigmoid(score)
            total -= torch.log(probability if has[row, attribute] else 1 - probability)
    assert model.attributes_loss(vectors, has, 2).item() == pytest.approx(total.item() / 2, rel=1e-5)


def test_s3rec_starts_from_how_many_items_have_an_attribute():
    model = build("S3Rec")
    share = model.item_attributes[1:].float().mean(dim=0)
    assert 0 < share.min() and share.max() < 1
    assert torch.allclose(torch.sigmoid(model.attribute_bias), share, atol=1e-6)


def test_s3rec_sums_its_four_tasks(monkeypatch):
    model = build("S3Rec").eval()
    batch = sequences()
    whole, length = model.whole_sequences(batch)
    assert whole.tolist() == [[1, 2, 3, 5, 0], [4, 6, 0, 0, 0], [5, 6, 5, 0, 0]]
    assert length.tolist() == [4, 2, 3]
    packed = PackedSequences(length)
    hidden = torch.zeros(9, dtype=torch.bool)
    hidden[[1, 5]] = True
    segment = packed.position == 1
    monkeypatch.setattr("recbole_vqrec.model.s3rec.mask_some", lambda packed, ratio: hidden)
    monkeypatch.setattr("recbole_vqrec.model.s3rec.random_segments", lambda packed: segment)
    with torch.no_grad():
        model.mask_embedding.normal_()
        items, table = packed.pack(whole), model.items.table()
        vectors = table[items]

        def encode(vectors):
            return model.encoder(vectors, packed, causal=False)

        states = encode(torch.where(hidden[:, None], model.mask_embedding, vectors))
        has = model.item_attributes[items].float()
        expected = [
            model.attributes_loss(vectors[~hidden], has[~hidden], 0) * 7 / 9,
            entropy(model.bilinear[1](states[hidden]), table, items[hidden]) * 2 / 9,
            model.attributes_loss(states[hidden], has[hidden], 2) * 2 / 9,
        ]
        context = encode(torch.where(segment[:, None], model.mask_embedding, vectors))[packed.last]
        segments = encode(torch.where(segment[:, None], vectors, model.mask_embedding))[packed.last]
        scores = model.bilinear[3](context) @ segments.T
        expected.append((torch.logsumexp(scores, 1) - scores.diagonal()).mean() * 3 / 9)
        assert model.weights == [0.2, 1.0, 1.0, 0.5]
        total = sum(weight * loss for weight, loss in zip(model.weights, expected))
    assert model.pretraining_loss(batch).item() == pytest.approx(total.item(), rel=1e-5)


def test_s3rec_cuts_whole_sequences_to_the_latest_items():
    model = build("S3Rec")
    history, length, following = torch.tensor([[1, 2, 3, 4, 5]]), torch.tensor([5]), torch.tensor([9])
    full = Interaction({"item_id_list": history, "item_length": length, "item_id": following})
    whole, length = model.whole_sequences(full)
    assert whole.tolist() == [[2, 3, 4, 5, 9]] and length.tolist() == [5]


def test_s3rec_contrasts_segments_in_float32_under_autocast(monkeypatch):
    model, packed = build("S3Rec"), PackedSequences(torch.randint(2, 6, (40,)))
    states = torch.randn(len(packed.row), 16)
    monkeypatch.setattr(model.encoder, "forward", lambda vectors, packed, causal: states)
    model.bilinear[3] = torch.nn.Identity()  # layers have their products in bfloat16, the contrast has not
    with torch.autocast("cpu", torch.bfloat16):
        found = model.segment_loss(states, packed).item()
    assert found == pytest.approx(model.segment_loss(states, packed).item(), abs=1e-5)


def test_s3rec_hides_items_and_segments():
    packed = PackedSequences(torch.randint(1, 12, (500,)))
    assert 0.17 < mask_some(packed, 0.2).float().mean() < 0.23
    assert mask_some(PackedSequences(torch.tensor([3])), 1e-9).sum() == 1
    inside = random_segments(packed)
    for row in range(500):
        places = packed.position[(packed.row == row) & inside].tolist()
        length = int((packed.row == row).sum())
        assert places == list(range(min(places), min(places) + len(places)))
        assert 1 <= len(places) <= max(1, length // 2)


def test_a_position_sees_the_whole_sequence_and_no_padding_in_pretraining():
    model = build("S3Rec").eval()
    for parameter in model.encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    vectors = torch.randn(3, 16)
    alone = model.encoder(vectors, PackedSequences(torch.tensor([3])), causal=False)
    changed = vectors.clone()
    changed[2, 0] += 1
    later = model.encoder(changed, PackedSequences(torch.tensor([3])), causal=False)
    assert not torch.allclose(later[0], alone[0], atol=1e-4)  # the first position has seen the last
    padded = PackedSequences(torch.tensor([3, 4]))  # one block, the first sequence is padded in it
    both = torch.zeros(7, 16)
    both[padded.row == 0], both[padded.row == 1] = vectors, torch.randn(4, 16)
    assert torch.allclose(model.encoder(both, padded, causal=False)[padded.row == 0], alone, atol=1e-5)


def test_s3rec_leaves_a_pretrained_checkpoint_and_differs_from_sasrec():
    result = quick_start.run("S3Rec", "tiny", None, {**SMALL, "pretrain_epochs": 2})
    assert result["valid_epochs"] == [3]  # none in its own pre-training
    tensors, _, manifest = checkpoint.load(f"{result['run']}/{PRETRAINED}")
    assert manifest["model"] == "S3Rec" and "model.attribute_embedding.weight" in tensors
    plain = quick_start.run("S3Rec", "tiny", None, {**SMALL, "pretrain_epochs": 0})
    trained, _, _ = checkpoint.load(plain["run"])
    assert not torch.allclose(trained["model.items.id_embedding.weight"], tensors["model.items.id_embedding.weight"])


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_learns(name):
    model = build(name)
    model.train()
    model.calculate_loss(sequences()).backward()
    if name == "S3Rec":
        model.pretraining_loss(sequences()).backward()
    for parameter, value in model.named_parameters():
        assert value.grad is not None and value.grad.abs().sum() > 0, parameter


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("S3Rec", {"mask_ratio": 1}, "mask_ratio: 1"),
        ("RecGURU", {"adversarial_weight": -1}, "adversarial_weight"),
        *((name, {"temperature": 0}, "temperature") for name in NAMES),
        *((name, {"loss_type": "BPR"}, f"{name} trains with CE") for name in NAMES),
    ],
)
def test_settings_they_cannot_use(name, options, message):
    with pytest.raises(VQRecError, match=message):
        build(name, **options)


@pytest.mark.parametrize("name, message", [("FDSA", "text vectors"), ("S3Rec", "attributes")])
def test_data_sets_that_lack_what_they_read(name, message):
    with pytest.raises(VQRecError, match=f"{name} needs a data set with {message}"):
        registry.load(registry.entry(name).model)(small_config(name), recbole_dataset())


def recbole_dataset():
    """Return RecBole's own data set, which knows neither texts nor attributes."""
    from recbole.data.dataset import SequentialDataset

    return SequentialDataset(small_config("SASRec"))
