"""What a data set brings to its quantizer: interactions, which say the training items, and text embeddings.

Axis legend: N items, n training items, d embedding size.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recbole_vqrec import artifacts, provenance
from recbole_vqrec.embedding.embed import embed_command
from recbole_vqrec.embedding.text_encoder import KIND, load_embeddings
from recbole_vqrec.errors import VQRecError, examples
from recbole_vqrec.preprocess.atomic_files import read_table, with_times

LANGUAGE_MODEL = ("plm", "pooling")  # what has to be equal where embeddings share a quantizer


@dataclass(frozen=True)
class Domain:
    """A data set as the encoding stage sees it.

    Args:
        dataset (str): D.
        folder (Path): its folder with interactions and embeddings.
        plm (str): the language model of the embeddings.
        pooling (str, optional): how it was pooled, for the command that makes them.
    """

    dataset: str
    folder: Path
    plm: str
    pooling: str = None

    @property
    def embedding_file(self):
        """Path of the text embeddings."""
        return artifacts.embedding_file(self.folder, self.dataset, self.plm)

    @property
    def files(self):
        """Paths of all files that item codes depend on."""
        return [*interaction_files(self.folder, self.dataset), self.embedding_file]

    @property
    def remedy(self):
        """How to make the embeddings."""
        return f"run '{embed_command(self.dataset, self.plm, self.pooling)}'"

    def language_model(self):
        """Return plm and pooling that made the embeddings, and plm_files where plm is a folder.

        Raises:
            VQRecError: the embeddings are missing, damaged or out of date.
        """
        manifest = artifacts.read_manifest(self.embedding_file, KIND, self.remedy)
        provenance.refuse_stale(self.embedding_file, manifest, self.remedy)
        made = manifest["options"]
        files = {"plm_files": made["plm_files"]} if made.get("plm_files") else {}
        return {option: made.get(option) for option in LANGUAGE_MODEL} | files

    def items(self):
        """Return item ids (list of str, N), embeddings [N, d] float32 and the rows of the training items [n] int64.

        Raises:
            VQRecError: an embedding is not finite, or a training item has none.
        """
        item_ids, embeddings, _ = load_embeddings(self.embedding_file, self.remedy)
        self.refuse_not_finite(item_ids, embeddings)
        trained_on = sorted(training_items(self.folder, self.dataset))
        remedy = f"put them into {self.dataset}.item, then {self.remedy}"
        return item_ids, embeddings, artifacts.rows_of(item_ids, trained_on, self.embedding_file, remedy)

    def refuse_not_finite(self, item_ids, embeddings):
        """Raise `VQRecError` where an embedding is not finite; `item_ids` (list of str, N), `embeddings` [N, d]."""
        broken = np.flatnonzero(~np.isfinite(embeddings).all(axis=1))
        if broken.size:
            raise VQRecError(
                f"{self.embedding_file}: the embeddings of {broken.size:,} items are not finite "
                f"({examples([item_ids[row] for row in broken])}); {self.remedy} --force --dtype float32"
            )


def same_language_model(one, other):
    """Tell whether plm and pooling of two embeddings are the same; of one model under two paths plm_files are."""
    files = one.get("plm_files")
    same_files = bool(files) and files == other.get("plm_files")
    return one["pooling"] == other["pooling"] and (one["plm"] == other["plm"] or same_files)


def refuse_different(models):
    """Raise `VQRecError` unless all data sets (name -> plm, pooling and plm_files, if known) were embedded alike."""
    (first, expected), *others = models.items()
    for dataset, found in others:
        if not same_language_model(found, expected):
            raise VQRecError(
                f"{dataset} is embedded by {found['plm']} ({found['pooling']}), {first} by {expected['plm']} "
                f"({expected['pooling']}); embed all of them with the same plm and pooling"
            )


def interaction_files(folder, dataset):
    """Return the interaction files of a data set: <D>.inter, or the authors' three parts."""
    whole = artifacts.atomic_file(folder, dataset, "inter")
    if whole.is_file():
        return [whole]
    parts = [artifacts.atomic_file(folder, f"{dataset}.{part}", "inter") for part in ("train", "valid", "test")]
    if all(part.is_file() for part in parts):
        return parts
    raise VQRecError(f"{whole}: interaction file not found; put it there, or make it with 'recbole-vqrec preprocess'")


def training_items(folder, dataset):
    """Return the ids of items that occur in the training split: leave-one-out, or the authors' train part.

    Args:
        folder (str or Path): the data set's folder.
        dataset (str): D.
    """
    file = interaction_files(folder, dataset)[0]
    table = read_table(file, "")
    if "item_id_list" in table:
        return set(table["item_id"]).union(*table["item_id_list"].str.split())
    table = with_times(table, file).sort_values(["user_id", "timestamp"], kind="stable")
    from_end = table.groupby("user_id").cumcount(ascending=False)
    size = table.groupby("user_id")["item_id"].transform("size")
    # RecBole holds out the last two pairs (history -> item) of a user, but leaves one pair for training
    held_out = np.clip(size - 2, 0, 2)
    return set(table["item_id"][(size > 1) & (from_end >= held_out)])
