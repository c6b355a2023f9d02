"""The deviation occupancy program: everything one agent can reach by disobeying."""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy import sparse

from mailopt.deviations import DeviationClass, Swap, check_deviations
from mailopt.errors import InvalidOption
from mailopt.games.game import MarkovGame
from mailopt.games.kernels import DenseKernel
from mailopt.games.numbers import FloatArray, IntArray
from mailopt.games.policy import CorrelatedPolicy, check_policy
from mailopt.programs.stages import arrivals, for_stages, inflow
from mailopt_solvers import LinearProgram, ProgramBuilder

Formulation = Literal["auto", "direct", "linked"]


def deviation(
    game: MarkovGame,
    policy: CorrelatedPolicy,
    agent: int,
    deviations: DeviationClass = Swap(),  # noqa: B008 - a frozen object without state
    *,
    formulation: Formulation = "auto",
) -> LinearProgram:
    """Linear program over the deviation occupancies of one agent; its optimum is max_phi J_i(phi∘sigma).

    With k the others' actions, K_h[s,a,b,s'] = sum_k sigma_h(a,k|s) P_h(s'|s,b,k) and
    U_h[s,a,b] = sum_k sigma_h(a,k|s) r_{i,h}(s,b,k)::

        maximise    sum_h <U_h, z_h>
        subject to  told:  sum_b z_h(s,a,b) = D_h(s)          for every h, s, a
                    flow:  D_0 = rho,  D_{h+1}(s') = sum_{s,a,b} K_h[s,a,b,s'] z_h(s,a,b)
                    z >= 0,  D free

    z_h(s,a,b) is the probability that the state is s at step h and that the agent would play b if told a there. The
    duals of ``flow`` are the value function V_h(s) of the best deviation. Discounted: D(s') = (1 - gamma) rho(s') +
    gamma sum K z with objective <U, z> / (1 - gamma), and V is 1 - gamma times the dual.

    Parameters
    ----------
    game, policy
        The game and the policy that the others obey.
    agent
        The deviating agent.
    deviations
        The class. Recommendations that it cannot tell apart share a row of z: the block ``z`` has shape
        (T, S, cells, n), cells = n for swap and 1 for external deviations.
    formulation
        ``"direct"`` has K in the flow rows. ``"linked"`` adds variables y_h(s,b,k) = sum_a sigma_h(a,k|s) z_h(s,a,b)
        (rows ``link``), so that the flow rows have the nonzeros of P and not those of K: the choice for sparse games.
        ``"auto"`` takes ``"direct"`` for dense kernels and for a single step, else ``"linked"``.

    Returns
    -------
    A maximisation with T = H stages; discounted, T is the policy's number of steps, or 1.

    Raises
    ------
    InvalidPolicy, UnknownAgent, InvalidOption
        The policy, the agent or the formulation does not fit.

    Examples
    --------
    >>> import mailopt as mo
    >>> from mailopt_solvers import solve
    >>> chain = mo.scenarios.unvisited_chain(4)
    >>> program = mo.programs.deviation(chain.game, chain.learner, agent=0)
    >>> solve(program).objective
    3.0
    """
    check_policy(game, policy)
    game.check_agent(agent)
    check_deviations(deviations)
    if formulation not in ("auto", "direct", "linked"):
        raise InvalidOption(f"formulation is {formulation!r}; it must be 'auto', 'direct' or 'linked'")
    stages, n = game.num_stages(policy.num_steps), game.actions[agent]
    cells = deviations.cells(n)
    told = int(cells.max()) + 1
    moves = game.horizon != 1
    linked = formulation == "linked" or (
        formulation == "auto" and moves and not isinstance(game.kernels[0], DenseKernel)
    )
    spreads = for_stages([_spread(game, policy.at(h), agent, cells) for h in range(policy.num_steps or 1)], stages)
    rewards = [game.reward(h)[agent].ravel() / game.occupancy_mass for h in range(stages)]

    builder = ProgramBuilder("max")
    side = inflow(game, stages)
    states = builder.add_variables("D", side.shape, lower=-np.inf)
    shape = (stages, game.num_states, told, n)
    z = builder.add_variables(
        "z",
        shape,
        upper=np.where(game.legal[agent][:, None, :], np.inf, 0.0),
        costs=0.0 if linked else np.stack([m @ r for m, r in zip(spreads, rewards, strict=True)]).reshape(shape),
    )
    chosen = sparse.kron(sparse.eye_array(z.size // n), np.ones((1, n)))
    occupied = sparse.kron(sparse.eye_array(side.size), np.ones((told, 1)))
    builder.add_rows("told", shape[:-1], {z: chosen, states: -occupied}, lower=0.0, upper=0.0)
    rows = for_stages([kernel.rows() for kernel in game.kernels], stages)
    everywhere = sparse.eye_array(side.size)
    if linked:
        y_shape = (stages, game.num_states, game.num_joint_actions)
        y = builder.add_variables("y", y_shape, costs=np.stack(rewards).reshape(y_shape))
        mixing = sparse.block_diag([m.T for m in spreads])
        builder.add_rows("link", y_shape, {y: sparse.eye_array(y.size), z: -mixing}, lower=0.0, upper=0.0)
        arriving = arrivals(game, [sparse.coo_array(p.T) for p in rows])
        terms = {states: everywhere, y: -arriving}
    else:
        kernels = [sparse.coo_array((m @ p).T) for m, p in zip(spreads, rows, strict=True)]
        terms = {states: everywhere, z: -arrivals(game, kernels)}
    builder.add_rows("flow", side.shape, terms, lower=side, upper=side)
    return builder.build()


def _spread(game: MarkovGame, sigma: FloatArray, agent: int, cells: IntArray) -> sparse.csr_array:
    """Matrix M (S*cells*n, S*A) with M[(s,cell,b), (s,b,k)] = sum over a in the cell of sigma(a,k|s)."""
    n, told = game.actions[agent], int(cells.max()) + 1
    members = (np.arange(told)[:, None] == cells).astype(np.float64)
    weights = members @ game.unfold(sigma, agent)  # (S, cells, K)
    joint = game.unfold(np.arange(game.num_joint_actions), agent)  # (n, K)
    s, cell, k = np.nonzero(weights)
    rows = ((s * told + cell) * n)[:, None] + np.arange(n)
    columns = (s * game.num_joint_actions)[:, None] + joint[:, k].T
    data = np.repeat(weights[s, cell, k], n)
    size = game.num_states
    return sparse.csr_array(
        (data, (rows.ravel(), columns.ravel())), shape=(size * told * n, size * game.num_joint_actions)
    )
