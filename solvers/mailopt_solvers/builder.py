"""Assemble a linear program from whole blocks of variables and rows, never entry by entry."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from mailopt_solvers.errors import InvalidProgram
from mailopt_solvers.program import Block, FloatArray, LinearProgram, Sense, check_shape, doubles, find_block

Bound = float | FloatArray


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
        block = next_block(self._variables, name, shape, "variable")
        columns = (spread(costs, block, "costs"), spread(lower, block, "lower"), spread(upper, block, "upper"))
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
        block = next_block(self._rows, name, shape, "row")
        for variables, matrix in terms.items():
            if self._variables.get(variables.name) != variables:
                raise InvalidProgram(f"row block {name!r}: variable block {variables.name!r} is not of this builder")
            if matrix.shape != (block.size, variables.size):
                raise InvalidProgram(
                    f"row block {name!r}: the matrix on {variables.name!r} has shape {matrix.shape}, "
                    f"expected {(block.size, variables.size)}"
                )
        sides = (spread(lower, block, "lower"), spread(upper, block, "upper"))
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


def stacked(
    terms: Mapping[str, sparse.sparray], blocks: Mapping[str, Block], size: int, new: Block, kind: str
) -> sparse.coo_array:
    """Place one matrix (old block's size, new block's size) per named block below each other, (size, new size)."""
    parts = []
    for name, matrix in terms.items():
        block = find_block(blocks, name, kind)
        if matrix.shape != (block.size, new.size):
            raise InvalidProgram(
                f"block {new.name!r}: the matrix on {name!r} has {matrix.shape} entries (old by new), "
                f"expected {(block.size, new.size)}"
            )
        parts.append((block.start, sparse.coo_array(matrix)))
    return sparse.coo_array(
        (
            _concatenate([t.data for _, t in parts]),
            (
                _concatenate([t.coords[0] + row for row, t in parts], np.int64),
                _concatenate([t.coords[1] for _, t in parts], np.int64),
            ),
        ),
        shape=(size, new.size),
    )


def _concatenate(parts: list[npt.NDArray[Any]], dtype: npt.DTypeLike = np.float64) -> npt.NDArray[Any]:
    return np.concatenate(parts).astype(dtype, copy=False) if parts else np.zeros(0, dtype=dtype)
