"""``dual_bound`` is never on the wrong side of the exact optimum, whatever the duals and however nasty the numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest

from mailopt_solvers import InvalidProgram, LinearProgram, SolverError, Termination, dual_bound, solve
from mailopt_solvers.program import FloatArray, Sense
from tests.conformance.exact import Exact, exact_solution
from tests.conformance.programs import INF, INSTANCES, SENSES, Instance, mirrored, program

KINDS = ("integer", "float", "mixed", "huge", "tiny", "degenerate")
PROGRAMS_EACH = 30


def worst_bound(sense: Sense) -> float:
    """The bound that says nothing."""
    return -math.inf if sense == "min" else math.inf


def assert_right_side(lp: LinearProgram, exact: Exact, bound: float) -> None:
    assert not math.isnan(bound)
    assert bound <= exact.optimum if lp.sense == "min" else bound >= exact.optimum


def random_program(kind: str, seed: int) -> LinearProgram:
    """Up to three rows and variables around a point, with dual feasible costs, so that most have an optimum."""
    generator = np.random.default_rng([KINDS.index(kind), seed])
    sense: Sense = SENSES[seed % 2]
    n, m = int(generator.integers(1, 4)), int(generator.integers(0, 4))

    def numbers(*shape: int) -> FloatArray:
        whole = generator.integers(-3, 4, shape).astype(np.float64)
        match kind:
            case "integer":
                return whole
            case "degenerate":
                return np.sign(whole)
            case "float":
                return np.asarray(generator.normal(size=shape))
            case "mixed":
                return np.asarray(generator.normal(size=shape) * 10.0 ** generator.integers(-8, 9, shape))
            case "huge":
                return np.asarray(generator.normal(size=shape) * 10.0 ** generator.integers(90, 151, shape))
            case _:
                return np.asarray(generator.normal(size=shape) * 10.0 ** generator.integers(-160, -90, shape))

    matrix, x = numbers(m, n), numbers(n)
    points = np.concatenate((matrix @ x, x))
    room = np.abs(numbers(2, m + n))
    lower, upper = points - room[0], points + room[1]
    shape = generator.choice(
        ["both", "lower", "upper", "free", "tight", "fixed"], m + n, p=[0.4, 0.15, 0.15, 0.1, 0.1, 0.1]
    )
    lower = np.where(
        np.isin(shape, ["upper", "free"]), -INF, np.where(np.isin(shape, ["tight", "fixed"]), points, lower)
    )
    upper = np.where(np.isin(shape, ["lower", "free"]), INF, np.where(shape == "fixed", points, upper))
    sign = 1.0 if sense == "min" else -1.0
    prices = sign * numbers(m + n)
    prices = np.where((prices * sign > 0) & np.isinf(lower) | (prices * sign < 0) & np.isinf(upper), 0.0, prices)
    costs = matrix.T @ prices[:m] + prices[m:]
    return program(costs, matrix, lower[:m], upper[:m], lower[m:], upper[m:], sense=sense, offset=float(numbers(1)[0]))


def duals_to_try(lp: LinearProgram, generator: np.random.Generator) -> Iterator[FloatArray]:
    """The solver's, the solver's disturbed, random ones, and those of no sense at all."""
    m = lp.num_rows
    try:
        best = solve(lp, "highs").row_duals
    except SolverError:
        best = np.zeros(0)
    if best.size == m:
        yield best
        for size in (1e-15, 1e-9, 1e-3, 1.0):
            yield best * (1 + size * generator.normal(size=m))
            yield best + size * generator.normal(size=m)
    yield np.zeros(m)
    for exponent in (-320, -100, -8, 0, 8, 100, 300):
        yield generator.normal(size=m) * 10.0**exponent
    yield generator.integers(-3, 4, m).astype(np.float64)
    yield generator.normal(size=m) * 10.0 ** generator.integers(-300, 300, m)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(2 * PROGRAMS_EACH))
def test_never_on_the_wrong_side(kind: str, seed: int) -> None:
    lp = random_program(kind, seed)
    exact = exact_solution(lp)
    generator = np.random.default_rng(seed)
    for y in duals_to_try(lp, generator):
        assert_right_side(lp, exact, dual_bound(lp, y))
        if exact.x is not None:
            floats = np.array([float(v) for v in exact.x])
            lower, upper = np.nextafter(floats, -INF), np.nextafter(floats, INF)
            assert_right_side(lp, exact, dual_bound(lp, y, lower=lower, upper=upper))
            assert_right_side(lp, exact, dual_bound(lp, y, lower=floats - generator.random()))
            assert_right_side(lp, exact, dual_bound(lp, y, upper=upper + generator.random()))


def test_most_random_programs_have_an_optimum() -> None:
    """Else the test above would be idle."""
    for kind in KINDS:
        outcomes = [exact_solution(random_program(kind, seed)) for seed in range(20)]
        assert sum(exact.x is not None for exact in outcomes) >= 14, kind


@pytest.mark.parametrize("kind", ["integer", "float", "degenerate"])
@pytest.mark.parametrize("seed", range(PROGRAMS_EACH))
def test_tight_for_optimal_duals(kind: str, seed: int) -> None:
    """With finite bounds everywhere the duals of a good solver lose a billionth of the terms at most."""
    lp = random_program(kind, seed)
    boxed = program(
        lp.costs, lp.matrix, lp.row_lower, lp.row_upper, np.maximum(lp.lower, -9), np.minimum(lp.upper, 9),
        sense=lp.sense, offset=lp.offset,
    )  # fmt: skip
    exact = exact_solution(boxed)
    if exact.x is None:  # one of them: rounding leaves no point in its equations
        assert kind == "float"
        return
    solution = solve(boxed, "highs")
    assert solution.termination is Termination.OPTIMAL
    assert_right_side(boxed, exact, solution.bound)
    prices = np.concatenate((solution.row_duals, solution.reduced_costs))
    sides = np.concatenate((boxed.row_lower, boxed.lower, boxed.row_upper, boxed.upper))
    terms = float(np.abs(np.tile(prices, 2)) @ np.where(np.isfinite(sides), np.abs(sides), 0.0)) + abs(boxed.offset)
    assert abs(solution.bound - float(exact.optimum)) <= 1e-9 * (1 + terms)


@pytest.mark.parametrize("instance", [i for i in INSTANCES if i.optimum is not None and i.program.num_rows], ids=str)
def test_known_optima(instance: Instance) -> None:
    """Any duals against the optimum of every instance of the conformance suite."""
    lp = instance.program
    assert instance.optimum is not None
    exact = Exact(instance.optimum)
    generator = np.random.default_rng(0)
    for y in duals_to_try(lp, generator):
        assert_right_side(lp, exact, dual_bound(lp, y))


@pytest.mark.parametrize("instance", [i for i in INSTANCES if i.termination is Termination.UNBOUNDED], ids=str)
def test_nothing_bounds_the_unbounded(instance: Instance) -> None:
    lp = instance.program
    generator = np.random.default_rng(0)
    for y in duals_to_try(lp, generator):
        assert dual_bound(lp, y) == worst_bound(lp.sense)


# Bounds that rows imply


@pytest.mark.parametrize("sense", SENSES)
@pytest.mark.parametrize("n", [1, 2, 10, 200])
def test_simplex_bounds_its_variables(n: int, sense: Sense) -> None:
    """sum x = 1, x >= 0: finite for any y, and all but exact for the best."""
    generator = np.random.default_rng(n)
    lp = program(generator.normal(size=n), np.ones((1, n)), 1, 1, sense=sense)
    best = float(lp.costs.min() if sense == "min" else lp.costs.max())
    for y in (best, best + 1e-9, best - 1e-9, 0.0, 1.5, -1e9):
        bound = dual_bound(lp, np.array([y]))
        assert math.isfinite(bound)
        assert bound <= best if sense == "min" else bound >= best
    assert dual_bound(lp, np.array([best])) == pytest.approx(best, abs=1e-9 * (1 + abs(best)))
    assert solve(lp, "highs").bound == pytest.approx(best, abs=1e-9 * (1 + abs(best)))


@pytest.mark.parametrize("sense", SENSES)
def test_bounds_implied_one_after_the_other(sense: Sense) -> None:
    """0 <= x_0 <= 1 and x_k <= x_(k-1) + 1, free but for x_k >= -1: each bound follows from the one before."""
    n = 6
    rows = np.eye(n)[1:] - np.eye(n)[:-1]
    sign = -1.0 if sense == "min" else 1.0
    lp = program(sign * np.ones(n), rows, -INF, 1, lower=[0, *[-1] * (n - 1)], upper=[1, *[INF] * (n - 1)], sense=sense)
    optimum = sign * (1 + 2 + 3 + 4 + 5 + 6)
    for y in (solve(lp, "highs").row_duals, np.zeros(n - 1)):
        bound = dual_bound(lp, y)
        assert math.isfinite(bound)
        assert bound <= optimum if sense == "min" else bound >= optimum


@pytest.mark.parametrize("sense", SENSES)
def test_free_variable_without_implied_bound(sense: Sense) -> None:
    """A price that is off by anything leaves no bound: infinity of the right sign, not a number."""
    lp = program([1, 1], [[1, 1]], 2, 2, lower=-INF, sense=sense)
    for y in (1 + 2.0**-52, 1 - 2.0**-53, 0.0, -1.0, 1e300, 5e-324):
        assert dual_bound(lp, np.array([y])) == worst_bound(sense)


@pytest.mark.parametrize("sense", SENSES)
def test_reduced_cost_that_is_exactly_zero(sense: Sense) -> None:
    """What the module promises: a variable without a finite bound does no harm if its reduced cost is exactly 0."""
    empty_column = program([1, 0], [[1, 0]], 2, 2, lower=-INF, sense=sense)
    whole_numbers = program([3, 3], [[1, 1]], 2, 2, lower=-INF, sense=sense)
    assert dual_bound(empty_column, np.array([1.0])) == pytest.approx(2.0, rel=1e-9)
    assert dual_bound(whole_numbers, np.array([3.0])) == pytest.approx(6.0, rel=1e-9)


def test_missing_sides_price_nothing() -> None:
    """A dual whose sign calls for a missing row bound counts as 0."""
    lp = program([1.0], [[1.0]], 2, INF, lower=0, upper=9)
    assert dual_bound(lp, np.array([-5.0])) == pytest.approx(0.0, abs=1e-300)
    assert 2 - 1e-9 <= dual_bound(lp, np.array([1.0])) <= 2


# Rounding against us


def _adversaries() -> Iterator[tuple[str, LinearProgram, list[list[float]]]]:
    big = 1e16
    yield "cancellation", program([1.0], [[big], [1.0], [-big]], 0, 0, -1e10, 1e10), [[1, 1, 1], [1, 0, 1], [1, 2, 1]]
    yield (
        "cancellation-in-order",
        program([0.1, 0.2, 0.3], [[0.1, 0.2, 0.3], [0.3, 0.1, 0.2]], [1, 1], [3, 3], -1e15, 1e15),
        [[1, 0], [1 / 3, 1 / 3], [1 + 2**-52, -(2.0**-53)]],
    )
    yield "thirds", program([1 / 3], [[3.0]], 1, 1, -1e16, 1e16), [[1 / 9], [1 / 9 + 1e-17], [0.1111111111111111]]
    yield "free-by-rounding", program([0.3], [[0.1]], 1, INF, -INF, INF), [[3.0], [0.3 / 0.1], [2.9999999999999996]]
    yield "subnormal-costs", program([5e-324, -5e-324], [[1, 1]], 1, 2, 0, 1), [[5e-324], [0], [1e-310], [-5e-324]]
    yield "subnormal-entries", program([1, 1], [[5e-324, 1e-310]], 5e-324, 1, 0, 1), [[1], [1e300], [1e15], [1e308]]
    yield "subnormal-bounds", program([1, -1], [[1, 1]], 1e-310, 3e-310, -5e-324, 2e-310), [[1], [-1], [0.5], [1e-310]]
    yield (
        "subnormal-products",
        program([1e-200, 1e-200], [[1e-200, 1e-200]], 1e-150, 1, 0, 1e-160),
        [[1e-150], [1], [1e-20]],
    )
    yield (
        "huge-entries",
        program([1e300, 1], [[1e300, 1e-300]], 1e300, INF, 0, 1e10),
        [[1], [1e10], [-1], [1e300], [1e-300]],
    )
    yield "huge-bounds", program([1, 1], [[1, -1]], -1e300, 1e300, -1e300, 1e300), [[1], [-1], [1e8], [1e300]]
    yield (
        "overflow",
        program([1e308, 1e308], [[1e308, -1e308]], -1e308, 1e308, -1e308, 1e308),
        [[1], [2], [-1e308], [0]],
    )
    yield "overflow-sum", program(np.full(3, 1e308), [[1, 1, 1]], 1, 3, 0, 1, offset=-1e308), [[1e308], [0], [-1e308]]
    yield "implied-overflow", program([-1, -1], [[1e-300, 1e-300]], 0, 1e300), [[-1], [0], [-1e300]]
    yield "implied-by-tiny", program([-1, 0], [[1e-310, 1e-310]], 0, 1e-310), [[0], [-1], [-1e308]]
    yield (
        "implied-rounding",
        program([-1, 1], [[3, 1], [0.1, -0.1]], [1, -INF], [1, 0.1], [0, -0.3]),
        [[0, 0], [-1 / 3, 0]],
    )
    yield (
        "implied-cancellation",
        program([-1, 1, 1], [[1, big, -big]], 0, 1, [0, 1, 1], [INF, 3, 3]),
        [[0], [-1], [1e-16]],
    )
    yield "implied-negative", program([1, 0], [[-3, 0.7]], 0.1, 1, [-INF, 0], [0.1, 0.1]), [[0], [-1 / 3], [-0.3]]
    yield (
        "implied-through-zero",
        program([-1, 0], [[1, 0], [1, 1]], [-INF, 1], [0.1, INF], -INF, INF),
        [[0, 0], [-1, 0]],
    )
    yield (
        "tiny-feasible-gap",
        program([1], [[1.0], [1.0]], [0.1, -INF], [INF, 0.1], -INF, INF),
        [[1, 0], [2, -1], [0, 0]],
    )


@pytest.mark.parametrize("sense", SENSES)
@pytest.mark.parametrize(("lp", "duals"), [pytest.param(lp, d, id=name) for name, lp, d in _adversaries()])
def test_adversarial_numbers(lp: LinearProgram, duals: list[list[float]], sense: Sense) -> None:
    """Both senses: mirrored with negated duals it is the same claim; with other duals, another one."""
    asked = lp if sense == "min" else mirrored(lp)
    exact = exact_solution(asked)
    for y in duals:
        for sign in (1.0, -1.0):
            assert_right_side(asked, exact, dual_bound(asked, sign * np.array(y, dtype=np.float64)))


@pytest.mark.parametrize("seed", range(20))
def test_long_cancelling_columns(seed: int) -> None:
    """c = A'y in exact arithmetic is not c = A'y in doubles: 60 terms of all sizes that nearly cancel, x in a box."""
    generator = np.random.default_rng(seed)
    m = 60
    column = generator.normal(size=m) * 10.0 ** generator.integers(-12, 13, m)
    y = generator.normal(size=m)
    exact_price = sum((Fraction(a) * Fraction(v) for a, v in zip(column, y, strict=True)), Fraction(0))
    cost = float(exact_price)
    for sense in SENSES:
        lp = program([cost], column[:, None], 0, 0, -1e6, 1e6, sense=sense)  # only x = 0, so the optimum is 0
        assert_right_side(lp, Exact(Fraction(0)), dual_bound(lp, y))
        lp = program([cost], column[:, None], -INF, INF, -1e6, 1e6, sense=sense)
        reach = Fraction(10**6) * abs(Fraction(cost)) * (-1 if sense == "min" else 1)
        assert_right_side(lp, Exact(reach), dual_bound(lp, y))


@pytest.mark.parametrize(
    "duals",
    [[], [1.0, 2.0], [[1.0]], [math.nan], [math.inf], [-math.inf]],
    ids=["empty", "long", "2d", "nan", "inf", "-inf"],
)
def test_duals_that_are_none(duals: npt.ArrayLike) -> None:
    with pytest.raises(InvalidProgram, match="row_duals"):
        dual_bound(program([1.0], [[1.0]], 1, INF), np.asarray(duals))


@pytest.mark.parametrize("side", ["lower", "upper"])
@pytest.mark.parametrize("bounds", [[1.0, 2.0], [], [math.nan]], ids=["long", "empty", "nan"])
def test_bounds_that_are_none(side: str, bounds: list[float]) -> None:
    lp = program([1.0], [[1.0]], 1, INF)
    with pytest.raises(InvalidProgram, match="bounds"):
        dual_bound(lp, np.ones(1), **{side: np.array(bounds)})
