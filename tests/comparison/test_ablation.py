from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from small import SMALL, write_inter, write_vectors

from recbole_vqrec import quick_start
from recbole_vqrec.cli import main
from recbole_vqrec.comparison import ablation, executor
from recbole_vqrec.config import stage_options
from recbole_vqrec.defaults import read_props
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.quantization.encode import encode_dataset

ITEMS = [f"i{number}" for number in range(12)]
PLM = {"plm": "small-plm", "pooling": "cls", "codebooks": 2, "codes_per_codebook": 4}


@pytest.fixture
def pretrained(tmp_path, monkeypatch):
    """Two data sets with text vectors and codes, the first with a trained model; runs stay in this process."""
    draw = np.random.default_rng(0)
    for name in ("source", "target"):
        folder = tmp_path / "dataset" / name
        write_inter(folder, name, {f"u{user}": [str(i) for i in draw.permutation(ITEMS)[:6]] for user in range(20)})
        write_vectors(folder, name, ITEMS, plm=PLM["plm"])
        encode_dataset(folder, name, stage_options(None, PLM), say=lambda line: None)
    small = {name: value for name, value in SMALL.items() if name not in ("item_codes", *PLM)}
    return quick_start.run("VQRec", "source", None, {**small, **PLM, "topk": [10], "state": "WARNING"})["run"]


def test_rows_are_those_of_the_paper_and_ours(pretrained):
    from recbole_vqrec.report.published import published_ablations

    named = read_props("ablation.yaml")["ablations"]
    assert set(published_ablations("Scientific")) <= set(named) and next(iter(named)) == "VQRec"
    manifest = ablation.checkpoint.load(pretrained)[2]
    rows = ablation.ablation_rows(
        pretrained, manifest, {"learning_rate": 0.01, "permutation": "hard", "item_codes": "x"}
    )
    assert "without semi-synthetic negatives" not in rows
    assert rows["VQRec"]["permutation"] == "hard" and rows["without permutation"]["permutation"] == "none"
    assert rows["reuse quantizer"]["reuse_quantizer"] == "source" and rows["reuse quantizer"]["item_codes"] is None
    assert all(row["learning_rate"] == 0.01 and row["stage"] == "finetune" for row in rows.values())
    stages = [{"name": "all", "train": {"*": 1}}]
    given = ablation.ablation_rows(pretrained, manifest, {"finetune_stages": stages})
    assert given["VQRec"]["finetune_stages"] == stages and given["without fine-tuning"]["finetune_stages"] is None
    scratch = rows["without pre-training"]
    assert (scratch["preset"], scratch["permutation"]) == ("scratch", "none")
    both = ablation.ablation_rows(pretrained, manifest, {}, without_negatives="other")
    assert both["without semi-synthetic negatives"]["checkpoint"].endswith("/other")
    assert both["VQRec"]["permutation"] == "soft"  # learned, as in the paper


def test_the_command_runs_every_row_and_resumes(pretrained, tmp_path, monkeypatch):
    from recbole_vqrec.comparison import worker

    calls = []

    def here(self, run):
        calls.append(run.row)
        worker.execute(run)

    monkeypatch.setattr(executor._Children, "execute", here)
    monkeypatch.setattr("recbole_vqrec.comparison.compare.processes_by_default", lambda: 1)
    arguments = ["ablate", "--dataset", "target", "--checkpoint", pretrained, "--without-negatives", pretrained]
    arguments += ["--seeds", "1", "--epochs=1", "--topk=[10]", "--train_batch_size=64", "--permutation_start=usage"]
    options = ["--hidden_size=16", "--inner_size=16"]
    result = CliRunner().invoke(main, [*arguments, *options])
    assert result.exit_code == 0, result.output
    assert calls == [*read_props("ablation.yaml")["ablations"], "SASRec"]
    table = (tmp_path / "reports" / "ablation" / "ablation.md").read_text()
    assert all(f"| {name} " in table for name in calls) and "## Sparse items" in table
    assert (tmp_path / "dataset" / "target" / "target.small-plm.random2x4.codes.safetensors").is_file()
    again = CliRunner().invoke(main, [*arguments, *options])
    assert again.exit_code == 0 and len(calls) == 11, again.output
    assert "## Ablation on target" in Path("reports/ablation/report.md").read_text()


def test_a_run_of_another_model(pretrained, tmp_path):
    run = quick_start.run("SASRec", "source", None, {**SMALL, "topk": [10], "state": "WARNING"})["run"]
    with pytest.raises(VQRecError, match="a run of SASRec; the parts that are left out are those of VQRec"):
        ablation.ablate("target", run, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.fixture
def planned(monkeypatch):
    """The rows that an ablation would run."""
    rows = {}
    monkeypatch.setattr(ablation, "compare", lambda *args, **kwargs: rows.update(kwargs["rows"]))
    monkeypatch.setattr(ablation, "write_ablation", lambda *args: None)
    return rows


def test_codes_that_the_user_has_made_are_left_alone(pretrained, planned):
    folder, made = Path("dataset/target"), {**PLM, "quantizer": "rq", "quantizer_seed": 7}
    for name in ("source", "target"):
        file, _ = encode_dataset(folder.parent / name, name, stage_options(None, made), say=lambda line: None)
    before = file.read_bytes()
    ablation.ablate("target", pretrained, "out", options={"quantizer": "rq"}, say=lambda line: None)
    assert file.read_bytes() == before and planned["VQRec"]["quantizer"] == "rq"
    assert (folder / "target.small-plm.random2x4.codes.safetensors").is_file()


def test_sasrec_beside_an_ablation(pretrained, planned):
    Path("finetune.yaml").write_text("stage: finetune\npreset: inductive\nlearning_rate: 0.01\n")
    ablation.ablate("target", pretrained, "out", config_files=["finetune.yaml"], say=lambda line: None)
    assert planned["SASRec"] == {"model": "SASRec", "learning_rate": 0.01}
    ablation.ablate("target", pretrained, "out", options={"text_similarity_weight": 2}, say=lambda line: None)
    read = {"plm": "small-plm", "pooling": "cls"}
    assert planned["SASRec"] == {"model": "SASRec", "text_similarity_weight": 2, **read}
