"""BERT without padding, on a CPU: the tokens of all texts of a batch in one row after the other.

The linear layers see real tokens only and write into memory that stays in use from batch to batch; attention goes by
groups of texts of one length and needs no mask; where the first token's state is all that is asked for, the last
layer is computed for first tokens only. The states are those of transformers' BertModel, to about 1e-6, or 1e-5 where
`split_products` is faster.

Axis legend: B texts of a batch, n texts of one length L, T tokens of the batch, A heads, H hidden size, I inner size.
"""

import itertools
import threading

import torch
import torch.nn.functional as F

from recbole_vqrec.embedding.split_products import fastest_weight


def can_pack(model):
    """Tell whether `PackedBert` computes what this transformers model does; tried out on two short inputs.

    Args:
        model (transformers.PreTrainedModel): in evaluation mode.
    """
    config = model.config
    plain = getattr(config, "hidden_act", None) == "gelu" and not getattr(config, "is_decoder", False)
    absolute = getattr(config, "position_embedding_type", "absolute") == "absolute"
    if config.model_type != "bert" or not plain or not absolute or model.device.type != "cpu":
        return False
    if model.dtype != torch.float32 or min(config.vocab_size, config.max_position_embeddings) < 4:
        return False
    batch = [(3, 1, 2), (1, 2)]
    packed = PackedBert(model)
    with torch.inference_mode():
        wanted = [model(input_ids=torch.tensor([tokens])).last_hidden_state[0] for tokens in batch]
        first, mean = packed(batch, "cls"), packed(batch, "mean")
    return all(
        torch.allclose(first[row], states[0], atol=1e-4) and torch.allclose(mean[row], states.mean(dim=0), atol=1e-4)
        for row, states in enumerate(wanted)
    )


class PackedBert:
    """The forward pass of a BertModel over packed tokens; for inference, from any number of threads.

    Args:
        model (transformers.BertModel): in evaluation mode, float32, on the CPU.
        weight_class (type): `Float32Weight` or `SplitWeight`; by default the faster on this machine.
    """

    def __init__(self, model, weight_class=None):
        config, weights = model.config, model.state_dict()
        self.heads, self.eps = config.num_attention_heads, config.layer_norm_eps

        def pair(name):
            return weights[f"{name}.weight"], weights[f"{name}.bias"]

        tables = ("word_embeddings", "position_embeddings", "token_type_embeddings")
        self.words, self.positions, types = (weights[f"embeddings.{table}.weight"] for table in tables)
        self.type, self.norm = types[0], pair("embeddings.LayerNorm")
        self.layers, weight_class = [], weight_class or fastest_weight()

        def linear(weight, bias):
            return weight_class(weight), bias

        for number in range(config.num_hidden_layers):
            layer = f"encoder.layer.{number}"
            parts = [pair(f"{layer}.attention.self.{name}") for name in ("query", "key", "value")]
            joined = linear(torch.cat([weight for weight, _ in parts]), torch.cat([bias for _, bias in parts]))
            names = "attention.output", "intermediate", "output"
            dense, inner, outer = (linear(*pair(f"{layer}.{name}.dense")) for name in names)
            norms = (pair(f"{layer}.{name}.LayerNorm") for name in ("attention.output", "output"))
            self.layers.append([joined, dense, inner, outer, *norms])
        self.own = threading.local()

    def __call__(self, batch, pooling):
        """Return the vectors [B, H] of token sequences.

        Args:
            batch (list of tuple): B token sequences; those of one length should lie together.
            pooling (str): "cls", the state of the first token, or "mean", the mean over tokens.
        """
        lengths = [len(tokens) for tokens in batch]
        groups = [(len(list(same)), length) for length, same in itertools.groupby(lengths)]
        tokens = torch.tensor([token for tokens in batch for token in tokens])
        positions = torch.cat([torch.arange(length) for length in lengths])
        states = self._normalized(self.words[tokens] + self.positions[positions] + self.type, self.norm)
        for layer in self.layers[:-1]:
            states = self._layer(states, layer, groups)
        states = self._layer(states, self.layers[-1], groups, first_only=pooling == "cls")
        if pooling == "cls":
            return states
        return torch.stack([part.mean(dim=0) for part in states.split(lengths)])

    def _layer(self, states, layer, groups, first_only=False):
        """Return the states after one layer, [T, H], or of the first tokens only, [B, H]."""
        joined, dense, inner, outer, attention_norm, output_norm = layer
        queries_keys_values = self._linear("qkv", states, joined)
        rows = sum(texts for texts, _ in groups) if first_only else len(states)
        context = self._memory("context", rows, dense[0].columns)
        start = row = 0
        for texts, length in groups:
            stop = start + texts * length
            end = row + (texts if first_only else texts * length)
            context[row:end] = self._attend(queries_keys_values[start:stop], texts, length, first_only)
            start, row = stop, end
        if first_only:
            lengths = [length for texts, length in groups for _ in range(texts)]
            states = states[[0, *itertools.accumulate(lengths[:-1])]]
        states = self._normalized(self._linear("out", context, dense, states), attention_norm)
        hidden = torch._C._nn.gelu_(self._linear("inner", states, inner))
        return self._normalized(self._linear("out", hidden, outer, states), output_norm)

    def _attend(self, queries_keys_values, texts, length, first_only):
        """Return [n * L, H], or [n, H] for the first tokens, from [n * L, 3 * H] of texts of one length."""
        queries, keys, values = queries_keys_values.view(texts, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        queries = queries[:, :, :1] if first_only else queries  # [n, A, L, H / A]
        return F.scaled_dot_product_attention(queries, keys, values).transpose(1, 2).flatten(2).flatten(0, 1)

    def _linear(self, name, states, layer, residual=None):
        """Return states @ W^T + b, plus the residual if there is one, in this thread's memory of that name."""
        weight, bias = layer
        out = self._memory(name, len(states), weight.columns)
        if residual is None:
            out.copy_(bias)
        else:
            torch.add(residual, bias, out=out)
        weight.add_product(states, out, self._memory)
        return out

    def _normalized(self, states, norm):
        return F.layer_norm(states, states.shape[-1:], *norm, eps=self.eps)

    def _memory(self, name, rows, columns, dtype=torch.float32):
        """Return [rows, columns] of memory that keeps its place: fresh memory costs as much as the arithmetic."""
        size = rows * columns
        kept = self.own.__dict__.get(name)
        if kept is None or kept.numel() < size:
            kept = self.own.__dict__[name] = torch.empty(size, dtype=dtype)
        return kept[:size].view(rows, columns)
