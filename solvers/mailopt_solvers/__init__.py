"""Linear program in, checked solution out. Knows nothing of games and is usable alone."""

from mailopt_solvers.backends.cvxpy_bridge import Cvxpy
from mailopt_solvers.backends.highs import Highs
from mailopt_solvers.backends.ortools_process import Ortools
from mailopt_solvers.backends.scipy_linprog import Scipy
from mailopt_solvers.basis import Basis, BasisStatus
from mailopt_solvers.batch import BatchSolution, solve_batch
from mailopt_solvers.bounds import dual_bound
from mailopt_solvers.builder import ProgramBuilder
from mailopt_solvers.dispatch import solve
from mailopt_solvers.engines import Engine
from mailopt_solvers.errors import (
    Infeasible,
    InvalidOption,
    InvalidProgram,
    MailoptError,
    MalformedCollection,
    MalformedResults,
    MissingDependency,
    SolverError,
    SolverFailed,
    SolverNotInstalled,
    TimeLimit,
    Unbounded,
    UnknownBlock,
    WorkerLost,
    WrongAnswer,
)
from mailopt_solvers.exact import ExactProgram, ExactSolution, solve_exact
from mailopt_solvers.mixed_integer import MixedIntegerSolution, solve_mixed_integer
from mailopt_solvers.mps import read_mps, write_mps
from mailopt_solvers.program import Block, LinearProgram
from mailopt_solvers.quadratic import QuadraticSolution, solve_quadratic
from mailopt_solvers.registry import Selection, available_solvers, missing_solvers, select_solver, solver_named
from mailopt_solvers.session import HighsSession
from mailopt_solvers.solution import PointStatus, Solution, Termination
from mailopt_solvers.solver import Answer, Capability, Request, Solver

__all__ = [
    "Answer",
    "Basis",
    "BasisStatus",
    "BatchSolution",
    "Block",
    "Capability",
    "Cvxpy",
    "Engine",
    "ExactProgram",
    "ExactSolution",
    "Highs",
    "HighsSession",
    "Infeasible",
    "InvalidOption",
    "InvalidProgram",
    "LinearProgram",
    "MailoptError",
    "MalformedCollection",
    "MalformedResults",
    "MissingDependency",
    "MixedIntegerSolution",
    "Ortools",
    "PointStatus",
    "ProgramBuilder",
    "QuadraticSolution",
    "Request",
    "Scipy",
    "Selection",
    "Solution",
    "Solver",
    "SolverError",
    "SolverFailed",
    "SolverNotInstalled",
    "Termination",
    "TimeLimit",
    "Unbounded",
    "UnknownBlock",
    "WorkerLost",
    "WrongAnswer",
    "available_solvers",
    "dual_bound",
    "missing_solvers",
    "read_mps",
    "select_solver",
    "solve",
    "solve_batch",
    "solve_exact",
    "solve_mixed_integer",
    "solve_quadratic",
    "solver_named",
    "write_mps",
]
