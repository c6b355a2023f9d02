"""Claim: a central learner that maximises welfare in the prisoner's dilemma recommends what nobody obeys.

Trains stable-baselines3's PPO on joint actions, measures what its recommendations leave to gain, and repairs them.
Needs the ``learned`` extra.
"""

from typing import Any

import gymnasium
import numpy as np
import torch
from stable_baselines3 import PPO

import mailopt as mo
from mailopt.interop.learned import from_stable_baselines3, tabulate

PAYOFFS = np.array([[[3.0, 0.0], [5.0, 1.0]], [[3.0, 5.0], [0.0, 1.0]]])  # cooperate, defect


class Mediated(gymnasium.Env):  # type: ignore[misc]
    """One round, in which a mediator picks the joint action and is paid the sum."""

    observation_space = gymnasium.spaces.Box(0.0, 1.0, (1,))
    action_space = gymnasium.spaces.Discrete(4)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        """Start the round."""
        return np.ones(1, dtype=np.float32), {}

    def step(self, action: Any) -> Any:
        """Play it."""
        return np.ones(1, dtype=np.float32), float(PAYOFFS.sum(axis=0).ravel()[action]), True, False, {}


def main() -> None:
    game = mo.MarkovGame.from_normal_form(PAYOFFS, action_names=[["cooperate", "defect"]] * 2)
    torch.set_num_threads(1)  # so small a network is slower on more
    model = PPO("MlpPolicy", Mediated(), seed=0, n_steps=128, batch_size=64, learning_rate=0.01, device="cpu")
    model.learn(2048)
    policy = tabulate(game, from_stable_baselines3(model), np.ones((1, 1)))
    regret = mo.regret(game, policy)
    cooperation = policy.probabilities[0, 0]
    print(f"PPO recommends that both cooperate with probability {cooperation:.3f}")
    print(f"welfare {mo.values(game, policy).value.sum():.3f}, regret {regret.value:.3f}")
    assert cooperation > 0.9
    assert regret.lower > 1.5

    repaired = mo.repair(game, policy, epsilon=1.0)
    after = mo.regret(game, repaired.policy)
    print(f"repaired: welfare {mo.values(game, repaired.policy).value.sum():.3f}, regret {after.value:.3f}")
    assert after.upper <= 1.0 + 1e-9


if __name__ == "__main__":
    main()
