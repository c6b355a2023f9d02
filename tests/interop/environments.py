"""PettingZoo environments of tests: small, some of them awkward on purpose."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.utils import EzPickle
from pettingzoo import ParallelEnv

from mailopt.games.numbers import FloatArray


class Corridor(ParallelEnv, EzPickle):  # type: ignore[misc]
    """Two walkers on cells 0..length-1; the first to reach the last cell is paid 1 and the episode ends.

    A walker may not leave the corridor (an action mask in the info), and both on one cell pay 1/8 to the other. Seeds
    draw where they start; ``wind`` pushes walkers by chance on top of that.
    """

    metadata = {"name": "corridor_v0"}  # noqa: RUF012 - PettingZoo's way

    def __init__(self, length: int = 3, limit: int = 4, *, wind: bool = False, unseeded: bool = False) -> None:
        EzPickle.__init__(self, length, limit, wind=wind, unseeded=unseeded)
        self.length, self.limit, self.wind, self.unseeded = length, limit, wind, unseeded
        self.possible_agents = ["left", "right"]
        self.agents: list[str] = []
        self.cells = np.zeros(2, dtype=int)
        self.space, self.actions = Box(0, length, (2,), dtype=int), Discrete(3, start=-1)

    def observation_space(self, agent: str) -> Any:
        return self.space

    def action_space(self, agent: str) -> Any:
        return self.actions

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        self.rng = np.random.default_rng(seed)
        self.agents = list(self.possible_agents)
        self.time = 0
        self.cells[:] = self.rng.integers(self.length - 1, size=2)
        return self._seen(), self._infos()

    def step(self, actions: dict[str, int]) -> Any:
        self.time += 1
        for k, agent in enumerate(self.possible_agents):
            self.cells[k] += actions[agent]
            if self.wind and self.rng.random() < 0.5:
                self.cells[k] = max(self.cells[k] - 1, 0)
            if self.unseeded and np.random.rand() < 0.5:  # noqa: NPY002 - the fault that is to be found
                self.cells[k] = max(self.cells[k] - 1, 0)
        home = self.cells == self.length - 1
        rewards = {agent: float(home[k]) for k, agent in enumerate(self.agents)}
        if self.cells[0] == self.cells[1]:
            rewards["left"] -= 0.125
            rewards["right"] += 0.125
        over, late = bool(home.any()), self.time >= self.limit
        agents = list(self.agents)
        if over or late:
            self.agents = []
        return self._seen(), rewards, dict.fromkeys(agents, over), dict.fromkeys(agents, late), self._infos()

    def _seen(self) -> dict[str, Any]:
        return dict.fromkeys(self.possible_agents, self.cells)  # one array for ever, written into again

    def _infos(self) -> dict[str, Any]:
        masks = [[cell > 0, True, cell < self.length - 1] for cell in self.cells]
        return {agent: {"action_mask": np.array(mask)} for agent, mask in zip(self.possible_agents, masks, strict=True)}


def expected_returns(env: Any, act: Any, seed: int, history: tuple[dict[str, int], ...] = ()) -> FloatArray:
    """Expected returns over all sequences of actions, each played in the environment from the start, and weighed.

    ``act(observations, infos, step)`` gives pairs of actions and their probability.
    """
    observations, infos = env.reset(seed=seed)
    rewards: dict[str, float] = {}
    for actions in history:
        observations, rewards, _, _, infos = env.step(actions)
    paid = np.array([rewards.get(agent, 0.0) for agent in env.possible_agents])
    if env.agents:
        for actions, p in act(observations, infos, len(history)):
            paid = paid + p * expected_returns(env, act, seed, (*history, actions))
    return paid
