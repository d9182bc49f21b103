"""(Optimized) product quantization: text embeddings -> item codes (paper, section 2.1.2, Eq. 2; OPQ: Ge et al. 2013).

Axis legend: N vectors, d input size, D codebooks, M codes per codebook, r = size of a rotated vector, a multiple of D.
"""

from dataclasses import dataclass

import numpy as np

from recbole_vqrec.errors import VQRecError, refuse_other
from recbole_vqrec.quantization.principal_axes import Whitening, balanced_rotation
from recbole_vqrec.quantization.quantizer import KMEANS_ROUNDS, Quantizer, check_sizes

FEWEST_POINTS_PER_CENTROID = 39  # below it faiss warns that centroids are badly placed
SCHEDULES = ("balanced", "faiss")


@dataclass(frozen=True)
class ProductQuantizer(Quantizer):
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
            VQRecError: sizes that cannot be, too few vectors for faiss's rotation, or an unknown schedule.
        """
        import faiss

        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        bits = check_sizes(vectors, codebooks, codes_per_codebook)
        refuse_other("opq_schedule", schedule, SCHEDULES)
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
                _refuse_too_few(vectors, rotated)
                rotation = _alternate(faiss, quantizer, vectors, rotation, iterations)
        # faiss leaves the quantizer of its rounds with their few iterations, to start from codebooks of centred vectors
        quantizer.train_type, quantizer.cp.niter = faiss.ProductQuantizer.Train_default, KMEANS_ROUNDS
        quantizer.cp.max_points_per_centroid = faiss.ClusteringParameters().max_points_per_centroid
        quantizer.train(np.ascontiguousarray(vectors @ rotation.T))
        centroids = faiss.vector_to_array(quantizer.centroids).reshape(codebooks, 1 << bits, rotated // codebooks)
        return cls(rotation, np.zeros(rotated, dtype=np.float32), centroids.copy(), whitening)

    @classmethod
    def from_tensors(cls, tensors):
        """Return the quantizer whose `tensors()` these are."""
        return cls(tensors["rotation"], tensors["offset"], tensors["centroids"], Whitening.from_tensors(tensors))

    @property
    def vector_size(self):
        """d, or the size that whitening leaves."""
        return self.rotation.shape[1]

    def rotate(self, vectors):
        """Return [N, D, r / D] float32 sub-vectors of [N, d] vectors."""
        vectors = self.whitening.apply(vectors) if self.whitening else np.asarray(vectors, dtype=np.float32)
        return self._sub_vectors(vectors)

    def _sub_vectors(self, vectors):
        rotated = vectors @ self.rotation.T + self.offset
        return rotated.reshape(len(rotated), self.codebooks, -1)

    def _encode_block(self, vectors, codes):
        half_norms = (self.centroids**2).sum(axis=2) / 2  # [D, M]; |x|^2 is the same for all centroids
        sub_vectors = self._sub_vectors(vectors)
        for k in range(self.codebooks):
            codes[:, k] = (sub_vectors[:, k] @ self.centroids[k].T - half_norms[k]).argmax(axis=1)

    def _decode(self, codes):
        rotated = np.concatenate([self.centroids[k][codes[:, k]] for k in range(self.codebooks)], axis=1)
        return (rotated - self.offset) @ self.rotation

    def _arrays(self):
        return {"rotation": self.rotation, "offset": self.offset, "centroids": self.centroids}


def _refuse_too_few(vectors, size):
    """Refuse vectors [N, d] with N < r = `size`: faiss writes beyond its buffer then, and ends the process."""
    if len(vectors) < size:
        raise VQRecError(
            f"{len(vectors):,} training items are too few for faiss to learn a rotation from, which takes {size:,}; "
            "choose opq_schedule: balanced with opq_iterations: 0, or give more items"
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
