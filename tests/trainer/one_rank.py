"""One of several processes that train together, run by test_distributed.py; writes rank<R>.safetensors."""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from recbole_vqrec import compat, distributed

compat.apply()
from recbole_vqrec import quick_start  # noqa: E402
from recbole_vqrec.trainer.sequence_trainer import SequenceTrainer  # noqa: E402


def train(options):
    """Train, noting this process's loss of each step and its final parameters."""
    losses, after_step, fit = [], SequenceTrainer.after_step, SequenceTrainer.fit

    def noted_step(self, step):
        losses.append(sum(self._losses))
        after_step(self, step)

    def noted_fit(self, *args, **kwargs):
        result = fit(self, *args, **kwargs)
        state = {name: value.clone() for name, value in self.model.state_dict().items()}
        state["losses"], state["valid"] = torch.tensor(losses, dtype=torch.float64), torch.tensor(result[0])
        save_file(state, f"{options['folder']}-rank{distributed.rank_and_size()[0]}.safetensors")
        return result

    SequenceTrainer.after_step, SequenceTrainer.fit = noted_step, noted_fit
    given = {name: value for name, value in options.items() if name != "folder"}
    quick_start.run(given.pop("model"), "mix", None, {**given, "checkpoint_dir": options["folder"]})
    distributed.stop()
    assert not threads_of_gloo(), "a thread that outlives the process group may abort the process at its end"


def threads_of_gloo():
    return [name for file in Path("/proc/self/task").glob("*/comm") if "gloo" in (name := file.read_text())]


if __name__ == "__main__":
    options = json.loads(sys.argv[1])
    distributed.spawn(train, options)
