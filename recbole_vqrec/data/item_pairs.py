"""Which items followed one another in training, and how strongly.

Item-based collaborative filtering (Sarwar et al., WWW 2001) on neighbouring interactions. Axis legend: P unordered
pairs of items, e ordered ones.
"""

import torch

# Half-way between the count (0), by which popular items have the most neighbours, and the cosine (1/2), which overrates
# a pair that was seen once: on validation data of Scientific and Online Retail better than either (README).
EXPONENT = 0.25


def item_pairs(training, config):
    """Return the pairs of a data set that `CoOccurrence` scores with, or None where it is switched off.

    Args:
        training (SequentialDataset): the training split.
        config (Config): co_occurrence_weight.

    Returns:
        tuple: torch.LongTensor [P, 2], each unordered pair once, and torch.FloatTensor [P] strengths.
    """
    if not config["co_occurrence_weight"]:
        return None
    pairs, counts = training_pairs(training)
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


def pair_strengths(pairs, counts):
    """Return c_ij / (c_i c_j)^(1/4) [P] of pairs [P, 2] with counts c_ij [P]; c_i is the sum of c_ij over j."""
    item, _, count = in_both_orders(pairs, counts.double())
    total = count.new_zeros(int(pairs.max()) + 1 if len(pairs) else 0).index_add_(0, item, count)
    return (counts.double() / (total[pairs[:, 0]] * total[pairs[:, 1]]) ** EXPONENT).float()
