"""The one door to every solver: choose, run, check the answer against the original data."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TypeVar

from mailopt_solvers.backends.highs import Highs
from mailopt_solvers.basis import Basis
from mailopt_solvers.errors import InvalidOption, SolverFailed
from mailopt_solvers.program import LinearProgram, require_program
from mailopt_solvers.registry import require_installed, select_solver, solver_named
from mailopt_solvers.solution import Result, Solution, Termination
from mailopt_solvers.solver import Answer, Capability, Request, Solver
from mailopt_solvers.supervision import answered
from mailopt_solvers.verification import Prove, verified

R = TypeVar("R", bound=Result)
Attempt = tuple[str, Callable[[tuple[str, ...]], R]]


def solve(
    program: LinearProgram,
    solver: str | Solver = "auto",
    *,
    time_limit: float | None = None,
    start: Basis | Solution | None = None,
) -> Solution:
    """Solve a linear program and check the answer against the original data.

    Parameters
    ----------
    program
        The program.
    solver
        ``"auto"`` (see :func:`select_solver`), a name of :func:`available_solvers`, or a solver object with options
        such as ``Highs("ipm", ipm_optimality_tolerance=1e-10)``.
    time_limit
        Seconds of wall clock, or None for no limit. Running out of time is a termination of its own, never success.
    start
        Basis to start from, or a solution that has one; only for solvers that can.

    Returns
    -------
    Solution
        With its :attr:`~Solution.termination`; call :meth:`Solution.require_optimal` to insist on an optimum. With
        ``"auto"`` and ``"highs"`` an attempt that fails is followed by others; :attr:`~Solution.attempts` tells.

    Raises
    ------
    SolverNotInstalled
        Unknown solver name, or the solver cannot be used here.
    InvalidOption
        A time limit that is NaN, negative or no number; an option that the solver does not have; a start that it
        cannot use.
    InvalidProgram
        A basis that does not fit the program.
    WrongAnswer
        The solver claims what the program's own data refute: see :mod:`mailopt_solvers.verification`.
    SolverFailed
        The solver refused the program, broke down, or has no answer.
    TimeLimit
        The solver did not stop although its time was over.
    """
    require_program(program)
    if solver == "auto":
        chosen = select_solver(program).solver
    elif isinstance(solver, str):
        chosen = solver_named(solver)
    elif isinstance(solver, Solver):
        chosen = require_installed(solver)
    else:
        raise InvalidOption(f"solver is {solver!r}; give 'auto', a name or a solver object")
    check_time_limit(time_limit)
    basis = _basis(program, chosen, start)
    deadline = None if time_limit is None else time.perf_counter() + time_limit

    def attempt(tried: Solver, basis: Basis | None) -> Attempt[Solution]:
        def call(attempts: tuple[str, ...]) -> Solution:
            answer = answered(tried, program, Request(remaining(deadline), basis))
            return verified(program, answer, tried, prover(deadline), attempts)

        return repr(tried), call

    others = chosen.fallbacks()
    attempts = [attempt(chosen, basis), *(attempt(other, None) for other in others)]
    return first_success([*attempts, no_optimum(program, chosen, deadline)] if others else attempts)


def first_success(attempts: Iterable[Attempt[R]]) -> R:
    """Return the first answer; failures before it are recorded in it. If all fail, so does the last one."""
    failures: list[str] = []
    last: R | SolverFailed | None = None
    for name, call in attempts:
        try:
            last = call(tuple(failures))
        except SolverFailed as failure:
            last = failure
            failures.append(f"{name}: {failure}")
            continue
        if last.termination is not Termination.FAILED:
            return last
        failures.append(f"{name}: {last.detail}")
    assert last is not None
    if not isinstance(last, SolverFailed):
        return last
    if len(failures) > 1:
        raise type(last)(f"{len(failures)} attempts failed: " + "; then ".join(failures)) from last
    raise last


def no_optimum(program: LinearProgram, solver: Solver, deadline: float | None) -> Attempt[Solution]:
    """Last resort where no method has an answer: a proof that the program is infeasible or unbounded."""

    def call(attempts: tuple[str, ...]) -> Solution:
        nothing = Answer(
            Termination.UNBOUNDED, "", "no method has an answer; proved with second programs", solver.options
        )
        return verified(program, nothing, solver, prover(deadline), attempts)

    return "proof that there is no optimum", call


def prover(deadline: float | None) -> Prove:
    """Solve second programs, which prove that a first one is infeasible or unbounded, by simplex."""
    return lambda program: answered(Highs("simplex", presolve="off"), program, Request(remaining(deadline)))


def check_time_limit(time_limit: float | None) -> None:
    """Require seconds, or None."""
    if time_limit is not None and not is_amount(time_limit):
        raise InvalidOption(f"time_limit is {time_limit!r}; give seconds, at least 0, or None for no limit")


def is_amount(value: object) -> bool:
    """Whether it is a number, at least 0."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def remaining(deadline: float | None) -> float | None:
    """Seconds until a moment of the performance counter, at least 0."""
    return None if deadline is None else max(0.0, deadline - time.perf_counter())


def basis_of(start: Basis | Solution) -> Basis:
    """Return the basis, or that of the solution."""
    basis = start.basis if isinstance(start, Solution) else start
    if not isinstance(basis, Basis):
        raise InvalidOption(f"start is {start!r}, which has no basis; give a Basis or a Solution that has one")
    return basis


def _basis(program: LinearProgram, solver: Solver, start: Basis | Solution | None) -> Basis | None:
    if start is None:
        return None
    basis = basis_of(start)
    if Capability.START not in solver.capabilities:
        raise InvalidOption(f"{solver.name} cannot start from a basis; leave start out or take 'highs'")
    return basis.require_fit(program)
