"""Data sets whose items have codes, text vectors or attributes.

Axis legend: N items with padding, D codebooks, M codes per codebook, d_w size of a text vector, A attributes.
"""

import torch

from recbole_vqrec.data.dataset import SequenceDataset
from recbole_vqrec.data.item_attribute_table import load_item_attributes
from recbole_vqrec.data.item_code_table import load_item_codes


class ItemCodesDataset(SequenceDataset):
    """A sequence data set whose items have codes.

    Attributes:
        item_codes (torch.LongTensor): [N, D] flat code ids, row 0 is the padding item.
        codebooks (int): D.
        codes_per_codebook (int): M.

    Raises:
        VQRecError: as `SequenceDataset`; codes missing, out of date, of other items, or of another D or M.
    """

    def __init__(self, config):
        super().__init__(config)
        codes, table = load_item_codes(config, self.field2id_token[self.iid_field])
        self.codebooks, self.codes_per_codebook = codes.codebooks, codes.codes_per_codebook
        self.item_codes = torch.from_numpy(table)


class ItemTextDataset(SequenceDataset):
    """A sequence data set whose items have text vectors, `item_text_vectors`.

    Raises:
        VQRecError: as `SequenceDataset` and `load_text_vectors`.
    """

    def __init__(self, config):
        super().__init__(config)
        self.item_text_vectors  # noqa: B018, missing vectors are an error before the model is built


class ItemAttributesDataset(SequenceDataset):
    """A sequence data set whose items have attributes.

    Attributes:
        item_attributes (torch.BoolTensor): [N, A] which item has which attribute, row 0 has none.

    Raises:
        VQRecError: as `SequenceDataset` and `load_item_attributes`.
    """

    def __init__(self, config):
        super().__init__(config)
        _, table = load_item_attributes(config, self.field2id_token[self.iid_field])
        self.item_attributes = torch.from_numpy(table)
