"""Linear programs some of whose variables are integers, by HiGHS's branch and bound.

    minimise or maximise    c x + offset
    subject to              row_lower <= A x <= row_upper,   lower <= x <= upper,   x_j integer for j in J

The point is checked against the program's own data, its integers exact. That no point is better, or that there is none,
is HiGHS's word, which it gives up to its tolerances; "unbounded" is proved.

Facts that shape this file (HiGHS 1.15, measured): integers with fractional bounds may lead to wrong answers, so these
are rounded; at its own tolerance of 1e-6, rows like x <= 1e6 z lead to wrong optima, at 1e-9 they do not; with terms
beyond 1e6 in rows, so that 1e-9 drowns in rounding, a few answers in a hundred are wrong; costs around 1e-9 lead to
wrong optima, and with ``user_objective_scale`` the dual bound stays in scaled units, so costs are scaled here; a start
that is not feasible is ignored; "unbounded" means "unbounded or infeasible"; each thread that runs HiGHS has a pool of
its own, so ``threads`` disturbs nobody as long as every run has a thread of its own.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mailopt_solvers.backends.highs import Highs, HighsModel, OptionValue, unit_exponent
from mailopt_solvers.dispatch import Attempt, check_time_limit, first_success, is_amount, remaining, solve
from mailopt_solvers.errors import InvalidOption, InvalidProgram, WrongAnswer
from mailopt_solvers.program import FloatArray, LinearProgram, doubles, find_block
from mailopt_solvers.registry import highs_for
from mailopt_solvers.residuals import BoolArray
from mailopt_solvers.solution import PointStatus, Result, Solution, Termination
from mailopt_solvers.solver import Answer, Request
from mailopt_solvers.supervision import answered
from mailopt_solvers.verification import is_feasible, is_plainly_feasible

_WAYS: tuple[dict[str, OptionValue], ...] = (
    {"mip_feasibility_tolerance": 1e-9},
    {"mip_feasibility_tolerance": 1e-6, "presolve": "off"},  # if the first leads nowhere
)
_INTEGRAL = 1e-6  # how far from an integer a number may be that stands for one: HiGHS's own tolerance
_ROUNDING = 1e-9  # how far beyond its bounds an integer may be


@dataclass(frozen=True, eq=False, repr=False)
class MixedIntegerSolution(Result):
    """Answer to one program with integers.

    Attributes
    ----------
    program, integral
        The program that was solved, and the names of the blocks J of integers.
    termination
        How it ended. ``OPTIMAL``: x is feasible, and by HiGHS's word no point is better by more than the gap that was
        asked for. ``INFEASIBLE``: HiGHS's word. ``UNBOUNDED``: proved by x and by a ray of the linear program.
    x
        Feasible point, its integers exact; empty where there is none. At a time limit it is the best one that HiGHS had
        then, which is no answer; of an unbounded program it is any feasible one.
    bound
        What no point surpasses: a lower bound of a minimisation, an upper bound of a maximisation. NOT rigorous, unlike
        :attr:`Solution.bound`: it is HiGHS's, up to its tolerances. Infinite where there is none.
    nodes, iterations
        Nodes of the tree, and iterations over all of them if HiGHS tells.
    build_time, solve_time, solver, version, options, detail, attempts
        As in :class:`Solution`.
    """

    program: LinearProgram
    integral: tuple[str, ...]
    termination: Termination
    x: FloatArray
    bound: float
    nodes: int
    iterations: int | None
    build_time: float
    solve_time: float
    solver: str
    version: str
    options: Mapping[str, object]
    detail: str
    attempts: tuple[str, ...] = ()

    @property
    def gap(self) -> float:
        """Absolute difference of the objective of x and of :attr:`bound`; NaN without a point."""
        if self.x.size != self.program.num_variables:
            return math.nan
        return abs(float(self.program.costs @ self.x) + self.program.offset - self.bound)

    def __repr__(self) -> str:
        """Termination and objective in one line."""
        objective = f", objective {self.objective:.10g}" if self.termination is Termination.OPTIMAL else ""
        return f"MixedIntegerSolution({self.termination.name.lower()}{objective}, {self.nodes} nodes, {self.solver})"


def solve_mixed_integer(
    program: LinearProgram,
    integral: Sequence[str],
    *,
    start: FloatArray | None = None,
    time_limit: float | None = None,
    gap: float = 0.0,
) -> MixedIntegerSolution:
    """Solve a linear program with integers by branch and bound, and check the point against the original data.

    Parameters
    ----------
    program
        The linear program, n variables.
    integral
        Names of the blocks of variables that must be integers. If none is, the answer is that of :func:`solve`, and
        ``bound`` is rigorous.
    start
        Feasible point to begin with, shape (n,). One that is not feasible is ignored.
    time_limit
        Seconds of wall clock, or None for no limit. Running out of time is a termination of its own, never success.
    gap
        How far from the optimum the search may stop, absolutely or relative to |c x|, whichever comes first.

    Returns
    -------
    MixedIntegerSolution
        With its ``termination``; call ``require_optimal`` to insist on an optimum.

    Raises
    ------
    InvalidProgram
        ``program`` is none; a start of the wrong shape or with entries that are not finite.
    UnknownBlock
        A name in ``integral`` that no block of variables has.
    InvalidOption
        ``integral`` is no list, or a time limit or a gap that is NaN, negative or no number.
    SolverNotInstalled
        HiGHS is not there.
    WrongAnswer
        The point that HiGHS claims is not feasible or not integral, also with the integers fixed and the rest solved
        again; its bound refutes it; or there is none although ``start`` is feasible.
    SolverFailed
        HiGHS refused the program, broke down, or has no answer.
    TimeLimit
        HiGHS did not stop although its time was over.

    Examples
    --------
    Coins worth 5, 4 and 3, weighing 4, 3 and 2, in a purse that holds 6, at most one of each:

    >>> import numpy as np
    >>> from mailopt_solvers import ProgramBuilder, solve_mixed_integer
    >>> builder = ProgramBuilder("max")
    >>> x = builder.add_variables("x", (3,), upper=1.0, costs=np.array([5.0, 4.0, 3.0]))
    >>> purse = builder.add_rows("purse", (1,), {x: [[4.0, 3.0, 2.0]]}, upper=6.0)
    >>> best = solve_mixed_integer(builder.build(), ["x"])
    >>> best.objective, best["x"]
    (8.0, array([1., 0., 1.]))
    """
    highs_for(program, Highs())
    if isinstance(integral, str) or not isinstance(integral, Sequence):
        raise InvalidOption(f"integral is {integral!r:.80}; give a list of names of blocks of variables")
    flags = np.zeros(program.num_variables, dtype=bool)
    for name in integral:
        flags[find_block(program.variables, name, "variable").slice] = True
    point = None if start is None else doubles(start, "start")
    if point is not None and (point.shape != flags.shape or not np.isfinite(point).all()):
        raise InvalidProgram(f"start of shape {point.shape} or not finite; expected {flags.size} numbers")
    check_time_limit(time_limit)
    if not is_amount(gap):
        raise InvalidOption(f"gap is {gap!r}; give a number, at least 0")
    deadline = None if time_limit is None else time.perf_counter() + time_limit
    search = _Search(program, tuple(integral), flags, point, float(gap), deadline)
    return search.relaxed() if not flags.any() else first_success(map(search.attempt, _WAYS))


@dataclass(frozen=True, eq=False)
class _Search:
    """What is asked."""

    program: LinearProgram
    integral: tuple[str, ...]
    flags: BoolArray
    start: FloatArray | None
    gap: float
    deadline: float | None

    def relaxed(self) -> MixedIntegerSolution:
        """Solve without integers."""
        found = solve(self.program, time_limit=remaining(self.deadline))
        x = None if found.primal_status is PointStatus.INFEASIBLE else found.x
        return self._result(found, found.solver, found.attempts, found.termination, x, found.bound, 0)

    def attempt(self, way: dict[str, OptionValue]) -> Attempt[MixedIntegerSolution]:
        """Solve with HiGHS in one way."""
        unit = 2.0 ** unit_exponent(self.program.costs)
        solver = Highs(
            **way,
            mip_rel_gap=self.gap,
            mip_abs_gap=self.gap * unit,
            threads=1,
            user_bound_scale=0,
        )
        models: list[HighsModel] = []

        def run(program: LinearProgram, request: Request) -> Answer:
            started = time.perf_counter()
            model = HighsModel(solver)
            models.append(model)
            model.load(program, self.flags)
            if self.start is not None:
                model.set_point(self.start)
            return model.run(program, request, build_time=time.perf_counter() - started)

        def call(attempts: tuple[str, ...]) -> MixedIntegerSolution:
            no_bound = -math.inf if self.program.sense == "min" else math.inf
            lower = np.where(self.flags, np.ceil(self.program.lower - _ROUNDING), self.program.lower)
            upper = np.where(self.flags, np.floor(self.program.upper + _ROUNDING), self.program.upper)
            if (lower > upper).any():
                none = Answer(Termination.INFEASIBLE, "", "an integer has no value between its bounds", solver.options)
                return self._result(none, solver.name, attempts, none.termination, None, no_bound, 0)
            scaled = replace(self.program, costs=self.program.costs * unit, offset=0.0, lower=lower, upper=upper)
            limit = math.inf if self.deadline is None else remaining(self.deadline)  # any limit means a new thread
            answer = answered(solver, scaled, Request(limit), run)
            bound, nodes = models[0].tree()
            termination, x = self._checked(answer, bound / unit, solver.tolerance)
            ended = termination in (Termination.INFEASIBLE, Termination.UNBOUNDED)
            bound = no_bound if ended else bound / unit + self.program.offset
            return self._result(answer, solver.name, attempts, termination, x, bound, nodes)

        return repr(solver), call

    def _result(
        self,
        source: Answer | Solution,
        solver: str,
        attempts: tuple[str, ...],
        termination: Termination,
        x: FloatArray | None,
        bound: float,
        nodes: int,
    ) -> MixedIntegerSolution:
        x = np.zeros(0) if x is None else x
        x.setflags(write=False)
        return MixedIntegerSolution(
            program=self.program,
            integral=self.integral,
            termination=termination,
            x=x,
            bound=bound,
            nodes=nodes,
            iterations=source.iterations,
            build_time=source.build_time,
            solve_time=source.solve_time,
            solver=solver,
            version=source.version,
            options=source.options,
            detail=source.detail,
            attempts=attempts,
        )

    def _checked(self, answer: Answer, bound: float, acceptable: float) -> tuple[Termination, FloatArray | None]:
        """How it ended and a feasible point, if any; the bound is on c x."""
        program, claim = self.program, f"HiGHS {answer.version} ({answer.detail}) on {self.program!r}"
        if answer.termination is Termination.UNBOUNDED:
            return self._unbounded(claim)
        if answer.termination is Termination.INFEASIBLE:
            if self.start is not None and self._rounded(self.start, acceptable) is not None:
                raise WrongAnswer(f"{claim}: the start is feasible")
            return Termination.INFEASIBLE, None
        claimed = answer.termination is Termination.OPTIMAL
        x = None if answer.x is None else self._rounded(answer.x, acceptable, repair=claimed)
        if not claimed:
            return answer.termination, x
        if x is None:
            raise WrongAnswer(f"{claim}: its integers are none, or leave no feasible point")
        value = float(program.costs @ x)
        terms = np.concatenate((program.costs, program.costs * x, [value]))
        slack = acceptable * float(np.abs(terms).max())
        lost = value - bound if program.sense == "min" else bound - value
        if not -slack <= lost <= self.gap * max(1.0, abs(value)) + slack:
            raise WrongAnswer(f"{claim}: the checked point has c x = {value:.10g} but the bound on it is {bound:.10g}")
        return Termination.OPTIMAL, x

    def _rounded(self, x: FloatArray, acceptable: float, *, repair: bool = False) -> FloatArray | None:
        """Round the integers; if that breaks a row, repair it: fix them and solve for the rest. None if that fails."""
        program, flags = self.program, self.flags
        nearest = np.where(flags, np.round(x), x) + 0.0  # no -0
        if not (np.abs(nearest - x) <= _INTEGRAL * np.maximum(1.0, np.abs(x))).all():
            return None
        if is_plainly_feasible(program, nearest, acceptable):
            return nearest
        if not repair:
            return None
        lower, upper = (np.where(flags, nearest, side) for side in (program.lower, program.upper))
        rest = solve(program.changed(lower=lower, upper=upper), time_limit=remaining(self.deadline))
        if rest.termination in (Termination.INFEASIBLE, Termination.UNBOUNDED):
            return None
        nearest = np.where(flags, nearest, rest.require_optimal().x)
        return nearest if is_feasible(program, nearest, acceptable) else None

    def _unbounded(self, claim: str) -> tuple[Termination, FloatArray | None]:
        """Prove it: with a ray of the linear program, which has an integral multiple, and any feasible point."""
        program = self.program
        linear = solve(program, time_limit=remaining(self.deadline))
        if linear.termination is Termination.OPTIMAL:
            raise WrongAnswer(f"{claim}: the linear program has the optimum {linear.objective:.10g}")
        if linear.termination is not Termination.UNBOUNDED:
            return linear.termination, None
        anything = program.changed(costs=np.zeros(program.num_variables))
        found = solve_mixed_integer(anything, self.integral, start=self.start, time_limit=remaining(self.deadline))
        optimal = found.termination is Termination.OPTIMAL
        return (Termination.UNBOUNDED, found.x) if optimal else (found.termination, None)
