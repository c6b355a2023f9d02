"""MPS files: the exchange format of LP solvers.

Files are written with every digit that a double has (HiGHS itself writes 15, which loses some) and read by HiGHS, which
knows the dialects. Names carry the blocks: ``z[0,1]`` is a member of block ``z``.
"""

from __future__ import annotations

import gzip
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy import sparse

from mailopt_solvers.errors import InvalidProgram
from mailopt_solvers.files import replacing
from mailopt_solvers.program import Block, LinearProgram, require_program

_NAME = re.compile(r"[^\s\[\]$*][^\s\[\]]*")
_MEMBER = re.compile(r"(?P<block>[^\[\]]+)\[(?P<index>\d+(,\d+)*)\]")
_OBJECTIVE = "objective"


def write_mps(program: LinearProgram, path: str | os.PathLike[str]) -> None:
    """Write a program as an MPS file (free format), whole or not at all; compressed if the name ends in ``.gz``.

    Reading it back with :func:`read_mps` gives the same doubles and the same blocks, but for blocks without members.

    Raises
    ------
    InvalidProgram
        A name that MPS cannot hold (white space, brackets), or a row with two bounds that MPS cannot hold exactly: it
        stores one side and the distance to the other.
    OSError
        The file cannot be written.
    """
    require_program(program)
    text = "".join(f"{line}\n" for line in _lines(program))  # before anything is written
    with replacing(path) as file:
        content = text.encode("ascii")
        file.write(gzip.compress(content, mtime=0) if Path(path).suffix == ".gz" else content)


def read_mps(path: str | os.PathLike[str]) -> LinearProgram:
    """Read a program from an MPS file, also a compressed one, ``.mps.gz``.

    Variables and rows named like members of blocks, in order and complete, become blocks again; otherwise each is a
    block of its own, of shape ().

    Raises
    ------
    InvalidProgram
        Not an MPS file, not a linear program (integer variables, quadratic terms), or one that HiGHS would change:
        coefficients of at most 1e-12, unknown rows, duplicates.
    OSError
        The file cannot be read.
    """
    import highspy  # noqa: PLC0415

    source = Path(path)
    with source.open("rb"):
        pass  # a missing or unreadable file is an OSError, not a parse error
    highs = highspy.Highs()  # type: ignore[no-untyped-call]
    for name, value in {
        "log_to_console": False,
        "small_matrix_value": 1e-12,
        "infinite_bound": math.inf,
        "infinite_cost": math.inf,
    }.items():
        highs.setOptionValue(name, value)
    said: list[str] = []
    highs.cbLogging.subscribe(lambda event: said.append(event.message.strip()))
    status = highs.readModel(str(source))
    complaints = "; ".join(line for line in said if line.startswith(("WARNING", "ERROR")))
    if status.name == "kError":
        raise InvalidProgram(f"{source} is not an MPS file that HiGHS can read: {complaints}")
    model = highs.getModel()
    lp = model.lp_
    if any(kind.name != "kContinuous" for kind in lp.integrality_) or model.hessian_.dim_:
        raise InvalidProgram(f"{source} has integer variables or quadratic terms; only linear programs can be read")
    if complaints:
        raise InvalidProgram(f"HiGHS does not take {source} as it stands: {complaints}")
    size = (lp.num_row_, lp.num_col_)
    by_columns = lp.a_matrix_.format_ == highspy.MatrixFormat.kColwise
    arrays = (np.array(lp.a_matrix_.value_), np.array(lp.a_matrix_.index_), np.array(lp.a_matrix_.start_))
    matrix = sparse.csc_array(arrays, shape=size) if by_columns else sparse.csr_array(arrays, shape=size).tocsc()
    return LinearProgram(
        np.array(lp.col_cost_),
        matrix,
        np.array(lp.row_lower_),
        np.array(lp.row_upper_),
        np.array(lp.col_lower_),
        np.array(lp.col_upper_),
        "min" if lp.sense_ == highspy.ObjSense.kMinimize else "max",
        lp.offset_,
        _blocks(lp.col_names_),
        _blocks(lp.row_names_),
    )


def member_names(program: LinearProgram) -> tuple[list[str], list[str]]:
    """Names of the variables and of the rows in an MPS file.

    Raises
    ------
    InvalidProgram
        MPS cannot hold a name.
    """
    return _names(program.variables, "variable"), _names(program.rows, "row")


def _lines(program: LinearProgram) -> list[str]:
    columns, rows = member_names(program)
    sides = [_side(name, *bounds) for name, *bounds in zip(rows, program.row_lower, program.row_upper, strict=True)]
    lines = ["NAME mailopt FREE", "OBJSENSE", f"    {program.sense.upper()}", "ROWS", f" N {_OBJECTIVE}"]
    lines += [f" {kind} {name}" for name, (kind, _, _) in zip(rows, sides, strict=True)]
    lines.append("COLUMNS")
    matrix = program.matrix
    for j, name in enumerate(columns):
        lines.append(f" {name} {_OBJECTIVE} {_digits(program.costs[j])}")
        entries = range(matrix.indptr[j], matrix.indptr[j + 1])
        lines += [f" {name} {rows[matrix.indices[k]]} {_digits(matrix.data[k])}" for k in entries]
    lines += ["RHS", f" RHS {_OBJECTIVE} {_digits(-program.offset)}"]
    lines += [f" RHS {name} {_digits(rhs)}" for name, (_, rhs, _) in zip(rows, sides, strict=True) if rhs]
    lines.append("RANGES")
    lines += [f" RANGE {name} {_digits(r)}" for name, (_, _, r) in zip(rows, sides, strict=True) if r is not None]
    lines.append("BOUNDS")
    for name, low, high in zip(columns, program.lower, program.upper, strict=True):
        lines += _bounds(name, float(low), float(high))
    return [*lines, "ENDATA"]


def _side(name: str, low: float, high: float) -> tuple[str, float, float | None]:
    """Kind, right-hand side and range of a row."""
    if low == high:
        return "E", low, None
    if math.isinf(low) or math.isinf(high):
        # a free row is one from -inf on: as another N row it would be lost, for readers keep only the first
        return ("G", low, None) if math.isinf(high) else ("L", high, None)
    width = high - low
    for r in (width, np.nextafter(width, 0.0), np.nextafter(width, np.inf)):
        if low + r == high:
            return "G", low, float(r)
        if high - r == low:
            return "L", high, float(r)
    raise InvalidProgram(
        f"row {name} has bounds [{low!r}, {high!r}], which MPS cannot hold exactly as one side and a distance; "
        f"split it into two rows"
    )


def _bounds(name: str, low: float, high: float) -> Iterator[str]:
    if low == high:
        yield f" FX BOUND {name} {_digits(low)}"
        return
    if math.isinf(low):
        yield f" {'FR' if math.isinf(high) else 'MI'} BOUND {name}"
    elif low != 0:
        yield f" LO BOUND {name} {_digits(low)}"
    if not math.isinf(high):
        yield f" UP BOUND {name} {_digits(high)}"


def _digits(value: float) -> str:
    return repr(float(value))


def _names(blocks: Mapping[str, Block], kind: str) -> list[str]:
    names: list[str] = []
    for block in blocks.values():
        if not _NAME.fullmatch(block.name) or not block.name.isascii() or block.name == _OBJECTIVE:
            raise InvalidProgram(f"{kind} block {block.name!r} cannot be a name in an MPS file")
        names += [
            f"{block.name}[{','.join(map(str, index))}]" if index else block.name for index in np.ndindex(*block.shape)
        ]
    return names


def _blocks(names: Sequence[str]) -> dict[str, Block]:
    """Blocks that the names spell, or one of shape () for each name."""
    members: dict[str, list[tuple[int, ...]]] = {}
    order: list[str] = []
    for name in names:
        match = _MEMBER.fullmatch(name)
        block = match["block"] if match else name
        index = tuple(map(int, match["index"].split(","))) if match else ()
        if not order or order[-1] != block:
            order.append(block)
        members.setdefault(block, []).append(index)
    shapes = {block: tuple(k + 1 for k in indices[-1]) for block, indices in members.items()}
    complete = len(order) == len(members) and all(
        math.prod(shapes[block]) == len(indices) and indices == list(np.ndindex(*shapes[block]))
        for block, indices in members.items()
    )
    if not complete:
        shapes = dict.fromkeys(names, ())
    blocks, start = {}, 0
    for name, shape in shapes.items():
        blocks[name] = Block(name, start, shape)
        start += math.prod(shape)
    return blocks
