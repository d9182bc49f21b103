"""The trainer of models that count and do not learn."""

from recbole_vqrec.trainer.sequence_trainer import SequenceTrainer


class CountingTrainer(SequenceTrainer):
    """One epoch, whatever the options say, as RecBole's trainer of memory-based models has it."""

    def __init__(self, config, model):
        config["epochs"] = 1
        super().__init__(config, model)
