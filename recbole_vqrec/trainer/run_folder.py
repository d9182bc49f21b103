"""The folder of a run, saved/<model>-<dataset>-<time>/."""

import os
from pathlib import Path

from recbole.utils import get_local_time

from recbole_vqrec import distributed
from recbole_vqrec.errors import UnavailableError
from recbole_vqrec.trainer import checkpoint


def own_folder(config):
    """Return the folder of a new run, or of the one to resume; the same in every process."""
    if config["resume"]:
        return checkpoint.checkpoint_file(config["resume"]).parent
    return Path(distributed.from_first(str(new_run_folder(config)) if distributed.is_first() else None))


def new_run_folder(config):
    """Make and return a new folder checkpoint_dir/<model>-<dataset>-<time>."""
    stem = Path(config["checkpoint_dir"]) / f"{config['model']}-{config['dataset']}-{get_local_time()}"
    for suffix in ["", *(f"-{number}" for number in range(2, 1000))]:
        folder = Path(f"{stem}{suffix}")
        try:
            os.makedirs(folder)
            return folder
        except FileExistsError:
            if folder.is_dir():
                continue
            raise UnavailableError(f"{folder.parent}: is no folder; set checkpoint_dir to one") from None
        except OSError as error:
            remedy = "set checkpoint_dir to a folder that can be written"
            raise UnavailableError(f"{folder}: cannot be made ({error.strerror}); {remedy}") from None
    raise FileExistsError(f"{stem}-*: too many runs in one second")
