"""The deviation-weighted loss, and the bound on the regret gap that theory makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mailopt.deviations import Budget, Deviation, DeviationClass, Finite, Limited, Swap, check_deviations
from mailopt.deviations.base import Recursive
from mailopt.errors import InvalidDeviation
from mailopt.evaluation.best import BestDeviation
from mailopt.evaluation.deviating import describe, problem_of
from mailopt.evaluation.reach import Wander
from mailopt.evaluation.recoverability import Kept, upper_ends
from mailopt.evaluation.rounding import Enclosure, gamma, highest
from mailopt.evaluation.rules import Deviating, Follow, Problem
from mailopt.evaluation.search import Found, search
from mailopt.evaluation.values import values_of
from mailopt.games.game import MarkovGame
from mailopt.games.marks import marked
from mailopt.games.numbers import BoolArray, FloatArray
from mailopt.games.policy import CorrelatedPolicy, check_policy


@dataclass(frozen=True, eq=False, repr=False)
class DeviationWeightedLoss:
    """Distance from the expert where deviations go.

    Attributes
    ----------
    value
        L.
    lower, upper
        lower <= true L <= upper.
    per_agent
        The largest loss that each agent's deviations reach, (m,); minus infinity for an agent without any.
    agent
        The agent that attains L.
    best
        Its worst deviation: ``.value`` is L, ``.gain`` how much more than the loss where everybody obeys.
    distance
        TV(sigma_h(s), sigma_{E,h}(s)), shape (T, S) (T = 1 if nothing depends on the step).
    """

    value: float
    lower: float
    upper: float
    per_agent: FloatArray
    agent: int
    best: BestDeviation
    distance: FloatArray

    def __repr__(self) -> str:
        """Loss and agent in one line."""
        return f"DeviationWeightedLoss({self.value:.6g}, agent {self.agent}, {self.best.deviations!r})"

    @property
    def deviation(self) -> Deviation:
        """The deviation that attains it."""
        return self.best.deviation


@dataclass(frozen=True, eq=False, repr=False)
class RegretGapBound:
    """Upper bound on a regret gap that holds for every reward with the same recoverability.

    Attributes
    ----------
    value
        The smaller of the two forms; the regret gap is at most this, rounding included.
    absolute
        4 u L.
    span
        2 w L, w the largest range of Q over the joint actions that can be played.
    recoverability
        Upper end of u, obedience included.
    width
        Upper end of w, obedience included.
    loss
        Upper end of L, obedience included.
    """

    value: float
    absolute: float
    span: float
    recoverability: float
    width: float
    loss: float

    def __repr__(self) -> str:
        """Both forms in one line."""
        return f"RegretGapBound({self.value:.6g}: 4 u L = {self.absolute:.6g}, 2 w L = {self.span:.6g})"


def deviation_weighted_loss(
    game: MarkovGame,
    policy: CorrelatedPolicy,
    expert: CorrelatedPolicy,
    deviations: DeviationClass = Swap(),  # noqa: B008 - a frozen object without state
) -> DeviationWeightedLoss:
    """Deviation-weighted loss L: how far from the expert the policy is where a deviation from it leads.

    L = max over i and phi in Phi_i of sum_h E over s ~ d_h of phi∘sigma of TV(sigma_h(s), sigma_{E,h}(s)); discounted,
    sum_t gamma^t E .. . The game's rewards play no part. It is the best deviation for the reward TV(s), so every class
    and its exact method are there. Behaviour cloning controls the same sum for d_h of the expert only.

    Parameters
    ----------
    game, policy, expert
        The game, and the two policies to compare.
    deviations
        The class of deviations.

    Raises
    ------
    InvalidPolicy, InvalidDeviation, NotConverged, SolverError
        As for :func:`mailopt.regret`.

    Notes
    -----
    Source: Tang et al., *Multi-Agent Imitation Learning: Value is Easy, Regret is Hard*, NeurIPS 2024.

    Examples
    --------
    >>> import mailopt as mo
    >>> chain = mo.scenarios.unvisited_chain(4)
    >>> mo.deviation_weighted_loss(chain.game, chain.learner, chain.expert).value
    3.0
    """
    check_policy(game, policy)
    check_policy(game, expert)
    check_deviations(deviations, game)
    problem = distances(game, policy, expert, deviations)
    return marked(game, gathered_loss(problem, search(problem, range(game.num_agents), deviations), deviations))


def regret_gap_bound(
    game: MarkovGame,
    policy: CorrelatedPolicy,
    expert: CorrelatedPolicy,
    deviations: DeviationClass = Swap(),  # noqa: B008 - a frozen object without state
) -> RegretGapBound:
    """Bound the regret gap by recoverability and the deviation-weighted loss.

    J_i(phi∘sigma) - J_i(phi∘sigma_E) = sum_h E over s ~ d_h of phi∘sigma of the difference that playing sigma instead
    of sigma_E makes to Q of phi∘sigma_E, at most TV times the range of Q there, and that is at most 2 u. Once for phi
    and once for obedience: the regret gap is at most 2 w L and at most 4 u L, where u, w and L are over the class
    together with obedience.

    Parameters
    ----------
    game, policy, expert
        The game, and the two policies to compare.
    deviations
        The class of deviations; not Budget, in which what a deviation costs, and so the class itself, is different
        under the two policies.

    Returns
    -------
    RegretGapBound
        ``.value`` and both forms. Upper ends of all constants are used, so that the bound is rigorous.

    Raises
    ------
    InvalidPolicy, InvalidDeviation, InvalidNumber, NotConverged, SolverError
        As for :func:`mailopt.regret`.

    Notes
    -----
    Source: Tang et al., *Multi-Agent Imitation Learning: Value is Easy, Regret is Hard*, NeurIPS 2024. For Limited,
    values with different numbers of departures left meet in one Q, and u and w come from the best and the worst over
    all of them.

    Examples
    --------
    >>> import mailopt as mo
    >>> chain = mo.scenarios.unvisited_chain(4)
    >>> gap = mo.regret_gap(chain.game, chain.learner, chain.expert)
    >>> bound = mo.regret_gap_bound(chain.game, chain.learner, chain.expert)
    >>> gap.value, gap.upper <= bound.value
    (3.0, True)
    """
    return marked(game, gap_bound(game, policy, expert, deviations, {}))


def gap_bound(
    game: MarkovGame, policy: CorrelatedPolicy, expert: CorrelatedPolicy, deviations: DeviationClass, kept: Kept
) -> RegretGapBound:
    """Bound the regret gap; what depends on the expert alone is kept for the next policy."""
    check_policy(game, policy)
    check_policy(game, expert)
    check_deviations(deviations, game)
    if isinstance(deviations, Budget):
        raise InvalidDeviation(
            f"{deviations!r} holds different deviations under the policy and under the expert, and the bound needs the "
            f"same ones; use Swap() or Limited(k)"
        )
    losses = distances(game, policy, expert, deviations)
    obeyed = values_of(losses).enclosure(0)
    found = search(losses, range(game.num_agents), deviations)
    loss = highest([obeyed, *(f.enclosure for f in found if f is not None)]).upper
    problem = replace(problem_of(game, expert, deviations), steps=losses.stages)
    playable = [_playable(problem, policy, agent, deviations) for agent in range(game.num_agents)]
    ends = [upper_ends(problem, members, playable, kept) for members in (deviations, Limited(0))]
    u, width = (max(end[form] for end in ends) for form in (0, 1))
    absolute, span = ((Enclosure(0.0, c) * (k * loss)).upper * (1 + 2.0**-50) for c, k in ((u, 4.0), (width, 2.0)))
    return RegretGapBound(min(absolute, span), absolute, span, u, width, loss)


def distances(
    game: MarkovGame, policy: CorrelatedPolicy, expert: CorrelatedPolicy, deviations: DeviationClass
) -> Problem:
    """Problem whose reward is the distance TV(sigma_h(s), sigma_{E,h}(s))."""
    steps = max(policy.num_steps or 1, expert.num_steps or 1)
    distance = np.stack([0.5 * np.abs(policy.at(h) - expert.at(h)).sum(axis=1) for h in range(steps)])
    return charged(game, policy, distance, max(policy.support, expert.support), deviations)


def charged(
    game: MarkovGame, policy: CorrelatedPolicy, distance: FloatArray, support: int, deviations: DeviationClass
) -> Problem:
    """Problem whose reward is a distance (T, S), computed from rows of so many entries at most."""
    error = gamma(4 * support + 16)
    listed = problem_of(game, policy, deviations)
    steps = max(len(distance), listed.steps or 1)
    return replace(listed, rewards=distance[:, None, :, None], rewards_error=error, steps=steps)


def gathered_loss(problem: Problem, found: Sequence[Found | None], deviations: DeviationClass) -> DeviationWeightedLoss:
    """Gather the loss from the best deviation that was found for each agent."""
    per_agent = np.array([-np.inf if f is None else f.value for f in found])
    agent = int(per_agent.argmax())
    bounds = highest(f.enclosure for f in found if f is not None)
    worst = found[agent]
    assert worst is not None
    assert problem.rewards is not None
    return DeviationWeightedLoss(
        value=float(per_agent[agent]),
        lower=bounds.lower,
        upper=bounds.upper,
        per_agent=per_agent,
        agent=agent,
        best=describe(worst, deviations, values_of(problem)),
        distance=problem.rewards[:, 0, :, 0],
    )


def _playable(problem: Problem, policy: CorrelatedPolicy, agent: int, deviations: DeviationClass) -> list[BoolArray]:
    """Joint actions (S, A) that can be played at each stage if the agent deviates from either policy, or obeys."""
    game, expert = problem.game, problem.policy
    if isinstance(deviations, Finite):
        rules: list[Deviating] = [Follow(phi) for phi in deviations.of(agent)]
    else:
        free = deviations if isinstance(deviations, Recursive) else Swap()
        rules = [Wander(problem, agent, free)]
    found = []
    for h in range(problem.stages):
        recommended = (policy.at(h) > 0) | (expert.at(h) > 0)
        told = game.unfold(recommended.astype(np.float64), agent)
        mask = recommended
        for rule in rules:
            phi = rule.plays(problem, h)[-1]
            mask = mask | (game.fold(np.swapaxes(phi, 1, 2) @ told, agent) > 0)
        found.append(mask)
    return found
