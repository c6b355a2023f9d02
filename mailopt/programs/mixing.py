"""What the variables of a deviation program do: the joint actions that are played, from the masses of atoms picked."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from mailopt.deviations import Atoms
from mailopt.games.game import MarkovGame
from mailopt.games.numbers import FloatArray


def played(game: MarkovGame, sigma: FloatArray, agent: int, tables: FloatArray) -> sparse.csr_array:
    """Matrix (S*A, S*W): the mass of (s, b, k) from that of (s, w) is the sum of sigma(a,k|s) over the a told b by w.

    Parameters
    ----------
    game, sigma, agent
        Recommendations (S, A) of a stage, and who deviates.
    tables
        What each of W atoms plays, shape (W, n * n): 1 at (a, b) if it plays b when told a.
    """
    n, size = game.actions[agent], game.num_states
    weights = game.unfold(sigma, agent)  # (S, n, K)
    joint = game.unfold(np.arange(game.num_joint_actions), agent)  # (n, K)
    s, told, k = np.nonzero(weights)
    rows = (s * game.num_joint_actions)[:, None] + joint[:, k].T
    columns = ((s * n + told) * n)[:, None] + np.arange(n)
    every = sparse.csr_array(
        (np.repeat(weights[s, told, k], n), (rows.ravel(), columns.ravel())),
        shape=(size * game.num_joint_actions, size * n * n),
    )
    return sparse.csr_array(every @ sparse.kron(sparse.eye_array(size), sparse.csr_array(tables.T), format="csr"))


def descending(game: MarkovGame, sigma: FloatArray, agent: int, atoms: Atoms, layers: int) -> sparse.csr_array:
    """Matrix (L*S*A, (L-1)*S*W): as :func:`played`, for atoms picked in layers 1.., which descend by departing."""
    n = game.actions[agent]
    obeys = atoms.table() * np.eye(n).ravel()
    stays, leaves = (played(game, sigma, agent, table) for table in (obeys, atoms.table() - obeys))
    return sparse.csr_array(
        sparse.kron(sparse.eye_array(layers, layers - 1, k=-1), stays, format="csr")
        + sparse.kron(sparse.eye_array(layers, layers - 1), leaves, format="csr")
    )


def obeyed(sigma: FloatArray, layers: int) -> sparse.csr_array:
    """Matrix (L*S*A, L*S): the mass of (j, s, a) from that of obeying at (j, s)."""
    state, action = np.nonzero(sigma)
    every = sparse.csr_array(
        (sigma[state, action], (state * sigma.shape[1] + action, state)), shape=(sigma.size, len(sigma))
    )
    return sparse.csr_array(sparse.kron(sparse.eye_array(layers), every, format="csr"))


def departures(game: MarkovGame, sigma: FloatArray, agent: int) -> FloatArray:
    """Probability sigma_i(a|s) of being told a where b != a is played, 0 at b = a; shape (S, n, n)."""
    told = game.unfold(sigma, agent).sum(axis=2)
    return np.asarray(told[:, :, None] * ~np.eye(told.shape[1], dtype=bool))
