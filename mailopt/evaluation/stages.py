"""What finite-horizon and discounted evaluation share: stages and one-stage backups.

A finite-horizon game has stages h = 0..H-1 and continuation 0 after the last. A discounted game under policies of T
steps (1 if they are stationary) has stages 0..T-1, the last of which repeats for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt

from mailopt.errors import InvalidNumber, InvalidOption
from mailopt.games.game import MarkovGame
from mailopt.games.numbers import FloatArray

_Scalar = TypeVar("_Scalar", bound=np.generic)
Method = Literal["auto", "dp", "lp"]


def resolve(method: Method) -> Literal["dp", "lp"]:
    """Turn ``"auto"`` into a method; raise if there is no such method."""
    if method not in ("auto", "dp", "lp"):
        raise InvalidOption(f"method is {method!r}; it must be 'auto', 'dp' or 'lp'")
    return "lp" if method == "lp" else "dp"


def by_stage(game: MarkovGame, array: npt.NDArray[_Scalar]) -> npt.NDArray[_Scalar]:
    """Drop the leading stage axis of a discounted game's array if there is just one stage."""
    return array[0] if game.horizon is None and array.shape[0] == 1 else array


def require_finite(numbers: FloatArray) -> FloatArray:
    """Raise :class:`~mailopt.errors.InvalidNumber` if the evaluation overflowed."""
    if not np.isfinite(numbers).all():
        raise InvalidNumber("the values overflow; scale the rewards down")
    return numbers


def overflow_is_checked() -> np.errstate:
    """Silence numpy's warnings where :func:`require_finite` follows."""
    return np.errstate(over="ignore", invalid="ignore")


def action_values(game: MarkovGame, step: int, following: FloatArray | None, agents: list[int]) -> FloatArray:
    """Q_i(s, a) = r_i(s, a) + gamma E[V_i(s') | s, a], (k, S) -> (k, S, A); ``None`` means V = 0.

    gamma is 1 for a finite horizon.
    """
    rewards = game.reward(step)[agents]
    if following is None:
        return rewards
    expected = game.kernel(step).expectation(following)
    if game.discount is not None:
        expected *= game.discount
    expected += rewards
    return expected


def backward(
    game: MarkovGame,
    stages: int,
    rows: int,
    tail: Callable[[int], tuple[FloatArray, FloatArray]],
    backup: Callable[[int, FloatArray | None], FloatArray],
) -> tuple[FloatArray, FloatArray]:
    """Run a backward recursion over the stages of a game.

    Parameters
    ----------
    game, stages
        The game and its number of stages T.
    rows
        Number k of value functions.
    tail
        Last stage of a discounted game to its stationary values (k, S) and their errors (k,).
    backup
        Stage and values of the next one (None after the last of a finite horizon) to the values of the stage, (k, S).

    Returns
    -------
    values, errors
        Shape (T, k, S), and the truncation errors of the first stage's, (k,).
    """
    values = np.empty((stages, rows, game.num_states))
    errors = np.zeros(rows)
    following: FloatArray | None = None
    last = stages
    if game.discount is not None:
        last = stages - 1
        values[last], errors = tail(last)
        errors = errors * game.discount**last
        following = values[last]
    for h in reversed(range(last)):
        values[h] = backup(h, following)
        following = values[h]
    return values, errors


def obedient_backup(sigma: FloatArray, q: FloatArray) -> FloatArray:
    """V_i(s) = sum_a sigma(a|s) Q_i(s, a), (k, S, A) -> (k, S)."""
    return np.asarray(np.einsum("sa,ksa->ks", sigma, q))


def stage_gains(game: MarkovGame, sigma: FloatArray, q: FloatArray, agent: int) -> FloatArray:
    """C(s, a, b) = sum_k sigma(a, k|s) Q(s, b, k), shape (S, n, n).

    This is U + K V of the deviation occupancy program, without ever forming K.
    """
    return np.asarray(game.unfold(sigma, agent) @ np.swapaxes(game.unfold(q, agent), -1, -2))
