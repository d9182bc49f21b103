import datetime
import types

import numpy as np
import pytest
from click.testing import CliRunner
from small import SMALL, write_inter
from trained_runs import COLOURS, write_language_model

from recbole_vqrec import Recommender
from recbole_vqrec.cli import main
from recbole_vqrec.config import stage_options
from recbole_vqrec.embedding.embed import embed_dataset
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.evaluation import cold_items
from recbole_vqrec.evaluation.cold_items import evaluate_cold_items
from recbole_vqrec.quantization.encode import encode_dataset
from recbole_vqrec.quantization.quantizers import load_quantizer

USERS, ITEMS = 60, 40
OPTIONS = {**SMALL, "item_codes": None, "pooling": "mean", "state": "ERROR", "codes_per_codebook": 4}


@pytest.fixture
def coloured(tmp_path):
    """A data set in which users stay with one of four colours, and the text of an item begins with its colour."""
    folder, draw = tmp_path / "dataset" / "coloured", np.random.default_rng(0)
    sequences = {
        f"u{user}": [f"i{4 * int(number) + user % 4}" for number in draw.integers(0, ITEMS // 4, 8)]
        for user in range(USERS)
    }
    write_inter(folder, "coloured", sequences)
    lines = [f"i{item}\t{COLOURS[item % 4]} {COLOURS[item % 4]} tape {item}" for item in range(ITEMS)]
    (folder / "coloured.item").write_text("\n".join(["item_id:token\ttitle:token_seq", *lines]) + "\n")
    write_language_model(tmp_path / "plm")
    options = {**OPTIONS, "plm": str(tmp_path / "plm")}
    embed_dataset(folder, "coloured", stage_options(given=dict(options)), progress=False, say=lambda line: None)
    return sequences, options


def test_cold_items_are_unknown_to_training_and_found_by_text(coloured):
    sequences, options = coloured
    rows, run = evaluate_cold_items("VQRec", "coloured", 0.2, 1, None, {**options, "epochs": 3}, say=lambda line: None)
    assert [name for name, _, _ in rows] == [
        "VQRec", "VQRec, cold items not added", "text, last item", "text, mean of history", "popularity",
    ]  # fmt: skip
    catalogue = Recommender.load(run).catalogue
    cold = set(np.random.default_rng(1).choice(sorted({f"i{n}" for n in range(ITEMS)}), 8, replace=False).tolist())
    assert set(catalogue.item_ids[-8:]) == cold and catalogue.popularity[-8:].tolist() == [0] * 8
    for _, cold_metrics, warm_metrics in rows:
        for value in [*cold_metrics.values(), *warm_metrics.values()]:
            assert 0 <= value <= 1
    by_name = {name: (cold, warm) for name, cold, warm in rows}
    assert by_name["popularity"][0]["R@10"] == 0  # no cold item was ever seen
    assert by_name["text, last item"][0]["R@10"] > 0.5  # the colour is in the text, ten items have it


def test_ranks_and_metrics_by_hand():
    assert cold_items._metrics(np.array([0.0, 2.0, 30.0, np.inf])) == {
        "R@10": 0.5, "N@10": pytest.approx((1 + 0.5) / 4), "R@50": 0.75,
        "N@50": pytest.approx((1 + 0.5 + 1 / np.log2(32)) / 4),
    }  # fmt: skip


def test_the_command_prints_a_table(coloured):
    _, options = coloured
    arguments = [f"--{name}={value}" for name, value in options.items() if value is not None]
    result = CliRunner().invoke(main, ["evaluate", "--cold-items", "0.2", "--dataset=coloured", *arguments])
    assert result.exit_code == 0, result.output
    assert "8 of 40 items are held out" in result.output and "cold R@10" in result.output


@pytest.mark.parametrize("share", [0, 1, -0.1, 0.001, 2])
def test_shares_that_hold_out_nothing_or_all(coloured, share):
    with pytest.raises(VQRecError, match="cold_items: .* expected a share in"):
        evaluate_cold_items("VQRec", "coloured", share, 1, None, dict(coloured[1]))


def test_a_model_that_knows_items_by_id_and_missing_files(coloured, tmp_path):
    for model in ("SASRec", "FDSA", "S3Rec", "RecGURU"):
        with pytest.raises(VQRecError, match=f"{model} has an embedding of each item's id, .* choose VQRec, SASRecText"):
            evaluate_cold_items(model, "coloured", 0.2, 1, None, dict(coloured[1]), say=lambda line: None)
    with pytest.raises(VQRecError, match="nproc: 4, held-out items are evaluated in one process"):
        evaluate_cold_items("VQRec", "coloured", 0.2, 1, None, {**coloured[1], "nproc": 4}, say=lambda line: None)
    next((tmp_path / "dataset" / "coloured").glob("*.emb.safetensors")).unlink()
    with pytest.raises(VQRecError, match="not found; run 'recbole-vqrec embed --dataset coloured"):
        evaluate_cold_items("VQRec", "coloured", 0.2, 1, None, dict(coloured[1]), say=lambda line: None)


def test_an_unknown_model_and_missing_vectors_leave_no_folder(coloured, tmp_path):
    _, options = coloured
    with pytest.raises(VQRecError, match="unknown model 'VQrec', did you mean 'VQRec'"):
        evaluate_cold_items("VQrec", "coloured", 0.2, 1, None, dict(options))
    next((tmp_path / "dataset" / "coloured").glob("*.emb.safetensors")).unlink()
    with pytest.raises(VQRecError, match="embed --dataset coloured .* --pooling mean"):
        evaluate_cold_items("VQRec", "coloured", 0.2, 1, None, dict(options))
    assert not list(tmp_path.glob("saved/cold-*"))


def test_an_item_without_text_is_named_before_training(coloured, tmp_path):
    file = tmp_path / "dataset" / "coloured" / "coloured.item"
    cold = np.random.default_rng(1).choice(sorted({f"i{n}" for n in range(ITEMS)}), 8, replace=False)[0]
    file.write_text("".join(line for line in file.open() if not line.startswith(f"{cold}\t")))
    with pytest.raises(VQRecError, match=rf"coloured.item: lacks items of coloured.inter \({cold}\); add them"):
        evaluate_cold_items("VQRec", "coloured", 0.2, 1, None, dict(coloured[1]))
    assert not list(tmp_path.glob("saved/cold-*"))


def test_a_quantizer_to_reuse_is_that_of_the_original_data_path(coloured, tmp_path):
    options = {**coloured[1], "reuse_quantizer": "coloured"}
    with pytest.raises(VQRecError, match="not found; run 'recbole-vqrec encode --dataset coloured .*' first, or for"):
        evaluate_cold_items("VQRec", "coloured", 0.2, 1, None, dict(options))
    assert not list(tmp_path.glob("saved/cold-*"))
    folder = tmp_path / "dataset" / "coloured"
    path, _ = encode_dataset(folder, "coloured", stage_options(given=dict(coloured[1])), say=lambda line: None)
    for home, named in (("by-name", "coloured"), ("by-file", str(path))):
        given = {**options, "reuse_quantizer": named, "checkpoint_dir": home}
        _, run = evaluate_cold_items("VQRec", "coloured", 0.2, 1, None, given, say=lambda line: None)
        stored = load_quantizer(path).tensors()
        for name, array in Recommender.load(run).catalogue.quantizer.items():
            np.testing.assert_array_equal(array, stored[name])


@pytest.mark.parametrize("file", ["dataset/coloured/coloured.mine.codes.safetensors", "new.safetensors"])
def test_a_code_file_is_refused_and_never_written(coloured, tmp_path, file):
    mine = tmp_path / "dataset" / "coloured" / "coloured.mine.codes.safetensors"
    mine.write_bytes(b"mine")
    with pytest.raises(VQRecError, match=f"item_codes: {file}, but codes are made anew .* leave it out, or set reuse"):
        evaluate_cold_items("VQRec", "coloured", 0.2, 1, None, {**coloured[1], "item_codes": file})
    assert mine.read_bytes() == b"mine" and not list(tmp_path.glob("**/new.safetensors"))
    assert not list(tmp_path.glob("saved/cold-*"))


def test_two_evaluations_in_one_second_have_folders_of_their_own(coloured, tmp_path, monkeypatch):
    now = datetime.datetime(2024, 2, 3, 4, 5, 6)
    clock = types.SimpleNamespace(datetime=types.SimpleNamespace(now=lambda: now))
    monkeypatch.setattr("recbole.utils.utils.datetime", clock)
    for _ in range(2):
        evaluate_cold_items("VQRec", "coloured", 0.2, 1, None, dict(coloured[1]), say=lambda line: None)
    stem = "cold-VQRec-coloured-Feb-03-2024_04-05-06"
    assert sorted(each.name for each in tmp_path.glob("saved/cold-*")) == [stem, f"{stem}-2"]


def test_no_warm_target_is_trained_on(tmp_path):
    """RecBole trains on the only pair of a user with two items."""
    sequences = {"u": ["a", "c", "b"], "v": ["a", "b", "c"], "w": ["a", "b", "a", "b"], "x": ["c", "a", "b", "a"]}
    cold_items._write_warm([], tmp_path / "d", "d", sequences, {"c"})
    rows = [line.split("\t")[:2] for line in (tmp_path / "d" / "d.inter").read_text().splitlines()[1:]]
    kept = {user: [item for owner, item in rows if owner == user] for user in sequences}
    assert kept == {"u": ["a"], "v": ["a", "b"], "w": ["a", "b", "a", "b"], "x": ["a", "b", "a"]}


def test_an_item_that_cannot_be_added_is_named_before_training(coloured, tmp_path):
    file = tmp_path / "dataset" / "coloured" / "coloured.item"
    cold = np.random.default_rng(1).choice(sorted({f"i{n}" for n in range(ITEMS)}), 8, replace=False)[0]
    text = file.read_text().replace(f"\n{cold}\t", f"\n{cold}\t{'x' * 20_001} ")
    file.write_text(text)
    with pytest.raises(VQRecError, match=f"item '{cold}': its text has 20,0.* characters, more than 20,000; shorten it"):
        evaluate_cold_items("VQRec", "coloured", 0.2, 1, None, dict(coloured[1]))
    assert not list(tmp_path.glob("saved/cold-*"))


def test_texts_that_are_empty_are_those_that_were_embedded(coloured, tmp_path):
    _, options = coloured
    folder = tmp_path / "dataset" / "coloured"
    lines = [line if number % 3 else line.split("\t")[0] + "\t\n" for number, line in enumerate((folder / "coloured.item").open())]
    (folder / "coloured.item").write_text("item_id:token\ttitle:token_seq\n" + "".join(lines[1:]))
    embedded = {**options, "empty_text": "unknown"}
    embed_dataset(folder, "coloured", stage_options(given=embedded), progress=False, say=lambda line: None)
    rows, _ = evaluate_cold_items("VQRec", "coloured", 0.2, 1, None, dict(options), say=lambda line: None)
    assert rows[0][0] == "VQRec"
