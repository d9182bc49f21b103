"""The sequence encoder as an ONNX file: a history -> its vector; checked with onnxruntime against torch.

Axis legend: B histories, L longest, D codebooks, H hidden size, A heads.
"""

import contextlib
import copy
import inspect
import io
import logging
import warnings

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from recbole_vqrec import artifacts
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.inference.code_engine import CodeEngine
from recbole_vqrec.inference.histories import padded
from recbole_vqrec.model.next_item import NextItemModel

TOLERANCE = 1e-4


class PaddedEncoder(nn.Module):
    """`SequenceEncoder` over padded histories, without the packing that ONNX cannot express; the same weights.

    Args:
        model (nn.Module): with `encoder`.
        vectors (torch.Tensor): code vectors [1 + D * M, H], or item vectors [1 + N, H].
        normalised (bool): L2-normalise the states, as models that score by cosine do.
        offsets (torch.Tensor, optional): [D] flat id of the first code of each codebook; None where items are given.
    """

    def __init__(self, model, vectors, normalised, offsets=None):
        super().__init__()
        self.encoder, self.normalised, self.coded = model.encoder, normalised, offsets is not None
        self.register_buffer("vectors", vectors.detach().clone())
        self.register_buffer("offsets", torch.zeros(0) if offsets is None else offsets.long())

    def forward(self, items, lengths):
        """Return the states [B, H] of codes [B, L, D] (0 .. M - 1) or item numbers [B, L] (from 1)."""
        if self.coded:
            hidden = F.embedding(items + self.offsets, self.vectors).mean(dim=2)
        else:
            hidden = F.embedding(items, self.vectors)
        hidden = self.encoder.LayerNorm(hidden + self.encoder.position_embedding.weight[: items.shape[1]])
        for attention, feed_forward in self.encoder.layers:
            hidden = feed_forward(self._attend(attention, hidden))
        last = (lengths - 1).view(-1, 1, 1).expand(-1, 1, hidden.shape[2])
        state = hidden.gather(1, last).squeeze(1)
        return F.normalize(state, dim=-1) if self.normalised else state

    @staticmethod
    def _attend(attention, hidden):
        batch, length, size = hidden.shape
        heads = attention.query_key_value(hidden).view(batch, length, 3, attention.n_heads, size // attention.n_heads)
        query, key, value = heads.permute(2, 0, 3, 1, 4)  # each [B, A, L, H / A]
        context = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        return attention.LayerNorm(attention.dense(context.transpose(1, 2).reshape(batch, length, size)) + hidden)


class WholeModel(nn.Module):
    """`forward` of any other sequential model, histories padded to its limit."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, items, lengths):
        """Return the states [B, H] of item numbers [B, L], from 1."""
        return self.model(items, lengths)


def export_onnx(recommender, path):
    """Write the sequence encoder of a run and check it.

    Inputs: `items`, codes [B, L, D] int64 (0 .. M - 1) where the model has codes, so that new items need no new file,
    else item numbers [B, L] in the order of <path>.ids.txt from 1; `lengths` [B] int64. Histories are padded at the
    end. Output: `sequence` [B, H], as `sequence_embeddings`.

    Args:
        recommender (Recommender): the run.
        path (str or Path): the file.

    Returns:
        str: what was written, with the largest difference to torch.

    Raises:
        VQRecError: onnx packages missing, torch < 2.5, a model that cannot be exported, or an export that differs from
            torch.
    """
    if "dynamo" not in inspect.signature(torch.onnx.export).parameters:
        raise VQRecError(f"onnx: needs torch >= 2.5, here is {torch.__version__}; choose --to faiss or parquet")
    try:
        import onnxruntime
        import onnxscript  # noqa: F401, torch's exporter needs it
    except ImportError as error:
        raise VQRecError(f"{error.name} is not installed; run pip install -c constraints.txt '.[export]'") from error
    engine, limit = recommender.served.engine, recommender.config["MAX_ITEM_LIST_LENGTH"]
    module, free_length = _module(engine)
    module = _on_cpu(module)
    draw = np.random.default_rng(0)
    lengths = (limit, 1, (limit + 1) // 2)
    rows = [draw.integers(0, len(recommender.catalogue), size=length).tolist() for length in lengths]
    expected = engine.sequence_vectors(rows).cpu()
    items, lengths = _inputs(engine, rows)
    batch, length = torch.export.Dim("batch"), torch.export.Dim("length", max=limit)
    shapes = {"items": {0: batch, 1: length} if free_length else {0: batch}, "lengths": {0: batch}}
    with artifacts.replace_when_done(path) as temporary:
        with _quiet():
            torch.onnx.export(
                module, (items, lengths), str(temporary), dynamo=True, external_data=False,
                input_names=["items", "lengths"], output_names=["sequence"], dynamic_shapes=shapes,
            )  # fmt: skip
        session = onnxruntime.InferenceSession(str(temporary), providers=["CPUExecutionProvider"])
        feeds = [(items, lengths, expected)]
        feeds += [(*_inputs(engine, rows[2:], None if free_length else limit), expected[2:])]
        difference = max(
            float((torch.from_numpy(session.run(None, {"items": i.numpy(), "lengths": n.numpy()})[0]) - e).abs().max())
            for i, n, e in feeds
        )
        if not difference < TOLERANCE:
            raise VQRecError(
                f"{path}: the exported encoder differs from torch by {difference:.1e}; nothing was written"
            )
    if not isinstance(engine, CodeEngine):
        with artifacts.replace_when_done(f"{path}.ids.txt") as temporary:
            lines = (f"{item_id}\n" for item_id in recommender.catalogue.item_ids)
            temporary.write_text("".join(lines), encoding="utf-8")
    what = f"items {list(items.shape[1:])}" if free_length else f"items [{limit}]"
    return f"{path}: {what}, lengths -> sequence [{expected.shape[1]}]; differs from torch by {difference:.1e} at most"


def _module(engine):
    """Return the module to export, and whether histories may be of any length."""
    if isinstance(engine, CodeEngine):
        return PaddedEncoder(engine.model, engine.scorer.code_vectors, True, engine.scorer.offsets), True
    engine.sequence_vectors([[0]])  # refuses a model without sequence vectors
    if isinstance(engine.model, NextItemModel):
        if type(engine.model).hidden_states is not NextItemModel.hidden_states:
            raise VQRecError(f"onnx: {type(engine.model).__name__} has another encoder beside that of items, not exported")
        return PaddedEncoder(engine.model, engine.model.item_table(), engine.normalised), True
    return WholeModel(engine.model), False


def _on_cpu(module):
    """Return a copy of a module on the CPU; the recommender's own stays on its GPU."""
    module = copy.deepcopy(module).cpu().eval()
    if isinstance(module, WholeModel):
        module.model.device = torch.device("cpu")  # where RecBole's models make new tensors
    return module


def _inputs(engine, rows, longest=None):
    lengths = torch.tensor([len(each) for each in rows])
    if isinstance(engine, CodeEngine):
        return engine.scorer.codes.cpu()[padded(rows, "cpu", fill=0, longest=longest)].long(), lengths
    return padded([np.asarray(each) + 1 for each in rows], "cpu", fill=0, longest=longest), lengths


@contextlib.contextmanager
def _quiet():
    """Hide what torch's exporter says about packages and operators that play no part here."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
