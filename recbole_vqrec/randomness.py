"""Random numbers as a function of where training stands, so that none of their state has to be saved."""

import random

import numpy as np
import torch

LIMIT = 2**63


def seed_of(*numbers):
    """Return a 63-bit seed made of numbers, different for (1, 23) and (12, 3).

    Args:
        *numbers (int): seed of the run, epoch, step, rank ...
    """
    return int(np.random.SeedSequence([number % LIMIT for number in numbers]).generate_state(1, np.uint64)[0] % LIMIT)


def seed_all(*numbers):
    """Seed torch (all devices), numpy and Python from numbers; see `seed_of`."""
    seed = seed_of(*numbers)
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)
