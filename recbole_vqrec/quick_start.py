"""A run in numbered steps: options -> data set -> batches -> model -> trainer -> evaluation -> result."""

import math
import time
from logging import getLogger
from pathlib import Path

from recbole.data import data_preparation
from recbole.utils import init_seed

from recbole_vqrec import distributed, registry
from recbole_vqrec.comparison.tuning import stated_options
from recbole_vqrec.config import Config, external_options, read_config_files, stage_options
from recbole_vqrec.data.dataset import create_dataset, item_ids_of, statistics_of
from recbole_vqrec.data.domain_batches import DomainBatches
from recbole_vqrec.evaluation.user_ranks import RankCollector
from recbole_vqrec.inference.catalogue_files import refuse_changed_items, write_catalogue
from recbole_vqrec.inference.from_dataset import catalogue_of
from recbole_vqrec.model.create import create_model
from recbole_vqrec.preprocess.merge import merge_datasets
from recbole_vqrec.progress import EpochBar
from recbole_vqrec.report import run_table
from recbole_vqrec.run_log import PeakMemory, start_log
from recbole_vqrec.run_options import run_options, tell_what_is_not_read, with_stage
from recbole_vqrec.trainer import checkpoint
from recbole_vqrec.trainer.create import create_trainer
from recbole_vqrec.trainer.domain_validation import DomainValidation


def run(model=None, dataset=None, config_file_list=None, config_dict=None, saved=True):
    """Train one model and test its best epoch.

    Args:
        model (str or type): model name, ours or any RecBole sequential model, or a model class.
        dataset (str): data set name, a folder below `data_path`.
        config_file_list (list of str, optional): yaml files, later ones win.
        config_dict (dict, optional): options, win over the files.
        saved (bool): keep the best epoch in saved/<run>/ and test it; else the last epoch is tested.

    Returns:
        dict: best_valid_score, valid_score_bigger, best_valid_result, test_result as RecBole's `run_recbole`, and
        model, dataset, stage, run (folder), seconds (of training), peak_memory (bytes). Pre-training has no test.

    Raises:
        VQRecError: bad input or a wrong option.
    """
    # 1. options
    config = run_options(model, dataset, config_file_list, config_dict)
    init_seed(config["seed"], config["reproducibility"])

    # 2. data set, split, batches
    data = create_dataset(config)
    statistics = statistics_of(data)
    train_data, valid_data, test_data = _batches(config, data)

    # 3. model and trainer
    init_seed(config["seed"], config["reproducibility"])
    network = create_model(config, train_data._dataset)
    trainer = create_trainer(config, network)
    start_log(config, trainer.run_folder)
    tell_what_is_not_read(config)
    getLogger().info(config)
    getLogger().info(data)
    getLogger().info(network)
    catalogue = catalogue_of(config, train_data._dataset) if saved and distributed.is_first() else None
    if config["resume"]:
        folder = checkpoint.checkpoint_file(config["resume"]).parent
        if catalogue is not None and refuse_changed_items(folder, catalogue):
            catalogue = None  # the one there is kept, and with it what was added to it and removed from it
        trainer.resume_checkpoint(config["resume"])
    if catalogue is not None:
        write_catalogue(trainer.run_folder, catalogue)
    del catalogue  # training does without

    # 4. train to the best epoch
    start = time.perf_counter()
    with PeakMemory(config["device"]) as memory, EpochBar(config, len(valid_data or [])) as bar:
        best = trainer.fit(train_data, valid_data, saved=saved, show_progress=False, callback_fn=bar.epoch_done)
    seconds = trainer.seconds_before + time.perf_counter() - start

    # 5. test the best epoch
    best_valid_score, best_valid_result = trainer.best_validation(valid_data, best) if saved else best
    trainer.rank_collector = RankCollector(train_data, network)
    test_result = trainer.evaluate(test_data, load_best_model=saved, show_progress=False)
    result = {
        "model": config["model"],
        "dataset": config["dataset"],
        "stage": config["stage"],
        "best_valid_score": best_valid_score if math.isfinite(best_valid_score) else None,  # None: no validation
        "valid_score_bigger": config["valid_metric_bigger"],
        "best_valid_result": best_valid_result,
        "test_result": dict(test_result or {}),
        "epochs": len(trainer.train_loss_dict),
        "seconds": seconds,
        "peak_memory": memory.bytes,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "train_losses": list(trainer.train_loss_dict.values()),
        "valid_scores": trainer.valid_scores,
        "valid_epochs": trainer.valid_epochs,
        "statistics": statistics,
        "run": str(trainer.run_folder),
    }
    if distributed.is_first():
        trainer.rank_collector.save(trainer.run_folder)
        run_table.write_result(trainer.run_folder, result)
    getLogger().info("test result: %s", run_table.summary(result))
    return result


def pretrain(datasets=None, name=None, model=None, config_file_list=None, config_dict=None):
    """Pre-train a model on mixed domains (paper, section 2.3).

    Args:
        datasets (list of str, optional): domains, merged first; None if `name` is merged already.
        name (str, optional): of the merged data set; the domains joined by "+" by default.
        model (str, optional): a model with a pre-training loss; VQRec by default.
        config_file_list, config_dict: as `run`.

    Returns:
        dict: as `run`; best_valid_result has the metrics of each domain and over all.
    """
    # 1. one data set with all domains
    if datasets:
        name = name or "+".join(datasets)
        options = stage_options(config_file_list, config_dict)
        distributed.start(options)
        if distributed.is_first():
            merge_datasets(options["data_path"], datasets, name)
        distributed.from_first(None)  # the others wait
    # 2. train on it, contrastively
    options = with_stage(config_dict, "pretrain")
    stated = {**read_config_files(config_file_list), **(config_dict or {})}
    if not (stated.get("model") or stated.get("resume")):
        model = model or "VQRec"
    return run(model, name, config_file_list, options)


def finetune(dataset, pretrained, config_file_list=None, config_dict=None, saved=True):
    """Adapt a pre-trained model to a new domain, in the stages of a preset (paper, section 2.4; props/finetune.yaml).

    Args:
        dataset (str): data set of the new domain, with item codes.
        pretrained (str or Path): run folder or checkpoint; with preset: scratch it gives the sizes only.
        config_file_list, config_dict, saved: as `run`.

    Returns:
        dict: as `run`.

    Raises:
        VQRecError: bad input, a wrong option, or a checkpoint that does not fit the data set.
    """
    options = {**with_stage(config_dict, "finetune"), "checkpoint": str(pretrained)}
    return run(None, dataset, config_file_list, options, saved)


def _batches(config, data):
    """Return training batches, validation and test of a data set, as the stage has them."""
    if config["stage"] == "pretrain":
        return DomainBatches(config, data), DomainValidation(config, data) if config["validate"] else None, None
    return data_preparation(config, data)


def compare(models, dataset, config_file_list=None, config_dict=None):
    """Run several models on the same split with the same options, and write one table.

    Each has what props/comparison.yaml states for it, the size of VQRec for example, where no option given says more.

    Args:
        models (list of str): model names.
        dataset, config_file_list, config_dict: as `run`.

    Returns:
        tuple: list of results as `run` gives them, and the path of the table.
    """
    for name in models:
        registry.entry(name)  # an unknown model stops the comparison before the first one is trained
    given = {**external_options(config_file_list), **(config_dict or {})}
    dataset = dataset or given.get("dataset")
    options = {name: {**stated_options(name, dataset), **given} for name in models}
    results = [run(name, dataset, None, dict(options[name])) for name in models]
    folder = Path(Config(models[0], dataset, None, options[models[0]])["checkpoint_dir"])
    return results, run_table.write_table(folder, results)


def load_data_and_model(model_file, model=None):
    """Rebuild a run: RecBole's function of this name, for our checkpoints, which torch >= 2.6 can read.

    Args:
        model_file (str or Path): run folder or checkpoint file.
        model (type, optional): class of the run's model, where a class was run.

    Returns:
        tuple: config, model (best epoch, in evaluation mode), dataset, train_data, valid_data, test_data.

    Raises:
        VQRecError: no or a damaged checkpoint, or a data set that has changed.
    """
    manifest = checkpoint.read_manifest(model_file)
    config = Config(model or manifest["model"], manifest["dataset"], None, manifest["config"])
    init_seed(config["seed"], config["reproducibility"])
    dataset = create_dataset(config)
    train_data, valid_data, test_data = _batches(config, dataset)
    init_seed(config["seed"], config["reproducibility"])
    model = create_model(config, train_data._dataset)
    checkpoint.restore_model(model_file, model, config["model"], item_ids_of(dataset))
    return config, model.eval(), dataset, train_data, valid_data, test_data
