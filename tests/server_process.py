"""A real server in a process of its own."""

import contextlib
import os
import re
import subprocess
import sys

import recbole_vqrec


@contextlib.contextmanager
def serving(run, *options):
    """Yield (address, process) of `recbole-vqrec serve` on a free port; it is ended with the block."""
    root = os.path.dirname(os.path.dirname(recbole_vqrec.__file__))
    command = [sys.executable, "-m", "recbole_vqrec", "serve", "--run", str(run), "--port", "0", *options]
    environment = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        said = ""
        while "http://" not in said:
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"the server ended: {said}")
            said += line
        yield re.search(r"http://\S+", said).group(), process
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


def resident_memory(process):
    """Return the resident memory of a process in bytes."""
    with open(f"/proc/{process.pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
