"""Rigorous bounds from dual vectors, with every rounding error accounted for.

For ``min c x, rl <= A x <= ru, l <= x <= u`` and ANY vector y, with d = c - A'y exactly,

    min c x  >=  sum_i min(y_i rl_i, y_i ru_i) + sum_j min(d_j l_j, d_j u_j)        (0 times infinity is 0).

Floating point only knows d up to |error| <= E = gamma_k (|c| + |A|'|y|), k = most nonzeros in a column + 2, so each
variable contributes the least value of t v over t in {d_j - E_j, d_j + E_j}, v in {l_j, u_j}; products are rounded
outwards and the sum is exact up to one rounding (Neumaier and Shcherbina, *Safe bounds in linear and mixed-integer
linear programming*, 2004). A variable without a finite bound defeats the proof unless its reduced cost, computed
exactly then, has the right sign; bounds that single rows imply are derived first, rounded outwards too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from functools import cache

import numpy as np
import numpy.typing as npt

from mailopt_solvers.errors import InvalidProgram
from mailopt_solvers.program import FloatArray, LinearProgram, doubles, require_program

IntArray = npt.NDArray[np.integer]

_U = 2.0**-53
_OMEGA = 2.0**-1022
_ROUNDS = 20
_FACTORS = (1.0, 1.0 - 2.0**-44, 1.0 + 2.0**-44, 1.0 - 2.0**-30, 1.0 + 2.0**-30)


def dual_bound(
    program: LinearProgram,
    row_duals: FloatArray,
    *,
    lower: FloatArray | None = None,
    upper: FloatArray | None = None,
) -> float:
    """Bound the optimum by a dual vector: from below in a minimisation, from above in a maximisation.

    Parameters
    ----------
    program
        The program; its doubles are taken as exact.
    row_duals
        Any finite vector y, shape (m,), in the sign convention of :class:`Solution`. A y_i whose sign calls for a row
        bound that does not exist is taken as 0.
    lower, upper
        Further bounds, shape (n,), that are known to hold at some optimal point; they sharpen the result.

    Returns
    -------
    The bound; infinite where a variable without a finite bound, given or implied, defeats the proof.

    Raises
    ------
    InvalidProgram
        A vector of the wrong length or with NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import sparse
    >>> from mailopt_solvers import LinearProgram, dual_bound
    >>> lp = LinearProgram(np.array([1.0, 2.0]), sparse.csc_array([[1.0, 1.0]]),
    ...                    np.array([1.0]), np.array([np.inf]), np.zeros(2), np.full(2, 10.0))
    >>> 0.999999999 < dual_bound(lp, np.array([1.0])) <= 1.0
    True
    """
    require_program(program)
    y = _vector(row_duals, program.num_rows, "row_duals")
    if not np.isfinite(y).all():
        raise InvalidProgram("row_duals has entries that are not finite")
    n = program.num_variables
    low = program.lower if lower is None else np.maximum(program.lower, _vector(lower, n, "lower bounds"))
    high = program.upper if upper is None else np.minimum(program.upper, _vector(upper, n, "upper bounds"))
    if (low > high).any():
        raise InvalidProgram("the further bounds contradict each other or those of the program")
    sign = 1.0 if program.sense == "min" else -1.0
    implied = cache(lambda: implied_bounds(program, low, high))
    for factor in _FACTORS:  # a slightly different y may spare a variable without bounds a reduced cost of wrong sign
        bound = _lower(program, sign * program.costs, sign * factor * y, low, high, sign * program.offset, implied)
        if math.isfinite(bound):
            break
    return sign * bound


def _vector(values: FloatArray, size: int, what: str) -> FloatArray:
    array = doubles(values, what)
    if array.shape != (size,) or np.isnan(array).any():
        raise InvalidProgram(f"{what} of shape {array.shape} or with NaN; expected {size} numbers")
    return array


def proves_infeasible(program: LinearProgram, ray: FloatArray) -> bool:
    """Whether Farkas multipliers prove, rounding included, that no point satisfies the constraints.

    With no costs the bound says 0 >= bound at any feasible point, so a positive one leaves none.
    """
    low, high = program.lower, program.upper
    nothing = np.zeros(program.num_variables)
    return _lower(program, nothing, ray, low, high, 0.0, lambda: implied_bounds(program, low, high)) > 0.0


def _lower(
    program: LinearProgram,
    costs: FloatArray,
    y: FloatArray,
    lower: FloatArray,
    upper: FloatArray,
    offset: float,
    implied: Callable[[], tuple[FloatArray, FloatArray]],
) -> float:
    """Lower bound of min costs x + offset; ``implied`` gives the bounds to take where the given ones do not do."""
    with np.errstate(over="ignore", invalid="ignore"):
        y = np.where((y > 0) & np.isneginf(program.row_lower) | (y < 0) & np.isposinf(program.row_upper), 0.0, y)
        sides = np.where(y > 0, program.row_lower, program.row_upper)
        rows = np.where(y == 0, 0.0, y * np.where(y == 0, 0.0, sides))
        matrix = program.matrix
        k = int(np.diff(matrix.indptr).max(initial=0)) + 2
        reduced = costs - program.priced(y)
        sizes = np.abs(costs) + np.asarray(abs(matrix).T @ np.abs(y))
        error = _gamma(k) * (1.0 + _gamma(2 * k)) * sizes + 4 * k * _OMEGA * (1.0 + np.abs(y).max(initial=0.0))
        ends = (reduced - error, reduced + error)
        columns = _least(ends, lower, upper)
        if np.isneginf(columns).any():
            lower, upper = implied()
            columns = _least(ends, lower, upper)
        for j in np.flatnonzero(np.isneginf(columns)) if not np.isneginf(rows).any() else ():
            ends = _exactly(program, costs, y, int(j))
            columns[j] = _least(ends, lower[j : j + 1], upper[j : j + 1])[0]
            if np.isneginf(columns[j]):
                return -math.inf
        terms = np.concatenate((rows, columns, [offset]))
        if not np.isfinite(terms).all():
            return -math.inf
        try:
            total = math.fsum(terms) - 4 * _U * math.fsum(np.abs(terms)) - terms.size * _OMEGA
        except OverflowError:
            return -math.inf
        return float(np.nextafter(total, -np.inf))


def _exactly(program: LinearProgram, costs: FloatArray, y: FloatArray, j: int) -> tuple[FloatArray, FloatArray]:
    """Doubles on both sides of one reduced cost, computed exactly; both 0 if it is 0."""
    column = slice(program.matrix.indptr[j], program.matrix.indptr[j + 1])
    prices = y[program.matrix.indices[column]]
    exact = Fraction(float(costs[j])) - sum(
        (Fraction(float(a)) * Fraction(float(p)) for a, p in zip(program.matrix.data[column], prices, strict=True)),
        Fraction(0),
    )
    near = np.array([float(exact)])
    return (near, near) if exact == 0 else (np.nextafter(near, -np.inf), np.nextafter(near, np.inf))


def _least(ends: tuple[FloatArray, FloatArray], lower: FloatArray, upper: FloatArray) -> FloatArray:
    """Least product of a number between the ends and one between the bounds, before rounding."""
    products = [np.where((t == 0) | (v == 0), 0.0, t * np.where(t == 0, 0.0, v)) for t in ends for v in (lower, upper)]
    return np.asarray(np.minimum.reduce(products))


def implied_bounds(program: LinearProgram, lower: FloatArray, upper: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Fill in missing bounds of variables that single rows imply, rounded outwards.

    From sum_k a_ik x_k <= ru_i follows a_ij x_j <= ru_i - (least value of the other terms). Repeated until nothing
    infinite becomes finite.
    """
    matrix = program.matrix
    counts = np.diff(matrix.indptr)
    entry_column = np.repeat(np.arange(program.num_variables), counts)
    used = matrix.data != 0
    a, i, j = matrix.data[used], matrix.indices[used], entry_column[used]
    width = int(np.bincount(i, minlength=1).max()) + 4
    lower, upper = lower.copy(), upper.copy()
    for _ in range(_ROUNDS):
        missing = int(np.isinf(lower).sum() + np.isinf(upper).sum())
        found_upper = np.full(program.num_variables, np.inf)
        found_lower = np.full(program.num_variables, -np.inf)
        for side, sign in ((program.row_upper, 1.0), (-program.row_lower, -1.0)):
            limit = _others(sign * a, i, j, side, lower, upper, width)  # sign a_ij x_j <= limit
            quotient = limit / (sign * a)
            rises = sign * a > 0
            np.minimum.at(found_upper, j[rises], np.nextafter(quotient[rises], np.inf))
            np.maximum.at(found_lower, j[~rises], np.nextafter(quotient[~rises], -np.inf))
        upper = np.where(np.isposinf(upper), found_upper, upper)
        lower = np.where(np.isneginf(lower), found_lower, lower)
        if np.isinf(lower).sum() + np.isinf(upper).sum() in (0, missing):
            break
    return lower, upper


def _others(
    a: FloatArray, i: IntArray, j: IntArray, side: FloatArray, lower: FloatArray, upper: FloatArray, width: int
) -> FloatArray:
    """Upper limit, rounded up, of each term a_ij x_j of rows sum a x <= side, given bounds of the other variables."""
    size = side.size
    least = np.where(a > 0, a * lower[j], a * upper[j])
    open_end = np.isinf(least)
    closed = np.where(open_end, 0.0, least)
    total = np.bincount(i, closed, minlength=size)
    magnitude = np.bincount(i, np.abs(closed), minlength=size)
    open_count = np.bincount(i, open_end, minlength=size)
    rest = total[i] - closed
    limit = side[i] - rest
    slack = 2 * _gamma(width) * (magnitude[i] + np.abs(closed) + np.abs(side[i])) + width * _OMEGA
    known = (open_count[i] - open_end) == 0
    return np.where(known & np.isfinite(side[i]), limit + slack, np.inf)


def _gamma(k: int) -> float:
    return k * _U / (1.0 - k * _U)
