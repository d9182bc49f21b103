"""A model that learns: Markov sequences, well above chance with real codes, at chance when targets are shuffled."""

import numpy as np
import pytest
from small import SMALL, write_codes, write_domains, write_inter, write_vectors

from recbole_vqrec import quick_start

ITEMS, USERS = 60, 400


def markov(random_targets, seed=0):
    """Each item is followed by one of two fixed items; or by any item at all."""
    draw = np.random.default_rng(seed)
    followers = draw.integers(0, ITEMS, size=(ITEMS, 2))
    sequences = {}
    for user in range(USERS):
        items = [int(draw.integers(ITEMS))]
        while len(items) < 8:
            items.append(int(draw.integers(ITEMS) if random_targets else draw.choice(followers[items[-1]])))
        sequences[f"u{user}"] = [f"i{item}" for item in items]
    return sequences


@pytest.mark.parametrize("name", ["VQRec", "SASRec", "SASRecText", "ZESRec", "UniSRec", "FDSA", "S3Rec", "RecGURU", "BERT4Rec"])
@pytest.mark.parametrize("random_targets", [False, True])
def test_learning(tmp_path, name, random_targets):
    folder = tmp_path / "dataset" / "markov"
    write_inter(folder, "markov", markov(random_targets))
    write_codes(folder, "markov", [f"i{item}" for item in range(ITEMS)])
    write_vectors(folder, "markov", [f"i{item}" for item in range(ITEMS)], size=32)
    items = "".join(f"i{item}\tgroup {item % 7}\n" for item in range(ITEMS))
    (folder / "markov.item").write_text("item_id:token\tcategories:token_seq\n" + items)
    sizes = {"hidden_size": 32, "inner_size": 64}
    options = {**SMALL, **sizes, "learning_rate": 0.005, "epochs": 25, "train_batch_size": 200}
    if name == "BERT4Rec":  # learns from the hidden items alone
        options = {**options, "epochs": 80, "mask_ratio": 0.4}
    recall = quick_start.run(name, "markov", None, options)["test_result"]["recall@5"]
    chance = 5 / ITEMS
    if random_targets:
        assert recall < 2 * chance
    else:
        assert recall > 0.6


@pytest.mark.parametrize("name", ["VQRec", "UniSRec", "ZESRec", "SASRecText", "RecGURU"])
@pytest.mark.parametrize("random_targets", [False, True])
def test_pre_training_learns_each_domain(tmp_path, name, random_targets):
    folder = write_domains(tmp_path / "dataset", a=markov(random_targets), b=markov(random_targets, seed=1))
    items = [f"{domain}-i{item}" for domain in "ab" for item in range(ITEMS)]
    for view in ("", ".word-drop"):
        write_vectors(folder, "mix", items, size=32, plm=f"bert-base-uncased{view}")
    sizes = {"hidden_size": 32, "inner_size": 64, "codes_per_codebook": 8}
    options = {
        **SMALL,
        **sizes,
        "learning_rate": 0.005,
        "epochs": 12,
        "train_batch_size": 200,
        "checkpoint_epochs": None,
    }
    run = quick_start.pretrain(None, "mix", name, None, options)
    result = run["best_valid_result"]
    assert len(run["valid_scores"]) == 12 and max(run["valid_scores"]) == run["best_valid_score"]
    for domain in ("a", "b"):
        if random_targets:
            assert result[f"{domain} recall@5"] < 2 * 5 / ITEMS
        else:
            assert result[f"{domain} recall@5"] > 0.6
