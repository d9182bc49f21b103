"""Test users grouped by how often their target item was seen in training (paper, section 3.3.3: long-tail items).

Axis legend: U test users.
"""

import numpy as np


def item_groups(counts, groups=5):
    """Group test users by the training interactions of their target item, in groups of like size.

    Items never seen in training are a group of their own. The bounds are numbers of interactions, so users with equal
    counts are in one group, and there may be fewer groups than asked for.

    Args:
        counts (np.ndarray): [U] training interactions of each user's target item.
        groups (int): of the users whose target was seen.

    Returns:
        list of tuple: (label str such as "5-9", users np.ndarray of indices), sparsest items first; every user once.
    """
    counts = np.asarray(counts)
    seen = np.sort(counts[counts > 0])
    starts = np.unique(seen[np.arange(groups) * len(seen) // groups]) if len(seen) else seen
    ends = np.append(starts[1:] - 1, seen[-1]) if len(seen) else starts
    found = [("0", np.flatnonzero(counts == 0))] if (counts == 0).any() else []
    for start, end in zip(starts, ends):
        label = str(start) if start == end else f"{start}-{end}"
        found.append((label, np.flatnonzero((counts >= start) & (counts <= end))))
    return found
