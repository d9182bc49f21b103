"""What happens between two training steps, around RecBole's own loop over batches."""

import signal
import threading
import time

from recbole_vqrec import distributed
from recbole_vqrec.randomness import seed_all, seed_of


class Steps:
    """The batches of an epoch from a step on, for RecBole's training loop; the trainer hears of every step.

    All random numbers of a step, those of its batch included, follow from seed, epoch, step and rank.

    Args:
        trainer (SequenceTrainer): its `before_step` and `after_step` are called around each step.
        batches: a loader of ours or RecBole's TrainDataLoader.
        epoch (int): number of the epoch.
        position (int): steps of the epoch that have been taken before.
    """

    def __init__(self, trainer, batches, epoch, position=0):
        self.trainer, self.batches, self.epoch, self.position = trainer, batches, epoch, position
        self.shuffle = batches.shuffle
        if hasattr(batches, "start"):
            batches.start(epoch)
        elif getattr(batches, "generator", None) is not None:
            batches.generator.manual_seed(seed_of(trainer.config["seed"], epoch))

    def __len__(self):
        return len(self.batches) - self.position

    def __iter__(self):
        seed, rank, number = self.trainer.config["seed"], distributed.rank_and_size()[0], self.position
        if hasattr(self.batches, "from_batch"):
            coming = self.batches.from_batch(number)
        else:
            coming = iter(self.batches)
            for _ in range(number):  # before the random numbers of the first step wanted, for they draw some too
                next(coming)
        while True:
            seed_all(seed, self.epoch, number, rank)
            batch = next(coming, None)
            if batch is None:
                return
            self.trainer.before_step(number / len(self.batches))
            yield batch
            number += 1
            self.trainer.after_step(number)


class Interruption:
    """Ctrl-C and SIGTERM inside the block raise a flag instead of an error; another one later ends at once.

    Outside the main thread signals are left alone.

    Args:
        asked (bool): whether one has come before.

    Attributes:
        asked (bool): whether one has come.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)
    SECONDS = 2  # in which several signals are one: launchers send them to a process and to its children

    def __init__(self, asked=False):
        self.asked, self._before, self._first = asked, {}, time.monotonic()

    def _note(self, number, frame):
        if self.asked and time.monotonic() - self._first > self.SECONDS:
            raise KeyboardInterrupt
        if not self.asked:
            self.asked, self._first = True, time.monotonic()

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in self.SIGNALS}
        return self

    def __exit__(self, *error):
        for number, handler in self._before.items():
            signal.signal(number, handler)
