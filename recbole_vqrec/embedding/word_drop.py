"""The word-drop view of item texts: words left out at random (UniSRec, Hou et al. 2022, section 2.2.2)."""

import hashlib

import numpy as np


def drop_words(texts, ratio, seed):
    """Return the texts with each word left out with probability `ratio`; one word at least remains.

    What is dropped depends on the text and the seed only, not on the other texts or their order, so equal texts stay
    equal and one new item changes no other.

    Args:
        texts (list of str): item texts.
        ratio (float): probability in [0, 1).
        seed (int): of the choice.

    Returns:
        list of str: as many texts; words are separated by one blank.
    """
    return [_drop(text, ratio, seed) for text in texts]


def _drop(text, ratio, seed):
    words = text.split()
    if not words:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    draws = np.random.default_rng([seed, *np.frombuffer(digest, dtype=np.uint32)]).random(len(words))
    kept = [word for word, draw in zip(words, draws) if draw >= ratio]
    return " ".join(kept or [words[int(draws.argmax())]])
