"""Which embedding file belongs to a data set, and its text vectors in RecBole's item order.

Axis legend: N items with padding, d_w size of the language model's vectors.
"""

from pathlib import Path

import numpy as np

from recbole_vqrec import artifacts, provenance
from recbole_vqrec.embedding.embed import embed_command, embedding_path
from recbole_vqrec.embedding.text_encoder import KIND, load_embeddings
from recbole_vqrec.errors import VQRecError, examples
from recbole_vqrec.preprocess.domain_ids import merged_item_ids
from recbole_vqrec.preprocess.record import own_or_of_domains
from recbole_vqrec.quantization.domain import LANGUAGE_MODEL, refuse_different


def load_text_vectors(config, tokens, word_drop=False):
    """Return the text vectors of a data set's items, matched by item id.

    A merged data set that has no embedding file of its own takes the vectors of its domains, whose files lie beside it.

    Args:
        config (Config): with data_path (the data set's folder), dataset and the options of props/item_codes.yaml.
        tokens (sequence of str): internal item id -> external id, tokens[0] is the padding item.
        word_drop (bool): the second view of the texts, made with `recbole-vqrec embed --word-drop`.

    Returns:
        np.ndarray: [N, d_w] float32, row 0 zeros.

    Raises:
        VQRecError: missing, damaged, out of date, items without vector, a vector that is not finite, or vectors of
            several language models or poolings: those of domains, or of the two views.
    """
    folder, dataset = Path(config["data_path"]), config["dataset"]
    item_ids, vectors, path, remedy = _vectors(folder, dataset, config, word_drop)
    wanted = [str(token) for token in tokens[1:]]
    table = vectors[artifacts.rows_of(item_ids, wanted, path, f"put them into the .item file, then {remedy}")]
    broken = np.flatnonzero(~np.isfinite(table).all(axis=1))
    if broken.size:
        raise VQRecError(f"{path}: vectors that are not finite ({examples(wanted[row] for row in broken)}); {remedy}")
    return np.concatenate([np.zeros((1, table.shape[1]), dtype=np.float32), table])


def made_by(config):
    """Return the options of the embedding file that `load_text_vectors` reads, {} where there is none.

    Args:
        config (mapping): data_path (the data set's folder), dataset, plm.
    """
    folder, dataset = Path(config["data_path"]), config["dataset"]
    _, path = vector_files(folder, dataset, {"plm": config["plm"]})[0]
    return artifacts.read_manifest(path, KIND, "embed the data set again")["options"] if path.is_file() else {}


def vector_files(folder, dataset, options):
    """Return the files of a data set's text vectors: its own, or those of its domains where it is merged and has none.

    Args:
        folder (Path): of the data set.
        dataset (str): name.
        options (mapping): as `embedding_path` takes them.

    Returns:
        list of tuple: data set and file.
    """
    return own_or_of_domains(folder, dataset, lambda *place: embedding_path(*place, options))


def _vectors(folder, dataset, config, word_drop):
    """Return item ids, vectors, file and remedy: of the data set's own file, else of its domains' files."""
    options = {"plm": config["plm"], "word_drop": word_drop}
    path, files = embedding_path(folder, dataset, options), vector_files(folder, dataset, options)
    plain = made_by(config) if word_drop else {}  # both views of a text have to be of one language model
    pooling = plain.get("pooling", config["pooling"])
    item_ids, vectors, made = {}, [], {dataset: plain}
    for domain, file in files:
        item_ids[domain], rows, manifest, remedy = _one_file(file, domain, config["plm"], pooling, word_drop)
        made[f"{domain} with words left out" if word_drop else domain] = manifest.get("options", {})
        vectors.append(rows)
    _refuse_different(made)
    if files == [(dataset, path)]:
        return item_ids[dataset], vectors[0], path, remedy
    item_ids = merged_item_ids(dataset, item_ids)
    if len({rows.shape[1] for rows in vectors}) > 1:
        raise VQRecError(f"{path}: its domains' vectors differ in size; embed all of them with the same plm")
    return item_ids, np.concatenate(vectors), path, remedy


def _refuse_different(made):
    """Refuse vectors (name -> options of the file) of several language models or poolings, where the files say them."""
    models = {name: options for name, options in made.items() if options.keys() >= {*LANGUAGE_MODEL}}
    if models:
        refuse_different(models)


def _one_file(path, dataset, plm, pooling, word_drop):
    """Return item ids, vectors, manifest and remedy of a file."""
    command = embed_command(dataset, plm, pooling, 0.15 if word_drop else 0)
    remedy = f"run '{command}'" + ("" if word_drop else ", or set plm to the language model that was used")
    if not path.is_file():
        others = sorted(file.name for file in path.parent.glob("*.emb.safetensors"))
        remedy += f" (there are {', '.join(others)})" if others else ""
    item_ids, vectors, manifest = load_embeddings(path, remedy)
    provenance.refuse_stale(path, manifest, f"run '{command}'")
    return item_ids, vectors, manifest, remedy
