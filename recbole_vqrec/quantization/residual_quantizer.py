"""Residual quantization: every codebook encodes what the ones before it left over (Chen et al. 2010).

Axis legend: N vectors, d input size, w whitened size (d without whitening), D codebooks, M codes per codebook.
"""

from dataclasses import dataclass

import numpy as np

from recbole_vqrec.quantization.principal_axes import Whitening
from recbole_vqrec.quantization.quantizer import KMEANS_ROUNDS, Quantizer, check_sizes


@dataclass(frozen=True)
class ResidualQuantizer(Quantizer):
    """Codebooks over the whole vector; encodes new vectors without the training data.

    Args:
        centroids (np.ndarray): [D, M, w] float32.
        whitening (Whitening, optional): applied first.
    """

    centroids: np.ndarray
    whitening: Whitening = None

    @classmethod
    def train(cls, vectors, codebooks, codes_per_codebook, seed=2020, whiten=None):
        """Learn one codebook after the other with faiss's k-means.

        Args:
            vectors (np.ndarray): [N, d] float32.
            codebooks (int): D.
            codes_per_codebook (int): M, a power of two, at most N.
            seed (int): of the k-means initialisation.
            whiten (int, optional): whiten to this many dimensions first.

        Raises:
            VQRecError: sizes that cannot be.
        """
        import faiss

        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        check_sizes(vectors, codebooks, codes_per_codebook)
        whitening = Whitening.train(vectors, whiten) if whiten else None
        residual = np.ascontiguousarray(whitening.apply(vectors)) if whitening else vectors
        centroids = []
        for _ in range(codebooks):
            kmeans = faiss.Kmeans(
                residual.shape[1], codes_per_codebook, niter=KMEANS_ROUNDS, seed=seed, min_points_per_centroid=1
            )
            kmeans.train(residual)
            centroids.append(kmeans.centroids.copy())
            residual = residual - centroids[-1][_nearest(residual, centroids[-1])]
        return cls(np.stack(centroids), whitening)

    @classmethod
    def from_tensors(cls, tensors):
        """Return the quantizer whose `tensors()` these are."""
        return cls(tensors["residual_centroids"], Whitening.from_tensors(tensors))

    @property
    def vector_size(self):
        """w."""
        return self.centroids.shape[2]

    def _encode_block(self, vectors, codes):
        residual = vectors.copy()
        for k in range(self.codebooks):
            codes[:, k] = _nearest(residual, self.centroids[k])
            residual -= self.centroids[k][codes[:, k]]

    def _decode(self, codes):
        return sum(self.centroids[k][codes[:, k]] for k in range(self.codebooks))

    def _arrays(self):
        return {"residual_centroids": self.centroids}


def _nearest(vectors, centroids):
    """Return for each vector [N, w] the number of its nearest centroid [M, w]."""
    return (vectors @ centroids.T - (centroids**2).sum(axis=1) / 2).argmax(axis=1)
