"""Exact optima of tiny programs, by rational arithmetic and nothing else."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from mailopt_solvers import LinearProgram

Vector = list[Fraction]
Bound = Fraction | float  # a float only if infinite


@dataclass(frozen=True)
class Exact:
    """Optimum, infinite if there is none on that side, and an optimal point if there is one."""

    optimum: Bound
    x: tuple[Fraction, ...] | None = None


def solved(matrix: Sequence[Sequence[Fraction]], right: Vector) -> Vector | None:
    """Solve a square system by elimination; None if it is singular."""
    k = len(right)
    rows = [[*row, b] for row, b in zip(matrix, right, strict=True)]
    for i in range(k):
        pivot = next((r for r in range(i, k) if rows[r][i] != 0), None)
        if pivot is None:
            return None
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [v / rows[i][i] for v in rows[i]]
        for r in range(k):
            if r != i and rows[r][i] != 0:
                factor = rows[r][i]
                rows[r] = [v - factor * w for v, w in zip(rows[r], rows[i], strict=True)]
    return [row[k] for row in rows]


def _number(value: float) -> Bound:
    return value if math.isinf(value) else Fraction(value)


def _dot(a: Sequence[Fraction], b: Sequence[Fraction]) -> Fraction:
    return sum((u * v for u, v in zip(a, b, strict=True)), Fraction(0))


def exact_solution(lp: LinearProgram) -> Exact:
    """Try every basis until one is primal and dual feasible, which weak duality proves optimal.

    If the program has an optimum there is such a basis, because the simplex method with Bland's rule ends at one. The
    row activities r are variables too: A x - r = 0.
    """
    worse, better = (math.inf, -math.inf) if lp.sense == "min" else (-math.inf, math.inf)
    sign = 1 if lp.sense == "min" else -1
    costs = [sign * Fraction(c) for c in lp.costs.tolist()]
    found = _optimal_point(lp, costs)
    if found is not None:
        optimum = sign * _dot(costs, found) + Fraction(lp.offset)
        return Exact(optimum, tuple(found))
    feasible = _optimal_point(lp, [Fraction(0)] * len(costs)) is not None
    return Exact(better if feasible else worse)


def _optimal_point(lp: LinearProgram, costs: Vector) -> Vector | None:
    m, n = lp.num_rows, lp.num_variables
    dense = lp.matrix.toarray().tolist()
    columns = [[Fraction(dense[i][j]) for i in range(m)] for j in range(n)]
    columns += [[Fraction(-int(i == k)) for i in range(m)] for k in range(m)]
    prices = costs + [Fraction(0)] * m
    lower = [_number(v) for v in (*lp.lower.tolist(), *lp.row_lower.tolist())]
    upper = [_number(v) for v in (*lp.upper.tolist(), *lp.row_upper.tolist())]
    for basis in itertools.combinations(range(m + n), m):
        duals = solved([columns[j] for j in basis], [prices[j] for j in basis])
        if duals is None:
            continue
        nonbasic = [j for j in range(m + n) if j not in basis]
        places = [list(_places(prices[j] - _dot(columns[j], duals), lower[j], upper[j])) for j in nonbasic]
        for values in itertools.product(*places):
            right = [
                -sum((columns[j][i] * v for j, v in zip(nonbasic, values, strict=True)), Fraction(0)) for i in range(m)
            ]
            basics = solved([[columns[j][i] for j in basis] for i in range(m)], right)
            if basics is not None and all(lower[j] <= v <= upper[j] for j, v in zip(basis, basics, strict=True)):
                point = dict(zip((*basis, *nonbasic), (*basics, *values), strict=True))
                return [point[j] for j in range(n)]
    return None


def _places(reduced: Fraction, lower: Bound, upper: Bound) -> Iterator[Fraction]:
    """Where a nonbasic variable of this reduced cost may stand at an optimum."""
    fixed = lower == upper
    if isinstance(lower, Fraction) and (reduced >= 0 or fixed):
        yield lower
    if isinstance(upper, Fraction) and reduced <= 0 and not fixed:
        yield upper
    if reduced == 0 and not isinstance(lower, Fraction) and not isinstance(upper, Fraction):
        yield Fraction(0)
