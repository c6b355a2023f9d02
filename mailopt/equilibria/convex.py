"""Points of an equilibrium polytope that maximise a concave function, through cvxpy and Clarabel.

Equilibrium polytopes are often flat: rows that hold with equality at every equilibrium, joint actions that none plays.
Interior-point methods fail on them. One linear program finds what is implied, which becomes equalities; where that does
not help, the problem is solved in coordinates of the affine hull, where there is an interior.
"""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import linalg, sparse

from mailopt.games.numbers import BoolArray, FloatArray, IntArray
from mailopt.programs.objectives import Convex, MaximumEntropy
from mailopt_solvers import LinearProgram, ProgramBuilder, SolverFailed, solve

_OPTIONS: tuple[dict[str, float], ...] = (
    {"tol_gap_abs": 1e-10, "tol_gap_rel": 1e-10, "tol_feas": 1e-10},
    {},
)
_LARGEST = 1e4  # factor by which slacks are stretched when looking for implied equalities
_IMPLIED = 1e-3  # a stretched slack below this is 0: an unstretched one below 1e-7


@dataclass(frozen=True, eq=False)
class ConvexPoint:
    """What the solver found.

    Attributes
    ----------
    x
        The distribution, (A,), within the solver's tolerance.
    duals
        Prices of the upper bounds of the rows, (m,); 0 where a row always holds with equality.
    solver, version, solve_time
        Provenance.
    """

    x: FloatArray
    duals: FloatArray
    solver: str
    version: str
    solve_time: float


def convex_point(program: LinearProgram, objective: Convex) -> ConvexPoint:
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

    started = time.perf_counter()
    matrix, sides, rows = _inequalities(program)
    inside, implied = _relative_interior(program, matrix, sides)
    block = program.variables["sigma"].slice
    kept, prices = np.flatnonzero(~implied), np.zeros(program.num_rows)
    equal, values = _equalities(program)
    flat = sparse.vstack([equal, matrix[implied]], format="csr")

    def found(x: FloatArray) -> ConvexPoint:
        return ConvexPoint(x[block], prices, "clarabel", clarabel.__version__, time.perf_counter() - started)

    z: Any = cvxpy.Variable(program.num_variables)
    inequality = matrix[kept] @ z <= sides[kept]
    equality = flat @ z == np.concatenate((values, sides[implied]))
    positive = np.flatnonzero(~_zeros(program, implied)[block])
    outcome = _maximised(objective, z[block], positive, [inequality, equality])
    if outcome != cvxpy.OPTIMAL:
        basis = _directions(flat)
        if not basis.shape[1]:
            return found(inside)
        y: Any = cvxpy.Variable(basis.shape[1])
        z = inside + basis @ y
        inequality = (matrix[kept] @ basis) @ y <= sides[kept] - matrix[kept] @ inside
        moving = np.flatnonzero(np.abs(basis[block]).max(axis=1) > 0)
        outcome = _maximised(objective, z[block], moving, [inequality])
    if outcome != cvxpy.OPTIMAL:
        raise SolverFailed(f"Clarabel ended with {outcome} on {objective!r} over {program!r}")
    of_row = rows[kept] >= 0
    prices[rows[kept][of_row]] = inequality.dual_value[of_row]
    return found(np.asarray(z.value))


def _maximised(objective: Convex, sigma: Any, positive: IntArray, constraints: list[Any]) -> str:
    """Maximise, with looser and looser tolerances until there is an optimum; say how it ended.

    Entropy is taken over the entries that can be positive: at the others a solver's point may be below 0.
    """
    import cvxpy  # noqa: PLC0415 - takes long

    cp: Any = cvxpy  # its names are made at run time
    entropy = isinstance(objective, MaximumEntropy)
    goal = cp.Maximize(cp.sum(cp.entr(sigma[positive])) if entropy else -cp.sum_squares(sigma))
    outcome = "nothing"
    for options in _OPTIONS:
        problem = cp.Problem(goal, constraints)  # a solved one would keep its options
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # "may be inaccurate": such a point is not taken
            warnings.simplefilter("ignore", RuntimeWarning)  # of evaluating a point that diverged
            try:
                problem.solve(solver=cp.CLARABEL, **options)
                outcome = str(problem.status)
            except cp.SolverError as error:
                outcome = str(error)
        if outcome == cp.OPTIMAL:
            break
    return outcome


def _zeros(program: LinearProgram, implied: BoolArray) -> BoolArray:
    """Variables that are 0 everywhere because their lower bound 0 is implied, (n,)."""
    found = np.zeros(program.num_variables, dtype=bool)
    low = np.flatnonzero(np.isfinite(program.lower))
    own = implied[len(implied) - len(low) :]
    found[low[own & (program.lower[low] == 0)]] = True
    return found


def _inequalities(program: LinearProgram) -> tuple[sparse.csr_array, FloatArray, IntArray]:
    """All inequalities as G x <= g, and for each the row whose upper bound it is, -1 for others."""
    a, eye = sparse.csr_array(program.matrix), sparse.eye_array(program.num_variables, format="csr")
    same = program.row_lower == program.row_upper
    above = np.flatnonzero(np.isfinite(program.row_upper) & ~same)
    below = np.flatnonzero(np.isfinite(program.row_lower) & ~same)
    high, low = np.flatnonzero(np.isfinite(program.upper)), np.flatnonzero(np.isfinite(program.lower))
    matrix = sparse.vstack([a[above], -a[below], eye[high], -eye[low]], format="csr")
    sides = [program.row_upper[above], -program.row_lower[below], program.upper[high], -program.lower[low]]
    none = np.full(below.size + high.size + low.size, -1)
    return sparse.csr_array(matrix), np.concatenate(sides), np.concatenate((above, none))


def _equalities(program: LinearProgram) -> tuple[sparse.csr_array, FloatArray]:
    same = np.flatnonzero(program.row_lower == program.row_upper)
    return sparse.csr_array(program.matrix)[same], program.row_upper[same]


def _relative_interior(
    program: LinearProgram, matrix: sparse.csr_array, sides: FloatArray
) -> tuple[FloatArray, BoolArray]:
    """Find a point in the relative interior, and which inequalities hold with equality everywhere.

    Maximise sum_j y_j subject to G x + y <= g t, E x = e t, 0 <= y <= 1 <= t (Freund, Roundy and Todd 1985): a slack
    that can be positive can be stretched to 1.
    """
    equal, values = _equalities(program)
    builder = ProgramBuilder("max")
    x = builder.add_variables("x", (program.num_variables,), lower=-np.inf)
    t = builder.add_variables("t", (1,), lower=1.0, upper=_LARGEST)
    y = builder.add_variables("y", (len(sides),), upper=1.0, costs=1.0)
    builder.add_rows(
        "inside", (len(sides),), {x: matrix, t: -sides[:, None], y: sparse.eye_array(len(sides))}, upper=0.0
    )
    builder.add_rows("equal", (len(values),), {x: equal, t: -values[:, None]}, lower=0.0, upper=0.0)
    solution = solve(builder.build()).require_optimal()
    return solution["x"] / solution["t"], solution["y"] < _IMPLIED


def _directions(flat: sparse.csr_array) -> FloatArray:
    """Orthonormal basis of the directions along which all equalities stay true, (n, d)."""
    basis = linalg.null_space(flat.toarray(), rcond=1e-11)
    basis[np.abs(basis) < 1e-13] = 0.0
    return np.asarray(basis)
