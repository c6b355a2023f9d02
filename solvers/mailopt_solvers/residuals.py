"""How far a point and its prices are from optimal, computed from the program's own data.

Everything is absolute here. What counts as small depends on the numbers involved: :func:`relative` divides each
violation by the size of the terms of its own row or column.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mailopt_solvers.program import FloatArray, LinearProgram


class Residuals(NamedTuple):
    """What is wrong with a point x and row duals y, with d = c - A'y.

    Attributes
    ----------
    primal
        Largest violation of a row or a variable bound.
    dual
        Largest dual or reduced cost whose sign calls for a bound that does not exist.
    objective, dual_objective
        c x + offset, and the dual objective of (y, d): each price times the bound that its sign calls for. A price
        without such a bound is left out of it and counts in ``dual``.
    """

    primal: float
    dual: float
    objective: float
    dual_objective: float

    @property
    def gap(self) -> float:
        """Absolute difference of the two objectives."""
        return abs(self.objective - self.dual_objective)


def residuals(program: LinearProgram, x: FloatArray, row_duals: FloatArray, reduced_costs: FloatArray) -> Residuals:
    """Compute the residuals of a point and its prices; NaN where an input is NaN."""
    frame = program.frame
    points = np.concatenate((program.activities(x), x))
    primal = _largest(np.maximum(frame.lower - points, points - frame.upper))
    rising, falling = split_prices(program, row_duals, reduced_costs)
    dual = max(_largest(rising * frame.no_lower), _largest(falling * frame.no_upper))
    objective = float(program.costs @ x) + program.offset
    priced = float(rising @ frame.finite_lower) - float(falling @ frame.finite_upper)
    return Residuals(primal, dual, objective, program.offset + (priced if program.sense == "min" else -priced))


def split_prices(
    program: LinearProgram, row_duals: FloatArray, reduced_costs: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Sizes of the prices of lower bounds and of upper bounds, rows first, each (m + n,) and nonnegative."""
    prices = np.concatenate((row_duals, reduced_costs))
    if program.sense == "max":
        np.negative(prices, out=prices)
    return np.maximum(prices, 0.0), np.maximum(-prices, 0.0)


def relative(
    program: LinearProgram, x: FloatArray, row_duals: FloatArray, reduced_costs: FloatArray
) -> dict[str, float]:
    """Violations divided by the sizes of their own terms.

    Row i is measured against sum_j |a_ij x_j|, bound j against |x_j|, reduced cost j against |c_j| + sum_i |a_ij y_i|,
    a row dual against itself and the gap against the objectives and their largest term. Where these sizes are below 1
    the largest of its kind, or 1 if that is smaller still, is added, so that a program of small numbers is judged as
    strictly as the same program in other units, and none more strictly than its solver can see.

    Returns
    -------
    ``"primal residual"``, ``"dual residual"`` and ``"duality gap"``.
    """
    frame = program.frame
    points = np.concatenate((program.activities(x), x))
    sizes = abs(program.matrix)
    rows, columns = np.asarray(sizes @ np.abs(x)), np.asarray(sizes.T @ np.abs(row_duals))
    primal_sizes = np.concatenate((rows, np.abs(x)))
    violations = np.maximum(np.maximum(frame.lower - points, points - frame.upper), 0.0)
    rising, falling = split_prices(program, row_duals, reduced_costs)
    unpriced = np.maximum(rising * frame.no_lower, falling * frame.no_upper)
    dual_sizes = np.concatenate((np.abs(row_duals), np.abs(program.costs) + columns))
    r = residuals(program, x, row_duals, reduced_costs)
    terms = np.concatenate((program.costs * x, rising * frame.finite_lower, falling * frame.finite_upper))
    gap_size = abs(r.objective) + abs(r.dual_objective) + _largest(np.abs(terms))
    return {
        "primal residual": _worst(violations, primal_sizes),
        "dual residual": _worst(unpriced, dual_sizes),
        "duality gap": _worst(np.array([r.gap]), np.array([gap_size])),
    }


def _worst(violations: FloatArray, sizes: FloatArray) -> float:
    """Largest violation relative to its size; 0 where there is none."""
    floor = min(1.0, _largest(sizes))
    if floor == 0.0:
        return _largest(violations)
    return _largest(violations / (sizes + floor))


def _largest(values: FloatArray) -> float:
    """Largest entry, at least 0; NaN stays NaN so that it can never pass a comparison."""
    return float(values.max(initial=0.0))
