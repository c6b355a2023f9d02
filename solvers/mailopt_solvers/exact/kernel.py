"""The exact basic solution of a basis.

Of the m equations that a basis stands for, only its kernel couples anything: the rows whose activity is nonbasic, at
one of their bounds, times the basic variables. Its nonzeros are permuted to block triangular form (Duff and Reid, "An
implementation of Tarjan's algorithm for the block triangularization of a matrix", 1978): a maximum matching puts
nonzeros on the diagonal, the strong components of what is left are the irreducible diagonal blocks, and these are
solved one after the other by substitution. Most have one row. The others go to python-flint as integer systems.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from fractions import Fraction
from graphlib import TopologicalSorter
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components, maximum_bipartite_matching

from mailopt_solvers.basis import Basis, BasisStatus
from mailopt_solvers.errors import SolverNotInstalled, TimeLimit
from mailopt_solvers.exact.program import ExactProgram, RationalMatrix, dot

_ZERO = Fraction(0)


class SingularBasis(Exception):
    """The basis does not determine a point; never leaves the package."""


class Clock:
    """Time limit that raises when it is over."""

    def __init__(self, seconds: float | None) -> None:
        self._started = time.perf_counter()
        self._limit = math.inf if seconds is None else seconds

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._started

    @property
    def left(self) -> float | None:
        """Seconds until the limit, at least 0, or None without one."""
        return None if self._limit == math.inf else max(0.0, self._limit - self.elapsed)

    def check(self) -> None:
        """Raise :class:`TimeLimit` when the time is over."""
        if self.elapsed >= self._limit:
            raise TimeLimit(f"the exact solution was not complete after {self._limit:g} s; raise time_limit")


class Kernel:
    """Basic variables and tight rows of a basis, with the order in which to solve for them.

    Parameters
    ----------
    program
        The program.
    basis
        A basis of it.
    clock
        Looked at before every block.

    Raises
    ------
    SingularBasis
        The basis has the wrong number of members or is singular by its pattern of nonzeros alone. The methods raise
        it when a block is singular.
    """

    def __init__(self, program: ExactProgram, basis: Basis, clock: Clock) -> None:
        self._matrix = program.matrix
        self._clock = clock
        self.basic = np.flatnonzero(basis.variables == BasisStatus.BASIC).tolist()
        self.tight = np.flatnonzero(basis.rows != BasisStatus.BASIC).tolist()
        self._blocks = _blocks(self._matrix, self.tight, self.basic)

    def primal(self, x: Sequence[Fraction], activities: Sequence[Fraction]) -> list[Fraction]:
        """Fill in the basic variables, given the others and the activities of the tight rows."""
        point = list(x)
        for j in self.basic:
            point[j] = _ZERO
        for rows, columns in self._blocks:
            self._solve(self._matrix.transposed, rows, columns, point, activities)
        return point

    def dual(self, costs: Sequence[Fraction]) -> list[Fraction]:
        """Row duals that give the basic variables reduced cost 0; those of all rows but the tight ones are 0."""
        prices = [_ZERO] * self._matrix.shape[0]
        for rows, columns in reversed(self._blocks):
            self._solve(self._matrix, columns, rows, prices, costs)
        return prices

    def _solve(
        self,
        lines: RationalMatrix,
        equations: list[int],
        unknowns: list[int],
        values: list[Fraction],
        right: Sequence[Fraction],
    ) -> None:
        """Solve for one block of unknowns, which are 0 in ``values`` so far; what else the equations need is there."""
        self._clock.check()
        rest = [right[i] - dot((a, values[k]) for k, a in lines.column(i)) for i in equations]
        if len(unknowns) == 1:
            (pivot,) = (a for k, a in lines.column(equations[0]) if k == unknowns[0])
            values[unknowns[0]] = rest[0] / pivot
            return
        where = {k: position for position, k in enumerate(unknowns)}
        square = [[(where[k], a) for k, a in lines.column(i) if k in where] for i in equations]
        for k, value in zip(unknowns, solve_square(square, rest), strict=True):
            values[k] = value


def basic_solution(program: ExactProgram, basis: Basis, clock: Clock) -> tuple[list[Fraction], list[Fraction]]:
    """Point and row duals of a basis.

    Raises
    ------
    SingularBasis
        It has none.
    """
    kernel = Kernel(program, basis, clock)
    x, activities = (
        [standing(status, low, high) for status, low, high in zip(statuses.tolist(), lower, upper, strict=True)]
        for statuses, lower, upper in (
            (basis.variables, program.lower, program.upper), (basis.rows, program.row_lower, program.row_upper)
        )
    )  # fmt: skip
    return kernel.primal(x, activities), kernel.dual(program.costs)


def standing(status: int, low: Fraction | None, high: Fraction | None) -> Fraction:
    """Value of something nonbasic: the bound that the status names, else the one that exists, else 0."""
    first, second = (high, low) if status == BasisStatus.UPPER else (low, high)
    return first if first is not None else second if second is not None else _ZERO


def _blocks(matrix: RationalMatrix, rows: list[int], columns: list[int]) -> list[tuple[list[int], list[int]]]:
    """Rows and columns of the irreducible diagonal blocks, each after all those that it needs."""
    if len(rows) != len(columns):
        raise SingularBasis(f"{len(columns)} basic variables for {len(rows)} tight rows")
    if not rows:
        return []
    place = dict(zip(rows, range(len(rows)), strict=True))
    pairs = [(place[i], k) for k, j in enumerate(columns) for i, _ in matrix.column(j) if i in place]
    at = np.array(pairs, dtype=np.int32).reshape(-1, 2)
    pattern = sparse.csr_array((np.ones(len(at), dtype=np.int8), (at[:, 0], at[:, 1])), shape=(len(rows),) * 2)
    match = maximum_bipartite_matching(pattern, perm_type="column")
    if (match < 0).any():
        raise SingularBasis(f"{int((match < 0).sum())} tight rows have no basic variable of their own")
    owner = np.empty(len(rows), dtype=np.int32)
    owner[match] = np.arange(len(rows))
    needs = sparse.csr_array((np.ones(len(at), dtype=np.int8), (at[:, 0], owner[at[:, 1]])), shape=(len(rows),) * 2)
    count, label = connected_components(needs, directed=True, connection="strong")
    graph: dict[int, set[int]] = {k: set() for k in range(count)}
    for block, needed in zip(label[at[:, 0]].tolist(), label[owner[at[:, 1]]].tolist(), strict=True):
        if block != needed:
            graph[block].add(needed)
    members: list[list[int]] = [[] for _ in range(count)]
    for position, block in enumerate(label.tolist()):
        members[block].append(position)
    return [
        ([rows[k] for k in members[block]], [columns[match[k]] for k in members[block]])
        for block in TopologicalSorter(graph).static_order()
    ]


def solve_square(square: list[list[tuple[int, Fraction]]], right: list[Fraction]) -> list[Fraction]:
    """Solve a square system, rows of (column, coefficient), over the integers: each row times what makes it so.

    Raises
    ------
    SingularBasis
        It has no unique solution.
    SolverNotInstalled
        python-flint is missing.
    """
    flint = require_flint()
    size = len(square)
    numbers: list[int] = []
    sides = []
    for row, side in zip(square, right, strict=True):
        common = math.lcm(*(a.denominator for _, a in row))
        integers = [(k, a.numerator * (common // a.denominator)) for k, a in row]
        shared = math.gcd(*(a for _, a in integers)) or 1
        line = [0] * size
        for k, a in integers:
            line[k] = a // shared
        numbers += line
        sides.append(side * Fraction(common, shared))
    wide = math.lcm(*(side.denominator for side in sides))
    try:
        found = flint.fmpz_mat(size, size, numbers).solve(
            flint.fmpz_mat(size, 1, [side.numerator * (wide // side.denominator) for side in sides])
        )
    except ZeroDivisionError:
        raise SingularBasis(f"a block of {size} rows is singular") from None
    return [Fraction(int(v.p), int(v.q) * wide) for v in found.entries()]


def require_flint() -> Any:
    """Import python-flint.

    Raises
    ------
    SolverNotInstalled
        It is not there.
    """
    try:
        import flint  # noqa: PLC0415
    except ImportError:
        raise SolverNotInstalled("exact solutions need python-flint: pip install python-flint") from None
    return flint
