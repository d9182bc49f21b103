"""The authors' published faiss index files: their quantizer and the item codes in them, read and written.

Axis legend: N items in the index, D codebooks, M codes per codebook, d input size, r rotated size.
"""

import contextlib
from pathlib import Path

import numpy as np

from recbole_vqrec import artifacts
from recbole_vqrec.errors import VQRecError
from recbole_vqrec.quantization.product_quantizer import ProductQuantizer

EXPECTED = "expected a faiss index of the kind OPQ<D>,IVF1,PQ<D>x8"


def read_index(path):
    """Return the quantizer and the codes of a faiss index `OPQ<D>,IVF1,PQ<D>x<bits>`.

    Args:
        path (str or Path): the .index file.

    Returns:
        tuple: `ProductQuantizer`, and codes [N, D] int64 in the order in which the items were added.

    Raises:
        VQRecError: not a file, not a faiss index, or of another kind.
    """
    import faiss

    try:
        with _no_vector_beyond(faiss, Path(path)):
            index = faiss.read_index(str(path))
    except (RuntimeError, MemoryError, OSError) as error:
        raise VQRecError(f"{path}: not a readable faiss index; {EXPECTED}") from error
    rotation, offset = np.eye(index.d, dtype=np.float32), np.zeros(index.d, dtype=np.float32)
    inner = faiss.downcast_index(index)
    if isinstance(inner, faiss.IndexPreTransform):
        if inner.chain.size() != 1:
            raise VQRecError(f"{path}: {inner.chain.size()} transforms in a row; {EXPECTED}")
        transform = faiss.downcast_VectorTransform(inner.chain.at(0))
        if not isinstance(transform, faiss.LinearTransform):
            raise VQRecError(f"{path}: transform {type(transform).__name__}; {EXPECTED}")
        rotation = faiss.vector_to_array(transform.A).reshape(transform.d_out, transform.d_in).copy()
        if transform.have_bias:
            offset = faiss.vector_to_array(transform.b).copy()
        else:
            offset = np.zeros(transform.d_out, dtype=np.float32)
        inner = faiss.downcast_index(inner.index)
    if not isinstance(inner, faiss.IndexIVFPQ) or inner.nlist != 1:
        raise VQRecError(f"{path}: holds {type(inner).__name__}; {EXPECTED}")
    if inner.by_residual:
        offset = offset - faiss.downcast_index(inner.quantizer).reconstruct(0)
    pq = inner.pq
    centroids = faiss.vector_to_array(pq.centroids).reshape(pq.M, pq.ksub, pq.dsub).copy()
    size = inner.invlists.list_size(0)
    packed = faiss.rev_swig_ptr(inner.invlists.get_codes(0), size * pq.code_size).reshape(size, pq.code_size).copy()
    ids = faiss.rev_swig_ptr(inner.invlists.get_ids(0), size).copy()
    codes = packed.astype(np.int64) if pq.nbits == 8 else _unpack(packed, pq.M, pq.nbits)
    return ProductQuantizer(rotation, offset, centroids), codes[np.argsort(ids, kind="stable")]


@contextlib.contextmanager
def _no_vector_beyond(faiss, path):
    """Let faiss refuse sizes that a file cannot hold: for a damaged one it would ask for all the memory there is."""
    if not hasattr(faiss, "set_deserialization_vector_byte_limit"):  # an older faiss
        yield
        return
    before = faiss.get_deserialization_vector_byte_limit()
    faiss.set_deserialization_vector_byte_limit(path.stat().st_size)
    try:
        yield
    finally:
        faiss.set_deserialization_vector_byte_limit(before)


def _unpack(packed, codebooks, bits):
    """Return [N, D] codes from rows of little-endian packed bits."""
    flat = np.unpackbits(packed, axis=1, bitorder="little")[:, : codebooks * bits]
    return flat.reshape(len(packed), codebooks, bits).astype(np.int64) @ (1 << np.arange(bits))


def index_name(codebooks):
    """Return the authors' suffix of an index file, to which their loader is set by default."""
    return f"OPQ{codebooks},IVF1,PQ{codebooks}x8.strict.index"


def write_index(path, quantizer, codes):
    """Write a quantizer and codes as a faiss index `OPQ<D>,IVF1,PQ<D>x8` (inner product), the inverse of `read_index`.

    Args:
        path (str or Path): the file; replaced only when complete.
        quantizer (ProductQuantizer): with M = 256, a byte a code.
        codes (np.ndarray): [N, D] integers.

    Raises:
        VQRecError: M is not 256, or the file cannot be written.
    """
    import faiss

    codebooks, codes_per_codebook, _ = quantizer.centroids.shape
    if codes_per_codebook != 256:
        raise VQRecError(f"{path}: {codes_per_codebook} codes per codebook do not fill a byte, the index needs 256")
    rotated, size = quantizer.rotation.shape
    coarse = faiss.IndexFlatIP(rotated)
    coarse.add(-quantizer.offset[None])
    inner = faiss.IndexIVFPQ(coarse, rotated, 1, codebooks, 8, faiss.METRIC_INNER_PRODUCT)
    faiss.copy_array_to_vector(np.ascontiguousarray(quantizer.centroids, dtype=np.float32).ravel(), inner.pq.centroids)
    codes = np.ascontiguousarray(codes, dtype=np.uint8)
    ids = np.arange(len(codes), dtype=np.int64)
    inner.invlists.add_entries(0, len(codes), faiss.swig_ptr(ids), faiss.swig_ptr(codes))
    inner.is_trained, inner.by_residual, inner.ntotal = True, True, len(codes)
    transform = faiss.LinearTransform(size, rotated, False)
    faiss.copy_array_to_vector(np.ascontiguousarray(quantizer.rotation, dtype=np.float32).ravel(), transform.A)
    transform.is_trained = True
    index = faiss.IndexPreTransform(transform, inner)
    index.is_trained, index.ntotal = True, len(codes)
    with artifacts.replace_when_done(path) as temporary:
        write_whole(index, temporary, path)


def write_whole(index, temporary, path):
    """Write a faiss index to a temporary file that is to become `path`; raise `VQRecError` where that fails."""
    import faiss

    try:
        faiss.write_index(index, str(temporary))
    except RuntimeError as error:  # faiss's own for a full disk
        reason = str(error).splitlines()[-1]
        raise VQRecError(f"{path}: writing failed ({reason}); nothing was left behind") from error
