"""Solving: terminations, duals and their signs, residuals and gaps, and answers that are not true."""

from __future__ import annotations

import copy
import dataclasses
import math
import pickle
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from mailopt_solvers import (
    Answer,
    ExactProgram,
    Highs,
    HighsSession,
    Infeasible,
    InvalidOption,
    InvalidProgram,
    LinearProgram,
    MailoptError,
    ProgramBuilder,
    Solution,
    SolverError,
    SolverFailed,
    SolverNotInstalled,
    Termination,
    TimeLimit,
    Unbounded,
    WrongAnswer,
    dual_bound,
    solve,
    solve_batch,
    solver_named,
    write_mps,
)

NAN, INF = math.nan, math.inf
Array = npt.NDArray[np.float64]
Sense = Literal["min", "max"]
SENSES: list[Sense] = ["min", "max"]
TOLERANCE = 1e-8


def program(
    costs: npt.ArrayLike,
    rows: npt.ArrayLike = (),
    row_lower: npt.ArrayLike = (),
    row_upper: npt.ArrayLike = (),
    lower: npt.ArrayLike = 0.0,
    upper: npt.ArrayLike = INF,
    **others: Any,
) -> LinearProgram:
    """A program from nested lists; bounds of variables may be scalars."""
    c = np.atleast_1d(np.asarray(costs, dtype=float))
    matrix = (
        np.asarray(rows, dtype=float).reshape(-1, c.size) if np.size(rows) else np.zeros((np.size(row_lower), c.size))
    )
    return LinearProgram(
        c,
        sparse.csc_array(matrix),
        np.asarray(row_lower, dtype=float).ravel(),
        np.asarray(row_upper, dtype=float).ravel(),
        np.broadcast_to(np.asarray(lower, dtype=float), c.shape),
        np.broadcast_to(np.asarray(upper, dtype=float), c.shape),
        **others,
    )


def check_optimal(solution: Solution) -> None:
    """An optimum proves itself: feasible, dual feasible, no gap."""
    assert solution.termination is Termination.OPTIMAL
    assert solution.require_optimal() is solution
    lp = solution.program
    assert solution.x.shape == (lp.num_variables,)
    assert solution.row_duals.shape == (lp.num_rows,)
    assert solution.reduced_costs.shape == (lp.num_variables,)
    assert solution.primal_residual <= TOLERANCE
    assert solution.dual_residual <= TOLERANCE
    assert solution.gap <= TOLERANCE


# Terminations


@pytest.mark.parametrize(
    ("lp", "objective"),
    [
        pytest.param(program([1, 1], [[1, 2]], [2], [INF]), 1.0, id="min"),
        pytest.param(program([1, 1], [[1, 2]], [-INF], [2], sense="max"), 2.0, id="max"),
        pytest.param(program([1, 1], [[1, 2]], [2], [INF], offset=-5.0), -4.0, id="min-offset"),
        pytest.param(program([1, 1], [[1, 2]], [-INF], [2], sense="max", offset=0.5), 2.5, id="max-offset"),
        pytest.param(program([1, 1], [[1, 2]], [2], [2]), 1.0, id="equality"),
        pytest.param(program([1, -1], [[1, 1]], [1], [3], upper=2.0), -2.0, id="range"),
        pytest.param(program([1], [[1]], [-4], [INF], lower=-INF), -4.0, id="free-variable"),
        pytest.param(program([-1], lower=-INF, upper=3.0), -3.0, id="upper-bound-only"),
        pytest.param(program([1, 1], [[1, 1]], [1], [INF], lower=[2, 0], upper=[2, 1]), 2.0, id="fixed-variable"),
        pytest.param(program([1], [[0]], [-1], [1], lower=1.0), 1.0, id="empty-row"),
        pytest.param(program([1], [[0]], [-INF], [INF], lower=1.0), 1.0, id="free-empty-row"),
        pytest.param(program([1, 2], [[1, 0]], [1], [INF], lower=[0, 3]), 7.0, id="empty-column"),
        pytest.param(program([1, 0], [[1, 0]], [1], [INF], lower=-INF), 1.0, id="free-empty-column"),
        pytest.param(program([1, 2], lower=[3, 4]), 11.0, id="no-rows"),
        pytest.param(program([0, 0], [[1, 1]], [1], [1]), 0.0, id="no-costs"),
        pytest.param(program([], offset=3.0), 3.0, id="empty"),
        pytest.param(program([], row_lower=[-1], row_upper=[0], offset=3.0), 3.0, id="rows-without-variables"),
        pytest.param(program([1, 1], [[1, 1], [1, 1]], [1, 1], [1, 1]), 1.0, id="redundant-rows"),
        pytest.param(program([1e6], [[1e-6]], [1e-6], [INF]), 1e6, id="scaled"),
    ],
)
def test_optimum(lp: LinearProgram, objective: float) -> None:
    solution = solve(lp)
    assert solution.termination is Termination.OPTIMAL
    assert solution.objective == pytest.approx(objective, rel=1e-9, abs=1e-9)
    if objective < 1e3:
        check_optimal(solution)


@pytest.mark.parametrize(
    ("lp", "termination", "error"),
    [
        pytest.param(program([1], [[1]], [-INF], [-1]), Termination.INFEASIBLE, Infeasible, id="row"),
        pytest.param(program([0], [[1]], [2], [3], upper=1.0), Termination.INFEASIBLE, Infeasible, id="no-costs"),
        pytest.param(
            program([1, 1], [[1, 1], [1, 1]], [1, 2], [1, 2], lower=-INF), Termination.INFEASIBLE, Infeasible, id="rows"
        ),
        pytest.param(program([1], [[0]], [1], [1]), Termination.INFEASIBLE, Infeasible, id="empty-row"),
        pytest.param(program([], row_lower=[1], row_upper=[1]), Termination.INFEASIBLE, Infeasible, id="no-variables"),
        pytest.param(
            program([-1, -1], [[1, -1], [1, -1]], [1, 2], [1, 2]),
            Termination.INFEASIBLE,
            Infeasible,
            id="ray-elsewhere",
        ),
        pytest.param(program([-1]), Termination.UNBOUNDED, Unbounded, id="no-rows"),
        pytest.param(program([1], sense="max"), Termination.UNBOUNDED, Unbounded, id="max"),
        pytest.param(program([1], lower=-INF), Termination.UNBOUNDED, Unbounded, id="free"),
        pytest.param(program([-1, 0], [[1, -1]], [0], [0]), Termination.UNBOUNDED, Unbounded, id="ray"),
        pytest.param(program([0, -1], [[1, 0]], [1], [1]), Termination.UNBOUNDED, Unbounded, id="empty-column"),
    ],
)
def test_no_optimum(lp: LinearProgram, termination: Termination, error: type[SolverError]) -> None:
    solution = solve(lp)
    assert solution.termination is termination
    assert solution.row_duals.size == solution.reduced_costs.size == 0
    assert solution.x.size == (lp.num_variables if termination is Termination.UNBOUNDED else 0)
    with pytest.raises(error, match=r"highs.*LinearProgram"):
        solution.require_optimal()


@pytest.mark.parametrize("sense", SENSES)
def test_large_bounds_are_bounds(sense: Sense) -> None:
    """Only infinity means "no bound"; a large bound must not become one in silence."""
    sign = 1.0 if sense == "max" else -1.0
    for size in (1e15, 1e20, 1e25):
        lp = program([1], lower=-size, upper=size, sense=sense)
        try:
            solution = solve(lp)
        except SolverFailed:
            continue
        assert solution.termination is not Termination.UNBOUNDED, size
        if solution.termination is Termination.OPTIMAL:
            assert solution.objective == sign * size


@pytest.mark.parametrize("coefficient", [1e-10, 1e-12, 1e-13, 1e-300])
def test_small_coefficients_are_not_dropped_in_silence(coefficient: float) -> None:
    """The row caps x; without it the program would be unbounded."""
    try:
        solution = solve(program([1], [[coefficient]], [-INF], [coefficient], sense="max"))
    except SolverFailed:
        return
    assert solution.termination is not Termination.UNBOUNDED
    if solution.termination is Termination.OPTIMAL:
        assert solution.objective == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize("cost", [1e15, 1e20, 1e30, 1e300])
def test_large_costs(cost: float) -> None:
    try:
        solution = solve(program([cost, 1], [[1, 1]], [1], [1], upper=1.0, sense="max"))
    except SolverFailed:
        return
    if solution.termination is Termination.OPTIMAL:
        assert solution.objective == pytest.approx(cost, rel=1e-6)
    else:
        assert solution.termination is Termination.FAILED


def test_blocks_are_read_back_in_shape() -> None:
    builder = ProgramBuilder("max")
    low = np.arange(6.0).reshape(2, 3)
    builder.add_variables("fixed", (2, 3), lower=low, upper=low)
    z = builder.add_variables("z", (2, 2), costs=np.array([[1.0, 2.0], [3.0, 4.0]]))
    builder.add_variables("none", (0, 4))
    builder.add_variables("single", (), upper=2.0, costs=1.0)
    builder.add_rows("cap", (2, 1, 2), {z: sparse.eye_array(4)}, upper=np.array([[[1.0, 2.0]], [[3.0, 4.0]]]))
    builder.add_rows("free", (1,), {z: sparse.csr_array(np.ones((1, 4)))})
    solution = solve(builder.build())
    check_optimal(solution)
    np.testing.assert_allclose(solution["fixed"], low)
    np.testing.assert_allclose(solution["z"], [[1, 2], [3, 4]])
    assert solution["none"].shape == (0, 4)
    assert (solution["single"].shape, float(solution["single"])) == ((), 2.0)
    np.testing.assert_allclose(solution.duals("cap"), [[[1, 2]], [[3, 4]]])
    np.testing.assert_allclose(solution.duals("free"), [0])
    with pytest.raises(KeyError):
        solution["cap"]
    with pytest.raises(KeyError):
        solution.duals("z")


# Time and names


def hard(size: int = 120) -> LinearProgram:
    """A dense program that takes longer than no time."""
    generator = np.random.default_rng(0)
    return program(
        -generator.random(size), generator.random((size, size)), np.full(size, -INF), np.full(size, 1.0), upper=INF
    )


@pytest.mark.parametrize("time_limit", [0, 0.0, 1e-9])
def test_no_time_is_no_success_without_an_optimum(time_limit: float) -> None:
    for lp in (hard(), program([1, 1], [[1, 2]], [2], [INF])):
        solution = solve(lp, time_limit=time_limit)
        assert solution.termination in (Termination.OPTIMAL, Termination.TIME_LIMIT)
        if solution.termination is Termination.OPTIMAL:
            check_optimal(solution)
        else:
            with pytest.raises(TimeLimit, match="time limit"):
                solution.require_optimal()


def test_hard_program_reaches_its_time_limit() -> None:
    assert solve(hard(), time_limit=0).termination is Termination.TIME_LIMIT
    assert solve(hard(), time_limit=60).termination is Termination.OPTIMAL


@pytest.mark.parametrize("time_limit", [-1, NAN, -INF], ids=str)
def test_time_limit_that_makes_no_sense(time_limit: float) -> None:
    with pytest.raises(MailoptError, match=r"time.limit"):
        solve(program([1]), time_limit=time_limit)


@pytest.mark.parametrize("name", ["gurobi", "HiGHS", "", "auto "])
def test_unknown_solver(name: str) -> None:
    with pytest.raises(SolverNotInstalled, match=r"highs"):
        solve(program([1]), name)


def test_provenance() -> None:
    solution = solve(program([1, 1], [[1, 2]], [2], [INF]), "highs", time_limit=5)
    assert solution.solver == "highs"
    assert solution.version[0].isdigit()
    assert solution.options["time_limit"] == pytest.approx(5.0, abs=1.0)
    assert solution.solve_time > 0
    assert solution.iterations == 0


@pytest.mark.parametrize("termination", list(Termination), ids=lambda t: str(t.name))
def test_require_optimal(termination: Termination) -> None:
    solution = dataclasses.replace(solve(program([1])), termination=termination, detail="why")
    expected = {
        Termination.INFEASIBLE: Infeasible,
        Termination.UNBOUNDED: Unbounded,
        Termination.TIME_LIMIT: TimeLimit,
        Termination.FAILED: SolverFailed,
    }
    if termination is Termination.OPTIMAL:
        assert solution.require_optimal() is solution
        return
    with pytest.raises(expected[termination], match="why") as caught:
        solution.require_optimal()
    assert type(caught.value) is expected[termination]


# Duals


@pytest.mark.parametrize("sense", SENSES)
@pytest.mark.parametrize("seed", range(8))
def test_duals_are_rates_of_change_of_the_optimum(sense: Sense, seed: int) -> None:
    """Shift each row bound, and each variable bound, a little both ways; compare with the dual and reduced cost."""
    generator = np.random.default_rng(seed)
    n, m, step = 5, 4, 1e-4
    matrix, costs = generator.normal(size=(m, n)), generator.normal(size=n)
    inside = generator.uniform(0.2, 0.8, size=n)
    row_lower, row_upper = (
        matrix @ inside - generator.uniform(0.1, 0.3, m),
        matrix @ inside + generator.uniform(0.1, 0.3, m),
    )
    row_lower[0] = row_upper[0] = (matrix @ inside)[0]
    row_lower[1], row_upper[2] = -INF, INF
    lower, upper = np.zeros(n), np.ones(n)

    def best(shift: Array, move: Array) -> Solution:
        lp = program(costs, matrix, row_lower + shift, row_upper + shift, lower + move, upper + move, sense=sense)
        solution = solve(lp)
        check_optimal(solution)
        return solution

    centre = best(np.zeros(m), np.zeros(n))
    for count, prices in ((m, centre.row_duals), (n, centre.reduced_costs)):
        for k in range(count):
            unit = np.eye(count)[k] * step
            ends = [best(s * unit, np.zeros(n)) if count == m else best(np.zeros(m), s * unit) for s in (1.0, -1.0)]
            rate = (ends[0].objective - ends[1].objective) / (2 * step)
            assert prices[k] == pytest.approx(rate, abs=1e-5)
    np.testing.assert_allclose(centre.reduced_costs, costs - matrix.T @ centre.row_duals, rtol=0, atol=1e-14)


@pytest.mark.parametrize("sense", SENSES)
def test_signs_of_duals(sense: Sense) -> None:
    """In a minimisation a price >= 0 belongs to a lower bound; in a maximisation signs are opposite."""
    sign = 1.0 if sense == "min" else -1.0
    at_lower = solve(program([sign], [[1.0]], [2.0], [5.0], lower=-INF, sense=sense))
    at_upper = solve(program([-sign], [[1.0]], [2.0], [5.0], lower=-INF, sense=sense))
    assert (at_lower.x[0], at_lower.row_duals[0]) == (2.0, sign)
    assert (at_upper.x[0], at_upper.row_duals[0]) == (5.0, -sign)
    variable = solve(program([sign, -sign], lower=2.0, upper=5.0, sense=sense))
    assert variable.x.tolist() == [2.0, 5.0]
    assert variable.reduced_costs.tolist() == [sign, -sign]


# Residuals and gap


def answer(lp: LinearProgram, x: npt.ArrayLike, y: npt.ArrayLike = (), d: npt.ArrayLike | None = None) -> Solution:
    """What a solver might have claimed, taken at its word."""
    duals = np.asarray(y, dtype=float)
    return dataclasses.replace(
        solve(program([1.0])),
        program=lp,
        x=np.asarray(x, dtype=float),
        row_duals=duals,
        reduced_costs=lp.costs - lp.matrix.T @ duals if d is None else np.asarray(d, dtype=float),
    )


@pytest.mark.parametrize(
    ("x", "residual"),
    [
        pytest.param([1.0, 1.0], 0.0, id="feasible"),
        pytest.param([0.5, 0.25], 1.25, id="row-lower"),
        pytest.param([3.0, 2.0], 2.0, id="row-upper"),
        pytest.param([-0.5, 3.0], 0.5, id="lower"),
        pytest.param([0.0, 4.0], 1.0, id="upper"),
    ],
)
def test_primal_residual(x: list[float], residual: float) -> None:
    lp = program([1, 1], [[1, 1]], [2], [3], lower=0.0, upper=3.0)
    assert answer(lp, x, [0.0]).primal_residual == pytest.approx(residual)


@pytest.mark.parametrize("sense", SENSES)
def test_dual_residual_is_a_price_without_a_bound(sense: Sense) -> None:
    sign = 1.0 if sense == "min" else -1.0
    upper_row = program([0, 0], [[1, 0]], [-INF], [1], lower=-INF, upper=INF, sense=sense)
    lower_row = program([0, 0], [[1, 0]], [1], [INF], lower=-INF, upper=INF, sense=sense)
    assert answer(upper_row, [0, 0], [sign * 0.5], [0, 0]).dual_residual == 0.5
    assert answer(lower_row, [1, 0], [-sign * 0.5], [0, 0]).dual_residual == 0.5
    bounded = program([-sign, 0], [[0, 0]], [0], [0], lower=0.0, upper=INF, sense=sense)
    assert answer(bounded, [0, 0], [0.0]).dual_residual == 1.0


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.sampled_from(SENSES), st.floats(-3, 3))
def test_gap_bounds_the_distance_to_the_optimum(seed: int, sense: Sense, offset: float) -> None:
    """Weak duality: any feasible point and any y leave |c x - optimum| <= gap, and the gap of an optimum is 0."""
    generator = np.random.default_rng(seed)
    n, m = 4, 3
    matrix, x = generator.normal(size=(m, n)), generator.random(n)
    activity = matrix @ x
    lp = program(
        generator.normal(size=n),
        matrix,
        activity - generator.random(m),
        activity + generator.random(m),
        lower=0.0,
        upper=1.0,
        sense=sense,
        offset=offset,
    )
    best = solve(lp)
    check_optimal(best)
    guess = answer(lp, x, generator.normal(size=m))
    assert guess.primal_residual <= 1e-12
    assert guess.dual_residual <= 1e-12
    assert abs(guess.objective - best.objective) <= guess.gap + 1e-9
    assert guess.objective == pytest.approx(float(lp.costs @ x) + offset)


# Answers that are not true

LIE = program([1, 2], [[1, 1]], [1], [4], upper=3.0)
TRUE = {"x": [1.0, 0.0], "y": [1.0]}


def claimed(lp: LinearProgram, claim: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Solution:
    """What becomes of an answer that HiGHS did not give."""
    arrays = {name: np.asarray(value, dtype=float) for name, value in claim.items()}
    lie = Answer(Termination.OPTIMAL, "0", "optimal", {}, x=arrays["x"], row_duals=arrays["y"])
    monkeypatch.setattr(Highs, "run", lambda *_: lie)
    return solve(lp, Highs("simplex"))


def test_the_truth_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    check_optimal(claimed(LIE, TRUE, monkeypatch))


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        pytest.param({"x": [0.0, 0.0]}, "primal residual", id="infeasible-row"),
        pytest.param({"x": [2.0, -1.0]}, "primal residual", id="below-bound"),
        pytest.param({"x": [3.5, 0.0]}, "primal residual", id="above-bound"),
        pytest.param({"x": [1.0 - 1e-5, 0.0]}, "primal residual", id="slightly-infeasible"),
        pytest.param({"x": [0.0, 1.0]}, "gap", id="suboptimal"),
        pytest.param({"x": [1.0 + 1e-3, 0.0]}, "gap", id="slightly-suboptimal"),
        pytest.param({"y": [0.0]}, "gap", id="no-duals"),
        pytest.param({"y": [-1.0]}, "gap", id="duals-of-other-sign"),
        pytest.param({"x": [NAN, 0.0]}, "a point", id="x-nan"),
        pytest.param({"x": [INF, 0.0]}, "a point", id="x-inf"),
        pytest.param({"x": [NAN, NAN]}, "a point", id="x-all-nan"),
        pytest.param({"y": [NAN]}, "dual", id="y-nan"),
        pytest.param({"y": [-INF]}, "dual", id="y-inf"),
        pytest.param({"x": [1.0]}, "a point", id="x-short"),
        pytest.param({"x": [1.0, 0.0, 0.0]}, "a point", id="x-long"),
        pytest.param({"x": []}, "a point", id="x-empty"),
        pytest.param({"x": [[1.0, 0.0]]}, "a point", id="x-two-dimensions"),
        pytest.param({"x": 1.0}, "a point", id="x-scalar"),
        pytest.param({"y": []}, "dual", id="y-empty"),
        pytest.param({"y": [1.0, 0.0]}, "dual", id="y-long"),
    ],
)
def test_a_lying_backend_is_caught(claim: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WrongAnswer, match=message):
        claimed(LIE, TRUE | claim, monkeypatch)


@pytest.mark.parametrize("sense", SENSES)
def test_the_worst_point_is_not_the_best(sense: Sense, monkeypatch: pytest.MonkeyPatch) -> None:
    """The optimum of the other sense, with its duals."""
    other: Sense = "max" if sense == "min" else "min"
    wrong = solve(dataclasses.replace(LIE, sense=other))
    check_optimal(wrong)
    with pytest.raises(WrongAnswer):
        claimed(dataclasses.replace(LIE, sense=sense), {"x": wrong.x, "y": wrong.row_duals}, monkeypatch)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda lp: program([1, 2], [[1, 1]], [2], [4], upper=3.0), id="another-program"),
        pytest.param(lambda lp: dataclasses.replace(lp, upper=np.array([0.5, 0.25])), id="tighter-bounds"),
        pytest.param(lambda lp: dataclasses.replace(lp, costs=np.array([2.0, 1.0])), id="other-costs"),
        pytest.param(lambda lp: dataclasses.replace(lp, row_lower=np.array([2.0])), id="other-rows"),
    ],
)
def test_answer_from_stale_data(
    make: Callable[[LinearProgram], LinearProgram], monkeypatch: pytest.MonkeyPatch
) -> None:
    stale = solve(LIE)
    with pytest.raises(WrongAnswer):
        claimed(make(LIE), {"x": stale.x, "y": stale.row_duals}, monkeypatch)


@pytest.mark.parametrize("name", ["x", "objective"])
def test_reading_what_is_not_there_is_no_number(name: str) -> None:
    """Without an optimum there is no objective and no point; asking gives NaN or an error of this library."""
    infeasible = solve(program([1], [[1]], [-INF], [-1]))
    try:
        value = infeasible["x"] if name == "x" else infeasible.objective
    except MailoptError:
        return
    assert np.isnan(value).all()
    assert np.size(value)


# Carrying things about, and giving the wrong ones


def test_everything_can_be_pickled() -> None:
    lp = dataclasses.replace(LIE, sense="max")
    solution = solve(lp, Highs("simplex", presolve="off"))
    again = pickle.loads(pickle.dumps(solution))
    np.testing.assert_array_equal(again.x, solution.x)
    assert again.program.sense == "max"
    assert again["x"].tolist() == solution["x"].tolist()
    assert again.basis.variables.tolist() == solution.basis.variables.tolist()  # type: ignore[union-attr]
    assert solve(again.program, start=again).iterations == 0
    assert copy.deepcopy(lp).costs.tolist() == lp.costs.tolist()
    assert pickle.loads(pickle.dumps(Highs("ipm", threads=1))) == Highs("ipm", threads=1)


@pytest.mark.parametrize(("alias", "name"), [("highs-choose", "highs"), ("scipy-highs", "scipy")])
def test_the_first_method_has_two_names(alias: str, name: str) -> None:
    assert solver_named(alias) == solver_named(name)


@pytest.mark.parametrize("given", [None, ProgramBuilder(), 3, "program"], ids=["none", "builder", "number", "text"])
@pytest.mark.parametrize(
    "use",
    [
        solve,
        HighsSession,
        lambda p: HighsSession(LIE).load(p),
        lambda p: solve_batch(p, costs=np.ones((1, 2))),
        lambda p: dual_bound(p, np.ones(1)),
        lambda p: write_mps(p, "never.mps"),
    ],
)
def test_what_is_no_program(use: Callable[[Any], object], given: object) -> None:
    with pytest.raises(InvalidProgram, match="program is"):
        use(given)


def test_an_exact_program_is_for_the_exact_solver() -> None:
    with pytest.raises(InvalidProgram, match="solve_exact"):
        solve(ExactProgram([1], [[1]], [1], [2], [0], [3]))  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["ipm", "hipo"])
def test_what_would_crash_is_refused(method: str) -> None:
    with pytest.raises(InvalidOption, match="crashes"):
        Highs(method, presolve="off")


def test_the_number_of_threads_can_change() -> None:
    for threads in (1, 2, 1):
        assert solve(LIE, Highs(threads=threads)).attempts == ()


def test_infeasible_by_interior_points() -> None:
    """HiGHS' rays after an interior point method are not asked for: that may crash."""
    lp = program([0.0], [[0.0], [0.0], [1.0]], [1.0, -INF, 0.0], [INF, INF, 1.0])
    assert solve(lp, "highs-ipm").termination is Termination.INFEASIBLE


@pytest.mark.parametrize("sense", SENSES)
def test_interior_points_without_crossover(sense: Sense) -> None:
    generator = np.random.default_rng(7)
    matrix = sparse.random_array((300, 400), density=0.02, rng=generator)
    sign = 1.0 if sense == "max" else -1.0
    lp = LinearProgram(np.full(400, sign), matrix, np.full(300, -INF), np.ones(300), np.zeros(400), np.ones(400), sense)
    assert solve(lp, Highs("ipm", run_crossover="off")).objective == pytest.approx(solve(lp).objective, rel=1e-6)


def test_no_answer_by_any_method_is_settled_by_a_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    def mute(self: Highs, lp: LinearProgram, request: Any) -> Answer:
        if self.options.get("presolve") == "off" and self.method == "simplex" and len(self.options) == 1:
            return run(self, lp, request)  # who proves
        return Answer(Termination.FAILED, "0", "no idea", dict(self.options))

    run = Highs.run
    monkeypatch.setattr(Highs, "run", mute)
    infeasible = solve(program([1], [[1]], [-INF], [-1]), "highs")
    assert infeasible.termination is Termination.INFEASIBLE
    assert len(infeasible.attempts) == 4
    assert solve(program([-1]), "highs").termination is Termination.UNBOUNDED
    with pytest.raises(SolverFailed, match="no idea"):
        solve(LIE, "highs").require_optimal()
