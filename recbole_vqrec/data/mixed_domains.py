"""A merged data set -> training sequences and validation users of each domain, kept flat: no prefix rows are made.

Axis legend: I interactions, S training sequences, V validation users, N items with padding, L history limit.
"""

from dataclasses import dataclass
from logging import getLogger
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from recbole_vqrec import artifacts
from recbole_vqrec.data.sequences import stride_of
from recbole_vqrec.errors import VQRecError, examples
from recbole_vqrec.interchange.record import record_file as import_record_file
from recbole_vqrec.preprocess.atomic_files import read_table
from recbole_vqrec.preprocess.record import read_record
from recbole_vqrec.provenance import fingerprint


@dataclass(frozen=True)
class DomainSequences:
    """Stretches of the interactions, ordered by user and time; only where they lie is stored.

    Args:
        items (np.ndarray): [I] int32 internal item ids.
        users (np.ndarray): [I] int32 internal user ids.
        start (np.ndarray): [S] first interaction of each sequence's history.
        length (np.ndarray): [S] interactions of the history, 1 .. L.
        targets (np.ndarray): [S] pairs it trains: those at its last `targets` positions.
        domain (np.ndarray): [S] domain number.
    """

    items: np.ndarray
    users: np.ndarray
    start: np.ndarray
    length: np.ndarray
    targets: np.ndarray
    domain: np.ndarray

    def __len__(self):
        return len(self.start)

    def histories(self, rows):
        """Return histories [B, L] of sequences, zero-padded at the end, and each position's next item [B, L]."""
        length = self.length[rows]
        position = np.arange(length.max(initial=1))
        inside = position < length[:, None]
        index = np.where(inside, self.start[rows, None] + position, 0)
        history = np.where(inside, self.items[index], 0).astype(np.int64)
        trained = inside & (position >= (length - self.targets[rows])[:, None])
        following = np.where(trained, self.items[np.where(trained, index + 1, 0)], 0).astype(np.int64)
        return history, following


class MixedDomains:
    """What pre-training needs of a data set, mixed into the class that a model reads.

    A domain is what <D>.item says of a data set that was merged or imported here, or what lies before the first "-" of
    an item id. Users are never joined across domains.

    Attributes:
        domains (list of str): names.
        item_domain (np.ndarray): [N] domain number, -1 for the padding item.
        item_frequency (torch.FloatTensor): [N] expected share of each item among the targets of an epoch.

    Raises:
        VQRecError: items without a domain.
    """

    def __init__(self, config):
        super().__init__(config)
        if self.benchmark_filename_list is not None:
            raise VQRecError(
                f"{self.dataset_name}: pre-training reads interactions, not the prefix rows of benchmark_filename; "
                f"it needs {self.dataset_name}.inter, which 'recbole-vqrec import-unisrec' makes of the authors' files"
            )
        self._change_feat_format()
        self._items = self.inter_feat[self.iid_field].numpy().astype(np.int32)
        self._users = self.inter_feat[self.uid_field].numpy().astype(np.int32)
        self.domains, self.item_domain = self._domains_of(self.field2id_token[self.iid_field])
        self.training = self._training_sequences(config["window_stride"], held_out=bool(config["validate"]))
        if not len(self.training):
            raise VQRecError(f"{self.dataset_name}: no user has two interactions to train on")
        self.item_frequency = self._frequency(config["domain_sampling"])

    def data_augmentation(self):
        """Keep the interactions as they are; RecBole makes one row for each prefix here."""
        self.sort(by=[self.uid_field, self.time_field], ascending=True)

    def _domains_of(self, tokens):
        """Return domain names, and the domain number of each item [N]."""
        ids = pd.Series(tokens[1:], dtype=str)
        record = read_record(self.dataset_path, self.dataset_name)
        named = (record or {}).get("options", {}).get("datasets")
        if named:
            self._tell_changed(record, named)
        stated = self._stated_domains(ids) if named or self._imported() else None
        if named or stated is not None:
            names = list(named or dict.fromkeys(stated))
            number = np.full(len(ids), -1)
            if stated is not None:
                number[:] = pd.Categorical(stated, categories=names).codes
            else:
                for index, name in sorted(enumerate(names), key=lambda pair: len(pair[1])):  # the longest name wins
                    number[ids.str.startswith(f"{name}-").to_numpy()] = index
            if (number < 0).any():
                raise VQRecError(
                    f"{self.dataset_name}: items of none of the domains {', '.join(names)} "
                    f"({examples(ids[number < 0])}); merge the data sets again"
                )
            return names, np.concatenate([[-1], number])
        number, names = pd.factorize(ids.str.split("-", n=1).str[0])
        of_row = number[self._items - 1]
        crossed = (of_row[1:] != of_row[:-1]) & (self._users[1:] == self._users[:-1])
        if record or crossed.any() or not ids.str.contains("-", regex=False).all():  # not merged by anyone
            return [self.dataset_name], np.concatenate([[-1], np.zeros(len(ids), dtype=np.int64)])
        return list(names), np.concatenate([[-1], number])

    def _imported(self):
        """Tell whether the data set is an import of the authors' files, which has no record of a merge."""
        return import_record_file(Path(self.dataset_path), self.dataset_name, "import").is_file()

    def _stated_domains(self, ids):
        """Return the domain of each item id as <D>.item says, or None where it does not."""
        file = artifacts.atomic_file(self.dataset_path, self.dataset_name, "item")
        table = read_table(file, "") if file.is_file() else pd.DataFrame()
        if not {"item_id", "domain"} <= {*table}:
            return None
        stated = ids.map(table.drop_duplicates("item_id").set_index("item_id")["domain"])
        return None if stated.isna().any() else stated

    def _tell_changed(self, record, domains):
        """Warn where the interactions of a domain are others now than those that were merged."""
        for name in domains:
            file = Path(self.dataset_path).parent / name / f"{name}.inter"
            merged = record.get("inputs", {}).get(file.name)
            if merged and file.is_file() and fingerprint(file) != merged:
                getLogger().warning(
                    f"{self.dataset_name}: {file} has changed since it was merged, and the older interactions are "
                    f"trained; run 'recbole-vqrec merge --datasets {','.join(domains)} --name {self.dataset_name}'"
                )

    def _user_ranges(self):
        """Return the first interaction of each user, and how many there are."""
        first = np.flatnonzero(np.concatenate([[True], self._users[1:] != self._users[:-1]]))
        return first, np.diff(np.append(first, len(self._users)))

    def _training_sequences(self, window_stride, held_out):
        """Cut each user's training interactions into sequences so that every (history -> item) pair is in one."""
        first, count = self._user_ranges()
        if held_out:
            count = np.where(count > 2, count - 1, count)
        pairs, limit = count - 1, self.max_item_list_len
        beyond = np.maximum(pairs - limit, 0)  # pairs whose history has to be cut to the latest L
        window_stride = stride_of(window_stride, limit, beyond.sum(), np.clip(pairs, 0, limit).sum())
        pieces = (pairs > 0) + -(-beyond // window_stride)  # the beginning, then windows that slide by the stride
        user = np.repeat(np.arange(len(first)), pieces)
        index = np.arange(len(user)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        targets = np.minimum(window_stride, beyond[user] - (index - 1) * window_stride)
        targets = np.where(index == 0, np.minimum(pairs[user], limit), targets)
        last_pair = np.where(index == 0, targets, limit + np.minimum(index * window_stride, beyond[user]))
        length = np.minimum(last_pair, limit)
        start = first[user] + last_pair - length
        return DomainSequences(self._items, self._users, start, length, targets, self.item_domain[self._items[start]])

    def validation_users(self, domain):
        """Return the leave-one-out users of a domain: their latest interaction is the target.

        Args:
            domain (int): number.

        Returns:
            DomainSequences: one sequence a user, its last position trained; users of three interactions or more.
        """
        first, count = self._user_ranges()
        own = (self.item_domain[self._items[first]] == domain) & (count > 2)
        length = np.minimum(count[own] - 1, self.max_item_list_len)
        start = (first + count)[own] - 1 - length
        ones = np.ones(len(start), dtype=np.int64)
        return DomainSequences(self._items, self._users, start, length, ones, domain * ones)

    def domain_shares(self, alpha):
        """Return the share of each domain among the targets of an epoch: p^alpha, made to sum to 1.

        Args:
            alpha (float): 1 as many as there are, 0 equally many of each domain.
        """
        pairs = np.bincount(self.training.domain, self.training.targets, len(self.domains))
        weight = np.where(pairs > 0, (pairs / pairs.sum()) ** alpha, 0)
        return weight / weight.sum()

    def _frequency(self, alpha):
        pairs = np.zeros(self.item_num)
        sequences = self.training
        offsets = np.repeat(np.cumsum(sequences.targets) - sequences.targets, sequences.targets)
        place = np.arange(len(offsets)) - offsets
        last = np.repeat(sequences.start + sequences.length - sequences.targets + 1, sequences.targets)
        np.add.at(pairs, sequences.items[last + place], 1)
        within = np.bincount(self.item_domain[1:], pairs[1:], len(self.domains))
        scale = self.domain_shares(alpha) / np.maximum(within, 1)
        return torch.from_numpy(pairs * np.append(scale, 0)[self.item_domain]).float()


def mixed(dataset):
    """Return the class of a model's data set with what pre-training needs.

    Args:
        dataset (type): the model's own data set class.
    """
    return type(f"Mixed{dataset.__name__}", (MixedDomains, dataset), {"__doc__": dataset.__doc__})
