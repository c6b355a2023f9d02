"""Linear programs of fractions, as data."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from mailopt_solvers.errors import InvalidProgram
from mailopt_solvers.program import Block, FloatArray, LinearProgram, Sense, member

Rationals = tuple[Fraction, ...]
Bounds = tuple[Fraction | None, ...]

_READABLE = 256  # bits of the longest numerator or denominator that is printed as it is
_ZERO = Fraction(0)


@dataclass(frozen=True, eq=False)
class RationalMatrix:
    """A sparse matrix of fractions, stored by columns; no stored entry is 0.

    Attributes
    ----------
    shape
        Numbers of rows and columns.
    starts
        Column j owns the entries ``starts[j]`` to ``starts[j + 1] - 1``.
    indices, values
        Row and value of each entry.
    """

    shape: tuple[int, int]
    starts: tuple[int, ...]
    indices: tuple[int, ...]
    values: Rationals

    @classmethod
    def gathered(cls, shape: tuple[int, int], entries: Iterable[tuple[int, int, Fraction]]) -> RationalMatrix:
        """Collect triples (row, column, value) of different positions."""
        columns: list[list[tuple[int, Fraction]]] = [[] for _ in range(shape[1])]
        for i, j, value in entries:
            if value:
                columns[j].append((i, value))
        starts = [0]
        for column in columns:
            starts.append(starts[-1] + len(column))
        flat = [entry for column in columns for entry in column]
        return cls(shape, tuple(starts), tuple(i for i, _ in flat), tuple(value for _, value in flat))

    def entries(self) -> Iterable[tuple[int, int, Fraction]]:
        """Triples (row, column, value), column by column."""
        for j in range(self.shape[1]):
            for i, value in self.column(j):
                yield i, j, value

    def column(self, j: int) -> Iterable[tuple[int, Fraction]]:
        """Pairs (row, value) of one column."""
        own = slice(self.starts[j], self.starts[j + 1])
        return zip(self.indices[own], self.values[own], strict=True)

    @cached_property
    def transposed(self) -> RationalMatrix:
        """The transposed matrix, so that its columns are the rows of this one."""
        return RationalMatrix.gathered(self.shape[::-1], ((j, i, value) for i, j, value in self.entries()))

    def priced(self, y: Sequence[Fraction]) -> list[Fraction]:
        """Compute A'y."""
        return [dot((value, y[i]) for i, value in self.column(j)) for j in range(self.shape[1])]

    def times(self, x: Sequence[Fraction]) -> list[Fraction]:
        """Compute A x."""
        return self.transposed.priced(x)


def dot(pairs: Iterable[tuple[Fraction, Fraction]]) -> Fraction:
    """Sum products. Reduces once, at the end: greatest common divisors of long numbers are what costs time."""
    numerator, denominator = 0, 1
    for a, b in pairs:
        if not b:
            continue
        p, q = a.numerator * b.numerator, a.denominator * b.denominator
        factor, rest = divmod(denominator, q)
        if rest:
            common = math.gcd(denominator, q)
            factor, wider = denominator // common, q // common
            numerator, denominator = numerator * wider, denominator * wider
        numerator += p * factor
    return Fraction(numerator, denominator)


@dataclass(frozen=True, eq=False, init=False, repr=False)
class ExactProgram:
    """A linear program of fractions, validated when constructed: minimise or maximise c x + offset subject to
    row_lower <= A x <= row_upper and lower <= x <= upper.

    Parameters
    ----------
    costs
        Objective coefficients c, n numbers. A number here and below is an int, a float (taken as the dyadic rational
        that it is), a Fraction, or a string such as ``"1/3"`` or ``"0.1"``.
    matrix
        Constraint matrix A, shape (m, n): nested sequences or an array of numbers, a scipy sparse matrix, or a
        mapping ``{(row, column): number}``.
    row_lower, row_upper
        Row bounds, m numbers each; None, or an infinity on its own side, where there is none.
    lower, upper
        Variable bounds, n numbers each, likewise.
    sense, offset, variables, rows
        As in :class:`LinearProgram`.

    Raises
    ------
    InvalidProgram
        Wrong shapes, something that is no number, or a lower bound above its upper bound; the message names the row
        or the column.

    Examples
    --------
    >>> from mailopt_solvers import ExactProgram
    >>> ExactProgram([1, 2], [[1, "1/3"]], [None], [1], [0, 0], [None, None], sense="max")
    ExactProgram(max, 1 rows, 2 variables: x[2]; 2 nonzeros)
    """  # noqa: D205 - the program does not fit into one line

    costs: Rationals
    matrix: RationalMatrix
    row_lower: Bounds
    row_upper: Bounds
    lower: Bounds
    upper: Bounds
    sense: Sense
    offset: Fraction
    variables: Mapping[str, Block]
    rows: Mapping[str, Block]

    def __init__(
        self,
        costs: Sequence[Any] | npt.NDArray[Any],
        matrix: Any,
        row_lower: Sequence[Any] | npt.NDArray[Any],
        row_upper: Sequence[Any] | npt.NDArray[Any],
        lower: Sequence[Any] | npt.NDArray[Any],
        upper: Sequence[Any] | npt.NDArray[Any],
        sense: Sense = "min",
        offset: Any = 0,
        variables: Mapping[str, Block] | None = None,
        rows: Mapping[str, Block] | None = None,
    ) -> None:
        given = _listed(costs, "costs")
        sides = {"lower": _listed(row_lower, "row_lower"), "upper": _listed(row_upper, "row_upper")}
        box = {"lower": _listed(lower, "lower"), "upper": _listed(upper, "upper")}
        n, m = len(given), len(sides["lower"])
        for kind, bounds, size in (("row", sides, m), ("variable", box, n)):
            for side, values in bounds.items():
                if len(values) != size:
                    raise InvalidProgram(f"{len(values)} {side} bounds for {size} {kind}s")
        free = np.full(m, np.inf)
        frame = LinearProgram(  # checks sense and blocks
            np.zeros(n), sparse.csc_array((m, n)), -free, free, np.zeros(n), np.zeros(n), sense, 0.0,
            variables or {}, rows or {},
        )  # fmt: skip
        row_lower, row_upper = _bounds(sides, frame.rows, "row")
        lower, upper = _bounds(box, frame.variables, "variable")
        self.__dict__.update(
            costs=tuple(
                _rational(value, partial(_named, "cost of variable", frame.variables, j))
                for j, value in enumerate(given)
            ),
            matrix=_matrix(matrix, (m, n), frame),
            row_lower=row_lower,
            row_upper=row_upper,
            lower=lower,
            upper=upper,
            sense=sense,
            offset=_rational(offset, lambda: "offset"),
            variables=frame.variables,
            rows=frame.rows,
        )

    @classmethod
    def of(cls, program: LinearProgram) -> ExactProgram:
        """Take a program's doubles as the dyadic rationals that they are."""
        return cls(
            program.costs, program.matrix, program.row_lower, program.row_upper, program.lower, program.upper,
            program.sense, program.offset, program.variables, program.rows,
        )  # fmt: skip

    def rounded(self) -> LinearProgram:
        """Return the program of the nearest doubles.

        Raises
        ------
        InvalidProgram
            A number beyond the largest double.
        """
        try:
            return LinearProgram(
                costs=_doubles(self.costs, 0.0),
                matrix=sparse.csc_array(
                    ([float(a) for a in self.matrix.values], self.matrix.indices, self.matrix.starts),
                    shape=self.matrix.shape,
                    dtype=np.float64,
                ),
                row_lower=_doubles(self.row_lower, -np.inf),
                row_upper=_doubles(self.row_upper, np.inf),
                lower=_doubles(self.lower, -np.inf),
                upper=_doubles(self.upper, np.inf),
                sense=self.sense,
                offset=float(self.offset),
                variables=self.variables,
                rows=self.rows,
            )
        except OverflowError:
            raise InvalidProgram(f"{self!r} has numbers above 1.8e308, which no double holds; rescale it") from None

    @property
    def num_variables(self) -> int:
        """Number of columns n."""
        return len(self.costs)

    @property
    def num_rows(self) -> int:
        """Number of rows m."""
        return len(self.row_lower)

    def reduced_costs(self, row_duals: Sequence[Fraction]) -> list[Fraction]:
        """Compute d = c - A'y."""
        return [c - p for c, p in zip(self.costs, self.matrix.priced(row_duals), strict=True)]

    def objective(self, x: Sequence[Fraction]) -> Fraction:
        """Compute c x + offset."""
        return dot(zip(self.costs, x, strict=True)) + self.offset

    def __repr__(self) -> str:
        """Size and blocks in one line."""
        blocks = ", ".join(f"{b.name}{list(b.shape)}" for b in self.variables.values())
        return (
            f"ExactProgram({self.sense}, {self.num_rows} rows, {self.num_variables} variables: {blocks}; "
            f"{len(self.matrix.values)} nonzeros)"
        )


def text(value: Fraction) -> str:
    """Write a fraction; a long one roughly, because Python refuses to print integers of more than 4300 digits."""
    if max(abs(value.numerator), value.denominator).bit_length() <= _READABLE:
        return str(value)
    try:
        return f"about {float(value):.6g}"
    except OverflowError:
        return f"about {'-' if value < 0 else ''}2^{value.numerator.bit_length() - value.denominator.bit_length()}"


def _named(what: str, blocks: Mapping[str, Block], k: int) -> str:
    return f"{what} {member(blocks, k)}"


def _rational(value: object, where: Callable[[], str]) -> Fraction:
    """Take a number exactly."""
    if type(value) is Fraction:
        return value
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        if isinstance(value, np.floating):
            return Fraction(*value.as_integer_ratio())
        if isinstance(value, np.integer):
            return Fraction(int(value))
        if isinstance(value, int | float | str | numbers.Rational):
            return Fraction(value)
        raise TypeError
    except (TypeError, ValueError, OverflowError, ZeroDivisionError):
        raise InvalidProgram(f"{where()} is {value!r:.80}; give a finite number or a string such as '1/3'") from None


def _listed(values: Any, what: str) -> list[Any]:
    if isinstance(values, np.ndarray):
        if values.ndim != 1:
            raise InvalidProgram(f"{what} has shape {values.shape}, expected one dimension")
        return list(values.tolist()) if values.dtype.kind in "iuf" and values.dtype.itemsize <= 8 else list(values)
    if isinstance(values, str | Mapping) or not isinstance(values, Iterable):
        raise InvalidProgram(f"{what} is {values!r:.80}; give a sequence of numbers")
    return list(values)


def _doubles(bounds: Bounds, missing: float) -> FloatArray:
    return np.array([missing if b is None else float(b) for b in bounds], dtype=np.float64)


def _bounds(given: Mapping[str, list[Any]], blocks: Mapping[str, Block], kind: str) -> tuple[Bounds, Bounds]:
    found = []
    for side, missing in (("lower", -math.inf), ("upper", math.inf)):
        found.append(
            tuple(
                None
                if value is None or (isinstance(value, float | np.floating) and value == missing)
                else _rational(value, partial(_named, f"{side} bound of {kind}", blocks, k))
                for k, value in enumerate(given[side])
            )
        )
    for k, (low, high) in enumerate(zip(*found, strict=True)):
        if low is not None and high is not None and low > high:
            raise InvalidProgram(f"{kind} {member(blocks, k)} has lower bound {text(low)} > upper bound {text(high)}")
    return found[0], found[1]


def _matrix(given: Any, shape: tuple[int, int], frame: LinearProgram) -> RationalMatrix:
    def entry(i: int, j: int, value: object) -> tuple[int, int, Fraction]:
        return i, j, _rational(value, lambda: f"coefficient of variable {member(frame.variables, j)} in row "
                               f"{member(frame.rows, i)}")  # fmt: skip

    if isinstance(given, Mapping):
        for key in given:
            if not _is_position(key, shape):
                raise InvalidProgram(f"matrix has an entry at {key!r:.80}; give (row, column) within {shape}")
        return RationalMatrix.gathered(shape, [entry(int(i), int(j), value) for (i, j), value in given.items()])
    if isinstance(given, RationalMatrix):
        found, matrix = given.shape, given
    elif sparse.issparse(given):
        if given.ndim != 2 or given.dtype.kind not in "iuf":
            raise InvalidProgram(f"matrix is {given!r:.80}; give a two-dimensional matrix of real numbers")
        triples = given.tocoo(copy=True)
        triples.sum_duplicates()
        found = triples.shape
        if found == shape:
            places = zip(triples.row.tolist(), triples.col.tolist(), triples.data.tolist(), strict=True)
            matrix = RationalMatrix.gathered(shape, [entry(*place) for place in places])
    else:
        rows = [_listed(row, f"matrix row {i}") for i, row in enumerate(_rows(given))]
        widths = {len(row) for row in rows} or {shape[1]}
        if len(widths) > 1:
            raise InvalidProgram(f"the rows of the matrix have different lengths: {sorted(widths)}")
        found = (len(rows), widths.pop())
        if found == shape:
            matrix = RationalMatrix.gathered(
                shape, [entry(i, j, value) for i, row in enumerate(rows) for j, value in enumerate(row)]
            )
    if found != shape:
        raise InvalidProgram(
            f"matrix has shape {found}, but there are {shape[0]} row bounds and {shape[1]} costs: expected {shape}"
        )
    return matrix


def _rows(given: Any) -> Iterable[Any]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise InvalidProgram(f"matrix is {given!r:.80}; give rows of numbers, a sparse matrix or a mapping")
    return given


def _is_position(key: object, shape: tuple[int, int]) -> bool:
    return (
        isinstance(key, tuple)
        and len(key) == 2
        and all(isinstance(k, int | np.integer) and 0 <= k < size for k, size in zip(key, shape, strict=True))
    )
