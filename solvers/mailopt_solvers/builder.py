"""Assemble a linear program from whole blocks of variables and rows, never entry by entry."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from mailopt_solvers.errors import InvalidProgram
from mailopt_solvers.program import (
    Block,
    FloatArray,
    LinearProgram,
    Sense,
    check_sense,
    check_shape,
    doubles,
    find_block,
)

Bound = float | FloatArray
Terms = Mapping[Block, Any] | Mapping[str, Any]
"""Matrices, sparse or full, by block or its name."""


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
        check_sense(sense, offset)
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
        block = next_block(self._variables, name, shape, "variable")
        columns = (spread(costs, block, "costs"), spread(lower, block, "lower"), spread(upper, block, "upper"))
        self._variables[name] = block
        self._columns.append(columns)
        return block

    def add_rows(
        self,
        name: str,
        shape: tuple[int, ...],
        terms: Terms,
        *,
        lower: Bound = -math.inf,
        upper: Bound = math.inf,
    ) -> Block:
        """Add a block of rows ``lower <= sum over blocks of M x_block <= upper``.

        The terms are matrices M, sparse or full, by variable block or its name: one row per member of the new block,
        one column per member of the variable block.
        """
        block = next_block(self._rows, name, shape, "row")
        found = []
        for key, given in check_terms(terms).items():
            variables = find_block(self._variables, key.name if isinstance(key, Block) else key, "variable")
            if isinstance(key, Block) and key != variables:
                raise InvalidProgram(f"row block {name!r}: variable block {key.name!r} is not of this builder")
            found.append((variables.start, entries(given, (block.size, variables.size), name, variables.name)))
        sides = (spread(lower, block, "lower"), spread(upper, block, "upper"))
        self._rows[name] = block
        self._sides.append(sides)
        self._terms += [(block.start, start, matrix) for start, matrix in found]
        return block

    def build(self) -> LinearProgram:
        """Return the program; its columns and rows stand in the order in which blocks were added."""
        n = sum(b.size for b in self._variables.values())
        m = sum(b.size for b in self._rows.values())
        return LinearProgram(
            costs=_concatenate([c for c, _, _ in self._columns]),
            matrix=sparse.csc_array(_placed(self._terms, (m, n))),
            row_lower=_concatenate([low for low, _ in self._sides]),
            row_upper=_concatenate([up for _, up in self._sides]),
            lower=_concatenate([low for _, low, _ in self._columns]),
            upper=_concatenate([up for _, _, up in self._columns]),
            sense=self._sense,
            offset=self._offset,
            variables=self._variables,
            rows=self._rows,
        )


def next_block(blocks: Mapping[str, Block], name: str, shape: tuple[int, ...], kind: str) -> Block:
    """Block that follows those that exist, if its name is new and its shape one."""
    if name in blocks:
        raise InvalidProgram(f"{kind} block {name!r} exists already")
    block = Block(name, sum(b.size for b in blocks.values()), shape)
    check_shape(block, kind)
    return block


def spread(value: Bound, block: Block, what: str) -> FloatArray:
    """One number per member of a block, flat, from a number or an array of the block's shape."""
    array = doubles(value, f"{what} of block {block.name!r}")
    try:
        return np.broadcast_to(array, block.shape).ravel()
    except ValueError:
        raise InvalidProgram(
            f"{what} of block {block.name!r} has shape {array.shape}, expected a number or shape {block.shape}"
        ) from None


def check_terms(terms: object) -> Mapping[Any, Any]:
    """Require a dictionary."""
    if not isinstance(terms, Mapping):
        raise InvalidProgram(f"terms is {terms!r:.80}; give a dictionary of matrices by block")
    return terms


def entries(matrix: Any, shape: tuple[int, int], new: str, old: str) -> sparse.coo_array:
    """Entries of a matrix, sparse or full, of the shape that two blocks ask for."""
    array = matrix if sparse.issparse(matrix) else doubles(matrix, f"block {new!r}: the matrix on {old!r}")
    if array.shape != shape or array.dtype.kind not in "iuf":
        raise InvalidProgram(
            f"block {new!r}: the matrix on {old!r} has shape {array.shape} and dtype {array.dtype}, expected {shape} "
            f"real numbers"
        )
    return sparse.coo_array(array)


def stacked(terms: Terms, blocks: Mapping[str, Block], size: int, new: Block, kind: str) -> sparse.coo_array:
    """Place one matrix (old block's size, new block's size) per named block below each other, (size, new size)."""
    parts = []
    for key, matrix in terms.items():
        block = find_block(blocks, key.name if isinstance(key, Block) else key, kind)
        parts.append((block.start, 0, entries(matrix, (block.size, new.size), new.name, block.name)))
    return _placed(parts, (size, new.size))


def _placed(parts: list[tuple[int, int, sparse.coo_array]], shape: tuple[int, int]) -> sparse.coo_array:
    """Put matrices into one, each from its first row and its first column on."""
    return sparse.coo_array(
        (
            _concatenate([part.data for _, _, part in parts]),
            (
                _concatenate([part.coords[0] + row for row, _, part in parts], np.int64),
                _concatenate([part.coords[1] + column for _, column, part in parts], np.int64),
            ),
        ),
        shape=shape,
    )


def _concatenate(parts: list[npt.NDArray[Any]], dtype: npt.DTypeLike = np.float64) -> npt.NDArray[Any]:
    return np.concatenate(parts).astype(dtype, copy=False) if parts else np.zeros(0, dtype=dtype)
