"""Which trainer a model and a stage have."""

from recbole.utils import get_trainer

from recbole_vqrec import registry
from recbole_vqrec.trainer.finetune_trainer import FinetuneTrainer
from recbole_vqrec.trainer.pretrain_trainer import PretrainTrainer
from recbole_vqrec.trainer.sequence_trainer import SequenceTrainer


def create_trainer(config, model):
    """Return the trainer of a config's model; RecBole's special trainers get our batches and checkpoints as well.

    Args:
        config (Config): RecBole configuration.
        model (SequentialRecommender): the model.
    """
    if config["stage"] == "pretrain":
        return PretrainTrainer(config, model)
    if config["stage"] == "finetune":
        return FinetuneTrainer(config, model)
    if registry.own(config["model"], config.model_class):
        return registry.load(registry.of(config).trainer)(config, model)
    stock = get_trainer(config["MODEL_TYPE"], config["model"])
    if stock in SequenceTrainer.__mro__:
        return SequenceTrainer(config, model)
    return type(stock.__name__, (SequenceTrainer, stock), {})(config, model)
