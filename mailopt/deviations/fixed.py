"""Classes that do not choose freely at each stage: an explicit list, and deviations that do not depend on the step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mailopt.deviations.base import DeviationClass, longest
from mailopt.deviations.deviation import Deviation
from mailopt.errors import InvalidDeviation
from mailopt.games.game import MarkovGame


@dataclass(frozen=True, eq=False)
class Finite(DeviationClass):
    """An explicit list of deviations; each is evaluated.

    Parameters
    ----------
    deviations
        Deviations of one or several agents, random ones allowed. An agent without any in the list has no deviation
        at all: its best gain is minus infinity, and :func:`mailopt.best_deviation` raises for it.

    Raises
    ------
    InvalidDeviation
        An empty list, or something in it is no deviation; on use, if one does not fit the game.

    Examples
    --------
    >>> import mailopt as mo
    >>> chicken = mo.scenarios.chicken()
    >>> always_yield = mo.Deviation.deterministic(0, [[1, 1]])
    >>> mo.regret(chicken, mo.CorrelatedPolicy.uniform(chicken), mo.Finite([always_yield])).value
    0.25
    """

    deviations: Sequence[Deviation]
    methods: ClassVar[tuple[str, ...]] = ("enumeration",)

    def __post_init__(self) -> None:
        """Validate and freeze."""
        given = self.deviations
        members = tuple(given) if isinstance(given, Iterable) and not isinstance(given, str) else ()
        if not members or not all(isinstance(phi, Deviation) for phi in members):
            raise InvalidDeviation(f"deviations is {given!r}; give a list of at least one mailopt.Deviation")
        object.__setattr__(self, "deviations", members)

    def __repr__(self) -> str:
        """Show how many deviations each agent has."""
        counts = {agent: len(self.of(agent)) for agent in sorted({phi.agent for phi in self.deviations})}
        return f"Finite({', '.join(f'{count} of agent {agent}' for agent, count in counts.items())})"

    @property
    def contains_obedience(self) -> bool:
        """If every agent in the list has a deviation that plays what it is told, wherever it is told."""
        return all(any(_obeys(phi) for phi in self.of(agent)) for agent in {phi.agent for phi in self.deviations})

    @property
    def num_steps(self) -> int | None:
        """Steps of the longest deviation."""
        return longest([phi.num_steps for phi in self.deviations])

    def of(self, agent: int) -> list[Deviation]:
        """Return the deviations of one agent."""
        return [phi for phi in self.deviations if phi.agent == agent]

    def check(self, game: MarkovGame, agent: int) -> None:
        """Require that the agent's deviations fit the game, and that the game has the agents of all."""
        for phi in self.deviations:
            game.check_agent(phi.agent)
        for phi in self.of(agent):
            phi.check(game)


def _obeys(phi: Deviation) -> bool:
    return bool((phi.probabilities == np.eye(phi.probabilities.shape[-1])).all())


@dataclass(frozen=True)
class Stationary(DeviationClass):
    """Deterministic deviations phi: S x A_i -> A_i that do not depend on the step of a finite horizon.

    Choosing the best one is a 0-1 program: those of :func:`mailopt.programs.deviation` with z_h(s, a, b) <= x(s, a, b),
    sum_b x(s, a, b) = 1 and x in {0, 1}. HiGHS solves it by branch and bound; a second branch and bound on dynamic
    programs proves the bounds. For small games. A discounted game is refused: where the policy is stationary the
    best swap deviation is stationary anyway.

    Examples
    --------
    >>> import mailopt as mo
    >>> chain = mo.scenarios.unvisited_chain(4)
    >>> mo.regret(chain.game, chain.learner, mo.Stationary()).value
    3.0
    """

    methods: ClassVar[tuple[str, ...]] = ("mip",)

    @property
    def contains_obedience(self) -> bool:
        """It does."""
        return True

    def check(self, game: MarkovGame, agent: int) -> None:
        """Require a finite horizon."""
        if game.horizon is None:
            raise InvalidDeviation(
                "Stationary() is for finite horizons; in a discounted game use Swap(), whose best deviation from a "
                "stationary policy is stationary"
            )
