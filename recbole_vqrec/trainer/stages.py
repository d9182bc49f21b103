"""The stages of fine-tuning as data: which parameters train, how fast, for how long (props/finetune.yaml)."""

from dataclasses import dataclass
from fnmatch import fnmatch

from recbole_vqrec.defaults import read_props
from recbole_vqrec.errors import VQRecError, examples, nearest, refuse_other

PERMUTATION = "items.permutation."
PRESET_KEYS, STAGE_KEYS = {"load", "add_id", "permutation", "stages"}, {"name", "train", "epochs", "learning_rate"}


@dataclass(frozen=True)
class Stage:
    """A stretch of training.

    Args:
        name (str): for people.
        rates (dict): parameter name -> learning rate; all others are frozen.
        epochs (int): at most.
    """

    name: str
    rates: dict
    epochs: int

    def __str__(self):
        rates = {}
        for name, rate in self.rates.items():
            rates.setdefault(rate, []).append(name)
        what = "; ".join(f"{examples(names)} at {rate:g}" for rate, names in rates.items())
        return f"{self.name}: up to {self.epochs} epochs, {len(self.rates)} parameters train: {what}"


def preset_of(config):
    """Return the preset that `preset` names.

    Args:
        config (dict-like): preset, presets.

    Raises:
        VQRecError: no such preset, or one with other than the known entries.
    """
    name, presets = config["preset"], {**read_props("finetune.yaml")["presets"], **(config["presets"] or {})}
    refuse_other("preset", name, presets)
    preset = presets[name]
    _refuse_other_keys(f"preset {name}", preset, PRESET_KEYS)
    return {"load": [], "add_id": False, "permutation": "soft", "stages": [], **preset}


def permutation_of(options):
    """Return the permutation where none is named: the preset's, or a soft one where stages that are given train it.

    Args:
        options (dict-like): finetune_stages, preset, presets.
    """
    given = [stage for stage in options["finetune_stages"] or [] if isinstance(stage.get("train"), dict)]
    trained = any(pattern.startswith(PERMUTATION) for stage in given for pattern in stage["train"])
    return "soft" if trained else preset_of(options)["permutation"]


def stages_of(config, model):
    """Return the stages of a run; those of no epoch, or of a permutation where none is learned, are left out.

    Args:
        config (Config): finetune_stages, preset, presets, learning_rate, epochs.
        model (nn.Module): its parameter names are what the patterns mean.

    Raises:
        VQRecError: a stage with an unknown or missing entry, or a pattern that no parameter has.
    """
    given = config["finetune_stages"]
    stages = preset_of(config)["stages"] if given is None else given
    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    made = [_stage(stage, config, names) for stage in stages]
    return [stage for stage in made if stage.rates and stage.epochs]


def _stage(stage, config, parameters):
    _refuse_other_keys("finetune_stages", stage, STAGE_KEYS)
    if "name" not in stage or not isinstance(stage.get("train"), dict):
        raise VQRecError(f"finetune_stages: {stage}, expected a name and train: {{pattern: factor of learning_rate}}")
    base, rates = float(stage.get("learning_rate", config["learning_rate"])), {}
    for pattern, factor in stage["train"].items():
        found = [name for name in parameters if fnmatch(name, pattern)]
        if not found and not pattern.startswith(PERMUTATION):
            hint = nearest(pattern, parameters)
            raise VQRecError(
                f"finetune_stages: stage '{stage['name']}' trains '{pattern}', which no parameter is{hint}"
            )
        # a pattern for everything does not mean the permutation, which the stages before it have fixed
        permutes = pattern.startswith(PERMUTATION)
        rates.update({n: base * factor for n in found if permutes or not n.startswith(PERMUTATION)})
    epochs = stage.get("epochs")
    return Stage(stage["name"], rates, config["epochs"] if epochs is None else epochs)


def _refuse_other_keys(where, entries, known):
    for key in entries:
        if key not in known:
            raise VQRecError(
                f"{where}: unknown entry '{key}'{nearest(key, known)}; known are {', '.join(sorted(known))}"
            )
