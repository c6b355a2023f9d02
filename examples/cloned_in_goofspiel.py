"""Claim: a network cloned from optimal play wins as much as the expert, and can be exploited; repaired, it cannot.

Clones optimal play of OpenSpiel's goofspiel with a PyTorch network, tabulates it, certifies its regret gap, repairs it,
and hands it back to OpenSpiel. Needs the ``games`` and ``learned`` extras.
"""

import numpy as np
import torch
from open_spiel.python.algorithms import expected_game_score

import mailopt as mo
from mailopt.interop import openspiel
from mailopt.interop.learned import from_torch, tabulate

SPEC = "goofspiel(num_cards=4,imp_info=False,points_order=descending)"


def main() -> None:
    unrolled = openspiel.unroll(SPEC)
    game, expert = unrolled.game, mo.zero_sum_equilibrium(unrolled.game).policy
    root = unrolled.states[0]
    assert root is not None
    features = np.array([(node or root).observation_tensor(0) for node in unrolled.states])

    shown = unrolled.play_outs(expert, 1000, seed=0).trajectories
    assert shown is not None
    inputs = torch.tensor(features[shown.states.ravel()], dtype=torch.float32)
    labels = torch.tensor(shown.joint_actions.ravel())
    torch.manual_seed(0)
    torch.set_num_threads(1)  # small networks are slow on several
    network = torch.nn.Sequential(
        torch.nn.Linear(features.shape[1], 32), torch.nn.Tanh(), torch.nn.Linear(32, game.num_joint_actions)
    )
    optimiser = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(200):
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(inputs), labels)
        loss.backward()
        optimiser.step()

    policy = tabulate(game, from_torch(network), features, outputs="logits", illegal="mask")
    gap = mo.regret_gap(game, policy, expert)
    certificate = mo.certify(game, policy, expert)
    print(f"cross-entropy after training   {float(loss.detach()):.4f}")
    print(f"value gap                      {mo.value_gap(game, policy, expert).value:.4f}")
    verdict = mo.verify(certificate, game, policy, expert)
    print(f"regret gap                     {gap.value:.4f}, certified: {verdict.valid}")

    repaired = mo.repair(game, policy, epsilon=0.05).policy
    print(f"regret gap, repaired           {mo.regret_gap(game, repaired, expert).value:.4f}")

    theirs = expected_game_score.policy_value(root, unrolled.export(expert))  # of independent players, as the expert's
    assert np.abs(theirs - mo.values(game, expert).value).max() < 1e-9
    joint = unrolled.export(repaired).joint_action_probabilities(root)
    print("the repaired mediator's first recommendation in OpenSpiel:", max(joint, key=lambda pair: pair[1])[0])
    assert gap.lower > 0.1
    assert verdict.valid


if __name__ == "__main__":
    main()
