"""Transition kernels P(s'|s,a) of one step, in three layouts behind one interface.

Evaluation asks a kernel for the expectation of next-state values, the push-forward of a state-action distribution and,
in discounted games, the state-to-state matrix of a policy; linear programs ask for its rows as a sparse matrix. Rows
are stored as given; a row p stands for p / sum(p). A row may be empty (all zero) where the joint action is illegal; the
game checks that.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import numpy as np
from scipy import sparse

from mailopt.games.numbers import (
    GAME,
    Exact,
    FloatArray,
    Index,
    IntArray,
    Number,
    as_given,
    nearest_double,
    place,
    read_array,
    read_numbers,
    require_probabilities,
)
from mailopt.games.sampling import RowSampler, first_above

AXES = ("state", "joint action", "next state")
_DENSE_FROM = 0.25
_BLOCK = 512  # columns of a dense product summed at once: shorter sums, smaller rounding
_NOTHING: Exact = MappingProxyType({})


class TransitionKernel(ABC):
    """Transition probabilities of one step; immutable.

    Attributes
    ----------
    num_states, num_joint_actions
        S and A.
    row_sums
        Sum of each row as stored, shape (S, A); 0 where there is no transition.
    num_nonzeros
        Number of positive entries.
    summands
        Bound on the additions that a term of an expectation goes through: the most positive entries in a row, fewer
        where the sum is done in blocks.
    exact
        Exact rationals of the entries that are not doubles, keyed (state, joint action, next state).
    """

    num_states: int
    num_joint_actions: int
    num_nonzeros: int
    summands: int
    row_sums: FloatArray
    exact: Exact

    def __init__(self, row_sums: FloatArray, row_lengths: IntArray, exact: Exact) -> None:
        self.num_states, self.num_joint_actions = row_sums.shape
        self.num_nonzeros = int(row_lengths.sum())
        self.summands = int(row_lengths.max())
        self.row_sums = row_sums
        self.row_sums.setflags(write=False)
        self.exact = exact
        divisor = np.where(row_sums > 0, row_sums, 1.0)
        self._divisor = None if bool((divisor == 1.0).all()) else divisor

    @abstractmethod
    def _raw_expectation(self, values: FloatArray) -> FloatArray: ...

    @abstractmethod
    def _raw_push_forward(self, weights: FloatArray) -> FloatArray: ...

    @abstractmethod
    def stored_rows(self) -> sparse.csr_array:
        """Probabilities as given (nearest doubles) as a sparse (S*A, S) matrix, row s*A + a.

        Positive entries only, their columns in order.
        """

    def expectation(self, values: FloatArray) -> FloatArray:
        """E[values(s') | s, a] for stacked value functions, (k, S) -> (k, S, A); 0 on empty rows."""
        result = self._raw_expectation(values)
        if self._divisor is not None:
            result /= self._divisor
        return result

    def push_forward(self, weights: FloatArray) -> FloatArray:
        """Sum over (s, a) of weights(s, a) P(.|s, a), (S, A) -> (S,)."""
        return self._raw_push_forward(weights if self._divisor is None else weights / self._divisor)

    def rows(self) -> sparse.csr_array:
        """Normalised probabilities as a sparse (S*A, S) matrix, row s*A + a."""
        rows = self.stored_rows()
        if self._divisor is not None:
            rows = sparse.csr_array(
                (
                    rows.data / np.repeat(self._divisor.ravel(), np.diff(rows.indptr)),
                    rows.indices,
                    rows.indptr,
                ),
                shape=rows.shape,
            )
        return rows

    def state_matrix(self, weights: FloatArray) -> FloatArray | sparse.csr_array:
        """Sum over a of weights(s, a) P(s'|s, a), (S, A) -> (S, S); dense for a dense kernel, else sparse."""
        size = self.num_states * self.num_joint_actions
        pointers = np.arange(0, size + 1, self.num_joint_actions)
        select = sparse.csr_array((weights.ravel(), np.arange(size), pointers), shape=(self.num_states, size))
        return sparse.csr_array(select @ self.rows())

    def sample(self, states: IntArray, joint_actions: IntArray, uniforms: FloatArray) -> IntArray:
        """Draw next states s' ~ P(.|s, a), all arguments and the result of shape (N,).

        Parameters
        ----------
        states, joint_actions
            Where, and what is played. A row without transitions is an error of the caller: what comes back for it
            means nothing.
        uniforms
            In [0, 1). Each picks the first s' whose cumulative probability is above it; never one of probability 0.

        Examples
        --------
        >>> import numpy as np
        >>> import mailopt as mo
        >>> kernel = mo.DenseKernel([[[0.0, 1.0]], [[0.5, 0.5]]])
        >>> kernel.sample(np.array([0, 1, 1]), np.array([0, 0, 0]), np.array([0.0, 0.4, 0.5]))
        array([1, 0, 1])
        """
        return self._sampler.draw(states * self.num_joint_actions + joint_actions, uniforms)

    def probability(self, states: IntArray, joint_actions: IntArray, following: IntArray) -> FloatArray:
        """Return P(s'|s, a), all arguments and the result of shape (N,); 0 on empty rows.

        Examples
        --------
        >>> import numpy as np
        >>> import mailopt as mo
        >>> kernel = mo.DeterministicKernel([[1], [1]])
        >>> kernel.probability(np.array([0, 0]), np.array([0, 0]), np.array([0, 1]))
        array([0., 1.])
        """
        stored = self._stored(states, joint_actions, following)
        return stored if self._divisor is None else stored / self._divisor[states, joint_actions]

    @cached_property
    def _sampler(self) -> RowSampler:
        return RowSampler.sparse(self.stored_rows())

    def _stored(self, states: IntArray, joint_actions: IntArray, following: IntArray) -> FloatArray:
        """Probabilities as stored."""
        rows = self.stored_rows()
        if not rows.nnz:
            return np.zeros(len(states))
        place = states * self.num_joint_actions + joint_actions
        end = rows.indptr[place + 1].astype(np.int64)
        found = first_above(rows.indices, rows.indptr[place].astype(np.int64), end, following - 1)
        inside = np.minimum(found, rows.nnz - 1)
        hit = (found < end) & (rows.indices[inside] == following)
        return np.where(hit, rows.data[inside], 0.0)

    def entries(self) -> Iterator[tuple[int, int, int, int | float | Fraction]]:
        """Yield (state, joint action, next state, probability as given) in row order."""
        rows = self.stored_rows()
        ends, places, data = rows.indptr.tolist(), rows.indices.tolist(), rows.data.tolist()
        for row, (start, end) in enumerate(pairwise(ends)):
            state, action = divmod(row, self.num_joint_actions)
            for following, value in zip(places[start:end], data[start:end], strict=True):
                exact = self.exact.get((state, action, following)) if self.exact else None
                yield state, action, following, value if exact is None else exact

    def __repr__(self) -> str:
        """Layout and size."""
        return (
            f"{type(self).__name__}({self.num_states} states, {self.num_joint_actions} joint actions, "
            f"{self.num_nonzeros} transitions)"
        )


class DenseKernel(TransitionKernel):
    """All probabilities in one array.

    Parameters
    ----------
    probabilities
        Shape (S, A, S): ``probabilities[s, a, s']``; floats, or exact numbers.
    """

    def __init__(self, probabilities: object) -> None:
        doubles, exact = read_numbers(probabilities, GAME, "transitions", AXES)
        if doubles.ndim != 3 or doubles.shape[0] != doubles.shape[2] or doubles.size == 0:
            raise GAME.shape(f"dense transitions have shape {doubles.shape}, expected (S, A, S), nothing empty")
        require_probabilities(doubles, GAME, "transitions", AXES)
        self.probabilities = doubles
        self._matrix = doubles.reshape(-1, doubles.shape[2])
        super().__init__(doubles.sum(axis=2), np.count_nonzero(doubles, axis=2), exact)
        self.summands = min(self.summands, _BLOCK + -(-self.num_states // _BLOCK))

    def _raw_expectation(self, values: FloatArray) -> FloatArray:
        product = values[:, :_BLOCK] @ self._matrix[:, :_BLOCK].T
        for start in range(_BLOCK, self.num_states, _BLOCK):
            product += values[:, start : start + _BLOCK] @ self._matrix[:, start : start + _BLOCK].T
        return np.asarray(product).reshape(-1, self.num_states, self.num_joint_actions)

    def _raw_push_forward(self, weights: FloatArray) -> FloatArray:
        return np.asarray(weights.ravel() @ self._matrix)

    @cached_property
    def _sampler(self) -> RowSampler:
        return RowSampler.dense(self._matrix)

    def _stored(self, states: IntArray, joint_actions: IntArray, following: IntArray) -> FloatArray:
        return np.asarray(self.probabilities[states, joint_actions, following])

    def stored_rows(self) -> sparse.csr_array:
        """See :class:`TransitionKernel`."""
        return sparse.csr_array(self._matrix)

    def state_matrix(self, weights: FloatArray) -> FloatArray:
        """See :class:`TransitionKernel`."""
        scaled = weights if self._divisor is None else weights / self._divisor
        return np.asarray(np.matmul(scaled[:, None, :], self.probabilities)[:, 0, :])


class SparseKernel(TransitionKernel):
    """Probabilities in a sparse matrix with one row for each state and joint action.

    Parameters
    ----------
    matrix
        Shape (S*A, S), any scipy sparse format, row s*A + a. Duplicate entries add up, as scipy has it.
    exact
        Exact rationals of entries that are not doubles, keyed (state, joint action, next state).
    """

    def __init__(self, matrix: sparse.sparray | sparse.spmatrix, *, exact: Mapping[Any, Fraction] = _NOTHING) -> None:
        if matrix.ndim != 2 or 0 in matrix.shape or matrix.shape[0] % matrix.shape[1]:
            raise GAME.shape(f"sparse transitions have shape {matrix.shape}, expected (S*A, S)")
        if matrix.dtype.kind not in "iuf":
            raise GAME.number(f"sparse transitions have dtype {matrix.dtype}; give floats or integers")
        rows = sparse.csr_array(matrix, dtype=np.float64, copy=True)
        rows.sum_duplicates()
        num_states = rows.shape[1]
        num_joint_actions = rows.shape[0] // num_states
        bad = np.flatnonzero(~(np.isfinite(rows.data) & (rows.data >= 0)))
        if bad.size:
            row = int(np.searchsorted(rows.indptr, bad[0], side="right")) - 1
            where = place(AXES, (*divmod(row, num_joint_actions), int(rows.indices[bad[0]])))
            raise GAME.number(
                f"transitions, {where}: {rows.data[bad[0]]} is no probability; it must be finite and >= 0"
            )
        rows.eliminate_zeros()
        for array in (rows.data, rows.indices, rows.indptr):
            array.setflags(write=False)
        _check_exact(rows, num_joint_actions, exact)
        self._rows = rows
        sums = np.asarray(rows.sum(axis=1)).reshape(num_states, num_joint_actions)
        super().__init__(sums, np.diff(rows.indptr), MappingProxyType(dict(exact)))

    def _raw_expectation(self, values: FloatArray) -> FloatArray:
        result = np.empty((len(values), self.num_states, self.num_joint_actions))
        for k, v in enumerate(values):
            result[k] = (self._rows @ v).reshape(result.shape[1:])
        return result

    def _raw_push_forward(self, weights: FloatArray) -> FloatArray:
        return np.asarray(self._rows.T @ weights.ravel())

    def stored_rows(self) -> sparse.csr_array:
        """See :class:`TransitionKernel`."""
        return self._rows


class DeterministicKernel(TransitionKernel):
    """One successor for each state and joint action.

    Parameters
    ----------
    successors
        Integer array of shape (S, A): the next state, or -1 for none (illegal joint actions only).
    """

    def __init__(self, successors: object) -> None:
        given = read_array(successors, GAME, "deterministic transitions")
        if given.ndim != 2 or given.dtype.kind not in "iu" or given.size == 0:
            raise GAME.shape(
                f"deterministic transitions have shape {given.shape} and dtype {given.dtype}, "
                f"expected integers of shape (S, A)"
            )
        num_states = given.shape[0]
        bad = np.argwhere((given < -1) | (given >= num_states))
        if bad.size:
            where = tuple(int(k) for k in bad[0])
            raise GAME.number(
                f"transitions, {place(AXES[:2], where)}: successor {given[where]} is not a state "
                f"(0 to {num_states - 1}, or -1 for none)"
            )
        self.successors: IntArray = given.astype(np.int64)
        self.successors.setflags(write=False)
        self._exists = self.successors >= 0
        self._targets = np.where(self._exists, self.successors, 0)
        super().__init__(self._exists.astype(np.float64), self._exists.astype(np.int64), _NOTHING)

    def _raw_expectation(self, values: FloatArray) -> FloatArray:
        result = np.take(values, self._targets, axis=1)
        if not self._exists.all():
            result *= self._exists
        return np.asarray(result)

    def _raw_push_forward(self, weights: FloatArray) -> FloatArray:
        moved = (weights * self._exists).ravel()
        return np.asarray(
            np.bincount(self._targets.ravel(), weights=moved, minlength=self.num_states), dtype=np.float64
        )

    def sample(self, states: IntArray, joint_actions: IntArray, uniforms: FloatArray) -> IntArray:
        """See :class:`TransitionKernel`; the uniforms make no difference."""
        return np.asarray(self.successors[states, joint_actions])

    def _stored(self, states: IntArray, joint_actions: IntArray, following: IntArray) -> FloatArray:
        return np.asarray(self.successors[states, joint_actions] == following, dtype=np.float64)

    def stored_rows(self) -> sparse.csr_array:
        """See :class:`TransitionKernel`."""
        exists = self._exists.ravel()
        indptr = np.concatenate([[0], np.cumsum(exists)])
        return sparse.csr_array(
            (np.ones(self.num_nonzeros), self._targets.ravel()[exists], indptr),
            shape=(exists.size, self.num_states),
        )


def _check_exact(rows: sparse.csr_array, num_joint_actions: int, exact: Mapping[Any, Fraction]) -> None:
    """Raise unless every exact rational stands beside its nearest double."""
    for index, fraction in exact.items():
        shape = (rows.shape[1], num_joint_actions, rows.shape[1])
        if len(index) != len(shape):
            raise GAME.number(f"transitions: {index} is no place; give (state, joint action, next state)")
        if not all(0 <= k < size for k, size in zip(index, shape, strict=True)):
            raise GAME.number(f"transitions, {place(AXES, index)}: an exact number outside of (S, A, S) = {shape}")
        state, action, following = index
        row = state * num_joint_actions + action
        start, end = int(rows.indptr[row]), int(rows.indptr[row + 1])
        k = start + int(np.searchsorted(rows.indices[start:end], following))
        stored = float(rows.data[k]) if k < end and rows.indices[k] == following else 0.0
        if float(fraction) != stored:
            raise GAME.number(f"transitions, {place(AXES, index)}: {fraction} stands beside another number, {stored}")


def kernel_from_entries(
    entries: Sequence[tuple[int, int, int, Number]], num_states: int, num_joint_actions: int
) -> TransitionKernel:
    """Choose the natural layout for a list of (state, joint action, next state, probability).

    Deterministic if every probability is 1 and no row has two successors, dense if at least a quarter of all
    entries are present, else sparse. Entries must be distinct and their indices in range.
    """
    if all(p == 1 for *_, p in entries) and len({(s, a) for s, a, _, _ in entries}) == len(entries):
        successors = np.full((num_states, num_joint_actions), -1, dtype=np.int64)
        for s, a, following, _ in entries:
            successors[s, a] = following
        return DeterministicKernel(successors)
    exact: dict[Index, Fraction] = {}
    data = np.empty(len(entries))
    for k, (s, a, following, p) in enumerate(entries):
        data[k], fraction = nearest_double(p, GAME, "transitions", AXES, (s, a, following))
        if fraction is not None:
            exact[s, a, following] = fraction
    indices = np.array([(s * num_joint_actions + a, t) for s, a, t, _ in entries], dtype=np.int64).reshape(-1, 2)
    kernel = SparseKernel(
        sparse.coo_array((data, (indices[:, 0], indices[:, 1])), shape=(num_states * num_joint_actions, num_states)),
        exact=exact,
    )
    if kernel.num_nonzeros < _DENSE_FROM * num_states * num_joint_actions * num_states:
        return kernel
    dense = kernel.stored_rows().toarray().reshape(num_states, num_joint_actions, num_states)
    return DenseKernel(as_given(dense, exact))
