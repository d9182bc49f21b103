"""Contrastive pre-training on mixed domains (paper, section 2.3, Eq. 6-8), for any model that reads item codes.

Axis legend: B sequences, L positions, T trained positions of this process, A of all processes, U candidates, N items
with padding, D codebooks, S semi-synthetic negatives, H hidden size.
"""

import torch
import torch.nn.functional as F

from recbole_vqrec.data.batches import NEGATIVES_SEED, TARGET_LIST
from recbole_vqrec.errors import refuse_other
from recbole_vqrec.model.contrast import batch_targets
from recbole_vqrec.model.losses import contrastive_loss
from recbole_vqrec.model.negatives import log_counts, masked_as_zero, semi_synthetic_codes
from recbole_vqrec.model.packed_sequences import PackedSequences

MASKED_NEGATIVES = ("exact", "reference")


class ContrastivePretraining:
    """Eq. 8: each position's next item against semi-synthetic, in-batch and, if asked for, sampled items.

    Negatives are a function of the batch alone (its targets and its seed), whichever process forms them. An item is
    a code look-up, so a process forms the in-batch items of all processes itself: nothing is gathered but gradients.

    Args:
        config (Config): options of props/model/VQRec.pretrain.yaml, and loss_chunk.
        dataset: gives `codes_per_codebook` and `item_frequency` [N], the share of each item among the targets.

    Raises:
        VQRecError: an unknown name of masked_negatives.
    """

    def __init__(self, config, dataset):
        self.loss_chunk = config["loss_chunk"]
        self.codes_per_codebook = dataset.codes_per_codebook
        self.item_frequency = dataset.item_frequency
        self.semi_synthetic = config["semi_synthetic_negatives"]
        self.replacement_probability = config["replacement_probability"]
        self.sampled = config["sampled_negatives"]
        self.correct_popularity = config["popularity_correction"]
        self.masked = config["masked_negatives"]
        refuse_other("masked_negatives", self.masked, MASKED_NEGATIVES)

    def loss(self, model, interaction):
        """Return the loss over the trained positions of a batch.

        Args:
            model (NextItemModel): its `items` have `item_codes` and `of_items`.
            interaction (Interaction): item_id_list [B, L], item_length [B], target_list [B, L], and optionally
                batch_targets [A], first_target [1], negatives_seed [1].

        Returns:
            torch.Tensor: scalar, the mean over the T positions.
        """
        following = interaction[TARGET_LIST]
        generator = torch.Generator().manual_seed(self._seed(interaction))

        packed = PackedSequences(interaction[model.ITEM_SEQ_LEN])
        trained = packed.pack(following).nonzero().squeeze(1)
        in_batch, place = batch_targets(interaction, packed, following)  # of each trained position among the targets
        history, target = packed.pack(interaction[model.ITEM_SEQ]), in_batch[place]

        sampled = 1 + torch.randint(len(self.item_frequency) - 1, (self.sampled,), generator=generator)
        items, index = torch.unique(torch.cat([history, in_batch, sampled.to(in_batch.device)]), return_inverse=True)
        vectors = model.items.of_items(items)
        states = model.encoder(F.embedding(index[: len(history)], vectors), packed)[trained]
        queries = model.queries(states.float())

        candidates, column, counts = torch.unique(index[len(history) :], return_inverse=True, return_counts=True)
        column = column[: len(in_batch)]
        return contrastive_loss(
            queries,
            model.keys(F.embedding(candidates, vectors).float()),
            column[place],
            log_counts(counts, self._expected(items[candidates], len(in_batch))),
            self._own_negatives(model, queries, target, place, in_batch, column, generator),
            self.loss_chunk,
        )

    def _seed(self, interaction):
        """Return the seed of the batch's negatives; without one, torch's own generator gives it."""
        if NEGATIVES_SEED in interaction:
            return int(interaction[NEGATIVES_SEED])
        return int(torch.randint(2**62, ()))

    def _expected(self, candidates, in_batch):
        """Return how often each candidate [U] is expected in a batch, or None without correction."""
        if not self.correct_popularity:
            return None
        frequency = self.item_frequency.to(candidates.device)
        return in_batch * frequency[candidates] + self.sampled / (len(frequency) - 1)

    def _own_negatives(self, model, queries, target, place, in_batch, column, generator):
        """Return the scores [T, S] of semi-synthetic negatives, and what masking adds in the authors' code."""
        scores = []
        if self.semi_synthetic:
            codes = semi_synthetic_codes(
                model.items.item_codes[in_batch].cpu(),
                self.codes_per_codebook,
                self.replacement_probability,
                self.semi_synthetic,
                generator,
            )[place.cpu()].to(target.device)
            for synthetic in codes.unbind(1):
                vectors = model.keys(model.items.of_items(target, synthetic).float())
                scores.append((queries * vectors).sum(-1, keepdim=True))
        if self.masked == "reference":
            scores.append(masked_as_zero(torch.bincount(column)[column[place]]))
        return torch.cat(scores, dim=1) if scores else None
