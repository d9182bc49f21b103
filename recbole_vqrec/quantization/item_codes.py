"""The type of item codes: which items, how many codebooks, which codes; the only place that knows their layout.

Axis legend: N items, D codebooks, M codes per codebook.

A code c of codebook k has the flat id 1 + k * M + c; flat id 0 is the padding code of every codebook.
"""

from dataclasses import dataclass, field

import numpy as np

from recbole_vqrec import artifacts
from recbole_vqrec.errors import VQRecError, examples

KIND = "item codes"
PADDING_CODE = 0


def flatten(codes, codes_per_codebook):
    """Return flat ids of codes.

    Args:
        codes (np.ndarray or torch.Tensor): [N, D] integers in 0 .. M - 1.
        codes_per_codebook (int): M.

    Returns:
        the same type: [N, D] int64 in 1 .. D * M.
    """
    offsets = np.arange(codes.shape[1], dtype=np.int64) * codes_per_codebook + 1
    if isinstance(codes, np.ndarray):
        return codes.astype(np.int64) + offsets
    import torch

    return codes.long() + torch.from_numpy(offsets).to(codes.device)


def table_size(codebooks, codes_per_codebook):
    """Return the rows of a code-embedding table: D * M and one for padding."""
    return codebooks * codes_per_codebook + 1


@dataclass(frozen=True)
class ItemCodes:
    """Item codes with their item ids.

    Args:
        item_ids (list of str): N external ids.
        codes (np.ndarray): [N, D] integers in 0 .. M - 1.
        codes_per_codebook (int): M.
        manifest (dict): how they were made.

    Raises:
        VQRecError: shapes that do not fit, or a code outside 0 .. M - 1.
    """

    item_ids: list
    codes: np.ndarray
    codes_per_codebook: int
    manifest: dict = field(default_factory=dict)

    def __post_init__(self):
        if self.codes.ndim != 2 or len(self.item_ids) != len(self.codes):
            raise VQRecError(f"item codes: {len(self.item_ids)} item ids for codes of shape {self.codes.shape}")
        wrong = np.flatnonzero(((self.codes < 0) | (self.codes >= self.codes_per_codebook)).any(axis=1))
        if wrong.size:
            bad = [f"{self.item_ids[row]}: {self.codes[row].tolist()}" for row in wrong[:2]]
            raise VQRecError(f"item codes: codes outside 0..{self.codes_per_codebook - 1} ({examples(bad)})")

    @property
    def codebooks(self):
        """D."""
        return self.codes.shape[1]

    def flat_table(self, tokens, path="item codes", remedy="encode the data set again"):
        """Return flat ids for a list of item ids, the first of which is RecBole's padding item.

        Args:
            tokens (sequence of str): RecBole's id -> external id, tokens[0] is "[PAD]".
            path, remedy (str): for the message.

        Returns:
            np.ndarray: [len(tokens), D] int64, row 0 all padding.

        Raises:
            VQRecError: an item has no codes.
        """
        rows = artifacts.rows_of(self.item_ids, [str(token) for token in tokens[1:]], path, remedy)
        flat = flatten(self.codes[rows], self.codes_per_codebook)
        return np.concatenate([np.full((1, self.codebooks), PADDING_CODE, dtype=np.int64), flat])

    def save(self, path, quantizer_tensors=None):
        """Write the codes, and the arrays of the quantizer that made them, to `path`."""
        dtype = np.uint8 if self.codes_per_codebook <= 256 else np.int32
        tensors = {"codes": self.codes.astype(dtype)}
        tensors.update({f"quantizer.{name}": array for name, array in (quantizer_tensors or {}).items()})
        manifest = {**self.manifest, "codebooks": self.codebooks, "codes_per_codebook": self.codes_per_codebook}
        artifacts.write_artifact(path, KIND, tensors, manifest, self.item_ids)

    @classmethod
    def load(cls, path, remedy):
        """Read codes from `path`; see `artifacts.read_artifact` for the errors."""
        tensors, item_ids, manifest = artifacts.read_artifact(path, KIND, remedy)
        if "codes" not in tensors or item_ids is None:
            raise VQRecError(f"{path}: has no codes or no item ids; {remedy}")
        return cls(item_ids, tensors["codes"].astype(np.int64), int(manifest["codes_per_codebook"]), manifest)
