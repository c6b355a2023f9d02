"""What a solver returned, and how far it is from the truth according to the original data.

Signs: with row duals y the reduced costs are d = c - A'y, whatever the sense. In a minimisation y_i >= 0 prices a row
at its lower bound and d_j >= 0 a variable at its lower bound; in a maximisation the signs are opposite. In both, y_i is
the rate at which the optimum changes with the right-hand side of row i. The page
``docs/linear_programs.md`` has it all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Self

import numpy as np

from mailopt_solvers.basis import Basis
from mailopt_solvers.bounds import dual_bound
from mailopt_solvers.errors import Infeasible, SolverFailed, TimeLimit, Unbounded
from mailopt_solvers.program import FloatArray, LinearProgram, find_block
from mailopt_solvers.residuals import Candidate, Residuals, residuals


class Termination(Enum):
    """How a solve ended; only ``OPTIMAL`` is success."""

    OPTIMAL = "optimal: the point, its prices and their gap pass the check against the original data"
    INFEASIBLE = "infeasible: no point satisfies the constraints"
    UNBOUNDED = "unbounded: the objective improves without limit"
    TIME_LIMIT = "the solver reached its time limit; raise time_limit or choose another solver"
    FAILED = "the solver stopped without an answer; rescale the program or choose another solver"


class PointStatus(Enum):
    """What the primal or the dual part of a solution is."""

    NONE = "there is none"
    FEASIBLE = "a point that satisfies its constraints within the solver's tolerance"
    INFEASIBLE = "a point that violates its constraints"
    RAY = "a ray that proves the other side infeasible"


class Result:
    """What the answers to linear and to mixed-integer programs have in common.

    Attributes
    ----------
    program, termination, x, solver, version, detail
        As in :class:`Solution`.
    """

    program: LinearProgram
    termination: Termination
    x: FloatArray
    solver: str
    version: str
    detail: str

    @property
    def objective(self) -> float:
        """Objective value c x + offset of the returned point, computed from the original data.

        Like everything else that is read off a point, it raises what :meth:`require_optimal` raises without one.
        """
        return float(self.program.costs @ self.require_optimal().x) + self.program.offset

    def __getitem__(self, name: str) -> FloatArray:
        """Values of a variable block, in the block's shape."""
        block = find_block(self.program.variables, name, "variable")
        return self.require_optimal().x[block.slice].reshape(block.shape)

    def require_optimal(self) -> Self:
        """Return self if optimal, else raise the error that says which other thing happened.

        Raises
        ------
        Infeasible, Unbounded, TimeLimit, SolverFailed
            According to :attr:`termination`.
        """
        if self.termination is Termination.OPTIMAL:
            return self
        error = {
            Termination.INFEASIBLE: Infeasible,
            Termination.UNBOUNDED: Unbounded,
            Termination.TIME_LIMIT: TimeLimit,
        }.get(self.termination, SolverFailed)
        raise error(f"{self.solver} {self.version}: {self.termination.value} ({self.detail}) on {self.program!r}")


@dataclass(frozen=True, eq=False, repr=False)
class Solution(Result):
    """Answer of a solver to one program.

    Attributes
    ----------
    program
        The program that was solved.
    termination
        How the solve ended, after the check against the original data.
    primal_status, dual_status
        What x and ``row_duals`` are. ``RAY``: the part with the ray is ``primal_ray`` or ``dual_ray``.
    x, row_duals, reduced_costs
        Primal point, row duals y and reduced costs d = c - A'y; empty where there is none. At a time limit they are
        what the solver had then, which is no answer.
    primal_ray
        Direction r, shape (n,), along which an unbounded program improves: from any feasible point x + t r stays
        feasible for all t >= 0 and the objective improves by c r a unit. None otherwise.
    dual_ray
        Farkas multipliers y, shape (m,), of an infeasible program: over the box of the variables the largest value of
        y'A x is below the smallest value of y'b over the row bounds. None otherwise.
    basis
        Final basis, or None if the solver has none.
    iterations
        Iterations that the solver counted over all its phases, or None if it does not tell.
    build_time, solve_time
        Seconds to hand the program over, and seconds in the solver.
    solver, version, options
        Provenance: the name, the version of the software, the options in force.
    detail
        The solver's own status text.
    attempts
        What was tried before this answer and why it was not taken; empty if the first attempt succeeded.
    """

    program: LinearProgram
    termination: Termination
    primal_status: PointStatus
    dual_status: PointStatus
    x: FloatArray
    row_duals: FloatArray
    reduced_costs: FloatArray
    primal_ray: FloatArray | None
    dual_ray: FloatArray | None
    basis: Basis | None
    iterations: int | None
    build_time: float
    solve_time: float
    solver: str
    version: str
    options: Mapping[str, object]
    detail: str
    attempts: tuple[str, ...] = ()

    @property
    def bound(self) -> float:
        """Rigorous bound on the optimum: a lower bound of a minimisation, an upper bound of a maximisation.

        Proved from ``row_duals`` alone with every rounding error accounted for, see
        :func:`mailopt_solvers.dual_bound`; it needs no trust in the solver. Infinite (-inf of a minimisation) where
        there are no duals or a variable without a finite bound, given or implied by a row, defeats the proof.
        """
        if self.row_duals.size != self.program.num_rows or not np.isfinite(self.row_duals).all():
            return -np.inf if self.program.sense == "min" else np.inf
        return dual_bound(self.program, self.row_duals)

    @property
    def primal_residual(self) -> float:
        """Largest violation of a row or a variable bound by x."""
        return float(self._residuals().primal)

    @property
    def dual_residual(self) -> float:
        """Largest dual or reduced cost whose sign calls for a bound that does not exist."""
        return float(self._residuals().dual)

    @property
    def gap(self) -> float:
        """Absolute difference of the primal objective and of the dual objective of (y, d).

        Terms whose sign calls for a missing bound are left out here; :attr:`dual_residual` shows them.
        """
        return float(self._residuals().gap)

    def _residuals(self) -> Residuals:
        if self.x.size != self.program.num_variables or self.row_duals.size != self.program.num_rows:
            return Residuals(*[np.array(np.nan)] * 5)
        return residuals(Candidate.of(self.program, self.x, self.row_duals, self.reduced_costs))

    def __repr__(self) -> str:
        """Termination and objective in one line."""
        objective = f", objective {self.objective:.10g}" if self.termination is Termination.OPTIMAL else ""
        iterations = "" if self.iterations is None else f", {self.iterations} iterations"
        return f"Solution({self.termination.name.lower()}{objective}{iterations}, {self.solver})"

    def duals(self, name: str) -> FloatArray:
        """Duals of a row block, in the block's shape."""
        block = find_block(self.program.rows, name, "row")
        return self.require_optimal().row_duals[block.slice].reshape(block.shape)

    def reduced(self, name: str) -> FloatArray:
        """Reduced costs of a variable block, in the block's shape."""
        block = find_block(self.program.variables, name, "variable")
        return self.require_optimal().reduced_costs[block.slice].reshape(block.shape)
