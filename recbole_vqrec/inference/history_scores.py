"""What histories add to scores in serving: their items, what followed these in training, what has texts like theirs.

Axis legend: U users, N items without padding, A of them added after training, P neighbours, n items of a block,
R items, L positions, e entries, d_w size of a text vector.
"""

from types import SimpleNamespace

import numpy as np
import torch
import torch.nn.functional as F

from recbole_vqrec.inference.histories import padded
from recbole_vqrec.model.history_scores import create_history_scores, new_item_scores
from recbole_vqrec.model.pair_scores import ranges
from recbole_vqrec.model.text_similarity import NEAREST, text_directions


class ServedHistoryScores:
    """Adds to scores what `HistoryScores` does; an added item has the mean co-occurrence of its neighbours by text.

    Without that, new items would fall behind all others. In a history an added item brings no co-occurrence. Its text
    is compared as that of any other: an item is near to it where it is nearer than the last of that item's nearest.

    Args:
        history_scores (HistoryScores): of the trained items, numbered from 1.
        catalogue (Catalogue): N items.
        config (Config): of the run.
    """

    def __init__(self, history_scores, catalogue, config):
        self.history_scores, self.co_occurrence = history_scores, history_scores.co_occurrence
        self.config, self.device, self.texts = config, config["device"], catalogue.texts
        self.text_similarity = history_scores.text_similarity
        self.new_item_scores = None
        if history_scores.new_item_weight:
            popularity = torch.from_numpy(catalogue.popularity)
            self.new_item_scores = new_item_scores(history_scores.new_item_weight, popularity).to(self.device)
        self.trained, self.added = catalogue.trained, 0
        if self.co_occurrence is not None and catalogue.neighbours is not None and len(catalogue.neighbours):
            neighbours = torch.from_numpy(catalogue.neighbours).long().to(self.device)
            self.added = len(neighbours)
            order = torch.argsort(neighbours.flatten(), stable=True)
            self.weights = torch.from_numpy(catalogue.weights).to(self.device).flatten()[order]
            self.added_item = order // neighbours.shape[1]
            sizes = torch.bincount(neighbours.flatten(), minlength=self.trained)
            self.start = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
        if self.text_similarity is not None:
            known = len(self.text_similarity.directions) - 1  # the items it has been made for
            added = torch.from_numpy(catalogue.text_vectors[known:]).to(self.device)
            self.added_directions = text_directions(added, self.text_similarity.mean)

    def with_catalogue(self, catalogue):
        """Return the same for a changed catalogue."""
        trained = slice(None, self.trained)
        if self.text_similarity is not None and catalogue.texts[trained] != self.texts[trained]:
            return create_served_history_scores(self.config, catalogue)  # one came again with another text
        return ServedHistoryScores(self.history_scores, catalogue, self.config)

    def add_to(self, blocks, rows, among):
        """Yield blocks of scores with what the histories add.

        Args:
            blocks (iterable): (first item among those scored, scores [U, n]).
            rows (list of list of int): U histories of item rows, none empty.
            among (torch.LongTensor or None): ascending item rows, the only ones that are scored.
        """
        lengths = torch.tensor([len(each) for each in rows], device=self.device)
        histories = padded([np.asarray(each) + 1 for each in rows], self.device, fill=0)
        user, item, value = self._entries(rows, histories, lengths)
        scored, column = columns_of(item, among)
        user, value = user[scored], value[scored]
        for start, scores in blocks:
            if self.new_item_scores is not None:
                some = slice(start, start + scores.shape[1])
                scores = scores + self.new_item_scores[some if among is None else among[some].to(self.device)]
            here = (column >= start) & (column < start + scores.shape[1])
            yield start, scores.index_put((user[here], column[here] - start), value[here], accumulate=True)

    def _entries(self, rows, histories, lengths):
        """Return user [e], item row [e] and what is added [e]; histories [U, L] of rows + 1, 0 as padding."""
        sizes = torch.tensor([len(set(each)) for each in rows], device=self.device)
        users = torch.repeat_interleave(torch.arange(len(rows), device=self.device), sizes)
        seen = torch.tensor([item for each in rows for item in set(each)], device=self.device)
        found = [(users, seen, torch.full(seen.shape, float(self.history_scores.seen_weight), device=self.device))]
        if self.co_occurrence is not None:
            for user, step, item, strength in self.co_occurrence.entries(histories, lengths):
                found.append((user, item - 1, self.co_occurrence.value(step, strength)))
                if self.added:
                    user, step, item, strength = self._of_added(user, step, item - 1, strength)
                    found.append((user, item, self.co_occurrence.value(step, strength)))
        if self.text_similarity is not None:
            for user, step, item, cosine in self._near(histories, lengths):
                found.append((user, item - 1, self.text_similarity.value(step, cosine)))
        return (torch.cat(each) for each in zip(*found))

    def _near(self, histories, lengths):
        """Yield user [e], step [e], item [e], from 1, and cosine [e] of items that are near those of the histories."""
        similarity, known = self.text_similarity, len(self.text_similarity.directions)
        yield from similarity.entries(histories, lengths)
        if not len(self.added_directions):
            return
        user, step, item = similarity.latest(histories, lengths)
        old = item < known
        cosine = similarity.directions[item[old]] @ self.added_directions.T
        position, added = (cosine > similarity.farthest[item[old], None]).nonzero(as_tuple=True)
        yield user[old][position], step[old][position], known + added, cosine[position, added]
        user, step, item = user[~old], step[~old], item[~old]
        direction = self.added_directions[item - known]
        cosine = torch.cat([direction @ similarity.directions[1:].T, direction @ self.added_directions.T], dim=1)
        cosine.scatter_(1, item[:, None] - 1, -2)  # not near itself
        cosine, near = cosine.topk(min(NEAREST, cosine.shape[1] - 1))
        place = torch.arange(len(item), device=self.device)[:, None].expand(near.shape).reshape(-1)
        yield user[place], step[place], 1 + near.reshape(-1), cosine.reshape(-1)

    def _of_added(self, user, step, item, strength):
        """Return user [e], step [e], row [e] and strength [e] of the added items of which some of these trained ones
        are neighbours.
        """
        entry, place = ranges(self.start, item)
        steps = self.co_occurrence.history  # steps back are below it; the logarithm is of the sum within a step
        position = user[entry] * steps + step[entry]
        key, which = torch.unique(position * self.added + self.added_item[place], return_inverse=True)
        summed = strength.new_zeros(len(key)).index_add_(0, which, strength[entry] * self.weights[place])
        position, added = key // self.added, key % self.added
        return position // steps, position % steps, self.trained + added, summed


def create_served_history_scores(config, catalogue):
    """Return the `ServedHistoryScores` of a run, or None where it scores without."""
    trained = slice(None, catalogue.trained)
    popularity = F.pad(torch.from_numpy(catalogue.popularity[trained]), (1, 0))
    dataset = SimpleNamespace(item_pairs=None, item_text_vectors=None, item_popularity=popularity)
    if catalogue.item_pairs is not None:
        pairs = torch.from_numpy(catalogue.item_pairs).long() + 1
        dataset.item_pairs = pairs, torch.from_numpy(catalogue.pair_strengths)
    if catalogue.text_vectors is not None:
        dataset.item_text_vectors = F.pad(torch.from_numpy(catalogue.text_vectors[trained]), (0, 0, 1, 0))
    history_scores = create_history_scores(config, dataset)
    if history_scores is None:
        return None
    return ServedHistoryScores(history_scores.to(config["device"]), catalogue, config)


def columns_of(rows, among):
    """Return which item rows [R] are scored, a bool mask or a slice, and the columns of those that are.

    Args:
        rows (torch.LongTensor): [R].
        among (torch.LongTensor or None): ascending item rows, the only ones that are scored; None where all are.
    """
    if among is None:
        return slice(None), rows
    if not len(among):
        return torch.zeros(len(rows), dtype=torch.bool, device=rows.device), rows[:0]
    column = torch.searchsorted(among.to(rows.device), rows).clamp(max=len(among) - 1)
    scored = among.to(rows.device)[column] == rows
    return scored, column[scored]
