from types import SimpleNamespace

import numpy as np
import pytest

from recbole_vqrec.trainer.steps import Steps


class Loader:
    """A loader of RecBole's kind: every batch draws random numbers, negatives for example."""

    shuffle = False

    def __len__(self):
        return 6

    def __iter__(self):
        return (np.random.randint(1 << 30) for _ in range(len(self)))


@pytest.mark.parametrize("position", range(7))
def test_batches_from_a_step_on_are_those_of_the_whole_epoch(position):
    trainer = SimpleNamespace(config={"seed": 3}, before_step=lambda share: None, after_step=lambda step: None)
    whole = list(Steps(trainer, Loader(), epoch=2))
    rest = Steps(trainer, Loader(), epoch=2, position=position)
    assert len(rest) == 6 - position and list(rest) == whole[position:]
    assert len(set(whole)) == 6
