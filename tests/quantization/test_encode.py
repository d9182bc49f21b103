"""The encoding stage: strict training, new and stored and joint quantizers, what is written, bad input."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from small import write_inter, write_vectors

from recbole_vqrec import artifacts, provenance
from recbole_vqrec.cli import main
from recbole_vqrec.data.item_code_table import codes_path
from recbole_vqrec.embedding.text_encoder import load_embeddings
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.quantization.encode import encode_dataset, encode_jointly
from recbole_vqrec.quantization.item_codes import ItemCodes
from recbole_vqrec.quantization.quantizers import load_quantizer, random_codes, train_quantizer

QUIET = {"say": lambda line: None}


def encode(folder, options, **more):
    return encode_dataset(folder, folder.name, {**options, **more}, **QUIET)


@pytest.mark.parametrize("quantizer", ["opq", "pq", "rq"])
def test_codes_are_those_of_the_stored_quantizer(domain, options, quantizer):
    folder = domain("games")
    path, made = encode(folder, options, quantizer=quantizer)
    assert made and path == folder / f"games.tiny.{quantizer}4x8.codes.safetensors"
    item_ids, embeddings, _ = load_embeddings(artifacts.embedding_file(folder, "games", "tiny"), "")
    codes = ItemCodes.load(path, "")
    assert codes.item_ids == item_ids and codes.codes.shape == (40, 4)
    np.testing.assert_array_equal(load_quantizer(path).encode(embeddings), codes.codes)
    assert codes.manifest["training_items"] == 39
    assert codes.manifest["language_model"] == {"plm": "tiny", "pooling": "cls"}
    report = codes.manifest["quality"]
    assert report["items"] == 40 and 0 < report["reconstruction_error"] < 0.6 and report["neighbour_agreement"] > 0.3
    assert encode(folder, options, quantizer=quantizer) == (path, False)
    assert encode(folder, options, quantizer=quantizer, quantizer_seed=7)[1]


def test_only_training_items_teach_the_quantizer(domain, options, clustered):
    vectors = clustered(40, 8)
    first, _ = encode(domain("games", embeddings=vectors), options)
    first = load_quantizer(first)
    vectors[-1] = 1000  # "last" is a target only
    second, made = encode(domain("games", embeddings=vectors), options)
    assert made
    np.testing.assert_array_equal(first.centroids, load_quantizer(second).centroids)
    vectors[0] = 1000
    np.testing.assert_raises(
        AssertionError, np.testing.assert_array_equal,
        first.centroids, load_quantizer(encode(domain("games", embeddings=vectors), options)[0]).centroids,
    )  # fmt: skip


def test_random_codes_have_no_quantizer(domain, options):
    folder = domain("games")
    codes = ItemCodes.load(encode(folder, options, quantizer="random")[0], "")
    np.testing.assert_array_equal(codes.codes, random_codes(codes.item_ids, 4, 8, options["quantizer_seed"]))
    assert "reconstruction_error" not in codes.manifest["quality"]


def test_whitening_is_stored(domain, options):
    path, _ = encode(domain("games"), options, whiten=4)
    assert path.name == "games.tiny.opq4x8.whiten4.codes.safetensors"
    assert load_quantizer(path).whitening.components.shape == (4, 8)


def test_sample(domain, options):
    folder = domain("games")
    lines = []
    encode_dataset(folder, "games", {**options, "quantizer_sample": 20}, say=lines.append)
    assert lines[0].startswith("note: 20 training items for 8 codes per codebook, fewer than 39 a code; --codes 2")
    assert lines[1].startswith(f"{folder / 'games.tiny.opq4x8.codes.safetensors'}: 40 items, ")
    assert len(lines) == 5 and "of the 10 nearest texts kept" in lines[4]


def test_reuse(domain, options):
    games, beauty = domain("games"), domain("beauty", items=12, seed=1)
    theirs, _ = encode(games, options)
    by_name, made = encode(beauty, options, reuse_quantizer="games")
    assert made and by_name.name == "beauty.tiny.opq4x8.of-games.codes.safetensors"
    _, embeddings, _ = load_embeddings(artifacts.embedding_file(beauty, "beauty", "tiny"), "")
    np.testing.assert_array_equal(ItemCodes.load(by_name, "").codes, load_quantizer(theirs).encode(embeddings))
    np.testing.assert_array_equal(load_quantizer(by_name).centroids, load_quantizer(theirs).centroids)
    by_path, _ = encode(beauty, options, reuse_quantizer=str(theirs))
    np.testing.assert_array_equal(ItemCodes.load(by_path, "").codes, ItemCodes.load(by_name, "").codes)
    assert encode(beauty, options, reuse_quantizer="games") == (by_name, False)
    encode(games, options, quantizer_seed=1)
    assert provenance.stale_inputs(by_name, artifacts.read_manifest(by_name, "item codes", ""))
    assert encode(beauty, options, reuse_quantizer="games")[1]


def test_joint(domain, options, tmp_path):
    domain("games"), domain("beauty", items=30, seed=1)
    data = tmp_path / "dataset"
    written = encode_jointly(data, ["games", "beauty"], "GB", options, **QUIET)
    names = ["GB/GB.tiny.opq4x8", "games/games.tiny.opq4x8.of-GB", "beauty/beauty.tiny.opq4x8.of-GB"]
    assert written == [(data / f"{name}.codes.safetensors", True) for name in names]
    merged, games, beauty = (ItemCodes.load(path, "") for path, _ in written)
    assert merged.item_ids == [f"games-{i}" for i in games.item_ids] + [f"beauty-{i}" for i in beauty.item_ids]
    np.testing.assert_array_equal(merged.codes, np.concatenate([games.codes, beauty.codes]))
    assert merged.manifest["training_items"] == 39 + 29
    assert encode_jointly(data, ["games", "beauty"], "GB", options, **QUIET) == [(path, False) for path, _ in written]
    # a model finds them: the same options, and reuse_quantizer where it reads one domain
    assert codes_path(data / "GB", "GB", options) == written[0][0]
    assert codes_path(data / "games", "games", {**options, "reuse_quantizer": "GB"}) == written[1][0]
    assert encode(data / "games", options, reuse_quantizer="GB") == (written[1][0], False)
    # the joint quantizer has seen both domains
    alone = ItemCodes.load(encode(data / "games", options)[0], "")
    assert (alone.codes != games.codes).any()


def test_domains_that_make_one_item_id(options, tmp_path):
    data = tmp_path / "dataset"
    for name, items in {"a": ["b-1", "x"], "a-b": ["1", "y"]}.items():
        write_inter(data / name, name, {"u": items})
        write_vectors(data / name, name, items, plm="tiny")
    with pytest.raises(VQRecError, match="AB: item 'a-b-1' would come from a and a-b; rename one of these data sets"):
        encode_jointly(data, ["a", "a-b"], "AB", options, **QUIET)
    assert not list(data.glob("*/*.codes.safetensors"))


def test_the_joint_quantizer_learns_from_the_training_items_of_all(domain, options, tmp_path, clustered):
    games, beauty = clustered(40, 8), clustered(30, 8, seed=1)
    domain("games", embeddings=games), domain("beauty", items=30, embeddings=beauty)
    path, _ = encode_jointly(tmp_path / "dataset", ["games", "beauty"], "GB", options, **QUIET)[0]
    by_id = [sorted(range(count), key=str) for count in (39, 29)]  # k-means depends on the order
    want = train_quantizer(np.concatenate([games[by_id[0]], beauty[by_id[1]]]), options)
    np.testing.assert_array_equal(load_quantizer(path).centroids, want.centroids)


def broken(change):
    """Return embeddings of 40 items of which item 2 is changed."""

    def make(clustered):
        vectors = clustered(40, 8)
        vectors[2] = change
        return vectors

    return make


@pytest.mark.parametrize("change", [np.nan, np.inf])
def test_embeddings_that_are_not_finite(domain, options, clustered, change):
    folder = domain("games", embeddings=broken(change)(clustered))
    with pytest.raises(VQRecError, match=r"tiny.emb.safetensors: the embeddings of 1 items are not finite \(g2\)"):
        encode(folder, options)


def test_stale_and_missing_embeddings(domain, options):
    folder = domain("games")
    with open(folder / "games.item", "a") as file:
        file.write("new\ttext\n")
    with pytest.raises(VQRecError, match="out of date, games.item changed .* run 'recbole-vqrec embed --dataset games"):
        encode(folder, options)
    artifacts.embedding_file(folder, "games", "tiny").unlink()
    with pytest.raises(VQRecError, match="text embedding not found; run 'recbole-vqrec embed"):
        encode(folder, options)


def test_codes_that_lie_elsewhere_go_out_of_date_as_well(domain, options, tmp_path):
    folder = domain("games")
    elsewhere = {**options, "item_codes": str(tmp_path / "codes" / "games.safetensors")}
    (tmp_path / "codes").mkdir()
    path, made = encode_dataset(folder, "games", elsewhere, say=lambda line: None)
    assert made and not encode_dataset(folder, "games", elsewhere, say=lambda line: None)[1]
    with open(folder / "games.inter", "a") as file:
        file.write("u0\tg1\t1000\n")
    with pytest.raises(VQRecError, match="out of date, .*games.inter changed after it was made"):
        provenance.refuse_stale(path, artifacts.read_manifest(path, "item codes", ""), "encode again")


def test_an_item_without_embedding(domain, options):
    folder = domain("games")
    with open(folder / "games.inter", "a") as file:
        file.write("u1\tunknown\t1\nu1\tg1\t2\nu1\tg2\t3\n")
    with pytest.raises(VQRecError, match=r"tiny.emb.safetensors: lacks 1 of 40 items of the data set \(unknown\)"):
        encode(folder, options)


@pytest.mark.parametrize(
    "given, message",
    [
        ({"quantizer": "opk"}, "quantizer: 'opk' is none of opq, pq, rq, random"),
        ({"codes_per_codebook": 64}, "39 training items cannot fill 64 codes per codebook; choose codes_per_codebook"),
        ({"quantizer_sample": 4}, "quantizer_sample: 4 items cannot fill 8 codes"),
        ({"reuse_quantizer": "toys"}, "toys.tiny.opq4x8.codes.safetensors: item codes not found; run"),
        ({"reuse_quantizer": "x.safetensors"}, "x.safetensors: item codes not found; set reuse_quantizer to"),
    ],
)
def test_options_that_cannot_be(domain, options, given, message):
    folder = domain("games")
    with pytest.raises(VQRecError) as error:
        encode(folder, options, **given)
    assert message in str(error.value) and "\n" not in str(error.value)
    assert not list(folder.glob("*.codes.*"))


def test_quantizers_that_cannot_be_reused(domain, options):
    games = domain("games")
    theirs, _ = encode(games, options)
    other_size = domain("beauty", d=6)
    with pytest.raises(VQRecError, match=r"embeddings of shape \(40, 6\) for a quantizer of vectors of size 8"):
        encode(other_size, options, reuse_quantizer="games")
    other_model = domain("toys", plm="bert")
    with pytest.raises(VQRecError, match=r"toys is embedded by bert \(cls\), games.*s by tiny \(cls\); embed all"):
        encode(other_model, options, reuse_quantizer="games")
    with pytest.raises(VQRecError, match="4 codebooks of 8 codes, asked for are 4 of 16; say --codebooks 4 --codes 8"):
        encode(domain("tools"), options, reuse_quantizer=str(theirs), codes_per_codebook=16)
    encode(games, options, quantizer="random")
    with pytest.raises(VQRecError, match="holds no quantizer, as with random codes"):
        encode(domain("tools"), options, reuse_quantizer="games", quantizer="random")


def test_domains_that_cannot_share(domain, options, tmp_path):
    domain("games"), domain("beauty", pooling="mean")
    data = tmp_path / "dataset"
    with pytest.raises(VQRecError, match=r"beauty is embedded by tiny \(mean\), games by tiny \(cls\); embed all"):
        encode_jointly(data, ["games", "beauty"], "GB", options, **QUIET)
    for datasets, name in ((["games"], "G"), (["games", "games"], "G"), (["games", "beauty"], "games")):
        with pytest.raises(VQRecError, match="expected two or more different names"):
            encode_jointly(data, datasets, name, options, **QUIET)
    for given in ({"quantizer": "random"}, {"reuse_quantizer": "games"}):
        with pytest.raises(VQRecError, match="leave out --reuse and --quantizer random"):
            encode_jointly(data, ["games", "beauty"], "GB", {**options, **given}, **QUIET)
    with pytest.raises(VQRecError, match="item_codes: x.safetensors is one file, each data set gets its own"):
        encode_jointly(data, ["games", "beauty"], "GB", {**options, "item_codes": "x.safetensors"}, **QUIET)


def test_command(domain, tmp_path):
    domain("games"), domain("beauty", seed=1)
    common = ["--data-path", str(tmp_path / "dataset"), "--plm", "tiny", "--codebooks", "4", "--codes", "8"]

    def run(*arguments):
        return CliRunner().invoke(main, ["encode", *arguments, *common])

    first = run("--dataset", "games", "--quantizer", "rq", "--whiten", "6")
    assert first.exit_code == 0, first.output
    assert "games.tiny.rq4x8.whiten6.codes.safetensors: 40 items, " in first.output
    assert "(up to date)" in run("--dataset", "games", "--quantizer", "rq", "--whiten", "6").output
    assert run("--datasets", "games, beauty", "--name", "GB").exit_code == 0
    again = run("--dataset", "beauty", "--reuse", "GB")
    assert "beauty.tiny.opq4x8.of-GB.codes.safetensors (up to date)" in again.output
    for wrong in ([], ["--datasets", "games,beauty"], ["--dataset", "games", "--name", "GB"]):
        result = run(*wrong)
        assert result.exit_code == 2
        assert result.output == "error: say --dataset D, or --datasets A,B,C with --name ABC\n"
    result = run("--dataset", "games", "--quantizer", "opk")
    assert result.exit_code == 2 and result.output.count("\n") == 1


def test_one_language_model_under_two_paths(domain, options):
    for name, plm in (("games", "models/minilm"), ("beauty", "/home/me/models/minilm")):
        path = artifacts.embedding_file(domain(name, seed=len(name)), name, "tiny")
        arrays, ids, manifest = artifacts.read_artifact(path, "text embedding", "")
        made = {**manifest["options"], "plm": plm, "plm_files": {"model.safetensors": "abc"}}
        artifacts.write_artifact(path, "text embedding", arrays, {**manifest, "options": made}, ids)
    data = Path(options["data_path"])
    encode_jointly(data, ["games", "beauty"], "GB", options, **QUIET)
    encode(data / "games", options)
    assert encode(data / "beauty", options, reuse_quantizer="games")[1]
