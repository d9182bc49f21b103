import json

import pytest
import torch
from small import SMALL, small_config, write_inter

from recbole_vqrec import quick_start
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.trainer import checkpoint


@pytest.fixture
def run(tiny):
    return quick_start.run("VQRec", "tiny", None, {**SMALL, "epochs": 2, "dataset": "tiny"})


def test_a_run_is_plain_files(run):
    from pathlib import Path

    folder = Path(run["run"])
    names = [
        "catalogue.safetensors", "checkpoint.safetensors", "ranks.safetensors", "result.json", "run.log", "tensorboard",
    ]  # fmt: skip
    assert sorted(file.name for file in folder.iterdir()) == names
    assert json.loads((folder / "result.json").read_text())["test_result"] == run["test_result"]
    tensors, item_ids, manifest = checkpoint.load(folder)
    assert manifest["config"]["hidden_size"] == 16 and manifest["config"]["data_path"] == "dataset"
    assert tensors["model.items.item_codes"].shape == (13, 4) and len(item_ids) == 12


def test_what_is_loaded_is_what_was_tested(run):
    config, model, _, _, _, test_data = quick_start.load_data_and_model(run["run"])
    from recbole_vqrec.trainer.create import create_trainer

    trainer = create_trainer(config, model)
    trainer.eval_collector.data_collect(test_data)
    assert trainer.evaluate(test_data, load_best_model=False) == run["test_result"]
    assert trainer.evaluate(test_data, model_file=run["run"]) == run["test_result"]


def test_a_retired_option_is_left_out_where_it_was_off(run, monkeypatch):
    for value, kept in ((16, False), (8, True)):
        monkeypatch.setattr(checkpoint, "RETIRED_OPTIONS", {"hidden_size": value})
        manifest = checkpoint.load(run["run"])[2]
        assert ("hidden_size" in manifest["config"]) == kept and checkpoint.read_manifest(run["run"]) == manifest


def test_optimizer_state_round_trip(tiny, tmp_path):
    model = torch.nn.Linear(2, 3)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    model(torch.randn(4, 2)).sum().backward()
    optimizer.step()
    checkpoint.save(tmp_path / "c.safetensors", small_config(), model, optimizer, ["a"], {"epoch": 0})
    other = torch.optim.Adam(model.parameters(), lr=0.5)
    tensors, _, manifest = checkpoint.load(tmp_path / "c.safetensors")
    checkpoint.restore_optimizer(other, tensors, manifest)
    assert other.param_groups[0]["lr"] == 0.1
    for parameter in model.parameters():
        assert torch.equal(other.state[parameter]["exp_avg"], optimizer.state[parameter]["exp_avg"])
        assert other.state[parameter]["step"] == 1


def test_no_pickle_is_written_or_read(run, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("torch.load or pickle used")

    monkeypatch.setattr(torch, "load", refuse)
    monkeypatch.setattr("pickle.load", refuse)
    monkeypatch.setattr("pickle.dump", refuse)
    monkeypatch.setattr(torch, "save", refuse)
    quick_start.load_data_and_model(run["run"])
    quick_start.run("SASRec", "tiny", None, dict(SMALL))


def test_a_folder_without_checkpoint(tmp_path):
    with pytest.raises(VQRecError, match="checkpoint not found; give the folder of a run"):
        quick_start.load_data_and_model(tmp_path)


def test_a_damaged_checkpoint(run):
    path = checkpoint.checkpoint_file(run["run"])
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(VQRecError, match="not a readable checkpoint"):
        quick_start.load_data_and_model(run["run"])


def test_a_checkpoint_of_another_model(run, tiny):
    model = torch.nn.Linear(1, 1)
    with pytest.raises(VQRecError, match="a checkpoint of VQRec, not of SASRec"):
        checkpoint.restore_model(run["run"], model, "SASRec", checkpoint.load(run["run"])[1])


def test_a_checkpoint_of_other_sizes(run):
    with pytest.raises(VQRecError, match="does not fit the configured VQRec"):
        checkpoint.restore_model(run["run"], torch.nn.Linear(1, 1), "VQRec", checkpoint.load(run["run"])[1])


def test_a_data_set_that_has_changed(run, tiny):
    write_inter(tiny, "tiny", {f"u{user}": [f"i{(user + step) % 12}" for step in range(5)] for user in range(30)})
    with pytest.raises(VQRecError, match="was trained on other items of tiny"):
        quick_start.load_data_and_model(run["run"])
