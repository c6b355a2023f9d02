"""Occupancies: where a policy goes, and where a deviation goes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mailopt.evaluation.discounted import discounted_visits
from mailopt.evaluation.stages import Method, resolve
from mailopt.games.game import MarkovGame
from mailopt.games.numbers import FloatArray
from mailopt.games.policy import CorrelatedPolicy, check_policy
from mailopt.programs import flow
from mailopt_solvers import HighsSession


def occupancy(game: MarkovGame, policy: CorrelatedPolicy, *, method: Method = "auto") -> FloatArray:
    """Occupancy of a correlated policy when everybody obeys.

    mu_h(s, a) = Pr(s_h = s, a_h = a); for a discounted game mu(s, a) = (1 - gamma) sum_t gamma^t Pr(s_t = s, a_t = a),
    of total mass 1.

    Parameters
    ----------
    game, policy
        The game and the policy.
    method
        ``"dp"`` (or ``"auto"``): push the initial distribution forward; discounted, solve the flow equations.
        ``"lp"``: the flow program of :func:`mailopt.programs.flow` with the policy's obedience rows.

    Returns
    -------
    Array of shape (H, S, A), discounted (S, A).

    Raises
    ------
    InvalidPolicy
        The policy does not fit the game.
    SolverError
        ``method="lp"`` and the solver fails.

    Examples
    --------
    >>> import mailopt as mo
    >>> chain = mo.scenarios.unvisited_chain(2)
    >>> mo.occupancy(chain.game, chain.expert).sum(axis=2)
    array([[1., 0., 0., 0.],
           [0., 0., 1., 0.]])
    """
    check_policy(game, policy)
    if resolve(method) == "lp":
        solution = HighsSession(flow(game, policy=policy)).solve().require_optimal()
        mu = solution["mu"]
    else:
        states = state_distributions(game, policy.at, game.num_stages(policy.num_steps))
        mu = np.stack([d[:, None] * policy.at(h) for h, d in enumerate(states)])
    return mu if game.horizon is not None else mu.sum(axis=0)


def state_distributions(game: MarkovGame, joint_at: Callable[[int], FloatArray], stages: int) -> FloatArray:
    """State distribution at each stage under joint action probabilities ``joint_at(stage)`` (S, A), shape (T, S).

    Discounted: (1 - gamma) times the discounted visits, those of the repeating last stage summed up.
    """
    discount = game.discount
    result = np.empty((stages, game.num_states))
    result[0] = game.occupancy_mass * game.initial_distribution
    for h in range(stages - 1):
        result[h + 1] = game.kernel(h).push_forward(result[h][:, None] * joint_at(h))
        if discount is not None:
            result[h + 1] *= discount
    if discount is not None:
        matrix = game.kernel(stages - 1).state_matrix(joint_at(stages - 1))
        result[-1] = discounted_visits(matrix, result[-1], discount)
    return result
