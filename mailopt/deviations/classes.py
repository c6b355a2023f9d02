"""Deviation classes that choose freely at each (step, state): which strategy modifications an agent may consider."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from mailopt.deviations.stagewise import Atoms, Stagewise
from mailopt.errors import InvalidDeviation
from mailopt.games.game import MarkovGame


@dataclass(frozen=True)
class Swap(Stagewise):
    """Every deviation phi: S x A_i -> A_i, free at each step (complete class; regret 0 means correlated equilibrium).

    V(s) = sum_a max_b C(s, a, b).

    Examples
    --------
    >>> import mailopt as mo
    >>> mo.Swap().contains_obedience
    True
    """

    @property
    def contains_obedience(self) -> bool:
        """It does."""
        return True

    def atoms(self, num_actions: int, agent: int) -> Atoms:
        """One group for each recommendation, one atom for each action."""
        return _by_cell(tuple(range(num_actions)))


@dataclass(frozen=True)
class External(Stagewise):
    """Deviations that ignore the recommendation (regret at most 0 means coarse correlated equilibrium).

    V(s) = max_b sum_a C(s, a, b). Obeying is not among them, so regret can be negative.

    Examples
    --------
    >>> import mailopt as mo
    >>> mo.External().contains_obedience
    False
    """

    @property
    def contains_obedience(self) -> bool:
        """It does not."""
        return False

    def atoms(self, num_actions: int, agent: int) -> Atoms:
        """One group, one atom for each action."""
        return _by_cell((0,) * num_actions)


@dataclass(frozen=True)
class Coarse(Stagewise):
    """At each (step, state) either obey or override all recommendations with one action.

    V(s) = max(sum_a C(s, a, a), max_b sum_a C(s, a, b)). External deviations with obedience among them.

    Examples
    --------
    >>> import mailopt as mo
    >>> obey = mo.CorrelatedPolicy([[0, 0.5, 0.5, 0]])
    >>> mo.regret(mo.scenarios.chicken(), obey, mo.External()).value, mo.regret(mo.scenarios.chicken(), obey, mo.Coarse()).value
    (-0.5, 0.0)
    """  # noqa: E501 - an example

    @property
    def contains_obedience(self) -> bool:
        """It does."""
        return True

    def atoms(self, num_actions: int, agent: int) -> Atoms:
        """One group: obedience, and one atom for each action."""
        return _obey_or_override(num_actions)


@dataclass(frozen=True)
class Internal(Stagewise):
    """At each (step, state) at most one recommended action is modified: whenever told a, play b.

    V(s) = sum_a C(s, a, a) + max(0, max_{a, b} [C(s, a, b) - C(s, a, a)]).

    Examples
    --------
    >>> import mailopt as mo
    >>> mo.regret(mo.scenarios.chicken(), mo.CorrelatedPolicy([[0, 0.5, 0.5, 0]]), mo.Internal()).value
    0.0
    """

    @property
    def contains_obedience(self) -> bool:
        """It does."""
        return True

    def atoms(self, num_actions: int, agent: int) -> Atoms:
        """One group: obedience, and one atom for each pair of different actions."""
        return _at_most_one_change(num_actions)


@dataclass(frozen=True)
class Partition(Stagewise):
    """The agent observes only the cell of its recommendation.

    V(s) = sum over cells of max_b sum_{a in cell} C(s, a, b). One cell for all gives :class:`External`, singletons give
    :class:`Swap`; obedience is in the class only if all cells are singletons.

    Parameters
    ----------
    cells
        Label of the cell of each action: one list for all agents, or one list for each agent.

    Raises
    ------
    InvalidDeviation
        Not such lists; on use, if their lengths do not fit the game.

    Examples
    --------
    >>> import mailopt as mo
    >>> mo.Partition([[0, 0, 1], [0, 1, 2]])
    Partition(((0, 0, 1), (0, 1, 2)))
    """

    cells: Any

    def __post_init__(self) -> None:
        """Freeze."""
        object.__setattr__(self, "cells", _labels(self.cells))

    def __repr__(self) -> str:
        """Show the cells."""
        return f"Partition({self.cells})"

    @property
    def contains_obedience(self) -> bool:
        """Only if all cells are singletons."""
        rows = self.cells if isinstance(self.cells[0], tuple) else (self.cells,)
        return all(len(set(row)) == len(row) for row in rows)

    def check(self, game: MarkovGame, agent: int) -> None:
        """Require one label for each action of the agent."""
        if isinstance(self.cells[0], tuple) and len(self.cells) != game.num_agents:
            raise InvalidDeviation(f"{self!r} is for {len(self.cells)} agents, the game has {game.num_agents}")
        row = self._of(agent)
        if len(row) != game.actions[agent]:
            raise InvalidDeviation(
                f"{self!r} has {len(row)} labels for agent {agent}, which has {game.actions[agent]} actions"
            )

    def atoms(self, num_actions: int, agent: int) -> Atoms:
        """One group for each cell, one atom for each action."""
        return _by_cell(tuple(np.unique(self._of(agent), return_inverse=True)[1].tolist()))

    def _of(self, agent: int) -> tuple[Any, ...]:
        row = self.cells[agent] if isinstance(self.cells[0], tuple) else self.cells
        return tuple(row)


def _labels(given: object) -> tuple[Any, ...]:
    message = f"cells is {given!r}; give a list of labels, one for each action, or such a list for each agent"
    if not isinstance(given, Iterable) or isinstance(given, str):
        raise InvalidDeviation(message)
    rows = tuple(given)
    if not rows:
        raise InvalidDeviation(message)
    nested = [isinstance(row, Iterable) and not isinstance(row, str) for row in rows]
    if any(nested) != all(nested):
        raise InvalidDeviation(message)
    labels = tuple(_plain(row) for row in rows) if nested[0] else _plain(rows)
    if nested[0] and not all(labels):
        raise InvalidDeviation(message)
    return labels


def _plain(labels: Iterable[Any]) -> tuple[Any, ...]:
    """Labels as Python's integers and strings, numbered if they cannot be compared."""
    found = tuple(k.item() if isinstance(k, np.generic) else k for k in labels)
    if not all(isinstance(k, int | str) for k in found):
        raise InvalidDeviation(f"labels of cells must be integers or strings, got {found!r}")
    order = list(dict.fromkeys(found))
    return found if all(isinstance(k, int) for k in found) else tuple(order.index(k) for k in found)


@cache
def _by_cell(groups: tuple[int, ...]) -> Atoms:
    return Atoms.by_cell(np.array(groups))


@cache
def _obey_or_override(n: int) -> Atoms:
    return Atoms.in_one_group(np.vstack((np.arange(n), np.repeat(np.arange(n)[:, None], n, axis=1))))


@cache
def _at_most_one_change(n: int) -> Atoms:
    told, played = np.nonzero(~np.eye(n, dtype=bool))
    plays = np.repeat(np.arange(n)[None], 1 + told.size, axis=0)
    plays[1 + np.arange(told.size), told] = played
    return Atoms.in_one_group(plays)
