"""Text vectors -> item vectors: a linear layer, or UniSRec's mixture of whitened experts.

Axis legend: N items with padding, R rows, d_w size of the language model's vectors, E experts, H hidden size.
"""

import torch
import torch.nn.functional as F
from torch import nn

from recbole_vqrec.model.dropout import dropout


class TextItemRepresentation(nn.Module):
    """Item vectors that an adaptor makes of frozen text vectors.

    The text vectors belong to the data set: they move with the model, but are not part of its state, so that a
    pre-trained adaptor can be read for other items.

    Args:
        text_vectors (torch.FloatTensor): [N, d_w], row 0 the padding item.
        adaptor (nn.Module): [R, d_w] -> [R, H].

    Attributes:
        second_view (torch.FloatTensor or None): [N, d_w] vectors of the texts with words left out, None until set.
    """

    def __init__(self, text_vectors, adaptor):
        super().__init__()
        self.register_buffer("text_vectors", text_vectors, persistent=False)
        self.register_buffer("second_view", None, persistent=False)
        self.adaptor = adaptor

    def table(self):
        """Return the vectors of all items, [N, H]; the padding item's is zero."""
        vectors = self.adaptor(self.text_vectors[1:])
        return torch.cat([vectors.new_zeros(1, vectors.shape[1]), vectors])

    def of_items(self, items, second_view=False):
        """Return the vectors of some items, [R, H].

        Args:
            items (torch.LongTensor): [R] internal item ids.
            second_view (bool): of their texts with words left out.
        """
        return self.adaptor((self.second_view if second_view else self.text_vectors)[items])


class TextAndIdRepresentation(TextItemRepresentation):
    """An item's adapted text vector plus an embedding of its id.

    Args:
        text_vectors, adaptor: as `TextItemRepresentation`.
        hidden_size (int): H.
        initializer_range (float): standard deviation of the initial id embeddings.
    """

    def __init__(self, text_vectors, adaptor, hidden_size, initializer_range):
        super().__init__(text_vectors, adaptor)
        self.zero_for_new_items = ("id_embedding.weight",)
        self.id_embedding = nn.Embedding(len(text_vectors), hidden_size, padding_idx=0)
        nn.init.normal_(self.id_embedding.weight, std=initializer_range)
        with torch.no_grad():
            self.id_embedding.weight[0] = 0

    def table(self):
        """Return the vectors of all items, [N, H]; the padding item's is zero."""
        return super().table() + self.id_embedding.weight

    def of_items(self, items, second_view=False):
        """Return the vectors of some items, [R, H]; see `TextItemRepresentation.of_items`."""
        return super().of_items(items, second_view) + F.embedding(items, self.id_embedding.weight)


class LinearAdaptor(nn.Linear):
    """One linear layer, weights from N(0, initializer_range^2)."""

    def __init__(self, text_size, hidden_size, initializer_range):
        super().__init__(text_size, hidden_size)
        nn.init.normal_(self.weight, std=initializer_range)
        nn.init.zeros_(self.bias)


class MixtureOfExpertsAdaptor(nn.Module):
    """A mixture of parametric whitenings with noisy gates (UniSRec, Hou et al., KDD 2022, Eq. 1-4).

    x -> sum_e g_e (x - b_e) W_e,  g = softmax(x W_1 + noise * softplus(x W_2)) with noise ~ N(0, 1) in training only.

    Args:
        text_size (int): d_w.
        hidden_size (int): H.
        experts (int): E.
        dropout_probability (float): of the text vectors' elements, drawn anew for each expert.
        initializer_range (float): standard deviation of the initial W_e; the gates start equal.
    """

    def __init__(self, text_size, hidden_size, experts, dropout_probability, initializer_range):
        super().__init__()
        self.dropout_probability = dropout_probability
        self.bias = nn.Parameter(torch.zeros(experts, text_size))
        self.weight = nn.Parameter(torch.empty(experts, text_size, hidden_size).normal_(std=initializer_range))
        self.gate = nn.Parameter(torch.zeros(text_size, experts))
        self.gate_noise = nn.Parameter(torch.zeros(text_size, experts))

    def gates(self, text_vectors):
        """Return the share of each expert, [R, E], rows sum to 1."""
        scores = text_vectors @ self.gate
        if self.training:
            deviation = F.softplus(text_vectors @ self.gate_noise) + 1e-2
            scores = scores + torch.randn_like(scores) * deviation
        return scores.softmax(dim=-1)

    def forward(self, text_vectors):
        """Return [R, H] for [R, d_w]."""
        gates = self.gates(text_vectors)
        shift = torch.einsum("ed,edh->eh", self.bias, self.weight)  # b_e W_e
        mixed = -gates @ shift
        for expert in range(len(self.weight)):
            rows = dropout(text_vectors, self.dropout_probability, self.training)
            mixed = mixed + gates[:, expert, None] * (rows @ self.weight[expert])
        return mixed
