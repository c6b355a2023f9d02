"""Rigorous bounds on rounding: what one step of a recursion, and a sum over the start, can be off by.

Floating point as in IEEE 754 with rounding to nearest: u = 2^-53, gamma_k = k u / (1 - k u), omega = 2^-1022. A product
or quotient of nonnegative sums of up to k roundings is off by a factor 1 + theta with |theta| <= gamma_k, whatever the
order of the summation and with or without fused operations (Higham, *Accuracy and Stability of Numerical Algorithms*,
2nd ed., 2002, chapter 3). Omega covers underflow. Probability rows p stand for p / sum(p) exactly, so rows whose sum is
off cost nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from mailopt.games.numbers import FloatArray, IntArray

UNIT = 2.0**-53
TINY = 2.0**-1022
SLACK = 1.0 + 2.0**-40  # covers the rounding of the bounds themselves


def gamma(k: int | IntArray) -> Any:
    """Relative error of k roundings."""
    return k * UNIT / (1.0 - k * UNIT)


def step_error(
    *,
    expectation: tuple[IntArray, FloatArray],
    stage: tuple[int, FloatArray],
    centre: FloatArray,
    values: FloatArray,
    given: float | FloatArray = 0.0,
) -> FloatArray:
    """Bound on what the step from V_{h+1} to V_h adds to the error, one entry for each value function.

    Parameters
    ----------
    expectation
        Roundings of a term of E[V_{h+1} - c], and the largest |V_{h+1} - c|.
    stage
        Roundings of a term of the stage's sums of sigma times Q, and the largest |Q - c|.
    centre
        |c| times the discount.
    values
        Largest |V_h|.
    given
        Bound on the error of the rewards themselves.
    """
    additions, spread = expectation
    selections, scale = stage
    underflow = 8 * TINY * (additions * (1.0 + spread) + selections * (1.0 + scale))
    rounding = gamma(additions) * spread + (UNIT + gamma(selections)) * scale + 2 * UNIT * centre + UNIT * values
    return np.asarray((rounding + underflow + given) * SLACK)


def start_error(error: FloatArray, support: int, spread: FloatArray, value: FloatArray) -> FloatArray:
    """Bound on the error of rho V_0 from that of V_0, if rho has so many positive entries and |V_0 - c| <= spread."""
    underflow = 8 * TINY * support * (1.0 + spread)
    return np.asarray((error + gamma(4 * support + 2) * spread + UNIT * np.abs(value) + underflow) * SLACK)


def inflated(error: FloatArray) -> FloatArray:
    """Make room for a few roundings in a bound itself."""
    return np.asarray(error * SLACK)


@dataclass(frozen=True)
class Enclosure:
    """An interval that contains a true number.

    Attributes
    ----------
    lower, upper
        Its ends.
    """

    lower: float
    upper: float

    @classmethod
    def around(cls, value: float, error: float) -> Enclosure:
        """Value and a bound on its error."""
        return cls(_down(value - error), _up(value + error))

    @classmethod
    def weighted(cls, parts: Iterable[tuple[float | Fraction, Enclosure]]) -> Enclosure:
        """All sums of enclosed numbers times weights of any sign, which are taken as exact."""
        lower = upper = Fraction(0)
        for weight, part in parts:
            ends = Fraction(weight) * Fraction(part.lower), Fraction(weight) * Fraction(part.upper)
            lower, upper = lower + min(ends), upper + max(ends)
        try:
            below, above = float(lower), float(upper)
        except OverflowError:
            return cls(-math.inf, math.inf)
        return cls(below if below <= lower else _down(below), above if above >= upper else _up(above))

    def __add__(self, other: Enclosure) -> Enclosure:
        """All sums."""
        return Enclosure(_down(self.lower + other.lower), _up(self.upper + other.upper))

    def __sub__(self, other: Enclosure) -> Enclosure:
        """All differences."""
        return Enclosure(_down(self.lower - other.upper), _up(self.upper - other.lower))

    def __mul__(self, factor: float) -> Enclosure:
        """All products with a number of at least 0."""
        return Enclosure(_down(self.lower * factor), _up(self.upper * factor))

    @property
    def middle(self) -> float:
        """A number between the ends."""
        return self.lower + 0.5 * (self.upper - self.lower)


def highest(enclosures: Iterable[Enclosure]) -> Enclosure:
    """Enclose the maximum of the enclosed numbers."""
    found = list(enclosures)
    return Enclosure(max(e.lower for e in found), max(e.upper for e in found))


def _down(x: float) -> float:
    return math.nextafter(x, -math.inf)


def _up(x: float) -> float:
    return math.nextafter(x, math.inf)
