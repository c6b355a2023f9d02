"""Play-outs of OpenSpiel games against the exact occupancies of the Markov games that they were unrolled to."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pyspiel
import pytest
from open_spiel.python import policy as spiel_policy

import mailopt as mo
from mailopt.errors import InvalidOption, InvalidPolicy, PolicyShape, UnsupportedGame
from mailopt.imitation.demonstrations import Demonstrations
from mailopt.imitation.records import Trajectories
from mailopt.interop.openspiel import UnrolledGame, unroll
from tests.frequencies import excess
from tests.interop.test_openspiel import random_policy as random_spiel_policy
from tests.random_games import random_policy

EPISODES = 800
GAMES = [
    "goofspiel(num_cards=3,imp_info=False,points_order=descending)",
    "goofspiel(num_cards=3,imp_info=False,points_order=random)",
    "oshi_zumo(coins=3,min_bid=0,horizon=3)",
    "matrix_shapleys_game()",
    "matching_pennies_3p()",
    "nim(pile_sizes=1;2;2)",
    "mnk(m=3,n=2,k=2)",
    "pig(winscore=4,horizon=4,diceoutcomes=2)",
    "markov_soccer(horizon=2)",
    "repeated_game(stage_game=matrix_pd(),num_repetitions=3)",
]
TIMES = ["layered", "step"]


@cache
def unrolled(spec: str, time: str) -> UnrolledGame:
    return unroll(spec, time=time)  # type: ignore[arg-type]


def recorded(shown: Demonstrations) -> Trajectories:
    assert shown.trajectories is not None
    return shown.trajectories


def excess_of(shown: Demonstrations, game: mo.MarkovGame, policy: mo.CorrelatedPolicy) -> float:
    """Largest excess over steps of what was seen against the exact occupancy."""
    episodes, worst = recorded(shown), 0.0
    for h, chances in enumerate(mo.occupancy(game, policy)):
        counts = np.zeros(chances.shape)
        np.add.at(counts, (episodes.states[:, h], episodes.joint_actions[:, h]), 1)
        worst = max(worst, excess(counts, chances))
    return worst


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize("spec", GAMES)
def test_recommendations_are_obeyed(spec: str, time: str) -> None:
    ours = unrolled(spec, time)
    generator = np.random.default_rng(0)
    for steps in (None, ours.game.horizon):
        policy = random_policy(generator, ours.game, steps)
        shown = ours.play_outs(policy, EPISODES, seed=1)
        assert excess_of(shown, ours.game, policy) <= 1
        assert shown.episodes == EPISODES


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize("spec", GAMES)
def test_independent_players_are_asked_at_each_node(spec: str, time: str) -> None:
    ours = unrolled(spec, time)
    policy = random_spiel_policy(pyspiel.load_game(spec), seed=2)
    shown = ours.play_outs(policy, EPISODES, seed=3)
    assert excess_of(shown, ours.game, ours.tabulate(policy)) <= 1


def test_each_player_has_its_own_policy() -> None:
    spec = "oshi_zumo(coins=3,min_bid=0,horizon=3)"
    ours, game = unrolled(spec, "layered"), pyspiel.load_game(spec)
    first, second = random_spiel_policy(game, seed=5), spiel_policy.UniformRandomPolicy(game)
    shown = ours.play_outs([first, second], EPISODES, seed=0)
    assert excess_of(shown, ours.game, ours.tabulate([first, second])) <= 1
    assert excess_of(shown, ours.game, ours.tabulate([second, first])) > 1


def test_the_bound_tells_correlation_from_independence() -> None:
    ours = unrolled("matrix_shapleys_game()", "layered")
    rows = np.zeros((2, 9))
    rows[0, [0, 4, 8]], rows[1, 0] = 1 / 3, 1.0
    policy = mo.CorrelatedPolicy(rows)
    shown = ours.play_outs(policy, EPISODES, seed=0)
    assert excess_of(shown, ours.game, policy) <= 1
    assert set(recorded(shown).joint_actions.ravel().tolist()) == {0, 4, 8}


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize(
    "spec", ["nim(pile_sizes=1;2;2)", "mnk(m=3,n=2,k=2)", "oshi_zumo(coins=3,min_bid=0,horizon=3)"]
)
def test_what_was_recorded_can_be_played_again(spec: str, time: str) -> None:
    """Without chance the joint actions lead through nodes whose printed forms name the states; ends stay ends."""
    ours = unrolled(spec, time)
    shown = ours.play_outs(mo.CorrelatedPolicy.uniform(ours.game), 60, seed=4)
    terminal, early = ours.game.num_states - 1, 0
    for states, joint in zip(recorded(shown).states.tolist(), recorded(shown).joint_actions.tolist(), strict=True):
        node = pyspiel.load_game(spec).new_initial_state()
        for step, (state, action) in enumerate(zip(states, joint, strict=True)):
            if node.is_terminal():
                early += 1
                assert states[step:] == [terminal] * len(states[step:])
                assert joint[step:] == [0] * len(states[step:])
                break
            name = " | ".join(line.rstrip() for line in str(node).splitlines())
            assert name in ours.game.state_name(state)
            if time == "layered":
                assert ours.game.state_name(state).startswith(f"{step}: ")
            played = ours.game.joint_action(action)
            if node.is_simultaneous_node():
                node.apply_actions(list(played))
            else:
                node.apply_action(played[node.current_player()])
        else:
            assert node.is_terminal()
    if "mnk" not in spec:
        assert early > 0


def test_what_was_recorded_teaches_as_samples_do() -> None:
    ours = unrolled(GAMES[0], "layered")
    policy = mo.CorrelatedPolicy.uniform(ours.game)
    shown = ours.play_outs(policy, 300, seed=0)
    shown.check(ours.game)
    again = ours.play_outs(policy, 300, seed=0)
    np.testing.assert_array_equal(shown.occupancy, again.occupancy)
    generator = np.random.default_rng(0)
    np.testing.assert_array_equal(ours.play_outs(policy, 300, seed=generator).occupancy, shown.occupancy)
    assert (ours.play_outs(policy, 300, seed=generator).occupancy != shown.occupancy).any()


def test_discounted_games_are_cut_off() -> None:
    ours = unroll("pig(winscore=2,diceoutcomes=2)", discount=0.5)
    policy = random_policy(np.random.default_rng(1), ours.game)
    shown = ours.play_outs(policy, EPISODES, seed=0, steps=6)
    states, joint = recorded(shown).states, recorded(shown).joint_actions
    assert states.shape == (EPISODES, 6)
    here = ours.game.initial_distribution
    for t in range(6):
        counts = np.zeros(ours.game.joint_legal.shape)
        np.add.at(counts, (states[:, t], joint[:, t]), 1)
        chances = here[:, None] * policy.at(t)
        assert excess(counts, chances) <= 1
        here = ours.game.kernel(0).push_forward(chances)
    with pytest.raises(InvalidOption, match="give the length of an episode"):
        ours.play_outs(policy, 1, seed=0)


def test_a_move_limit_that_unrolling_did_not_meet() -> None:
    spec = "repeated_game(stage_game=matrix_pd(),num_repetitions=4)"
    ours = unroll(spec, key=lambda _: "stage", discount=0.75)
    uniform = mo.CorrelatedPolicy.uniform(ours.game)
    assert ours.play_outs(uniform, 5, seed=0, steps=4).seen.tolist() == [[True, False]]
    with pytest.raises(UnsupportedGame, match=r"episode 0, step 3: from state 0 .* state 1, .*move limit was met"):
        ours.play_outs(uniform, 5, seed=0, steps=5)


def test_a_key_that_changes_its_mind() -> None:
    """What the play meets is looked up with the same key; an answer that unrolling never had is no state."""
    asked: list[int] = []

    def key(node: Any) -> object:
        asked.append(1)
        return str(node) if len(asked) < 100 else len(asked)

    ours = unroll("nim(pile_sizes=1;2)", key=key)
    asked.extend([1] * 100)
    with pytest.raises(UnsupportedGame, match=r"episode 0, step 0: the play reaches .* unrolling did not find"):
        ours.play_outs(mo.CorrelatedPolicy.uniform(ours.game), 1, seed=0)


def test_policies_and_options_that_do_not_fit() -> None:
    ours = unrolled(GAMES[0], "layered")
    uniform = mo.CorrelatedPolicy.uniform(ours.game)
    spiel = spiel_policy.UniformRandomPolicy(pyspiel.load_game(GAMES[0]))
    with pytest.raises(PolicyShape, match="1 policies are given for 2 players"):
        ours.play_outs([spiel], 1, seed=0)
    with pytest.raises(PolicyShape, match="the game has"):
        ours.play_outs(mo.CorrelatedPolicy([[1.0]]), 1, seed=0)
    with pytest.raises(InvalidPolicy, match="a int is no OpenSpiel policy"):
        ours.play_outs(3, 1, seed=0)
    with pytest.raises(InvalidOption, match="episodes is 0"):
        ours.play_outs(uniform, 0, seed=0)
    with pytest.raises(InvalidOption, match="seed is None"):
        ours.play_outs(uniform, 1, seed=None)  # type: ignore[arg-type]
    with pytest.raises(InvalidOption, match="steps is 2, but the game has horizon 2"):
        ours.play_outs(uniform, 1, seed=0, steps=2)
