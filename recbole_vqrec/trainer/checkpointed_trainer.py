"""RecBole's Trainer with plain checkpoints in a folder of the run's own, resume points and exact resumption."""

import time
from pathlib import Path

import numpy as np
from recbole.trainer import Trainer
from recbole.utils import set_color

from recbole_vqrec import compat, distributed
from recbole_vqrec.data.dataset import fingerprint_of, item_ids_of
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.trainer import checkpoint
from recbole_vqrec.trainer.resume import ResumePoints, resume_point
from recbole_vqrec.trainer.run_folder import own_folder
from recbole_vqrec.trainer.steps import Interruption


class CheckpointedTrainer(Trainer):
    """Writes the best epoch to saved/<run>/, notes where training stands, and goes on from there.

    `saved_model_file` is the checkpoint of the best epoch; `valid_scores` are those of the validations
    so far, each after `valid_epochs` epochs; `seconds_before` is how long a resumed run had been trained.

    Args:
        config (Config): RecBole configuration with the options of props/overall.yaml.
        model (SequentialRecommender): the model.
    """

    def __init__(self, config, model):
        folder = own_folder(config)
        with compat.tensorboard_in(folder / "tensorboard" if distributed.is_first() else None):
            super().__init__(config, model)
        self.saved_model_file = str(folder / checkpoint.FILE_NAME)
        self.item_ids, self.valid_scores, self.valid_epochs = None, [], []
        self.seconds_before, self._started = 0.0, None
        self._trained_on = None  # fingerprint of the training interactions
        self._valid_result = None  # of the last validation
        self._epoch, self._step, self._losses = 0, 0, None  # where training stands; sums of the epoch's losses so far
        self._resume_points, self._interruption = None, Interruption()
        self._more_to_come = False  # whether another `fit` follows in the same run

    @property
    def run_folder(self):
        """Folder of this run."""
        return Path(self.saved_model_file).parent

    def fit(self, train_data, *args, saved=True, resumable=None, **kwargs):
        """Train as RecBole's `Trainer.fit` does; see there for the arguments and the result.

        Args:
            resumable (bool, optional): write resume points; as `saved` by default.
        """
        self._started = self._started or time.perf_counter()
        resumed, self.item_ids = self.item_ids, item_ids_of(train_data._dataset)
        if resumed not in (None, self.item_ids):
            raise VQRecError(f"{self.run_folder}: the run to resume was trained on other items; use its data set")
        resumed, self._trained_on = self._trained_on, fingerprint_of(train_data._dataset)
        if resumed not in (None, self._trained_on):
            raise VQRecError(f"{self.run_folder}: the run to resume was trained on other interactions; start a new run")
        resumable = saved if resumable is None else resumable
        if resumable and (self.config["checkpoint_minutes"] or self.config["checkpoint_epochs"]):
            self._resume_points = self._resume_points or ResumePoints(self.run_folder, self.config)
        with Interruption(self._interruption.asked) as self._interruption:  # at the end of the stage before
            result = super().fit(train_data, *args, saved=saved, **kwargs)
        if self._resume_points is not None and not self._more_to_come and distributed.is_first():
            self._resume_points.clear()
        return result

    def _begin(self, epoch):
        """Take note of the epoch that begins, unless it is one that goes on."""
        if epoch != self._epoch:
            self._epoch, self._step, self._losses = epoch, 0, None
            if self._resume_points is not None and self._resume_points.due_before(epoch) and distributed.is_first():
                self._resume_points.write(self, self._progress(epoch))

    def after_step(self, step):
        """Take note of a complete step; write a resume point when it is time or when training is to stop.

        Args:
            step (int): steps of the epoch that are complete.

        Raises:
            KeyboardInterrupt: training was asked to stop; the message says how to go on.
        """
        self._step = step
        stop = distributed.any_of(self._interruption.asked, self.device)
        if self._resume_points is not None and (stop or self._resume_points.due) and distributed.is_first():
            self._resume_points.write(self, self._progress(self._epoch))
        if stop:
            self._interruption.asked = False
            how = f"; go on with --resume={self.run_folder}" if self._resume_points is not None else ""
            raise KeyboardInterrupt(f"stopped after step {step} of epoch {self._epoch}{how}")

    def _progress(self, epoch):
        """Return where training stands and what its loop remembers, as plain values."""
        return {
            "epoch": epoch,
            "step": self._step,
            "losses": self._losses,
            "cur_step": self.cur_step,
            "best_valid_score": float(self.best_valid_score) if np.isfinite(self.best_valid_score) else None,
            "best_valid_result": dict(self.best_valid_result) if self.best_valid_result else None,
            "train_losses": list(self.train_loss_dict.items()),
            "valid_scores": self.valid_scores,
            "valid_epochs": self.valid_epochs,
            "trained_on": self._trained_on,
            "seconds": self.seconds_before + time.perf_counter() - self._started,
        }

    def _save_checkpoint(self, epoch, verbose=True, **kwargs):
        if not distributed.is_first() or (not self.config["single_spec"] and self.config["local_rank"] != 0):
            return
        path = Path(kwargs.pop("saved_model_file", self.saved_model_file))
        if epoch < 0 and path.is_file():  # RecBole's save of a model that is not trained: the best is there
            return
        progress = self._progress(epoch)
        if self._valid_result is not None:  # RecBole saves the best epoch before it notes its result
            progress["best_valid_result"] = self._valid_result
        checkpoint.save(path, self.config, self.model, self.optimizer, self.item_ids, progress)
        if verbose:
            self.logger.info(set_color("Saving current", "blue") + f": {path}")

    def resume_checkpoint(self, resume_file):
        """Continue a run exactly where it stood; call before `fit`.

        Args:
            resume_file (str or Path): run folder, whose newest resume point is taken, or a checkpoint file: the epoch
                after the one it holds comes next.

        Raises:
            VQRecError: as `checkpoint.restore_model`; the run has ended.
        """
        path = resume_point(resume_file)
        tensors, item_ids, manifest = checkpoint.load(path)
        checkpoint.restore_model(path, self.model, self.config["model"], item_ids)
        checkpoint.restore_optimizer(self.optimizer, tensors, manifest)
        progress = manifest["progress"]
        self.saved_model_file, self.item_ids = str(path.parent / checkpoint.FILE_NAME), item_ids
        self._epoch, self._step, self._losses = progress["epoch"], progress["step"], progress["losses"]
        if path.name == checkpoint.FILE_NAME:  # the best epoch is complete
            self._epoch, self._step, self._losses = progress["epoch"] + 1, 0, None
        self.start_epoch = self._epoch
        self.cur_step, self.best_valid_result = progress["cur_step"], progress["best_valid_result"]
        self.train_loss_dict, self._trained_on = dict(progress["train_losses"]), progress.get("trained_on")
        self.valid_scores = list(progress.get("valid_scores", []))  # older checkpoints have none
        self.valid_epochs = list(progress.get("valid_epochs", range(1, len(self.valid_scores) + 1)))
        self.seconds_before = progress.get("seconds", 0.0)
        if progress["best_valid_score"] is not None:
            self.best_valid_score = progress["best_valid_score"]
        self.logger.info(f"Resume training from epoch {self.start_epoch}, step {self._step} ({path})")

    def _load_best(self, model_file, dataset):
        path = distributed.from_first(str(model_file or self.saved_model_file))  # waits until it is written
        checkpoint.restore_model(path, self.model, self.config["model"], item_ids_of(dataset))
        self.logger.info(f"Loading model structure and parameters from {path}")
