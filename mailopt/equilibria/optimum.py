"""A bound that no equilibrium of a normal form can beat, proved from the prices of the temptations.

Let lambda_i >= 0 and let p_i(w|g) be a distribution over the atoms of each group. For every distribution sigma of
regret at most epsilon, sum_g sum_w p_i(w|g) G_i(w) <= sum_g max_w G_i(w) <= epsilon, so that

    sum_a w(a) sigma(a) <= max_a [w(a) - sum_i lambda_i sum_g sum_w p_i(w|g) (what w gains at a)] + epsilon sum_i
    lambda_i.

The multipliers of the program make it tight. Egalitarian objectives have w = sum_i mu_i Q_i for any weights mu that sum
to 1; the distance to a target t is at least sum_a f(a) (sigma(a) - t(a)) for any f between 0 and 1. Rounding is
accounted for: a float sum of k products is off by at most gamma_k times the sum of their sizes.
"""

from __future__ import annotations

import numpy as np

from mailopt.equilibria.stages import StageAnswer
from mailopt.evaluation.rounding import gamma
from mailopt.games.game import MarkovGame
from mailopt.games.numbers import FloatArray
from mailopt.programs.equilibrium import StageProgram
from mailopt.programs.objectives import Egalitarian, Feasible, Linear, Nearest, Objective, Weighted, Welfare
from mailopt.programs.stage_numbers import target_rows

_ULP = 2.0**-50  # a few roundings


def objective_bound(
    game: MarkovGame, program: StageProgram, goal: Objective, answer: StageAnswer, epsilon: float
) -> float | None:
    """Bound the objective over all equilibria of a normal form; None for objectives without such a proof.

    An upper bound of what is maximised, a lower bound of a distance.
    """
    q, legal, origin = game.reward(0)[:, 0], game.joint_legal[0], np.zeros(1, dtype=np.int64)
    if isinstance(goal, Feasible):
        return None
    if isinstance(goal, Linear):
        weights = goal.weights(q[None], origin)[0]
        sizes = np.abs(weights)  # of what was added up
        if isinstance(goal, Welfare | Weighted):
            counts = np.ones(len(q)) if isinstance(goal, Welfare) else np.abs(np.array(goal.agents, dtype=np.float64))
            sizes = counts @ np.abs(q)
    elif isinstance(goal, Egalitarian):
        total = answer.shares[0].sum()
        shares = answer.shares[0] / total if total > 0 else np.full(len(q), 1.0 / len(q))
        weights, sizes = shares @ q, np.abs(q).max(axis=0)
    elif isinstance(goal, Nearest):
        weights, sizes = np.zeros(q.shape[1]), np.ones(q.shape[1])
    else:
        return None
    toll, size, slack = np.zeros(q.shape[1]), 0.0, 0.0
    for i, atoms in enumerate(program.atoms):
        price = _priced(program, answer.multipliers[i][0], i)
        toll += price @ program.gains(i, q[i])
        size += 4.0 * price.sum() * float(np.abs(q[i, legal]).max())
        slack += epsilon * float(price[atoms.group == 0].sum())
    error = gamma(8 * (len(q) + sum(len(a.plays) for a in program.atoms)) + 32)
    worth = np.where(legal, weights - toll, -np.inf)
    rounding = float(np.max(np.where(legal, error * (sizes + size), 0.0))) + _ULP * (abs(slack) + 1e-300)
    if isinstance(goal, Nearest):
        target = target_rows(goal, 0, origin, exact=False)[0]
        found = _distance_bound(worth, target) - slack
        return float(found - rounding - error * (1.0 + float(np.abs(worth[legal]).max())))
    return float(worth.max() + slack + rounding)


def _priced(program: StageProgram, multipliers: FloatArray, agent: int) -> FloatArray:
    """Prices lambda p(w|g) of the atoms, so that every group has the same total: the rest goes to obedience."""
    atoms = program.atoms[agent]
    allowed = program.stagewise.allowed_atoms(program.game, agent, 0)
    can = np.ones(len(atoms.plays), dtype=bool) if allowed is None else allowed[0]
    price = np.where(can, np.maximum(multipliers, 0.0), 0.0)
    totals = np.array([price[atoms.group == g].sum() for g in range(atoms.num_groups)])
    most = totals.max(initial=0.0)
    for g, obeying in enumerate(atoms.obeying):
        members = np.flatnonzero(atoms.group == g)
        if obeying is not None:  # gains nothing
            price[members[obeying]] += most - totals[g]
        elif totals[g] > 0:
            price[members] *= most / totals[g]
        else:
            price[members[can[members].argmax()]] = most
    return price


def _distance_bound(worth: FloatArray, target: FloatArray) -> float:
    """Maximise over f in [0, 1] min_a [f(a) - worth(a)] - sum_a f(a) target(a): piecewise linear in the minimum."""
    known = np.isfinite(worth)
    levels = np.unique(np.concatenate((-worth[known], 1.0 - worth[known])))
    levels = levels[levels <= (1.0 - worth[known]).min()]
    f = np.clip(levels[:, None] + worth[known], 0.0, 1.0)
    return float((levels - f @ target[known]).max())
