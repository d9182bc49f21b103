"""Two gloo processes on a CPU train as one process with the same batches does."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from simulated_gpu import simulated_gpu  # noqa: F401, a fixture
from small import ROOT, SMALL, random_domains, write_vectors_of_all

from recbole_vqrec import distributed
from recbole_vqrec.errors import VQRecError

OPTIONS = {**SMALL, "epochs": 2, "train_batch_size": 60, "learning_rate": 0.01, "state": "ERROR", "seed": 7}


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def train(folder, launcher=(), **options):
    """Train in processes of their own; returns what each has written."""
    script = str(Path(__file__).with_name("one_rank.py"))
    command = [sys.executable, *launcher, script, json.dumps({**OPTIONS, "folder": folder, **options})]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == 0, done.stderr
    return [load_file(file) for file in sorted(Path().glob(f"{folder}-rank*.safetensors"))]


def torchrun(count):
    return ["-m", "torch.distributed.run", f"--nproc_per_node={count}", "--master_port", str(free_port())]


def assert_same_training(one, several):
    """Losses of each step and final parameters within 1e-5; the processes equal to the bit.

    Attention does not change with the bias of its keys, whose gradient is rounding noise that Adam blows up.
    """
    for name, expected in one.items():
        if name.endswith("query_key_value.bias"):
            keys = slice(len(expected) // 3, 2 * len(expected) // 3)
            for state in (expected, *(rank[name] for rank in several)):
                state[keys] = 0
        if name == "losses":
            found = sum(rank["losses"] for rank in several)
            assert len(expected) >= 5 and torch.allclose(found, expected, atol=1e-5 * len(expected)), (found, expected)
        else:
            for rank in several:
                assert torch.allclose(rank[name].double(), expected.double(), atol=1e-5), name
    for name, value in several[0].items():
        assert name == "losses" or all(torch.equal(value, rank[name]) for rank in several), f"ranks differ in {name}"


def test_pre_training_by_torchrun_and_by_recboles_options(tmp_path):
    random_domains(tmp_path / "dataset")
    options = {"model": "VQRec", "stage": "pretrain", "sampled_negatives": 3, "popularity_correction": True}
    (one,) = train("one", **options)
    two = train("two", torchrun(2), **options)
    assert len(two) == 2
    assert_same_training(one, two)
    spawned = train("spawned", **options, nproc=2, ip="127.0.0.1", port=str(free_port()))
    assert len(spawned) == 2
    assert_same_training(one, spawned)
    (run,) = Path("two").iterdir()  # one writer
    assert {file.name for file in run.iterdir()} >= {"checkpoint.safetensors", "result.json", "run.log"}


@pytest.mark.parametrize(
    "model, options",
    [("SASRecText", {}), ("RecGURU", {"reconstruction_weight": 0, "adversarial_weight": 0})],
)
def test_pre_training_of_the_other_models(tmp_path, model, options):
    """The next items of all processes are candidates; UniSRec, whose gates draw noise, has this loss of SASRecText's."""
    folder = random_domains(tmp_path / "dataset")
    write_vectors_of_all(folder, "mix")
    options = {"model": model, "stage": "pretrain", **options}
    (one,) = train("one", **options)
    assert_same_training(one, train("two", torchrun(2), **options))


@pytest.mark.parametrize(
    "model, options", [("VQRec", {}), ("SASRec", {}), ("SASRec", {"training_batches": "stock_rows", "epochs": 3})]
)
def test_training_on_one_data_set(tmp_path, model, options):
    random_domains(tmp_path / "dataset")
    (one,) = train("one", model=model, **options)
    two = train("two", torchrun(2), model=model, **options)
    assert len(two) == 2
    assert_same_training(one, two)


def test_a_process_without_rows_waits_for_the_others(tmp_path):
    """Batches of one sequence for three processes: most have nothing to do in a step."""
    random_domains(tmp_path / "dataset", users=6)
    options = {"model": "VQRec", "stage": "pretrain", "train_batch_size": 4, "epochs": 1}
    (one,) = train("one", **options)
    assert_same_training(one, train("three", torchrun(3), **options))


def test_alone(monkeypatch):
    assert distributed.start({}) is None and distributed.is_first() and distributed.from_first(3) == 3
    assert distributed.any_of(True, "cpu") is True and distributed.summed([1.0, 2.0], "cpu") == [1.0, 2.0]
    assert distributed.spawn(dict, {"a": 1, "nproc": 1}) == {"a": 1}
    parameter = torch.nn.Parameter(torch.ones(2))
    with distributed.summed_gradients([parameter]):
        (3 * parameter).sum().backward()
    assert parameter.grad.tolist() == [3, 3]


def fails(options):
    raise VQRecError(f"rank {options['local_rank']} says no")


def test_bad_input_is_one_line_with_several_processes_too(capfd):
    with pytest.raises(VQRecError, match="nproc: 'x', expected a whole number"):
        distributed.spawn(dict, {"nproc": "x"})
    with pytest.raises(SystemExit) as ended:
        distributed.spawn(fails, {"nproc": 2})
    assert ended.value.code == 2
    said = capfd.readouterr().err
    assert "error: rank 0 says no" in said and "rank 1" not in said and "Traceback" not in said


def fails_alone(options):
    if options["local_rank"] == 1:
        raise VQRecError("rank 1 has no GPU")
    time.sleep(60)


def test_an_error_of_another_process_than_the_first_is_told(capfd):
    with pytest.raises(SystemExit) as ended:
        distributed.spawn(fails_alone, {"nproc": 2})
    assert ended.value.code == 2 and "error: rank 1 has no GPU" in capfd.readouterr().err


def test_processes_take_the_gpus_named(simulated_gpu, monkeypatch):
    joined = []
    monkeypatch.setattr(distributed, "join", lambda backend, patience, **place: joined.append(backend))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    launched = {"world_size": 2, "local_rank": 0}
    with simulated_gpu():
        for gpus, visible in (((2, 3), "2,3"), ("3,1", "3,1"), (["0", "2"], "0,2"), ("0", "0,2")):
            assert distributed.start({**launched, "gpu_id": gpus}) == torch.device("cuda", 0)
            assert os.environ["CUDA_VISIBLE_DEVICES"] == visible
    assert joined == ["nccl"] * 4


def test_a_config_file_may_say_how_many_processes(tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr("torch.multiprocessing.spawn", lambda *args, nprocs: started.append(nprocs))
    (tmp_path / "a.yaml").write_text("nproc: 3\nepochs: 2\n")
    distributed.spawn(dict, {}, ["a.yaml"])
    distributed.spawn(dict, {"nproc": 2}, ["a.yaml"])
    assert started == [3, 2] and distributed.spawn(dict, {"nproc": 1}, ["a.yaml"]) == {}
    monkeypatch.setenv("WORLD_SIZE", "4")  # torchrun has started them
    assert distributed.spawn(dict, {}, ["a.yaml"]) == {} and started == [3, 2]
