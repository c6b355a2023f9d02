"""Deviation classes: which strategy modifications an agent may consider.

A class that chooses freely at each (step, state) is described by its *atoms*. The recommendations fall into groups, and
in each group the agent picks one atom: a map from the recommendations of the group to actions. From the stage gains
C(s, a, b), the expected return from playing b at s when told a and deviating optimally later, weighted by the
probability of being told a, the dynamic program computes

    V(s) = sum over groups of the max over the group's atoms of sum_a C(s, a, atom(a)),

and the linear program has one variable for each atom, the mass with which it is picked.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np

from mailopt.errors import InvalidDeviation
from mailopt.games.game import MarkovGame
from mailopt.games.numbers import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Atoms:
    """The choices at one state, before anything is forbidden.

    Attributes
    ----------
    groups
        Group of each recommendation, shape (n,), numbered 0, 1, .. without gaps.
    group
        Group in which each atom can be picked, shape (W,), ascending.
    plays
        Action that each atom plays at each recommendation, shape (W, n); -1 outside of its group.
    shape
        How the atoms are laid out: (cells, n) if each cell of recommendations picks one action, else (W,).
    """

    groups: IntArray
    group: IntArray
    plays: IntArray
    shape: tuple[int, ...]

    @cached_property
    def num_groups(self) -> int:
        """Number of groups."""
        return int(self.groups.max()) + 1

    @classmethod
    def by_cell(cls, groups: IntArray) -> Atoms:
        """In each group one action is picked for all its recommendations."""
        n, count = groups.size, int(groups.max()) + 1
        group, action = np.divmod(np.arange(count * n), n)
        plays = np.where(groups == group[:, None], action[:, None], -1)
        return cls(groups, group, plays, (count, n))

    @classmethod
    def in_one_group(cls, plays: IntArray) -> Atoms:
        """Pick one of the maps from recommendations to actions, (W, n)."""
        count, n = plays.shape
        return cls(np.zeros(n, dtype=np.int64), np.zeros(count, dtype=np.int64), plays, (count,))

    def table(self) -> FloatArray:
        """Tabulate what each atom plays, shape (W, n * n): 1 at (a, b) if it plays b when told a."""
        n = self.plays.shape[1]
        table = np.zeros((len(self.plays), n, n))
        atom, told = np.nonzero(self.plays >= 0)
        table[atom, told, self.plays[atom, told]] = 1.0
        return table.reshape(-1, n * n)

    def values(self, gains: FloatArray) -> FloatArray:
        """Gain of each atom at each state, (S, n, n) to (S, W)."""
        size, n = gains.shape[:2]
        if len(self.shape) == 2:
            if (self.groups == np.arange(n)).all():
                return gains.reshape(size, -1)
            members = (np.arange(self.num_groups)[:, None] == self.groups).astype(np.float64)
            return np.asarray(members @ gains).reshape(size, -1)
        return np.asarray(gains[:, np.arange(n), self.plays].sum(axis=2))

    def best(self, values: FloatArray) -> tuple[FloatArray, IntArray]:
        """Pick the best atom of each group at each state: the sums (S,) and what is then played, (S, n).

        Ties go to obedience, then to the first atom.
        """
        offered = values.reshape(len(values), self.num_groups, -1)
        highest, picked = offered.max(axis=2), offered.argmax(axis=2)
        for g, atom in enumerate(self.obeying):
            if atom is not None:
                picked[:, g] = np.where(offered[:, g, atom] >= highest[:, g], atom, picked[:, g])
        if len(self.shape) == 2:
            return highest.sum(axis=1), picked[:, self.groups]
        return highest[:, 0], self.plays[picked[:, 0]]

    @cached_property
    def obeying(self) -> list[int | None]:
        """Which atom of each group obeys, counted within the group."""
        if len(self.shape) == 2:
            told = [np.flatnonzero(self.groups == g) for g in range(self.num_groups)]
            return [int(a[0]) if a.size == 1 else None for a in told]
        same = np.flatnonzero((self.plays == np.arange(self.plays.shape[1])).all(axis=1))
        return [int(same[0]) if same.size else None]


class DeviationClass(ABC):
    """A set of deviations per agent that choose freely at each (step, state) among the atoms of a stage."""

    @property
    @abstractmethod
    def contains_obedience(self) -> bool:
        """Whether the identity is in the class; if it is, regret is never negative."""

    def check(self, game: MarkovGame, agent: int) -> None:  # noqa: B027 - most classes fit every agent
        """Raise :class:`~mailopt.errors.InvalidDeviation` unless the class makes sense for this agent."""

    @abstractmethod
    def atoms(self, num_actions: int, agent: int) -> Atoms:
        """List what can be picked at a state, before legality and other masks."""

    def allowed(self, game: MarkovGame, agent: int, step: int) -> BoolArray | None:
        """Say which pairs of recommendation and action are allowed, shape (S, n, n), or None if all: here, if legal."""
        legal = game.legal[agent]
        return None if legal.all() else np.broadcast_to(legal[:, None, :], (*legal.shape, legal.shape[1]))

    def allowed_atoms(self, game: MarkovGame, agent: int, step: int) -> BoolArray | None:
        """Say which atoms can be picked, shape (S, W), or None if all: those that play only what is allowed.

        What is played at recommendations that are illegal, and so never made, does not matter.

        Raises
        ------
        InvalidDeviation
            Nothing is left in some group at some state.
        """
        atoms = self.atoms(game.actions[agent], agent)
        allowed = self.allowed(game, agent, step)
        if allowed is None:
            return None
        forbidden = ~allowed & game.legal[agent][:, :, None]
        can: BoolArray = atoms.values(forbidden.astype(np.float64)) == 0
        for g in range(atoms.num_groups):
            stuck = np.flatnonzero(~can[:, atoms.group == g].any(axis=1))
            if stuck.size:
                told = np.flatnonzero(atoms.groups == g).tolist()
                raise InvalidDeviation(
                    f"{self!r} leaves agent {agent} nothing to play in state {stuck[0]} at step {step} when told one "
                    f"of {told}; allow an action for all of these recommendations"
                )
        return can

    def best_response(self, game: MarkovGame, agent: int, step: int, gains: FloatArray) -> tuple[FloatArray, IntArray]:
        """Maximise at every state at once.

        Parameters
        ----------
        game, agent, step
            Where.
        gains
            Stage gains C(s, a, b), shape (S, n, n).

        Returns
        -------
        values, choices
            The maximum, shape (S,), and the action played at each recommendation, shape (S, n). Ties go to
            obedience where the class contains it, then to the lowest action.
        """
        return self.pick(game, agent, step, self.atoms(game.actions[agent], agent).values(gains))

    def pick(self, game: MarkovGame, agent: int, step: int, values: FloatArray) -> tuple[FloatArray, IntArray]:
        """Pick the allowed atoms of largest value, (S, W), as in :meth:`best_response`."""
        allowed, legal = self.allowed_atoms(game, agent, step), game.legal[agent]
        best, choices = self.atoms(game.actions[agent], agent).best(
            values if allowed is None else np.where(allowed, values, -np.inf)
        )
        if not legal.all():  # nobody is told what is illegal; a deviation must play something legal all the same
            choices = np.where(np.take_along_axis(legal, choices, axis=1), choices, legal.argmax(axis=1)[:, None])
        return best, choices


def check_deviations(deviations: DeviationClass, game: MarkovGame) -> None:
    """Raise :class:`~mailopt.errors.InvalidDeviation` unless this is a deviation class that fits the game."""
    if not isinstance(deviations, DeviationClass):
        hint = f"{deviations.__name__}()" if isinstance(deviations, type) else "Swap() or External()"
        raise InvalidDeviation(f"deviations is {deviations!r}; give an object such as {hint}")
    for agent in range(game.num_agents):
        deviations.check(game, agent)


@dataclass(frozen=True)
class Swap(DeviationClass):
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
class External(DeviationClass):
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
class Coarse(DeviationClass):
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
class Internal(DeviationClass):
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
class Partition(DeviationClass):
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
