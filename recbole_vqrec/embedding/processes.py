"""Several processes of one command, started by torchrun: who am I, and wait for the others."""

import datetime
import os

import torch
import torch.distributed as dist

from recbole_vqrec import distributed

PATIENCE = datetime.timedelta(days=2)  # a rank with longer texts may work for hours after the others are done


def rank_and_size():
    """Return this process's number and how many there are; (0, 1) without torchrun."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def own_device():
    """Return the GPU that belongs to this process where there are GPUs, else the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)) % torch.cuda.device_count())


def wait_for_all():
    """Return when every process has come here; at once where there is only one."""
    if rank_and_size()[1] > 1:
        if not dist.is_initialized():
            distributed.join("gloo", PATIENCE)
        dist.barrier()
