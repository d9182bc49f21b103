"""The authors' published Scientific files: exact counts and splits, the way back, stock RecBole on the result."""

import os
import sys
from pathlib import Path

import pytest

from recbole_vqrec.config import stage_options
from recbole_vqrec.interchange.export_unisrec import export_unisrec
from recbole_vqrec.interchange.import_unisrec import import_unisrec
from recbole_vqrec.interchange.layout import SPLITS, find_file, read_bytes
from recbole_vqrec.quantization.item_codes import ItemCodes

SHARED = Path(os.environ.get("VQREC_SHARED_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
SOURCE = SHARED / "scientific"
pytestmark = pytest.mark.skipif(not SOURCE.is_dir(), reason=f"{SOURCE} is not there; set VQREC_SHARED_DATA")
NAME = "Scientific"
INDEX = f"{NAME}.OPQ32,IVF1,PQ32x8.strict.index"


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    out = tmp_path_factory.mktemp("dataset")
    made = import_unisrec(SOURCE, out, stage_options(), missing="nearest-text", progress=False)
    return out, made


def theirs(suffix):
    return read_bytes(find_file(SOURCE, f"{NAME}.{suffix}")).decode()


def their_rows(split):
    """The authors' rows as (user, history, item) with the ids of the import."""
    user_of = {number: user for user, number in (line.split("\t") for line in theirs("user2index").splitlines())}
    item_of = {number: item for item, number in (line.split("\t") for line in theirs("item2index").splitlines())}
    rows = (line.split("\t") for line in theirs(f"{split}.inter").splitlines()[1:])
    return sorted((user_of[u], tuple(item_of[i] for i in history.split()), item_of[i]) for u, history, i in rows)


def test_counts_of_the_paper(imported):
    out, made = imported
    summary = made["summary"]
    assert (summary["users"], summary["items"], summary["interactions"]) == (8442, 4385, 59427)
    assert (summary["average length"], summary["average text length"]) == (7.04, 182.87)
    assert len((out / NAME / f"{NAME}.inter").read_text().splitlines()) == 1 + 59427
    assert len((out / NAME / f"{NAME}.item").read_text().splitlines()) == 1 + 4385
    codes = ItemCodes.load(out / NAME / f"{NAME}.published.codes.safetensors", "")
    assert codes.codes.shape == (4385, 32) and len(codes.manifest["filled_items"]) == 12


def test_export_is_the_published_files(imported, tmp_path):
    out, _ = imported
    export_unisrec(out / NAME, NAME, tmp_path, stage_options())
    for suffix in (*(f"{split}.inter" for split in SPLITS), "item2index", "user2index"):
        assert (tmp_path / f"{NAME}.{suffix}").read_text() == theirs(suffix), suffix
    assert (tmp_path / INDEX).read_bytes() == (SOURCE / INDEX).read_bytes()
    # blanks are normalised in atomic files, and a language model does not see them
    written = (tmp_path / f"{NAME}.text").read_text().split("\n")
    assert [line.split() for line in written] == [line.split() for line in theirs("text").split("\n")]


@pytest.fixture
def stock_config(imported, monkeypatch):
    """A RecBole Config on the imported files with nothing of ours but the shims for today's numpy."""
    import recbole_vqrec

    recbole_vqrec.register()
    from recbole.config import Config

    monkeypatch.setattr(sys, "argv", ["pytest"])  # RecBole reads the command line

    def make(**options):
        return Config(
            model="SASRec",
            dataset=NAME,
            config_dict={
                "data_path": str(imported[0]),
                "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
                "eval_args": {"split": {"LS": "valid_and_test"}, "group_by": "user", "order": "TO", "mode": "full"},
                "train_neg_sample_args": None,
                "MAX_ITEM_LIST_LENGTH": 50,
                "show_progress": False,
                **options,
            },
        )

    return make


def rows_of_split(split):
    """The rows of a RecBole split as (user, history, item) in external ids."""
    rows = split.inter_feat
    users, items = (split.field2id_token[field] for field in ("user_id", "item_id"))
    columns = (rows[name].numpy() for name in ("user_id", "item_id_list", "item_length", "item_id"))
    return sorted(
        (str(users[user]), tuple(map(str, items[history[:length]])), str(items[item]))
        for user, history, length, item in zip(*columns)
    )


@pytest.mark.parametrize("ours", [False, True], ids=["stock", "ours"])
def test_leave_one_out_is_the_authors_splits(imported, stock_config, ours):
    if ours:
        from recbole_vqrec.config import Config
        from recbole_vqrec.data.dataset import SequenceDataset as Dataset

        config = Config("SASRec", NAME, config_dict={"data_path": str(imported[0]), "MAX_ITEM_LIST_LENGTH": 50})
    else:
        from recbole.data.dataset import SequentialDataset as Dataset

        config = stock_config()
    splits = Dataset(config).build()
    for name, split, count in zip(SPLITS, splits, (34101, 8442, 8442)):
        rows = rows_of_split(split)
        assert len(rows) == count
        assert rows == their_rows(name), name


def test_stock_sasrec_trains_on_the_result(stock_config, tmp_path, monkeypatch):
    from recbole.data import create_dataset, data_preparation
    from recbole.model.sequential_recommender import SASRec
    from recbole.trainer import Trainer
    from recbole.utils import init_seed

    config = stock_config(
        MAX_ITEM_LIST_LENGTH=10, hidden_size=16, inner_size=16, n_layers=1, epochs=1, train_batch_size=2048,
        eval_batch_size=2048, metrics=["NDCG"], topk=[10], valid_metric="NDCG@10", checkpoint_dir=str(tmp_path),
        learning_rate=0.01,
    )  # fmt: skip
    monkeypatch.chdir(tmp_path)  # RecBole writes its logs where it runs
    init_seed(config["seed"], config["reproducibility"])
    dataset = create_dataset(config)
    train, valid, _ = data_preparation(config, dataset)
    assert type(dataset).__module__ == "recbole.data.dataset.sequential_dataset"
    model = SASRec(config, train.dataset)
    score, _ = Trainer(config, model).fit(train, valid, saved=False, show_progress=False)
    assert score > 0.01  # untrained, NDCG@10 is about 0.001
