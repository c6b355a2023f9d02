"""Optima in fractions, proved in rational arithmetic."""

from mailopt_solvers.exact.program import ExactProgram
from mailopt_solvers.exact.solve import ExactSolution, solve_exact

__all__ = ["ExactProgram", "ExactSolution", "solve_exact"]
