"""The three transition layouts against each other and against plain loops."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from mailopt.errors import GameNumber, GameShape, InvalidGame
from mailopt.games.kernels import (
    DenseKernel,
    DeterministicKernel,
    SparseKernel,
    TransitionKernel,
    kernel_from_entries,
)

Array = npt.NDArray[np.float64]
CLOSE: dict[str, Any] = {"rtol": 1e-13, "atol": 1e-13}
OFF = 1e-10


@st.composite
def stochastic(draw: st.DrawFn) -> Array:
    """Probabilities (S, A, S): rows sparse or dense, exact or off by 1e-10, some of them empty."""
    num_states, num_joint = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows = generator.random((num_states, num_joint, num_states)) + 0.01
    rows *= generator.random(rows.shape) < draw(st.sampled_from([0.3, 1.0]))
    total = rows.sum(axis=2, keepdims=True)
    rows = np.divide(rows, total, out=np.zeros_like(rows), where=total > 0)
    if draw(st.booleans()):
        rows *= 1 + OFF * generator.uniform(-1, 1, size=total.shape)
    if draw(st.booleans()):
        rows *= generator.random(total.shape) < 0.7
    return np.asarray(rows)


@st.composite
def successor_tables(draw: st.DrawFn) -> npt.NDArray[np.int64]:
    num_states, num_joint = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    entries = draw(
        st.lists(st.integers(-1, num_states - 1), min_size=num_states * num_joint, max_size=num_states * num_joint)
    )
    return np.array(entries, dtype=np.int64).reshape(num_states, num_joint)


def layouts(rows: Array) -> list[TransitionKernel]:
    """Every layout that can hold these probabilities."""
    num_states, num_joint = rows.shape[:2]
    flat = rows.reshape(-1, num_states)
    entries = [(int(s), int(a), int(t), float(rows[s, a, t])) for s, a, t in np.argwhere(rows > 0)]
    kernels: list[TransitionKernel] = [
        DenseKernel(rows),
        DenseKernel(rows.tolist()),
        SparseKernel(sparse.csr_array(flat)),
        SparseKernel(sparse.coo_array(flat)),
        SparseKernel(sparse.csc_matrix(flat)),
    ]
    if entries:
        kernels.append(kernel_from_entries(entries, num_states, num_joint))
    if set(np.unique(rows)) <= {0.0, 1.0}:
        kernels.append(DeterministicKernel(np.where(rows.any(axis=2), rows.argmax(axis=2), -1)))
    return kernels


def normalised(rows: Array) -> Array:
    """Each row over its sum, empty rows as they are, by a loop."""
    result = np.zeros_like(rows)
    for index in np.ndindex(rows.shape[:2]):
        if rows[index].any():
            result[index] = rows[index] / rows[index].sum()
    return result


def check_agreement(rows: Array, seed: int) -> None:
    num_states, num_joint = rows.shape[:2]
    generator = np.random.default_rng(seed)
    values = generator.normal(size=(3, num_states))
    weights = generator.normal(size=(num_states, num_joint))
    true = normalised(rows)
    for kernel in layouts(rows):
        assert (kernel.num_states, kernel.num_joint_actions) == (num_states, num_joint)
        assert kernel.num_nonzeros == np.count_nonzero(rows)
        np.testing.assert_allclose(kernel.row_sums, rows.sum(axis=2), **CLOSE)
        np.testing.assert_array_equal(kernel.row_sums == 0, ~rows.any(axis=2))
        np.testing.assert_array_equal(kernel.stored_rows().toarray(), rows.reshape(-1, num_states))
        np.testing.assert_allclose(kernel.rows().toarray(), true.reshape(-1, num_states), **CLOSE)
        expectation = kernel.expectation(values)
        assert expectation.shape == (3, num_states, num_joint)
        np.testing.assert_allclose(expectation, np.einsum("sat,kt->ksa", true, values), **CLOSE)
        pushed = kernel.push_forward(weights)
        assert pushed.shape == (num_states,)
        np.testing.assert_allclose(pushed, np.einsum("sa,sat->t", weights, true), **CLOSE)
        matrix = kernel.state_matrix(weights)
        dense = matrix if isinstance(matrix, np.ndarray) else matrix.toarray()
        np.testing.assert_allclose(dense, np.einsum("sa,sat->st", weights, true), **CLOSE)
        assert list(kernel.entries()) == [
            (*(int(k) for k in index), rows[tuple(index)]) for index in np.argwhere(rows > 0)
        ]
        for value in values:  # <w, E[v]> = <push(w), v>
            np.testing.assert_allclose((weights * kernel.expectation(value[None])[0]).sum(), pushed @ value, **CLOSE)


@settings(deadline=None, max_examples=100)
@given(stochastic(), st.integers(0, 2**32 - 1))
def test_layouts_agree(rows: Array, seed: int) -> None:
    check_agreement(rows, seed)


@settings(deadline=None, max_examples=100)
@given(successor_tables(), st.integers(0, 2**32 - 1))
def test_deterministic_agrees(successors: npt.NDArray[np.int64], seed: int) -> None:
    rows = np.zeros((*successors.shape, successors.shape[0]))
    for (s, a), t in np.ndenumerate(successors):
        if t >= 0:
            rows[s, a, t] = 1.0
    assert any(isinstance(kernel, DeterministicKernel) for kernel in layouts(rows))
    check_agreement(rows, seed)


def test_rows_off_by_1e_10_are_normalised_and_kept() -> None:
    rows = np.array([[[0.5, 0.5 + OFF], [0.0, 0.0]], [[1 - OFF, 0.0], [0.25, 0.75]]])
    check_agreement(rows, 0)
    for kernel in layouts(rows):
        np.testing.assert_array_equal(kernel.expectation(np.ones((1, 2)))[0], [[1.0, 0.0], [1.0, 1.0]])


@pytest.mark.parametrize("order", ["C", "F", "strided"])
def test_memory_layout_of_arguments_does_not_matter(order: str) -> None:
    generator = np.random.default_rng(0)
    rows = generator.dirichlet(np.ones(4), size=(4, 3))
    weights, values = generator.random((4, 3)), generator.random((2, 4))
    if order == "strided":
        moved = np.repeat(weights, 2, axis=1)[:, ::2], np.repeat(values, 2, axis=1)[:, ::2]
    else:
        moved = np.array(weights, order=order), np.array(values, order=order)  # type: ignore[call-overload]
    for kernel in layouts(rows):
        np.testing.assert_allclose(kernel.push_forward(moved[0]), kernel.push_forward(weights), **CLOSE)
        np.testing.assert_allclose(kernel.expectation(moved[1]), kernel.expectation(values), **CLOSE)
        first, second = kernel.state_matrix(moved[0]), kernel.state_matrix(weights)
        np.testing.assert_allclose((first - second).sum(), 0, atol=1e-13)


def test_operations_do_not_change_their_arguments() -> None:
    rows = np.array([[[0.5, 0.5 + OFF], [0.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]])
    for kernel in layouts(rows):
        weights, values = np.full((2, 2), 0.5), np.full((1, 2), 2.0)
        kernel.push_forward(weights)
        kernel.state_matrix(weights)
        kernel.expectation(values)
        kernel.rows().data[:] = 7
        np.testing.assert_array_equal(weights, 0.5)
        np.testing.assert_array_equal(values, 2.0)
        np.testing.assert_array_equal(kernel.stored_rows().toarray(), rows.reshape(-1, 2))


def test_no_value_functions() -> None:
    for kernel in [*layouts(np.ones((1, 2, 1))), *layouts(np.full((2, 2, 2), 0.5))]:
        assert kernel.expectation(np.zeros((0, kernel.num_states))).shape == (0, kernel.num_states, 2)


def test_duplicate_sparse_entries_add_up() -> None:
    matrix = sparse.coo_array(([0.25, 0.5, 0.25, 1.0], ([0, 0, 0, 1], [0, 1, 0, 1])), shape=(2, 2))
    kernel = SparseKernel(matrix)
    assert kernel.num_nonzeros == 3
    assert kernel.rows().toarray().tolist() == [[0.5, 0.5], [0.0, 1.0]]


def test_explicit_zeros_are_no_transitions() -> None:
    matrix = sparse.csr_array((np.array([1.0, 0.0, 1.0]), np.array([0, 1, 1]), np.array([0, 2, 3])), shape=(2, 2))
    kernel = SparseKernel(matrix)
    assert kernel.num_nonzeros == 2
    assert list(kernel.entries()) == [(0, 0, 0, 1.0), (1, 0, 1, 1.0)]


# Exact numbers


def test_exact_entries() -> None:
    third = Fraction(1, 3)
    rows: npt.NDArray[Any] = np.empty((2, 1, 2), dtype=object)
    rows[0, 0], rows[1, 0] = [third, 1 - third], [0.25, 0.75]
    flat = sparse.csr_array(rows.astype(float).reshape(2, 2))
    exact = {(0, 0, 0): third, (0, 0, 1): 1 - third}
    for kernel in (DenseKernel(rows), SparseKernel(flat, exact=exact)):
        assert dict(kernel.exact) == exact
        assert list(kernel.entries()) == [(0, 0, 0, third), (0, 0, 1, 1 - third), (1, 0, 0, 0.25), (1, 0, 1, 0.75)]
        with pytest.raises(TypeError):
            kernel.exact[0, 0, 0] = Fraction(1)  # type: ignore[index]


@pytest.mark.parametrize(
    ("index", "value", "place"),
    [
        pytest.param((0, 0, 0), Fraction(1, 7), "state 0, joint action 0, next state 0", id="other-number"),
        pytest.param((0, 0, 1), Fraction(1, 3), "state 0, joint action 0, next state 1", id="not-stored"),
        pytest.param((0, 1, 0), Fraction(1, 3), "joint action 1", id="action-out-of-range"),
        pytest.param((0, -1, 0), Fraction(1, 3), "joint action -1", id="action-negative"),
        pytest.param((2, 0, 0), Fraction(1, 3), "state 2", id="state-out-of-range"),
        pytest.param((-2, 0, 0), Fraction(1, 3), "state -2", id="state-negative"),
        pytest.param((0, 0, 2), Fraction(1, 3), "next state 2", id="next-state-out-of-range"),
        pytest.param((0, 0, -2), Fraction(1, 3), "next state -2", id="next-state-negative"),
        pytest.param((0, 0), Fraction(1, 3), "transitions", id="index-too-short"),
    ],
)
def test_exact_entry_that_is_not_stored(index: tuple[int, ...], value: Fraction, place: str) -> None:
    flat = sparse.csr_array([[1 / 3, 0.0], [1.0, 0.0]])
    with pytest.raises(InvalidGame, match=place):
        SparseKernel(flat, exact={index: value})


# Choice of layout


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        pytest.param([(0, 0, 1, 1), (1, 0, 0, 1.0), (2, 0, 2, Fraction(1))], DeterministicKernel, id="deterministic"),
        pytest.param([(0, 0, 1, 1), (0, 0, 2, 1), (1, 0, 0, 1)], DenseKernel, id="two-successors"),
        pytest.param([(0, 0, 1, Fraction(1, 3)), (0, 0, 0, Fraction(2, 3)), (1, 0, 0, 1)], DenseKernel, id="dense"),
        pytest.param([(0, 0, 1, 0.5), (0, 0, 0, 0.5)], SparseKernel, id="sparse"),
        pytest.param([(0, 0, 1, Fraction(1, 3)), (0, 0, 0, Fraction(2, 3))], SparseKernel, id="sparse-exact"),
    ],
)
def test_layout_of_entries(entries: list[tuple[int, int, int, Any]], expected: type[TransitionKernel]) -> None:
    kernel = kernel_from_entries(entries, 3, 1)
    assert type(kernel) is expected
    assert list(kernel.entries()) == sorted(entries)


# Bad input


@pytest.mark.parametrize(
    ("matrix", "error", "message"),
    [
        pytest.param(sparse.csr_array((5, 2)), GameShape, r"\(5, 2\)", id="rows-not-a-multiple"),
        pytest.param(sparse.csr_array((0, 2)), GameShape, r"\(0, 2\)", id="no-rows"),
        pytest.param(sparse.csr_array((2, 0)), GameShape, r"\(2, 0\)", id="no-columns"),
        pytest.param(sparse.csr_array([[1.0], [-1e-300]]), GameNumber, "joint action 1, next state 0", id="negative"),
        pytest.param(sparse.csr_array([[1.0], [np.nan]]), GameNumber, "joint action 1, next state 0: nan", id="nan"),
        pytest.param(sparse.csr_array([[1.0], [np.inf]]), GameNumber, "joint action 1, next state 0: inf", id="inf"),
        pytest.param(sparse.csr_array([[1.0 + 1j]]), GameNumber, "complex", id="complex"),
        pytest.param(sparse.csr_array([[True]]), GameNumber, "bool", id="boolean"),
        pytest.param(sparse.coo_array(np.ones(2)), GameShape, r"\(2,\)", id="one-dimension"),
    ],
)
def test_bad_sparse_matrix(matrix: Any, error: type[InvalidGame], message: str) -> None:
    with pytest.raises(error, match=message):
        SparseKernel(matrix)


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        pytest.param([[0.5, 0.5]], GameShape, r"\(1, 2\)", id="two-dimensions"),
        pytest.param(np.ones((1, 1, 2)), GameShape, r"\(1, 1, 2\)", id="not-square"),
        pytest.param(np.ones((2, 2, 2, 2)), GameShape, "4 dimensions", id="four-dimensions"),
        pytest.param([[[1.0], [1.0, 0.0]]], GameShape, "ragged", id="ragged"),
        pytest.param([[[True]]], GameNumber, "bool", id="boolean"),
        pytest.param([[[1.0], [-0.5]]], GameNumber, "state 0, joint action 1, next state 0: -0.5", id="negative"),
        pytest.param(None, InvalidGame, "transitions", id="none"),
    ],
)
def test_bad_dense_rows(rows: Any, error: type[InvalidGame], message: str) -> None:
    with pytest.raises(error, match=message):
        DenseKernel(rows)


@pytest.mark.parametrize(
    ("successors", "error", "message"),
    [
        pytest.param([0, 0], GameShape, r"\(2,\)", id="one-dimension"),
        pytest.param([[0.0]], GameShape, "float64", id="floats"),
        pytest.param([[False]], GameShape, "bool", id="boolean"),
        pytest.param([[2**70]], GameShape, "object", id="huge"),
        pytest.param([[0, 1]], GameNumber, "state 0, joint action 1: successor 1", id="out-of-range"),
        pytest.param([[0, -2]], GameNumber, "state 0, joint action 1: successor -2", id="negative"),
        pytest.param([[0], [0, 1]], GameShape, "ragged", id="ragged"),
    ],
)
def test_bad_successors(successors: Any, error: type[InvalidGame], message: str) -> None:
    with pytest.raises(error, match=message):
        DeterministicKernel(successors)
