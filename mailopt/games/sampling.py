"""Draws from rows of probabilities by inverse cumulative sums, many at once, and the options of whatever is random."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from mailopt.errors import InvalidOption
from mailopt.games.numbers import FloatArray, IntArray


class RowSampler:
    """Rows of probabilities to draw from; a row p stands for p / sum(p).

    A uniform u in [0, 1) picks the first entry whose cumulative sum is above u sum(p), the last positive one if
    rounding leaves none. So an entry of probability 0 is never picked, whatever u is. Rows without a positive entry
    have nothing to pick: drawing from them is an error of the caller, and what comes back means nothing.

    Examples
    --------
    >>> import numpy as np
    >>> from mailopt.games.sampling import RowSampler
    >>> rows = RowSampler.dense(np.array([[0.0, 0.25, 0.75, 0.0]]))
    >>> rows.draw(np.zeros(4, dtype=int), np.array([0.0, 0.2, 0.25, 1 - 2**-53]))
    array([1, 1, 2, 2])
    """

    def __init__(self, sums: FloatArray, first: IntArray, last: IntArray, columns: IntArray | None) -> None:
        self._sums = sums  # cumulative within each row, flat
        self._first = first  # place of each row's first entry
        self._last = last  # and of its last positive one
        self._columns = columns  # column of each entry; None: its distance from the first of its row

    @classmethod
    def dense(cls, rows: FloatArray) -> RowSampler:
        """Take rows from an array (R, n)."""
        count, size = rows.shape
        first = np.arange(count, dtype=np.int64) * size
        last = first + size - 1 - (rows[:, ::-1] > 0).argmax(axis=1)
        return cls(np.cumsum(rows, axis=1).ravel(), first, last, None)

    @classmethod
    def sparse(cls, rows: sparse.csr_array) -> RowSampler:
        """Take rows from a sparse matrix that stores positive entries only."""
        start = rows.indptr.astype(np.int64)
        sums = rows.data.astype(np.float64, copy=True)
        lengths = np.diff(start)
        longest = np.argsort(-lengths, kind="stable")
        counts = np.bincount(lengths)
        longer = len(lengths) - np.cumsum(counts)  # than k entries
        for k in range(1, len(counts) - 1):
            here = start[longest[: longer[k]]] + k
            sums[here] += sums[here - 1]
        return cls(sums, start[:-1], start[1:] - 1, rows.indices.astype(np.int64))

    def draw(self, rows: IntArray, uniforms: FloatArray) -> IntArray:
        """Draw a column from each of some rows with uniforms in [0, 1), (N,) and (N,) to (N,)."""
        first, last = self._first[rows], self._last[rows]
        found = first_above(self._sums, first, last, uniforms * self._sums[last])
        return found - first if self._columns is None else self._columns[found]


def first_above(values: npt.NDArray[Any], low: IntArray, high: IntArray, targets: npt.NDArray[Any]) -> IntArray:
    """Find the first place k in low..high-1 with ``values[k] > target``, or else ``high``; for many targets at once.

    ``values[low:high]`` must not decrease. All arguments but the values have shape (N,).
    """
    if len(low) == 1:  # as when one episode is played, where the loop would take ten times as long
        return np.asarray(low + np.searchsorted(values[low[0] : high[0]], targets[0], side="right"))
    while (unsure := low < high).any():
        middle = (low + high) // 2
        below = values.take(middle, mode="clip") <= targets  # out of range only where low = high
        low = np.where(unsure & below, middle + 1, low)
        high = np.where(unsure & ~below, middle, high)
    return low


def random_generator(seed: object) -> np.random.Generator:
    """Make a generator from a seed, or take one as it is.

    Raises
    ------
    InvalidOption
        Neither a non-negative integer nor a generator.
    """
    if isinstance(seed, np.random.Generator):
        return seed
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or seed < 0:
        raise InvalidOption(f"seed is {seed!r}; give an integer of at least 0, or a numpy.random.Generator")
    return np.random.default_rng(int(seed))


def read_count(value: object, name: str) -> int:
    """Insist on an integer of at least 1.

    Raises
    ------
    InvalidOption
        It is something else.
    """
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
        raise InvalidOption(f"{name} is {value!r}; give an integer of at least 1")
    return int(value)


def read_steps(horizon: int | None, steps: object) -> int:
    """Return the number of steps of an episode: the horizon, or in a discounted game what the caller wants.

    Raises
    ------
    InvalidOption
        A discounted game without ``steps``, or a horizon with it.
    """
    if horizon is None:
        if steps is None:
            raise InvalidOption("a discounted game has no last step; give the length of an episode, such as steps=100")
        return read_count(steps, "steps")
    if steps is not None:
        raise InvalidOption(f"steps is {steps!r}, but the game has horizon {horizon}; steps are for discounted games")
    return horizon
