"""Programs whose outcome is known from mathematics: optimum, infeasible or unbounded. Each in both senses."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from mailopt_solvers import LinearProgram, Termination
from mailopt_solvers.program import FloatArray, Sense

INF = math.inf
SENSES: tuple[Sense, ...] = ("min", "max")


@dataclass(frozen=True)
class Instance:
    """A program, how it must end and, if it has one, its exact optimum."""

    name: str
    program: LinearProgram
    termination: Termination
    optimum: Fraction | None = None

    @property
    def badly_scaled(self) -> bool:
        return "-scales-" in self.name

    def __str__(self) -> str:
        return self.name


def program(
    costs: npt.ArrayLike,
    rows: Any = (),
    row_lower: npt.ArrayLike = (),
    row_upper: npt.ArrayLike = (),
    lower: npt.ArrayLike = 0.0,
    upper: npt.ArrayLike = INF,
    **others: Any,
) -> LinearProgram:
    """A program from nested lists; numbers are spread over all rows or variables."""
    c = np.atleast_1d(np.asarray(costs, dtype=np.float64))
    if isinstance(rows, sparse.csc_array):
        matrix = rows
    else:
        m = np.asarray(rows).shape[0] if np.size(rows) else max(np.size(row_lower), np.size(row_upper))
        matrix = sparse.csc_array(np.asarray(rows, dtype=np.float64).reshape(m, c.size))

    def spread(values: npt.ArrayLike, size: int) -> FloatArray:
        return np.broadcast_to(np.asarray(values, dtype=np.float64), (size,))

    m = matrix.shape[0]
    return LinearProgram(
        c, matrix, spread(row_lower, m), spread(row_upper, m), spread(lower, c.size), spread(upper, c.size), **others
    )


def mirrored(lp: LinearProgram) -> LinearProgram:
    """The same program in the other sense: its optimum is the negative."""
    other: Sense = "max" if lp.sense == "min" else "min"
    return replace(lp, costs=-lp.costs, offset=-lp.offset, sense=other)


def rescaled(lp: LinearProgram, costs: float = 1.0, bounds: float = 1.0, matrix: float = 1.0) -> LinearProgram:
    """Other units of x, costs and coefficients; the optimum scales by the first two."""
    return replace(
        lp,
        costs=lp.costs * costs,
        matrix=lp.matrix * matrix,
        row_lower=lp.row_lower * bounds * matrix,
        row_upper=lp.row_upper * bounds * matrix,
        lower=lp.lower * bounds,
        upper=lp.upper * bounds,
        offset=lp.offset * costs * bounds,
    )


@dataclass(frozen=True)
class KnownPair:
    """A program with an optimal point and optimal row duals, all integers, hence exact."""

    program: LinearProgram
    x: FloatArray
    row_duals: FloatArray

    @property
    def optimum(self) -> Fraction:
        return sum(
            (Fraction(c) * Fraction(v) for c, v in zip(self.program.costs, self.x, strict=True)),
            Fraction(self.program.offset),
        )


def known_pair(
    seed: int,
    m: int = 8,
    n: int = 12,
    *,
    sense: Sense = "min",
    degenerate: bool = False,
    bounded: bool = False,
    row_scales: npt.ArrayLike = 1.0,
    column_scales: npt.ArrayLike = 1.0,
) -> KnownPair:
    """Choose x, y and where each row and variable stands; then the bounds and costs that make the pair optimal.

    Scales must be powers of two, so that everything stays exact. ``degenerate``: many prices are 0 although the bound
    is reached. ``bounded``: every variable has two finite bounds.
    """
    generator = np.random.default_rng(seed)
    matrix = generator.integers(-4, 5, (m, n)) * (generator.random((m, n)) < 0.6)
    x = generator.integers(-5, 6, n)
    points = np.concatenate((matrix @ x, x))
    stands = generator.choice(["lower", "upper", "fixed", "between", "between"], m + n)
    size = generator.integers(0 if degenerate else 1, 2 if degenerate else 7, m + n)
    price = np.select(
        [stands == "lower", stands == "upper", stands == "fixed"],
        [size, -size, size * generator.choice([-1, 1], m + n)],
        0,
    )
    room = generator.integers(1, 6, m + n).astype(np.float64), generator.integers(1, 6, m + n).astype(np.float64)
    lower = np.where(np.isin(stands, ["lower", "fixed"]), points, points - room[0])
    upper = np.where(np.isin(stands, ["upper", "fixed"]), points, points + room[1])
    drop_lower = np.isin(stands, ["upper", "between"]) & (generator.random(m + n) < 0.3)
    drop_upper = np.isin(stands, ["lower", "between"]) & (generator.random(m + n) < 0.3)
    if bounded:
        drop_lower[m:] = drop_upper[m:] = False
    lower[drop_lower], upper[drop_upper] = -INF, INF
    if sense == "max":
        price = -price
    y, d = price[:m], price[m:]
    rs, cs = (np.broadcast_to(np.asarray(s, dtype=np.float64), (k,)) for s, k in ((row_scales, m), (column_scales, n)))
    lp = program(
        (matrix.T @ y + d) * cs,
        rs[:, None] * matrix * cs,
        lower[:m] * rs,
        upper[:m] * rs,
        lower[m:] / cs,
        upper[m:] / cs,
        sense=sense,
        offset=float(generator.integers(-9, 10)),
    )
    return KnownPair(lp, x / cs, y / rs)


def _assignment(costs: npt.NDArray[np.int64]) -> tuple[LinearProgram, int]:
    """Each worker one job: as degenerate as programs come. Its optimum by trying all permutations."""
    k = costs.shape[0]
    rows = np.vstack((np.kron(np.eye(k), np.ones(k)), np.kron(np.ones(k), np.eye(k))))
    best = min(sum(int(costs[i, p[i]]) for i in range(k)) for p in itertools.permutations(range(k)))
    return program(costs.ravel(), rows, 1, 1), best


def _klee_minty(k: int) -> LinearProgram:
    rows = np.array([[2.0 ** (i - j + 1) if j < i else float(i == j) for j in range(k)] for i in range(k)])
    return program(2.0 ** np.arange(k - 1, -1, -1), rows, -INF, 5.0 ** np.arange(1, k + 1), sense="max")


def _stored_zeros() -> LinearProgram:
    """min x + y, x + 2y >= 2, with zeros stored: one beside it and a whole row of them."""
    entries = (np.array([1.0, 0.0, 2.0, 0.0, 0.0]), np.array([0, 1, 0, 1, 1]), np.array([0, 2, 4, 5]))
    return program([1, 1, 1], sparse.csc_array(entries, shape=(2, 3)), [2, -1], [INF, 1])


def _optimal() -> Iterator[tuple[str, LinearProgram, int | Fraction]]:
    yield "plain", program([1, 1], [[1, 2]], 2, INF), 1
    yield "box", program([1, -2, 3], lower=[-1, -2, -3], upper=[4, 5, 6]), -20
    yield "range-low", program([1, 2], [[1, 1]], 1, 3, upper=2), 1
    yield "range-high", program([-1, -2], [[1, 1]], 1, 3, upper=2), -5
    yield "equalities", program([1, 2, 3], [[1, 1, 1], [1, -1, 0]], [6, 2], [6, 2]), 8
    yield "free-variables", program([1, 0], [[1, -1], [1, 1]], [-3, 3], INF, lower=-INF), 0
    yield "free-row", program([1, 1], [[1, 1], [1, 2]], [-INF, 2], INF), 1
    yield "upper-only-variable", program([-1, 1], [[1, -1]], -INF, 4, lower=[-INF, 0], upper=[3, INF]), -3
    yield "fixed-variables", program([1, 2, 3], [[1, 1, 1]], 4, INF, lower=[1, 2, 0], upper=[1, 2, INF]), 8
    yield "all-fixed", program([1, 2], [[1, 1]], -5, 9, lower=[3, -4], upper=[3, -4]), -5
    yield "offset", program([1, 1], [[1, 2]], 2, INF, offset=-1000.5), Fraction(-1999, 2)
    yield "offset-cancels", program([1, 1], [[1, 2]], 2, INF, offset=-1.0), 0
    yield "no-costs", program([0, 0], [[1, 1]], 1, 1), 0
    yield "homogeneous", program([1, 1], [[1, -2], [-2, 1]], 0, 0), 0
    yield "no-rows", program([1, -2], lower=[3, -INF], upper=[INF, 4]), -5
    yield "no-variables", program([], row_lower=[-1, 0], row_upper=[0, INF], offset=3.0), 3
    yield "nothing-at-all", program([], offset=-2.5), Fraction(-5, 2)
    yield "single-column", program([2], [[1], [-1], [3]], [1, -5, 6], INF), 4
    yield "single-entry", program([1], [[4]], 1, INF, lower=-INF), Fraction(1, 4)
    yield "single-row", program([-5, -4, -3, -2], [[1, 2, 3, 4]], -INF, 6, upper=1), Fraction(-12)
    yield "empty-row", program([1, 1], [[0, 0], [1, 2]], [-1, 2], [1, INF]), 1
    yield "free-empty-row", program([1, 1], [[0, 0], [1, 2]], [-INF, 2], INF), 1
    yield "empty-columns", program([1, 2, -3, 0], [[1, 0, 0, 0]], 1, INF, upper=[INF, 9, 2, INF]), -5
    yield "free-empty-column", program([1, 0], [[1, 0]], 1, INF, lower=-INF), 1
    yield "stored-zeros", _stored_zeros(), 1
    yield "duplicate-rows", program([1, 2], [[1, 1], [1, 1], [2, 2]], [1, 1, 2], [1, 1, 2]), 1
    yield "redundant-rows", program([1, 1], [[1, 2], [1, 2], [1, 1], [3, 1]], [2, 1, -5, 0], INF), 1
    yield "duplicate-columns", program([1, 1, 1, 1], [[1, 1, 2, 2]], 2, INF), 1
    yield "only-point", program([1, -1], [[1, 1], [1, -1]], [2, 0], [2, 0], lower=-INF), 0
    yield "bounds-touch-row", program([1, 1], [[1, 1]], 4, INF, upper=2), 4
    yield "ties-primal", program([-1, -1], [[k, 10 - k] for k in range(1, 10)], -INF, 10), -2
    yield "ties-dual", program(np.ones(8), np.ones((1, 8)), 1, 1), 1
    beale = program([-75, 15000, -2, 600], [[25, -6000, -4, 900], [50, -9000, -2, 300], [0, 0, 1, 0]], -INF, [0, 0, 1])
    yield "beale-cycle", beale, -5
    yield "klee-minty", _klee_minty(5), 3125
    yield "assignment-ties", *_assignment(np.ones((4, 4), dtype=np.int64))
    yield "assignment", *_assignment(np.array([[i * j % 3 for j in range(5)] for i in range(5)]))
    for seed in range(3):
        scales = 2.0 ** np.random.default_rng(seed).integers(-20, 21, 8)
        pair = known_pair(seed, row_scales=scales)
        yield f"row-scales-{seed}", pair.program, pair.optimum
    pair = known_pair(7, bounded=True, column_scales=2.0 ** np.random.default_rng(7).integers(-6, 7, 12))
    yield "column-scales", pair.program, pair.optimum


def _infeasible() -> Iterator[tuple[str, LinearProgram]]:
    yield "row-against-row", program([1, 1], [[1, 1], [1, 1]], [2, -INF], [INF, 1])
    yield "equal-rows", program([1, 1], [[1, 1], [1, 1]], [1, 2], [1, 2], lower=-INF)
    yield "row-against-bounds", program([1, 1], [[1, 1]], 5, INF, upper=2)
    yield "row-against-lower", program([1], [[1]], -INF, -1)
    yield "no-costs-infeasible", program([0, 0], [[1, 1]], 5, 6, upper=2)
    yield "empty-row-infeasible", program([1], [[0]], 1, 1, upper=1)
    yield "no-variables-infeasible", program([], row_lower=[0, 1], row_upper=[0, 2])
    yield "fixed-infeasible", program([1, 1], [[1, -1]], 1, INF, lower=2, upper=2)
    yield "three-rows", program([1, 1, 1], [[1, 1, 0], [0, 1, 1], [1, 2, 1]], [3, 3, -INF], [INF, INF, 5])
    yield "free-variables-infeasible", program([0, 0], [[1, 1], [1, 1], [1, -1]], [1, -INF, 0], [INF, 0, 0], lower=-INF)
    yield "stated-zeros-infeasible", program([1, 1], [[2, -2]], 1, 2, lower=[1, 1], upper=[1, 1])
    yield "both-infeasible", program([-1, -1], [[1, -1], [1, -1]], [1, 2], [1, 2])
    yield "both-infeasible-elsewhere", program([-1, 0], [[0, 1]], -INF, -1)
    yield "both-infeasible-free", program([1, 1], [[1, -1], [1, -1]], [1, -INF], [INF, 0], lower=-INF)


def _unbounded() -> Iterator[tuple[str, LinearProgram]]:
    yield "no-rows-unbounded", program([-1])
    yield "free-unbounded", program([1, 1], [[0, 1]], 1, INF, lower=[-INF, 0])
    yield "ray-in-equality", program([-1, 0], [[1, -1]], 0, 0)
    yield "ray-between-rows", program([-1, -1], [[1, -2], [-2, 1]], -INF, 1)
    yield "empty-column-unbounded", program([0, -1], [[1, 0]], 1, 1)
    yield "line", program([1, -2], [[1, 1]], 1, 1, lower=-INF)
    yield "downwards", program([1, 1], [[1, -1]], -1, 1, lower=-INF, upper=0)
    yield "away-from-origin", program([-1, 0, 0], [[1, -1, 0], [0, 1, -1]], [5, 5], [INF, INF], lower=1)
    yield "one-of-many", program([1, 1, 1, 1, -1], np.vstack((np.ones(5), [1, 1, 1, 1, 0])), 1, [INF, 3])


def _both_senses() -> Iterator[Instance]:
    for name, lp, optimum in _optimal():
        yield Instance(f"{name}-{lp.sense}", lp, Termination.OPTIMAL, Fraction(optimum))
        other = mirrored(lp)
        yield Instance(f"{name}-{other.sense}", other, Termination.OPTIMAL, -Fraction(optimum))
    for cases, termination in ((_infeasible(), Termination.INFEASIBLE), (_unbounded(), Termination.UNBOUNDED)):
        for name, lp in cases:
            for each in (lp, mirrored(lp)):
                yield Instance(f"{name}-{each.sense}", each, termination)
    for sense, degenerate, seed in itertools.product(SENSES, (False, True), range(4)):
        pair = known_pair(seed, 8 + seed, 12, sense=sense, degenerate=degenerate, bounded=seed % 2 == 0)
        kind = "degenerate" if degenerate else "random"
        yield Instance(f"{kind}-{seed}-{sense}", pair.program, Termination.OPTIMAL, pair.optimum)


INSTANCES: tuple[Instance, ...] = tuple(_both_senses())


def hard(size: int = 150) -> LinearProgram:
    """A dense program that takes longer than no time, with the feasible point 0."""
    generator = np.random.default_rng(0)
    return program(-generator.random(size), generator.random((size, size)), -INF, 1.0)
