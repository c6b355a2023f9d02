"""Occupancies: where a policy goes, and where a deviation goes."""

from __future__ import annotations

from mailopt.evaluation.recursion import occupancy_of
from mailopt.evaluation.rules import Obey, Problem
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
    mu = stage_occupancy(game, policy, method=resolve(method))
    return mu if game.horizon is not None else mu.sum(axis=0)


def stage_occupancy(game: MarkovGame, policy: CorrelatedPolicy, *, method: Method) -> FloatArray:
    """Occupancy (T, S, A) by stage; in a discounted game the last stage has all later steps in it."""
    if method == "lp":
        return HighsSession(flow(game, policy=policy)).solve().require_optimal()["mu"]
    return occupancy_of(Problem(game, policy), Obey(range(game.num_agents)))
