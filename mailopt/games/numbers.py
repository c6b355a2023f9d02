"""Numbers as they were given: nearest doubles, with the exact rationals kept beside them where they differ.

A float is the dyadic rational that it stores, an ``int`` or ``Fraction`` is itself. An array of numbers becomes an
array of nearest doubles and a mapping from index to ``Fraction`` that holds just the entries which are not exactly
doubles (1/3, integers beyond 2^53, ...). The mapping is empty for ordinary float input.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from mailopt.errors import (
    DeviationDistribution,
    DeviationNumber,
    DeviationShape,
    GameDistribution,
    GameNumber,
    GameShape,
    InvalidNumber,
    NotADistribution,
    PolicyDistribution,
    PolicyNumber,
    PolicyShape,
    WrongShape,
)

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
Index = tuple[int, ...]
Exact = Mapping[Index, Fraction]
Number = int | float | Fraction
NumberArray: TypeAlias = npt.ArrayLike | Sequence[Any]  # Fractions included

ROW_SUM_TOLERANCE = 1e-9
SINGLE_ROW_SUM_TOLERANCE = 1e-5  # of rows that another framework computed in single precision
_EXACT_INTEGERS = 2**53


@dataclass(frozen=True)
class Owner:
    """Which error types a kind of object raises."""

    shape: type[WrongShape]
    number: type[InvalidNumber]
    distribution: type[NotADistribution]


GAME = Owner(GameShape, GameNumber, GameDistribution)
POLICY = Owner(PolicyShape, PolicyNumber, PolicyDistribution)
DEVIATION = Owner(DeviationShape, DeviationNumber, DeviationDistribution)


def place(axes: Sequence[str], index: Sequence[int]) -> str:
    """Name a place, such as ``state 3, joint action 5``."""
    return ", ".join(f"{axis} {int(k)}" for axis, k in zip(axes[len(axes) - len(index) :], index, strict=True))


def at(what: str, axes: Sequence[str], index: Sequence[int]) -> str:
    """Name an entry of something, such as ``rewards, agent 0, state 3, joint action 5``."""
    return f"{what}, {place(axes, index)}" if index else what


def read_array(values: object, owner: Owner, what: str) -> npt.NDArray[Any]:
    """``numpy.asarray`` with the owner's error for ragged nesting."""
    try:
        return np.asarray(values)
    except ValueError as error:
        raise owner.shape(f"{what} is ragged: {error}") from None


def read_numbers(values: object, owner: Owner, what: str, axes: Sequence[str]) -> tuple[FloatArray, Exact]:
    """Return read-only nearest doubles and the exact rationals that are not doubles.

    Parameters
    ----------
    values
        Anything ``numpy.asarray`` takes, of floats, integers or ``Fraction`` (mixed allowed).
    owner
        Whose errors to raise.
    what
        Name of the array in messages.
    axes
        Names of its axes in messages, the last ones if the array has fewer.

    Raises
    ------
    WrongShape
        Ragged nesting.
    InvalidNumber
        NaN, infinity, or an entry that is no number; of the owner's kind, with the place.
    """
    array = read_array(values, owner, what)
    if array.ndim > len(axes):
        raise owner.shape(f"{what} has {array.ndim} dimensions, at most {len(axes)} are meaningful: {', '.join(axes)}")
    exact: dict[Index, Fraction] = {}
    if array.dtype == object:
        doubles = np.empty(array.shape, dtype=np.float64)
        for index, entry in np.ndenumerate(array):
            store_number(doubles, exact, index, nearest_double(entry, owner, what, axes, index))
    elif array.dtype.kind in "iu":
        doubles = array.astype(np.float64)
        for found in np.argwhere(np.abs(doubles) >= _EXACT_INTEGERS):
            where = tuple(int(k) for k in found)
            fraction = Fraction(int(array[where]))
            if fraction != Fraction(float(doubles[where])):
                exact[where] = fraction
    elif array.dtype.kind == "f" and array.dtype.itemsize <= np.dtype(np.float64).itemsize:
        doubles = array.astype(np.float64, order="C", copy=True)
        require(np.isfinite(doubles), doubles, owner.number, what, axes, "must be finite")
    else:
        raise owner.number(f"{what} has dtype {array.dtype}; give floats, integers or fractions.Fraction")
    doubles.setflags(write=False)
    return doubles, MappingProxyType(exact)


def nearest_double(
    entry: object, owner: Owner, what: str, axes: Sequence[str] = (), index: Sequence[int] = ()
) -> tuple[float, Fraction | None]:
    """Return the nearest double of one number, and the exact rational if the double is not it.

    ``what``, ``axes`` and ``index`` name the place if it is no proper number.
    """
    if isinstance(entry, bool | np.bool_) or not isinstance(entry, int | float | Fraction | np.integer | np.floating):
        raise owner.number(
            f"{at(what, axes, index)}: {entry!r} is not a number; give an int, float or fractions.Fraction"
        )
    if isinstance(entry, float | np.floating):
        value = float(entry)
        if not math.isfinite(value):
            raise owner.number(f"{at(what, axes, index)}: {value} must be finite")
        return value, None
    fraction = Fraction(int(entry)) if isinstance(entry, int | np.integer) else entry
    try:
        value = float(fraction)
    except OverflowError:
        raise owner.number(f"{at(what, axes, index)}: the number is too large for a double") from None
    if value == 0.0 and fraction != 0:
        raise owner.number(f"{at(what, axes, index)}: the number is not zero but too small for a double")
    return value, None if Fraction(value) == fraction else fraction


def store_number(
    doubles: FloatArray, exact: dict[Index, Fraction], index: Index, number: tuple[float, Fraction | None]
) -> None:
    """Put what :func:`nearest_double` returned where it belongs."""
    doubles[index], fraction = number
    if fraction is not None:
        exact[index] = fraction


def require(
    good: BoolArray, values: FloatArray, error: type[Exception], what: str, axes: Sequence[str], rule: str
) -> None:
    """Raise ``error`` naming the first place where ``good`` is false."""
    if not good.all():
        index = tuple(int(k) for k in np.argwhere(~good)[0])
        raise error(f"{at(what, axes, index)}: {values[index]} {rule}")


def require_probabilities(values: FloatArray, owner: Owner, what: str, axes: Sequence[str]) -> None:
    """Raise the owner's error at the first negative entry."""
    require(values >= 0, values, owner.number, what, axes, "is negative; probabilities must not be")


def require_row_sums(sums: FloatArray, owner: Owner, what: str, axes: Sequence[str]) -> None:
    """Raise the owner's error at the first row whose sum is further than 1e-9 from one."""
    bad = np.argwhere(~(np.abs(sums - 1.0) <= ROW_SUM_TOLERANCE))
    if len(bad):
        index = tuple(int(k) for k in bad[0])
        raise owner.distribution(row_sum_message(at(what, axes, index), float(sums[index])))


def row_sum_message(where: str, total: float) -> str:
    """Say that a row of probabilities does not sum to one, and how to mend it."""
    return (
        f"{where}: the row sums to {total!r}; it must be within {ROW_SUM_TOLERANCE:g} of 1. Normalise it in double "
        f"precision (float32 is too coarse), or give exact numbers such as Fraction(1, 3)"
    )


def normalised(rows: FloatArray, sums: FloatArray) -> FloatArray:
    """Divide rows (last axis) by their sums: a row p stands for p / sum(p). Exact rows are returned as they are."""
    if bool((sums == 1.0).all()):
        return rows
    result = rows / sums[..., None]
    result.setflags(write=False)
    return result


def as_given(doubles: FloatArray, exact: Exact) -> npt.NDArray[Any]:
    """Undo :func:`read_numbers`: the doubles, with exact rationals put back where there are any."""
    if not exact:
        return doubles
    result = doubles.astype(object)
    for index, fraction in exact.items():
        result[index] = fraction
    return result


def fractions_of(numbers: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Every number as the exact rational that it is."""
    result = np.empty(numbers.shape, dtype=object)
    for index, value in np.ndenumerate(numbers):
        result[index] = (
            value if isinstance(value, Fraction) else Fraction(value.item() if hasattr(value, "item") else value)
        )
    return result


def as_fractions(doubles: FloatArray, exact: Exact) -> npt.NDArray[Any]:
    """Every entry as the exact rational that was given."""
    return fractions_of(as_given(doubles, exact))
