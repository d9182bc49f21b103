"""The shims, and the places of RecBole 1.2.1 they and our overrides rest on: these fail when upstream changes."""

import importlib.metadata
import inspect

import numpy as np
import recbole.config
import recbole.data.utils
import recbole.quick_start
import recbole.trainer.trainer
import recbole.utils.utils
import torch
import torch._dynamo
from recbole.data.dataset import SequentialDataset

from recbole_vqrec import compat


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
