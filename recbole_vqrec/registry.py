"""The one table of models: for each name its class, its data set, its trainer and the batches it can learn from."""

import importlib
import sys
from dataclasses import dataclass

from recbole_vqrec.errors import VQRecError, nearest

OWN_TRAINER = "recbole_vqrec.trainer.sequence_trainer:SequenceTrainer"
SEQUENCE_DATASET = "recbole_vqrec.data.dataset:SequenceDataset"
CODES_DATASET = "recbole_vqrec.data.item_datasets:ItemCodesDataset"
TEXT_DATASET = "recbole_vqrec.data.item_datasets:ItemTextDataset"
ATTRIBUTES_DATASET = "recbole_vqrec.data.item_datasets:ItemAttributesDataset"

ALL_POSITIONS, WINDOWS, TRIMMED_ROWS, STOCK_ROWS = "all_positions", "windows", "trimmed_rows", "stock_rows"


@dataclass(frozen=True)
class ModelEntry:
    """How one model is run.

    Args:
        model (str): "module:Class".
        batches (str): the fastest training batches that leave the model's loss as it is:
            "all_positions" (a causal model: one row a sequence, a loss at every position),
            "windows" (a model that hides items itself: one row for each stretch of a user's sequence),
            "trimmed_rows" (one row for each prefix, cut to the longest of its batch),
            "stock_rows" (one row for each prefix, padded to the limit).
        dataset (str): "module:Class".
        trainer (str): "module:Class".
        takes_new_items (bool): whether an item that was not in training needs only its text.
        pretrains_itself (bool): whether each run begins with a pre-training on its own data set, which is no stage.
    """

    model: str
    batches: str = TRIMMED_ROWS
    dataset: str = SEQUENCE_DATASET
    trainer: str = OWN_TRAINER
    takes_new_items: bool = False
    pretrains_itself: bool = False

    @property
    def reads_texts(self):
        """Whether the model reads texts of items, or codes of them."""
        return self.dataset in (TEXT_DATASET, CODES_DATASET)


OWN_MODELS = {
    "VQRec": ModelEntry("recbole_vqrec.model.vqrec:VQRec", ALL_POSITIONS, CODES_DATASET, takes_new_items=True),
    "SASRecText": ModelEntry(
        "recbole_vqrec.model.sasrectext:SASRecText", ALL_POSITIONS, TEXT_DATASET, takes_new_items=True
    ),
    "ZESRec": ModelEntry("recbole_vqrec.model.zesrec:ZESRec", ALL_POSITIONS, TEXT_DATASET, takes_new_items=True),
    "UniSRec": ModelEntry("recbole_vqrec.model.unisrec:UniSRec", ALL_POSITIONS, TEXT_DATASET, takes_new_items=True),
    "FDSA": ModelEntry("recbole_vqrec.model.fdsa:FDSA", ALL_POSITIONS, TEXT_DATASET),
    "S3Rec": ModelEntry(
        "recbole_vqrec.model.s3rec:S3Rec",
        ALL_POSITIONS,
        ATTRIBUTES_DATASET,
        "recbole_vqrec.trainer.two_stage_trainer:TwoStageTrainer",
        pretrains_itself=True,
    ),
    "RecGURU": ModelEntry("recbole_vqrec.model.recguru:RecGURU", ALL_POSITIONS),
    "ItemCoOccurrence": ModelEntry(
        "recbole_vqrec.model.itemcooccurrence:ItemCoOccurrence",
        ALL_POSITIONS,
        trainer="recbole_vqrec.trainer.counting_trainer:CountingTrainer",
    ),
}

# RecBole models whose result is known not to depend on padding (tests/test_parity.py); all others get stock rows.
RECBOLE_MODELS = {
    name: ModelEntry(f"recbole.model.sequential_recommender.{name.lower()}:{name}", batches)
    for name, batches in {
        "SASRec": ALL_POSITIONS,
        "GRU4Rec": ALL_POSITIONS,
        "BERT4Rec": WINDOWS,
        "CORE": TRIMMED_ROWS,
        "NARM": TRIMMED_ROWS,
        "STAMP": TRIMMED_ROWS,
        "SRGNN": TRIMMED_ROWS,
        "GCSAN": TRIMMED_ROWS,
    }.items()
}


def known(name):
    """Return the table's entry of a model name; a model that is not in the table gets stock rows and our data set."""
    return OWN_MODELS.get(name) or RECBOLE_MODELS.get(name) or ModelEntry("", STOCK_ROWS)


def own(name, model_class):
    """Tell whether a model is ours, and not another class of the same name, such as RecBole's FDSA and S3Rec."""
    return name in OWN_MODELS and load(OWN_MODELS[name].model) is model_class


def bears_our_name(name, model_class):
    """Tell whether a model is such another class."""
    return name in OWN_MODELS and not own(name, model_class)


def of(config):
    """Return the table's entry of a config's model, as `known`; a class that bears one of our names is not in it."""
    return known(None if bears_our_name(config["model"], config.model_class) else config["model"])


def refuse_without_pretraining(name, model_class, purpose=""):
    """Raise `VQRecError` unless a model has a loss to be pre-trained with, and that as a stage of its own.

    Args:
        name (str): of the model.
        model_class (type): of the model.
        purpose (str): what it was to be done for, for the message.
    """
    if not hasattr(model_class, "pretraining_loss"):
        raise VQRecError(f"{name} has no pre-training{purpose}; VQRec has")
    model = model_class.__name__
    if own(model, model_class) and known(model).pretrains_itself:
        raise VQRecError(
            f"{name} has no stage of pre-training{purpose}; 'recbole-vqrec run --model={model}' does its pre-training, "
            "on its own data set"
        )


def entry(name):
    """Return the `ModelEntry` of a model name, ours first, any RecBole sequential model next.

    Raises:
        VQRecError: no such model; names the nearest.
    """
    if known(name).model:
        return known(name)
    module = f"recbole.model.sequential_recommender.{str(name).lower()}"
    if str(name).isidentifier() and importlib.util.find_spec(module) and hasattr(importlib.import_module(module), name):
        return ModelEntry(f"{module}:{name}", STOCK_ROWS)
    raise VQRecError(f"unknown model '{name}'{nearest(name, model_names())}")


def model_names():
    """Return the names of all models that can be run: ours and RecBole's sequential ones."""
    import pkgutil

    import recbole.model.sequential_recommender as package
    from recbole.model.abstract_recommender import SequentialRecommender

    names = set(OWN_MODELS) | set(RECBOLE_MODELS)
    for module in pkgutil.iter_modules(package.__path__):
        loaded = sys.modules.get(f"{package.__name__}.{module.name}")
        if loaded is None:
            try:
                loaded = importlib.import_module(f"{package.__name__}.{module.name}")
            except ImportError:  # some models need packages of their own
                continue
        names |= {
            name
            for name, value in vars(loaded).items()
            if isinstance(value, type) and issubclass(value, SequentialRecommender) and name.lower() == module.name
        }
    return sorted(names)


def load(reference):
    """Return the object that "module:Name" points at."""
    module, name = reference.split(":")
    return getattr(importlib.import_module(module), name)


def register():
    """Make stock RecBole find our models, their data sets and trainers by name.

    Nothing of RecBole is replaced: `get_model` looks for the module recbole.model.sequential_recommender.<name>,
    `create_dataset` for recbole.data.dataset.<Model>Dataset, `get_trainer` for recbole.trainer.<Model>Trainer, and
    these three places are filled. Safe to call again; call it in every process.
    """
    from recbole_vqrec import compat

    compat.apply()
    import recbole.data.dataset
    import recbole.trainer

    for name, model in OWN_MODELS.items():
        module = importlib.import_module(model.model.split(":")[0])
        sys.modules[f"recbole.model.sequential_recommender.{name.lower()}"] = module
        setattr(recbole.data.dataset, f"{name}Dataset", load(model.dataset))
        setattr(recbole.trainer, f"{name}Trainer", load(model.trainer))
