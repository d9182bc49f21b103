"""The embedded data set: MovieLens-100k as RecBole's wheel ships it -> atomic files with movie texts."""

import re
from pathlib import Path

import recbole

from recbole_vqrec import artifacts
from recbole_vqrec.errors import VQRecError, examples
from recbole_vqrec.preprocess.atomic_input import read_atomic
from recbole_vqrec.preprocess.dataset_files import RawData, make_dataset
from recbole_vqrec.preprocess.interactions import NothingLeft

NAME = "ml-100k"
TEXTS = {"movie_title": "title", "class": "genres", "release_year": "year"}
WHOLE = {
    "user_k": 1, "item_k": 1, "duplicates": "keep", "ties": "input", "ties_seed": 0, "long_text": "beginning",
    "clean": False,  # as it always was: its texts are clean
}  # fmt: skip


def preprocess_ml_100k(folder, force=False, say=lambda line: None):
    """Write dataset/ml-100k/ml-100k.inter and .item: interactions by user, time and file order; title, genres, year.

    Args:
        folder (str or Path): the data set's folder.
        force (bool): write even where both files are up to date.
        say (callable): receives the summary.

    Returns:
        tuple: path of the .inter file, path of the .item file, and whether they were written now.
    """
    _, made = make_dataset(folder, NAME, NAME, WHOLE, _sources(), _read, force, say)
    return artifacts.atomic_file(folder, NAME, "inter"), artifacts.atomic_file(folder, NAME, "item"), made


def preprocess_genres(out, options, force=False, say=print):
    """Write one data set for each primary genre, the first that a movie is listed with, that k-core leaves non-empty.

    Args:
        out (str or Path): folder of the data sets.
        options (dict): those of `make_dataset`.
        force (bool): redo.
        say (callable): receives the summaries.

    Returns:
        list of str: names of the data sets, "ml-100k-drama" for example.
    """
    raw = _read()
    genres = raw.items["genres"].str.split(" ").list.first()
    made, empty = [], []
    for genre in sorted(set(genres) - {""}):
        name = f"{NAME}-{re.sub(r'[^a-z0-9-]', '', genre.lower())}"
        items = raw.items.filter(genres == genre)
        chosen = raw.interactions.item_ids.is_in(items["item_id"].implode()).to_numpy()
        part = RawData(raw.interactions.take(chosen[raw.interactions.items]), items, tokens=raw.tokens)
        folder, source = Path(out) / name, f"{NAME} genre {genre}"
        try:
            make_dataset(folder, name, source, options, _sources(), lambda part=part: part, force, say)
        except NothingLeft:
            empty.append(genre)
        else:
            made.append(name)
    if empty:
        say(f"nothing is left of {examples(empty, limit=20)}")
    return made


def _sources():
    folder = Path(recbole.__file__).parent / "dataset_example" / NAME
    for suffix in ("inter", "item"):
        if not artifacts.atomic_file(folder, NAME, suffix).is_file():
            raise VQRecError(f"{folder}: {NAME}.{suffix} not found; reinstall recbole 1.2.1, whose wheel holds it")
    return [artifacts.atomic_file(folder, NAME, suffix) for suffix in ("inter", "item")]


def _read():
    raw = read_atomic(*_sources(), list(TEXTS), progress=False)
    return RawData(raw.interactions, raw.items.rename(TEXTS), tokens=("year",))
