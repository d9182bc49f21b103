import re

import yaml

from recbole_vqrec.defaults import known_options, own_defaults, props_folder
from recbole_vqrec.option_types import typed_option


def test_a_model_can_have_options_of_its_own_in_a_stage():
    temperature = {stage: own_defaults("VQRec", stage=stage)["temperature"] for stage in ("train", "pretrain", "finetune")}
    assert temperature == {"train": 0.1, "pretrain": 0.07, "finetune": 0.1}
    assert own_defaults("ZESRec", stage="pretrain")["temperature"] is None
    assert own_defaults("VQRec", stage="pretrain")["hidden_dropout_prob"] == 0.2


def test_every_option_lives_once_and_has_a_comment():
    """An option is defined, with its type, in one props file; a line without a type sets one defined elsewhere."""
    homes, settings = {}, set()
    for file in props_folder().rglob("*.yaml"):
        for line in file.read_text().splitlines():
            if re.match(r"\w+:", line):
                name = line.split(":")[0]
                if typed_option(line):
                    homes.setdefault(name, set()).add(file.relative_to(props_folder()).parts[0])
                else:
                    settings.add(name)
    assert all(len(files) == 1 for files in homes.values()), homes
    assert settings - set(homes) <= {"state"}, settings - set(homes)  # an option of RecBole that only the demo sets


def test_every_option_the_package_reads_is_known():
    package = props_folder().parent / "recbole_vqrec"
    read = set()
    for file in (package if package.is_dir() else props_folder().parent).rglob("*.py"):
        read |= set(re.findall(r"(?:config|options)\[\"(\w+)\"\]", file.read_text()))
    made = {"device", "MODEL_TYPE", "eval_type", "valid_metric_bigger", "single_spec", "local_rank", "clean"}
    assert read <= set(known_options()) | made


def test_props_are_valid_yaml_mappings():
    for file in props_folder().rglob("*.yaml"):
        assert isinstance(yaml.safe_load(file.read_text()), dict), file
