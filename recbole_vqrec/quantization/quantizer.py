"""What every quantizer that learns codebooks has in common, and the checks of its input.

Axis legend: N vectors, d input size, D codebooks, M codes per codebook.
"""

import numpy as np

from recbole_vqrec.errors import VQRecError

KMEANS_ROUNDS = 25  # faiss's own default


class Quantizer:
    """Codebooks over (parts of) vectors; encodes new vectors without the training data.

    A subclass has `centroids` [D, M, ...], a `whitening` that comes first or None, and `vector_size`, the size of the
    vectors that are left to quantize.
    """

    @classmethod
    def load(cls, path, remedy="encode the data set again"):
        """Return the quantizer stored with item codes.

        Raises:
            VQRecError: missing or damaged file, or one with another kind of quantizer or none.
        """
        from recbole_vqrec.quantization.quantizers import load_quantizer

        quantizer = load_quantizer(path, remedy)
        if not isinstance(quantizer, cls):
            raise VQRecError(f"{path}: holds a {type(quantizer).__name__}, expected a {cls.__name__}; {remedy}")
        return quantizer

    @property
    def codebooks(self):
        """D."""
        return self.centroids.shape[0]

    @property
    def codes_per_codebook(self):
        """M."""
        return self.centroids.shape[1]

    @property
    def input_size(self):
        """Size of the vectors that `encode` takes."""
        return self.whitening.components.shape[1] if self.whitening else self.vector_size

    def encode(self, vectors, block=65536):
        """Return the codes of vectors, each the nearest centroid, the first of equals.

        Args:
            vectors (np.ndarray): [N, d].
            block (int): rows at a time, which bounds memory.

        Returns:
            np.ndarray: [N, D] int64.

        Raises:
            VQRecError: vectors of another size than the quantizer was trained on.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self.input_size:
            raise VQRecError(
                f"embeddings of shape {vectors.shape} for a quantizer of vectors of size {self.input_size}; "
                "use embeddings of the language model the quantizer was trained on"
            )
        codes = np.empty((len(vectors), self.codebooks), dtype=np.int64)
        for start in range(0, len(vectors), block):
            part = vectors[start : start + block]
            part = self.whitening.apply(part) if self.whitening else np.asarray(part, dtype=np.float32)
            self._encode_block(part, codes[start : start + block])
        return codes

    def decode(self, codes):
        """Return the [N, d] vectors that codes [N, D] stand for."""
        vectors = self._decode(codes)
        return self.whitening.undo(vectors) if self.whitening else vectors

    def tensors(self):
        """Return the arrays to store."""
        return {**self._arrays(), **self.whitening.tensors()} if self.whitening else self._arrays()


def check_sizes(vectors, codebooks, codes_per_codebook):
    """Return log2(M) if vectors [N, d] can train D codebooks of M codes.

    Raises:
        VQRecError: they cannot, or a vector is not finite.
    """
    n, size = vectors.shape
    bits = int(codes_per_codebook).bit_length() - 1
    if codes_per_codebook < 2 or codes_per_codebook != 1 << bits:
        raise VQRecError(f"codes_per_codebook: {codes_per_codebook} is not a power of two; choose 64, 128 or 256")
    if not 1 <= codebooks <= size:
        raise VQRecError(f"codebooks: {codebooks} does not fit vectors of size {size}; choose 1..{size}")
    if n < codes_per_codebook:
        raise VQRecError(
            f"{n:,} training items cannot fill {codes_per_codebook} codes per codebook; "
            f"choose codes_per_codebook at most {1 << max(n.bit_length() - 1, 1)}"
        )
    if not np.isfinite(vectors).all():
        raise VQRecError(f"row {int(np.argwhere(~np.isfinite(vectors))[0, 0])} of the embeddings is not finite")
    return bits
