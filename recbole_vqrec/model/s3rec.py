"""S3-Rec: self-supervised pre-training with item attributes, then SASRec (Zhou et al., CIKM 2020, arXiv 2008.07873).

RecBole has a model of this name that reads one column as attributes and keeps pickled pre-training files; `model=S3Rec`
runs this one, and RecBole's own is run by its class, recbole.model.sequential_recommender.S3Rec.

Axis legend: B sequences, L positions, T tokens, N items with padding, A attributes, H hidden size.
"""

import torch
import torch.nn.functional as F
from torch import nn

from recbole_vqrec.data.batches import TARGET_LIST
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.model.contrast import in_batch_contrast
from recbole_vqrec.model.id_representation import IdItemRepresentation
from recbole_vqrec.model.losses import full_softmax_loss
from recbole_vqrec.model.next_item import NextItemModel
from recbole_vqrec.model.packed_sequences import PackedSequences
from recbole_vqrec.model.sequence_encoder import SequenceEncoder

TASKS = ("attributes_weight", "masked_item_weight", "masked_attributes_weight", "segment_weight")


class S3Rec(NextItemModel):
    """A SASRec whose items and encoder are first trained on four tasks that tie items, attributes and segments.

    Args:
        config (Config): options of props/model/S3Rec.yaml.
        dataset (ItemAttributesDataset): gives `item_attributes` [N, A].

    Raises:
        VQRecError: as `NextItemModel`; no attributes.
    """

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        attributes = getattr(dataset, "item_attributes", None)
        if attributes is None:
            raise VQRecError("S3Rec needs a data set with attributes; build it with recbole_vqrec, or call register()")
        self.mask_ratio, self.weights = config["mask_ratio"], [config[name] for name in TASKS]
        self.max_length = config["MAX_ITEM_LIST_LENGTH"]
        size, scale = config["hidden_size"], config["initializer_range"]
        self.register_buffer("item_attributes", attributes, persistent=False)
        self.items = IdItemRepresentation(self.n_items, size, scale)
        self.encoder = SequenceEncoder(config)
        self.attribute_embedding = nn.Embedding(attributes.shape[1], size)
        share = attributes[1:].float().mean(dim=0).clamp(1e-6, 1 - 1e-6)
        self.attribute_bias = nn.Parameter(torch.logit(share))
        self.mask_embedding = nn.Parameter(torch.zeros(size))
        self.bilinear = nn.ModuleList(nn.Linear(size, size, bias=False) for _ in TASKS)
        for module in (self.attribute_embedding, *self.bilinear):
            nn.init.normal_(module.weight, std=scale)

    def pretraining_loss(self, interaction):
        """Return the weighted sum of the four tasks (S3-Rec, Eq. 5, 7, 8, 10), a position seeing the whole sequence.

        Args:
            interaction (Interaction): as `NextItemModel.calculate_loss`; the next item is part of the sequence.

        Returns:
            torch.Tensor: scalar.
        """
        item_seq, item_seq_len = self.whole_sequences(interaction)
        packed = PackedSequences(item_seq_len)
        items = packed.pack(item_seq)
        masked = mask_some(packed, self.mask_ratio)
        vectors = F.embedding(items, self.item_table())
        states = self.encoder(torch.where(masked[:, None], self.mask_embedding, vectors), packed, causal=False)
        has = self.item_attributes[items].to(states.dtype)
        queries = states[masked]
        losses = (
            self.attributes_loss(vectors[~masked], has[~masked], 0) * (~masked).float().mean(),
            full_softmax_loss(self.bilinear[1](queries), self.item_table()[1:], items[masked] - 1, self.loss_chunk)
            * masked.float().mean(),
            self.attributes_loss(queries, has[masked], 2) * masked.float().mean(),
            self.segment_loss(vectors, packed) * len(item_seq) / len(items),
        )
        return sum(weight * loss for weight, loss in zip(self.weights, losses))

    def whole_sequences(self, interaction):
        """Return the sequences [B, L] with the item that follows as last one, cut to the latest L, and lengths [B]."""
        item_seq, length = interaction[self.ITEM_SEQ], interaction[self.ITEM_SEQ_LEN]
        if TARGET_LIST in interaction:
            following = interaction[TARGET_LIST].gather(1, length[:, None] - 1)
        else:
            following = interaction[self.POS_ITEM_ID][:, None]
        longer = F.pad(item_seq, (0, 1)).scatter(1, length[:, None], following)
        cut = (length + 1 > self.max_length).long()
        place = torch.arange(item_seq.shape[1] + 1, device=length.device) + cut[:, None]
        longer = F.pad(longer, (0, 1)).gather(1, place)
        return longer[:, : self.max_length], length + 1 - cut

    def attributes_loss(self, vectors, has, task):
        """Return the binary cross-entropy of having each attribute: sum over A, mean over T.

        A score is vector W attribute + the attribute's bias, which the paper has not: without it, all items share a
        direction that says "no" to most attributes, and the encoder tells their sequences apart late or never.

        Args:
            vectors (torch.Tensor): [T, H] of items, or hidden states of masked ones.
            has (torch.Tensor): [T, A] 1 for attributes the item has.
            task (int): which W.
        """
        scores = self.bilinear[task](vectors) @ self.attribute_embedding.weight.T + self.attribute_bias
        return F.binary_cross_entropy_with_logits(scores, has, reduction="sum") / max(len(vectors), 1)

    def segment_loss(self, vectors, packed):
        """Return the contrast of a sequence without a segment with that segment, against the segments of the others.

        Args:
            vectors (torch.Tensor): [T, H] of the sequences' items.
            packed (PackedSequences): which token belongs where.
        """
        inside = random_segments(packed)
        hole = torch.where(inside[:, None], self.mask_embedding, vectors)
        segment = torch.where(inside[:, None], vectors, self.mask_embedding)
        context = self.encoder(hole, packed, causal=False)[packed.last]
        segments = self.encoder(segment, packed, causal=False)[packed.last]
        sequences = torch.arange(len(context), device=context.device)
        return in_batch_contrast(self.bilinear[3](context), segments, sequences)


def mask_some(packed, probability):
    """Return which tokens [T] are hidden: each with a probability, and one of a batch at least."""
    draws = torch.rand(len(packed.row), device=packed.row.device)
    masked = draws < probability
    masked[draws.argmin()] = True
    return masked


def random_segments(packed):
    """Return which tokens [T] lie in a random segment of their sequence, 1 to half of its tokens long."""
    length = packed.position[packed.last] + 1
    size = 1 + (torch.rand(len(length), device=length.device) * (length // 2).clamp(min=1)).long()
    start = (torch.rand(len(length), device=length.device) * (length - size + 1)).long()
    begin = start[packed.row]
    return (packed.position >= begin) & (packed.position < begin + size[packed.row])
