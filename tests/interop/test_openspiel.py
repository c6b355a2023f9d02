"""OpenSpiel games as Markov games, against OpenSpiel's own best responses and values."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Hashable
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
import pyspiel
import pytest
from open_spiel.python import policy as spiel_policy
from open_spiel.python.algorithms import best_response, expected_game_score

import mailopt as mo
from mailopt import errors
from mailopt.games.numbers import FloatArray
from mailopt.interop.openspiel import UnrolledGame, unroll

TOLERANCE = 1e-9
CLASSES = (mo.Swap(), mo.External())

GOOFSPIEL = [
    f"goofspiel(num_cards={cards},imp_info=False,points_order={order})"
    for cards in (3, 4)
    for order in ("descending", "ascending", "random")
]
OSHI_ZUMO = [
    *(f"oshi_zumo(coins={coins},min_bid=1)" for coins in (3, 4, 5)),
    *(f"oshi_zumo(coins={coins},min_bid=0,horizon=3)" for coins in (3, 4, 5)),
    "oshi_zumo(coins=3,min_bid=0,horizon=4)",
]
ONE_SHOT = [
    "matrix_rps()",
    "matrix_pd()",
    "matrix_shapleys_game()",
    "matrix_bos()",
    "matrix_sh()",
    "matrix_mp()",
    "matching_pennies_3p()",
    "blotto(coins=4,fields=3)",
]
TURN_BASED = ["nim(pile_sizes=1;2;2)", "mnk(m=3,n=2,k=2)", "connect_four(rows=3,columns=3,x_in_row=3)"]
OTHERS = [
    "repeated_game(stage_game=matrix_pd(),num_repetitions=3)",
    "goofspiel(num_cards=3,players=3,imp_info=False,points_order=descending,returns_type=point_difference)",
]
# OpenSpiel computes no best responses here, because these have no information states
VALUES_ONLY = [
    "markov_soccer(horizon=3)",
    "pig(winscore=5,horizon=5)",
    "catch(rows=4,columns=3)",
    "pathfinding(horizon=5)",
]


class KeyedPolicy(spiel_policy.Policy):  # type: ignore[misc]
    """Probabilities looked up by the printed node; all of a player's nodes of one print play alike."""

    def __init__(self, game: Any, choose: Callable[[Any, int], dict[int, float]]) -> None:
        super().__init__(game, list(range(game.num_players())))
        self._choose = choose
        self._table: dict[tuple[str, int], dict[int, float]] = {}

    def action_probabilities(self, state: Any, player_id: int | None = None) -> dict[int, float]:
        player = state.current_player() if player_id is None else player_id
        where = (str(state), player)
        if where not in self._table:
            self._table[where] = self._choose(state, player)
        return self._table[where]


def random_policy(game: Any, seed: int) -> KeyedPolicy:
    rng = np.random.default_rng(seed)

    def choose(state: Any, player: int) -> dict[int, float]:
        legal = state.legal_actions(player)
        return dict(zip(legal, rng.dirichlet(np.ones(len(legal))).tolist(), strict=True))

    return KeyedPolicy(game, choose)


def policies(game: Any) -> list[Any]:
    return [spiel_policy.UniformRandomPolicy(game), random_policy(game, seed=1)]


def spiel_values(game: Any, policy: Any) -> FloatArray:
    sequential = game.get_type().dynamics == pyspiel.GameType.Dynamics.SEQUENTIAL
    given = [policy] * game.num_players() if sequential else policy
    return np.array(expected_game_score.policy_value(game.new_initial_state(), given))


@cache
def unrolled(spec: str) -> UnrolledGame:
    return unroll(spec)


@pytest.mark.parametrize("spec", [*GOOFSPIEL, *OSHI_ZUMO, *ONE_SHOT, *TURN_BASED, *OTHERS])
@pytest.mark.parametrize("which", [0, 1], ids=["uniform", "random"])
def test_gains_are_those_of_openspiels_best_response(spec: str, which: int) -> None:
    spiel = pyspiel.load_game(spec)
    policy = policies(spiel)[which]
    ours = unrolled(spec)
    sigma = ours.tabulate(policy)
    obedience = spiel_values(spiel, policy)
    assert mo.values(ours.game, sigma).value == pytest.approx(obedience, abs=TOLERANCE)
    for player in range(spiel.num_players()):
        response = best_response.BestResponsePolicy(spiel, player, policy).value(spiel.new_initial_state())
        for deviations in CLASSES:
            gain = mo.best_deviation(ours.game, sigma, player, deviations).gain
            assert gain == pytest.approx(response - obedience[player], abs=TOLERANCE)


@pytest.mark.parametrize("spec", VALUES_ONLY)
def test_values_are_openspiels(spec: str) -> None:
    spiel = pyspiel.load_game(spec)
    ours = unrolled(spec)
    for policy in policies(spiel):
        found = mo.values(ours.game, ours.tabulate(policy)).value
        assert found == pytest.approx(spiel_values(spiel, policy), abs=TOLERANCE)


@pytest.mark.parametrize("spec", ["nim(pile_sizes=1;2;2)", "connect_four(rows=2,columns=3,x_in_row=2)"])
def test_history_as_key_reproduces_any_policy(spec: str) -> None:
    """OpenSpiel's C++ random policy depends on the history; its C++ best response checks ours."""
    spiel = pyspiel.load_game(spec)
    policy = pyspiel.GetRandomPolicy(spiel, 3)
    ours = unroll(spiel, key=lambda state: state.history_str())
    sigma = ours.tabulate(policy)
    obedience = pyspiel.expected_returns(spiel.new_initial_state(), policy, -1, True)
    assert mo.values(ours.game, sigma).value == pytest.approx(obedience, abs=TOLERANCE)
    for player in range(2):
        response = pyspiel.TabularBestResponse(spiel, player, policy).value(
            str(spiel.new_initial_state().history_str())
        )
        gain = mo.best_deviation(ours.game, sigma, player).gain
        assert gain == pytest.approx(response - obedience[player], abs=TOLERANCE)
    with pytest.raises(errors.InvalidPolicy, match="differs between two histories"):
        unrolled(spec).tabulate(policy)


SAME_IN_BOTH_TIMES = [
    "goofspiel(num_cards=3,imp_info=False,points_order=random)",
    "oshi_zumo(coins=4,min_bid=1)",
    "oshi_zumo(coins=4,min_bid=0,horizon=3)",
    "oshi_zumo(coins=3,min_bid=0,horizon=4)",
    "markov_soccer(horizon=4)",
    "pig(winscore=5,horizon=6)",
    "nim(pile_sizes=1;2;2)",
    "pathfinding(horizon=6)",
    "matrix_pd()",
]


@pytest.mark.parametrize("spec", SAME_IN_BOTH_TIMES)
def test_step_and_layered_time_agree(spec: str) -> None:
    layered, step = unrolled(spec), unroll(spec, time="step")
    assert step.game.num_states <= layered.game.num_states
    assert step.game.horizon == layered.game.horizon
    policy = random_policy(pyspiel.load_game(spec), seed=2)
    by_layer, by_step = layered.tabulate(policy), step.tabulate(policy)
    expected, found = mo.values(layered.game, by_layer).value, mo.values(step.game, by_step).value
    assert found == pytest.approx(expected, abs=TOLERANCE)
    for deviations in CLASSES:
        in_layers = mo.regret(layered.game, by_layer, deviations).per_agent
        assert mo.regret(step.game, by_step, deviations).per_agent == pytest.approx(in_layers, abs=TOLERANCE)


def test_steps_share_a_kernel_only_if_they_agree() -> None:
    assert len(unroll("oshi_zumo(coins=4,min_bid=1)", time="step").game.kernels) == 1
    game = unroll("oshi_zumo(coins=3,min_bid=0,horizon=3)", time="step").game
    assert len(game.kernels) == 3
    assert game.rewards.shape == (3, 2, game.num_states, game.num_joint_actions)
    reached = mo.occupancy(game, mo.CorrelatedPolicy.uniform(game)).sum(axis=2) > 0
    for h in range(3):
        for s in np.flatnonzero(~reached[h]):
            legal = game.joint_legal[s]
            assert not game.reward(h)[:, s].any()
            rows = game.kernel(h).rows()[[s * game.num_joint_actions + a for a in np.flatnonzero(legal)]].toarray()
            assert (rows[:, s] == 1).all()


@pytest.mark.parametrize(
    ("spec", "decision_nodes", "horizon"),
    [
        ("tic_tac_toe()", 4520, 9),  # 5478 positions, 958 of them final
        ("matrix_rps()", 1, 1),
        ("goofspiel(num_cards=3,imp_info=False,points_order=descending)", 1 + 9, 2),  # the last card plays itself
    ],
)
def test_known_sizes(spec: str, decision_nodes: int, horizon: int) -> None:
    ours = unrolled(spec)
    assert (ours.game.num_states, ours.game.horizon) == (decision_nodes + 1, horizon)
    assert len(ours.states) == ours.game.num_states
    assert ours.states[-1] is None
    assert ours.spec == spec.replace("num_cards=3,imp_info=False", "imp_info=False,num_cards=3")
    assert isinstance(ours.game.kernels[0], mo.DeterministicKernel)


def test_turn_based_states_have_one_active_agent() -> None:
    ours = unrolled("mnk(m=3,n=2,k=2)")
    for s, node in enumerate(ours.states):
        for agent in range(2):
            active = node is not None and node.current_player() == agent
            legal = np.flatnonzero(ours.game.legal[agent][s]).tolist()
            assert legal == (node.legal_actions() if node is not None and active else [0])


def test_terminal_state_absorbs_for_nothing() -> None:
    game = unrolled("oshi_zumo(coins=3,min_bid=1)").game
    last = game.num_states - 1
    assert np.flatnonzero(game.joint_legal[last]).tolist() == [0]
    assert not game.rewards[:, last].any()
    assert game.kernels[0].rows()[[last * game.num_joint_actions]].toarray().argmax() == last


def test_names() -> None:
    game = unrolled("connect_four(rows=3,columns=3,x_in_row=3)").game
    assert game.state_name(0) == "0: ... | ... | ... (player 0 to move)"
    assert game.state_name(game.num_states - 1) == "terminal"
    assert game.action_names == (("x0", "x1", "x2"), ("o0", "o1", "o2"))
    assert unroll("connect_four(rows=3,columns=3,x_in_row=3)", time="step").game.state_name(0).startswith("...")
    nim = unrolled("nim(pile_sizes=1;2;2)").game.action_names
    assert nim is not None
    assert nim[0][0] == "pile:1, take:1;"


def test_chance_gives_initial_and_transition_probabilities() -> None:
    game = unrolled("goofspiel(num_cards=4,imp_info=False,points_order=random)").game
    assert np.count_nonzero(game.initial) == 4
    assert game.initial[:4] == pytest.approx([0.25] * 4)
    assert game.kernels[0].row_sums[game.joint_legal] == pytest.approx(1.0)
    rows = game.kernels[0].rows()
    assert rows.data[rows.indptr[0] : rows.indptr[1]] == pytest.approx([1 / 3] * 3)


def test_chance_after_a_joint_action_averages_rewards() -> None:
    """Who moves first is drawn after the joint action, and may decide who scores."""
    game = unroll("markov_soccer(grid=.B\nAO)", discount=0.9)
    rewards = []
    for s, node in enumerate(game.states[:-1]):
        assert node is not None
        for a in np.flatnonzero(game.game.joint_legal[s]):
            chance = node.clone()
            chance.apply_actions(list(game.game.joint_action(int(a))))
            outcomes = chance.chance_outcomes()
            expected = sum(p * np.array(chance.child(outcome).returns()) for outcome, p in outcomes)
            assert game.game.rewards[:, s, a] == pytest.approx(expected, abs=TOLERANCE)
            rewards.append(expected[0])
    assert {-1.0, -0.5, 0.0, 0.5, 1.0} >= set(rewards) > {0.0}
    assert 0.5 in np.abs(rewards)


class TreeGame(pyspiel.Game):  # type: ignore[misc]
    """One player on a tree: ("chance", [(p, child)]), ("decide", key, paid so far, children), ("end", paid in all)."""

    def __init__(self, tree: Any) -> None:
        kind = pyspiel.GameType
        game_type = kind(
            short_name="tree",
            long_name="tree",
            dynamics=kind.Dynamics.SEQUENTIAL,
            chance_mode=kind.ChanceMode.EXPLICIT_STOCHASTIC,
            information=kind.Information.PERFECT_INFORMATION,
            utility=kind.Utility.GENERAL_SUM,
            reward_model=kind.RewardModel.REWARDS,
            max_num_players=1,
            min_num_players=1,
            provides_information_state_string=False,
            provides_information_state_tensor=False,
            provides_observation_string=False,
            provides_observation_tensor=False,
        )
        super().__init__(game_type, pyspiel.GameInfo(2, 2, 1, -9.0, 9.0, None, 9), {})
        self.tree = tree

    def new_initial_state(self) -> TreeState:
        return TreeState(self)


class TreeState(pyspiel.State):  # type: ignore[misc]
    def __init__(self, game: TreeGame) -> None:
        super().__init__(game)
        self.tree = game.tree

    def current_player(self) -> int:
        return int({"chance": pyspiel.PlayerId.CHANCE, "decide": 0, "end": pyspiel.PlayerId.TERMINAL}[self.tree[0]])

    def is_terminal(self) -> bool:
        return bool(self.tree[0] == "end")

    def _legal_actions(self, player: int) -> list[int]:
        return list(range(len(self.tree[3])))

    def chance_outcomes(self) -> list[tuple[int, float]]:
        return [(k, p) for k, (p, _) in enumerate(self.tree[1])]

    def _apply_action(self, action: int) -> None:
        self.tree = self.tree[3][action] if self.tree[0] == "decide" else self.tree[1][action][1]

    def _action_to_string(self, player: int, action: int) -> str:
        return str(action)

    def returns(self) -> list[float]:
        return [0.0 if self.tree[0] == "chance" else float(self.tree[2 if self.tree[0] == "decide" else 1])]

    def __str__(self) -> str:
        return str(self.tree[1])


def test_chance_after_chance() -> None:
    ends = ("chance", [(0.25, ("end", 4.0)), (0.75, ("end", 8.0))])
    after = ("chance", [(0.375, ("end", 2.0)), (0.625, ends)])
    start = ("chance", [(0.75, ("decide", "a", 0.0, [after])), (0.25, ("decide", "b", 0.0, [after]))])
    game = unroll(TreeGame(("chance", [(0.5, start), (0.125, ("end", 0.0)), (0.375, start)]))).game
    assert dict(zip(game.state_names or (), game.initial.tolist(), strict=True)) == {
        "0: a (player 0 to move)": 0.65625,
        "0: b (player 0 to move)": 0.21875,
        "terminal": 0.125,
    }
    assert game.rewards[0, :2, 0].tolist() == [0.375 * 2 + 0.625 * (0.25 * 4 + 0.75 * 8)] * 2


def test_rewards_that_depend_on_the_step_alone() -> None:
    """The state "x" is found at steps 0 and 1 and ends the game at both, but pays differently."""
    early = ("decide", "x", 0.0, [("end", 2.0), ("end", 0.0)])
    late = ("decide", "first", 0.0, [("decide", "x", 1.0, [("end", 6.0), ("end", 1.5)])])
    game = unroll(TreeGame(("chance", [(0.5, early), (0.5, late)])), time="step").game
    assert game.num_states == 3
    assert game.rewards[:, 0, :, 0].tolist() == [[2.0, 1.0, 0.0], [5.0, 0.0, 0.0]]
    assert mo.regret(game, mo.CorrelatedPolicy.uniform(game)).value == 0.5 * 1.0 + 0.5 * 2.25


def test_transitions_that_depend_on_the_step_alone() -> None:
    """The state "x" ends the game at step 0 and leads to "last" at step 1, without pay at both."""
    early = ("decide", "x", 0.0, [("end", 0.0)])
    last = ("decide", "last", 0.0, [("end", 4.0)])
    late = ("decide", "first", 0.0, [("decide", "x", 0.0, [last])])
    game = unroll(TreeGame(("chance", [(0.5, early), (0.5, late)])), time="step").game
    assert (game.num_states, len(game.kernels)) == (4, 3)
    assert mo.values(game, mo.CorrelatedPolicy.uniform(game)).value == 2.0


def test_games_without_a_first_decision_to_reward() -> None:
    with pytest.raises(errors.UnsupportedGame, match="pays before the first decision"):
        unroll(TreeGame(("chance", [(0.5, ("end", 1.0)), (0.5, ("decide", "x", 0.0, [("end", 1.0)]))])))
    with pytest.raises(errors.UnsupportedGame, match="no decision"):
        unroll(TreeGame(("end", 0.0)))


def test_discounted_pig_by_hand() -> None:
    """Roll 2 with probability 1/2 and stop: V = g/2 - g/2 V for the player to move, and nothing is better."""

    def choose(state: Any, player: int) -> dict[int, float]:
        return {0: 1.0} if "Turn total: 0" in str(state) else {1: 1.0}

    ours = unroll("pig(winscore=2,diceoutcomes=2)", discount=Fraction(1, 2))
    sigma = ours.tabulate(KeyedPolicy(pyspiel.load_game("pig"), choose))
    assert mo.values(ours.game, sigma).value == pytest.approx([0.2, -0.2], abs=TOLERANCE)
    assert mo.regret(ours.game, sigma).value == pytest.approx(0.0, abs=TOLERANCE)


def test_discounted_markov_soccer() -> None:
    ours = unroll("markov_soccer", discount=0.9)
    assert (ours.game.num_states, ours.game.horizon) == (1445, None)
    value = mo.values(
        ours.game, ours.tabulate(spiel_policy.UniformRandomPolicy(pyspiel.load_game("markov_soccer")))
    ).value
    assert value == pytest.approx([0.0, 0.0], abs=TOLERANCE)  # by symmetry


@pytest.mark.parametrize("deviations", CLASSES, ids=["swap", "external"])
def test_discounted_markov_soccer_by_dynamic_program_and_linear_program(deviations: mo.Swap | mo.External) -> None:
    spec = "markov_soccer(grid=.OB\nA..)"
    ours = unroll(spec, discount=0.9)
    sigma = ours.tabulate(random_policy(pyspiel.load_game(spec), seed=4))
    value = mo.values(ours.game, sigma).value
    assert abs(value[0]) > 1e-3
    assert value.sum() == pytest.approx(0.0, abs=TOLERANCE)
    for agent in range(2):
        dp, lp = (mo.best_deviation(ours.game, sigma, agent, deviations, method=m).gain for m in ("dp", "lp"))
        assert dp > 0.1
        assert lp == pytest.approx(dp, abs=1e-8)


def test_a_repeated_game_of_one_state_goes_on_for_ever() -> None:
    """The move limit is not met where one visit to each key suffices."""
    ours = unroll("repeated_game(stage_game=matrix_pd(),num_repetitions=9)", key=lambda _: "stage", discount=0.75)
    assert ours.game.num_states == 2
    defect = mo.CorrelatedPolicy.deterministic(ours.game, [[1, 1], [0, 0]])
    assert mo.values(ours.game, defect).value == pytest.approx([4.0, 4.0], abs=TOLERANCE)  # 1 / (1 - 0.75)
    assert mo.regret(ours.game, defect).value == pytest.approx(0.0, abs=TOLERANCE)


def test_move_limit_of_a_discounted_game_is_refused() -> None:
    with pytest.raises(errors.UnsupportedGame, match="move limit"):
        unroll("oshi_zumo(coins=4,horizon=4)", discount=0.9)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("kuhn_poker", "imperfect information"),
        ("goofspiel(num_cards=3,imp_info=True)", "imperfect information"),
        ("mfg_crowd_modelling", "mean field"),
        ("stones_and_gems", "samples its chance"),
        ("no_such_game", "no game 'no_such_game'"),
        ("goofspiel(no_such_parameter=3)", "no_such_parameter"),
    ],
)
def test_unsupported_games(spec: str, message: str) -> None:
    with pytest.raises(errors.UnsupportedGame, match=message):
        unroll(spec)


def test_bad_options() -> None:
    with pytest.raises(errors.InvalidOption, match="'layered', 'step'"):
        unroll("matrix_rps", time="clock")  # type: ignore[arg-type]
    for discount in (1.0, -0.1, float("nan")):
        with pytest.raises(errors.InvalidHorizon, match="discount"):
            unroll("matrix_rps", discount=discount)


def test_max_states() -> None:
    size = unrolled("oshi_zumo(coins=3,min_bid=1)").game.num_states
    assert unroll("oshi_zumo(coins=3,min_bid=1)", max_states=size).game.num_states == size
    with pytest.raises(errors.GameTooLarge, match=f"max_states={size - 1}"):
        unroll("oshi_zumo(coins=3,min_bid=1)", max_states=size - 1)


def without_points(state: Any) -> Hashable:
    return str(state).partition("Points:")[0]


def test_keys_that_merge_different_states_are_refused() -> None:
    spec = "goofspiel(num_cards=4,imp_info=False,points_order=descending)"
    with pytest.raises(errors.UnsupportedGame, match="differ in their legal actions; give key="):
        unroll(spec, key=lambda _: "all alike")
    with pytest.raises(errors.UnsupportedGame, match="differ in what happens next; give key="):
        unroll(spec, key=without_points)


def test_keys_that_merge_different_steps_are_refused() -> None:
    """After a roll of 2 the player must stop: legal actions that differ between steps, not within one."""
    spec = "pig(winscore=2,diceoutcomes=2,horizon=2)"
    assert unroll(spec, key=lambda _: "").game.num_states == 4
    with pytest.raises(errors.UnsupportedGame, match="differ in their legal actions; give key="):
        unroll(spec, key=lambda _: "", time="step")


def test_one_policy_for_each_player() -> None:
    spiel = pyspiel.load_game("oshi_zumo(coins=3,min_bid=1)")
    ours = unrolled(str(spiel))
    first, second = random_policy(spiel, seed=5), spiel_policy.UniformRandomPolicy(spiel)
    sigma = ours.tabulate([first, second])
    for agent, policy in enumerate((first, second)):
        marginal = sigma.marginal(agent, ours.game)
        for s, node in enumerate(ours.states[:-1]):
            for action, p in policy.action_probabilities(node, agent).items():
                assert marginal[s, action] == pytest.approx(p, abs=TOLERANCE)
    with pytest.raises(errors.PolicyShape, match="1 policies are given for 2 players"):
        ours.tabulate([first])


def test_policies_written_in_cpp() -> None:
    spiel = pyspiel.load_game("nim(pile_sizes=1;2;2)")
    ours = unrolled("nim(pile_sizes=1;2;2)")
    uniform = mo.CorrelatedPolicy.uniform(ours.game).probabilities
    assert ours.tabulate(pyspiel.UniformRandomPolicy(spiel)).probabilities == pytest.approx(uniform)
    simultaneous = unrolled("oshi_zumo(coins=3,min_bid=1)")
    sigma = simultaneous.tabulate(pyspiel.PreferredActionPolicy([3, 2, 1, 0]))
    highest = [mask.shape[1] - 1 - mask[:, ::-1].argmax(axis=1) for mask in simultaneous.game.legal]
    expected = mo.CorrelatedPolicy.deterministic(simultaneous.game, np.stack(highest, axis=1))
    assert (sigma.probabilities == expected.probabilities).all()
    with pytest.raises(errors.PolicyDistribution, match=r"player 0, state 0 \(.*sum to 0.0"):
        ours.tabulate(pyspiel.TabularPolicy({}))


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        ({0: 0.5}, errors.PolicyDistribution, "sum to 0.5"),
        ({}, errors.PolicyDistribution, "sum to 0.0"),
        ({0: float("nan"), 1: 1.0}, errors.PolicyNumber, "action 0: nan"),
        ({0: -0.5, 1: 1.5}, errors.PolicyNumber, "action 0: -0.5"),
        ({1: 0.5, 7: 0.5}, errors.IllegalAction, "action 7 is illegal"),
        (None, errors.InvalidPolicy, "has no answer"),
    ],
)
def test_bad_policies_name_the_state(answer: dict[int, float] | None, error: type[Exception], message: str) -> None:
    def choose(state: Any, player: int) -> dict[int, float]:
        if answer is None:
            raise KeyError(str(state))
        return answer

    policy = KeyedPolicy(pyspiel.load_game("matrix_pd"), choose)
    with pytest.raises(error, match=rf"(?s)player 0, state 0 \(0: Terminal\? false.*{message}"):
        unrolled("matrix_pd()").tabulate(policy)


def test_what_is_no_policy() -> None:
    with pytest.raises(errors.InvalidPolicy, match="int is no OpenSpiel policy"):
        unrolled("matrix_pd()").tabulate(3)


class ByTime(spiel_policy.Policy):  # type: ignore[misc]
    """Bids lowest first and highest later."""

    def action_probabilities(self, state: Any, player_id: int | None = None) -> dict[int, float]:
        legal = state.legal_actions(player_id)
        return {legal[-1] if state.move_number() else legal[0]: 1.0}


def test_policies_that_depend_on_time_need_layers() -> None:
    spec = "oshi_zumo(coins=3,min_bid=0,horizon=3)"
    policy = ByTime(pyspiel.load_game(spec), [0, 1])
    layered = unrolled(spec)
    found = mo.values(layered.game, layered.tabulate(policy)).value
    assert found == pytest.approx(spiel_values(pyspiel.load_game(spec), policy), abs=TOLERANCE)
    with pytest.raises(errors.InvalidPolicy, match=r"state 0 \(Coins: 3 3.*differs between two histories"):
        unroll(spec, time="step").tabulate(policy)


def test_openspiel_is_imported_only_when_used(monkeypatch: pytest.MonkeyPatch) -> None:
    program = "import sys, mailopt, mailopt.interop.openspiel; sys.exit('pyspiel' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
    monkeypatch.setitem(sys.modules, "pyspiel", None)
    with pytest.raises(errors.MissingDependency, match=r"mailopt\[games\]"):
        unroll("matrix_rps")
