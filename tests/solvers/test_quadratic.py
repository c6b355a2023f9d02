"""Quadratic costs on single variables: optima known by construction and in closed form, proofs, lies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import sparse

from mailopt_solvers import (
    Answer,
    Highs,
    Infeasible,
    InvalidOption,
    InvalidProgram,
    LinearProgram,
    ProgramBuilder,
    QuadraticSolution,
    Request,
    SolverFailed,
    Termination,
    TimeLimit,
    Unbounded,
    UnknownBlock,
    WrongAnswer,
    quadratic,
    solve,
    solve_quadratic,
)
from mailopt_solvers.separable import Quadratic
from tests.solvers.random_programs import random_program

INF = np.inf
Array = npt.NDArray[np.float64]
Lie = Callable[[Answer], Answer]


@pytest.fixture(params=["highs", "clarabel"])
def first(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of the solver that goes first, whatever the size."""
    monkeypatch.setattr(quadratic, "_SMALL", 10**9 if request.param == "highs" else -1)
    return str(request.param)


def known(seed: int, n: int, m: int, curved: float = 0.7) -> tuple[LinearProgram, Array, Array, Array]:
    """A program made from an optimal point: rows and variables of every kind, then multipliers, then the costs.

    Points, matrix and bounds are multiples of 1/4, so that the point is feasible exactly.
    """
    generator = np.random.default_rng(seed)
    x = generator.integers(-3, 4, size=n) + generator.choice([0.0, 0.25, 0.5], size=n)
    matrix = (generator.integers(-3, 4, size=(m, n)) * (generator.random((m, n)) < 0.7)).astype(float)
    activity = matrix @ x
    kind = generator.integers(0, 5, size=m)  # equality, at lower, at upper, between, at lower without a price
    row_lower = np.select([kind == 2, kind == 3], [activity - 2, activity - 1], activity)
    row_lower[(kind == 2) & (generator.random(m) < 0.5)] = -INF
    row_upper = np.where((kind == 0) | (kind == 2), activity, activity + 3)
    row_upper[(kind % 2 == 1) & (generator.random(m) < 0.5)] = INF
    signs = np.select([kind == 0, kind == 1, kind == 2], [generator.choice([-1, 1], size=m), 1, -1], 0)
    y = signs * generator.exponential(size=m)
    kind = generator.integers(0, 5, size=n)  # free, at lower, at upper, fixed, between
    lower = np.select([kind == 0, kind % 2 == 1, kind == 2], [-INF, x, x - 2], x - 1)
    upper = np.select([kind == 0, kind == 1, kind == 4], [INF, x + 1, x + 1], x)
    upper[(kind == 1) & (generator.random(n) < 0.5)] = INF
    size = generator.exponential(size=n) * (generator.random(n) < 0.8)
    slopes = np.select([kind == 1, kind == 2, kind == 3], [size, -size, generator.choice([-1, 1], size=n) * size], 0.0)
    q = generator.exponential(size=n) * (generator.random(n) < curved)
    p = x + 3 * generator.normal(size=n)
    costs = matrix.T @ y + slopes - q * (x - p)
    offset = float(generator.integers(-2, 3))
    return LinearProgram(costs, sparse.csc_array(matrix), row_lower, row_upper, lower, upper, "min", offset), q, p, x


def exact_value(program: LinearProgram, q: Array, p: Array, x: Array) -> Fraction:
    terms = [
        Fraction(float(c)) * Fraction(float(t))
        + Fraction(float(w)) * (Fraction(float(t)) - Fraction(float(s))) ** 2 / 2
        for c, t, w, s in zip(program.costs, x, q, p, strict=True)
    ]
    return sum(terms, Fraction(program.offset))


def check(solution: QuadraticSolution, x: Array, tolerance: float = 1e-4) -> None:
    """Optimal by all measures, and x itself where the optimum is unique."""
    lp, q, p = solution.program, solution.weights, solution.centre
    assert solution.termination is Termination.OPTIMAL
    best = exact_value(lp, q, p, x)
    size = 1.0 + float(np.abs(np.concatenate((lp.costs * x, q * x * x, q * p * p))).max())
    assert solution.objective == pytest.approx(float(best), abs=1e-8 * size)
    assert solution.bound <= best
    assert solution.gap <= 1e-8 * size
    assert solution.primal_residual <= 1e-7 * (1.0 + np.abs(x).max())
    assert solution.dual_residual <= 1e-7 * size
    apart = np.sqrt(q) * (solution.x - x)
    assert np.abs(apart).max(initial=0.0) <= tolerance * np.sqrt(size)


# Optima known by construction


@pytest.mark.parametrize("seed", range(60))
def test_known_optimum(seed: int, first: str) -> None:
    generator = np.random.default_rng(seed)
    lp, q, p, x = known(seed, int(generator.integers(1, 12)), int(generator.integers(0, 8)))
    check(solve_quadratic(lp, q, p), x)


@pytest.mark.parametrize("seed", range(5))
def test_known_optimum_of_larger_programs(seed: int, first: str) -> None:
    lp, q, p, x = known(seed, 120, 60, curved=1.0)
    solution = solve_quadratic(lp, q, p)
    check(solution, x)
    assert np.isfinite(solution.bound)
    assert solution.objective - solution.bound <= 1e-6 * (1.0 + abs(solution.objective))


@pytest.mark.parametrize("size", [1e-9, 1e-4, 1e5, 1e9])
def test_costs_of_any_size(size: float, first: str) -> None:
    for seed in range(5):
        lp, q, p, x = known(seed, 8, 4, curved=1.0)
        solution = solve_quadratic(lp.changed(costs=lp.costs * size), q * size, p)
        assert np.abs(solution.x - x).max() <= 1e-4 / min(1.0, np.sqrt(q.min()))


@pytest.mark.parametrize("size", [2.0**-30, 2.0**-10, 2.0**20, 2.0**30])
def test_points_of_any_size(size: float, first: str) -> None:
    for seed in range(5):
        lp, q, p, x = known(seed, 8, 4, curved=1.0)
        bounds = {side: getattr(lp, side) * size for side in ("lower", "upper", "row_lower", "row_upper")}
        solution = solve_quadratic(lp.changed(costs=lp.costs, **bounds), q / size, p * size)
        assert np.abs(solution.x - x * size).max() <= size * 1e-4 / min(1.0, np.sqrt(q.min()))


# Closed forms


def program(costs: npt.ArrayLike, rows: npt.ArrayLike, low: Any, high: Any, **bounds: Any) -> LinearProgram:
    """One block x of variables, nonnegative unless told, and one block of rows."""
    c = np.asarray(costs, dtype=float)
    matrix = np.asarray(rows, dtype=float).reshape(-1, c.size)
    builder = ProgramBuilder()
    x = builder.add_variables("x", c.shape, costs=c, **bounds)
    builder.add_rows("rows", (len(matrix),), {x: matrix}, lower=low, upper=high)
    return builder.build()


def simplex(n: int) -> LinearProgram:
    return program(np.zeros(n), np.ones((1, n)), 1.0, 1.0)


def projected(p: Array) -> Array:
    """Nearest point of the simplex, by sorting (Held, Wolfe and Crowder 1974)."""
    falling = np.sort(p)[::-1]
    levels = (np.cumsum(falling) - 1.0) / np.arange(1, p.size + 1)
    level = levels[falling > levels][-1]
    return np.asarray(np.maximum(p - level, 0.0))


@pytest.mark.parametrize("n", [1, 2, 5, 40, 300])
def test_projection_on_the_simplex(n: int, first: str) -> None:
    for seed in range(4):
        p = np.random.default_rng(seed).normal(size=n)
        solution = solve_quadratic(simplex(n), np.ones(n), p)
        assert solution.solver == first
        assert solution["x"] == pytest.approx(projected(p), abs=1e-5 if first == "clarabel" else 1e-12)
        assert solution.objective == pytest.approx(0.5 * float(((projected(p) - p) ** 2).sum()), abs=1e-10)


def test_projection_of_a_point_of_the_simplex(first: str) -> None:
    for p in (np.array([0.25, 0.75, 0.0]), np.eye(3)[1], np.full(3, 1 / 3)):
        solution = solve_quadratic(simplex(3), np.full(3, 2.0), p)
        assert solution["x"] == pytest.approx(p, abs=1e-6)
        assert abs(solution.objective) <= 1e-11
        assert -1e-11 <= solution.bound <= 0.5 * 2.0 * 1e-32


def test_box_without_rows(first: str) -> None:
    generator = np.random.default_rng(0)
    q, p, costs = 0.1 + generator.random(30), 3 * generator.normal(size=30), generator.normal(size=30)
    lower, upper = np.where(np.arange(30) % 3, -1.0, -INF), np.where(np.arange(30) % 5, 1.0, INF)
    solution = solve_quadratic(program(costs, [], 0.0, 0.0, lower=lower, upper=upper), q, p)
    assert solution.x == pytest.approx(np.clip(p - costs / q, lower, upper), abs=1e-6)


def test_equations_only(first: str) -> None:
    generator = np.random.default_rng(1)
    q, p, costs = 0.1 + generator.random(12), generator.normal(size=12), generator.normal(size=12)
    matrix, sides = generator.normal(size=(4, 12)), generator.normal(size=4)
    y = np.linalg.solve(matrix / q @ matrix.T, sides - matrix @ (p - costs / q))
    solution = solve_quadratic(program(costs, matrix, sides, sides, lower=-INF), q, p)
    assert solution.x == pytest.approx(p + (matrix.T @ y - costs) / q, abs=1e-6)
    assert solution.duals("rows") == pytest.approx(y, abs=1e-6)
    assert np.isfinite(solution.bound)  # without a bound on any variable


def test_duals_are_rates(first: str) -> None:
    """Of the optimum with the side of a row, and with their sign: a floor has a positive price, a ceiling not."""
    q, p = np.ones(2), np.array([0.5, -0.25])

    def solved(floor: float, ceiling: float) -> QuadraticSolution:
        rows, low, high = [[1.0, 1.0], [1.0, -1.0]], np.array([floor, -INF]), np.array([INF, ceiling])
        return solve_quadratic(program([0.0, 0.0], rows, low, high, lower=-INF), q, p)

    here, step = solved(1.0, 0.25), 1e-3
    rates = [
        (solved(1.0 + step, 0.25).objective - solved(1.0 - step, 0.25).objective) / (2 * step),
        (solved(1.0, 0.25 + step).objective - solved(1.0, 0.25 - step).objective) / (2 * step),
    ]
    assert here.duals("rows") == pytest.approx(rates, abs=1e-6)
    assert here.row_duals[0] > 0.1
    assert here.row_duals[1] < -0.1


def epigraph(seed: int, states: int, cuts: int) -> tuple[LinearProgram, Array, Array, Array]:
    """Follow the regularised leader: a distribution m in every state, theta >= w_k m for every cut, m near m_0."""
    generator = np.random.default_rng(seed)
    builder = ProgramBuilder()
    m = builder.add_variables("m", (states, 4))
    theta = builder.add_variables("theta", (1,), lower=-INF, costs=1.0)
    one = sparse.kron(sparse.eye_array(states), np.ones((1, 4)), format="csr")
    builder.add_rows("simplex", (states,), {m: one}, lower=1.0, upper=1.0)
    cut = generator.normal(size=(cuts, 4 * states)) / np.sqrt(states)
    builder.add_rows("cuts", (cuts,), {m: -cut, theta: np.ones((cuts, 1))}, lower=0.0)
    p = generator.dirichlet(np.ones(4), size=states).ravel()
    return builder.build(), np.append(np.full(4 * states, 0.1), 0.0), np.append(p, 0.0), cut


@pytest.mark.parametrize(("states", "cuts"), [(3, 1), (20, 10), (60, 20)])
def test_regularised_leader(states: int, cuts: int, first: str) -> None:
    lp, q, p, cut = epigraph(0, states, cuts)
    solution = solve_quadratic(lp, q, p)
    assert solution.solver == first
    m = solution["m"]
    assert m.shape == (states, 4)
    assert solution["theta"][0] == pytest.approx(float((cut @ m.ravel()).max()), abs=1e-8)
    assert solution.duals("cuts").sum() == pytest.approx(1.0, abs=1e-7)
    leader = cut.T @ solution.duals("cuts")  # given the mixture of the cuts, every state is projected by itself
    for state in range(states):
        here = slice(4 * state, 4 * state + 4)
        assert m[state] == pytest.approx(projected(p[here] - leader[here] / 0.1), abs=1e-5)
    assert solution.objective - solution.bound <= 1e-8  # rigorous, though theta has no bound of its own
    assert solution.objective >= solution.bound


def test_size_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    small, large = simplex(100), simplex(101)
    assert solve_quadratic(small, np.ones(100), np.zeros(100)).solver == "highs"
    assert solve_quadratic(large, np.ones(101), np.zeros(101)).solver == "clarabel"
    monkeypatch.setattr(quadratic.Clarabel, "missing", lambda self: "pip install clarabel")
    assert solve_quadratic(large, np.ones(101), np.zeros(101)).solver == "highs"


# Without weights, degenerate


@pytest.mark.parametrize("seed", range(20))
def test_without_weights_it_is_the_linear_program(seed: int) -> None:
    lp = replace(random_program(seed), sense="min")
    nothing = np.zeros(lp.num_variables)
    solution, expected = solve_quadratic(lp, nothing, nothing + 7.0), solve(lp)
    assert solution.termination is expected.termination is Termination.OPTIMAL
    assert solution.objective == expected.objective
    assert solution.bound <= expected.objective
    assert (solution.x == expected.x).all()
    assert (solution.row_duals == expected.row_duals).all()
    assert solution.gap == pytest.approx(expected.gap, abs=1e-12)
    assert solution.dual_residual == pytest.approx(expected.dual_residual, abs=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_tiny_weights_hardly_matter(seed: int, first: str) -> None:
    lp = replace(random_program(seed), sense="min")
    q = np.where(np.isfinite(lp.lower), 1e-7, 0.0)
    solution = solve_quadratic(lp, q, np.zeros(lp.num_variables))
    assert solution.objective == pytest.approx(solve(lp).objective, abs=1e-4)


def test_degenerate(first: str) -> None:
    """Every row twice, rows without entries, fixed variables, a vertex where many rows meet."""
    p = np.array([2.0, 0.5, -1.0, 3.0])
    rows = np.vstack((np.ones((3, 4)), np.zeros((2, 4)), np.eye(4), np.eye(4)))
    low = np.concatenate((np.ones(3), [-INF, 0.0], np.zeros(8)))
    high = np.concatenate((np.ones(3), [1.0, 0.0], np.full(8, INF)))
    upper = np.array([INF, INF, INF, 0.0])
    solution = solve_quadratic(program(np.zeros(4), rows, low, high, upper=upper), np.ones(4), p)
    assert solution.x == pytest.approx([1.0, 0.0, 0.0, 0.0], abs=1e-5)
    assert solution.objective == pytest.approx(0.5 * (1.0 + 0.25 + 1.0 + 9.0), abs=1e-8)


def test_a_single_point(first: str) -> None:
    lp = program([1.0, 2.0], np.eye(2), np.array([1.0, 3.0]), np.array([1.0, 3.0]), upper=3.0)
    solution = solve_quadratic(lp, np.array([1.0, 0.0]), np.zeros(2))
    assert solution.x == pytest.approx([1.0, 3.0], abs=1e-8)
    assert solution.objective == pytest.approx(7.5, abs=1e-7)


# How it ends


def test_infeasible(first: str) -> None:
    lp = program([0.0, 0.0], [[1.0, 1.0]], 3.0, INF, upper=1.0)
    solution = solve_quadratic(lp, np.ones(2), np.zeros(2))
    assert solution.termination is Termination.INFEASIBLE
    assert solution.dual_ray is not None
    assert (solution.dual_ray > 0).all()
    assert solution.x.size == solution.row_duals.size == 0
    assert solution.bound == -INF
    for number in (solution.gap, solution.primal_residual, solution.dual_residual):
        assert np.isnan(number)
    for read in (lambda: solution["x"], lambda: solution.objective, lambda: solution.duals("rows")):
        with pytest.raises(Infeasible):
            read()


def test_unbounded(first: str) -> None:
    lp = program([0.0, -1.0, -1.0], [[1.0, 1.0, -1.0], [1.0, 0.0, 0.0]], np.array([0.5, 0.0]), np.array([0.5, INF]))
    solution = solve_quadratic(lp, np.array([1.0, 0.0, 0.0]), np.ones(3))
    assert solution.termination is Termination.UNBOUNDED
    assert solution.primal_ray == pytest.approx([0.0, 1.0, 1.0])
    assert solution.primal_residual <= 1e-9
    with pytest.raises(Unbounded):
        _ = solution.objective
    curved = solve_quadratic(lp, np.array([0.0, 0.0, 1e-3]), np.ones(3))  # the same, curved along the ray
    assert curved.termination is Termination.OPTIMAL
    assert curved["x"][2] == pytest.approx(1.0 + 2.0 / 1e-3, rel=1e-6)


def test_unbounded_is_infeasible_without_a_point(first: str) -> None:
    lp = program([0.0, -1.0], [[1.0, 0.0]], 3.0, INF, upper=np.array([1.0, INF]))
    assert solve_quadratic(lp, np.array([1.0, 0.0]), np.zeros(2)).termination is Termination.INFEASIBLE


def test_no_time(first: str) -> None:
    lp, q, p, _ = epigraph(0, 40, 10)
    solution = solve_quadratic(lp, q, p, time_limit=0.0)
    assert solution.termination is Termination.TIME_LIMIT
    with pytest.raises(TimeLimit):
        _ = solution["m"]
    assert solve_quadratic(lp, q, p, time_limit=60.0).termination is Termination.OPTIMAL


# Nothing is believed


def lying(monkeypatch: pytest.MonkeyPatch, lie: Lie, who: str = "run_highs") -> None:
    """Have a solver lie; its answers are those of the program in its own units, which are those of these programs."""
    honest = getattr(quadratic, who)
    monkeypatch.setattr(quadratic, who, lambda *arguments: lie(honest(*arguments)))


THREE, CENTRE = simplex(3), np.array([1.0, 0.6, -1.0])  # the nearest point is (0.7, 0.3, 0)
LIES: dict[str, Lie] = {
    "not optimal": lambda a: replace(a, x=np.array([0.71, 0.29, 0.0])),
    "nearly optimal": lambda a: replace(a, x=np.array([0.7001, 0.2999, 0.0])),
    "outside": lambda a: replace(a, x=np.array([0.7, 0.3, -1e-5])),
    "off the row": lambda a: replace(a, x=np.array([0.70001, 0.30001, 0.0])),
    "wrong dual": lambda a: replace(a, row_duals=np.array([-0.31])),
    "wrong sign": lambda a: replace(a, row_duals=-a.row_duals if a.row_duals is not None else None),
    "not a number": lambda a: replace(a, x=np.full(3, np.nan)),
    "infinite dual": lambda a: replace(a, row_duals=np.array([-INF])),
    "too short": lambda a: replace(a, x=np.ones(2)),
    "nothing": lambda a: replace(a, x=None, row_duals=None),
    "infeasible": lambda a: replace(a, termination=Termination.INFEASIBLE, x=None, row_duals=None),
    "unbounded": lambda a: replace(a, termination=Termination.UNBOUNDED, x=None, row_duals=None),
    "failed": lambda a: replace(a, termination=Termination.FAILED, x=np.ones(3)),
}


@pytest.mark.parametrize("lie", LIES)
def test_lies_are_caught(lie: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lying(monkeypatch, LIES[lie])
    solution = solve_quadratic(THREE, np.ones(3), CENTRE)
    assert solution.solver == "clarabel"
    assert len(solution.attempts) == 2
    assert "Highs('choose', qp_regularization_value=0.0" in solution.attempts[0]
    assert solution["x"] == pytest.approx([0.7, 0.3, 0.0], abs=1e-5)
    lying(monkeypatch, LIES[lie], "run_clarabel")
    if lie == "nearly optimal":  # good enough if nobody knows better, and it says how good
        solution = solve_quadratic(THREE, np.ones(3), CENTRE)
        assert len(solution.attempts) == 3
        assert 5e-9 < solution.gap < 1e-7
        return
    with pytest.raises(SolverFailed, match=r"5 attempts failed: Highs(.|\n)*then Clarabel"):
        solve_quadratic(THREE, np.ones(3), CENTRE)


def test_the_first_lie_is_a_wrong_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    step = quadratic._Step(Quadratic(THREE, np.ones(3), CENTRE), None)
    lying(monkeypatch, LIES["not optimal"])
    with pytest.raises(WrongAnswer, match="duality gap is"):
        step.attempts()[0][1](())
    lying(monkeypatch, LIES["infeasible"])
    with pytest.raises(WrongAnswer, match="it has feasible points, and its objective a bound"):
        step.attempts()[0][1](())


def test_a_good_point_without_a_claim_is_good(monkeypatch: pytest.MonkeyPatch) -> None:
    lying(monkeypatch, lambda answer: replace(answer, termination=Termination.FAILED))
    solution = solve_quadratic(THREE, np.ones(3), CENTRE)
    assert (solution.solver, solution.attempts) == ("highs", ())


def test_claims_of_the_wrong_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unbounded may be said of what is infeasible, and the other way round."""
    none = program([0.0, 0.0], [[1.0, 1.0]], 3.0, INF, upper=1.0)
    lying(monkeypatch, lambda answer: replace(answer, termination=Termination.UNBOUNDED))
    assert solve_quadratic(none, np.ones(2), np.zeros(2)).termination is Termination.INFEASIBLE
    lying(monkeypatch, lambda answer: replace(answer, termination=Termination.INFEASIBLE))
    endless = program([0.0, -1.0], [[1.0, 0.0]], 0.5, INF)
    solution = solve_quadratic(endless, np.array([1.0, 0.0]), np.zeros(2))
    assert solution.termination is Termination.UNBOUNDED
    assert solution.primal_ray == pytest.approx([0.0, 1.0])


def test_solvers_that_break(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Answer:
        raise RuntimeError("out of order")

    monkeypatch.setattr(quadratic, "run_highs", broken)
    monkeypatch.setattr(quadratic, "run_clarabel", broken)
    with pytest.raises(SolverFailed, match="there is an optimum") as caught:
        solve_quadratic(THREE, np.ones(3), CENTRE)
    assert str(caught.value).count("out of order") == 4
    none = program([0.0, 0.0], [[1.0, 1.0]], 3.0, INF, upper=1.0)
    solution = solve_quadratic(none, np.ones(2), np.zeros(2))  # proved without them
    assert solution.termination is Termination.INFEASIBLE
    assert len(solution.attempts) == 4


def test_cycling_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """HiGHS is given a number of iterations; where they do not do, the other solver is asked."""

    class Impatient(Highs):
        def __init__(self, method: str | None = None, /, **options: Any) -> None:
            super().__init__(method, **{**options, "qp_iteration_limit": 1})

    monkeypatch.setattr(quadratic, "Highs", Impatient)
    lp, q, p, _ = epigraph(0, 10, 10)
    solution = solve_quadratic(lp, q, p)
    assert solution.solver == "clarabel"
    assert "Iteration limit" in solution.attempts[0]


# The bound holds for any duals


@pytest.mark.parametrize("seed", range(30))
def test_bound_holds_for_any_duals(seed: int) -> None:
    lp, q, p, x = known(seed, 6, 4)
    lp = lp.changed(lower=np.maximum(lp.lower, -9.0), upper=np.minimum(lp.upper, 9.0))
    best = exact_value(lp, q, p, x)
    solution = solve_quadratic(lp, q, p)
    assert -1e-6 <= float(best) - solution.bound <= 1e-6
    generator = np.random.default_rng(seed)
    for size in (1e-12, 1e-6, 1.0, 1e6):
        moved = replace(solution, row_duals=solution.row_duals + size * generator.normal(size=lp.num_rows))
        assert -INF < moved.bound <= best
        if size >= 1.0 and lp.num_rows:
            assert moved.bound < solution.bound
            assert moved.gap + moved.dual_residual > 1e-3


@pytest.mark.parametrize("seed", range(10))
def test_bound_up_to_the_last_digit(seed: int) -> None:
    """Duals that are exact leave rounding only, and that on the safe side."""
    generator = np.random.default_rng(seed)
    q, p = 0.1 + generator.random(5), generator.normal(size=5)
    solution = solve_quadratic(program(np.zeros(5), [], 0.0, 0.0, lower=-INF), q, p)
    assert -1e-14 <= solution.bound <= 0
    shifted = replace(solution, centre=p * 1e8, x=p * 1e8)
    assert -1e-6 <= shifted.bound <= 0


# Provenance and bad input


def test_provenance() -> None:
    solution = solve_quadratic(THREE, [1, 1, 1], CENTRE)  # type: ignore[arg-type]  # what can be an array is one
    assert solution.version == solve(THREE).version
    assert {"qp_regularization_value": 0.0, "primal_feasibility_tolerance": 1e-9}.items() <= dict(
        solution.options
    ).items()
    assert (solution.detail, solution.attempts) == ("Optimal", ())
    assert solution.iterations is not None
    assert solution.iterations > 0
    assert solution.solve_time > 0
    assert solution.build_time > 0
    assert repr(solution).startswith("QuadraticSolution(optimal, objective 0.59, ")
    for array in (solution.x, solution.row_duals, solution.weights, solution.centre):
        assert not array.flags.writeable
    with pytest.raises(UnknownBlock, match="no variable block 'y'"):
        _ = solution["y"]


def test_clarabel_by_itself() -> None:
    lp = program([1.0, 2.0], [[1.0, 1.0]], 1.0, INF)
    answer = quadratic.Clarabel().run(lp, Request())
    assert answer.termination is Termination.OPTIMAL
    assert answer.x == pytest.approx([1.0, 0.0], abs=1e-8)
    assert answer.row_duals == pytest.approx([1.0], abs=1e-8)
    assert quadratic.Clarabel().missing() is None


ONES = np.ones(3)


@pytest.mark.parametrize(
    ("weights", "centre", "options", "error", "message"),
    [
        (np.ones(2), ONES, {}, InvalidProgram, "weights of shape"),
        (np.ones((3, 1)), ONES, {}, InvalidProgram, "weights of shape"),
        (1.0, ONES, {}, InvalidProgram, "weights of shape"),
        (np.array([1.0, -1e-9, 0.0]), ONES, {}, InvalidProgram, r"that of x\[1\] is -1e-09"),
        (np.array([1.0, 0.0, np.nan]), ONES, {}, InvalidProgram, r"that of x\[2\] is nan"),
        (np.array([INF, 0.0, 0.0]), ONES, {}, InvalidProgram, r"that of x\[0\] is inf"),
        (["a", "b", "c"], ONES, {}, InvalidProgram, "weights has dtype"),
        (np.ones(3) * 1j, ONES, {}, InvalidProgram, "weights has dtype"),
        (ONES, np.ones(4), {}, InvalidProgram, "centre of shape"),
        (ONES, np.array([0.0, -INF, 0.0]), {}, InvalidProgram, r"centre: that of x\[1\] is -inf"),
        (ONES, None, {}, InvalidProgram, "centre"),
        (ONES, ONES, {"time_limit": -1.0}, InvalidOption, "time_limit"),
        (ONES, ONES, {"time_limit": np.nan}, InvalidOption, "time_limit"),
        (ONES, ONES, {"time_limit": "1"}, InvalidOption, "time_limit"),
    ],
)
def test_bad_input(weights: Any, centre: Any, options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        solve_quadratic(THREE, weights, centre, **options)


def test_what_is_no_minimisation() -> None:
    with pytest.raises(InvalidProgram, match="maximisation"):
        solve_quadratic(replace(THREE, sense="max"), ONES, ONES)
    with pytest.raises(InvalidProgram, match="call its build"):
        solve_quadratic(ProgramBuilder(), ONES, ONES)  # type: ignore[arg-type]
