import numpy as np
import pytest
from small import random_domains, small_config

from recbole_vqrec.data import domain_batches
from recbole_vqrec.data.batches import BATCH_TARGETS, FIRST_TARGET, NEGATIVES_SEED, TARGET_LIST, share_of
from recbole_vqrec.data.dataset import create_dataset
from recbole_vqrec.data.domain_batches import DomainBatches


def batches(**options):
    config = small_config(dataset="mix", stage="pretrain", **{"train_batch_size": 20, **options})
    return DomainBatches(config, create_dataset(config))


def targets(batch):
    following = batch[TARGET_LIST]
    return following[following > 0].tolist()


def test_an_epoch_trains_every_pair_once_mixed_and_bounded(tmp_path):
    random_domains(tmp_path / "dataset")
    loader = batches()
    found = [targets(batch) for batch in loader]
    sequences = loader.sequences
    _, following = sequences.histories(np.arange(len(sequences)))
    assert sorted(sum(found, [])) == sorted(following[following > 0].tolist())
    assert max(map(len, found)) <= 20 and len(found) == len(loader) > 3
    domain = loader._dataset.item_domain
    assert sum(len(set(domain[row])) == 2 for row in found) > len(found) / 2
    assert loader.pairs_of_domains() == {"a": sum(domain[sum(found, [])] == 0), "b": sum(domain[sum(found, [])] == 1)}


def test_a_function_of_seed_and_epoch(tmp_path):
    random_domains(tmp_path / "dataset")

    def epoch(number, seed=1):
        loader = batches(seed=seed)
        loader.start(number)
        return [(batch["item_id_list"].tolist(), int(batch[NEGATIVES_SEED])) for batch in loader]

    assert epoch(0) == epoch(0) != epoch(1)
    assert epoch(0) != epoch(0, seed=2)


def test_batches_from_a_position_are_the_rest(tmp_path):
    random_domains(tmp_path / "dataset")
    loader = batches()
    whole = [targets(batch) for batch in loader]
    assert [targets(batch) for batch in loader.from_batch(2)] == whole[2:]


@pytest.mark.parametrize("alpha, expected", [(0.0, 0.5), (0.5, None)])
def test_tempered_domains(tmp_path, alpha, expected):
    random_domains(tmp_path / "dataset", users=90)
    plain = batches().pairs_of_domains()
    counts = batches(domain_sampling=alpha).pairs_of_domains()
    share = plain["b"] / sum(plain.values())
    expected = expected or share**alpha / (share**alpha + (1 - share) ** alpha)
    assert counts["b"] / sum(counts.values()) == pytest.approx(expected, abs=0.03)
    assert sum(counts.values()) == pytest.approx(sum(plain.values()), rel=0.05)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_processes_share_rows_without_overlap_or_padding(tmp_path, monkeypatch, size):
    random_domains(tmp_path / "dataset")
    whole = list(batches())
    parts = []
    for rank in range(size):
        monkeypatch.setattr(domain_batches, "rank_and_size", lambda rank=rank: (rank, size))
        loader = batches()
        parts.append([(batch, loader.share) for batch in loader])
    for number, batch in enumerate(whole):
        own = [part[number] for part in parts]
        assert sum([targets(each) for each, _ in own], []) == targets(batch)
        assert sum(share for _, share in own) == pytest.approx(1)
        for each, _ in own:
            assert each[BATCH_TARGETS].tolist() == targets(batch)
            first = int(each[FIRST_TARGET])
            assert each[BATCH_TARGETS][first : first + len(targets(each))].tolist() == targets(each)


def test_rows_are_shared_by_tokens():
    lengths = np.array([50, 1, 1, 1, 1, 46, 4, 46])  # 54 and 96 tokens; one row more would be 100 and 50
    assert [share_of(lengths, rank, 2) for rank in range(2)] == [(0, 5), (5, 8)]
    assert [share_of(np.array([3]), rank, 3) for rank in range(3)] == [(0, 0), (0, 1), (1, 1)]
