"""How far points and their prices are from optimal, computed from the programs' own data.

Everything here works along the last axis, so that one program and a batch of them are judged by the same lines.
:func:`residuals` is absolute. What counts as small depends on the numbers involved: :func:`relative` divides each
violation by the size of the terms of its own row or column.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mailopt_solvers.program import FloatArray, Frame, LinearProgram, Sense

BoolArray = npt.NDArray[np.bool_]


class Candidate(NamedTuple):
    """Points x and row duals y with what the data make of them; arrays (..., n) or (..., m).

    Attributes
    ----------
    sense, offset, frame, costs
        From the program.
    x, activities
        Points and A x.
    row_duals, reduced_costs
        Row duals y and d = c - A'y.
    """

    sense: Sense
    offset: float
    frame: Frame
    costs: FloatArray
    x: FloatArray
    activities: FloatArray
    row_duals: FloatArray
    reduced_costs: FloatArray

    @classmethod
    def of(cls, program: LinearProgram, x: FloatArray, row_duals: FloatArray, reduced_costs: FloatArray) -> Candidate:
        """Gather a point and its prices for one program."""
        p = program
        return cls(p.sense, p.offset, p.frame, p.costs, x, p.activities(x), row_duals, reduced_costs)

    def points(self) -> FloatArray:
        """Activities of the rows and then values of the variables."""
        return np.concatenate((self.activities, self.x), axis=-1)

    def prices(self) -> tuple[FloatArray, FloatArray]:
        """Sizes of the prices of lower bounds and of upper bounds, rows first; nonnegative."""
        prices = np.concatenate((self.row_duals, self.reduced_costs), axis=-1)
        if self.sense == "max":
            np.negative(prices, out=prices)
        rising = np.maximum(prices, 0.0)
        return rising, rising - prices


class Residuals(NamedTuple):
    """What is wrong with a candidate.

    Attributes
    ----------
    primal
        Largest violation of a row or a variable bound.
    dual
        Largest dual or reduced cost whose sign calls for a bound that does not exist.
    objective, dual_objective
        c x + offset, and the dual objective of (y, d): each price times the bound that its sign calls for. A price
        without such a bound is left out of it and counts in ``dual``.
    gap
        Absolute difference of the two objectives.
    """

    primal: FloatArray
    dual: FloatArray
    objective: FloatArray
    dual_objective: FloatArray
    gap: FloatArray


def residuals(candidate: Candidate) -> Residuals:
    """Compute the absolute residuals; NaN where an input is NaN."""
    frame, sign = candidate.frame, 1.0 if candidate.sense == "min" else -1.0
    points = candidate.points()
    rising, falling = candidate.prices()
    objective = _dot(candidate.costs, candidate.x) + candidate.offset
    priced = _dot(rising, frame.finite_lower) - _dot(falling, frame.finite_upper)
    dual_objective = candidate.offset + sign * priced
    return Residuals(
        _largest(np.maximum(frame.lower - points, points - frame.upper)),
        _largest(np.maximum(rising * frame.no_lower, falling * frame.no_upper)),
        objective,
        dual_objective,
        np.abs(objective - dual_objective),
    )


class Sizes(NamedTuple):
    """What products of a matrix with sizes of points and prices come to.

    Attributes
    ----------
    rows, columns
        |A| |x|, shape (..., m), and |A|'|y|, shape (..., n).
    sums
        |A| 1, shape (..., m), and |A|'1, shape (..., n).
    """

    rows: FloatArray
    columns: FloatArray
    sums: tuple[FloatArray, FloatArray]

    @classmethod
    def of(cls, program: LinearProgram, x: FloatArray, row_duals: FloatArray) -> Sizes:
        """Compute them for one program."""
        sizes = abs(program.matrix)
        return cls(sizes @ np.abs(x), sizes.T @ np.abs(row_duals), program.sums)


def relative(candidate: Candidate, sizes: Sizes) -> dict[str, FloatArray]:
    """Violations divided by the sizes of their own terms.

    Row i is measured against sum_j |a_ij| (|x_j| + X) and the side that it violates, bound j against |x_j| + X and the
    bound, reduced cost j against |c_j| + sum_i |a_ij| (|y_i| + Y), a row dual against |y_i| + Y, and the gap against
    the two objectives, the largest term of either, and X times the least cost. Here X is what a value of x amounts to:
    the largest |x_j| or the least bound other than 0 (that of row i divided by sum_j |a_ij|), whichever is larger, and
    at most 1; Y likewise comes from |y_i| and |c_j| / sum_i |a_ij|. So a violation is large or small whatever the units
    of a row, a column or the whole program, and noise around 0 is none.

    Returns
    -------
    ``"primal residual"``, ``"dual residual"`` and ``"duality gap"``.
    """
    frame, points = candidate.frame, candidate.points()
    x, y = np.abs(candidate.x), np.abs(candidate.row_duals)
    costs = np.broadcast_to(np.abs(candidate.costs), candidate.reduced_costs.shape)
    row_sums, column_sums = sizes.sums
    per_value = np.concatenate((row_sums, np.ones_like(x)), axis=-1)  # a row bound in units of x
    bounds = np.maximum(np.abs(frame.finite_lower), np.abs(frame.finite_upper))
    unit_x = _unit(x, _least(bounds, per_value))
    unit_y = _unit(y, _least(costs, column_sums))
    below, above = np.maximum(frame.lower - points, 0.0), np.maximum(points - frame.upper, 0.0)
    sides = np.abs(np.where(below > 0, frame.finite_lower, frame.finite_upper))
    rising, falling = candidate.prices()
    found = residuals(candidate)
    terms = np.concatenate(
        (candidate.costs * candidate.x, rising * frame.finite_lower, falling * frame.finite_upper), axis=-1
    )
    return {
        "primal residual": _worst(
            np.maximum(below, above),
            np.concatenate((sizes.rows + row_sums * unit_x, x + unit_x), axis=-1) + sides,
        ),
        "dual residual": _worst(
            np.maximum(rising * frame.no_lower, falling * frame.no_upper),
            np.concatenate((y + unit_y, costs + sizes.columns + column_sums * unit_y), axis=-1),
        ),
        "duality gap": _worst(
            found.gap[..., None],
            (np.abs(found.objective) + np.abs(found.dual_objective) + _largest(np.abs(terms)))[..., None]
            + unit_x * _least(costs, np.ones_like(costs))[..., None],
        ),
    }


def _unit(values: FloatArray, least: FloatArray) -> FloatArray:
    """Say what one of the values amounts to, with an axis to multiply by."""
    return np.asarray(np.minimum(1.0, np.maximum(_largest(values), least))[..., None])


def _least(data: FloatArray, scale: FloatArray) -> FloatArray:
    """Least of |data| / scale other than 0, or 1 if there is none."""
    counts = (data > 0) & (scale > 0)
    quotients = np.where(counts, data / np.where(scale > 0, scale, 1.0), np.inf)
    least = np.minimum.reduce(quotients, axis=-1, initial=np.inf)
    return np.where(np.isinf(least), 1.0, least)


def acceptable(
    found: Residuals, candidate: Candidate, sums: tuple[FloatArray, FloatArray], tolerance: float
) -> BoolArray:
    """Whether residuals are so small that the relative ones must be within the tolerance; cheaper than those."""
    unit_x = np.minimum(1.0, np.maximum.reduce(np.abs(candidate.x), axis=-1, initial=0.0))
    unit_y = np.minimum(1.0, np.maximum.reduce(np.abs(candidate.row_duals), axis=-1, initial=0.0))
    least_row, least_column = (np.minimum.reduce(s, axis=-1, initial=1.0) for s in sums)
    return np.asarray(
        (found.primal <= tolerance * unit_x * least_row)
        & (found.dual <= tolerance * unit_y * least_column)
        & (found.gap <= tolerance * np.abs(found.objective))
    )


def _worst(violations: FloatArray, sizes: FloatArray) -> FloatArray:
    """Largest violation relative to its size; 0 where there is none."""
    nothing = np.where(violations == 0, 1.0, violations)  # any violation of nothing is whole
    return _largest(violations / np.where(sizes == 0, nothing, sizes))


def _dot(left: FloatArray, right: FloatArray) -> FloatArray:
    return np.asarray(left @ right if left.ndim == right.ndim == 1 else np.einsum("...i,...i->...", left, right))


def _largest(values: FloatArray) -> FloatArray:
    """Largest entry, at least 0; NaN stays NaN so that it can never pass a comparison."""
    return np.asarray(np.maximum.reduce(values, axis=-1, initial=0.0))
