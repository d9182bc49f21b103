"""The causal Transformer over a user's items that all models of this package share (paper, section 2.2.2; SASRec).

Axis legend: B sequences, T tokens of all, packed; b sequences of a block, l its longest; H hidden size, A heads.
"""

import torch
import torch.nn.functional as F
from torch import nn

from recbole_vqrec.errors import VQRecError, nearest
from recbole_vqrec.model.dropout import Dropout, dropout
from recbole_vqrec.model.packed_sequences import real_tokens
from recbole_vqrec.model.reduced_products import with_padding_rows

ACTIVATIONS = {"gelu": F.gelu, "relu": F.relu, "swish": F.silu, "tanh": torch.tanh, "sigmoid": torch.sigmoid}


def causal_attention(query, key, value, dropout_probability):
    """Return softmax(query key^T / sqrt(size), a position sees itself and what lies before it) value.

    Args:
        query, key, value (torch.Tensor): [b, A, l, H / A].
        dropout_probability (float): of attention weights.

    Returns:
        torch.Tensor: [b, A, l, H / A].
    """
    if dropout_probability == 0 or query.device.type != "cpu":
        return F.scaled_dot_product_attention(query, key, value, dropout_p=dropout_probability, is_causal=True)
    # torch has no fused kernel with dropout on a CPU and takes these same steps with its slow dropout; in float32 under
    # autocast too, for batches of small bfloat16 products need a kernel compiled for each new shape
    with torch.autocast("cpu", enabled=False):
        query, key, value = query.float(), key.float(), value.float()
        length = query.shape[2]
        future = torch.full((length, length), float("-inf")).triu(1)
        weights = torch.softmax(query @ (key / query.shape[3] ** 0.5).transpose(2, 3) + future, dim=-1)
        return dropout(weights, dropout_probability, True) @ value


def full_attention(query, key, value, dropout_probability, real):
    """Return softmax(query key^T / sqrt(size), a query sees every real position) value.

    Args:
        query (torch.Tensor): [b, A, q, H / A], any number q of queries.
        key, value (torch.Tensor): [b, A, l, H / A].
        dropout_probability (float): of attention weights.
        real (torch.BoolTensor or None): [b, l] which tokens are no padding; None where none is.

    Returns:
        torch.Tensor: [b, A, q, H / A].
    """
    mask = None if real is None else real[:, None, None, :]
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout_probability)


class CausalSelfAttention(nn.Module):
    """Multi-head self-attention in which a position sees itself and what lies before it, then add and LayerNorm.

    Padding after the end of a sequence needs no mask: no real position sees it. Where a position is to see the whole
    sequence (S3-Rec's pre-training), padding is masked.
    """

    def __init__(self, hidden_size, n_heads, hidden_dropout, attention_dropout, layer_norm_eps):
        super().__init__()
        if hidden_size % n_heads:
            raise VQRecError(f"hidden_size: {hidden_size} is not a multiple of n_heads: {n_heads}")
        self.n_heads, self.attention_dropout = n_heads, attention_dropout
        self.query_key_value = nn.Linear(hidden_size, 3 * hidden_size)
        self.dense = nn.Linear(hidden_size, hidden_size)
        self.dropout = Dropout(hidden_dropout)
        self.LayerNorm = nn.LayerNorm(hidden_size, eps=layer_norm_eps)

    def forward(self, hidden, packed, causal=True):
        """Return [T, H] for [T, H].

        Args:
            hidden (torch.Tensor): [T, H]; rows beyond the packed tokens are of no meaning and stay so.
            packed (PackedSequences): which token belongs where.
            causal (bool): a position sees itself and what lies before it; else the whole sequence.
        """
        size, dropout_probability = hidden.shape[1], self._attention_dropout()
        context = []
        for block, tokens in packed.padded_blocks(self.query_key_value(hidden)):  # [b, l, 3H]
            heads = tokens.view(block.rows, block.longest, 3, self.n_heads, size // self.n_heads)
            query, key, value = heads.permute(2, 0, 3, 1, 4)  # each [b, A, l, H / A]
            if causal:
                attended = causal_attention(query, key, value, dropout_probability)
            else:
                attended = full_attention(query, key, value, dropout_probability, block.real(hidden.device))
            attended = attended.transpose(1, 2)
            context.append(real_tokens(block, attended.reshape(block.rows, block.longest, size)))
        context.append(context[0].new_zeros(len(hidden) - len(packed.row), size))
        return self.LayerNorm(self.dropout(self.dense(torch.cat(context))) + hidden)

    def of_last(self, hidden, packed):
        """Return [B, H], what `forward` returns for the last token of each sequence; only keys and values are of all.

        Args:
            hidden (torch.Tensor): [T, H].
            packed (PackedSequences): which token belongs where.
        """
        size, last = hidden.shape[1], hidden[packed.last]
        of_query, of_rest = self.query_key_value.weight.split([size, 2 * size])
        bias_of_query, bias_of_rest = self.query_key_value.bias.split([size, 2 * size])
        query = F.linear(last, of_query, bias_of_query).view(len(last), self.n_heads, 1, -1)
        context = torch.empty_like(last)
        for block, tokens in packed.padded_blocks(F.linear(hidden, of_rest, bias_of_rest)):  # [b, l, 2H]
            heads = tokens.view(block.rows, block.longest, 2, self.n_heads, size // self.n_heads)
            key, value = heads.permute(2, 0, 3, 1, 4)
            real = block.real(hidden.device)
            attended = full_attention(query[block.sequences], key, value, self._attention_dropout(), real)
            context = context.index_copy(0, block.sequences, attended.reshape(block.rows, size).to(context.dtype))
        return self.LayerNorm(self.dropout(self.dense(context)) + last)

    def _attention_dropout(self):
        return self.attention_dropout if self.training else 0.0


class FeedForward(nn.Module):
    """Two linear layers at each position, then add and LayerNorm."""

    def __init__(self, hidden_size, inner_size, hidden_dropout, activation, layer_norm_eps):
        super().__init__()
        if activation not in ACTIVATIONS:
            raise VQRecError(f"hidden_act: '{activation}' is not known{nearest(activation, ACTIVATIONS)}")
        self.activation = ACTIVATIONS[activation]
        self.dense_1 = nn.Linear(hidden_size, inner_size)
        self.dense_2 = nn.Linear(inner_size, hidden_size)
        self.dropout = Dropout(hidden_dropout)
        self.LayerNorm = nn.LayerNorm(hidden_size, eps=layer_norm_eps)

    def forward(self, hidden):
        """Return [T, H] for [T, H]."""
        return self.LayerNorm(self.dropout(self.dense_2(self.activation(self.dense_1(hidden)))) + hidden)


class SequenceEncoder(nn.Module):
    """Item vectors and position embeddings -> hidden states; a position's state has seen it and all before.

    Args:
        config (Config): hidden_size, n_layers, n_heads, inner_size, hidden_dropout_prob, attn_dropout_prob, hidden_act,
            layer_norm_eps, initializer_range, MAX_ITEM_LIST_LENGTH.

    Raises:
        VQRecError: hidden_size not a multiple of n_heads, or an unknown activation.
    """

    def __init__(self, config):
        super().__init__()
        size, eps, dropout = config["hidden_size"], config["layer_norm_eps"], config["hidden_dropout_prob"]
        self.position_embedding = nn.Embedding(config["MAX_ITEM_LIST_LENGTH"], size)
        self.LayerNorm = nn.LayerNorm(size, eps=eps)
        self.dropout = Dropout(dropout)
        self.layers = nn.ModuleList(
            nn.ModuleList(
                [
                    CausalSelfAttention(size, config["n_heads"], dropout, config["attn_dropout_prob"], eps),
                    FeedForward(size, config["inner_size"], dropout, config["hidden_act"], eps),
                ]
            )
            for _ in range(config["n_layers"])
        )
        self.initializer_range = config["initializer_range"]
        self.apply(self._initialize)

    def _initialize(self, module):
        """Draw weights from N(0, initializer_range^2); biases 0, LayerNorm as torch leaves it."""
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=self.initializer_range)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)

    def forward(self, item_vectors, packed, causal=True, last_only=False):
        """Encode packed sequences, each from position 0 on.

        Args:
            item_vectors (torch.Tensor): [T, H].
            packed (PackedSequences): which token belongs where.
            causal (bool): a position sees itself and what lies before it; else the whole sequence.
            last_only (bool): the states of the last tokens are all that is wanted, in the order of the batch.

        Returns:
            torch.Tensor: [T, H], or [B, H].
        """
        hidden = item_vectors + F.embedding(packed.position, self.position_embedding.weight)
        hidden = with_padding_rows(self.dropout(self.LayerNorm(hidden)))
        *others, (attention, feed_forward) = self.layers
        for each_attention, each_feed_forward in others:
            hidden = each_feed_forward(each_attention(hidden, packed, causal))
        if last_only:
            return feed_forward(attention.of_last(hidden, packed))
        return feed_forward(attention(hidden, packed, causal))[: len(item_vectors)]
