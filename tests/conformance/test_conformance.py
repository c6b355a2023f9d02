"""Every solver on every program of known outcome: what it must return, by the mathematics."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from mailopt_solvers import (
    BasisStatus,
    Capability,
    Cvxpy,
    InvalidOption,
    LinearProgram,
    PointStatus,
    ProgramBuilder,
    Request,
    Solution,
    Solver,
    SolverFailed,
    Termination,
    TimeLimit,
    available_solvers,
    solve,
)
from mailopt_solvers.program import FloatArray, Sense
from tests.conformance import certificates
from tests.conformance.exact import exact_solution
from tests.conformance.programs import INF, INSTANCES, SENSES, Instance, hard, known_pair, program
from tests.conformance.table import PAIRS, ROWS, SOLVERS, Row

GUARD = 30.0  # seconds after which a solver hangs

every_solver = pytest.mark.parametrize("row", ROWS)


# The table


@every_solver
def test_row_is_what_the_solver_declares(row: Row) -> None:
    assert row.solver.name == row.name
    assert row.solver.capabilities == row.capabilities
    assert row.solver.tolerance == row.tolerance


def test_every_solver_has_one_row() -> None:
    names = [row.name for row in SOLVERS]
    assert len(set(names)) == len(names)
    others = {f"cvxpy-{method}" for method in Cvxpy.methods}  # whatever cvxpy can use here, tested where CI installs it
    assert set(available_solvers()) <= set(names) | others


@pytest.mark.parametrize("row", SOLVERS, ids=lambda row: str(row.name))
def test_what_ci_installs_is_available(row: Row) -> None:
    assert row.why_missing is None


# The instances themselves


def num_bases(lp: LinearProgram) -> int:
    return math.comb(lp.num_rows + lp.num_variables, lp.num_rows)


@pytest.mark.parametrize("instance", [i for i in INSTANCES if num_bases(i.program) <= 120], ids=str)
def test_instance_is_what_it_says(instance: Instance) -> None:
    """By exact enumeration of bases; larger ones have their optimum by construction."""
    exact = exact_solution(instance.program)
    if instance.optimum is not None:
        assert exact.optimum == instance.optimum
    else:
        worse = math.inf if instance.program.sense == "min" else -math.inf
        assert exact.optimum == (worse if instance.termination is Termination.INFEASIBLE else -worse)


@pytest.mark.parametrize("sense", SENSES)
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("degenerate", [False, True], ids=["prices", "ties"])
def test_known_pair_is_optimal(seed: int, sense: Sense, degenerate: bool) -> None:
    scales = 2.0 ** np.random.default_rng(seed).integers(-20, 21, 8)
    pair = known_pair(seed, sense=sense, degenerate=degenerate, row_scales=scales)
    assert certificates.primal_violation(pair.program, pair.x) == 0
    assert certificates.dual_violation(pair.program, pair.row_duals) == 0
    assert certificates.dual_objective(pair.program, pair.row_duals)[0] == pair.optimum


# The outcome of every program


@pytest.mark.parametrize(("row", "instance"), PAIRS)
def test_outcome(row: Row, instance: Instance) -> None:
    if row.gives_up or (row.first_order and instance.badly_scaled):
        solution = may_give_up(instance.program, row.name)
        if solution is None:
            return
    else:
        solution = solve(instance.program, row.name, time_limit=GUARD)
    assert solution.termination is instance.termination
    {
        Termination.OPTIMAL: check_optimum,
        Termination.INFEASIBLE: check_farkas_ray,
        Termination.UNBOUNDED: check_point_and_direction,
    }[instance.termination](row, instance, solution)
    check_bound(row, instance, solution)


def may_give_up(lp: LinearProgram, solver: str) -> Solution | None:
    """None if the solver admits that it has no answer."""
    try:
        solution = solve(lp, solver, time_limit=0.5)
    except (SolverFailed, TimeLimit) as error:
        said = str(error)
    else:
        if solution.termination not in (Termination.FAILED, Termination.TIME_LIMIT):
            return solution
        with pytest.raises((SolverFailed, TimeLimit)) as caught:
            solution.require_optimal()
        said = str(caught.value)
    assert solver in said
    return None


def check_optimum(row: Row, instance: Instance, solution: Solution) -> None:
    """Feasible, dual feasible, no gap, and the known optimum."""
    lp, x, y = instance.program, solution.x, solution.row_duals
    assert solution.require_optimal() is solution
    assert (solution.primal_status, solution.dual_status) == (PointStatus.FEASIBLE, PointStatus.FEASIBLE)
    for array, size in ((x, lp.num_variables), (y, lp.num_rows), (solution.reduced_costs, lp.num_variables)):
        assert array.shape == (size,)
        assert array.dtype == np.float64
        assert not array.flags.writeable
    assert solution.primal_ray is None
    assert solution.dual_ray is None
    matrix = certificates.dense(lp)
    rounding = 1e-14 * (np.abs(lp.costs) + np.abs(matrix).T @ np.abs(y))
    assert (np.abs(solution.reduced_costs - (lp.costs - matrix.T @ y)) <= rounding).all()
    tolerance = 2 * row.tolerance  # the library's scale is not exactly the one of these certificates
    assert certificates.primal_violation(lp, x) <= tolerance
    assert certificates.dual_violation(lp, y) <= tolerance
    slack = certificates.slack_for_objective(lp, x, y, row.tolerance)
    assert solution.objective == pytest.approx(float(lp.costs @ x) + lp.offset, rel=1e-12, abs=1e-12)
    assert abs(solution.objective - certificates.dual_objective(lp, y)[0]) <= slack
    assert instance.optimum is not None
    assert abs(solution.objective - float(instance.optimum)) <= slack
    check_basis(row, solution)


def check_basis(row: Row, solution: Solution) -> None:
    """There is one if the solver says so; it is of the right size, and what is nonbasic is where it says."""
    lp, basis = solution.program, solution.basis
    if not row.can(Capability.BASIS):
        assert basis is None
        return
    assert basis is not None
    assert basis.require_fit(lp) is basis
    statuses = np.concatenate((basis.variables, basis.rows))
    points = np.concatenate((solution.x, certificates.dense(lp) @ solution.x))
    low, high = np.concatenate((lp.lower, lp.row_lower)), np.concatenate((lp.upper, lp.row_upper))
    for status, point, lower, upper in zip(statuses, points, low, high, strict=True):
        side = {BasisStatus.LOWER: lower, BasisStatus.UPPER: upper}.get(BasisStatus(status))
        if side is not None:
            assert point == pytest.approx(side, rel=1e-6, abs=1e-6)
        if status == BasisStatus.FREE:
            assert math.isinf(lower)
            assert math.isinf(upper)


def check_farkas_ray(_: Row, instance: Instance, solution: Solution) -> None:
    assert solution.dual_status is PointStatus.RAY
    assert solution.primal_ray is None
    assert solution.dual_ray is not None
    assert solution.dual_ray.shape == (instance.program.num_rows,)
    assert certificates.farkas_margin(instance.program, solution.dual_ray) > 1e-9


def check_point_and_direction(row: Row, instance: Instance, solution: Solution) -> None:
    lp, ray = instance.program, solution.primal_ray
    assert solution.primal_status is PointStatus.RAY
    assert solution.dual_ray is None
    assert ray is not None
    assert ray.shape == (lp.num_variables,)
    assert certificates.primal_violation(lp, solution.x) <= 2 * row.tolerance
    assert certificates.direction_violation(lp, ray) <= 1e-9
    assert certificates.gain(lp, ray) > 1e-9 * float(np.abs(lp.costs) @ np.abs(ray))


def check_bound(row: Row, instance: Instance, solution: Solution) -> None:
    """On the right side of the known optimum, without any margin; near it if all variables are bounded."""
    lp, bound = instance.program, solution.bound
    nothing_known = -math.inf if instance.program.sense == "min" else math.inf
    assert not math.isnan(bound)
    if instance.termination is Termination.UNBOUNDED:
        assert bound == nothing_known
    if instance.optimum is None:
        return
    assert bound <= instance.optimum if lp.sense == "min" else bound >= instance.optimum
    if np.isfinite(lp.lower).all() and np.isfinite(lp.upper).all():
        assert math.isfinite(bound)
        slack = certificates.slack_for_objective(lp, solution.x, solution.row_duals, row.tolerance)
        room = np.abs(lp.lower) + np.abs(lp.upper)
        slack += row.tolerance * float((1 + np.abs(solution.reduced_costs)) @ room)
        assert abs(bound - float(instance.optimum)) <= slack


# Starting from a basis


@every_solver
@pytest.mark.parametrize("sense", SENSES)
def test_start(row: Row, sense: Sense) -> None:
    """From its optimal basis a program is solved at once; after a small change, sooner than from nothing."""
    pair = known_pair(3, 30, 45, sense=sense)
    if not row.can(Capability.START):
        basis = solve(pair.program, "highs").basis
        with pytest.raises(InvalidOption, match=row.name):
            solve(pair.program, row.name, start=basis)
        return
    cold = solve(pair.program, row.name).require_optimal()
    assert cold.iterations is not None
    assert cold.iterations > 5
    for start in (cold, cold.basis):
        warm = solve(pair.program, row.name, start=start).require_optimal()
        assert warm.iterations is not None
        assert warm.iterations <= 1
        assert warm.objective == pytest.approx(float(pair.optimum), rel=1e-7)
    moved = replace(pair.program, costs=pair.program.costs + 0.01 * np.sin(np.arange(45)))
    again = solve(moved, row.name, start=cold).require_optimal()
    assert again.iterations is not None
    assert again.iterations < cold.iterations
    assert again.objective == pytest.approx(solve(moved, "highs-simplex").objective, rel=1e-7)


# Blocks, options, time


@every_solver
def test_blocks(row: Row) -> None:
    """Two goods, three buyers: ship[g, b] within supply[g] and demand[b], value (g + 1)(b + 1); spare is worthless."""
    builder = ProgramBuilder("max")
    ship = builder.add_variables("ship", (2, 3), costs=np.outer([1.0, 2.0], [1.0, 2.0, 3.0]))
    spare = builder.add_variables("spare", (), upper=1.0)
    supply = builder.add_rows("supply", (2,), {ship: sparse.csr_array(np.kron(np.eye(2), np.ones(3)))}, upper=2.0)
    builder.add_rows("demand", (1, 3), {ship: sparse.csr_array(np.kron(np.ones(2), np.eye(3)))}, upper=1.5)
    builder.add_rows("use", (), {spare: sparse.csr_array([[1.0]])}, lower=1.0)
    solution = solve(builder.build(), row.name).require_optimal()
    accuracy = max(1e-6, 30 * row.tolerance)
    np.testing.assert_allclose(solution["ship"], [[1.0, 1.0, 0.0], [0.0, 0.5, 1.5]], atol=accuracy)
    np.testing.assert_allclose(solution["spare"], 1.0, atol=accuracy)
    assert solution["spare"].shape == ()
    assert solution.duals("supply").shape == (2,) == supply.shape
    assert solution.duals("demand").shape == (1, 3)
    assert solution.duals("use").shape == ()
    assert solution.reduced("ship").shape == (2, 3)
    np.testing.assert_allclose(solution.duals("supply"), [1.0, 3.0], atol=accuracy)
    np.testing.assert_allclose(solution.duals("demand"), [[0.0, 1.0, 3.0]], atol=accuracy)


@every_solver
def test_provenance(row: Row) -> None:
    solution = solve(known_pair(0).program, row.name, time_limit=GUARD)
    assert solution.solver == row.name
    assert any(map(str.isdigit, solution.version))
    assert solution.detail
    assert "time_limit" in solution.options
    assert min(solution.build_time, solution.solve_time) >= 0
    assert solution.iterations is None or solution.iterations >= 0
    assert solution.attempts == ()


@every_solver
@pytest.mark.parametrize("options", [{"no_such_option": 1}, {"no such option": None}], ids=str)
def test_unknown_option(row: Row, options: dict[str, object]) -> None:
    make: Callable[..., Solver] = type(row.solver)
    with pytest.raises(InvalidOption, match=next(iter(options))):
        solve(known_pair(0).program, make(row.solver.method, **options))


@every_solver
def test_unknown_method(row: Row) -> None:
    with pytest.raises(InvalidOption, match="no_such_method"):
        type(row.solver)("no_such_method")


@every_solver
@pytest.mark.parametrize("time_limit", [0, 1e-9, 1e-3])
def test_out_of_time_is_no_success(row: Row, time_limit: float) -> None:
    """A time limit, an optimum that proves itself, or the error that says so; never anything else."""
    lp = hard()
    try:
        solution = solve(lp, row.name, time_limit=time_limit).require_optimal()
    except TimeLimit as error:
        said = str(error)
    else:
        assert certificates.primal_violation(lp, solution.x) <= 2 * row.tolerance
        slack = certificates.slack_for_objective(lp, solution.x, solution.row_duals, row.tolerance)
        assert abs(solution.objective - certificates.dual_objective(lp, solution.row_duals)[0]) <= slack
        return
    assert row.name in said


@pytest.mark.parametrize("row", [row for row in SOLVERS if row.can(Capability.INTERRUPT)], ids=lambda row: row.name)
def test_stops_when_asked(row: Row) -> None:
    """A solver that can be interrupted returns from a run that somebody wants stopped, and claims nothing."""
    stop = threading.Event()
    stop.set()
    request = Request(stop=stop)
    claims: list[Termination | None] = []

    def work() -> None:
        try:
            claims.append(row.solver.run(hard(400), request).termination)
        except SolverFailed:
            claims.append(None)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(GUARD)
    assert claims
    assert claims[0] not in (Termination.INFEASIBLE, Termination.UNBOUNDED, Termination.OPTIMAL)


# Duals


@every_solver
@pytest.mark.parametrize("sense", SENSES)
def test_row_duals_are_rates_of_change(row: Row, sense: Sense) -> None:
    """Nondegenerate, so the optimum is linear in each right-hand side nearby and the differences are exact."""
    sign = 1.0 if sense == "min" else -1.0
    costs = sign * np.array([2.0, 3.0, -1.0, 4.0])
    matrix = np.array([[1.0, 1, 0, 0], [1, 0, 2, 1], [0, 1, -1, 3], [1, 1, 1, 1]])
    low, high = np.array([4.0, -INF, 2.0, 0.0]), np.array([INF, 9.0, 2.0, 99.0])
    step = 0.125

    def best(shift: FloatArray) -> Solution:
        return solve(program(costs, matrix, low + shift, high + shift, 0, 50, sense=sense), row.name).require_optimal()

    centre = best(np.zeros(4))
    slack = certificates.slack_for_objective(centre.program, centre.x, centre.row_duals, row.tolerance)
    for i in range(0, 4, max(1, row.share // 2)):
        unit = np.eye(4)[i]
        rate = (best(step * unit).objective - best(-step * unit).objective) / (2 * step)
        assert centre.row_duals[i] == pytest.approx(rate, abs=1e-9 + 4 * slack / step)
    assert np.sum(np.abs(centre.row_duals) > 0.1) >= 2


# Agreement


@pytest.mark.parametrize("sense", SENSES)
@pytest.mark.parametrize("degenerate", [False, True], ids=["prices", "ties"])
@pytest.mark.parametrize("seed", range(10, 12))
def test_solvers_agree(seed: int, sense: Sense, degenerate: bool) -> None:
    pair = known_pair(seed, 15, 20, sense=sense, degenerate=degenerate)
    found: dict[str, tuple[float, float]] = {}
    for row in SOLVERS:
        if row.why_missing is None:
            s = solve(pair.program, row.name, time_limit=GUARD).require_optimal()
            slack = certificates.slack_for_objective(pair.program, s.x, s.row_duals, row.tolerance)
            found[row.name] = (s.objective, slack)
    assert len(found) > 1
    for name, (objective, slack) in found.items():
        for other, (theirs, their_slack) in found.items():
            assert abs(objective - theirs) <= slack + their_slack, f"{name} and {other}"
        assert abs(objective - float(pair.optimum)) <= slack, name


@every_solver
def test_program_is_left_alone(row: Row) -> None:
    """A solver neither changes the program nor keeps hold of the answers it gave."""
    pair = known_pair(5)
    lp: LinearProgram = pair.program
    before = [a.copy() for a in (lp.costs, lp.matrix.data, lp.row_lower, lp.row_upper, lp.lower, lp.upper)]
    solver = row.solver
    first = solve(lp, solver)
    x, y = first.x.copy(), first.row_duals.copy()
    solve(known_pair(6).program, solver)
    solve(replace(lp, costs=lp.costs + 1.0), solver)
    for old, new in zip(
        before, (lp.costs, lp.matrix.data, lp.row_lower, lp.row_upper, lp.lower, lp.upper), strict=True
    ):
        np.testing.assert_array_equal(old, new)
    np.testing.assert_array_equal(x, first.x)
    np.testing.assert_array_equal(y, first.row_duals)
