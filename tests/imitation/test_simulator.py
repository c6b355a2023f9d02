"""Roll-outs against exact occupancies, with and without deviations; simulators that misbehave."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import mailopt as mo
from mailopt.errors import (
    DeviationShape,
    GameShape,
    IllegalAction,
    InvalidDeviation,
    InvalidGame,
    InvalidHorizon,
    InvalidOption,
    PolicyShape,
    SimulatorFailed,
    UnknownAgent,
)
from mailopt.games.numbers import FloatArray
from mailopt.imitation.demonstrations import Demonstrations
from mailopt.imitation.simulator import GameSimulator, RollOuts, Simulator, roll_out
from tests.frequencies import excess
from tests.random_games import random_case, random_policy

MANY = 20_000
FINITE = range(1, 24, 2)
DISCOUNTED = range(0, 24, 2)


class OneByOne(GameSimulator):
    """A game that roll-outs do not know to be one."""


def roll(
    game: mo.MarkovGame,
    policy: mo.CorrelatedPolicy,
    deviation: mo.Deviation | None = None,
    *,
    episodes: int = MANY,
    kind: Callable[[mo.MarkovGame], Simulator] = GameSimulator,
) -> RollOuts:
    return roll_out(kind(game), policy, episodes, np.random.default_rng(7), deviation)


def random_deviation(seed: int, game: mo.MarkovGame, steps: int | None) -> mo.Deviation:
    generator = np.random.default_rng(seed)
    agent = int(np.argmax(game.actions))
    n = game.actions[agent]
    weights = generator.random((steps or 1, game.num_states, n, n)) * game.legal[agent][:, None, :]
    rows = weights / weights.sum(axis=-1, keepdims=True)
    return mo.Deviation(agent, rows if steps is not None else rows[0])


def excess_of(runs: RollOuts, true: FloatArray) -> float:
    """Largest excess over steps of what was played against (H, S, A)."""
    worst = 0.0
    for h, chances in enumerate(true):
        here = runs.step == h
        counts = np.zeros(chances.shape)
        np.add.at(counts, (runs.state[here], runs.joint_action[here]), 1)
        worst = max(worst, excess(counts, chances))
    return worst


def standard_scores(runs: RollOuts, stages: int, true: FloatArray) -> FloatArray:
    """Distance of the mean visits from the truth (T, S) in standard errors."""
    each = np.zeros((runs.num_episodes, stages, runs.num_states))
    np.add.at(each, (runs.episode, np.minimum(runs.step, stages - 1), runs.state), 1)
    np.testing.assert_allclose(runs.visits(stages), each.mean(axis=0), rtol=1e-12)
    error = np.sqrt(each.var(axis=0) / runs.num_episodes)
    assert (runs.visits(stages)[true < 1e-12] < 1e-3).all()
    often = true * runs.num_episodes > 20
    return np.asarray(np.abs(each.mean(axis=0) - true)[often] / (error[often] + 1e-12))


# What is played


@pytest.mark.parametrize("deviating", [False, True])
@pytest.mark.parametrize("seed", FINITE)
def test_frequencies_are_exact_occupancies(seed: int, deviating: bool) -> None:
    case = random_case(seed)
    game = case.game
    deviation = random_deviation(seed, game, game.horizon if seed % 4 == 1 else None) if deviating else None
    played = case.policy if deviation is None else deviation.apply(game, case.policy)
    runs = roll(game, case.policy, deviation)
    assert excess_of(runs, mo.occupancy(game, played)) <= 1
    assert game.joint_legal[runs.state, runs.joint_action].all()


def test_the_bound_tells_deviations_apart() -> None:
    case = random_case(7)
    deviation = random_deviation(0, case.game, None)
    runs = roll(case.game, case.policy, deviation)
    assert excess_of(runs, mo.occupancy(case.game, case.policy)) > 1


@pytest.mark.parametrize("deviating", [False, True])
@pytest.mark.parametrize("seed", DISCOUNTED)
def test_discounted_visits_estimate_discounted_sums(seed: int, deviating: bool) -> None:
    case = random_case(seed)
    game = case.game
    if game.discount == 0.99:
        episodes, stages = 500, 2
    else:
        episodes, stages = MANY, 3
    deviation = random_deviation(seed, game, 2 if seed % 4 == 0 else None) if deviating else None
    played = case.policy if deviation is None else deviation.apply(game, case.policy)
    # the exact sums by stage are the occupancy of the same policy written out over as many steps
    steps = max(stages, played.num_steps or 1)
    long = mo.CorrelatedPolicy(np.stack([played.at(h) for h in range(steps)]))
    visits = Demonstrations.from_policy(game, long).visits / game.occupancy_mass
    true = np.concatenate([visits[: stages - 1], visits[stages - 1 :].sum(axis=0, keepdims=True)])
    runs = roll(game, case.policy, deviation, episodes=episodes)
    assert (standard_scores(runs, stages, true) < 6).all()
    lengths = np.bincount(runs.episode, minlength=episodes)
    if game.discount == 0:
        assert (lengths == 1).all()
    mean = 1 / game.occupancy_mass
    assert abs(lengths.mean() - mean) < 6 * mean / np.sqrt(episodes)


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_one_by_one_is_like_side_by_side(seed: int) -> None:
    case = random_case(seed)
    game, policy = case.game, case.policy
    deviation = random_deviation(seed, game, None)
    runs = [roll(game, policy, deviation, episodes=2000, kind=kind) for kind in (GameSimulator, OneByOne)]
    if game.horizon is not None:
        true = mo.occupancy(game, deviation.apply(game, policy))
        assert all(excess_of(run, true) <= 1 for run in runs)
    one, other = (run.visits(2) for run in runs)
    np.testing.assert_allclose(one, other, rtol=0.2, atol=0.1 * other.max())


# Deviations that count


@pytest.mark.parametrize("k", [0, 1, 2])
@pytest.mark.parametrize("seed", [1, 5, 7, 13, 17, 21, 25, 29])
def test_limited_deviations_lead_where_the_dynamic_program_says(seed: int, k: int) -> None:
    case = random_case(seed)
    game = case.game
    agent = int(np.argmax(game.actions))
    best = mo.best_deviation(game, case.policy, agent, mo.Limited(k))
    assert isinstance(best.deviation, mo.LimitedDeviation) == (k > 0)
    runs = roll(game, case.policy, best.deviation)
    counts = runs.visits(len(best.state_occupancy)) * MANY
    assert max(excess(n, d) for n, d in zip(counts, best.state_occupancy, strict=True)) <= 1


@pytest.mark.parametrize("seed", [2, 4, 6])
def test_discounted_limited_deviations(seed: int) -> None:
    case = random_case(seed)
    game = case.game
    episodes = 1000 if game.discount == 0.99 else MANY
    best = mo.best_deviation(game, case.policy, 0, mo.Limited(1))
    runs = roll(game, case.policy, best.deviation, episodes=episodes)
    exact = np.atleast_2d(best.state_occupancy) / game.occupancy_mass
    assert (standard_scores(runs, len(exact), exact) < 6).all()


@pytest.mark.parametrize("per_step", [False, True])
def test_departures_are_counted_along_an_episode(per_step: bool) -> None:
    """Told 0 for ever, an agent with two departures would play 1 whenever the state is odd."""
    game = mo.MarkovGame([np.full((4, 4, 4), 0.25)] * 7, np.zeros((2, 4, 4)), np.full(4, 0.25), (2, 2), horizon=7)
    obey = mo.CorrelatedPolicy(np.tile([1.0, 0.0, 0.0, 0.0], (4, 1)))
    wants = np.array([[0, 1], [1, 1], [0, 1], [1, 1]])
    choices = np.stack([np.tile([0, 1], (4, 1)), wants, wants])
    for agent, flat in ((0, 2), (1, 1)):
        deviation = mo.LimitedDeviation(agent, np.stack([choices] * 7) if per_step else choices)
        for kind in (GameSimulator, OneByOne):
            runs = roll(game, obey, deviation, episodes=200, kind=kind)
            odd = runs.state % 2 == 1
            earlier = np.zeros(odd.size, dtype=int)
            for episode in range(200):
                here = runs.episode == episode
                earlier[here] = np.cumsum(odd[here]) - odd[here]
            np.testing.assert_array_equal(runs.joint_action, np.where(odd & (earlier < 2), flat, 0))
            assert (earlier[odd] >= 2).any()


def test_a_limited_deviation_per_step_reads_its_own_step() -> None:
    game = mo.MarkovGame(np.zeros((1, 2), dtype=int), np.zeros((1, 1, 2)), [1.0], (2,), horizon=3)
    choices = np.tile(np.array([0, 1]), (3, 3, 1, 1))
    choices[1, 1:, 0, 0] = 1
    runs = roll(game, mo.CorrelatedPolicy([[1.0, 0.0]]), mo.LimitedDeviation(0, choices), episodes=2)
    assert runs.joint_action.tolist() == [0, 1, 0] * 2


# What comes back


@pytest.mark.parametrize("kind", [GameSimulator, OneByOne])
@pytest.mark.parametrize("seed", range(6))
def test_episodes_lie_one_after_the_other(seed: int, kind: Callable[[mo.MarkovGame], Simulator]) -> None:
    case = random_case(seed)
    game = case.game
    runs = roll(game, case.policy, episodes=30, kind=kind)
    first = np.flatnonzero(runs.step == 0)
    assert runs.episode[first].tolist() == list(range(30))
    last = np.append(first[1:], runs.step.size) - 1
    np.testing.assert_array_equal(np.flatnonzero(runs.following == -1), last)
    inner = np.setdiff1d(np.arange(runs.step.size), last)
    np.testing.assert_array_equal(runs.following[inner], runs.state[inner + 1])
    np.testing.assert_array_equal(runs.step[inner] + 1, runs.step[inner + 1])
    np.testing.assert_array_equal(runs.episode[inner], runs.episode[inner + 1])
    if game.horizon is not None:
        assert (runs.step[last] == game.horizon - 1).all()
    for h in range(runs.step.max() + 1):
        here = inner[runs.step[inner] == h]
        places = runs.state[here], runs.joint_action[here], runs.following[here]
        assert (game.kernel(min(h, len(game.kernels) - 1)).probability(*places) > 0).all()
    assert runs.visits(1).sum() == pytest.approx(runs.step.size / 30)
    again = roll(game, case.policy, episodes=30, kind=kind)
    for name in ("episode", "step", "state", "joint_action", "following"):
        np.testing.assert_array_equal(getattr(runs, name), getattr(again, name))


def test_steps_past_the_last_stage_count_for_it() -> None:
    chain = mo.scenarios.unvisited_chain(4)
    runs = roll(chain.game, chain.expert, episodes=3)
    assert runs.visits(2)[0].tolist() == [1, 0, 0, 0, 0, 0, 0, 0]
    assert runs.visits(2)[1].tolist() == [0, 0, 1, 0, 1, 0, 1, 0]
    assert runs.visits(4).sum(axis=1).tolist() == [1] * 4
    assert runs.visits(6).sum(axis=1).tolist() == [1] * 4 + [0] * 2


# Simulators


class Scripted(Simulator):
    """Returns what it was given, state by state; an exception is raised."""

    def __init__(self, answers: list[Any], **options: Any) -> None:
        super().__init__(3, (2, 2), **({"horizon": 3} | options))
        self.answers = answers
        self.asked: list[int] = []

    def reset(self, rng: np.random.Generator) -> int:
        assert isinstance(rng, np.random.Generator)
        return self._next()

    def step(self, joint_action: int) -> int:
        assert type(joint_action) is int
        self.asked.append(joint_action)
        return self._next()

    def _next(self) -> int:
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer  # type: ignore[no-any-return]


def told(joint_action: int) -> mo.CorrelatedPolicy:
    row = np.zeros(4)
    row[joint_action] = 1.0
    return mo.CorrelatedPolicy(np.tile(row, (3, 1)))


def test_a_simulator_is_asked_for_as_many_steps_as_it_takes() -> None:
    simulator = Scripted([0, 2, np.int8(1), 1, 1, np.uint64(2)])
    runs = roll_out(simulator, told(2), 2, np.random.default_rng(0))
    assert simulator.answers == []
    assert simulator.asked == [2] * 4
    assert runs.state.tolist() == [0, 2, 1, 1, 1, 2]
    assert runs.following.tolist() == [2, 1, -1, 1, 2, -1]
    assert runs.joint_action.tolist() == [2] * 6


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        pytest.param(
            [0, 0, 0, 3], "episode 1, step 0: the simulator returned 3; a state is an integer 0 to 2", id="large"
        ),
        pytest.param([0, 0, 0, 0, -1], "episode 1, step 1: the simulator returned -1", id="negative"),
        pytest.param([0, 0, 1.0], "episode 0, step 2: the simulator returned 1.0", id="float"),
        pytest.param([0, None], "episode 0, step 1: the simulator returned None", id="nothing"),
        pytest.param([True], "episode 0, step 0: the simulator returned True", id="boolean"),
        pytest.param([np.array([0])], r"episode 0, step 0: the simulator returned array\(\[0\]\)", id="array"),
        pytest.param([np.nan], "episode 0, step 0: the simulator returned nan", id="nan"),
        pytest.param([ValueError("no luck")], r"episode 0, step 0: reset raised ValueError\('no luck'\)", id="reset"),
        pytest.param(
            [0, 1, KeyError("lost")],
            r"episode 0, step 1: state 1, joint action 2: step raised KeyError\('lost'\)",
            id="step",
        ),
    ],
)
def test_simulators_that_fail(answers: list[Any], message: str) -> None:
    cause = next((a for a in answers if isinstance(a, Exception)), None)
    with pytest.raises(SimulatorFailed, match=message) as caught:
        roll_out(Scripted(list(answers)), told(2), 2, np.random.default_rng(0))
    assert caught.value.__cause__ is cause
    if cause is not None:
        assert "_next" in "".join(traceback.format_exception(caught.value))


def test_interrupts_pass_through() -> None:
    with pytest.raises(KeyboardInterrupt):
        roll_out(Scripted([0, KeyboardInterrupt()]), told(0), 1, np.random.default_rng(0))


def test_discounted_simulators_stop_by_themselves() -> None:
    simulator = Scripted([0] * 100_000, horizon=None, discount=0.5)
    runs = roll_out(simulator, told(0), 1000, np.random.default_rng(0))
    assert runs.num_episodes == 1000
    assert abs(runs.step.size / 1000 - 2) < 6 * np.sqrt(2 / 1000)
    assert len(simulator.asked) == runs.step.size - 1000


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        pytest.param((0, (2,)), {"horizon": 1}, InvalidOption, "num_states is 0", id="no-states"),
        pytest.param((2, (2, 0)), {"horizon": 1}, GameShape, "actions are", id="no-action"),
        pytest.param((2, 2), {"horizon": 1}, GameShape, "actions", id="bare-actions"),
        pytest.param((2, (2,)), {}, InvalidHorizon, "neither is", id="no-horizon"),
        pytest.param((2, (2,)), {"horizon": 2, "discount": 0.5}, InvalidHorizon, "both are", id="both"),
        pytest.param((2, (2,)), {"horizon": 0}, InvalidHorizon, "horizon is 0", id="horizon"),
        pytest.param((2, (2,)), {"discount": 1.0}, InvalidHorizon, "discount is 1", id="discount"),
        pytest.param(
            (2, (2,)), {"discount": 0.5, "homogeneous": False}, InvalidHorizon, "homogeneous=True", id="steps"
        ),
        pytest.param((2, (2,)), {"horizon": 1, "legal": [[[True, True]]]}, GameShape, "legal", id="legal"),
    ],
)
def test_bad_simulators(arguments: Any, options: dict[str, Any], error: type[Exception], message: str) -> None:
    class Still(Simulator):
        def reset(self, rng: np.random.Generator) -> int:
            return 0

        def step(self, joint_action: int) -> int:
            return 0

    with pytest.raises(error, match=message):
        Still(*arguments, **options)


@pytest.mark.parametrize("seed", range(6))
def test_a_game_as_a_simulator_has_its_shape(seed: int) -> None:
    game = random_case(seed).game
    simulator = GameSimulator(game)
    for shape in (simulator, simulator.blank_game()):
        assert (shape.num_states, shape.actions) == (game.num_states, game.actions)
        assert (shape.horizon, shape.discount) == (game.horizon, game.discount)
        for mine, theirs in zip(shape.legal, game.legal, strict=True):
            np.testing.assert_array_equal(mine, theirs)
    assert simulator.homogeneous == (len(game.kernels) == 1)


def test_a_game_is_stepped_in_order() -> None:
    chain = mo.scenarios.unvisited_chain(3)
    simulator = GameSimulator(chain.game)
    with pytest.raises(SimulatorFailed, match="no episode was started"):
        simulator.step(0)
    for _ in range(2):
        assert simulator.reset(np.random.default_rng(0)) == 0
        with pytest.raises(IllegalAction, match="joint action 4 is illegal in state 0, or does not exist"):
            simulator.step(4)
        assert [simulator.step(a) for a in (0, 3, 0)] == [2, 4, 4]
        with pytest.raises(SimulatorFailed, match="it is over; call reset"):
            simulator.step(0)
    with pytest.raises(InvalidGame, match="give a MarkovGame"):
        GameSimulator(chain)  # type: ignore[arg-type]


# What does not fit


def test_policies_episodes_and_seeds_that_do_not_fit() -> None:
    chain, rng = mo.scenarios.unvisited_chain(3), np.random.default_rng(0)
    simulator = GameSimulator(chain.game)
    with pytest.raises(InvalidOption, match="the simulator is a MarkovGame; give a Simulator"):
        roll_out(chain.game, chain.expert, 1, rng)  # type: ignore[arg-type]
    with pytest.raises(PolicyShape):
        roll_out(simulator, random_policy(rng, mo.scenarios.chicken()), 1, rng)
    for episodes in (0, 1.5, None):
        with pytest.raises(InvalidOption, match="episodes is"):
            roll_out(simulator, chain.expert, episodes, rng)  # type: ignore[arg-type]
    with pytest.raises(InvalidOption, match="seed is None"):
        roll_out(simulator, chain.expert, 1, None)  # type: ignore[arg-type]


OBEY = np.tile([0, 1], (6, 1))


@pytest.mark.parametrize(
    ("deviation", "error", "message"),
    [
        pytest.param(mo.Swap(), InvalidDeviation, "the deviation is a Swap; give a Deviation", id="class"),
        pytest.param(mo.Deviation.deterministic(2, OBEY), UnknownAgent, "no agent 2", id="agent"),
        pytest.param(mo.Deviation.deterministic(0, OBEY[:5]), DeviationShape, r"expected \(S, n, n\)", id="states"),
        pytest.param(mo.Deviation.deterministic(0, np.stack([OBEY] * 2)), DeviationShape, "horizon is 3", id="horizon"),
        pytest.param(mo.LimitedDeviation(2, OBEY[None]), UnknownAgent, "no agent 2", id="limited-agent"),
        pytest.param(
            mo.LimitedDeviation(0, OBEY[None, :5]), DeviationShape, r"expected \(L, S, n\)", id="limited-states"
        ),
        pytest.param(
            mo.LimitedDeviation(0, np.stack([OBEY[None]] * 2)), DeviationShape, "horizon is 3", id="limited-horizon"
        ),
        pytest.param(
            mo.LimitedDeviation(0, np.stack([OBEY, OBEY + (OBEY > 0)])),
            InvalidDeviation,
            "departures left 1, state 0, recommendation 1: the action is illegal",
            id="limited-illegal",
        ),
        pytest.param(
            mo.LimitedDeviation(0, 1 - OBEY[None]),
            InvalidDeviation,
            "departures left 0, state 0, recommendation 0: it departs with none left",
            id="limited-none-left",
        ),
    ],
)
def test_deviations_that_do_not_fit(deviation: Any, error: type[Exception], message: str) -> None:
    chain = mo.scenarios.unvisited_chain(3)
    with pytest.raises(error, match=message):
        roll(chain.game, chain.expert, deviation, episodes=1)
