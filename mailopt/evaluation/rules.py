"""What happens at a stage: everybody obeys, or one agent deviates and the others obey.

A rule turns the action values Q = r + gamma E[V'] of a stage into its values. All rules are monotone and add c to V
when c is added to Q, which is what error bounds and fixed points rest on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

import numpy as np

from mailopt.deviations import Deviation, LimitedDeviation
from mailopt.deviations.base import Recursive
from mailopt.evaluation.rounding import UNIT
from mailopt.evaluation.stages import stage_gains
from mailopt.games.game import MarkovGame
from mailopt.games.numbers import FloatArray, IntArray
from mailopt.games.policy import CorrelatedPolicy

Move: TypeAlias = tuple[int, int, FloatArray]
"""To layer, from layer, and the probabilities (S, A) with which joint actions are played and lead there."""


@dataclass(frozen=True, eq=False)
class Problem:
    """What a recursion evaluates: a game under a policy, and the rewards that count.

    Attributes
    ----------
    game, policy
        The game and what the mediator recommends.
    rewards
        Rewards instead of the game's, broadcastable to (T, m, S, A); None: the game's.
    rewards_error
        Bound on the error of these rewards.
    toll
        Charged for each disobeyed recommendation.
    steps
        Number of steps of what else depends on the step, so that a discounted game has stages enough.
    """

    game: MarkovGame
    policy: CorrelatedPolicy
    rewards: FloatArray | None = None
    rewards_error: float = 0.0
    toll: float = 0.0
    steps: int | None = None

    @cached_property
    def stages(self) -> int:
        """Number of stages T."""
        return self.game.num_stages(self.policy.num_steps, self.steps)

    def reward(self, step: int, agents: Sequence[int]) -> FloatArray:
        """Rewards of some agents at a step, broadcastable to (k, S, A)."""
        if self.rewards is None:
            return self.game.reward(step)[list(agents)]
        here = self.rewards[min(step, len(self.rewards) - 1)]
        return here if len(here) == 1 else np.asarray(here[list(agents)])

    @cached_property
    def reward_scale(self) -> FloatArray:
        """Largest |r_{i,h}(s, a)| over states and legal joint actions, (T or 1, m or 1)."""
        given = self.game.rewards[None] if self.game.rewards.ndim == 3 else self.game.rewards
        rewards = given if self.rewards is None else self.rewards
        legal = self.game.joint_legal
        if legal.all():
            return np.asarray(np.maximum(rewards.max(axis=(2, 3)), -rewards.min(axis=(2, 3))))
        shape = np.broadcast_shapes(rewards.shape, legal.shape)
        rewards = np.broadcast_to(rewards, shape)
        top = rewards.max(axis=(2, 3), where=legal, initial=0.0)
        return np.asarray(np.maximum(top, -rewards.min(axis=(2, 3), where=legal, initial=0.0)))

    def scale(self, steps: IntArray, agents: Sequence[int]) -> FloatArray:
        """Largest rewards of some agents at some steps, (T, k)."""
        here = self.reward_scale[np.minimum(steps, len(self.reward_scale) - 1)]
        return np.repeat(here, len(agents), axis=1) if here.shape[1] == 1 else here[:, list(agents)]

    def given_error(self, scale: FloatArray) -> FloatArray | float:
        """Bound on how far rewards of a scale are from those meant."""
        if self.rewards is not None:
            return self.rewards_error
        return UNIT * scale if self.game.exact_rewards else 0.0

    @property
    def discount(self) -> float:
        """Discount, 1 for a finite horizon."""
        return 1.0 if self.game.discount is None else self.game.discount


class Rule(ABC):
    """What happens at each stage, for the value functions of some agents.

    Attributes
    ----------
    agents
        Whose values; a rule has one value function for each agent and layer.
    layers
        Number of layers L: what the rule remembers besides the state.
    """

    agents: tuple[int, ...]
    layers: int = 1

    @abstractmethod
    def backup(self, problem: Problem, step: int, q: FloatArray) -> FloatArray:
        """Turn action values (k, L, S, A) into values (k, L, S)."""

    @abstractmethod
    def moves(self, problem: Problem, step: int) -> list[Move]:
        """How the rule, as it last decided at this step, leads from layer to layer."""

    def selections(self, problem: Problem) -> int:
        """Bound on the roundings of a term of the stage's sums."""
        n = max(problem.game.actions)
        return 3 * problem.policy.support + 2 * n + 8 + 3 * bool(problem.policy.exact)

    def decided(self, step: int) -> IntArray | None:
        """Return what was chosen at a step, if anything was."""
        return None

    def restore(self, step: int, decided: IntArray) -> None:  # noqa: B027 - most rules decide nothing
        """Go back to what was decided earlier."""

    def toll(self, problem: Problem, step: int) -> FloatArray | float:
        """Tolls charged at a step, (L, S), given what was decided."""
        return 0.0

    def continuation(self, problem: Problem, step: int) -> FloatArray | None:
        """Values (k, L, S) of what was decided at the last step of a discounted game; None: solve for them."""
        return None


class Obey(Rule):
    """Everybody obeys."""

    def __init__(self, agents: Sequence[int]) -> None:
        self.agents = tuple(agents)

    def backup(self, problem: Problem, step: int, q: FloatArray) -> FloatArray:
        """See :class:`Rule`."""
        return np.asarray(np.einsum("sa,kjsa->kjs", problem.policy.at(step), q))

    def moves(self, problem: Problem, step: int) -> list[Move]:
        """See :class:`Rule`."""
        return [(0, 0, problem.policy.at(step))]


class Serve(Rule):
    """Everybody plays what is best for one agent's rewards."""

    def __init__(self, problem: Problem, agent: int = 0) -> None:
        self.agents = (agent,)
        self.choices = np.zeros((problem.stages, problem.game.num_states), dtype=np.int64)

    def backup(self, problem: Problem, step: int, q: FloatArray) -> FloatArray:
        """See :class:`Rule`."""
        offered = np.where(problem.game.joint_legal, q, -np.inf)
        self.choices[step] = offered[0, 0].argmax(axis=1)
        return np.asarray(offered.max(axis=3))

    def moves(self, problem: Problem, step: int) -> list[Move]:
        """See :class:`Rule`."""
        return [(0, 0, np.eye(problem.game.num_joint_actions)[self.choices[step]])]

    def decided(self, step: int) -> IntArray:
        """See :class:`Rule`."""
        return np.asarray(self.choices[step])

    def restore(self, step: int, decided: IntArray) -> None:
        """See :class:`Rule`."""
        self.choices[step] = decided


class Deviating(Rule):
    """One agent deviates and the others obey."""

    def __init__(self, agent: int) -> None:
        self.agents = (agent,)

    @abstractmethod
    def plays(self, problem: Problem, step: int) -> FloatArray:
        """Return phi_h^j(b | s, a) as last decided, shape (L, S, n, n)."""

    @abstractmethod
    def deviation(self, game: MarkovGame) -> Deviation:
        """Return what is played as a deviation."""

    def moves(self, problem: Problem, step: int) -> list[Move]:
        """See :class:`Rule`."""
        game, agent, phi = problem.game, self.agents[0], self.plays(problem, step)
        told = game.unfold(self.recommended(problem, step), agent)
        told = np.broadcast_to(told, (self.layers, *told.shape[1:]))
        if self.layers == 1:
            return [(0, 0, _played(game, told[0], phi[0], agent))]
        obeys = phi * np.eye(game.actions[agent])
        found = [(j, j, _played(game, told[j], obeys[j], agent)) for j in range(self.layers)]
        return found + [(j - 1, j, _played(game, told[j], (phi - obeys)[j], agent)) for j in range(1, self.layers)]

    def recommended(self, problem: Problem, step: int) -> FloatArray:
        """Return what the mediator recommends at a step, in each layer or in all, (L or 1, S, A)."""
        return problem.policy.at(step)[None]

    def toll(self, problem: Problem, step: int) -> FloatArray | float:
        """See :class:`Rule`."""
        if not problem.toll:
            return 0.0
        told = problem.game.unfold(problem.policy.at(step), self.agents[0]).sum(axis=2)
        obeys = np.diagonal(self.plays(problem, step), axis1=2, axis2=3)
        return np.asarray(problem.toll * (told * (1.0 - obeys)).sum(axis=-1))


class Play(Deviating):
    """The agent plays a map from recommendations to actions at each step, layer and state."""

    choices: IntArray  # (T, L, S, n)

    def __init__(self, agent: int, choices: IntArray) -> None:
        super().__init__(agent)
        self.choices = choices
        self.layers = choices.shape[1]

    def backup(self, problem: Problem, step: int, q: FloatArray) -> FloatArray:
        """See :class:`Rule`."""
        gains, choices = charged_gains(problem, step, q[0], self.agents[0]), self.played(step)
        layers, size, n = choices.shape
        after = np.maximum(np.arange(layers)[:, None, None] - (choices != np.arange(n)), 0)
        return np.asarray(gains[after, np.arange(size)[:, None], np.arange(n), choices].sum(axis=-1))[None]

    def plays(self, problem: Problem, step: int) -> FloatArray:
        """See :class:`Deviating`."""
        choices = self.played(step)
        return np.asarray((choices[..., None] == np.arange(choices.shape[-1])).astype(np.float64))

    def played(self, step: int) -> IntArray:
        """Return what is played at a step, (L, S, n)."""
        return np.asarray(self.choices[min(step, len(self.choices) - 1)])

    def decided(self, step: int) -> IntArray:
        """See :class:`Rule`."""
        return self.played(step)

    def restore(self, step: int, decided: IntArray) -> None:
        """See :class:`Rule`."""
        self.choices[step] = decided

    def deviation(self, game: MarkovGame) -> Deviation:
        """See :class:`Deviating`."""
        choices = self.choices[0] if len(self.choices) == 1 else self.choices
        if self.layers == 1:
            return Deviation.deterministic(self.agents[0], choices[..., 0, :, :])
        return LimitedDeviation(self.agents[0], choices)


class Deviate(Play):
    """The agent plays the best of a class of deviations."""

    def __init__(self, problem: Problem, agent: int, deviations: Recursive) -> None:
        game = problem.game
        shape = (problem.stages, deviations.layers(game), game.num_states, game.actions[agent])
        super().__init__(agent, np.zeros(shape, dtype=np.int64))
        self.deviations = deviations

    def backup(self, problem: Problem, step: int, q: FloatArray) -> FloatArray:
        """See :class:`Rule`."""
        gains = charged_gains(problem, step, q[0], self.agents[0])
        best, self.choices[step] = self.deviations.best_response(problem.game, self.agents[0], step, gains)
        return best[None]


class Follow(Deviating):
    """The agent follows a given deviation, which may be random."""

    def __init__(self, deviation: Deviation) -> None:
        super().__init__(deviation.agent)
        self.phi = deviation

    def backup(self, problem: Problem, step: int, q: FloatArray) -> FloatArray:
        """See :class:`Rule`."""
        gains = charged_gains(problem, step, q[0], self.agents[0])
        return np.asarray(np.einsum("sab,jsab->js", self.phi.at(step), gains))[None]

    def plays(self, problem: Problem, step: int) -> FloatArray:
        """See :class:`Deviating`."""
        return self.phi.at(step)[None]

    def selections(self, problem: Problem) -> int:
        """See :class:`Rule`."""
        n = problem.game.actions[self.agents[0]]
        return super().selections(problem) + n * n + 2 * n + 3

    def deviation(self, game: MarkovGame) -> Deviation:
        """See :class:`Deviating`."""
        return self.phi


def _played(game: MarkovGame, told: FloatArray, phi: FloatArray, agent: int) -> FloatArray:
    """Joint action probabilities (S, A) if recommendations (S, n, K) are followed by phi (S, n, n)."""
    return game.fold(np.swapaxes(phi, 1, 2) @ told, agent)


def charged_gains(problem: Problem, step: int, q: FloatArray, agent: int) -> FloatArray:
    """Stage gains C(s, a, b) of action values (.., S, A), less the toll of disobeying, shape (.., S, n, n)."""
    sigma = problem.policy.at(step)
    gains = stage_gains(problem.game, sigma, q, agent)
    if problem.toll:
        told = problem.game.unfold(sigma, agent).sum(axis=2)
        gains = gains - problem.toll * told[:, :, None] * ~np.eye(told.shape[1], dtype=bool)
    return gains


def counting(problem: Problem) -> Problem:
    """Count disobeyed recommendations instead of rewards."""
    return replace(problem, rewards=np.zeros((1, 1, 1, 1)), rewards_error=0.0, toll=-1.0)
