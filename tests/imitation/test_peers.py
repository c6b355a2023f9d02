"""MAIL-BRO and MURMAIL: estimates by enumeration, opponents by brute force, answers counted, equilibria approached."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import mailopt as mo
from mailopt.errors import InvalidGame, InvalidOption, InvalidPolicy
from mailopt.games.numbers import FloatArray, IntArray
from mailopt.imitation.mail_bro import BestResponses, mail_bro
from mailopt.imitation.murmail import ExactOpponents, SampledOpponents, explored, murmail, two_sample_reward
from mailopt.imitation.peers import Strategy, default_step_size, gradient, product_rows, strategies_of
from mailopt.imitation.results import Imitation
from tests.frequencies import excess

EXACT: dict[str, Any] = {"inner": "exact"}
SAMPLED: dict[str, Any] = {"inner_steps": 30}
Learner = Callable[..., Imitation]
LEARNERS = [
    pytest.param(mail_bro, {}, id="mail_bro"),
    pytest.param(murmail, EXACT, id="murmail-exact"),
    pytest.param(murmail, SAMPLED, id="murmail-ucbvi"),
]


def zero_sum(
    seed: int,
    *,
    states: int = 2,
    actions: tuple[int, int] = (2, 2),
    horizon: int | None = None,
    discount: float | None = None,
    masked: bool = False,
    per_step: bool = False,
) -> mo.MarkovGame:
    """Draw a zero-sum game with rewards in [-1, 1]."""
    rng = np.random.default_rng(seed)
    joint = actions[0] * actions[1]
    kernels = [rng.dirichlet(np.full(states, 0.5), (states, joint)) for _ in range((horizon or 1) if per_step else 1)]
    reward = rng.uniform(-1, 1, (states, joint))
    legal = None
    if masked:
        legal = [rng.random((states, n)) < 0.6 for n in actions]
        for mask in legal:
            mask[np.arange(states), rng.integers(0, mask.shape[1], states)] = True
    start = rng.dirichlet(np.ones(states))
    return mo.MarkovGame(
        kernels if per_step else kernels[0],
        np.stack([reward, -reward]),
        start,
        actions,
        horizon=horizon,
        discount=discount,
        legal=legal,
    )


def pennies(*, horizon: int | None = None, discount: float | None = None) -> mo.MarkovGame:
    """Two uneven matching pennies; agent 1's second action leads from the first to the second and back."""
    rewards = np.array([[3, -1, -1, 1], [-1.5, 3, 1.5, -3]]) / 3
    successors = np.array([[0, 1, 0, 1], [1, 0, 1, 0]])
    return mo.MarkovGame(
        successors, np.stack([rewards, -rewards]), [1.0, 0.0], (2, 2), horizon=horizon, discount=discount
    )


def mixed_game(seed: int) -> mo.MarkovGame:
    """Draw a discounted game whose stage games have no saddle points, so that its equilibrium is unique."""
    rng = np.random.default_rng(seed)
    reward = rng.uniform(0.1, 1.0, (3, 4)) * [1, -1, -1, 1]
    return mo.MarkovGame(
        rng.dirichlet(np.ones(3), (3, 4)), np.stack([reward, -reward]), np.ones(3) / 3, (2, 2), discount=0.5
    )


def some_expert(game: mo.MarkovGame, seed: int, steps: int | None = None) -> mo.CorrelatedPolicy:
    """Draw a product of two strategies."""
    rng = np.random.default_rng(seed)
    lead = () if steps is None else (steps,)
    parts = []
    for legal in game.legal:
        weights = rng.random((*lead, *legal.shape)) * legal
        parts.append(weights / weights.sum(axis=-1, keepdims=True))
    return mo.CorrelatedPolicy.product(parts)


def drawn_strategies(
    game: mo.MarkovGame, expert: mo.CorrelatedPolicy, seed: int
) -> tuple[tuple[Strategy, Strategy], mo.CorrelatedPolicy]:
    """Give the learner's strategies random rows."""
    rng = np.random.default_rng(seed)
    strategies = strategies_of(game, expert)
    for strategy in strategies:
        weights = rng.random(strategy.rows.shape) * strategy.allowed
        strategy.rows = weights / weights.sum(axis=1, keepdims=True)
    return strategies, product(game, strategies)


def product(game: mo.MarkovGame, strategies: tuple[Strategy, Strategy]) -> mo.CorrelatedPolicy:
    joint = product_rows(strategies[0].rows, strategies[1].rows)
    return mo.CorrelatedPolicy(joint.reshape(-1, game.num_states, game.num_joint_actions))


def answers(game: mo.MarkovGame, stages: int, agent: int) -> Iterator[IntArray]:
    """All deterministic strategies (T, S) of an agent."""
    choices = [np.flatnonzero(row) for row in np.tile(game.legal[agent], (stages, 1))]
    for chosen in itertools.product(*choices):
        yield np.array(chosen).reshape(stages, game.num_states)


def led_to(game: mo.MarkovGame, strategy: Strategy, choices: IntArray) -> FloatArray:
    """Visits (T, S) of a strategy against a deterministic opponent, forwards; 1 - gamma in all at the start."""
    stages, size = choices.shape
    opponent = np.eye(game.actions[1 - strategy.agent])[choices]
    mine = strategy.rows.reshape(stages, size, -1)
    joint = product_rows(mine, opponent) if strategy.agent == 0 else product_rows(opponent, mine)
    rows = [
        np.einsum("sa,sat->st", joint[h], game.kernel(h).rows().toarray().reshape(size, -1, size))
        for h in range(stages)
    ]
    visits = np.zeros((stages, size))
    if game.discount is None:
        visits[0] = game.initial
        for h in range(stages - 1):
            visits[h + 1] = visits[h] @ rows[h]
        return visits
    now = (1 - game.discount) * game.initial
    for h in range(stages - 1):
        visits[h], now = now, game.discount * now @ rows[h]
    visits[-1] = np.linalg.solve((np.eye(size) - game.discount * rows[-1]).T, now)
    return visits


TINY = [
    zero_sum(1, states=3, actions=(2, 3), discount=0.8),
    zero_sum(2, states=3, actions=(3, 2), discount=0.6, masked=True),
    zero_sum(3, states=2, actions=(2, 3), horizon=2, per_step=True),
    zero_sum(4, states=2, actions=(3, 2), horizon=3, masked=True),
    zero_sum(5, states=2, actions=(2, 2), discount=0.0),
    pennies(discount=0.9),
]


# --- what an answer says -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("game", TINY)
def test_gradient_is_unbiased(game: mo.MarkovGame) -> None:
    expert = some_expert(game, 7)
    strategies, policy = drawn_strategies(game, expert, 8)
    for strategy in strategies:
        visits = BestResponses(game).visits(policy, strategy, np.random.default_rng(0)).ravel()
        expected = np.zeros_like(strategy.rows)
        for place, action in np.ndindex(*strategy.rows.shape):
            chance = visits[place] / visits.sum() * strategy.expert[place, action]
            expected[place] += chance * gradient(strategy.rows[place], action)
        np.testing.assert_allclose(
            expected, (visits / visits.sum())[:, None] * (strategy.rows - strategy.expert), atol=1e-14
        )


def test_two_sample_reward_is_unbiased_and_in_its_range() -> None:
    rng = np.random.default_rng(0)
    for n in range(1, 5):
        row, expert = rng.dirichlet(np.ones(n), 2)
        pairs = np.array(list(itertools.product(range(n), repeat=2)))
        rewards = two_sample_reward(np.tile(row, (len(pairs), 1)), pairs[:, 0], pairs[:, 1])
        assert rewards.min() >= -1
        assert rewards.max() <= 2
        mean = (expert[pairs[:, 0]] * expert[pairs[:, 1]] * rewards).sum()
        assert mean == pytest.approx(((row - expert) ** 2).sum(), abs=1e-14)
    pure = two_sample_reward(np.eye(2), np.array([0, 0]), np.array([1, 0]))
    assert pure.tolist() == [-1.0, 2.0]


def test_steps_are_exponentiated_gradient_and_have_its_regret() -> None:
    game = zero_sum(0, states=3, actions=(3, 3), discount=0.5, masked=True)
    expert, rng = some_expert(game, 1), np.random.default_rng(2)
    rounds = 400
    eta = default_step_size(game, 1, rounds)
    strategy = strategies_of(game, expert)[0]
    allowed = game.legal[0]
    np.testing.assert_array_equal(strategy.rows, allowed / allowed.sum(axis=1, keepdims=True))
    loss, at_each = 0.0, np.zeros(strategy.rows.shape)
    for _ in range(rounds):
        place = int(rng.integers(3))
        action = int(rng.choice(np.flatnonzero(allowed[place])))  # not the expert's: the bound is for any answers
        before, slope = strategy.rows.copy(), gradient(strategy.rows[place], action)
        loss += slope @ before[place]
        at_each[place] += slope
        strategy.step(place, action, eta)
        expected = before[place] * np.exp(-eta * slope)
        before[place] = expected / expected.sum()
        np.testing.assert_allclose(strategy.rows, before, atol=1e-13)
    best = np.where(allowed, at_each, np.inf).min(axis=1).sum()
    assert loss - best <= 3 * math.log(3) / eta + eta * rounds / 2
    assert (strategy.rows[~allowed] == 0).all()


def test_default_step_size_counts_rows_and_legal_actions() -> None:
    game = zero_sum(2, states=3, actions=(3, 2), discount=0.6, masked=True)
    most = max(int(mask.sum(axis=1).max()) for mask in game.legal)
    found = mail_bro(game, some_expert(game, 0), rounds=5, seed=0)
    assert found.options["step_size"] == pytest.approx(math.sqrt(2 * 3 * math.log(most) / 5))
    finite = zero_sum(0, states=2, actions=(2, 2), horizon=3)
    found = murmail(finite, some_expert(finite, 0), rounds=5, seed=0, **EXACT)
    assert found.options["step_size"] == pytest.approx(math.sqrt(2 * 6 * math.log(2) / 5))


# --- where they ask ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [None, 2])
@pytest.mark.parametrize("game", TINY)
def test_exact_opponents_are_the_best_of_all_deterministic_ones(game: mo.MarkovGame, steps: int | None) -> None:
    expert = some_expert(game, 3, None if game.horizon is not None else steps)
    strategies, policy = drawn_strategies(game, expert, 4)
    for strategy in strategies:
        stages = game.num_stages(expert.num_steps)
        distance = strategy.distance().reshape(stages, -1)
        opponents = ExactOpponents(game)
        found = opponents.visits(policy, strategy, np.random.default_rng(0))
        all_visits = [led_to(game, strategy, choice) for choice in answers(game, stages, 1 - strategy.agent)]
        best = max((visits * distance).sum() for visits in all_visits)
        assert (found * distance).sum() == pytest.approx(best, abs=1e-12)
        assert opponents.find(policy, strategy).value == pytest.approx(best / game.occupancy_mass, abs=1e-11)
        assert min(np.abs(visits - found).max() for visits in all_visits) < 1e-12


@pytest.mark.parametrize("game", TINY)
def test_best_responses_earn_most(game: mo.MarkovGame) -> None:
    expert = some_expert(game, 3)
    strategies, policy = drawn_strategies(game, expert, 5)
    for strategy in strategies:
        found = BestResponses(game).visits(policy, strategy, np.random.default_rng(0))
        stages, opponent = len(found), 1 - strategy.agent
        earned = []
        for choice in answers(game, stages, opponent):
            visits = led_to(game, strategy, choice)
            parts = [strategy.rows.reshape(*visits.shape, -1), np.eye(game.actions[opponent])[choice]]
            joint = product_rows(*(parts if opponent == 1 else parts[::-1]))
            pay = np.stack([game.reward(h)[opponent] for h in range(stages)])
            earned.append(((visits[..., None] * joint * pay).sum(), visits))
        _, best = max(earned, key=lambda pair: pair[0])
        np.testing.assert_allclose(found, best, atol=1e-12)


@pytest.mark.parametrize("seed", range(8))
def test_what_deviating_gains_is_bounded_by_distance_where_opponents_lead(seed: int) -> None:
    time: dict[str, Any] = {"discount": 0.8} if seed % 2 else {"horizon": 3}
    game = zero_sum(seed, states=3, actions=(2, 3), masked=seed % 3 == 0, **time)
    expert = mo.zero_sum_equilibrium(game).policy
    strategies, policy = drawn_strategies(game, expert, seed)
    length = game.horizon or 1 / game.occupancy_mass
    total = most = 0.0
    for strategy in strategies:
        apart = np.abs(strategy.rows - strategy.expert).sum(axis=1)
        visits = BestResponses(game).visits(policy, strategy, np.random.default_rng(0)).ravel()
        sought = ExactOpponents(game).visits(policy, strategy, np.random.default_rng(0)).ravel()
        total += length**2 * (visits / visits.sum()) @ apart
        most += length**2 * math.sqrt(3 * (sought / sought.sum()) @ strategy.distance())
    gap = mo.regret_gap(game, policy, expert, mo.External()).value
    assert 0 < gap <= total <= most


@pytest.mark.parametrize("game", TINY)
def test_ucbvi_comes_close_with_many_steps(game: mo.MarkovGame) -> None:
    strategies, policy = drawn_strategies(game, some_expert(game, 3), 6)
    for strategy in strategies:
        distance = strategy.distance().reshape(-1, game.num_states)
        best = (ExactOpponents(game).visits(policy, strategy, np.random.default_rng(0)) * distance).sum()
        found = SampledOpponents(game, 40_000).visits(policy, strategy, np.random.default_rng(0))
        assert 0.97 * best <= (found * distance).sum() <= best + 1e-12


@pytest.mark.parametrize("discount", [None, 0.9])
def test_ucbvi_finds_what_only_one_sequence_of_actions_reaches(discount: float | None) -> None:
    """Agent 1 has to play 1 four times in a row to get where agent 0's strategy is not the expert's."""
    successors = np.array([[5, s + 1, 5, s + 1] for s in range(4)] + [[4] * 4, [5] * 4])
    game = mo.MarkovGame(
        successors,
        np.zeros((2, 6, 4)),
        np.eye(6)[0],
        (2, 2),
        horizon=5 if discount is None else None,
        discount=discount,
    )
    rows = np.full((6, 2), 0.5)
    rows[4] = [1.0, 0.0]
    strategy = strategies_of(game, mo.CorrelatedPolicy.product([rows, np.full((6, 2), 0.5)]))[0]
    choices = explored(game, strategy, 2000, np.random.default_rng(0))
    assert [choices[min(s, len(choices) - 1), s] for s in range(4)] == [1, 1, 1, 1]


@pytest.mark.parametrize(("learner", "kwargs"), LEARNERS[:2])
def test_places_and_answers_have_their_distributions(
    learner: Learner, kwargs: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    game = zero_sum(3, states=3, actions=(2, 3), horizon=2, masked=True)
    expert = some_expert(game, 3)
    counts = [np.zeros(strategy.rows.shape) for strategy in strategies_of(game, expert)]

    def counted(self: Strategy, place: int, action: int, step_size: float) -> None:
        counts[self.agent][place, action] += 1

    monkeypatch.setattr(Strategy, "step", counted)  # the strategies stay as they are
    learner(game, expert, rounds=601, every=601, seed=0, **kwargs)
    strategies = strategies_of(game, expert)
    policy = product(game, strategies)
    opponents = BestResponses(game) if learner is mail_bro else ExactOpponents(game)
    for strategy, seen in zip(strategies, counts, strict=True):
        visits = opponents.visits(policy, strategy, np.random.default_rng(0)).ravel()
        expected = visits[:, None] / visits.sum() * strategy.expert
        assert (seen[expected == 0] == 0).all()
        assert seen.sum() == 600
        assert excess(seen.ravel(), expected.ravel()) < 1


def test_learns_where_only_deviations_lead() -> None:
    """Agent 0 enters a trap of the expert's making only if the learner does not know what to do there."""
    successors = np.array([[0, 0, 1, 1], [1, 1, 1, 1]])
    reward = np.array([[0.0, 0.0, 0.0, 0.0], [-1.0, 1.0, -1.0, 1.0]])
    game = mo.MarkovGame(successors, np.stack([reward, -reward]), [1.0, 0.0], (2, 2), discount=0.8)
    expert = mo.CorrelatedPolicy.deterministic(game, [[0, 0], [0, 0]])
    assert mo.occupancy(game, expert)[1].sum() == 0
    assert mo.regret(game, expert, mo.External()).value == pytest.approx(0, abs=1e-12)
    for learner, kwargs in ((mail_bro, {}), (murmail, EXACT), (murmail, SAMPLED)):
        found = learner(game, expert, rounds=150, seed=0, step_size=1.0, every=150, **kwargs)
        gaps = [scored.regret_gap or 0.0 for scored in found.history]
        assert gaps[-1] < 0.2 * mo.regret(game, mo.CorrelatedPolicy.uniform(game), mo.External()).value + 0.05
        # nobody who wants to win goes there once it does not pay, so MAIL-BRO asks no more; MURMAIL does
        assert (found.history[-1].loss < 0.5) == (learner is murmail)


# --- convergence ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("learner", "kwargs"), LEARNERS)
@pytest.mark.parametrize("game", [pennies(horizon=2), mixed_game(4)])
def test_approaches_a_mixed_equilibrium(game: mo.MarkovGame, learner: Learner, kwargs: dict[str, Any]) -> None:
    solved = mo.zero_sum_equilibrium(game)
    assert all(part.min() > 0.05 for part in solved.strategies)
    found = learner(game, solved.policy, rounds=300, step_size=0.06, seed=0, every=30, output="average", **kwargs)
    at_first = mo.regret(game, mo.CorrelatedPolicy.uniform(game), mo.External()).value
    iterates = [scored.regret_gap or 0.0 for scored in found.history if scored.kind == "iterate"]
    assert iterates[0] == pytest.approx(at_first, abs=1e-9)
    assert np.mean(iterates[5:]) < 0.55 * at_first
    assert mo.regret_gap(game, found.policy, solved.policy, mo.External()).value < 0.55 * at_first


def test_more_rounds_come_closer() -> None:
    game = pennies(horizon=2)
    expert = mo.zero_sum_equilibrium(game).policy
    means = []
    for rounds in (50, 1000):
        found = mail_bro(game, expert, rounds=rounds, seed=0, every=rounds // 10)
        means.append(np.mean([scored.regret_gap or 0.0 for scored in found.history[1:]]))
    assert means[1] < 0.7 * means[0]


# --- the record ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("learner", "kwargs"), LEARNERS)
def test_answers_are_counted(learner: Learner, kwargs: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [0]
    ask = Strategy.ask

    def counted(self: Strategy, places: IntArray, rng: np.random.Generator) -> IntArray:
        asked[0] += len(places)
        return ask(self, places, rng)

    monkeypatch.setattr(Strategy, "ask", counted)
    each = 2 * (1 + 2 * 30 * (kwargs == SAMPLED))
    for game in (zero_sum(1, states=3, discount=0.7), zero_sum(2, states=3, horizon=4)):
        asked[0] = 0
        found = learner(game, some_expert(game, 0), rounds=9, seed=0, every=3, **kwargs)
        assert [(scored.index, scored.queries) for scored in found.history] == [(k, k * each) for k in (0, 3, 6, 8)]
        assert asked[0] == 8 * each


@pytest.mark.parametrize(("learner", "kwargs"), LEARNERS)
def test_the_seed_decides(learner: Learner, kwargs: dict[str, Any]) -> None:
    game = zero_sum(4, states=3, actions=(2, 3), discount=0.8)
    expert = some_expert(game, 0)
    one, same, other = (learner(game, expert, rounds=20, seed=seed, every=5, **kwargs) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.policy.probabilities, same.policy.probabilities)
    assert [scored.loss for scored in one.history] == [scored.loss for scored in same.history]
    assert [scored.loss for scored in one.history] != [scored.loss for scored in other.history]
    generator = learner(game, expert, rounds=20, seed=np.random.default_rng(0), every=5, **kwargs)
    np.testing.assert_array_equal(one.policy.probabilities, generator.policy.probabilities)
    averaged = learner(game, expert, rounds=20, seed=0, every=5, output="average", **kwargs)
    iterates = [scored.loss for scored in averaged.history if scored.kind == "iterate"]
    assert iterates == [scored.loss for scored in one.history]


def test_the_drawn_policy_is_one_of_the_rounds_and_the_average_their_mean() -> None:
    game = zero_sum(4, states=2, actions=(2, 3), discount=0.8)
    expert = some_expert(game, 0)
    drawn = mail_bro(game, expert, rounds=12, seed=3, every=1)
    index = int(drawn.stopped.split("round ")[1].split()[0])
    assert drawn.loss is not None
    assert drawn.loss.value == drawn.history[index].loss
    assert len({mail_bro(game, expert, rounds=3, seed=seed, every=3).stopped for seed in range(20)}) == 3
    # the mean of two policies, of which the first is uniform
    mean = mail_bro(game, expert, rounds=2, seed=3, step_size=0.7, output="average").policy
    uniform = mo.CorrelatedPolicy.uniform(game)
    for agent in range(2):
        row = mean.marginal(agent, game) - uniform.marginal(agent, game) / 2
        assert row.min() > 0
        moved = np.abs(row - uniform.marginal(agent, game) / 2).sum(axis=1)
        assert (moved > 1e-3).sum() == 1  # a step touches one place


@pytest.mark.parametrize("steps", [None, 2])
@pytest.mark.parametrize(("learner", "kwargs"), LEARNERS)
def test_scores_are_those_of_the_policies(learner: Learner, kwargs: dict[str, Any], steps: int | None) -> None:
    game = zero_sum(6, states=3, actions=(3, 2), discount=0.8, masked=True)
    expert = some_expert(game, 1, steps)
    found = learner(game, expert, rounds=8, seed=2, output="average", **kwargs)
    assert found.policy.num_steps == steps
    assert found.completed.shape == (steps or 1, 3)
    assert not found.completed.any()
    assert [scored.kind for scored in found.history] == ["iterate", "average"] * 8
    last = found.history[-1]
    assert found.loss is not None
    loss = mo.deviation_weighted_loss(game, found.policy, expert, mo.External())
    assert found.loss.value == pytest.approx(loss.value, abs=1e-12)
    assert last.loss == found.loss.value
    assert last.regret_gap == pytest.approx(mo.regret_gap(game, found.policy, expert, mo.External()).value, abs=1e-12)
    assert last.value_gap == pytest.approx(mo.value_gap(game, found.policy, expert).value, abs=1e-12)
    bound = mo.regret_gap_bound(game, found.policy, expert, mo.External()).value
    assert last.gap_bound == pytest.approx(bound, abs=1e-9)
    assert (found.policy.probabilities[..., ~game.joint_legal] == 0).all()
    parts = [found.policy.marginal(agent, game) for agent in range(2)]
    np.testing.assert_allclose(product_rows(*parts), found.policy.probabilities, atol=1e-12)
    assert found.options["seed"] == 2
    assert found.options["output"] == "average"


@pytest.mark.parametrize(("learner", "kwargs"), LEARNERS)
def test_a_finite_horizon_has_a_row_for_each_step(learner: Learner, kwargs: dict[str, Any]) -> None:
    game = zero_sum(8, states=2, actions=(2, 2), horizon=3, per_step=True)
    found = learner(game, some_expert(game, 1), rounds=50, seed=2, **kwargs)
    assert found.policy.probabilities.shape == (3, 2, 4)
    assert found.completed.shape == (3, 2)
    assert 17 <= len(found.history) <= 21
    assert found.history[-1].index == 49
    assert found.algorithm in ("MAIL-BRO", "MURMAIL")


@pytest.mark.parametrize(("learner", "kwargs"), LEARNERS)
def test_one_round_and_nothing_to_choose(learner: Learner, kwargs: dict[str, Any]) -> None:
    game = mo.MarkovGame(np.ones((1, 1, 1)), np.zeros((2, 1, 1)), [1.0], (1, 1), discount=0.5)
    expert = mo.CorrelatedPolicy([[1.0]])
    for rounds in (1, 3):
        found = learner(game, expert, rounds=rounds, seed=0, **kwargs)
        assert found.history[-1].loss == 0
        assert found.history[-1].queries == (rounds - 1) * 2 * (1 + 2 * 30 * (kwargs == SAMPLED))


# --- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("learner", [mail_bro, murmail])
def test_refuses_other_games_and_experts(learner: Learner) -> None:
    three = mo.MarkovGame(np.zeros((1, 8), dtype=int), np.zeros((3, 1, 8)), [1.0], (2, 2, 2), horizon=1)
    with pytest.raises(InvalidGame, match="has two agents, this one has 3"):
        learner(three, mo.CorrelatedPolicy.uniform(three), seed=0)
    chicken = mo.scenarios.chicken()
    with pytest.raises(InvalidGame, match=r"not zero-sum: state 0, .*use malice or blades"):
        learner(chicken, mo.CorrelatedPolicy.uniform(chicken), seed=0)
    game = zero_sum(0, horizon=2)
    rows = np.full((2, 2, 4), 0.25)
    rows[1, 0] = [0.5, 0.0, 0.0, 0.5]
    with pytest.raises(InvalidPolicy, match=r"at step 1, state 0 it is 0.25 from the product"):
        learner(game, mo.CorrelatedPolicy(rows), seed=0)
    off = np.full((2, 4), 0.25) + 3e-9 * np.array([1, -1, -1, 1])
    with pytest.raises(InvalidPolicy, match="no product"):
        learner(game, mo.CorrelatedPolicy(off), seed=0)
    near = np.full((2, 4), 0.25) + 3e-10 * np.array([1, -1, -1, 1])
    assert learner(game, mo.CorrelatedPolicy(near), rounds=2, seed=0).history
    with pytest.raises(InvalidPolicy):
        learner(game, mo.CorrelatedPolicy.uniform(chicken), seed=0)
    with pytest.raises(InvalidPolicy):
        learner(game, np.full((2, 4), 0.25), seed=0)
    with pytest.raises(InvalidGame):
        learner("game", mo.CorrelatedPolicy.uniform(game), seed=0)


@pytest.mark.parametrize("learner", [mail_bro, murmail])
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rounds": 0}, "rounds is 0"),
        ({"rounds": 2.5}, "rounds is 2.5"),
        ({"every": 0}, "every is 0"),
        ({"step_size": 0.0}, "step_size is 0.0"),
        ({"step_size": math.inf}, "step_size is inf"),
        ({"step_size": math.nan}, "step_size is nan"),
        ({"step_size": "big"}, "step_size is 'big'"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": None}, "seed is None"),
        ({"output": "best"}, "output is 'best'"),
    ],
)
def test_refuses_options(learner: Learner, wrong: dict[str, Any], message: str) -> None:
    game = pennies(discount=0.5)
    with pytest.raises(InvalidOption, match=message):
        learner(game, mo.CorrelatedPolicy.uniform(game), **{"seed": 0, "rounds": 2, **wrong})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"inner": "oracle"}, "inner is 'oracle'"),
        ({"inner_steps": 0}, "inner_steps is 0"),
        ({"inner_steps": 1.5}, "inner_steps is 1.5"),
        ({"inner": "exact", "inner_steps": 5}, "leave it out"),
    ],
)
def test_refuses_options_of_inner_loops(wrong: dict[str, Any], message: str) -> None:
    game = pennies(discount=0.5)
    with pytest.raises(InvalidOption, match=message):
        murmail(game, mo.CorrelatedPolicy.uniform(game), seed=0, rounds=2, **wrong)
