"""Agents that follow deviations in episodes that are played."""

from __future__ import annotations

import numpy as np

from mailopt.deviations import Deviation, LimitedDeviation
from mailopt.errors import InvalidDeviation
from mailopt.games.game import MarkovGame
from mailopt.games.numbers import DEVIATION, BoolArray, IntArray, place
from mailopt.games.sampling import RowSampler


class Player:
    """An agent that follows a deviation in several episodes at once."""

    def __init__(self, game: MarkovGame, deviation: Deviation) -> None:
        deviation.check(game)
        self.size = game.actions[deviation.agent]
        self.stride = int(np.prod(game.actions[deviation.agent + 1 :], dtype=np.int64))
        self.num_states = game.num_states
        self.last = (deviation.num_steps or 1) - 1
        self._rows = RowSampler.dense(deviation.probabilities.reshape(-1, self.size))

    def start(self, count: int) -> None:
        """Begin so many episodes."""

    def keep(self, going: BoolArray) -> None:
        """Forget episodes that are over."""

    def play(self, step: int, states: IntArray, told: IntArray, rng: np.random.Generator) -> IntArray:
        """Turn joint actions that are recommended into those that are played."""
        mine = told // self.stride % self.size
        return told + (self._choose(min(step, self.last), states, mine, rng) - mine) * self.stride

    def _choose(self, step: int, states: IntArray, mine: IntArray, rng: np.random.Generator) -> IntArray:
        row = (step * self.num_states + states) * self.size + mine
        return self._rows.draw(row, rng.random(len(states)))


class CountingPlayer(Player):
    """One that counts the departures it has left."""

    def __init__(self, game: MarkovGame, deviation: LimitedDeviation) -> None:
        _check_limited(game, deviation)
        self.size = game.actions[deviation.agent]
        self.stride = int(np.prod(game.actions[deviation.agent + 1 :], dtype=np.int64))
        self.last = (deviation.num_steps or 1) - 1
        choices = deviation.choices
        self._choices = choices[None] if choices.ndim == 3 else choices
        self._left = np.zeros(0, dtype=np.int64)

    def start(self, count: int) -> None:
        """See :class:`Player`."""
        self._left = np.full(count, self._choices.shape[1] - 1)

    def keep(self, going: BoolArray) -> None:
        """See :class:`Player`."""
        self._left = self._left[going]

    def _choose(self, step: int, states: IntArray, mine: IntArray, rng: np.random.Generator) -> IntArray:
        chosen = self._choices[step, self._left, states, mine]
        self._left = self._left - (chosen != mine)
        return np.asarray(chosen)


def player_of(game: MarkovGame, deviation: Deviation) -> Player:
    """Make the player of a deviation.

    Raises
    ------
    InvalidDeviation
        It does not fit the game.
    """
    if not isinstance(deviation, Deviation):
        raise InvalidDeviation(f"the deviation is a {type(deviation).__name__}; give a Deviation")
    if isinstance(deviation, LimitedDeviation):
        return CountingPlayer(game, deviation)
    return Player(game, deviation)


def _check_limited(game: MarkovGame, deviation: LimitedDeviation) -> None:
    """Raise unless a deviation that counts fits the game, plays legal actions and obeys when it has none left."""
    game.check_agent(deviation.agent)
    choices, legal = deviation.choices, game.legal[deviation.agent]
    n = game.actions[deviation.agent]
    if choices.ndim not in (3, 4) or choices.shape[-2:] != (game.num_states, n):
        raise DEVIATION.shape(
            f"choices have shape {choices.shape}, expected (L, S, n) with (S, n) = {(game.num_states, n)}, or with a "
            f"step in front"
        )
    if deviation.num_steps is not None and game.horizon is not None and deviation.num_steps != game.horizon:
        raise DEVIATION.shape(f"deviation has {deviation.num_steps} steps, the game's horizon is {game.horizon}")
    axes = ("step", "departures left", "state", "recommendation")
    exists = (choices >= 0) & (choices < n)
    allowed = exists & legal[np.arange(game.num_states)[:, None], np.where(exists, choices, 0)]
    departs = (choices[..., :1, :, :] != np.arange(n)) & legal
    for bad, rule in ((~allowed, "the action is illegal in that state"), (departs, "it departs with none left")):
        found = np.argwhere(bad)
        if len(found):
            raise InvalidDeviation(f"deviation, {place(axes, found[0])}: {rule}")
