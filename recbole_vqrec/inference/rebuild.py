"""A trained model rebuilt from its run folder, without the training data.

Axis legend: N items without padding, D codebooks, d_w size of text vectors.
"""

import copy

import numpy as np
import torch
import torch.nn.functional as F
from recbole.utils import init_seed

from recbole_vqrec import __version__
from recbole_vqrec.config import Config
from recbole_vqrec.errors import VQRecError, examples
from recbole_vqrec.model.tied_items import TiedItems
from recbole_vqrec.quantization.item_codes import PADDING_CODE, flatten
from recbole_vqrec.trainer import checkpoint


class CatalogueDataset:
    """What a model reads of its data set when it is built, from a catalogue instead of the training data.

    Args:
        config (Config): names the fields.
        catalogue (Catalogue): the items.
        state (dict): the model's, from which sizes are read that only training needs data for.

    Attributes:
        item_codes (torch.LongTensor): [1 + N, D] flat code ids, where the catalogue has codes.
        codebooks, codes_per_codebook (int): D and M.
        item_text_vectors (torch.FloatTensor): [1 + N, d_w], where the catalogue has text vectors.
        item_popularity (torch.LongTensor): [1 + N].
        scored_by_engine (bool): the engine adds what histories add, since it knows added items too.
        item_attributes (torch.BoolTensor): [1 + N, attributes], none set, of models that have learned attributes.
        item_domain (np.ndarray): [1 + N], the last domain's number throughout, of models that tell domains apart.
    """

    def __init__(self, config, catalogue, state):
        self.config, self.item_num = config, len(catalogue) + 1
        self.iid_field, self.uid_field = config["ITEM_ID_FIELD"], config["USER_ID_FIELD"]
        self.field2id_token = {self.iid_field: np.array(["[PAD]", *catalogue.item_ids])}
        self.field2seqlen = {f"{self.iid_field}{config['LIST_SUFFIX']}": config["MAX_ITEM_LIST_LENGTH"]}
        self.scored_by_engine = True
        self.item_popularity = F.pad(torch.from_numpy(catalogue.popularity), (1, 0))
        if catalogue.codes is not None:
            self.codebooks, self.codes_per_codebook = catalogue.codes.shape[1], catalogue.codes_per_codebook
            flat = torch.from_numpy(flatten(catalogue.codes, catalogue.codes_per_codebook))
            self.item_codes = F.pad(flat, (0, 0, 1, 0), value=PADDING_CODE)
        if catalogue.text_vectors is not None:
            self.item_text_vectors = F.pad(torch.from_numpy(catalogue.text_vectors), (0, 0, 1, 0))
        if "attribute_embedding.weight" in state:
            attributes = len(state["attribute_embedding.weight"])
            self.item_attributes = torch.zeros(self.item_num, attributes, dtype=torch.bool)
        if "discriminator.2.bias" in state:
            self.item_domain = np.full(self.item_num, len(state["discriminator.2.bias"]) - 1)

    def num(self, field):
        """Return the number of items with padding; of any other field, a model without its data knows nothing."""
        if field == self.iid_field:
            return self.item_num
        raise AttributeError(f"num('{field}')")


def build_model(config, catalogue, state):
    """Return a run's model in evaluation mode, its items those of the catalogue.

    Tensors of the state that hold a row for each item (codes, text vectors) are the catalogue's; id embeddings that
    stand beside codes or texts are zero for items added later; all others have to fit.

    Raises:
        VQRecError: see `create_engine`; new items for a model that has parameters for each item.
    """
    init_seed(config["seed"], config["reproducibility"])
    try:
        model = config.model_class(config, CatalogueDataset(config, catalogue, state)).to(config["device"])
    except (AttributeError, KeyError) as error:
        raise VQRecError(
            f"{config['model']} cannot be rebuilt without its training data ({error}); "
            "use recbole_vqrec.load_data_and_model on the data set"
        ) from error
    own = model.state_dict()
    parameters = {name for name, _ in model.named_parameters()}
    wrong = [name for name in own.keys() ^ state.keys()]
    grown = [name for name in own.keys() & state.keys() if own[name].shape != state[name].shape]
    for name in getattr(getattr(model, "items", None), "zero_for_new_items", ()):
        name, rows = f"items.{name}", len(catalogue) + 1
        if name in grown and len(state[name]) < rows:
            state = {**state, name: F.pad(state[name], (0, 0, 0, rows - len(state[name])))}
            grown.remove(name)
    if any(name in parameters for name in grown) and not wrong:
        raise VQRecError(
            f"{config['model']} knows its items by id only, {examples(sorted(set(grown) & parameters))} has a row for "
            "each; new items need a model that reads texts, such as VQRec, or a new training"
        )
    if wrong:
        raise VQRecError(f"checkpoint and {config['model']} do not fit ({examples(sorted(wrong))} differ)")
    model.load_state_dict({**state, **{name: own[name] for name in grown}})
    if hasattr(getattr(model, "items", None), "replace_items"):
        # a data set of its own: the first one's tensors are the model's buffers, which the state has been loaded into
        _replace_items(model, CatalogueDataset(config, catalogue, state))
    return model.to(config["device"]).eval().requires_grad_(False)


def with_items(model, config, catalogue, state, known):
    """Return a run's model for a changed catalogue.

    Where items have codes it shares the parameters with the given one, which stays as it is, and takes over the vectors
    of the items that both have.

    Args:
        model (SequentialRecommender): of the `known` catalogue.
        config, catalogue, state: as `build_model`.
        known (Catalogue): before the change.

    Raises:
        VQRecError: as `build_model`.
    """
    items = getattr(model, "items", None)
    if not hasattr(items, "replace_items"):
        return build_model(config, catalogue, state)
    dataset = CatalogueDataset(config, catalogue, state)
    changed = _shallow(model)
    changed.items = _shallow(items)
    if catalogue.begins_with(known):
        new, texts = len(known) + 1, getattr(dataset, "item_text_vectors", None)
        changed.items.append_items(dataset.item_codes[new:], None if texts is None else texts[new:])
        changed.take_over_table(model)
    else:
        _replace_items(changed, dataset)
    tied_items = TiedItems(dataset.item_codes, dataset.item_popularity, config["tied_items"])
    changed.tied_items = tied_items.to(config["device"])
    return changed


def _shallow(module):
    """Return a module with the same parts, of which some can be replaced without a change of the given one."""
    shallow = copy.copy(module)
    for parts in ("_modules", "_buffers", "_parameters"):
        setattr(shallow, parts, dict(getattr(module, parts)))
    return shallow


def _replace_items(model, dataset):
    model.items.replace_items(dataset.item_codes, getattr(dataset, "item_text_vectors", None))


def load_run(run):
    """Return (config, model state, item ids) of a run folder.

    Raises:
        VQRecError: no checkpoint, damaged, or of another version.
    """
    tensors, item_ids, manifest = checkpoint.load(run)
    options = dict(manifest["config"])
    if options.get("stage") == "pretrain":
        # the negatives of pre-training, and what histories add, need the data; neither has a part in its validation
        none = {"seen_weight": 0, "co_occurrence_weight": 0, "text_similarity_weight": 0, "new_item_weight": 0}
        options.update(none, stage="train")
    try:
        config = Config(manifest["model"], manifest["dataset"], None, options)
    except VQRecError as error:
        raise VQRecError(
            f"{run}: its options are not those of this version ({error}); made by recbole-vqrec "
            f"{manifest.get('recbole_vqrec')}, this is {__version__}; use the version that made it, or train again"
        ) from error
    state = {name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")}
    return config, state, item_ids
