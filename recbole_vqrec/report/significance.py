"""Is one model better than another for the same users? A paired test over users and seeds.

Axis legend: S seeds, U users.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from recbole_vqrec.errors import VQRecError


@dataclass(frozen=True)
class PairedTest:
    """Difference of two models for the same users.

    Args:
        difference (float): mean over users, first minus second.
        low, high (float): 95 % confidence interval of the difference.
        p_value (float): two-sided, of no difference.
    """

    difference: float
    low: float
    high: float
    p_value: float

    def stars(self, comparisons=1):
        """Return "**" for p < .01, "*" for p < .05, else "", p times the number of comparisons made (Bonferroni)."""
        p_value = self.p_value * comparisons
        return "**" if p_value < 0.01 else "*" if p_value < 0.05 else ""


def paired_test(first, second):
    """Compare a metric of two models user by user with a paired t-test, each user's value averaged over the seeds.

    Users are the sample, so the deviation between seeds counts as far as it shows in the users' means; the test says
    whether other users of the same kind would see the difference, not whether another split would.

    Args:
        first, second (np.ndarray): [S, U] or [U] metric of each user; the numbers of seeds may differ.

    Returns:
        PairedTest: p 1 where no user differs.

    Raises:
        VQRecError: other users, or fewer than two.
    """
    first, second = (np.atleast_2d(values).mean(axis=0) for values in (first, second))
    if first.shape != second.shape or len(first) < 2:
        raise VQRecError(f"paired test: {len(first)} and {len(second)} users; expected the same users, two or more")
    if np.array_equal(first, second):
        return PairedTest(0.0, 0.0, 0.0, 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        test = stats.ttest_rel(first, second)
        low, high = test.confidence_interval(0.95)
    return PairedTest(float((first - second).mean()), float(low), float(high), float(test.pvalue))
