"""Proved bounds on what learners minimise: a program only lends its multipliers, the rest is evaluated again.

What is bounded is the optimum of the true program, with the kernel's rows and those of policies normalised exactly and
with the occupancies that deviations and demonstrations really have. The doubles in a program are that only up to
rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from mailopt.deviations import Budget, DeviationClass
from mailopt.evaluation.reach import occupancy_error
from mailopt.evaluation.recursion import recursion
from mailopt.evaluation.rounding import SLACK, TINY, Enclosure, gamma, highest
from mailopt.evaluation.rules import Obey, Problem, Serve, counting
from mailopt.evaluation.search import Found
from mailopt.games.game import MarkovGame
from mailopt.games.numbers import FloatArray
from mailopt.games.policy import CorrelatedPolicy
from mailopt.imitation.target import Target
from mailopt.programs.imitation import Master
from mailopt.programs.layout import Constraint, Layout
from mailopt.programs.moment_matching import Rewards

# Moment matching


@dataclass(frozen=True, eq=False)
class Measure:
    """An occupancy (T, S, A), discounted (1, S, A), and a bound on its L1 distance from the true one."""

    occupancy: FloatArray
    error: float


def apart(theirs: Measure, ours: Measure, rewards: Rewards) -> Enclosure:
    """Enclose max_f <f, mu_E - mu>, for features that are doubles."""
    features, steps = rewards.features, len(theirs.occupancy)
    scale, terms = 1.0, theirs.occupancy.size
    if features is not None:
        largest = np.abs(features).max(axis=(1, 2, 3))
        scale, terms = float(largest.sum() if rewards.norm == "linf" else largest.max()), terms + len(features)
    off = (theirs.error + ours.error) * (1.0 + gamma(terms + 8)) + gamma(terms + 8) * 2 * steps + 8 * TINY * terms
    value = rewards.distance(theirs.occupancy - ours.occupancy)
    return Enclosure.around(value, (scale * off + TINY) * SLACK)


def least_apart(
    game: MarkovGame,
    theirs: Measure,
    rewards: Rewards,
    weights: FloatArray,
    constraints: Sequence[tuple[Constraint, FloatArray]],
    members: Sequence[CorrelatedPolicy] | None,
) -> float:
    """Lower bound on max_f <f, mu_E - mu> over all occupancies, or over mixtures of those of some policies.

    For every f of the class and all multipliers y of constraints lower <= C mu <= upper it is at least

        <f, mu_E> + sum_i min(y_i lower_i, y_i upper_i) - max over mu of <f + C'y, mu>,

    where the maximum is that of a decision process, or of the policies.

    Parameters
    ----------
    game, theirs, rewards
        The game, the expert's occupancy, and the class of rewards.
    weights
        Weights of the worst reward: of the features (K,), or for the unit box f itself.
    constraints
        With the multipliers of their rows.
    members
        The policies, or None.
    """
    shape = theirs.occupancy.shape
    f, off = _reward(rewards, weights, shape)
    shifted, sizes, sides = f.ravel(), np.abs(f).ravel(), []
    rows = 0
    for constraint, multipliers in constraints:
        matrix = constraint.matrix(shape, stationary=game.horizon is None)
        low, high = constraint.sides(matrix.shape[0])
        missing = (multipliers > 0) & np.isneginf(low) | (multipliers < 0) & np.isposinf(high)
        y = np.where(missing, 0.0, multipliers)
        shifted, sizes = shifted + matrix.T @ y, sizes + abs(matrix).T @ np.abs(y)
        rows += len(y)
        ends = np.where(y > 0, low, high)
        sides += [(float(p), Enclosure(float(e), float(e))) for p, e in zip(y, ends, strict=True) if p != 0]
    legal = np.broadcast_to(game.joint_legal, shape).ravel()
    off_shifted = off + gamma(rows + 4) * float(sizes[legal].max()) + (rows + 4) * TINY
    payoffs = np.where(legal, shifted, 0.0).reshape(shape)[:, None]
    problem = Problem(game, CorrelatedPolicy.uniform(game), payoffs, off_shifted * SLACK)
    if members is None:
        best = recursion(problem, [Serve(problem)])[0].enclosure()
    else:
        followed = (replace(problem, policy=policy) for policy in members)
        best = highest(recursion(one, [Obey([0])])[0].enclosure() for one in followed)
    mass = Fraction(1) if game.discount is None else 1 - Fraction(game.exact_discount or game.discount)
    steps, largest = len(theirs.occupancy), float(np.abs(f).max())
    error = (off + largest * gamma(f.size + 4)) * (steps + theirs.error) + largest * theirs.error + 8 * TINY * f.size
    found = Enclosure.around(float((f * theirs.occupancy).sum()), error * SLACK)
    lower = (found + Enclosure.weighted(sides) - Enclosure.weighted([(mass, best)])).lower
    return lower if rewards.norm == "simplex" else max(lower, 0.0)


def _reward(rewards: Rewards, weights: FloatArray, shape: tuple[int, ...]) -> tuple[FloatArray, float]:
    """Reward of the class that is nearest to what some weights make, and a bound on how far it is off the class."""
    if rewards.features is None:
        return np.clip(weights, -1.0, 1.0).reshape(shape), 0.0
    if rewards.norm == "linf":
        kept: FloatArray = np.clip(weights, -1.0, 1.0)
    elif rewards.norm == "l1":
        kept = weights / max(1.0, float(np.abs(weights).sum()))
    else:
        positive = np.maximum(weights, 0.0)
        kept = positive / positive.sum() if positive.sum() > 0 else np.full(len(weights), 1.0 / len(weights))
    f = np.tensordot(kept, rewards.features, axes=1)
    sizes = np.tensordot(np.abs(kept), np.abs(rewards.features), axes=1)
    return f, float(gamma(3 * len(kept) + 8) * sizes.max() + 8 * TINY * len(kept)) * SLACK


# Imitation


def least_loss(master: Master, target: Target, mass: float, error: float) -> float:
    """Lower bound on the least loss of the class of policies, max over n of sum_{h,s} w^n_h(s) TV_h(s).

    The program without what breaks its ties has a bound that takes its doubles as they are. Nothing that the true
    numbers change is more than what is taken off: a visit that is wrong counts no more than its size, a row of the
    target, or of a policy of a mixture, no more than its L1 distance from the true one times the mass of all visits,
    and a coefficient of a constraint its multiplier times the parameter.

    Parameters
    ----------
    master
        The program, with all weightings.
    target
        The rows to come near to.
    mass
        Sum of the weights of a weighting, at most.
    error
        Bound on the L1 distance of a weighting from the true one.
    """
    session, layout = master.session, master.layout
    costs = session.program.costs
    if (costs < 0).any():
        session.update(costs=np.maximum(costs, 0.0))
    solution = session.solve().require_optimal()
    slack = error + mass * (gamma(4 * target.support + 16) + gamma(4 * target.known.size + 16) + class_error(layout))
    for k, constraint in enumerate(layout.constraints):
        prices = np.abs(solution.duals(f"constraint{k}")) * (1.0 + 2.0**-28)  # the bound may change them by less
        spread = layout.entries(*np.indices(layout.shape).reshape(3, -1))
        sizes = (abs(constraint.matrix(layout.shape, stationary=layout.stationary)) @ spread).T @ prices
        roundings = spread.shape[0] + 4 * layout.shape[2] + 16
        slack += gamma(roundings) * float(sizes.reshape(layout.allowed.shape).max(axis=1).sum())
    return Enclosure.around(solution.bound, slack * SLACK).lower


def class_error(layout: Layout) -> float:
    """Bound on the L1 distance between a row of a policy of the class, computed, and that of its parameters."""
    if layout.atoms is None:
        return 0.0  # rows are parameters
    return float(gamma(4 * layout.atoms.shape[-1] + 2 * layout.atoms.shape[-2] + 16))


def visits_error(game: MarkovGame, found: Found, deviations: DeviationClass) -> float:
    """Bound on the L1 distance of a deviation's expected visits, as computed, from those of one in the class."""
    off, cost, steps = 0.0, 0.0, game.horizon or 1
    for weight, outcome in found.parts:
        problem, rule = outcome.problem, outcome.rule
        roundings = 2 * len(found.parts) + 2 * max(game.actions) + rule.layers + problem.stages + 16
        off += weight * (occupancy_error(problem, rule) + gamma(roundings) * steps)
        if isinstance(deviations, Budget):
            cost += weight * recursion(counting(problem), [rule])[0].enclosure().upper
    if isinstance(deviations, Budget) and cost * (1.0 + 2.0**-50) > deviations.kappa:  # obeying a little more is in it
        off += 2.0 * steps * (1.0 - deviations.kappa / (cost * (1.0 + 2.0**-50)) * (1.0 - 2.0**-50))
    return float(off / game.occupancy_mass * SLACK)
