"""Policies to and from OpenSpiel: networks, correlated profiles, correlation devices, and export."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyspiel
import pytest
import torch
from open_spiel.python import policy as spiel_policy
from open_spiel.python import rl_agent_policy, rl_environment
from open_spiel.python.algorithms import best_response, expected_game_score
from open_spiel.python.pytorch import policy_gradient

import mailopt as mo
from mailopt import errors
from mailopt.interop.openspiel import UnrolledGame, unroll
from tests.random_games import random_policy

GOOFSPIEL = "goofspiel(num_cards=4,imp_info=False,points_order=descending)"
GAMES = [
    GOOFSPIEL,
    "goofspiel(num_cards=3,imp_info=False,points_order=random)",
    "tic_tac_toe()",
    "nim(pile_sizes=1;2;2)",
    "repeated_game(stage_game=matrix_pd(),num_repetitions=3)",
    "matching_pennies_3p()",
]


def random_product(game: mo.MarkovGame, seed: int, *, stationary: bool = True) -> mo.CorrelatedPolicy:
    rng = np.random.default_rng(seed)
    steps = () if stationary else (game.horizon or 1,)
    factors = []
    for legal in game.legal:
        weights = rng.exponential(size=(*steps, *legal.shape)) * legal
        factors.append(weights / weights.sum(axis=-1, keepdims=True))
    return mo.CorrelatedPolicy.product(factors)


def roots(unrolled: UnrolledGame) -> Any:
    return pyspiel.load_game(unrolled.spec).new_initial_state()


def spiel_values(node: Any, policy: Any) -> Any:
    """Values by OpenSpiel's own recursion over its tree; it wants a list where players take turns."""
    given = policy
    if node.get_game().get_type().dynamics == pyspiel.GameType.Dynamics.SEQUENTIAL:
        given = [policy] * node.num_players()
    return expected_game_score.policy_value(node, given)


@pytest.mark.parametrize("spec", [spec for spec in GAMES if spec != "tic_tac_toe()"])
def test_values_of_an_exported_policy_by_openspiel(spec: str) -> None:
    unrolled = unroll(spec)
    for stationary in (True, False):
        policy = random_product(unrolled.game, 1, stationary=stationary)
        found = spiel_values(roots(unrolled), unrolled.export(policy))
        np.testing.assert_allclose(found, mo.values(unrolled.game, policy).value, rtol=0, atol=1e-12)


def test_values_of_a_policy_by_step_where_time_is_no_part_of_the_state() -> None:
    unrolled = unroll("repeated_game(stage_game=matrix_bos(),num_repetitions=3)", time="step", key=lambda node: 0)
    assert unrolled.game.num_states == 2
    policy = random_product(unrolled.game, 3, stationary=False)
    found = spiel_values(roots(unrolled), unrolled.export(policy))
    np.testing.assert_allclose(found, mo.values(unrolled.game, policy).value, rtol=0, atol=1e-12)


@pytest.mark.parametrize("spec", GAMES)
def test_nothing_is_lost_on_the_way_to_openspiel_and_back(spec: str) -> None:
    unrolled = unroll(spec)
    policy = random_product(unrolled.game, 2)
    back = unrolled.tabulate(unrolled.export(policy))
    np.testing.assert_allclose(back.probabilities, policy.probabilities, rtol=0, atol=1e-15)
    correlated = random_policy(np.random.default_rng(2), unrolled.game)
    back = unrolled.tabulate(unrolled.export(correlated))
    np.testing.assert_allclose(back.probabilities, correlated.probabilities, rtol=0, atol=1e-15)


@pytest.mark.parametrize("spec", [GOOFSPIEL, "nim(pile_sizes=1;2;2)"])
def test_tables_of_openspiel_in_python_and_in_c(spec: str) -> None:
    unrolled = unroll(spec)
    policy = random_product(unrolled.game, 5)
    exported = unrolled.export(policy)
    tables = [exported.to_tabular(players=[player]) for player in range(2)]
    in_c = [spiel_policy.python_policy_to_pyspiel_policy(table) for table in tables]
    for given in (tables, in_c):
        np.testing.assert_allclose(unrolled.tabulate(given).probabilities, policy.probabilities, rtol=0, atol=1e-15)
    if "nim" in spec:  # expected_returns fails on simultaneous games
        in_one = spiel_policy.python_policy_to_pyspiel_policy(exported.to_tabular())
        found = pyspiel.expected_returns(roots(unrolled), in_one, -1, True)
        np.testing.assert_allclose(found, mo.values(unrolled.game, policy).value, rtol=0, atol=1e-12)
    else:  # both players of goofspiel read the same text
        with pytest.raises(errors.InvalidPolicy, match="one table for each"):
            exported.to_tabular()


def test_recommendations_that_are_correlated_have_no_probabilities_of_one_player() -> None:
    unrolled = unroll(GOOFSPIEL)
    exported = unrolled.export(random_policy(np.random.default_rng(0), unrolled.game))
    with pytest.raises(errors.InvalidPolicy, match=r"step 0, state 0 \(0: P0 hand: 1 2 3 4 .*joint_action_prob"):
        exported.action_probabilities(roots(unrolled), 0)
    total = sum(p for _, p in exported.joint_action_probabilities(roots(unrolled)))
    assert total == pytest.approx(1.0, abs=1e-12)


def test_openspiel_finds_no_better_response_to_an_exported_equilibrium() -> None:
    unrolled = unroll(GOOFSPIEL)
    found = mo.zero_sum_equilibrium(unrolled.game)
    exported = unrolled.export(found.policy)
    root = roots(unrolled)
    for player in range(2):
        response = best_response.BestResponsePolicy(root.get_game(), player, exported, root)
        assert response.value(root) == pytest.approx(mo.values(unrolled.game, found.policy).value[player], abs=1e-7)


def test_networks_of_reinforcement_learning_agents() -> None:
    torch.manual_seed(0)
    unrolled = unroll(GOOFSPIEL)
    game = pyspiel.load_game(GOOFSPIEL)
    environment = rl_environment.Environment(game)
    inputs = environment.observation_spec()["info_state"][0]
    agents = {
        player: policy_gradient.PolicyGradient(
            player, inputs, environment.action_spec()["num_actions"], hidden_layers_sizes=[8]
        )
        for player in range(2)
    }
    joint = rl_agent_policy.JointRLAgentPolicy(game, agents, use_observation=False)
    policy = unrolled.tabulate(joint)
    np.testing.assert_allclose(
        mo.values(unrolled.game, policy).value, spiel_values(game.new_initial_state(), joint), rtol=0, atol=1e-12
    )
    assert mo.regret(unrolled.game, policy).value > 0.1  # untrained


class Single(spiel_policy.Policy):  # type: ignore[misc]
    """Rows of single precision, whose sums are not one in double precision; off by more if asked."""

    def __init__(self, game: Any, off: float = 0.0) -> None:
        super().__init__(game, [0, 1])
        self.off = off

    def action_probabilities(self, state: Any, player_id: int | None = None) -> dict[int, np.float32]:
        legal = state.legal_actions(player_id)
        weights = np.arange(3, 3 + len(legal), dtype=np.float32)
        return dict(zip(legal, weights / weights.sum() + np.float32(self.off), strict=True))


def test_rows_of_single_precision_are_taken_for_what_they_are() -> None:
    unrolled = unroll(GOOFSPIEL)
    game = pyspiel.load_game(GOOFSPIEL)
    row = Single(game).action_probabilities(game.new_initial_state(), 0)
    assert sum(map(float, row.values())) != 1.0
    tabulated = unrolled.tabulate(Single(game)).marginal(0, unrolled.game)[0]
    np.testing.assert_allclose(tabulated, np.array(list(row.values()), dtype=float), rtol=1e-6)
    with pytest.raises(errors.PolicyDistribution, match=r"policy of player 0, state 0 .*within 1e-05"):
        unrolled.tabulate(Single(game, off=1e-4))


@pytest.mark.parametrize("name", ["matrix_bos()", "matrix_pd()", "matrix_shapleys_game()"])
def test_correlation_devices_against_openspiel(name: str) -> None:
    unrolled = unroll(name)
    game = pyspiel.load_game(name)
    policies = [random_product(unrolled.game, seed) for seed in range(3)]
    weights = [0.5, 0.25, 0.25]
    device = [
        (weight, spiel_policy.python_policy_to_pyspiel_policy(unrolled.export(policy).to_tabular()))
        for weight, policy in zip(weights, policies, strict=True)
    ]
    back, shares = unrolled.tabulate_device(device)
    assert shares == weights
    for one, other in zip(policies, back, strict=True):
        np.testing.assert_allclose(one.probabilities, other.probabilities, rtol=0, atol=1e-15)
    together = mo.CorrelatedPolicy.mixture(back, shares)
    gains = mo.regret(unrolled.game, together, mo.External()).per_agent
    turn_based = pyspiel.convert_to_turn_based(game)
    table = spiel_policy.TabularPolicy(turn_based)
    sequential = []
    for weight, policy in zip(weights, policies, strict=True):
        for player in range(2):
            for key in table.states_per_player[player]:
                table.policy_for_key(key)[:] = policy.marginal(player, unrolled.game)[0]
        sequential.append((weight, spiel_policy.python_policy_to_pyspiel_policy(table)))
    distances = pyspiel.cce_dist(turn_based, sequential).deviation_incentives
    np.testing.assert_allclose(np.maximum(gains, 0.0), distances, rtol=0, atol=1e-12)


def discounted_value(node: Any, steps: int, discount: float, known: dict[Any, Any]) -> Any:
    """Discounted rewards of uniform play over so many decisions, by plain recursion over OpenSpiel's nodes."""
    if node.is_terminal() or steps == 0:
        return np.zeros(node.num_players())
    if node.is_chance_node():
        return sum(p * discounted_value(node.child(a), steps, discount, known) for a, p in node.chance_outcomes())
    key = (str(node), steps)
    if key not in known:
        legal = [node.legal_actions(player) for player in range(2)]
        total = np.zeros(2)
        for first in legal[0]:
            for second in legal[1]:
                child = node.clone()
                child.apply_actions([first, second])
                total += paid(child, node) + discount * discounted_value(child, steps - 1, discount, known)
        known[key] = total / (len(legal[0]) * len(legal[1]))
    return known[key]


def paid(node: Any, before: Any) -> Any:
    if node.is_chance_node():
        return sum(p * paid(node.child(a), before) for a, p in node.chance_outcomes())
    return np.array(node.returns()) - np.array(before.returns())


def test_laser_tag_as_a_discounted_game() -> None:
    spec, discount, steps = "laser_tag(grid=S.S)", 0.25, 12
    unrolled = unroll(spec, discount=discount)
    policy = mo.CorrelatedPolicy.uniform(unrolled.game)
    expected = discounted_value(pyspiel.load_game(spec).new_initial_state(), steps, discount, {})
    tail = discount**steps / (1 - discount)  # a tag pays 1
    assert np.abs(expected).max() > 100 * tail
    np.testing.assert_allclose(mo.values(unrolled.game, policy).value, expected, rtol=0, atol=tail)


def test_a_repeated_game_without_memory_is_one_state() -> None:
    unrolled = unroll("repeated_game(stage_game=matrix_pd(),num_repetitions=1000)", discount=0.75, key=lambda node: 0)
    stage = unroll("matrix_pd()").game
    assert unrolled.game.num_states == 2
    policy = random_policy(np.random.default_rng(0), unrolled.game)
    once = mo.CorrelatedPolicy(np.vstack([policy.probabilities[:1], np.eye(4)[:1]]))
    for deviations in (mo.Swap(), mo.External()):
        repeated = mo.regret(unrolled.game, policy, deviations).value
        assert repeated == pytest.approx(4 * mo.regret(stage, once, deviations).value, abs=1e-9)


def test_a_game_that_is_too_large_says_what_was_found_and_what_to_do() -> None:
    with pytest.raises(errors.GameTooLarge, match="max_states=50") as caught:
        unroll(GOOFSPIEL, max_states=50)
    for part in (
        "50 were found",
        "after 2 decisions",
        "not yet expanded",
        "smaller parameters",
        "discount",
        "from_samp",
    ):
        assert part in str(caught.value)


def test_rewards_that_do_not_fit_in_memory_are_refused_before_they_are_made() -> None:
    with pytest.raises(errors.GameTooLarge, match=r"rewards are \d+ numbers or more"):
        unroll("blotto(coins=30,fields=3,players=4)")
