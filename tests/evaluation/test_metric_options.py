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
