"""Claim: one rule has one regret, be it in scikit-learn, as ONNX, in PyTorch or in stable-baselines3.

A classifier is cloned from play of a chain game; its weights go into the other frameworks. Needs the ``learned`` extra
and skl2onnx.
"""

import gymnasium
import numpy as np
import skl2onnx
import stable_baselines3
import torch
from sklearn.linear_model import LogisticRegression

import mailopt as mo
from mailopt.interop.learned import from_onnx, from_sklearn, from_stable_baselines3, from_torch, tabulate


class States(gymnasium.Env):  # type: ignore[misc]
    """What stable-baselines3 asks to know of a game: states one-hot, joint actions numbered."""

    def __init__(self, game: mo.MarkovGame) -> None:
        self.observation_space = gymnasium.spaces.Box(0, 1, (game.num_states,), dtype=np.float64)
        self.action_space = gymnasium.spaces.Discrete(game.num_joint_actions)


def main() -> None:
    chain = mo.scenarios.covered_chain(4, coverage=0.25, error=0.125)
    game, features = chain.game, np.eye(chain.game.num_states)
    shown = mo.sample_demonstrations(game, mo.CorrelatedPolicy.uniform(game), 2000, seed=0).trajectories
    assert shown is not None
    classifier = LogisticRegression().fit(features[shown.states.ravel()], shown.joint_actions.ravel())
    weights, offsets = torch.tensor(classifier.coef_), torch.tensor(classifier.intercept_)

    layer = torch.nn.Linear(*reversed(weights.shape)).double()
    onnx = skl2onnx.to_onnx(classifier, features[:1].astype(np.float32), options={"zipmap": False}, target_opset=17)
    model = stable_baselines3.PPO("MlpPolicy", States(game), policy_kwargs={"net_arch": []}, seed=0)
    with torch.no_grad():
        for head in (layer, model.policy.action_net):
            head.weight.copy_(weights)
            head.bias.copy_(offsets)

    policies = {
        "scikit-learn": tabulate(game, from_sklearn(classifier, game.num_joint_actions), features),
        "ONNX": tabulate(game, from_onnx(onnx.SerializeToString()), features),
        "PyTorch": tabulate(game, from_torch(layer), features, outputs="logits"),
        "stable-baselines3": tabulate(game, from_stable_baselines3(model), features),
    }
    regrets = {name: mo.regret(game, policy).value for name, policy in policies.items()}
    for name, value in regrets.items():
        print(f"{name:18} regret {value:.6f}")
    assert max(regrets.values()) - min(regrets.values()) < 1e-5


if __name__ == "__main__":
    main()
