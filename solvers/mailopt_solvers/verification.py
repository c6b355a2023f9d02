"""From what a solver claims to what is known: every claim is checked against the program's own data."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mailopt_solvers.basis import Basis
from mailopt_solvers.errors import InvalidProgram, TimeLimit, WrongAnswer
from mailopt_solvers.program import FloatArray, LinearProgram
from mailopt_solvers.rays import direction_program, violation_program, why_no_direction, why_no_farkas_ray
from mailopt_solvers.residuals import Candidate, Sizes, acceptable, relative, residuals
from mailopt_solvers.solution import PointStatus, Solution, Termination
from mailopt_solvers.solver import Answer, Solver

_NOTHING: FloatArray = np.zeros(0)
_NOTHING.setflags(write=False)

Prove = Callable[[LinearProgram], Answer]


def verified(
    program: LinearProgram, answer: Answer, solver: Solver, prove: Prove, attempts: tuple[str, ...] = ()
) -> Solution:
    """Turn a solver's answer into a solution whose termination is proved by the original data.

    Parameters
    ----------
    program
        What the solver was asked.
    answer
        What it claims.
    solver
        Who claims it; its tolerance decides what is small.
    prove
        Solves a second program, to prove "infeasible" and "unbounded" when the solver gave no proof itself.
    attempts
        What was tried before.

    Raises
    ------
    WrongAnswer
        The claim does not hold, cannot be proved, or an option of the solver is not among those in force; the basis is
        that of another program.
    """
    ignored = [
        name
        for name, value in solver.options.items()
        if answer.options.get(name, _NOTHING) is not value and answer.options.get(name) != value
    ]
    if ignored:
        raise WrongAnswer(
            f"{solver.name} {answer.version} ignored {', '.join(f'{n} = {solver.options[n]!r}' for n in ignored)}; "
            f"in force are {dict(answer.options)}"
        )
    if type(answer.basis) is Basis:  # those that HiGHS itself keeps fit by construction
        try:
            answer.basis.require_fit(program)
        except InvalidProgram as error:
            raise WrongAnswer(f"{solver.name} {answer.version} returned a wrong basis: {error}") from error
    if answer.termination is Termination.INFEASIBLE:
        return _infeasible(program, answer, solver, prove, attempts)
    if answer.termination is Termination.UNBOUNDED:
        return _unbounded(program, answer, solver, prove, attempts)
    claimed = answer.termination is Termination.OPTIMAL
    x = _vector(answer.x, program.num_variables)
    duals = _vector(answer.row_duals, program.num_rows)
    if claimed:
        for what, given, found, size in (
            ("a point", answer.x, x, program.num_variables),
            ("row duals", answer.row_duals, duals, program.num_rows),
        ):
            if found is None:
                shape = getattr(given, "shape", None)
                raise WrongAnswer(
                    f"{solver.name} {answer.version} reports an optimum with {what} of shape {shape} or not finite; "
                    f"expected {size} numbers"
                )
    if x is not None and duals is not None:
        if not program.costs.any():
            duals = np.zeros_like(duals)  # any feasible point is optimal, and these prices prove it; others are noise
        reduced_costs = program.costs - program.priced(duals)
        wrong = _what_is_wrong(Candidate.of(program, x, duals, reduced_costs), program, solver.tolerance)
        if wrong is None and answer.termination in (Termination.OPTIMAL, Termination.FAILED):
            feasible = PointStatus.FEASIBLE
            return _solution(
                program, answer, solver, attempts, Termination.OPTIMAL, feasible, feasible, x, duals, reduced_costs
            )
        if claimed:
            raise WrongAnswer(
                f"{solver.name} {answer.version} reports an optimum of {program!r} whose {wrong}; "
                f"rescale the program, tighten the solver or take another"
            )
    return _partial(program, answer, solver, attempts, x, duals)


def _what_is_wrong(candidate: Candidate, program: LinearProgram, tolerance: float) -> str | None:
    """Name the first residual that is too large, or None. Nearly all pass the cheap test that comes first."""
    if acceptable(residuals(candidate), candidate, program.sums, tolerance):
        return None
    for what, value in _relative(program, candidate).items():
        if not value <= tolerance:
            return f"{what} is {value:.3g} of the terms involved, above {tolerance:g}"
    return None


def _relative(program: LinearProgram, candidate: Candidate) -> dict[str, FloatArray]:
    return relative(candidate, Sizes.of(program, candidate.x, candidate.row_duals))


def _infeasible(
    program: LinearProgram, answer: Answer, solver: Solver, prove: Prove, attempts: tuple[str, ...]
) -> Solution:
    ray = _signed_farkas_ray(program, answer.dual_ray)
    if ray is None:
        ray, violation = _least_violation(program, prove)[1:]
        reason = why_no_farkas_ray(program, ray)
        if reason is not None:
            raise WrongAnswer(
                f"{solver.name} {answer.version} reports that {program!r} is infeasible, but {reason}; the least total "
                f"violation of its rows is {violation:.3g}"
            )
    return _solution(
        program, answer, solver, attempts, Termination.INFEASIBLE, PointStatus.NONE, PointStatus.RAY, dual_ray=ray
    )


def _unbounded(
    program: LinearProgram, answer: Answer, solver: Solver, prove: Prove, attempts: tuple[str, ...]
) -> Solution:
    """Find a feasible point and a direction; without a feasible point the program is infeasible instead."""
    x = _vector(answer.x, program.num_variables)
    if x is None or not is_plainly_feasible(program, x, solver.tolerance):
        x, farkas, violation = _least_violation(program, prove)
        if why_no_farkas_ray(program, farkas) is None:
            return _solution(
                program, answer, solver, attempts, Termination.INFEASIBLE, PointStatus.NONE, PointStatus.RAY,
                dual_ray=farkas,
            )  # fmt: skip
        if x is None or not is_feasible(program, x, solver.tolerance):
            raise WrongAnswer(
                f"{solver.name} {answer.version} reports that {program!r} is unbounded, but no feasible point of it "
                f"was found: the least total violation of its rows is {violation:.3g}"
            )
    direction = answer.primal_ray
    reason = why_no_direction(program, direction)
    if reason is not None:
        found = _proof(direction_program(program), prove)
        direction = _vector(found.x, program.num_variables)
        reason = why_no_direction(program, direction)
    if reason is not None or direction is None:
        raise WrongAnswer(f"{solver.name} {answer.version} reports that {program!r} is unbounded, but {reason}")
    return _solution(
        program, answer, solver, attempts, Termination.UNBOUNDED, PointStatus.RAY, PointStatus.NONE, x,
        primal_ray=direction / np.abs(direction).max(),
    )  # fmt: skip


def _proof(program: LinearProgram, prove: Prove) -> Answer:
    found = prove(program)
    if found.termination is Termination.TIME_LIMIT:
        raise TimeLimit("no time is left to prove that the program is infeasible or unbounded; raise time_limit")
    return found


def _signed_farkas_ray(program: LinearProgram, ray: FloatArray | None) -> FloatArray | None:
    """Find the ray, in either sign, if it proves infeasibility; solvers differ in the sign."""
    if ray is None or ray.shape != (program.num_rows,) or not np.isfinite(ray).all() or not ray.any():
        return None
    scaled = ray / np.abs(ray).max()
    return next((y for y in (scaled, -scaled) if why_no_farkas_ray(program, y) is None), None)


def _least_violation(program: LinearProgram, prove: Prove) -> tuple[FloatArray | None, FloatArray | None, float]:
    """Point of least total violation, its row duals and the violation, as far as there is a proof."""
    found = _proof(violation_program(program), prove)
    x = _vector(found.x, program.num_variables + 2 * program.num_rows)
    if x is None:
        return None, None, np.nan
    point, slack = x[: program.num_variables], x[program.num_variables :]
    return point, _vector(found.row_duals, program.num_rows), float(slack.sum())


def is_feasible(program: LinearProgram, x: FloatArray, tolerance: float) -> bool:
    """Whether no row or bound is violated by more than the tolerance, relative to its own terms."""
    candidate = Candidate.of(program, x, np.zeros(program.num_rows), program.costs)
    return bool(_relative(program, candidate)["primal residual"] <= tolerance)


def is_plainly_feasible(program: LinearProgram, x: FloatArray, tolerance: float) -> bool:
    """Whether it is feasible in absolute terms too: on the way to infinity everything is relatively small."""
    candidate = Candidate.of(program, x, np.zeros(program.num_rows), program.costs)
    return bool(residuals(candidate).primal <= tolerance) and is_feasible(program, x, tolerance)


def _partial(
    program: LinearProgram,
    answer: Answer,
    solver: Solver,
    attempts: tuple[str, ...],
    x: FloatArray | None,
    duals: FloatArray | None,
) -> Solution:
    """Wrap up a solve without an answer: what the solver had when it stopped, and what that is."""
    primal_status = dual_status = PointStatus.NONE
    reduced_costs = _NOTHING
    if x is not None:
        feasible = is_feasible(program, x, solver.tolerance)
        primal_status = PointStatus.FEASIBLE if feasible else PointStatus.INFEASIBLE
    if duals is not None:
        reduced_costs = program.costs - program.priced(duals)
        priced = Candidate.of(program, np.zeros(program.num_variables), duals, reduced_costs)
        wrong = _relative(program, priced)["dual residual"]
        dual_status = PointStatus.FEASIBLE if wrong <= solver.tolerance else PointStatus.INFEASIBLE
    return _solution(
        program, answer, solver, attempts, answer.termination, primal_status, dual_status, x, duals, reduced_costs
    )


def _solution(
    program: LinearProgram,
    answer: Answer,
    solver: Solver,
    attempts: tuple[str, ...],
    termination: Termination,
    primal_status: PointStatus,
    dual_status: PointStatus,
    x: FloatArray | None = None,
    row_duals: FloatArray | None = None,
    reduced_costs: FloatArray = _NOTHING,
    primal_ray: FloatArray | None = None,
    dual_ray: FloatArray | None = None,
) -> Solution:
    point = _NOTHING if x is None else x
    prices = _NOTHING if row_duals is None else row_duals
    for array in (point, prices, reduced_costs, primal_ray, dual_ray):
        if array is not None:
            array.setflags(write=False)
    return Solution(
        program=program,
        termination=termination,
        primal_status=primal_status,
        dual_status=dual_status,
        x=point,
        row_duals=prices,
        reduced_costs=reduced_costs,
        primal_ray=primal_ray,
        dual_ray=dual_ray,
        basis=answer.basis,
        iterations=answer.iterations,
        build_time=answer.build_time,
        solve_time=answer.solve_time,
        solver=solver.name,
        version=answer.version,
        options=answer.options,
        detail=answer.detail,
        attempts=attempts,
    )


def _vector(values: FloatArray | None, size: int) -> FloatArray | None:
    """Copy the values if they are the right number of finite doubles, else return None."""
    if not isinstance(values, np.ndarray) or values.dtype != np.float64 or values.shape != (size,):
        return None
    return values.copy() if np.isfinite(values).all() else None
