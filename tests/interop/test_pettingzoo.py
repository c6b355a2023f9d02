"""PettingZoo environments as Markov games, against the environments themselves and against OpenSpiel."""

from __future__ import annotations

import copy
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pettingzoo
import pytest

import mailopt as mo
from mailopt import errors
from mailopt.games.numbers import FloatArray
from mailopt.interop import openspiel
from mailopt.interop.pettingzoo import UnrolledEnvironment, unroll
from mailopt.interop.pettingzoo_world import copied, parallel
from tests.interop.environments import Corridor, expected_returns
from tests.random_games import random_policy


def rock_paper_scissors(rounds: int) -> Any:
    return pettingzoo.make("parallel", "classic/rps-v2", max_cycles=rounds)


def returns_of(env: Any, unrolled: UnrolledEnvironment, policy: mo.CorrelatedPolicy, seed: int) -> FloatArray:
    """Expected returns of an exported policy in the environment itself."""
    acting = unrolled.export(policy, seed=0)

    def act(observations: Any, infos: Any, step: int) -> list[tuple[dict[Any, int], float]]:
        acting.reset(seed, step)
        return acting.joint_action_probabilities(env, observations, infos)

    return expected_returns(env, act, seed)


def test_the_corridor_is_a_proper_environment() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PettingZoo's tests import what it has deprecated
        from pettingzoo.test import parallel_api_test  # noqa: PLC0415

        parallel_api_test(Corridor(), num_cycles=20)


@pytest.mark.parametrize("time", ["layered", "step"])
@pytest.mark.parametrize("wind", [False, True])
def test_values_are_the_environments_own(time: Any, wind: bool) -> None:
    env, seeds = Corridor(limit=3, wind=wind), (0, 1, 5)
    unrolled = unroll(env, seeds=seeds, time=time)
    policy = random_policy(np.random.default_rng(0), unrolled.game, unrolled.game.horizon)
    expected = np.mean([returns_of(env, unrolled, policy, seed) for seed in seeds], axis=0)
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(mo.values(unrolled.game, policy).value, expected, rtol=0, atol=1e-12)


def test_rock_paper_scissors_which_cannot_be_copied() -> None:
    env = rock_paper_scissors(2)
    env.reset(seed=0)
    with pytest.raises(TypeError, match="Surface"):
        copied(env)
    unrolled = unroll(env, time="step")
    assert unrolled.game.num_states == 11
    policy = random_policy(np.random.default_rng(1), unrolled.game, unrolled.game.horizon)
    np.testing.assert_allclose(
        mo.values(unrolled.game, policy).value, returns_of(env, unrolled, policy, 0), rtol=0, atol=1e-12
    )
    assert mo.regret(unrolled.game, mo.CorrelatedPolicy.uniform(unrolled.game)).value == pytest.approx(0, abs=1e-12)


def test_tictactoe_is_the_game_of_openspiel_and_its_solution_is_not_beaten() -> None:
    unrolled = unroll(pettingzoo.make("aec", "classic/tictactoe-v3"))
    ours, theirs = unrolled.game, openspiel.unroll("tic_tac_toe").game
    assert (ours.num_states, ours.horizon, ours.actions) == (theirs.num_states, theirs.horizon, theirs.actions)
    assert ours.agent_names == ("player_1", "player_2")
    for game in (ours, theirs):
        uniform = mo.CorrelatedPolicy.uniform(game)
        np.testing.assert_allclose(mo.values(game, uniform).value, [0.2968254, -0.2968254], atol=1e-7)  # OpenSpiel
    for deviations in (mo.Swap(), mo.External()):
        found = [mo.regret(game, mo.CorrelatedPolicy.uniform(game), deviations).per_agent for game in (ours, theirs)]
        np.testing.assert_allclose(found[0], found[1], rtol=0, atol=1e-12)

    optimal = mo.zero_sum_equilibrium(unrolled.game).policy
    env = parallel(pettingzoo.make("aec", "classic/tictactoe-v3"))
    acting = unrolled.export(optimal, seed=0)
    rng = np.random.default_rng(0)
    for _ in range(20):  # the optimal player 2 never loses against anybody
        observations, infos = env.reset(seed=0)
        acting.reset(0)
        returns = 0.0
        while env.agents:
            actions = acting.act(env, observations, infos)
            mask = observations["player_1"]["action_mask"]
            if mask.any():
                actions["player_1"] = int(rng.choice(np.flatnonzero(mask)))
            observations, rewards, _, _, infos = env.step(actions)
            returns += rewards["player_2"]
        assert returns >= 0


def test_deepcopy_alone_loses_the_state() -> None:
    env = Corridor()
    env.reset(seed=3)
    env.step({"left": 0, "right": 0})
    ours = copied(env)
    assert (ours.time, ours.agents) == (1, env.agents)
    assert not np.shares_memory(ours.cells, env.cells)
    assert not copy.deepcopy(env).agents  # never reset: EzPickle made a new one
    wrapped = parallel(pettingzoo.make("aec", "classic/tictactoe-v3"))
    wrapped.reset(seed=0)
    wrapped.step({"player_1": 4, "player_2": 0})
    twin = copied(wrapped)
    twin.step({"player_1": 0, "player_2": 0})
    assert [env.unwrapped.board.squares for env in (wrapped, twin)] == [
        [0] * 4 + [1] + [0] * 4,
        [2, 0, 0, 0, 1, 0, 0, 0, 0],
    ]


def test_states_actions_and_observations() -> None:
    unrolled = unroll(Corridor(), seeds=(0,))
    game = unrolled.game
    assert game.agent_names == ("left", "right")
    assert game.action_names == (("-1", "0", "1"), ("-1", "0", "1"))
    assert unrolled.observations[-1] is None
    features = unrolled.features()
    assert features.shape == (game.num_states, 4)
    assert np.isnan(features[-1]).all()
    for s in range(game.num_states - 1):
        seen = unrolled.observations[s]
        assert seen is not None
        cells = seen["left"]
        assert features[s].tolist() == [*cells, *cells]
        for agent in range(2):
            assert game.legal[agent][s].tolist() == [cells[agent] > 0, True, True]
    assert [len({tuple(row) for row in unrolled.features(agent)[:-1]}) for agent in range(2)] == [4, 4]
    with pytest.raises(errors.UnknownAgent):
        unrolled.features(2)


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_recorded_plays_are_plays_of_the_game(seeds: tuple[int, ...]) -> None:
    unrolled = unroll(Corridor(wind=True), seeds=seeds)
    policy = random_policy(np.random.default_rng(3), unrolled.game)
    shown = unrolled.play_outs(policy, 500, seed=1)
    exact = mo.Demonstrations.from_policy(unrolled.game, policy)
    assert not (shown.seen & ~exact.seen).any()
    assert np.abs(shown.visits - exact.visits).max() < 0.12  # five standard deviations
    with pytest.raises(errors.InvalidOption, match="steps"):
        unrolled.play_outs(policy, 1, seed=0, steps=3)


def test_a_discounted_game_whose_limit_is_not_met() -> None:
    unrolled = unroll(Corridor(limit=1000), discount=0.5)
    layered = unroll(Corridor(limit=12))
    assert unrolled.game.num_states == 5 < layered.game.num_states
    policy = mo.CorrelatedPolicy.uniform(unrolled.game)
    visits = mo.occupancy(layered.game, mo.CorrelatedPolicy.uniform(layered.game))
    discounted = sum(0.5**h * np.einsum("isa,sa->i", layered.game.reward(h), visits[h]) for h in range(12))
    np.testing.assert_allclose(mo.values(unrolled.game, policy).value, discounted, rtol=0, atol=2 * 0.5**12)
    shown = unrolled.play_outs(policy, 5, seed=0, steps=8)
    assert shown.episodes == 5
    with pytest.raises(errors.UnsupportedGame, match="move limit"):
        unroll(Corridor(limit=2), discount=0.5)


def test_an_environment_that_does_not_end_is_cut_off() -> None:
    unrolled = unroll(Corridor(limit=10**9), horizon=4)
    same = unroll(Corridor(limit=4))
    assert unrolled.game.horizon == same.game.horizon == 4
    for game in (unrolled.game, same.game):
        assert game.num_states == same.game.num_states
    np.testing.assert_array_equal(unrolled.game.rewards, same.game.rewards)


def test_chance_that_is_not_in_the_seed_is_found_out() -> None:
    np.random.seed(0)  # noqa: NPY002 - what the environment draws from
    with pytest.raises(errors.UnsupportedGame, match=r"corridor_v0: the same seed and actions .*PettingZooSimulator"):
        unroll(Corridor(unseeded=True))


def test_chance_that_the_key_leaves_out_is_found_out() -> None:
    with pytest.raises(errors.UnsupportedGame, match="key merges states that differ in what happens next"):
        unroll(Corridor(wind=True, length=5, limit=1000), discount=0.9)
    unrolled = unroll(Corridor(limit=2), key=lambda env, seen: str(env.cells), seeds=(0,))
    assert unrolled.game.state_name(0) == "0: [1 1]"


def test_a_key_that_merges_too_much_is_found_out() -> None:
    with pytest.raises(errors.UnsupportedGame, match="key merges"):
        unroll(Corridor(), key=lambda env, seen: 0)
    with pytest.raises(errors.InvalidOption, match="not hashable"):
        unroll(Corridor(), key=lambda env, seen: [0])  # type: ignore[arg-type,return-value]


def test_too_many_states() -> None:
    with pytest.raises(errors.GameTooLarge, match="max_states=20 states: 20 were found") as caught:
        unroll(Corridor(length=6, limit=50), max_states=20)
    for part in ("after 3 decisions", "not yet expanded", "PettingZooSimulator", "discount", "smaller parameters"):
        assert part in str(caught.value)


class Restricted(Corridor):
    """Its last action is never legal."""

    def _infos(self) -> dict[str, Any]:
        infos = super()._infos()
        for info in infos.values():
            info["action_mask"][-1] = False
        return infos


def test_actions_that_are_never_legal_are_actions() -> None:
    game = unroll(Restricted()).game
    assert game.actions == (3, 3)
    assert game.action_names == (("-1", "0", "1"), ("-1", "0", "1"))
    assert not game.legal[0][:, 2].any()


class Continuous(Corridor):
    """Its actions are no numbers of a list."""

    def action_space(self, agent: str) -> Any:
        return self.observation_space(agent)


class Growing(Corridor):
    """An agent joins that was not announced."""

    def step(self, actions: dict[str, int]) -> Any:
        found = super().step(actions)
        self.agents.append("guest")
        return found


class Failing(Corridor):
    """It fails on the way."""

    def step(self, actions: dict[str, int]) -> Any:
        if self.time:
            raise ZeroDivisionError("no way")
        return super().step(actions)


class Unpaid(Corridor):
    """It forgets a reward."""

    def step(self, actions: dict[str, int]) -> Any:
        observations, rewards, *others = super().step(actions)
        return observations, {"left": rewards["left"]}, *others


class Endless(Corridor):
    """It pays no number."""

    def step(self, actions: dict[str, int]) -> Any:
        observations, _, *others = super().step(actions)
        return observations, {"left": float("nan"), "right": 0.0}, *others


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (Continuous(), r"agent 'left' has the action space Box"),
        (Growing(), "agent 'guest' appears"),
        (Endless(), r"seed 0, \[\[0, 0\]\]: the rewards are .*nan"),
        (Unpaid(), "step returned no reward of agent 'right'"),
        (Failing(), r"step\(\{'left': 0, 'right': 0\}\) raised .*no way.*after seed 0, \[\[0, 0\]\]"),
        ("corridor", "a str is no PettingZoo environment"),
    ],
)
def test_environments_that_are_no_games(env: Any, message: str) -> None:
    with pytest.raises(errors.UnsupportedGame, match=message):
        unroll(env)


def test_options() -> None:
    for seeds in ((), (1, 1)):
        with pytest.raises(errors.InvalidOption, match="seeds"):
            unroll(Corridor(), seeds=seeds)
    with pytest.raises(errors.InvalidHorizon, match="horizon and a discount"):
        unroll(Corridor(), horizon=3, discount=0.5)
    with pytest.raises(errors.InvalidOption, match="time is 'later'"):
        unroll(Corridor(), time="later")  # type: ignore[arg-type]
    unrolled = unroll(Corridor(), seeds=(0, 1))
    acting = unrolled.export(mo.CorrelatedPolicy.uniform(unrolled.game), seed=0)
    env = Corridor()
    observations, infos = env.reset(seed=9)
    for seed in (9, None):
        with pytest.raises(errors.InvalidOption, match=rf"seed is {seed}; .* seeds \[0, 1\]"):
            acting.reset(seed)
    acting.reset(1, 4)
    with pytest.raises(errors.UnsupportedGame, match=r"which unrolling did not find.*reset\(\) was forgotten"):
        acting.act(env, observations, infos)
    with pytest.raises(errors.InvalidOption, match="seeds are 3"):
        unroll(Corridor(), seeds=3)  # type: ignore[arg-type]
    with pytest.raises(errors.InvalidOption, match="names states raised TypeError"):
        unroll(Corridor(), key=lambda seen: 0)  # type: ignore[arg-type,misc]


def test_pettingzoo_is_imported_only_when_used(monkeypatch: pytest.MonkeyPatch) -> None:
    program = "import sys, mailopt, mailopt.interop.pettingzoo; sys.exit('pettingzoo' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
    monkeypatch.setitem(sys.modules, "pettingzoo", None)
    with pytest.raises(errors.MissingDependency, match=r"mailopt\[games\]"):
        unroll(Corridor())
