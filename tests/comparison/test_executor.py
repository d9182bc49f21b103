"""Processes of a comparison, and how they share cores and GPUs."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from small_comparison import OPTIONS

from recbole_vqrec.comparison import executor, worker
from recbole_vqrec.comparison.runs import Run, failures


def test_a_crash_of_one_process_is_told_with_its_code(tiny, monkeypatch):
    monkeypatch.setattr(executor.sys, "executable", "/bin/false")
    run = Run("out", "tiny", "VQRec", "VQRec", 2020, dict(OPTIONS))
    said = []
    assert executor.execute_all([run], 1, say=said.append) == [None]
    assert said == ["failed: tiny VQRec seed-2020: crashed with code 1: "] and not run.folder.exists()


@pytest.mark.parametrize(
    "visible, processes, expected",
    [(None, 3, ["0", "1", "0"]), ("2, 5", 2, ["2", "5"]), ("2,5", 1, ["2"]), ("", 2, []), ("GPU-8ab", 2, ["GPU-8ab"] * 2)],
)
def test_processes_share_the_gpus(monkeypatch, visible, processes, expected):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert executor.gpus_of_each(processes) == expected


def test_runs_at_a_time_are_on_gpus_of_their_own(tiny, tmp_path, monkeypatch):
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\necho $CUDA_VISIBLE_DEVICES >> {tmp_path}/seen; sleep 0.3\n")
    script.chmod(0o755)
    monkeypatch.setattr(executor.sys, "executable", str(script))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    runs = [Run("out", "tiny", "VQRec", "VQRec", seed, dict(OPTIONS)) for seed in range(4)]
    executor.execute_all(runs, 2, progress=False)
    assert set((tmp_path / "seen").read_text().split()) == {"4", "7"}


def test_a_run_ends_with_the_comparison_that_was_killed(tiny):
    options = {**OPTIONS, "epochs": 10**6, "stopping_step": 10**6}
    run = Run("out", "tiny", "SASRec", "SASRec", 2020, options)
    Path("run.json").write_text(json.dumps(run.as_dict()))
    environment = {**os.environ, "PYTHONPATH": str(Path(executor.__file__).resolve().parents[2])}
    command = [sys.executable, "-m", "recbole_vqrec.comparison.worker", "run.json"]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        while not list(run.unfinished.glob("saved/*/run.log")):
            assert child.poll() is None
            time.sleep(0.05)
        child.stdin.close()  # as the system does with what a killed process has open
        assert child.wait(60) != 0
    assert run.unfinished.is_dir() and not run.folder.exists() and not run.failure.exists()


@pytest.mark.parametrize("stated, expected", [(None, 4), ("1", 1), ("3", 3), ("16", 4), ("", 4), ("0", 4), ("2,2", 4)])
def test_processes_share_the_cores_unless_fewer_threads_are_asked_for(monkeypatch, stated, expected):
    from recbole_vqrec.comparison.executor import threads_of_each

    monkeypatch.setattr("os.cpu_count", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if stated is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", stated)
    assert threads_of_each(2) == expected
    assert threads_of_each(100) == 1


def test_runs_are_of_this_package_though_the_current_folder_has_another(tiny):
    Path("recbole_vqrec").mkdir()
    Path("recbole_vqrec/__init__.py").write_text("raise ImportError('another copy')")
    run = Run("out", "tiny", "SASRec", "SASRec", 2020, {**OPTIONS, "data_path": "dataset/"})
    said = []
    executor.execute_all([run], 1, progress=False, say=said.append)
    assert said == [] and run.result()["versions"]["recbole-vqrec"] == worker.versions()["recbole-vqrec"]


def test_a_process_that_cannot_start_stops_no_other(tiny, monkeypatch):
    runs, said = [Run("out", "tiny", "VQRec", "VQRec", seed, dict(OPTIONS)) for seed in range(2)], []

    def refused(*args, **kwargs):
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(executor.subprocess, "Popen", refused)
    assert executor.execute_all(runs, 1, progress=False, say=said.append) == [None, None]
    assert sorted(said) == [f"failed: tiny VQRec seed-{seed}: [Errno 12] Cannot allocate memory" for seed in range(2)]
    assert [run for _, _, run, _ in failures("out")] == ["seed-0", "seed-1"]
    shutil.rmtree("out")
    Path("out").write_text("")  # nowhere to write down why
    assert executor.execute_all(runs, 1, progress=False, say=said.append) == [None, None] and len(said) == 4


@pytest.mark.parametrize(
    "cores, gibibytes, gpus, expected",
    [(2, 24, "", 2), (8, 24, "", 3), (8, 4, "", 1), (64, 999, "", 64), (8, 4, "0,1,5", 3), (None, 99, "", 1)],
)
def test_runs_at_a_time_are_as_many_as_the_machine_has_room_for(monkeypatch, cores, gibibytes, gpus, expected):
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    monkeypatch.setattr(executor.psutil, "virtual_memory", lambda: SimpleNamespace(available=gibibytes << 30))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)
    assert executor.processes_by_default() == expected


def test_one_run_has_all_cores_though_more_might_run_at_a_time(tiny, tmp_path, monkeypatch):
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\necho $OMP_NUM_THREADS >> {tmp_path}/seen\n")
    script.chmod(0o755)
    monkeypatch.setattr(executor.sys, "executable", str(script))
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    executor.execute_all([Run("out", "tiny", "VQRec", "VQRec", 1, dict(OPTIONS))], 8, progress=False)
    assert (tmp_path / "seen").read_text().split() == ["8"]
