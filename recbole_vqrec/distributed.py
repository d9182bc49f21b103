"""Several processes that train one model: how they start, who they are, and how gradients are summed.

Processes are started by torchrun (any number of nodes), or by RecBole's options nproc, ip, port, world_size and
group_offset. Batches are shared out by our loaders, so RecBole's own loops see a single process (`single_spec`), and
RecBole's padding of users and averaging of metrics do not take place.
"""

import atexit
import contextlib
import datetime
import os
import re
import sys
import time

import torch
import torch.distributed as dist

from recbole_vqrec.errors import VQRecError

BAD_INPUT = 2  # exit code
OTHERS_WAIT = 5.0  # seconds in which the first process, whose error is mostly the same, ends the others
PATIENCE = datetime.timedelta(hours=2)  # a rank may wait while another writes a checkpoint or evaluates


def rank_and_size():
    """Return this process's number and how many train together; (0, 1) where it is alone."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_available() and dist.is_initialized() else (0, 1)


def is_first():
    """Tell whether this process is the one that writes files and speaks."""
    return rank_and_size()[0] == 0


def gpu_ids(given):
    """Return the option gpu_id, a number, a list or a text, as CUDA_VISIBLE_DEVICES has it: "2,3"."""
    return ",".join(re.findall(r"[^\s,()'\[\]]+", str(given)))


def start(options):
    """Join the other processes if there are any, and return the device of this one.

    Args:
        options (dict): RecBole's launch options local_rank, nproc, world_size, offset, ip, port where they were given;
            else torchrun's environment counts.

    Returns:
        torch.device or None: None where the process is alone.

    Raises:
        VQRecError: fewer GPUs than processes on this machine.
    """
    launched = options.get("local_rank") is not None and int(options.get("world_size") or 1) > 1
    if not launched and int(os.environ.get("WORLD_SIZE", 1)) < 2:
        return None
    local_rank = int(options["local_rank"] if launched else os.environ.get("LOCAL_RANK", 0))
    gpus = gpu_ids(options.get("gpu_id", ""))
    if launched and "," in gpus and not dist.is_initialized():  # RecBole's default names one
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus
    on_gpu = bool(options.get("use_gpu", True)) and torch.cuda.is_available()
    if on_gpu and local_rank >= torch.cuda.device_count():
        raise VQRecError(f"process {local_rank} of this machine has no GPU, there are {torch.cuda.device_count()}")
    if not dist.is_initialized():
        place = {}
        if launched:
            place = {
                "init_method": f"tcp://{options.get('ip') or 'localhost'}:{options.get('port') or 5678}",
                "rank": local_rank + int(options.get("offset") or 0),
                "world_size": int(options["world_size"]),
            }
        join("nccl" if on_gpu else "gloo", PATIENCE, **place)
    if on_gpu:
        torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank) if on_gpu else torch.device("cpu")


def join(backend, patience, **place):
    """Join the other processes, and leave them when this one ends, however it does.

    Args:
        backend (str): "gloo" or "nccl".
        patience (datetime.timedelta): after which a process that waits for another gives up.
        place: what else init_process_group takes; torchrun's environment where there is none.
    """
    # Functions of this module take the group as a default argument when it is imported, which torch.compile does at
    # some point: imported later, they would keep the group and its threads beyond `stop`, and a thread of gloo that
    # lets go of a tensor while the interpreter ends aborts the process (seen with torch 2.13).
    import torch.distributed.nn  # noqa: F401

    dist.init_process_group(backend, timeout=patience, **place)
    atexit.register(stop)


def spawn(function, options, config_files=None):
    """Call a function of options in as many processes as RecBole's options nproc and world_size ask for.

    Args:
        function (callable): at the top level of a module; takes the options.
        options (dict): RecBole's nproc (processes on this machine), world_size, ip, port and group_offset among them.
        config_files (list of str, optional): yaml files that may state these as well.

    Returns:
        the function's result where this process is the only one, else None.
    """
    from recbole_vqrec.config import read_config_files

    names = ("nproc", "world_size", "ip", "port", "group_offset")
    stated = {} if int(os.environ.get("WORLD_SIZE", 1)) > 1 else read_config_files(config_files)  # torchrun's count
    launch = {name: options.pop(name, stated.get(name)) for name in names}
    for name in ("nproc", "world_size", "group_offset"):
        if launch[name] is not None and not str(launch[name]).lstrip("-").isdigit():
            raise VQRecError(f"{name}: {launch[name]!r}, expected a whole number")
    count = int(launch["nproc"] or 1)
    world_size = int(launch["world_size"] or -1)
    world_size = world_size if world_size > 0 else count
    if world_size == 1:
        return function(options)
    place = {"world_size": world_size, "nproc": count, "ip": launch["ip"], "port": launch["port"]}
    place["offset"] = int(launch["group_offset"] or 0)
    try:
        torch.multiprocessing.spawn(_spawned, (function, {**options, **place}), nprocs=count)
    except torch.multiprocessing.ProcessExitedException as error:
        if error.exit_code != BAD_INPUT:
            raise
        sys.exit(BAD_INPUT)
    return None


def _spawned(local_rank, function, options):
    try:
        function({**options, "local_rank": local_rank})
    except VQRecError as error:
        if local_rank:
            time.sleep(OTHERS_WAIT)  # where the first process says the same, it ends all others meanwhile
        print(f"error: {error}", file=sys.stderr, flush=True)
        sys.exit(BAD_INPUT)


def stop():
    """Leave the other processes; nothing where there are none."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def from_first(value):
    """Return the first process's value in every process; also waits for it.

    Args:
        value: plain value; only the first process's counts.
    """
    if rank_and_size()[1] == 1:
        return value
    shared = [value]
    dist.broadcast_object_list(shared, src=0)
    return shared[0]


def any_of(flag, device):
    """Tell every process whether any has raised its flag."""
    if rank_and_size()[1] == 1:
        return flag
    raised = torch.tensor([float(flag)], device=device)
    dist.all_reduce(raised, op=dist.ReduceOp.MAX)
    return bool(raised.item())


def summed(values, device):
    """Return the sum over all processes of a list of numbers."""
    if rank_and_size()[1] == 1:
        return list(values)
    total = torch.tensor(list(values), dtype=torch.float64, device=device)
    dist.all_reduce(total)
    return total.tolist()


@contextlib.contextmanager
def summed_gradients(parameters):
    """Sum gradients over all processes at the end of each backward pass, inside the block.

    Each process's loss is its part of the batch's loss, so the sums are the gradients of one process with the whole
    batch. They are summed together once the last one is complete: processes complete them in different orders. Each
    parameter has to get a gradient in every process; `tied_to_all` sees to it.

    Args:
        parameters (iterable of nn.Parameter): those with requires_grad train.
    """
    parameters = [parameter for parameter in parameters if parameter.requires_grad]
    complete = 0

    def note(parameter):
        nonlocal complete
        complete += 1
        if complete == len(parameters):
            complete = 0
            together = torch.cat([parameter.grad.flatten() for parameter in parameters])
            dist.all_reduce(together)
            for parameter, total in zip(parameters, together.split([parameter.numel() for parameter in parameters])):
                parameter.grad.copy_(total.view_as(parameter))

    hooks = []
    if rank_and_size()[1] > 1:
        hooks = [parameter.register_post_accumulate_grad_hook(note) for parameter in parameters]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def tied_to_all(loss, model):
    """Return the loss with every trained parameter in its graph, so that every process forms every gradient."""
    return loss + sum((parameter.sum() * 0 for parameter in model.parameters() if parameter.requires_grad), 0.0)
