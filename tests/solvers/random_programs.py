"""Random programs with optima: feasible by construction, bounded by bounds on all variables that have costs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import sparse

from mailopt_solvers import Block, LinearProgram

INF = np.inf


def random_program(seed: int, *, n: int | None = None, m: int | None = None) -> LinearProgram:
    """Rows of every kind, free, bounded and fixed variables, either sense; an optimum exists."""
    generator = np.random.default_rng(seed)
    n = int(generator.integers(1, 7)) if n is None else n
    m = int(generator.integers(0, 6)) if m is None else m
    inside = generator.integers(-3, 4, size=n).astype(float)
    matrix = generator.integers(-3, 4, size=(m, n)) * (generator.random((m, n)) < 0.7)
    activity = matrix @ inside
    kind = generator.integers(0, 4, size=m)  # equality, lower, upper, range
    row_lower = np.where(kind == 2, -INF, activity - np.where(kind == 0, 0, generator.integers(0, 3, size=m)))
    row_upper = np.where(kind == 1, INF, activity + np.where(kind == 0, 0, generator.integers(0, 3, size=m)))
    lower = inside - generator.integers(0, 4, size=n).astype(float)
    upper = inside + generator.integers(0, 4, size=n).astype(float)
    costs = generator.integers(-4, 5, size=n).astype(float)
    free = generator.random(n) < 0.2
    costs[free], lower[free], upper[free] = 0.0, -INF, INF
    return LinearProgram(
        costs,
        sparse.csc_array(matrix.astype(float)),
        row_lower,
        row_upper,
        lower,
        upper,
        "min" if generator.random() < 0.5 else "max",
        float(generator.integers(-2, 3)),
    )


def split(program: LinearProgram) -> LinearProgram:
    """The same program with two blocks of variables and of rows, as even as can be."""
    p = program
    return LinearProgram(
        p.costs,
        p.matrix,
        p.row_lower,
        p.row_upper,
        p.lower,
        p.upper,
        p.sense,
        p.offset,
        _halves(p.num_variables),
        _halves(p.num_rows),
    )


def _halves(size: int) -> dict[str, Block]:
    half = size // 2
    return {"first": Block("first", 0, (half,)), "second": Block("second", half, (size - half,))}


def vectors(generator: np.random.Generator, size: int) -> npt.NDArray[np.float64]:
    """Small integers as doubles."""
    return generator.integers(-4, 5, size=size).astype(float)
