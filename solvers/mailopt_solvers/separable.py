"""Programs with a quadratic cost on each variable of its own: their values, their Lagrangian bounds, what is small.

    minimise      f(x) = c x + offset + 1/2 sum_j q_j (x_j - p_j)^2,   q >= 0
    subject to    row_lower <= A x <= row_upper,   lower <= x <= upper

For ANY row duals y, with d = c - A'y,

    f(x)  >=  L(y) = offset + sum_i y_i side_i + sum_j min_{lower_j <= t <= upper_j} (d_j t + q_j / 2 (t - p_j)^2)

at every feasible x, where side_i is the bound of row i that the sign of y_i calls for. Where q_j > 0 the minimum is at
t = p_j - d_j / q_j, cut off at the bounds, and elsewhere at the bound that the sign of d_j calls for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mailopt_solvers.backends.highs import unit_exponent
from mailopt_solvers.bounds import implied_bounds
from mailopt_solvers.program import FloatArray, LinearProgram
from mailopt_solvers.residuals import Candidate, Sizes, relative

_U = 2.0**-53
_OMEGA = 2.0**-1022
_FACTORS = (1.0, *(1.0 + sign * 2.0**-digits for digits in (44, 40, 36, 30) for sign in (-1, 1)))


class Priced(NamedTuple):
    """What row duals come to: L(y), the minimiser, what is left of d there, and sizes of the terms."""

    value: float
    minimiser: FloatArray
    reduced: FloatArray
    terms: FloatArray


@dataclass(frozen=True, eq=False)
class Quadratic:
    """The program: its linear part, q and p."""

    program: LinearProgram
    weights: FloatArray
    centre: FloatArray

    def value(self, x: FloatArray) -> float:
        """Compute f(x)."""
        apart = x - self.centre
        return float(self.program.costs @ x + 0.5 * (self.weights * apart) @ apart) + self.program.offset

    def priced(self, y: FloatArray) -> Priced:
        """Compute L(y), without the terms whose sign calls for a missing bound."""
        program, frame, m = self.program, self.program.frame, self.program.num_rows
        curved = self.weights > 0
        d = program.costs - program.priced(y)
        z, reduced = self._minimiser(d)
        z = np.where(curved, z, np.where(d > 0, frame.finite_lower[m:], np.where(d < 0, frame.finite_upper[m:], 0.0)))
        rows = y * np.where(y > 0, frame.finite_lower[:m], frame.finite_upper[:m])
        apart = z - self.centre
        value = float(rows.sum() + d @ z + 0.5 * (self.weights * apart) @ apart) + program.offset
        return Priced(value, z, np.where(curved, reduced, d), np.concatenate((rows, d * z)))

    def _minimiser(self, d: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Minimiser of d t + q / 2 (t - p)^2 between the bounds, and its slope there; only where q > 0."""
        q, p = np.where(self.weights > 0, self.weights, 1.0), self.centre
        with np.errstate(over="ignore"):
            inner = p - d / q
        z = np.minimum(np.maximum(inner, self.program.lower), self.program.upper)
        return z, np.where(z == inner, 0.0, d + q * (z - p))

    def candidate(self, x: FloatArray, y: FloatArray) -> Candidate:
        """Take x, y and the slopes at the minimiser of L(y) for those of a linear program with costs of such a size."""
        priced = self.priced(y)
        costs = np.abs(self.program.costs) + self.weights * (np.abs(priced.minimiser) + np.abs(self.centre))
        return Candidate.of(self.program.changed(costs=costs), x, y, priced.reduced)

    def what_is_wrong(self, x: FloatArray, y: FloatArray, tolerance: float, most: float) -> str | None:
        """Name the gap, if it is above the most allowed, or the first residual that is too large for its terms."""
        gap = self.relative_gap(x, y)
        if not gap <= most:
            return f"duality gap is {gap:.3g} of the terms involved, above {most:g}"
        found = relative(self.candidate(x, y), Sizes.of(self.program, x, y))
        for what in ("primal residual", "dual residual"):
            if not found[what] <= tolerance:
                return f"{what} is {found[what]:.3g} of the terms involved, above {tolerance:g}"
        return None

    def relative_gap(self, x: FloatArray, y: FloatArray) -> float:
        """Gap by the sizes of both values, of the largest term of either, and of what a value of x amounts to."""
        priced = self.priced(y)
        q, p, costs = self.weights, self.centre, np.abs(self.program.costs)
        value = self.value(x)
        frame, m = self.program.frame, self.program.num_rows
        bounds = np.abs(np.concatenate((frame.finite_lower[m:], frame.finite_upper[m:])))
        some = np.concatenate((np.abs(x), np.abs(p)))
        unit = min(1.0, max(float(some.max(initial=0.0)), _least(bounds)))
        largest = max(float(np.abs(t).max(initial=0.0)) for t in (costs * x, q * x * x, q * p * p, priced.terms))
        size = abs(value) + abs(priced.value) + largest + unit * _least(costs, 0.0) + unit * unit * _least(q)
        return abs(value - priced.value) / size

    def bound(self, y: FloatArray) -> float:
        """Bound the optimum from below by y, or by a y slightly different where that gives no bound."""
        for factor in _FACTORS:
            bound = self._bound(factor * y)
            if math.isfinite(bound):
                return bound
        return -math.inf

    def _bound(self, y: FloatArray) -> float:
        """L(y) less all rounding errors: each d_j is only known up to E_j, and min_t is concave in d_j."""
        program, curved = self.program, self.weights > 0
        with np.errstate(over="ignore", invalid="ignore"):
            y = np.where((y > 0) & np.isneginf(program.row_lower) | (y < 0) & np.isposinf(program.row_upper), 0.0, y)
            rows = y * np.where(y == 0, 0.0, np.where(y > 0, program.row_lower, program.row_upper))
            d = program.costs - program.priced(y)
            k = int(np.diff(program.matrix.indptr).max(initial=0)) + 2
            sizes = np.abs(program.costs) + np.asarray(abs(program.matrix).T @ np.abs(y))
            error = 2 * k * _U * sizes + 4 * k * _OMEGA * (1.0 + np.abs(y).max(initial=0.0))
            ends = (d - error, d + error)
            straight = _least_product(ends, program.lower, program.upper)
            if np.isneginf(straight[~curved]).any():
                straight = _least_product(ends, *implied_bounds(program, program.lower, program.upper))
            columns = np.where(curved, np.minimum(*map(self._least_value, ends)), straight)
            terms = np.concatenate((rows, columns, [program.offset]))
            if not np.isfinite(terms).all():
                return -math.inf
            total = math.fsum(terms) - 4 * _U * math.fsum(np.abs(terms)) - terms.size * _OMEGA
        return float(np.nextafter(total, -np.inf))

    def _least_value(self, d: FloatArray) -> FloatArray:
        """Minimum of d t + q / 2 (t - p)^2 between the bounds, rounded down; only where q > 0.

        The error of t counts quadratically: it is below q (u |p|)^2 or u |d t|, and so is its effect.
        """
        t = self._minimiser(d)[0]
        apart = t - self.centre
        straight, curved = d * t, 0.5 * (self.weights * apart) * apart
        slack = 16 * _U * (np.abs(straight) + curved) + 4 * _OMEGA * (1.0 + np.abs(t) + np.abs(self.centre))
        return np.asarray(straight + curved - slack)

    def scaled(self) -> tuple[Quadratic, float, float]:
        """Measure x and f in powers of two of their own size where these are far from 1, for solvers are absolute.

        Returns
        -------
        The program of z = x / s, its objective times u, with s and u; the row duals of x are those of z by u s.
        """
        program, frame = self.program, self.program.frame
        s = 2.0 ** -unit_exponent(np.concatenate((frame.finite_lower, frame.finite_upper, self.centre)))
        costs, weights, centre = program.costs * s, self.weights * s * s, self.centre / s
        u = 2.0 ** unit_exponent(np.concatenate((costs, weights)))
        bounds = {side: getattr(program, side) / s for side in ("lower", "upper", "row_lower", "row_upper")}
        return Quadratic(program.changed(costs=costs * u, **bounds), weights * u, centre), s, u

    def slopes(self) -> FloatArray:
        """Linear costs of the program without centre: c - q p."""
        return np.asarray(self.program.costs - self.weights * self.centre)


def _least(sizes: FloatArray, default: float = 1.0) -> float:
    """Least of them other than 0."""
    return float(np.minimum.reduce(sizes[sizes > 0], initial=np.inf)) if (sizes > 0).any() else default


def _least_product(ends: tuple[FloatArray, FloatArray], lower: FloatArray, upper: FloatArray) -> FloatArray:
    """Least product of a number between the ends and one between the bounds, before rounding."""
    products = [np.where((t == 0) | (v == 0), 0.0, t * np.where(t == 0, 0.0, v)) for t in ends for v in (lower, upper)]
    return np.asarray(np.minimum.reduce(products))
