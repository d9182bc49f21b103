"""The rank of each test user's target item, kept so that a report needs no second evaluation.

    saved/<run>/ranks.safetensors    user ids, and for each the items above and level with its target

Axis legend: U test users, B users of a batch, N items.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from recbole_vqrec import artifacts
from recbole_vqrec.data.prefix_rows import training_counts
from recbole_vqrec.errors import VQRecError

KIND = "user ranks"
FILE_NAME = "ranks.safetensors"
REMEDY = "give the folder of a run"


def follows_from_ranks(metric):
    """Tell whether `UserRanks.metric` can give a metric: recall, hit, ndcg or mrr with a cut-off."""
    kind, _, limit = str(metric).lower().partition("@")
    return kind in ("recall", "hit", "ndcg", "mrr") and limit.isdigit()


@dataclass(frozen=True)
class UserRanks:
    """Where the target item of each test user came out among all items, users in order of their ids.

    Args:
        user_ids (list of str): U.
        above (np.ndarray): [U] items with a higher score than the target.
        level (np.ndarray): [U] other items with the same score; items with equal codes have equal scores.
        target_count (np.ndarray): [U] interactions of the target item in the training split.
    """

    user_ids: list
    above: np.ndarray
    level: np.ndarray
    target_count: np.ndarray

    def metric(self, name):
        """Return a metric of each user, [U] float64: its expected value where ties are put in random order.

        Args:
            name (str): "recall@K", "hit@K", "ndcg@K" or "mrr@K".

        Raises:
            VQRecError: another metric.
        """
        kind, _, limit = str(name).lower().partition("@")
        if not follows_from_ranks(name):
            raise VQRecError(f"metric '{name}': expected recall@K, hit@K, ndcg@K or mrr@K")
        ranks = np.arange(1, int(limit) + 1)
        gain = {"ndcg": 1 / np.log2(ranks + 1), "mrr": 1 / ranks}.get(kind, np.ones(len(ranks)))
        total = np.concatenate([[0.0], np.cumsum(gain)])  # of ranks 1 .. r
        first, last = np.minimum(self.above, len(ranks)), np.minimum(self.above + self.level + 1, len(ranks))
        return (total[last] - total[first]) / (self.level + 1)

    def save(self, folder):
        """Write the ranks into a run's folder."""
        tensors = {name: np.asarray(getattr(self, name), np.int32) for name in ("above", "level", "target_count")}
        artifacts.write_artifact(Path(folder) / FILE_NAME, KIND, tensors, {}, self.user_ids)

    @classmethod
    def load(cls, folder):
        """Read the ranks of a run; see `artifacts.read_artifact` for the errors."""
        tensors, user_ids, _ = artifacts.read_artifact(Path(folder) / FILE_NAME, KIND, REMEDY)
        return cls(user_ids, tensors["above"], tensors["level"], tensors["target_count"])


class RankCollector:
    """Takes the scores of an evaluation batch by batch, see `SequenceTrainer.rank_collector`.

    Args:
        train_data (TrainDataLoader): of the training split, whose interactions are counted.
    """

    def __init__(self, train_data):
        self.dataset, self.parts = train_data._dataset, []

    def add(self, interaction, scores, rows, items):
        """Count the items above and level with each target; a score that is no number counts as above.

        Args:
            interaction (Interaction): users of the batch.
            scores (torch.Tensor): [B, N].
            rows, items (torch.Tensor): [B] row and item of each target.
        """
        scores = scores[rows]
        target = scores.gather(1, items[:, None].to(scores.device))
        above = (~(scores <= target)).sum(dim=1)
        level = (scores == target).sum(dim=1) - 1
        users = interaction[self.dataset.uid_field][rows.to(interaction[self.dataset.uid_field].device)]
        self.parts.append(torch.stack([part.cpu() for part in (users, items, above, level.clamp(min=0))]))

    def ranks(self):
        """Return the `UserRanks` collected so far, or None where not every user has one target ranked in full."""
        if not self.parts:
            return None
        users, items, above, level = torch.cat(self.parts, dim=1).numpy()
        user_ids = [str(token) for token in self.dataset.field2id_token[self.dataset.uid_field][users]]
        if len(set(user_ids)) < len(user_ids):  # a split by ratio or time
            return None
        order = sorted(range(len(user_ids)), key=user_ids.__getitem__)
        return UserRanks(
            [user_ids[row] for row in order], above[order], level[order], training_counts(self.dataset)[items[order]]
        )

    def save(self, folder):
        """Write the ranks into a run's folder, if there are any."""
        ranks = self.ranks()
        if ranks is not None:
            ranks.save(folder)
