import numpy as np
import pytest

from recbole_vqrec import artifacts, provenance
from recbole_vqrec.errors import VQRecError


def write(path, **manifest):
    artifacts.write_artifact(path, "test", {"rows": np.zeros((1, 2), np.float32)}, manifest, ["a"])


def test_inputs_of_one_name_are_told_apart(tmp_path):
    paths = [tmp_path / folder / "x.txt" for folder in "ab"]
    for path in paths:
        path.parent.mkdir()
        path.write_text(path.parent.name)
    hashes = [provenance.file_hash(path) for path in paths]
    assert provenance.fingerprints(paths[0]) == {"x.txt": hashes[0]}
    assert provenance.fingerprints(*paths) == {"x.txt": hashes[0], "x.txt/2": hashes[1]}
    assert provenance.fingerprints(paths[0], str(paths[0])) == {"x.txt": hashes[0]}


def test_up_to_date_means_same_options_and_same_inputs(tmp_path):
    source = tmp_path / "source.txt"
    source.write_text("one")
    inputs = provenance.fingerprints(source)
    write(tmp_path / "x.safetensors", options={"a": 1}, inputs=inputs)
    assert provenance.is_up_to_date(tmp_path / "x.safetensors", "test", {"a": 1}, inputs)
    assert not provenance.is_up_to_date(tmp_path / "x.safetensors", "test", {"a": 2}, inputs)
    source.write_text("two")
    assert not provenance.is_up_to_date(tmp_path / "x.safetensors", "test", {"a": 1}, provenance.fingerprints(source))
    manifest = artifacts.read_manifest(tmp_path / "x.safetensors", "test", "")
    with pytest.raises(VQRecError, match="out of date, source.txt changed"):
        provenance.refuse_stale(tmp_path / "x.safetensors", manifest, "redo")


def test_what_changed_before_the_input_was_made_again_is_stale_as_well(tmp_path):
    """texts -> vectors -> codes: codes are out of date when the texts are, though the vectors are the same file."""
    text, vectors, codes = tmp_path / "x.item", tmp_path / "x.emb.safetensors", tmp_path / "x.codes.safetensors"
    text.write_text("one")
    write(vectors, inputs=provenance.fingerprints(text))
    write(codes, inputs=provenance.fingerprints(vectors))
    manifest = artifacts.read_manifest(codes, "test", "")
    assert provenance.stale_inputs(codes, manifest) == []
    text.write_text("two")
    assert provenance.stale_inputs(codes, manifest) == ["x.item"]
    with pytest.raises(VQRecError, match="x.codes.safetensors: out of date, x.item changed after it was made; again"):
        provenance.refuse_stale(codes, manifest, "again")
