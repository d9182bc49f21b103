"""recommend, add-items, remove-items, similar and export as a user types them."""

import pandas as pd
import polars as pl
import pytest
from click.testing import CliRunner

from recbole_vqrec import Recommender
from recbole_vqrec.cli import main


def call(*arguments):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def histories(tmp_path):
    path = tmp_path / "new.csv"
    path.write_text("user,item,time\nann,i1,1\nann,i2,2\nbob,i5,1\nbob,none,2\ncy,nil,1\n")
    return path


def test_recommend_to_files_and_to_the_screen(run, histories, tmp_path):
    expected = Recommender.load(run).recommend({"ann": ["i1", "i2"], "bob": ["i5"], "cy": []}, k=3)
    result = call("recommend", "--run", run, "--histories", histories, "--k", 3, "--out", tmp_path / "r.csv")
    assert "9 rows, 3 users; 2 unknown item ids left out, 1 users by popularity" in result.output
    found = pd.read_csv(tmp_path / "r.csv")
    assert found[["user", "rank", "item"]].equals(expected[["user", "rank", "item"]])
    call("recommend", "--run", run, "--histories", histories, "--k", 3, "--out", tmp_path / "r.parquet")
    assert pl.read_parquet(tmp_path / "r.parquet")["item"].to_list() == expected.item.tolist()
    screen = call("recommend", "--run", run, "--histories", histories, "--k", 3).stdout
    assert screen.splitlines()[0] == "user,rank,item,score" and len(screen.splitlines()) == 10


def test_candidates_and_seen_items(run, histories, tmp_path):
    (tmp_path / "few.txt").write_text("i1\ni3\n")
    arguments = ["recommend", "--run", run, "--histories", histories, "--candidates", tmp_path / "few.txt"]
    assert {line.split(",")[2] for line in call(*arguments).stdout.splitlines()[1:]} == {"i1", "i3"}
    for more, expected in (([], 1), (["--keep-seen"], 2)):
        ann = [line for line in call(*arguments, *more).stdout.splitlines() if line.startswith("ann")]
        assert len(ann) == expected


def test_items_are_added_and_removed_in_the_run_folder(run, tmp_path):
    (tmp_path / "new.item").write_text("item_id:token\ttitle:token_seq\nn1\tred glue\n")
    assert "1 items added, 13 in all" in call("add-items", "--run", run, "--items", tmp_path / "new.item").output
    assert "n1" in Recommender.load(run).item_embeddings().ids
    assert "red glue" in call("similar", "--run", run, "--item", "n1", "--k", 3).output
    assert "1 items are no longer recommended" in call("remove-items", "--run", run, "n1").output
    assert "n1" not in Recommender.load(run).item_embeddings().ids


def test_removed_items_are_not_counted(run, tmp_path):
    call("remove-items", "--run", run, "i3")
    (tmp_path / "new.item").write_text("item_id:token\ttitle:token_seq\nn1\tred glue\nn2\tblue glue\n")
    assert "2 items added, 13 in all" in call("add-items", "--run", run, "--items", tmp_path / "new.item").output


def test_export(run, tmp_path):
    for target in ("faiss", "parquet"):
        assert "12" in call("export", "--run", run, "--to", target, "--out", tmp_path / target).output
        assert (tmp_path / target).is_file()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["recommend", "--run", "none", "--histories", "h"], "none/checkpoint.safetensors: checkpoint not found"),
        (["recommend", "--run", "RUN", "--histories", "h"], "h: histories not found"),
        (["recommend", "--run", "RUN", "--histories", "H", "--out", "r.txt"], "--out r.txt: expected a name that ends"),
        (["recommend", "--run", "RUN", "--histories", "H", "--unknown", "error"], "2 item ids that the run does not"),
        (["recommend", "--run", "RUN", "--histories", "H", "--candidates", "x"], "x: candidates cannot be read"),
        (["add-items", "--run", "RUN", "--items", "none.item"], "none.item: not found; give an .item file"),
        (["remove-items", "--run", "RUN", "zz"], "not in the catalogue (zz)"),
        (["similar", "--run", "RUN", "--item", "zz"], "similar: 1 item ids that the run does not know (zz)"),
        (["export", "--run", "RUN", "--to", "faiss", "--index", "x", "--out", "o"], "'x' is none of flat, hnsw, ivfpq"),
        (["export", "--run", "RUN", "--to", "parquet", "--out", "/proc/no/o"], "cannot be written"),
    ],
)
def test_bad_input_is_one_line(run, histories, arguments, message):
    before = {file: file.read_bytes() for file in run.glob("[!.]*") if file.is_file()}  # but for the lock
    result = call(*[{"RUN": run, "H": histories}.get(argument, argument) for argument in arguments])
    assert result.exit_code == 2 and message in result.output
    assert len([line for line in result.output.splitlines() if line.startswith("error: ")]) == 1
    assert {file: file.read_bytes() for file in run.glob("[!.]*") if file.is_file()} == before
