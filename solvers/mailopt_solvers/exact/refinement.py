"""Iterative refinement: a program of doubles that shows what is wrong with an exact pair of a point and its prices.

Gleixner, Steffy and Wolter, "Iterative refinement for linear programming", INFORMS Journal on Computing 28 (2016).
Around a point x* and row duals y*, both exact, stands the corrected program

    min or max  D (d* x + y* s)   subject to   A x - s = 0,   P (l - x*) <= x <= P (u - x*),
                                                  P (rl - A x*) <= s <= P (ru - A x*),

with d* = c - A'y*. Its right-hand sides and costs are residuals, computed exactly and then blown up by powers of two P
and D that bring the largest violation to about 1, where a solver of doubles sees it. If (x, y) solves it, then
(x* + x / P, y* + y / D) is better than (x*, y*) by as many digits as the solver has, and its basis is one of the
program itself. Equality rows keep s = 0 and have no variable s here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt
from scipy import sparse

from mailopt_solvers.basis import Basis, BasisStatus
from mailopt_solvers.exact.kernel import standing
from mailopt_solvers.exact.program import Bounds, ExactProgram
from mailopt_solvers.program import FloatArray, LinearProgram

IntArray = npt.NDArray[np.int64]

_ZERO = Fraction(0)
_SWEEPS = 4  # of scaling rows and columns by the middle of their exponents
_STEP = 24  # more bits of zoom on a side that shows no violation, each time a round changed nothing
_MOST = 900  # bits of zoom; doubles end at 2^1023


@dataclass(frozen=True, eq=False)
class Pair:
    """A point, its row duals, and what follows from them."""

    x: list[Fraction]
    y: list[Fraction]
    activities: list[Fraction]
    reduced_costs: list[Fraction]

    @classmethod
    def of(cls, program: ExactProgram, x: list[Fraction], y: list[Fraction]) -> Pair:
        """Compute A x and c - A'y."""
        return cls(x, y, program.matrix.times(x), program.reduced_costs(y))


class Refinement:
    """Corrected programs of one program; rows and columns are scaled by powers of two that bring entries near 1."""

    def __init__(self, program: ExactProgram) -> None:
        self._program = program
        n, m = program.num_variables, program.num_rows
        rows = np.array(program.matrix.indices, dtype=np.int64)
        columns = np.repeat(np.arange(n), np.diff(program.matrix.starts))
        bits = np.array([_bits(a) for a in program.matrix.values], dtype=np.int64)
        self._row_powers, self._column_powers = _powers(bits, rows, columns, (m, n))
        entries = [
            _double(a, int(k))
            for a, k in zip(program.matrix.values, self._row_powers[rows] + self._column_powers[columns], strict=True)
        ]
        self._slack = np.array(
            [i for i in range(m) if program.row_lower[i] is None or program.row_lower[i] != program.row_upper[i]],
            dtype=np.int64,
        )
        slack = np.arange(self._slack.size)
        matrix = sparse.csc_array((entries, program.matrix.indices, program.matrix.starts), shape=(m, n), dtype=float)
        unit = sparse.csc_array((-np.ones(slack.size), (self._slack, slack)), shape=(m, slack.size))
        self._matrix = sparse.csc_array(sparse.hstack((matrix, unit), format="csc"))

    def violations(self, pair: Pair) -> tuple[int | None, int | None]:
        """Binary exponents of the largest scaled violation by the point and by the prices; None where there is none.

        A price violates where its sign calls for a bound that does not exist. Where the bound exists but the variable
        or row does not stand at it, the smaller of price and distance counts, on its own side. Without any violation
        the pair is optimal.
        """
        sign = 1 if self._program.sense == "min" else -1
        primal: list[int] = []
        dual: list[int] = []
        for value, price, low, high, power in self._members(pair):
            if low is not None and value < low:
                primal.append(_bits(low - value) - power)
            if high is not None and value > high:
                primal.append(_bits(value - high) - power)
            if price:
                called = low if price * sign > 0 else high
                away = None if called is None else (value - called) * (1 if price * sign > 0 else -1)
                if away is None:
                    dual.append(_bits(price) + power)
                elif away > 0:
                    sizes = _bits(away) - power, _bits(price) + power
                    (primal if sizes[0] < sizes[1] else dual).append(min(sizes))
        return max(primal, default=None), max(dual, default=None)

    def _members(self, pair: Pair) -> list[tuple[Fraction, Fraction, Fraction | None, Fraction | None, int]]:
        """Value, price, bounds and power of the scale of every variable and row."""
        program = self._program
        return [
            *zip(pair.x, pair.reduced_costs, program.lower, program.upper, self._column_powers.tolist(), strict=True),
            *zip(
                pair.activities, pair.y, program.row_lower, program.row_upper, (-self._row_powers).tolist(), strict=True
            ),
        ]

    def distance(self, pair: Pair) -> float:
        """Largest exponent of a violation, to compare pairs by."""
        return max(-np.inf if bits is None else bits for bits in self.violations(pair))

    def zoom(self, pair: Pair, before: tuple[int, int], stalled: bool) -> tuple[int, int]:
        """Binary exponents of P and D that show the largest violations.

        A side without violation keeps its zoom, or what the other side needs could spoil it unseen; it is raised when
        the last round changed nothing.
        """
        primal, dual = (
            old + _STEP * stalled if bits is None else -bits
            for bits, old in zip(self.violations(pair), before, strict=True)
        )
        return min(max(primal, 0), _MOST), min(max(dual, 0), _MOST)

    def corrected(self, pair: Pair, zoom: tuple[int, int]) -> LinearProgram:
        """Build the corrected program around a pair."""
        program, (primal, dual) = self._program, zoom
        m = program.num_rows

        def bounds(given: Bounds, values: Sequence[Fraction], powers: IntArray, missing: float) -> FloatArray:
            return np.array(
                [
                    missing if bound is None else _double(bound - value, primal + power)
                    for bound, value, power in zip(given, values, powers.tolist(), strict=True)
                ],
                dtype=float,
            )

        def box(given: Bounds, sides: Bounds, missing: float) -> FloatArray:
            rows = bounds(sides, pair.activities, self._row_powers, missing)
            return np.concatenate((bounds(given, pair.x, -self._column_powers, missing), rows[self._slack]))

        def equal(given: Bounds) -> FloatArray:
            sides = bounds(given, pair.activities, self._row_powers, 0.0)
            sides[self._slack] = 0.0
            return sides

        priced = np.array(
            [_double(d, dual + k) for d, k in zip(pair.reduced_costs, self._column_powers.tolist(), strict=True)]
            + [_double(pair.y[i], dual - int(self._row_powers[i])) for i in self._slack],
            dtype=float,
        )
        sides = equal(program.row_lower) if m else np.zeros(0)
        return LinearProgram(
            priced, self._matrix, sides, sides,
            box(program.lower, program.row_lower, -np.inf), box(program.upper, program.row_upper, np.inf),
            program.sense,
        )  # fmt: skip

    def moved(self, pair: Pair, zoom: tuple[int, int], x: FloatArray, y: FloatArray, basis: Basis) -> Pair:
        """Add a solution of the corrected program. What the basis puts at a bound is put there exactly."""
        program, (primal, dual) = self._program, zoom
        point = [
            old + _exact(step, power - primal) if status == BasisStatus.BASIC else standing(status, low, high)
            for old, step, power, status, low, high in zip(
                pair.x, x.tolist(), self._column_powers.tolist(), basis.variables.tolist(), program.lower,
                program.upper, strict=False,
            )
        ]  # fmt: skip
        prices = [
            _ZERO if status == BasisStatus.BASIC else old + _exact(step, power - dual)
            for old, step, power, status in zip(
                pair.y, y.tolist(), self._row_powers.tolist(), basis.rows.tolist(), strict=True
            )
        ]
        return Pair.of(program, point, prices)

    def extended(self, basis: Basis) -> Basis:
        """Basis of the corrected program: rows with a variable s hand their status to it."""
        rows = basis.rows.copy()
        rows[self._slack] = BasisStatus.LOWER
        return Basis(np.concatenate((basis.variables, basis.rows[self._slack])), rows)

    def restricted(self, basis: Basis) -> Basis:
        """Undo :meth:`extended`. An equation A x - s = 0 may be basic in place of its s: their columns are parallel."""
        rows = basis.rows.copy()
        own = basis.variables[self._program.num_variables :]
        rows[self._slack] = np.where(rows[self._slack] == BasisStatus.BASIC, BasisStatus.BASIC, own)
        return Basis(basis.variables[: self._program.num_variables], rows)


def _powers(bits: IntArray, rows: IntArray, columns: IntArray, shape: tuple[int, int]) -> tuple[IntArray, IntArray]:
    """Exponents for rows and columns that centre the binary exponents of their entries at 0."""
    powers = tuple(np.zeros(size, dtype=np.int64) for size in shape)
    if bits.size:
        for _ in range(_SWEEPS):
            for own, index in zip(powers, (rows, columns), strict=True):
                now = bits + powers[0][rows] + powers[1][columns]
                low, high = np.full(own.size, np.iinfo(np.int64).max // 4), np.full(own.size, -(2**60))
                np.minimum.at(low, index, now)
                np.maximum.at(high, index, now)
                seen = high > -(2**60)
                own[seen] -= (low[seen] + high[seen]) // 2
    return powers[0], powers[1]


def _bits(value: Fraction) -> int:
    """Binary exponent of a number that is not 0, give or take one."""
    return value.numerator.bit_length() - value.denominator.bit_length()


def _double(value: Fraction, power: int) -> float:
    """Double nearest to value * 2^power; infinite beyond the largest."""
    try:
        return (value.numerator << max(power, 0)) / (value.denominator << max(-power, 0))
    except OverflowError:
        return np.inf if value > 0 else -np.inf


def _exact(value: float, power: int) -> Fraction:
    """Return value * 2^power."""
    numerator, denominator = value.as_integer_ratio()
    return Fraction(numerator << max(power, 0), denominator << max(-power, 0))
