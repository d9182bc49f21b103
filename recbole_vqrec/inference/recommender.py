"""A run folder -> recommendations in external ids: known and new users, known and new items.

Axis legend: U users, N items, H hidden size.
"""

import logging
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from recbole_vqrec.errors import VQRecError, examples, refuse_other
from recbole_vqrec.inference.histories import as_histories
from recbole_vqrec.inference.new_items import refuse_unknown
from recbole_vqrec.inference.served_run import ServedRun
from recbole_vqrec.model.scoring import top_k

USERS_AT_ONCE = 64  # their sub-item scores stay in the processor's cache
LOGGER = logging.getLogger("recbole_vqrec")


class Vectors(NamedTuple):
    """Vectors with their ids.

    Args:
        ids (list): N item ids or users.
        vectors (np.ndarray): [N, H] float32.
    """

    ids: list
    vectors: np.ndarray


class Recommender(ServedRun):
    """A trained model with its items; `Recommender.load(run)` needs the run folder only."""

    def recommend(self, histories, k=10, filter_seen=True, candidates=None, unknown="skip"):
        """Return the best items for each history.

        A history is cut to the latest items that the model reads. An empty one, or one without a known item, gets the
        most popular items, with their number of training interactions as score.

        Args:
            histories (list, dict or pd.DataFrame): see `as_histories`.
            k (int): items a user; fewer where fewer are left.
            filter_seen (bool): leave out the items of the history.
            candidates (list of str, optional): the only items that may be recommended.
            unknown (str): item ids that the run does not know are left out of a history ("skip"), or an "error".

        Returns:
            pd.DataFrame: user, rank (from 1), item, score. Equal scores rank in catalogue order. `attrs` says
            "unknown_items", how many ids were left out, and "by_popularity", the users without a known item.

        Raises:
            VQRecError: histories of another form, unknown candidates, k below 1, unknown ids if they are an error.
        """
        users, lists = as_histories(histories)
        return self.recommend_for(users, lists, k, filter_seen, candidates, unknown)

    def recommend_for(self, users, lists, k=10, filter_seen=True, candidates=None, unknown="skip", notes=True):
        """Return what `recommend` does, for users and their lists of item ids; `notes` logs what was left out."""
        refuse_no_count(k)
        served = self.served
        rows, skipped = self._rows(served, lists, unknown)
        among = self._among(served, candidates)
        found = [None] * len(rows)
        cold = [index for index, each in enumerate(rows) if not each]
        warm = sorted((index for index, each in enumerate(rows) if each), key=lambda index: len(rows[index]))
        limit = self.config["MAX_ITEM_LIST_LENGTH"]
        for start in range(0, len(warm), USERS_AT_ONCE):
            batch = warm[start : start + USERS_AT_ONCE]
            wanted = k + (max(len(set(rows[index])) for index in batch) if filter_seen else 0)
            blocks = served.engine.blocks([rows[index][-limit:] for index in batch], among)
            scores, places = (each.cpu().numpy() for each in top_k(blocks, len(batch), wanted))
            for index, score, place in zip(batch, scores, places):
                found[index] = self._kept(score, place, among, rows[index] if filter_seen else (), k)
        popular = self._popular(served, among, k) if cold else None
        for index in cold:
            found[index] = popular
        result = _as_table(users, found, served.catalogue.item_ids)
        result.attrs = {"unknown_items": skipped, "by_popularity": [users[index] for index in cold]}
        if skipped and notes:
            LOGGER.warning("%s item ids of the histories are not known to the run and were left out", f"{skipped:,}")
        if cold and notes:
            LOGGER.warning("%s users without a known item get the most popular items", f"{len(cold):,}")
        return result

    def _rows(self, served, lists, unknown):
        refuse_other("unknown", unknown, ("skip", "error"))
        if unknown == "error":
            refuse_unknown((item for each in lists for item in each), served.row, "histories")
        rows = [[served.row[item] for item in each if item in served.row] for each in lists]
        return rows, sum(map(len, lists)) - sum(map(len, rows))

    @staticmethod
    def _among(served, candidates):
        """Return the rows that may be recommended, ascending, or None where all may."""
        if candidates is None:
            return served.allowed
        if isinstance(candidates, (str, bytes)):
            raise VQRecError("candidates: expected a list of item ids, found a text")
        candidates = [str(item) for item in candidates]
        refuse_unknown(candidates, served.row, "candidates")
        rows = np.unique(np.array([served.row[item] for item in candidates], dtype=np.int64))
        return torch.from_numpy(rows[~served.catalogue.removed[rows]])

    @staticmethod
    def _kept(scores, places, among, seen, k):
        places, scores = places[places >= 0], scores[places >= 0]
        rows = places if among is None else among.numpy()[places]
        keep = ~np.isin(rows, list(seen)) if len(seen) else slice(None)
        return rows[keep][:k], scores[keep][:k]

    @staticmethod
    def _popular(served, among, k):
        rows = np.arange(len(served.catalogue)) if among is None else among.numpy()
        counts = served.catalogue.popularity[rows]
        order = np.argsort(-counts, kind="stable")[:k]
        return rows[order], counts[order].astype(np.float32)

    def item_embeddings(self):
        """Return the `Vectors` of the items that are recommended.

        For models that score by cosine (VQRec) they are L2-normalised: score = product with a sequence embedding /
        temperature. For others the product is the score. What histories add (seen_weight, co-occurrence) is no part
        of it.

        Raises:
            VQRecError: the model has no such vectors.
        """
        served = self.served
        rows = torch.from_numpy(np.flatnonzero(~served.catalogue.removed))
        ids = [served.catalogue.item_ids[row] for row in rows.tolist()]
        return Vectors(ids, served.engine.item_vectors(rows).cpu().numpy())

    def sequence_embeddings(self, histories, unknown="skip"):
        """Return the `Vectors` of histories, normalised as `item_embeddings`.

        Args:
            histories (list, dict or pd.DataFrame): see `as_histories`.
            unknown (str): see `recommend`.

        Raises:
            VQRecError: a history without a known item, or a model that has no such vectors.
        """
        users, lists = as_histories(histories)
        served = self.served
        rows, _ = self._rows(served, lists, unknown)
        empty = [user for user, each in zip(users, rows) if not each]
        if empty:
            raise VQRecError(f"histories without a known item have no embedding (users {examples(empty)})")
        limit, order = self.config["MAX_ITEM_LIST_LENGTH"], np.argsort([len(each) for each in rows], kind="stable")
        vectors = None
        for start in range(0, len(order), USERS_AT_ONCE):
            batch = order[start : start + USERS_AT_ONCE]
            part = served.engine.sequence_vectors([rows[index][-limit:] for index in batch]).cpu().numpy()
            vectors = np.empty((len(rows), part.shape[1]), dtype=np.float32) if vectors is None else vectors
            vectors[batch] = part
        if vectors is None:  # no histories
            vectors = served.engine.item_vectors(torch.arange(0)).cpu().numpy().astype(np.float32)
        return Vectors(users, vectors)

    def similar_items(self, item, k=10):
        """Return the items whose vectors have the largest cosine with an item's.

        Args:
            item (str): its id.
            k (int): items; fewer where the catalogue has fewer.

        Returns:
            pd.DataFrame: rank (from 1), item, score (cosine).

        Raises:
            VQRecError: an unknown id, k below 1, or a model without item vectors.
        """
        refuse_no_count(k)
        served, item = self.served, str(item)
        refuse_unknown([item], served.row, "similar")
        row = served.row[item]
        vector = served.engine.item_vectors(torch.tensor([row]))
        scores, places = (each.cpu().numpy() for each in top_k(served.engine.similar(vector, served.allowed), 1, k + 1))
        rows, scores = self._kept(scores[0], places[0], served.allowed, (row,), k)
        return _as_table([item], [(rows, scores)], served.catalogue.item_ids).drop(columns="user")

    def text_of(self, item):
        """Return the text of an item, "" where it has none."""
        return self.catalogue.texts[self.served.row[item]]

    def find_items(self, text, limit=10):
        """Return (item, text) of items that are recommended and whose text or id holds `text`, in any case.

        Texts that begin with it come first.
        """
        wanted, catalogue = text.strip().lower(), self.catalogue
        first, later = [], []
        for item, own, removed in zip(catalogue.item_ids, catalogue.texts, catalogue.removed):
            if removed or not wanted:
                continue
            lower = own.lower()
            if lower.startswith(wanted) or item.lower().startswith(wanted):
                first.append((item, own))
                if len(first) == limit:
                    break
            elif wanted in lower and len(later) < limit:
                later.append((item, own))
        return (first + later)[:limit]

    def explain(self, history, item):
        """Return how many codes each item of a history shares with an item, the most first.

        Args:
            history (list of str): item ids, unknown ones are left out.
            item (str): a recommended item.

        Returns:
            pd.DataFrame: item, shared_codes, of_codes (D); items of the history once each.

        Raises:
            VQRecError: an unknown item, or a model whose items have no codes.
        """
        served = self.served
        if served.catalogue.codes is None:
            raise VQRecError(f"{self.config['model']} has no item codes that could explain a recommendation")
        item = str(item)
        refuse_unknown([item], served.row, "explain")
        _, (history,) = as_histories([history])
        known = [each for each in dict.fromkeys(history) if each in served.row]
        codes = served.catalogue.codes
        shared = (codes[[served.row[each] for each in known]] == codes[served.row[item]]).sum(axis=1).tolist()
        table = pd.DataFrame({"item": known, "shared_codes": shared, "of_codes": codes.shape[1]})
        return table.sort_values("shared_codes", ascending=False, kind="stable", ignore_index=True)


def refuse_no_count(k):
    """Raise `VQRecError` unless k is a whole number of at least 1."""
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        raise VQRecError(f"k: {k!r}, expected a whole number of at least 1")


def _as_table(users, found, item_ids):
    """Return the data frame of (rows, scores) of each user."""
    counts = [len(rows) for rows, _ in found]
    rows = np.concatenate([rows for rows, _ in found]) if found else np.zeros(0, dtype=np.int64)
    return pd.DataFrame(
        {
            "user": [user for user, count in zip(users, counts) for _ in range(count)],
            "rank": np.concatenate([np.arange(1, count + 1) for count in counts]) if found else rows,
            "item": [item_ids[row] for row in rows],
            "score": np.concatenate([scores for _, scores in found]) if found else rows.astype(np.float32),
        }
    )
