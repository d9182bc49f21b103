"""Is one model better than another? A paired test whose sample are the test users and the trained seeds.

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
        difference (float): mean over users and seeds, first minus second.
        low, high (float): 95 % confidence interval of the difference.
        p_value (float): two-sided, of no difference.
        of_models (bool): both were trained with several seeds, so the test is about the models; else it is about the
            two that happened to be trained.
    """

    difference: float
    low: float
    high: float
    p_value: float
    of_models: bool = True

    def stars(self, comparisons=1):
        """Return "**" for p < .01, "*" for p < .05, else "", p times the number of comparisons made (Bonferroni).

        Without a second seed of each there are none: another seed of the same model often has p < .05 too.
        """
        p_value = self.p_value * comparisons if self.of_models else 1.0
        return "**" if p_value < 0.01 else "*" if p_value < 0.05 else ""


def paired_test(first, second):
    """Compare a metric of two models over the same users, with other users and other seeds in mind.

    The difference has the variance of its mean over users, each user's value averaged over the seeds, plus that of each
    model's mean over seeds: var_U / U + var_S1 / S1 + var_S2 / S2; t has Satterthwaite's degrees of freedom. What users
    and seeds share is counted in both, so p is rather too large than too small. A model of one seed adds no variance.

    Args:
        first, second (np.ndarray): [S, U] or [U] metric of each user; the numbers of seeds may differ.

    Returns:
        PairedTest: p 1 where no user differs.

    Raises:
        VQRecError: other users, or fewer than two.
    """
    seeds = [np.atleast_2d(np.asarray(values, dtype=float)) for values in (first, second)]
    first, second = (values.mean(axis=0) for values in seeds)
    if first.shape != second.shape or len(first) < 2:
        raise VQRecError(f"paired test: {len(first)} and {len(second)} users; expected the same users, two or more")
    of_models = all(len(values) > 1 for values in seeds)
    if np.array_equal(first, second):
        return PairedTest(0.0, 0.0, 0.0, 1.0, of_models)
    difference = first - second
    parts = [(difference.var(ddof=1) / len(difference), len(difference) - 1)]
    parts += [(each.mean(axis=1).var(ddof=1) / len(each), len(each) - 1) for each in seeds if len(each) > 1]
    variance = sum(part for part, _ in parts)
    mean = float(difference.mean())
    if variance == 0:
        return PairedTest(mean, mean, mean, 0.0, of_models)
    freedom = variance**2 / sum(part**2 / degrees for part, degrees in parts)
    half = float(stats.t.ppf(0.975, freedom) * np.sqrt(variance))
    p_value = float(2 * stats.t.sf(abs(mean) / np.sqrt(variance), freedom))
    return PairedTest(mean, mean - half, mean + half, p_value, of_models)
