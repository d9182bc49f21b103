"""Files that are there whole or not at all; what a killed process has left of one goes when it is written again."""

import contextlib
import glob
import os
import tempfile
from pathlib import Path

from recbole_vqrec.errors import UnavailableError

try:
    import fcntl
except ImportError:  # Windows: nothing tells an abandoned file from one in work, so all are kept
    fcntl = None


@contextlib.contextmanager
def replace_when_done(path):
    """Yield a temporary path next to `path` that takes its place when the block ends without an error.

    The temporary file is locked while the block runs. Those of `path` that nobody holds, since a process was killed,
    are deleted first.

    Args:
        path (str or Path): the file to write; its folder is created.

    Raises:
        UnavailableError: the folder cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path)
        handle, temporary = _locked_file(path)
    except OSError as error:
        remedy = "choose a folder you may write to"
        raise UnavailableError(f"{path}: cannot be written ({error.strerror}); {remedy}") from error
    try:
        yield Path(temporary)
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        raise UnavailableError(f"{path}: writing failed ({error.strerror}); nothing was left behind") from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        if fcntl:
            os.close(handle)


def _locked_file(path):
    """Return (handle, path) of a new temporary file of `path`, locked as long as the handle is open."""
    while True:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        if fcntl is None:
            os.close(handle)  # there an open file cannot be renamed
            return None, temporary
        with contextlib.suppress(OSError):  # a file system without locks; there no file is taken for abandoned
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.path.exists(temporary):
            return handle, temporary
        os.close(handle)  # another process took it for abandoned before the lock was there


def _remove_abandoned(path):
    """Delete the temporary files of `path` whose process is gone; its lock went with it."""
    if fcntl is None:
        return
    for temporary in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        with contextlib.suppress(OSError), open(temporary, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(temporary)


def _umask():
    current = os.umask(0)
    os.umask(current)
    return current
