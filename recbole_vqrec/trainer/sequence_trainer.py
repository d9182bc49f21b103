"""RecBole's Trainer with fast batches, processes, plain checkpoints, exact resumption; its loops are its own."""

from pathlib import Path

import numpy as np
import torch
from recbole.trainer import Trainer
from recbole.utils import calculate_valid_score, set_color

from recbole_vqrec import compat, distributed, registry
from recbole_vqrec.data.batches import training_batches
from recbole_vqrec.data.dataset import item_ids_of
from recbole_vqrec.errors import VQRecError, examples, refuse_other
from recbole_vqrec.memory import return_free_memory
from recbole_vqrec.model.all_positions import all_positions_loss
from recbole_vqrec.model.history_scores import encoder_alone
from recbole_vqrec.trainer import checkpoint
from recbole_vqrec.trainer.compiled import compile_feed_forward
from recbole_vqrec.trainer.fused import fused
from recbole_vqrec.trainer.learning_rate import SCHEDULES, set_learning_rate
from recbole_vqrec.trainer.precision import PRECISIONS, denormals_flushed, products_in
from recbole_vqrec.trainer.resume import ResumePoints, resume_point
from recbole_vqrec.trainer.run_folder import own_folder
from recbole_vqrec.trainer.steps import Interruption, Steps


class SequenceTrainer(Trainer):
    """Trains any sequential model, ours or RecBole's, on the fastest batches that leave its loss as it is.

    `saved_model_file` is the checkpoint of the best epoch in a folder of its own, saved/<run>/. `rank_collector`, where
    set, receives the scores of every full-ranking evaluation (see `RankCollector`); `valid_scores` are those of the
    epochs so far.

    Args:
        config (Config): RecBole configuration with the options of props/overall.yaml.
        model (SequentialRecommender): the model.

    Raises:
        VQRecError: an unknown precision or schedule.
    """

    def __init__(self, config, model):
        folder = own_folder(config)
        with compat.tensorboard_in(folder / "tensorboard" if distributed.is_first() else None):
            super().__init__(config, model)
        for option, valid in (("precision", PRECISIONS), ("learning_rate_schedule", SCHEDULES)):
            if config[option] is not None:
                refuse_other(option, config[option], valid)
        if config["compile"]:
            compile_feed_forward(model)
        self.saved_model_file = str(folder / checkpoint.FILE_NAME)
        self.item_ids, self.rank_collector, self.valid_scores = None, None, []
        self._valid_result = None  # of the last validation
        self._batches = None
        self._stage_start = 0  # the first epoch of the stage of training
        self._epoch, self._step, self._losses = 0, 0, None  # where training stands; sums of the epoch's losses so far
        self._resume_points, self._interruption = None, Interruption()
        self._more_to_come = False  # whether another `fit` follows in the same run

    @property
    def run_folder(self):
        """Folder of this run."""
        return Path(self.saved_model_file).parent

    def _build_optimizer(self, **kwargs):
        return fused(super()._build_optimizer(**kwargs))

    def _fast_batches(self, train_data):
        """Return the batches that take the place of RecBole's training loader, made once."""
        if self._batches is None or self._batches[0] is not train_data:
            kind = registry.of(self.config).batches
            if kind == registry.ALL_POSITIONS and self.config["loss_type"] == "BPR":
                kind = registry.TRIMMED_ROWS
            if not self.config["single_spec"]:
                kind = registry.STOCK_ROWS
            self._batches = (train_data, training_batches(self.config, train_data, kind))
        return self._batches[1]

    def _loss_function(self, batches):
        """Return the function that turns a batch into its loss or losses."""
        if (
            getattr(batches, "batches", None) == registry.ALL_POSITIONS
            and not registry.own(self.config["model"], self.config.model_class)
        ):
            return all_positions_loss(self.model)
        return self.model.calculate_loss

    def _train_epoch(self, train_data, epoch_idx, loss_func=None, show_progress=False):
        return_free_memory()  # what validation has left
        batches = self._fast_batches(train_data)
        if epoch_idx != self._epoch:
            self._epoch, self._step, self._losses = epoch_idx, 0, None
            if self._resume_points is not None and self._resume_points.due_before(epoch_idx) and distributed.is_first():
                self._resume_points.write(self, self._progress(epoch_idx))
        steps = Steps(self, batches, epoch_idx, self._step)
        loss = self._recorded(loss_func or self._loss_function(batches), batches)
        super()._train_epoch(steps, epoch_idx, loss_func=loss, show_progress=show_progress)
        return_free_memory()  # before validation
        total = tuple(distributed.summed(self._losses or [0.0], self.device))
        return total if len(total) > 1 else total[0]

    def _recorded(self, loss_function, batches):
        """Return the loss function with precision applied, this process's share taken, and its values summed up."""

        def recorded(interaction):
            self._interaction = interaction
            share = getattr(batches, "share", 1 / distributed.rank_and_size()[1])  # RecBole's loader is not shared out
            with products_in(self.config["precision"], self.device):
                losses = loss_function(interaction) if share else torch.zeros((), device=self.device)
            losses = losses if isinstance(losses, tuple) else (losses,)
            if distributed.rank_and_size()[1] > 1:
                losses = tuple(share * loss for loss in losses)
                losses = (distributed.tied_to_all(losses[0], self.model), *losses[1:])
            values = [loss.item() for loss in losses]
            before = self._losses or [0.0] * len(values)
            self._losses = [total + value for total, value in zip(before, values)]
            return losses if len(losses) > 1 else losses[0]

        return recorded

    def before_step(self, done):
        """Set the learning rate of a step.

        Args:
            done (float): 0 .. 1, the share of the epoch that lies behind.
        """
        share = (self._epoch - self._stage_start + done) / (self.epochs - self._stage_start)
        set_learning_rate(self.optimizer, self.config["learning_rate_schedule"], share)

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
            how = f"; go on with --resume={self.run_folder}" if self._resume_points is not None else ""
            raise KeyboardInterrupt(f"stopped after step {step} of epoch {self._epoch}{how}")

    def _check_nan(self, loss):
        if torch.isnan(loss):
            users = ""
            if self.config["USER_ID_FIELD"] in self._interaction:
                numbers = self._interaction[self.config["USER_ID_FIELD"]].tolist()
                users = f", users {examples([str(number) for number in numbers])} (internal ids)"
            raise VQRecError(
                f"the loss is not a number at step {self._step} of epoch {self._epoch}{users}; lower learning_rate, "
                "set clip_grad_norm: {max_norm: 1.0}, or set precision: float32"
            )

    def fit(self, train_data, *args, saved=True, resumable=None, **kwargs):
        """Train as RecBole's `Trainer.fit` does; see there for the arguments and the result.

        Args:
            resumable (bool, optional): write resume points; as `saved` by default.
        """
        resumed, self.item_ids = self.item_ids, item_ids_of(train_data._dataset)
        if resumed not in (None, self.item_ids):
            raise VQRecError(f"{self.run_folder}: the run to resume was trained on other items; use its data set")
        resumable = saved if resumable is None else resumable
        if resumable and (self.config["checkpoint_minutes"] or self.config["checkpoint_epochs"]):
            self._resume_points = self._resume_points or ResumePoints(self.run_folder, self.config)
        flushed = denormals_flushed(self.config["precision"])
        summed = distributed.summed_gradients(self.model.parameters())
        with Interruption() as self._interruption, flushed, summed:
            result = super().fit(train_data, *args, saved=saved, **kwargs)
        if self._resume_points is not None and not self._more_to_come and distributed.is_first():
            self._resume_points.clear()
        return result

    def _valid_epoch(self, valid_data, show_progress=False):
        # With what histories add, which does not change, the score hardly rises any more while the encoder is still
        # learning, and training would stop too early.
        with encoder_alone(self.model):
            score, result = distributed.from_first(super()._valid_epoch(valid_data, show_progress))
        self.valid_scores.append(float(score))
        self._valid_result = dict(result)
        return score, result

    def best_validation(self, valid_data, best):
        """Return score and result of the best epoch on the validation split, with what histories add.

        Args:
            valid_data (DataLoader or None): its batches.
            best (tuple): what `fit` returned, which is that of the encoder alone.
        """
        if not valid_data or getattr(self.model, "history_scores", None) is None:
            return best
        result = self.evaluate(valid_data)
        return calculate_valid_score(result, self.valid_metric), result

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
        self.train_loss_dict = dict(progress["train_losses"])
        self.valid_scores = list(progress.get("valid_scores", []))  # older checkpoints have none
        if progress["best_valid_score"] is not None:
            self.best_valid_score = progress["best_valid_score"]
        self.logger.info(f"Resume training from epoch {self.start_epoch}, step {self._step} ({path})")

    def _load_best(self, model_file, dataset):
        path = distributed.from_first(str(model_file or self.saved_model_file))  # waits until it is written
        checkpoint.restore_model(path, self.model, self.config["model"], item_ids_of(dataset))
        self.logger.info(f"Loading model structure and parameters from {path}")

    def evaluate(self, eval_data, load_best_model=True, model_file=None, show_progress=False):
        """Evaluate as RecBole's `Trainer.evaluate` does, the best epoch read from a plain checkpoint."""
        if not eval_data:
            return None
        if load_best_model:
            self._load_best(model_file, eval_data._dataset)
        result = super().evaluate(eval_data, load_best_model=False, show_progress=show_progress)
        places = self.config["metric_decimal_place"]
        return {name: round(float(value), places) for name, value in result.items()}  # GAUC is a float32, json has none

    def _full_sort_batch_eval(self, batched_data):
        interaction, scores, rows, items = super()._full_sort_batch_eval(batched_data)
        if self.rank_collector is not None:
            self.rank_collector.add(interaction, scores, rows, items)
        return interaction, scores, rows, items
