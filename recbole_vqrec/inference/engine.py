"""A trained model rebuilt from its run folder, and the scores it gives to the items of a catalogue.

Axis legend: U users, L longest history, N items without padding, D codebooks, H hidden size.
"""

import numpy as np
import torch
import torch.nn.functional as F
from recbole.data.interaction import Interaction
from recbole.utils import init_seed

from recbole_vqrec import registry
from recbole_vqrec.config import Config
from recbole_vqrec.errors import VQRecError, examples
from recbole_vqrec.model.packed_sequences import PackedSequences
from recbole_vqrec.model.scoring import SubItemScorer
from recbole_vqrec.quantization.item_codes import PADDING_CODE, flatten
from recbole_vqrec.trainer import checkpoint


class CatalogueDataset:
    """What a model reads of its data set when it is built, from a catalogue instead of the training data.

    Args:
        config (Config): names the fields.
        catalogue (Catalogue): the items.

    Attributes:
        item_codes (torch.LongTensor): [1 + N, D] flat code ids, where the catalogue has codes.
        codebooks, codes_per_codebook (int): D and M.
        item_text_vectors (torch.FloatTensor): [1 + N, d_w], where the catalogue has text vectors.
    """

    def __init__(self, config, catalogue):
        self.config, self.item_num = config, len(catalogue) + 1
        self.iid_field, self.uid_field = config["ITEM_ID_FIELD"], config["USER_ID_FIELD"]
        self.field2id_token = {self.iid_field: np.array(["[PAD]", *catalogue.item_ids])}
        self.field2seqlen = {f"{self.iid_field}{config['LIST_SUFFIX']}": config["MAX_ITEM_LIST_LENGTH"]}
        if catalogue.codes is not None:
            self.codebooks, self.codes_per_codebook = catalogue.codes.shape[1], catalogue.codes_per_codebook
            flat = torch.from_numpy(flatten(catalogue.codes, catalogue.codes_per_codebook))
            self.item_codes = F.pad(flat, (0, 0, 1, 0), value=PADDING_CODE)
        if catalogue.text_vectors is not None:
            self.item_text_vectors = F.pad(torch.from_numpy(catalogue.text_vectors), (0, 0, 1, 0))

    def num(self, field):
        """Return the number of items with padding; of any other field, a model without its data knows nothing."""
        if field == self.iid_field:
            return self.item_num
        raise AttributeError(f"num('{field}')")


def create_engine(config, catalogue, state):
    """Return the engine of a run: through codes where an item is the mean of its code vectors, else the model itself.

    Args:
        config (Config): of the run.
        catalogue (Catalogue): its items.
        state (dict): the model's state, name -> tensor.

    Raises:
        VQRecError: the model needs its training data, or state and model do not fit.
    """
    model = build_model(config, catalogue, state)
    code_vectors = getattr(getattr(model, "items", None), "code_vectors", lambda: None)()
    if code_vectors is not None and getattr(model, "temperature", None) is not None:
        return CodeEngine(model, catalogue)
    return ModelEngine(model, config, catalogue, state)


def build_model(config, catalogue, state):
    """Return a run's model in evaluation mode, its items those of the catalogue.

    Tensors of the state that hold a row for each item (codes, text vectors) are the catalogue's; all others have to fit.

    Raises:
        VQRecError: see `create_engine`; new items for a model that has parameters for each item.
    """
    init_seed(config["seed"], config["reproducibility"])
    try:
        model = config.model_class(config, CatalogueDataset(config, catalogue)).to(config["device"])
    except (AttributeError, KeyError) as error:
        raise VQRecError(
            f"{config['model']} cannot be rebuilt without its training data ({error}); "
            "use recbole_vqrec.load_data_and_model on the data set"
        ) from error
    own = model.state_dict()
    parameters = {name for name, _ in model.named_parameters()}
    wrong = [name for name in own.keys() ^ state.keys()]
    grown = [name for name in own.keys() & state.keys() if own[name].shape != state[name].shape]
    if any(name in parameters for name in grown) and not wrong:
        raise VQRecError(
            f"{config['model']} knows its items by id only, {examples(sorted(set(grown) & parameters))} has a row for "
            "each; new items need a model that reads texts, such as VQRec, or a new training"
        )
    if wrong:
        raise VQRecError(f"checkpoint and {config['model']} do not fit ({examples(sorted(wrong))} differ)")
    rows = len(catalogue) + 1
    aligned = [name for name in own.keys() - parameters if own[name].dim() and own[name].shape[0] == rows]
    model.load_state_dict({**state, **{name: own[name] for name in aligned}})
    return model.eval().requires_grad_(False)


class CodeEngine:
    """Scores through codes: no table of items is formed, and new items need nothing but their codes.

    Args:
        model (VQRec): with `items`, `encoder` and `temperature`.
        catalogue (Catalogue): N items with codes.
        known (CodeEngine, optional): one for fewer items of the same model.
    """

    normalised = True

    def __init__(self, model, catalogue, known=None):
        self.model = model
        for name, buffer in list(model.items.named_buffers(recurse=False)):
            if len(buffer) == len(catalogue) + 1:  # eight times the memory of the codes, and not read here
                setattr(model.items, name, buffer[:1].clone())
        codes = torch.from_numpy(catalogue.codes).to(model.device)
        vectors = model.items.code_vectors()
        self.scorer = SubItemScorer(vectors, codes, catalogue.codes_per_codebook, known and known.scorer)

    def with_catalogue(self, catalogue):
        """Return an engine for a changed catalogue of the same model."""
        return CodeEngine(self.model, catalogue, self)

    @torch.inference_mode()
    def sequence_vectors(self, rows):
        """Return the L2-normalised states [U, H] of histories, lists of item rows 0 .. N - 1, none empty."""
        lengths = torch.tensor([len(each) for each in rows], device=self.model.device)
        packed = PackedSequences(lengths)
        items = packed.pack(padded(rows, self.model.device, fill=0))
        vectors = self.scorer.vectors(self.scorer.codes[items])
        return F.normalize(self.model.encoder(vectors, packed)[packed.last], dim=-1)

    @torch.inference_mode()
    def item_vectors(self, rows):
        """Return the L2-normalised vectors [n, H] of item rows [n]."""
        return F.normalize(self.scorer.vectors(self.scorer.codes[rows]), dim=-1)

    def blocks(self, rows, among=None):
        """Yield (first item, scores [U, n]) of histories, cosine / temperature; see `SubItemScorer.blocks`."""
        yield from self.similar(self.sequence_vectors(rows) / self.model.temperature, among)

    @torch.inference_mode()
    def similar(self, vectors, among=None):
        """Yield (first item, scores [U, n]) of vectors [U, H], times the cosine."""
        yield from self.scorer.blocks(vectors, among)


class ModelEngine:
    """Scores of `full_sort_predict`, for any sequential model.

    Args:
        model (SequentialRecommender): in evaluation mode.
        config (Config): of the run.
        catalogue (Catalogue): N items.
        state (dict): the model's state, from which it is rebuilt for other items.
    """

    def __init__(self, model, config, catalogue, state):
        self.model, self.config, self.state = model, config, state
        self.items = len(catalogue)
        self.full_length = registry.known(config["model"]).batches == registry.STOCK_ROWS
        self.normalised = getattr(model, "temperature", None) is not None

    def with_catalogue(self, catalogue):
        """Return an engine for a changed catalogue; raises `VQRecError` where the model cannot take new items."""
        model = self.model
        if len(catalogue) != self.items or catalogue.text_vectors is not None:
            model = build_model(self.config, catalogue, self.state)
        return ModelEngine(model, self.config, catalogue, self.state)

    def _interaction(self, rows):
        longest = self.model.max_seq_length if self.full_length else None
        lengths = torch.tensor([len(each) for each in rows], device=self.model.device)
        items = padded([np.asarray(each) + 1 for each in rows], self.model.device, fill=0, longest=longest)
        return Interaction({self.model.ITEM_SEQ: items, self.model.ITEM_SEQ_LEN: lengths})

    @torch.inference_mode()
    def blocks(self, rows, among=None):
        """Yield (0, scores [U, n]) of histories, lists of item rows, none empty: one block of all items."""
        scores = self.model.full_sort_predict(self._interaction(rows)).view(len(rows), -1)[:, 1 : self.items + 1]
        yield 0, scores if among is None else scores[:, among]

    @torch.inference_mode()
    def sequence_vectors(self, rows):
        """Return the vectors [U, H] of histories whose product with the item vectors are the scores (up to tau).

        Raises:
            VQRecError: the model's scores are no such products.
        """
        interaction = self._interaction(rows)
        try:
            state = self.model.forward(interaction[self.model.ITEM_SEQ], interaction[self.model.ITEM_SEQ_LEN])
        except TypeError:  # a model that reads more or less than items and lengths
            self._refuse()
        vectors = self._table()
        if state.dim() != 2 or state.shape[1] != vectors.shape[1]:
            self._refuse()
        if self.normalised:
            state = F.normalize(state, dim=-1)
        scores = self.model.full_sort_predict(interaction).view(len(rows), -1)[:, 1 : self.items + 1]
        products = state @ vectors.T / (self.model.temperature if self.normalised else 1)
        if not torch.allclose(products, scores, rtol=1e-3, atol=1e-3):
            self._refuse()
        return state

    @torch.inference_mode()
    def item_vectors(self, rows):
        """Return the vectors [n, H] of item rows [n], L2-normalised where the model scores by cosine."""
        return self._table()[rows]

    @torch.inference_mode()
    def similar(self, vectors, among=None):
        """Yield (0, cosine [U, n]) of item vectors [U, H] with all items."""
        table = self._table() if among is None else self._table()[among]
        yield 0, F.normalize(vectors, dim=-1) @ F.normalize(table, dim=-1).T

    def _table(self):
        if hasattr(self.model, "item_table"):
            table = self.model.item_table()
        elif isinstance(getattr(self.model, "item_embedding", None), torch.nn.Embedding):
            table = self.model.item_embedding.weight
        else:
            self._refuse()
        table = table[1 : self.items + 1]
        return F.normalize(table, dim=-1) if self.normalised else table

    def _refuse(self):
        raise VQRecError(
            f"{self.config['model']} has no vectors for sequences and items whose product is its score; "
            "it can recommend, but not be exported to a vector index"
        )


def padded(rows, device, fill, longest=None):
    """Return [U, L] int64 of lists of numbers, filled up at the end."""
    longest = longest or max(len(each) for each in rows)
    table = np.full((len(rows), longest), fill, dtype=np.int64)
    for index, each in enumerate(rows):
        table[index, : len(each)] = each
    return torch.from_numpy(table).to(device)


def load_run(run):
    """Return (config, model state) of a run folder.

    Raises:
        VQRecError: no checkpoint, damaged, or of another version.
    """
    tensors, _, manifest = checkpoint.load(run)
    config = Config(manifest["model"], manifest["dataset"], None, manifest["config"])
    state = {name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")}
    return config, state
