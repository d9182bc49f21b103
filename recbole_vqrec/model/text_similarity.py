"""What an encoder blurs: that people go on to items whose texts are like those of the latest ones.

It is in the item vectors too, but behind a linear map that was trained for everything at once. The similarity itself
needs no training, no count of any item, and holds for an item that is new.

Axis legend: N items with padding, R items, d_w size of a text vector, k nearest texts.
"""

import numpy as np
import torch
import torch.nn.functional as F

from recbole_vqrec.errors import foreign_data_set
from recbole_vqrec.model.pair_scores import PairScores

NEAREST = 128  # k; on validation data 64, 256 and all of them are as good (README)
EXACT_ITEMS = 50_000  # up to here the nearest texts are found by comparing all


class TextSimilarity(PairScores):
    """Adds w * sum_p decay^p * exp(scale * (cos(t_i, t_j) - 1)) to each item j of the k nearest to i; see `PairScores`.

    t_i is the direction of an item's text vector. An item is not near itself: whether users come back to it is what
    `seen_weight` is for.

    Args:
        text_vectors (torch.FloatTensor): [N, d_w], row 0 the padding item.
        popularity (torch.LongTensor): [N] training interactions.
        config (Config): text_similarity_weight (w), text_similarity_decay, text_similarity_scale,
            text_similarity_history.

    Attributes:
        mean (torch.FloatTensor): [d_w], see `text_mean`.
        directions (torch.FloatTensor): [N, d_w], see `text_directions`; row 0, the padding item's, is zero.
        farthest (torch.FloatTensor): [N] cosine of the last of an item's nearest, which others have to exceed.
    """

    def __init__(self, text_vectors, popularity, config):
        mean = text_mean(text_vectors[1:], popularity[1:])
        directions = F.pad(text_directions(text_vectors[1:], mean), (0, 0, 1, 0))
        items, cosine = nearest_texts(directions, NEAREST)
        farthest = cosine[:, -1] if cosine.shape[1] == NEAREST else torch.full((len(items),), -2.0)
        row = torch.arange(1, len(directions))[:, None].expand(items.shape)
        super().__init__(row.reshape(-1), items.reshape(-1), cosine.reshape(-1), "text_similarity", config)
        farthest = F.pad(farthest, (1, 0), value=-2.0)
        for name, values in {"mean": mean, "directions": directions, "farthest": farthest}.items():
            self.register_buffer(name, values, persistent=False)

    def logit(self, strength):
        """Return exp(scale * (cosine - 1)) [e]."""
        return torch.exp(self.scale * (strength - 1))


def nearest_texts(directions, nearest):
    """Return the nearest other items and their cosines, both [N - 1, min(nearest, N - 2)], without the padding item's.

    Args:
        directions (torch.FloatTensor): [N, d_w], row 0 the padding item.
        nearest (int): k.
    """
    import faiss

    vectors = np.ascontiguousarray(directions[1:].cpu().numpy())
    nearest = min(nearest, len(vectors) - 1)
    if len(vectors) <= EXACT_ITEMS:
        cosine, found = faiss.knn(vectors, vectors, nearest + 1, metric=faiss.METRIC_INNER_PRODUCT)
    else:
        index = faiss.IndexHNSWFlat(vectors.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efSearch = 2 * nearest
        index.add(vectors)
        cosine, found = index.search(vectors, nearest + 1)
    own = found == np.arange(len(vectors))[:, None]
    own[~own.any(axis=1), -1] = True  # equal texts may have put the item itself out
    shape = len(vectors), nearest
    return torch.from_numpy(found[~own].reshape(shape) + 1), torch.from_numpy(cosine[~own].reshape(shape))


def text_mean(text_vectors, popularity):
    """Return what all trained items have in common, the mean [d_w] of their text vectors.

    Args:
        text_vectors (torch.FloatTensor): [R, d_w].
        popularity (torch.LongTensor): [R] training interactions; of items without any nothing is taken, unless all are.
    """
    trained = popularity > 0
    return (text_vectors[trained] if trained.any() else text_vectors).float().mean(dim=0)


def text_directions(text_vectors, mean):
    """Return text vectors [R, d_w] less a mean [d_w], of length 1; the mean itself has no direction, zero."""
    return F.normalize(text_vectors.float() - mean, dim=1)


def create_text_similarity(config, dataset):
    """Return the `TextSimilarity` of a data set, or None where it is switched off.

    Args:
        config (Config): see `TextSimilarity`.
        dataset (SequenceDataset): gives `item_text_vectors` and `item_popularity`.

    Raises:
        VQRecError: a data set that is not of this package, or has no text vectors.
    """
    if not config["text_similarity_weight"]:
        return None
    vectors = getattr(dataset, "item_text_vectors", None)
    if vectors is None:
        raise foreign_data_set("text_similarity_weight", "the text vectors")
    return TextSimilarity(vectors, dataset.item_popularity, config)
