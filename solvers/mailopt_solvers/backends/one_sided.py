"""Programs in the form that most other software takes, and the two cases that much of it cannot take.

The form: minimise c x subject to E x = e, G x <= h, lower <= x <= upper.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import sparse

from mailopt_solvers.program import FloatArray, LinearProgram
from mailopt_solvers.solution import Termination
from mailopt_solvers.solver import Answer


@dataclass(frozen=True, eq=False)
class OneSided:
    """A program as a minimisation whose rows have upper bounds or equations only; the offset is left out.

    A row with two different bounds stands in G twice, as A x <= ru and as -A x <= -rl. A row that asks for nothing,
    without bounds or satisfied and without entries, stands nowhere.

    Attributes
    ----------
    costs
        c, negated in a maximisation.
    equations, right
        E and e.
    inequalities, most
        G and h.
    rows
        Where the rows of E and then those of G come from.
    signs
        How the price of each such row counts in the price of the row it comes from.
    num_rows
        Number of rows of the program.
    """

    costs: FloatArray
    equations: sparse.csr_array
    right: FloatArray
    inequalities: sparse.csr_array
    most: FloatArray
    rows: npt.NDArray[np.intp]
    signs: FloatArray
    num_rows: int

    @classmethod
    def of(cls, program: LinearProgram) -> OneSided:
        """Convert a program."""
        matrix = sparse.csr_array(program.matrix)
        idle = (np.diff(matrix.indptr) == 0) & (program.row_lower <= 0) & (program.row_upper >= 0)
        low, high = np.where(idle, -np.inf, program.row_lower), np.where(idle, np.inf, program.row_upper)
        equal = low == high
        at = np.flatnonzero(equal)
        above, below = np.flatnonzero(~equal & np.isfinite(high)), np.flatnonzero(~equal & np.isfinite(low))
        sign = 1.0 if program.sense == "min" else -1.0
        return cls(
            costs=sign * program.costs,
            equations=matrix[at],
            right=low[at],
            inequalities=sparse.vstack((matrix[above], -matrix[below]), format="csr"),
            most=np.concatenate((high[above], -low[below])),
            rows=np.concatenate((at, above, below)),
            signs=np.repeat((sign, -sign), (at.size + above.size, below.size)),
            num_rows=program.num_rows,
        )

    def row_duals(self, right: FloatArray, most: FloatArray) -> FloatArray:
        """Row duals of the program from the rates at which the minimum of c x changes with e and with h."""
        prices = self.signs * np.concatenate((right, most))
        duals = np.zeros(self.num_rows)
        np.add.at(duals, self.rows, prices)
        return duals


def trivial_answer(program: LinearProgram, version: str, options: Mapping[str, object]) -> Answer | None:
    """Answer a program that has no variables, or no bounds on anything; None if it has both."""
    n = program.num_variables
    if n and np.isfinite(program.frame.lower).any() | np.isfinite(program.frame.upper).any():
        return None
    direction = -program.costs if program.sense == "min" else program.costs
    satisfied = bool(((program.row_lower <= 0) & (program.row_upper >= 0)).all())
    answer = Answer(
        termination=Termination.OPTIMAL if satisfied else Termination.INFEASIBLE,
        version=version,
        detail="the solver was not asked: there are no variables, or no bounds on anything",
        options=options,
        x=np.zeros(n),
        row_duals=np.zeros(program.num_rows),
    )
    return replace(answer, termination=Termination.UNBOUNDED, primal_ray=+direction) if direction.any() else answer
