"""FDSA: feature-level deeper self-attention (Zhang et al., IJCAI 2019), over text vectors.

RecBole has a model of this name that reads columns of .item as features; `model=FDSA` runs this one, and RecBole's own
is run by its class, recbole.model.sequential_recommender.FDSA.

Axis legend: B sequences, L positions, T tokens, N items with padding, H hidden size.
"""

import torch
import torch.nn.functional as F
from torch import nn

from recbole_vqrec.model.dropout import Dropout
from recbole_vqrec.model.id_representation import IdItemRepresentation
from recbole_vqrec.model.next_item import NextItemModel
from recbole_vqrec.model.sequence_encoder import SequenceEncoder
from recbole_vqrec.model.text_model import text_vectors_of
from recbole_vqrec.model.text_representation import LinearAdaptor, TextItemRepresentation


class FDSA(NextItemModel):
    """Two causal Transformers, over item ids and over item texts, their states joined by a linear layer.

    The paper's vanilla attention weighs several features of an item; with one, the text vector, its weight is 1.

    Args:
        config (Config): options of props/model/FDSA.yaml.
        dataset (ItemTextDataset): gives `item_text_vectors` [N, d_w].

    Raises:
        VQRecError: as `NextItemModel`; the data set has no text vectors.
    """

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        vectors = text_vectors_of(dataset, "FDSA")
        size, scale = config["hidden_size"], config["initializer_range"]
        self.items = IdItemRepresentation(self.n_items, size, scale)
        self.features = TextItemRepresentation(vectors, LinearAdaptor(vectors.shape[1], size, scale))
        self.encoder, self.feature_encoder = SequenceEncoder(config), SequenceEncoder(config)
        self.fusion = nn.Linear(2 * size, size)
        nn.init.normal_(self.fusion.weight, std=scale)
        nn.init.zeros_(self.fusion.bias)
        self.after_fusion = nn.Sequential()
        if config["fusion_norm"]:
            norm = nn.LayerNorm(size, eps=config["layer_norm_eps"])
            self.after_fusion = nn.Sequential(norm, Dropout(config["hidden_dropout_prob"]))

    def hidden_states(self, item_seq, packed, table, last_only=False):
        """Return [o_ids; o_features] W + b, normalised or not, [T, H] or [B, H]; arguments as `NextItemModel.hidden_states`."""
        history = packed.pack(item_seq)
        items, index = torch.unique(history, return_inverse=True)
        features = F.embedding(index, self.features.of_items(items))
        streams = ((self.encoder, F.embedding(history, table)), (self.feature_encoder, features))
        states = [encoder(each, packed, last_only=last_only) for encoder, each in streams]
        return self.after_fusion(self.fusion(torch.cat(states, dim=1)))
