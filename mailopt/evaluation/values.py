"""Values of obedience, and the value gap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mailopt.evaluation.occupancy import stage_occupancy
from mailopt.evaluation.recursion import recursion
from mailopt.evaluation.rounding import Enclosure, gamma, highest, inflated
from mailopt.evaluation.rules import Obey, Problem
from mailopt.evaluation.stages import Method, by_stage, overflow_is_checked, require_finite, resolve
from mailopt.games.game import MarkovGame
from mailopt.games.marks import marked
from mailopt.games.numbers import FloatArray
from mailopt.games.policy import CorrelatedPolicy, check_policy


@dataclass(frozen=True, eq=False, repr=False)
class Values:
    """Values of obedience J_i(sigma).

    Attributes
    ----------
    value
        J_i(sigma) for each agent, shape (m,).
    lower, upper
        lower <= true value <= upper for each agent, rounding and truncation included, shape (m,).
    state_values
        V_{i,h}(s), shape (H, m, S); discounted (m, S), or (T, m, S) for a policy of T steps. None if
        ``method`` is ``"lp"``.
    method
        ``"dp"`` or ``"lp"``.
    """

    value: FloatArray
    lower: FloatArray
    upper: FloatArray
    state_values: FloatArray | None
    method: str

    def enclosure(self, agent: int) -> Enclosure:
        """Enclose the true value of one agent."""
        return Enclosure(float(self.lower[agent]), float(self.upper[agent]))

    def __repr__(self) -> str:
        """Values in one line."""
        return f"Values({', '.join(f'{value:.6g}' for value in self.value)}; {self.method})"


@dataclass(frozen=True, eq=False, repr=False)
class ValueGap:
    """Value gap max_i [J_i(expert) - J_i(policy)].

    Attributes
    ----------
    value
        The gap; signed.
    lower, upper
        lower <= true gap <= upper.
    per_agent
        J_i(expert) - J_i(policy), shape (m,).
    agent
        The agent that attains the maximum.
    policy, expert
        The two sides.
    """

    value: float
    lower: float
    upper: float
    per_agent: FloatArray
    agent: int
    policy: Values
    expert: Values

    def __repr__(self) -> str:
        """Gap and agent in one line."""
        return f"ValueGap({self.value:.6g}, agent {self.agent})"


def values(game: MarkovGame, policy: CorrelatedPolicy, *, method: Method = "auto") -> Values:
    """Values of obedience: J_i(sigma) = E sum_h r_{i,h}(s_h, a_h), discounted E sum_t gamma^t r_i(s_t, a_t).

    Parameters
    ----------
    game, policy
        The game and the policy.
    method
        ``"dp"`` (or ``"auto"``): backward recursion V_h(s) = sum_a sigma(a|s) [r + P V_{h+1}](s, a); discounted, its
        fixed point. ``"lp"``: the inner product of rewards and the occupancy that the flow program returns, with
        bounds from how far that occupancy is from satisfying the flow equations.

    Returns
    -------
    Values
        ``.value`` with ``.lower`` and ``.upper`` (m,), and ``.state_values`` from the recursion.

    Raises
    ------
    InvalidPolicy
        The policy does not fit the game.
    InvalidNumber
        The numbers overflow.
    NotConverged, SolverError
        The evaluation failed.

    Examples
    --------
    >>> import mailopt as mo
    >>> chicken = mo.scenarios.chicken()
    >>> mo.values(chicken, mo.CorrelatedPolicy.uniform(chicken)).value
    array([3.75, 3.75])
    """
    check_policy(game, policy)
    if resolve(method) == "lp":
        return marked(game, _by_program(game, policy))
    return marked(game, values_of(Problem(game, policy)))


def values_of(problem: Problem) -> Values:
    """Values of obedience in a problem, by the recursion."""
    agents = range(problem.game.num_agents)
    outcome = recursion(problem, [Obey(agents)])[0]
    enclosures = [outcome.enclosure(i) for i in agents]
    return Values(
        np.array([outcome.value(i) for i in agents]),
        np.array([e.lower for e in enclosures]),
        np.array([e.upper for e in enclosures]),
        by_stage(problem.game, outcome.state_values[:, :, 0]),
        "dp",
    )


def value_gap(
    game: MarkovGame, policy: CorrelatedPolicy, expert: CorrelatedPolicy, *, method: Method = "auto"
) -> ValueGap:
    """Value gap max_i [J_i(expert) - J_i(policy)]: what obedient agents lose by following the policy.

    Parameters
    ----------
    game, policy, method
        As for :func:`mailopt.values`.
    expert
        The policy to compare with.

    Raises
    ------
    InvalidPolicy, InvalidNumber, NotConverged, SolverError
        As for :func:`mailopt.values`.

    Examples
    --------
    >>> import mailopt as mo
    >>> chain = mo.scenarios.covered_chain(4, coverage=0.25, error=0.125)
    >>> mo.value_gap(chain.game, chain.learner, chain.expert).value
    -0.5
    """
    ours, theirs = values(game, policy, method=method), values(game, expert, method=method)
    per_agent = theirs.value - ours.value
    agent = int(per_agent.argmax())
    gap = highest(theirs.enclosure(i) - ours.enclosure(i) for i in range(game.num_agents))
    return marked(game, ValueGap(float(per_agent[agent]), gap.lower, gap.upper, per_agent, agent, ours, theirs))


def _by_program(game: MarkovGame, policy: CorrelatedPolicy) -> Values:
    """Values from the occupancy that the flow program returns.

    For any measure mu, with D_h its state marginals and M_h a bound on |V_h| and |Q_h|, <r, mu> is within
    |D_0 - rho|_1 M_0 + sum_h |D_{h+1} - P'mu_h|_1 M_{h+1} + sum_h |mu_h - D_h sigma_h|_1 M_h of the value of obedience.
    """
    mu = stage_occupancy(game, policy, method="lp")
    stages, mass, factor = len(mu), game.occupancy_mass, 1.0 if game.discount is None else game.discount
    visits = mu.sum(axis=2)
    with overflow_is_checked():
        totals = [np.einsum("isa,sa->i", game.reward(h), mu[h]) for h in range(stages)]
        value = require_finite(np.sum(totals, axis=0) / mass)
        largest = [np.abs(np.where(game.joint_legal, game.reward(h), 0.0)).max(axis=(1, 2)) for h in range(stages)]
        ahead = np.zeros((stages + 1, game.num_agents))
        if game.discount is not None:
            ahead[stages] = largest[0] / mass
        for h in reversed(range(stages)):
            ahead[h] = largest[h] + factor * ahead[h + 1]
        inflow = mass * game.initial_distribution
        error = np.zeros(game.num_agents)
        for h in range(stages):
            if game.discount is not None and h == stages - 1:
                inflow = inflow + factor * game.kernel(h).push_forward(mu[h])
            error += np.abs(visits[h] - inflow).sum() * ahead[h]
            error += np.abs(mu[h] - visits[h][:, None] * policy.at(h)).sum() * ahead[h]
            error += gamma(8 * (game.num_states + game.num_joint_actions) * game.num_joint_actions) * ahead[h]
            inflow = factor * game.kernel(h).push_forward(mu[h])
        error = require_finite(inflated(error / mass + gamma(16) * np.abs(value)))
    enclosures = [Enclosure.around(float(v), float(e)) for v, e in zip(value, error, strict=True)]
    lower, upper = np.array([e.lower for e in enclosures]), np.array([e.upper for e in enclosures])
    return Values(value, lower, upper, None, "lp")
