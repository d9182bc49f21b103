"""Scores of any sequential model, by its own `full_sort_predict`.

Axis legend: U users, L longest history, N items without padding, A of them added after training, H hidden size.
"""

import numpy as np
import torch
import torch.nn.functional as F
from recbole.data.interaction import Interaction

from recbole_vqrec import registry
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.inference.histories import padded
from recbole_vqrec.inference.neighbours import weighted_mean
from recbole_vqrec.inference.rebuild import with_items


class ModelEngine:
    """Scores of `full_sort_predict`, for any sequential model; items added to codes are scored as their neighbours are.

    Args:
        model (SequentialRecommender): in evaluation mode.
        config (Config): of the run.
        catalogue (Catalogue): N items.
        state (dict): the model's state, from which it is rebuilt for other items.
        history_scores (ServedHistoryScores, optional): what histories add to the model's scores.
    """

    def __init__(self, model, config, catalogue, state, history_scores=None):
        self.model, self.config, self.catalogue, self.state = model, config, catalogue, state
        self.history_scores = history_scores
        self.full_length = registry.of(config).batches == registry.STOCK_ROWS
        self.normalised = getattr(model, "temperature", None) is not None
        self.placed = None
        if self.normalised and catalogue.neighbours is not None and len(catalogue.neighbours):
            self.placed = self._place()

    def with_catalogue(self, catalogue):
        """Return an engine for a changed catalogue; raises `VQRecError` where the model cannot take new items."""
        model = self.model
        if len(catalogue) != len(self.catalogue) or not catalogue.begins_with(self.catalogue):
            model = with_items(model, self.config, catalogue, self.state, self.catalogue)
        history_scores = self.history_scores and self.history_scores.with_catalogue(catalogue)
        return ModelEngine(model, self.config, catalogue, self.state, history_scores)

    @torch.inference_mode()
    def _place(self):
        """Return the neighbours [A, P] of the added items, their weights [A, P], and the weighted means [A, H]."""
        neighbours = torch.from_numpy(self.catalogue.neighbours).long().to(self.model.device)
        weights, table = torch.from_numpy(self.catalogue.weights).to(self.model.device), self._raw_table()
        means = weighted_mean(lambda rows: F.normalize(table[rows], dim=-1), neighbours, weights)
        return neighbours, weights, means

    def _scores(self, interaction):
        """Return the scores [U, N] of all items."""
        users = len(interaction[self.model.ITEM_SEQ_LEN])
        scores = self.model.full_sort_predict(interaction).view(users, -1)[:, 1 : len(self.catalogue) + 1]
        if self.placed is None:
            return scores
        neighbours, weights, means = self.placed
        added = sum(scores[:, rows] * weight for rows, weight in zip(neighbours.T, weights.T))
        return torch.cat([scores[:, : len(self.catalogue) - len(means)], added / means.norm(dim=1)], dim=1)

    def _interaction(self, rows):
        longest = self.model.max_seq_length if self.full_length else None
        lengths = torch.tensor([len(each) for each in rows], device=self.model.device)
        items = padded([np.asarray(each) + 1 for each in rows], self.model.device, fill=0, longest=longest)
        return Interaction({self.model.ITEM_SEQ: items, self.model.ITEM_SEQ_LEN: lengths})

    @torch.inference_mode()
    def blocks(self, rows, among=None):
        """Yield (0, scores [U, n]) of histories, lists of item rows, none empty: one block of all items."""
        scores = self._scores(self._interaction(rows))
        blocks = [(0, scores if among is None else scores[:, among])]
        yield from self.history_scores.add_to(blocks, rows, among) if self.history_scores else blocks

    @torch.inference_mode()
    def sequence_vectors(self, rows):
        """Return the vectors [U, H] of histories whose product with the item vectors are the scores (up to tau).

        Raises:
            VQRecError: the model's scores are no such products.
        """
        interaction = self._interaction(rows)
        try:
            state = self.model.forward(interaction[self.model.ITEM_SEQ], interaction[self.model.ITEM_SEQ_LEN])
        except (TypeError, NotImplementedError):  # a model that reads more or less than items and lengths, or has none
            self._refuse()
        vectors = self._table()
        if state.dim() != 2 or state.shape[1] != vectors.shape[1]:
            self._refuse()
        if self.normalised:
            state = F.normalize(state, dim=-1)
        scores = self._scores(interaction)
        products = state @ vectors.T / (self.model.temperature if self.normalised else 1)
        if not torch.allclose(products, scores, rtol=1e-3, atol=1e-3):
            self._refuse()
        return state

    @torch.inference_mode()
    def item_vectors(self, rows):
        """Return the vectors [n, H] of item rows [n], L2-normalised where the model scores by cosine."""
        return self._table()[rows]

    @torch.inference_mode()
    def similar(self, vectors, among=None):
        """Yield (0, cosine [U, n]) of item vectors [U, H] with all items."""
        table = self._table() if among is None else self._table()[among]
        yield 0, F.normalize(vectors, dim=-1) @ F.normalize(table, dim=-1).T

    def _raw_table(self):
        """Return the model's item vectors [N, H] without padding."""
        if hasattr(self.model, "item_table"):
            table = self.model.item_table()
        elif isinstance(getattr(self.model, "item_embedding", None), torch.nn.Embedding):
            table = self.model.item_embedding.weight
        else:
            self._refuse()
        return table[1 : len(self.catalogue) + 1]

    def _table(self):
        """Return the item vectors [N, H], L2-normalised where the model scores by cosine."""
        table = self._raw_table()
        if not self.normalised:
            return table
        if self.placed is not None:
            table = torch.cat([table[: len(table) - len(self.placed[2])], self.placed[2]])
        return F.normalize(table, dim=-1)

    def _refuse(self):
        raise VQRecError(
            f"{self.config['model']} has no vectors for sequences and items whose product is its score; "
            "it can recommend, but not be exported to a vector index"
        )
