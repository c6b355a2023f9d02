"""A game of which nothing but the shape is known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mailopt.games.game import MarkovGame, read_actions
from mailopt.games.kernels import DeterministicKernel
from mailopt.games.numbers import NumberArray


def blank_game(num_states: int, actions: Sequence[int], initial: NumberArray, **shape: Any) -> MarkovGame:
    """Return a game in which every state stays where it is and nothing is paid; ``shape`` as for the class."""
    counts = read_actions(actions)
    stays = np.repeat(np.arange(num_states)[:, None], math.prod(counts), axis=1)
    return MarkovGame(DeterministicKernel(stays), np.zeros((len(counts), *stays.shape)), initial, counts, **shape)
