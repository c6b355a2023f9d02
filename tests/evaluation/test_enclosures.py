"""lower <= true number <= upper, with no tolerance: every bound against the exact oracle, and how wide bounds are."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from random import Random
from typing import Any, Literal

import numpy as np
import pytest
from scipy import sparse

import mailopt as mo
from mailopt.evaluation.rounding import Enclosure
from tests import exact_classes, oracle
from tests.exact_classes import Paired
from tests.exact_games import Case
from tests.hostile_games import HAZARDS, Hazard, hostile_case, scale, with_rewards
from tests.oracle_classes import budget_value, budget_vertices, class_size, class_value, stages

Method = Literal["auto", "lp"]
METHODS: tuple[Method, ...] = ("auto", "lp")
CONDITIONED: tuple[Hazard, ...] = ("plain", "rows", "offset", "tiny")


def inside(lower: float, truth: Fraction, upper: float) -> bool:
    return Fraction(float(lower)) <= truth <= Fraction(float(upper))


class Checker:
    """Asserts that truths are inside, and that bounds are no wider than they may be; counts."""

    def __init__(self, widest: float) -> None:
        self.widest, self.count = widest, 0

    def __call__(self, lower: float, truth: Fraction, upper: float) -> None:
        assert inside(lower, truth, upper), (lower, float(truth), upper)
        assert upper - lower <= self.widest
        self.count += 1


def drawn_classes(rng: Random, case: Case, hazard: Hazard, count: int) -> Iterator[Paired]:
    exact = case.exact_game
    yield from rng.sample(exact_classes.every_class(rng.randrange(10**6), exact), count)
    if hazard != "tiny":  # the slopes of its curve have thousands of digits
        yield exact_classes.budget(rng.choice((0.0, 0.125, 0.5, 1.0, 3.0, 3 * rng.random(), 1e-9, 1e-300)))
    ordinary = hazard not in ("subnormal", "huge")  # else beyond HiGHS, which has to solve a 0-1 program
    if ordinary and case.horizon and max(class_size(exact, i, stages("swap"), 1) for i in exact.agents) <= 64:
        yield exact_classes.stationary()


def check(case: Case, classes: Iterator[Paired], seed: int, *, method: Method, widest: float) -> int:
    """Check all that has bounds; the number of classes."""
    game, sigma, exact, told = case.game, case.sigma, case.exact_game, case.exact_sigma
    contained, done = Checker(widest), 0
    obedience = [oracle.value(exact, told, i) for i in exact.agents]
    assert_values(contained, mo.values(game, sigma, method=method), obedience)
    other, exact_other = exact_classes.other_policy(case, seed)
    elsewhere = [oracle.value(exact, exact_other, i) for i in exact.agents]
    value_gap = mo.value_gap(game, sigma, other, method=method)
    contained(value_gap.lower, max(b - a for a, b in zip(obedience, elsewhere, strict=True)), value_gap.upper)
    for c in classes:
        if method == "lp" and "lp" not in c.library.methods:
            continue
        gains = []
        for i in exact.agents:
            best = c.best(exact, told, i)
            if best is not None:
                gains.append(best - obedience[i])
                found = mo.best_deviation(game, sigma, i, c.library, method=method)
                contained(found.lower, best, found.upper)
                contained(found.gain_lower, gains[-1], found.gain_upper)
        regret = mo.regret(game, sigma, c.library, method=method)
        contained(regret.lower, max(gains), regret.upper)
        if not done:
            regret_gap = mo.regret_gap(game, sigma, other, c.library, method=method)
            contained(regret_gap.lower, max(gains) - c.regret(exact, exact_other), regret_gap.upper)
        done += 1
    assert contained.count >= 2 * done
    return done


def assert_values(contained: Checker, values: mo.Values, truths: list[Fraction]) -> None:
    for lower, truth, upper in zip(values.lower, truths, values.upper, strict=True):
        contained(lower, truth, upper)


@pytest.mark.parametrize("chunk", range(10))
@pytest.mark.parametrize("hazard", HAZARDS)
def test_the_true_number_is_inside(hazard: Hazard, chunk: int) -> None:
    """At least thirty pairs of a game and a class."""
    checks = 0
    for seed in range(6 * chunk, 6 * chunk + 6):
        case = hostile_case(1000 * HAZARDS.index(hazard) + seed, hazard)
        rng = Random(seed)
        classes = drawn_classes(rng, case, hazard, 5)
        checks += check(case, classes, seed, method="auto", widest=1e-11 * scale(case) + 1e-300)
    assert checks >= 30


@pytest.mark.parametrize("chunk", range(4))
@pytest.mark.parametrize("hazard", CONDITIONED)
def test_the_true_number_is_inside_the_bounds_of_programs(hazard: Hazard, chunk: int) -> None:
    checks = 0
    for seed in range(5 * chunk, 5 * chunk + 5):
        case = hostile_case(50_000 + 1000 * HAZARDS.index(hazard) + seed, hazard)
        classes = drawn_classes(Random(seed), case, hazard, 5)
        checks += check(case, classes, seed, method="lp", widest=1e-5 * scale(case))
    assert checks >= 20


@pytest.mark.parametrize("method", METHODS)
def test_a_reward_that_moves_the_value_by_ten_widths_moves_it_out(method: Method) -> None:
    """So that bounds which hold for anything would be noticed: what was true is outside for another game."""
    for seed in range(24):
        case = hostile_case(70_000 + seed, "plain")
        exact, told = case.exact_game, case.exact_sigma
        before = mo.regret(case.game, case.sigma, method=method)
        width = max(before.upper - before.lower, float((before.obedience.upper - before.obedience.lower).max()))
        changed = Fraction(10 * width)
        moved = with_rewards(case, lambda r, ok, d=changed: Fraction(r) + d if ok else r)  # type: ignore[misc]
        length = Fraction(case.horizon) if case.horizon else 1 / (1 - exact.discount)
        after = mo.regret(moved.game, moved.sigma, method=method)
        for i in exact.agents:
            obey = oracle.value(exact, told, i)
            lower, upper = after.obedience.lower[i], after.obedience.upper[i]
            assert inside(lower, obey + changed * length, upper)
            assert not inside(lower, obey, upper)
            deviate = class_value(exact, told, i, stages("swap"))
            best = mo.best_deviation(moved.game, moved.sigma, i, method=method)
            assert inside(best.lower, deviate + changed * length, best.upper)
            assert not inside(best.lower, deviate, best.upper)
            assert not inside(best.gain_lower, deviate - obey + changed, best.gain_upper)


def test_the_check_can_fail() -> None:
    third = Fraction(1, 3)
    assert inside(0.3, third, 0.4)
    assert not inside(0.0, third, 1 / 3)  # the double is below, by less than any tolerance
    assert not inside(np.nextafter(1 / 3, 1), third, 1.0)


# Width


def large_game(layout: str, discount: float | None = None) -> tuple[mo.MarkovGame, mo.CorrelatedPolicy]:
    """Dense with 500 states, or sparse with 2000; rewards in [-1, 1], horizon 20."""
    rng = np.random.default_rng(0)
    size, actions = (500 if layout == "dense" else 2000), (3, 2)
    transitions: Any
    if layout == "dense":
        transitions = rng.dirichlet(np.ones(size), (size, 6))
    else:
        weights = rng.random((6 * size, 8)) + 0.01
        columns = rng.integers(0, size, weights.shape)
        pointers = np.arange(0, weights.size + 1, 8)
        rows = weights / weights.sum(axis=1, keepdims=True)
        transitions = sparse.csr_array((rows.ravel(), columns.ravel(), pointers), shape=(6 * size, size))
    game = mo.MarkovGame(
        transitions,
        rng.uniform(-1, 1, (2, size, 6)),
        rng.dirichlet(np.ones(size)),
        actions,
        horizon=None if discount else 20,
        discount=discount,
    )
    return game, mo.CorrelatedPolicy(rng.dirichlet(np.ones(6), size))


@pytest.mark.parametrize("discount", [None, 0.95], ids=["finite", "discounted"])
@pytest.mark.parametrize("layout", ["dense", "sparse"])
def test_bounds_of_large_games_are_narrow(layout: str, discount: float | None) -> None:
    game, policy = large_game(layout, discount)
    values = mo.values(game, policy)
    assert (values.lower <= values.value).all()
    assert (values.value <= values.upper).all()
    assert ((values.upper - values.lower) / 2 / 20 <= 1e-12).all()
    for deviations in (mo.Swap(), mo.External(), mo.Limited(3)):
        regret = mo.regret(game, policy, deviations)
        best = regret.best
        for lower, value, upper in (
            (regret.lower, regret.value, regret.upper),
            (best.lower, best.value, best.upper),
            (best.gain_lower, best.gain, best.gain_upper),
        ):
            assert lower <= value <= upper
            assert 0 < (upper - lower) / 2 / 20 <= 1e-12


def test_bounds_of_sums_of_blocks_hold() -> None:
    """All mass on equal values: V is H times one reward, exactly, whatever the order of 500 summands."""
    size, horizon = 500, 20
    weights = np.random.default_rng(1).dirichlet(np.ones(size), (size, 2))
    game = mo.MarkovGame(weights, np.full((1, size, 2), 0.1), np.full(size, 1 / size), (2,), horizon=horizon)
    policy = mo.CorrelatedPolicy(np.full((size, 2), 0.5))
    truth = horizon * Fraction(0.1)
    for best in (mo.best_deviation(game, policy, 0, c) for c in (mo.Swap(), mo.Coarse(), mo.Budget(1.0))):
        assert inside(best.lower, truth, best.upper)
        assert best.upper - best.lower <= 1e-11
    changing = np.linspace(-1.0, 1.0, size)
    uniform = mo.MarkovGame(
        np.full((size, 2, size), 1 / size),
        np.repeat(changing[:, None], 2, axis=1)[None],
        np.eye(size)[0],
        (2,),
        horizon=2,
    )
    found = mo.values(uniform, policy)
    truth = Fraction(-1) + sum(map(Fraction, changing.tolist()), Fraction(0)) / size
    assert inside(found.lower[0], truth, found.upper[0])


# Particular games


def one_state(rewards: list[Any], policy: list[Any], **limits: Any) -> tuple[mo.MarkovGame, mo.CorrelatedPolicy]:
    game = mo.MarkovGame(np.zeros((1, 2), dtype=int), [[rewards]], [1.0], (2,), **limits)
    return game, mo.CorrelatedPolicy([policy])


def test_thirds_are_no_doubles() -> None:
    game, policy = one_state([Fraction(1, 3), Fraction(-1, 7)], [Fraction(1, 3), Fraction(2, 3)], horizon=3)
    values, regret = mo.values(game, policy), mo.regret(game, policy)
    truth = 3 * (Fraction(1, 9) - Fraction(2, 21))
    assert inside(values.lower[0], truth, values.upper[0])
    assert inside(regret.lower, 1 - truth, regret.upper)
    assert regret.upper - regret.lower < 1e-13


@pytest.mark.parametrize("discount", [0.99, Fraction(999_999, 10**6), 1 - 2.0**-20, Fraction(1, 3)], ids=str)
def test_the_discount_is_the_number_that_was_given(discount: float | Fraction) -> None:
    """The double nearest to 0.999999 moves the value, 1 / (1 - gamma), by 5e-5."""
    game, policy = one_state([1.0, 0.0], [1.0, 0.0], discount=discount)
    found = mo.values(game, policy)
    assert inside(found.lower[0], 1 / (1 - Fraction(discount)), found.upper[0])
    assert found.upper[0] - found.lower[0] <= 1e-9 * found.value[0]


def test_rows_that_are_off_stand_for_their_normalisation() -> None:
    """1 - 9e-10 in all, at rewards of 1e6: the sum as stored is 1e-3 away from the truth."""
    row = [0.5 * (1 - 9e-10), 0.5 * (1 - 9e-10)]
    game = mo.MarkovGame([[row, row], [row, row]], [[[1e6, 1e6], [1e6, 1e6]]], row, (2,), horizon=4)
    found = mo.values(game, mo.CorrelatedPolicy([row, row]))
    assert inside(found.lower[0], Fraction(4 * 10**6), found.upper[0])
    assert found.upper[0] - found.lower[0] < 1e-6


@pytest.mark.parametrize("seed", range(12))
def test_random_members_of_a_list_whose_rows_are_off(seed: int) -> None:
    """Rows of a deviation stand for their normalisation too."""
    rng = np.random.default_rng(seed)
    case = hostile_case(90_000 + seed, "offset")
    exact, told = case.exact_game, case.exact_sigma
    members = []
    for agent, legal in enumerate(case.legal):
        shape = (case.horizon or 2, *np.shape(legal), case.actions[agent])
        table = rng.random(shape) * np.array(legal)[None, :, None, :]
        table /= table.sum(axis=-1, keepdims=True)
        members.append(mo.Deviation(agent, table * (1 + rng.uniform(-9.9e-10, 9.9e-10, (*shape[:-1], 1)))))
    for member in members:
        truth = exact_classes.attained(exact, told, member)
        found = mo.best_deviation(case.game, case.sigma, member.agent, mo.Finite(members))
        assert inside(found.lower, truth, found.upper)
        assert found.upper - found.lower <= 1e-11 * scale(case)
        applied = mo.values(case.game, member.apply(case.game, case.sigma))
        assert applied.value[member.agent] == pytest.approx(found.value, rel=1e-12)


@pytest.mark.parametrize("size", [1e300, -1e300, 1.7e308])
def test_what_is_illegal_does_not_count(size: float) -> None:
    """An enormous reward for an action that nobody may take changes nothing, the bounds of programs included."""
    transitions = np.full((2, 4, 2), 0.5)
    rewards = np.array([[[1.0, 2, 3, 0], [size, size, 1.0, 3]], [[0.0, 2, 1, 1], [size, size, 0, 2]]])
    legal = [[[True, True], [False, True]], None]
    results = []
    for r in (rewards, np.where(np.abs(rewards) > 9, 0.0, rewards)):
        game = mo.MarkovGame(transitions, r, [0.5, 0.5], (2, 2), horizon=3, legal=legal)
        policy = mo.CorrelatedPolicy([[0.25, 0.25, 0.25, 0.25], [0, 0, 0.5, 0.5]])
        for method in METHODS:
            for c in (mo.Swap(), mo.Coarse(), mo.Limited(1), mo.Budget(0.5)):
                regret = mo.regret(game, policy, c, method=method)
                assert regret.upper - regret.lower <= 1e-6
                results.append(regret.value)
        results.append(mo.regret(game, policy, mo.Stationary()).value)
    middle = len(results) // 2
    np.testing.assert_allclose(results[:middle], results[middle:], atol=1e-9)


def test_values_lie_in_their_own_bounds() -> None:
    """Of the dynamic program; what a solver returns is as good as its tolerance, and bounds are about the truth."""
    for seed in range(40):
        case = hostile_case(80_000 + seed, CONDITIONED[seed % 4])
        for c in (mo.Swap(), mo.External(), mo.Internal(), mo.Limited(1), mo.Budget(0.5)):
            for i in case.exact_game.agents:
                best = mo.best_deviation(case.game, case.sigma, i, c)
                assert best.lower <= best.value <= best.upper
                assert best.gain_lower <= best.gain <= best.gain_upper


@pytest.mark.parametrize("kappa", [1e-12, 1e-10, 1e-9])
def test_tiny_budgets_of_discounted_programs(kappa: float) -> None:
    """The deviation of the program leaves with a probability of 1e-9, which its cost shows to seven digits only."""
    game = mo.MarkovGame([[0, 0], [1, 0]], [[[0.1, 1], [0, 0]]], [0.5, 0.5], (2,), discount=0.9)
    policy = mo.CorrelatedPolicy([[0, 1], [1, 0]])
    found = mo.best_deviation(game, policy, 0, mo.Budget(kappa), method="lp")
    # Obeying pays 1 for ever in state 0, and each departure in state 1 goes there: worth 0.9 * 10, at its discount.
    truth = Fraction(1, 2) / (1 - Fraction(0.9)) + Fraction(kappa) * Fraction(0.9) / (1 - Fraction(0.9))
    assert inside(found.lower, truth, found.upper)
    assert found.upper - found.lower <= 1e-5


@pytest.mark.parametrize(
    ("successors", "rewards", "policy", "discount", "kappa"),
    [
        ([[0, 1], [0, 1]], [[0, 1.1], [0.3, 0]], [[1, 0], [0, 1]], 0.9, 0.5),
        ([[1, 0], [0, 1]], [[1e6, 0], [0, 1.1e6]], [[0, 1], [1, 0]], 0.25, 0.1),
        ([[1, 1], [1, 0]], [[0, 0], [0.7, 0]], [[0, 1], [0, 1]], 0.99, 0.1),
    ],
)
def test_charged_departures_may_cancel_what_they_gain(
    successors: Any, rewards: Any, policy: Any, discount: float, kappa: float
) -> None:
    """Where the charge is just the slope of the curve, the charged values are all but nought."""
    game = mo.MarkovGame(successors, [rewards], [0.5, 0.5], (2,), discount=discount)
    exact = oracle.exact_game(
        [[[[Fraction(s == t) for t in range(2)] for s in row] for row in successors]],
        [[rewards]],
        [0.5, 0.5],
        (2,),
        discount=discount,
    )
    truth = budget_value(budget_vertices(exact, oracle.exact_policy([policy]), 0), Fraction(kappa))
    found = mo.best_deviation(game, mo.CorrelatedPolicy(policy), 0, mo.Budget(kappa))
    assert inside(found.lower, truth, found.upper)
    assert found.upper - found.lower <= 1e-11 * max(1.0, abs(found.value))


def test_weighted_sums_of_enclosures() -> None:
    """Weights of any sign, exactly; ends that are doubles stay, others are rounded outwards, or lost if too large."""
    parts: list[tuple[float | Fraction, Enclosure]] = [
        (Fraction(1, 3), Enclosure(-1.0, 2.0)),
        (-2, Enclosure(0.5, 0.75)),
        (0.1, Enclosure(-3.0, -3.0)),
    ]
    found = Enclosure.weighted(parts)
    low = Fraction(-1, 3) - Fraction(3, 2) - 3 * Fraction(0.1)
    high = Fraction(2, 3) - 1 - 3 * Fraction(0.1)
    assert Fraction(np.nextafter(found.lower, 9)) > low >= Fraction(found.lower)
    assert Fraction(np.nextafter(found.upper, -9)) < high <= Fraction(found.upper)
    assert Enclosure.weighted([(2.0, Enclosure(0.25, 0.5))]) == Enclosure(0.5, 1.0)
    assert Enclosure.weighted([]) == Enclosure(0.0, 0.0)
    assert Enclosure.weighted([(4.0, Enclosure(1e308, 1e308))]) == Enclosure(-np.inf, np.inf)
