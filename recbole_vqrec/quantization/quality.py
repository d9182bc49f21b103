"""How good item codes are: collisions, use of the codebooks, what is lost, and whether text neighbours stay neighbours.

Axis legend: N items, D codebooks, M codes per codebook, d embedding size.
"""

import numpy as np

NEIGHBOURS = 10
SAMPLE = 2000  # items compared pairwise


def quality(codes, codes_per_codebook, embeddings=None, decoded=None, seed=0):
    """Return the quality report of item codes, plain values for a manifest.

    Args:
        codes (np.ndarray): [N, D] integers in 0 .. M - 1.
        codes_per_codebook (int): M.
        embeddings (np.ndarray, optional): what was encoded, [N, d].
        decoded (np.ndarray, optional): what the codes stand for, [N, d]; without it nothing is said about vectors.
        seed (int): of the sample of items.

    Returns:
        dict: items, distinct_codes, colliding_items (that share all their codes with another), codebook_use (share of
        the M codes in use) and codebook_entropy (bits, at most log2 M), each with min and mean over codebooks, and
        reconstruction_error and neighbour_agreement, see the functions of these names.
    """
    _, sizes = np.unique(codes, axis=0, return_counts=True)
    shares = [np.bincount(column, minlength=codes_per_codebook) / len(codes) for column in codes.T]
    used = [float((share > 0).mean()) for share in shares]
    entropies = [float((share[share > 0] * np.log2(1 / share[share > 0])).sum()) for share in shares]
    report = {
        "items": len(codes),
        "distinct_codes": len(sizes),
        "colliding_items": int(sizes[sizes > 1].sum()),
        "codebook_use": {"min": min(used), "mean": float(np.mean(used))},
        "codebook_entropy": {"min": min(entropies), "mean": float(np.mean(entropies))},
    }
    if decoded is not None:
        report["reconstruction_error"] = reconstruction_error(embeddings, decoded)
        report["neighbour_agreement"] = neighbour_agreement(embeddings, decoded, seed)
    return report


def reconstruction_error(vectors, decoded):
    """Return the mean squared distance of vectors [N, d] to their reconstruction, as a share of their variance."""
    error = ((vectors - decoded) ** 2).sum(axis=1).mean()
    variance = ((vectors - vectors.mean(axis=0)) ** 2).sum(axis=1).mean()
    return float(error / variance) if variance > 0 else 0.0


def neighbour_agreement(vectors, decoded, seed=0):
    """Return the mean overlap of each item's nearest neighbours by vector and by reconstruction, 1 being the same.

    Neighbours are the 10 items of largest cosine within a random sample of at most 2,000 items.

    Args:
        vectors, decoded (np.ndarray): [N, d].
        seed (int): of the sample.
    """
    chosen = np.random.default_rng(seed).permutation(len(vectors))[:SAMPLE]
    count = min(NEIGHBOURS, len(chosen) - 1)
    if count < 1:
        return 1.0
    pairs = zip(_nearest(vectors[chosen], count), _nearest(decoded[chosen], count))
    return float(np.mean([len(np.intersect1d(left, right)) for left, right in pairs]) / count)


def _nearest(vectors, count):
    """Return [N, count] numbers of the nearest other vectors by cosine."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(min=1e-12)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -np.inf)
    return np.argpartition(-similarity, count - 1, axis=1)[:, :count]


def quality_lines(report, codes_per_codebook):
    """Return the report as a few lines for a reader.

    Args:
        report (dict): of `quality`.
        codes_per_codebook (int): M.
    """
    use, entropy = report["codebook_use"], report["codebook_entropy"]
    lines = [
        f"  distinct codes {report['distinct_codes']:,} of {report['items']:,} items "
        f"({report['colliding_items']:,} share theirs with another)",
        f"  codebook use {use['mean']:.1%} (least {use['min']:.1%}), entropy {entropy['mean']:.2f} bits "
        f"(least {entropy['min']:.2f}, at most {np.log2(codes_per_codebook):.2f})",
    ]
    if "reconstruction_error" in report:
        lines.append(
            f"  reconstruction error {report['reconstruction_error']:.1%} of the variance, "
            f"{report['neighbour_agreement']:.1%} of the {NEIGHBOURS} nearest texts kept"
        )
    return lines
