"""PettingZoo environments as simulators: against unrolled games, and for learners that work from roll-outs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pettingzoo
import pytest

import mailopt as mo
from mailopt import errors
from mailopt.imitation.simulator import roll_out
from mailopt.interop.pettingzoo import PettingZooSimulator, unroll
from tests.interop.environments import Corridor

HORIZON = 4


def cells(env: Any, seen: Any) -> int:
    """State of the corridor without time: where both walkers are."""
    return int(seen["left"] @ [3, 1])


def legal(length: int = 3) -> list[np.ndarray[Any, Any]]:
    masks = np.zeros((2, length * length + 1, 3), dtype=bool)
    for one in range(length):
        for other in range(length):
            masks[0, one * length + other] = [one > 0, True, one < length - 1]
            masks[1, one * length + other] = [other > 0, True, other < length - 1]
    masks[:, -1, 0] = True
    return list(masks)


def simulator(**options: Any) -> PettingZooSimulator:
    given: dict[str, Any] = {"num_states": 10, "horizon": HORIZON, "legal": legal(), "state_of": cells}
    return PettingZooSimulator(Corridor(limit=100), **(given | options))


def uniform(of: PettingZooSimulator) -> mo.CorrelatedPolicy:
    return mo.CorrelatedPolicy.uniform(of.blank_game())


def by_observation(env: Any, seen: Any) -> tuple[int, ...]:
    return tuple(int(cell) for cell in seen["left"])


def test_visits_are_those_of_the_unrolled_game() -> None:
    seeds = tuple(range(80))  # a sample of what the simulator draws
    unrolled = unroll(Corridor(limit=100), seeds=seeds, horizon=HORIZON, key=by_observation)
    policy = mo.CorrelatedPolicy.uniform(unrolled.game)
    exact = np.zeros((HORIZON, 10))
    visits = mo.occupancy(unrolled.game, policy).sum(axis=2)
    for s, seen in enumerate(unrolled.observations):
        exact[:, 9 if seen is None else cells(None, seen)] += visits[:, s]
    played = simulator()
    runs = roll_out(played, uniform(played), 1000, np.random.default_rng(0))
    assert np.abs(runs.visits(HORIZON) - exact).max() < 0.2  # the seeds are a sample of 80


def test_demonstrations_from_a_simulator() -> None:
    played = simulator()
    shown = mo.sample_demonstrations(played, uniform(played), 50, seed=0)
    assert shown.episodes == 50
    assert shown.trajectories is not None
    states = shown.trajectories.states
    assert states.shape == (50, HORIZON)
    ended = states == 9
    assert ended.any()
    assert (ended[:, 1:] >= ended[:, :-1]).all()  # the end is for ever
    discounted = simulator(horizon=None, discount=0.9)
    shown = mo.sample_demonstrations(discounted, uniform(discounted), 20, seed=0, steps=7)
    assert shown.trajectories is not None
    assert shown.trajectories.states.shape == (20, 7)


def greedy() -> mo.CorrelatedPolicy:
    """Everybody walks to the right."""
    rightmost = [np.where(mask[:, 2], 2, np.where(mask[:, 1], 1, 0)) for mask in legal()]
    return mo.CorrelatedPolicy.product([np.eye(3)[actions] for actions in rightmost])


def test_blades_and_malice_learn_from_roll_outs() -> None:
    played, expert = simulator(), greedy()
    found = mo.blades(played, expert, epsilon=0.1, stationary=True, episodes=400, seed=0)
    shown = mo.sample_demonstrations(played, expert, 400, seed=1)
    learned = mo.malice(played, shown, episodes=400, rounds=3, seed=0, uncovered="charge", completion="uniform")
    visits = roll_out(played, expert, 400, np.random.default_rng(2)).visits(HORIZON)
    for policy in (found.policy, learned.policy):
        apart = [0.5 * np.abs(policy.at(h) - expert.at(h)).sum(axis=1) for h in range(HORIZON)]
        assert float((visits * apart).sum()) < 0.05


def test_states_are_numbered_as_they_are_met() -> None:
    played = PettingZooSimulator(pettingzoo.make("parallel", "classic/rps-v2", max_cycles=9), num_states=11, horizon=3)
    rng = np.random.default_rng(0)
    assert [played.reset(rng), played.step(4), played.step(8), played.step(4)] == [0, 1, 2, 1]
    assert played.reset(rng) == 0
    assert played.observations() == {"player_0": 3, "player_1": 3}


def test_tictactoe_explored() -> None:
    env = pettingzoo.make("aec", "classic/tictactoe-v3")
    played = PettingZooSimulator.explored(env, 1500, seed=0, horizon=3)
    assert played.num_states == 1 + 9 + 72 + 1
    runs = roll_out(played, uniform(played), 20, np.random.default_rng(0))
    assert runs.state.max() < 82
    ending = PettingZooSimulator.explored(pettingzoo.make("aec", "classic/tictactoe-v3"), 1, seed=0, horizon=9)
    with pytest.raises(errors.SimulatorFailed) as caught:
        roll_out(ending, uniform(ending), 20, np.random.default_rng(1))
    assert "episodes of explored()" in str(caught.value.__cause__)
    with pytest.raises(errors.GameTooLarge, match="max_states=5 states"):
        PettingZooSimulator.explored(env, 9, seed=0, horizon=3, max_states=5)


def test_simulators_that_misbehave() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(errors.SimulatorFailed, match="call reset"):
        simulator().step(0)
    wrong = legal()
    wrong[0][3:9, 0] = False
    with pytest.raises(errors.SimulatorFailed, match=r"agent 'left' may play \[0, 1, 2\] there, legal= says \[1, 2\]"):
        [simulator(legal=wrong).reset(rng) for _ in range(20)]
    with pytest.raises(errors.SimulatorFailed, match="state_of returned 99"):
        simulator(state_of=lambda env, seen: 99).reset(rng)
    few = PettingZooSimulator(pettingzoo.make("parallel", "classic/rps-v2"), num_states=2, horizon=3)
    few.reset(rng)
    with pytest.raises(errors.SimulatorFailed, match="more than num_states=2"):
        few.step(0)
    with pytest.raises(errors.InvalidOption, match="both given"):
        simulator(key=lambda env, seen: 0)
