"""(Optimized) product quantization: text embeddings -> item codes (paper, section 2.1.2, Eq. 2; OPQ: Ge et al. 2013).

Axis legend: N vectors, d input size, D codebooks, M codes per codebook, r = size of a rotated vector, a multiple of D.
"""

from dataclasses import dataclass

import numpy as np

from recbole_vqrec.errors import VQRecError, nearest
from recbole_vqrec.quantization.principal_axes import Whitening, balanced_rotation

FEWEST_POINTS_PER_CENTROID = 39  # below it faiss warns that centroids are badly placed
SCHEDULES = ("balanced", "faiss")
KMEANS_ROUNDS = 25  # faiss's own default


@dataclass(frozen=True)
class ProductQuantizer:
    """Rotation and codebooks; encodes new vectors without the training data.

    Args:
        rotation (np.ndarray): [r, d] float32, orthonormal rows; y = rotation @ x + offset.
        offset (np.ndarray): [r] float32.
        centroids (np.ndarray): [D, M, r / D] float32.
        whitening (Whitening, optional): applied first; d is then the size it leaves.
    """

    rotation: np.ndarray
    offset: np.ndarray
    centroids: np.ndarray
    whitening: Whitening = None

    @classmethod
    def train(
        cls,
        vectors,
        codebooks,
        codes_per_codebook,
        rotate=True,
        iterations=0,
        seed=2020,
        schedule="balanced",
        whiten=None,
    ):
        """Learn a quantizer with faiss.

        The paper's factory string OPQ<D>,IVF1,PQ<D>x8 subtracts one coarse centroid before the product quantizer;
        k-means is not changed by a shift of all points, so the coarse step is left out here.

        Args:
            vectors (np.ndarray): [N, d] float32.
            codebooks (int): D.
            codes_per_codebook (int): M, a power of two, at most N.
            rotate (bool): learn the rotation (OPQ), or take vectors as they are (PQ).
            iterations (int): rounds of OPQ that refine the balanced rotation.
            seed (int): of the k-means initialisation.
            schedule (str): "balanced" starts from principal axes dealt out by variance, "faiss" from a random
                rotation with faiss's 50 rounds, whatever `iterations` says.
            whiten (int, optional): whiten to this many dimensions first.

        Raises:
            VQRecError: sizes that cannot be, or an unknown schedule.
        """
        import faiss

        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        bits = check_sizes(vectors, codebooks, codes_per_codebook)
        if schedule not in SCHEDULES:
            hint = nearest(schedule, SCHEDULES)
            raise VQRecError(f"opq_schedule: '{schedule}' is none of {', '.join(SCHEDULES)}{hint}")
        whitening = Whitening.train(vectors, whiten) if whiten else None
        if whitening:
            vectors = np.ascontiguousarray(whitening.apply(vectors))
            check_sizes(vectors, codebooks, codes_per_codebook)
        size = vectors.shape[1]
        rotated = size - size % codebooks
        quantizer = faiss.ProductQuantizer(rotated, codebooks, bits)
        quantizer.cp.min_points_per_centroid = 1  # faiss would print a warning per codebook and round; we say it once
        quantizer.cp.seed = seed
        rotation = np.eye(rotated, size, dtype=np.float32)
        if rotate:
            rotation = balanced_rotation(vectors, codebooks) if schedule == "balanced" else None
            if rotation is None or iterations:
                rotation = _alternate(faiss, quantizer, vectors, rotation, iterations)
        if schedule == "balanced" or not rotate:
            quantizer.cp.niter = KMEANS_ROUNDS
        quantizer.train(np.ascontiguousarray(vectors @ rotation.T))
        centroids = faiss.vector_to_array(quantizer.centroids).reshape(codebooks, 1 << bits, rotated // codebooks)
        return cls(rotation, np.zeros(rotated, dtype=np.float32), centroids.copy(), whitening)

    @classmethod
    def from_tensors(cls, tensors):
        """Return the quantizer whose `tensors()` these are."""
        return cls(tensors["rotation"], tensors["offset"], tensors["centroids"], Whitening.from_tensors(tensors))

    @classmethod
    def load(cls, path, remedy="encode the data set again"):
        """Return the quantizer stored with item codes.

        Raises:
            VQRecError: missing or damaged file, or one with another kind of quantizer or none.
        """
        from recbole_vqrec.quantization.quantizers import load_quantizer

        quantizer = load_quantizer(path, remedy)
        if not isinstance(quantizer, cls):
            raise VQRecError(f"{path}: holds a {type(quantizer).__name__}, expected a ProductQuantizer; {remedy}")
        return quantizer

    @property
    def input_size(self):
        """Size of the vectors that `encode` takes."""
        return self.whitening.components.shape[1] if self.whitening else self.rotation.shape[1]

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
        vectors = self.whitening.apply(vectors) if self.whitening else np.asarray(vectors, dtype=np.float32)
        rotated = vectors @ self.rotation.T + self.offset
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
        check_input(vectors, self.input_size)
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
        vectors = (rotated - self.offset) @ self.rotation
        return self.whitening.undo(vectors) if self.whitening else vectors

    def tensors(self):
        """Return the arrays to store."""
        tensors = {"rotation": self.rotation, "offset": self.offset, "centroids": self.centroids}
        return {**tensors, **self.whitening.tensors()} if self.whitening else tensors


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


def check_input(vectors, size):
    """Raise `VQRecError` if vectors are not of the shape [N, size] that a quantizer was trained on."""
    if vectors.ndim != 2 or vectors.shape[1] != size:
        raise VQRecError(
            f"embeddings of shape {vectors.shape} for a quantizer of vectors of size {size}; "
            "use embeddings of the language model the quantizer was trained on"
        )


def _alternate(faiss, quantizer, vectors, rotation, iterations):
    """Return the rotation after alternating rotation and codebook updates; the quantizer keeps its codebooks.

    Args:
        faiss (module): imported late.
        quantizer (faiss.ProductQuantizer): trained in place.
        vectors (np.ndarray): [N, d] float32.
        rotation (np.ndarray, optional): [r, d] to start from; without it faiss's own schedule.
        iterations (int): rounds from `rotation`.
    """
    opq = faiss.OPQMatrix(vectors.shape[1], quantizer.M, quantizer.d)
    if rotation is not None:
        faiss.copy_array_to_vector(rotation.ravel(), opq.A)
        opq.niter, opq.niter_pq = iterations, 1  # codebooks follow the small turns of the rotation
        opq.niter_pq_0 = KMEANS_ROUNDS
    opq.pq = quantizer
    opq.train(vectors)
    opq.pq = None  # faiss would free what Python owns
    return faiss.vector_to_array(opq.A).reshape(quantizer.d, -1).copy()
