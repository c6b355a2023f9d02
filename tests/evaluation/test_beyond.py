"""Budget curves, gaps for the worst rewards, and boundedly rational agents."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise
from random import Random
from typing import Any

import numpy as np
import pytest
from scipy.optimize import linprog

import mailopt as mo
from mailopt.errors import GameShape, InvalidDeviation, InvalidOption, UnknownAgent, UnsupportedGame
from tests import oracle, oracle_classes, oracle_constants
from tests.exact_classes import SWAP, any_case, attained, finite, library_game, library_policy, other_policy
from tests.exact_games import Case
from tests.oracle import ExactGame, Number, Policy
from tests.oracle_classes import Point, budget_value, class_size, stages, steps_of

# Budget curves


def vertices_of(game: ExactGame, sigma: Policy) -> list[list[Point]]:
    """Each agent's (departures, gain), by enumeration where that is cheap."""
    found = []
    for i in game.agents:
        cheap = class_size(game, i, stages("swap"), steps_of(game, sigma)) <= 64
        vertices = (
            oracle_classes.budget_vertices(game, sigma, i)
            if cheap
            else oracle_classes.budget_vertices_by_recursion(game, sigma, i)
        )
        base = oracle.value(game, sigma, i)
        found.append([(kappa, value - base) for kappa, value in vertices])
    return found


def assert_inside(curve: mo.BudgetCurve, exact: list[list[Point]]) -> None:
    """The best of the exact curves is within the bounds, and these are narrow."""
    for kappa, value, lower, upper in zip(curve.kappas, curve.values, curve.lower, curve.upper, strict=True):
        true = max(budget_value(vertices, Fraction(kappa)) for vertices in exact)
        assert lower <= true <= upper
        assert value == pytest.approx(float(true), abs=1e-9)
        assert upper - lower <= 1e-9


@pytest.mark.parametrize("seed", [*range(120), 5251])
def test_the_curve_has_the_exact_vertices(seed: int) -> None:
    """In the last case the best swap differs from obedience only where nobody ever gets: one vertex."""
    case = any_case(seed, most_states=3)
    exact = vertices_of(case.exact_game, case.exact_sigma)
    curve = mo.budget_curve(case.game, case.sigma)
    assert curve.complete
    assert len(curve.per_agent) == len(exact)
    for own, vertices in zip(curve.per_agent, exact, strict=True):
        assert own.complete
        assert own.per_agent == ()
        assert own.kappas[0] == 0
        assert own.values[0] == pytest.approx(0, abs=1e-12)
        np.testing.assert_allclose(own.kappas, [float(kappa) for kappa, _ in vertices], atol=1e-9)
        np.testing.assert_allclose(own.values, [float(gain) for _, gain in vertices], atol=1e-9)
        assert_inside(own, [vertices])
        slopes = np.diff(own.values) / np.diff(own.kappas)
        assert (slopes >= 0).all()
        assert (np.diff(slopes) <= 1e-9).all()
    assert_inside(curve, exact)
    assert curve.kappas[0] == 0
    assert curve.values[0] == pytest.approx(0, abs=1e-12)
    assert (np.diff(curve.kappas) > 0).all()
    assert curve.values[-1] == pytest.approx(mo.regret(case.game, case.sigma).value, abs=1e-9)
    for left, right in pairwise(curve.kappas.tolist()):
        for share in (0.25, 0.5):
            kappa = left + share * (right - left)
            true = max(budget_value(vertices, Fraction(kappa)) for vertices in exact)
            assert np.interp(kappa, curve.kappas, curve.values) == pytest.approx(float(true), abs=1e-9)


@pytest.mark.parametrize("seed", range(60))
def test_the_curve_where_it_is_asked_for(seed: int) -> None:
    case = any_case(seed, most_states=3)
    exact = vertices_of(case.exact_game, case.exact_sigma)
    ends = [float(vertices[-1][0]) for vertices in exact]
    asked = [max(ends) + 1, 0, 1 / 3, 0.5, 0.5, *ends, min(ends) / 7]
    curve = mo.budget_curve(case.game, case.sigma, asked)
    np.testing.assert_array_equal(curve.kappas, np.unique(asked))
    assert not curve.complete
    assert_inside(curve, exact)
    for own, vertices in zip(curve.per_agent, exact, strict=True):
        np.testing.assert_array_equal(own.kappas, curve.kappas)
        assert_inside(own, [vertices])
    for kappa in asked[2:4]:
        spent = mo.regret(case.game, case.sigma, mo.Budget(kappa))
        assert curve.values[curve.kappas == kappa] == pytest.approx(spent.value, abs=1e-9)


@pytest.mark.parametrize("seed", range(40))
def test_too_many_breakpoints_are_told_and_bounded(seed: int) -> None:
    case = any_case(seed, discounted=False)
    exact = vertices_of(case.exact_game, case.exact_sigma)
    for most in (2, 3):
        curve = mo.budget_curve(case.game, case.sigma, max_breakpoints=most)
        assert curve.complete == all(len(vertices) <= most for vertices in exact) or curve.complete is False
        for own, vertices in zip(curve.per_agent, exact, strict=True):
            assert len(own.kappas) <= most
            assert own.complete or len(vertices) >= most
            assert not own.complete or len(vertices) <= most
            assert own.lower[-1] <= vertices[-1][1] <= own.upper[-1]
        for kappa, lower, upper in zip(curve.kappas, curve.lower, curve.upper, strict=True):
            true = max(budget_value(vertices, Fraction(kappa)) for vertices in exact)
            assert lower <= true <= upper
        if not curve.complete:
            whole = mo.budget_curve(case.game, case.sigma)
            assert (np.interp(curve.kappas, whole.kappas, whole.values) >= curve.values - 1e-9).all()


def test_where_two_curves_cross_is_a_breakpoint() -> None:
    """Agent 0 gains 2 a departure up to 1/4 of them, agent 1 gains 1 up to 1: they cross at 1/2."""
    game = oracle.exact_game([[[[1]] * 4]], [[[[0, 0, -2, -2]], [[0, 1, 0, 1]]]], [1], (2, 2), horizon=1)
    sigma = oracle.exact_policy([[[3, 0, 1, 0]]])
    curve = mo.budget_curve(library_game(game), library_policy(sigma))
    np.testing.assert_allclose(curve.kappas, [0, 0.25, 0.5, 1], atol=1e-12)
    np.testing.assert_allclose(curve.values, [0, 0.5, 0.5, 1], atol=1e-12)
    assert [own.kappas.tolist() for own in curve.per_agent] == [[0, 0.25], [0, 1]]
    assert_inside(curve, vertices_of(game, sigma))


def test_the_curve_of_discounted_departures() -> None:
    """Every departure pays 1: told for ever, discounted, their number is 1 / (1 - gamma)."""
    game = oracle.exact_game([[[[1], [1]]]], [[[[0, 1]]]], [1], (2,), discount=Fraction(3, 4))
    curve = mo.budget_curve(library_game(game), mo.CorrelatedPolicy([[1.0, 0.0]]))
    np.testing.assert_allclose([curve.kappas, curve.values], [[0, 4], [0, 4]], atol=1e-9)


@pytest.mark.parametrize("kappas", [-1, [0.5, -1e-9], math.nan, [math.inf]], ids=str)
def test_budgets_that_make_no_sense(kappas: Any) -> None:
    chain = mo.scenarios.unvisited_chain(3)
    with pytest.raises(InvalidDeviation, match="kappa is"):
        mo.budget_curve(chain.game, chain.learner, kappas)


def test_options_of_the_curve_that_make_no_sense() -> None:
    chain = mo.scenarios.unvisited_chain(3)
    with pytest.raises(InvalidOption, match="kappas is empty"):
        mo.budget_curve(chain.game, chain.learner, [])
    for most in (1, 0, 2.5, True, "3"):
        with pytest.raises(InvalidOption, match="max_breakpoints"):
            mo.budget_curve(chain.game, chain.learner, max_breakpoints=most)  # type: ignore[arg-type]


# The worst rewards


def expert_of(case: Case, seed: int) -> tuple[mo.CorrelatedPolicy, Policy]:
    return other_policy(case, -seed - 1, steps=1 + seed % 2 if case.horizon is None else None)


def in_the_box(case: Case, rng: np.random.Generator) -> Any:
    """Random rewards with |r| <= 1, half of the time signs only."""
    shape = () if case.horizon is None else (case.horizon,)
    rewards = rng.uniform(-1, 1, (*shape, len(case.actions), case.num_states, math.prod(case.actions)))
    return np.sign(rewards) if rng.random() < 0.5 else rewards


@pytest.mark.parametrize("seed", range(120))
def test_the_largest_value_gap_is_the_distance_of_occupancies_and_attained(seed: int) -> None:
    case = any_case(seed)
    expert, exact = expert_of(case, seed)
    gap = oracle_constants.reward_free_value_gap(case.exact_game, case.exact_sigma, exact)
    found = mo.reward_free_value_gap(case.game, case.sigma, expert)
    assert found.lower <= gap <= found.upper <= found.lower + 1e-9
    assert found.lower <= found.value <= found.upper
    assert np.abs(found.rewards).max() <= 1
    paid = case.game.with_rewards(np.repeat(found.rewards[..., None, :, :], len(case.actions), axis=-3))
    reached = mo.value_gap(paid, case.sigma, expert)
    np.testing.assert_allclose(reached.per_agent, float(gap), atol=1e-9)


@pytest.mark.parametrize("seed", range(12))
def test_no_reward_has_a_larger_value_gap(seed: int) -> None:
    case = any_case(seed)
    expert, _ = expert_of(case, seed)
    found, rng = mo.reward_free_value_gap(case.game, case.sigma, expert), np.random.default_rng(seed)
    for _ in range(200):
        paid = case.game.with_rewards(in_the_box(case, rng))
        assert mo.value_gap(paid, case.sigma, expert).lower <= found.upper


def assert_reward_free(case: Case, expert: mo.CorrelatedPolicy, c: mo.DeviationClass, seed: int, draws: int) -> Any:
    """Bounds in order, the lower one attained by rewards in the box, the upper one not passed by any."""
    found, rng = mo.reward_free_regret_gap(case.game, case.sigma, expert, c), np.random.default_rng(seed)
    assert found.lower <= found.upper
    assert np.abs(found.rewards).max() <= 1
    again = mo.regret_gap(case.game.with_rewards(found.rewards), case.sigma, expert, c)
    assert again.lower == found.lower == found.gap.lower
    assert again.upper - again.lower <= 1e-9
    gaps = [
        mo.regret_gap(case.game.with_rewards(in_the_box(case, rng)), case.sigma, expert, c).lower for _ in range(draws)
    ]
    assert max(gaps, default=-np.inf) <= found.upper
    return found, max(gaps, default=-np.inf)


@pytest.mark.parametrize("seed", range(60))
def test_the_largest_regret_gap_is_enclosed(seed: int) -> None:
    case = any_case(seed, most_states=3)
    expert, _ = expert_of(case, seed)
    cells = [[k % 2 for k in range(n)] for n in case.actions]
    offered = [mo.Swap(), mo.External(), mo.Limited(1), mo.Coarse(), mo.Internal(), mo.Partition(cells)]
    for c in (offered[seed % 6], offered[(seed // 6 + seed + 3) % 6]):
        assert_reward_free(case, expert, c, seed, 20)


def test_the_largest_regret_gap_of_deviations_that_keep_to_one_step() -> None:
    case = any_case(5, discounted=False, most_states=2, agents=1)
    expert, _ = expert_of(case, 5)
    assert_reward_free(case, expert, mo.Stationary(), 5, 20)


def largest_gap(case: Case, expert: mo.CorrelatedPolicy, c: mo.Finite) -> float:
    """The same for a list, by one program over all rewards for each member: max of its gain less the worst under E."""
    game, mass = case.game, case.game.occupancy_mass

    def extra(policy: mo.CorrelatedPolicy, phi: mo.Deviation) -> Any:
        difference = mo.occupancy(game, phi.apply(game, policy)) - mo.occupancy(game, policy)
        column = np.zeros((game.num_agents, difference.size))
        column[phi.agent] = difference.ravel() / mass
        return column.ravel()

    rows = [extra(expert, phi) for phi in c.deviations]
    best = -np.inf
    for phi in c.deviations:
        gain = extra(case.sigma, phi)
        solved = linprog(
            np.append(-gain, 1.0),
            A_ub=np.hstack([rows, -np.ones((len(rows), 1))]),
            b_ub=np.zeros(len(rows)),
            bounds=[(-1, 1)] * gain.size + [(None, None)],
        )
        best = max(best, -solved.fun)
    return best


@pytest.mark.parametrize("seed", range(120))
def test_the_largest_regret_gap_of_a_list_is_exact(seed: int) -> None:
    """With obedience in the list and without, agents that have no deviation, discounts, steps."""
    case = any_case(seed, most_states=3)
    expert, _ = expert_of(case, seed)
    listed = finite(Random(seed), case.exact_game).library
    assert isinstance(listed, mo.Finite)
    if seed % 4 == 0:
        identities = tuple(mo.Deviation.identity(case.game, i) for i in {phi.agent for phi in listed.deviations})
        listed = mo.Finite([*listed.deviations, *identities])
    found, best = assert_reward_free(case, expert, listed, seed, 10)
    assert found.lower == pytest.approx(largest_gap(case, expert, listed), abs=1e-7)
    assert best <= found.lower + 1e-7


@pytest.mark.parametrize("horizon", [2, 3, 5])
def test_the_worst_rewards_of_the_chain(horizon: int) -> None:
    """No reward tells the occupancies apart; the learner errs at H - 1 steps, at each by 2."""
    chain = mo.scenarios.unvisited_chain(horizon)
    assert mo.reward_free_value_gap(chain.game, chain.learner, chain.expert).value == 0
    found = mo.reward_free_regret_gap(chain.game, chain.learner, chain.expert)
    assert found.lower == pytest.approx(2 * (horizon - 1), abs=1e-7)
    assert found.upper <= horizon * (horizon - 1) + 1e-9


def test_policies_that_are_the_same_have_no_gap_for_any_reward() -> None:
    for seed in range(12):
        case = any_case(seed)
        assert mo.reward_free_value_gap(case.game, case.sigma, case.sigma).value == 0
        found = mo.reward_free_regret_gap(case.game, case.sigma, case.sigma, mo.External())
        assert found.lower == pytest.approx(0, abs=1e-9)
        assert found.upper == pytest.approx(0, abs=1e-9)


def test_classes_and_rounds_that_make_no_sense() -> None:
    chain = mo.scenarios.unvisited_chain(3)
    given = chain.game, chain.learner, chain.expert
    with pytest.raises(InvalidDeviation, match=r"Budget.*under the policy and under the expert"):
        mo.reward_free_regret_gap(*given, mo.Budget(1.0))
    for rounds in (0, -1, 1.5, "many"):
        with pytest.raises(InvalidOption, match="rounds"):
            mo.reward_free_regret_gap(*given, rounds=rounds)  # type: ignore[arg-type]
    assert mo.reward_free_regret_gap(*given, rounds=1).lower <= mo.reward_free_regret_gap(*given).upper


# Quantal responses


def logit(case: Case, agent: int, temperature: float) -> tuple[float, dict[tuple[int, int, int], list[float]]]:
    """Value of the response and its rows (h, s, told), in plain Python."""
    game, sigma = case.exact_game, case.exact_sigma
    assert game.horizon is not None
    after = [0.0 for _ in game.states]
    rows = {}
    for h in reversed(range(game.horizon)):
        now = []
        for s in game.states:
            told: dict[int, list[tuple[int, Fraction]]] = {}
            for joint, weight in enumerate(oracle.at(sigma, h)[s]):
                if weight:
                    told.setdefault(game.joint_actions[joint][agent], []).append((joint, weight))
            total = 0.0
            for a, heard in told.items():
                mass = sum(float(w) for _, w in heard)
                returns = {}
                for b in game.legal[agent][s]:
                    ends = [(float(w), game.replaced(joint, agent, b)) for joint, w in heard]
                    returns[b] = sum(w * q(game, h, agent, s, j, after) for w, j in ends) / mass
                top = max(returns.values())
                odds = {b: math.exp((x - top) / temperature) for b, x in returns.items()}
                scale = sum(odds.values())
                rows[h, s, a] = [odds.get(b, 0.0) / scale for b in range(game.actions[agent])]
                total += mass * sum(odds[b] / scale * x for b, x in returns.items())
            now.append(total)
        after = now
    return sum(float(p) * v for p, v in zip(game.initial, after, strict=True)), rows


def q(game: ExactGame, step: int, agent: int, state: int, joint: int, after: list[float]) -> float:
    row = oracle.at(game.transitions, step)[state][joint]
    expected = sum(float(p) * v for p, v in zip(row, after, strict=True))
    return float(oracle.at(game.rewards, step)[agent][state][joint]) + expected


@pytest.mark.parametrize("seed", range(100))
def test_the_logit_response_is_that_of_a_plain_recursion(seed: int) -> None:
    case = any_case(seed, discounted=False)
    agent, temperature = seed % len(case.actions), (0.05, 0.5, 3.0, 40.0)[seed % 4]
    value, rows = logit(case, agent, temperature)
    found = mo.quantal_deviation(case.game, case.sigma, agent, temperature)
    assert found.value == pytest.approx(value, abs=1e-9)
    assert (found.agent, found.temperature) == (agent, temperature)
    for (h, s, a), row in rows.items():
        np.testing.assert_allclose(found.deviation.at(h)[s, a], row, atol=1e-9)
    exact = attained(case.exact_game, case.exact_sigma, found.deviation)
    obeyed = oracle.value(case.exact_game, case.exact_sigma, agent)
    assert found.lower <= exact <= found.upper <= found.lower + 1e-9
    assert found.gain_lower <= exact - obeyed <= found.gain_upper <= found.gain_lower + 1e-9
    assert found.gain == pytest.approx(float(exact - obeyed), abs=1e-9)
    assert found.gain_lower <= mo.best_deviation(case.game, case.sigma, agent).gain_upper


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("temperature", [1e-9, 1e-300, 5e-324])
def test_a_cold_agent_gains_what_the_best_swap_does(seed: int, temperature: float) -> None:
    case = any_case(seed, discounted=False)
    agent = seed % len(case.actions)
    found = mo.quantal_deviation(case.game, case.sigma, agent, temperature)
    best = SWAP.best(case.exact_game, case.exact_sigma, agent)
    assert best is not None
    assert found.value == pytest.approx(float(best), abs=1e-7)


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("temperature", [1e15, 1e300])
def test_a_hot_agent_plays_what_is_legal_at_random(seed: int, temperature: float) -> None:
    case = any_case(seed, discounted=False)
    agent = seed % len(case.actions)
    found = mo.quantal_deviation(case.game, case.sigma, agent, temperature)
    legal = case.game.legal[agent]
    random_play = np.repeat((legal / legal.sum(axis=1, keepdims=True))[:, None], legal.shape[1], axis=1)
    for h in range(case.horizon or 0):
        np.testing.assert_allclose(found.deviation.at(h), random_play, atol=1e-12)
    played = mo.Deviation(agent, random_play).apply(case.game, case.sigma)
    assert found.value == pytest.approx(mo.values(case.game, played).value[agent], abs=1e-9)


@pytest.mark.parametrize("temperature", [0, -1.0, math.nan, math.inf, "1", None, 1j], ids=repr)
def test_temperatures_that_make_no_sense(temperature: Any) -> None:
    chain = mo.scenarios.unvisited_chain(3)
    with pytest.raises(InvalidOption, match="temperature"):
        mo.quantal_deviation(chain.game, chain.learner, 0, temperature)


def test_logit_responses_need_a_horizon_and_an_agent() -> None:
    case = any_case(0, discounted=True)
    with pytest.raises(UnsupportedGame, match="finite horizon"):
        mo.quantal_deviation(case.game, case.sigma, 0, 1.0)
    chain = mo.scenarios.unvisited_chain(3)
    with pytest.raises(UnknownAgent, match="no agent 2"):
        mo.quantal_deviation(chain.game, chain.learner, 2, 1.0)


# The same game with other rewards


@pytest.mark.parametrize("seed", range(60))
def test_other_rewards_change_nothing_else(seed: int) -> None:
    case = any_case(seed)
    given = case.game
    game = mo.MarkovGame(
        list(given.kernels) if len(given.kernels) > 1 else given.kernels[0],
        given.rewards,
        np.array([Fraction(p) for p in case.initial], dtype=object),
        case.actions,
        horizon=case.horizon,
        discount=case.discount,
        legal=given.legal,
        state_names=[f"s{k}" for k in range(case.num_states)],
        agent_names=[f"i{k}" for k in range(len(case.actions))],
        action_names=[[f"a{k}" for k in range(n)] for n in case.actions],
    )
    shape = given.rewards.shape
    third: list[Number] = [Fraction(k, 3) for k in range(math.prod(shape))]
    paid = game.with_rewards(np.array(third, dtype=object).reshape(shape))
    assert len(paid.kernels) == len(game.kernels)
    for one, other in zip(paid.kernels, game.kernels, strict=True):
        assert type(one) is type(other)
        assert (
            (one.rows() != other.rows()).nnz == 0 if hasattr(one.rows(), "nnz") else (one.rows() == other.rows()).all()
        )
        assert one.exact == other.exact
    for name in ("actions", "horizon", "discount", "state_names", "agent_names", "action_names"):
        assert getattr(paid, name) == getattr(game, name)
    for name in ("exact_initial", "exact_discount"):
        assert getattr(paid, name) == getattr(game, name)
    for name in ("initial", "initial_distribution", "joint_legal"):
        np.testing.assert_array_equal(getattr(paid, name), getattr(game, name))
    for mine, theirs in zip(paid.legal, game.legal, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert paid.exact_rewards[next(iter(paid.exact_rewards))].denominator == 3 or not paid.exact_rewards
    same = paid.with_rewards(game.rewards)
    assert mo.values(same, case.sigma).value.tolist() == mo.values(game, case.sigma).value.tolist()


def test_other_rewards_may_depend_on_the_step_of_a_horizon_only() -> None:
    chain = mo.scenarios.unvisited_chain(3)
    steps = np.arange(3.0)[:, None, None, None] * np.ones((3, 2, 6, 4))
    paid = chain.game.with_rewards(steps)
    assert mo.values(paid, chain.learner).value.tolist() == [3, 3]
    endless = any_case(0, discounted=True).game
    for shape in ((2, *endless.rewards.shape), endless.rewards.shape[1:]):
        with pytest.raises(GameShape, match="rewards have shape"):
            endless.with_rewards(np.zeros(shape))
