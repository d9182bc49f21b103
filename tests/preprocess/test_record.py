"""When a data set counts as up to date."""

import json
import shutil

import pytest


@pytest.fixture
def preprocess(command, amazon_files, tmp_path):
    """Return two raw files, and a function that preprocesses two and tells whether the result was up to date."""

    def run(ratings, metadata):
        options = ["--ratings", ratings, "--metadata", metadata, "--name", "D", "--user-k", 1, "--item-k", 1]
        result = command("preprocess", "amazon", *options, "--out", tmp_path / "out")
        assert result.exit_code == 0, result.stderr
        return "up to date" in result.stdout

    return amazon_files, run


def test_a_change_of_either_of_two_files_of_one_name_is_noticed(preprocess, tmp_path):
    files, up_to_date = preprocess
    ratings, metadata = (tmp_path / folder / "Games.jsonl" for folder in "ab")
    for raw, path in zip(files, (ratings, metadata)):
        path.parent.mkdir()
        shutil.copyfile(raw, path)
    assert not up_to_date(ratings, metadata) and up_to_date(ratings, metadata)
    ratings.write_text(ratings.read_text() + "B2,U9,5.0,20\n")
    assert not up_to_date(ratings, metadata)


def test_inputs_of_different_names_are_recorded_by_their_names(preprocess, tmp_path):
    (ratings, metadata), up_to_date = preprocess
    assert not up_to_date(ratings, metadata) and up_to_date(ratings, metadata)
    record = json.loads((tmp_path / "out/D/D.preprocess.json").read_text())
    assert list(record["inputs"]) == [ratings.name, metadata.name]
