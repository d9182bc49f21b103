import os

import pytest
from simulated_gpu import simulated_gpu  # noqa: F401, a fixture
from small import SMALL, small_config

from recbole_vqrec import registry
from recbole_vqrec.config import Config, stage_options
from recbole_vqrec.defaults import own_defaults
from recbole_vqrec.data.dataset import create_dataset
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.trainer.checkpoint import plain_options


def test_values_win_in_the_order_recbole_ours_files_dict(tiny, tmp_path):
    (tmp_path / "a.yaml").write_text("learning_rate: 5e-4\nn_layers: 3\nepochs: 7\n")
    (tmp_path / "b.yaml").write_text("n_layers: 4\n")
    config = Config("VQRec", "tiny", ["a.yaml", "b.yaml"], {"epochs": 9})
    assert config["topk"] == [10, 50]  # ours; RecBole's is [10]
    assert config["hidden_size"] == 300  # props/model/VQRec.yaml
    assert config["weight_decay"] == 0.0  # RecBole's
    assert (config["learning_rate"], config["n_layers"], config["epochs"]) == (5e-4, 4, 9)


@pytest.mark.parametrize(
    "text, value",
    [("12-3", "12-3"), ("1e-3", 1e-3), ("[64, 32]", [64, 32]), ("True", True), ("false", False), ("None", None),
     ("__import__('os')", "__import__('os')"), ("{'a': 1}", {"a": 1}), ("opq", "opq")],
)  # fmt: skip
def test_text_values_are_read_as_written(tiny, text, value):
    assert small_config(text_columns=text)["text_columns"] == value


def test_a_folder_may_be_called_as_a_number(tiny, tmp_path):
    (tmp_path / "a.yaml").write_text("item_codes: 2024\ndata_path: ~\n")
    config = Config("VQRec", "tiny", ["a.yaml"], {"checkpoint_dir": "20240601"})
    assert (config["item_codes"], config["checkpoint_dir"]) == ("2024", "20240601")
    assert config["data_path"].startswith("dataset")
    assert small_config(plm="none")["plm"] == "bert-base-uncased" and small_config(permutation="none")["permutation"] == "none"


def test_several_cut_offs_without_brackets(tiny):
    assert small_config(topk="10,50")["topk"] == small_config(topk=(10, 50))["topk"] == [10, 50]


@pytest.mark.parametrize("name, nearest_name", [("codebok", "codebooks"), ("learning_rte", "learning_rate")])
def test_an_unknown_option_names_the_nearest(tiny, name, nearest_name):
    with pytest.raises(VQRecError, match=f"unknown option '{name}', did you mean '{nearest_name}'"):
        small_config(**{name: 1})


def test_an_unknown_model_names_the_nearest(tiny):
    with pytest.raises(VQRecError, match="unknown model 'SASRek', did you mean 'SASRec'"):
        small_config("SASRek")


@pytest.mark.parametrize("missing", ["model", "dataset"])
def test_model_and_dataset_have_to_be_given(missing):
    given = {"model": "VQRec", "dataset": "tiny", missing: None}
    with pytest.raises(VQRecError, match=f"no {missing} given"):
        Config(**given)


@pytest.mark.parametrize(
    "content, message",
    [(None, "config file not found"), ("a: [1", "not valid yaml"), ("- a\n- b", "expected lines of")],
)
def test_config_files_that_cannot_be_read(tmp_path, content, message):
    if content is not None:
        (tmp_path / "x.yaml").write_text(content)
    with pytest.raises(VQRecError, match=f"x.yaml: {message}"):
        Config("VQRec", "tiny", ["x.yaml"])


def test_a_test_runners_arguments_are_left_alone(tiny, monkeypatch):
    monkeypatch.setattr("sys.argv", ["pytest", "--learning_rate=7", "-q"])
    assert small_config()["learning_rate"] == 0.001


def test_negatives_are_sampled_only_where_the_loss_needs_them(tiny):
    assert small_config("SASRec")["train_neg_sample_args"]["distribution"] == "none"
    assert small_config("SASRec", loss_type="BPR")["train_neg_sample_args"]["distribution"] == "uniform"
    assert small_config("FPMC")["train_neg_sample_args"]["distribution"] == "uniform"


def test_ml_100k_is_ours_where_it_was_made_and_recboles_otherwise(tmp_path):
    assert "dataset_example" in Config("SASRec", "ml-100k")["data_path"]
    (tmp_path / "dataset" / "ml-100k").mkdir(parents=True)
    (tmp_path / "dataset" / "ml-100k" / "ml-100k.inter").write_text("")
    assert Config("SASRec", "ml-100k")["data_path"] == "dataset/ml-100k"


def test_defaults_are_not_shared_between_configs(tiny):
    small_config()["eval_args"]["split"] = "changed"
    assert own_defaults("VQRec")["eval_args"]["split"] == {"LS": "valid_and_test"}


def test_stage_options_read_files_and_values(tmp_path):
    (tmp_path / "x.yaml").write_text("codebooks: 8\n")
    options = stage_options(["x.yaml"], {"plm": "some/model", "pooling": None, "text_columns": "title, brand"})
    assert (options["codebooks"], options["plm"], options["pooling"]) == (8, "some/model", "cls")
    assert options["text_columns"] == ["title", "brand"]
    with pytest.raises(VQRecError, match="did you mean 'codebooks'"):
        stage_options(None, {"codebook": 8})


def test_a_recipe_is_a_set_of_defaults_that_given_options_win_over(tiny):
    assert [small_config()[name] for name in ("item_representation", "seen_weight")] == ["code", 0]
    best = small_config(recipe="best", seen_weight=-2)
    assert [best[name] for name in ("item_representation", "seen_weight", "co_occurrence_weight")] == [
        "code+text+id", -2, 1,
    ]  # fmt: skip
    assert own_defaults("SASRec", recipe="best")["seen_weight"] == "auto"
    weights = [own_defaults(name, recipe="best")["text_similarity_weight"] for name in ("VQRec", "UniSRec", "SASRec")]
    assert weights == [2, 2, 0]
    assert own_defaults("VQRec", stage="pretrain", recipe="best")["item_representation"] == "code+text"
    with pytest.raises(VQRecError, match="recipe: 'bset'.*paper.*best"):
        small_config(recipe="bset")


def test_a_class_that_bears_one_of_our_names_is_not_ours(tiny):
    from recbole.model.sequential_recommender.sasrec import SASRec

    FDSA = type("FDSA", (SASRec,), {})  # as RecBole's own, whose module is ours once `register` has been called
    config = Config(FDSA, "tiny", None, dict(SMALL))
    assert registry.of(config).batches == "stock_rows" and config["selected_features"] == ["class"]  # RecBole's props
    assert type(create_dataset(config)).__name__ == "SequenceDataset"
    assert registry.of(Config("FDSA", "tiny", None, dict(SMALL))) is registry.OWN_MODELS["FDSA"]
    with pytest.raises(VQRecError, match="hidden_dropout_prob: 7, expected"):
        Config(FDSA, "tiny", None, {"hidden_dropout_prob": 7})


@pytest.mark.parametrize(
    "given, message",
    [
        ({"topk": 5}, "valid_metric: NDCG@10 is not computed, metrics and topk give Recall@5, NDCG@5"),
        ({"valid_metric": "NDCG@20"}, "valid_metric: NDCG@20 is not computed"),
        ({"valid_metric": "recall"}, "valid_metric: recall is not computed"),
        ({"metrics": "Recall"}, "valid_metric: NDCG@10 is not computed, metrics and topk give Recall@5, Recall@10"),
        ({"metrics": "[Recal,NDCG]"}, "metrics: 'recal' is none of .*did you mean 'recall'"),
        ({"seed": "abc"}, "seed: 'abc', expected a whole number of at least 0"),
        ({"load_col": "foo"}, "load_col: 'foo', expected a mapping"),
    ],
)
def test_options_that_contradict_one_another(tiny, given, message):
    with pytest.raises(VQRecError, match=message):
        small_config(**given)


def test_lists_are_read_with_or_without_quotes(tiny):
    assert small_config(metrics="[MRR,NDCG]")["metrics"] == small_config(metrics="['MRR', 'NDCG']")["metrics"]


def test_a_part_of_eval_args_leaves_the_others_as_they_are(tiny):
    config = small_config(eval_args={"mode": "uni5"})
    assert config["eval_args"]["order"] == "TO" and config["eval_args"]["mode"] == {"valid": "uni5", "test": "uni5"}


def test_another_order_than_that_of_time(tiny):
    with pytest.raises(VQRecError, match="eval_args: order: RO, sequences need TO"):
        small_config(eval_args={"order": "RO"})


def test_an_empty_config_file_sets_nothing_and_a_folder_is_none(tiny, tmp_path):
    (tmp_path / "x.yaml").write_text("# epochs: 3\n")
    assert Config("VQRec", "tiny", ["x.yaml"], {"epochs": 4})["epochs"] == 4
    with pytest.raises(VQRecError, match="config file cannot be read"):
        Config("VQRec", "tiny", [str(tmp_path)])
    (tmp_path / "x.yaml").write_bytes(b"plm: \xff\xfe\n")
    with pytest.raises(VQRecError, match="x.yaml: not valid yaml"):
        Config("VQRec", "tiny", ["x.yaml"])


def test_one_process_takes_the_gpu_that_is_set(tiny, simulated_gpu, monkeypatch):
    with simulated_gpu():
        for visible, given, gpus, kind in (
            ("2", {}, "2", "cuda"), (None, {}, None, "cuda"), ("2", {"gpu_id": 3}, "3", "cuda"),
            (None, {"gpu_id": [1, 2]}, "1,2", "cuda"),
            ("", {}, "", "cpu"), ("2", {"use_gpu": False}, "2", "cpu"),
        ):  # fmt: skip
            monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
            if visible is not None:
                monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
            config = small_config(**given)
            assert config["device"].type == kind and not {"gpu_id", "use_gpu"} & plain_options(config).keys()
            assert os.environ.get("CUDA_VISIBLE_DEVICES") == gpus
