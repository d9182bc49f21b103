"""What today's packages need so that RecBole 1.2.1 runs: every shim, its reason, and what would make it unnecessary."""

import contextlib
import functools
import importlib.util
import sys
import types
import warnings

import numpy as np

BEST_EPOCH = "reads_its_own_file"  # marks the method that `best_epoch_of_recbole` has put in place


def numpy_names():
    """Give numpy >= 2 the three names that RecBole's `Config.compatibility_settings` reads.

    Reason: numpy 2 removed np.float_, np.complex_ and np.unicode_; RecBole 1.2.1 copies them to np.float and so on.
    Unnecessary once RecBole no longer reads them.
    """
    for name, value in {"float_": np.float64, "complex_": np.complex128, "unicode_": np.str_}.items():
        if name not in np.__dict__:
            setattr(np, name, value)


def ray_is_usable():
    """Tell whether the ray that RecBole pins (<= 2.6.3) can be imported here.

    It needs pkg_resources, which left setuptools in version 82, and np.bool8, which left numpy in version 2.
    """
    return (
        importlib.util.find_spec("ray") is not None
        and importlib.util.find_spec("pkg_resources") is not None
        and int(np.__version__.split(".")[0]) < 2
    )


def ray_stand_in():
    """Let `import recbole.quick_start` succeed where its pinned ray cannot be imported.

    Reason: recbole.quick_start imports ray.tune for one call, `tune.report(**result)`, in `objective_function`. Outside
    a ray worker that call only informs ray, so a module whose `report` does nothing is enough for `run_recbole`
    and for `HyperTuning`; ray's own tuner still needs the real ray. Unnecessary once RecBole accepts a current ray.
    """
    if "ray" in sys.modules or ray_is_usable():
        return
    ray, tune = types.ModuleType("ray"), types.ModuleType("ray.tune")
    tune.report = lambda **result: None
    ray.tune = tune
    ray.__doc__ = "Stand-in by recbole_vqrec.compat: ray <= 2.6.3 cannot be imported with these packages."
    sys.modules.update({"ray": ray, "ray.tune": tune})


@contextlib.contextmanager
def tensorboard_in(folder):
    """Let RecBole's trainers, made inside the block, write their TensorBoard events into a folder.

    Reason: RecBole writes them to ./log_tensorboard/<time>, whatever checkpoint_dir says, which fails where the working
    directory cannot be written and cannot be told apart by run. Unnecessary once RecBole has an option for it.

    Args:
        folder (Path or None): None writes nothing, for all processes but one.
    """
    import recbole.trainer.trainer
    from torch.utils.tensorboard import SummaryWriter

    module, original = recbole.trainer.trainer, recbole.trainer.trainer.get_tensorboard
    module.get_tensorboard = lambda logger: Silent() if folder is None else SummaryWriter(str(folder))
    try:
        yield
    finally:
        module.get_tensorboard = original


class Silent:
    """Stands for a SummaryWriter and writes nothing."""

    def add_scalar(self, *args, **kwargs):
        """Write nothing."""

    def add_hparams(self, *args, **kwargs):
        """Write nothing."""


def anomaly_mode():
    """Import RecBole's sequential models without the debugging mode that one of them turns on for the process.

    Reason: recbole/model/sequential_recommender/sine.py calls torch.autograd.set_detect_anomaly(True) when imported,
    and the package imports it with any other model; every training step then checks every gradient (a SASRec epoch
    on ml-100k took 1.4 times as long). Unnecessary once RecBole removes the call.
    """
    import torch

    before = torch.is_anomaly_enabled()
    importlib.import_module("recbole.model.sequential_recommender")
    torch.autograd.set_detect_anomaly(before)


def torch_names():
    """Give torch < 2.3 the name torch.compiler.is_compiling, which our dropout asks for.

    Reason: torch 2.2 has that function as torch._dynamo.is_compiling only. Unnecessary once torch >= 2.3 is required.
    """
    import torch

    if not hasattr(torch.compiler, "is_compiling"):
        from torch._dynamo import is_compiling

        torch.compiler.is_compiling = is_compiling


def best_epoch_of_recbole():
    """Let RecBole's `Trainer.evaluate` read the best epoch back from the file that this trainer has written itself.

    Reason: torch >= 2.6 loads tensors and plain values only unless it is told otherwise, and RecBole pickles its Config
    into the file, so a stock model that `run_recbole` has trained cannot be tested. Only that file is read with
    weights_only=False; a `model_file`, which may come from anywhere, is left to RecBole, and torch.load is as it was.
    No pickle is on a path of ours: our trainers read safetensors and call this method with load_best_model=False.
    Unnecessary once RecBole says weights_only=False itself, or writes a file of tensors.
    """
    import torch
    from recbole.trainer import Trainer

    original = Trainer.evaluate
    if hasattr(original, BEST_EPOCH):
        return

    @functools.wraps(original)
    def evaluate(self, eval_data, load_best_model=True, model_file=None, show_progress=False):
        if eval_data and load_best_model and not model_file:
            checkpoint = torch.load(self.saved_model_file, map_location=self.device, weights_only=False)
            self.model.load_state_dict(checkpoint["state_dict"])
            with torch.no_grad():
                self.model.load_other_parameter(checkpoint.get("other_parameter"))
            self.logger.info(f"Loading model structure and parameters from {self.saved_model_file}")
            load_best_model = False
        return original(self, eval_data, load_best_model, model_file, show_progress)

    setattr(evaluate, BEST_EPOCH, True)
    Trainer.evaluate = evaluate


def quiet_warnings():
    """Hide warnings of RecBole 1.2.1's own lines about today's pandas and torch, which a user cannot act on.

    Unnecessary once RecBole has no chained `fillna(inplace=True)` and no torch.cuda.amp.GradScaler.
    """
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"recbole\.")


def autocast_is_on(device_type):
    """Tell whether autocast is on for a type of device.

    Reason: before torch 2.4 `is_autocast_enabled` takes no device, and means CUDA. Unnecessary once 2.4 is the oldest
    torch that is supported.
    """
    import torch

    try:
        return torch.is_autocast_enabled(device_type)
    except TypeError:
        return torch.is_autocast_cpu_enabled() if device_type == "cpu" else torch.is_autocast_enabled()


def apply():
    """Apply every shim; safe to call again."""
    numpy_names()
    torch_names()
    ray_stand_in()
    quiet_warnings()
    anomaly_mode()
    best_epoch_of_recbole()
