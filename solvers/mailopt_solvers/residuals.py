"""How far points and their prices are from optimal, computed from the programs' own data.

Everything here works along the last axis, so that one program and a batch of them are judged by the same lines.
:func:`residuals` is absolute. What counts as small depends on the numbers involved: :func:`relative` divides each
violation by the size of the terms of its own row or column.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mailopt_solvers.program import FloatArray, Frame, LinearProgram, Sense


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


def relative(candidate: Candidate, row_sizes: FloatArray, column_sizes: FloatArray) -> dict[str, FloatArray]:
    """Violations divided by the sizes of their own terms.

    Row i is measured against sum_j |a_ij x_j|, bound j against |x_j|, reduced cost j against |c_j| + sum_i |a_ij y_i|,
    a row dual against itself and the gap against the objectives and their largest term. The largest of these sizes, or
    1 if that is smaller, is added, so that a program of small numbers is judged as strictly as the same program in
    other units, and none more strictly than its solver can see.

    Parameters
    ----------
    candidate
        What is judged.
    row_sizes, column_sizes
        |A| |x| and |A|'|y|.

    Returns
    -------
    ``"primal residual"``, ``"dual residual"`` and ``"duality gap"``.
    """
    frame, points = candidate.frame, candidate.points()
    rising, falling = candidate.prices()
    found = residuals(candidate)
    terms = np.concatenate(
        (candidate.costs * candidate.x, rising * frame.finite_lower, falling * frame.finite_upper), -1
    )
    gap_size = np.abs(found.objective) + np.abs(found.dual_objective) + _largest(np.abs(terms))
    return {
        "primal residual": _worst(
            np.maximum(np.maximum(frame.lower - points, points - frame.upper), 0.0),
            np.concatenate((row_sizes, np.abs(candidate.x)), axis=-1),
        ),
        "dual residual": _worst(
            np.maximum(rising * frame.no_lower, falling * frame.no_upper),
            np.concatenate((np.abs(candidate.row_duals), np.abs(candidate.costs) + column_sizes), axis=-1),
        ),
        "duality gap": _worst(found.gap[..., None], gap_size[..., None]),
    }


def _worst(violations: FloatArray, sizes: FloatArray) -> FloatArray:
    """Largest violation relative to its size; 0 where there is none."""
    scale = sizes + np.minimum(1.0, _largest(sizes))[..., None]
    return _largest(np.where(violations == 0, 0.0, violations / np.where(scale == 0, 1.0, scale)))


def _dot(left: FloatArray, right: FloatArray) -> FloatArray:
    return np.asarray(np.einsum("...i,...i->...", left, right))


def _largest(values: FloatArray) -> FloatArray:
    """Largest entry, at least 0; NaN stays NaN so that it can never pass a comparison."""
    return np.asarray(values.max(axis=-1, initial=0.0))
