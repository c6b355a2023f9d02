"""Many programs of one pattern, such as the stage games of one step of a Markov game, at the price of the solver alone.

Handing over, reading back and checking one small program costs more than solving it. Here the numbers of all programs
come as arrays with one more axis, one HiGHS object is kept, and all answers are checked against the data at once.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from mailopt_solvers.backends.highs import Highs, HighsModel
from mailopt_solvers.dispatch import check_time_limit, remaining, solve
from mailopt_solvers.errors import InvalidProgram, MailoptError, TimeLimit
from mailopt_solvers.program import FloatArray, Frame, LinearProgram, Numbers, doubles, find_block
from mailopt_solvers.registry import highs_for
from mailopt_solvers.residuals import BoolArray, Candidate, Sizes, acceptable, relative, residuals
from mailopt_solvers.solver import Request
from mailopt_solvers.supervision import QUICK, supervised

_CHUNK = 1 << 22  # numbers in one temporary array of the check


@dataclass(frozen=True, eq=False, repr=False)
class BatchSolution:
    """Optimal solutions of K programs of one pattern.

    Attributes
    ----------
    program
        The pattern: blocks, sense, offset, and all numbers that do not vary.
    x, row_duals, reduced_costs
        Points (K, n), row duals (K, m) and reduced costs (K, n), in the signs of :class:`Solution`.
    objective
        Objective values c x + offset, shape (K,), computed from the original data.
    attempts
        For each program that the batch run did not settle, what failed before it was solved on its own.
    solver, version
        Provenance.
    solve_time
        Seconds for everything.
    """

    program: LinearProgram
    x: FloatArray
    row_duals: FloatArray
    reduced_costs: FloatArray
    objective: FloatArray
    attempts: dict[int, tuple[str, ...]]
    solver: str
    version: str
    solve_time: float

    def __len__(self) -> int:
        """Count the programs."""
        return len(self.x)

    def __getitem__(self, name: str) -> FloatArray:
        """Values of a variable block, shape (K, *block shape)."""
        block = find_block(self.program.variables, name, "variable")
        return self.x[:, block.slice].reshape(-1, *block.shape)

    def duals(self, name: str) -> FloatArray:
        """Duals of a row block, shape (K, *block shape)."""
        block = find_block(self.program.rows, name, "row")
        return self.row_duals[:, block.slice].reshape(-1, *block.shape)

    def __repr__(self) -> str:
        """Size in one line."""
        return f"BatchSolution({len(self)} of {self.program!r}, {self.solver})"


def solve_batch(
    program: LinearProgram, *, solver: Highs | None = None, time_limit: float | None = None, **parts: FloatArray
) -> BatchSolution:
    """Solve K programs that differ only in their numbers, and check every answer against its own data.

    Parameters
    ----------
    program
        The pattern, with the numbers that do not vary.
    solver
        A :class:`Highs` object; by default what :func:`select_solver` takes for the program.
    time_limit
        Seconds for all of them.
    parts
        What varies, each with K in front: ``costs`` (K, n), ``coefficients`` (K, nonzeros; the stored entries of A,
        column by column), ``row_lower``, ``row_upper`` (K, m), ``lower``, ``upper`` (K, n).

    Returns
    -------
    BatchSolution
        Each program is solved from scratch, so the order does not matter. One whose answer fails the check is solved
        again by :func:`solve` with its fallbacks.

    Raises
    ------
    InvalidProgram
        Numbers of the wrong shape, or as for :class:`LinearProgram`; the message says in which program.
    Infeasible, Unbounded, SolverFailed
        One of them has no optimum; the message says which.
    TimeLimit
        Out of time; the message says at which program.

    Examples
    --------
    >>> import numpy as np
    >>> from mailopt_solvers import ProgramBuilder, solve_batch
    >>> builder = ProgramBuilder("max")
    >>> x = builder.add_variables("x", (2,), upper=np.array([1.0, 2.0]))
    >>> solve_batch(builder.build(), costs=np.array([[1.0, 1.0], [-1.0, 3.0]])).objective
    array([3., 6.])
    """
    check_time_limit(time_limit)
    solver = highs_for(program, solver)
    started = time.perf_counter()
    deadline = None if time_limit is None else started + time_limit
    data = _Data(program, parts)
    x, row_duals = np.zeros((data.count, program.num_variables)), np.zeros((data.count, program.num_rows))
    claimed = np.zeros(data.count, dtype=bool)
    model = HighsModel(solver)

    def run(stop: threading.Event | None) -> None:
        for k in range(data.count):
            if deadline is not None and time.perf_counter() >= deadline:
                raise TimeLimit(f"out of time after {k} of {data.count} programs; raise time_limit = {time_limit}")
            if stop is not None:
                if stop.is_set():
                    return
                model.prepare(Request(remaining(deadline), None, stop))
            claimed[k] = model.solve_raw(program, data.numbers(k), x[k], row_duals[k])

    if time_limit is None and program.num_nonzeros <= QUICK:
        run(None)  # Ctrl-C comes between two programs
    else:
        stop = threading.Event()
        supervised(lambda: run(stop), solver.name, time_limit, stop)
    good = claimed & data.passing(x, row_duals, solver.tolerance)
    attempts = {}
    for k in map(int, np.flatnonzero(~good)):
        try:
            alone = solve(data.program(k), solver, time_limit=remaining(deadline)).require_optimal()
        except MailoptError as error:
            raise type(error)(f"program {k} of {data.count}: {error}") from error
        x[k], row_duals[k] = alone.x, alone.row_duals
        attempts[k] = ("the answer in the batch failed the check", *alone.attempts)
    candidate = data.candidate(slice(None), x, row_duals)
    return BatchSolution(
        program,
        x,
        row_duals,
        candidate.reduced_costs,
        residuals(candidate).objective,
        attempts,
        solver.name,
        model.version,
        time.perf_counter() - started,
    )


class _Data:
    """Numbers of K programs; what does not vary is held once."""

    def __init__(self, program: LinearProgram, parts: dict[str, FloatArray]) -> None:
        self.pattern = program
        self.parts = {name: self._checked(name, values) for name, values in parts.items()}
        counts = {len(values) for values in self.parts.values()}
        if len(counts) != 1:
            raise InvalidProgram(f"give at least one part, all of one length; got lengths {sorted(counts)}")
        self.count = counts.pop()
        matrix = program.matrix
        entries, ones = np.arange(matrix.nnz), np.ones(matrix.nnz)
        self._columns = program.entry_columns
        self._to_rows = sparse.csr_array((ones, (entries, matrix.indices)), shape=(matrix.nnz, program.num_rows))
        self._to_columns = sparse.csr_array((ones, (entries, self._columns)), shape=(matrix.nnz, program.num_variables))
        for k in np.flatnonzero(self._suspect()):
            self.program(int(k))  # raises, naming what is wrong

    def _checked(self, name: str, values: FloatArray) -> FloatArray:
        if name not in Numbers._fields:
            raise InvalidProgram(f"a program has no {name}; give any of {', '.join(Numbers._fields)}")
        array, size = doubles(values, name), getattr(self.pattern.numbers, name).size
        if array.ndim != 2 or array.shape[1] != size:
            raise InvalidProgram(f"{name} has shape {array.shape}, expected (K, {size})")
        return array

    def _suspect(self) -> BoolArray:
        """Which programs, (K,), have numbers that must not be."""
        p = self.numbers(slice(None))
        good = np.isfinite(p.costs).all(axis=-1) & np.isfinite(p.coefficients).all(axis=-1)
        for lower, upper in ((p.row_lower, p.row_upper), (p.lower, p.upper)):
            good = good & ((lower <= upper) & (lower < np.inf) & (upper > -np.inf)).all(axis=-1)
        return np.broadcast_to(~good, self.count)

    def program(self, k: int) -> LinearProgram:
        """One of them, as a program."""
        try:
            return self.pattern.changed(**{name: values[k] for name, values in self.parts.items()})
        except InvalidProgram as error:
            raise InvalidProgram(f"program {k} of {self.count}: {error}") from error

    def numbers(self, here: int | slice) -> Numbers:
        """Numbers of one or of some programs; what does not vary comes without the axis of programs."""
        return self.pattern.numbers._replace(**{name: values[here] for name, values in self.parts.items()})

    def passing(self, x: FloatArray, row_duals: FloatArray, tolerance: float) -> BoolArray:
        """Which answers pass the check of :mod:`mailopt_solvers.verification`, shape (K,)."""
        found = np.zeros(self.count, dtype=bool)
        step = max(1, _CHUNK // (1 + self.pattern.num_nonzeros + self.pattern.num_rows + self.pattern.num_variables))
        for here in (slice(start, start + step) for start in range(0, self.count, step)):
            candidate = self.candidate(here, x[here], row_duals[here])
            size = np.abs(self.numbers(here).coefficients)
            sums = self._products(size, np.ones_like(x[here]), np.ones_like(row_duals[here]))
            good = acceptable(residuals(candidate), candidate, sums, tolerance)
            if not good.all():
                sizes = Sizes(*self._products(size, np.abs(x[here]), np.abs(row_duals[here])), sums)
                good = good | (np.max(list(relative(candidate, sizes).values()), axis=0) <= tolerance)
            found[here] = good
        return found

    def candidate(self, here: slice, x: FloatArray, row_duals: FloatArray) -> Candidate:
        """Gather what the check looks at, for a run of programs."""
        pattern, numbers = self.pattern, self.numbers(here)
        activities, pulls = self._products(numbers.coefficients, x, row_duals)
        frame = pattern.frame
        if not self.parts.keys().isdisjoint(("row_lower", "row_upper", "lower", "upper")):
            frame = Frame.of(
                _side_by_side(len(x), numbers.row_lower, numbers.lower),
                _side_by_side(len(x), numbers.row_upper, numbers.upper),
            )
        return Candidate(
            pattern.sense, pattern.offset, frame, numbers.costs, x, activities, row_duals, numbers.costs - pulls
        )

    def _products(self, coefficients: FloatArray, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Compute A x and A'y for each program."""
        terms = coefficients * x[:, self._columns]
        pulls = coefficients * y[:, self.pattern.matrix.indices]
        return np.asarray(terms @ self._to_rows), np.asarray(pulls @ self._to_columns)


def _side_by_side(count: int, rows: FloatArray, variables: FloatArray) -> FloatArray:
    """Join (K, m) and (K, n), either perhaps without its first axis."""
    return np.concatenate([np.broadcast_to(part, (count, part.shape[-1])) for part in (rows, variables)], axis=1)
