"""One deviation (strategy modification) of one agent."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from mailopt.errors import InvalidDeviation
from mailopt.games.game import MarkovGame
from mailopt.games.numbers import (
    DEVIATION,
    FloatArray,
    IntArray,
    normalised,
    place,
    read_array,
    read_numbers,
    require_probabilities,
    require_row_sums,
)
from mailopt.games.policy import CorrelatedPolicy

_AXES = ("step", "state", "recommendation", "action")


@dataclass(frozen=True, eq=False, repr=False)
class Deviation:
    """A deviation phi_h(b | s, a_i) of one agent: told a_i in s, it plays b. The others obey.

    Parameters
    ----------
    agent
        The deviating agent i.
    probabilities
        Shape (S, n, n), or (T, S, n, n) if it depends on the step: ``probabilities[h, s, a, b]`` is phi_h(b | s, a). A
        row p stands for p / sum(p).

    Raises
    ------
    DeviationShape, DeviationNumber, DeviationDistribution
        All of them :class:`~mailopt.errors.InvalidDeviation`; the message names the row.

    Examples
    --------
    >>> import mailopt as mo
    >>> game = mo.scenarios.chicken()
    >>> always_yield = mo.Deviation.deterministic(0, [[1, 1]])
    >>> always_yield.apply(game, mo.CorrelatedPolicy([[0.0, 0.5, 0.5, 0.0]])).probabilities
    array([[0. , 0. , 0.5, 0.5]])
    """

    agent: int
    probabilities: FloatArray

    def __post_init__(self) -> None:
        """Copy and validate."""
        values, _ = read_numbers(self.probabilities, DEVIATION, "deviation", _AXES)
        if values.ndim not in (3, 4) or values.shape[-1] != values.shape[-2]:
            raise DEVIATION.shape(f"deviation has shape {values.shape}, expected (S, n, n) or (T, S, n, n)")
        require_probabilities(values, DEVIATION, "deviation", _AXES)
        require_row_sums(values.sum(axis=-1), DEVIATION, "deviation row", _AXES[:-1])
        object.__setattr__(self, "probabilities", values)

    @classmethod
    def deterministic(cls, agent: int, choices: npt.ArrayLike) -> Deviation:
        """Make a deviation from the action played at each recommendation, integers of shape (S, n) or (T, S, n)."""
        array = read_array(choices, DEVIATION, "choices")
        if array.ndim not in (2, 3) or array.dtype.kind not in "iu":
            raise DEVIATION.shape(
                f"choices have shape {array.shape} and dtype {array.dtype}, expected integers (T, S, n)"
            )
        n = array.shape[-1]
        if ((array < 0) | (array >= n)).any():
            raise InvalidDeviation(f"choices must be actions 0 to {n - 1}")
        probabilities = np.zeros((*array.shape, n))
        np.put_along_axis(probabilities, array[..., None].astype(np.int64), 1.0, axis=-1)
        return cls(agent, probabilities)

    @classmethod
    def identity(cls, game: MarkovGame, agent: int) -> Deviation:
        """Obedience as a deviation: told a, play a."""
        game.check_agent(agent)
        n = game.actions[agent]
        return cls.deterministic(agent, legal_choices(game, agent, np.tile(np.arange(n), (game.num_states, 1))))

    def __repr__(self) -> str:
        """Agent and size in one line."""
        steps = "stationary" if self.num_steps is None else f"{self.num_steps} steps"
        *_, states, _, actions = self.probabilities.shape
        return f"Deviation(agent {self.agent}, {steps}, {states} states, {actions} actions)"

    @property
    def num_steps(self) -> int | None:
        """Number of steps, None for a stationary deviation."""
        return None if self.probabilities.ndim == 3 else self.probabilities.shape[0]

    @cached_property
    def _normalised(self) -> FloatArray:
        return normalised(self.probabilities, self.probabilities.sum(axis=-1))

    def at(self, step: int) -> FloatArray:
        """Return phi_h(b | s, a), normalised, shape (S, n, n). Steps past the last repeat it."""
        if self.probabilities.ndim == 3:
            return self._normalised
        return np.asarray(self._normalised[min(step, self.probabilities.shape[0] - 1)])

    def check(self, game: MarkovGame) -> None:
        """Raise :class:`InvalidDeviation` unless the deviation fits the game and plays legal actions only."""
        game.check_agent(self.agent)
        n = game.actions[self.agent]
        if self.probabilities.shape[-3:] != (game.num_states, n, n):
            raise DEVIATION.shape(
                f"deviation has shape {self.probabilities.shape}, expected (S, n, n) = {(game.num_states, n, n)}, "
                f"or with a step in front"
            )
        if self.num_steps is not None and game.horizon is not None and self.num_steps != game.horizon:
            raise DEVIATION.shape(f"deviation has {self.num_steps} steps, the game's horizon is {game.horizon}")
        bad = np.argwhere((self.probabilities > 0) & ~game.legal[self.agent][:, None, :])
        if bad.size:
            index = tuple(int(k) for k in bad[0])
            raise InvalidDeviation(f"deviation, {place(_AXES, index)}: the action is illegal in that state")

    def apply(self, game: MarkovGame, policy: CorrelatedPolicy) -> CorrelatedPolicy:
        """Return phi∘sigma, the joint policy that results when this agent deviates.

        (phi∘sigma)_h(b, k | s) = sum_a sigma_h(a, k | s) phi_h(b | s, a).
        """
        self.check(game)
        policy.check(game)
        steps = {n for n in (self.num_steps, policy.num_steps) if n is not None}
        if not steps:
            return CorrelatedPolicy(self.apply_at(game, policy.at(0), 0))
        return CorrelatedPolicy(np.stack([self.apply_at(game, policy.at(h), h) for h in range(max(steps))]))

    def apply_at(self, game: MarkovGame, sigma: FloatArray, step: int) -> FloatArray:
        """Return (phi∘sigma)_h of one step from sigma_h, both of shape (S, A), without validation."""
        recommended = game.unfold(sigma, self.agent)
        return game.fold(np.swapaxes(self.at(step), 1, 2) @ recommended, self.agent)


class LimitedDeviation(Deviation):
    """A deterministic deviation that counts: what it plays depends on how many departures it has left.

    The resulting play is no policy of the states alone, so that :meth:`apply` raises.

    Attributes
    ----------
    agent
        The deviating agent i.
    choices
        Integers (L, S, n), or (T, L, S, n) if it depends on the step: ``choices[h, j, s, a]`` is played at s when told
        a with j departures left; it starts with L - 1.
    """

    choices: IntArray

    def __init__(self, agent: int, choices: IntArray) -> None:
        object.__setattr__(self, "agent", agent)
        object.__setattr__(self, "choices", choices)
        object.__setattr__(self, "probabilities", (choices[..., None] == np.arange(choices.shape[-1])).astype(float))

    def __repr__(self) -> str:
        """Agent and size in one line."""
        *_, layers, states, n = self.choices.shape
        return f"LimitedDeviation(agent {self.agent}, up to {layers - 1} departures, {states} states, {n} actions)"

    @property
    def num_steps(self) -> int | None:
        """Number of steps, None for a stationary deviation."""
        return None if self.choices.ndim == 3 else len(self.choices)

    def at(self, step: int) -> FloatArray:
        """Return phi_h^j(b | s, a), shape (L, S, n, n). Steps past the last repeat it."""
        table = self.probabilities
        return table if self.choices.ndim == 3 else np.asarray(table[min(step, len(table) - 1)])

    def check(self, game: MarkovGame) -> None:
        """Raise: a deviation that counts its departures is no function of the state."""
        raise InvalidDeviation(
            f"{self!r} depends on the departures that remain, so it cannot be applied to a policy of the states; its "
            f"value and occupancy are those of the BestDeviation that it comes from"
        )


def legal_choices(game: MarkovGame, agent: int, choices: IntArray) -> IntArray:
    """Replace illegal choices, (.., S, n), by the first legal action.

    They can only stand where an illegal action is recommended, which never happens; but a deviation must say something
    legal there all the same.
    """
    legal = game.legal[agent]
    if legal.all():
        return choices
    return np.where(legal[np.arange(len(legal))[:, None], choices], choices, legal.argmax(axis=1)[:, None])
