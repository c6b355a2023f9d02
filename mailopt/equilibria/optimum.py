"""What an equilibrium reaches, enclosed, and a bound that no equilibrium of a normal form can beat.

The bound is proved from the prices of the temptations. Let lambda_i >= 0 and let p_i(w|g) be a distribution over the
atoms of each group. For every distribution sigma of regret at most epsilon, sum_g sum_w p_i(w|g) G_i(w) <= sum_g max_w
G_i(w) <= epsilon, so that

    sum_a w(a) sigma(a) <= max_a [w(a) - sum_i lambda_i sum_g sum_w p_i(w|g) (what w gains at a)] + epsilon sum_i
    lambda_i.

The multipliers of the program make it tight. Egalitarian objectives have w = sum_i mu_i Q_i for any weights mu that sum
to 1; the distance to a target t is at least sum_a f(a) (sigma(a) - t(a)) for any f between 0 and 1; the regret is at
least the smallest of what all prices together take at a joint action, over the sum of the lambda_i. Entropy and Gini
impurity less the tolls have a largest value over all distributions in closed form. Rounding is accounted for: a float
sum of k products is off by at most gamma_k times the sum of their sizes, and so are payoffs and weights that are no
doubles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mailopt.equilibria.stages import StageAnswer
from mailopt.evaluation.regret import Regret
from mailopt.evaluation.rounding import SLACK, TINY, UNIT, Enclosure, gamma
from mailopt.games.game import MarkovGame
from mailopt.games.numbers import BoolArray, FloatArray
from mailopt.games.policy import CorrelatedPolicy
from mailopt.programs.equilibrium import StageProgram
from mailopt.programs.objectives import (
    Convex,
    Egalitarian,
    Feasible,
    LeastRegret,
    Linear,
    MaximumEntropy,
    MaximumGini,
    Nearest,
    Objective,
    Preferred,
    Weighted,
    Welfare,
)
from mailopt.programs.stage_numbers import target_rows


def attained(game: MarkovGame, goal: Objective, policy: CorrelatedPolicy, certified: Regret) -> Enclosure | None:
    """Enclose the value of an objective under a policy; None if it has none from the start of a Markov game."""
    obedience = certified.obedience
    agents = [obedience.enclosure(i) for i in range(game.num_agents)]
    if isinstance(goal, Welfare):
        return Enclosure.weighted((1.0, value) for value in agents)
    if isinstance(goal, Weighted):
        return Enclosure.weighted(zip(goal.agents, agents, strict=True))
    if isinstance(goal, Preferred):
        return agents[goal.agent]
    if isinstance(goal, Egalitarian):
        return Enclosure(min(value.lower for value in agents), min(value.upper for value in agents))
    if isinstance(goal, LeastRegret):
        return Enclosure(certified.lower, certified.upper)
    if not game.is_normal_form:
        return None
    row, legal, origin = policy.at(0)[0], game.joint_legal[0], np.zeros(1, dtype=np.int64)
    roundings = row.size + 4 * policy.support + 16
    if isinstance(goal, Linear):
        weights = np.where(legal, goal.weights(game.reward(0)[:, 0][None], origin)[0], 0.0)
        value, size = float(row @ weights), float(row @ np.abs(weights))
    elif isinstance(goal, Nearest):
        roundings += 4 * goal.target.support
        value, size = 0.5 * float(np.abs(row - target_rows(goal, 0, origin, exact=False)[0]).sum()), 1.0
    elif isinstance(goal, MaximumEntropy):
        value = -float((row * np.log(np.where(row > 0, row, 1.0))).sum())
        size = 2.0 * (1.0 + value)  # the slope at p is 1 + log p
    else:
        assert isinstance(goal, MaximumGini)
        value, size = 1.0 - float((row**2).sum()), 2.0
    return Enclosure.around(value, float((gamma(roundings) * size + 8 * TINY * row.size) * SLACK))


@dataclass(frozen=True, eq=False)
class Tolls:
    """What prices of temptations take at each joint action of a normal form.

    Attributes
    ----------
    toll
        sum_i lambda_i sum_g sum_w p_i(w|g) (what w gains at a), (A,).
    prices
        lambda_i, (m,).
    error
        Bound on the error of a toll.
    relative
        Bound on the rounding of sums, relative to the size of their terms.
    """

    toll: FloatArray
    prices: FloatArray
    error: float
    relative: float

    @classmethod
    def of(cls, game: MarkovGame, program: StageProgram, multipliers: Sequence[FloatArray]) -> Tolls:
        """Take the multipliers (W,) of each agent's incentive rows for prices."""
        q, legal = game.reward(0)[:, 0], game.joint_legal[0]
        toll, prices, error = np.zeros(q.shape[1]), np.zeros(len(q)), 0.0
        relative = float(gamma(8 * (len(q) + sum(len(a.plays) for a in program.atoms)) + 32))
        for i, atoms in enumerate(program.atoms):
            price, gains = _priced(program, multipliers[i], i), program.gains(i, q[i])
            prices[i] = price[atoms.group == 0].sum()
            toll += price @ gains
            error += 2.0 * relative * price.sum() * float(np.abs(gains).max())
            if game.exact_rewards:
                error += 4.0 * UNIT * price.sum() * float(np.abs(q[i, legal]).max())
        return cls(toll, prices, error, relative)

    def bound(self, legal: BoolArray, weights: FloatArray, sizes: FloatArray, epsilon: float) -> float:
        """Upper bound of sum_a w(a) sigma(a), whose weights (A,) were computed from terms of such sizes."""
        slack = epsilon * float(self.prices.sum())
        rounding = self.error + self.relative * (float(sizes[legal].max()) + abs(slack)) + TINY
        return Enclosure.around(float((weights - self.toll)[legal].max()) + slack, rounding * SLACK).upper

    def convex_bound(self, legal: BoolArray, goal: Convex, epsilon: float) -> float:
        """Upper bound of entropy or Gini impurity.

        The largest of -sum_a sigma(a) (log sigma(a) + t(a)) is log sum_a exp(-t(a)); that of -sum_a sigma(a) (sigma(a)
        + t(a)) is at most nu + sum_a max(0, -t(a) - nu)^2 / 4 for any nu. None exceeds that of the uniform one.
        """
        toll, slack = np.sort(self.toll[legal]), epsilon * float(self.prices.sum())
        most = float(np.log(toll.size)) if isinstance(goal, MaximumEntropy) else 1.0 - 1.0 / toll.size
        if isinstance(goal, MaximumEntropy):
            logarithm = float(np.log(np.exp(toll[0] - toll).sum()))
            found, size = logarithm - float(toll[0]), 1.0 + logarithm + abs(float(toll[0]))
        else:
            levels = -(2.0 + np.cumsum(toll)) / np.arange(1, toll.size + 1)
            level = float(levels[max(0, int((toll + levels < 0).sum()) - 1)])
            found = 1.0 + level + float((np.maximum(-toll - level, 0.0) ** 2).sum()) / 4.0
            size = 4.0 + 2.0 * abs(level)
        rounding = 2.0 * (self.error + self.relative * abs(slack)) + float(gamma(4 * toll.size + 64)) * size + TINY
        bounds = Enclosure.around(found + slack, rounding * SLACK), Enclosure.around(most, 2.0**-50 * most)
        return min(bound.upper for bound in bounds)


def objective_bound(
    game: MarkovGame, program: StageProgram, goal: Objective, answer: StageAnswer, epsilon: float
) -> float | None:
    """Bound the objective over all equilibria of a normal form; None for objectives without such a proof.

    An upper bound of what is maximised, a lower bound of a distance or a regret.
    """
    q, legal, origin = game.reward(0)[:, 0], game.joint_legal[0], np.zeros(1, dtype=np.int64)
    if isinstance(goal, Feasible):
        return None
    tolls = Tolls.of(game, program, [prices[0] for prices in answer.multipliers])
    if isinstance(goal, Convex):
        return tolls.convex_bound(legal, goal, epsilon)
    if isinstance(goal, Linear):
        weights = goal.weights(q[None], origin)[0]
        sizes = np.abs(weights)  # of what was added up
        if isinstance(goal, Welfare | Weighted):
            counts = np.ones(len(q)) if isinstance(goal, Welfare) else np.abs(np.array(goal.agents, dtype=np.float64))
            sizes = counts @ np.abs(q)
        return tolls.bound(legal, weights, sizes, epsilon)
    if isinstance(goal, Egalitarian):
        total = answer.shares[0].sum()
        shares = answer.shares[0] / total if total > 0 else np.full(len(q), 1.0 / len(q))
        return tolls.bound(legal, shares @ q, np.abs(q).max(axis=0), epsilon)
    if isinstance(goal, LeastRegret):
        if not tolls.prices.any():  # nobody can gain or lose
            tolls = Tolls.of(game, program, [np.ones(len(atoms.plays)) for atoms in program.atoms])
        total = float(tolls.prices.sum())
        found = float(tolls.toll[legal].min()) / total
        rounding = tolls.error / total + tolls.relative * abs(found) + TINY
        least = Enclosure.around(found, rounding * SLACK).lower
        return max(0.0, least) if program.stagewise.contains_obedience else least
    assert isinstance(goal, Nearest)
    target = target_rows(goal, 0, origin, exact=False)[0]
    worth = np.where(legal, -tolls.toll, -np.inf)
    slack = epsilon * float(tolls.prices.sum())
    found = _distance_bound(worth, target) - slack
    relative = tolls.relative + gamma(4 * goal.target.support + target.size + 16)
    rounding = tolls.error + relative * (2.0 + float(np.abs(worth[legal]).max()) + abs(slack))
    return max(0.0, Enclosure.around(found, float(rounding) * SLACK).lower)


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
