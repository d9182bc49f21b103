"""What a run says and where: everything in saved/<run>/run.log, on the console what `state` asks for; peak memory."""

import logging
import resource
import sys

import colorlog
from recbole.utils.logger import RemoveColorFilter, log_colors_config

from recbole_vqrec import distributed


def start_log(config, folder):
    """Send RecBole's root logger to the run's file and, from level `state` on, to the console.

    RecBole's own `init_logger` can be called once a process and writes no more to the file than to the console.

    Args:
        config (Config): its option `state` is the console's level.
        folder (Path): the run's folder.
    """
    if not distributed.is_first():
        return
    level = getattr(logging, str(config["state"] or "info").upper(), logging.INFO)
    file = logging.FileHandler(folder / "run.log", encoding="utf-8")
    file.setLevel(logging.INFO)
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    file.addFilter(RemoveColorFilter())
    console = logging.StreamHandler(sys.stderr)
    console.setLevel(level)
    console.setFormatter(colorlog.ColoredFormatter("%(log_color)s%(message)s", log_colors=log_colors_config))
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if getattr(handler, "of_run_log", False)]:
        root.removeHandler(handler)
        handler.close()
    for handler in (console, file):  # the filter of the file strips colours from the record itself, so it comes last
        handler.of_run_log = True
        root.addHandler(handler)
    root.setLevel(min(level, logging.INFO))


class PeakMemory:
    """Peak memory inside a `with` block, in bytes: of the GPU if one is used, else resident memory of the process.

    Linux lets a process reset its own high-water mark; elsewhere it is the peak since the start of the process.

    Args:
        device (torch.device): where the model lies.
    """

    def __init__(self, device):
        self.device, self.bytes = device, 0

    def __enter__(self):
        if self.device.type == "cuda":
            import torch

            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            try:
                with open("/proc/self/clear_refs", "w") as file:
                    file.write("5")
            except OSError:
                pass
        return self

    def __exit__(self, *error):
        if self.device.type == "cuda":
            import torch

            self.bytes = torch.cuda.max_memory_allocated(self.device)
            return
        try:
            with open("/proc/self/status") as file:
                high_water = next(line for line in file if line.startswith("VmHWM"))
            self.bytes = int(high_water.split()[1]) * 1024
        except (OSError, StopIteration):
            unit = 1 if sys.platform == "darwin" else 1024
            self.bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
