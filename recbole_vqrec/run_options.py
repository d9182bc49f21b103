"""The options of a run: of a new one, or of one that goes on; contradictions are refused before data are read."""

from logging import getLogger

from recbole_vqrec import registry
from recbole_vqrec.config import Config, external_options, read_config_files
from recbole_vqrec.data.text_options import refuse_other_text_options
from recbole_vqrec.defaults import options_of_models, own_defaults
from recbole_vqrec.errors import VQRecError, examples
from recbole_vqrec.trainer import checkpoint
from recbole_vqrec.trainer.resume import resume_point

OF_OPTIMIZER = ("learner", "learning_rate", "weight_decay")  # its state is in the checkpoint
OF_BATCHES = (  # what the steps of an epoch follow from
    "seed", "train_batch_size", "max_tokens", "window_stride", "training_batches", "domain_sampling", "validate",
)  # fmt: skip
OF_FINETUNING = ("checkpoint", "preset", "finetune_stages")  # what a run without its stage would be mistaken for


def run_options(model, dataset, config_file_list, config_dict):
    """Return the Config of a new run, or of one to resume: its own options, the given ones over them.

    Args:
        model, dataset, config_file_list, config_dict: as `quick_start.run`.

    Raises:
        VQRecError: options of another stage, that contradict the files, or that a resumed run cannot change.
    """
    given = dict(config_dict or {})
    resumed = given.get("resume") or read_config_files(config_file_list).get("resume")
    if not resumed:
        config = Config(model, dataset, config_file_list, given)
        _refuse_options_of_finetuning(config)
        refuse_other_text_options(config)
        if config["stage"] != "train":
            purpose = " to be fine-tuned after" if config["stage"] == "finetune" else ""
            registry.refuse_without_pretraining(config["model"], config.model_class, purpose)
        return config
    point = resume_point(resumed)
    manifest = checkpoint.read_manifest(point)
    if isinstance(model, type):  # it may have options of its own
        given = {**read_config_files(config_file_list), **given}
    else:
        given = external_options(config_file_list, given)
    wanted = {"model": getattr(model, "__name__", model), "dataset": dataset, "stage": given.get("stage")}
    for what, asked in wanted.items():
        if asked not in (None, manifest[what]):
            raise VQRecError(f"{resumed}: a run of {what} {manifest[what]}, asked for is {asked}")
    own = manifest["config"]
    changed = [name for name in OF_OPTIMIZER if name in given and given[name] != own.get(name)]
    if changed:
        raise VQRecError(
            f"{examples(changed)}: of the optimizer, which a resumed run goes on with as it was; leave the option out, "
            "or start a new run"
        )
    if manifest["progress"]["step"] and point.name != checkpoint.FILE_NAME:  # that one is of a whole epoch
        changed = [name for name in OF_BATCHES if name in given and given[name] != own.get(name)]
        if changed:
            raise VQRecError(
                f"{examples(changed)}: what the epoch that was interrupted is divided by; leave the option out, or "
                "start a new run"
            )
    options = {**own, **given}
    return Config(model if isinstance(model, type) else manifest["model"], manifest["dataset"], None, options)


def _refuse_options_of_finetuning(config):
    """Refuse what only fine-tuning reads: a model from scratch would be taken for a fine-tuned one."""
    wrong = [name for name in OF_FINETUNING if config.external_config_dict.get(name) is not None]
    if config["stage"] != "finetune" and wrong:
        raise VQRecError(f"{examples(wrong)}: of stage finetune, this is {config['stage']}; say --stage=finetune")


def tell_what_is_not_read(config):
    """Log options that were given, in a file that serves all runs for example, and that another would read."""
    model = config["model"]
    read = own_defaults(model, stage=config["stage"])
    others = [name for name in config.external_config_dict if name not in read and not _of_model(name, config)]
    for stage in ("finetune", "pretrain"):
        of_stage = own_defaults(model, stage=stage)
        given = [name for name in others if name in of_stage]
        if given:
            getLogger().warning(f"not read, of stage {stage}: {examples(given, 8)}")
        others = [name for name in others if name not in of_stage]
    given = [name for name in others if name in options_of_models()]
    if given and config.model_class.__module__.startswith(("recbole.", "recbole_vqrec.")):  # others may read any
        getLogger().warning(f"not read by {model}: {examples(given, 8)}")


def _of_model(name, config):
    """Tell whether RecBole's defaults of the model, or its own, have an option."""
    return name in config.internal_config_dict


def with_stage(options, stage):
    """Return options with a stage; refuse another one in them.

    Args:
        options (dict or None): given.
        stage (str): "pretrain" or "finetune".
    """
    if (options or {}).get("stage") not in (None, stage):
        raise VQRecError(f"stage: {options['stage']}, asked for is {stage}; leave it out")
    return {**(options or {}), "stage": stage}
