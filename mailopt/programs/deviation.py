"""The deviation occupancy program: everything one agent can reach by disobeying."""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy import sparse

from mailopt.deviations import Atoms, DeviationClass, Swap, check_deviations
from mailopt.errors import InvalidOption
from mailopt.games.game import MarkovGame
from mailopt.games.kernels import DenseKernel
from mailopt.games.numbers import BoolArray, FloatArray
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
        The class. The block ``z`` has shape (T, S, cells, n) where each cell of recommendations picks one action:
        n cells for swap, 1 for external deviations. For classes such as internal ones, it has one variable for each
        atom of the class, (T, S, W): the mass with which that map from recommendations to actions is picked.
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
    check_deviations(deviations, game)
    if formulation not in ("auto", "direct", "linked"):
        raise InvalidOption(f"formulation is {formulation!r}; it must be 'auto', 'direct' or 'linked'")
    stages, n = game.num_stages(policy.num_steps), game.actions[agent]
    atoms = deviations.atoms(n, agent)
    groups = atoms.num_groups
    moves = game.horizon != 1
    linked = formulation == "linked" or (
        formulation == "auto" and moves and not isinstance(game.kernels[0], DenseKernel)
    )
    spreads = for_stages([_spread(game, policy.at(h), agent, atoms) for h in range(policy.num_steps or 1)], stages)
    rewards = [game.reward(h)[agent].ravel() / game.occupancy_mass for h in range(stages)]

    builder = ProgramBuilder("max")
    side = inflow(game, stages)
    states = builder.add_variables("D", side.shape, lower=-np.inf)
    shape = (stages, game.num_states, *atoms.shape)
    allowed = [deviations.allowed_atoms(game, agent, h) for h in range(stages)]
    z = builder.add_variables(
        "z",
        shape,
        upper=np.stack([np.full(shape[1:], np.inf) if can is None else _open(can, shape[1:]) for can in allowed]),
        costs=0.0 if linked else np.stack([m @ r for m, r in zip(spreads, rewards, strict=True)]).reshape(shape),
    )
    picks = sparse.csr_array((np.arange(groups)[:, None] == atoms.group).astype(np.float64))
    chosen = sparse.kron(sparse.eye_array(side.size), picks, format="csr")
    occupied = sparse.kron(sparse.eye_array(side.size), np.ones((groups, 1)))
    builder.add_rows("told", (*side.shape, groups), {z: chosen, states: -occupied}, lower=0.0, upper=0.0)
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


def _open(allowed: BoolArray, shape: tuple[int, ...]) -> FloatArray:
    return np.where(allowed, np.inf, 0.0).reshape(shape)


def _spread(game: MarkovGame, sigma: FloatArray, agent: int, atoms: Atoms) -> sparse.csr_array:
    """Matrix M (S*W, S*A) with M[(s,w), (s,b,k)] = sum of sigma(a,k|s) over the a at which the atom w plays b."""
    n, size = game.actions[agent], game.num_states
    weights = game.unfold(sigma, agent)  # (S, n, K)
    joint = game.unfold(np.arange(game.num_joint_actions), agent)  # (n, K)
    s, told, k = np.nonzero(weights)
    rows = ((s * n + told) * n)[:, None] + np.arange(n)
    columns = (s * game.num_joint_actions)[:, None] + joint[:, k].T
    data = np.repeat(weights[s, told, k], n)
    every = sparse.csr_array(
        (data, (rows.ravel(), columns.ravel())), shape=(size * n * n, size * game.num_joint_actions)
    )
    return sparse.csr_array(sparse.kron(sparse.eye_array(size), sparse.csr_array(atoms.table()), format="csr") @ every)
