"""Random games and policies of few binary digits, so that their linear programs are exact in doubles.

Probabilities are multiples of 2^-6 and rewards of 2^-6: products of a policy's and a kernel's probabilities, and sums
of them, are doubles without rounding. The optimum of a program is then that of the game, in fractions.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import sparse

from mailopt.games.game import MarkovGame
from mailopt.games.numbers import FloatArray, IntArray
from mailopt.games.policy import CorrelatedPolicy

_UNITS = 64
_ACTIONS = (3, 3)
_SUCCESSORS = 3


def shares(rng: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
    """Distributions along the last axis, in multiples of 2^-6; some entries may be 0."""
    cuts = np.sort(rng.integers(0, _UNITS + 1, (*shape[:-1], shape[-1] - 1)), axis=-1)
    return np.asarray(np.diff(cuts, axis=-1, prepend=0, append=_UNITS) / _UNITS)


def markov_game(
    size: int,
    seed: int,
    *,
    horizon: int | None = None,
    rewards: int = _UNITS,
    copies: int = 1,
) -> MarkovGame:
    """Draw a game of two agents with 3 actions each, ``size`` states and 3 successors.

    Parameters
    ----------
    size
        States; also steps, unless given.
    seed
        Seed.
    horizon
        Steps; 0 for a discounted game with factor 15/16.
    rewards
        Rewards are drawn from 0, 1/r, .., 1 for this r.
    copies
        How often each action of agent 0 is there under different names, so that programs have equal columns.
    """
    rng = np.random.default_rng(seed)
    joint = int(np.prod(_ACTIONS))
    width = min(_SUCCESSORS, size)
    successors = np.argsort(rng.random((size, joint, size)), axis=-1)[..., :width]
    weights = shares(rng, (size, joint, width))
    paid = rng.integers(0, rewards + 1, (2, size, joint)) / rewards
    of_copy = np.repeat(np.arange(joint).reshape(_ACTIONS), copies, axis=0).ravel()
    rows = sparse.csr_array(
        (
            weights[:, of_copy].ravel(),
            successors[:, of_copy].ravel(),
            np.arange(0, size * of_copy.size * width + 1, width),
        ),
        shape=(size * of_copy.size, size),
    )
    return MarkovGame(
        transitions=rows,
        rewards=paid[:, :, of_copy],
        initial=np.eye(size)[0],
        actions=(_ACTIONS[0] * copies, _ACTIONS[1]),
        **({"discount": 15 / 16} if horizon == 0 else {"horizon": size if horizon is None else horizon}),
    )


def policy_of(game: MarkovGame, seed: int) -> CorrelatedPolicy:
    """Draw a policy over the legal joint actions, one for each step; discounted, a stationary one."""
    rng = np.random.default_rng(seed)
    steps = game.horizon or 1
    rows = np.zeros((steps, game.num_states, game.num_joint_actions))
    for state, legal in enumerate(game.joint_legal):
        rows[:, state, legal] = shares(rng, (steps, int(legal.sum())))
    return CorrelatedPolicy(rows if game.horizon is not None else rows[0])


def _independent(rng: np.random.Generator, shape: tuple[int, ...]) -> IntArray:
    """Draw the payoffs of each agent independently from 0 .. 1000."""
    return rng.integers(0, 1001, (len(shape), *shape))


def _near_zero_sum(rng: np.random.Generator, shape: tuple[int, ...]) -> IntArray:
    """u2 = -u1 + noise of one hundredth of the range: equilibria mix over many actions."""
    first = rng.integers(0, 1001, shape)
    return np.stack([first, rng.integers(0, 11, shape) - first])


def _coordination(rng: np.random.Generator, shape: tuple[int, ...]) -> IntArray:
    """Pay the same to all agents: the best correlated equilibrium is the largest payoff."""
    return np.broadcast_to(rng.integers(0, 1001, shape), (len(shape), *shape))


def _covariant(rng: np.random.Generator, shape: tuple[int, ...]) -> IntArray:
    """Draw normal payoffs with covariance -0.4 between any two agents, rounded to integers."""
    agents = len(shape)
    covariance = np.full((agents, agents), -0.4) + 1.4 * np.eye(agents)
    drawn = rng.multivariate_normal(np.zeros(agents), covariance, shape, method="cholesky")
    return np.moveaxis(np.rint(1000 * drawn), -1, 0).astype(np.int64)


def _congestion(rng: np.random.Generator, shape: tuple[int, ...]) -> IntArray:
    """Each agent takes one resource, whose cost rises with the number of those who take it (Rosenthal 1973)."""
    agents, resources = len(shape), shape[0]
    costs = np.cumsum(rng.integers(1, 101, (resources, agents)), axis=1)
    taken = np.indices(shape)
    load = np.stack([(taken == r).sum(axis=0) for r in range(resources)])
    at = np.take_along_axis(load, taken, axis=0)  # how many are where each agent is
    return np.asarray(-costs[taken, at - 1])


PAYOFFS: dict[str, tuple[int, Callable[[np.random.Generator, tuple[int, ...]], IntArray]]] = {
    "random": (2, _independent),
    "near-zero-sum": (2, _near_zero_sum),
    "coordination": (2, _coordination),
    "covariant": (3, _covariant),
    "congestion": (3, _congestion),
}
"""Number of agents and payoffs of each kind of normal form."""


def normal_form(kind: str, actions: int, seed: int) -> MarkovGame:
    """Draw a one-shot game of a kind in which every agent has so many actions; payoffs are integers."""
    agents, payoffs = PAYOFFS[kind]
    drawn: npt.NDArray[np.int64] = payoffs(np.random.default_rng(seed), (actions,) * agents)
    return MarkovGame.from_normal_form(drawn.astype(np.float64))
