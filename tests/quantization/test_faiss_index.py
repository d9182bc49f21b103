"""The authors' index files: literal small ones made here with faiss, and the published one where it is present."""

import faiss
import numpy as np
import pytest
from click.testing import CliRunner
from small import shared_data

from recbole_vqrec.cli import main
from recbole_vqrec.config import stage_options
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.quantization.faiss_index import read_index
from recbole_vqrec.quantization.import_index import import_index
from recbole_vqrec.quantization.item_codes import ItemCodes


def make_index(path, vectors, bits=4):
    """Write an index as the authors' pq.py does."""
    index = faiss.index_factory(vectors.shape[1], f"OPQ4,IVF1,PQ4x{bits}", faiss.METRIC_INNER_PRODUCT)
    index.train(vectors)
    index.add(vectors)
    faiss.write_index(index, str(path))
    return index


@pytest.mark.parametrize("bits", [4, 8])
def test_quantizer_and_codes_equal_faiss(tmp_path, bits):
    vectors = np.random.default_rng(0).normal(size=(600, 16)).astype(np.float32)
    index = make_index(tmp_path / "x.index", vectors, bits)
    quantizer, codes = read_index(tmp_path / "x.index")
    assert codes.shape == (600, 4) and quantizer.codes_per_codebook == 1 << bits
    assert (quantizer.encode(vectors) == codes).mean() > 0.999
    reconstructed = faiss.downcast_index(index.index)
    reconstructed.make_direct_map()
    expected = index.chain.at(0).reverse_transform(np.stack([reconstructed.reconstruct(row) for row in range(600)]))
    assert np.allclose(quantizer.decode(codes), expected, atol=1e-4)


def prefix_rows(folder):
    """Ten items 0..9 in the authors' layout; items 3 and 8 are never in training."""
    folder.mkdir(parents=True)
    header = "user_id:token\titem_id_list:token_seq\titem_id:token\n"
    (folder / "d.train.inter").write_text(header + "0\t0 1 2\t4\n0\t0 1\t2\n0\t0\t1\n1\t5 6 7\t9\n1\t5 6\t7\n1\t5\t6\n")
    (folder / "d.valid.inter").write_text(header + "0\t0 1 2 4\t3\n1\t5 6 7 9\t0\n")
    (folder / "d.test.inter").write_text(header + "0\t0 1 2 4 3\t5\n1\t5 6 7 9 0\t8\n")
    texts = "red apple,green pear,blue plum,red apples apple,saw,drill,hammer,nail,nails nail,glue".split(",")
    lines = "".join(f"A{number}\t{text}\n" for number, text in enumerate(texts))
    (folder / "d.text").write_text("item_id:token\ttext:token_seq\n" + lines)
    (folder / "d.item2index").write_text("".join(f"A{number}\t{number}\n" for number in range(10)))


def small_index(path, count, seed=0):
    """An index of `count` vectors whose quantizer was trained on more."""
    draw = np.random.default_rng(seed)
    index = faiss.index_factory(16, "OPQ4,IVF1,PQ4x4", faiss.METRIC_INNER_PRODUCT)
    index.train(draw.normal(size=(600, 16)).astype(np.float32))
    index.add(draw.normal(size=(count, 16)).astype(np.float32))
    faiss.write_index(index, str(path))
    return read_index(path)[1]


def test_a_strict_index_is_matched_by_training_items_in_ascending_number(tmp_path):
    folder = tmp_path / "dataset" / "d"
    prefix_rows(folder)
    codes = small_index(tmp_path / "d.index", 8)
    with pytest.raises(VQRecError, match=r"lacks 2 of 10 items.*\(3, 8\); choose --missing"):
        import_index(folder, "d", tmp_path / "d.index", stage_options(), "refuse")
    assert not list(folder.glob("*.safetensors"))
    path, said = import_index(folder, "d", tmp_path / "d.index", stage_options(), "nearest-text")
    assert path.name == "d.published.codes.safetensors" and "2 that it lacks by nearest-text (3, 8)" in said
    loaded = ItemCodes.load(path, "")
    row = {item: index for index, item in enumerate(loaded.item_ids)}
    for position, item in enumerate(["0", "1", "2", "4", "5", "6", "7", "9"]):
        assert loaded.codes[row[item]].tolist() == codes[position].tolist()
    assert loaded.codes[row["3"]].tolist() == codes[0].tolist()  # "red apples apple" is nearest to "red apple"
    assert loaded.codes[row["8"]].tolist() == codes[6].tolist()  # "nails nail" to "nail"
    assert loaded.manifest["options"]["missing"] == "nearest-text" and loaded.manifest["filled_items"] == ["3", "8"]


def test_a_full_index_needs_nothing_filled(tmp_path):
    prefix_rows(tmp_path / "d")
    codes = small_index(tmp_path / "d.index", 10)
    path, _ = import_index(tmp_path / "d", "d", tmp_path / "d.index", stage_options(), "refuse")
    assert ItemCodes.load(path, "").codes.tolist() == codes.tolist()


def test_missing_items_by_their_embeddings(tmp_path):
    from recbole_vqrec import artifacts

    prefix_rows(tmp_path / "d")
    small_index(tmp_path / "d.index", 8)
    vectors = np.random.default_rng(5).normal(size=(10, 16)).astype(np.float32)
    path = artifacts.embedding_file(tmp_path / "d", "d", "bert-base-uncased")
    manifest, ids = {"options": {"plm": "bert-base-uncased", "pooling": "cls"}}, [str(item) for item in range(10)]
    artifacts.write_artifact(path, "text embedding", {"embeddings": vectors}, manifest, ids)
    made, _ = import_index(tmp_path / "d", "d", tmp_path / "d.index", stage_options(), "embeddings")
    quantizer, _ = read_index(tmp_path / "d.index")
    loaded = ItemCodes.load(made, "")
    assert loaded.codes[[3, 8]].tolist() == quantizer.encode(vectors[[3, 8]]).tolist()
    assert path.name in artifacts.read_manifest(made, "item codes", "")["inputs"]
    vectors[3] = np.nan
    artifacts.write_artifact(path, "text embedding", {"embeddings": vectors}, manifest, ids)
    with pytest.raises(VQRecError, match="the embeddings of 1 items are not finite .3."):
        import_index(tmp_path / "d", "d", tmp_path / "d.index", stage_options(), "embeddings")
    stale = {**manifest, "inputs": {"d.train.inter": "of another day"}}
    artifacts.write_artifact(path, "text embedding", {"embeddings": vectors}, stale, ids)
    with pytest.raises(VQRecError, match="out of date, d.train.inter changed after it was made"):
        import_index(tmp_path / "d", "d", tmp_path / "d.index", stage_options(), "embeddings")


def test_indexes_that_do_not_belong(tmp_path):
    prefix_rows(tmp_path / "d")
    small_index(tmp_path / "d.index", 7)
    with pytest.raises(VQRecError, match="holds 7 items; d has 10, 8 of them in its training split"):
        import_index(tmp_path / "d", "d", tmp_path / "d.index", stage_options(), "refuse")
    (tmp_path / "noise.index").write_bytes(b"IxPTnoise")
    with pytest.raises(VQRecError, match="not a readable faiss index"):
        read_index(tmp_path / "noise.index")
    flat = faiss.IndexFlatL2(4)
    faiss.write_index(flat, str(tmp_path / "flat.index"))
    with pytest.raises(VQRecError, match="holds IndexFlatL2; expected a faiss index of the kind"):
        read_index(tmp_path / "flat.index")
    with pytest.raises(VQRecError, match="index file not found"):
        import_index(tmp_path / "d", "d", tmp_path / "none.index", stage_options())


def test_the_published_scientific_index():
    quantizer, codes = read_index(shared_data("scientific") / "Scientific.OPQ32,IVF1,PQ32x8.strict.index")
    assert codes.shape == (4373, 32) and quantizer.rotation.shape == (768, 768)
    assert (quantizer.encode(quantizer.decode(codes)) == codes).mean() > 0.999  # its own rotation is orthonormal


def test_a_config_file_may_say_what_becomes_of_missing_items(tmp_path):
    prefix_rows(tmp_path / "dataset" / "d")
    small_index(tmp_path / "d.index", 8)
    (tmp_path / "my.yaml").write_text("missing_codes: nearest-text\n")
    command = ["encode", "--dataset", "d", "--from-index", str(tmp_path / "d.index"), "--config-files", "my.yaml"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0 and "by nearest-text" in result.output, result.output
    result = CliRunner().invoke(main, [*command, "--missing", "refuse"])
    assert result.exit_code == 2 and "lacks 2 of 10 items" in result.output
