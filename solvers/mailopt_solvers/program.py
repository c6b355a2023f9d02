"""Linear programs as data, and a builder that assembles them from named blocks.

A program is

    minimise or maximise    c x + offset
    subject to              row_lower <= A x <= row_upper,   lower <= x <= upper

with A stored by columns (CSC). Variables and rows come in named blocks of any shape, so that a solution is
read back as ``solution["z"]`` with the shape that the block was declared with.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import sparse

from mailopt_solvers.errors import InvalidProgram

FloatArray = npt.NDArray[np.float64]
Sense = Literal["min", "max"]
Bound = float | FloatArray

_MAX_INDEX = np.iinfo(np.int32).max


@dataclass(frozen=True)
class Block:
    """A named, contiguous run of variables or rows.

    Attributes
    ----------
    name
        The block's name, unique among the variables or among the rows of its program.
    start
        Position of the first member.
    shape
        Shape in which members are read back, C order.
    """

    name: str
    start: int
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of members."""
        return math.prod(self.shape)

    @property
    def slice(self) -> slice:
        """Where the members stand in the flat vector."""
        return slice(self.start, self.start + self.size)


@dataclass(frozen=True, eq=False)
class LinearProgram:
    """A linear program, validated when constructed; its arrays are read-only copies.

    Parameters
    ----------
    costs
        Objective coefficients c, shape (n,), finite.
    matrix
        Constraint matrix A, shape (m, n), any scipy sparse format, finite entries.
    row_lower, row_upper
        Row bounds, shape (m,). ``-inf`` and ``+inf`` mean "no bound" on their own side only.
    lower, upper
        Variable bounds, shape (n,), likewise.
    sense
        ``"min"`` or ``"max"``.
    offset
        Constant added to the objective.
    variables, rows
        The named blocks. Without them the program has one block ``"x"`` and one block ``"rows"``.

    Raises
    ------
    InvalidProgram
        Wrong shapes, NaN, an infinity that is not a missing bound, or lower > upper; the message names the
        row or column.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import sparse
    >>> from mailopt_solvers import LinearProgram, solve
    >>> lp = LinearProgram(np.array([1.0, 2.0]), sparse.csc_array([[1.0, 1.0]]),
    ...                    np.array([-np.inf]), np.array([1.0]), np.zeros(2), np.full(2, np.inf), sense="max")
    >>> solve(lp).objective
    2.0
    """

    costs: FloatArray
    matrix: sparse.csc_array
    row_lower: FloatArray
    row_upper: FloatArray
    lower: FloatArray
    upper: FloatArray
    sense: Sense = "min"
    offset: float = 0.0
    variables: Mapping[str, Block] = field(default_factory=dict)
    rows: Mapping[str, Block] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Copy, validate and freeze."""
        costs = _vector(self.costs, "costs")
        n = costs.size
        matrix = _matrix(self.matrix)
        m = matrix.shape[0]
        if matrix.shape[1] != n:
            raise InvalidProgram(f"matrix has {matrix.shape[1]} columns but there are {n} costs")
        if matrix.nnz > _MAX_INDEX or max(m, n) > _MAX_INDEX:
            raise InvalidProgram(f"program too large: {m} rows, {n} columns, {matrix.nnz} nonzeros (2^31 - 1 at most)")
        if self.sense not in ("min", "max"):
            raise InvalidProgram(f"sense is {self.sense!r}; it must be 'min' or 'max'")
        if not isinstance(self.offset, int | float | np.integer | np.floating) or not math.isfinite(self.offset):
            raise InvalidProgram(f"offset is {self.offset!r}; it must be a finite number")
        variables = dict(self.variables) or {"x": Block("x", 0, (n,))}
        rows = dict(self.rows) or {"rows": Block("rows", 0, (m,))}
        _check_blocks(variables, n, "variable")
        _check_blocks(rows, m, "row")
        _require_finite(costs, variables, "cost of variable")
        bad = np.flatnonzero(~np.isfinite(matrix.data))
        if bad.size:
            column = int(np.searchsorted(matrix.indptr, bad[0], side="right")) - 1
            row = int(matrix.indices[bad[0]])
            raise InvalidProgram(
                f"coefficient of variable {_member(variables, column)} in row {_member(rows, row)} is "
                f"{matrix.data[bad[0]]}; it must be finite"
            )
        row_lower, row_upper = _bounds(self.row_lower, self.row_upper, m, rows, "row")
        lower, upper = _bounds(self.lower, self.upper, n, variables, "variable")
        for array in (costs, row_lower, row_upper, lower, upper, matrix.data, matrix.indices, matrix.indptr):
            array.setflags(write=False)
        for name, value in (
            ("costs", costs),
            ("matrix", matrix),
            ("row_lower", row_lower),
            ("row_upper", row_upper),
            ("lower", lower),
            ("upper", upper),
            ("offset", float(self.offset)),
            ("variables", MappingProxyType(variables)),
            ("rows", MappingProxyType(rows)),
        ):
            object.__setattr__(self, name, value)

    @property
    def num_variables(self) -> int:
        """Number of columns n."""
        return int(self.costs.size)

    @property
    def num_rows(self) -> int:
        """Number of rows m."""
        return int(self.row_lower.size)

    @property
    def num_nonzeros(self) -> int:
        """Stored entries of A."""
        return int(self.matrix.nnz)

    def __repr__(self) -> str:
        """Size and blocks in one line."""
        blocks = ", ".join(f"{b.name}{list(b.shape)}" for b in self.variables.values())
        return (
            f"LinearProgram({self.sense}, {self.num_rows} rows, {self.num_variables} variables: {blocks}; "
            f"{self.num_nonzeros} nonzeros)"
        )


class ProgramBuilder:
    """Assemble a :class:`LinearProgram` from whole blocks of variables and rows.

    Parameters
    ----------
    sense
        ``"min"`` or ``"max"``.
    offset
        Constant added to the objective.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import sparse
    >>> from mailopt_solvers import ProgramBuilder, solve
    >>> builder = ProgramBuilder("max")
    >>> x = builder.add_variables("x", (2, 2), costs=np.array([[1.0, 2.0], [3.0, 4.0]]))
    >>> rows = builder.add_rows("total", (1,), {x: sparse.csr_array(np.ones((1, 4)))}, upper=1.0)
    >>> solve(builder.build())["x"]
    array([[0., 0.],
           [0., 1.]])
    """

    def __init__(self, sense: Sense = "min", offset: float = 0.0) -> None:
        self._sense: Sense = sense
        self._offset = offset
        self._variables: dict[str, Block] = {}
        self._rows: dict[str, Block] = {}
        self._columns: list[tuple[FloatArray, FloatArray, FloatArray]] = []  # costs, lower, upper
        self._sides: list[tuple[FloatArray, FloatArray]] = []
        self._terms: list[tuple[int, int, sparse.coo_array]] = []  # first row, first column, entries

    def add_variables(
        self,
        name: str,
        shape: tuple[int, ...],
        *,
        lower: Bound = 0.0,
        upper: Bound = math.inf,
        costs: Bound = 0.0,
    ) -> Block:
        """Add a block of variables; scalars are spread over the block."""
        block = _next_block(self._variables, name, shape, "variable")
        columns = (_spread(costs, block, "costs"), _spread(lower, block, "lower"), _spread(upper, block, "upper"))
        self._variables[name] = block
        self._columns.append(columns)
        return block

    def add_rows(
        self,
        name: str,
        shape: tuple[int, ...],
        terms: Mapping[Block, sparse.sparray],
        *,
        lower: Bound = -math.inf,
        upper: Bound = math.inf,
    ) -> Block:
        """Add a block of rows ``lower <= sum over blocks of M x_block <= upper``.

        Each matrix M has one row per member of the new block and one column per member of its variable block.
        """
        block = _next_block(self._rows, name, shape, "row")
        for variables, matrix in terms.items():
            if self._variables.get(variables.name) != variables:
                raise InvalidProgram(f"row block {name!r}: variable block {variables.name!r} is not of this builder")
            if matrix.shape != (block.size, variables.size):
                raise InvalidProgram(
                    f"row block {name!r}: the matrix on {variables.name!r} has shape {matrix.shape}, "
                    f"expected {(block.size, variables.size)}"
                )
        sides = (_spread(lower, block, "lower"), _spread(upper, block, "upper"))
        self._rows[name] = block
        self._sides.append(sides)
        self._terms += [(block.start, v.start, sparse.coo_array(matrix)) for v, matrix in terms.items()]
        return block

    def build(self) -> LinearProgram:
        """Return the program; its columns and rows stand in the order in which blocks were added."""
        n = sum(b.size for b in self._variables.values())
        m = sum(b.size for b in self._rows.values())
        entries = sparse.coo_array(
            (
                _concatenate([t.data for _, _, t in self._terms]),
                (
                    _concatenate([t.coords[0] + row for row, _, t in self._terms], np.int64),
                    _concatenate([t.coords[1] + column for _, column, t in self._terms], np.int64),
                ),
            ),
            shape=(m, n),
        )
        return LinearProgram(
            costs=_concatenate([c for c, _, _ in self._columns]),
            matrix=sparse.csc_array(entries),
            row_lower=_concatenate([low for low, _ in self._sides]),
            row_upper=_concatenate([up for _, up in self._sides]),
            lower=_concatenate([low for _, low, _ in self._columns]),
            upper=_concatenate([up for _, _, up in self._columns]),
            sense=self._sense,
            offset=self._offset,
            variables=self._variables,
            rows=self._rows,
        )


def _next_block(blocks: dict[str, Block], name: str, shape: tuple[int, ...], kind: str) -> Block:
    if name in blocks:
        raise InvalidProgram(f"{kind} block {name!r} exists already")
    block = Block(name, sum(b.size for b in blocks.values()), shape)
    _check_shape(block, kind)
    return block


def _check_shape(block: Block, kind: str) -> None:
    if not isinstance(block.shape, tuple) or not all(
        isinstance(k, int | np.integer) and not isinstance(k, bool) and k >= 0 for k in block.shape
    ):
        raise InvalidProgram(f"{kind} block {block.name!r} has shape {block.shape!r}; give a tuple of counts")


def _spread(value: Bound, block: Block, what: str) -> FloatArray:
    array = _doubles(value, f"{what} of block {block.name!r}")
    try:
        return np.broadcast_to(array, block.shape).ravel()
    except ValueError:
        raise InvalidProgram(
            f"{what} of block {block.name!r} has shape {array.shape}, expected a number or shape {block.shape}"
        ) from None


def _concatenate(parts: list[npt.NDArray[Any]], dtype: npt.DTypeLike = np.float64) -> npt.NDArray[Any]:
    return np.concatenate(parts).astype(dtype, copy=False) if parts else np.zeros(0, dtype=dtype)


def _vector(values: FloatArray, what: str) -> FloatArray:
    array = _doubles(values, what)
    if array.ndim != 1:
        raise InvalidProgram(f"{what} has shape {array.shape}, expected one dimension")
    return array.copy()


def _doubles(values: object, what: str) -> FloatArray:
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise InvalidProgram(f"{what}: not an array: {error}") from None
    if array.dtype.kind not in "iuf" and array.size:
        raise InvalidProgram(f"{what} has dtype {array.dtype}; give real numbers")
    return array.astype(np.float64)


def _matrix(given: Any) -> sparse.csc_array:
    if getattr(given, "ndim", None) != 2 or getattr(given, "dtype", np.dtype(object)).kind not in "iuf":
        raise InvalidProgram(f"matrix is {given!r:.80}; give a two-dimensional matrix of real numbers")
    matrix = sparse.csc_array(given, dtype=np.float64, copy=True)
    matrix.sum_duplicates()
    return matrix


def _bounds(
    lower: FloatArray, upper: FloatArray, size: int, blocks: Mapping[str, Block], kind: str
) -> tuple[FloatArray, FloatArray]:
    sides = []
    for value, side, forbidden in ((lower, "lower", np.inf), (upper, "upper", -np.inf)):
        array = _vector(value, f"{side} bounds of the {kind}s")
        if array.size != size:
            raise InvalidProgram(f"{array.size} {side} bounds for {size} {kind}s")
        bad = np.flatnonzero(np.isnan(array) | (array == forbidden))
        if bad.size:
            raise InvalidProgram(f"{side} bound of {kind} {_member(blocks, bad[0])} is {array[bad[0]]}")
        sides.append(array)
    crossed = np.flatnonzero(sides[0] > sides[1])
    if crossed.size:
        k = crossed[0]
        raise InvalidProgram(f"{kind} {_member(blocks, k)} has lower bound {sides[0][k]} > upper bound {sides[1][k]}")
    return sides[0], sides[1]


def _require_finite(values: FloatArray, blocks: Mapping[str, Block], what: str) -> None:
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise InvalidProgram(f"{what} {_member(blocks, bad[0])} is {values[bad[0]]}; it must be finite")


def _check_blocks(blocks: Mapping[str, Block], size: int, kind: str) -> None:
    expected = 0
    for name, block in blocks.items():
        _check_shape(block, kind)
        if block.name != name or block.start != expected:
            raise InvalidProgram(f"{kind} block {name!r} is {block}; blocks must follow each other without gaps")
        expected += block.size
    if expected != size:
        raise InvalidProgram(f"the {kind} blocks cover {expected} of {size} {kind}s")


def _member(blocks: Mapping[str, Block], position: int | np.integer) -> str:
    """Name a flat position, such as ``z[0, 3, 1]``."""
    for block in _nonempty(blocks.values()):
        if block.start <= position < block.start + block.size:
            index = np.unravel_index(int(position) - block.start, block.shape)
            return f"{block.name}{[int(k) for k in index]}"
    return str(int(position))


def _nonempty(blocks: Iterable[Block]) -> Iterable[Block]:
    return (b for b in blocks if b.size)
