"""The shims, and the places of RecBole 1.2.1 they and our overrides rest on: these fail when upstream changes."""

import importlib.metadata
import inspect
import pickle
import sys
import types

import numpy as np
import pytest
import recbole.config
import recbole.data.utils
import recbole.quick_start
import recbole.trainer.trainer
import recbole.utils.utils
import torch
import torch._dynamo
from recbole.data.dataset import SequentialDataset
from small import SMALL

import recbole_vqrec
from recbole_vqrec import compat

STOCK = {
    **SMALL, "load_col": {"inter": ["user_id", "item_id", "timestamp"]}, "train_neg_sample_args": None,
    "state": "ERROR", "reproducibility": True,
}  # fmt: skip


def source(thing):
    return inspect.getsource(thing)


def test_the_tested_version_of_recbole():
    assert importlib.metadata.version("recbole") == "1.2.1"


def test_shims_are_still_needed():
    assert "np.float_" in source(recbole.config.Config.compatibility_settings)
    assert "from ray import tune" in source(recbole.quick_start.quick_start)
    assert "set_detect_anomaly(True)" in source(__import__("recbole.model.sequential_recommender.sine", fromlist=["x"]))


def test_shims_work_and_can_be_applied_again():
    compat.apply()
    compat.apply()
    assert np.float_ is np.float64 and not torch.is_anomaly_enabled()
    recbole.config.Config.compatibility_settings(None)
    assert recbole.quick_start.quick_start.tune.report


def test_torch_before_2_3(monkeypatch):
    monkeypatch.setattr(torch._dynamo, "is_compiling", lambda: "as dynamo says")
    monkeypatch.delattr(torch.compiler, "is_compiling")
    compat.torch_names()
    assert torch.compiler.is_compiling() == "as dynamo says"


def test_ray_is_replaced_only_where_it_cannot_be_imported(monkeypatch):
    monkeypatch.setattr(np, "__version__", "1.26.4")
    monkeypatch.setattr(compat.importlib.util, "find_spec", lambda name: object())
    assert compat.ray_is_usable()
    monkeypatch.setattr(np, "__version__", "2.4.6")
    assert not compat.ray_is_usable()


def test_lookups_that_register_extends():
    assert '["recbole.model", submodule, model_file_name]' in source(recbole.utils.utils.get_model)
    assert 'config["model"] + "Dataset"' in source(recbole.data.utils.create_dataset)
    assert 'model_name + "Trainer"' in source(recbole.utils.utils.get_trainer)


def test_methods_that_are_overridden():
    trainer = recbole.trainer.trainer.Trainer
    fit, epoch, evaluate = source(trainer.fit), source(trainer._train_epoch), source(trainer.evaluate)
    assert fit.count("self._save_checkpoint(") == 3 and "callback_fn(epoch_idx, valid_score)" in fit
    assert "loss_func = loss_func or self.model.calculate_loss" in epoch and "enumerate(iter_data)" in epoch
    assert "torch.load(" in evaluate and evaluate.count("load_best_model") == 3  # all that our evaluate replaces
    assert "self.data_augmentation()" in source(SequentialDataset._change_feat_format)
    assert "item_list_length > max_item_list_len" not in source(SequentialDataset.data_augmentation)
    assert "if i - seq_start > max_item_list_len:" in source(SequentialDataset.data_augmentation)


def run_recbole(monkeypatch, model):
    """Run a stock script; return the argument weights_only of each torch.load, and the result."""
    loads, load = [], torch.load

    def noted(*args, weights_only=None, **kwargs):
        loads.append(weights_only)
        return load(*args, weights_only=weights_only, **kwargs)

    monkeypatch.setattr(torch, "load", noted)
    monkeypatch.setattr(sys, "argv", ["script"])  # stock RecBole reads the command line
    recbole_vqrec.register()
    return loads, recbole.quick_start.run_recbole(model=model, dataset="tiny", config_dict=dict(STOCK))


def test_a_stock_model_is_tested_with_its_best_epoch(tiny, monkeypatch):
    loads, result = run_recbole(monkeypatch, "SASRec")
    assert 0 <= result["test_result"]["recall@10"] <= 1 and loads == [False]


def test_our_trainers_load_no_pickle_in_a_stock_script(tiny, monkeypatch):
    loads, result = run_recbole(monkeypatch, "VQRec")
    assert 0 <= result["test_result"]["recall@10"] <= 1 and loads == []


@pytest.mark.skipif([int(part) for part in torch.__version__.split(".")[:2]] < [2, 6], reason="reads any pickle")
def test_a_file_that_a_stock_trainer_is_given_is_read_as_torch_does(tmp_path):
    from recbole.config import Config

    torch.save({"state_dict": Config}, tmp_path / "given.pth")
    trainer = types.SimpleNamespace(saved_model_file="own.pth", device="cpu")
    with pytest.raises(pickle.UnpicklingError):
        recbole.trainer.trainer.Trainer.evaluate(trainer, ["batch"], model_file=str(tmp_path / "given.pth"))
