"""Classes that count departures: at most k along a trajectory, or kappa in expectation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from mailopt.deviations.base import DeviationClass, Recursive
from mailopt.deviations.classes import Swap
from mailopt.deviations.deviation import legal_choices
from mailopt.deviations.stagewise import Stagewise
from mailopt.errors import InvalidDeviation
from mailopt.games.game import MarkovGame
from mailopt.games.numbers import FloatArray, IntArray


@dataclass(frozen=True)
class Limited(Recursive):
    """At most k disobeyed recommendations along a trajectory, each departure one of an inner class.

    With j departures left and C_j the stage gains if j are left afterwards,
    V^j(s) = max over the maps phi of the inner class, and obedience, of sum_a C_{j - [phi(a) != a]}(s, a, phi(a)), and
    only obedience for j = 0. For swap deviations V^j(s) = sum_a max(C_j(s, a, a), max_{b != a} C_{j-1}(s, a, b)). Its
    deviations depend on the departures that remain: :class:`LimitedDeviation`.

    Parameters
    ----------
    k
        Number of departures; 0 leaves obedience alone, and with k >= H the class is as good as the inner one with
        obedience.
    inner
        A class that chooses freely at each (step, state): Swap, External, Coarse, Internal, Partition or Restricted.

    Raises
    ------
    InvalidDeviation
        k is no number of departures, or the inner class is of another kind.

    Examples
    --------
    One departure is all it takes on the unvisited chain:

    >>> import mailopt as mo
    >>> chain = mo.scenarios.unvisited_chain(6)
    >>> [mo.regret(chain.game, chain.learner, mo.Limited(k)).value for k in (0, 1, 2)]
    [0.0, 5.0, 5.0]
    """

    k: int
    inner: Stagewise = Swap()  # noqa: RUF009 - a frozen object without state

    def __post_init__(self) -> None:
        """Validate."""
        if not isinstance(self.k, int | np.integer) or isinstance(self.k, bool) or self.k < 0:
            raise InvalidDeviation(f"k is {self.k!r}; give the number of departures, an integer of at least 0")
        if not isinstance(self.inner, Stagewise):
            raise InvalidDeviation(
                f"inner is {self.inner!r}; give a class that chooses freely at each stage, such as Swap()"
            )
        object.__setattr__(self, "k", int(self.k))

    def __repr__(self) -> str:
        """Show the inner class unless it is Swap()."""
        return f"Limited({self.k})" if self.inner == Swap() else f"Limited({self.k}, {self.inner!r})"

    @property
    def contains_obedience(self) -> bool:
        """It does: no departure is made."""
        return True

    @property
    def num_steps(self) -> int | None:
        """Those of the inner class."""
        return self.inner.num_steps

    def check(self, game: MarkovGame, agent: int) -> None:
        """Require what the inner class requires."""
        self.inner.check(game, agent)

    def layers(self, game: MarkovGame) -> int:
        """Departures left: 0 to k, or to the horizon if that is less."""
        return 1 + (self.k if game.horizon is None else min(self.k, game.horizon))

    def best_response(self, game: MarkovGame, agent: int, step: int, gains: FloatArray) -> tuple[FloatArray, IntArray]:
        """See :class:`Recursive`."""
        n = gains.shape[-1]
        values = np.trace(gains, axis1=-2, axis2=-1)
        choices = np.broadcast_to(np.arange(n), gains.shape[:-1])
        if gains.shape[-4] > 1:
            obeys = np.eye(n, dtype=bool)
            departing = np.where(obeys, gains[..., 1:, :, :, :], gains[..., :-1, :, :, :])
            offered, played = self.inner.best_response(game, agent, step, departing)
            better = offered > values[..., 1:, :]
            choices = choices.copy()
            choices[..., 1:, :, :] = np.where(better[..., None], played, choices[..., 1:, :, :])
            values[..., 1:, :] = np.where(better, offered, values[..., 1:, :])
        return values, legal_choices(game, agent, choices)


@dataclass(frozen=True)
class Budget(DeviationClass):
    """Randomised swap deviations that disobey at most kappa times in expectation.

    sum over h, s, a and b != a of sigma_{i,h}(a|s) z_h(s, a, b) <= kappa; discounted, kappa counts discounted
    departures, each at its gamma^t. The best value is concave, increasing and piecewise linear in kappa, see
    :func:`mailopt.budget_curve`: V(kappa) = min over lambda >= 0 of max_phi [J(phi∘sigma) - lambda cost(phi)] + lambda
    kappa. The dynamic program searches lambda, and mixes the best deviations on both sides of kappa.

    Parameters
    ----------
    kappa
        Expected number of departures that each agent can afford.

    Raises
    ------
    InvalidDeviation
        kappa is not a finite number of at least 0.

    Examples
    --------
    >>> import mailopt as mo
    >>> chain = mo.scenarios.unvisited_chain(6)
    >>> mo.regret(chain.game, chain.learner, mo.Budget(0.5)).value
    2.5
    """

    kappa: float

    def __post_init__(self) -> None:
        """Validate."""
        given = self.kappa
        if not isinstance(given, int | float | Fraction | np.number) or isinstance(given, bool):
            raise InvalidDeviation(f"kappa is {given!r}; give the expected number of departures, a number")
        try:
            kappa = float(given)
        except OverflowError:
            kappa = math.inf
        if not (math.isfinite(kappa) and kappa >= 0):
            raise InvalidDeviation(f"kappa is {given!r}; it must be finite and at least 0")
        if Fraction(given) != Fraction(kappa):
            raise InvalidDeviation(f"kappa is {given!r}, which is not a double; give {kappa!r}")
        object.__setattr__(self, "kappa", kappa)

    def __repr__(self) -> str:
        """Show kappa."""
        return f"Budget({self.kappa:g})"

    @property
    def contains_obedience(self) -> bool:
        """It does: obedience costs nothing."""
        return True
