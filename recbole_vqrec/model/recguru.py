"""RecGURU: generalized user representations that hide their domain (Li et al., WSDM 2022, arXiv 2111.10093).

Axis legend: B sequences, L positions, T tokens or trained pairs, N items with padding, H hidden size.
"""

import torch
import torch.nn.functional as F
from torch import nn

from recbole_vqrec.model.contrast import batch_targets, item_contrast
from recbole_vqrec.model.id_representation import IdItemRepresentation
from recbole_vqrec.model.losses import full_softmax_loss
from recbole_vqrec.model.next_item import NextItemModel
from recbole_vqrec.model.packed_sequences import PackedSequences
from recbole_vqrec.model.sequence_encoder import SequenceEncoder


class RecGURU(NextItemModel):
    """Next item, with a decoder that rebuilds the sequence from the user's state and a discriminator of its domain.

    loss = next item + reconstruction_weight * rebuilt sequence + adversarial_weight * domain, in which the gradient of
    the domain's loss is turned round on its way into the encoder, so that the encoder learns to fool the discriminator.
    Users of different domains are not matched, as in the VQ-Rec paper's comparison. A data set of one domain has
    nothing to discriminate.

    Args:
        config (Config): options of props/model/RecGURU.yaml.
        dataset (SequenceDataset): of several domains where it has `item_domain` [N] (pre-training).

    Raises:
        VQRecError: as `NextItemModel`.
    """

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        size, scale = config["hidden_size"], config["initializer_range"]
        self.reconstruction_weight = config["reconstruction_weight"]
        self.adversarial_weight = config["adversarial_weight"]
        self.items = IdItemRepresentation(self.n_items, size, scale)
        self.encoder, self.decoder = SequenceEncoder(config), SequenceEncoder(config)
        self.to_decoder = nn.Linear(size, size)
        domain = getattr(dataset, "item_domain", None)
        self.discriminator = None
        if domain is not None and max(domain) > 0:
            self.register_buffer("item_domain", torch.as_tensor(domain), persistent=False)
            self.discriminator = nn.Sequential(nn.Linear(size, size), nn.ReLU(), nn.Linear(size, int(max(domain)) + 1))

    def calculate_loss(self, interaction):
        """Return the joint loss of the class, all items being candidates."""

        def among_all_items(states, items):
            table = self.keys(self.item_table()[1:])
            return full_softmax_loss(self.queries(states), table, items - 1, self.loss_chunk)

        def next_among_all(states, packed):
            return among_all_items(*self.pairs_of(interaction, states, packed))

        return self._joint_loss(interaction, among_all_items, next_among_all)

    def pretraining_loss(self, interaction):
        """Return the joint loss, the batch's items being candidates: mixed domains have too many to score them all.

        The next items of all processes are; what is rebuilt is contrasted with the items of a process's own sequences.
        """

        def keys_of(items):
            return self.keys(self.items.of_items(items))

        def among_the_batch(states, items, own=slice(None)):
            return item_contrast(self.queries(states), items, own, keys_of, self.loss_chunk)

        def next_in_the_batch(states, packed):
            trained, _ = self.pairs_of(interaction, states, packed)
            return among_the_batch(trained, *batch_targets(interaction, packed, self.next_items(interaction)))

        return self._joint_loss(interaction, among_the_batch, next_in_the_batch)

    def _joint_loss(self, interaction, choice, next_item):
        """Return next item + reconstruction + domain.

        Args:
            interaction (Interaction): as `NextItemModel.calculate_loss`.
            choice (callable): (states [T, H], items [T]) -> loss of choosing the items.
            next_item (callable): (states of all tokens [T, H], packed) -> loss of choosing the next items.
        """
        table, packed = self.item_table(), PackedSequences(interaction[self.ITEM_SEQ_LEN])
        history = packed.pack(interaction[self.ITEM_SEQ])
        states = self.encoder(F.embedding(history, table), packed)
        users = states[packed.last]
        loss = next_item(states, packed)
        if self.reconstruction_weight:
            rebuilt = self.rebuilt_states(users, F.embedding(history, table), packed)
            loss = loss + self.reconstruction_weight * choice(rebuilt, history)
        if self.discriminator is not None and self.adversarial_weight:
            guesses = self.discriminator(reverse_gradient(users))
            truth = self.item_domain[history[packed.last]]
            loss = loss + self.adversarial_weight * F.cross_entropy(guesses, truth)
        return loss

    def rebuilt_states(self, users, item_vectors, packed):
        """Return the decoder's states [T, H]: at each position it has seen the user's state and the items before it.

        Args:
            users (torch.Tensor): [B, H] generalized user representations.
            item_vectors (torch.Tensor): [T, H] of the sequences' items.
            packed (PackedSequences): which token belongs where.
        """
        before = torch.roll(item_vectors, 1, dims=0) * (packed.position > 0)[:, None]
        return self.decoder(before + self.to_decoder(users)[packed.row], packed)


class _ReverseGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values):
        return values.view_as(values)

    @staticmethod
    def backward(ctx, gradient):
        return -gradient


def reverse_gradient(values):
    """Return `values` whose gradient changes its sign (Ganin et al., JMLR 2016)."""
    return _ReverseGradient.apply(values)
