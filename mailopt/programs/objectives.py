"""What to look for among the equilibria of a game.

An objective is data; :mod:`mailopt.programs.equilibrium` turns it into variables, rows and costs. Action values Q_i(s,
a) are payoffs in a normal form and rewards plus continuation values at a stage of a Markov game.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mailopt.errors import InvalidOption
from mailopt.games.game import MarkovGame
from mailopt.games.numbers import FloatArray, IntArray, NumberArray, fractions_of
from mailopt.games.policy import CorrelatedPolicy, check_policy


class Objective:
    """What to optimise over the (coarse) correlated equilibria of a stage; the distribution is sigma(a)."""

    def check(self, game: MarkovGame) -> None:
        """Raise a typed error unless the objective makes sense for the game."""

    @property
    def num_steps(self) -> int | None:
        """Number of steps after which nothing about the objective changes, None if nothing ever does."""
        return None


class Linear(Objective):
    """An objective sum_a w(s, a) sigma(a) to maximise; subclass it for one of your own."""

    def weights(self, q: npt.NDArray[Any], states: IntArray) -> npt.NDArray[Any]:
        """Return w(s, a), (K, A), from action values (K, m, A) of doubles or of fractions at some states, (K,)."""
        raise NotImplementedError


@dataclass(frozen=True)
class Feasible(Linear):
    """Any equilibrium will do."""

    def weights(self, q: npt.NDArray[Any], states: IntArray) -> npt.NDArray[Any]:
        """Nothing is preferred."""
        return q[:, 0] * 0


@dataclass(frozen=True)
class Welfare(Linear):
    """Maximise the sum of all agents' values (utilitarian)."""

    def weights(self, q: npt.NDArray[Any], states: IntArray) -> npt.NDArray[Any]:
        """Sum over agents."""
        return np.asarray(q.sum(axis=1))


@dataclass(frozen=True)
class Weighted(Linear):
    """Maximise sum_i w_i times agent i's value.

    Parameters
    ----------
    agents
        w, one finite number for each agent, of any sign.
    """

    agents: tuple[Any, ...]

    def __init__(self, agents: Sequence[Any] | npt.NDArray[Any]) -> None:
        object.__setattr__(self, "agents", tuple(_finite(agents, "weights", 1).tolist()))

    def check(self, game: MarkovGame) -> None:
        """Require one weight for each agent."""
        if len(self.agents) != game.num_agents:
            raise InvalidOption(f"{self!r} has {len(self.agents)} weights, the game has {game.num_agents} agents")

    def weights(self, q: npt.NDArray[Any], states: IntArray) -> npt.NDArray[Any]:
        """Weighted sum over agents."""
        return np.asarray(np.tensordot(q, _like(q, np.array(self.agents)), axes=(1, 0)))


@dataclass(frozen=True)
class Preferred(Linear):
    """Maximise the value of one agent."""

    agent: int

    def check(self, game: MarkovGame) -> None:
        """Require such an agent."""
        game.check_agent(self.agent)

    def weights(self, q: npt.NDArray[Any], states: IntArray) -> npt.NDArray[Any]:
        """Take that agent's values."""
        return q[:, self.agent]


@dataclass(frozen=True, eq=False, repr=False)
class JointActions(Linear):
    """Maximise sum_a w(s, a) sigma(a), whatever agents are paid; at every stage by itself.

    Parameters
    ----------
    joint_actions
        w, shape (A,), or (S, A) if it depends on the state; finite numbers.
    """

    joint_actions: npt.NDArray[Any]

    def __init__(self, joint_actions: NumberArray) -> None:
        array = _finite(joint_actions, "weights of joint actions", 2)
        array.setflags(write=False)
        object.__setattr__(self, "joint_actions", array)

    def check(self, game: MarkovGame) -> None:
        """Require one weight for each joint action."""
        shapes = (game.num_joint_actions,), (game.num_states, game.num_joint_actions)
        if self.joint_actions.shape not in shapes:
            raise InvalidOption(
                f"weights of joint actions have shape {self.joint_actions.shape}, expected (A,) = {shapes[0]} or "
                f"(S, A) = {shapes[1]}"
            )

    def weights(self, q: npt.NDArray[Any], states: IntArray) -> npt.NDArray[Any]:
        """Return those given."""
        given = _like(q, self.joint_actions)
        return given[states] if given.ndim == 2 else np.broadcast_to(given, (len(q), given.size))

    def __repr__(self) -> str:
        """Shape of the weights."""
        return f"JointActions({' x '.join(map(str, self.joint_actions.shape))} weights)"


@dataclass(frozen=True)
class Egalitarian(Objective):
    """Maximise the smallest agent's value: v subject to v <= sum_a Q_i(a) sigma(a) for every agent i."""


@dataclass(frozen=True)
class LeastRegret(Objective):
    """Minimise the regret itself; of interest where obedience is not in the class, as elsewhere it is 0."""


@dataclass(frozen=True, eq=False, repr=False)
class Nearest(Objective):
    """Minimise the distance in total variation, half of sum_a |sigma(a) - target(a)|.

    Parameters
    ----------
    target
        The policy to stay close to.
    """

    target: CorrelatedPolicy

    def check(self, game: MarkovGame) -> None:
        """Require a policy of the game."""
        check_policy(game, self.target)

    @property
    def num_steps(self) -> int | None:
        """Steps of the target."""
        return self.target.num_steps

    def __repr__(self) -> str:
        """Name without the numbers."""
        return f"Nearest({self.target!r})"


class Convex(Objective):
    """An objective that is no linear program; it must come last."""


@dataclass(frozen=True)
class MaximumEntropy(Convex):
    """Maximise -sum_a sigma(a) log sigma(a) (Ortiz, Schapire and Kakade, AISTATS 2007); in nats."""


@dataclass(frozen=True)
class MaximumGini(Convex):
    """Maximise the Gini impurity 1 - sum_a sigma(a)^2 (Marris et al., ICML 2021): the smallest sum of squares."""


@dataclass(frozen=True)
class Lexicographic(Objective):
    """Optimise the first objective, then the second among the optima of the first, and so on.

    An earlier objective is kept at its optimum within the solver's tolerance (1e-9 of its range), exactly if
    ``exact=True``.
    """

    objectives: tuple[Objective, ...]

    def __init__(self, objectives: Sequence[Objective | str]) -> None:
        if isinstance(objectives, str) or not isinstance(objectives, Sequence) or not objectives:
            raise InvalidOption(f"objectives is {objectives!r}; give a list of at least one objective")
        parts = tuple(part for objective in objectives for part in sequence(objective))
        for part in parts[:-1]:
            if isinstance(part, Convex):
                raise InvalidOption(f"{part!r} must be the last objective; it has no linear program")
        object.__setattr__(self, "objectives", parts)

    def check(self, game: MarkovGame) -> None:
        """Check all parts."""
        for part in self.objectives:
            part.check(game)


_KINDS = (Linear, Egalitarian, LeastRegret, Nearest, MaximumEntropy, MaximumGini, Lexicographic)

NAMED: dict[str, Objective] = {
    "feasible": Feasible(),
    "welfare": Welfare(),
    "egalitarian": Egalitarian(),
    "least_regret": LeastRegret(),
    "entropy": MaximumEntropy(),
    "gini": MaximumGini(),
}


def named(objective: object) -> Objective:
    """Return the objective of this name, or the object itself; raise InvalidOption if it is neither."""
    if isinstance(objective, str) and objective in NAMED:
        return NAMED[objective]
    if isinstance(objective, _KINDS) and type(objective) is not Linear:
        return objective
    hint = f"{objective.__name__}(..)" if isinstance(objective, type) else "an object such as Preferred(0)"
    raise InvalidOption(f"objective is {objective!r}; give one of {', '.join(map(repr, NAMED))}, or {hint}")


def sequence(objective: object) -> tuple[Objective, ...]:
    """Return the objectives to optimise one after the other."""
    found = named(objective)
    return found.objectives if isinstance(found, Lexicographic) else (found,)


def _like(q: npt.NDArray[Any], numbers: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Take numbers as fractions if q holds fractions, else as doubles."""
    return fractions_of(numbers) if q.dtype == object else numbers.astype(np.float64)


def _finite(values: Any, what: str, most: int) -> npt.NDArray[Any]:
    """Copy numbers, of doubles or of fractions; raise InvalidOption if there is anything else among them."""
    try:
        array: npt.NDArray[Any] = np.array(values)
        numbers: FloatArray = array.astype(np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidOption(f"{what}: not an array of numbers: {error}") from None
    if array.dtype.kind not in "iufO" or not 1 <= array.ndim <= most or not array.size:
        raise InvalidOption(f"{what} have shape {array.shape} and dtype {array.dtype}; give real numbers")
    if not np.isfinite(numbers).all():
        raise InvalidOption(f"{what}: {numbers[~np.isfinite(numbers)][0]} must be finite")
    return array if array.dtype == object else numbers


__all__ = [
    "Egalitarian",
    "Feasible",
    "JointActions",
    "LeastRegret",
    "Lexicographic",
    "Linear",
    "MaximumEntropy",
    "MaximumGini",
    "Nearest",
    "Objective",
    "Preferred",
    "Weighted",
    "Welfare",
]
