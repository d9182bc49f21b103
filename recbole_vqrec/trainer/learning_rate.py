"""The learning rate as a function of where training stands, so that nothing of it has to be remembered."""

import math

SCHEDULES = ("constant", "cosine")


def set_learning_rate(optimizer, schedule, done):
    """Set the learning rate of each parameter group from the one it began with.

    Args:
        optimizer (torch.optim.Optimizer): a group's first rate is kept as its `initial_lr`, in checkpoints too.
        schedule (str or None): constant, or cosine: rate * (1 + cos(pi done)) / 2.
        done (float): 0 .. 1, the share of the stage's steps that lies behind.
    """
    if schedule != "cosine":
        return
    for group in optimizer.param_groups:
        group["lr"] = group.setdefault("initial_lr", group["lr"]) * (1 + math.cos(math.pi * done)) / 2
