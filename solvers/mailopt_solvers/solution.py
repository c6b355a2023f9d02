"""What a solver returned, and how far it is from the truth according to the original data.

Signs
-----
With row duals y the reduced costs are d = c - A'y, whatever the sense. In a minimisation y_i >= 0 prices a row
at its lower bound and d_j >= 0 a variable at its lower bound; in a maximisation the signs are opposite. In both,
y_i is the rate at which the optimum changes with the right-hand side of row i.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np

from mailopt_solvers.errors import Infeasible, SolverFailed, TimeLimit, Unbounded, UnknownBlock
from mailopt_solvers.program import Block, FloatArray, LinearProgram


class Termination(Enum):
    """Why the solver stopped, in its own words; only ``OPTIMAL`` is success."""

    OPTIMAL = "the solver reports an optimal solution"
    INFEASIBLE = "the solver reports that no point satisfies the constraints"
    UNBOUNDED = "the solver reports that the objective improves without limit"
    TIME_LIMIT = "the solver reached its time limit"
    FAILED = "the solver stopped without an answer"


@dataclass(frozen=True, eq=False, repr=False)
class Solution:
    """Answer of a solver to one program.

    Attributes
    ----------
    program
        The program that was solved.
    termination
        Why the solver stopped.
    x, row_duals, reduced_costs
        Primal point, row duals y and reduced costs d = c - A'y; empty unless optimal. y_i is the rate at which the
        optimum changes with the right-hand side of row i; the module's docstring has the signs.
    iterations
        Iterations that the solver counted, over all its phases.
    solve_time
        Seconds in the solver, hand-over included.
    solver, version, options
        Provenance.
    detail
        The solver's own status text.
    """

    program: LinearProgram
    termination: Termination
    x: FloatArray
    row_duals: FloatArray
    reduced_costs: FloatArray
    iterations: int
    solve_time: float
    solver: str
    version: str
    options: Mapping[str, object]
    detail: str

    @property
    def objective(self) -> float:
        """Objective value c x + offset of the returned point, computed from the original data.

        Like everything else that is read off a point, it raises what :meth:`require_optimal` raises without one.
        """
        return float(self.program.costs @ self._point()) + self.program.offset

    @property
    def primal_residual(self) -> float:
        """Largest violation of a row or a variable bound by x."""
        p = self.program
        activity = p.matrix @ self.x
        return max(
            _largest(p.row_lower - activity),
            _largest(activity - p.row_upper),
            _largest(p.lower - self.x),
            _largest(self.x - p.upper),
        )

    @property
    def dual_residual(self) -> float:
        """Largest dual or reduced cost whose sign calls for a bound that does not exist, or error in d = c - A'y."""
        p = self.program
        sign = 1.0 if p.sense == "min" else -1.0
        error = np.abs(self.reduced_costs - (p.costs - p.matrix.T @ self.row_duals))
        y, d = sign * self.row_duals, sign * self.reduced_costs
        return max(
            _largest(error),
            _largest(y[np.isneginf(p.row_lower)]),
            _largest(-y[np.isposinf(p.row_upper)]),
            _largest(d[np.isneginf(p.lower)]),
            _largest(-d[np.isposinf(p.upper)]),
        )

    @property
    def gap(self) -> float:
        """Absolute difference of the primal objective and of the dual objective of (y, d).

        Terms whose sign calls for a missing bound are left out here; :attr:`dual_residual` shows them.
        """
        p = self.program
        sign = 1.0 if p.sense == "min" else -1.0
        dual = p.offset
        for prices, low, high in (
            (sign * self.row_duals, p.row_lower, p.row_upper),
            (sign * self.reduced_costs, p.lower, p.upper),
        ):
            side = np.where(prices > 0, low, high)
            priced = (prices != 0) & np.isfinite(side)
            dual += sign * float(prices[priced] @ side[priced])
        return abs(self.objective - dual)

    def _point(self) -> FloatArray:
        return self.require_optimal().x

    def __repr__(self) -> str:
        """Termination and objective in one line."""
        objective = f", objective {self.objective:.10g}" if self.termination is Termination.OPTIMAL else ""
        return f"Solution({self.termination.name.lower()}{objective}, {self.iterations} iterations, {self.solver})"

    def __getitem__(self, name: str) -> FloatArray:
        """Values of a variable block, in the block's shape."""
        block = _block(self.program.variables, name, "variable")
        return self._point()[block.slice].reshape(block.shape)

    def duals(self, name: str) -> FloatArray:
        """Duals of a row block, in the block's shape."""
        block = _block(self.program.rows, name, "row")
        return self.require_optimal().row_duals[block.slice].reshape(block.shape)

    def require_optimal(self) -> Solution:
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


def _block(blocks: Mapping[str, Block], name: str, kind: str) -> Block:
    if name not in blocks:
        raise UnknownBlock(f"there is no {kind} block {name!r}; there are {', '.join(map(repr, blocks))}")
    return blocks[name]


def _largest(violations: FloatArray) -> float:
    """Largest entry, at least 0; NaN stays NaN so that it can never pass a comparison."""
    return float(np.max(violations, initial=0.0))
