"""Proofs that a program has no optimum: Farkas multipliers and directions of unbounded improvement.

A solver may say "infeasible" without proof. The proof is then the dual solution of a second program that always has
an optimum: the least total violation of the rows,

    minimise sum(p + q)   subject to   rl <= A x + p - q <= ru,   l <= x <= u,   p, q >= 0,

whose row duals are Farkas multipliers when its optimum is positive. Likewise for "unbounded" the best direction r in
the recession cone of the constraints with -1 <= r <= 1.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from mailopt_solvers.bounds import proves_infeasible
from mailopt_solvers.program import Block, FloatArray, LinearProgram

_TOLERANCE = 1e-12


def violation_program(program: LinearProgram) -> LinearProgram:
    """Least total violation of the rows over the box of the variables; blocks ``x``, ``short`` (p), ``over`` (q)."""
    n, m = program.num_variables, program.num_rows
    unit = sparse.eye_array(m, format="csc")
    return LinearProgram(
        costs=np.concatenate((np.zeros(n), np.ones(2 * m))),
        matrix=sparse.csc_array(sparse.hstack((program.matrix, unit, -unit), format="csc")),
        row_lower=program.row_lower,
        row_upper=program.row_upper,
        lower=np.concatenate((program.lower, np.zeros(2 * m))),
        upper=np.concatenate((program.upper, np.full(2 * m, np.inf))),
        variables={"x": Block("x", 0, (n,)), "short": Block("short", n, (m,)), "over": Block("over", n + m, (m,))},
    )


def direction_program(program: LinearProgram) -> LinearProgram:
    """Best direction of the recession cone of the constraints within -1 <= r <= 1."""

    def cone(lower: FloatArray, upper: FloatArray, size: float) -> tuple[FloatArray, FloatArray]:
        return np.where(np.isfinite(lower), 0.0, -size), np.where(np.isfinite(upper), 0.0, size)

    row_lower, row_upper = cone(program.row_lower, program.row_upper, np.inf)
    lower, upper = cone(program.lower, program.upper, 1.0)
    return LinearProgram(program.costs, program.matrix, row_lower, row_upper, lower, upper, program.sense)


def why_no_farkas_ray(program: LinearProgram, ray: FloatArray | None) -> str | None:
    """Say why multipliers y do not prove a program infeasible, or None if they do.

    They do if sum_i min(y_i rl_i, y_i ru_i) > max over the box of y'A x. That is decided with every rounding error
    accounted for; only where variables without bounds defeat this, coefficients (A'y)_j up to 1e-12 of the largest that
    such a y could make of the column pass as 0.
    """
    if ray is None:
        return "there are no Farkas multipliers"
    if ray.shape != (program.num_rows,) or not np.isfinite(ray).all() or not ray.any():
        return f"the Farkas multipliers have shape {ray.shape}, are all 0 or not finite"
    if proves_infeasible(program, ray):
        return None
    y = np.where((ray > 0) & np.isneginf(program.row_lower) | (ray < 0) & np.isposinf(program.row_upper), 0.0, ray)
    pull = program.priced(y)
    pull = np.where(np.abs(pull) <= _TOLERANCE * program.sums[1] * np.abs(y).max(initial=0.0), 0.0, pull)
    side = np.where(y > 0, program.row_lower, program.row_upper)
    reach = np.where(pull > 0, program.upper, program.lower)
    needed, offered = y[y != 0] * side[y != 0], pull[pull != 0] * reach[pull != 0]
    margin = needed.sum() - offered.sum()
    if not margin > _TOLERANCE * (np.abs(needed).sum() + np.abs(offered).sum()):
        return f"the Farkas multipliers prove nothing: their margin is {margin:.3g}"
    return None


def why_no_direction(program: LinearProgram, ray: FloatArray | None) -> str | None:
    """Say why r is no direction of unbounded improvement, or None if it is.

    It is one if c r improves the objective and neither A r nor r runs against a finite bound, both up to 1e-12 of
    the largest that such an r could make of the row.
    """
    if ray is None:
        return "there is no direction of unbounded improvement"
    if ray.shape != (program.num_variables,) or not np.isfinite(ray).all():
        return f"the direction has shape {ray.shape} or is not finite"
    gain = float(program.costs @ ray) * (-1.0 if program.sense == "min" else 1.0)
    if not gain > _TOLERANCE * float(np.abs(program.costs) @ np.abs(ray)):
        return f"along the direction the objective improves by {gain:.3g}"
    moves = np.concatenate((program.activities(ray), ray))
    sizes = np.concatenate((program.sums[0], np.ones(ray.size))) * np.abs(ray).max(initial=0.0)
    frame = program.frame
    against = np.maximum(np.where(frame.no_lower == 0, -moves, 0.0), np.where(frame.no_upper == 0, moves, 0.0))
    worst = float((against - _TOLERANCE * sizes).max(initial=0.0))
    return None if worst <= 0.0 else f"the direction leaves the bounds at a rate of {worst:.3g}"
