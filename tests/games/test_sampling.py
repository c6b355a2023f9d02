"""Draws from kernels and policies against loops over cumulative sums, in every layout and at every edge."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from scipy import sparse

import mailopt as mo
from mailopt.errors import InvalidOption
from mailopt.games.sampling import RowSampler, first_above, random_generator, read_count, read_steps
from tests.games.test_kernels import Array, layouts, normalised, stochastic
from tests.random_games import random_case

NEXT_TO_1 = float(np.nextafter(1.0, 0.0))


def drawn_by_loop(row: Array, uniform: float) -> int:
    """First entry whose cumulative sum is above the uniform, the last positive one if rounding leaves none."""
    total = 0.0
    for p in row:
        total += p
    above, reached = uniform * total, 0.0
    for k, p in enumerate(row):
        reached += p
        if reached > above:
            return k
    return int(np.flatnonzero(row)[-1])


def edges(row: Array) -> list[float]:
    """Uniforms at and beside every jump of the cumulative sums, at 0 and next to 1."""
    jumps = np.cumsum(row / row.sum())
    near = np.concatenate([jumps, np.nextafter(jumps, 0.0), np.nextafter(jumps, 2.0), [0.0, 5e-324, 0.5, NEXT_TO_1]])
    return sorted({float(u) for u in near if 0.0 <= u < 1.0})


@settings(deadline=None, max_examples=60)
@given(stochastic())
def test_every_layout_draws_what_a_loop_draws(rows: Array) -> None:
    asked = [(s, a, u) for s, a in np.argwhere(rows.any(axis=2)).tolist() for u in edges(rows[s, a])]
    if not asked:
        return
    states, joint = np.array([s for s, _, _ in asked]), np.array([a for _, a, _ in asked])
    uniforms = np.array([u for _, _, u in asked])
    expected = [drawn_by_loop(rows[s, a], u) for s, a, u in asked]
    assert (rows[states, joint, expected] > 0).all()
    for kernel in layouts(rows):
        np.testing.assert_array_equal(kernel.sample(states, joint, uniforms), expected)
        for k in range(min(5, len(asked))):
            one = slice(k, k + 1)
            assert kernel.sample(states[one], joint[one], uniforms[one]).tolist() == expected[one]


@settings(deadline=None, max_examples=60)
@given(stochastic())
def test_probabilities_are_the_normalised_rows(rows: Array) -> None:
    true = normalised(rows)
    states, joint, following = (axis.ravel() for axis in np.indices(rows.shape))
    for kernel in layouts(rows):
        found = kernel.probability(states, joint, following).reshape(rows.shape)
        np.testing.assert_allclose(found, true, rtol=1e-15, atol=0)
        np.testing.assert_array_equal(found == 0, rows == 0)


@pytest.mark.parametrize("off", [0.0, 5e-10, -5e-10])
def test_quantiles_are_hit_as_often_as_they_should_be(off: float) -> None:
    """Equally spaced uniforms: a count differs from its share by less than one. No chance, no tolerance to choose."""
    generator = np.random.default_rng(3)
    rows = generator.dirichlet(np.full(9, 0.3), size=(9, 2)) * (generator.random((9, 2, 9)) < 0.6)
    rows[..., 4] += 0.01
    rows = rows / rows.sum(axis=2, keepdims=True) * (1 + off)
    count = 2000
    uniforms = (np.arange(count) + 0.5) / count
    for kernel in layouts(rows):
        for s, a in product(range(9), range(2)):
            drawn = kernel.sample(np.full(count, s), np.full(count, a), uniforms)
            hits = np.bincount(drawn, minlength=9)
            assert (np.abs(hits - count * rows[s, a] / rows[s, a].sum()) <= 1 + 1e-6).all()


@pytest.mark.parametrize(
    ("row", "uniform", "expected"),
    [
        pytest.param([0.0, 0.0, 1.0], 0.0, 2, id="zeros-in-front-at-0"),
        pytest.param([0.0, 1.0 - 5e-10, 0.0], NEXT_TO_1, 1, id="short-row-next-to-1"),
        pytest.param([0.0, 1.0 + 5e-10, 0.0], NEXT_TO_1, 1, id="long-row-next-to-1"),
        pytest.param([0.5, 0.0, 0.5], 0.5, 2, id="at-a-jump"),
        pytest.param([0.5, 0.0, 0.5], float(np.nextafter(0.5, 0.0)), 0, id="before-a-jump"),
        pytest.param([5e-324, 1.0, 0.0], 0.0, 0, id="smallest-double-at-0"),
        pytest.param([1.0, 5e-324, 0.0], NEXT_TO_1, 0, id="smallest-double-behind-1"),
        pytest.param([0.1] * 10 + [0.0], NEXT_TO_1, 9, id="tenths"),
    ],
)
def test_edges(row: list[float], uniform: float, expected: int) -> None:
    size = len(row)
    rows = np.zeros((size, 1, size))
    rows[:, 0, 0] = 1.0
    rows[1, 0] = row
    for kernel in layouts(rows):
        assert kernel.sample(np.array([1, 1]), np.array([0, 0]), np.full(2, uniform)).tolist() == [expected] * 2
        assert kernel.sample(np.array([1]), np.array([0]), np.array([uniform])).tolist() == [expected]


def test_rounding_that_leaves_none_picks_the_last_positive_entry() -> None:
    """The smallest double times a number next to 1 is itself, so that no cumulative sum is above it."""
    rows = np.array([[0.0, 5e-324, 0.0], [1.0, 0.0, 0.0]])
    for sampler in (RowSampler.dense(rows), RowSampler.sparse(sparse.csr_array(rows))):
        assert sampler.draw(np.array([0, 0, 1]), np.array([NEXT_TO_1, 0.0, NEXT_TO_1])).tolist() == [1, 1, 0]
        assert sampler.draw(np.array([0]), np.array([NEXT_TO_1])).tolist() == [1]


def test_empty_rows_have_probability_0() -> None:
    nothing = np.zeros((2, 2, 2))
    one = nothing.copy()
    one[0, 1, 1] = 1.0
    for rows in (nothing, one):
        places = [axis.ravel() for axis in np.indices(rows.shape)]
        for kernel in (
            mo.DenseKernel(rows),
            mo.SparseKernel(sparse.csr_array(rows.reshape(4, 2))),
            mo.DeterministicKernel(np.where(rows.any(axis=2), rows.argmax(axis=2), -1)),
        ):
            np.testing.assert_array_equal(kernel.probability(*places).reshape(rows.shape), rows)


@pytest.mark.parametrize("layout", [mo.DenseKernel, lambda rows: mo.SparseKernel(sparse.csr_array(rows.reshape(4, 2)))])
def test_cumulative_sums_are_made_once_and_when_needed(layout: Any) -> None:
    kernel = layout(np.full((2, 2, 2), 0.5))
    kernel.probability(*np.zeros((3, 1), dtype=int))
    assert "_sampler" not in vars(kernel)
    kernel.sample(*np.zeros((2, 1), dtype=int), np.zeros(1))
    kept = vars(kernel)["_sampler"]
    kernel.sample(*np.zeros((2, 1), dtype=int), np.zeros(1))
    assert vars(kernel)["_sampler"] is kept


@pytest.mark.parametrize("seed", range(12))
def test_policies_draw_what_a_loop_draws(seed: int) -> None:
    case = random_case(seed)
    game, policy = case.game, case.policy
    generator = np.random.default_rng(seed)
    count = 300
    steps = generator.integers(0, (policy.num_steps or 1) + 2, count)
    states, uniforms = generator.integers(0, game.num_states, count), generator.random(count)
    uniforms[:20], uniforms[20:40] = 0.0, NEXT_TO_1
    rows = policy.probabilities if policy.num_steps is not None else policy.probabilities[None]
    expected = [
        drawn_by_loop(rows[min(h, len(rows) - 1), s], u) for h, s, u in zip(steps, states, uniforms, strict=True)
    ]
    np.testing.assert_array_equal(policy.sample(steps, states, uniforms), expected)
    assert game.joint_legal[states, expected].all()
    for h in np.unique(steps):
        here = steps == h
        np.testing.assert_array_equal(policy.sample(int(h), states[here], uniforms[here]), np.array(expected)[here])


def test_long_and_short_rows_lie_side_by_side() -> None:
    """Sparse cumulative sums are made position by position over all rows at once."""
    generator = np.random.default_rng(1)
    lengths = [7, 1, 0, 30, 2, 2, 13, 0, 1]
    rows = np.zeros((len(lengths), 30))
    for row, length in zip(rows, lengths, strict=True):
        row[generator.choice(30, length, replace=False)] = generator.dirichlet(np.ones(length)) if length else 0
    full = np.flatnonzero(rows.any(axis=1))
    asked = np.repeat(full, 200)
    uniforms = generator.random(asked.size)
    found = [
        sampler.draw(asked, uniforms) for sampler in (RowSampler.dense(rows), RowSampler.sparse(sparse.csr_array(rows)))
    ]
    for drawn in found:
        assert drawn.tolist() == [drawn_by_loop(rows[r], u) for r, u in zip(asked, uniforms, strict=True)]


def test_first_above_is_the_same_alone_and_together() -> None:
    generator = np.random.default_rng(2)
    values = np.sort(generator.integers(0, 12, 40))
    ends = np.sort(generator.integers(0, 40, (200, 2)), axis=1)
    targets = generator.integers(-1, 13, 200)
    together = first_above(values, ends[:, 0], ends[:, 1], targets)
    for (low, high), target, found in zip(ends, targets, together, strict=True):
        assert found == next((k for k in range(low, high) if values[k] > target), high)
        alone = first_above(values, np.array([low]), np.array([high]), np.array([target]))
        assert alone.tolist() == [found]
    assert any(low == high for low, high in ends.tolist())


def test_seeds_and_counts() -> None:
    generator = np.random.default_rng(5)
    assert random_generator(generator) is generator
    assert random_generator(np.int64(5)).random() == np.random.default_rng(5).random()
    for bad in (None, -1, 1.0, True, "0"):
        with pytest.raises(InvalidOption, match=r"seed is .*; give an integer of at least 0"):
            random_generator(bad)
    assert read_count(np.int32(3), "episodes") == 3
    for bad in (None, 0, 1.0, True, "1"):
        with pytest.raises(InvalidOption, match=r"episodes is .*; give an integer of at least 1"):
            read_count(bad, "episodes")
    assert (read_steps(3, None), read_steps(None, 7)) == (3, 7)
    with pytest.raises(InvalidOption, match="no last step; give the length"):
        read_steps(None, None)
    with pytest.raises(InvalidOption, match="steps is 0"):
        read_steps(None, 0)
    with pytest.raises(InvalidOption, match="steps is 3, but the game has horizon 3"):
        read_steps(3, 3)


def test_arrays_of_the_caller_are_left_alone() -> None:
    states, joint, uniforms = np.array([0, 1]), np.array([0, 0]), np.array([0.2, 0.9])
    kept: list[npt.NDArray[Any]] = [array.copy() for array in (states, joint, uniforms)]
    kernel = mo.DenseKernel(np.full((2, 1, 2), 0.5))
    kernel.sample(states, joint, uniforms)
    kernel.probability(states, joint, states)
    mo.CorrelatedPolicy([[0.5, 0.5], [1.0, 0.0]]).sample(joint, states, uniforms)
    for array, before in zip((states, joint, uniforms), kept, strict=True):
        np.testing.assert_array_equal(array, before)
