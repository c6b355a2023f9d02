"""Discounted fixed points, with a bound on how far the result is from the true one.

For a backup T that is monotone and shifts by gamma c when V shifts by c, lo <= T V - V <= hi implies
T V + gamma lo / (1 - gamma) <= V* <= T V + gamma hi / (1 - gamma) (MacQueen 1966; Puterman 1994, section 6.6). Every
value function returned here is the middle of that interval, and its half-width, to which the rounding of one backup
adds 1 / (1 - gamma) times itself, is the stated error. How V was found does not matter for the bound: policy iteration,
with direct or Krylov solves. V is kept centred, which changes nothing but the rounding:
adding a constant to V moves neither the middle nor the half-width.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse

from mailopt.errors import NotConverged
from mailopt.evaluation.rounding import UNIT
from mailopt.evaluation.stages import require_finite
from mailopt.games.numbers import FloatArray

_DIRECT_UP_TO = 2000  # states; above, Krylov
_TARGET = 1e-13  # relative half-width at which to stop
_ACCEPTED = 1e-9  # relative half-width above which the result is refused
_PATIENCE = 50

Choices = npt.NDArray[np.int64] | None
StateMatrix: TypeAlias = Any  # (S, S), numpy or scipy sparse


def fixed_point(
    backup: Callable[[FloatArray], tuple[FloatArray, FloatArray, Choices]],
    evaluate: Callable[[FloatArray], FloatArray],
    start: FloatArray,
    discount: float | Fraction,
) -> tuple[FloatArray, Choices, FloatArray]:
    """Solve V = T V by policy iteration.

    Parameters
    ----------
    backup
        V, shape (k, S), to T V, a bound on the rounding error of each of its rows (k,), and the choices that attain it
        (None if there is nothing to choose).
    evaluate
        From a guess to the value of following for ever the choices of the last backup, which may be off by a constant.
    start
        First guess, shape (k, S).
    discount
        gamma, exactly.

    Returns
    -------
    values, choices, errors
        V* up to ``errors`` (k,) in every entry, truncation and rounding together, and the choices of the backup that it
        came from.

    Raises
    ------
    NotConverged
        If the half-width cannot be brought under 1e-9 of the largest value.
    InvalidNumber
        If the values overflow.
    """
    exact = Fraction(discount)
    factor, effective = float(exact / (1 - exact)), float(1 / (1 - exact))
    best: tuple[FloatArray, Choices, FloatArray, float] | None = None
    seen: set[bytes] = set()
    waited = 0
    current = start
    while True:
        current = _centred(current)
        backed_up, rounding, choices = backup(current)
        change = backed_up - current
        low, high = change.min(axis=1, keepdims=True), change.max(axis=1, keepdims=True)
        offset = factor * 0.5 * (low + high)
        middle = backed_up + offset
        truncation = require_finite(factor * 0.5 * (high - low))[:, 0]
        half_width = float(truncation.max())
        scale = float(np.abs(require_finite(middle)).max())
        improved = best is None or half_width <= 0.5 * best[3]
        if best is None or half_width < best[3]:
            size = np.abs(low) + np.abs(high)
            rounded = factor * size[:, 0] + np.abs(offset[:, 0]) + np.abs(middle).max(axis=1)
            best = (middle, choices, truncation + effective * rounding + 8 * UNIT * rounded, half_width)
        key = b"" if choices is None else choices.tobytes()
        waited = 0 if improved else waited + 1
        if half_width <= _TARGET * scale or (key in seen and not improved) or waited > _PATIENCE:
            break
        seen.add(key)
        current = evaluate(_centred(middle))
    unavoidable = 16 * effective * float(rounding.max())  # values may cancel to less than their rounding
    if not best[3] <= max(_ACCEPTED * max(scale, float(np.abs(start).max())), unavoidable):
        raise NotConverged(
            f"discounted values are known only to {best[3]:.3g} (largest value {scale:.3g}) at discount {discount}; "
            f"use method='lp', a smaller discount or a finite horizon"
        )
    return best[:3]


def discounted_values(matrix: StateMatrix, rewards: FloatArray, discount: float, guess: FloatArray) -> FloatArray:
    """Solve V = rewards + gamma P V up to a constant, for stacked right-hand sides (k, S), from a guess."""
    residual = rewards + discount * (matrix @ guess.T).T - guess
    return guess + _solve(matrix, _centred(residual), discount)


def discounted_visits(matrix: StateMatrix, inflow: FloatArray, discount: float) -> FloatArray:
    """Solve d = inflow + gamma P'd, (S,).

    Raises
    ------
    NotConverged
        If the total error cannot be brought under 1e-9 of the total mass, and rounding does not explain it.
    """
    transposed = matrix.T if isinstance(matrix, np.ndarray) else sparse.csr_array(matrix.T)
    mass = float(inflow.sum()) / (1.0 - discount)
    visits, error = inflow.copy(), np.inf
    for _ in range(_PATIENCE):
        residual = inflow + discount * (transposed @ visits) - visits
        previous, error = error, float(np.abs(residual).sum()) / (1.0 - discount)
        if error <= _TARGET * mass or error > 0.5 * previous:
            break
        visits = visits + _solve(transposed, residual[None], discount)[0]
    rounding = 16 * float(np.finfo(np.float64).eps) / (1.0 - discount)
    if not error <= (_ACCEPTED + rounding) * mass:
        raise NotConverged(f"discounted visits are known only to {error:.3g} of {mass:.3g} at discount {discount}")
    return visits


def _centred(values: FloatArray) -> FloatArray:
    """Subtract from each row the middle of its range."""
    return np.asarray(values - 0.5 * (values.min(axis=1, keepdims=True) + values.max(axis=1, keepdims=True)))


def _solve(matrix: StateMatrix, right: FloatArray, discount: float) -> FloatArray:
    """Approximately solve (I - gamma M) x = right for each row of ``right``."""
    size = right.shape[1]
    if size <= _DIRECT_UP_TO:
        dense = matrix if isinstance(matrix, np.ndarray) else matrix.toarray()
        return np.asarray(np.linalg.solve(np.eye(size) - discount * dense, right.T).T)
    from scipy.sparse.linalg import LinearOperator, gmres  # noqa: PLC0415 - slow to import, rarely needed

    operator = LinearOperator((size, size), matvec=lambda x: x - discount * (matrix @ x), dtype=np.float64)
    return np.stack([gmres(operator, r, rtol=1e-12, atol=0.0, restart=50, maxiter=20)[0] for r in right])
