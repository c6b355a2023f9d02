"""Limited, Budget, Finite and Stationary against every deviation of tiny games, and against the other classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import pairwise, product
from random import Random
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mailopt as mo
from mailopt.errors import GameTooLarge, InvalidDeviation, InvalidOption, UnknownAgent
from mailopt_solvers import solve, solve_mixed_integer
from tests import exact_classes, exact_games, oracle, oracle_classes, random_games
from tests.exact_classes import Paired, exact_phi
from tests.exact_games import Case
from tests.oracle import Number
from tests.oracle_classes import stages

Shape = tuple[int, tuple[int, ...], Number | None, int]
Method = Literal["auto", "dp", "lp"]
METHODS: tuple[Method, ...] = ("dp", "lp")
FORMULATIONS: tuple[Literal["direct", "linked"], ...] = ("direct", "linked")
SHAPES: list[Shape] = [  # states, actions, horizon (an integer) or discount, steps of the policy
    (1, (3,), 1, 1),
    (1, (2, 2), 3, 3),
    (2, (2,), 3, 3),
    (2, (2, 2), 2, 1),
    (3, (2, 2), 1, 1),
    (2, (3, 2), 1, 1),
    (1, (2, 3, 2), 1, 1),
    (1, (2, 2, 2), 2, 2),
    (2, (2, 1, 2), 2, 1),
    (1, (3, 2), 0.5, 1),
    (2, (2, 2), Fraction(1, 3), 2),
    (3, (2,), 0.75, 1),
    (1, (2, 2, 2), Fraction(1, 2), 2),
    (2, (2,), 0.0, 1),
]
every_game = pytest.mark.parametrize(("seed", "shape"), list(product(range(4), SHAPES)), ids=str)


def tiny_case(seed: int, shape: Shape) -> Case:
    """Odd seeds have illegal actions; kernels and rewards differ between steps in two of three."""
    states, actions, length, steps = shape
    limits: dict[str, Any] = {"horizon": length} if isinstance(length, int) else {"discount": length}
    return exact_games.random_case(
        seed,
        states,
        actions,
        layout="mixed" if seed % 2 else "dense",
        numbers="fractions" if seed == 2 else "eighths",
        varying=seed % 3 > 0,
        illegal=seed % 2 == 1,
        policy_steps=steps,
        **limits,
    )


def encloses(lower: float, truth: Fraction, upper: float) -> bool:
    """Rigorously, and closely."""
    return Fraction(lower) <= truth <= Fraction(upper) and upper - lower <= 1e-8


def found_by(case: Case, agent: int, deviations: mo.DeviationClass, truth: Fraction) -> Iterator[mo.BestDeviation]:
    """Best deviation by each method that the class has, with value and bounds checked."""
    obey = oracle.value(case.exact_game, case.exact_sigma, agent)
    methods: list[Method] = [m for m in METHODS if m in deviations.methods]
    for method in methods or ["auto"]:
        best = mo.best_deviation(case.game, case.sigma, agent, deviations, method=method)
        assert best.value == pytest.approx(float(truth), abs=1e-9)
        assert best.gain == pytest.approx(float(truth - obey), abs=1e-9)
        assert encloses(best.lower, truth, best.upper)
        assert encloses(best.gain_lower, truth - obey, best.gain_upper)
        yield best


# Limited


def inner_classes(seed: int, case: Case) -> list[Paired]:
    rng, exact = Random(seed), case.exact_game
    return [
        exact_classes.SWAP,
        exact_classes.EXTERNAL,
        exact_classes.INTERNAL,
        exact_classes.partition(rng, exact),
        exact_classes.restricted(rng, exact, "swap"),
        exact_classes.restricted(rng, exact, "coarse"),
        exact_classes.restricted(rng, exact, "partition"),
    ]


@every_game
def test_limited_is_the_best_choice_for_each_number_of_departures_left(seed: int, shape: Shape) -> None:
    case = tiny_case(seed, shape)
    exact, told = case.exact_game, case.exact_sigma
    for (number, inner), agent in product(enumerate(inner_classes(seed, case)), exact.agents):
        k = (seed + number) % 4
        assert inner.maps is not None
        truth = oracle_classes.limited_value(exact, told, agent, k, inner.maps)
        if oracle_classes.limited_size(exact, told, agent, k, inner.maps) <= 40:
            assert truth == oracle_classes.limited_value_by_enumeration(exact, told, agent, k, inner.maps)
        for best in found_by(case, agent, limited(k, inner.library), truth):
            assert_layered(case, best, k, inner)
            assert float(truth) == pytest.approx(played(case, best), abs=1e-9)
            if exact.horizon is not None and k:
                assert abs(exact_classes.attained(exact, told, best.deviation) - truth) <= Fraction(1, 10**9)


def layers_of(deviation: mo.Deviation) -> Any:
    """What is played, (T, L, S, n)."""
    if isinstance(deviation, mo.LimitedDeviation):
        return deviation.choices if deviation.choices.ndim == 4 else deviation.choices[None]
    table = deviation.probabilities.argmax(axis=-1)
    return (table if table.ndim == 3 else table[None])[:, None]


def limited(k: int, inner: mo.DeviationClass) -> mo.Limited:
    return mo.Limited(k, inner)  # type: ignore[arg-type]


def assert_layered(case: Case, best: mo.BestDeviation, k: int, inner: Paired) -> None:
    """At each step, number of departures left and state: a stage of the inner class, or obedience; at 0 left that."""
    exact, choices = case.exact_game, layers_of(best.deviation)
    assert inner.maps is not None
    assert choices.shape[1] == 1 + min(k, exact.horizon or k)
    for (h, j), s in product(np.ndindex(choices.shape[:2]), exact.states):
        stage = {a: int(choices[h, j, s, a]) for a in exact.legal[best.agent][s]}
        allowed = inner.maps(exact, best.agent, h, s) if j else []
        assert stage in [*allowed, oracle_classes.obedience(exact, best.agent, s)]


def played(case: Case, best: mo.BestDeviation) -> float:
    """Value of the layered play, forward: where the game is, and with how many departures left."""
    exact, choices, agent = case.exact_game, layers_of(best.deviation), best.agent
    masses = {(s, choices.shape[1] - 1): float(p) for s, p in enumerate(exact.initial) if p}
    total = 0.0
    for h in range(exact.horizon or 160):
        after: dict[tuple[int, int], float] = {}
        here = choices[min(h, len(choices) - 1)]
        for (s, left), mass in masses.items():
            for joint, weight in enumerate(oracle.at(case.exact_sigma, h)[s]):
                if not weight:
                    continue
                told = exact.joint_actions[joint][agent]
                plays = int(here[left, s, told])
                to = exact.replaced(joint, agent, plays)
                total += mass * float(weight * oracle.at(exact.rewards, h)[agent][s][to])
                for t, p in enumerate(oracle.at(exact.transitions, h)[s][to]):
                    if p:
                        where = (t, left - (plays != told))
                        after[where] = after.get(where, 0.0) + mass * float(weight * p * exact.discount)
        masses = after
        assert all(left >= 0 for _, left in masses)
    return total


def trap(**limits: Any) -> tuple[mo.MarkovGame, mo.CorrelatedPolicy]:
    """Leaving once gains nothing; leaving at both steps gains 1."""
    transitions = [[[0, 1, 0], [0, 0, 1]], [[0, 1, 0], [0, 1, 0]], [[0, 1, 0], [0, 0, 1]]]
    game = mo.MarkovGame(transitions, [[[0, 0], [0, 0], [-1, 1]]], [1, 0, 0], (2,), **limits)
    return game, mo.CorrelatedPolicy.deterministic(game, [[0], [0], [0]])


@pytest.mark.parametrize("method", METHODS)
def test_leaving_twice_is_worth_it_and_once_is_not(method: Method) -> None:
    game, obey = trap(horizon=2)

    def gain(deviations: mo.DeviationClass) -> float:
        return mo.regret(game, obey, deviations, method=method).value

    assert [gain(mo.Limited(k)) for k in range(4)] == pytest.approx([0, 0, 1, 1], abs=1e-9)
    assert [gain(mo.Limited(k, mo.External())) for k in range(4)] == pytest.approx([0, 0, 1, 1], abs=1e-9)
    assert [gain(mo.Budget(k / 2)) for k in range(6)] == pytest.approx([0, 0.25, 0.5, 0.75, 1, 1], abs=1e-9)
    if method == "dp":
        assert mo.regret(game, obey, mo.Stationary()).value == 1.0
    forever, obey = trap(discount=0.5)
    paid = [mo.regret(forever, obey, mo.Limited(k), method=method).value for k in range(4)]
    assert paid == pytest.approx([0, 0, 0.25, 0.625], abs=1e-9)  # -1 once it has no departures left


def test_a_mask_on_a_partition_on_a_limit() -> None:
    """Told 0 or 1, which it cannot tell apart, the agent may play 2; told 2 only that. Playing 2 pays 1."""
    game = mo.MarkovGame(np.zeros((1, 3), dtype=int), [[[0.0, 0.0, 1.0]]], [1.0], (3,), horizon=4)
    policy = mo.CorrelatedPolicy([[0.25, 0.25, 0.5]])
    cells = mo.Partition([["low", "low", "high"]])
    open_, shut = np.zeros((3, 3), dtype=bool), np.zeros((3, 3), dtype=bool)
    open_[:2, 2] = True
    shut[0, 2] = True
    for k, departures in ((0, 0), (1, 1), (4, 4), (9, 4)):
        # The chance of being told 0 or 1 is 1/2 a step; k of the 4 steps at most.
        expected = sum(min(j, departures) * [1, 4, 6, 4, 1][j] / 16 for j in range(5))
        for deviations in (mo.Limited(k, mo.Restricted([open_], cells)), mo.Limited(k, mo.Restricted([open_]))):
            for method in METHODS:
                assert mo.regret(game, policy, deviations, method=method).value == pytest.approx(expected, abs=1e-9)
    half = mo.regret(game, policy, mo.Limited(4, mo.Restricted([shut]))).value
    assert half == pytest.approx(1.0, abs=1e-12)  # told 0 alone: 4 times 1/4
    with pytest.raises(InvalidDeviation, match="nothing to play"):
        mo.regret(game, policy, mo.Limited(4, mo.Restricted([shut], cells)))


# Budget


@every_game
def test_budget_is_the_concave_envelope_of_all_deviations(seed: int, shape: Shape) -> None:
    case = tiny_case(seed, shape)
    exact, told, mass = case.exact_game, case.exact_sigma, case.game.occupancy_mass
    for agent in exact.agents:
        few = oracle_classes.class_size(exact, agent, stages("swap"), oracle_classes.steps_of(exact, told)) <= 64
        points = oracle_classes.budget_vertices if few else oracle_classes.budget_vertices_by_recursion
        vertices = points(exact, told, agent)
        costs = [float(cost) for cost, _ in vertices]
        for kappa in {0.0, 0.125, costs[-1] + 1, *costs[:3], *(sum(ends) / 2 for ends in pairwise(costs[:3]))}:
            truth = oracle_classes.budget_value(vertices, Fraction(kappa))
            for best in found_by(case, agent, mo.Budget(kappa), truth):
                spent = sum(d.probability for d in best.departures(case.game, case.sigma)) / mass
                assert spent <= kappa + 1e-9
                phi = exact_phi(best.deviation)
                assert oracle_classes.disobedience(exact, told, agent, phi) <= kappa + 1e-9
                worth = oracle.value(exact, oracle.deviate(exact, told, agent, phi), agent)
                assert float(worth) == pytest.approx(best.value, abs=1e-9)
                applied = mo.values(case.game, best.deviation.apply(case.game, case.sigma))
                assert applied.value[agent] == pytest.approx(best.value, abs=1e-9)


# Finite


@every_game
def test_finite_is_the_best_of_the_list(seed: int, shape: Shape) -> None:
    case = tiny_case(seed, shape)
    exact, told = case.exact_game, case.exact_sigma
    c = exact_classes.finite(Random(seed), exact, 4)
    assert isinstance(c.library, mo.Finite)
    gains = c.gains(exact, told)
    regret = mo.regret(case.game, case.sigma, c.library)
    for agent, gain in enumerate(gains):
        if gain is None:
            assert regret.per_agent[agent] == -np.inf
            with pytest.raises(InvalidDeviation, match=f"no deviation of agent {agent}"):
                mo.best_deviation(case.game, case.sigma, agent, c.library)
            continue
        assert regret.per_agent[agent] == pytest.approx(float(gain), abs=1e-9)
        for best in found_by(case, agent, c.library, gain + oracle.value(exact, told, agent)):
            assert any(best.deviation is phi for phi in c.library.of(agent))
            assert best.method == "enumeration"
    assert encloses(regret.lower, c.regret(exact, told), regret.upper)


# Stationary


@every_game
def test_stationary_is_the_best_of_those_that_do_not_depend_on_the_step(seed: int, shape: Shape) -> None:
    case = tiny_case(seed, shape)
    exact, told = case.exact_game, case.exact_sigma
    for agent in exact.agents:
        if exact.horizon is None:
            with pytest.raises(InvalidDeviation, match="finite horizons"):
                mo.best_deviation(case.game, case.sigma, agent, mo.Stationary())
            continue
        truth = oracle_classes.stationary_value(exact, told, agent)
        for best in found_by(case, agent, mo.Stationary(), truth):
            table = best.deviation.probabilities
            assert set(np.unique(table)) <= {0.0, 1.0}
            assert table.ndim == 3 or (table == table[0]).all()
            assert abs(exact_classes.attained(exact, told, best.deviation) - truth) <= Fraction(1, 10**9)


def test_what_is_told_may_mean_the_opposite_at_the_next_step() -> None:
    """Swapping pays at the first step and costs as much at the second: only who knows the step gains."""
    game = mo.MarkovGame([[0, 0]], [[[[0, 1]]], [[[1, 0]]], [[[0, 0.5]]]], [1.0], (2,), horizon=3)
    policy = mo.CorrelatedPolicy([[1.0, 0.0]])
    assert mo.regret(game, policy).value == 1.5
    assert mo.regret(game, policy, mo.Stationary()).value == 0.5
    assert mo.regret(game, policy, mo.Limited(1)).value == 1.0
    assert mo.regret(game, policy, mo.Budget(1.5)).value == pytest.approx(1.25, abs=1e-12)


# Programs


@every_game
def test_both_formulations_have_the_optimum_of_the_dynamic_program(seed: int, shape: Shape) -> None:
    case = tiny_case(seed, shape)
    rng, exact = Random(seed), case.exact_game
    inner = exact_classes.restricted(rng, exact, "internal").library
    classes = [mo.Limited(seed), limited(1, inner), mo.Budget(0.25 * seed), mo.Stationary()]
    for deviations, agent in product(classes, exact.agents):
        if deviations == mo.Stationary() and exact.horizon is None:
            continue
        best = mo.best_deviation(case.game, case.sigma, agent, deviations)
        for formulation in FORMULATIONS:
            program = mo.programs.deviation(case.game, case.sigma, agent, deviations, formulation=formulation)
            if deviations == mo.Stationary():
                solution: Any = solve_mixed_integer(program, ["x"]).require_optimal()
                assert set(np.unique(solution["x"])) <= {0.0, 1.0}
            else:
                solution = solve(program).require_optimal()
            assert solution.objective == pytest.approx(best.value, abs=1e-9)


# Inclusions


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6))
def test_larger_classes_gain_more(seed: int) -> None:
    case = random_games.random_case(seed)
    game, sigma, slack = case.game, case.policy, 1e-9 * case.scale

    def gains(deviations: mo.DeviationClass) -> Any:
        return mo.regret(game, sigma, deviations).per_agent

    swap, horizon = gains(mo.Swap()), game.horizon or 3
    for inner in (mo.Swap(), mo.Internal(), mo.External(), mo.Coarse()):
        curve = [gains(mo.Limited(k, inner)) for k in sorted({0, 1, 2, horizon, horizon + 1})]
        np.testing.assert_allclose(curve[0], 0.0, atol=slack)
        assert all((less <= more + slack).all() for less, more in pairwise([*curve, swap]))
        if game.horizon is not None:
            whole = mo.Coarse() if isinstance(inner, mo.External) else inner
            np.testing.assert_allclose(gains(mo.Limited(horizon, inner)), gains(whole), atol=slack)
            np.testing.assert_allclose(curve[-1], gains(whole), atol=slack)
    curve = [gains(mo.Budget(0.25 * k)) for k in range(5)]
    np.testing.assert_allclose(curve[0], 0.0, atol=slack)
    assert all((less <= more + slack).all() for less, more in pairwise([*curve, swap]))
    for low, middle, high in zip(curve, curve[1:], curve[2:], strict=False):
        assert (low + high <= 2 * middle + slack).all()
    np.testing.assert_allclose(gains(mo.Budget(horizon / float(game.occupancy_mass))), swap, atol=slack)
    if game.horizon is not None:
        for k in (1, 2):
            assert (gains(mo.Limited(k)) <= gains(mo.Budget(k)) + slack).all()


@pytest.mark.parametrize("seed", range(20))
def test_stationary_deviations_gain_no_more_than_all(seed: int) -> None:
    case = tiny_case(seed, (2, (2, 2), 3, 3))
    stationary, swap = (mo.regret(case.game, case.sigma, c).per_agent for c in (mo.Stationary(), mo.Swap()))
    assert (stationary >= -1e-9).all()
    assert (stationary <= swap + 1e-9).all()
    some = mo.Finite([mo.Deviation.identity(case.game, i) for i in range(2)])
    np.testing.assert_allclose(mo.regret(case.game, case.sigma, some).per_agent, 0.0, atol=1e-12)


# What makes no sense


def yielding(agent: int = 0) -> mo.Deviation:
    return mo.Deviation.deterministic(agent, [[1, 1]])


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        (mo.Limited, [-1], "k is -1"),
        (mo.Limited, [1.5], "k is 1.5"),
        (mo.Limited, [True], "k is True"),
        (mo.Limited, [1, mo.Budget(1)], "inner is Budget"),
        (mo.Limited, [1, mo.Limited(1)], "inner is Limited"),
        (mo.Limited, [1, mo.Stationary()], "inner is Stationary"),
        (mo.Limited, [1, mo.Swap], "inner is"),
        (mo.Restricted, [[None], mo.Limited(1)], "inner is Limited"),
        (mo.Budget, [-1], "at least 0"),
        (mo.Budget, [-1e-300], "at least 0"),
        (mo.Budget, [float("nan")], "finite"),
        (mo.Budget, [float("inf")], "finite"),
        (mo.Budget, [10**400], "kappa"),
        (mo.Budget, [Fraction(1, 3)], "not a double"),
        (mo.Budget, ["1"], "a number"),
        (mo.Budget, [True], "a number"),
        (mo.Finite, [[]], "at least one"),
        (mo.Finite, [[mo.Swap()]], "at least one"),
        (mo.Finite, [yielding()], "at least one"),
    ],
)
def test_classes_that_make_no_sense(kind: Callable[..., mo.DeviationClass], given: list[Any], message: str) -> None:
    with pytest.raises(InvalidDeviation, match=message):
        kind(*given)


def test_what_does_not_fit_the_game() -> None:
    game = mo.scenarios.chicken()
    policy = mo.CorrelatedPolicy.uniform(game)
    wide = mo.Finite([mo.Deviation.deterministic(0, [[1, 1, 1]])])
    with pytest.raises(InvalidDeviation, match="shape"):
        mo.regret(game, policy, wide)
    with pytest.raises(UnknownAgent):
        mo.regret(game, policy, mo.Finite([yielding(), yielding(7)]))
    with pytest.raises(InvalidDeviation, match="no deviation of agent 1"):
        mo.best_deviation(game, policy, 1, mo.Finite([yielding()]))
    assert mo.regret(game, policy, mo.Finite([yielding()])).per_agent.tolist() == [0.25, -np.inf]
    with pytest.raises(InvalidDeviation, match="no linear program"):
        mo.programs.deviation(game, policy, 0, mo.Finite([yielding()]))
    for deviations, method in product((mo.Stationary(), mo.Finite([yielding()])), METHODS):
        with pytest.raises(InvalidOption, match=f"method is '{method}'"):
            mo.regret(game, policy, deviations, method=method)
    illegal = mo.MarkovGame(np.zeros((1, 2), dtype=int), [[[0, 1]]], [1], (2,), horizon=1, legal=[[[True, False]]])
    with pytest.raises(InvalidDeviation, match="illegal"):
        mo.regret(illegal, mo.CorrelatedPolicy([[1, 0]]), mo.Finite([yielding()]))


def test_stationary_deviations_of_large_games_are_refused() -> None:
    size = 101
    game = mo.MarkovGame(np.zeros((size, 2), dtype=int), np.zeros((1, size, 2)), np.eye(size)[0], (2,), horizon=2)
    policy = mo.CorrelatedPolicy.uniform(game)
    with pytest.raises(GameTooLarge, match="404 variables"):
        mo.best_deviation(game, policy, 0, mo.Stationary())
    forced = mo.MarkovGame(
        np.zeros((size, 2), dtype=int),
        np.zeros((1, size, 2)),
        np.eye(size)[0],
        (2,),
        horizon=2,
        legal=[[[True, s < 2] for s in range(size)]],
    )
    assert mo.best_deviation(forced, mo.CorrelatedPolicy.uniform(forced), 0, mo.Stationary()).gain == 0.0


def test_classes_show_what_they_are() -> None:
    assert repr(mo.Limited(2)) == "Limited(2)"
    assert repr(mo.Limited(1, mo.Coarse())) == "Limited(1, Coarse())"
    nested = mo.Limited(1, mo.Restricted([None, np.ones((2, 2), dtype=bool)], mo.Partition([0, 1])))
    assert repr(nested) == "Limited(1, Restricted([all, 2 of 2], Partition((0, 1))))"
    assert repr(mo.Budget(0.5)) == "Budget(0.5)"
    assert repr(mo.Budget(2)) == repr(mo.Budget(2.0))
    assert repr(mo.Stationary()) == "Stationary()"
    assert repr(mo.Finite([yielding(), yielding(1), yielding()])) == "Finite(2 of agent 0, 1 of agent 1)"
    assert mo.Limited(1) == mo.Limited(1, mo.Swap()) != mo.Limited(2)
    assert mo.Limited(0, mo.External()).contains_obedience
    assert not mo.Finite([yielding()]).contains_obedience
