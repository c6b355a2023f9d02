"""HiGHS through highspy, called directly.

Facts that shape this file (HiGHS 1.15): NaN passes silently, so programs are validated before; a bad option value
leaves the old one in force, so every status is checked; matrix entries under ``small_matrix_value`` (1e-9 unless
told) are dropped without a word, so it is lowered to its minimum, and a claim other than "optimal" about a program that
has smaller ones is refused; finite bounds from ``infinite_bound`` (1e20 unless told) on become none; tolerances of 1e-7
leave incentive violations of that size, and 1e-9 costs nothing extra.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from mailopt_solvers.errors import SolverFailed
from mailopt_solvers.program import LinearProgram
from mailopt_solvers.solution import Solution, Termination

if TYPE_CHECKING:
    import highspy

_OPTIONS: dict[str, bool | int | float | str] = {
    "output_flag": False,
    "primal_feasibility_tolerance": 1e-9,
    "dual_feasibility_tolerance": 1e-9,
    "small_matrix_value": 1e-12,
    "infinite_bound": float("inf"),
    "infinite_cost": float("inf"),
}

# Presolve may leave open whether a program is unbounded or infeasible, and dual simplex may give up on large duals.
_ATTEMPTS: tuple[dict[str, bool | int | float | str], ...] = (
    {},
    {"presolve": "off"},
    {"presolve": "off", "simplex_strategy": 4},  # primal simplex
)

_TERMINATIONS = {
    "kOptimal": Termination.OPTIMAL,
    "kInfeasible": Termination.INFEASIBLE,
    "kUnbounded": Termination.UNBOUNDED,
    "kTimeLimit": Termination.TIME_LIMIT,
}


def solve(program: LinearProgram, *, time_limit: float | None = None) -> Solution:
    """Solve a program from scratch with HiGHS' own choice of method.

    Where that ends without an answer, ask again without presolve, then for primal simplex; the options of the answer
    say which it was.
    """
    import highspy  # noqa: PLC0415 - a tenth of a second that importing the package need not cost

    started = time.perf_counter()
    options = dict(_OPTIONS)
    if time_limit is not None:
        options["time_limit"] = float(time_limit)
    highs = highspy.Highs()  # type: ignore[no-untyped-call]
    for name, value in options.items():
        _checked(highs.setOptionValue(name, value), f"option {name} = {value!r}")
    _checked(highs.passModel(_model(program)), "the program")
    for attempt in _ATTEMPTS:
        for name, value in attempt.items():
            _checked(highs.setOptionValue(name, value), f"option {name} = {value!r}")
        options.update(attempt)
        outcome = highs.run()
        status = highs.getModelStatus()
        if outcome.name != "kError" and status.name not in ("kUnboundedOrInfeasible", "kUnknown"):
            break
        _checked(highs.clearSolver(), "to start afresh")
    else:
        raise SolverFailed(f"HiGHS has no answer ({highs.modelStatusToString(status)}) to {program!r} by any method")
    termination = _TERMINATIONS.get(status.name, Termination.FAILED)
    if status.name == "kModelEmpty":  # without variables the rows read row_lower <= 0 <= row_upper
        satisfied = ((program.row_lower <= 0) & (program.row_upper >= 0)).all()
        termination = Termination.OPTIMAL if satisfied else Termination.INFEASIBLE
    elif termination is not Termination.OPTIMAL and _dropped(program):
        raise SolverFailed(
            f"HiGHS reports {status.name} after dropping coefficients of at most {_OPTIONS['small_matrix_value']:g} "
            f"from {program!r}; rescale the rows or columns"
        )
    info = highs.getInfo()
    optimal = termination is Termination.OPTIMAL
    answer = highs.getSolution()
    row_duals = np.array(answer.row_dual if optimal else [], dtype=np.float64)
    return Solution(
        program=program,
        termination=termination,
        x=np.array(answer.col_value if optimal else [], dtype=np.float64),
        row_duals=row_duals,
        reduced_costs=program.costs - program.matrix.T @ row_duals if optimal else np.zeros(0),
        iterations=max(info.simplex_iteration_count, 0)
        + max(info.ipm_iteration_count, 0)
        + max(info.crossover_iteration_count, 0),
        solve_time=time.perf_counter() - started,
        solver="highs",
        version=highs.version(),
        options=options,
        detail=highs.modelStatusToString(status),
    )


def _model(program: LinearProgram) -> highspy.HighsLp:
    import highspy  # noqa: PLC0415

    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = program.num_variables, program.num_rows
    lp.sense_ = highspy.ObjSense.kMinimize if program.sense == "min" else highspy.ObjSense.kMaximize
    lp.offset_ = program.offset
    lp.col_cost_ = program.costs
    lp.col_lower_, lp.col_upper_ = program.lower, program.upper
    lp.row_lower_, lp.row_upper_ = program.row_lower, program.row_upper
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.num_col_, lp.a_matrix_.num_row_ = program.num_variables, program.num_rows
    lp.a_matrix_.start_ = program.matrix.indptr.astype(np.int32, copy=False)
    lp.a_matrix_.index_ = program.matrix.indices.astype(np.int32, copy=False)
    lp.a_matrix_.value_ = program.matrix.data
    return lp


def _dropped(program: LinearProgram) -> bool:
    """Whether there are coefficients that HiGHS leaves out."""
    sizes = np.abs(program.matrix.data)
    return bool(((sizes > 0) & (sizes <= _OPTIONS["small_matrix_value"])).any())


def _checked(status: highspy.HighsStatus, what: str) -> None:
    if status.name == "kError":
        raise SolverFailed(f"HiGHS refused {what}")
