"""Points of an equilibrium polytope that maximise a concave function, through cvxpy and Clarabel."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from mailopt.games.numbers import BoolArray, FloatArray
from mailopt.programs.objectives import Convex, MaximumEntropy
from mailopt_solvers import Infeasible, LinearProgram, SolverFailed

_TIGHT = {"tol_gap_abs": 1e-11, "tol_gap_rel": 1e-11, "tol_feas": 1e-11}


@dataclass(frozen=True, eq=False)
class ConvexPoint:
    """What the solver found.

    Attributes
    ----------
    x
        The distribution, (A,), within the solver's tolerance.
    duals
        Prices of the rows of each block.
    solver, version, solve_time
        Provenance.
    """

    x: FloatArray
    duals: dict[str, FloatArray]
    solver: str
    version: str
    solve_time: float


def convex_point(program: LinearProgram, objective: Convex, legal: BoolArray) -> ConvexPoint:
    """Maximise entropy or Gini impurity over the distributions ``sigma`` of an equilibrium program.

    Raises
    ------
    Infeasible
        There is none.
    SolverFailed
        Clarabel did not find it.
    """
    import clarabel  # noqa: PLC0415 - takes long
    import cvxpy  # noqa: PLC0415 - takes long

    cp: Any = cvxpy  # its names are made at run time
    x = cp.Variable(program.num_variables)
    block = program.variables["sigma"].slice
    sigma = x[block]
    playable = np.flatnonzero(legal)
    kept = sigma[playable]
    bounds = [sigma[np.flatnonzero(~legal)] == 0] if not legal.all() else []
    low, high = program.lower.copy(), program.upper.copy()
    high[block] = np.inf
    rows, prices = [], {}
    for name, one in program.rows.items():
        activity = program.matrix[one.slice] @ x
        lower, upper = program.row_lower[one.slice], program.row_upper[one.slice]
        same = np.flatnonzero(lower == upper)
        above = np.flatnonzero(np.isfinite(upper) & (lower != upper))
        below = np.flatnonzero(np.isfinite(lower) & (lower != upper))
        if same.size:
            rows.append(activity[same] == upper[same])
        if below.size:
            rows.append(activity[below] >= lower[below])
        if above.size:
            rows.append(activity[above] <= upper[above])
            prices[name] = rows[-1], above
    finite_low, finite_high = np.flatnonzero(np.isfinite(low)), np.flatnonzero(np.isfinite(high))
    bounds += [x[finite_low] >= low[finite_low]] if finite_low.size else []
    bounds += [x[finite_high] <= high[finite_high]] if finite_high.size else []
    if isinstance(objective, MaximumEntropy):
        goal = cp.Maximize(cp.sum(cp.entr(kept)))
    else:
        goal = cp.Maximize(1 - cp.sum_squares(kept))
    problem = cp.Problem(goal, rows + bounds)
    for options in (_TIGHT, {}):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # "may be inaccurate": such a point is not taken
            try:
                problem.solve(solver=cp.CLARABEL, **options)
            except cp.SolverError as error:
                raise SolverFailed(f"Clarabel found no {type(objective).__name__} point: {error}") from error
        if problem.status == cp.INFEASIBLE:
            raise Infeasible(f"no distribution satisfies {program!r}")
        if problem.status == cp.OPTIMAL:
            break
    else:
        raise SolverFailed(f"Clarabel ended with {problem.status} on {program!r}")
    duals = {name: np.zeros(one.size) for name, one in program.rows.items()}
    for name, (row, above) in prices.items():
        duals[name][above] = row.dual_value
    return ConvexPoint(
        np.asarray(x.value)[block],
        duals,
        "clarabel",
        clarabel.__version__,
        float(problem.solver_stats.solve_time or 0.0),
    )
