"""Value functions that prove regret when the checker backs them up: from the evaluation, in doubles.

Any value functions prove something; these come from dynamic programs, so that hardly anything is lost.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np

from mailopt.deviations import Budget, DeviationClass, Finite, Swap
from mailopt.deviations.base import Recursive
from mailopt.evaluation.frontier import Frontier, Point
from mailopt.evaluation.recursion import recursion
from mailopt.evaluation.rules import Deviate, Follow, Obey, Play, Problem, counting

Values: TypeAlias = Any  # of stages and states: an array of doubles, or lists of fractions


@dataclass(frozen=True)
class Part:
    """One of the deviations that a budget is spent on: where it disobeys (stage, state, told, played), and values."""

    departures: list[list[int]]
    value: Values
    cost: Values | None


@dataclass(frozen=True)
class Witness:
    """What proves how much one agent gains.

    Attributes
    ----------
    obey
        Values of obedience, stage by stage.
    best
        Values of the best deviation: of each layer, or of each deviation of a Finite list, or, for a budget, if each
        departure costs the price.
    price
        Price of a departure.
    parts
        Deviations to spend a budget on, by cost, ascending.
    """

    obey: Values
    best: list[Values]
    price: Any = 0
    parts: list[Part] = field(default_factory=list)


def witnesses(problem: Problem, deviations: DeviationClass) -> list[Witness]:
    """Compute the witnesses of all agents for one policy."""
    agents = range(problem.game.num_agents)
    obedience = recursion(problem, [Obey(agents)])[0].state_values[:, :, 0]
    if isinstance(deviations, Recursive):
        outcomes = recursion(problem, [Deviate(problem, agent, deviations) for agent in agents])
        best = [list(np.moveaxis(outcome.state_values[:, 0], 1, 0)) for outcome in outcomes]
    elif isinstance(deviations, Finite):
        followed = [[Follow(phi) for phi in deviations.of(agent)] for agent in agents]
        best = [[o.state_values[:, 0, 0] for o in recursion(problem, rules)] if rules else [] for rules in followed]
    else:
        assert isinstance(deviations, Budget)
        return [_budget(problem, agent, deviations.kappa, obedience[:, agent]) for agent in agents]
    return [Witness(obedience[:, agent], best[agent]) for agent in agents]


def _budget(problem: Problem, agent: int, kappa: float, obey: Any) -> Witness:
    frontier = Frontier(problem, agent)
    frontier.refine(kappa)
    while kappa == 0 and len(frontier.points) > 1 and frontier.split(0):
        pass  # the slope of the first edge is the price at which nobody departs
    price, _ = min(frontier.tangents, key=lambda tangent: tangent[1] + tangent[0] * kappa)
    charged = replace(problem, toll=price)
    best = recursion(charged, [Deviate(charged, agent, Swap())])[0].state_values[:, 0, 0]
    points = [point for _, point in frontier.mixture(kappa) if point.departures > 0]
    return Witness(obey, [best], price, [Part([], obey, None), *(_part(problem, agent, point) for point in points)])


def _part(problem: Problem, agent: int, point: Point) -> Part:
    rule = point.outcome.rule
    assert isinstance(rule, Play)
    costs = recursion(counting(problem), [rule])[0].state_values[:, 0, 0]
    departures = []
    for stage in range(problem.stages):
        told = problem.game.unfold(problem.policy.at(stage), agent).sum(axis=2) > 0
        plays = rule.played(stage)[0]
        for state, action in np.argwhere(told & (plays != np.arange(plays.shape[1]))).tolist():
            departures.append([stage, state, action, int(plays[state, action])])
    return Part(departures, point.outcome.state_values[:, 0, 0], costs)
