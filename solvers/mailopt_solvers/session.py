"""A program that changes a little at a time, re-solved by HiGHS from where it stopped."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

import numpy as np
from scipy import sparse

from mailopt_solvers.backends.highs import Highs, HighsModel
from mailopt_solvers.basis import Basis
from mailopt_solvers.builder import Bound, Terms, check_terms, next_block, spread, stacked
from mailopt_solvers.dispatch import Attempt, basis_of, check_time_limit, first_success, no_optimum, prover, remaining
from mailopt_solvers.errors import InvalidProgram
from mailopt_solvers.program import Block, FloatArray, LinearProgram, find_block, require_program
from mailopt_solvers.registry import highs_for
from mailopt_solvers.solution import Solution
from mailopt_solvers.solver import Answer, Request, Solver
from mailopt_solvers.supervision import answered
from mailopt_solvers.verification import verified


class HighsSession:
    """An incremental linear program: change it, solve it again from the last basis.

    Every answer is checked against the program's own data. Where the warm answer fails the check, the program is solved
    cold, then by the other methods of :meth:`Highs.fallbacks`; :attr:`Solution.attempts` records what failed.

    Parameters
    ----------
    program
        The program to begin with.
    solver
        A :class:`Highs` object; by default what :func:`select_solver` takes for the program.

    Attributes
    ----------
    program
        The program as it stands. Programs are immutable: solutions keep the one that they answer.

    Raises
    ------
    InvalidOption
        ``solver`` is no :class:`Highs` object.
    SolverNotInstalled
        HiGHS, or the method, is not there.

    Examples
    --------
    A cutting plane: x + 2y at most is 4 on the square [0, 2]^2 below x + y <= 2.

    >>> import numpy as np
    >>> from scipy import sparse
    >>> from mailopt_solvers import HighsSession, ProgramBuilder
    >>> builder = ProgramBuilder("max")
    >>> x = builder.add_variables("x", (2,), upper=2.0, costs=np.array([1.0, 2.0]))
    >>> session = HighsSession(builder.build())
    >>> session.solve().objective
    6.0
    >>> cut = session.add_rows("cut", (1,), {"x": sparse.csr_array([[1.0, 1.0]])}, upper=2.0)
    >>> session.solve().objective
    4.0
    """

    def __init__(self, program: LinearProgram, solver: Highs | None = None) -> None:
        solver = highs_for(program, solver)
        self.program = program
        self._solver = solver
        self._model: HighsModel | None = None
        self._loaded = False
        self._warm = False
        self._start: Basis | None = None

    def load(self, program: LinearProgram) -> None:
        """Take another program and solve it from scratch, in the same HiGHS object."""
        require_program(program)
        self._drop_basis()
        self.program = program

    def update(self, **parts: FloatArray) -> None:
        """Replace whole flat arrays at once: the ``parts`` of :meth:`LinearProgram.changed`.

        After new ``coefficients`` the next solve is a cold one unless :meth:`set_basis` says otherwise: the last basis
        belongs to another matrix.
        """
        self.program = self.program.changed(**parts)
        if "coefficients" in parts:
            self._drop_basis()
        elif self._loaded and self._model is not None:
            self._model.change(self.program, parts.keys())

    def set_costs(self, values: Bound, block: str | None = None) -> None:
        """Replace the costs of a block of variables, or of all (flat) if none is named."""
        self.update(costs=self._filled(self.program.costs, self.program.variables, block, values, "variable"))

    def set_bounds(self, *, lower: Bound | None = None, upper: Bound | None = None, block: str | None = None) -> None:
        """Replace bounds of a block of variables, or of all (flat); what is None stays."""
        self._set_sides({"lower": lower, "upper": upper}, self.program.variables, block, "variable")

    def set_row_bounds(
        self, *, lower: Bound | None = None, upper: Bound | None = None, block: str | None = None
    ) -> None:
        """Replace bounds of a block of rows, or of all (flat); what is None stays."""
        self._set_sides({"row_lower": lower, "row_upper": upper}, self.program.rows, block, "row")

    def add_variables(
        self,
        name: str,
        shape: tuple[int, ...],
        terms: Terms | None = None,
        *,
        lower: Bound = 0.0,
        upper: Bound = np.inf,
        costs: Bound = 0.0,
    ) -> Block:
        """Add a block of variables with its columns; the last basis stays good.

        Parameters
        ----------
        name, shape, lower, upper, costs
            As in :meth:`ProgramBuilder.add_variables`.
        terms
            For row blocks by name, their coefficients of the new variables: (row block's size, new block's size).

        Returns
        -------
        The new block.
        """
        old = self.program
        block = next_block(dict(old.variables), name, shape, "variable")
        columns = stacked(check_terms(terms or {}), old.rows, old.num_rows, block, "row").tocsc()
        values = [spread(v, block, what) for v, what in ((costs, "costs"), (lower, "lower"), (upper, "upper"))]
        self.program = LinearProgram(
            np.concatenate((old.costs, values[0])),
            sparse.hstack((old.matrix, columns), format="csc"),
            old.row_lower,
            old.row_upper,
            np.concatenate((old.lower, values[1])),
            np.concatenate((old.upper, values[2])),
            old.sense,
            old.offset,
            {**old.variables, name: block},
            old.rows,
        )
        if self._loaded and self._model is not None:
            self._model.add_columns(self.program, block.start)
        self._start = None
        return block

    def add_rows(
        self,
        name: str,
        shape: tuple[int, ...],
        terms: Terms,
        *,
        lower: Bound = -np.inf,
        upper: Bound = np.inf,
    ) -> Block:
        """Add a block of rows; the last basis stays good.

        Parameters
        ----------
        name, shape, lower, upper
            As in :meth:`ProgramBuilder.add_rows`.
        terms
            For variable blocks by name, their coefficients in the new rows: (new block's size, variable block's size).

        Returns
        -------
        The new block.
        """
        old = self.program
        block = next_block(dict(old.rows), name, shape, "row")
        turned = {key: (m if sparse.issparse(m) else np.asarray(m)).T for key, m in check_terms(terms).items()}
        rows = stacked(turned, old.variables, old.num_variables, block, "variable").T.tocsr()
        low, high = spread(lower, block, "lower"), spread(upper, block, "upper")
        self.program = LinearProgram(
            old.costs,
            sparse.vstack((old.matrix, rows), format="csc"),
            np.concatenate((old.row_lower, low)),
            np.concatenate((old.row_upper, high)),
            old.lower,
            old.upper,
            old.sense,
            old.offset,
            old.variables,
            {**old.rows, name: block},
        )
        if self._loaded and self._model is not None:
            self._model.add_rows(low, high, rows)
        self._start = None
        return block

    def set_basis(self, basis: Basis | Solution) -> None:
        """Start the next solve from a basis, or from that of a solution.

        Raises
        ------
        InvalidProgram
            It does not fit the program.
        """
        self._start = basis_of(basis).require_fit(self.program)

    def solve(self, *, time_limit: float | None = None) -> Solution:
        """Solve the program as it stands, from the last basis or the one that was given.

        Raises
        ------
        As :func:`mailopt_solvers.solve`.
        """
        check_time_limit(time_limit)
        deadline = None if time_limit is None else time.perf_counter() + time_limit
        return first_success(self._attempts(deadline))

    def _attempts(self, deadline: float | None) -> Iterator[Attempt[Solution]]:
        program, solver = self.program, self._solver

        def here(attempts: tuple[str, ...]) -> Solution:
            answer = self._run(Request(remaining(deadline)))
            return verified(program, answer, solver, prover(deadline), attempts)

        if self._warm or self._start is not None:
            yield f"{solver!r} from the last basis", here
            self._drop_basis()
        yield f"{solver!r} from scratch", here
        self._drop_basis()
        for other in solver.fallbacks():

            def there(attempts: tuple[str, ...], other: Solver = other) -> Solution:
                answer = answered(other, program, Request(remaining(deadline)))
                return verified(program, answer, other, prover(deadline), attempts)

            yield repr(other), there
        if solver.fallbacks():
            yield no_optimum(program, solver, deadline)

    def _run(self, request: Request) -> Answer:
        """Bring HiGHS up to date and run it; if that breaks off, its object is not used again."""
        model, self._model = self._model, None
        started = time.perf_counter()
        if model is None:
            model, self._loaded = HighsModel(self._solver), False
        if not self._loaded:
            model.load(self.program)
        if self._start is not None:
            model.set_basis(self._start)
        ready = time.perf_counter() - started
        kept = model
        answer = answered(self._solver, self.program, request, lambda p, r: kept.run(p, r, build_time=ready))
        self._model, self._loaded, self._warm, self._start = model, True, True, None
        return answer

    def _drop_basis(self) -> None:
        """Make the next solve a cold one."""
        self._loaded, self._warm, self._start = False, False, None

    def _set_sides(
        self, sides: Mapping[str, Bound | None], blocks: Mapping[str, Block], block: str | None, kind: str
    ) -> None:
        given = {side: values for side, values in sides.items() if values is not None}
        old = self.program.numbers._asdict()
        self.update(**{side: self._filled(old[side], blocks, block, values, kind) for side, values in given.items()})

    @staticmethod
    def _filled(old: FloatArray, blocks: Mapping[str, Block], name: str | None, values: Bound, kind: str) -> FloatArray:
        if name is None:
            given = np.asarray(values, dtype=np.float64)
            if given.shape not in ((), old.shape):
                raise InvalidProgram(f"{kind}s: got shape {given.shape}, expected a number or {old.shape}")
            return np.broadcast_to(given, old.shape)
        block = find_block(blocks, name, kind)
        new = old.copy()
        new[block.slice] = spread(values, block, f"{kind}s")
        return new
