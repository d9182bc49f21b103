"""Atomic files -> RecBole data sets in exact order, prefix rows at once, short batches.

Axis legend: N items with padding, d_w size of a text vector.
"""

import contextlib
import functools

import recbole.data.dataset
import torch
from recbole.data.dataset import SequentialDataset
from recbole.data.interaction import Interaction
from recbole.utils import FeatureSource

from recbole_vqrec import artifacts, registry
from recbole_vqrec.config import fill_defaults
from recbole_vqrec.data.file_checks import (
    explain_bad_line, explain_wrong_bytes, refuse_missing_files, refuse_missing_values, refuse_swallowed_lines,
    refuse_wrong_field_counts, refuse_wrong_header,
)  # fmt: skip
from recbole_vqrec.data.item_pairs import item_pairs
from recbole_vqrec.data.mixed_domains import mixed
from recbole_vqrec.data.prefix_rows import PrefixRows, repeat_log_odds, training_counts
from recbole_vqrec.data.text_vector_table import load_text_vectors
from recbole_vqrec.errors import VQRecError, examples

LARGEST_SCORE_MATRIX = 1 << 26  # users x items scored at once in evaluation, 256 MB of float32


class SequenceDataset(SequentialDataset):
    """RecBole's sequential data set, its result unchanged, faster and with errors that name the line.

    Interactions are ordered by user, time and position in the file: RecBole sorts 32-bit times, which are coarser
    than a minute for today's dates, so the exact order is made before it converts them.

    Args:
        config (Config): RecBole configuration.

    Raises:
        VQRecError: folder or file missing, a time that is not a number, a missing user or item id.
    """

    def __init__(self, config):
        if registry.own(config["model"], config.model_class):
            fill_defaults(config)
        allowed = registry.of(config).batches
        all_ranked = set(config["eval_args"]["mode"].values()) == {"full"}  # else RecBole joins rows of one length
        self.trim = all_ranked and registry.STOCK_ROWS not in (allowed, config["training_batches"])
        with _errors_of_recbole(config["dataset"], "the options that choose columns and interactions"):
            super().__init__(config)

    @functools.cached_property
    def item_text_vectors(self):
        """Text vectors of the items, FloatTensor [N, d_w] with a zero padding row, read when first asked for.

        Raises:
            VQRecError: as `load_text_vectors`.
        """
        return torch.from_numpy(load_text_vectors(self.config, self.field2id_token[self.iid_field]))

    def _load_data(self, token, dataset_path):
        refuse_missing_files(dataset_path, token, self.benchmark_filename_list)
        super()._load_data(token, dataset_path)

    def _load_feat(self, filepath, source):
        form = self.config["field_separator"], self.config["encoding"] or "utf-8"
        if source == FeatureSource.INTERACTION:
            refuse_wrong_header(filepath, *form, self._needed_columns())
            refuse_wrong_field_counts(filepath, *form)
        try:
            features = super()._load_feat(filepath, source)
        except ValueError as error:
            explain_wrong_bytes(filepath, form[1])
            explain_bad_line(filepath, form[0])
            raise VQRecError(f"{filepath}: {' '.join(str(error).split())}") from error
        if source == FeatureSource.INTERACTION:
            self._refuse_columns_left_out(features)
            refuse_missing_values(filepath, features, (self.uid_field, self.iid_field, self.time_field))
            refuse_swallowed_lines(filepath, features, (self.uid_field, self.iid_field))
            if self.benchmark_filename_list is not None:
                self._keep_latest_items(features)
        return features

    def _refuse_columns_left_out(self, features):
        lacking = [name for name in self._needed_columns() if features is None or name not in features]
        if lacking:
            raise VQRecError(
                f"load_col: {self.config['load_col']}, of the .inter file it lacks {examples(lacking)}; say "
                f"load_col: {{inter: [{', '.join(self._needed_columns())}]}}"
            )

    def _needed_columns(self):
        """Return the columns that the interaction file has to have; files that are split have their order already."""
        return [self.uid_field, self.iid_field] + [self.time_field] * (self.benchmark_filename_list is None)

    def _keep_latest_items(self, features):
        """Cut histories of pre-split files to the latest items the model can read."""
        for field in features:
            if field.endswith(self.config["LIST_SUFFIX"]):
                features[field] = [history[-self.max_item_list_len :] for history in features[field]]
                self.field2seqlen[field] = min(self.field2seqlen[field], self.max_item_list_len)

    def _remove_duplication(self):
        if self.config["rm_dup_inter"] is not None and self.time_field in self.inter_feat:
            # RecBole sorts by time here, and not stably; rows that are in order already it leaves as they are
            self.inter_feat.sort_values(self.time_field, kind="stable", inplace=True)
            keep = self.config["rm_dup_inter"]
            self.inter_feat.drop_duplicates([self.uid_field, self.iid_field], keep=keep, inplace=True)
            return
        super()._remove_duplication()

    def _change_feat_format(self):
        if self.benchmark_filename_list is None and self.time_field in self.inter_feat:
            self.inter_feat.sort_values([self.uid_field, self.time_field], kind="stable", inplace=True)
        super()._change_feat_format()

    def data_augmentation(self):
        """Make one row for each prefix, as RecBole's method of this name does, without its loop over rows."""
        plain = {field: self.inter_feat[field] for field in self.inter_feat}
        if any(values.dim() != 1 for values in plain.values()):
            return super().data_augmentation()
        self._aug_presets()
        self._check_field("uid_field", "time_field")
        self.sort(by=[self.uid_field, self.time_field], ascending=True)
        rows = PrefixRows(self.inter_feat[self.uid_field].numpy(), self.max_item_list_len)
        made = self.inter_feat[rows.target]
        columns = {self.item_list_length_field: torch.from_numpy(rows.length)}
        for field in self.inter_feat:
            if field != self.uid_field:
                columns[getattr(self, f"{field}_list_field")] = rows.gather(self.inter_feat[field])
        made.update(Interaction(columns))
        self.inter_feat = made

    def build(self):
        """Split as RecBole does; evaluation rows by length, so that batches can be cut short, and not too many."""
        self.config["eval_batch_size"] = min(
            self.config["eval_batch_size"], max(1, LARGEST_SCORE_MATRIX // max(self.item_num, 1))
        )
        if max(self.config["topk"]) > self.item_num - 1:
            raise VQRecError(
                f"topk: {max(self.config['topk'])} of only {self.item_num - 1} items in {self.dataset_name}; set topk "
                "and valid_metric to what the data set has"
            )
        if self.config["text_similarity_weight"]:
            self.item_text_vectors  # noqa: B018, read once for all splits, and so that the catalogue keeps them
        with _errors_of_recbole(self.dataset_name, f"eval_args: {self.config['eval_args']}"):
            splits = super().build()
        for split, name in zip(splits, ("train on", "validate on", "test on")):
            if not len(split.inter_feat):
                raise VQRecError(
                    f"{self.dataset_name}: nothing to {name}; users of three interactions are needed, and a split that has "
                    f"both, LS: valid_and_test (here {self.config['eval_args']['split']})"
                )
        if self.trim:
            for held_out in splits[1:]:
                if len(held_out.inter_feat):
                    held_out.inter_feat.sort(by=self.item_list_length_field)
        popularity = torch.from_numpy(training_counts(splits[0]))  # a model must not know that of a held-out row
        pairs = item_pairs(splits[0], self.config)
        if self.config["seen_weight"] == "auto":
            self.config["seen_weight"] = round(repeat_log_odds(splits[0]), 2)  # a number in log, checkpoint and service
        for split in splits:
            split.item_popularity, split.item_pairs = popularity, pairs
        return splits

    def __getitem__(self, index, join=True):
        rows = super().__getitem__(index, join)
        return self._trimmed(rows) if self.trim else rows

    def _trimmed(self, rows):
        """Cut history columns to the longest history of the rows; what is cut is padding."""
        if self.item_list_length_field not in rows or len(rows) == 0:
            return rows
        longest = max(int(rows[self.item_list_length_field].max()), 1)
        suffix = self.config["LIST_SUFFIX"]
        return Interaction(
            {
                field: values[:, :longest] if field.endswith(suffix) and values.dim() > 1 else values
                for field, values in rows.interaction.items()
            }
        )


@contextlib.contextmanager
def _errors_of_recbole(dataset, where):
    """Turn errors of RecBole's inside the block, which say neither data set nor option, into ours."""
    try:
        yield
    except VQRecError:
        raise
    except (ValueError, NotImplementedError) as error:
        raise VQRecError(f"{dataset}: {' '.join(str(error).split())}; see {where}") from error


def statistics_of(dataset):
    """Return users, items and interactions of a data set before it is split.

    Args:
        dataset (SequentialDataset): of one whole file, or of the authors' prefix rows, which leave out the first item
            of each user.
    """
    users = dataset.user_num - 1
    prefix_rows = dataset.benchmark_filename_list is not None
    return [int(users), int(dataset.item_num - 1), int(dataset.inter_num + (users if prefix_rows else 0))]


def item_ids_of(dataset):
    """Return the external ids of a RecBole data set's items, the padding item left out."""
    return [str(token) for token in dataset.field2id_token[dataset.iid_field][1:]]


def fingerprint_of(dataset):
    """Return what tells the interactions of a RecBole data set from others: a hash of users, items and their order."""
    rows = dataset.inter_feat
    return artifacts.content_hash({name: rows[name].numpy() for name in (dataset.uid_field, dataset.iid_field)})


def create_dataset(config):
    """Return the data set of a config's model: ours, or RecBole's where RecBole has a special one for the model.

    Unlike RecBole's function of this name it never reads a pickled data set.

    Args:
        config (Config): RecBole configuration.
    """
    name = config["model"]
    special = getattr(recbole.data.dataset, f"{name}Dataset", None)
    if special is not None and special.__module__.startswith("recbole."):  # else it is one of ours, see `register`
        return special(config)
    own = registry.load(registry.of(config).dataset)
    return mixed(own)(config) if config["stage"] == "pretrain" else own(config)
