"""What is known of the best deviation of one agent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mailopt.deviations import Deviation, DeviationClass
from mailopt.evaluation.rounding import Enclosure
from mailopt.evaluation.stages import by_stage
from mailopt.evaluation.values import Values
from mailopt.games.game import MarkovGame
from mailopt.games.numbers import BoolArray, FloatArray
from mailopt.games.policy import CorrelatedPolicy
from mailopt_solvers import Solution


@dataclass(frozen=True, eq=False, repr=False)
class BestDeviation:
    """Best deviation of one agent against a correlated policy.

    Attributes
    ----------
    agent, deviations
        Whose deviation, and the class it is best in.
    value
        max over phi of J_i(phi∘sigma).
    lower, upper
        lower <= true value <= upper, rounding and truncation included.
    gain
        value - J_i(sigma); signed.
    gain_lower, gain_upper
        The same for the gain.
    deviation
        A deviation that attains it: deterministic, except for Budget and what a Finite list holds. A
        :class:`~mailopt.LimitedDeviation` for Limited.
    occupancy
        z_h(s, a, b) = D_h(s) phi_h(b|s, a), shape (H, S, n, n): the state is s, and if told a the agent would play b.
        Discounted (S, n, n), or (T, S, n, n) for a policy of T steps; D has total mass 1 then.
    state_occupancy
        D_h(s), the state distribution of the deviated game, shape (H, S); discounted (S,) or (T, S).
    state_values
        V_h(s), value of deviating optimally from s on, shape (H, S); discounted (S,) or (T, S). For Limited (H, L, S),
        one for each number of departures left. From the program these are its dual values, which need be tight only
        at states that D reaches. For Budget, Finite and Stationary it is the value of following ``deviation``.
    completed
        True where the program says nothing (D_h(s) = 0) and the deviation was completed by obeying, or by the first
        action that the class allows if obeying is not in it; shape of ``state_occupancy``. All False for ``"dp"``.
    method
        ``"dp"``, ``"lp"``, ``"enumeration"`` or ``"mip"``.
    solution
        The solver's answer if the method is ``"lp"``.
    """

    agent: int
    deviations: DeviationClass
    value: float
    lower: float
    upper: float
    gain: float
    gain_lower: float
    gain_upper: float
    deviation: Deviation
    occupancy: FloatArray
    state_occupancy: FloatArray
    state_values: FloatArray
    completed: BoolArray
    method: str
    solution: Solution | None = None

    def __repr__(self) -> str:
        """Agent, class and gain in one line."""
        return (
            f"BestDeviation(agent {self.agent}, {self.deviations!r}, gain {self.gain:.6g}, value {self.value:.6g}, "
            f"{self.method})"
        )

    def departures(self, game: MarkovGame, policy: CorrelatedPolicy) -> list[Departure]:
        """Where the deviation disobeys with positive probability, by step, likeliest first.

        The probability of being told a in s at step h and playing b instead is sigma_{i,h}(a|s) z_h(s, a, b).
        """
        z = self.occupancy if self.occupancy.ndim == 4 else self.occupancy[None]
        found = []
        for step, visits in enumerate(z):
            told = game.unfold(policy.at(step), self.agent).sum(axis=2)
            mass = told[:, :, None] * visits
            mass[:, np.arange(mass.shape[1]), np.arange(mass.shape[1])] = 0.0
            found += [
                Departure(step, int(s), int(a), int(b), float(mass[s, a, b])) for s, a, b in np.argwhere(mass > 0)
            ]
        return sorted(found, key=lambda d: (d.step, -d.probability))


@dataclass(frozen=True)
class Departure:
    """One place where a deviation disobeys.

    Attributes
    ----------
    step, state
        Where; the step is the stage of a discounted game.
    recommended, played
        What the agent was told and what it plays instead.
    probability
        Probability that this happens at this step; discounted, (1 - gamma) times its discounted number of times.
    """

    step: int
    state: int
    recommended: int
    played: int
    probability: float


def gathered(
    game: MarkovGame,
    agent: int,
    deviations: DeviationClass,
    obedience: Values,
    *,
    value: float,
    enclosure: Enclosure,
    deviation: Deviation,
    occupancy: FloatArray,
    states: FloatArray,
    state_values: FloatArray,
    completed: BoolArray,
    method: str,
    solution: Solution | None = None,
) -> BestDeviation:
    """Gather a result; arrays with an axis of stages."""
    gain = enclosure - obedience.enclosure(agent)
    return BestDeviation(
        agent=agent,
        deviations=deviations,
        value=value,
        lower=enclosure.lower,
        upper=enclosure.upper,
        gain=value - float(obedience.value[agent]),
        gain_lower=gain.lower,
        gain_upper=gain.upper,
        deviation=deviation,
        occupancy=by_stage(game, occupancy),
        state_occupancy=by_stage(game, states),
        state_values=by_stage(game, state_values),
        completed=by_stage(game, completed),
        method=method,
        solution=solution,
    )
