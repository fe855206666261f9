"""Student's t, central and not, without scipy: tail probabilities and quantiles, in double precision.

Formulas are numbered as in the NIST Digital Library of Mathematical Functions (DLMF), https://dlmf.nist.gov/8.17.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from statistics import NormalDist

import numpy as np

TERMS = 10_000
"""Most terms of the continued fraction; about the square root of the degrees of freedom are needed."""
NODES = 1001
"""Points of Simpson's rule for the noncentral t."""
SPREADS = 12.0
"""Standard deviations around the mean of the chi distribution that are integrated over."""

normal_cdf: Callable[[float], float] = NormalDist().cdf
normal_quantile: Callable[[float], float] = NormalDist().inv_cdf


def incomplete_beta(x: float, rest: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b) for 0 <= x <= 1 (DLMF 8.17.22, and 8.17.4 to reflect).

    rest is 1 - x, given apart because a small one would lose its digits in x.
    """
    if x <= 0 or rest <= 0:
        return float(rest <= 0)
    if x > (a + 1) / (a + b + 2):
        return 1 - incomplete_beta(rest, x, b, a)
    scale = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(rest)
    return math.exp(scale) / (a * _continued_fraction(x, a, b))


def _continued_fraction(x: float, a: float, b: float) -> float:
    """1 + d1/(1 + d2/(1 + ...)) by Lentz's method; `tiny` stands for a zero, as that method asks."""
    tiny = 1e-300
    value = upper = 1.0
    lower = 0.0
    for number in range(1, TERMS):
        m = number // 2
        if number % 2:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        lower = 1 / ((1 + term * lower) or tiny)
        upper = (1 + term / upper) or tiny
        value *= upper * lower
        if abs(upper * lower - 1) < 1e-15:
            break
    return value


def t_two_sided(t: float, freedom: int) -> float:
    """P(|T| >= |t|) for Student's t with so many degrees of freedom."""
    if math.isinf(t):
        return 0.0
    return incomplete_beta(freedom / (freedom + t * t), t * t / (freedom + t * t), freedom / 2, 0.5)


@lru_cache
def t_critical(alpha: float, freedom: int) -> float:
    """The t that |T| reaches with probability alpha."""
    return root(lambda t: alpha - t_two_sided(t, freedom), 0.0, 1.0)


def noncentral_t_cdf(t: float, freedom: int, shift: float) -> float:
    """P(T <= t) for (Z + shift) / S, where Z is normal and S² a chi-square over its degrees of freedom.

    The mean of Φ(t·s - shift) over the density of S, by Simpson's rule: good to about 1e-9.
    """
    spread = SPREADS / math.sqrt(2 * freedom)
    points = np.linspace(max(0.0, 1 - spread), 1 + spread, NODES)
    with np.errstate(divide="ignore"):
        log_density = (freedom - 1) * np.log(points) if freedom > 1 else np.zeros(NODES)
    log_density = log_density - freedom * points**2 / 2
    log_density += math.log(2) + freedom / 2 * math.log(freedom / 2) - math.lgamma(freedom / 2)
    below = np.array([math.erfc(value) / 2 for value in ((shift - t * points) / math.sqrt(2)).tolist()])
    weights = np.full(NODES, 2.0)
    weights[1::2] = 4.0
    weights[[0, -1]] = 1.0
    area = float((np.exp(log_density) * below * weights).sum()) * float(points[1] - points[0]) / 3
    return min(max(area, 0.0), 1.0)


def root(rising: Callable[[float], float], low: float, width: float) -> float:
    """Where a rising function crosses 0, by bisection; the bracket [low, low + width] grows upwards until it holds it.

    Good to 1e-12 of the bracket. The caller sees to it that the function is at most 0 at `low`.
    """
    while rising(low + width) < 0:
        low, width = low + width, 2 * width
    for _ in range(60):
        width /= 2
        if rising(low + width) < 0:
            low += width
    return low
