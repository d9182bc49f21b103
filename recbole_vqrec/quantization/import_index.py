"""The authors' published item codes (a faiss index file) -> a code file matched by item id.

Axis legend: N items of the data set, n items in the index, D codebooks.
"""

from pathlib import Path

import numpy as np

from recbole_vqrec import artifacts, provenance
from recbole_vqrec.data.item_code_table import codes_path
from recbole_vqrec.embedding.text_encoder import load_embeddings
from recbole_vqrec.errors import VQRecError, examples, refuse_other
from recbole_vqrec.preprocess.atomic_files import read_table
from recbole_vqrec.preprocess.item_text import item_texts
from recbole_vqrec.quantization.domain import Domain, interaction_files, training_items
from recbole_vqrec.quantization.faiss_index import read_index
from recbole_vqrec.quantization.item_codes import ItemCodes

MISSING = ("auto", "refuse", "nearest-text", "embeddings")


def import_index(folder, dataset, index_file, options, missing="auto", numbered=None):
    """Write the code file of a data set from an authors' index.

    The authors number items 0, 1, 2, ... (<D>.item2index) and add to a "strict" index only the items of the training
    split, in ascending number; a full index holds all of them.

    Args:
        folder (str or Path): the data set's folder.
        dataset (str): D.
        index_file (str or Path): the faiss index.
        options (dict): of props/item_codes.yaml; plm names the embeddings for `missing="embeddings"`.
        missing (str): codes of items that are not in the index: "refuse" stops, as does "auto" here, where no
            embeddings come with the index; "nearest-text" takes those of the item with the most similar text (TF-IDF
            cosine); "embeddings" encodes their text embeddings with the index's own quantizer. The choice is recorded
            in the code file.
        numbered (list of str, optional): all item ids in the order of the authors' numbers; by default the item ids
            are these numbers.

    Returns:
        tuple: path of the code file, and a line that says what it holds.

    Raises:
        VQRecError: item ids are not numbers, the index has another number of items than expected, or items are
            missing and the choice is "refuse".
    """
    refuse_other("missing_codes", missing, MISSING)
    folder, index_file = Path(folder), Path(index_file)
    if not index_file.is_file():
        raise VQRecError(f"{index_file}: index file not found")
    quantizer, codes = read_index(index_file)
    item_ids = numbered or _all_items(folder, dataset)
    in_index = _indexed_items(folder, dataset, item_ids, len(codes), index_file)
    indexed = set(in_index)
    absent = [item for item in item_ids if item not in indexed]
    if absent and missing in ("auto", "refuse"):
        raise VQRecError(
            f"{index_file}: lacks {len(absent)} of {len(item_ids):,} items, which training never sees "
            f"({examples(absent)}); choose --missing nearest-text or --missing embeddings"
        )
    table = dict(zip(in_index, codes))
    sources = [index_file, *interaction_files(folder, dataset)]
    if absent and missing == "embeddings":
        sources.append(artifacts.embedding_file(folder, dataset, options["plm"]))
    if absent:
        fill = _codes_of_nearest_text if missing == "nearest-text" else _codes_of_embeddings
        table.update(zip(absent, fill(folder, dataset, options, in_index, codes, absent, quantizer)))
    manifest = {
        "dataset": dataset,
        "options": {"from_index": index_file.name, "missing": missing},
        "inputs": provenance.fingerprints(*sources),
        "filled_items": absent,
    }
    layout = {**options, "codebooks": quantizer.codebooks, "codes_per_codebook": quantizer.codes_per_codebook}
    path = codes_path(folder, dataset, {**layout, "item_codes": options["item_codes"] or "published"})
    item_codes = ItemCodes(
        item_ids, np.stack([table[item] for item in item_ids]), quantizer.codes_per_codebook, manifest
    )
    item_codes.save(path, quantizer.tensors())
    said = f"{len(in_index):,} items from {index_file.name}"
    return path, said + (f", {len(absent)} that it lacks by {missing} ({examples(absent, 12)})" if absent else "")


def _all_items(folder, dataset):
    """Return the item ids of the interaction files, in ascending number."""
    found = set()
    for file in interaction_files(folder, dataset):
        table = read_table(file, "")
        found.update(table["item_id"])
        if "item_id_list" in table:
            found.update(*table["item_id_list"].str.split())
    words = sorted(item for item in found if not item.isdecimal())
    if words:
        raise VQRecError(
            f"{folder}: item ids such as '{words[0]}' are not the authors' numbers; "
            "use their <D>.train|valid|test.inter files, whose item ids are"
        )
    return sorted(found, key=int)


def _indexed_items(folder, dataset, item_ids, count, index_file):
    """Return the ids of the items in an index of `count` items, in its order."""
    seen = training_items(folder, dataset)
    trained = [item for item in item_ids if item in seen]
    for candidates in (item_ids, trained):
        if count == len(candidates):
            return candidates
    raise VQRecError(
        f"{index_file}: holds {count:,} items; {dataset} has {len(item_ids):,}, {len(trained):,} of them in its "
        "training split; use the index of this data set"
    )


def _codes_of_nearest_text(folder, dataset, options, in_index, codes, absent, quantizer):
    """Return the codes of the most similar text for each absent item."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    text = _texts(folder, dataset, options)
    lacking = [item for item in absent if item not in text]
    if lacking:
        raise VQRecError(f"{folder}: no text for the items {examples(lacking)}; choose --missing embeddings")
    known = [row for row, item in enumerate(in_index) if item in text]
    vectorizer = TfidfVectorizer(sublinear_tf=True)
    known_vectors = vectorizer.fit_transform([text[in_index[row]] for row in known])
    similarity = vectorizer.transform([text[item] for item in absent]) @ known_vectors.T
    return codes[np.asarray(known)[np.asarray(similarity.argmax(axis=1)).ravel()]]


def _codes_of_embeddings(folder, dataset, options, in_index, codes, absent, quantizer):
    """Return the codes of the absent items' own text embeddings."""
    domain = Domain(dataset, folder, options["plm"], options["pooling"])
    domain.language_model()  # refuses embeddings that are out of date
    item_ids, embeddings, _ = load_embeddings(domain.embedding_file, domain.remedy)
    wanted = embeddings[artifacts.rows_of(item_ids, absent, domain.embedding_file, domain.remedy)]
    domain.refuse_not_finite(absent, wanted)
    return quantizer.encode(wanted)


def _texts(folder, dataset, options):
    """Return item id -> text from <D>.item, or from the authors' <D>.text and <D>.item2index."""
    item_file = artifacts.atomic_file(folder, dataset, "item")
    if item_file.is_file():
        return dict(zip(*item_texts(item_file, options["text_columns"], options["empty_text"])))
    text_file, numbers_file = folder / f"{dataset}.text", folder / f"{dataset}.item2index"
    texts = dict(zip(*item_texts(text_file, ["text"], " ", f"put the authors' file there, or {dataset}.item")))
    if not numbers_file.is_file():
        raise VQRecError(f"{numbers_file}: not found; put the authors' file there, or {dataset}.item")
    lines = numbers_file.read_text(encoding="utf-8").splitlines()
    return {number: texts[item] for item, number in (line.split("\t") for line in lines) if item in texts}
