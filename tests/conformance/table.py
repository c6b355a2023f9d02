"""The solvers that the conformance suite holds to account: one row each."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from _pytest.mark.structures import ParameterSet

from mailopt_solvers import Capability, Solver, available_solvers, missing_solvers, solver_named
from tests.conformance.programs import INSTANCES

BASIS, START, TIME_LIMIT, INTERRUPT = (
    Capability.BASIS,
    Capability.START,
    Capability.TIME_LIMIT,
    Capability.INTERRUPT,
)


@dataclass(frozen=True)
class Row:
    """What a solver must declare, and how it is tested.

    ``share``: it is slow to start, so it gets
    one in so many instances. ``first_order``: it may give up on badly scaled programs, but not be wrong about them.
    ``gives_up``: it may do so on any program.
    """

    name: str
    capabilities: frozenset[Capability]
    tolerance: float
    share: int = 1
    first_order: bool = False
    gives_up: bool = False

    @property
    def solver(self) -> Solver:
        return solver_named(self.name)

    @property
    def why_missing(self) -> str | None:
        if self.name in available_solvers():
            return None
        return missing_solvers().get(self.name, f"no backend of the registry is called {self.name!r}")

    def can(self, capability: Capability) -> bool:
        return capability in self.capabilities


SOLVERS = (
    Row("highs", frozenset({BASIS, START, TIME_LIMIT, INTERRUPT}), 1e-7),
    Row("highs-simplex", frozenset({BASIS, START, TIME_LIMIT, INTERRUPT}), 1e-7),
    Row("highs-ipm", frozenset({BASIS, TIME_LIMIT, INTERRUPT}), 1e-7),
    Row("highs-pdlp", frozenset({TIME_LIMIT}), 1e-4, first_order=True),
    Row("highs-hipo", frozenset({BASIS, TIME_LIMIT, INTERRUPT}), 1e-7),
    Row("scipy", frozenset({TIME_LIMIT}), 1e-7),
    Row("scipy-highs-ds", frozenset({TIME_LIMIT}), 1e-7),
    Row("scipy-highs-ipm", frozenset({TIME_LIMIT}), 1e-7),
    Row("cvxpy", frozenset({TIME_LIMIT}), 1e-7, share=2),
    Row("cvxpy-scs", frozenset({TIME_LIMIT}), 1e-6, share=2, first_order=True),
    Row("cvxpy-osqp", frozenset({TIME_LIMIT}), 1e-6, share=2, first_order=True, gives_up=True),
    Row("cvxpy-highs", frozenset({TIME_LIMIT}), 1e-7, share=2),
    Row("ortools", frozenset({TIME_LIMIT, INTERRUPT}), 1e-7, share=4),
    Row("ortools-pdlp", frozenset({TIME_LIMIT, INTERRUPT}), 1e-6, share=4, first_order=True),
)


def unless_missing(row: Row) -> pytest.MarkDecorator:
    """Skip the rows of solvers that cannot be used here, with the reason."""
    return pytest.mark.skipif(row.why_missing is not None, reason=str(row.why_missing))


ROWS: list[ParameterSet] = [pytest.param(row, id=row.name, marks=unless_missing(row)) for row in SOLVERS]

PAIRS: list[ParameterSet] = [
    pytest.param(row, instance, id=f"{row.name}-{instance}", marks=unless_missing(row))
    for row in SOLVERS
    for k, instance in enumerate(INSTANCES)
    if k % row.share == k // row.share % row.share
]
