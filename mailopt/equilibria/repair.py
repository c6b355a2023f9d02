"""Repair: the policy close to a given one whose regret is small enough.

Backwards, each row sigma_h(s) whose stage regret exceeds its share of epsilon is replaced by the nearest distribution
(in total variation) whose stage regret does not. The result has certified regret at most epsilon. Its shares add up to
a bound that is seldom attained, so the rest of the budget is spent afterwards: larger shares, then a step back towards
the given policy, as far as the certified regret allows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mailopt.deviations import DeviationClass, Swap, check_deviations
from mailopt.equilibria.backward import TRIES, within
from mailopt.equilibria.checks import allowed_regret, check_tolerance
from mailopt.equilibria.optimum import objective_bound
from mailopt.equilibria.stages import StageAnswer, StageSolver, Work
from mailopt.errors import PolicyShape
from mailopt.evaluation.regret import Regret, regret
from mailopt.evaluation.rounding import SLACK, Enclosure, gamma
from mailopt.evaluation.stages import by_stage
from mailopt.evaluation.values import Values
from mailopt.games.game import MarkovGame
from mailopt.games.marks import marked
from mailopt.games.numbers import BoolArray, FloatArray
from mailopt.games.policy import CorrelatedPolicy, check_policy
from mailopt.programs.objectives import Nearest, Objective, named, sequence
from mailopt.programs.stage_numbers import Epsilon
from mailopt_solvers import SolverFailed

_HALVINGS = 10  # of the interval of shares, each a backward induction
_FINE = 40  # of the way back, each an evaluation


@dataclass(frozen=True, eq=False, repr=False)
class Repair:
    """A policy whose regret is small enough, close to a given one.

    Attributes
    ----------
    policy
        The repaired policy; of a discounted game it may have more steps than the given one.
    regret
        Its certified regret, computed from the policy alone.
    before
        The regret of the given policy; where it is not known everywhere, of its rows as they stand.
    moved
        Total variation between the two policies at each (step, state), (H, S); discounted (S,) or (T, S). 0 where the
        given policy is not known.
    distance
        Mean of ``moved`` over the steps and states where the given policy is known.
    distance_lower, distance_upper
        lower <= true distance of the repaired policy <= upper.
    distance_bound
        No policy of regret at most epsilon is nearer than this, proved with all rounding; None in Markov games, unless
        nothing had to move.
    values
        Values of obeying the repaired policy.
    value_paid
        What each agent loses by it, J_i(given) - J_i(repaired), (m,); negative where it gains.
    value_paid_lower, value_paid_upper
        lower <= true loss <= upper for each agent, (m,).
    epsilon, deviations
        What was asked for.
    work
        What it took.
    """

    policy: CorrelatedPolicy
    regret: Regret
    before: Regret
    moved: FloatArray
    distance: float
    distance_lower: float
    distance_upper: float
    distance_bound: float | None
    values: Values
    value_paid: FloatArray
    value_paid_lower: FloatArray
    value_paid_upper: FloatArray
    epsilon: Epsilon
    deviations: DeviationClass
    work: Work

    def __repr__(self) -> str:
        """Regrets and distance in one line."""
        return (
            f"Repair(regret {self.before.value:.6g} to {self.regret.value:.6g}, {self.deviations!r}; moved "
            f"{self.distance:.3g} on average, {self.moved.max():.3g} at most)"
        )


def repair(
    game: MarkovGame,
    policy: CorrelatedPolicy,
    *,
    epsilon: Epsilon,
    deviations: DeviationClass = Swap(),  # noqa: B008 - a frozen object without state
    spend: bool = True,
    tolerance: float = 1e-6,
    progress: bool = False,
) -> Repair:
    """Repair a policy: bring its regret down to epsilon and stay close to it.

    A policy whose certified regret (``regret.upper``) is at most epsilon is returned as it is. Otherwise, backwards,
    every row is projected (total variation) on the distributions whose stage regret, given what follows, is at most
    epsilon / H (discounted (1 - gamma) epsilon / 2, the rest for the end); rows that need no change are left
    alone.

    Parameters
    ----------
    game, policy
        The game, whose rewards are known, and the policy to repair.
    epsilon
        Regret that is allowed, in units of reward.
    deviations
        Swap, External, Coarse, Internal, Partition or Restricted.
    spend
        Spend what the plain repair leaves of epsilon (some ten times its work; more in a discounted game, where the
        plain repair may be stationary and others are not): try larger shares, then go back towards the given policy as
        far as the certified regret allows. Of all that was tried the policy with the smallest ``distance`` is returned.
        It is nearest stage by stage, not proved to be the nearest of all.
    tolerance
        Discounted games with epsilon = 0: see :func:`mailopt.correlated_equilibrium`.
    progress
        Show a progress bar.

    Raises
    ------
    NoEquilibrium
        No policy has so little regret.
    InvalidGame, InvalidPolicy, InvalidDeviation, InvalidOption, GameTooLarge, SolverError, NotConverged
        As for :func:`mailopt.correlated_equilibrium`.

    Examples
    --------
    >>> import mailopt as mo
    >>> chain = mo.scenarios.unvisited_chain(4)
    >>> mo.repair(chain.game, chain.learner, epsilon=0.5)
    Repair(regret 3 to 0.5, Swap(); moved 0.0651 on average, 0.833 at most)
    """
    check_policy(game, policy)
    known = np.ones((1, game.num_states), dtype=bool)
    return marked(game, _repaired(game, policy, known, None, epsilon, deviations, spend, tolerance, progress))


def regret_constrained_imitation(
    game: MarkovGame,
    expert: CorrelatedPolicy,
    *,
    epsilon: Epsilon,
    deviations: DeviationClass = Swap(),  # noqa: B008 - a frozen object without state
    known: npt.ArrayLike | None = None,
    elsewhere: Objective | str = "welfare",
    spend: bool = True,
    tolerance: float = 1e-6,
    progress: bool = False,
) -> Repair:
    """Imitate subject to a bound on the regret: the policy nearest to an expert with R(sigma) <= epsilon.

    The rewards are known. In a normal form this is one linear program, and its optimum, which
    :attr:`Repair.distance_bound` proves; in a Markov game it is found by :func:`mailopt.repair`, stage by stage.

    Parameters
    ----------
    game, epsilon, deviations, spend, tolerance, progress
        As for :func:`mailopt.repair`.
    expert
        The expert's policy, or the frequencies with which demonstrations recommend.
    known
        Where the expert is known, for instance where demonstrations went: booleans (S,) or (H, S). Elsewhere its rows
        play no part. None: everywhere.
    elsewhere
        Objective of the stage equilibria where the expert is not known.

    Raises
    ------
    PolicyShape
        ``known`` is no such mask.
    NoEquilibrium, InvalidGame, InvalidPolicy, InvalidDeviation, InvalidOption, GameTooLarge, SolverError, NotConverged
        As for :func:`mailopt.repair`.

    Examples
    --------
    An expert that is known on its own path only; elsewhere the best stage equilibria are taken:

    >>> import mailopt as mo
    >>> chain = mo.scenarios.unvisited_chain(4)
    >>> known = mo.occupancy(chain.game, chain.expert).sum(axis=2) > 0
    >>> found = mo.regret_constrained_imitation(chain.game, chain.expert, epsilon=0.25, known=known)
    >>> found.regret.upper <= 0.25
    True
    """
    check_policy(game, expert)
    mask = np.ones((1, game.num_states), dtype=bool) if known is None else _mask(game, known)
    return marked(
        game, _repaired(game, expert, mask, named(elsewhere), epsilon, deviations, spend, tolerance, progress)
    )


def _repaired(
    game: MarkovGame,
    policy: CorrelatedPolicy,
    known: BoolArray,
    elsewhere: Objective | None,
    epsilon: Epsilon,
    deviations: DeviationClass,
    spend: bool,
    tolerance: float,
    progress: bool,
) -> Repair:
    check_deviations(deviations, game)
    allowed = float(allowed_regret(epsilon, deviations))
    check_tolerance(tolerance)
    work = Work()
    near = StageSolver(game, deviations, [Nearest(policy)], tight=False, work=work)
    free = None
    if elsewhere is not None and not known.all():
        free = StageSolver(game, deviations, sequence(elsewhere), tight=False, work=work)
    before = regret(game, policy, deviations)
    if known.all() and before.upper <= allowed:
        return _gathered(game, policy, known, (policy, before), before, epsilon, deviations, work, bound=0.0)
    steps = max(policy.num_steps or 1, len(known))
    if free is not None:
        steps = max(steps, *(goal.num_steps or 1 for goal in free.objectives))
    start = before.obedience.state_values
    assert start is not None  # the method is "dp"
    start = start.reshape(-1, game.num_agents, game.num_states)[-1]

    answers: list[StageAnswer] = []

    def attempt(factor: float) -> tuple[CorrelatedPolicy, Regret]:
        def rule(step: int, q: FloatArray, slack: float) -> StageAnswer:
            here = known[min(step, len(known) - 1)]
            answer = near.solve(step, q, factor * slack, here)
            if free is not None and not here.all():
                answer.sigma[~here] = free.solve(step, q, factor * slack, ~here).sigma[~here]
            return answer

        found, reached, certified = within(
            game, rule, deviations, allowed, tolerance, progress, work,
            before=steps - 1, start=start, tries=1 if factor > 1.0 else TRIES,
        )  # fmt: skip
        answers[:] = reached.answers[:1]
        return found, certified

    best, bound = attempt(1.0), None
    if game.is_normal_form:
        bound = objective_bound(game, near.program, near.objectives[0], answers[0], allowed) if known.all() else 0.0
    if spend and allowed > 0 and not game.is_normal_form:  # a normal form is done: one program
        moved = _distance(_moved(game, policy, known, best[0]), known)
        low, high = 0.0, np.log2(max(2.0, before.upper / allowed * (game.horizon or 1.0 / game.occupancy_mass)))
        for _ in range(_HALVINGS):
            middle = low / 2 + high / 2
            try:
                found = attempt(2.0**middle)
            except SolverFailed:  # a larger share is worth a try, not a failure
                high = middle
                continue
            further = _distance(_moved(game, policy, known, found[0]), known)
            if found[1].upper <= allowed and further <= moved:
                best, moved, low = found, further, middle
            else:
                high = middle
        best = _back(game, policy, known, best, allowed, deviations)
    return _gathered(game, policy, known, best, before, epsilon, deviations, work, bound=bound)


def _back(
    game: MarkovGame,
    policy: CorrelatedPolicy,
    known: BoolArray,
    best: tuple[CorrelatedPolicy, Regret],
    allowed: float,
    deviations: DeviationClass,
) -> tuple[CorrelatedPolicy, Regret]:
    """Go back towards the given policy where it is known, as far as the certified regret allows."""
    stages = max(best[0].num_steps or 1, policy.num_steps or 1)
    mask = _at_stages(known, stages)[..., None]
    ours, given = (np.stack([p.at(h) for h in range(stages)]) for p in (best[0], policy))
    low, high = 0.0, 1.0
    for _ in range(_FINE):
        share = low / 2 + high / 2
        rows = np.where(mask & (ours != given), (1.0 - share) * ours + share * given, ours)
        candidate = CorrelatedPolicy(rows[0] if best[0].num_steps is None and stages == 1 else rows)
        certified = regret(game, candidate, deviations)
        if certified.upper <= allowed:
            best, low = (candidate, certified), share
        else:
            high = share
    return best


def _at_stages(known: BoolArray, stages: int) -> BoolArray:
    """Repeat the last row of a mask, (T, S)."""
    return known[np.minimum(np.arange(stages), len(known) - 1)]


def _moved(game: MarkovGame, policy: CorrelatedPolicy, known: BoolArray, found: CorrelatedPolicy) -> FloatArray:
    """Total variation at each stage and state, (T, S); 0 where the given policy is not known."""
    stages = game.num_stages(policy.num_steps, found.num_steps, len(known))
    apart = [np.abs(policy.at(h) - found.at(h)).sum(axis=1) / 2 for h in range(stages)]
    return np.where(_at_stages(known, stages), apart, 0.0)


def _distance(moved: FloatArray, known: BoolArray) -> float:
    """Mean over the stages and states where the given policy is known; 0 if that is nowhere."""
    return float(moved.sum() / max(1, _at_stages(known, len(moved)).sum()))


def _gathered(
    game: MarkovGame,
    policy: CorrelatedPolicy,
    known: BoolArray,
    best: tuple[CorrelatedPolicy, Regret],
    before: Regret,
    epsilon: Epsilon,
    deviations: DeviationClass,
    work: Work,
    *,
    bound: float | None,
) -> Repair:
    found, certified = best
    moved = _moved(game, policy, known, found)
    distance = _distance(moved, known)
    roundings = 4 * max(policy.support, found.support) + moved.size + 20
    enclosed = Enclosure.around(distance, 0.0 if found is policy else float(gamma(roundings) * SLACK))
    given, ours = before.obedience, certified.obedience
    paid = [given.enclosure(i) - ours.enclosure(i) for i in range(game.num_agents)]
    return Repair(
        policy=found,
        regret=certified,
        before=before,
        moved=by_stage(game, moved),
        distance=distance,
        distance_lower=max(0.0, enclosed.lower),
        distance_upper=enclosed.upper,
        distance_bound=bound,
        values=ours,
        value_paid=given.value - ours.value,
        value_paid_lower=np.array([e.lower for e in paid]),
        value_paid_upper=np.array([e.upper for e in paid]),
        epsilon=epsilon,
        deviations=deviations,
        work=work,
    )


def _mask(game: MarkovGame, known: npt.ArrayLike) -> BoolArray:
    try:
        array = np.asarray(known)
    except ValueError as error:
        raise PolicyShape(f"known is ragged: {error}") from None
    shapes = [(game.num_states,)] + ([(game.horizon, game.num_states)] if game.horizon is not None else [])
    if array.dtype != np.bool_ or array.shape not in shapes:
        raise PolicyShape(
            f"known has shape {array.shape} and dtype {array.dtype}; give booleans (S,) = {shapes[0]}"
            + (f" or (H, S) = {shapes[1]}" if len(shapes) > 1 else "")
        )
    return np.atleast_2d(array)
