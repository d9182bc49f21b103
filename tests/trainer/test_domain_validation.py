import math

import pytest
import torch
from small import SMALL, random_domains, small_config, write_domains

from recbole_vqrec import distributed, quick_start
from recbole_vqrec.data.dataset import create_dataset
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.trainer import domain_validation
from recbole_vqrec.trainer.domain_validation import DomainValidation, metric_sums, target_ranks

DOMAINS = {
    "a": {f"u{n}": list("xyzv")[: 3 + n % 2] for n in range(5)},
    "b": {"u0": list("pqr"), "u1": list("qpr"), "u2": ["p"]},
}


class ByTable(torch.nn.Module):
    """Scores items by a fixed table, whatever the history."""

    def __init__(self, table):
        super().__init__()
        self.table = torch.nn.Parameter(table)

    def full_sort_predict(self, interaction, items):
        return self.table[items].expand(len(interaction["item_length"]), -1)


def validation(**options):
    config = small_config(dataset="mix", stage="pretrain", topk=[1, 2], valid_metric="NDCG@2", **options)
    return DomainValidation(config, create_dataset(config))


def test_ranks_count_ties_half():
    scores = torch.tensor([[3.0, 1.0, 2.0], [1.0, 1.0, 1.0], [0.0, 5.0, 5.0]])
    assert target_ranks(scores, torch.tensor([0, 2, 1])).tolist() == [1.0, 2.0, 1.5]


def test_scores_that_are_no_number_rank_last():
    nan = float("nan")
    scores = torch.tensor([[nan, nan, nan], [1.0, nan, 2.0]])
    assert target_ranks(scores, torch.tensor([0, 0])).tolist() == [4.0, 3.0]


def test_metrics_of_ranks():
    assert metric_sums(torch.tensor([1.0, 2.0, 3.0]), [1, 2]) == pytest.approx([1, 2, 1, 1 + 1 / math.log2(3)])


def test_each_domain_ranks_its_own_items_only(tmp_path):
    write_domains(tmp_path / "dataset", **DOMAINS)
    checked = validation()
    items = checked._dataset.field2id_token["item_id"]
    table = torch.tensor(
        [{"a-z": 9.0, "a-v": 8.0, "b-r": 5.0}.get(item, 7.0 if item == "b-q" else 0.0) for item in items]
    )
    result = checked.result(ByTable(table))
    # a: users u0, u2, u4 end with z (rank 1), u1, u3 with v (rank 2); b: both end with r, which q beats, no item of a
    assert len(checked) == 7
    assert result["a recall@1"] == pytest.approx(3 / 5) and result["a recall@2"] == 1
    assert result["b recall@1"] == 0 and result["b ndcg@2"] == pytest.approx(1 / math.log2(3), abs=1e-6)
    assert result["recall@1"] == pytest.approx(3 / 7, abs=1e-6)


def test_processes_count_every_user_once(tmp_path, monkeypatch):
    write_domains(tmp_path / "dataset", **DOMAINS)
    checked, model = validation(), ByTable(torch.arange(9.0))
    sums = []
    for rank in range(3):
        monkeypatch.setattr(domain_validation.distributed, "rank_and_size", lambda rank=rank: (rank, 3))
        sums.append([checked._sums(model, domain, "cpu") for domain in range(2)])
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    together = [sum(part[domain] for part in sums) for domain in range(2)]
    alone = [checked._sums(model, domain, "cpu") for domain in range(2)]
    assert [each.tolist() for each in together] == [pytest.approx(each.tolist()) for each in alone]
    assert together[0][0] == 5 and together[1][0] == 2 and distributed.rank_and_size() == (0, 1)


def test_a_metric_that_pre_training_does_not_know(tmp_path):
    write_domains(tmp_path / "dataset", **DOMAINS)
    config = small_config(dataset="mix", stage="pretrain", valid_metric="MRR@10", metrics=["MRR"])
    with pytest.raises(VQRecError, match="valid_metric: 'MRR@10', pre-training knows recall@5"):
        DomainValidation(config, create_dataset(config))


def test_metrics_that_count_the_items_of_all_lists_do_not_stop_pre_training(tmp_path):
    random_domains(tmp_path / "dataset")
    options = {**SMALL, "metrics": ["Recall", "NDCG", "ItemCoverage", "AveragePopularity"], "state": "WARNING"}
    assert "ndcg@10" in quick_start.pretrain(None, "mix", None, None, options)["best_valid_result"]


def test_a_config_file_may_name_the_model(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(quick_start, "run", lambda model, *others: asked.append(model))
    (tmp_path / "my.yaml").write_text("model: UniSRec\n")
    quick_start.pretrain(None, "mix", None, ["my.yaml"])
    quick_start.pretrain(None, "mix", None, None, {"resume": "saved/x"})
    quick_start.pretrain(None, "mix", "RecGURU", ["my.yaml"])
    quick_start.pretrain(None, "mix")
    assert asked == [None, None, "RecGURU", "VQRec"]
