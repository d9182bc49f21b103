"""(Optimized) product quantization: text embeddings -> item codes (paper, section 2.1.2, Eq. 2; OPQ: Ge et al. 2013).

Axis legend: N vectors, d input size, D codebooks, M codes per codebook, r = size of a rotated vector, a multiple of D.
"""

from dataclasses import dataclass

import numpy as np

from recbole_vqrec.errors import VQRecError

FEWEST_POINTS_PER_CENTROID = 39  # below it faiss warns that centroids are badly placed


@dataclass(frozen=True)
class ProductQuantizer:
    """Rotation and codebooks; encodes new vectors without the training data.

    Args:
        rotation (np.ndarray): [r, d] float32, orthonormal rows; y = rotation @ x + offset.
        offset (np.ndarray): [r] float32.
        centroids (np.ndarray): [D, M, r / D] float32.
    """

    rotation: np.ndarray
    offset: np.ndarray
    centroids: np.ndarray

    @classmethod
    def train(cls, vectors, codebooks, codes_per_codebook, rotate=True, iterations=50, seed=2020):
        """Learn a quantizer with faiss.

        The paper's factory string OPQ<D>,IVF1,PQ<D>x8 subtracts one coarse centroid before the product quantizer;
        k-means is not changed by a shift of all points, so the coarse step is left out here.

        Args:
            vectors (np.ndarray): [N, d] float32.
            codebooks (int): D.
            codes_per_codebook (int): M, a power of two, at most N.
            rotate (bool): learn the rotation (OPQ), or take vectors as they are (PQ).
            iterations (int): rounds of OPQ.
            seed (int): of the k-means initialisation.

        Raises:
            VQRecError: sizes that cannot be.
        """
        import faiss

        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
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
        rotated = size - size % codebooks
        quantizer = faiss.ProductQuantizer(rotated, codebooks, bits)
        quantizer.cp.min_points_per_centroid = 1  # faiss would print a warning per codebook and round; we say it once
        quantizer.cp.seed = seed
        rotation = np.eye(rotated, size, dtype=np.float32)
        if rotate:
            opq = faiss.OPQMatrix(size, codebooks, rotated)
            opq.niter = iterations
            opq.pq = quantizer
            opq.train(vectors)
            rotation = faiss.vector_to_array(opq.A).reshape(rotated, size).copy()
            opq.pq = None  # faiss would free what Python owns
        quantizer.train(np.ascontiguousarray(vectors @ rotation.T))
        centroids = faiss.vector_to_array(quantizer.centroids).reshape(codebooks, 1 << bits, rotated // codebooks)
        return cls(rotation, np.zeros(rotated, dtype=np.float32), centroids.copy())

    @property
    def codebooks(self):
        """D."""
        return self.centroids.shape[0]

    @property
    def codes_per_codebook(self):
        """M."""
        return self.centroids.shape[1]

    def rotate(self, vectors):
        """Return [N, D, r / D] float32 sub-vectors of [N, d] vectors."""
        rotated = np.asarray(vectors, dtype=np.float32) @ self.rotation.T + self.offset
        return rotated.reshape(len(rotated), self.codebooks, -1)

    def encode(self, vectors, block=65536):
        """Return the codes of vectors: the nearest centroid of each sub-vector, the first of equals.

        Args:
            vectors (np.ndarray): [N, d].
            block (int): rows at a time, which bounds memory.

        Returns:
            np.ndarray: [N, D] int64.

        Raises:
            VQRecError: vectors of another size than the quantizer was trained on.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self.rotation.shape[1]:
            raise VQRecError(
                f"embeddings of shape {vectors.shape} for a quantizer of vectors of size {self.rotation.shape[1]}; "
                "use embeddings of the language model the quantizer was trained on"
            )
        half_norms = (self.centroids**2).sum(axis=2) / 2  # [D, M]; |x|^2 is the same for all centroids
        codes = np.empty((len(vectors), self.codebooks), dtype=np.int64)
        for start in range(0, len(vectors), block):
            sub_vectors = self.rotate(vectors[start : start + block])
            for k in range(self.codebooks):
                scores = sub_vectors[:, k] @ self.centroids[k].T - half_norms[k]
                codes[start : start + block, k] = scores.argmax(axis=1)
        return codes

    def decode(self, codes):
        """Return the [N, d] vectors that codes [N, D] stand for."""
        rotated = np.concatenate([self.centroids[k][codes[:, k]] for k in range(self.codebooks)], axis=1)
        return (rotated - self.offset) @ self.rotation

    def reconstruction_error(self, vectors):
        """Return the mean squared distance of vectors to their reconstruction, over the mean squared norm."""
        vectors = np.asarray(vectors, dtype=np.float32)
        error = ((vectors - self.decode(self.encode(vectors))) ** 2).sum(axis=1).mean()
        return float(error / (vectors**2).sum(axis=1).mean())

    def tensors(self):
        """Return the arrays to store."""
        return {"rotation": self.rotation, "offset": self.offset, "centroids": self.centroids}
