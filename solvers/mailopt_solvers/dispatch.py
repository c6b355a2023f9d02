"""The one door to every solver: choose, solve, check the answer against the original data."""

from __future__ import annotations

import numpy as np

from mailopt_solvers.backends import highs
from mailopt_solvers.errors import InvalidOption, SolverFailed, SolverNotInstalled
from mailopt_solvers.program import FloatArray, LinearProgram
from mailopt_solvers.solution import Solution, Termination

_ACCEPTED_RESIDUAL = 1e-6


def solve(program: LinearProgram, solver: str = "auto", *, time_limit: float | None = None) -> Solution:
    """Solve a linear program and check the answer against the original data.

    Parameters
    ----------
    program
        The program.
    solver
        ``"auto"`` or ``"highs"``.
    time_limit
        Seconds, or None for no limit. Running out of time is a termination of its own, never success.

    Returns
    -------
    Solution
        With its :attr:`~Solution.termination`; call :meth:`Solution.require_optimal` to insist on an optimum.

    Raises
    ------
    SolverNotInstalled
        Unknown solver name.
    InvalidOption
        A time limit that is NaN, negative or no number.
    SolverFailed
        The solver refused the program, or claims an optimum that the program's own data refute: a residual or
        gap above 1e-6 relative to the size of the numbers involved.
    """
    if solver not in ("auto", "highs"):
        raise SolverNotInstalled(f"unknown solver {solver!r}; available: 'highs' (or 'auto')")
    if time_limit is not None and not (isinstance(time_limit, int | float) and time_limit >= 0):
        raise InvalidOption(f"time_limit is {time_limit!r}; give seconds, at least 0, or None for no limit")
    solution = highs.solve(program, time_limit=time_limit)
    if solution.program is not program:
        raise SolverFailed(f"{solution.solver} answered {solution.program!r} instead of {program!r}")
    if solution.termination is Termination.OPTIMAL:
        _check(solution)
    return solution


def _check(solution: Solution) -> None:
    program = solution.program
    for what, array, size in (
        ("a point", solution.x, program.num_variables),
        ("row duals", solution.row_duals, program.num_rows),
        ("reduced costs", solution.reduced_costs, program.num_variables),
    ):
        if array.shape != (size,) or not np.isfinite(array).all():
            raise SolverFailed(
                f"{solution.solver} returned {what} of shape {array.shape} or not finite, expected {size}"
            )
    prices = 1.0 + _size(solution.row_duals) + _size(program.costs)
    for what, value, scale in (
        ("primal residual", solution.primal_residual, 1.0 + _size(solution.x)),
        ("dual residual", solution.dual_residual, prices),
        ("duality gap", solution.gap, 1.0 + abs(solution.objective) + prices),
    ):
        if not value <= _ACCEPTED_RESIDUAL * scale:
            raise SolverFailed(
                f"{solution.solver} {solution.version} reports an optimum of {program!r} whose {what} is {value:.3g}, "
                f"above {_ACCEPTED_RESIDUAL * scale:.3g}; rescale the program or tighten the solver"
            )


def _size(values: FloatArray) -> float:
    return float(np.max(np.abs(values), initial=0.0))
