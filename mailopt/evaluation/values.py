"""Values of obedience, and the value gap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mailopt.evaluation.discounted import discounted_values, fixed_point
from mailopt.evaluation.occupancy import occupancy
from mailopt.evaluation.stages import (
    Method,
    action_values,
    backward,
    by_stage,
    obedient_backup,
    overflow_is_checked,
    require_finite,
    resolve,
)
from mailopt.games.game import MarkovGame
from mailopt.games.numbers import FloatArray
from mailopt.games.policy import CorrelatedPolicy, check_policy


@dataclass(frozen=True, eq=False, repr=False)
class Values:
    """Values of obedience J_i(sigma).

    Attributes
    ----------
    value
        J_i(sigma) for each agent, shape (m,).
    state_values
        V_{i,h}(s), shape (H, m, S); discounted (m, S), or (T, m, S) for a policy of T steps. None if
        ``method`` is ``"lp"``.
    method
        ``"dp"`` or ``"lp"``.
    truncation_error
        Bound on the error of ``value`` that stopping an infinite sum caused; 0 for a finite horizon. Rounding is
        not in it.
    """

    value: FloatArray
    state_values: FloatArray | None
    method: str
    truncation_error: float

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
    per_agent
        J_i(expert) - J_i(policy), shape (m,).
    agent
        The agent that attains the maximum.
    policy, expert
        The two sides.
    """

    value: float
    per_agent: FloatArray
    agent: int
    policy: Values
    expert: Values

    @property
    def truncation_error(self) -> float:
        """Bound on the error of ``value`` that stopping infinite sums caused; 0 for a finite horizon."""
        return self.policy.truncation_error + self.expert.truncation_error

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
        fixed point. ``"lp"``: the inner product of rewards and the occupancy that the flow program returns.

    Returns
    -------
    Values
        ``.value`` (m,), and ``.state_values`` from the recursion.

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
        mu = occupancy(game, policy, method="lp")
        if game.horizon is None:
            mu = mu[None]
        with overflow_is_checked():
            totals = [np.einsum("isa,sa->i", game.reward(h), mu[h]) for h in range(len(mu))]
            return Values(require_finite(np.sum(totals, axis=0) / game.occupancy_mass), None, "lp", 0.0)
    agents = list(range(game.num_agents))
    with overflow_is_checked():
        stages, errors = backward(
            game,
            game.num_stages(policy.num_steps),
            game.num_agents,
            lambda h: _stationary(game, policy.at(h)),
            lambda h, following: obedient_backup(policy.at(h), action_values(game, h, following, agents)),
        )
        value = require_finite(stages[0] @ game.initial_distribution)
    return Values(value, by_stage(game, stages), "dp", float(errors.max()))


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
    return ValueGap(float(per_agent[agent]), per_agent, agent, ours, theirs)


def _stationary(game: MarkovGame, sigma: FloatArray) -> tuple[FloatArray, FloatArray]:
    """V_i(s) of following ``sigma`` for ever in a discounted game, shape (m, S), and their errors."""
    discount = float(game.discount or 0.0)
    agents = list(range(game.num_agents))
    rewards = obedient_backup(sigma, game.reward(0))
    matrix = game.kernel(0).state_matrix(sigma)
    found, _, error = fixed_point(
        lambda v: (obedient_backup(sigma, action_values(game, 0, v, agents)), None),
        lambda _, guess: discounted_values(matrix, rewards, discount, guess),
        rewards,
        discount,
    )
    return found, np.full(game.num_agents, error)
