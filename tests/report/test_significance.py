import numpy as np
import pytest

from recbole_vqrec.errors import VQRecError
from recbole_vqrec.report.significance import paired_test


def test_it_is_the_paired_t_test_of_the_means_over_seeds():
    draw = np.random.default_rng(0)
    first, second = draw.random((3, 50)), draw.random((2, 50))
    difference = first.mean(axis=0) - second.mean(axis=0)
    t = difference.mean() / (difference.std(ddof=1) / np.sqrt(50))
    test = paired_test(first, second)
    assert test.difference == pytest.approx(difference.mean())
    assert test.low < test.difference < test.high
    assert (abs(t) > 2.0096) == (test.p_value < 0.05)  # the 97.5 % quantile of t with 49 degrees of freedom
    half = 2.009575 * difference.std(ddof=1) / np.sqrt(50)
    assert test.high - test.difference == pytest.approx(half, rel=1e-4)


def test_false_alarms_are_as_rare_as_p_says():
    draw = np.random.default_rng(1)
    p = np.array([paired_test(*draw.normal(size=(2, 200))).p_value for _ in range(400)])
    assert 0.02 < (p < 0.05).mean() < 0.09
    assert paired_test(draw.normal(size=200) + 1, draw.normal(size=200)).p_value < 1e-6


def test_equal_users_and_other_users():
    assert paired_test([0.5, 0.5], [0.5, 0.5]).p_value == 1
    with pytest.raises(VQRecError, match="the same users"):
        paired_test([0.5, 0.5], [0.5])


def test_stars_are_corrected_for_the_comparisons():
    test = paired_test([1.0, 2.0, 3.1, 4.0], [0.0, 1.1, 2.0, 3.0])
    assert test.p_value < 0.01 and test.stars() == "**"
    assert test.stars(comparisons=10**6) == ""
