"""Where a run stands in the middle of training, as files to go on from: saved/<run>/resume-<epoch>-<step>.safetensors.

They are checkpoints like the best one (`checkpoint.py`), with the optimizer and everything the training loop remembers.
Random numbers are a function of seed, epoch and step (`randomness.py`), so none of their state is stored.
"""

import time
from pathlib import Path

from recbole_vqrec.errors import VQRecError
from recbole_vqrec.trainer import checkpoint

PATTERN = "resume-*.safetensors"


class ResumePoints:
    """Writes resume points of a run, the newest few of which are kept.

    Args:
        folder (Path): the run's folder.
        config (Config): checkpoint_minutes, checkpoint_epochs and keep_last.
    """

    def __init__(self, folder, config):
        self.folder, self.keep_last = Path(folder), config["keep_last"]
        self.minutes, self.epochs = config["checkpoint_minutes"], config["checkpoint_epochs"]
        self._written = time.monotonic()

    @property
    def due(self):
        """Whether the time for the next one has come."""
        return bool(self.minutes) and time.monotonic() - self._written >= 60 * self.minutes

    def due_before(self, epoch):
        """Tell whether one is to be written at the start of an epoch."""
        return self.due or bool(self.epochs) and epoch % self.epochs == 0

    def write(self, trainer, progress):
        """Write a resume point; drop the oldest, and later ones: the run went on from an earlier point.

        Args:
            trainer (SequenceTrainer): its model, optimizer and item ids are stored.
            progress (dict): epoch, step, and what else the training loop remembers, as plain values.

        Returns:
            Path: the file.
        """
        path = self.folder / f"resume-{progress['epoch']:05d}-{progress['step']:07d}.safetensors"
        checkpoint.save(path, trainer.config, trainer.model, trainer.optimizer, trainer.item_ids, progress)
        self._written = time.monotonic()
        points = newest_first(self.folder)
        place = points.index(path)
        for point in [*points[:place], *points[place + self.keep_last :]]:
            point.unlink(missing_ok=True)
        return path

    def clear(self):
        """Drop all: training has ended."""
        for file in newest_first(self.folder):
            file.unlink(missing_ok=True)


def newest_first(folder):
    """Return the resume points of a run, the latest epoch and step first."""
    return sorted(Path(folder).glob(PATTERN), reverse=True)


def resume_point(run):
    """Return the file to go on from: the newest resume point that can be read, or the checkpoint given.

    Args:
        run (str or Path): run folder, or a checkpoint file.

    Raises:
        VQRecError: the run has ended, or there is nothing to go on from.
    """
    run = Path(run)
    if run.suffix == ".safetensors":
        return run
    points = newest_first(run)
    for point in points:
        try:
            checkpoint.load(point)
            return point
        except VQRecError:  # a disk may damage the newest; the one before is as good
            continue
    if points:
        checkpoint.load(points[0])
    if (run / "result.json").is_file():
        raise VQRecError(f"{run}: this run has ended, there is nothing to resume; its result is {run / 'result.json'}")
    return checkpoint.checkpoint_file(run)
