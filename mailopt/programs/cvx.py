"""Constraints for cvxpy: put any concave objective of your own on occupancies and on equilibria.

Each builder takes a cvxpy expression (a variable, or an affine expression) and returns constraints, or a convex
expression, on it, vectorised over all states. Entries are read in C order, whatever the shape of the expression.

>>> import cvxpy as cp
>>> import mailopt as mo
>>> chicken = mo.scenarios.chicken()
>>> sigma = cp.Variable(4)
>>> problem = cp.Problem(cp.Maximize(cp.sum(cp.entr(sigma))), mo.cvx.obedience(chicken, sigma))
>>> round(float(problem.solve(solver=cp.CLARABEL)), 4)
1.3537
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from mailopt.deviations import DeviationClass, Swap
from mailopt.errors import GameNumber, GameShape, InvalidOption
from mailopt.games.game import MarkovGame, check_game
from mailopt.games.numbers import FloatArray
from mailopt.programs.equilibrium import StageProgram, check_epsilon
from mailopt.programs.flow import flow as flow_program

if TYPE_CHECKING:
    import cvxpy as cp


def flow(game: MarkovGame, mu: cp.Expression) -> list[cp.Constraint]:
    """Constrain an expression to be an occupancy.

    mu >= 0, mu = 0 where a joint action is illegal, and the flow equations of :func:`mailopt.programs.flow`.

    Parameters
    ----------
    game
        The game.
    mu
        T S A entries: T = H, or 1 for a discounted game, whose mu has total mass 1.

    Raises
    ------
    GameShape, InvalidGame, InvalidOption
        Another number of entries; no game; no cvxpy expression.
    """
    check_game(game)
    program = flow_program(game)
    flat = _flat(mu, program.num_variables, "mu", f"T S A = {program.variables['mu'].shape}")
    found = [flat >= 0, program.matrix @ flat == program.row_upper]
    illegal = np.flatnonzero(program.upper == 0)
    return [*found, flat[illegal] == 0] if illegal.size else found


def obedience(
    game: MarkovGame,
    sigma: cp.Expression,
    *,
    deviations: DeviationClass = Swap(),  # noqa: B008 - a frozen object without state
    epsilon: float = 0.0,
    action_values: npt.ArrayLike | None = None,
    step: int = 0,
) -> list[cp.Constraint]:
    """Constrain an expression to be recommendations that no agent gains more than epsilon by disobeying.

    At each state sigma(s, .) is a distribution over the legal joint actions, and each agent's
    :func:`deviation_incentives` are at most epsilon.

    Parameters
    ----------
    game
        The game.
    sigma
        S A entries.
    deviations
        Swap (correlated equilibria), External (coarse ones), Coarse, Internal, Partition or Restricted.
    epsilon
        Regret that is allowed at each state.
    action_values
        Q, (m, S, A): what agents get for a joint action. None: the rewards, for games of one step.
    step
        At which step, for classes whose masks depend on it.

    Raises
    ------
    GameShape, GameNumber, InvalidDeviation, InvalidOption
        Something does not fit; a game of several steps without action values.
    """
    check_game(game)
    size, legal = game.num_states * game.num_joint_actions, game.joint_legal.ravel()
    flat = _flat(sigma, size, "sigma", f"S A = {game.joint_legal.shape}")
    ones = sparse.kron(sparse.eye_array(game.num_states), np.ones((1, game.num_joint_actions)), format="csr")
    found = [flat >= 0, ones @ flat == 1]
    if not legal.all():
        found.append(flat[np.flatnonzero(~legal)] == 0)
    allowed = float(check_epsilon(epsilon))
    for agent in range(game.num_agents):
        gains = deviation_incentives(game, sigma, agent, deviations=deviations, action_values=action_values, step=step)
        found.append(gains <= allowed)
    return found


def deviation_incentives(
    game: MarkovGame,
    sigma: cp.Expression,
    agent: int,
    *,
    deviations: DeviationClass = Swap(),  # noqa: B008 - a frozen object without state
    action_values: npt.ArrayLike | None = None,
    step: int = 0,
) -> cp.Expression:
    """Return an agent's stage regret at each state, a convex piecewise linear expression in sigma, (S,).

    sum over groups g of recommendations of the max over the atoms w of g of G(w), with G(w) what the agent gains by it,
    as in :func:`mailopt.programs.equilibrium`; for swap deviations sum_a max_b sum_k sigma(a, k) [Q(b, k) - Q(a, k)].

    Parameters
    ----------
    game, sigma, deviations, action_values, step
        As for :func:`obedience`.
    agent
        The agent.

    Raises
    ------
    GameShape, GameNumber, UnknownAgent, InvalidDeviation, InvalidOption
        Something does not fit.
    """
    cvxpy = _cvxpy()
    game.check_agent(agent)
    size = game.num_states * game.num_joint_actions
    flat = _flat(sigma, size, "sigma", f"S A = {game.joint_legal.shape}")
    stage = StageProgram(game, deviations, [], tight=False)
    atoms, q = stage.atoms[agent], _action_values(game, action_values)
    width, groups = len(atoms.plays), atoms.num_groups
    picked, obeyed, deviated = stage.incentives(agent)
    playable = game.joint_legal[:, obeyed] & game.joint_legal[:, deviated]
    gains = np.where(playable, q[agent][:, deviated] - q[agent][:, obeyed], 0.0)
    states = np.arange(game.num_states)[:, None]
    matrix = sparse.coo_array(
        (gains.ravel(), ((picked + states * width).ravel(), (obeyed + states * game.num_joint_actions).ravel())),
        shape=(game.num_states * width, size),
    ).tocsr()
    allowed = stage.stagewise.allowed_atoms(game, agent, step)
    if allowed is not None:  # what is not allowed is replaced by something of its group that is
        grouped = allowed.reshape(game.num_states, groups, -1)
        instead = np.where(grouped, np.arange(grouped.shape[2]), grouped.argmax(axis=2)[..., None])
        start = np.arange(game.num_states * groups)[:, None] * grouped.shape[2]
        matrix = matrix[(instead.reshape(-1, grouped.shape[2]) + start).ravel()]
    worth = cvxpy.reshape(matrix @ flat, (game.num_states * groups, width // groups), order="C")
    found: cp.Expression = cvxpy.sum(
        cvxpy.reshape(cvxpy.max(worth, axis=1), (game.num_states, groups), order="C"), axis=1
    )
    return found


def _flat(expression: Any, size: int, what: str, expected: str) -> cp.Expression:
    cvxpy = _cvxpy()
    if not isinstance(expression, cvxpy.Expression):
        raise InvalidOption(f"{what} is a {type(expression).__name__}; give a cvxpy expression, cp.Variable({size})")
    if math.prod(expression.shape) != size:
        raise GameShape(f"{what} has shape {expression.shape}, expected {size} entries, {expected}")
    flat: cp.Expression = cvxpy.reshape(expression, (size,), order="C")
    return flat


def _cvxpy() -> Any:
    """Import cvxpy, which takes long; its names are made at run time."""
    import cvxpy  # noqa: PLC0415 - takes long

    return cvxpy


def _action_values(game: MarkovGame, given: npt.ArrayLike | None) -> FloatArray:
    if given is None:
        if game.horizon != 1:
            raise InvalidOption(
                "give action_values: the incentives of a game of several steps depend on what follows, "
                "Q = r + P V with the values V of what is done later"
            )
        return game.reward(0)
    try:
        q = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise GameShape(f"action_values is no array of numbers: {error}") from None
    expected = (game.num_agents, game.num_states, game.num_joint_actions)
    if q.shape != expected:
        raise GameShape(f"action_values have shape {q.shape}, expected (m, S, A) = {expected}")
    if not np.isfinite(q).all():
        raise GameNumber("action_values have an entry that is not finite")
    return q
