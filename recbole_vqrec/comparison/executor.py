"""Runs in processes of their own, several at a time: what one of them does cannot stop the others."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path

import psutil
import torch
from tqdm import tqdm

from recbole_vqrec import artifacts
from recbole_vqrec.comparison import under_way
from recbole_vqrec.errors import VQRecError

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
REFRESH = 5, 60  # seconds after which a terminal, or a file, is told how far the runs are
MEMORY = 8 << 30  # bytes that a run may take
TAIL = 2000  # characters of a crashed run's output that are kept
# As `python -m recbole_vqrec.comparison.worker`, but for a folder recbole_vqrec where the user happens to be.
WORKER = (
    "import sys; sys.path[:] = filter(None, sys.path); "
    "from recbole_vqrec.comparison import worker; worker.main(sys.argv[1])"
)


def execute_all(runs, processes, progress=True, say=print):
    """Execute the runs that have no result yet.

    Args:
        runs (list of Run): what to run.
        processes (int): at a time, at most; cores and GPUs are shared out evenly, fewer cores where OMP_NUM_THREADS
            says so.
        progress (bool): show a progress bar.
        say (callable): receives a line for each run that failed.

    Returns:
        list: of each run its result, or None where it failed; why is in its `failure` file.

    Raises:
        VQRecError: a run that is there was made with other options or by another version.
    """
    wanted = []
    for run in runs:
        if run.result() is None:
            wanted.append(run)
        else:
            run.clear()  # of a process that was killed when it had just made the result
    processes = max(1, min(processes, len(wanted)))
    threads = str(threads_of_each(processes))
    here = os.pathsep.join(filter(None, [str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, **dict.fromkeys(THREADS, threads), "PYTHONPATH": here}  # the workers run this package
    children = _Children(environment, gpus_of_each(processes))
    pool = ThreadPoolExecutor(processes)
    hidden, refresh = not progress or not wanted, REFRESH[not sys.stderr.isatty()]
    with tqdm(total=len(wanted), unit=" runs", disable=hidden, file=sys.stderr, dynamic_ncols=True) as bar:
        try:
            waiting = {pool.submit(children.execute, run): run for run in wanted}
            while waiting:
                for done in wait(waiting, refresh, FIRST_COMPLETED).done:
                    run, error = waiting.pop(done), done.result()
                    bar.update()
                    if error:
                        say(f"failed: {run.dataset} {run.row} {run.name}: {error.splitlines()[-1]}")
                bar.set_postfix_str(under_way.told(children.under_way()))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            children.stop()
            pool.shutdown()  # its threads end with their children; none outlives this call
    return [run.result() for run in runs]


def threads_of_each(processes):
    """Return the threads of each process: its share of the cores, at most OMP_NUM_THREADS where that is a number."""
    share, stated = max(1, (os.cpu_count() or 1) // processes), os.environ.get("OMP_NUM_THREADS", "")
    return min(share, int(stated)) if stated.isdigit() and int(stated) else share


def processes_by_default():
    """Return how many runs at a time use the machine: one a GPU, else one a core as far as there is memory for them."""
    memory = psutil.virtual_memory().available // MEMORY
    return max(1, len(_gpus()) or min(os.cpu_count() or 1, memory))


def _gpus():
    """Return the GPUs that there are, as CUDA_VISIBLE_DEVICES names them."""
    stated = os.environ.get("CUDA_VISIBLE_DEVICES")
    found = range(torch.cuda.device_count()) if stated is None else filter(None, map(str.strip, stated.split(",")))
    return [str(gpu) for gpu in found]


def gpus_of_each(processes):
    """Return the GPU of each process, as CUDA_VISIBLE_DEVICES names it; [] where there are none."""
    gpus = _gpus()
    return [gpus[number % len(gpus)] for number in range(processes)] if gpus else []


class _Children:
    """The processes under way, at most as many as there are GPUs given.

    Args:
        environment (dict): of each process.
        gpus (list of str): of each process that runs at a time; [] leaves that to the runs.
    """

    def __init__(self, environment, gpus=()):
        self.environment, self.processes, self.lock = environment, {}, threading.Lock()
        self.stopped, self.gpus = False, list(gpus)

    def execute(self, run):
        """Execute one run and return what went wrong, or None."""
        gpu = self.gpus.pop(0) if self.gpus else None  # list operations are atomic, as the threads need
        try:
            environment = self.environment if gpu is None else {**self.environment, "CUDA_VISIBLE_DEVICES": gpu}
            return self._execute(run, environment)
        except OSError as error:  # no memory for a process, no room for its files
            _note_failure(run, str(error))
            return str(error)
        finally:
            self.gpus += [] if gpu is None else [gpu]

    def _execute(self, run, environment):
        with tempfile.TemporaryDirectory() as folder:
            file = os.path.join(folder, "run.json")
            with open(file, "w", encoding="utf-8") as described:
                json.dump(run.as_dict(), described)
            command = [sys.executable, "-c", WORKER, file]
            with open(os.path.join(folder, "output"), "w+", encoding="utf-8", errors="replace") as output:
                with self.lock:
                    if self.stopped:  # nobody would end a process that begins now
                        return None
                    child = subprocess.Popen(
                        command, env=environment, stdin=subprocess.PIPE, stdout=output, stderr=output,
                        start_new_session=True,  # Ctrl-C is the comparison's, which asks once for the end
                    )  # fmt: skip
                    self.processes[child] = run
                code = child.wait()
                child.stdin.close()
                with self.lock:
                    self.processes.pop(child)
                output.seek(0)
                said = output.read().strip()
        if self.stopped:
            return None  # what the run was writing stays, to go on from
        run.clear()  # a crash leaves its folder
        if code == 0:
            run.failure.unlink(missing_ok=True)
            return None
        from recbole_vqrec.comparison.worker import ERROR_CODE

        last = (said.splitlines() or [""])[-1]
        error = last.removeprefix("error: ") if code == ERROR_CODE else f"crashed with code {code}: {last}"
        _note_failure(run, error, code=code, output=said[-TAIL:])
        return error

    def under_way(self):
        """Return the runs that have a process."""
        with self.lock:
            return list(self.processes.values())

    def stop(self):
        """End the processes that are still under way."""
        with self.lock:
            self.stopped = True
            for child in self.processes:
                child.terminate()


def _note_failure(run, error, **details):
    """Write down why a run failed, where there is room; it is said in any case."""
    with contextlib.suppress(OSError, VQRecError), artifacts.replace_when_done(run.failure) as temporary:
        temporary.write_text(json.dumps({"error": error, **details}), encoding="utf-8")
