"""The word-drop view of texts."""

from hypothesis import given
from hypothesis import strategies as st

from recbole_vqrec.embedding.word_drop import drop_words

TEXTS = st.lists(st.text(max_size=30), max_size=6)


@given(TEXTS, st.floats(0, 0.99), st.integers(0, 9))
def test_words_left_are_some_of_the_words_in_order(texts, ratio, seed):
    for text, dropped in zip(texts, drop_words(texts, ratio, seed), strict=True):
        words = iter(text.split())
        assert all(word in words for word in dropped.split())  # a subsequence
        assert bool(dropped.split()) == bool(text.split())


@given(TEXTS, st.integers(0, 9))
def test_a_text_does_not_depend_on_the_others(texts, seed):
    assert drop_words(texts[::-1], 0.5, seed)[::-1] == drop_words(texts, 0.5, seed)


def test_share_of_words_and_seed():
    texts = [f"w{number} " * 50 for number in range(200)]
    first, second = drop_words(texts, 0.15, 1), drop_words(texts, 0.15, 2)
    left = sum(len(text.split()) for text in first) / 10_000
    assert 0.83 < left < 0.87
    assert first != second and first == drop_words(texts, 0.15, 1)
    assert drop_words(["sand paper"], 0.0, 1) == ["sand paper"]
