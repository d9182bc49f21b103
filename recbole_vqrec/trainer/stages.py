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
    given = _checked("finetune_stages", options["finetune_stages"] or [])
    trained = any(_of_permutation(pattern) for stage in given for pattern in stage["train"])
    return "soft" if trained else preset_of(options)["permutation"]


def stages_of(config, model):
    """Return the stages of a run; those of no epoch, or of a permutation where none is learned, are left out.

    Args:
        config (Config): finetune_stages, preset, presets, learning_rate, epochs.
        model (nn.Module): its parameter names are what the patterns mean.

    Raises:
        VQRecError: a stage with an unknown or missing entry, or a pattern that no parameter has.
    """
    where, stages = "finetune_stages", config["finetune_stages"]
    if stages is None:
        where, stages = f"preset {config['preset']}", preset_of(config)["stages"]
    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    made = [_stage(stage, config, names) for stage in _checked(where, stages)]
    return [stage for stage in made if stage.rates and stage.epochs]


def _checked(where, stages):
    """Return stages as they were given, once they are known to be a list of well-formed ones."""
    if not isinstance(stages, (list, tuple)) or not all(isinstance(stage, dict) for stage in stages):
        raise VQRecError(f"{where}: {stages}, expected a list of stages, [{{name: NAME, train: {{pattern: factor}}}}]")
    for stage in stages:
        _refuse_other_keys(where, stage, STAGE_KEYS)
        train, epochs, rate = stage.get("train"), stage.get("epochs"), stage.get("learning_rate", 1)
        if "name" not in stage or not isinstance(train, dict) or not all(isinstance(name, str) for name in train):
            raise VQRecError(f"{where}: {stage}, expected a name and train: {{pattern: factor of learning_rate}}")
        if not all(_is_number(factor) and factor >= 0 for factor in train.values()):
            raise VQRecError(f"{where}: train: {train}, expected numbers of at least 0 as factors of learning_rate")
        if epochs is not None and (not isinstance(epochs, int) or isinstance(epochs, bool) or epochs < 0):
            raise VQRecError(f"{where}: epochs: {epochs!r}, expected a whole number of at least 0")
        if not _is_number(rate) or rate <= 0:
            raise VQRecError(f"{where}: learning_rate: {rate!r}, expected a number above 0")
    return stages


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _of_permutation(pattern):
    """Tell whether a pattern means the permutation; one for everything does not, the stages before have fixed it."""
    return pattern.startswith(PERMUTATION.removesuffix("."))


def _stage(stage, config, parameters):
    base, rates = float(stage.get("learning_rate", config["learning_rate"])), {}
    for pattern, factor in stage["train"].items():
        found = [name for name in parameters if fnmatch(name, pattern)]
        if not found and not _of_permutation(pattern):
            hint = nearest(pattern, parameters)
            raise VQRecError(
                f"finetune_stages: stage '{stage['name']}' trains '{pattern}', which no parameter is{hint}"
            )
        meant = [n for n in found if _of_permutation(pattern) or not n.startswith(PERMUTATION)]
        if found and not meant:
            raise VQRecError(
                f"finetune_stages: stage '{stage['name']}' trains '{pattern}', which is the permutation alone; "
                f"write '{PERMUTATION}*' if that is meant"
            )
        rates.update({n: base * factor for n in meant})
    epochs = stage.get("epochs")
    return Stage(stage["name"], rates, config["epochs"] if epochs is None else epochs)


def _refuse_other_keys(where, entries, known):
    for key in entries:
        if key not in known:
            raise VQRecError(
                f"{where}: unknown entry '{key}'{nearest(key, known)}; known are {', '.join(sorted(known))}"
            )
