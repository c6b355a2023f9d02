"""From a framework and back: train, tabulate, certify, repair, export, and evaluate where the policy came from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyspiel
import torch
from open_spiel.python import policy as spiel_policy
from open_spiel.python.algorithms import best_response, expected_game_score
from sklearn.neural_network import MLPClassifier

import mailopt as mo
from mailopt.games.numbers import FloatArray
from mailopt.interop import openspiel
from mailopt.interop.learned import from_sklearn, from_torch, tabulate
from mailopt.interop.pettingzoo import UnrolledEnvironment, unroll
from tests.interop.environments import Corridor, expected_returns

GOOFSPIEL = "goofspiel(num_cards=4,imp_info=False,points_order=descending)"
torch.set_num_threads(1)  # small networks are slow on several


class Network(torch.nn.Module):  # type: ignore[misc]
    """A body and a head for each player."""

    def __init__(self, inputs: int, actions: int) -> None:
        super().__init__()
        self.body = torch.nn.Sequential(torch.nn.Linear(inputs, 32), torch.nn.Tanh())
        self.heads = torch.nn.ModuleList(torch.nn.Linear(32, actions) for _ in range(2))

    def forward(self, x: Any) -> tuple[Any, ...]:
        hidden = self.body(x)
        return tuple(head(hidden) for head in self.heads)


class NetworkPolicy(spiel_policy.Policy):  # type: ignore[misc]
    """The network as a user of OpenSpiel would play it: at any node, softmax over the legal actions."""

    def __init__(self, game: Any, network: Network) -> None:
        super().__init__(game, [0, 1])
        self.network = network

    def action_probabilities(self, state: Any, player_id: int | None = None) -> dict[int, float]:
        player = state.current_player() if player_id is None else player_id
        legal = state.legal_actions(player)
        with torch.no_grad():
            logits = self.network(torch.tensor([observed(state)], dtype=torch.float32))[player][0, legal]
        shares = torch.softmax(logits.double(), dim=0)
        return dict(zip(legal, shares.tolist(), strict=True))


def observed(state: Any) -> list[float]:
    return list(state.observation_tensor(0))


def trained(inputs: Any, actions: Any, sizes: tuple[int, int]) -> Network:
    """Behaviour cloning: the likeliest network, by gradient descent."""
    torch.manual_seed(0)
    network = Network(inputs.shape[1], sizes[0])
    optimiser = torch.optim.Adam(network.parameters(), lr=0.02)
    x, labels = torch.tensor(inputs, dtype=torch.float32), torch.tensor(actions)
    for _ in range(200):
        optimiser.zero_grad()
        losses = [torch.nn.functional.cross_entropy(head, labels[:, i]) for i, head in enumerate(network(x))]
        sum(losses).backward()
        optimiser.step()
    return network


def require_proof(verdict: mo.Verdict, gap: mo.RegretGap) -> None:
    assert verdict.valid
    assert verdict.lower is not None
    assert verdict.upper is not None
    assert verdict.lower <= gap.value <= verdict.upper < verdict.lower + 1e-9


def by_nodes(node: Any, joint_policy: Any) -> FloatArray:
    """Values of a joint policy, by recursion over OpenSpiel's tree."""
    if node.is_terminal():
        return np.array(node.returns())
    if node.is_chance_node():
        return np.asarray(sum(p * by_nodes(node.child(a), joint_policy) for a, p in node.chance_outcomes()))
    total = np.zeros(node.num_players())
    for actions, p in joint_policy.joint_action_probabilities(node):
        if p > 0:
            child = node.clone()
            child.apply_actions(list(actions))
            total += p * by_nodes(child, joint_policy)
    return total


def test_a_network_cloned_on_goofspiel() -> None:
    unrolled = openspiel.unroll(GOOFSPIEL)
    game, root = unrolled.game, pyspiel.load_game(GOOFSPIEL).new_initial_state()
    expert = mo.zero_sum_equilibrium(game).policy
    shown = unrolled.play_outs(expert, 1000, seed=0)
    width = len(observed(root))
    features = np.array([observed(node) if node is not None else [0.0] * width for node in unrolled.states])
    assert shown.trajectories is not None
    states, joint = shown.trajectories.states.ravel(), shown.trajectories.joint_actions.ravel()
    actions = np.array([game.joint_action(int(a)) for a in joint])
    network = trained(features[states], actions, game.actions)  # type: ignore[arg-type]

    policy = tabulate(game, from_torch(network), features, outputs="logits", illegal="mask")
    in_openspiel = NetworkPolicy(root.get_game(), network)
    np.testing.assert_allclose(unrolled.tabulate(in_openspiel).probabilities, policy.probabilities, atol=1e-6)
    values = mo.values(game, policy)
    np.testing.assert_allclose(expected_game_score.policy_value(root, in_openspiel), values.value, atol=1e-6)
    regret = mo.regret(game, policy)
    for player in range(2):
        response = best_response.BestResponsePolicy(root.get_game(), player, in_openspiel, root)
        gain = response.value(root) - values.value[player]
        assert abs(gain - regret.per_agent[player]) < 1e-6

    gap = mo.regret_gap(game, policy, expert)
    assert gap.lower > 0.01  # it is worth the trouble
    certificate = mo.certify(game, policy, expert)
    verdict = mo.verify(certificate, game, policy, expert)
    require_proof(verdict, gap)

    epsilon = 0.5 * regret.value
    repaired = mo.repair(game, policy, epsilon=epsilon)
    assert mo.regret(game, repaired.policy).upper <= epsilon + 1e-9
    exported = unrolled.export(repaired.policy)
    np.testing.assert_allclose(by_nodes(root, exported), mo.values(game, repaired.policy).value, rtol=0, atol=1e-12)
    back = unrolled.tabulate(exported).probabilities
    for s, name in enumerate((game.state_names or ())[:-1]):
        np.testing.assert_allclose(back[s], repaired.policy.at(int(name.split(":")[0]))[s], rtol=0, atol=1e-15)


def test_a_classifier_cloned_in_pettingzoo() -> None:
    env = Corridor(length=4, limit=4)
    unrolled: UnrolledEnvironment = unroll(env, seeds=(0,), time="step")
    game, features = unrolled.game, unrolled.features()
    equilibrium = mo.correlated_equilibrium(game, objective="egalitarian").policy
    expert = mo.CorrelatedPolicy.mixture([equilibrium, mo.CorrelatedPolicy.uniform(game)], [0.75, 0.25])
    shown = unrolled.play_outs(expert, 400, seed=0)
    assert shown.trajectories is not None
    states, joint = shown.trajectories.states.ravel(), shown.trajectories.joint_actions.ravel()
    here = states < game.num_states - 1
    classifier = MLPClassifier((16,), max_iter=10_000, random_state=0, solver="lbfgs", alpha=0.1)
    classifier.fit(features[states[here]], joint[here])
    model = from_sklearn(classifier, game.num_joint_actions)
    features[-1] = 0.0
    assert (model(features) * ~game.joint_legal).max() > 1e-6  # else the mask would not matter
    policy = tabulate(game, model, features, illegal="mask")

    def by_classifier(observations: Any, infos: Any, step: int) -> list[tuple[dict[str, int], float]]:
        """Play the classifier as its user would: what it says, of what the masks allow."""
        row = model(np.concatenate([observations[agent] for agent in env.possible_agents], dtype=float)[None])[0]
        pairs = []
        for joint_action in range(game.num_joint_actions):
            parts = game.joint_action(joint_action)
            if all(infos[a]["action_mask"][k] for a, k in zip(env.possible_agents, parts, strict=True)):
                pairs.append((dict(zip(env.possible_agents, (k - 1 for k in parts), strict=True)), row[joint_action]))
        total = sum(p for _, p in pairs)
        return [(actions, p / total) for actions, p in pairs if p > 0]

    np.testing.assert_allclose(
        mo.values(game, policy).value, expected_returns(env, by_classifier, 0), rtol=0, atol=1e-9
    )

    gap = mo.regret_gap(game, policy, expert)
    certificate = mo.certify(game, policy, expert)
    verdict = mo.verify(certificate, game, policy, expert)
    require_proof(verdict, gap)
    repaired = mo.repair(game, policy, epsilon=0.5 * mo.regret(game, policy).value)
    assert mo.regret(game, repaired.policy).value < gap.policy.value
    acting = unrolled.export(repaired.policy, seed=0)

    def by_export(observations: Any, infos: Any, step: int) -> list[tuple[dict[str, int], float]]:
        acting.reset(0, step)
        return acting.joint_action_probabilities(env, observations, infos)

    expected = mo.values(game, repaired.policy).value
    np.testing.assert_allclose(expected, expected_returns(env, by_export, 0), rtol=0, atol=1e-12)
