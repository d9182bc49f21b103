"""Contrastive pre-training through RecBole's training loop: batches of mixed domains, Eq. 8, validation per domain."""

from recbole_vqrec.data.sequences import AUTO, tell_windows
from recbole_vqrec.progress import StepBar
from recbole_vqrec.trainer.sequence_trainer import SequenceTrainer


class PretrainTrainer(SequenceTrainer):
    """Pre-trains a model that has a `pretraining_loss`; `fit` takes `DomainBatches` and `DomainValidation`.

    Args:
        config (Config): RecBole configuration with the options of props/pretrain.yaml.
        model (SequentialRecommender): one that has a loss to be pre-trained with.
    """

    def _fast_batches(self, train_data):
        return train_data

    def _loss_function(self, batches):
        return self.model.pretraining_loss

    def fit(self, train_data, *args, **kwargs):
        """Train as `SequenceTrainer.fit` does; says first where long histories share windows."""
        if self.config["window_stride"] == AUTO:
            trained, limit = train_data.sequences, train_data._dataset.max_item_list_len
            tell_windows(trained.length, trained.targets, limit)
        return super().fit(train_data, *args, **kwargs)

    def _train_epoch(self, train_data, epoch_idx, loss_func=None, show_progress=False):
        """Train one epoch; the sum of losses becomes their mean, so that epochs of different length compare."""
        train_data.start(epoch_idx)
        counts = ", ".join(f"{name} {pairs:,}" for name, pairs in train_data.pairs_of_domains().items())
        self.logger.info(f"epoch {epoch_idx}: {len(train_data)} steps, {train_data.tokens():,} tokens; pairs: {counts}")
        done = self._step if epoch_idx == self._epoch else 0
        shown = bool(self.config["show_progress"])
        with StepBar(epoch_idx, len(train_data), done, train_data.tokens(), shown) as self._bar:
            total = super()._train_epoch(train_data, epoch_idx, loss_func, show_progress)
        steps = max(len(train_data), 1)
        return tuple(part / steps for part in total) if isinstance(total, tuple) else total / steps

    def after_step(self, step):
        """Take note of a complete step, see `SequenceTrainer.after_step`; shows progress."""
        self._bar.step_done(step, self._losses)
        super().after_step(step)

    def evaluate(self, eval_data, load_best_model=True, model_file=None, show_progress=False):
        """Return the metrics of each domain and over all, of the best epoch or of the model as it is."""
        if not eval_data:
            return None
        if load_best_model:
            self._load_best(model_file, eval_data._dataset)
        return eval_data.result(self.model)

    def _valid_epoch(self, valid_data, show_progress=False):
        score, result = super()._valid_epoch(valid_data, show_progress)
        for name, value in result.items():
            self.tensorboard.add_scalar(f"Valid/{name.replace(' ', '/')}", value, self._epoch)
        return score, result
