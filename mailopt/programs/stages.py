"""How stages follow each other in an occupancy program.

The state distribution of stage 0 is the initial one; what leaves stage h arrives at stage h + 1. In a discounted game
everything is weighted so that the total mass is 1: stage 0 gets (1 - gamma) rho, moves carry a factor gamma, and the
last stage, which repeats for ever, also feeds itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from scipy import sparse

from mailopt.games.game import MarkovGame
from mailopt.games.numbers import FloatArray

T = TypeVar("T")


def arrivals(game: MarkovGame, moves: Sequence[sparse.sparray]) -> sparse.coo_array:
    """Stack one-stage moves into the map from all stages' variables to the states in which they arrive.

    Parameters
    ----------
    game
        The game.
    moves
        For each stage h a matrix (S, w): what each of the stage's w variables sends to each state.

    Returns
    -------
    Sparse matrix (T*S, T*w).
    """
    stages, (size, width) = len(moves), moves[0].shape
    factor = 1.0 if game.discount is None else game.discount
    places = [(h + 1, h) for h in range(stages - 1)]
    if game.discount is not None:
        places.append((stages - 1, stages - 1))
    parts = [(to, source, sparse.coo_array(moves[source])) for to, source in places]
    empty = np.zeros(0, dtype=np.int64)
    rows = np.concatenate([empty, *(part.coords[0] + to * size for to, _, part in parts)])
    columns = np.concatenate([empty, *(part.coords[1] + source * width for _, source, part in parts)])
    data = np.concatenate([np.zeros(0), *(factor * part.data for _, _, part in parts)])
    return sparse.coo_array((data, (rows, columns)), shape=(stages * size, stages * width))


def inflow(game: MarkovGame, stages: int) -> FloatArray:
    """Right-hand side of the flow rows: the initial distribution at stage 0, shape (T, S)."""
    result = np.zeros((stages, game.num_states))
    result[0] = game.initial_distribution * game.occupancy_mass
    return result


def for_stages(items: Sequence[T], stages: int) -> list[T]:
    """Spread what stays the same (one item), or ends by repeating its last, over all stages."""
    return [items[min(h, len(items) - 1)] for h in range(stages)]
