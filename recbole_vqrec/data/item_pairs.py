"""Which items followed one another in training, how strongly, and what an item shares with those of like text.

Item-based collaborative filtering (Sarwar et al., WWW 2001) on neighbouring interactions. Axis legend: N items with
padding, P unordered pairs of items, e ordered ones, d_w size of a text vector, k nearest texts.
"""

import numpy as np
import torch
import torch.nn.functional as F
from scipy import sparse

from recbole_vqrec.errors import VQRecError

# Half-way between the count (0), by which popular items have the most neighbours, and the cosine (1/2), which overrates
# a pair that was seen once: on validation data of Scientific and Online Retail better than either (README).
EXPONENT = 0.25
ENOUGH = 50  # neighbours in training with which an item takes half as much of others; 30 and 100 are as good there
SHARPNESS = 0.1  # what cosines are divided by before the softmax that weighs the nearest texts
WEAKEST = 0.02  # shared strengths below it change no figure and are most of the pairs of a dense data set
EXACT_ITEMS = 50_000  # up to here the nearest texts are found by comparing all


def item_pairs(training, text_vectors, config):
    """Return the pairs of a data set that `CoOccurrence` scores with, or None where it is switched off.

    Args:
        training (SequentialDataset): the training split.
        text_vectors (callable): () -> FloatTensor [N, d_w], row 0 the padding item; asked where neighbours count.
        config (Config): co_occurrence_weight, co_occurrence_neighbours (k).

    Returns:
        tuple: torch.LongTensor [P, 2], each unordered pair once, and torch.FloatTensor [P] strengths.

    Raises:
        VQRecError: co_occurrence_neighbours is no number of items; as `text_vectors`.
    """
    if not config["co_occurrence_weight"]:
        return None
    neighbours = config["co_occurrence_neighbours"] or 0
    if isinstance(neighbours, bool) or not isinstance(neighbours, int) or neighbours < 0:
        raise VQRecError(f"co_occurrence_neighbours: {neighbours!r}, expected a whole number of items, 0 for none")
    pairs, counts = training_pairs(training)
    if neighbours:
        return shared_pairs(pairs, counts, text_vectors(), neighbours)
    return pairs, pair_strengths(pairs, counts)


def training_pairs(dataset):
    """Return which items follow one another in the training split, in either order, and how often.

    Args:
        dataset (SequentialDataset): the training split; the last item of each history and its target are neighbours.

    Returns:
        tuple: torch.LongTensor [P, 2], each unordered pair once, and torch.LongTensor [P] counts.
    """
    rows = dataset.inter_feat
    histories = rows[f"{dataset.iid_field}{dataset.config['LIST_SUFFIX']}"]
    last = histories[torch.arange(len(rows)), rows[dataset.item_list_length_field] - 1]
    low, high = torch.aminmax(torch.stack([last, rows[dataset.iid_field]], dim=1), dim=1)
    key, counts = torch.unique(low * dataset.item_num + high, return_counts=True)
    return torch.stack([key // dataset.item_num, key % dataset.item_num], dim=1), counts


def in_both_orders(pairs, values):
    """Return item [e], neighbour [e] and value [e] of pairs [P, 2] with values [P]; an item with itself stands once."""
    apart = pairs[:, 0] != pairs[:, 1]
    item, neighbour = torch.cat([pairs, pairs[apart].flip(1)]).T
    return item, neighbour, torch.cat([values, values[apart]])


def item_counts(pairs, counts, size):
    """Return c_i [size], the sum over j of the counts c_ij [P] of pairs [P, 2]."""
    item, _, count = in_both_orders(pairs, counts.double())
    return torch.zeros(size, dtype=torch.float64).index_add_(0, item, count)


def pair_strengths(pairs, counts):
    """Return c_ij / (c_i c_j)^(1/4) [P] of pairs [P, 2] with counts c_ij [P]; see `item_counts`."""
    total = item_counts(pairs, counts, int(pairs.max()) + 1 if len(pairs) else 0)
    return (counts.double() / (total[pairs[:, 0]] * total[pairs[:, 1]]) ** EXPONENT).float()


def shared_pairs(pairs, counts, text_vectors, neighbours):
    """Return pairs and strengths of S + K T S + S (K T)^T: S the strengths, T who is near whom by text, K how much.

    What followed one of two items of like text says something about the other. A row of T is the softmax of the cosines
    of an item's nearest texts; K is 50 / (50 + c_i), for what an item has of its own is better.

    Args:
        pairs (torch.LongTensor): [P, 2], each unordered pair once.
        counts (torch.LongTensor): [P].
        text_vectors (torch.FloatTensor): [N, d_w], row 0 the padding item.
        neighbours (int): k.

    Returns:
        tuple: as `item_pairs`.
    """
    size = len(text_vectors)
    item, neighbour, strength = (each.numpy() for each in in_both_orders(pairs, pair_strengths(pairs, counts)))
    own = sparse.csr_matrix((strength, (item, neighbour)), shape=(size, size))
    near = sparse.csr_matrix(_near(text_vectors, neighbours), shape=(size, size))
    share = ENOUGH / (ENOUGH + item_counts(pairs, counts, size).numpy())
    shared = sparse.diags(share) @ near @ own
    shared = sparse.triu(own + shared + shared.T, format="coo")
    strong = shared.data >= WEAKEST
    pairs = np.stack([shared.row[strong], shared.col[strong]], axis=1).astype(np.int64)
    return torch.from_numpy(pairs), torch.from_numpy(shared.data[strong].astype(np.float32))


def text_weights(cosine):
    """Return the weights of the nearest texts, which sum to 1, from their cosines [..., k]."""
    return torch.softmax(cosine / SHARPNESS, dim=-1)


def _near(text_vectors, neighbours):
    """Return the weights [N * k] of the nearest texts of all items, and (item, neighbour); padding has none."""
    import faiss

    vectors = np.ascontiguousarray(F.normalize(text_vectors[1:].float(), dim=1).numpy())
    neighbours = min(neighbours, len(vectors) - 1)
    if len(vectors) <= EXACT_ITEMS:
        cosine, found = faiss.knn(vectors, vectors, neighbours + 1, metric=faiss.METRIC_INNER_PRODUCT)
    else:
        index = faiss.IndexHNSWFlat(vectors.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
        index.add(vectors)
        cosine, found = index.search(vectors, neighbours + 1)
    item = np.arange(len(vectors))[:, None]
    cosine = np.where((found == item) | (found < 0), -np.inf, cosine)  # an item is no neighbour of its own
    order = np.argsort(-cosine, axis=1, kind="stable")[:, :neighbours]
    cosine, found = np.take_along_axis(cosine, order, axis=1), np.take_along_axis(found, order, axis=1)
    weights = text_weights(torch.from_numpy(cosine)).numpy()
    rows = np.broadcast_to(item, found.shape)
    return weights.ravel(), (rows.ravel() + 1, found.ravel() + 1)
