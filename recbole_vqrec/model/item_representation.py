"""Item codes (+ text vector, + id) -> item vectors: v_i = mean_k E^(k)[c_ik] + W x_i + e_i (paper, Eq. 3).

Axis legend: N items with padding, D codebooks, M codes per codebook, d_w size of a text vector, H hidden size.
"""

import torch
import torch.nn.functional as F
from torch import nn

from recbole_vqrec.errors import VQRecError, refuse_other
from recbole_vqrec.quantization.item_codes import PADDING_CODE, table_size

REPRESENTATIONS = ("code", "code+text", "code+id", "code+text+id")


class CodeItemRepresentation(nn.Module):
    """The mean of an item's code embeddings, on request plus a linear map of its text vector and an id embedding.

    The id embedding starts at zero, so that it changes nothing but what training teaches it. Text vectors are
    standardised in each dimension over the data set's own items.

    Args:
        item_codes (torch.LongTensor): [N, D] flat code ids, row 0 the padding item.
        codes_per_codebook (int): M.
        hidden_size (int): H.
        initializer_range (float): standard deviation of the initial embeddings; they are not the centroids.
        text_vectors (torch.FloatTensor, optional): [N, d_w], row 0 the padding item.
        ids (bool): an embedding of each item's id as well; an item without training interactions keeps zero.
        permutation (CodePermutation, optional): which code embedding each code has (paper, Eq. 9).
    """

    def __init__(
        self,
        item_codes,
        codes_per_codebook,
        hidden_size,
        initializer_range,
        text_vectors=None,
        ids=False,
        permutation=None,
    ):
        super().__init__()
        self.register_buffer("item_codes", item_codes)
        rows = table_size(item_codes.shape[1], codes_per_codebook)
        self.code_embedding = nn.Embedding(rows, hidden_size, padding_idx=PADDING_CODE)
        nn.init.normal_(self.code_embedding.weight, std=initializer_range)
        with torch.no_grad():
            self.code_embedding.weight[PADDING_CODE] = 0
        self.permutation = permutation
        self.zero_for_new_items = ("id_embedding.weight",) if ids else ()
        self.text_projection = self.id_embedding = None
        if text_vectors is not None:
            deviation, mean = torch.std_mean(text_vectors[1:], dim=0, correction=0)
            self.register_buffer("text_mean", mean)
            self.register_buffer("text_scale", 1 / deviation.clamp(min=1e-6))
            self.register_buffer("text_vectors", self._standardised(text_vectors))
            self.text_projection = nn.Linear(text_vectors.shape[1], hidden_size, bias=False)
            nn.init.normal_(self.text_projection.weight, std=initializer_range)
        if ids:
            self.id_embedding = nn.Embedding(len(item_codes), hidden_size, padding_idx=0)
            nn.init.zeros_(self.id_embedding.weight)

    def table(self):
        """Return the vectors of all items, [N, H]; the padding item's is zero."""
        padding = self.code_embedding.weight.new_zeros(1, self.code_embedding.weight.shape[1])
        return torch.cat([padding, self._sum(self.item_codes[1:], slice(1, None))])

    def of_items(self, items, codes=None):
        """Return the vectors of items, [R, H].

        Args:
            items (torch.LongTensor): [R] internal item ids, none of them padding.
            codes (torch.LongTensor, optional): [R, D] flat code ids that take the place of the items' own; text and id
                stay the items'.
        """
        return self._sum(self.item_codes[items] if codes is None else codes, items)

    def forward(self, codes, text_vectors=None):
        """Return the vectors of codes that need not belong to an item of the data set, such as those of a new item.

        Args:
            codes (torch.LongTensor): [..., D] flat code ids, none of them padding.
            text_vectors (torch.FloatTensor, optional): [..., d_w] as the language model gives them.

        Returns:
            torch.Tensor: [..., H].

        Raises:
            VQRecError: the representation has a text part and no text vectors are given.
        """
        vectors = self._mean(codes.reshape(-1, codes.shape[-1])).view(*codes.shape[:-1], -1)
        if self.text_projection is None:
            return vectors
        if text_vectors is None:
            raise VQRecError("item_representation: code+text needs the text vectors of new items beside their codes")
        return vectors + self.text_projection(self._standardised(text_vectors))

    def replace_items(self, item_codes, text_vectors=None):
        """Let other items take the place of those added to the data set's, to recommend them.

        Dimensions stay standardised as trained; items with an id embedding keep it, it is zero for further ones.

        Args:
            item_codes (torch.LongTensor): [N, D] flat code ids, row 0 the padding item.
            text_vectors (torch.FloatTensor, optional): [N, d_w], row 0 the padding item.
        """
        self.item_codes = item_codes.to(self.item_codes.device)
        self._resize_ids()
        if self.text_projection is not None:
            self.text_vectors = self._standardised(text_vectors.to(self.text_mean.device))

    def append_items(self, item_codes, text_vectors=None):
        """Let further items follow those that are there, to recommend them.

        Args:
            item_codes (torch.LongTensor): [n, D] flat code ids.
            text_vectors (torch.FloatTensor, optional): [n, d_w].
        """
        self.item_codes = torch.cat([self.item_codes, item_codes.to(self.item_codes.device)])
        self._resize_ids()
        if self.text_projection is not None:
            new = self._standardised(text_vectors.to(self.text_mean.device))
            self.text_vectors = torch.cat([self.text_vectors, new])

    def _resize_ids(self):
        """Give the id embedding a row for each item, in a module of its own: another model may share the old one."""
        if self.id_embedding is not None and len(self.id_embedding.weight) != len(self.item_codes):
            weight = self.id_embedding.weight.detach()
            weight = F.pad(weight, (0, 0, 0, len(self.item_codes) - len(weight)))  # cuts where there are fewer
            self.id_embedding = nn.Embedding.from_pretrained(weight, freeze=True, padding_idx=0)

    def code_vectors(self):
        """Return the vectors of all flat code ids, [1 + D * M, H]; an item's code part is the mean of its codes'."""
        weight = self.code_embedding.weight
        return weight if self.permutation is None else self.permutation(weight)

    @property
    def only_codes(self):
        """Whether an item is nothing but the mean of its code vectors."""
        return self.text_projection is None and self.id_embedding is None

    def _sum(self, codes, items):
        """Return [R, H] for codes [R, D] with the text and the id of `items`, an index of R items."""
        vectors = self._mean(codes)
        if self.text_projection is not None:
            vectors = vectors + self.text_projection(self.text_vectors[items])
        if self.id_embedding is not None:
            vectors = vectors + self.id_embedding.weight[items]
        return vectors

    def _mean(self, codes):
        """Return the mean embedding [R, H] of codes [R, D] without padding, a fifth of the time of padding_idx."""
        return F.embedding_bag(codes, self.code_vectors(), mode="mean")

    def _standardised(self, text_vectors):
        return (text_vectors - self.text_mean) * self.text_scale


def create_item_representation(config, dataset, permutation=None):
    """Return the item representation that `item_representation` names.

    Args:
        config (Config): item_representation, hidden_size, initializer_range.
        dataset (ItemCodesDataset): gives `item_codes`, `codes_per_codebook` and, where text is asked for,
            `item_text_vectors`.
        permutation (CodePermutation, optional): of the codes.

    Raises:
        VQRecError: an unknown name, or text vectors that are missing.
    """
    name = config["item_representation"]
    refuse_other("item_representation", name, REPRESENTATIONS)
    parts = name.split("+")
    return CodeItemRepresentation(
        dataset.item_codes,
        dataset.codes_per_codebook,
        config["hidden_size"],
        config["initializer_range"],
        text_vectors=dataset.item_text_vectors if "text" in parts else None,
        ids="id" in parts,
        permutation=permutation,
    )
