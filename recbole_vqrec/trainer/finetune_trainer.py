"""Fine-tuning in stages through RecBole's training loop, which runs once for each stage."""

from recbole_vqrec.trainer import checkpoint
from recbole_vqrec.trainer.resume import resume_point
from recbole_vqrec.trainer.sequence_trainer import SequenceTrainer
from recbole_vqrec.trainer.stages import stages_of
from recbole_vqrec.trainer.transfer import load_pretrained


class FinetuneTrainer(SequenceTrainer):
    """Trains a model that starts from a checkpoint, stage after stage; the best epoch of all stages is kept.

    A stage goes on from where the one before it ended; a permutation is fixed when the stage that learned it ends.

    Args:
        config (Config): RecBole configuration with the options of props/finetune.yaml.
        model (VQRec): the model of the new domain.

    Raises:
        VQRecError: as `stages_of`.
    """

    def __init__(self, config, model):
        self.stages = stages_of(config, model)
        self.stage, self._stage_number, self._resumed = None, 0, False
        super().__init__(config, model)
        self._permutation = getattr(model.items, "permutation", None)

    def _build_optimizer(self, **kwargs):
        if self.stage is None:
            return super()._build_optimizer(**kwargs)
        groups = {}
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(name in self.stage.rates)
            if parameter.requires_grad:
                groups.setdefault(self.stage.rates[name], []).append(parameter)
        return super()._build_optimizer(
            params=[{"params": each, "lr": rate} for rate, each in groups.items()], **kwargs
        )

    def fit(self, train_data, valid_data=None, *args, **kwargs):
        """Load what was pre-trained, then train stage by stage; see RecBole's `Trainer.fit` for the arguments."""
        if not self._resumed:
            for line in load_pretrained(self.config, self.model, train_data._dataset):
                self.logger.info(line)
        for number, stage in enumerate(self.stages, start=1):
            self.logger.info(f"stage {number} of {len(self.stages)}, {stage}")
        if not self.stages:
            return self._score_untrained(train_data, valid_data, *args, **kwargs)
        for number in range(self._stage_number, len(self.stages)):
            if not self._resumed:
                self._enter(number, start=len(self.train_loss_dict))
                self.start_epoch, self.cur_step = self._stage_start, 0
            self._resumed = False
            self.epochs = self._stage_start + self.stage.epochs
            self._more_to_come = number + 1 < len(self.stages)
            result = super().fit(train_data, valid_data, *args, **kwargs)
        return result

    def _enter(self, number, start):
        """Let the parameters of a stage train, those of its number, from epoch `start` on."""
        self._stage_number, self._stage_start, self.stage = number, start, self.stages[number]
        self._fix_permutation_unless_it_trains()
        self.model.zero_grad(set_to_none=True)  # what is frozen now would count in clip_grad_norm
        self.optimizer = self._build_optimizer()

    def _progress(self, epoch):
        return {**super()._progress(epoch), "stage_number": self._stage_number, "stage_start": self._stage_start}

    def resume_checkpoint(self, resume_file):
        """Continue a run in the stage where it stood; see `SequenceTrainer.resume_checkpoint`."""
        progress = checkpoint.read_manifest(resume_point(resume_file))["progress"]
        if self.stages:
            self._enter(progress["stage_number"], progress["stage_start"])
        super().resume_checkpoint(resume_file)
        self._resumed = True

    def _score_untrained(self, train_data, valid_data, *args, **kwargs):
        """Save and score the model as it came from the checkpoint."""
        self._fix_permutation_unless_it_trains()
        self.epochs = self.start_epoch
        super().fit(train_data, None, *args, **kwargs)  # no epoch; saves
        if valid_data:
            self.best_valid_score, self.best_valid_result = self._valid_epoch(valid_data)
        return self.best_valid_score, self.best_valid_result

    def _fix_permutation_unless_it_trains(self):
        if self._permutation is not None:
            if self.stage is None or not any(name.startswith("items.permutation.") for name in self.stage.rates):
                self._permutation.fix()

    def _train_epoch(self, train_data, epoch_idx, *args, **kwargs):
        if self._permutation is not None and hasattr(self._permutation, "temperature"):
            first, last = self.config["permutation_temperature"]
            done = (epoch_idx - self._stage_start) / max(self.stage.epochs - 1, 1)
            self._permutation.temperature.fill_(first * (last / first) ** min(done, 1.0))
        return super()._train_epoch(train_data, epoch_idx, *args, **kwargs)
