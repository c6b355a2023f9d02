"""Deviation classes: which strategy modifications an agent may consider.

A class says two things. Its *stage maximum* is what the dynamic program needs: from the stage gains
C(s, a, b), the expected return from playing b at s when told a and deviating optimally later, weighted by the
probability of being told a, it computes the value of the best deviation at each state and the action it plays.
Its *cells* are what the linear program needs: recommendations in the same cell are indistinguishable to the deviator.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from mailopt.errors import InvalidDeviation
from mailopt.games.numbers import FloatArray, IntArray


class DeviationClass(ABC):
    """A set of deviations per agent, closed under choosing freely at each (step, state)."""

    contains_obedience: bool
    """Whether the identity is in the class; if it is, regret is never negative."""

    @abstractmethod
    def best_response(self, gains: FloatArray) -> tuple[FloatArray, IntArray]:
        """Maximise at every state at once.

        Parameters
        ----------
        gains
            Stage gains C(s, a, b), shape (S, n, n), ``-inf`` where b is illegal in s.

        Returns
        -------
        values, choices
            The maximum, shape (S,), and the action played at each recommendation, shape (S, n). Ties go to
            obedience where the class contains it, then to the lowest action.
        """

    @abstractmethod
    def cells(self, num_actions: int) -> IntArray:
        """Cell of each recommendation, shape (n,), numbered 0, 1, .. without gaps."""


def check_deviations(deviations: DeviationClass) -> None:
    """Raise :class:`~mailopt.errors.InvalidDeviation` unless this is a deviation class."""
    if not isinstance(deviations, DeviationClass):
        hint = f"{deviations.__name__}()" if isinstance(deviations, type) else "Swap() or External()"
        raise InvalidDeviation(f"deviations is {deviations!r}; give an object such as {hint}")


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

    contains_obedience = True

    def best_response(self, gains: FloatArray) -> tuple[FloatArray, IntArray]:
        """See :meth:`DeviationClass.best_response`."""
        best = gains.max(axis=2)
        obeying = np.diagonal(gains, axis1=1, axis2=2) >= best
        choices = np.where(obeying, np.arange(gains.shape[1]), gains.argmax(axis=2))
        return best.sum(axis=1), choices

    def cells(self, num_actions: int) -> IntArray:
        """Each recommendation is its own cell."""
        return np.arange(num_actions)


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

    contains_obedience = False

    def best_response(self, gains: FloatArray) -> tuple[FloatArray, IntArray]:
        """See :meth:`DeviationClass.best_response`."""
        totals = gains.sum(axis=1)
        choices = np.repeat(totals.argmax(axis=1)[:, None], gains.shape[1], axis=1)
        return totals.max(axis=1), choices

    def cells(self, num_actions: int) -> IntArray:
        """All recommendations are in one cell."""
        return np.zeros(num_actions, dtype=np.int64)
