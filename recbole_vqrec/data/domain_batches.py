"""Sequences of mixed domains -> pre-training batches, a function of seed and epoch, shared out to processes.

Axis legend: S sequences, B rows of a process, L longest of them, A targets of the whole batch.
"""

import numpy as np
import torch
from recbole.data.interaction import Interaction

from recbole_vqrec.data.batches import BATCH_TARGETS, FIRST_TARGET, NEGATIVES_SEED, TARGET_LIST, share_of, split
from recbole_vqrec.distributed import rank_and_size
from recbole_vqrec.randomness import seed_of


class DomainBatches:
    """The batches of pre-training: all domains mixed, every sequence once an epoch or by tempered shares.

    With several processes each forms its own rows of every batch: the rows are shared out by tokens, without overlap
    or padding, and each process knows all targets of the batch.

    Args:
        config (Config): seed, train_batch_size, max_tokens, domain_sampling.
        dataset (MixedDomains): its sequences.
    """

    shuffle = True

    def __init__(self, config, dataset):
        self.seed, self.alpha = config["seed"], config["domain_sampling"]
        self.max_targets, self.max_tokens = config["train_batch_size"], config["max_tokens"]
        self._dataset, self.sequences = dataset, dataset.training
        self.share = 1.0  # of this process in the pairs of the batch that was yielded last
        self.item_list = f"{dataset.iid_field}{config['LIST_SUFFIX']}"
        self.epoch, self._plan = None, []
        self.start(0)

    def __len__(self):
        return len(self._plan)

    @property
    def dataset(self):
        """The data set, of which RecBole's metrics of whole lists count items."""
        return self._dataset

    def start(self, epoch):
        """Draw the batches of an epoch: the same for the same seed, in every process."""
        if epoch != self.epoch:
            self.epoch = epoch
            generator = torch.Generator().manual_seed(seed_of(self.seed, epoch))
            chosen = self._chosen(generator)
            lengths, targets = self.sequences.length[chosen], self.sequences.targets[chosen]
            plan = split(lengths, targets, self.max_targets, self.max_tokens, generator)
            self._plan = [chosen[batch] for batch in plan]

    def _chosen(self, generator):
        """Return the sequences of an epoch: each once, or as often as its domain's share asks for."""
        if self.alpha == 1:
            return np.arange(len(self.sequences))
        total, chosen = self.sequences.targets.sum(), []
        for domain, share in enumerate(self._dataset.domain_shares(self.alpha)):
            own = np.flatnonzero(self.sequences.domain == domain)
            pairs = self.sequences.targets[own].sum()
            if pairs:
                times, rest = divmod(share * total, pairs)
                order = own[torch.randperm(len(own), generator=generator).numpy()]
                fits = np.searchsorted(np.cumsum(self.sequences.targets[order]), rest, side="right")
                chosen += [*[own] * int(times), order[:fits]]
        return np.concatenate(chosen)

    def pairs_of_domains(self):
        """Return the trained pairs of each domain in the coming epoch: dict of name to count."""
        rows = np.concatenate(self._plan)
        pairs = np.bincount(self.sequences.domain[rows], self.sequences.targets[rows], len(self._dataset.domains))
        return {name: int(count) for name, count in zip(self._dataset.domains, pairs)}

    def tokens(self):
        """Return the tokens of the coming epoch, over all processes."""
        return int(self.sequences.length[np.concatenate(self._plan)].sum())

    def __iter__(self):
        return self.from_batch(0)

    def from_batch(self, position):
        """Yield the batches of the epoch from one on.

        Args:
            position (int): batches to leave out.
        """
        for number in range(position, len(self._plan)):
            yield self._batch(self._plan[number], seed_of(self.seed, self.epoch, number))

    def _batch(self, rows, seed):
        """Return this process's rows of a batch, and the targets of all."""
        sequences = self.sequences
        _, following = sequences.histories(rows)
        begin, end = share_of(sequences.length[rows], *rank_and_size())
        own = rows[begin:end]
        self.share = float(sequences.targets[own].sum() / sequences.targets[rows].sum())
        history, own_following = sequences.histories(own)
        columns = {
            self.item_list: history,
            self._dataset.item_list_length_field: sequences.length[own].astype(np.int64),
            self._dataset.uid_field: sequences.users[sequences.start[own]].astype(np.int64),
            TARGET_LIST: own_following,
            BATCH_TARGETS: following[following > 0],
            FIRST_TARGET: np.array([sequences.targets[rows[:begin]].sum()]),
            NEGATIVES_SEED: np.array([seed]),
        }
        return Interaction({name: torch.from_numpy(values) for name, values in columns.items()})
