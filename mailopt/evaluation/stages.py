"""Small things that every evaluation needs: methods, stages, stage gains."""

from __future__ import annotations

from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt

from mailopt.errors import InvalidNumber, InvalidOption
from mailopt.games.game import MarkovGame
from mailopt.games.numbers import BoolArray, FloatArray

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


def stage_gains(game: MarkovGame, sigma: FloatArray, q: FloatArray, agent: int) -> FloatArray:
    """C(s, a, b) = sum_k sigma(a, k|s) Q(s, b, k), from (.., S, A) to (.., S, n, n).

    This is U + K V of the deviation occupancy program, without ever forming K.
    """
    return np.asarray(game.unfold(sigma, agent) @ np.swapaxes(game.unfold(q, agent), -1, -2))


def distributions(points: FloatArray, legal: BoolArray) -> FloatArray:
    """Turn a solver's points (K, N) into distributions: 0 where illegal or below 0, and the sum divided out."""
    found = np.where(legal, np.maximum(points, 0.0), 0.0)
    return np.asarray(found / found.sum(axis=1, keepdims=True))
