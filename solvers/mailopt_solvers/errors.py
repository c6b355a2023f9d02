"""Errors of the linear-programming layer, and the base of every error the project raises.

A solver that fails, a program without a feasible point, a program without a bound and a time limit are four
different things, and each has its own type.
"""


class MailoptError(Exception):
    """Base of every error raised on purpose by ``mailopt`` and ``mailopt_solvers``."""


class InvalidProgram(MailoptError, ValueError):
    """A linear program with wrong shapes, NaN, misplaced infinities or crossed bounds."""


class InvalidOption(MailoptError, ValueError):
    """An option with a value that does not exist; the message lists those that do."""


class UnknownBlock(MailoptError, KeyError):
    """A block of variables or rows that a program does not have; the message lists those that it has."""

    def __str__(self) -> str:
        """Without the quotes that KeyError adds."""
        return str(self.args[0]) if self.args else ""


class SolverError(MailoptError):
    """A linear program did not end with an optimal solution."""


class SolverFailed(SolverError):
    """The solver stopped without an answer, or its answer fails the check against the original data."""


class WrongAnswer(SolverFailed):
    """A solver's claim is refuted, or left without proof, by the program's own data, or it ignored an option."""


class Infeasible(SolverError):
    """No point satisfies the constraints, as a ray proves; with integers, as HiGHS says."""


class Unbounded(SolverError):
    """The objective improves without limit, as a feasible point and a ray prove."""


class TimeLimit(SolverError):
    """The solver ran out of time, or did not stop when its time was over; whatever it had is not an answer."""


class SolverNotInstalled(MailoptError, ImportError):
    """A solver was asked for by name and cannot be used here."""


class MalformedCollection(MailoptError, ValueError):
    """A collection of benchmark instances that cannot be read, or whose files are not what its manifest says."""


class MalformedResults(MailoptError, ValueError):
    """Results of a benchmark that cannot be read."""


class MissingDependency(MailoptError, ImportError):
    """An optional package is needed and not installed; the message names the extra."""


class WorkerLost(MailoptError):
    """A task whose worker process was lost, with all other tasks and alone; it has no result."""
