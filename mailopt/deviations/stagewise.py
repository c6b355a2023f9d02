"""Classes that choose freely at each (step, state): the atoms of a stage, and how the best of them is picked.

The recommendations fall into groups, and in each group the agent picks one *atom*: a map from the recommendations of
the group to actions. From the stage gains C(s, a, b), the expected return from playing b at s when told a and deviating
optimally later, weighted by the probability of being told a, the dynamic program computes

    V(s) = sum over groups of the max over the group's atoms of sum_a C(s, a, atom(a)),

and the linear program has one variable for each atom, the mass with which it is picked.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mailopt.deviations.base import Recursive
from mailopt.deviations.deviation import legal_choices
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
        """Gain of each atom, (.., n, n) to (.., W)."""
        lead, n = gains.shape[:-2], gains.shape[-1]
        if len(self.shape) == 2:
            if (self.groups == np.arange(n)).all():
                return gains.reshape(*lead, -1)
            members = (np.arange(self.num_groups)[:, None] == self.groups).astype(np.float64)
            return np.asarray(members @ gains).reshape(*lead, -1)
        return np.asarray(gains[..., np.arange(n), self.plays].sum(axis=-1))

    def best(self, values: FloatArray) -> tuple[FloatArray, IntArray]:
        """Pick the best atom of each group from the values (.., W): the sums (..) and what is then played, (.., n).

        Ties go to obedience, then to the first atom.
        """
        offered = values.reshape(*values.shape[:-1], self.num_groups, -1)
        highest, picked = offered.max(axis=-1), offered.argmax(axis=-1)
        for g, atom in enumerate(self.obeying):
            if atom is not None:
                picked[..., g] = np.where(offered[..., g, atom] >= highest[..., g], atom, picked[..., g])
        if len(self.shape) == 2:
            return highest.sum(axis=-1), picked[..., self.groups]
        return highest[..., 0], self.plays[picked[..., 0]]

    @cached_property
    def obeying(self) -> list[int | None]:
        """Which atom of each group obeys, counted within the group."""
        if len(self.shape) == 2:
            told = [np.flatnonzero(self.groups == g) for g in range(self.num_groups)]
            return [int(a[0]) if a.size == 1 else None for a in told]
        same = np.flatnonzero((self.plays == np.arange(self.plays.shape[1])).all(axis=1))
        return [int(same[0]) if same.size else None]


class Stagewise(Recursive):
    """A set of deviations per agent that choose freely at each (step, state) among the atoms of a stage."""

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

    def choices(self, game: MarkovGame, agent: int, step: int) -> FloatArray:
        """Count the atoms that can be picked and play b when told a, (S, n, n)."""
        atoms, allowed = self.atoms(game.actions[agent], agent), self.allowed_atoms(game, agent, step)
        picks = np.ones((game.num_states, len(atoms.plays))) if allowed is None else allowed.astype(np.float64)
        return (picks @ atoms.table()).reshape(game.num_states, *(game.actions[agent],) * 2)

    def best_response(self, game: MarkovGame, agent: int, step: int, gains: FloatArray) -> tuple[FloatArray, IntArray]:
        """See :class:`Recursive`."""
        return self.pick(game, agent, step, self.atoms(game.actions[agent], agent).values(gains))

    def pick(self, game: MarkovGame, agent: int, step: int, values: FloatArray) -> tuple[FloatArray, IntArray]:
        """Pick the allowed atoms of largest value, (.., S, W), as in :meth:`best_response`."""
        allowed = self.allowed_atoms(game, agent, step)
        best, choices = self.atoms(game.actions[agent], agent).best(
            values if allowed is None else np.where(allowed, values, -np.inf)
        )
        return best, legal_choices(game, agent, choices)
