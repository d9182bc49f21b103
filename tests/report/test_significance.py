import numpy as np
import pytest
from scipy import stats

from recbole_vqrec.errors import VQRecError
from recbole_vqrec.report.significance import paired_test


def test_with_one_seed_it_is_the_paired_t_test():
    draw = np.random.default_rng(0)
    first, second = draw.random((2, 50))
    test, expected = paired_test(first, second), stats.ttest_rel(first, second)
    assert (test.difference, test.p_value) == pytest.approx(((first - second).mean(), expected.pvalue))
    assert (test.low, test.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert not test.of_models


def test_the_deviation_between_seeds_counts():
    # users differ by 1 and 3; means of the seeds of the first model are 3 and 5, those of the second 2 and 2
    test = paired_test([[2, 4], [4, 6]], [[2, 2], [2, 2]])
    variance = 2 / 2 + 2 / 2 + 0  # of the users' differences, of the seeds of the first, of the second
    freedom = variance**2 / (1 / 1 + 1 / 1)
    assert test.difference == 2 and test.of_models
    assert test.p_value == pytest.approx(2 * stats.t.sf(2 / variance**0.5, freedom))
    assert test.high - 2 == pytest.approx(2 - test.low) == pytest.approx(stats.t.ppf(0.975, freedom) * variance**0.5)


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_false_alarms_are_as_rare_as_p_says_though_seeds_differ(seeds):
    draw = np.random.default_rng(1)

    def model():  # users of one kind, each seed better or worse for all of them
        return users + draw.normal(size=(seeds, 1)) * 0.1 + draw.normal(size=(seeds, 200)) * 0.3

    p, without_seeds = [], []
    for _ in range(400):
        users = draw.normal(size=200)
        first, second = model(), model()
        p.append(paired_test(first, second).p_value)
        without_seeds.append(paired_test(first.mean(axis=0), second.mean(axis=0)).p_value)
    assert (np.array(p) < 0.05).mean() < 0.07 and (np.array(without_seeds) < 0.05).mean() > 0.3
    assert paired_test(model() + 1, model()).p_value < 0.05


def test_one_seed_says_nothing_of_models():
    test = paired_test([1.0, 2.0, 3.1, 4.0], [0.0, 1.1, 2.0, 3.0])
    assert test.p_value < 0.01 and test.stars() == ""


def test_equal_users_and_other_users():
    assert paired_test([0.5, 0.5], [0.5, 0.5]).p_value == 1
    with pytest.raises(VQRecError, match="the same users"):
        paired_test([0.5, 0.5], [0.5])


def test_stars_are_corrected_for_the_comparisons():
    draw = np.random.default_rng(2)
    first = draw.normal(size=(5, 100)) * 0.1 + 1
    test = paired_test(first, first[::-1] - 1)
    assert test.p_value < 0.01 and test.stars() == "**"
    assert test.stars(comparisons=1 / test.p_value) == ""
