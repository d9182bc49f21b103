"""What an encoder blurs: that people go on to items whose texts are like those of the latest ones.

It is in the item vectors too, but behind a linear map that was trained for everything at once. The similarity itself
needs no training, no count of any item, and holds for an item that is new.

Axis legend: B histories, L positions, S latest positions, N items with padding, R items, n items that are scored, d_w
size of a text vector.
"""

import torch
import torch.nn.functional as F
from torch import nn

from recbole_vqrec.errors import VQRecError, refuse_out_of_range
from recbole_vqrec.model.co_occurrence import option_ranges

KERNEL_ENTRIES = 1 << 26  # values of the kernel held at once, 256 MB


class TextSimilarity(nn.Module):
    """Adds w * sum_p decay^p * exp(scale * (cos(t_i, t_j) - 1)) to the score of each other item j.

    i is the item p steps before the end of the history, t_i the direction of its text vector. Near texts count, far
    ones hardly do. An item is not like itself: whether users come back to it is what `seen_weight` is for.

    Args:
        directions (torch.FloatTensor): [N, d_w], see `text_directions`; row 0 the padding item.
        config (Config): text_similarity_weight (w), text_similarity_decay, text_similarity_scale,
            text_similarity_history.

    Raises:
        VQRecError: an option out of its range.
    """

    def __init__(self, directions, config):
        super().__init__()
        refuse_out_of_range(config, option_ranges("text_similarity", good_weight=2))
        self.scale = config["text_similarity_scale"]
        steps = torch.arange(int(config["text_similarity_history"]), dtype=torch.float32)
        weights = config["text_similarity_weight"] * config["text_similarity_decay"] ** steps
        self.register_buffer("weights", weights, persistent=False)
        self.register_buffer("directions", directions, persistent=False)
        self._kernel = None  # of all items with all, made when first needed

    def latest(self, item_seq, lengths):
        """Return the latest items of the histories [B, S], the last first, 0 where there is none.

        Args:
            item_seq (torch.LongTensor): [B, L] items, oldest first, 0 as padding at the end.
            lengths (torch.LongTensor): [B] items in each history.
        """
        place = lengths[:, None] - 1 - torch.arange(min(len(self.weights), item_seq.shape[1]), device=item_seq.device)
        return item_seq.gather(1, place.clamp(min=0)).masked_fill(place < 0, 0)

    def add_to_all(self, scores, item_seq, lengths):
        """Return the scores of all items with their similarity.

        Args:
            scores (torch.Tensor): [B, N], changed in place.
            item_seq, lengths: see `latest`.
        """
        latest, size = self.latest(item_seq, lengths), len(self.directions)
        if size * size <= KERNEL_ENTRIES:
            if self._kernel is None or self._kernel.device != scores.device:
                self._kernel = self.kernel(torch.arange(size, device=scores.device))
            return scores.add_(self.summed(latest, self._kernel))
        histories = max(1, KERNEL_ENTRIES // (size * latest.shape[1]))
        for part, some in zip(scores.split(histories), latest.split(histories)):
            items, place = some.unique(return_inverse=True)
            part.add_(self.summed(place, self.kernel(items)))
        return scores

    def add_to_one(self, scores, items, item_seq, lengths):
        """Return the scores [B] of one item a history, `items` [B], with their similarity; see `add_to_all`."""
        latest = self.latest(item_seq, lengths)
        cosine = torch.einsum("bsd,bd->bs", self.directions[latest], self.directions[items])
        value = torch.exp(self.scale * (cosine - 1)) * (latest > 0) * (latest != items[:, None]) * (items > 0)[:, None]
        return scores + value @ self.weights[: latest.shape[1]]

    def kernel(self, items):
        """Return the `similarity` [R, N] of some items [R] to all."""
        columns = torch.arange(len(self.directions), device=items.device)
        return self.similarity(self.directions[items], items, self.directions, columns)

    def similarity(self, directions, items, others, columns):
        """Return exp(scale * (cos - 1)) [R, n]; 0 for an item with itself, and for the padding item.

        Args:
            directions (torch.FloatTensor): [R, d_w] of items.
            items (torch.LongTensor): [R] their numbers, 0 the padding item.
            others (torch.FloatTensor): [n, d_w] of further items.
            columns (torch.LongTensor): [n] their numbers.
        """
        values = (directions @ others.T).sub_(1).mul_(self.scale).exp_()
        return values.masked_fill_((items[:, None] == columns) | (items == 0)[:, None] | (columns == 0), 0)

    def summed(self, latest, kernel):
        """Return the sum [B, n] over the latest positions, rows [B, S] of a kernel [R, n]."""
        weights = self.weights[: latest.shape[1]].expand(latest.shape)
        return F.embedding_bag(latest, kernel, mode="sum", per_sample_weights=weights)


def text_directions(text_vectors, popularity):
    """Return text vectors without what all trained items have in common, of length 1; without any left, zero.

    Args:
        text_vectors (torch.FloatTensor): [N, d_w], row 0 the padding item.
        popularity (torch.LongTensor): [N] training interactions; items added later have none and change nothing.

    Returns:
        torch.FloatTensor: [N, d_w].
    """
    vectors, trained = text_vectors[1:].float(), popularity[1:] > 0
    mean = (vectors[trained] if trained.any() else vectors).mean(dim=0)
    return F.pad(F.normalize(vectors - mean, dim=1), (0, 0, 1, 0))


def create_text_similarity(config, dataset):
    """Return the `TextSimilarity` of a data set, or None where it is switched off.

    Args:
        config (Config): see `TextSimilarity`.
        dataset (SequenceDataset): gives `item_text_vectors` and `item_popularity`.

    Raises:
        VQRecError: an option out of its range; a data set that is not of this package, or has no text vectors.
    """
    if not config["text_similarity_weight"]:
        return None
    vectors = getattr(dataset, "item_text_vectors", None)
    if vectors is None:
        raise VQRecError(
            "text_similarity_weight needs the text vectors of a data set of this package; build it with recbole_vqrec, "
            "or call register()"
        )
    return TextSimilarity(text_directions(vectors, dataset.item_popularity), config)
