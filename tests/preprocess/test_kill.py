"""A run that is killed leaves the old files, or files that the next run knows to be unfinished."""

import signal
import subprocess
import sys

import pytest

from recbole_vqrec.preprocess import dataset_files
from recbole_vqrec.preprocess.atomic_input import read_atomic

KILLED = """
import os, signal, sys
from pathlib import Path
from recbole_vqrec.preprocess import dataset_files
sys.path.insert(0, sys.argv[1])
from test_kill import make
setattr(dataset_files, sys.argv[2], lambda *arguments: os.kill(os.getpid(), signal.SIGKILL))
make(Path(sys.argv[3]))
"""


def make(folder):
    """Make the data set of the folder's raw files; return whether it was made now."""
    options = {"user_k": 1, "item_k": 1, "duplicates": "drop", "ties": "input", "ties_seed": 0, "clean": False}
    files = folder / "raw.inter", folder / "raw.item"

    def read():
        return read_atomic(*files, progress=False)

    return dataset_files.make_dataset(folder / "D", "D", "atomic", options, files, read, say=lambda line: None)[1]


@pytest.mark.parametrize("moment", ["refine", "item_table", "write_rows", "write_record"])
def test_killed(tmp_path, request, moment):
    (tmp_path / "raw.inter").write_text("user_id:token\titem_id:token\ttimestamp:float\nu\ta\t1\n")
    (tmp_path / "raw.item").write_text("item_id:token\ttitle:token_seq\na\tA\n")
    assert make(tmp_path) and not make(tmp_path)
    before = (tmp_path / "D/D.inter").read_bytes()
    (tmp_path / "raw.inter").write_text("user_id:token\titem_id:token\ttimestamp:float\nu\ta\t2\n")
    command = [sys.executable, "-c", KILLED, str(request.path.parent), moment, str(tmp_path)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    after = before.replace(b"1\n", b"2\n")
    assert (tmp_path / "D/D.inter").read_bytes() == (after if moment == "write_record" else before)
    assert make(tmp_path) and not make(tmp_path)
    assert (tmp_path / "D/D.inter").read_bytes() == after
    assert sorted(file.name for file in (tmp_path / "D").iterdir()) == ["D.inter", "D.item", "D.preprocess.json"]
