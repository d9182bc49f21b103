"""Fine-tuning of a small model on the data set `other`."""

import torch
from recbole.data import data_preparation
from small import SMALL

from recbole_vqrec.config import Config
from recbole_vqrec.data.dataset import create_dataset
from recbole_vqrec.trainer.create import create_trainer
from recbole_vqrec.trainer.transfer import load_pretrained

ITEMS = [f"i{number}" for number in range(12)]
OPTIONS = {**SMALL, "plm": "bert-base-uncased", "permutation_start": "usage", "state": "WARNING"}


def options(**given):
    return {name: value for name, value in {**OPTIONS, **given}.items() if name not in ("hidden_size", "inner_size")}


def prepared(run, dataset="other", **given):
    """Return trainer and loaders of a fine-tuning run, not yet started."""
    config = Config(None, dataset, None, options(stage="finetune", checkpoint=run, **given))
    data = data_preparation(config, create_dataset(config))
    return create_trainer(config, config.model_class(config, data[0]._dataset)), data


def changed(trainer, before):
    return {name for name, value in trainer.model.named_parameters() if not torch.equal(value, before[name])}


def state_after_loading(trainer, train_data):
    load_pretrained(trainer.config, trainer.model, train_data._dataset)
    return {name: value.clone() for name, value in trainer.model.named_parameters()}
