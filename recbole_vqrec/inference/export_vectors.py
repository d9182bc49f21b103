"""Item vectors for other programs: a parquet table, or a faiss index with its id map.

Axis legend: N items, H hidden size, D codebooks.
"""

import math
from pathlib import Path

import numpy as np
import polars as pl

from recbole_vqrec import artifacts
from recbole_vqrec.errors import VQRecError, refuse_other
from recbole_vqrec.quantization.faiss_index import write_whole

INDEXES = ("flat", "hnsw", "ivfpq")
HNSW_LINKS, HNSW_SEARCHED = 32, 128
LEAST_FOR_IVFPQ = 256 * 39  # faiss asks for 39 vectors a centroid of 8 bits
CHECKED = 1000  # items whose neighbours are compared with the exact ones


def export_parquet(recommender, path):
    """Write item_id, text, vector (and codes, where the model has them) of the items that are recommended.

    Args:
        recommender (Recommender): the run.
        path (str or Path): the file.

    Returns:
        str: what was written.
    """
    ids, vectors = recommender.item_embeddings()
    catalogue, rows = recommender.catalogue, [recommender.served.row[item_id] for item_id in ids]
    columns = {
        "item_id": ids,
        "text": [catalogue.texts[row] for row in rows],
        "vector": pl.Series(vectors, dtype=pl.Array(pl.Float32, vectors.shape[1])),
    }
    if catalogue.codes is not None:
        codes = catalogue.codes[rows].astype(np.int32)
        columns["codes"] = pl.Series(codes, dtype=pl.Array(pl.Int32, codes.shape[1]))
    with artifacts.replace_when_done(path) as temporary:
        pl.DataFrame(columns).write_parquet(temporary)
    return f"{path}: {len(ids):,} items, vectors of size {vectors.shape[1]}, {_normalisation(recommender)}"


def export_faiss(recommender, path, index="flat"):
    """Write a faiss index over the item vectors, inner product, and <path>.ids.txt: line r + 1 is the id of vector r.

    Args:
        recommender (Recommender): the run; it gives the query vectors by `sequence_embeddings`.
        path (str or Path): the index file.
        index (str): "flat" (exact), "hnsw" (a graph) or "ivfpq" (inverted lists of product-quantized vectors).

    Returns:
        str: what was written, with the share of the 10 nearest items that the index finds.

    Raises:
        VQRecError: an unknown index, too few items for it, or a model whose score is no product of vectors.
    """
    import faiss

    refuse_other("index", index, INDEXES)
    recommender.sequence_embeddings([recommender.catalogue.item_ids[:1]])  # refuses where they are no queries
    ids, vectors = recommender.item_embeddings()
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    exact = faiss.IndexFlatIP(vectors.shape[1])
    exact.add(vectors)
    made = exact if index == "flat" else _approximate(faiss, index, vectors)
    ids_path = Path(f"{path}.ids.txt")
    # neither takes the place of an older one before both are complete: an index with other ids would name wrong items
    with artifacts.replace_when_done(ids_path) as new_ids, artifacts.replace_when_done(path) as new_index:
        new_ids.write_text("".join(f"{item_id}\n" for item_id in ids), encoding="utf-8")
        write_whole(made, new_index, path)
    found = _shared_neighbours(exact, made, vectors)
    return (
        f"{path}, {ids_path}: {index} index, inner product, {len(ids):,} vectors of size {vectors.shape[1]}, "
        f"{_normalisation(recommender)}; finds {found:.1%} of the 10 nearest"
    )


def _approximate(faiss, index, vectors):
    count, size = vectors.shape
    if index == "hnsw":
        made = faiss.IndexHNSWFlat(size, HNSW_LINKS, faiss.METRIC_INNER_PRODUCT)
        made.hnsw.efSearch = HNSW_SEARCHED
    else:
        if count < LEAST_FOR_IVFPQ:
            raise VQRecError(
                f"index: ivfpq needs {LEAST_FOR_IVFPQ:,} items or more, there are {count:,}; use hnsw or flat"
            )
        lists = min(int(4 * math.sqrt(count)), count // 39)
        parts = max(part for part in range(1, size // 4 + 1) if size % part == 0)
        made = faiss.index_factory(size, f"IVF{lists},PQ{parts}x8", faiss.METRIC_INNER_PRODUCT)
        made.nprobe = max(1, lists // 16)
        made.train(vectors)
    made.add(vectors)
    return made


def _shared_neighbours(exact, made, vectors):
    """Return the share of the 10 nearest items of a sample of items that an index finds."""
    sample = vectors[np.random.default_rng(0).permutation(len(vectors))[:CHECKED]]
    k = min(10, len(vectors))
    pairs = zip(exact.search(sample, k)[1], made.search(sample, k)[1])
    return float(np.mean([len(np.intersect1d(right, found)) / k for right, found in pairs]))


def _normalisation(recommender):
    engine = recommender.served.engine
    normalised = "L2-normalised" if engine.normalised else "not normalised"
    return f"{normalised}, without what histories add to the run's scores" if engine.history_scores else normalised
