"""What is handed to a process that solves, and what comes back."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import IO

from mailopt_solvers.program import FloatArray, LinearProgram
from mailopt_solvers.solver import Solver

LENGTH = struct.Struct("<Q")
PATIENCE = struct.Struct("<d")  # seconds, in front of a pickled task
READY = b"ready"
_LONGEST = 300  # characters of what solvers say


@dataclass(frozen=True)
class Task:
    """What a process is to do: solve programs one after the other, warm from the basis before or each from scratch.

    Attributes
    ----------
    solver
        The solver; its answers are not checked here.
    programs
        What to solve.
    warm
        Whether to start from the basis of the program before.
    time_limit
        Seconds for each.
    memory_limit
        Bytes of data that solving may add, in each process, or None.
    repeats
        How often what takes less than a tenth of a second is solved; the median time counts.
    """

    solver: Solver
    programs: tuple[LinearProgram, ...]
    warm: bool
    time_limit: float
    memory_limit: int | None
    repeats: int


@dataclass(frozen=True)
class Answered:
    """What a solver said of one program: finite arrays of the right shapes, or None."""

    x: FloatArray | None
    row_duals: FloatArray | None
    iterations: int | None
    solve_seconds: float
    build_seconds: float


@dataclass(frozen=True)
class Outcome:
    """How a task ended.

    Attributes
    ----------
    status
        The solver's claim for the last program: ``optimal``, ``infeasible``, ``unbounded``, ``time_limit``, ``failed``;
        or what happened instead: ``refused`` (an error of the solver), ``out_of_time`` and ``out_of_memory`` (stopped
        from outside), ``crashed``.
    answers
        Of the programs that were answered.
    version, detail
        The solver's version and own words, or the error.
    wall_seconds
        Of everything, repetitions aside.
    memory
        Largest number of bytes that solving added to its process, or None where that is not known.
    """

    status: str
    answers: tuple[Answered, ...] = ()
    version: str = ""
    detail: str = ""
    wall_seconds: float = 0.0
    memory: int | None = None


def read_frame(stream: IO[bytes]) -> bytes | None:
    """Read a frame; None at the end of the stream."""
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (size,) = LENGTH.unpack(head)
    content = stream.read(size)
    return content if len(content) == size else None


def line(words: object) -> str:
    """Make one printable line, not too long, of what a solver says."""
    text = "".join(c if c.isprintable() else " " for c in str(words)[: 4 * _LONGEST])
    return " ".join(text.encode(errors="replace").decode().split())[:_LONGEST]


def frame(content: bytes) -> bytes:
    """Put the length in front."""
    return LENGTH.pack(len(content)) + content
