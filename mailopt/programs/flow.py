"""The flow program: obedient occupancies."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import sparse

from mailopt.errors import GameNumber, GameShape
from mailopt.games.game import MarkovGame
from mailopt.games.policy import CorrelatedPolicy, check_policy
from mailopt.programs.stages import arrivals, for_stages, inflow
from mailopt_solvers import LinearProgram, ProgramBuilder


def flow(
    game: MarkovGame, *, policy: CorrelatedPolicy | None = None, objective: npt.ArrayLike | None = None
) -> LinearProgram:
    """Linear program whose feasible points are the occupancies of the game.

    Variables ``mu`` (T, S, A) >= 0, rows ``flow`` (T, S)::

        sum_a mu_0(s, a) = rho(s),    sum_a mu_{h+1}(s', a) = sum_{s,a} P_h(s'|s, a) mu_h(s, a)

    and in a discounted game ``sum_a mu(s', a) = (1 - gamma) rho(s') + gamma sum P(s'|s, a) mu(s, a)``. With a policy
    its occupancy is the only feasible point: variables ``D`` (T, S), rows ``states``: sum_a mu_h(s, a) = D_h(s), rows
    ``obedience`` (T, S, A): mu_h(s, a) = sigma_h(a|s) D_h(s).

    Parameters
    ----------
    game
        The game. Illegal joint actions have mu fixed to 0.
    policy
        Restrict to the occupancy of this policy.
    objective
        Weights w to maximise <w, mu> (divided by 1 - gamma if discounted), shape (S, A) or (T, S, A); for example
        ``game.rewards[0]``. None: no objective.

    Returns
    -------
    A maximisation with T = H stages; discounted, T is the policy's number of steps, or 1.

    Raises
    ------
    InvalidPolicy, InvalidGame
        The policy or the objective does not fit the game.

    Examples
    --------
    The best that agent 0 could get if all worked for it:

    >>> import mailopt as mo
    >>> from mailopt_solvers import solve
    >>> chicken = mo.scenarios.chicken()
    >>> solve(mo.programs.flow(chicken, objective=chicken.rewards[0])).objective
    7.0
    """
    if policy is not None:
        check_policy(game, policy)
    stages = game.num_stages(None if policy is None else policy.num_steps)
    shape = (stages, game.num_states, game.num_joint_actions)
    weights = np.zeros(()) if objective is None else np.asarray(objective, dtype=np.float64)
    if weights.shape not in ((), shape, shape[1:]):
        raise GameShape(f"objective has shape {weights.shape}, expected (S, A) = {shape[1:]} or (T, S, A) = {shape}")
    if not np.isfinite(weights).all():
        raise GameNumber("objective has an entry that is not finite")
    builder = ProgramBuilder("max")
    mu = builder.add_variables(
        "mu",
        shape,
        upper=np.where(game.joint_legal, np.inf, 0.0),
        costs=np.broadcast_to(weights / game.occupancy_mass, shape),
    )
    leaving = sparse.kron(sparse.eye_array(stages * game.num_states), np.ones((1, game.num_joint_actions)))
    arriving = arrivals(game, for_stages([sparse.coo_array(kernel.rows().T) for kernel in game.kernels], stages))
    side = inflow(game, stages)
    builder.add_rows("flow", side.shape, {mu: leaving - arriving}, lower=side, upper=side)
    if policy is not None:
        states = builder.add_variables("D", side.shape, lower=-np.inf)
        builder.add_rows(
            "states", side.shape, {mu: leaving, states: -sparse.eye_array(side.size)}, lower=0.0, upper=0.0
        )
        sigma = np.stack([policy.at(h) for h in range(stages)]).reshape(-1, 1)
        spread = sparse.csr_array(leaving.T).multiply(sigma)
        builder.add_rows(
            "obedience",
            shape,
            {mu: sparse.eye_array(mu.size), states: -sparse.coo_array(spread)},
            lower=0.0,
            upper=0.0,
        )
    return builder.build()
