"""Linear programs solved in fractions: the answer is a proof, not an approximation.

A solver of doubles (HiGHS' simplex) proposes a basis; its basic solution is computed in fractions (``kernel``) and
proved optimal, or not (``proofs``). Where the basis of doubles is not the right one, the program is solved again with
tight tolerances, then refined (``refinement``), then pivoted exactly (``pivots``). "Infeasible" and "unbounded" are
decided by the exact optima of two programs that always have one (:mod:`mailopt_solvers.rays`), never by doubles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeGuard

import numpy as np
import numpy.typing as npt

from mailopt_solvers.backends.highs import Highs, OptionValue
from mailopt_solvers.basis import Basis, BasisStatus
from mailopt_solvers.dispatch import check_time_limit
from mailopt_solvers.errors import Infeasible, InvalidProgram, SolverFailed, TimeLimit, Unbounded
from mailopt_solvers.exact.kernel import Clock, SingularBasis, basic_solution, require_flint, standing
from mailopt_solvers.exact.pivots import pivoted
from mailopt_solvers.exact.program import ExactProgram, Rationals, text
from mailopt_solvers.exact.proofs import (
    direction_program,
    violation_program,
    why_not_direction,
    why_not_farkas,
    why_not_feasible,
    why_not_optimal,
)
from mailopt_solvers.exact.refinement import Pair, Refinement
from mailopt_solvers.program import FloatArray, LinearProgram, find_block
from mailopt_solvers.solution import Termination
from mailopt_solvers.solver import Answer, Request
from mailopt_solvers.supervision import answered

_ROUNDS = 12  # of refinement; each gains about nine digits
_PATIENCE = 4  # rounds in a row that may leave the basis as it was
_PIVOTS = 1_000_000  # exact pivots times rows and variables, before giving up ...
_FEWEST = 50  # ... but so many are always tried
_ZERO = Fraction(0)
_STAGES: tuple[tuple[str, dict[str, OptionValue]], ...] = (
    ("first basis", {}),
    (
        "tight tolerances",
        {"presolve": "off", "primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    ),
)


@dataclass(frozen=True, eq=False, repr=False)
class ExactSolution:
    """What is proved about a program.

    Attributes
    ----------
    program
        The program, in fractions.
    termination
        ``OPTIMAL``, ``INFEASIBLE`` or ``UNBOUNDED``, each with its proof.
    x, row_duals, reduced_costs
        Optimal point, row duals y and reduced costs d = c - A'y, with the signs of :class:`Solution`. Of an unbounded
        program x is a feasible point. Empty where there is nothing.
    primal_ray
        Direction r of an unbounded program: A r and r run against no bound and c r improves the objective.
    dual_ray
        Farkas multipliers y of an infeasible program: sum_i min(y_i rl_i, y_i ru_i) > max over the box of y'A x.
    basis
        The basis whose basic solution this is, or None.
    how
        The stage that succeeded.
    solve_time
        Seconds.
    """

    program: ExactProgram
    termination: Termination
    x: Rationals
    row_duals: Rationals
    reduced_costs: Rationals
    primal_ray: Rationals | None
    dual_ray: Rationals | None
    basis: Basis | None
    how: str
    solve_time: float

    @property
    def objective(self) -> Fraction:
        """The optimum c x + offset."""
        return self.program.objective(self.require_optimal().x)

    def __getitem__(self, name: str) -> npt.NDArray[np.object_]:
        """Fractions of a variable block, in the block's shape."""
        block = find_block(self.program.variables, name, "variable")
        return _shaped(self.require_optimal().x[block.slice], block.shape)

    def duals(self, name: str) -> npt.NDArray[np.object_]:
        """Fractions of the duals of a row block, in the block's shape."""
        block = find_block(self.program.rows, name, "row")
        return _shaped(self.require_optimal().row_duals[block.slice], block.shape)

    def reduced(self, name: str) -> npt.NDArray[np.object_]:
        """Fractions of the reduced costs of a variable block, in the block's shape."""
        block = find_block(self.program.variables, name, "variable")
        return _shaped(self.require_optimal().reduced_costs[block.slice], block.shape)

    def require_optimal(self) -> ExactSolution:
        """Return self if optimal, else raise.

        Raises
        ------
        Infeasible, Unbounded
            According to :attr:`termination`.
        """
        if self.termination is Termination.OPTIMAL:
            return self
        error = Infeasible if self.termination is Termination.INFEASIBLE else Unbounded
        raise error(f"exactly {self.termination.value} ({self.how}) on {self.program!r}")

    def __repr__(self) -> str:
        """Termination and objective in one line."""
        objective = f", objective {text(self.objective)}" if self.termination is Termination.OPTIMAL else ""
        return f"ExactSolution({self.termination.name.lower()}{objective}, {self.how})"


def solve_exact(program: LinearProgram | ExactProgram, *, time_limit: float | None = None) -> ExactSolution:
    """Solve a linear program in fractions.

    Parameters
    ----------
    program
        The program. Doubles are taken as the dyadic rationals that they are: 0.1 is not 1/10, ``"1/10"`` of an
        :class:`ExactProgram` is.
    time_limit
        Seconds of wall clock, or None for no limit; looked at between stages and between blocks of equations.

    Returns
    -------
    ExactSolution
        Optimal, infeasible or unbounded, as proved without rounding.

    Raises
    ------
    SolverNotInstalled
        python-flint is not there.
    InvalidOption
        A time limit that is NaN, negative or no number.
    InvalidProgram
        No linear program, or one with numbers beyond the largest double.
    TimeLimit
        The time was over before there was a proof.
    SolverFailed
        No proof was found; the message says what was tried.

    Notes
    -----
    The final basis of a simplex method is usually exactly optimal although its numbers are rounded: Dhiflaoui et al.,
    "Certifying and repairing solutions to large LPs: how good are LP-solvers?" (SODA 2003); Applegate, Cook, Dash and
    Espinoza, "Exact solutions to linear programming problems" (2007).

    Examples
    --------
    >>> from mailopt_solvers import ExactProgram, solve_exact
    >>> thirds = ExactProgram([1, 1], [[3, 1], [1, 3]], [None, None], [1, "1/2"], [0, 0], [None, None], sense="max")
    >>> solution = solve_exact(thirds)
    >>> solution.objective, solution.x
    (Fraction(3, 8), (Fraction(5, 16), Fraction(1, 16)))
    """
    require_flint()
    check_time_limit(time_limit)
    if not isinstance(program, LinearProgram | ExactProgram):
        raise InvalidProgram(f"program is {program!r:.80}; give a LinearProgram or an ExactProgram")
    clock = Clock(time_limit)
    exact = ExactProgram.of(program) if isinstance(program, LinearProgram) else program
    search = _Search(exact, clock)
    found = search.from_doubles()
    if found is not None:
        return search.optimal(found)

    least = _Search(violation_program(exact), clock).certain(_least_violation_start(exact))
    n = exact.num_variables
    if any(least.x[n:]):
        ray = tuple(least.y)
        _insist(why_not_farkas(exact, ray))
        return search.wrapped(Termination.INFEASIBLE, f"least violation: {least.how}", dual_ray=ray)
    inside = least.x[:n]
    best = _Search(direction_program(exact), clock).certain(([_ZERO] * n, [_ZERO] * exact.num_rows))
    if why_not_direction(exact, best.x) is None:
        _insist(why_not_feasible(exact, inside))
        how = f"least violation: {least.how}; direction: {best.how}"
        return search.wrapped(Termination.UNBOUNDED, how, x=tuple(inside), primal_ray=tuple(best.x))
    return search.optimal(search.certain((inside, best.y)))


@dataclass(frozen=True, eq=False)
class _Found:
    """An optimal pair, the basis that it belongs to, and how it was found."""

    x: list[Fraction]
    y: list[Fraction]
    basis: Basis | None
    how: str


class _Search:
    """Search for an optimal pair of one program."""

    def __init__(self, program: ExactProgram, clock: Clock) -> None:
        self._program = program
        self._clock = clock
        self._failures: list[str] = []
        self._tried: dict[bytes, tuple[list[Fraction], list[Fraction]] | None] = {}
        self._last: Basis | None = None
        """The last basis that is not singular."""

    def from_doubles(self) -> _Found | None:
        """Let doubles find the optimum; None if they do not, or see none."""
        program = self._program.rounded()
        start: Basis | None = None
        answer: Answer | None = None
        for how, options in _STAGES:
            answer = self._answer(how, program, start, options)
            if answer is None:
                continue
            found = self._attempt(how, answer.basis)
            if found is not None:
                return found
            if answer.termination in (Termination.INFEASIBLE, Termination.UNBOUNDED):
                self._failures.append(f"{how}: doubles see it as {answer.termination.name.lower()}")
                return None
            start = answer.basis
        if answer is None or not _is_finite(answer.x) or not _is_finite(answer.row_duals):
            return None
        return self._refined("refinement", _exactly(answer.x), _exactly(answer.row_duals), answer.basis)

    def certain(self, start: tuple[list[Fraction], list[Fraction]]) -> _Found:
        """Find the optimum of a program that has one, from a feasible point and feasible row duals.

        Raises
        ------
        SolverFailed
            It was not found.
        """
        found = None if self._tried else self.from_doubles()
        found = found or self._refined("refinement from a feasible pair", *start, self._last)
        if found is None:
            most = max(_FEWEST, _PIVOTS // (1 + self._program.num_rows + self._program.num_variables))
            basis = pivoted(self._program, self._last or _slack_basis(self._program), self._clock, most)
            found = self._attempt("exact pivots", basis)
        if found is None:
            raise SolverFailed(f"no exact optimum of {self._program!r}: " + "; ".join(self._failures))
        return found

    def optimal(self, found: _Found) -> ExactSolution:
        """Prove it once more, from nothing but the program and the numbers, and wrap it up."""
        _insist(why_not_optimal(self._program, found.x, found.y))
        return self.wrapped(
            Termination.OPTIMAL, found.how, x=tuple(found.x), row_duals=tuple(found.y),
            reduced_costs=tuple(self._program.reduced_costs(found.y)), basis=found.basis,
        )  # fmt: skip

    def wrapped(
        self,
        termination: Termination,
        how: str,
        *,
        x: Rationals = (),
        row_duals: Rationals = (),
        reduced_costs: Rationals = (),
        primal_ray: Rationals | None = None,
        dual_ray: Rationals | None = None,
        basis: Basis | None = None,
    ) -> ExactSolution:
        """Put the parts together."""
        return ExactSolution(
            self._program, termination, x, row_duals, reduced_costs, primal_ray, dual_ray, basis, how,
            self._clock.elapsed,
        )  # fmt: skip

    def _answer(
        self, how: str, program: LinearProgram, start: Basis | None, options: dict[str, OptionValue]
    ) -> Answer | None:
        """Ask HiGHS; its answer is not checked; None if it breaks down."""
        self._clock.check()
        try:
            answer = answered(Highs("simplex", **options), program, Request(self._clock.left, start))
        except SolverFailed as failure:
            self._failures.append(f"{how}: {failure}")
            return None
        self._clock.check()
        if answer.termination is Termination.TIME_LIMIT:
            raise TimeLimit(f"{how}: the solver of doubles reached the time limit; raise time_limit")
        return answer

    def _attempt(self, how: str, basis: Basis | None) -> _Found | None:
        """Solve a basis exactly and prove it optimal; None if it is not."""
        if basis is None:
            self._failures.append(f"{how}: no basis")
            return None
        key = _key(basis)
        if key in self._tried:
            self._failures.append(f"{how}: the same basis as before")
            return None
        self._tried[key] = None
        try:
            x, y = basic_solution(self._program, basis, self._clock)
        except SingularBasis as singular:
            self._failures.append(f"{how}: {singular}")
            return None
        self._tried[key] = x, y
        self._last = basis
        reason = why_not_optimal(self._program, x, y)
        if reason is None:
            return _Found(x, y, basis, how)
        self._failures.append(f"{how}: {reason}")
        return None

    def _refined(self, stage: str, x: list[Fraction], y: list[Fraction], basis: Basis | None) -> _Found | None:
        """Refine a pair, trying the basis after every round."""
        refinement = Refinement(self._program)
        pair = Pair.of(self._program, x, y)
        stalled, zoom = 0, (0, 0)
        for k in range(1, _ROUNDS + 1):
            how = f"{stage} round {k}"
            if refinement.violations(pair) == (None, None):
                return _Found(pair.x, pair.y, None, how)
            zoom = refinement.zoom(pair, zoom, stalled > 0)
            try:
                corrected = refinement.corrected(pair, zoom)
            except InvalidProgram as beyond:
                self._failures.append(f"{how}: {beyond}")
                return None
            options: dict[str, OptionValue] = {
                "presolve": "off",
                "simplex_strategy": 4 if stalled % 2 else 1,  # primal, dual
                "simplex_iteration_limit": 1000 + 10 * (corrected.num_rows + corrected.num_variables),
            }
            start = None if basis is None else _fitting(refinement.extended(basis), corrected)
            answer = self._answer(how, corrected, start, options)
            before = basis
            if answer is not None and answer.basis is not None:
                basis = refinement.restricted(answer.basis)
                found = self._attempt(how, basis)
                if found is not None:
                    return found
                candidates = [pair]
                if _is_finite(answer.x) and _is_finite(answer.row_duals):
                    candidates = [refinement.moved(pair, zoom, answer.x, answer.row_duals, basis)]
                basic = self._tried.get(_key(basis))
                if basic is not None:
                    candidates.append(Pair.of(self._program, *basic))
                pair = min(candidates, key=refinement.distance)
            stalled = 0 if before is None or basis is None or _key(before) != _key(basis) else stalled + 1
            if stalled > _PATIENCE:
                return None
        return None


def _key(basis: Basis) -> bytes:
    return basis.variables.tobytes() + basis.rows.tobytes()


def _fitting(basis: Basis, program: LinearProgram) -> Basis | None:
    """Return the basis if it has as many basic members as the program has rows."""
    basic = np.count_nonzero(basis.variables == BasisStatus.BASIC) + np.count_nonzero(basis.rows == BasisStatus.BASIC)
    return basis if basic == program.num_rows else None


def _slack_basis(program: ExactProgram) -> Basis:
    return Basis(np.zeros(program.num_variables, dtype=int), np.ones(program.num_rows, dtype=int))


def _least_violation_start(program: ExactProgram) -> tuple[list[Fraction], list[Fraction]]:
    """Build a feasible pair of the violation program: a point of the box, and what its rows then lack."""
    x = [standing(BasisStatus.LOWER, low, high) for low, high in zip(program.lower, program.upper, strict=True)]
    activities = program.matrix.times(x)
    short = [max(_ZERO, _ZERO if b is None else b - a) for a, b in zip(activities, program.row_lower, strict=True)]
    over = [max(_ZERO, _ZERO if b is None else a - b) for a, b in zip(activities, program.row_upper, strict=True)]
    return [*x, *short, *over], [_ZERO] * program.num_rows


def _is_finite(values: FloatArray | None) -> TypeGuard[FloatArray]:
    return values is not None and bool(np.isfinite(values).all())


def _exactly(values: FloatArray) -> list[Fraction]:
    return [Fraction(v) for v in values.tolist()]


def _shaped(values: Sequence[Fraction], shape: tuple[int, ...]) -> npt.NDArray[np.object_]:
    array: npt.NDArray[np.object_] = np.empty(len(values), dtype=object)
    array[:] = values
    return array.reshape(shape)


def _insist(reason: str | None) -> None:
    """Raise if a proof fails; it would be a mistake of this package."""
    if reason is not None:
        raise SolverFailed(f"the exact result fails its proof: {reason}")
