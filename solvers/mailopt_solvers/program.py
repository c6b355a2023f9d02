"""Linear programs as data.

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
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from mailopt_solvers.errors import InvalidProgram, UnknownBlock

FloatArray = npt.NDArray[np.float64]
Sense = Literal["min", "max"]

_MAX_INDEX = np.iinfo(np.int32).max
_TINY = 4096  # entries of a matrix that is kept as a full array too
_SIDES = ("row_lower", "row_upper", "lower", "upper")


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


class Numbers(NamedTuple):
    """All numbers of a program apart from its offset; ``coefficients`` are the stored entries of A by columns."""

    costs: FloatArray
    coefficients: FloatArray
    row_lower: FloatArray
    row_upper: FloatArray
    lower: FloatArray
    upper: FloatArray


@dataclass(frozen=True, eq=False)
class Frame:
    """Bounds of all rows and then of all variables, prepared for checking points and pricing them.

    Attributes
    ----------
    lower, upper
        The bounds, shape (m + n,).
    finite_lower, finite_upper
        The same with 0 where there is none.
    no_lower, no_upper
        1 where there is none, else 0.
    """

    lower: FloatArray
    upper: FloatArray
    finite_lower: FloatArray
    finite_upper: FloatArray
    no_lower: FloatArray
    no_upper: FloatArray

    @classmethod
    def of(cls, lower: FloatArray, upper: FloatArray) -> Frame:
        """Prepare bounds."""
        no_lower, no_upper = np.isinf(lower), np.isinf(upper)
        return cls(
            lower,
            upper,
            np.where(no_lower, 0.0, lower),
            np.where(no_upper, 0.0, upper),
            no_lower.astype(np.float64),
            no_upper.astype(np.float64),
        )


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
        check_sense(self.sense, self.offset)
        variables = _blocks(self.variables, "variable") or {"x": Block("x", 0, (n,))}
        rows = _blocks(self.rows, "row") or {"rows": Block("rows", 0, (m,))}
        _check_blocks(variables, n, "variable")
        _check_blocks(rows, m, "row")
        row_lower = _vector(self.row_lower, "lower bounds of the rows")
        row_upper = _vector(self.row_upper, "upper bounds of the rows")
        lower = _vector(self.lower, "lower bounds of the variables")
        upper = _vector(self.upper, "upper bounds of the variables")
        for array in (costs, row_lower, row_upper, lower, upper, matrix.data, matrix.indices, matrix.indptr):
            array.setflags(write=False)
        self.__dict__.update(
            costs=costs,
            matrix=matrix,
            row_lower=row_lower,
            row_upper=row_upper,
            lower=lower,
            upper=upper,
            offset=float(self.offset),
            variables=MappingProxyType(variables),
            rows=MappingProxyType(rows),
        )
        self._check_costs()
        self._check_coefficients()
        self._check_bounds(row_lower, row_upper, m, self.rows, "row")
        self._check_bounds(lower, upper, n, self.variables, "variable")

    def _check_costs(self) -> None:
        if not np.isfinite(self.costs).all():
            k = np.flatnonzero(~np.isfinite(self.costs))[0]
            raise InvalidProgram(f"cost of variable {member(self.variables, k)} is {self.costs[k]}; it must be finite")

    def _check_coefficients(self) -> None:
        matrix = self.matrix
        if not np.isfinite(matrix.data).all():
            k = np.flatnonzero(~np.isfinite(matrix.data))[0]
            column = int(np.searchsorted(matrix.indptr, k, side="right")) - 1
            raise InvalidProgram(
                f"coefficient of variable {member(self.variables, column)} in row "
                f"{member(self.rows, matrix.indices[k])} is {matrix.data[k]}; it must be finite"
            )

    @staticmethod
    def _check_bounds(lower: FloatArray, upper: FloatArray, size: int, blocks: Mapping[str, Block], kind: str) -> None:
        for array, side in ((lower, "lower"), (upper, "upper")):
            if array.size != size:
                raise InvalidProgram(f"{array.size} {side} bounds for {size} {kind}s")
        if (lower <= upper).all() and (lower < np.inf).all() and (upper > -np.inf).all():
            return
        for array, side, forbidden in ((lower, "lower", np.inf), (upper, "upper", -np.inf)):
            bad = np.flatnonzero(np.isnan(array) | (array == forbidden))
            if bad.size:
                raise InvalidProgram(f"{side} bound of {kind} {member(blocks, bad[0])} is {array[bad[0]]}")
        k = np.flatnonzero(lower > upper)[0]
        raise InvalidProgram(f"{kind} {member(blocks, k)} has lower bound {lower[k]} > upper bound {upper[k]}")

    def changed(self, **parts: FloatArray) -> LinearProgram:
        """Return the same program with other numbers; only these are copied and checked, so this is cheap.

        Parameters
        ----------
        parts
            Any of ``costs``, ``row_lower``, ``row_upper``, ``lower``, ``upper`` and ``coefficients``, each as a whole
            flat array; ``coefficients`` are the stored entries of A, column by column.

        Raises
        ------
        InvalidProgram
            As when constructed.
        """
        unknown = parts.keys() - set(Numbers._fields)
        if unknown:
            raise InvalidProgram(
                f"a program has no {', '.join(sorted(unknown))}; give any of {', '.join(Numbers._fields)}"
            )
        new = object.__new__(LinearProgram)
        state = new.__dict__
        state.update(self.__dict__)
        for name, values in parts.items():
            array = _vector(values, name)
            array.setflags(write=False)
            if name == "coefficients":
                _check_size(array, self.num_nonzeros, name)
                state["matrix"] = _with_data(self.matrix, array)
                for cache in ("_dense", "_by_rows", "sums"):
                    state.pop(cache, None)
                new._check_coefficients()
                continue
            state[name] = array
            if name == "costs":
                _check_size(array, self.num_variables, name)
                new._check_costs()
        if not parts.keys().isdisjoint(_SIDES):
            state.pop("frame", None)
            self._check_bounds(new.row_lower, new.row_upper, self.num_rows, self.rows, "row")
            self._check_bounds(new.lower, new.upper, self.num_variables, self.variables, "variable")
        return new

    @cached_property
    def _dense(self) -> FloatArray | None:
        """A as a full array if it is tiny, where that is faster."""
        return self.matrix.toarray() if self.num_rows * self.num_variables <= _TINY else None

    @cached_property
    def _by_rows(self) -> sparse.csr_array:
        """A' by rows: the same arrays, read the other way."""
        matrix = self.matrix
        return sparse.csr_array((matrix.data, matrix.indices, matrix.indptr), shape=matrix.shape[::-1], copy=False)

    @cached_property
    def frame(self) -> Frame:
        """Bounds of rows and variables in one piece, rows first."""
        return Frame.of(np.concatenate((self.row_lower, self.lower)), np.concatenate((self.row_upper, self.upper)))

    @cached_property
    def sums(self) -> tuple[FloatArray, FloatArray]:
        """|A| 1, shape (m,), and |A|'1, shape (n,): how large the coefficients of each row and column are."""
        sizes = abs(self.matrix) if self._dense is None else np.abs(self._dense)
        return np.asarray(sizes.sum(axis=1)).ravel(), np.asarray(sizes.sum(axis=0)).ravel()

    def activities(self, x: FloatArray) -> FloatArray:
        """Compute A x, shape (m,)."""
        return np.asarray(self.matrix @ x if self._dense is None else self._dense @ x)

    def priced(self, row_duals: FloatArray) -> FloatArray:
        """Compute A'y, shape (n,)."""
        return np.asarray(self._by_rows @ row_duals if self._dense is None else row_duals @ self._dense)

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

    def __reduce__(self) -> tuple[type[LinearProgram], tuple[Any, ...]]:
        """Pickle as the arguments that make it."""
        arrays = (self.costs, self.matrix, self.row_lower, self.row_upper, self.lower, self.upper)
        return LinearProgram, (*arrays, self.sense, self.offset, dict(self.variables), dict(self.rows))

    @property
    def entry_columns(self) -> npt.NDArray[np.int64]:
        """Column of each stored entry of A; its row is in ``matrix.indices``."""
        return np.repeat(np.arange(self.num_variables), np.diff(self.matrix.indptr))

    @property
    def numbers(self) -> Numbers:
        """Everything that :meth:`changed` can change."""
        return Numbers(self.costs, self.matrix.data, self.row_lower, self.row_upper, self.lower, self.upper)

    def __repr__(self) -> str:
        """Size and blocks in one line."""
        blocks = ", ".join(f"{b.name}{list(b.shape)}" for b in self.variables.values())
        return (
            f"LinearProgram({self.sense}, {self.num_rows} rows, {self.num_variables} variables: {blocks}; "
            f"{self.num_nonzeros} nonzeros)"
        )


def _vector(values: FloatArray, what: str) -> FloatArray:
    array = doubles(values, what)
    if array.ndim != 1:
        raise InvalidProgram(f"{what} has shape {array.shape}, expected one dimension")
    return array


def doubles(values: object, what: str) -> FloatArray:
    """Copy to an array of doubles."""
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise InvalidProgram(f"{what}: not an array: {error}") from None
    if array.dtype.kind not in "iuf" and array.size:
        raise InvalidProgram(f"{what} has dtype {array.dtype}; give real numbers")
    return array.astype(np.float64)


def _check_size(array: FloatArray, size: int, what: str) -> None:
    if array.size != size:
        raise InvalidProgram(f"{array.size} {what}, expected {size}")


def _matrix(given: Any) -> sparse.csc_array:
    if getattr(given, "ndim", None) != 2 or getattr(given, "dtype", np.dtype(object)).kind not in "iuf":
        raise InvalidProgram(f"matrix is {given!r:.80}; give a two-dimensional matrix of real numbers")
    if isinstance(given, sparse.csc_array) and given.dtype == np.float64 and given.has_canonical_format:
        matrix = _with_data(given, given.data.copy())
        matrix.indices, matrix.indptr = given.indices.copy(), given.indptr.copy()
        return matrix
    matrix = sparse.csc_array(given, dtype=np.float64, copy=True)
    matrix.sum_duplicates()
    return matrix


def _with_data(matrix: sparse.csc_array, data: FloatArray) -> sparse.csc_array:
    """Copy a matrix with other entries but the same arrays of its pattern; much faster than making one."""
    new = object.__new__(type(matrix))
    new.__dict__.update(matrix.__dict__)
    new.data = data
    return new


def _check_blocks(blocks: Mapping[str, Block], size: int, kind: str) -> None:
    expected = 0
    for name, block in blocks.items():
        check_shape(block, kind)
        if block.name != name or block.start != expected:
            raise InvalidProgram(f"{kind} block {name!r} is {block}; blocks must follow each other without gaps")
        expected += block.size
    if expected != size:
        raise InvalidProgram(f"the {kind} blocks cover {expected} of {size} {kind}s")


def check_sense(sense: object, offset: object) -> None:
    """Require a direction and a finite offset."""
    if not isinstance(sense, str) or sense not in ("min", "max"):
        raise InvalidProgram(f"sense is {sense!r}; it must be 'min' or 'max'")
    number = isinstance(offset, int | float | np.integer | np.floating) and not isinstance(offset, bool)
    if not number or not abs(offset) <= np.finfo(np.float64).max:  # type: ignore[arg-type]
        raise InvalidProgram(f"offset is {offset!r:.80}; it must be a finite number")


def _blocks(given: object, kind: str) -> dict[str, Block]:
    if not isinstance(given, Mapping) or not all(isinstance(block, Block) for block in given.values()):
        raise InvalidProgram(f"the {kind} blocks are {given!r:.80}; give a dictionary of Block objects by name")
    return dict(given)


def check_shape(block: Block, kind: str) -> None:
    """Require a tuple of counts."""
    if not isinstance(block.name, str) or not block.name:
        raise InvalidProgram(f"{kind} block {block.name!r}: a name must be a string that is not empty")
    if not isinstance(block.shape, tuple) or not all(
        isinstance(k, int | np.integer) and not isinstance(k, bool) and k >= 0 for k in block.shape
    ):
        raise InvalidProgram(f"{kind} block {block.name!r} has shape {block.shape!r}; give a tuple of counts")


def require_program(program: object) -> None:
    """Raise :class:`InvalidProgram` unless this is a linear program."""
    if not isinstance(program, LinearProgram):
        hints = {"ProgramBuilder": "call its build()", "ExactProgram": "take solve_exact, or its rounded()"}
        hint = hints.get(type(program).__name__, "give a LinearProgram")
        raise InvalidProgram(f"program is {program!r:.80}; {hint}")


def find_block(blocks: Mapping[str, Block], name: str, kind: str) -> Block:
    """Look a block up by name; an unknown one is an error that lists those that exist."""
    if not isinstance(name, str) or name not in blocks:
        raise UnknownBlock(f"there is no {kind} block {name!r}; there are {', '.join(map(repr, blocks))}")
    return blocks[name]


def member(blocks: Mapping[str, Block], position: int | np.integer) -> str:
    """Name a flat position, such as ``z[0, 3, 1]``."""
    for block in _nonempty(blocks.values()):
        if block.start <= position < block.start + block.size:
            index = np.unravel_index(int(position) - block.start, block.shape)
            return f"{block.name}{[int(k) for k in index]}"
    return str(int(position))


def _nonempty(blocks: Iterable[Block]) -> Iterable[Block]:
    return (b for b in blocks if b.size)
