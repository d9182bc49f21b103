"""The rank of each test user's target item, kept so that a report needs no second evaluation.

    saved/<run>/ranks.safetensors    user ids, and for each the items above and level with its target, and which of them
                                     are above and below it only by the order that tied_items gives equal items; each
                                     a zlib stream

Axis legend: U test users, B users of a batch, N items.
"""

import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from recbole_vqrec import artifacts
from recbole_vqrec.data.prefix_rows import training_counts
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.model.tied_items import SPAN

KIND = "user ranks"
FILE_NAME = "ranks.safetensors"
REMEDY = "give the folder of a run"
USER_IDS = "user_ids"
COUNTS = ("above", "level", "target_count", "tied_above", "tied_below")


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
        tied_above, tied_below (np.ndarray, optional): [U] items that the model cannot tell from the target and that
            were put above or below it; none by default.
    """

    user_ids: list
    above: np.ndarray
    level: np.ndarray
    target_count: np.ndarray
    tied_above: np.ndarray = None
    tied_below: np.ndarray = None

    def ties_by_chance(self):
        """Return the ranks with items that a model cannot tell apart in random order, as a plain top-k leaves them."""
        if self.tied_above is None:
            return self
        level = self.level + self.tied_above + self.tied_below
        return UserRanks(self.user_ids, self.above - self.tied_above, level, self.target_count)

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
        """Write the ranks into a run's folder, compressed."""
        arrays = {name: getattr(self, name) for name in COUNTS}
        tensors = {name: _compressed(np.asarray(array, "<i4")) for name, array in arrays.items() if array is not None}
        tensors[USER_IDS] = _compressed(artifacts.lines_to_array(self.user_ids))
        artifacts.write_artifact(Path(folder) / FILE_NAME, KIND, tensors, {})

    @classmethod
    def load(cls, folder):
        """Read the ranks of a run; see `artifacts.read_artifact` for the errors."""
        tensors, user_ids, _ = artifacts.read_artifact(Path(folder) / FILE_NAME, KIND, REMEDY)
        if user_ids is None:  # else of an earlier version, which did not compress
            user_ids = artifacts.array_to_lines(_decompressed(tensors.pop(USER_IDS), np.uint8))
            tensors = {name: _decompressed(tensor, "<i4") for name, tensor in tensors.items()}
        return cls(user_ids, *(tensors.get(name) for name in COUNTS))


def _compressed(array):
    """Return the zlib stream of an array's bytes as a uint8 array."""
    return np.frombuffer(zlib.compress(array.tobytes()), np.uint8)


def _decompressed(array, dtype):
    """Return the array of which `_compressed` has made one."""
    return np.frombuffer(zlib.decompress(array.tobytes()), dtype)


class RankCollector:
    """Takes the scores of an evaluation batch by batch, see `SequenceTrainer.rank_collector`.

    Args:
        train_data (TrainDataLoader): of the training split, whose interactions are counted.
        model (torch.nn.Module, optional): whose scores they are; it may have `tied_items`.
    """

    def __init__(self, train_data, model=None):
        self.dataset, self.parts = train_data._dataset, []
        tied_items = getattr(model, "tied_items", None)
        self.group = tied_items.group if tied_items is not None and tied_items.any else None

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
        tied = [torch.zeros_like(above)] * 2
        if self.group is not None:
            same = self.group[items.to(self.group.device)][:, None] == self.group
            same &= (scores - target).abs() <= 3 * SPAN  # ids, or what a history adds, may tell them apart after all
            tied = [(same & (scores > target)).sum(dim=1), (same & (scores < target)).sum(dim=1)]
        users = interaction[self.dataset.uid_field][rows.to(interaction[self.dataset.uid_field].device)]
        self.parts.append(torch.stack([part.cpu() for part in (users, items, above, level.clamp(min=0), *tied)]))

    def ranks(self):
        """Return the `UserRanks` collected so far, or None where not every user has one target ranked in full."""
        if not self.parts:
            return None
        users, items, *counts = torch.cat(self.parts, dim=1).numpy()
        user_ids = [str(token) for token in self.dataset.field2id_token[self.dataset.uid_field][users]]
        if len(set(user_ids)) < len(user_ids):  # a split by ratio or time
            return None
        order = sorted(range(len(user_ids)), key=user_ids.__getitem__)
        above, level, *tied = (count[order] for count in counts)
        target_count = training_counts(self.dataset)[items[order]]
        return UserRanks([user_ids[row] for row in order], above, level, target_count, *tied)

    def save(self, folder):
        """Write the ranks into a run's folder, if there are any."""
        ranks = self.ranks()
        if ranks is not None:
            ranks.save(folder)
