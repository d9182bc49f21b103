"""Principal axes of text embeddings: PCA-whitening, and a rotation that gives every codebook the same variance.

Axis legend: N vectors, d input size, w whitened size, D codebooks, r = size of a rotated vector, a multiple of D.
"""

from dataclasses import dataclass

import numpy as np

from recbole_vqrec.errors import VQRecError


def principal_axes(vectors):
    """Return the mean [d], the variances [d] in descending order and the axes [d, d], one a row, of vectors [N, d]."""
    mean = vectors.mean(axis=0, dtype=np.float64)
    centred = vectors - mean.astype(np.float32)
    variances, axes = np.linalg.eigh((centred.T @ centred).astype(np.float64) / max(1, len(vectors) - 1))
    return mean.astype(np.float32), variances[::-1].clip(min=0), axes.T[::-1]


def balanced_rotation(vectors, codebooks):
    """Return principal axes dealt out so that the variances of each codebook have about the same product.

    Eigenvalue allocation, the closed-form solution for Gaussian data (Ge et al. 2013, section 3.2): from the largest
    variance on, an axis goes to the codebook with the smallest product that still has room.

    Args:
        vectors (np.ndarray): [N, d] float32.
        codebooks (int): D.

    Returns:
        np.ndarray: [r, d] float32, orthonormal rows, r = d - d % D.
    """
    _, variances, axes = principal_axes(vectors)
    room = len(axes) // codebooks
    # relative to the smallest, so that no logarithm is negative and no product shrinks as it grows
    kept = variances[: room * codebooks].clip(min=max(variances[0], 1e-30) * 1e-9)
    logarithms = np.log(kept / kept[-1])
    chosen, products = [[] for _ in range(codebooks)], np.zeros(codebooks)
    for axis, logarithm in enumerate(logarithms):
        k = int(products.argmin())
        chosen[k].append(axis)
        products[k] = products[k] + logarithm if len(chosen[k]) < room else np.inf
    return np.ascontiguousarray(axes[np.concatenate(chosen)], dtype=np.float32)


@dataclass(frozen=True)
class Whitening:
    """PCA-whitening: the first w principal components, each scaled to variance 1.

    Args:
        mean (np.ndarray): [d] float32.
        components (np.ndarray): [w, d] float32, axes divided by their standard deviations.
    """

    mean: np.ndarray
    components: np.ndarray

    @classmethod
    def train(cls, vectors, size):
        """Learn a whitening to `size` dimensions from vectors [N, d].

        Raises:
            VQRecError: the vectors do not vary in that many directions.
        """
        mean, variances, axes = principal_axes(vectors)
        varied = int((variances > variances[0] * 1e-7).sum()) if variances[0] > 0 else 0
        if not isinstance(size, int) or not 1 <= size <= varied:
            raise VQRecError(
                f"whiten: {size} dimensions cannot be had from {len(vectors):,} vectors that vary in {varied}; "
                f"choose 1..{varied}"
            )
        components = axes[:size] / np.sqrt(variances[:size, None])
        return cls(mean, np.ascontiguousarray(components, dtype=np.float32))

    def apply(self, vectors):
        """Return whitened vectors [N, w] of vectors [N, d]."""
        return (np.asarray(vectors, dtype=np.float32) - self.mean) @ self.components.T

    def undo(self, whitened):
        """Return the vectors [N, d] nearest to the mean whose whitened vectors are these [N, w]."""
        # the rows are orthogonal: the pseudo-inverse is the transpose over the squared norms
        return (whitened / (self.components**2).sum(axis=1)) @ self.components + self.mean

    def tensors(self):
        """Return the arrays to store."""
        return {"whitening.mean": self.mean, "whitening.components": self.components}

    @classmethod
    def from_tensors(cls, tensors):
        """Return the whitening among a quantizer's stored arrays, or None."""
        if "whitening.mean" not in tensors:
            return None
        return cls(tensors["whitening.mean"], tensors["whitening.components"])
