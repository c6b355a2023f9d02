"""What every class of deviations says of itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar

from mailopt.errors import InvalidDeviation
from mailopt.games.game import MarkovGame
from mailopt.games.numbers import FloatArray, IntArray


class DeviationClass(ABC):
    """A set Phi_i of deviations for each agent i.

    Attributes
    ----------
    methods
        The exact methods by which a best member is found; ``"auto"`` is the first of them.
    """

    methods: ClassVar[tuple[str, ...]] = ("dp", "lp")

    @property
    @abstractmethod
    def contains_obedience(self) -> bool:
        """Whether the identity is in the class; if it is, regret is never negative."""

    @property
    def num_steps(self) -> int | None:
        """Number of steps after which nothing about the class changes, None if nothing ever does."""
        return None

    def check(self, game: MarkovGame, agent: int) -> None:  # noqa: B027 - most classes fit every agent
        """Raise :class:`~mailopt.errors.InvalidDeviation` unless the class makes sense for this agent."""


class Recursive(DeviationClass):
    """A class whose best deviation follows from a recursion over states, and departures left if it counts them.

    What the agent may do depends on the layer j: with j of L - 1 departures left. Playing b when told a leads from
    layer j to layer j if b = a, else to layer j - 1. A class that does not count departures has a single layer.
    """

    def layers(self, game: MarkovGame) -> int:
        """Return the number of layers L; the agent starts in the last."""
        return 1

    @abstractmethod
    def best_response(self, game: MarkovGame, agent: int, step: int, gains: FloatArray) -> tuple[FloatArray, IntArray]:
        """Maximise at every state and layer at once.

        Parameters
        ----------
        game, agent, step
            Where.
        gains
            Stage gains C_j(s, a, b), shape (.., L, S, n, n): the expected return from playing b at s when told a and
            being in layer j afterwards, times the probability of being told a.

        Returns
        -------
        values, choices
            The maximum, shape (.., L, S), and the action played at each recommendation, shape (.., L, S, n). Ties go
            to obedience where the class contains it, then to the lowest action.
        """


def check_deviations(deviations: DeviationClass, game: MarkovGame) -> None:
    """Raise :class:`~mailopt.errors.InvalidDeviation` unless this is a deviation class that fits the game."""
    if not isinstance(deviations, DeviationClass):
        hint = f"{deviations.__name__}()" if isinstance(deviations, type) else "Swap(), External() or Finite([phi, ..])"
        raise InvalidDeviation(f"deviations is {deviations!r}; give an object such as {hint}")
    for agent in range(game.num_agents):
        deviations.check(game, agent)


def longest(steps: Iterable[int | None]) -> int | None:
    """Return the largest number of steps; None stands for none at all."""
    return max((n for n in steps if n is not None), default=None)
