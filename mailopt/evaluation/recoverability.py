"""Recoverability: how much one joint action can matter to an agent that deviates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from mailopt.deviations import Budget, DeviationClass, Finite, Limited, Stationary, Swap, check_deviations
from mailopt.deviations.base import Recursive
from mailopt.evaluation.deviating import problem_of
from mailopt.evaluation.recursion import Outcome, recursion
from mailopt.evaluation.rounding import Enclosure, highest
from mailopt.evaluation.rules import Deviate, Follow, Obey, Problem, Rule
from mailopt.games.game import MarkovGame
from mailopt.games.marks import marked
from mailopt.games.numbers import BoolArray
from mailopt.games.policy import CorrelatedPolicy, check_policy


@dataclass(frozen=True, eq=False, repr=False)
class Recoverability:
    """How far a joint action can move an agent's prospects, whatever deviation it follows.

    Attributes
    ----------
    lower, upper
        lower <= u <= upper, u the largest |Q(s, a) - V(s)|.
    span_lower, span_upper
        The same for the span form: the largest of max_a Q(s, a) - min_a Q(s, a).
    exact
        Whether the interval is as narrow as rounding allows: for explicit lists and for obedience. Otherwise its lower
        end is attained by a deviation that was found, and its upper end comes from the best and the worst value that
        any deviation of the class has from each state on.
    per_agent
        Pairs (lower, upper) of the first form for each agent.
    """

    lower: float
    upper: float
    span_lower: float
    span_upper: float
    exact: bool
    per_agent: tuple[tuple[float, float], ...]

    def __repr__(self) -> str:
        """Show both intervals in one line."""
        return (
            f"Recoverability({self.lower:.6g} to {self.upper:.6g}, span {self.span_lower:.6g} to {self.span_upper:.6g})"
        )


def recoverability(
    game: MarkovGame,
    expert: CorrelatedPolicy,
    deviations: DeviationClass = Swap(),  # noqa: B008 - a frozen object without state
) -> Recoverability:
    """Recoverability u: the smallest with |Q(s, a) - V(s)| <= u for all agents, deviations, steps, states and actions.

    Q and V are those of phi∘sigma_E, phi in Phi_i, and a runs over the legal joint actions. For an explicit list and
    for obedience (``Limited(0)``) u is a maximum over values of given policies. For other classes it is enclosed: with
    V_max and V_min the best and the worst that a deviation can do from each (h, s) on, and Q_max and Q_min their
    action values, u <= max(Q_max - V_min, V_max - Q_min); and a deviation that is best (worst) after a step and worst
    (best) at it, or obeys, attains the lower end.

    Parameters
    ----------
    game, expert
        The game and the expert's policy.
    deviations
        The class of deviations. For Limited the best and the worst are over all numbers of departures left; for
        Budget and Stationary they are those of Swap, whose values contain theirs.

    Raises
    ------
    InvalidPolicy, InvalidDeviation, InvalidNumber, NotConverged
        As for :func:`mailopt.regret`.

    Notes
    -----
    Source: Tang et al., *Multi-Agent Imitation Learning: Value is Easy, Regret is Hard*, NeurIPS 2024.

    Examples
    --------
    >>> import mailopt as mo
    >>> chain = mo.scenarios.unvisited_chain(4)
    >>> obeying = mo.recoverability(chain.game, chain.expert, mo.Limited(0))
    >>> obeying.exact, round(obeying.lower, 9), round(obeying.upper, 9)
    (True, 1.0, 1.0)
    """
    check_policy(game, expert)
    check_deviations(deviations, game)
    problem = problem_of(game, expert, deviations)
    parts = [_of_agent(problem, agent, deviations, None, {}) for agent in range(game.num_agents)]
    absolute, span = (highest(part[form] for part in parts) for form in (0, 1))
    exact = isinstance(deviations, Finite) or (isinstance(deviations, Limited) and deviations.k == 0)
    per_agent = tuple((part[0].lower, part[0].upper) for part in parts)
    return marked(game, Recoverability(absolute.lower, absolute.upper, span.lower, span.upper, exact, per_agent))


Kept: TypeAlias = dict[tuple[int, int, str], list[Outcome]]
"""Outcomes of recursions, which depend on the expert alone, by stages, agent and kind."""


def upper_ends(
    problem: Problem, deviations: DeviationClass, playable: list[list[BoolArray]], kept: Kept
) -> tuple[float, float]:
    """Upper ends of both forms, given for each agent and stage the joint actions (S, A) that the span is over."""
    parts = [_of_agent(problem, agent, deviations, masks, kept) for agent, masks in enumerate(playable)]
    return max(part[0].upper for part in parts), max(part[1].upper for part in parts)


def _of_agent(
    problem: Problem, agent: int, deviations: DeviationClass, playable: list[BoolArray] | None, kept: Kept
) -> tuple[Enclosure, Enclosure]:
    """Enclose both forms for one agent; the span over playable joint actions, or over the legal ones."""

    def evaluated(kind: str, where: Problem, rules: Callable[[], list[Rule]]) -> list[Outcome]:
        key = (problem.stages, agent, kind)
        if key not in kept:
            kept[key] = recursion(where, rules())
        return kept[key]

    if isinstance(deviations, Finite):
        members = deviations.of(agent)
        if not members:
            return Enclosure(-np.inf, -np.inf), Enclosure(-np.inf, -np.inf)
        followed = evaluated("listed", problem, lambda: [Follow(phi) for phi in members])
        found = [_Range(problem, outcome, playable) for outcome in followed]
        return highest(r.absolute() for r in found), highest(r.span() for r in found)
    obeying = _Range(problem, evaluated("obeys", problem, lambda: [Obey([agent])])[0], playable)
    if isinstance(deviations, Limited) and deviations.k == 0:
        return obeying.absolute(), obeying.span()
    free = deviations if isinstance(deviations, Recursive) else Swap()
    given = problem.game.rewards[None] if problem.game.rewards.ndim == 3 else problem.game.rewards
    mirrored = replace(problem, rewards=-given, rewards_error=_given_error(problem))
    best = _Range(problem, evaluated("best", problem, lambda: [Deviate(problem, agent, free)])[0], playable)
    worst = _Range(mirrored, evaluated("worst", mirrored, lambda: [Deviate(mirrored, agent, free)])[0], playable)
    upper = _widest(best, worst)
    lowers = [obeying.absolute().lower] if deviations.contains_obedience else []
    spans = [obeying.span().lower] if deviations.contains_obedience else []
    if isinstance(deviations, Budget | Stationary | Limited):
        return Enclosure(max(lowers), upper[0]), Enclosure(max(spans), upper[1])
    for side in (best, worst):
        lowers.append(side.absolute().lower)
        spans.append(side.span().lower)
        if problem.game.discount is None:
            lowers.append(side.against(free))
    return Enclosure(max(lowers), upper[0]), Enclosure(max(spans), upper[1])


def _given_error(problem: Problem) -> float:
    """Bound on how far the rewards of the game are from those meant, for all steps."""
    return float(np.max(problem.given_error(problem.reward_scale)))


class _Range:
    """Range of the action values of one value function at each stage and state, with V beside it."""

    def __init__(self, problem: Problem, outcome: Outcome, playable: list[BoolArray] | None) -> None:
        game, self.problem, self.outcome = problem.game, problem, outcome
        self.agent = outcome.rule.agents[0]
        self.values = outcome.state_values[:, 0, -1]
        shape = self.values.shape
        self.top, self.bottom, self.widest, self.narrowest = (np.empty(shape) for _ in range(4))
        for h in range(problem.stages):
            q = outcome.action_values(h)[-1]
            self.top[h] = q.max(axis=1, where=game.joint_legal, initial=-np.inf)
            self.bottom[h] = q.min(axis=1, where=game.joint_legal, initial=np.inf)
            mask = game.joint_legal if playable is None else playable[h]
            self.widest[h] = q.max(axis=1, where=mask, initial=-np.inf)
            self.narrowest[h] = q.min(axis=1, where=mask, initial=np.inf)
        largest = np.maximum(np.abs(self.top), np.abs(self.bottom)).max(axis=1)
        self.error = 2.0 * outcome.errors[:, 0] + 8 * 2.0**-53 * (largest + np.abs(self.values).max(axis=1))

    def absolute(self) -> Enclosure:
        """Enclose the largest |Q - V|."""
        distance = np.maximum(self.top - self.values, self.values - self.bottom).max(axis=1)
        return highest(Enclosure.around(float(d), float(e)) for d, e in zip(distance, self.error, strict=True))

    def span(self) -> Enclosure:
        """Enclose the largest range of Q."""
        distance = (self.widest - self.narrowest).max(axis=1)
        return highest(Enclosure.around(float(d), float(e)) for d, e in zip(distance, self.error, strict=True))

    def against(self, deviations: Recursive) -> float:
        """Lower end of the largest Q - V if the agent does its worst at the step and this value function follows."""
        rule = Deviate(self.problem, self.agent, deviations)
        q = [self.outcome.action_values(h) for h in range(len(self.values))]
        least = np.stack([-rule.backup(self.problem, h, -values[None])[0, -1] for h, values in enumerate(q)])
        distance = (self.top - least).max(axis=1)
        return max(Enclosure.around(float(d), float(e)).lower for d, e in zip(distance, self.error, strict=True))


def _widest(best: _Range, worst: _Range) -> tuple[float, float]:
    """Upper ends of |Q - V| and of the range of Q, from the best values and the worst, which are mirrored."""
    error = best.error + worst.error
    above, below = best.top + worst.values, best.values + worst.top
    absolute = np.maximum(above, below).max(axis=1)
    span = (best.widest + worst.widest).max(axis=1)
    return tuple(
        max(Enclosure.around(float(d), float(e)).upper for d, e in zip(distance, error, strict=True))
        for distance in (absolute, span)
    )  # type: ignore[return-value]
