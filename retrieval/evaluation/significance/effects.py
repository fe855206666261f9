"""Effect size with its interval, and what a number of queries can show at all: power and detectable difference."""

import math

from retr.retrieval.evaluation.significance.distributions import noncentral_t_cdf, root, t_critical


def effect_interval(effect: float, queries: int, alpha: float) -> tuple[float, float]:
    """The interval of level 1 - alpha of Cohen's d_z = mean / standard deviation of the differences.

    Exact for normal differences: the d_z whose noncentral t has the observed one at its quantiles (Steiger and
    Fouladi, 1997; Cumming and Finch, 2001).
    """
    freedom, t = queries - 1, effect * math.sqrt(queries)

    def end(level: float) -> float:
        def rising(shift: float) -> float:
            return level - noncentral_t_cdf(t, freedom, shift)

        start, width = t, 1.0
        while rising(start) > 0:
            start, width = start - width, 2 * width
        return root(rising, start, width) / math.sqrt(queries)

    return end(1 - alpha / 2), end(alpha / 2)


def power(effect: float, queries: int, alpha: float) -> float:
    """The probability that a two-sided paired t-test at alpha finds a true d_z of this size."""
    return _found(t_critical(alpha, queries - 1), queries - 1, effect * math.sqrt(queries))


def detectable_effect(queries: int, alpha: float, wanted: float) -> float:
    """The smallest true d_z that such a test finds with the wanted probability.

    Times the standard deviation of the differences, it is the smallest difference of means (Sakai, 2016, sizes test
    collections so).
    """
    critical = t_critical(alpha, queries - 1)
    return root(lambda shift: _found(critical, queries - 1, shift) - wanted, 0.0, 1.0) / math.sqrt(queries)


def _found(critical: float, freedom: int, shift: float) -> float:
    """P(|T| > critical) for the noncentral t."""
    return 1 - noncentral_t_cdf(critical, freedom, shift) + noncentral_t_cdf(-critical, freedom, shift)
