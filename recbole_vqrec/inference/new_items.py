"""New items as users give them, ids and texts -> checked; a text -> its vector and codes as in training."""

import threading
from pathlib import Path

from recbole_vqrec.errors import VQRecError, examples
from recbole_vqrec.inference.neighbours import TextNeighbours
from recbole_vqrec.preprocess.delimited import id_fault
from recbole_vqrec.preprocess.item_text import item_texts
from recbole_vqrec.quantization.quantizers import quantizer_of

LONGEST_TEXT = 20_000  # characters; language models read a tenth of it
LONGEST_ID = 512


def as_items(items, made):
    """Return the ids and texts of new items.

    Args:
        items (dict, str or Path): item id -> text, or an .item file, read with the run's text columns.
        made (dict): `Catalogue.made`.

    Returns:
        tuple: list of ids and list of texts.

    Raises:
        VQRecError: no items, an id that an atomic file cannot hold, a text that is empty, too long or not Unicode.
    """
    if isinstance(items, (str, Path)):
        columns = made.get("text_columns")
        columns = [name.strip() for name in columns.split(",")] if isinstance(columns, str) else columns
        item_ids, texts = item_texts(items, columns, made.get("empty_text"), "give an .item file")
    elif isinstance(items, dict):
        item_ids, texts = list(items), list(items.values())
    else:
        raise VQRecError(f"items: expected a dict of id -> text or an .item file, found {type(items).__name__}")
    if not item_ids:
        raise VQRecError("items: none given; expected at least one id with its text")
    for item_id, text in zip(item_ids, texts):
        fault = _id_fault(item_id) or _text_fault(text)
        if fault:
            raise VQRecError(f"item {str(item_id)[:60]!r}: {fault}")
    return item_ids, texts


def _id_fault(item_id):
    if not isinstance(item_id, str):
        return f"its id is of type {type(item_id).__name__}, expected text"
    if len(item_id) > LONGEST_ID:
        return f"its id has {len(item_id):,} characters, more than {LONGEST_ID}"
    if item_id != item_id.strip():
        return "its id begins or ends with a blank; remove it"
    if not _is_unicode(item_id):
        return "its id is not valid Unicode"
    fault = id_fault(item_id)
    return f"its id {fault}" if fault else None


def _text_fault(text):
    if not isinstance(text, str):
        return f"its text is of type {type(text).__name__}, expected text"
    if not text.strip():
        return "its text is empty; its codes are made from the text"
    if len(text) > LONGEST_TEXT:
        return f"its text has {len(text):,} characters, more than {LONGEST_TEXT:,}; shorten it"
    return None if _is_unicode(text) else "its text is not valid Unicode"


def _is_unicode(text):
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True


class ItemEncoder:
    """Texts -> vectors and codes with the language model and the quantizer of a run; loaded when first used.

    Args:
        made (dict): `Catalogue.made`, names the language model.
        quantizer_tensors (dict): `Catalogue.quantizer`.
    """

    def __init__(self, made, quantizer_tensors):
        self.made, self.quantizer_tensors = made, quantizer_tensors
        self._text_encoder = self._neighbours = None
        self._lock = threading.Lock()  # the tokenizer of a language model takes one caller at a time

    def vectors(self, texts):
        """Return text vectors [n, d_w] float32 of n texts.

        Raises:
            VQRecError: the language model cannot be loaded, or its folder holds another one by now.
        """
        from recbole_vqrec.embedding.text_encoder import TextEncoder, model_files

        with self._lock:
            if self._text_encoder is None:
                made = self.made
                known = made.get("plm_files")
                if known and model_files(made["plm"]) not in ({}, known):
                    raise VQRecError(
                        f"plm: the files of '{made['plm']}' have changed since the run's items were embedded with them; "
                        "put them back, or train anew"
                    )
                self._text_encoder = TextEncoder(made["plm"], made["pooling"], made["max_text_length"] or 512)
            return self._text_encoder.encode(texts)

    def quantizer(self):
        """Return the quantizer that turns text vectors into codes.

        Raises:
            VQRecError: the run's codes were not made from texts.
        """
        if not self.quantizer_tensors:
            raise VQRecError(
                "the run's item codes come without a quantizer (random codes), so new items get none; "
                "train on codes made from texts: 'recbole-vqrec encode --quantizer opq'"
            )
        return quantizer_of(self.quantizer_tensors)

    def neighbours(self, vectors, catalogue):
        """Return the trained items nearest to text vectors [n, d_w]; see `TextNeighbours.find`."""
        with self._lock:
            if self._neighbours is None:
                codes = catalogue.codes[: catalogue.trained]
                self._neighbours = TextNeighbours(self.quantizer(), codes, catalogue.codes_per_codebook)
            return self._neighbours.find(vectors)


def refuse_unknown(item_ids, known, what):
    """Raise `VQRecError` if some ids are not known; `what` says where they were given."""
    unknown = [item_id for item_id in item_ids if item_id not in known]
    if unknown:
        raise VQRecError(f"{what}: {len(unknown):,} item ids that the run does not know ({examples(unknown)})")
