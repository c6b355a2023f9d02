"""Linear program in, checked solution out. Knows nothing of games and is usable alone."""

from mailopt_solvers.dispatch import solve
from mailopt_solvers.errors import (
    Infeasible,
    InvalidOption,
    InvalidProgram,
    MailoptError,
    SolverError,
    SolverFailed,
    SolverNotInstalled,
    TimeLimit,
    Unbounded,
    UnknownBlock,
)
from mailopt_solvers.program import Block, LinearProgram, ProgramBuilder
from mailopt_solvers.solution import Solution, Termination

__all__ = [
    "Block",
    "Infeasible",
    "InvalidOption",
    "InvalidProgram",
    "LinearProgram",
    "MailoptError",
    "ProgramBuilder",
    "Solution",
    "SolverError",
    "SolverFailed",
    "SolverNotInstalled",
    "Termination",
    "TimeLimit",
    "Unbounded",
    "UnknownBlock",
    "solve",
]
