"""Deviations of which some are forbidden."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mailopt.deviations.base import longest
from mailopt.deviations.classes import Swap
from mailopt.deviations.stagewise import Atoms, Stagewise
from mailopt.errors import InvalidDeviation
from mailopt.games.game import MarkovGame
from mailopt.games.numbers import BoolArray

Mask = npt.ArrayLike | None


class Restricted(Stagewise):
    """Deviations of a class that play only what a mask allows; obeying is always allowed where the class can.

    Parameters
    ----------
    allowed
        For each agent a mask of booleans: ``mask[a, b]`` says whether b may be played when told a; shape (n, n),
        (S, n, n) or (T, S, n, n), steps past the last repeat it. None allows everything.
    inner
        The class. Where it cannot tell recommendations apart, an action must be allowed for all of them; if none is,
        that is an error on use, which names the state.

    Attributes
    ----------
    masks
        The masks, True on the diagonal.

    Raises
    ------
    InvalidDeviation
        Not such masks, or not such a class; on use, if they do not fit the game.

    Examples
    --------
    An agent that may only yield when told to dare gains as much as with all deviations:

    >>> import mailopt as mo
    >>> chicken = mo.scenarios.chicken()
    >>> uniform = mo.CorrelatedPolicy.uniform(chicken)
    >>> chickening_out = [[False, True], [False, False]]
    >>> mo.regret(chicken, uniform, mo.Restricted([chickening_out] * 2)).value, mo.regret(chicken, uniform).value
    (0.25, 0.25)
    """

    def __init__(self, allowed: Sequence[Mask], inner: Stagewise = Swap()) -> None:  # noqa: B008 - frozen
        if not isinstance(inner, Stagewise):
            raise InvalidDeviation(f"inner is {inner!r}; give a class of deviations such as Swap()")
        if isinstance(allowed, np.ndarray | str) or not isinstance(allowed, Sequence):
            raise InvalidDeviation("allowed must be a list with one mask, or None, for each agent")
        self.inner = inner
        self.masks = tuple(None if mask is None else _mask(mask, i) for i, mask in enumerate(allowed))

    @property
    def contains_obedience(self) -> bool:
        """If the inner class does."""
        return self.inner.contains_obedience

    @property
    def num_steps(self) -> int | None:
        """Steps of the longest mask."""
        return longest([self.inner.num_steps, *(len(m) if m is not None and m.ndim == 4 else None for m in self.masks)])

    def check(self, game: MarkovGame, agent: int) -> None:
        """Require a mask of the agent's size, and what the inner class requires."""
        self.inner.check(game, agent)
        if len(self.masks) != game.num_agents:
            raise InvalidDeviation(f"there are {len(self.masks)} masks, the game has {game.num_agents} agents")
        mask, n = self.masks[agent], game.actions[agent]
        if mask is None:
            return
        steps = (game.horizon,) if game.horizon is not None else ()
        shapes = ((n, n), (game.num_states, n, n), (*steps, game.num_states, n, n))
        fits = mask.shape in shapes if steps else mask.shape[-3:] in (shapes[0], shapes[1])
        if not fits:
            raise InvalidDeviation(
                f"the mask of agent {agent} has shape {mask.shape}, expected (n, n) = {shapes[0]}, "
                f"(S, n, n) = {shapes[1]} or one such for each step"
            )

    def atoms(self, num_actions: int, agent: int) -> Atoms:
        """Those of the inner class."""
        return self.inner.atoms(num_actions, agent)

    def allowed(self, game: MarkovGame, agent: int, step: int) -> BoolArray | None:
        """Combine what the mask, the inner class and the game allow."""
        mask, inner = self.masks[agent], self.inner.allowed(game, agent, step)
        if mask is None:
            return inner
        here = mask[min(step, len(mask) - 1)] if mask.ndim == 4 else mask
        here = np.broadcast_to(here, (game.num_states, *here.shape[-2:]))
        return here if inner is None else here & inner

    def __repr__(self) -> str:
        """Show how many departures each agent has left, and the inner class."""
        counts = ", ".join("all" if mask is None else _share(mask) for mask in self.masks)
        return f"Restricted([{counts}], {self.inner!r})"


def _mask(given: npt.ArrayLike, agent: int) -> BoolArray:
    try:
        mask = np.array(given)
    except ValueError as error:
        raise InvalidDeviation(f"the mask of agent {agent} is no array: {error}") from None
    if mask.dtype != np.bool_ or mask.ndim not in (2, 3, 4) or mask.shape[-1] != mask.shape[-2]:
        raise InvalidDeviation(
            f"the mask of agent {agent} has shape {mask.shape} and dtype {mask.dtype}; give booleans (n, n), (S, n, n) "
            f"or (T, S, n, n)"
        )
    diagonal = np.arange(mask.shape[-1])
    mask[..., diagonal, diagonal] = True
    mask.setflags(write=False)
    return mask


def _share(mask: BoolArray) -> str:
    """How many of the departures are allowed."""
    departures = ~np.broadcast_to(np.eye(mask.shape[-1], dtype=bool), mask.shape)
    return f"{int((mask & departures).sum())} of {int(departures.sum())}"
