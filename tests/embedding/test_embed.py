"""The embedding stage of a data set: what is written, what a kill leaves, several processes, bad input."""

import shutil
import subprocess
import sys

import filelock
import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.numpy import load_file, save_file

from recbole_vqrec import artifacts
from recbole_vqrec.cli import main
from recbole_vqrec.embedding import embed
from recbole_vqrec.embedding.embed import embed_dataset, embedding_path
from recbole_vqrec.embedding.text_encoder import TextEncoder, load_embeddings
from recbole_vqrec.errors import VQRecError


def run(toy, options, **more):
    return embed_dataset(toy, "toy", {**options, **more}, progress=False, say=lambda line: None)


def test_one_row_an_item(toy, options, titles):
    path, made = run(toy, options)
    assert made and path == toy / "toy.tiny-bert.emb.safetensors"
    item_ids, embeddings, manifest = load_embeddings(path, "")
    assert item_ids == [f"i{row}" for row in range(10)] and embeddings.dtype == np.float32
    np.testing.assert_allclose(embeddings, TextEncoder(options["plm"], "mean").encode(titles), atol=1e-5)
    np.testing.assert_array_equal(embeddings[0], embeddings[4])
    assert manifest["options"]["pooling"] == "mean" and list(manifest["inputs"]) == ["toy.item"]
    assert sorted(file.name for file in toy.iterdir()) == ["toy.item", path.name]


def test_up_to_date_until_something_changes(toy, options):
    path, _ = run(toy, options)
    assert run(toy, options) == (path, False)
    assert run(toy, options, pooling="cls")[1]
    with open(toy / "toy.item", "a") as file:
        file.write("i10\tglue\n")
    assert run(toy, options, pooling="cls")[1]


def test_another_model_in_the_same_folder_is_noticed(toy, options, tmp_path):
    plm = shutil.copytree(options["plm"], tmp_path / "plm")
    path, _ = run(toy, options, plm=str(plm))
    (plm / "requirements.txt").write_text("torch\n")  # no part of the model
    assert not run(toy, options, plm=str(plm))[1]
    weights = load_file(plm / "model.safetensors")
    save_file({name: -1.3 * tensor for name, tensor in weights.items()}, plm / "model.safetensors", {"format": "pt"})
    before = load_embeddings(path, "")[1]
    assert run(toy, options, plm=str(plm))[1] and np.abs(load_embeddings(path, "")[1] - before).max() > 0.1


def test_two_processes_do_not_take_shards_from_one_another(toy, options):
    path = toy / "toy.tiny-bert.emb.safetensors"
    with filelock.FileLock(toy / f".{path.name}.lock"), pytest.raises(VQRecError, match="another process is embedding"):
        run(toy, options)
    assert run(toy, options)[1]


def test_float16(toy, options):
    path, _ = run(toy, options)
    whole = load_file(path)["embeddings"]
    path, made = run(toy, options, embedding_dtype="float16")
    half = load_file(path)["embeddings"]
    assert made and half.dtype == np.float16
    np.testing.assert_array_equal(half, whole.astype(np.float16))


def test_word_drop_has_a_file_of_its_own(toy, options):
    plain, _ = run(toy, options)
    dropped, made = run(toy, options, word_drop=0.5)
    assert made and dropped == toy / "toy.tiny-bert.word-drop.emb.safetensors" and plain.is_file()
    item_ids, embeddings, manifest = load_embeddings(dropped, "")
    assert len(item_ids) == 10 and manifest["options"]["word_drop"] == 0.5
    difference = np.abs(embeddings - load_embeddings(plain, "")[1]).max(axis=1)
    assert difference[3] < 1e-5 and difference.max() > 0.1  # a single word stays, a long text loses some
    assert not run(toy, options, word_drop=0.5)[1] and run(toy, options, word_drop=0.5, word_drop_seed=1)[1]


@pytest.fixture
def killed(toy, options, monkeypatch):
    """A run of shards of 2 texts that was killed when it had written two of five; a list of what is encoded later."""
    monkeypatch.setattr(embed, "TEXTS_PER_SHARD", 2)
    encode, encoded = TextEncoder.encode, []

    def dies_at_third(self, texts, *rest):
        encoded.append(texts)
        if len(encoded) == 3:
            raise KeyboardInterrupt
        return encode(self, texts, *rest)

    monkeypatch.setattr(TextEncoder, "encode", dies_at_third)
    with pytest.raises(KeyboardInterrupt):
        run(toy, options)
    shards = embedding_path(toy, "toy", options).with_suffix(".safetensors.shards")
    assert sorted(file.name for file in shards.iterdir()) == ["000000.safetensors", "000001.safetensors"]
    return shards, encoded


def test_a_killed_run_goes_on(toy, options, killed, titles):
    shards, encoded = killed
    path, made = run(toy, options)
    assert made and len(encoded) == 3 + 3 and not shards.exists()
    np.testing.assert_allclose(
        load_embeddings(path, "")[1], TextEncoder(options["plm"], "mean").encode(titles), atol=1e-5
    )


def test_shards_of_other_options_are_not_used(toy, options, killed, titles):
    _, encoded = killed
    path, _ = run(toy, options, pooling="cls")
    assert len(encoded) == 3 + 5
    np.testing.assert_allclose(load_embeddings(path, "")[1], TextEncoder(options["plm"]).encode(titles), atol=1e-5)


def test_shards_of_other_texts_are_not_used(toy, options, killed):
    (toy / "toy.item").write_text((toy / "toy.item").read_text().replace("tape", "glue"))
    run(toy, options)
    assert len(killed[1]) == 3 + 5


def test_force_uses_no_shards(toy, options, killed):
    embed_dataset(toy, "toy", options, force=True, progress=False, say=lambda line: None)
    assert len(killed[1]) == 3 + 5


@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_a_damaged_shard(toy, options, killed, damage):
    shard = killed[0] / "000001.safetensors"
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content if damage == "flip" else content[:-5])
    with pytest.raises(VQRecError, match=r"1.safetensors: .*damaged.*delete .*1.safetensors and run") as error:
        run(toy, options)
    assert "\n" not in str(error.value)
    shard.unlink()
    assert run(toy, options)[1]


def test_a_process_makes_every_second_shard(toy, options, monkeypatch):
    monkeypatch.setattr(embed, "TEXTS_PER_SHARD", 2)
    monkeypatch.setattr(embed.processes, "rank_and_size", lambda: (1, 2))
    monkeypatch.setattr(embed.processes, "wait_for_all", lambda: None)
    path, made = run(toy, options)
    shards = path.with_suffix(".safetensors.shards")
    assert made and not path.exists()
    assert sorted(file.name for file in shards.iterdir()) == ["000001.safetensors", "000003.safetensors"]


def test_two_processes_write_what_one_writes(toy, options, environment, monkeypatch):
    monkeypatch.setattr(embed, "TEXTS_PER_SHARD", 2)
    path, _ = run(toy, options)
    one = load_embeddings(path, "")
    path.unlink()
    script = toy / "two.py"
    script.write_text(
        "import sys\nfrom recbole_vqrec.cli import main\nfrom recbole_vqrec.embedding import embed\n"
        "embed.TEXTS_PER_SHARD = 2\nmain(sys.argv[1:])\n"
    )
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(script)]
    command = ["embed", "--dataset", "toy", "--data-path", str(toy.parent), "--plm", options["plm"]]
    done = subprocess.run([*launcher, *command, "--pooling", "mean"], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("10 items, 9 distinct texts") == 1
    assert "up to date" not in done.stdout
    two = load_embeddings(path, "")
    assert one[0] == two[0] and one[2]["options"] == two[2]["options"]
    np.testing.assert_allclose(one[1], two[1], atol=1e-5)
    assert not path.with_suffix(".safetensors.shards").exists()


@pytest.mark.parametrize(
    "given, message",
    [
        ({"embedding_dtype": "float61"}, "'float61' is none of float32, float16, did you mean 'float16'?"),
        ({"text_columns": ["titel"]}, "text column 'titel' not found, did you mean 'title'?"),
    ],
)
def test_bad_options(toy, options, given, message):
    with pytest.raises(VQRecError) as error:
        run(toy, options, **given)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_empty_text(toy, options):
    with open(toy / "toy.item", "a") as file:
        file.write("i10\t \n")
    with pytest.raises(VQRecError, match=r"toy.item line 12: no text in title for 1 items \(i10\)"):
        run(toy, options)
    assert run(toy, options, empty_text="paper")[1]


def test_command(toy, options):
    command = ["embed", "--dataset", "toy", "--data-path", str(toy.parent), "--plm", options["plm"]]
    first = CliRunner().invoke(main, [*command, "--dtype", "float16", "--word-drop", "0.15"])
    assert first.exit_code == 0, first.output
    path = toy / "toy.tiny-bert.word-drop.emb.safetensors"
    assert f"{path}: 10 items, " in first.output and " dimensions, " in first.output
    second = CliRunner().invoke(main, [*command, "--dtype", "float16", "--word-drop", "0.15"])
    assert f"{path} (up to date)" in second.output
    wrong = CliRunner().invoke(main, [*command, "--dtype", "int8"])
    assert wrong.exit_code == 2 and wrong.output.startswith("error: embedding_dtype: 'int8' is none of")
    assert artifacts.read_manifest(path, "text embedding", "")["options"]["embedding_dtype"] == "float16"


def test_texts_that_are_replaced_while_they_are_read_are_embedded_again(toy, options, monkeypatch):
    read = embed.item_texts

    def replaced(source, *args):
        found = read(source, *args)
        source.write_text(source.read_text().replace("red glue", "blue tape"))
        return found

    with monkeypatch.context() as patched:
        patched.setattr(embed, "item_texts", replaced)
        run(toy, options)
    assert run(toy, options)[1] and not run(toy, options)[1]
