"""The items a run can recommend: ids, texts, codes, popularity, and how codes are made; and changes of them.

Axis legend: N items without padding (row r is the model's item r + 1), A of them added after training, D codebooks, M
codes per codebook, d_w size of text vectors, P neighbours, n items of a change, p pairs of items.
"""

import dataclasses
import itertools
from dataclasses import dataclass, field

import numpy as np

from recbole_vqrec.errors import AbsentError, PresentError, examples


@dataclass(frozen=True)
class Catalogue:
    """Items with all that is needed to recommend them and to add others; a change gives a new one.

    Args:
        item_ids (list of str): N external ids, in the order of the model's items.
        texts (list of str): N texts, "" where there is none.
        popularity (np.ndarray): [N] int64 interactions in the training split.
        removed (np.ndarray): [N] bool, items that are not recommended; histories may still hold them.
        codes (np.ndarray, optional): [N, D] uint8 or int32 codes in 0 .. M - 1.
        codes_per_codebook (int, optional): M.
        quantizer (dict): arrays of the quantizer that made the codes; empty where there is none.
        text_vectors (np.ndarray, optional): [N, d_w] float32, of models that read them.
        neighbours (np.ndarray, optional): [A, P] int32 rows of the trained items nearest by text to each added one.
        weights (np.ndarray, optional): [A, P] float32 of the neighbours, their sum is 1.
        item_pairs (np.ndarray, optional): [p, 2] int32 rows of items that followed one another in training, where the
            run scores with them.
        pair_strengths (np.ndarray, optional): [p] float32, how strongly they did.
        made (dict): plain values: dataset, trained_items, plm, pooling, max_text_length, text_columns, empty_text, and
            plm_files where plm is a folder.
    """

    item_ids: list
    texts: list
    popularity: np.ndarray
    removed: np.ndarray
    codes: np.ndarray = None
    codes_per_codebook: int = None
    quantizer: dict = field(default_factory=dict)
    text_vectors: np.ndarray = None
    neighbours: np.ndarray = None
    weights: np.ndarray = None
    item_pairs: np.ndarray = None
    pair_strengths: np.ndarray = None
    made: dict = field(default_factory=dict)

    def __len__(self):
        return len(self.item_ids)

    @property
    def recommended(self):
        """How many items are recommended, which removed ones are not."""
        return int((~self.removed).sum())

    @property
    def trained(self):
        """How many items, the first ones, were there in training."""
        return self.made.get("trained_items", len(self) - (0 if self.neighbours is None else len(self.neighbours)))

    def begins_with(self, known):
        """Tell whether the items of another catalogue are the first of these, with the same codes and text vectors."""
        pairs = [(known.codes, self.codes), (known.text_vectors, self.text_vectors)]
        return all(old is None or np.array_equal(old, new[: len(old)]) for old, new in pairs)

    def with_items(self, item_ids, texts, codes=None, text_vectors=None, neighbours=None, weights=None):
        """Return a catalogue with further items at its end; an id that was removed takes its old row again.

        Args:
            item_ids, texts (list of str): n new items.
            codes (np.ndarray, optional): [n, D], where this catalogue has codes.
            text_vectors (np.ndarray, optional): [n, d_w], where this catalogue has text vectors.
            neighbours, weights (np.ndarray, optional): [n, P].

        Raises:
            PresentError: an id is here already.
        """
        row = self.refuse_present(item_ids)
        texts = [one_line(text) for text in texts]
        again = [index for index, item_id in enumerate(item_ids) if item_id in row]
        new = [index for index, item_id in enumerate(item_ids) if item_id not in row]
        rows = [row[item_ids[index]] for index in again]

        def joined(old, added):
            if old is None:
                return None
            old = np.concatenate([old, added[new].astype(old.dtype)])
            old[rows] = added[again]
            return old

        all_texts = [*self.texts, *(texts[index] for index in new)]
        for index in again:
            all_texts[row[item_ids[index]]] = texts[index]
        return dataclasses.replace(
            self,
            item_ids=[*self.item_ids, *(item_ids[index] for index in new)],
            texts=all_texts,
            popularity=np.concatenate([self.popularity, np.zeros(len(new), dtype=np.int64)]),
            removed=joined(self.removed, np.zeros(len(item_ids), dtype=bool)),
            codes=joined(self.codes, codes),
            text_vectors=joined(self.text_vectors, text_vectors),
            neighbours=self._placed(self.neighbours, neighbours, rows, again, new),
            weights=self._placed(self.weights, weights, rows, again, new),
        )

    def _placed(self, old, added, rows, again, new):
        """Return [A, P] with the rows of new items; trained items that come again keep their own vectors."""
        if added is None:
            return old
        old = added[:0] if old is None else old
        joined = np.concatenate([old, added[new]])
        for row, index in zip(rows, again):
            if row >= self.trained:
                joined[row - self.trained] = added[index]
        return joined

    def refuse_present(self, item_ids):
        """Return item id -> row; raise `PresentError` if some of the ids are recommended already."""
        row = {item_id: index for index, item_id in enumerate(self.item_ids)}
        here = [item_id for item_id in item_ids if item_id in row and not self.removed[row[item_id]]]
        if here:
            raise PresentError(f"items that are in the catalogue already ({examples(here)}); remove them first")
        return row

    def without_items(self, item_ids):
        """Return a catalogue that does not recommend these items.

        Raises:
            AbsentError: an id is not here.
        """
        row = {item_id: index for index, item_id in enumerate(self.item_ids)}
        unknown = [item_id for item_id in item_ids if item_id not in row or self.removed[row[item_id]]]
        if unknown:
            raise AbsentError(f"items that are not in the catalogue ({examples(unknown)})")
        removed = self.removed.copy()
        removed[[row[item_id] for item_id in item_ids]] = True
        return dataclasses.replace(self, removed=removed)


@dataclass(frozen=True)
class Change:
    """Items that are added to a catalogue or removed from it.

    Args:
        item_ids (list of str): n external ids.
        texts (list of str, optional): n texts of items that are added; None where items are removed.
        features (dict): arrays of n rows that added items need, arguments of `Catalogue.with_items`.
    """

    item_ids: list
    texts: list = None
    features: dict = field(default_factory=dict)

    def of(self, catalogue):
        """Return the changed catalogue.

        Raises:
            PresentError, AbsentError: see `Catalogue.with_items` and `Catalogue.without_items`.
        """
        if self.texts is None:
            return catalogue.without_items(self.item_ids)
        return catalogue.with_items(self.item_ids, self.texts, **self.features)

    def left_for(self, catalogue):
        """Return the part of the change that a catalogue has not had yet.

        Args:
            catalogue (Catalogue): perhaps one in which some of these items have been added or removed since.
        """
        row = {item_id: index for index, item_id in enumerate(catalogue.item_ids)}
        here = [item_id in row and not catalogue.removed[row[item_id]] for item_id in self.item_ids]
        return self._of_rows([index for index, present in enumerate(here) if present == (self.texts is None)])

    def without(self, item_ids):
        """Return the change of all items but these."""
        others = set(item_ids)
        return self._of_rows([index for index, item_id in enumerate(self.item_ids) if item_id not in others])

    def _of_rows(self, left):
        texts = None if self.texts is None else [self.texts[index] for index in left]
        features = {name: None if array is None else array[left] for name, array in self.features.items()}
        return Change([self.item_ids[index] for index in left], texts, features)

    @staticmethod
    def joined(changes):
        """Return the same changes in fewer: consecutive additions are one, and so are consecutive removals.

        Args:
            changes (iterable of Change): in order, of one catalogue.
        """
        found = []
        for removal, group in itertools.groupby(changes, key=lambda change: change.texts is None):
            group = list(group)
            features = {name: np.concatenate([change.features[name] for change in group]) for name in group[0].features}
            texts = None if removal else [text for change in group for text in change.texts]
            found.append(Change([item_id for change in group for item_id in change.item_ids], texts, features))
        return found


def one_line(text):
    """Return a text with every run of blanks and line breaks as one blank."""
    return " ".join(str(text).split())
