import hashlib

from recbole_vqrec.preprocess.atomic_files import read_table
from recbole_vqrec.preprocess.ml_100k import preprocess_ml_100k


def test_whole(tmp_path):
    inter, item, made = preprocess_ml_100k(tmp_path / "ml-100k")
    assert made
    # the bytes that the demo has always trained on
    assert hashlib.sha256(inter.read_bytes()).hexdigest().startswith("cf59e75f9ace5123")
    assert hashlib.sha256(item.read_bytes()).hexdigest().startswith("69efec2dddb55cc5")
    assert item.read_text().splitlines()[:2] == [
        "item_id:token\ttitle:token_seq\tgenres:token_seq\tyear:token",
        "1\tToy Story\tAnimation Children's Comedy\t1995",
    ]
    assert preprocess_ml_100k(tmp_path / "ml-100k")[2] is False


def test_the_whole_data_set_has_no_k_core(command, tmp_path):
    result = command("preprocess", "ml-100k", "--user-k", 50, "--out", tmp_path)
    assert result.exit_code == 2 and "--user-k, --item-k: of --domains genre" in result.stderr


def test_genres(command, tmp_path):
    result = command("preprocess", "ml-100k", "--domains", "genre", "--out", tmp_path)
    assert result.exit_code == 0, result.stderr
    assert "ml-100k-drama: 874 users, 392 items, 26,534 interactions" in result.stdout
    assert "nothing is left of Fantasy, Romance, War, unknown" in result.stdout
    names = sorted(folder.name for folder in tmp_path.iterdir())
    assert len(names) == 15 and "ml-100k-childrens" in names and "ml-100k-sci-fi" in names
    for name in names:
        movies = read_table(tmp_path / name / f"{name}.item", "")
        assert movies["genres"].str.split(" ").str[0].nunique() == 1
        ratings = read_table(tmp_path / name / f"{name}.inter", "")
        assert ratings["user_id"].value_counts().min() >= 5
        assert ratings["item_id"].value_counts().min() >= 5
        assert set(ratings["item_id"]) == set(movies["item_id"])
