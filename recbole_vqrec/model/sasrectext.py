"""SASRec-T: SASRec whose items are text vectors through a linear layer, as compared with in the VQ-Rec paper."""

from recbole_vqrec.model.text_model import TextModel
from recbole_vqrec.model.text_representation import LinearAdaptor


class SASRecText(TextModel):
    """Text vector -> linear layer -> causal Transformer -> score with every item; options in SASRecText.yaml."""

    def adaptor(self, config, text_size):
        """Return the linear layer."""
        return LinearAdaptor(text_size, config["hidden_size"], config["initializer_range"])
