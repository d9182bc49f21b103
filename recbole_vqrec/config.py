"""RecBole's Config with our props underneath, unknown options refused, and values taken as they are written."""

import ast
import contextlib
import os
from pathlib import Path

import recbole.config
import torch
import yaml

from recbole_vqrec import compat, distributed, registry
from recbole_vqrec.defaults import known_options, own_defaults, parse_yaml, props_folder, read_props, yaml_loader
from recbole_vqrec.errors import VQRecError, nearest, refuse_other
from recbole_vqrec.evaluation.metric_options import refuse_wrong_metrics
from recbole_vqrec.option_types import TEXT, as_they_are_read, option_types, refuse_wrong_values

LOSS_TYPES = ("CE", "BPR", "NLL")  # of RecBole's sequential models
NOTHING = {"none": None, "null": None, "~": None}
NONE_BY_NAME = ("permutation", "none")  # a value of its own, where none of other options is ~
NO_NEGATIVES = {"distribution": "none", "sample_num": "none", "alpha": "none", "dynamic": False, "candidate_num": 0}


class Config(recbole.config.Config):
    """RecBole's configuration: our props lie over RecBole's own, the caller's values over both.

    The command line is read by our entry points, not here, so that a test runner's or a service's arguments are left
    alone. An unknown option is an error that names the nearest valid one, a value that cannot be says what is expected.

    Args:
        model (str or type): model name, ours or any RecBole sequential model, or a model class.
        dataset (str): data set name.
        config_file_list (list of str, optional): yaml files, later ones win.
        config_dict (dict, optional): options, win over the files.

    Raises:
        VQRecError: unknown model or option, a value out of its range, a config file that is not there or not a yaml
            mapping.
    """

    def compatibility_settings(self):
        compat.apply()
        super().compatibility_settings()

    def _load_cmd_line(self):
        return {}

    def _load_config_files(self, file_list):
        return read_config_files(file_list)

    def _convert_config_dict(self, config_dict):
        """Read text values as Python literals; unlike RecBole, "12-3" stays text and nothing is evaluated."""
        words, types = {"true": True, "false": False, **NOTHING}, option_types(props_folder())
        for key, value in config_dict.items():
            if isinstance(value, str) and key in types and types[key].kind == TEXT:
                if (key, value) != NONE_BY_NAME:
                    config_dict[key] = NOTHING.get(value.lower(), value)
            elif isinstance(value, str):
                try:
                    config_dict[key] = ast.literal_eval(value)
                except (ValueError, SyntaxError):
                    config_dict[key] = words.get(value.lower(), value)
                    if value[:1] in ("[", "{"):  # as yaml writes lists, without quotes
                        with contextlib.suppress(yaml.YAMLError):
                            config_dict[key] = yaml.load(value, Loader=yaml_loader())
        return as_they_are_read(config_dict, props_folder())

    def _get_model_and_dataset(self, model, dataset):
        model = model if model is not None else self.external_config_dict.get("model")
        dataset = dataset if dataset is not None else self.external_config_dict.get("dataset")
        if model is None and self.external_config_dict.get("stage") == "finetune":
            from recbole_vqrec.trainer.transfer import pretrained_model

            model = pretrained_model(self.external_config_dict.get("checkpoint"))
        for name, value in (("model", model), ("dataset", dataset)):
            if value is None:
                raise VQRecError(f"no {name} given; say --{name}=NAME, or '{name}: NAME' in a config file")
        if not isinstance(model, str):
            refuse_wrong_values(self.external_config_dict, props_folder())  # it may have options of its own
            return model.__name__, model, str(dataset)
        self._refuse_wrong_options()
        return model, registry.load(registry.entry(model).model), str(dataset)

    def _refuse_wrong_options(self):
        for name in self.external_config_dict:
            if name not in known_options():
                raise VQRecError(f"unknown option '{name}'{nearest(name, known_options())}")
        refuse_wrong_values(self.external_config_dict, props_folder())

    def _load_internal_config_dict(self, model, model_class, dataset):
        super()._load_internal_config_dict(model, model_class, dataset)
        negatives = self.internal_config_dict.get("train_neg_sample_args")
        stage = self.external_config_dict.get("stage", "train")
        recipe = self.external_config_dict.get("recipe", "paper")
        name = None if registry.bears_our_name(model, model_class) else model
        self.internal_config_dict.update(own_defaults(name, dataset, stage, recipe))
        if stage == "finetune":
            self._inherit_from_checkpoint()
        loss_type = self.external_config_dict.get("loss_type", self.internal_config_dict.get("loss_type"))
        if loss_type is not None and model_class.__module__.startswith("recbole."):
            refuse_other("loss_type", loss_type, LOSS_TYPES)
        if loss_type != "CE":  # pairwise and pointwise models need RecBole's sampled negatives
            self.internal_config_dict["train_neg_sample_args"] = negatives
        self._use_prefix_rows_where_only_they_exist(dataset)

    def _inherit_from_checkpoint(self):
        """Let what the pre-trained run fixes be the default."""
        from recbole_vqrec.trainer.transfer import INHERITED, inherited_options

        of_a_run = (*INHERITED, *read_props("finetune.yaml"))  # a fine-tuned one has all, which no file of a user's has
        if not all(name in self.external_config_dict for name in of_a_run):
            if self.external_config_dict.get("permutation", "") is None:  # ~ says: the preset's
                del self.external_config_dict["permutation"]
            options = {**self.internal_config_dict, **self.external_config_dict}
            self.internal_config_dict.update(inherited_options(options))

    def _use_prefix_rows_where_only_they_exist(self, dataset):
        """Read the authors' <D>.train|valid|test.inter where the data set has no <D>.inter."""
        options = {**self.internal_config_dict, **self.external_config_dict}
        folder = Path(options["data_path"]) / dataset
        if options.get("benchmark_filename") is None and not (folder / f"{dataset}.inter").is_file():
            if all((folder / f"{dataset}.{split}.inter").is_file() for split in ("train", "valid", "test")):
                self.internal_config_dict.update(read_props("prefix_rows.yaml"))

    def _init_device(self):
        options = self.final_config_dict
        device = distributed.start(options)
        if device is None:
            options.pop("local_rank", None)
            given, stated = self.external_config_dict.get("gpu_id"), os.environ.get("CUDA_VISIBLE_DEVICES")
            gpus = stated if given is None else distributed.gpu_ids(given)
            if gpus is not None:  # else RecBole's default, 0
                options["gpu_id"] = gpus
            super()._init_device()
            if gpus is None:  # RecBole has set its default, which processes started from here would take for a choice
                os.environ.pop("CUDA_VISIBLE_DEVICES", None)
            if not options["use_gpu"]:  # which RecBole does not read here
                options["device"] = torch.device("cpu")
            return
        options.update(device=device, single_spec=True, local_rank=distributed.rank_and_size()[0])
        if not distributed.is_first():
            options.update(state="ERROR", show_progress=False)

    def _set_default_parameters(self):
        options = self.final_config_dict
        folder = Path(options["data_path"]) / self.dataset
        options["eval_args"] = {**read_props("overall.yaml")["eval_args"], **options["eval_args"]}
        refuse_wrong_metrics(options)
        if options["eval_args"].get("order") != "TO":
            raise VQRecError(f"eval_args: order: {options['eval_args'].get('order')}, sequences need TO, order of time")
        super()._set_default_parameters()
        # RecBole always reads its own ml-100k; the one of this project, made by its preprocessing, has texts.
        if (folder / f"{self.dataset}.inter").is_file():
            options["data_path"] = str(folder)


def read_config_files(file_list):
    """Return the options of yaml files, later ones win.

    Args:
        file_list (list of str or None): the files.

    Raises:
        VQRecError: a file that cannot be read, or is not a yaml mapping.
    """
    options = {}
    for file in file_list or []:
        try:
            content = parse_yaml(file)
        except FileNotFoundError:
            raise VQRecError(f"{file}: config file not found") from None
        except OSError as error:
            raise VQRecError(f"{file}: config file cannot be read ({error.strerror})") from None
        if not isinstance(content, dict):
            raise VQRecError(f"{file}: expected lines of 'option: value', found {type(content).__name__}")
        options.update(as_they_are_read(content, props_folder()))
    return options


def external_options(config_files=None, given=None):
    """Return the options of yaml files and, over them, given values; None values are left out.

    Args:
        config_files (list of str, optional): yaml files, later ones win.
        given (dict, optional): options; text is read as a Python literal.

    Raises:
        VQRecError: unknown option, a value out of its range, or a config file that cannot be read.
    """
    config = Config.__new__(Config)
    config.yaml_loader = config._build_yaml_loader()
    config.external_config_dict = config._load_config_files(config_files)
    chosen = {name: value for name, value in (given or {}).items() if value is not None}
    config.external_config_dict.update(config._convert_config_dict(chosen))
    config._refuse_wrong_options()
    return config.external_config_dict


def stage_options(config_files=None, given=None):
    """Return the options of the stages before training, which need no model: props, then files, then given values.

    Args:
        config_files (list of str, optional): yaml files, later ones win.
        given (dict, optional): options, win over the files; None values are left out.

    Raises:
        VQRecError: unknown option, a value out of its range, or a config file that cannot be read.
    """
    options = {**own_defaults("VQRec"), **external_options(config_files, given)}
    if isinstance(options["text_columns"], str):
        options["text_columns"] = [name.strip() for name in options["text_columns"].split(",")]
    return options


def fill_defaults(config):
    """Give a stock RecBole Config the options of ours that it lacks, in place.

    Stock entry points know nothing of our props, and RecBole's props of a model of the same name are those of another
    model. Options the caller has set are left alone, except RecBole's default
    of one uniform negative, which would turn every second training row of our models into a negative one.

    Args:
        config (recbole.config.Config): of one of our models.
    """
    if isinstance(config, Config):
        return
    refuse_wrong_values(config.external_config_dict, props_folder())
    if config["stage"] not in (None, "train"):
        raise VQRecError(f"stage: {config['stage']} is not RecBole's; call recbole_vqrec.quick_start.{config['stage']}")
    of_model = read_props(f"model/{config['model']}.yaml")
    for name, value in own_defaults(config["model"], recipe=config["recipe"] or "paper").items():
        if name not in config.final_config_dict or (name in of_model and name not in config.external_config_dict):
            config[name] = value
    config["train_neg_sample_args"] = dict(NO_NEGATIVES)
