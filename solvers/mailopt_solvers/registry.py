"""Which solvers there are, by name, and which one a program gets."""

from __future__ import annotations

from dataclasses import dataclass

from mailopt_solvers.backends.cvxpy_bridge import Cvxpy
from mailopt_solvers.backends.highs import Highs
from mailopt_solvers.backends.ortools_process import Ortools
from mailopt_solvers.backends.scipy_linprog import Scipy
from mailopt_solvers.errors import InvalidOption, SolverNotInstalled
from mailopt_solvers.program import LinearProgram, require_program
from mailopt_solvers.solver import Solver

BACKENDS: tuple[type[Solver], ...] = (
    Highs,
    Scipy,
    Ortools,
    Cvxpy,
)


def solver_named(name: str) -> Solver:
    """Return the solver that a name such as ``"highs"`` or ``"highs-ipm"`` stands for, with its default options.

    Raises
    ------
    SolverNotInstalled
        There is no such name, or it cannot be used here; the message says why and lists those that can.
    """
    for solver in _all():
        if name in (solver.name, f"{solver.backend}-{solver.method}"):
            return require_installed(solver)
    raise SolverNotInstalled(
        f"unknown solver {name!r}; available: {', '.join(map(repr, available_solvers()))} or 'auto'"
    )


def require_installed(solver: Solver) -> Solver:
    """Return the solver if it can be used here.

    Raises
    ------
    SolverNotInstalled
        It cannot; the message says why.
    """
    reason = solver.missing()
    if reason is not None:
        raise SolverNotInstalled(
            f"solver {solver.name!r} cannot be used here: {reason}; "
            f"available: {', '.join(map(repr, available_solvers()))}"
        )
    return solver


def available_solvers() -> tuple[str, ...]:
    """Names of the solvers that can be used here, the default first.

    >>> from mailopt_solvers import available_solvers
    >>> available_solvers()[0]
    'highs'
    """
    return tuple(solver.name for solver in _all() if solver.missing() is None)


def missing_solvers() -> dict[str, str]:
    """Names of the solvers that are known but cannot be used here, each with the reason."""
    reasons = {solver.name: solver.missing() for solver in _all()}
    return {name: reason for name, reason in reasons.items() if reason is not None}


@dataclass(frozen=True)
class Selection:
    """What ``solver="auto"`` means for one program, and why.

    Attributes
    ----------
    solver
        The solver object, with its options.
    reason
        Why this one, in a sentence.
    """

    solver: Solver
    reason: str


def select_solver(program: LinearProgram) -> Selection:
    """Say which solver ``"auto"`` takes for a program, and why.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import sparse
    >>> from mailopt_solvers import LinearProgram, select_solver
    >>> lp = LinearProgram(np.ones(2), sparse.csc_array(np.eye(2)), np.ones(2), np.ones(2), np.zeros(2), np.ones(2))
    >>> select_solver(lp).solver
    Highs('choose', presolve='off')
    """
    if program.num_nonzeros <= SMALL:
        return Selection(Highs(presolve="off"), f"at most {SMALL} nonzeros: simplex costs less than presolving")
    return Selection(Highs(), "HiGHS chooses between its methods")


SMALL = 1000


def highs_for(program: LinearProgram, solver: Highs | None) -> Highs:
    """Return the given HiGHS solver, or the one that suits a program, for what only HiGHS can do.

    Raises
    ------
    InvalidProgram
        ``program`` is none.
    InvalidOption
        ``solver`` is no :class:`Highs` object.
    SolverNotInstalled
        HiGHS, or the method, is not there.
    """
    require_program(program)
    chosen = select_solver(program).solver if solver is None else solver
    if not isinstance(chosen, Highs):
        raise InvalidOption(f"solver is {chosen!r}; give a Highs object, such as Highs('simplex')")
    require_installed(chosen)
    return chosen


def _all() -> list[Solver]:
    return [backend(method) for backend in BACKENDS for method in backend.methods]
