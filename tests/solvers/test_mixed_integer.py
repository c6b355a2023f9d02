"""Programs with integers, against the enumeration of all their points."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from mailopt_solvers import (
    Answer,
    Highs,
    Infeasible,
    InvalidOption,
    InvalidProgram,
    LinearProgram,
    MixedIntegerSolution,
    ProgramBuilder,
    Request,
    Solution,
    Termination,
    TimeLimit,
    Unbounded,
    UnknownBlock,
    WrongAnswer,
    mixed_integer,
    solve,
    solve_mixed_integer,
)
from mailopt_solvers.backends.highs import HighsModel
from mailopt_solvers.program import Sense
from tests.solvers.random_programs import random_program, split

INF = np.inf
Array = npt.NDArray[np.float64]
SENSES: list[Sense] = ["min", "max"]


def program(
    costs: npt.ArrayLike,
    rows: npt.ArrayLike,
    row_lower: float | Array,
    row_upper: float | Array,
    upper: float | Array = 1.0,
    sense: Sense = "min",
    **others: Any,
) -> LinearProgram:
    """One block x of variables from ``lower`` (0) to ``upper``."""
    c = np.asarray(costs, dtype=float)
    builder = ProgramBuilder(sense, others.pop("offset", 0.0))
    x = builder.add_variables("x", c.shape, costs=c, upper=upper, **others)
    matrix = np.asarray(rows, dtype=float)
    builder.add_rows("rows", (len(matrix),), {x: matrix}, lower=row_lower, upper=row_upper)
    return builder.build()


def grid(lp: LinearProgram) -> Array:
    """All integral points of the box."""
    low, high = np.ceil(lp.lower), np.floor(lp.upper)
    points = list(itertools.product(*map(np.arange, low, high + 1)))
    return np.array(points, dtype=float).reshape(-1, low.size)


def optimum(lp: LinearProgram) -> float | None:
    """Best value of all integral points, by enumeration."""
    points = grid(lp)
    activities = points @ lp.matrix.toarray().T
    feasible = ((activities >= lp.row_lower - 1e-9) & (activities <= lp.row_upper + 1e-9)).all(axis=1)
    values = points[feasible] @ lp.costs + lp.offset
    return None if not values.size else float(values.min() if lp.sense == "min" else values.max())


def check(solution: MixedIntegerSolution, best: float | None) -> None:
    """The optimum, attained at a feasible point whose integers are exact, or no point."""
    lp = solution.program
    if best is None:
        assert solution.termination is Termination.INFEASIBLE
        assert solution.x.size == 0
        return
    assert solution.termination is Termination.OPTIMAL
    unit = max(1e-300, float(np.abs(lp.costs).max()))
    assert solution.objective == pytest.approx(best, rel=1e-9, abs=1e-9 * unit)
    assert solution.bound == pytest.approx(best, rel=1e-9, abs=1e-9 * unit)
    assert solution.gap == abs(solution.objective - solution.bound)
    check_point(solution)


def check_point(solution: MixedIntegerSolution) -> None:
    """Its integers are exact, its rows and bounds hold; it is read-only."""
    lp, x = solution.program, solution.x
    assert not x.flags.writeable
    assert not np.signbit(x[x == 0]).any()
    for name in solution.integral:
        values = x[lp.variables[name].slice]
        assert (values == np.round(values)).all()
    points = np.concatenate((lp.matrix @ x, x))
    low, high = np.concatenate((lp.row_lower, lp.lower)), np.concatenate((lp.row_upper, lp.upper))
    assert max(float((low - points).max()), float((points - high).max())) <= 1e-7


def knapsack(generator: np.random.Generator, sense: Sense) -> LinearProgram:
    """Two of them at once, with real weights; at least so much in the minimisation."""
    n = int(generator.integers(3, 12))
    weights = generator.random((2, n))
    half = weights.sum(axis=1) / 2
    low, high = (half, INF) if sense == "min" else (-INF, half)
    return program(generator.random(n), weights, low, high, sense=sense, offset=3.0)


def assignment(generator: np.random.Generator, sense: Sense) -> LinearProgram:
    """Three to three, some pairs ruled out, so that there may be none."""
    rows = np.vstack((np.kron(np.eye(3), np.ones(3)), np.kron(np.ones(3), np.eye(3))))
    allowed = (generator.random(9) < 0.6).astype(float)
    return program(generator.normal(size=9), rows, 1.0, 1.0, upper=allowed, sense=sense)


def cover(generator: np.random.Generator, sense: Sense) -> LinearProgram:
    """Sets that cover; packing in the maximisation."""
    n, m = int(generator.integers(3, 11)), int(generator.integers(2, 8))
    member = (generator.random((m, n)) < 0.4).astype(float)
    low, high = (1.0, INF) if sense == "min" else (-INF, 1.0)
    return program(1.0 + generator.random(n), member, low, high, sense=sense)


def general(generator: np.random.Generator, sense: Sense) -> LinearProgram:
    """Integers of both signs, bounds that are none, rows of every kind, often without a point."""
    n, m = int(generator.integers(1, 5)), int(generator.integers(1, 4))
    matrix = generator.integers(-9, 10, size=(m, n))
    sides = generator.integers(-20, 21, size=m) + np.array([[0], [1]]) * generator.integers(0, 9, size=m)
    row_lower = np.where(generator.random(m) < 0.3, -INF, sides[0])
    lower = generator.integers(-4, 2, size=n) - generator.random(n)
    costs = generator.normal(size=n)
    return program(costs, matrix, row_lower, sides[1], lower=lower, upper=lower + 5 * generator.random(n), sense=sense)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("sense", SENSES)
@pytest.mark.parametrize("make", [knapsack, assignment, cover, general])
def test_enumeration(make: Callable[[np.random.Generator, Sense], LinearProgram], sense: Sense, seed: int) -> None:
    lp = make(np.random.default_rng(seed), sense)
    check(solve_mixed_integer(lp, ["x"]), optimum(lp))


@pytest.mark.parametrize("make", [assignment, general])
def test_the_random_programs_are_of_both_kinds(
    make: Callable[[np.random.Generator, Sense], LinearProgram],
) -> None:
    assert {optimum(make(np.random.default_rng(seed), "min")) is None for seed in range(20)} == {True, False}


@pytest.mark.parametrize("size", [1e-12, 1e-9, 1e-4, 1e7, 1e12])
def test_costs_of_any_size(size: float) -> None:
    for seed in range(10):
        lp = knapsack(np.random.default_rng(seed), "max")
        lp = replace(lp, costs=lp.costs * size, offset=0.0)
        check(solve_mixed_integer(lp, ["x"]), optimum(lp))


def test_large_bounds() -> None:
    builder = ProgramBuilder("max", offset=1.0)
    x = builder.add_variables("x", (2,), lower=2.0**20, upper=2.0**21, costs=np.array([1.0, 1.5]))
    y = builder.add_variables("y", (1,), lower=2.0**20, costs=0.25)
    builder.add_rows("rows", (1,), {x: [[3.0, 5.0]], y: [[1.0]]}, upper=2.0**24 + 0.5)
    solution = solve_mixed_integer(builder.build(), ["x"])
    best = max(  # x[1] as large as fits beside x[0], for every x[0] that is worth trying, and y the rest
        first + 1.5 * second + 0.25 * (2.0**24 + 0.5 - 3 * first - 5 * second) + 1.0
        for first in np.arange(2**21 - 10, 2**21 + 1)
        for second in ((2**24 - 2**20 - 3 * first) // 5 - np.arange(3))
    )
    assert solution.objective == pytest.approx(best, abs=1e-6)
    assert solution.bound == pytest.approx(best, abs=1e-6)


def charged(seed: int, most: float) -> LinearProgram:
    """Fixed charges: y_j <= most * z_k, so that z_k = 1e-6 would be almost free. Blocks y and z."""
    generator = np.random.default_rng(seed)
    k, n, m = (int(generator.integers(low, 6)) for low in (2, 2, 1))
    amounts = 10 * generator.random(n) * generator.integers(0, 2, size=n)
    pairs = np.arange(n) % k
    links = np.zeros((n, k))
    links[np.arange(n), pairs] = -most
    taken = np.zeros(k)
    taken[pairs[amounts > 0]] = 1.0
    mix, more = generator.normal(size=(m, n)), generator.normal(size=(m, k))
    builder = ProgramBuilder()
    y = builder.add_variables("y", (n,), costs=generator.random(n))
    z = builder.add_variables("z", (k,), costs=10 * generator.random(k), upper=1.0)
    builder.add_rows("links", (n,), {y: np.eye(n), z: links}, upper=0.0)
    builder.add_rows("demand", (m,), {y: mix, z: more}, lower=mix @ amounts + more @ taken)
    return builder.build()


def enumerated(lp: LinearProgram) -> float:
    """Optimum with integers z, of one linear program for each."""
    z, found = lp.variables["z"], []
    for values in itertools.product((0.0, 1.0), repeat=z.size):
        lower, upper = lp.lower.copy(), lp.upper.copy()
        lower[z.slice] = upper[z.slice] = values
        found.append(solve(lp.changed(lower=lower, upper=upper)))
    return min(s.objective for s in found if s.termination is Termination.OPTIMAL)


@pytest.mark.parametrize("most", [20.0, 1e4, 1e6, 1e8])
def test_integers_and_reals(most: float) -> None:
    for seed in range(25):
        lp = charged(seed, most)
        check(solve_mixed_integer(lp, ["z"]), enumerated(lp))


def test_wrong_optima_are_not_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """At a tolerance of 1e-6 HiGHS itself is wrong on some of these; the check must see each, and no other."""
    monkeypatch.setattr(mixed_integer, "_WAYS", ({"mip_feasibility_tolerance": 1e-6},))
    right = 0
    for seed in range(25):
        lp = charged(seed, 1e6)
        with contextlib.suppress(WrongAnswer):
            check(solve_mixed_integer(lp, ["z"]), enumerated(lp))
            right += 1
    assert right >= 20


# How it ends


@pytest.mark.parametrize("sense", SENSES)
@pytest.mark.parametrize(
    ("rows", "low", "high"),
    [
        ([[1.0, 1.0]], 3.0, INF),
        ([[2.0, 2.0]], 1.0, 1.0),
        ([[3.0, 7.0]], 4.0, 6.0),
        (np.random.default_rng(0).integers(0, 100, size=(2, 14)), 334.0, 334.0),
    ],
    ids=["no-real-point", "even-is-odd", "between", "tree"],
)
def test_infeasible(rows: npt.ArrayLike, low: float, high: float, sense: Sense) -> None:
    lp = program(np.arange(1.0, 1.0 + np.shape(rows)[1]), rows, low, high, sense=sense)
    assert optimum(lp) is None
    solution = solve_mixed_integer(lp, ["x"])
    check(solution, None)
    assert solution.bound == (-INF if sense == "min" else INF)
    assert np.isnan(solution.gap)
    for read in (lambda: solution["x"], lambda: solution.objective, solution.require_optimal):
        with pytest.raises(Infeasible):
            read()


@pytest.mark.parametrize("sense", SENSES)
@pytest.mark.parametrize("integral", [["x"], ["x", "y"]])
def test_unbounded(integral: list[str], sense: Sense) -> None:
    def lp(odd: float) -> LinearProgram:
        builder = ProgramBuilder(sense)
        x = builder.add_variables("x", (2,), lower=-INF)
        y = builder.add_variables("y", (1,), costs=-1.0 if sense == "min" else 1.0)
        builder.add_rows("rows", (1,), {x: [[2.0, -4.0]]}, lower=odd, upper=odd)
        builder.add_rows("tie", (1,), {x: [[1.0, 0.0]], y: [[-0.5]]}, lower=0.25)
        return builder.build()

    solution = solve_mixed_integer(lp(2.0), integral)
    assert solution.termination is Termination.UNBOUNDED
    assert solution.bound == (-INF if sense == "min" else INF)
    check_point(solution)
    with pytest.raises(Unbounded):
        _ = solution.objective
    check(solve_mixed_integer(lp(1.0), integral), None)  # unbounded, but for the integers


def market(rows: int, columns: int) -> LinearProgram:
    """Market split (Cornuejols and Dawande): hopeless for branch and bound beyond a few rows."""
    generator = np.random.default_rng(0)
    matrix = generator.integers(0, 100, size=(rows, columns)).astype(float)
    half = np.floor(matrix.sum(axis=1) / 2)
    builder = ProgramBuilder()
    x = builder.add_variables("x", (columns,), upper=1.0)
    off = builder.add_variables("off", (2, rows), costs=1.0)
    builder.add_rows(
        "split", (rows,), {x: matrix, off: np.hstack((np.eye(rows), -np.eye(rows)))}, lower=half, upper=half
    )
    return builder.build()


def a_point(lp: LinearProgram, seed: int) -> Array:
    """A feasible point of a market split, far from optimal."""
    n, m = lp.variables["x"].size, lp.num_rows
    x = np.random.default_rng(seed).integers(0, 2, size=n).astype(float)
    short = lp.row_lower - lp.matrix[:, :n] @ x
    assert np.abs(short).sum() > 100
    return np.concatenate((x, np.maximum(short, 0.0), np.maximum(-short, 0.0))).reshape(n + 2 * m)


def test_time_limit() -> None:
    solution = solve_mixed_integer(market(5, 40), ["x"], time_limit=0.3)
    assert solution.termination is Termination.TIME_LIMIT
    assert solution.solve_time < 5.0
    check_point(solution)  # the best so far, which is no answer
    assert solution.bound <= float(solution.program.costs @ solution.x)
    assert solution.options["time_limit"] == pytest.approx(0.3, abs=0.1)
    for read in (lambda: solution["x"], lambda: solution.objective):
        with pytest.raises(TimeLimit):
            read()


def test_no_time() -> None:
    solution = solve_mixed_integer(market(5, 40), ["x"], time_limit=0.0)
    assert solution.termination is Termination.TIME_LIMIT
    assert solution.x.size == 0
    assert np.isnan(solution.gap)
    assert solution.bound == -INF


def test_asked_to_stop() -> None:
    lp, stop = market(5, 40), threading.Event()
    model = HighsModel(Highs())
    model.load(lp, np.arange(lp.num_variables) < 40)
    stop.set()
    answer = model.run(lp, Request(time_limit=5.0, stop=stop))
    assert answer.termination is Termination.FAILED
    assert "nterrupt" in answer.detail


def test_no_second_program_for_a_ray() -> None:
    lp = program([1.0], [[1.0]], 2.0, 3.0)
    for flags, expected in ((None, False), (np.ones(1, dtype=bool), True)):
        model = HighsModel(Highs())
        model.load(lp, flags)
        assert (model.run(lp, Request()).dual_ray is None) == expected


# Start and gap


def test_start_is_the_incumbent() -> None:
    lp = market(5, 40)
    start = a_point(lp, 1)
    none = solve_mixed_integer(lp, ["x"], start=start, time_limit=0.0)
    assert (none.x == start).all()
    some = solve_mixed_integer(lp, ["x"], start=start, gap=INF)
    assert (some.x == start).all()
    assert some.termination is Termination.OPTIMAL
    assert some.objective == lp.costs @ start


def test_gap_is_in_the_units_of_the_costs() -> None:
    lp = market(5, 40)
    lp = lp.changed(costs=lp.costs * 1e-6)  # the start costs less than 1e-3
    start = a_point(lp, 1)
    solution = solve_mixed_integer(lp, ["x"], start=start, gap=1e-3, time_limit=5.0)
    assert (solution.require_optimal().x == start).all()
    assert 1e-4 < solution.gap < 1e-3


@pytest.mark.parametrize("start", [np.ones(6), np.full(6, 0.5), np.full(6, -7.0)], ids=["row", "fraction", "bound"])
def test_start_that_is_not_feasible_is_ignored(start: Array) -> None:
    lp = program([5, 4, 3, 5, 4, 3], [[4, 3, 2, 5, 6, 7]], -INF, 11.0, sense="max")
    check(solve_mixed_integer(lp, ["x"], start=start), optimum(lp))


@pytest.mark.parametrize("sense", SENSES)
def test_gap_is_kept(sense: Sense) -> None:
    for seed in range(10):
        lp = knapsack(np.random.default_rng(seed), sense)
        best = optimum(lp)
        assert best is not None
        solution = solve_mixed_integer(lp, ["x"], gap=0.2)
        allowed = 0.2 * max(1.0, solution.objective - lp.offset)
        assert abs(solution.objective - best) <= solution.gap + 1e-9 <= allowed + 2e-9
        assert solution.options["mip_rel_gap"] == 0.2


# No integers


@pytest.mark.parametrize("seed", range(20))
def test_without_integers_it_is_solve(seed: int) -> None:
    lp = split(random_program(seed))
    names = ["first"] if not lp.variables["first"].size else []  # an empty block asks for nothing
    solution, expected = solve_mixed_integer(lp, names), solve(lp)
    assert solution.termination is expected.termination is Termination.OPTIMAL
    assert (solution.x == expected.x).all()
    assert solution.bound == expected.bound
    assert solution.nodes == 0
    assert solution.solver == expected.solver


def test_infeasible_and_unbounded_without_integers() -> None:
    none = program([1.0], [[1.0]], 2.0, 3.0)
    assert solve_mixed_integer(none, []).termination is Termination.INFEASIBLE
    free = program([1.0], [[1.0]], 2.0, INF, upper=INF, sense="max")
    assert solve_mixed_integer(free, []).termination is Termination.UNBOUNDED


def test_only_the_named_blocks_are_integers() -> None:
    builder = ProgramBuilder("max")
    a, b = (builder.add_variables(name, (1, 1), costs=1.0, upper=1.5) for name in "ab")
    builder.add_rows("rows", (1,), {a: [[1.0]], b: [[1.0]]}, upper=10.0)
    lp = builder.build()
    for names, values in (([], (1.5, 1.5)), (["a"], (1.0, 1.5)), (("b",), (1.5, 1.0)), (["b", "a"], (1.0, 1.0))):
        solution = solve_mixed_integer(lp, names)
        assert (solution["a"][0, 0], solution["b"][0, 0]) == pytest.approx(values, abs=1e-12)
        assert solution.integral == tuple(names)


# What HiGHS claims is checked


def lying(monkeypatch: pytest.MonkeyPatch, lie: Callable[[Answer], Answer]) -> None:
    """Let every branch and bound return something else."""

    class Liar(HighsModel):
        def run(self, program: LinearProgram, request: Request, *, build_time: float = 0.0) -> Answer:
            return lie(super().run(program, request, build_time=build_time))

    monkeypatch.setattr(mixed_integer, "HighsModel", Liar)


PURSE = program([5.0, 4.0, 3.0], [[4.0, 3.0, 2.0]], -INF, 6.0, sense="max")


@pytest.mark.parametrize(
    "x",
    [[1.0, 0.5, 0.0], [1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 2.0], [1.0, 0.0, 1.0 - 1e-5]],
    ids=["fraction", "row", "not-best", "bound", "nearly"],
)
def test_wrong_point(x: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    assert solve_mixed_integer(PURSE, ["x"])["x"].tolist() == [1.0, 0.0, 1.0]
    lying(monkeypatch, lambda answer: replace(answer, x=np.array(x)))
    with pytest.raises(WrongAnswer, match="2 attempts failed"):
        solve_mixed_integer(PURSE, ["x"])


def test_start_refutes_infeasible(monkeypatch: pytest.MonkeyPatch) -> None:
    lying(monkeypatch, lambda answer: replace(answer, termination=Termination.INFEASIBLE, x=None))
    check(solve_mixed_integer(PURSE, ["x"]), None)
    check(solve_mixed_integer(PURSE, ["x"], start=np.ones(3)), None)  # not feasible: proves nothing
    with pytest.raises(WrongAnswer, match="the start is feasible"):
        solve_mixed_integer(PURSE, ["x"], start=np.array([1.0, 0.0, 0.0]))


def test_optimum_of_the_linear_program_refutes_unbounded(monkeypatch: pytest.MonkeyPatch) -> None:
    lying(monkeypatch, lambda answer: replace(answer, termination=Termination.UNBOUNDED, x=None))
    with pytest.raises(WrongAnswer, match="has the optimum"):
        solve_mixed_integer(PURSE, ["x"])


def test_claim_of_unbounded_that_is_infeasible(monkeypatch: pytest.MonkeyPatch) -> None:
    """HiGHS may say "unbounded or infeasible"."""
    none = program([1.0], [[1.0]], 2.0, 3.0)
    even = program([1.0, 0.0], [[0.0, 2.0]], 1.0, 1.0, upper=INF, sense="max")
    for lp in (none, even):
        claims = iter([Termination.UNBOUNDED, Termination.INFEASIBLE])  # the second is about any point at all
        lying(monkeypatch, lambda answer, claims=claims: replace(answer, termination=next(claims), x=None))  # type: ignore[misc]
        check(solve_mixed_integer(lp, ["x"]), None)


def test_unbounded_without_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(lp: LinearProgram, *, time_limit: float | None) -> Solution:
        return replace(solve(lp, time_limit=time_limit), termination=Termination.TIME_LIMIT)

    monkeypatch.setattr(mixed_integer, "solve", late)
    solution = solve_mixed_integer(program([1.0], [[1.0]], 2.0, INF, upper=INF, sense="max"), ["x"])
    assert solution.termination is Termination.TIME_LIMIT


def test_bound_that_the_point_surpasses(monkeypatch: pytest.MonkeyPatch) -> None:
    class Liar(HighsModel):
        def tree(self) -> tuple[float, int]:
            return 7.5, 1

    monkeypatch.setattr(mixed_integer, "HighsModel", Liar)
    with pytest.raises(WrongAnswer, match=r"c x = 8 but the bound on it is 7\.5"):
        solve_mixed_integer(PURSE, ["x"], gap=0.1)


def test_rounding_that_breaks_a_row_is_repaired(monkeypatch: pytest.MonkeyPatch) -> None:
    builder = ProgramBuilder()
    y = builder.add_variables("y", (1,))
    z = builder.add_variables("z", (1,), costs=1.0, upper=1.0)
    builder.add_rows("link", (1,), {y: [[1.0]], z: [[-1e6]]}, upper=0.0)
    lp = builder.build()
    nearly = np.array([1e-4, 1e-10])  # rows hold, and do not with z = 0
    assert (lp.matrix @ nearly <= 0).all()
    lying(monkeypatch, lambda answer: replace(answer, x=nearly))
    solution = solve_mixed_integer(lp, ["z"])
    assert solution.x.tolist() == [0.0, 0.0]
    assert solution.attempts == ()


def test_second_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    points = iter([np.full(3, 0.5), np.array([1.0, 0.0, 1.0])])
    lying(monkeypatch, lambda answer: replace(answer, x=next(points)))
    solution = solve_mixed_integer(PURSE, ["x"])
    assert solution["x"].tolist() == [1.0, 0.0, 1.0]
    assert len(solution.attempts) == 1
    assert "its integers are none" in solution.attempts[0]
    assert solution.options["mip_feasibility_tolerance"] == 1e-6


# Provenance and bad input


def test_provenance() -> None:
    solution = solve_mixed_integer(PURSE, ["x"])
    expected: Solution = solve(PURSE)
    assert (solution.solver, solution.version) == (expected.solver, expected.version)
    options = {"mip_feasibility_tolerance": 1e-9, "primal_feasibility_tolerance": 1e-9, "threads": 1}
    assert options.items() <= dict(solution.options).items()
    assert (solution.options["mip_rel_gap"], solution.options["time_limit"]) == (0.0, None)
    assert solution.detail == "Optimal"
    assert repr(solution) == "MixedIntegerSolution(optimal, objective 8, 0 nodes, highs)"
    with pytest.raises(UnknownBlock, match="no variable block 'y'"):
        _ = solution["y"]


def test_nodes_are_counted() -> None:
    solution = solve_mixed_integer(market(3, 14), ["x"])
    assert solution.nodes > 1
    assert solution.iterations is not None
    assert solution.iterations > solution.nodes


@pytest.mark.parametrize(
    ("integral", "options", "error", "message"),
    [
        (["y"], {}, UnknownBlock, "no variable block 'y'; there are 'x'"),
        (["x", "rows"], {}, UnknownBlock, "'rows'"),
        ([3], {}, UnknownBlock, "3"),
        ("x", {}, InvalidOption, "list of names"),
        (None, {}, InvalidOption, "list of names"),
        (["x"], {"start": np.zeros(2)}, InvalidProgram, "expected 3 numbers"),
        (["x"], {"start": np.zeros((3, 1))}, InvalidProgram, "expected 3 numbers"),
        (["x"], {"start": np.array([0.0, np.nan, 0.0])}, InvalidProgram, "not finite"),
        (["x"], {"start": np.array([0.0, INF, 0.0])}, InvalidProgram, "not finite"),
        (["x"], {"start": ["a", "b", "c"]}, InvalidProgram, "dtype"),
        ([], {"start": np.zeros(2)}, InvalidProgram, "expected 3 numbers"),
        (["x"], {"gap": -1e-9}, InvalidOption, "gap"),
        (["x"], {"gap": np.nan}, InvalidOption, "gap"),
        (["x"], {"gap": True}, InvalidOption, "gap"),
        (["x"], {"gap": "0"}, InvalidOption, "gap"),
        (["x"], {"time_limit": -1.0}, InvalidOption, "time_limit"),
        (["x"], {"time_limit": True}, InvalidOption, "time_limit"),
    ],
)
def test_bad_input(integral: Any, options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        solve_mixed_integer(PURSE, integral, **options)


def test_what_is_no_program() -> None:
    with pytest.raises(InvalidProgram, match="call its build"):
        solve_mixed_integer(ProgramBuilder(), ["x"])  # type: ignore[arg-type]
