"""The pre-training loss against Eq. 8 written out, on a model without dropout."""

import pytest
import torch
import torch.nn.functional as F
from recbole.data.interaction import Interaction
from small import SMALL, small_config

from recbole_vqrec.data.batches import BATCH_TARGETS, FIRST_TARGET, NEGATIVES_SEED, TARGET_LIST
from recbole_vqrec.data.dataset import create_dataset
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.model.negatives import semi_synthetic_codes

HISTORY = torch.tensor([[3, 1, 4, 0], [5, 0, 0, 0], [2, 6, 5, 3]])
FOLLOWING = torch.tensor([[1, 4, 9, 0], [4, 0, 0, 0], [0, 0, 3, 4]])
BATCH = {"item_id_list": HISTORY, "item_length": torch.tensor([3, 1, 4]), TARGET_LIST: FOLLOWING}
TARGETS = torch.tensor([1, 4, 9, 4, 3, 4])

PAPER = {"popularity_correction": False, "sampled_negatives": 0}  # Eq. 8 as it stands


def made(**options):
    config = small_config(stage="pretrain", **{**PAPER, **options})
    dataset = create_dataset(config)
    torch.manual_seed(5)
    return config.model_class(config, dataset), dataset


def batch(seed=11, **more):
    return Interaction({**BATCH, NEGATIVES_SEED: torch.tensor([seed]), **more})


def eq_8(model, dataset, seed, semi_synthetic=1, reference=False, correction=None):
    """Each position on its own: states of prefixes, items one by one, exponentials summed."""
    tau, table = model.temperature, model.items.table()
    prefixes = [(row, position) for row in range(3) for position in range(4) if FOLLOWING[row, position]]
    states = torch.stack(
        [model.forward(HISTORY[row : row + 1, : p + 1], torch.tensor([p + 1]))[0] for row, p in prefixes]
    )
    codes = semi_synthetic_codes(
        model.items.item_codes[TARGETS],
        dataset.codes_per_codebook,
        0.75,
        semi_synthetic,
        torch.Generator().manual_seed(seed),
    )
    losses = []
    for j, state in enumerate(states):

        def score(vector):
            return (F.cosine_similarity(state, vector, dim=0) / tau).exp()

        positive = score(table[TARGETS[j]])
        denominator = positive
        for other in TARGETS:
            if other != TARGETS[j]:
                weight = 1 if correction is None else 1 / correction[other]
                denominator = denominator + weight * score(table[other])
        duplicates = int((TARGETS == TARGETS[j]).sum()) - 1
        denominator = denominator + (duplicates if reference else 0)
        for synthetic in codes[j]:
            denominator = denominator + score(model.items.code_embedding.weight[synthetic].mean(0))
        losses.append(-torch.log(positive / denominator))
    return torch.stack(losses).mean()


@pytest.mark.parametrize("options, how", [
    ({}, {}),
    ({"semi_synthetic_negatives": 0}, {"semi_synthetic": 0}),
    ({"semi_synthetic_negatives": 3}, {"semi_synthetic": 3}),
    ({"masked_negatives": "reference"}, {"reference": True}),
])  # fmt: skip
def test_loss_and_gradients_are_eq_8(tiny, options, how):
    model, dataset = made(**options)
    found, expected = model.pretraining_loss(batch()), eq_8(model, dataset, 11, **how)
    assert found.item() == pytest.approx(expected.item(), abs=1e-5)
    parameters = list(model.parameters())
    for gradient, reference in zip(torch.autograd.grad(found, parameters), torch.autograd.grad(expected, parameters)):
        assert torch.allclose(gradient, reference, atol=1e-4)


def test_popularity_correction_divides_by_what_a_batch_lets_expect(tiny):
    model, dataset = made(popularity_correction=True)
    expected = eq_8(model, dataset, 11, correction=len(TARGETS) * dataset.item_frequency)
    assert model.pretraining_loss(batch()).item() == pytest.approx(expected.item(), abs=1e-5)


def test_sampled_negatives_make_it_harder(tiny):
    plain, _ = made(semi_synthetic_negatives=0)
    sampled, _ = made(semi_synthetic_negatives=0, sampled_negatives=50)
    assert sampled.pretraining_loss(batch()) > plain.pretraining_loss(batch()) + 0.5


def test_parts_of_a_batch_add_up_to_the_whole(tiny):
    """Two processes, rows 0 and 1-2: weighted by their pairs, their losses and gradients are those of one process."""
    model, _ = made()
    whole = model.pretraining_loss(batch())
    parts = []
    for rows, first, pairs in ((slice(0, 1), 0, 3), (slice(1, 3), 3, 3)):
        columns = {name: value[rows] for name, value in BATCH.items()}
        more = {BATCH_TARGETS: TARGETS, FIRST_TARGET: torch.tensor([first]), NEGATIVES_SEED: torch.tensor([11])}
        parts.append(model.pretraining_loss(Interaction({**columns, **more})) * pairs / 6)
    assert sum(parts).item() == pytest.approx(whole.item(), abs=1e-6)
    parameters = list(model.parameters())
    for gradient, reference in zip(torch.autograd.grad(sum(parts), parameters), torch.autograd.grad(whole, parameters)):
        assert torch.allclose(gradient, reference, atol=1e-5)


def test_one_target_for_all_is_no_loss_and_no_nan(tiny):
    model, _ = made(semi_synthetic_negatives=0)
    same = torch.where(FOLLOWING > 0, 7, 0)
    loss = model.pretraining_loss(Interaction({**BATCH, TARGET_LIST: same}))
    loss.backward()
    assert loss == 0 and all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


def test_bfloat16_is_close_and_finite(tiny):
    model, _ = made()
    exact = model.pretraining_loss(batch())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = model.pretraining_loss(batch())
    rounded.backward()
    assert rounded.item() == pytest.approx(exact.item(), rel=0.05) and rounded.dtype == torch.float32


@pytest.mark.parametrize("option, value", [
    ("replacement_probability", 1.5), ("semi_synthetic_negatives", -1), ("masked_negatives", "exactly"),
])  # fmt: skip
def test_options_out_of_range(tiny, option, value):
    with pytest.raises(VQRecError, match=option):
        made(**{option: value})
    assert SMALL
