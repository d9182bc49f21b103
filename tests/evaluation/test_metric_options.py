import json
from pathlib import Path

import pytest
from small import SMALL, small_config

from recbole_vqrec import quick_start
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.report import run_table
from recbole_vqrec.trainer import checkpoint


def test_gauc_is_trained_stored_and_shown(tiny):
    options = {**SMALL, "metrics": ["GAUC", "Recall"], "valid_metric": "GAUC", "epochs": 2}
    result = quick_start.run("VQRec", "tiny", None, dict(options))
    stored = json.loads((Path(result["run"]) / "result.json").read_text())
    assert list(stored["test_result"]) == ["gauc", "recall@5", "recall@10"]
    gauc = stored["test_result"]["gauc"]
    assert 0 < gauc < 1 and gauc == round(gauc, 4)
    progress = checkpoint.load(result["run"])[2]["progress"]
    assert progress["best_valid_result"]["gauc"] == stored["best_valid_score"]
    assert run_table.table([stored]).split("\n")[0].split() == [
        "model", "gauc", "R@5", "R@10", "epochs", "seconds", "peak", "MB",
    ]  # fmt: skip
    assert run_table.summary(stored).startswith(f"gauc {gauc:.4f}  recall@5")


def test_metrics_of_values_are_refused_where_items_are_ranked_in_full(tiny):
    with pytest.raises(VQRecError, match="metrics: full ranking has no RMSE, AUC; choose of .*gauc, .*ndcg"):
        small_config(metrics=["RMSE", "NDCG", "AUC"])
    assert small_config(metrics=["AUC"], valid_metric="AUC", eval_args={"mode": "labeled"})["metrics"] == ["AUC"]


def test_metrics_that_need_no_tensors(tiny):
    metrics = ["NDCG", "ItemCoverage", "AveragePopularity", "GiniIndex", "TailPercentage"]
    result = quick_start.run("SASRec", "tiny", None, {**SMALL, "metrics": metrics, "state": "ERROR"})
    assert {name.split("@")[0] for name in result["test_result"]} == {name.lower() for name in metrics}
    assert 0 < result["test_result"]["itemcoverage@5"] <= 1


def test_a_split_with_several_test_rows_a_user_leaves_no_ranks(tiny):
    given = {"eval_args": {"split": {"RS": [0.4, 0.3, 0.3]}}, "state": "ERROR"}
    result = quick_start.run("SASRec", "tiny", None, {**SMALL, **given})
    assert result["test_result"] and not (Path(result["run"]) / "ranks.safetensors").exists()


def test_a_run_without_validation_has_no_score(tiny):
    result = quick_start.run("SASRec", "tiny", None, {**SMALL, "epochs": 0, "state": "ERROR"})
    assert result["best_valid_score"] is None
    assert "Infinity" not in (Path(result["run"]) / "result.json").read_text()
