"""What makes an answer true, straight from the inequalities. Shares no code with the checks of the library."""

from __future__ import annotations

import math

import numpy as np

from mailopt_solvers import LinearProgram
from mailopt_solvers.program import FloatArray

_ZERO = 1e-9  # of its terms: what a ray's coefficient may be off


def dense(lp: LinearProgram) -> FloatArray:
    return np.asarray(lp.matrix.toarray(), dtype=np.float64)


def primal_violation(lp: LinearProgram, x: FloatArray) -> float:
    """Largest violation, relative to 1 and the terms of the row."""
    worst = 0.0
    for a, low, high in zip(dense(lp), lp.row_lower, lp.row_upper, strict=True):
        activity, terms = float(a @ x), float(np.abs(a) @ np.abs(x))
        worst = max(worst, (low - activity) / (1 + terms), (activity - high) / (1 + terms))
    for value, low, high in zip(x, lp.lower, lp.upper, strict=True):
        worst = max(worst, (low - value) / (1 + abs(value)), (value - high) / (1 + abs(value)))
    return worst


def priced_sides(lp: LinearProgram, y: FloatArray) -> list[tuple[float, float, float]]:
    """For each row, then each variable: its price, the bound that the price's sign calls for, the price's terms."""
    matrix = dense(lp)
    d = lp.costs - matrix.T @ y
    terms = np.abs(lp.costs) + np.abs(matrix).T @ np.abs(y)
    sign = 1.0 if lp.sense == "min" else -1.0
    rows = [
        (p, low if sign * p > 0 else high, abs(p)) for p, low, high in zip(y, lp.row_lower, lp.row_upper, strict=True)
    ]
    columns = [
        (p, low if sign * p > 0 else high, t) for p, t, low, high in zip(d, terms, lp.lower, lp.upper, strict=True)
    ]
    return rows + columns


def dual_violation(lp: LinearProgram, y: FloatArray) -> float:
    """Largest price that calls for a missing bound, relative to 1 and its terms."""
    return max((abs(p) / (1 + t) for p, side, t in priced_sides(lp, y) if p != 0 and math.isinf(side)), default=0.0)


def dual_objective(lp: LinearProgram, y: FloatArray) -> tuple[float, float]:
    """Dual objective without the terms of missing bounds, and the sum of the sizes of its terms."""
    terms = [p * side for p, side, _ in priced_sides(lp, y) if p != 0 and math.isfinite(side)]
    return math.fsum([*terms, lp.offset]), math.fsum(map(abs, [*terms, lp.offset]))


def slack_for_objective(lp: LinearProgram, x: FloatArray, y: FloatArray, tolerance: float) -> float:
    """How far c x may be from the optimum if every residual is at the tolerance: each violation costs its price."""
    matrix = dense(lp)
    d = lp.costs - matrix.T @ y
    rows = float(np.abs(y) @ (1 + np.abs(matrix) @ np.abs(x)))
    columns = float(np.abs(d) @ (1 + np.abs(x))) + float((1 + np.abs(lp.costs)) @ np.abs(x))
    return tolerance * (1 + abs(lp.offset) + rows + columns + dual_objective(lp, y)[1])


def farkas_margin(lp: LinearProgram, y: FloatArray) -> float:
    """sum_i min(y_i rl_i, y_i ru_i) - max over the box of y'A x, in units of its terms; positive if it is a proof."""
    matrix = dense(lp)
    pull, terms = matrix.T @ y, np.abs(matrix).T @ np.abs(y)
    needed = [
        p * (low if p > 0 else high) for p, low, high in zip(y, lp.row_lower, lp.row_upper, strict=True) if p != 0
    ]
    offered = []
    for p, t, low, high in zip(pull, terms, lp.lower, lp.upper, strict=True):
        side = high if p > 0 else low
        if p != 0 and not (math.isinf(side) and abs(p) <= _ZERO * t):
            offered.append(p * side)
    size = math.fsum(map(abs, needed + offered))
    return (math.fsum(needed) - math.fsum(offered)) / size if 0 < size < math.inf else -math.inf


def direction_violation(lp: LinearProgram, r: FloatArray) -> float:
    """Largest speed at which r runs against a finite bound, relative to its terms."""
    matrix = dense(lp)
    scale = float(np.abs(r).max())
    speeds = [
        *zip(matrix @ r, lp.row_lower, lp.row_upper, np.abs(matrix) @ np.abs(r), strict=True),
        *zip(r, lp.lower, lp.upper, np.full(r.size, scale), strict=True),
    ]
    worst = 0.0
    for speed, low, high, terms in speeds:
        against = max(-speed if math.isfinite(low) else 0.0, speed if math.isfinite(high) else 0.0)
        worst = max(worst, against / terms if against > 0 else 0.0)
    return worst


def gain(lp: LinearProgram, r: FloatArray) -> float:
    """How fast the objective improves along r."""
    return float(lp.costs @ r) * (1.0 if lp.sense == "max" else -1.0)
