"""How a solver's answer is judged: residuals from the program's own data, and error against the known optimum.

What a solver claims is recorded, and counts for nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType

from mailopt_solvers.benchmark.instances import KnownOptimum
from mailopt_solvers.program import FloatArray, LinearProgram
from mailopt_solvers.residuals import Candidate, Sizes, relative, residuals

TOLERANCES = MappingProxyType({"low": 1e-3, "medium": 1e-6, "high": 1e-9})
"""Tolerance sets by name: what residuals, gap and errors may be at most."""


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
        Relative, as :func:`mailopt_solvers.residuals.relative` has them.
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
    """Judge a point and row duals, in the signs of :class:`mailopt_solvers.Solution`."""
    if x is None or x.shape != (program.num_variables,):
        return Judgement()
    objective = math.fsum(program.costs * x) + program.offset
    if row_duals is None or row_duals.shape != (program.num_rows,):
        return Judgement(objective, optimum.error(objective))
    candidate = Candidate.of(program, x, row_duals, program.costs - program.priced(row_duals))
    off = {name: float(value) for name, value in relative(candidate, Sizes.of(program, x, row_duals)).items()}
    return Judgement(
        objective,
        optimum.error(objective),
        optimum.error(float(residuals(candidate).dual_objective)),
        off["primal residual"],
        off["dual residual"],
        off["duality gap"],
    )


def _worse(one: float, other: float) -> float:
    return math.nan if math.isnan(one) or math.isnan(other) else max(one, other)
