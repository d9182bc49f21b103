"""The embedded data set: MovieLens-100k as RecBole's wheel ships it -> atomic files with movie texts."""

from pathlib import Path

import recbole

from recbole_vqrec import artifacts
from recbole_vqrec.preprocess.atomic_files import read_table, write_table

NAME = "ml-100k"


def preprocess_ml_100k(folder, force=False):
    """Write dataset/ml-100k/ml-100k.inter and .item: interactions by user, time and file order; title, genres, year.

    Args:
        folder (str or Path): the data set's folder.
        force (bool): write even where both files are there.

    Returns:
        tuple: path of the .inter file, path of the .item file, and whether they were written now.
    """
    inter, item = artifacts.atomic_file(folder, NAME, "inter"), artifacts.atomic_file(folder, NAME, "item")
    if inter.is_file() and item.is_file() and not force:
        return inter, item, False
    source = Path(recbole.__file__).parent / "dataset_example" / NAME
    remedy = "reinstall recbole 1.2.1, whose wheel holds it"
    movies = read_table(source / f"{NAME}.item", remedy).rename(
        columns={"movie_title": "title", "class": "genres", "release_year": "year"}
    )
    ratings = read_table(source / f"{NAME}.inter", remedy)
    ratings["timestamp"] = ratings["timestamp"].astype(int)
    ratings["user_number"] = ratings["user_id"].astype(int)
    ratings = ratings.sort_values(["user_number", "timestamp"], kind="stable")
    write_table(item, movies, {"item_id": "token", "title": "token_seq", "genres": "token_seq", "year": "token"})
    write_table(inter, ratings, {"user_id": "token", "item_id": "token", "timestamp": "float"})
    return inter, item, True
