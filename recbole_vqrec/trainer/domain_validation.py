"""Leave-one-out validation inside pre-training: full ranking in each domain, shared out to processes.

Axis legend: V users of a domain, B of a batch, U items of a domain, K cut-offs.
"""

import numpy as np
import torch
from recbole.data.interaction import Interaction

from recbole_vqrec import distributed
from recbole_vqrec.errors import VQRecError

KNOWN = ("recall", "ndcg")


class DomainValidation:
    """Recall and NDCG of each domain's users among its items, and over all users.

    A target's rank is one more than the items that score higher, and half of those that score the same.

    Args:
        config (Config): topk, eval_batch_size, valid_metric and the names of RecBole's fields.
        dataset (MixedDomains): its validation users.

    Raises:
        VQRecError: valid_metric is none of the metrics, or no user can be validated.
    """

    def __init__(self, config, dataset):
        self._dataset, self.topk, self.batch_size = dataset, config["topk"], config["eval_batch_size"]
        self.item_list, self.length = f"{dataset.iid_field}{config['LIST_SUFFIX']}", dataset.item_list_length_field
        self.names = [f"{metric}@{k}" for metric in KNOWN for k in self.topk]
        if config["valid_metric"].lower() not in self.names:
            raise VQRecError(f"valid_metric: '{config['valid_metric']}', pre-training knows {', '.join(self.names)}")
        self.users = [dataset.validation_users(domain) for domain in range(len(dataset.domains))]
        if not len(self):
            raise VQRecError(
                f"{dataset.dataset_name}: no user has three interactions to validate with; set validate: False"
            )

    def __len__(self):
        return sum(len(users) for users in self.users)

    @torch.no_grad()
    def result(self, model):
        """Return metrics as a dict: "ndcg@10" over all users, "games ndcg@10" over a domain's.

        Args:
            model: with `full_sort_predict(interaction, items)`; set to evaluation mode.
        """
        model.eval()
        device = next(model.parameters()).device
        sums = [self._sums(model, domain, device) for domain in range(len(self.users))]
        sums = np.array(distributed.summed(np.concatenate(sums), device)).reshape(len(self.users), -1)
        counts, metrics = sums[:, 0], sums[:, 1:]
        result = dict(zip(self.names, (metrics.sum(axis=0) / counts.sum()).tolist()))
        for domain, count, values in zip(self._dataset.domains, counts, metrics):
            if count:
                result.update({f"{domain} {name}": value for name, value in zip(self.names, (values / count).tolist())})
        return {name: round(value, 6) for name, value in result.items()}

    def _sums(self, model, domain, device):
        """Return the number of this process's users of a domain and the sums of their metrics [1 + 2 K]."""
        rank, size = distributed.rank_and_size()
        users = self.users[domain]
        own = np.argsort(users.length, kind="stable")[rank::size]
        items = torch.from_numpy(np.flatnonzero(self._dataset.item_domain == domain)).to(device)
        ranks = []
        for start in range(0, len(own), self.batch_size):
            rows = own[start : start + self.batch_size]
            history, following = users.histories(rows)
            length = users.length[rows].astype(np.int64)
            columns = {self.item_list: torch.from_numpy(history), self.length: torch.from_numpy(length)}
            scores = model.full_sort_predict(Interaction(columns).to(device), items)
            target = torch.from_numpy(following[np.arange(len(rows)), length - 1]).to(device)
            ranks.append(target_ranks(scores, torch.searchsorted(items, target)))
        ranks = torch.cat(ranks).double() if ranks else torch.zeros(0, dtype=torch.float64)
        return np.array([len(ranks), *metric_sums(ranks, self.topk)])


def target_ranks(scores, target):
    """Return the rank of each row's target, ties counted half and scores that are no number as above it, [B].

    Args:
        scores (torch.Tensor): [B, U].
        target (torch.LongTensor): [B] column of each row's target.
    """
    own = scores.gather(1, target[:, None])
    return 1 + (~(scores <= own)).sum(1) + ((scores == own).sum(1) - 1).clamp(min=0) / 2


def metric_sums(ranks, topk):
    """Return the sums over users of Recall@k for each k, then of NDCG@k.

    Args:
        ranks (torch.Tensor): [V] rank of each user's only target, from 1.
        topk (list of int): [K] cut-offs.
    """
    hits = [(ranks <= k) for k in topk]
    gain = 1 / torch.log2(ranks + 1)
    return [float(hit.sum()) for hit in hits] + [float((gain * hit).sum()) for hit in hits]
