"""The stage item text -> text embeddings of a data set: resumable, by one process or several.

Axis legend: N items, U distinct texts, S texts of a shard, d embedding size.
"""

import contextlib
import time
from pathlib import Path

import filelock
import numpy as np
from tqdm import tqdm

from recbole_vqrec import artifacts, provenance
from recbole_vqrec.defaults import read_props
from recbole_vqrec.embedding import processes
from recbole_vqrec.embedding.shards import Shards
from recbole_vqrec.embedding.text_encoder import KIND, TextEncoder, model_files
from recbole_vqrec.embedding.word_drop import drop_words
from recbole_vqrec.errors import VQRecError, refuse_other
from recbole_vqrec.preprocess.item_text import item_texts

OPTIONS = ("plm", "pooling", "max_text_length", "text_columns", "empty_text", "embedding_dtype")
DTYPES = {"float32": np.float32, "float16": np.float16}
TEXTS_PER_SHARD = 1024  # what a kill costs at most, about a minute of bert-base on two cores


def embed_dataset(folder, dataset, options, force=False, progress=True, say=print):
    """Write the text embeddings of a data set's items; do nothing where they are up to date.

    Under torchrun every process embeds its share of the shards and the first one writes the file; the processes
    share the folder.

    Args:
        folder (str or Path): the data set's folder with <D>.item.
        dataset (str): D.
        options (dict): those of props/item_codes.yaml.
        force (bool): redo.
        progress (bool): show a progress bar.
        say (callable): receives the line that says what was made.

    Returns:
        tuple: path of the embedding file, and whether it was written now (by the first process).

    Raises:
        VQRecError: no texts (see `item_texts`), an option that cannot be, the language model cannot be loaded, a
            damaged shard, or another process that is embedding the same.
    """
    start = time.perf_counter()
    dtype, made_by = _checked(options)
    source = artifacts.atomic_file(folder, dataset, "item")
    path = embedding_path(folder, dataset, options)
    inputs = provenance.fingerprints(source) if source.is_file() else {}  # before it is read: it may be replaced
    item_ids, texts = item_texts(source, options["text_columns"], options["empty_text"])
    if not force and provenance.is_up_to_date(path, KIND, made_by, inputs):
        return path, False
    if options["word_drop"]:
        texts = drop_words(texts, options["word_drop"], options["word_drop_seed"])
    distinct = sorted(set(texts), key=lambda text: (-len(text), text))
    shards = Shards(path, {**made_by, "texts_per_shard": TEXTS_PER_SHARD}, inputs)
    rank, size = processes.rank_and_size()
    with _alone(path) if rank == 0 else contextlib.nullcontext():
        if force and rank == 0:
            shards.remove()
        processes.wait_for_all()
        _embed_shards(distinct, shards, options, rank, size, progress)
        processes.wait_for_all()
        if rank == 0:
            size = _write(path, dataset, item_ids, texts, distinct, shards, dtype, made_by, inputs)
            say(
                f"{path}: {len(item_ids):,} items, {len(distinct):,} distinct texts, {size} dimensions, "
                f"{path.stat().st_size / 1e6:.1f} MB, {time.perf_counter() - start:.1f} s"
            )
    return path, True


@contextlib.contextmanager
def _alone(path):
    """Hold a file's shards, or refuse: two processes would take them from one another."""
    lock = filelock.FileLock(path.with_name(f".{path.name}.lock"), timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise VQRecError(f"{path}: another process is embedding this data set; wait for it, then run again") from None
    except OSError as error:
        raise VQRecError(f"{path}: cannot be written ({error.strerror}); choose a folder you may write to") from error
    try:
        yield
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def _write(path, dataset, item_ids, texts, distinct, shards, dtype, made_by, inputs):
    """Write the embedding file from its shards, which go; return the size of a vector."""
    vectors = np.concatenate([shards.load(index) for index in range(len(_parts(distinct)))])
    row = {text: index for index, text in enumerate(distinct)}
    embeddings = vectors[[row[text] for text in texts]].astype(dtype)
    manifest = {"dataset": dataset, "options": made_by, "inputs": inputs}
    artifacts.write_artifact(path, KIND, {"embeddings": embeddings}, manifest, item_ids)
    shards.remove()
    return embeddings.shape[1]


def embedding_path(folder, dataset, options):
    """Return the embedding file that these options make; the word-drop view has a file of its own."""
    name = artifacts.short_name(options["plm"])
    return artifacts.embedding_file(folder, dataset, f"{name}.word-drop" if options.get("word_drop") else name)


def embed_command(dataset, plm, pooling=None, word_drop=0):
    """Return the command that makes an embedding file, each option that is not the default written out."""
    words = [f"recbole-vqrec embed --dataset {dataset} --plm {plm}"]
    if pooling not in (None, read_props("item_codes.yaml")["pooling"]):
        words.append(f"--pooling {pooling}")
    if word_drop:
        words.append(f"--word-drop {word_drop}")
    return " ".join(words)


def _checked(options):
    """Return the type of the stored numbers, and the options that go into the manifest."""
    dtype, ratio = options["embedding_dtype"], options["word_drop"]
    refuse_other("embedding_dtype", dtype, DTYPES)
    made_by = {name: options[name] for name in OPTIONS}
    if files := model_files(options["plm"]):
        made_by["plm_files"] = files
    if ratio:
        made_by.update(word_drop=ratio, word_drop_seed=options["word_drop_seed"])
    return DTYPES[dtype], made_by


def _parts(distinct):
    """Return the texts of each shard."""
    return [distinct[start : start + TEXTS_PER_SHARD] for start in range(0, len(distinct), TEXTS_PER_SHARD)]


def _embed_shards(distinct, shards, options, rank, size, progress):
    """Embed and save every `size`-th shard that is not there yet, starting with shard `rank`."""
    own = list(enumerate(_parts(distinct)))[rank::size]
    left = [(index, part) for index, part in own if shards.load(index) is None]
    if not left:
        return
    encoder = TextEncoder(options["plm"], options["pooling"], options["max_text_length"], processes.own_device())
    total = sum(len(part) for _, part in own)
    done = total - sum(len(part) for _, part in left)
    with tqdm(total=total, initial=done, desc="embed", unit=" texts", disable=not progress or rank > 0) as bar:
        for index, part in left:
            shards.save(index, encoder.encode(part, options["embedding_batch_tokens"], bar.update))
