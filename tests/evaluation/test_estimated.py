"""Bounds in estimated games: against games within the bounds of the estimate, against linear programs, by chance."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from scipy.optimize import linprog

import mailopt as mo
from mailopt import errors
from mailopt.evaluation.estimated import _Bounds, _filled
from mailopt.games.numbers import FloatArray
from tests.games.test_estimate import ACTIONS, HORIZON, JOINT, STATES, estimate, logged, true_game

CLASSES = [
    mo.Swap(),
    mo.External(),
    mo.Coarse(),
    mo.Internal(),
    mo.Partition([[0, 0], [0, 1]]),
    mo.Restricted([np.array([[True, True], [False, True]])] * 2),
]


def random_row(rng: np.random.Generator, low: FloatArray, high: FloatArray) -> FloatArray:
    """A distribution between bounds: filled up in a random order, and mixed with another."""
    rows = []
    for _ in range(2):
        row = low.copy()
        for k in rng.permutation(low.size):
            row[k] += max(min(high[k] - low[k], 1.0 - row.sum()), 0.0)
        rows.append(row)
    share = rng.choice([0.0, rng.random()])
    mixed = share * rows[0] + (1 - share) * rows[1]
    return np.asarray(mixed / mixed.sum())


def random_member(rng: np.random.Generator, estimated: mo.EstimatedGame) -> mo.MarkovGame:
    """A game within the bounds, often at their ends."""
    kernels = []
    for stage in range(len(estimated.counts)):
        low, high = estimated.transition_bounds(stage, slice(0, STATES * JOINT))
        kernels.append(
            np.array([random_row(rng, *pair) for pair in zip(low, high, strict=True)]).reshape(STATES, JOINT, -1)
        )
    low, high = estimated.reward_bounds
    where = rng.choice([0.0, 0.5, 1.0], size=low.shape)
    rewards = low + where * (high - low)
    return mo.MarkovGame(
        kernels if len(kernels) > 1 else kernels[0],
        rewards if len(rewards) > 1 else rewards[0],
        random_row(rng, *estimated.initial_bounds),
        ACTIONS,
        horizon=estimated.shape.horizon,
        discount=estimated.shape.discount,
    )


def random_policy(seed: int, steps: int | None) -> mo.CorrelatedPolicy:
    lead = () if steps is None else (steps,)
    return mo.CorrelatedPolicy(np.random.default_rng(seed).dirichlet(np.ones(JOINT) * 0.5, size=(*lead, STATES)))


def variants(seed: int) -> tuple[mo.EstimatedGame, mo.CorrelatedPolicy]:
    rng = np.random.default_rng(seed)
    count = int(rng.choice([160, 1600]))
    log = logged(true_game(), count, seed, noise=0.0)
    options: dict[str, Any] = {}
    if seed % 2:
        options |= {"initial": None, "initial_states": rng.integers(STATES, size=20)}
    if seed % 3 == 0:
        options |= {"deterministic_rewards": True}
    if seed % 3 == 1:
        options |= {"rewards": None, "reward_range": None, "known_rewards": true_game().rewards}
    steps: int | None = None
    if seed % 4 == 2:
        options |= {"horizon": None, "discount": 0.7}
        steps = 2
    elif seed % 4 == 3:
        options |= {"steps": np.arange(count) // 16 % HORIZON}
        steps = HORIZON
    return estimate(**(log | options)), random_policy(seed, steps if seed % 5 else None)


@pytest.mark.parametrize("seed", range(12))
def test_every_game_within_the_bounds_is_enclosed(seed: int) -> None:
    estimated, policy = variants(seed)
    rng = np.random.default_rng(seed)
    members = [random_member(rng, estimated) for _ in range(8)]
    found = mo.estimated_values(estimated, policy)
    for member in members:
        value = mo.values(member, policy).value
        assert (found.lower <= value).all()
        assert (value <= found.upper).all()
    for deviations in CLASSES:
        bounds = mo.estimated_regret(estimated, policy, deviations)
        assert bounds.lower <= bounds.value <= bounds.upper
        for member in members:
            regret = mo.regret(member, policy, deviations)
            assert (bounds.per_agent_lower <= regret.per_agent + 1e-12).all()
            assert (regret.per_agent - 1e-12 <= bounds.per_agent_upper).all()
            assert bounds.lower - 1e-12 <= regret.value <= bounds.upper + 1e-12


def test_rows_are_filled_up_as_linear_programs_are_solved() -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        n = int(rng.integers(1, 7))
        p = rng.dirichlet(np.ones(n))
        low, high = p * rng.random(n) * (rng.random(n) < 0.7), p + (1 - p) * rng.random(n)
        values = rng.choice([rng.normal(size=n), rng.integers(3, size=n).astype(float)])
        solved = linprog(-values, A_eq=np.ones((1, n)), b_eq=[1.0], bounds=list(zip(low, high, strict=True)))
        assert _filled(low[None], high[None], values)[0] == pytest.approx(-solved.fun, abs=1e-9)


def by_programs(estimated: mo.EstimatedGame, policy: mo.CorrelatedPolicy, agent: int, side: int) -> tuple[float, float]:
    """Extreme values of obedience and of the best swap deviation, by backward induction with a program for each row."""
    low, high = estimated.transition_bounds(0, slice(0, STATES * JOINT))
    rewards = estimated.reward_bounds[(side + 1) // 2][0, agent]

    def extreme(row: int, values: FloatArray) -> float:
        bounds = list(zip(low[row], high[row], strict=True))
        return float(-side * linprog(-side * values, A_eq=np.ones((1, STATES)), b_eq=[1.0], bounds=bounds).fun)

    obey, best = np.zeros(STATES), np.zeros(STATES)
    for h in reversed(range(HORIZON)):
        q = np.array([[extreme(s * JOINT + a, obey) for a in range(JOINT)] for s in range(STATES)]) + rewards
        b = np.array([[extreme(s * JOINT + a, best) for a in range(JOINT)] for s in range(STATES)]) + rewards
        sigma = policy.at(h)
        obey = (sigma * q).sum(axis=1)
        table, told = b.reshape(STATES, *ACTIONS), sigma.reshape(STATES, *ACTIONS)
        if agent == 1:
            table, told = table.swapaxes(1, 2), told.swapaxes(1, 2)
        best = np.array([sum(max(told[s, a] @ table[s, d] for d in range(2)) for a in range(2)) for s in range(STATES)])
    start = estimated.shape.initial_distribution
    return float(start @ obey), float(start @ best)


@pytest.mark.parametrize("agent", [0, 1])
def test_bounds_are_those_of_linear_programs(agent: int) -> None:
    estimated = estimate(**logged(true_game(), 800, 3))
    policy = random_policy(3, None)
    found, bounds = mo.estimated_values(estimated, policy), mo.estimated_regret(estimated, policy)
    least, low = by_programs(estimated, policy, agent, -1)
    most, high = by_programs(estimated, policy, agent, 1)
    assert found.lower[agent] == pytest.approx(least, abs=1e-9)
    assert found.upper[agent] == pytest.approx(most, abs=1e-9)
    assert bounds.per_agent_upper[agent] <= high - least + 1e-9
    assert bounds.per_agent_lower[agent] >= max(low - most, 0.0) - 1e-9


def test_equilibria_with_strict_incentives_are_recognised() -> None:
    """Rewards and prospects of what is obeyed cancel, so that values may be far less certain than the regret."""
    game = true_game()
    log = logged(game, 3200, 0, noise=0.0) | {"rewards": None, "reward_range": None}
    strict = game.rewards.copy()
    strict[0, :, :2] += 3.0  # whatever the other does
    strict[1, :, ::2] += 3.0
    estimated = estimate(**log, known_rewards=strict)
    policy = mo.CorrelatedPolicy(np.tile(np.eye(JOINT)[0], (STATES, 1)))
    values, bounds = mo.estimated_values(estimated, policy), mo.estimated_regret(estimated, policy)
    assert (values.upper - values.lower > 0.2).all()
    assert bounds.lower == 0.0
    assert bounds.upper < 1e-9


def test_bounds_hold_as_often_as_they_say() -> None:
    """Confidence 0.6, 200 logs: bounds are conservative, and so should fail less often than in 4 of 10."""
    game, policy = true_game(), random_policy(1, None)
    true = mo.regret(game, policy).value
    values = mo.values(game, policy).value
    failed, widths = 0, []
    for seed in range(200):
        estimated = estimate(**logged(game, 320, seed), confidence=0.6)
        found = mo.estimated_regret(estimated, policy)
        own = mo.estimated_values(estimated, policy)
        inside = found.lower <= true <= found.upper and (own.lower <= values).all() and (values <= own.upper).all()
        failed += not inside
        widths.append(found.upper - found.lower)
    assert failed <= 80
    assert max(widths) < HORIZON * 2.4  # they say something: less than the range of all gains


def test_adaptive_logs_are_allowed() -> None:
    """Visits that stop as soon as a row looks lopsided: bounds for a fixed number of visits would fail too often."""
    rng, failed, naive = np.random.default_rng(0), 0, 0
    for _ in range(200):
        seen: list[int] = []
        while len(seen) < 400 and (len(seen) < 5 or abs(np.mean(seen) - 0.5) < 1.0 / np.sqrt(len(seen))):
            seen.append(int(rng.random() < 0.5))
        zeros = np.zeros(len(seen), dtype=int)
        estimated = estimate(
            states=zeros, joint_actions=zeros, rewards=None, next_states=np.array(seen), num_states=2, actions=(1,),
            initial=[1, 0], horizon=2, known_rewards=np.zeros((1, 2, 1)), unvisited="stay", confidence=0.8,
        )  # fmt: skip
        low, high = estimated.transition_bounds(0, slice(0, 1))
        failed += not (low[0, 1] <= 0.5 <= high[0, 1])
        naive += abs(np.mean(seen) - 0.5) > 0.98 / np.sqrt(len(seen))
    assert naive > 60  # an interval of 95% at the number of visits that happened to be
    assert failed <= 40


def test_widths_shrink() -> None:
    game, policy = true_game(), random_policy(1, None)
    widths = []
    for count in (25_600, 409_600):
        found = mo.estimated_regret(estimate(**logged(game, count, 0)), policy)
        widths.append(found.upper - found.lower)
    assert widths[1] < 0.3 * widths[0]  # 16 times the data, nearly a quarter of the width


@pytest.mark.parametrize("side", [-1, 1])
def test_discounted_bounds_are_fixed_points(side: int) -> None:
    """An upper bound that a step does not raise is one; the less the step lowers it, the closer it is to the best."""
    discount = 0.98
    estimated = estimate(**(logged(true_game(), 800, 0) | {"horizon": None, "discount": discount}))
    policy = random_policy(0, None)
    bounds = _Bounds(estimated, policy)
    found = bounds.obey()[(side + 1) // 2][-1]
    again = np.einsum("sa,isa->is", policy.at(0), bounds.prospects(0, found, side))
    beyond = side * (found - again)
    largest = 1.1 / (1 - discount)
    assert (beyond >= -1e-12 * largest).all()
    assert (beyond <= 2e-8 * largest).all()


@pytest.mark.parametrize("seed", range(8))
def test_rounding_is_covered(seed: int) -> None:
    """One state and known rewards leave nothing unknown: bounds hold what exact arithmetic finds, and little more."""
    rng = np.random.default_rng(seed)
    horizon = int(rng.choice([1, 30]))
    rewards, sigma = rng.choice([0.0, 1e6]) + rng.random((2, JOINT)), rng.dirichlet(np.ones(JOINT))
    zeros = np.zeros(JOINT, dtype=int)
    estimated = mo.MarkovGame.from_samples(
        zeros, np.arange(JOINT), None, zeros, num_states=1, actions=ACTIONS, initial=[1], horizon=horizon,
        known_rewards=rewards[:, None],
    )  # fmt: skip
    found = mo.estimated_regret(estimated, mo.CorrelatedPolicy([sigma]))
    told = [Fraction(p) / sum(map(Fraction, sigma)) for p in sigma]
    for agent in range(2):
        pay = np.array([Fraction(r) for r in rewards[agent]]).reshape(ACTIONS)
        prob = np.array(told).reshape(ACTIONS)
        if agent == 1:
            pay, prob = pay.T, prob.T
        gain = horizon * sum(max((prob[a] * (pay[b] - pay[a])).sum() for b in range(2)) for a in range(2))
        low, high = float(found.per_agent_lower[agent]), float(found.per_agent_upper[agent])
        assert Fraction(low) <= gain <= Fraction(high)
        assert high - low <= 1e-8 * horizon * rewards.max()


def test_gaps() -> None:
    estimated = estimate(**logged(true_game(), 800, 0))
    one, other = random_policy(1, None), random_policy(2, HORIZON)
    gap = mo.estimated_regret_gap(estimated, one, other, mo.External())
    assert gap.value == pytest.approx(mo.regret_gap(estimated.point_estimate(), one, other, mo.External()).value)
    assert gap.lower <= gap.policy.lower - gap.expert.upper
    assert gap.upper >= gap.policy.upper - gap.expert.lower
    assert "true regret gap" in repr(gap)
    assert "with confidence 0.95, from 800 transitions" in repr(gap)


def test_what_is_not_known() -> None:
    estimated, policy = estimate(**logged(true_game(), 160, 0)), random_policy(0, None)
    for deviations in (mo.Limited(1), mo.Budget(1.0), mo.Stationary()):
        with pytest.raises(errors.InvalidDeviation, match="not known"):
            mo.estimated_regret(estimated, policy, deviations)
    with pytest.raises(errors.InvalidGame, match=r"give what MarkovGame\.from_samples returned"):
        mo.estimated_values(true_game(), policy)  # type: ignore[arg-type]
    with pytest.raises(errors.PolicyShape):
        mo.estimated_values(estimated, mo.CorrelatedPolicy([[1.0, 0, 0, 0]]))
