"""What preprocessing writes is what stock RecBole loads."""

import pandas as pd
from recbole.config import Config
from recbole.data.dataset import SequentialDataset
from recbole.data.utils import data_preparation
from recbole.utils import get_trainer, init_seed

from recbole_vqrec import compat
from recbole_vqrec.preprocess.atomic_files import write_table

TITLES = ['12" bar', '"quoted" and more', "NA", "null", "tab\tand\nbreak", "1984", "", "#1", "a  b "]
TITLES.append("na\u00efve \u201cquotes\u201d \u6f22\u5b57")
INTER = {"user_id": "token", "item_id": "token", "timestamp": "float"}


def stock_config(folder, model="SASRec", **options):
    compat.apply()
    options |= {"data_path": str(folder.parent), "state": "ERROR", "train_neg_sample_args": None}
    return Config(model, folder.name, config_dict=options)


def test_texts_survive(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["pytest"])
    folder = tmp_path / "d"
    items = pd.DataFrame({"item_id": [f"B {row}" for row in range(len(TITLES))], "title": TITLES})
    write_table(folder / "d.item", items, {"item_id": "token", "title": "token_seq"})
    inter = pd.DataFrame({"user_id": '"u', "item_id": items["item_id"], "timestamp": range(len(TITLES))})
    write_table(folder / "d.inter", inter, INTER)
    columns = {"inter": ["user_id", "item_id", "timestamp"], "item": ["item_id", "title"]}
    dataset = SequentialDataset(stock_config(folder, load_col=columns))
    assert list(dataset.field2id_token["user_id"]) == ["[PAD]", '"u']
    words = dataset.field2id_token["title"]
    ids = dataset.item_feat["item_id"].tolist()
    read = {}
    for item, title in zip(ids, dataset.item_feat["title"].tolist(), strict=True):
        read[dataset.field2id_token["item_id"][item]] = " ".join(words[word] for word in title if word)
    expected = [" ".join(title.split()) + ("." if title in ("NA", "null") else "") for title in TITLES]
    assert [read[f"B {row}"] for row in range(len(TITLES))] == expected


def one_epoch(folder, **given):
    """Train stock SASRec for one epoch on stock batches; return the number of users, items and interactions."""
    options = {"epochs": 1, "load_col": {"inter": list(INTER)}, "eval_batch_size": 512}
    small = {"hidden_size": 8, "inner_size": 8, "n_layers": 1, "n_heads": 1, "MAX_ITEM_LIST_LENGTH": 5, **given}
    sets = {"eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "mode": "full"}, "show_progress": False}
    config = stock_config(folder, **options, **small, **sets, metrics=["Recall"], topk=[10], valid_metric="Recall@10")
    init_seed(1, True)
    dataset = SequentialDataset(config)
    counts = dataset.user_num - 1, dataset.item_num - 1, dataset.inter_num
    train, valid, _ = data_preparation(config, dataset)
    from recbole.model.sequential_recommender import SASRec

    trainer = get_trainer(config["MODEL_TYPE"], "SASRec")(config, SASRec(config, train.dataset))
    _, result = trainer.fit(train, valid, saved=False, show_progress=False)
    assert 0 <= result["recall@10"] <= 1
    return counts


def test_one_epoch_of_stock_sasrec(command, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["pytest"])
    monkeypatch.chdir(tmp_path)  # RecBole writes log/ and saved/
    command("preprocess", "ml-100k", "--domains", "genre", "--out", tmp_path / "dataset")
    assert one_epoch(tmp_path / "dataset/ml-100k-documentary") == (17, 14, 106)


def test_one_epoch_on_real_magazine_subscriptions(command, shared_data, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["pytest"])
    monkeypatch.chdir(tmp_path)
    raw = shared_data("amazon_raw")
    command("preprocess", "amazon", "--category", "Magazine", "--raw", raw, "--out", tmp_path / "dataset")
    assert one_epoch(tmp_path / "dataset/Magazine") == (284, 126, 1950)


def test_one_epoch_on_real_online_retail(command, shared_data, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["pytest"])
    monkeypatch.chdir(tmp_path)
    table = next(path for path in shared_data("online_retail").iterdir() if ".csv" in path.name)
    command("preprocess", "online-retail", "--input", table, "--out", tmp_path / "dataset")
    sizes = {"hidden_size": 16, "MAX_ITEM_LIST_LENGTH": 10, "train_batch_size": 8192}
    assert one_epoch(tmp_path / "dataset/OR", **sizes) == (16520, 3469, 519906)
