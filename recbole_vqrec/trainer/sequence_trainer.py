"""RecBole's Trainer with fast batches and plain checkpoints; its training and evaluation loops are RecBole's own."""

import os
from pathlib import Path

import numpy as np
from recbole.trainer import Trainer
from recbole.utils import get_local_time, get_trainer, set_color

from recbole_vqrec import registry
from recbole_vqrec.data.batches import training_batches
from recbole_vqrec.model.all_positions import all_positions_loss
from recbole_vqrec.trainer import checkpoint


class SequenceTrainer(Trainer):
    """Trains any sequential model, ours or RecBole's, on the fastest batches that leave its loss as it is.

    `saved_model_file` is the checkpoint in a folder of its own, saved/<run>/. `rank_collector`, where set, receives the
    scores of every full-ranking evaluation (see `RankCollector`).

    Args:
        config (Config): RecBole configuration with the options of props/overall.yaml.
        model (SequentialRecommender): the model.
    """

    def __init__(self, config, model):
        super().__init__(config, model)
        self.saved_model_file = str(new_run_folder(config) / checkpoint.FILE_NAME)
        self.rank_collector = None
        self._batches = None
        self._item_ids = None

    @property
    def run_folder(self):
        """Folder of this run."""
        return Path(self.saved_model_file).parent

    def _fast_batches(self, train_data):
        """Return the batches that take the place of RecBole's training loader, made once."""
        if self._batches is None or self._batches[0] is not train_data:
            kind = registry.known(self.config["model"]).batches
            if kind == registry.ALL_POSITIONS and self.config["loss_type"] == "BPR":
                kind = registry.TRIMMED_ROWS
            if not self.config["single_spec"]:
                kind = registry.STOCK_ROWS
            self._batches = (train_data, training_batches(self.config, train_data, kind))
        return self._batches[1]

    def _train_epoch(self, train_data, epoch_idx, loss_func=None, show_progress=False):
        batches = self._fast_batches(train_data)
        if loss_func is None and getattr(batches, "batches", None) == registry.ALL_POSITIONS:
            if self.config["model"] not in registry.OWN_MODELS:
                loss_func = all_positions_loss(self.model)
        return super()._train_epoch(batches, epoch_idx, loss_func=loss_func, show_progress=show_progress)

    def fit(self, train_data, *args, **kwargs):
        """Train as RecBole's `Trainer.fit` does; see there for the arguments and the result."""
        self._item_ids = item_ids_of(train_data._dataset)
        return super().fit(train_data, *args, **kwargs)

    def _save_checkpoint(self, epoch, verbose=True, **kwargs):
        if not self.config["single_spec"] and self.config["local_rank"] != 0:
            return
        path = Path(kwargs.pop("saved_model_file", self.saved_model_file))
        progress = {
            "epoch": epoch,
            "cur_step": self.cur_step,
            "best_valid_score": float(self.best_valid_score) if np.isfinite(self.best_valid_score) else None,
        }
        checkpoint.save(path, self.config, self.model, self.optimizer, self._item_ids, progress)
        if verbose:
            self.logger.info(set_color("Saving current", "blue") + f": {path}")

    def resume_checkpoint(self, resume_file):
        """Continue from a run folder or checkpoint of the same model and items; call before `fit`.

        Args:
            resume_file (str or Path): run folder or checkpoint.

        Raises:
            VQRecError: as `checkpoint.restore_model`.
        """
        path = checkpoint.checkpoint_file(resume_file)
        tensors, item_ids, manifest = checkpoint.load(path)
        checkpoint.restore_model(path, self.model, self.config["model"], item_ids)
        checkpoint.restore_optimizer(self.optimizer, tensors, manifest)
        self.saved_model_file = str(path)
        self.start_epoch = manifest["progress"]["epoch"] + 1
        self.cur_step = manifest["progress"]["cur_step"]
        if manifest["progress"]["best_valid_score"] is not None:
            self.best_valid_score = manifest["progress"]["best_valid_score"]
        self.logger.info(f"Checkpoint loaded. Resume training from epoch {self.start_epoch}")

    def evaluate(self, eval_data, load_best_model=True, model_file=None, show_progress=False):
        """Evaluate as RecBole's `Trainer.evaluate` does, the best epoch read from a plain checkpoint."""
        if not eval_data:
            return None
        if load_best_model:
            path = model_file or self.saved_model_file
            checkpoint.restore_model(path, self.model, self.config["model"], item_ids_of(eval_data._dataset))
            self.logger.info(f"Loading model structure and parameters from {path}")
        return super().evaluate(eval_data, load_best_model=False, show_progress=show_progress)

    def _full_sort_batch_eval(self, batched_data):
        interaction, scores, rows, items = super()._full_sort_batch_eval(batched_data)
        if self.rank_collector is not None:
            self.rank_collector.add(interaction, scores, rows, items)
        return interaction, scores, rows, items


def item_ids_of(dataset):
    """Return the external ids of a RecBole data set's items, the padding item left out."""
    return [str(token) for token in dataset.field2id_token[dataset.iid_field][1:]]


def new_run_folder(config):
    """Make and return a new folder checkpoint_dir/<model>-<dataset>-<time>."""
    stem = Path(config["checkpoint_dir"]) / f"{config['model']}-{config['dataset']}-{get_local_time()}"
    for suffix in ["", *(f"-{number}" for number in range(2, 1000))]:
        folder = Path(f"{stem}{suffix}")
        try:
            os.makedirs(folder)
            return folder
        except FileExistsError:
            continue
    raise FileExistsError(f"{stem}-*: too many runs in one second")


def create_trainer(config, model):
    """Return the trainer of a config's model; RecBole's special trainers get our batches and checkpoints as well.

    Args:
        config (Config): RecBole configuration.
        model (SequentialRecommender): the model.
    """
    if config["stage"] == "finetune":
        from recbole_vqrec.trainer.finetune_trainer import FinetuneTrainer

        return FinetuneTrainer(config, model)
    stock = get_trainer(config["MODEL_TYPE"], config["model"])
    if stock in SequenceTrainer.__mro__:
        return SequenceTrainer(config, model)
    if issubclass(stock, SequenceTrainer):
        return stock(config, model)
    return type(stock.__name__, (SequenceTrainer, stock), {})(config, model)
