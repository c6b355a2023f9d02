"""Exact simplex pivots by Bland's rule: slow, but they end, at an optimum if there is one.

From any basis: bounds that its point violates are relaxed to where the point stands, the primal simplex method solves
the relaxed program, the bounds return, and the dual simplex method repairs what they cut off. Bland, "New finite
pivoting rules for the simplex method" (1977): of several candidates the first in a fixed order, and no basis repeats.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from mailopt_solvers.basis import Basis, BasisStatus
from mailopt_solvers.exact.kernel import Clock, Kernel, standing
from mailopt_solvers.exact.program import ExactProgram

_ZERO, _ONE = Fraction(0), Fraction(1)


def pivoted(program: ExactProgram, basis: Basis, clock: Clock, most: int) -> Basis | None:
    """Pivot to an optimal basis.

    Parameters
    ----------
    program
        A program that is feasible and bounded.
    basis
        A basis of it that is not singular.
    clock
        Raises when the time is over.
    most
        Pivots after which to give up.

    Returns
    -------
    Basis or None
        None if there were not enough pivots.
    """
    tableau = _Tableau(program, basis, clock)
    truth = tableau.lower, tableau.upper
    values = tableau.values()
    tableau.lower = [b if b is None else min(b, v) for b, v in zip(tableau.lower, values, strict=True)]
    tableau.upper = [b if b is None else max(b, v) for b, v in zip(tableau.upper, values, strict=True)]
    steps = iter(range(most))
    if any(not tableau.primal_step() for _ in steps):
        tableau.lower, tableau.upper = truth
        tableau.refresh()
        if any(not tableau.dual_step() for _ in steps):
            return tableau.basis()
    return None


class _Tableau:
    """Variables and then rows, all alike: each has a value, bounds and a status; a row's value is its activity."""

    def __init__(self, program: ExactProgram, basis: Basis, clock: Clock) -> None:
        self._program = program
        self._clock = clock
        self._n = program.num_variables
        self._sign = 1 if program.sense == "min" else -1
        self.lower: list[Fraction | None] = [*program.lower, *program.row_lower]
        self.upper: list[Fraction | None] = [*program.upper, *program.row_upper]
        self._status = [
            status if status == BasisStatus.BASIC else _existing(status, low, high)
            for status, low, high in zip(
                [*basis.variables.tolist(), *basis.rows.tolist()], self.lower, self.upper, strict=True
            )
        ]
        self.refresh()

    def basis(self) -> Basis:
        return Basis(np.array(self._status[: self._n], dtype=int), np.array(self._status[self._n :], dtype=int))

    def refresh(self) -> None:
        self._kernel = Kernel(self._program, self.basis(), self._clock)

    def values(self) -> list[Fraction]:
        return self._spread(
            [
                _ZERO if status == BasisStatus.BASIC else standing(status, low, high)
                for status, low, high in zip(self._status, self.lower, self.upper, strict=True)
            ]
        )

    def _spread(self, given: Sequence[Fraction]) -> list[Fraction]:
        """Values of all, given those of the nonbasic ones."""
        x = self._kernel.primal(given[: self._n], given[self._n :])
        return [*x, *self._program.matrix.times(x)]

    def _rates(self, costs: Sequence[Fraction]) -> list[Fraction]:
        """Change of ``costs`` x per unit of each nonbasic one."""
        y = self._kernel.dual(costs)
        return [*(c - p for c, p in zip(costs, self._program.matrix.priced(y), strict=True)), *y]

    def _movable(self, k: int, rate: Fraction) -> int:
        """Direction in which something nonbasic may move so that a quantity of this rate falls; 0 if neither."""
        if self._status[k] == BasisStatus.BASIC or not rate or self._is_fixed(k):
            return 0
        forbidden = BasisStatus.UPPER if rate < 0 else BasisStatus.LOWER
        return 0 if self._status[k] == forbidden else (1 if rate < 0 else -1)

    def _is_fixed(self, k: int) -> bool:
        return self.lower[k] is not None and self.lower[k] == self.upper[k]

    def primal_step(self) -> bool:
        """Make one step of the primal simplex method; False at its end."""
        rates = self._rates(self._program.costs)
        entering, way = next(
            ((k, way) for k, rate in enumerate(rates) if (way := self._movable(k, rate * self._sign))), (-1, 0)
        )
        if way == 0:
            return False
        values = self.values()
        unit = [_ZERO] * len(rates)
        unit[entering] = Fraction(way)
        moves = self._spread(unit)
        best: tuple[Fraction, int] | None = None
        for k, (value, move) in enumerate(zip(values, moves, strict=True)):
            target = self.upper[k] if move > 0 else self.lower[k]
            if move and target is not None and (k == entering or self._status[k] == BasisStatus.BASIC):
                best = min(best or ((target - value) / move, k), ((target - value) / move, k))
        assert best is not None, "the program is bounded"
        leaving = best[1]
        self._status[entering] = BasisStatus.BASIC
        self._status[leaving] = BasisStatus.UPPER if moves[leaving] > 0 else BasisStatus.LOWER
        self.refresh()
        return True

    def dual_step(self) -> bool:
        """Make one step of the dual simplex method; False at its end."""
        for leaving, value in enumerate(self.values()):
            low, high = self.lower[leaving], self.upper[leaving]
            if low is not None and value < low:
                way, bound = -1, BasisStatus.LOWER  # -value must fall
                break
            if high is not None and value > high:
                way, bound = 1, BasisStatus.UPPER
                break
        else:
            return False
        rates = self._rates(self._program.costs)
        pull = self._rates(self._row(leaving))
        candidates = [(abs(rates[k] / a), k) for k, a in enumerate(pull) if k != leaving and self._movable(k, a * way)]
        assert candidates, "the program is feasible"
        self._status[min(candidates)[1]] = BasisStatus.BASIC
        self._status[leaving] = bound
        self.refresh()
        return True

    def _row(self, k: int) -> list[Fraction]:
        """Coefficients of something in terms of the variables."""
        row = [_ZERO] * self._n
        for j, a in self._program.matrix.transposed.column(k - self._n) if k >= self._n else ((k, _ONE),):
            row[j] = a
        return row


def _existing(status: int, low: Fraction | None, high: Fraction | None) -> int:
    """Status of a bound that exists, if one does."""
    if low is None and high is None:
        return BasisStatus.FREE
    if low is None or (status == BasisStatus.UPPER and high is not None):
        return BasisStatus.UPPER
    return BasisStatus.LOWER
