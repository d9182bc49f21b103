"""Training sequences -> batches, bounded by pairs and by tokens and cut to the longest.

Axis legend: S training sequences, B rows of a batch, L longest row of the batch, R prefix rows.
"""

import numpy as np
import torch
from recbole.data.interaction import Interaction

from recbole_vqrec import registry
from recbole_vqrec.data import sequences
from recbole_vqrec.errors import VQRecError, refuse_other
from recbole_vqrec.distributed import rank_and_size
from recbole_vqrec.randomness import seed_of

TARGET_LIST = "target_list"  # [B, L] next item at each position, 0 where there is none to train
BATCH_TARGETS = "batch_targets"  # [A] targets of the whole batch, in row order, those of other processes included
FIRST_TARGET = "first_target"  # [1] place of this process's first target among them
NEGATIVES_SEED = "negatives_seed"  # [1] of the batch's random negatives


def split(lengths, targets, max_targets, max_tokens, generator=None, like_length=False):
    """Split sequences into batches.

    Args:
        lengths (np.ndarray): [S] tokens of each sequence.
        targets (np.ndarray): [S] pairs each sequence trains.
        max_targets (int): pairs in a batch; the batches are of even size below it.
        max_tokens (int): tokens of a batch; a longer sequence is a batch of its own.
        generator (torch.Generator, optional): shuffles the sequences and the order of the batches.
        like_length (bool): put sequences of like length together and count their padding as tokens, for models that
            read a batch as one padded block; random batches otherwise.

    Returns:
        list of np.ndarray: indices of sequences, each exactly once.
    """
    count = len(lengths)
    order = np.arange(count) if generator is None else torch.randperm(count, generator=generator).numpy()
    if like_length:
        order = order[np.argsort(lengths[order], kind="stable")]
    lengths, pairs = lengths[order], np.concatenate([[0], np.cumsum(targets[order])])
    tokens = np.concatenate([[0], np.cumsum(lengths)])
    even = -(-int(pairs[-1]) // -(-int(pairs[-1]) // max_targets)) if count else 0
    batches, start = [], 0
    while start < count:
        end = int(np.searchsorted(pairs, pairs[start] + even, side="right")) - 1
        if like_length:
            while end > start + 1 and lengths[end - 1] * (end - start) > max_tokens:
                end = min(start + max(1, int(max_tokens // lengths[end - 1])), end - 1)
        else:
            end = min(end, int(np.searchsorted(tokens, tokens[start] + max_tokens, side="right")) - 1)
        end = max(end, start + 1)
        batches.append(order[start:end])
        start = end
    if generator is None or not like_length:
        return batches
    return [batches[index] for index in torch.randperm(len(batches), generator=generator).tolist()]


def share_of(lengths, rank, size):
    """Return the range of a batch's rows that a process trains, cut so that each gets about as many tokens.

    Args:
        lengths (np.ndarray): [B] tokens of each row of the batch.
        rank, size (int): number of the process, and how many there are.

    Returns:
        tuple of int: first row and the one after the last; the ranges of all processes cover each row once.
    """
    if size == 1:
        return 0, len(lengths)
    middle = np.cumsum(lengths) - lengths / 2
    bounds = np.searchsorted(middle, lengths.sum() * np.arange(size + 1) / size)
    bounds[[0, -1]] = 0, len(lengths)
    return int(bounds[rank]), int(bounds[rank + 1])


class SequenceBatches:
    """The batches of one training set, in a new order each epoch; takes the place of RecBole's TrainDataLoader.

    Args:
        loader (TrainDataLoader): RecBole's loader over prefix rows; its collation, transform, negative sampling,
            seed and `shuffle` are used.
        batches (str): one of registry.ALL_POSITIONS, WINDOWS, TRIMMED_ROWS.
        max_targets (int): (history -> next item) pairs in a batch.
        max_tokens (int): tokens of a batch.
        window_stride (int or str): see `sequences.prefix_groups`.
    """

    def __init__(self, loader, batches, max_targets, max_tokens, window_stride=1):
        self.loader, self.batches = loader, batches
        self.max_targets, self.max_tokens = max_targets, max_tokens
        self.shuffle, self.generator = loader.shuffle, loader.generator
        dataset = loader._dataset
        self.item_list = f"{dataset.iid_field}{dataset.config['LIST_SUFFIX']}"
        self.length_field, self.item_field = dataset.item_list_length_field, dataset.iid_field
        rows = dataset.inter_feat
        self.histories, self.targets = rows[self.item_list].numpy(), rows[self.item_field].numpy()
        self.lengths = rows[self.length_field].numpy()
        users = rows[dataset.uid_field].numpy()
        columns = users, self.histories, self.lengths, self.targets
        if batches == registry.ALL_POSITIONS:
            self.sequences = sequences.prefix_groups(*columns, window_stride=window_stride)
        elif batches == registry.WINDOWS:
            self.sequences = sequences.windows(*columns)
        else:
            self.sequences = sequences.single_rows(len(users))
        self.seed = dataset.config["seed"]
        self.share = 1.0  # of this process in the pairs of the batch that was yielded last
        self._epoch_plan = None

    @property
    def dataset(self):
        """The training data set, as RecBole's loaders have it."""
        return self.loader._dataset

    _dataset = dataset

    def __len__(self):
        return len(self._plan())

    def start(self, epoch):
        """Draw the batches of an epoch, a function of seed and epoch."""
        self.generator.manual_seed(seed_of(self.seed, epoch))
        self._epoch_plan = None

    def __iter__(self):
        return self.from_batch(0)

    def from_batch(self, position):
        """Yield this process's rows of the epoch's batches from one on.

        Args:
            position (int): batches to leave out.
        """
        collate = {registry.ALL_POSITIONS: self._all_positions, registry.WINDOWS: self._windows}
        plan, self._epoch_plan = self._plan(), None
        for batch in plan[position:]:
            begin, end = share_of(self.lengths[self.sequences.row[batch]], *rank_and_size())
            own = batch[begin:end]
            self.share = float(self.sequences.targets[own].sum() / self.sequences.targets[batch].sum())
            yield collate.get(self.batches, self._rows)(own if len(own) else batch[:1])  # not trained at share 0

    def _plan(self):
        """Return the batches of the coming epoch, drawn once."""
        if self._epoch_plan is None:
            lengths = self.lengths[self.sequences.row]
            generator = self.generator if self.shuffle else None
            one_block = self.batches != registry.ALL_POSITIONS  # models trained there read a batch in length blocks
            self._epoch_plan = split(
                lengths, self.sequences.targets, self.max_targets, self.max_tokens, generator, like_length=one_block
            )
        return self._epoch_plan

    def _rows(self, batch):
        """Return prefix rows through RecBole's own collation."""
        return self.loader.collate_fn(self.sequences.row[batch])

    def _all_positions(self, batch):
        """Return histories [B, L] and at each trained position its next item [B, L]."""
        row, trained = self.sequences.row[batch], self.sequences.targets[batch]
        length = self.lengths[row]
        longest = int(length.max())
        history = self.histories[row, :longest]
        following = np.zeros_like(history)
        following[:, :-1] = history[:, 1:]
        following[np.arange(len(row)), length - 1] = self.targets[row]
        position = np.arange(longest)
        following *= (position >= (length - trained)[:, None]) & (position < length[:, None])
        return self._interaction(history, length, {TARGET_LIST: following})

    def _windows(self, batch):
        """Return histories with their target as last item [B, L], through RecBole's transform."""
        row = self.sequences.row[batch]
        limit, length = self.histories.shape[1], self.lengths[row]
        items = np.concatenate([self.histories[row], np.zeros((len(row), 1), dtype=self.histories.dtype)], axis=1)
        items[np.arange(len(row)), length] = self.targets[row]
        items = np.where((length == limit)[:, None], items[:, 1:], items[:, :-1])
        length = np.minimum(length + 1, limit)
        return self.loader.transform(self.dataset, self._interaction(items[:, : length.max()], length, {}))

    def _interaction(self, history, length, more):
        columns = {self.item_list: history, self.length_field: length, **more}
        return Interaction({name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in columns.items()})


def training_batches(config, loader, default):
    """Return the loader to train with: `SequenceBatches`, or RecBole's own where stock rows are asked for.

    Args:
        config (Config): training_batches, train_batch_size, max_tokens, window_stride.
        loader (TrainDataLoader): RecBole's loader.
        default (str): the fastest batches the model allows, used for training_batches: auto.

    Raises:
        VQRecError: a kind of batches that does not exist or that the model cannot learn from.
    """
    kinds = [registry.ALL_POSITIONS, registry.WINDOWS, registry.TRIMMED_ROWS, registry.STOCK_ROWS]
    wanted = config["training_batches"] or "auto"
    refuse_other("training_batches", wanted, ["auto", *kinds])
    chosen = default if wanted == "auto" else wanted
    if chosen in (registry.ALL_POSITIONS, registry.WINDOWS) and chosen != default:
        raise VQRecError(f"training_batches: {config['model']} cannot learn from '{chosen}', use auto or '{default}'")
    if chosen == registry.STOCK_ROWS or not isinstance(loader, torch.utils.data.DataLoader):
        return loader
    stride = config["window_stride"]
    batches = SequenceBatches(loader, chosen, config["train_batch_size"], config["max_tokens"], stride)
    if chosen == registry.ALL_POSITIONS and stride == sequences.AUTO:
        found = batches.sequences
        sequences.tell_windows(batches.lengths[found.row], found.targets, batches.histories.shape[1])
    return batches
