"""A solver without capabilities, for tests to give an answer to."""

from __future__ import annotations

from mailopt_solvers import Capability, Solver


class BareSolver(Solver):
    """Always there, does nothing but solve."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        return frozenset()

    @property
    def tolerance(self) -> float:
        return 1e-7

    def missing(self) -> str | None:
        return None
