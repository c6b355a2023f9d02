"""The same optimum in another shape: duals, repeated rows, bad scaling."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import sparse

from mailopt_solvers import Block, LinearProgram, ProgramBuilder

_SCALES = 13  # powers of two from 2^-12 to 2^12


def dual(program: LinearProgram) -> LinearProgram:
    """Dual of a maximisation of c x subject to A x = b, with variables free, at least 0, or fixed at 0::

        minimise    b y
        subject to  (A'y)_j = c_j for free variables,  (A'y)_j >= c_j for those of at least 0;  y free

    Of the deviation occupancy program it is the program of value functions.
    """  # noqa: D400 - the program ends the first line
    assert program.sense == "max"
    assert np.array_equal(program.row_lower, program.row_upper)
    free, fixed = np.isinf(program.lower), program.upper == 0
    assert np.isinf(program.upper[~fixed]).all()
    assert not program.lower[~free].any()
    kept = np.flatnonzero(~fixed)
    builder = ProgramBuilder("min", program.offset)
    y = builder.add_variables("y", (program.num_rows,), lower=-np.inf, costs=program.row_lower)
    sides = program.costs[kept]
    builder.add_rows(
        "priced",
        (kept.size,),
        {y: sparse.csr_array(program.matrix[:, kept].T)},
        lower=sides,
        upper=np.where(free[kept], sides, np.inf),
    )
    return builder.build()


def repeated(program: LinearProgram) -> LinearProgram:
    """Give every row twice, so that half of them are redundant and bases are degenerate."""
    rows = {"rows": Block("rows", 0, (2 * program.num_rows,))}
    twice = sparse.csc_array(sparse.vstack([program.matrix, program.matrix]))
    lower, upper = np.tile(program.row_lower, 2), np.tile(program.row_upper, 2)
    return replace(program, matrix=twice, rows=rows, row_lower=lower, row_upper=upper)


def scaled(program: LinearProgram, seed: int) -> LinearProgram:
    """Scale rows and columns by random powers of two, 2^-12 to 2^12, which rounds nothing."""
    rng = np.random.default_rng(seed)
    rows = np.exp2(rng.integers(1 - _SCALES, _SCALES, program.num_rows))
    columns = np.exp2(rng.integers(1 - _SCALES, _SCALES, program.num_variables))
    matrix = sparse.csc_array(sparse.diags_array(rows) @ program.matrix @ sparse.diags_array(columns))
    return replace(
        program,
        costs=program.costs * columns,
        matrix=matrix,
        row_lower=program.row_lower * rows,
        row_upper=program.row_upper * rows,
        lower=program.lower / columns,
        upper=program.upper / columns,
    )


def writable(program: LinearProgram) -> LinearProgram:
    """Make a program that comes back from an MPS file as it is: block names without white space, no stored zeros."""

    def renamed(blocks: dict[str, Block]) -> dict[str, Block]:
        return {name.replace(" ", "_"): replace(b, name=name.replace(" ", "_")) for name, b in blocks.items()}

    matrix = program.matrix.copy()
    matrix.eliminate_zeros()
    return replace(program, matrix=matrix, variables=renamed(dict(program.variables)), rows=renamed(dict(program.rows)))
