"""Scores of models whose items are the mean of their code vectors: through the codes, without a table of items.

Axis legend: U users, N items without padding, A of them added after training, n items of a block, D codebooks, H hidden
size.
"""

import numpy as np
import torch
import torch.nn.functional as F

from recbole_vqrec.inference.history_scores import columns_of
from recbole_vqrec.inference.histories import padded
from recbole_vqrec.inference.neighbours import placed
from recbole_vqrec.model.packed_sequences import PackedSequences
from recbole_vqrec.model.scoring import SubItemScorer
from recbole_vqrec.model.tied_items import TiedItems


class CodeEngine:
    """Scores through codes: no table of items is formed, and new items need nothing but their codes.

    Args:
        model (VQRec): with `items`, `encoder` and `temperature`.
        config (Config): of the run.
        catalogue (Catalogue): N items with codes.
        known (CodeEngine, optional): one for fewer items of the same model.
        history_scores (ServedHistoryScores, optional): what histories add to the model's scores.
    """

    normalised = True

    def __init__(self, model, config, catalogue, known=None, history_scores=None):
        self.model, self.config, self.history_scores = model, config, history_scores
        for name, buffer in list(model.items.named_buffers(recurse=False)):
            if len(buffer) == len(catalogue) + 1:  # eight times the memory of the codes, and not read here
                setattr(model.items, name, buffer[:1].clone())
        codes = torch.from_numpy(catalogue.codes).to(model.device)
        vectors = known.scorer.code_vectors if known else model.items.code_vectors()  # a permutation takes its time
        self.scorer = SubItemScorer(vectors, codes, catalogue.codes_per_codebook, known and known.scorer)
        self.trained, self.neighbours, self.weights = catalogue.trained, catalogue.neighbours, catalogue.weights
        self.placed = None if self.neighbours is None or not len(self.neighbours) else self._place(known)
        popularity = F.pad(torch.from_numpy(catalogue.popularity), (1, 0))
        self.tied_items = TiedItems(F.pad(codes, (0, 0, 1, 0)), popularity, config["tied_items"]).to(model.device)
        del self.tied_items.group  # memory; only an evaluation reads it

    def _place(self, known):
        """Return the L2-normalised vectors [A, H] of the added items; those of an earlier engine are taken over."""
        done, first = known.placed if known else None, 0
        if done is not None and all(
            np.array_equal(old, new[: len(old)])
            for old, new in ((known.neighbours, self.neighbours), (known.weights, self.weights))
        ):
            first = len(done)
        of_new = (self.neighbours[first:], self.weights[first:])
        rows, weights = (torch.from_numpy(each).to(self.model.device) for each in of_new)
        new = placed(lambda each: F.normalize(self._code_means(each), dim=-1), rows.long(), weights)
        return torch.cat([done[:first], new]) if first else new

    def with_catalogue(self, catalogue):
        """Return an engine for a changed catalogue of the same model."""
        history_scores = self.history_scores and self.history_scores.with_catalogue(catalogue)
        return CodeEngine(self.model, self.config, catalogue, self, history_scores)

    @torch.inference_mode()
    def sequence_vectors(self, rows):
        """Return the L2-normalised states [U, H] of histories, lists of item rows 0 .. N - 1, none empty."""
        lengths = torch.tensor([len(each) for each in rows], device=self.model.device)
        packed = PackedSequences(lengths)
        items = packed.pack(padded(rows, self.model.device, fill=0))
        return F.normalize(self.model.encoder(self._code_means(items), packed, last_only=True), dim=-1)

    def _code_means(self, rows):
        """Return the vectors [n, H] of item rows [n] that their codes give, not normalised."""
        return self.scorer.vectors(self.scorer.codes[rows])

    @torch.inference_mode()
    def item_vectors(self, rows):
        """Return the L2-normalised vectors [n, H] of item rows [n]."""
        vectors = F.normalize(self._code_means(rows), dim=-1)
        if self.placed is not None:
            added = rows >= self.trained
            vectors[added] = self.placed[rows[added] - self.trained]
        return vectors

    @torch.inference_mode()
    def blocks(self, rows, among=None):
        """Yield (first item, scores [U, n]) of histories, cosine / temperature, as the model's `full_sort_predict`.

        Args:
            rows (list of list of int): histories, none empty.
            among (torch.LongTensor, optional): ascending item rows, the only ones that are scored.
        """
        among = None if among is None else among.to(self.model.device)
        blocks = self.similar(self.sequence_vectors(rows) / self.model.temperature, among)
        if self.tied_items.any:
            blocks = self._with_ties_in_order(blocks, rows, among)
        yield from self.history_scores.add_to(blocks, rows, among) if self.history_scores else blocks

    def _with_ties_in_order(self, blocks, rows, among):
        user, column = self._seen_ties(rows, among)
        for start, scores in blocks:
            items = slice(start, start + scores.shape[1])
            items = torch.arange(items.start, items.stop, device=scores.device) if among is None else among[items]
            scores = scores - self.tied_items.popularity_shift[1 + items]
            here = (column >= start) & (column < start + scores.shape[1])
            place = column[here] - start
            scores[user[here], place] -= self.tied_items.seen_shift[1 + items[place]]
            yield start, scores

    def _seen_ties(self, rows, among):
        """Return users and columns of the scored items that are in a history and share their codes with others."""
        user = torch.tensor([index for index, each in enumerate(rows) for _ in set(each)])
        row = torch.tensor([item for each in rows for item in set(each)])
        tied = self.tied_items.seen_shift[1 + row].cpu() > 0
        user, row = user[tied], row[tied]
        scored, column = columns_of(row, among)
        return user[scored].to(self.model.device), column.to(self.model.device)

    @torch.inference_mode()
    def similar(self, vectors, among=None):
        """Yield (first item, scores [U, n]) of vectors [U, H], times the cosine."""
        among = None if among is None else among.to(self.model.device)
        for start, scores in self.scorer.blocks(vectors, among):
            if self.placed is not None:
                items = torch.arange(start, start + scores.shape[1], device=scores.device)
                items = items if among is None else among[items]
                added = items >= self.trained
                if added.any():
                    scores[:, added] = vectors @ self.placed[items[added] - self.trained].T
            yield start, scores
