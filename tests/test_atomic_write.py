"""Files that are there whole or not at all, also after a kill and with two writers."""

import signal
import subprocess
import sys

import pytest

from recbole_vqrec import artifacts, atomic_write

KILLED = """
import os, signal, sys
from recbole_vqrec.atomic_write import replace_when_done
with replace_when_done(sys.argv[1]) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def killed(tmp_path):
    """Path of a file whose writer was killed."""
    path = tmp_path / "D.[1].inter"
    path.write_text("old")
    assert subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False).returncode == -signal.SIGKILL
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 2
    return path


def write(path, content="new"):
    with artifacts.replace_when_done(path) as temporary:
        temporary.write_text(content)


def test_what_a_kill_left_goes_when_the_file_is_written_again(killed):
    write(killed)
    assert killed.read_text() == "new" and list(killed.parent.iterdir()) == [killed]


def test_what_a_kill_left_of_another_file_stays(killed):
    write(killed.with_suffix(".item"))
    assert len(list(killed.parent.iterdir())) == 3


def test_what_another_writer_is_at_stays(tmp_path):
    path = tmp_path / "x"
    with artifacts.replace_when_done(path) as slow:
        slow.write_text("slow")
        write(path, "fast")
        assert path.read_text() == "fast" and slow.read_text() == "slow"
    assert path.read_text() == "slow" and list(tmp_path.iterdir()) == [path]


def test_a_file_taken_for_abandoned_before_it_was_locked_is_made_anew(tmp_path, monkeypatch):
    made = []
    mkstemp = atomic_write.tempfile.mkstemp

    def taken_at_first(**options):
        handle, temporary = mkstemp(**options)
        if not made:
            atomic_write._remove_abandoned(tmp_path / "x")
        made.append(temporary)
        return handle, temporary

    monkeypatch.setattr(atomic_write.tempfile, "mkstemp", taken_at_first)
    write(tmp_path / "x")
    assert len(made) == 2 and (tmp_path / "x").read_text() == "new"


def test_without_locks_nothing_is_taken_for_abandoned(killed, monkeypatch):
    monkeypatch.setattr(atomic_write, "fcntl", None)
    write(killed)
    assert killed.read_text() == "new" and len(list(killed.parent.iterdir())) == 2
