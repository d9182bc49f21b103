"""After register(), stock RecBole finds our models by name: its four entry points are run for real."""

import sys

import pytest
import torch
from small import SMALL, small_config, write_vectors

import recbole_vqrec
from recbole_vqrec import quick_start, registry
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.model.vqrec import VQRec

STOCK = {
    **SMALL, "load_col": {"inter": ["user_id", "item_id", "timestamp"]}, "metrics": ["NDCG", "Hit"],
    "valid_metric": "NDCG@10", "state": "ERROR", "reproducibility": True,
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_arguments(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["script"])  # stock RecBole reads the command line
    recbole_vqrec.register()


@pytest.mark.parametrize("name", registry.OWN_MODELS)
def test_run_recbole(tiny, name):
    from recbole.quick_start import run_recbole
    from recbole.utils import get_model

    write_vectors(tiny, "tiny", [f"i{number}" for number in range(12)])
    items = "".join(f"i{number}\tkind {number % 3}\n" for number in range(12))
    (tiny / "tiny.item").write_text("item_id:token\tcategories:token_seq\n" + items)
    result = run_recbole(model=name, dataset="tiny", config_dict=dict(STOCK))
    assert 0 <= result["test_result"]["ndcg@10"] <= 1
    assert get_model(name) is registry.load(registry.OWN_MODELS[name].model)


def test_names_that_recbole_has_too_get_our_options_and_our_class(tiny):
    import recbole.config
    import recbole.model.sequential_recommender as stock

    config = recbole.config.Config("FDSA", "tiny", config_dict={"inner_size": 32, "topk": [5]})
    from recbole_vqrec.config import fill_defaults

    fill_defaults(config)
    assert (config["hidden_size"], config["inner_size"]) == (300, 32)  # ours, and the caller's; RecBole's FDSA has 64
    assert registry.entry("FDSA").model == "recbole_vqrec.model.fdsa:FDSA" and stock.FDSA is not None


def test_objective_function_and_hyper_tuning(tiny):
    pytest.importorskip("hyperopt")
    from recbole.quick_start import objective_function
    from recbole.trainer import HyperTuning

    tuning = HyperTuning(
        lambda config_dict=None, config_file_list=None: objective_function(
            {**STOCK, "model": "VQRec", "dataset": "tiny", **config_dict}, config_file_list
        ),
        params_dict={"choice": {"learning_rate": [0.01, 0.001]}},
        algo="exhaustive",
    )
    tuning.run()
    assert tuning.best_params["learning_rate"] in (0.01, 0.001) and len(tuning.params2result) == 2


def test_full_sort_topk_and_load_data_and_model(tiny):
    from recbole.utils.case_study import full_sort_topk

    trained = recbole_vqrec.run("VQRec", "tiny", None, dict(SMALL))
    config, model, dataset, train_data, valid_data, test_data = recbole_vqrec.load_data_and_model(trained["run"])
    assert config["model"] == "VQRec" and isinstance(model, VQRec) and len(train_data.dataset) > len(valid_data.dataset)
    user = dataset.token2id("user_id", ["u3", "u5"])
    scores, items = full_sort_topk(user, model, test_data, k=3, device=config["device"])
    assert scores.shape == items.shape == (2, 3) and (items > 0).all()
    assert len(dataset.id2token("item_id", items)[0]) == 3


def test_stock_lookups_give_our_classes(tiny):
    from recbole.data import create_dataset
    from recbole.utils import get_model, get_trainer

    config = recbole_vqrec.Config("VQRec", "tiny", None, dict(SMALL))
    assert get_model("VQRec") is VQRec
    assert get_trainer(config["MODEL_TYPE"], "VQRec").__name__ == "SequenceTrainer"
    assert create_dataset(config).item_codes.shape == (13, 4)


def test_stock_loaders_of_prefix_rows_train_the_model(tiny):
    from recbole.data import create_dataset, data_preparation

    config = small_config(training_batches="stock_rows")
    train_data, _, _ = data_preparation(config, create_dataset(config))
    model = VQRec(config, train_data.dataset)
    for rows in train_data:
        model.calculate_loss(rows).backward()
    assert torch.isfinite(model.items.code_embedding.weight.grad).all()


def test_names_of_all_models():
    names = registry.model_names()
    assert {"VQRec", "SASRec", "BERT4Rec", "GRU4Rec", "NARM", "Caser"} <= set(names)
    assert "Config" not in names
    with pytest.raises(VQRecError, match="unknown model 'BPR'"):  # not a sequential model
        registry.entry("BPR")


def test_s3rec_is_pretrained_by_its_run_and_in_no_stage(tiny):
    options = {**SMALL, "attribute_columns": "title", "attribute_separator": " "}
    with pytest.raises(VQRecError, match="S3Rec has no stage of pre-training; 'recbole-vqrec run --model=S3Rec' does"):
        quick_start.pretrain(name="tiny", model="S3Rec", config_dict=dict(options))
    run = recbole_vqrec.run("S3Rec", "tiny", None, dict(options))["run"]
    with pytest.raises(VQRecError, match="S3Rec has no stage of pre-training to be fine-tuned after; .* own data set"):
        quick_start.finetune("tiny", run, config_dict=dict(options))


@pytest.mark.parametrize("stage", ["finetune", "pretrain"])
def test_stock_recbole_has_no_other_stages(tiny, stage):
    from recbole.quick_start import run_recbole

    with pytest.raises(VQRecError, match=f"stage: {stage} is not RecBole's; call recbole_vqrec.quick_start.{stage}"):
        run_recbole(model="VQRec", dataset="tiny", config_dict={**STOCK, "stage": stage})
