"""Finished parts of a long embedding run, in a folder beside the result, so that a killed run goes on where it was.

Axis legend: S texts of a shard, d embedding size.
"""

import shutil
from pathlib import Path

from recbole_vqrec import artifacts

KIND = "embedding shard"


class Shards:
    """The shards of one result; each is written whole or not at all, and only read back for the same work.

    Args:
        result (str or Path): the embedding file that they will form; the folder is `<result>.shards`.
        options (dict): how the vectors are made.
        inputs (dict): fingerprints of what they are made from.
    """

    def __init__(self, result, options, inputs):
        self.folder = Path(f"{result}.shards")
        self.options, self.inputs = options, inputs

    def load(self, index):
        """Return the vectors [S, d] of a finished shard, or None where it is missing or of another run.

        Args:
            index (int): number of the shard.

        Raises:
            VQRecError: the shard's file is damaged.
        """
        path = self._file(index)
        if not path.is_file():
            return None
        remedy = f"delete {path} and run the same command again, it goes on with the other shards"
        tensors, _, manifest = artifacts.read_artifact(path, KIND, remedy)
        same = manifest.get("options") == self.options and manifest.get("inputs") == self.inputs
        return tensors["embeddings"] if same else None

    def save(self, index, embeddings):
        """Write the vectors [S, d] of a shard."""
        manifest = {"options": self.options, "inputs": self.inputs}
        artifacts.write_artifact(self._file(index), KIND, {"embeddings": embeddings}, manifest)

    def remove(self):
        """Delete the folder with all shards, including those of other runs."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _file(self, index):
        return self.folder / f"{index:06d}.safetensors"
