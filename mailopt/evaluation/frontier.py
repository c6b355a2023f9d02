"""What an agent gains against how often it disobeys: the concave frontier of Budget(kappa), vertex by vertex.

Every deterministic swap deviation has an expected number of departures c and a value J. The best value at a budget
kappa is the concave envelope of these points, V(kappa) = min over lambda >= 0 of g(lambda) + lambda kappa with
g(lambda) = max_phi J - lambda c, a dynamic program in which each departure costs lambda. Between two known points the
slope of their chord either proves that nothing is above the chord, or finds a vertex that is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mailopt.deviations import Swap
from mailopt.deviations.deviation import legal_choices
from mailopt.evaluation.recursion import Outcome, recursion
from mailopt.evaluation.rounding import Enclosure
from mailopt.evaluation.rules import Deviate, Play, Problem, counting
from mailopt.games.numbers import IntArray

_FLAT = 1e-12  # a vertex this little above a chord, relative to the values, is taken to be on it


@dataclass(frozen=True, eq=False)
class Point:
    """A deterministic deviation: its expected number of departures, and its value."""

    outcome: Outcome
    departures: float
    cost: Enclosure


class Frontier:
    """Points and tangents of one agent's frontier, found as they are needed.

    Attributes
    ----------
    problem, agent
        Whose frontier.
    points
        By departures, ascending: obedience first, the best swap deviation last.
    tangents
        Pairs of lambda and an upper bound on g(lambda).
    edges
        Departures of those points from which the frontier is known to be straight up to the next one.
    """

    def __init__(self, problem: Problem, agent: int) -> None:
        self.problem, self.agent = problem, agent
        self.tangents: list[tuple[float, float]] = []
        self.edges: set[float] = set()
        game = problem.game
        obey = legal_choices(game, agent, np.tile(np.arange(game.actions[agent]), (game.num_states, 1)))
        first = self._evaluate(np.tile(obey, (problem.stages, 1, 1, 1)), obeys=True)
        last = self._best(0.0)
        self._scale = max(float(np.abs(p.outcome.state_values).max()) for p in (first, last))
        gains = last.outcome.value() - first.outcome.value() > _FLAT * self._scale
        self.points = [first, last] if gains and last.departures > 0 else [first]

    def _evaluate(self, choices: IntArray, *, obeys: bool = False) -> Point:
        play = Play(self.agent, choices)
        outcome = recursion(self.problem, [play])[0]
        cost = recursion(counting(self.problem), [play])[0]
        return Point(outcome, 0.0 if obeys else cost.value(), Enclosure(0.0, 0.0) if obeys else cost.enclosure())

    def _best(self, slope: float) -> Point:
        charged = replace(self.problem, toll=slope)
        rule = Deviate(charged, self.agent, Swap())
        self.tangents.append((slope, recursion(charged, [rule])[0].enclosure().upper))
        return self._evaluate(rule.choices)

    def split(self, k: int) -> bool:
        """Look for a vertex above the chord from point k to the next; if there is none, that is an edge."""
        left, right = self.points[k], self.points[k + 1]
        rise, run = right.outcome.value() - left.outcome.value(), right.departures - left.departures
        slope = max(rise / run, 0.0)
        found = self._best(slope)
        above = (found.outcome.value() - left.outcome.value()) - slope * (found.departures - left.departures)
        if above <= _FLAT * self._scale or not left.departures < found.departures < right.departures:
            self.edges.add(left.departures)
            return False
        self.points.insert(k + 1, found)
        return True

    def refine(self, kappa: float) -> None:
        """Find the edge of the frontier at kappa."""
        while True:
            k = self._before(kappa)
            known = k + 1 == len(self.points) or self.points[k].departures in (kappa, *self.edges)
            if known or not self.split(k):
                return

    def complete(self, limit: int) -> bool:
        """Find all vertices, or the steepest up to a limit; True if those are all."""
        while open_ := [k for k in range(len(self.points) - 1) if self.points[k].departures not in self.edges]:
            if len(self.points) >= limit:
                return False
            values = [point.outcome.value() for point in self.points]
            self.split(max(open_, key=lambda k: values[k + 1] - values[k]))
        return True

    def mixture(self, kappa: float) -> list[tuple[float, Point]]:
        """Weights and points of the best known way to spend kappa."""
        k = self._before(kappa)
        if k + 1 == len(self.points) or self.points[k].departures == kappa:
            return [(1.0, self.points[k])]
        left, right = self.points[k : k + 2]
        weight = (kappa - left.departures) / (right.departures - left.departures)
        return [(1.0 - weight, left), (weight, right)]

    def enclosure(self, kappa: float) -> Enclosure:
        """Enclose V(kappa): known points, mixed so that they surely cost no more, and known tangents."""
        if kappa == 0:
            return self.points[0].outcome.enclosure()
        k = max(j for j, point in enumerate(self.points) if point.cost.upper <= kappa)
        lower = self.points[k].outcome.enclosure().lower
        if k + 1 < len(self.points):
            left, right = self.points[k : k + 2]
            weight = (kappa - left.cost.upper) / (right.cost.upper - left.cost.upper) * (1.0 - 2.0**-50)
            mixed = left.outcome.enclosure() * (1.0 - weight) + right.outcome.enclosure() * weight
            lower = max(lower, mixed.lower - 2.0**-50 * self._scale)
        upper = min((Enclosure(bound, bound) + Enclosure(slope, slope) * kappa).upper for slope, bound in self.tangents)
        return Enclosure(lower, upper)

    def _before(self, kappa: float) -> int:
        """Index of the last point that kappa affords."""
        return max(k for k, point in enumerate(self.points) if point.departures <= kappa)
