"""Regret of a policy that is known only where demonstrations went: the interval of what it may be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mailopt.deviations import DeviationClass, Limited, Swap, check_deviations
from mailopt.deviations.base import Recursive
from mailopt.errors import CoverageError, InvalidDeviation, PolicyShape
from mailopt.evaluation.completion import Collude, Confound
from mailopt.evaluation.reach import support_of
from mailopt.evaluation.recursion import Outcome, recursion
from mailopt.evaluation.regret import Regret, regret
from mailopt.evaluation.rounding import highest
from mailopt.evaluation.rules import Obey, Problem
from mailopt.evaluation.values import values_of
from mailopt.evaluation.withstanding import withstanding
from mailopt.games.game import MarkovGame
from mailopt.games.marks import marked
from mailopt.games.numbers import BoolArray
from mailopt.games.policy import CorrelatedPolicy, check_policy


@dataclass(frozen=True)
class Priority:
    """A place where it would help to know the policy.

    Attributes
    ----------
    step, state
        Where; the step is the stage of a discounted game.
    weight
        How much the upper end would fall at most, in units of reward, if the policy turned out to be as safe as can be
        there: the visits of the deviation that attains the upper end, times what the agent would lose there.
    """

    step: int
    state: int
    weight: float


@dataclass(frozen=True, eq=False, repr=False)
class RegretInterval:
    """What the regret of a partly known policy may be.

    Attributes
    ----------
    lower, upper
        lower <= regret of every completion <= upper.
    attained
        Whether the upper end is the regret of ``upper_completion`` (up to rounding). Not for Limited, whose numbers of
        departures left may each want a completion of their own.
    upper_completion, upper_regret
        The policy, completed for the worst, and its regret.
    lower_completion, lower_regret
        The best completion that was found, and its regret: the least regret is between ``lower`` and this.
    priorities
        Where knowing the policy would shrink the interval most, heaviest first; places where it would not lower the
        upper end are left out.
    """

    lower: float
    upper: float
    attained: bool
    upper_completion: CorrelatedPolicy
    upper_regret: Regret
    lower_completion: CorrelatedPolicy
    lower_regret: Regret
    priorities: list[Priority]

    def __repr__(self) -> str:
        """Both ends in one line."""
        return f"RegretInterval({self.lower:.6g} to {self.upper:.6g}, {self.upper_regret.best.deviations!r})"


def regret_interval(
    game: MarkovGame,
    policy: CorrelatedPolicy,
    known: npt.ArrayLike,
    deviations: DeviationClass = Swap(),  # noqa: B008 - a frozen object without state
) -> RegretInterval:
    """Interval of the regret of a policy that is known at some (h, s) only, over all that it may do elsewhere.

    The upper end is a dynamic program in which, where the policy is not known, mediator and deviator collude:
    V_h(s) = max_a Q_i(s, a), over the joint actions a that some deviation of the class can bring about. The lower end
    takes the stage minimax there, min over sigma(s) of the best response, one small linear program: for each agent
    by itself, so that it is a valid bound, which need not be attained.

    Parameters
    ----------
    game, policy
        The game and the policy; its rows where it is not known play no part.
    known
        Where the policy is known: booleans (T, S), or (S,) for all steps. Or demonstrations: integers
        (episodes, steps), the states that were visited; the policy is known there.
    deviations
        Swap, External, Coarse, Internal, Partition or Restricted; for Limited the upper end is an outer bound, and
        in a discounted game the lower end is 0 unless all is known.

    Raises
    ------
    CoverageError
        Obedience reaches a place where the policy is not known, so that even the value of obeying is open.
    InvalidDeviation
        Another class.
    InvalidPolicy, InvalidNumber, NotConverged, SolverError
        As for :func:`mailopt.regret`; ``known`` is no such array.

    Examples
    --------
    >>> import numpy as np
    >>> import mailopt as mo
    >>> chain = mo.scenarios.unvisited_chain(6)
    >>> known = mo.occupancy(chain.game, chain.expert).sum(axis=2) > 0     # only the expert's path
    >>> mo.regret_interval(chain.game, chain.learner, known)
    RegretInterval(0 to 5, Swap())
    """
    check_policy(game, policy)
    check_deviations(deviations, game)
    if not isinstance(deviations, Recursive):
        raise InvalidDeviation(f"no interval is known for {deviations!r}; use Swap(), External() or another free class")
    stages = game.num_stages(policy.num_steps)
    mask = _mask(game, known, stages)
    problem = Problem(game, policy, steps=max(len(mask), deviations.num_steps or 1))
    mask = np.stack([mask[min(h, len(mask) - 1)] for h in range(problem.stages)])
    missing = np.argwhere(support_of(problem, Obey(range(game.num_agents))) & ~mask)
    if missing.size:
        places = ", ".join(f"(step {h}, state {s})" for h, s in missing[:5]) + ", .." * (len(missing) > 5)
        raise CoverageError(
            f"obedience reaches {len(missing)} places where the policy is not known: {places}; the value of obeying is "
            f"open there. Add them to known, or complete the policy and compute its regret"
        )
    agents, obedience = range(game.num_agents), values_of(problem)
    worst = recursion(problem, [Collude(problem, i, deviations, ~mask) for i in agents])
    endless = isinstance(deviations, Limited) and game.discount is not None and not mask.all()
    free = deviations.inner if endless and isinstance(deviations, Limited) else deviations
    least = recursion(problem, [Confound(problem, i, free, ~mask) for i in agents])
    upper = highest(w.enclosure() - obedience.enclosure(i) for i, w in enumerate(worst)).upper
    lower = -np.inf if endless else highest(w.enclosure() - obedience.enclosure(i) for i, w in enumerate(least)).lower
    if deviations.contains_obedience:  # then no regret is negative
        lower = max(0.0, lower)
    gains = [w.value() - obedience.value[i] for i, w in enumerate(worst)]
    attaining = worst[int(np.argmax(gains))]
    bad = _completed(attaining)
    good, mildest = _mildest(least, deviations)
    return marked(
        game,
        RegretInterval(
            lower=lower,
            upper=upper,
            attained=not isinstance(deviations, Limited),
            upper_completion=bad,
            upper_regret=regret(game, bad, deviations),
            lower_completion=good,
            lower_regret=mildest,
            priorities=_priorities(attaining),
        ),
    )


def least_regret_completion(
    game: MarkovGame, policy: CorrelatedPolicy, unknown: BoolArray, deviations: Recursive
) -> CorrelatedPolicy:
    """Complete a policy where it is unknown, (T, S), by the best of a few candidates; it need not be the best of all.

    The candidates hold each agent to its stage minimax there, one agent each, or all of them at once; and the policy as
    it is.
    """
    problem = Problem(game, policy, steps=max(len(unknown), deviations.num_steps or 1))
    mask = np.stack([unknown[min(h, len(unknown) - 1)] for h in range(problem.stages)])
    endless = isinstance(deviations, Limited) and game.discount is not None
    free = deviations.inner if endless and isinstance(deviations, Limited) else deviations
    least = recursion(problem, [Confound(problem, i, free, mask) for i in range(game.num_agents)])
    good, mildest = _mildest(least, deviations)
    return policy if regret(game, policy, deviations).value < mildest.value else good


def _mildest(least: list[Outcome], deviations: DeviationClass) -> tuple[CorrelatedPolicy, Regret]:
    """Take the completion of least regret: of those that hold one agent each, their mixture, and two that hold all.

    Those that hold all agents at once look at their values, or at how far these are above what each can be held to.
    """
    candidates = [_completed(outcome) for outcome in least]
    candidates.append(CorrelatedPolicy.mixture(candidates, np.full(len(candidates), 1.0 / len(candidates))))
    problem, rule, game = least[0].problem, least[0].rule, least[0].problem.game
    assert isinstance(rule, Confound)
    values = np.stack([outcome.state_values[:, 0, -1] for outcome in least], axis=1)
    every = (np.zeros_like(values), values)
    candidates += [withstanding(problem, rule.stage.inner, rule.unknown, floors) for floors in every]
    return min(((c, regret(game, c, deviations)) for c in candidates), key=lambda found: found[1].value)


def _mask(game: MarkovGame, known: npt.ArrayLike, stages: int) -> BoolArray:
    array = np.asarray(known)
    if array.dtype == np.bool_ and array.shape == (game.num_states,):
        return np.broadcast_to(array, (stages, game.num_states))
    if array.dtype == np.bool_ and array.ndim == 2 and array.shape[1] == game.num_states:
        if game.horizon is None or len(array) == game.horizon:
            return array
    elif array.dtype.kind in "iu" and array.ndim == 2 and array.size:
        wrong = np.argwhere((array < 0) | (array >= game.num_states))
        if wrong.size:
            episode, step = (int(k) for k in wrong[0])
            raise PolicyShape(
                f"known, episode {episode}, step {step}: {array[episode, step]} is none of the states 0 to "
                f"{game.num_states - 1}"
            )
        if array.shape == (game.horizon, game.num_states) and array.max() <= 1:
            raise PolicyShape(
                f"known has shape {array.shape} and the integers 0 and 1, which may mean a mask or the states of "
                f"episodes; for a mask give booleans, known.astype(bool)"
            )
        if game.horizon is None:
            mask = np.zeros((1, game.num_states), dtype=bool)
            mask[0, array.ravel()] = True
            return mask
        if array.shape[1] == game.horizon:
            mask = np.zeros((game.horizon, game.num_states), dtype=bool)
            mask[np.arange(game.horizon), array] = True
            return mask
    raise PolicyShape(
        f"known has shape {array.shape} and dtype {array.dtype}; give booleans (T, S) or (S,), S = {game.num_states}"
        f"{'' if game.horizon is None else f' and T = {game.horizon}'}, or the states that demonstrations visited, "
        f"integers (episodes, {'steps' if game.horizon is None else game.horizon})"
    )


def _completed(outcome: Outcome) -> CorrelatedPolicy:
    rule = outcome.rule
    assert isinstance(rule, Collude | Confound)
    return rule.completed(outcome.problem)


def _priorities(outcome: Outcome) -> list[Priority]:
    """Weigh the places that the worst case passes."""
    problem, rule = outcome.problem, outcome.rule
    assert isinstance(rule, Collude)
    visits = outcome.visits() / problem.game.occupancy_mass
    found = []
    for h in range(problem.stages):
        states = np.flatnonzero(rule.unknown[h] & (visits[h].sum(axis=0) > 0))
        if not states.size:
            continue
        q = outcome.action_values(h)[:, states]
        safe, _ = rule.stage.minimax(h, states, q)
        weights = (visits[h][:, states] * (outcome.state_values[h, 0][:, states] - safe)).sum(axis=0)
        found += [Priority(h, int(s), float(w)) for s, w in zip(states, weights, strict=True) if w > 0]
    return sorted(found, key=lambda place: -place.weight)
