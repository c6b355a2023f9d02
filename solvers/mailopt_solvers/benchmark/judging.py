"""How a solver's answer is judged: residuals from the program's own data, and error against the known optimum.

What a solver claims is recorded, and counts for nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from mailopt_solvers.benchmark.instances import KnownOptimum
from mailopt_solvers.program import FloatArray, LinearProgram
from mailopt_solvers.residuals import Candidate, Sizes, relative, residuals

TOLERANCES = MappingProxyType({"low": 1e-3, "medium": 1e-6, "high": 1e-9})
"""Tolerance sets by name: what residuals, gap and errors may be at most."""
_PASSES = 10


@dataclass(frozen=True)
class Judgement:
    """Residuals and errors of an answer; NaN where there is no point or no duals.

    Attributes
    ----------
    objective
        c x + offset of the point, from the program's own data.
    objective_error, dual_error
        Distances of the objectives of x and of (y, c - A'y) from the known optimum, relative to its scale.
    primal_residual, dual_residual, duality_gap
        Relative, as :func:`mailopt_solvers.residuals.relative` has them; the first two also relative to the largest
        side and the largest cost, in units in which all rows and columns have the same size, whichever is larger.
    """

    objective: float = math.nan
    objective_error: float = math.nan
    dual_error: float = math.nan
    primal_residual: float = math.nan
    dual_residual: float = math.nan
    duality_gap: float = math.nan

    def worst(self, other: Judgement) -> Judgement:
        """Judgement of two programs of a sequence: the worse of each; the objective of the other, which is later."""
        names = ("objective_error", "dual_error", "primal_residual", "dual_residual", "duality_gap")
        return Judgement(other.objective, *(_worse(getattr(self, name), getattr(other, name)) for name in names))


def judged(
    program: LinearProgram, optimum: KnownOptimum, x: FloatArray | None, row_duals: FloatArray | None
) -> Judgement:
    """Judge a point and row duals, finite, in the signs of :class:`mailopt_solvers.Solution`."""
    if x is None:
        return Judgement()
    with np.errstate(all="ignore"):  # what overflows is beyond every tolerance
        objective = float(program.costs @ x) + program.offset
        if row_duals is None:
            return Judgement(objective, optimum.error(objective))
        candidate = Candidate.of(program, x, row_duals, program.costs - program.priced(row_duals))
        off = {name: float(value) for name, value in relative(candidate, Sizes.of(program, x, row_duals)).items()}
        primal, dual = _in_equal_units(program, candidate)
        return Judgement(
            objective,
            optimum.error(objective),
            optimum.error(float(residuals(candidate).dual_objective)),
            max(off["primal residual"], primal),
            max(off["dual residual"], dual),
            off["duality gap"],
        )


def _in_equal_units(program: LinearProgram, candidate: Candidate) -> tuple[float, float]:
    """Violations of rows and of the signs of reduced costs, relative to the largest side and the largest cost.

    Rows and columns are first brought to the same size (Ruiz), so that units play no part. Unlike the relative
    residuals, which large terms that cancel can hide in, these ask for the size of what is violated.
    """
    sizes = abs(program.matrix).tocoo()
    rows, columns = np.ones(program.num_rows), np.ones(program.num_variables)
    for _ in range(_PASSES):
        entries = sizes.data * rows[sizes.row] * columns[sizes.col]
        for scales, index in ((rows, sizes.row), (columns, sizes.col)):
            largest = np.zeros(scales.size)
            np.maximum.at(largest, index, entries)
            np.divide(scales, np.sqrt(np.where(largest > 0, largest, 1.0)), out=scales)
    m, frame = program.num_rows, candidate.frame
    sides = np.maximum(np.abs(frame.finite_lower[:m]), np.abs(frame.finite_upper[:m])) * rows
    costs = np.abs(program.costs) * columns
    off = np.maximum(frame.lower[:m] - candidate.activities, candidate.activities - frame.upper[:m]) * rows
    rising, falling = (prices[m:] for prices in candidate.prices())
    wrong = np.maximum(rising * frame.no_lower[m:], falling * frame.no_upper[m:]) * columns
    return _largest(off) / (_largest(sides) or 1.0), _largest(wrong) / (_largest(costs) or 1.0)


def _largest(values: FloatArray) -> float:
    return float(values.max(initial=0.0))


def _worse(one: float, other: float) -> float:
    return math.nan if math.isnan(one) or math.isnan(other) else max(one, other)
