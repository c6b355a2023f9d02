"""The oracle of imitation against numbers worked out by hand."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest

from tests import exact_games, oracle, oracle_classes
from tests.imitation.imitation_oracle import (
    Batch,
    Infeasible,
    aggregated,
    agreeing,
    all_deviations,
    budget_visits,
    chain_game,
    chain_labels,
    cloning_loss,
    cloning_optimum,
    counted,
    deviation_visits,
    everything_known,
    flow_measures,
    known_rows,
    least_loss,
    least_swap_value,
    limited_visits,
    loss,
    loss_over,
    matching_optimum,
    mixed_measures,
    mixture,
    normalised_step,
    obedient_loss,
    stage_measure,
    stationary,
    tabular,
    weighted_minimax,
)
from tests.oracle import ExactGame, Phi, Policy
from tests.oracle_classes import Kind, class_value, limited_value, stages
from tests.oracle_constants import visits

HALF = Fraction(1, 2)


def swap(game: ExactGame, policy: Policy, agent: int) -> Fraction:
    return class_value(game, policy, agent, stages("swap"))


def chain_expert(horizon: int) -> Policy:
    return agreeing([1, 0] * horizon)


def one_state(horizon: int) -> ExactGame:
    return oracle.exact_game([[[[1], [1]]]], [[[[0, 0]]]], [1], (2,), horizon=horizon)


def two_doors() -> ExactGame:
    """One agent, two steps: action a leads from state 0 to state a + 1, which absorbs."""
    rows = [[[0, 1, 0], [0, 0, 1]], [[0, 1, 0]] * 2, [[0, 0, 1]] * 2]
    return oracle.exact_game([rows], [[[[0, 0]] * 3]], [1, 0, 0], (2,), horizon=2)


def test_counting() -> None:
    game = two_doors()
    measure = counted(game, [[0, 1], [0, 2], [0, 1]], [[0, 0], [1, 0], [0, 1]], [1, 2, 1])
    assert measure == [
        [[HALF, HALF], [0, 0], [0, 0]],
        [[0, 0], [Fraction(1, 4), Fraction(1, 4)], [HALF, 0]],
    ]
    assert known_rows(measure) == [[[HALF, HALF], None, None], [None, [HALF, HALF], [1, 0]]]


def test_counting_with_a_discount() -> None:
    game = oracle.exact_game([[[[1, 0], [0, 1]]] * 2], [[[[0, 0]] * 2]], [1, 0], (2,), discount=Fraction(1, 2))
    measure = counted(game, [[0, 1, 0], [0, 0, 0]], [[1, 0, 0], [0, 0, 1]])
    # Each episode weighs 1, 1/2, 1/4.
    assert measure == [[[Fraction(7, 14), Fraction(5, 14)], [Fraction(2, 14), 0]]]


@pytest.mark.parametrize("seed", range(4))
def test_stage_measures_add_up(seed: int) -> None:
    case = exact_games.random_case(seed, 3, (2, 2), discount=Fraction(1, 3), policy_steps=3)
    game, sigma = case.exact_game, case.exact_sigma
    measure = stage_measure(game, sigma)
    total = oracle.occupancy(game, sigma)[0]
    assert [[sum(step[s][a] for step in measure) for a in range(4)] for s in game.states] == total
    masses = [sum((sum(row) for row in step), Fraction(0)) for step in measure]
    assert masses == [Fraction(2, 3), Fraction(2, 9), Fraction(1, 9)]


@pytest.mark.parametrize("horizon", [1, 2, 3, 6])
def test_losses_of_chains(horizon: int) -> None:
    beta = Fraction(1, 10)
    game, n = chain_game(horizon, beta), horizon - 1
    known = everything_known(chain_expert(horizon))
    everywhere = agreeing([1] * (2 * horizon - 1) + [0])
    balanced = agreeing([1, *[HALF] * (2 * horizon - 2), 0])
    elsewhere = agreeing([0] * (2 * horizon))
    assert loss(game, everywhere, known, swap) == n
    assert obedient_loss(game, everywhere, known) == beta * n
    assert cloning_loss(stage_measure(game, chain_expert(horizon)), everywhere) == beta * n
    assert loss(game, balanced, known, swap) == Fraction(n, 2)
    # Never on the even chain: the deviator alone cannot make (0, 0) out of (1, 1).
    assert loss(game, elsewhere, known, swap) == (1 - beta)
    assert max(oracle.gains(game, balanced, "swap")) == (1 - beta) * n / 2
    assert max(oracle.gains(game, everywhere, "swap")) == (1 - beta) * n
    assert max(oracle.gains(game, elsewhere, "swap")) == 0


def test_an_unknown_row_costs_one() -> None:
    game = two_doors()
    sigma: Policy = [[[Fraction(1), Fraction(0)]] * 3]
    known = [[sigma[0][0], None, None], [None, sigma[0][1], None]]
    # The deviator goes to the third state, of which nothing is known at step 1.
    assert loss(game, sigma, known, swap) == 1
    assert obedient_loss(game, sigma, known) == 0
    nothing: list[list[None]] = [[None] * 3]
    assert loss(game, sigma, nothing, swap) == 2


@pytest.mark.parametrize("kind", ["swap", "external", "coarse"])
@pytest.mark.parametrize("seed", range(6))
def test_three_ways_to_a_loss(kind: Kind, seed: int) -> None:
    actions = ((2, 2), (2, 1), (2, 2, 2))[seed % 3]
    states, horizon = (2, 2) if seed % 3 < 2 else (1, 3)
    case = exact_games.random_case(
        seed, states, actions, horizon=horizon, illegal=seed > 2, policy_steps=horizon, varying=seed % 2 == 0
    )
    other = exact_games.random_case(seed, states, actions, horizon=horizon, illegal=seed > 2, policy_steps=horizon)
    game, sigma = case.exact_game, case.exact_sigma
    known: list[list[list[Fraction] | None]] = [list(step) for step in other.exact_sigma]
    known[-1][0] = None
    maps = stages(kind)

    def recursion(paid: ExactGame, policy: Policy, agent: int) -> Fraction:
        return class_value(paid, policy, agent, maps)

    exact = loss(game, sigma, known, recursion)
    assert exact == loss_over(game, sigma, known, all_deviations(game, sigma, maps))
    many = Batch(game, known, kind).losses(np.array([sigma, other.exact_sigma], dtype=float))
    assert many == pytest.approx([float(exact), float(loss(game, other.exact_sigma, known, recursion))], abs=1e-12)


@pytest.mark.parametrize("kind", ["external", "coarse"])
@pytest.mark.parametrize("seed", range(4))
def test_where_deviations_go(kind: Kind, seed: int) -> None:
    case = exact_games.random_case(seed, 2, (2, 2), horizon=3, policy_steps=3, illegal=seed > 1)
    game, sigma = case.exact_game, case.exact_sigma
    found = {tuple(map(tuple, d)) for d in deviation_visits(game, sigma, stages(kind)).tolist()}
    listed = (visits(game, oracle.deviate(game, sigma, i, phi)) for i, phi in all_deviations(game, sigma, stages(kind)))
    assert found == {tuple(tuple(map(float, row)) for row in d) for d in listed}


@pytest.mark.parametrize("seed", range(3))
def test_counted_departures(seed: int) -> None:
    case = exact_games.random_case(seed, 2, (2, 2), horizon=2, policy_steps=2)
    game, sigma = case.exact_game, case.exact_sigma
    weights = [[Fraction(h + 2 * s + 1) for s in game.states] for h in range(2)]
    charged = oracle_classes.with_state_rewards(game, weights)
    prices = np.array(weights, dtype=float)
    found = limited_visits(game, sigma, 1, stages("swap"))
    best = max(limited_value(charged, sigma, i, 1) for i in game.agents)
    assert (found * prices).sum(axis=(1, 2)).max() == pytest.approx(float(best))
    for agent in game.agents:
        ds, costs = budget_visits(game, sigma, stages("swap"), agent)
        vertices = oracle_classes.budget_vertices(charged, sigma, agent)
        points = zip((ds * prices).sum(axis=(1, 2)), costs, strict=True)
        assert max(v for v, c in points if c == 0) == pytest.approx(
            float(oracle_classes.budget_value(vertices, Fraction(0)))
        )


def test_cloning_programs() -> None:
    game = two_doors()
    measure = counted(game, [[0, 1], [0, 2], [0, 1], [0, 1]], [[0, 0], [1, 1], [0, 0], [0, 0]])
    # Step 0: (3/4, 1/4); step 1: state 1 (3/4 of the mass) plays 0, state 2 plays 1.
    assert cloning_optimum(measure, tabular(game, 2)) == pytest.approx(0)
    together = aggregated(game, [[0, 0, 0]] * 2)
    # p = Pr(action 0): |p - 3/4| + 3/4 (1 - p) + 1/4 p, least at p = 3/4.
    assert cloning_optimum(measure, together) == pytest.approx(3 / 8)
    assert cloning_optimum(measure, stationary(game, 2)) == pytest.approx(0)
    coefficients = np.zeros((2, 3, 2))
    coefficients[1, 1, 0] = coefficients[1, 2, 0] = 1.0
    # p + q <= 1/2 in states 1 and 2: 3/4 (1 - p) + 1/4 q at p = 1/2, q = 0.
    assert cloning_optimum(measure, tabular(game, 2).subject_to(coefficients, upper=0.5)) == pytest.approx(3 / 8)
    with pytest.raises(Infeasible):
        cloning_optimum(measure, tabular(game, 2).subject_to(coefficients, lower=2.5))
    pure: list[Policy] = [[[[Fraction(a == b) for b in range(2)] for _ in range(3)]] for a in range(2)]
    assert cloning_optimum(measure, mixture(game, pure, 2, per_step=True)) == pytest.approx(0)
    assert cloning_optimum(measure, mixture(game, pure[:1], 2, per_step=True)) == pytest.approx(1 / 4 + 1 / 4)


def test_distance_from_a_class() -> None:
    game = two_doors()
    together = aggregated(game, [[0, 0, 0]] * 2)
    one: Policy = [[[Fraction(1), Fraction(0)]] * 3]
    mixed: Policy = [[[Fraction(1), Fraction(0)]] * 3, [[Fraction(1), Fraction(0)]] * 2 + [[HALF, HALF]]]
    assert together.distance(one) == pytest.approx(0)
    assert together.distance(mixed) == pytest.approx(1)


def test_minimax_programs() -> None:
    game = chain_game(3, Fraction(1, 10))
    expert = chain_expert(3)
    weights = deviation_visits(game, expert, stages("swap"))
    known = everything_known(expert)
    assert weighted_minimax(tabular(game, 3), known, weights) == pytest.approx(0)
    shared = aggregated(game, [chain_labels(3)] * 3)
    assert weighted_minimax(shared, known, weights) == pytest.approx(1.0)
    # Deviations that cost: of the odd chain (1, disobeys once) and the even one, mixed half and half.
    costs = np.array([0.0, 1.0])
    even, odd = (np.array([[[0, 0, 0, 0, 0, 0], [0, b, 1 - b, 0, 0, 0], [0, 0, 0, b, 1 - b, 0]]]) for b in (0.0, 1.0))
    both = np.concatenate((even, odd))
    # With p at even states: max over w <= 1/2 of (1 - w) 2 (1 - p) + w 2 p, least at p = 1/2 .. 1: p = 1/2 gives 1.
    assert weighted_minimax(shared, known, both, costs, 0.5) == pytest.approx(1.0)
    # w <= 1/4: 2 (1 - p) or (3 / 2) (1 - p) + p / 2; at p = 1 it is 1/2.
    assert weighted_minimax(shared, known, both, costs, 0.25) == pytest.approx(0.5)


def test_inverse_programs() -> None:
    game = two_doors()
    measure = np.zeros((2, 3, 2))
    measure[0, 0] = 0.5, 0.5
    measure[1, 1, 0] = 1.0
    # x = Pr(door 0): L1 distance |x - 1/2| 2 + 2 (1 - x), 1 for all x in [1/2, 1].
    flow = flow_measures(game, 2)
    assert matching_optimum(flow, measure, None, "linf") == pytest.approx(1.0)
    feature = np.zeros((2, 2, 3, 2))
    feature[0, 1, 1, 0], feature[1, 0, 0, 0] = 1.0, 1.0
    # Features: Pr(state 1, action 0 at step 1) <= x, and x; the expert has 1 and 1/2.
    assert matching_optimum(flow, measure, feature, "l1") == pytest.approx(0.25)
    assert matching_optimum(flow, measure, feature, "linf") == pytest.approx(0.5)
    # Signed: x = 1 exceeds the second by 1/2, so that no reward of the simplex says that the expert is better.
    assert matching_optimum(flow, measure, feature, "simplex") == pytest.approx(0.0)
    assert matching_optimum(flow, measure, feature[1:], "simplex") == pytest.approx(-0.5)
    pure: list[Policy] = [[[[Fraction(a == b) for b in range(2)] for _ in range(3)]] for a in range(2)]
    assert matching_optimum(mixed_measures(game, pure, 2), measure, None, "linf") == pytest.approx(1.0)
    assert matching_optimum(mixed_measures(game, pure[1:], 2), measure, None, "linf") == pytest.approx(1 + 2)
    assert matching_optimum(flow.at_most(feature[1], 0.5), measure, feature, "linf") == pytest.approx(0.5)
    assert matching_optimum(flow.at_most(feature[1], 0.25), measure, feature, "linf") == pytest.approx(1.0)


def test_the_least_loss() -> None:
    game = one_state(3)
    rows: list[list[list[Fraction] | None]] = [[[Fraction(p, 8), 1 - Fraction(p, 8)]] for p in (1, 2, 7)]
    # One row for three steps: |p - 1/8| + |p - 1/4| + |p - 7/8|, least at the median.
    shared = aggregated(game, [[0]] * 3)
    assert least_loss(Batch(game, rows, "swap"), shared, 1, parts=5) == pytest.approx(3 / 4)
    # A chain whose class can avoid what it errs on.
    chain = chain_game(3, Fraction(1, 10))
    known = everything_known(chain_expert(3))
    labels = aggregated(chain, [chain_labels(3)] * 3)
    found = least_loss(Batch(chain, known, "swap"), labels, 4, parts=2, keep=8)
    assert found == pytest.approx(0.9)


def test_the_least_swap_value() -> None:
    # Only (1, 1) leaves nobody a way to the prize.
    assert least_swap_value(np.array([[1.0, 0, 0, 0]] * 2), (2, 2)) == pytest.approx(0)
    # Mixing until both actions are worth the same: 3 p = 1 - p.
    assert least_swap_value(np.array([[3.0, 0, 0, 1]] * 2), (2, 2)) == pytest.approx(0.75)


def test_normalising() -> None:
    assert normalised_step([[Fraction(1), Fraction(0)], [Fraction(1), Fraction(2)]]) == [
        [Fraction(1, 4), 0],
        [Fraction(1, 4), HALF],
    ]


def test_every_deviation_is_listed() -> None:
    def count(found: Iterator[tuple[int, Phi]]) -> int:
        return sum(1 for _ in found)

    game = one_state(3)
    sigma: Policy = [[[HALF, HALF]]]
    assert count(all_deviations(game, sigma, stages("swap"))) == 4**3
    assert count(all_deviations(game, sigma, stages("coarse"))) == 3**3
