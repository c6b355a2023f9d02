"""Convex programs with a quadratic cost on each variable of its own: the proximal step over a polyhedron.

    minimise      f(x) = c x + offset + 1/2 sum_j q_j (x_j - p_j)^2,   q >= 0
    subject to    row_lower <= A x <= row_upper,   lower <= x <= upper

HiGHS (active set) solves small programs, Clarabel (interior point) large ones, each stands in for the other, and the
program's own data judge the answer. For ANY row duals y, with d = c - A'y,

    f(x)  >=  L(y) = offset + sum_i y_i side_i + sum_j min_{lower_j <= t <= upper_j} (d_j t + q_j / 2 (t - p_j)^2)

at every feasible x, where side_i is the bound of row i that the sign of y_i calls for and the minimum is at t = p_j -
d_j / q_j, cut off at the bounds. So f(x) - L(y) bounds how far x is from optimal, and its root how far from the
optimum: 1/2 sum_j q_j (x_j - x*_j)^2 <= f(x) - f(x*) at feasible points.

Facts that shape this file (HiGHS 1.15.1, Clarabel 0.11.1, two cores, measured):

- HiGHS adds 1e-7 to the Hessian unless told not to; duals are off by 1e-6 then. With 0 the gap is rounding, but one
  random program in eight with variables that have no weight, or without rows, is refused; with 1e-12 three in a
  thousand fail, and gaps are 1e-12. It may cycle for ever, so iterations, of which it needs one or two a row and
  variable, are limited.
- On simplices of 4 actions below an epigraph of 1 to 50 cuts HiGHS takes 0.6 to 4 ms and Clarabel 0.9 to 5 if there
  are 20 of them, 1 to 13 ms against 1 to 9 if 40, 15 to 440 against 5 to 45 if 200, 36 to 2800 (or it cycles) against
  9 to 100 if 400. So up to a hundred variables HiGHS, which has every digit, goes first.
- At tolerances of 1e-9 Clarabel leaves gaps of 1e-9, and x is off by 1e-5 to 1e-4; at 1e-12, for a tenth more time,
  gaps are 1e-12 and x is off by 1e-8 as a rule, 1e-6 at times. Two random programs in a hundred, whose optima are not
  unique, stall at gaps around 1e-8.
- Clarabel is called directly: cvxpy, which brings it, takes a second or two to import and 10 ms or more a program.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import numpy as np
from scipy import sparse

from mailopt_solvers.backends.highs import Highs, HighsModel
from mailopt_solvers.backends.one_sided import OneSided
from mailopt_solvers.dispatch import Attempt, check_time_limit, first_success, remaining, solve
from mailopt_solvers.errors import InvalidProgram, SolverFailed, WrongAnswer
from mailopt_solvers.program import FloatArray, LinearProgram, doubles, find_block, member
from mailopt_solvers.rays import direction_program, why_no_direction
from mailopt_solvers.registry import highs_for
from mailopt_solvers.residuals import Candidate, residuals
from mailopt_solvers.separable import Quadratic
from mailopt_solvers.solution import Result, Solution, Termination
from mailopt_solvers.solver import Answer, Capability, Request, Solver
from mailopt_solvers.supervision import answered

_SMALL = 100  # variables up to which HiGHS goes first
_GAP = 1e-10  # largest gap, relative to the terms involved, that is asked for first; x is as good as its root
_NOTHING: FloatArray = np.zeros(0)
_NOTHING.setflags(write=False)


@dataclass(frozen=True, eq=False, repr=False)
class QuadraticSolution(Result):
    """Answer to one program with quadratic costs.

    Attributes
    ----------
    program, weights, centre
        The program that was solved: its linear part, q and p.
    termination
        How it ended, after the check against the original data.
    x, row_duals
        Primal point and row duals y, signed as in :class:`Solution`; empty where there is none. At a time limit they
        are what the solver had then, which is no answer.
    primal_ray, dual_ray
        Proofs of "unbounded" and "infeasible", as in :class:`Solution`; the first has no part in variables of positive
        weight.
    iterations, build_time, solve_time, solver, version, options, detail, attempts
        As in :class:`Solution`.
    """

    program: LinearProgram
    weights: FloatArray
    centre: FloatArray
    termination: Termination
    x: FloatArray
    row_duals: FloatArray
    primal_ray: FloatArray | None
    dual_ray: FloatArray | None
    iterations: int | None
    build_time: float
    solve_time: float
    solver: str
    version: str
    options: Mapping[str, object]
    detail: str
    attempts: tuple[str, ...] = ()

    @property
    def objective(self) -> float:
        """Objective value f(x) of the returned point, computed from the original data.

        Like everything else that is read off a point, it raises what :meth:`require_optimal` raises without one.
        """
        return self._asked().value(self.require_optimal().x)

    @property
    def bound(self) -> float:
        """Rigorous lower bound on the optimum, L(y) with every rounding error accounted for; it needs no solver's word.

        -inf where there are no duals, or where a variable without weight and without a finite bound, given or implied
        by a row, defeats the proof.
        """
        if self.row_duals.size != self.program.num_rows or not np.isfinite(self.row_duals).all():
            return -math.inf
        return self._asked().bound(self.row_duals)

    @property
    def gap(self) -> float:
        """Absolute difference of f(x) and L(y), to rounding; NaN without a point or duals.

        Terms of L(y) whose sign calls for a missing bound are left out here; :attr:`dual_residual` shows them.
        """
        if not self._has_both():
            return math.nan
        asked = self._asked()
        return abs(asked.value(self.x) - asked.priced(self.row_duals).value)

    @property
    def primal_residual(self) -> float:
        """Largest violation of a row or a variable bound by x."""
        if self.x.size != self.program.num_variables:
            return math.nan
        nothing = np.zeros(self.program.num_rows)
        return float(residuals(Candidate.of(self.program, self.x, nothing, self.program.costs)).primal)

    @property
    def dual_residual(self) -> float:
        """Largest dual, or reduced cost of a variable without weight, whose sign calls for a bound that does not exist.

        With the gap, which leaves it out, and the primal residual it says how good the answer is.
        """
        if not self._has_both():
            return math.nan
        return float(residuals(self._asked().candidate(self.x, self.row_duals)).dual)

    def duals(self, name: str) -> FloatArray:
        """Duals of a row block, in the block's shape."""
        block = find_block(self.program.rows, name, "row")
        return self.require_optimal().row_duals[block.slice].reshape(block.shape)

    def _asked(self) -> Quadratic:
        return Quadratic(self.program, self.weights, self.centre)

    def _has_both(self) -> bool:
        return self.x.size == self.program.num_variables and self.row_duals.size == self.program.num_rows

    def __repr__(self) -> str:
        """Termination and objective in one line."""
        objective = f", objective {self.objective:.10g}" if self.termination is Termination.OPTIMAL else ""
        iterations = "" if self.iterations is None else f", {self.iterations} iterations"
        return f"QuadraticSolution({self.termination.name.lower()}{objective}{iterations}, {self.solver})"


def solve_quadratic(
    program: LinearProgram, weights: FloatArray, centre: FloatArray, *, time_limit: float | None = None
) -> QuadraticSolution:
    """Minimise c x + offset + 1/2 sum_j q_j (x_j - p_j)^2 over a polyhedron, and check the answer.

    Up to a hundred variables HiGHS goes first, beyond that Clarabel; the other follows where the answer of the first
    fails the check. A gap up to 1e-10 of the terms involved passes, or 1e-7 if no solver gets there; rows, bounds and
    signs of duals as in :func:`solve`.

    Parameters
    ----------
    program
        Rows, bounds and linear costs, n variables; a minimisation.
    weights
        Weights q, shape (n,), finite and at least 0. If all are 0 the answer is that of :func:`solve`.
    centre
        Points p, shape (n,), finite; they need not be feasible.
    time_limit
        Seconds of wall clock, or None for no limit. Running out of time is a termination of its own, never success.

    Returns
    -------
    QuadraticSolution
        With its ``termination``; call ``require_optimal`` to insist on an optimum.

    Raises
    ------
    InvalidProgram
        ``program`` is none or a maximisation; weights or a centre of the wrong shape, not finite, or negative weights.
    InvalidOption
        A time limit that is NaN, negative or no number.
    SolverNotInstalled
        HiGHS is not there.
    WrongAnswer, SolverFailed
        Neither solver has an answer that passes the check; the message names what was tried.
    TimeLimit
        A solver did not stop although its time was over.

    Examples
    --------
    The point of the simplex nearest to (1, 0.6, -1):

    >>> import numpy as np
    >>> from mailopt_solvers import ProgramBuilder, solve_quadratic
    >>> builder = ProgramBuilder()
    >>> x = builder.add_variables("x", (3,))
    >>> total = builder.add_rows("total", (1,), {x: np.ones((1, 3))}, lower=1.0, upper=1.0)
    >>> nearest = solve_quadratic(builder.build(), np.ones(3), np.array([1.0, 0.6, -1.0]))
    >>> nearest["x"].round(9) + 0.0
    array([0.7, 0.3, 0. ])
    >>> round(nearest.objective, 9), nearest.gap < 1e-9
    (0.59, True)
    """
    highs_for(program, Highs())
    if program.sense != "min":
        raise InvalidProgram("program is a maximisation; negate its costs and make it a minimisation")
    q, p = (_vector(program, values, what) for values, what in ((weights, "weights"), (centre, "centre")))
    if (q < 0).any():
        j = int(np.argmax(q < 0))
        raise InvalidProgram(f"weights: that of {member(program.variables, j)} is {q[j]:g}; give numbers, at least 0")
    check_time_limit(time_limit)
    deadline = None if time_limit is None else time.perf_counter() + time_limit
    step = _Step(Quadratic(program, q, p), deadline)
    return step.linear() if not q.any() else first_success(step.attempts())


def _vector(program: LinearProgram, values: FloatArray, what: str) -> FloatArray:
    array = doubles(values, what)
    if array.shape != (program.num_variables,):
        raise InvalidProgram(f"{what} of shape {array.shape}; expected {program.num_variables} numbers, one a variable")
    if not np.isfinite(array).all():
        j = int(np.argmin(np.isfinite(array)))
        raise InvalidProgram(f"{what}: that of {member(program.variables, j)} is {array[j]}; give finite numbers")
    array.setflags(write=False)
    return array


Run = Callable[[Quadratic, Request], Answer]


@dataclass(frozen=True, eq=False)
class _Step:
    """What is asked, and until when."""

    asked: Quadratic
    deadline: float | None

    def linear(self) -> QuadraticSolution:
        """Solve without weights."""
        found = solve(self.asked.program, time_limit=remaining(self.deadline))
        given = (found.x, found.row_duals, found.primal_ray, found.dual_ray)
        return self._result(found, found.solver, found.attempts, found.termination, *given)

    def attempts(self) -> list[Attempt[QuadraticSolution]]:
        """Both solvers, the one that suits the size first; less to ask for; a proof that there is no optimum."""
        program = self.asked.program
        clarabel, limit = Clarabel(), 1000 + 5 * (program.num_variables + program.num_rows)
        tries: list[tuple[Solver, Run, float]] = []
        for more in (0.0, 1e-12):
            highs = Highs(
                qp_regularization_value=more, qp_iteration_limit=limit, user_objective_scale=0, user_bound_scale=0
            )
            tries.append((highs, partial(run_highs, highs), _GAP))
        if clarabel.missing() is None:
            tries.insert(2 if program.num_variables <= _SMALL else 0, (clarabel, run_clarabel, _GAP))
            tries.append((clarabel, run_clarabel, clarabel.tolerance))
        return [*(self._attempt(*one) for one in tries), ("proof that there is no optimum", self._last)]

    def _attempt(self, solver: Solver, run: Run, gap: float) -> Attempt[QuadraticSolution]:
        asked = self.asked

        def call(attempts: tuple[str, ...]) -> QuadraticSolution:
            unlimited = None if asked.program.num_variables <= _SMALL else math.inf  # a thread, for Ctrl-C
            limit = unlimited if self.deadline is None else remaining(self.deadline)
            scaled, s, u = asked.scaled()
            answer = answered(solver, scaled.program, Request(limit), lambda _, request: run(scaled, request))
            x = None if answer.x is None else answer.x * s
            y = None if answer.row_duals is None else answer.row_duals / (u * s)
            return self._checked(replace(answer, x=x, row_duals=y), solver, attempts, gap)

        return f"{solver!r} to a gap of {gap:g}", call

    def _checked(self, answer: Answer, solver: Solver, attempts: tuple[str, ...], gap: float) -> QuadraticSolution:
        """Believe the claim if the data bear it out."""
        program, claim = self.asked.program, f"{solver.name} {answer.version} ({answer.detail})"
        x, y = _finite(answer.x, program.num_variables), _finite(answer.row_duals, program.num_rows)
        termination = answer.termination
        if termination in (Termination.INFEASIBLE, Termination.UNBOUNDED):
            found = self._no_optimum(attempts, answer, solver.name)
            if found is None:
                raise WrongAnswer(f"{claim} on {program!r}: it has feasible points, and its objective a bound")
            return found
        if termination in (Termination.OPTIMAL, Termination.FAILED):
            wrong: str | None = "point or row duals are missing or not finite"
            if x is not None and y is not None:
                wrong = self.asked.what_is_wrong(x, y, solver.tolerance, gap)
            if wrong is not None:
                error = WrongAnswer if termination is Termination.OPTIMAL else SolverFailed
                raise error(f"{claim} on {program!r}: {wrong}; rescale the program")
            termination = Termination.OPTIMAL
        return self._result(answer, solver.name, attempts, termination, x, y)

    def _last(self, attempts: tuple[str, ...]) -> QuadraticSolution:
        """Last resort where no solver has an answer."""
        found = self._no_optimum(attempts)
        if found is None:
            raise SolverFailed("there is an optimum, which no solver found as exactly as needed; rescale the program")
        return found

    def _no_optimum(
        self, attempts: tuple[str, ...], claim: Answer | None = None, solver: str = ""
    ) -> QuadraticSolution | None:
        """Prove by linear programs that nothing is feasible, or that f falls along a ray on which it is linear."""
        program, curved = self.asked.program, self.asked.weights > 0
        anything = solve(program.changed(costs=np.zeros(curved.size)), time_limit=remaining(self.deadline))
        termination, ray = anything.termination, None
        if termination is Termination.OPTIMAL:
            cone = direction_program(program)
            cone = cone.changed(lower=np.where(curved, 0.0, cone.lower), upper=np.where(curved, 0.0, cone.upper))
            found = solve(cone, time_limit=remaining(self.deadline))
            termination, ray = found.termination, np.where(curved, 0.0, found.x) if found.x.size else None
            if termination is Termination.OPTIMAL:
                if ray is None or why_no_direction(program, ray) is not None:
                    return None
                termination, ray = Termination.UNBOUNDED, ray / np.abs(ray).max()
        name = solver if claim is not None else anything.solver
        x = anything.x if termination is Termination.UNBOUNDED else None
        return self._result(
            claim or anything, name, attempts, termination, x, primal_ray=ray, dual_ray=anything.dual_ray
        )

    def _result(
        self,
        source: Answer | Solution,
        solver: str,
        attempts: tuple[str, ...],
        termination: Termination,
        x: FloatArray | None,
        row_duals: FloatArray | None = None,
        primal_ray: FloatArray | None = None,
        dual_ray: FloatArray | None = None,
    ) -> QuadraticSolution:
        point = _NOTHING if x is None else x
        prices = _NOTHING if row_duals is None else row_duals
        for array in (point, prices, primal_ray):
            if array is not None:
                array.setflags(write=False)
        return QuadraticSolution(
            program=self.asked.program,
            weights=self.asked.weights,
            centre=self.asked.centre,
            termination=termination,
            x=point,
            row_duals=prices,
            primal_ray=primal_ray,
            dual_ray=dual_ray,
            iterations=source.iterations,
            build_time=source.build_time,
            solve_time=source.solve_time,
            solver=solver,
            version=source.version,
            options=source.options,
            detail=source.detail,
            attempts=attempts,
        )


def _finite(values: FloatArray | None, size: int) -> FloatArray | None:
    """Return the values if they are the right number of finite doubles."""
    return values if values is not None and values.shape == (size,) and np.isfinite(values).all() else None


def run_highs(solver: Highs, asked: Quadratic, request: Request) -> Answer:
    """Solve by HiGHS's active-set method, and return what it claims."""
    started = time.perf_counter()
    n, curved = asked.weights.size, np.flatnonzero(asked.weights)
    linear = asked.program.changed(costs=asked.slopes())
    model = HighsModel(solver)
    model.load(linear, np.zeros(n, dtype=bool))  # saying that nothing is an integer spares it being asked for rays
    triangular = 1
    starts = np.concatenate(([0], np.cumsum(asked.weights > 0))).astype(np.int32)
    status = model.highs.passHessian(n, curved.size, triangular, starts, curved.astype(np.int32), asked.weights[curved])
    if status.name == "kError":
        raise SolverFailed(f"HiGHS {model.version} refused the weights")
    answer = model.run(linear, request, build_time=time.perf_counter() - started)
    return replace(answer, iterations=max(int(model.highs.getInfoValue("qp_iteration_count")[1]), 0))


class Clarabel(Solver):
    """Clarabel's interior-point method, called directly. Which of its answers are good, the check finds out."""

    backend: ClassVar[str] = "clarabel"
    methods: ClassVar[tuple[str, ...]] = ("ipm",)

    @property
    def capabilities(self) -> frozenset[Capability]:
        """A time limit."""
        return frozenset({Capability.TIME_LIMIT})

    @property
    def tolerance(self) -> float:
        """1e-7 for rows, bounds and the signs of duals."""
        return 1e-7

    def missing(self) -> str | None:
        """Whether clarabel is there."""
        return None if importlib.util.find_spec("clarabel") else "pip install clarabel"

    def run(self, program: LinearProgram, request: Request) -> Answer:
        """Solve a linear program."""
        nothing = np.zeros(program.num_variables)
        return run_clarabel(Quadratic(program, nothing, nothing), request)


def run_clarabel(asked: Quadratic, request: Request) -> Answer:
    """Solve by Clarabel: minimise 1/2 x'Q x + g x subject to B x + s = b, s = 0 or s >= 0."""
    import clarabel  # noqa: PLC0415

    started, version = time.perf_counter(), importlib.metadata.version("clarabel")
    program, form = asked.program, OneSided.of(asked.program)
    fixed = program.lower == program.upper
    above, below = np.isfinite(program.upper) & ~fixed, np.isfinite(program.lower) & ~fixed
    one = sparse.eye_array(fixed.size, format="csr")
    matrix = sparse.vstack((form.equations, one[fixed], form.inequalities, one[above], -one[below]), format="csc")
    sides = np.concatenate((form.right, program.lower[fixed], form.most, program.upper[above], -program.lower[below]))
    equations = form.right.size + int(fixed.sum())
    cones = [clarabel.ZeroConeT(equations), clarabel.NonnegativeConeT(sides.size - equations)]
    settings = clarabel.DefaultSettings()
    for name, value in _CLARABEL.items():
        setattr(settings, name, value)
    in_force = {**_CLARABEL, "time_limit": request.time_limit}
    if request.time_limit is not None:
        settings.time_limit = request.time_limit - (time.perf_counter() - started)
        if settings.time_limit <= 0:
            return Answer(Termination.TIME_LIMIT, version, "not started: no time left", in_force)
    hessian = sparse.diags_array(asked.weights, format="csc")
    solver = clarabel.DefaultSolver(*(hessian, asked.slopes(), matrix, sides), [c for c in cones if c.dim], settings)
    built = time.perf_counter()
    found = solver.solve()
    rates = -np.array(found.z, dtype=np.float64)
    status = str(found.status)
    return Answer(
        termination=_TERMINATIONS.get(status, Termination.FAILED),
        version=version,
        detail=status,
        options=in_force,
        x=np.array(found.x, dtype=np.float64),
        row_duals=form.row_duals(rates[: form.right.size], rates[equations : equations + form.most.size]),
        iterations=int(found.iterations),
        build_time=built - started,
        solve_time=time.perf_counter() - built,
    )


_CLARABEL = {"verbose": False, "tol_feas": 1e-12, "tol_gap_abs": 1e-12, "tol_gap_rel": 1e-12}

_TERMINATIONS = {
    "Solved": Termination.OPTIMAL,
    "PrimalInfeasible": Termination.INFEASIBLE,
    "AlmostPrimalInfeasible": Termination.INFEASIBLE,
    "DualInfeasible": Termination.UNBOUNDED,
    "AlmostDualInfeasible": Termination.UNBOUNDED,
    "MaxTime": Termination.TIME_LIMIT,
}
