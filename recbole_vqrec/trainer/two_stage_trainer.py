"""A model that is pre-trained on its own data set before it learns the next item (S3-Rec)."""

from recbole_vqrec.trainer.sequence_trainer import SequenceTrainer

PRETRAINED = "pretrained.safetensors"


class TwoStageTrainer(SequenceTrainer):
    """Epochs of `model.pretraining_loss` without validation, a checkpoint, then training as usual, epochs counted on.

    Args:
        config (Config): pretrain_epochs; 0 leaves the first stage out.
        model (SequentialRecommender): with `pretraining_loss(interaction)`.
    """

    def __init__(self, config, model):
        self.pretraining = False
        super().__init__(config, model)

    def _loss_function(self, batches):
        return self.model.pretraining_loss if self.pretraining else super()._loss_function(batches)

    def fit(self, train_data, *args, saved=True, **kwargs):
        """Pre-train, then train as `SequenceTrainer.fit`; see there for arguments and result."""
        epochs = self.config["pretrain_epochs"]
        if self.start_epoch < epochs:
            self.pretraining, self.epochs, self._more_to_come = True, epochs, True
            super().fit(train_data, None, saved=False, resumable=saved)
            self.pretraining, self.start_epoch, self._more_to_come = False, epochs, False
            if saved:
                self._save_checkpoint(epochs - 1, saved_model_file=self.run_folder / PRETRAINED)
            self.optimizer = self._build_optimizer()
        self._stage_start, self.epochs = epochs, epochs + self.config["epochs"]
        return super().fit(train_data, *args, saved=saved, **kwargs)
