"""Correlated policies: constructors against plain loops, exact numbers, and rejections that name the row."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mailopt as mo
from mailopt.errors import (
    IllegalAction,
    InvalidPolicy,
    MailoptError,
    PolicyDistribution,
    PolicyNumber,
    PolicyShape,
)

STATES, ACTIONS, JOINT, HORIZON = 2, (2, 3), 6, 3
NAN, INF = math.nan, math.inf
Array = npt.NDArray[Any]


def make_game(**changes: Any) -> mo.MarkovGame:
    """Two states, actions (2, 3), horizon 3."""
    arguments: dict[str, Any] = {
        "transitions": np.zeros((STATES, JOINT), dtype=int),
        "rewards": np.zeros((2, STATES, JOINT)),
        "initial": [0.5, 0.5],
        "actions": ACTIONS,
        "horizon": HORIZON,
    }
    return mo.MarkovGame(**arguments | changes)


def restricted() -> mo.MarkovGame:
    """The game in which agent 1 may not play 2 in state 1."""
    mask = np.ones((STATES, 3), dtype=bool)
    mask[1, 2] = False
    return make_game(legal=[None, mask])


def uniform() -> Array:
    return np.full((STATES, JOINT), 1 / JOINT)


def with_row(array: Array, index: tuple[int, ...], row: Any, dtype: Any = None) -> Array:
    result = np.array(array, dtype=dtype)
    result[index] = row
    return result


def fractions(policy: mo.CorrelatedPolicy) -> Array:
    """Every probability as the exact number it stands for."""
    result = np.empty(policy.probabilities.shape, dtype=object)
    for index, value in np.ndenumerate(policy.probabilities):
        result[index] = policy.exact.get(index, Fraction(float(value)))
    return result


# Construction


STEPS = np.tile(uniform(), (HORIZON, 1, 1))
ROW = [0.5, 0.5, 0.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("probabilities", "error", "message"),
    [
        pytest.param(with_row(uniform(), (1, 0), 1 / 6 + 1e-6), PolicyDistribution, "state 1", id="1e-6-too-large"),
        pytest.param(with_row(uniform(), (1, 0), 1 / 6 - 1e-6), PolicyDistribution, "state 1", id="1e-6-too-small"),
        pytest.param(with_row(uniform(), (1,), 0), PolicyDistribution, "state 1", id="zero-row"),
        pytest.param(with_row(STEPS, (2, 1), 0), PolicyDistribution, "step 2, state 1", id="zero-row-at-step"),
        pytest.param(
            with_row(uniform(), (1,), [-0.5, 1.5, 0, 0, 0, 0]),
            PolicyNumber,
            "state 1, joint action 0: -0.5",
            id="negative",
        ),
        pytest.param(
            with_row(STEPS, (2, 1), [0, -0.5, 1.5, 0, 0, 0]),
            PolicyNumber,
            "step 2, state 1, joint action 1: -0.5",
            id="negative-at-step",
        ),
        pytest.param(with_row(uniform(), (1, 3), NAN), PolicyNumber, "state 1, joint action 3: nan", id="nan"),
        pytest.param(with_row(uniform(), (1, 3), INF), PolicyNumber, "state 1, joint action 3: inf", id="inf"),
        pytest.param(
            with_row(uniform(), (1, 3), "x", object), PolicyNumber, "state 1, joint action 3: 'x'", id="string-entry"
        ),
        pytest.param(
            with_row(uniform(), (1, 3), True, object), PolicyNumber, "state 1, joint action 3: True", id="boolean-entry"
        ),
        pytest.param(
            with_row(uniform(), (1, 3), Fraction(-1, 3), object),
            PolicyNumber,
            "state 1, joint action 3",
            id="negative-fraction",
        ),
        pytest.param(
            with_row(uniform(), (1, 3), 10**400, object), PolicyNumber, "state 1, joint action 3", id="overflow"
        ),
        pytest.param([[True, False]], PolicyNumber, "bool", id="boolean"),
        pytest.param([["1", "0"]], PolicyNumber, "policy", id="strings"),
        pytest.param(np.ones((1, 1), dtype=complex), PolicyNumber, "complex", id="complex"),
        pytest.param([1.0], PolicyShape, r"\(1,\)", id="one-dimension"),
        pytest.param(1.0, PolicyShape, r"\(\)", id="scalar"),
        pytest.param(np.ones((1, 1, 1, 1)), PolicyShape, "4 dimensions", id="four-dimensions"),
        pytest.param([], PolicyShape, r"\(0,\)", id="empty"),
        pytest.param(np.zeros((0, 2)), PolicyShape, r"\(0, 2\)", id="no-states"),
        pytest.param(np.zeros((2, 0)), PolicyShape, r"\(2, 0\)", id="no-actions"),
        pytest.param(np.zeros((0, 2, 2)), PolicyShape, r"\(0, 2, 2\)", id="no-steps"),
        pytest.param([[1.0], [0.5, 0.5]], PolicyShape, "ragged", id="ragged"),
        pytest.param(None, InvalidPolicy, "policy", id="none"),
        pytest.param(NAN, InvalidPolicy, "policy", id="scalar-nan"),
    ],
)
def test_bad_probabilities(probabilities: Any, error: type[InvalidPolicy], message: str) -> None:
    with pytest.raises(error, match=message):
        mo.CorrelatedPolicy(probabilities)


def test_rows_off_by_less_than_the_tolerance_are_normalised() -> None:
    rows = [[0.5, 0.5 + 1e-10], [1 - 1e-10, 0.0], [0.25, 0.75]]
    policy = mo.CorrelatedPolicy(rows)
    assert policy.probabilities.tolist() == rows
    assert policy.at(0).tolist() == [[p / sum(row) for p in row] for row in rows]
    assert policy.at(0)[1].tolist() == [1.0, 0.0]


def test_input_is_copied_and_read_only() -> None:
    for given_ in (uniform(), STEPS.copy(), np.full((1, 2), 0.5 + 1e-11), np.full((1, 3), Fraction(1, 3))):
        policy = mo.CorrelatedPolicy(given_)
        before, exact = policy.probabilities.copy(), dict(policy.exact)
        given_[...] = 0
        np.testing.assert_array_equal(policy.probabilities, before)
        assert policy.exact == exact
        assert not policy.probabilities.flags.writeable
        assert not policy.at(0).flags.writeable
        with pytest.raises(TypeError):
            policy.exact[0, 0] = Fraction(1)  # type: ignore[index]


def test_stages() -> None:
    stationary, stepwise = mo.CorrelatedPolicy([[1.0, 0.0]]), mo.CorrelatedPolicy([[[1.0, 0.0]], [[0.0, 1.0]]])
    assert (stationary.num_steps, stepwise.num_steps) == (None, 2)
    assert [stationary.at(h).tolist() for h in (0, 9)] == [[[1.0, 0.0]]] * 2
    assert [stepwise.at(h).tolist() for h in (0, 1, 9)] == [[[1.0, 0.0]], [[0.0, 1.0]], [[0.0, 1.0]]]


def test_exact_rationals_are_kept() -> None:
    third = Fraction(1, 3)
    policy = mo.CorrelatedPolicy([[third, 1 - third], [Fraction(1, 4), 0.75]])
    assert dict(policy.exact) == {(0, 0): third, (0, 1): 1 - third}
    assert policy.probabilities.tolist() == [[1 / 3, 2 / 3], [0.25, 0.75]]


# Products


def naive_product(factors: list[Array], shape: tuple[int, ...]) -> Array:
    """Product of factors, each stationary or per step, by a loop; one row per index of ``shape``."""
    counts = [f.shape[-1] for f in factors]
    result = np.empty((*shape, math.prod(counts)), dtype=object)
    for lead in np.ndindex(*shape):
        rows = [f[lead] if f.ndim == len(shape) + 1 else f[lead[-1]] for f in factors]
        for k, profile in enumerate(itertools.product(*map(range, counts))):
            result[(*lead, k)] = math.prod(row[a] for row, a in zip(rows, profile, strict=True))
    return result


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(1, 3), st.booleans()), min_size=1, max_size=3), st.integers(0, 99), st.booleans())
def test_product(agents: list[tuple[int, bool]], seed: int, exact: bool) -> None:
    generator = np.random.default_rng(seed)
    factors: list[Array] = []
    for count, stepwise in agents:
        integers = generator.integers(1, 9, size=(HORIZON, STATES, count) if stepwise else (STATES, count))
        factor = np.vectorize(Fraction, otypes=[object])(integers)
        factor = factor / factor.sum(axis=-1, keepdims=True)
        factors.append(factor if exact else factor.astype(float))
    shape = (HORIZON, STATES) if any(stepwise for _, stepwise in agents) else (STATES,)
    policy = mo.CorrelatedPolicy.product(factors)
    expected = naive_product(factors, shape)
    if exact:
        assert (fractions(policy) == expected).all()
    np.testing.assert_allclose(policy.probabilities, expected.astype(float), rtol=1e-14, atol=0)


def test_product_of_fractions_that_doubles_hold_is_exact() -> None:
    small = Fraction(1, 2**53)
    policy = mo.CorrelatedPolicy.product([[[1 - small, small]], [[1 - small, small]]])
    assert fractions(policy).tolist() == [[(1 - small) ** 2, (1 - small) * small, (1 - small) * small, small**2]]


def test_product_of_one_exact_and_one_double_factor_is_exact() -> None:
    policy = mo.CorrelatedPolicy.product([[[Fraction(1, 3), Fraction(2, 3)]], [[0.25, 0.75]]])
    assert fractions(policy).tolist() == [[Fraction(n, 12) for n in (1, 3, 2, 6)]]


def test_product_of_an_array_of_factors() -> None:
    policy = mo.CorrelatedPolicy.product(np.full((2, 1, 2), 0.5))  # type: ignore[arg-type]
    assert policy.probabilities.tolist() == [[0.25] * 4]


def test_product_of_factors_within_the_tolerance() -> None:
    rows = [[0.5, 0.5 + 9e-10]]
    policy = mo.CorrelatedPolicy.product([rows, rows])
    np.testing.assert_allclose(policy.at(0), naive_product([np.array(rows)] * 2, (1,)).astype(float), rtol=3e-9)


@pytest.mark.parametrize(
    ("factors", "error", "message"),
    [
        pytest.param([], PolicyShape, "at least one", id="none"),
        pytest.param([[[0.5, 0.5]], [1.0]], PolicyShape, r"factor 1 .*\(1,\)", id="one-dimension"),
        pytest.param([[[0.5, 0.5]], 1.0], PolicyShape, "factor 1", id="scalar"),
        pytest.param([[[0.5, 0.5]], np.ones((1, 1, 1, 1))], PolicyShape, "factor 1 .*4", id="four-dimensions"),
        pytest.param([[[0.5, 0.5]], [[1.0], [0.5, 0.5]]], PolicyShape, "factor 1 .*ragged", id="ragged"),
        pytest.param([np.full((2, 2), 0.5), np.full((3, 2), 0.5)], PolicyShape, r"\(2, 2\).*\(3, 2\)", id="states"),
        pytest.param([np.full((2, 2, 2), 0.5), np.full((3, 2, 2), 0.5)], PolicyShape, r"\(3, 2, 2\)", id="steps"),
        pytest.param([np.full((2, 2), 0.5), np.full((2, 3, 2), 0.5)], PolicyShape, r"\(2, 3, 2\)", id="step-states"),
        pytest.param([np.zeros((0, 2)), np.zeros((0, 2))], PolicyShape, "empty", id="no-states"),
        pytest.param(
            [[[0.5, 0.5]], [[0.5, 0.6]]], PolicyDistribution, "factor 1.*state 0", id="row-not-a-distribution"
        ),
        pytest.param(
            [[[0.5, 0.5]], [[[0.5, 0.5]], [[0.5, 0.6]]]],
            PolicyDistribution,
            "factor 1.*step 1, state 0",
            id="row-at-step",
        ),
        pytest.param([[[0.5, 0.5]], [[1.5, -0.5]]], PolicyNumber, "factor 1, state 0, .*1: -0.5", id="negative"),
        pytest.param([[[NAN, 0.5]], [[0.5, 0.5]]], PolicyNumber, "factor 0, state 0, .*0: nan", id="nan"),
        pytest.param([[["1/2", Fraction(1, 2)]]], PolicyNumber, "factor 0", id="string"),
        pytest.param([None], InvalidPolicy, "factor 0", id="none-entry"),
    ],
)
def test_bad_product(factors: Any, error: type[InvalidPolicy], message: str) -> None:
    with pytest.raises(error, match=message):
        mo.CorrelatedPolicy.product(factors)


# Uniform and deterministic


def test_uniform_gives_legal_joint_actions_the_same_probability() -> None:
    game = restricted()
    policy = mo.CorrelatedPolicy.uniform(game)
    for state, k in np.ndindex(STATES, JOINT):
        legal = state == 0 or game.joint_action(k)[1] != 2
        assert policy.probabilities[state, k] == (1 / (6 if state == 0 else 4) if legal else 0.0)
    assert policy.num_steps is None
    policy.check(game)


@pytest.mark.parametrize(
    "joint_actions",
    [
        pytest.param([[1, 2], [0, 1]], id="stationary"),
        pytest.param([[[1, 2], [0, 1]], [[0, 0], [1, 1]], [[1, 0], [1, 1]]], id="per-step"),
        pytest.param(np.array([[1, 2], [0, 1]], dtype=np.uint8), id="uint8"),
    ],
)
def test_deterministic(joint_actions: Any) -> None:
    game = restricted()
    policy = mo.CorrelatedPolicy.deterministic(game, joint_actions)
    array = np.asarray(joint_actions)
    assert policy.probabilities.shape == (*array.shape[:-1], JOINT)
    for index in np.ndindex(*array.shape[:-1]):
        expected = np.zeros(JOINT)
        expected[game.joint_index([int(a) for a in array[index]])] = 1.0
        np.testing.assert_array_equal(policy.probabilities[index], expected)


@pytest.mark.parametrize(
    ("joint_actions", "error", "message"),
    [
        pytest.param([[0, 0]], PolicyShape, r"\(1, 2\).*\(2, 2\)", id="states"),
        pytest.param([[0, 0, 0]] * 2, PolicyShape, r"\(2, 3\)", id="agents"),
        pytest.param([0, 0], PolicyShape, r"\(2,\)", id="flat"),
        pytest.param(np.zeros((2, 2, 2), int), PolicyShape, "2 steps.*3", id="steps"),
        pytest.param(np.zeros((1, 3, 2, 2), int), PolicyShape, r"\(1, 3, 2, 2\)", id="four-dimensions"),
        pytest.param([[0.0, 0.0]] * 2, PolicyShape, "float64", id="floats"),
        pytest.param([[False, False]] * 2, PolicyShape, "bool", id="booleans"),
        pytest.param([[0, 0], [0]], PolicyShape, "joint actions", id="ragged"),
        pytest.param(None, PolicyShape, "joint actions", id="none"),
        pytest.param([[0, 0], [0, 3]], IllegalAction, "state 1, agent 1.*3", id="action-too-large"),
        pytest.param([[0, 0], [-1, 0]], IllegalAction, "state 1, agent 0.*-1", id="action-negative"),
        pytest.param(
            with_row(np.zeros((3, 2, 2), int), (2, 1, 0), 2), IllegalAction, "step 2, state 1, agent 0.*2", id="at-step"
        ),
        pytest.param([[0, 2], [1, 2]], IllegalAction, r"state 1.*\(1, 2\)", id="illegal"),
        pytest.param(
            with_row(np.zeros((3, 2, 2), int), (2, 1), [1, 2]),
            IllegalAction,
            r"step 2, state 1.*\(1, 2\)",
            id="illegal-at-step",
        ),
    ],
)
def test_bad_deterministic(joint_actions: Any, error: type[InvalidPolicy], message: str) -> None:
    with pytest.raises(error, match=message):
        mo.CorrelatedPolicy.deterministic(restricted(), joint_actions)


# Mixtures


def test_mixture_of_exact_weights_and_doubles_is_exact() -> None:
    first, second = mo.CorrelatedPolicy([[1.0, 0.0]]), mo.CorrelatedPolicy([[0.25, 0.75]])
    policy = mo.CorrelatedPolicy.mixture([first, second], [Fraction(1, 3), Fraction(2, 3)])
    assert fractions(policy).tolist() == [[Fraction(1, 2), Fraction(1, 2)]]
    policy = mo.CorrelatedPolicy.mixture([first, second], [Fraction(1, 7), Fraction(6, 7)])
    assert fractions(policy).tolist() == [[Fraction(5, 14), Fraction(9, 14)]]


def test_mixture_of_double_weights_and_exact_policies_is_exact() -> None:
    third = Fraction(1, 3)
    first, second = mo.CorrelatedPolicy([[third, 1 - third]]), mo.CorrelatedPolicy([[0.0, 1.0]])
    policy = mo.CorrelatedPolicy.mixture([first, second], [0.25, 0.75])
    assert fractions(policy).tolist() == [[Fraction(1, 12), Fraction(11, 12)]]


def test_mixture_of_stationary_and_stepwise() -> None:
    stationary = mo.CorrelatedPolicy([[1.0, 0.0], [0.0, 1.0]])
    stepwise = mo.CorrelatedPolicy([[[0.0, 1.0], [0.0, 1.0]], [[0.5, 0.5], [1.0, 0.0]]])
    policy = mo.CorrelatedPolicy.mixture([stationary, stepwise], [0.25, 0.75])
    assert policy.probabilities.tolist() == [[[0.25, 0.75], [0.0, 1.0]], [[0.625, 0.375], [0.75, 0.25]]]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.lists(st.floats(0.1, 1.0), min_size=3, max_size=3), min_size=1, max_size=4))
def test_mixture_is_linear(rows: list[list[float]]) -> None:
    policies = [mo.CorrelatedPolicy([np.array(row) / sum(row)]) for row in rows]
    weights = np.arange(1, len(rows) + 1) / sum(range(1, len(rows) + 1))
    mixed = mo.CorrelatedPolicy.mixture(policies, weights)
    expected = sum(w * p.at(0) for w, p in zip(weights, policies, strict=True))
    np.testing.assert_allclose(mixed.at(0), expected, rtol=1e-14)


def test_mixture_of_rows_and_weights_within_the_tolerance() -> None:
    rough = mo.CorrelatedPolicy([[0.5, 0.5 + 9e-10]])
    policy = mo.CorrelatedPolicy.mixture([rough, rough], [0.5, 0.5 + 9e-10])
    np.testing.assert_allclose(policy.at(0), rough.at(0), rtol=1e-15)


ONE, TWO_STATES = mo.CorrelatedPolicy([[0.5, 0.5]]), mo.CorrelatedPolicy([[0.5, 0.5]] * 2)


@pytest.mark.parametrize(
    ("policies", "weights", "error", "message"),
    [
        pytest.param([ONE, ONE], [1.0], PolicyShape, r"weights .*\(1,\).*\(2,\)", id="weight-missing"),
        pytest.param([ONE], [0.5, 0.5], PolicyShape, r"weights .*\(2,\).*\(1,\)", id="weight-too-many"),
        pytest.param([ONE], 1.0, PolicyShape, r"weights .*\(\)", id="scalar-weight"),
        pytest.param([ONE], [[1.0]], PolicyShape, "weights", id="weights-two-dimensions"),
        pytest.param([ONE, ONE], [0.5, 0.5 + 1e-6], PolicyDistribution, "weights", id="weights-sum"),
        pytest.param([ONE, ONE], [1.5, -0.5], PolicyNumber, "weights, policy 1: -0.5", id="negative-weight"),
        pytest.param([ONE, ONE], [0.5, NAN], PolicyNumber, "weights, policy 1: nan", id="nan-weight"),
        pytest.param([ONE, ONE], [True, False], PolicyNumber, "weights", id="boolean-weights"),
        pytest.param([ONE], None, InvalidPolicy, "weights", id="no-weights"),
        pytest.param([], [], PolicyShape, "at least one", id="no-policies"),
        pytest.param([ONE, TWO_STATES], [0.5, 0.5], PolicyShape, r"\(1, 2\).*\(2, 2\)", id="states"),
        pytest.param(
            [ONE, mo.CorrelatedPolicy([[0.5, 0.25, 0.25]])],
            [0.5, 0.5],
            PolicyShape,
            r"\(1, 2\).*\(1, 3\)",
            id="actions",
        ),
        pytest.param(
            [mo.CorrelatedPolicy([[[1.0]]] * 2), mo.CorrelatedPolicy([[[1.0]]] * 3)],
            [0.5, 0.5],
            PolicyShape,
            r"\(2, 1, 1\).*\(3, 1, 1\)",
            id="steps",
        ),
    ],
)
def test_bad_mixture(policies: Any, weights: Any, error: type[InvalidPolicy], message: str) -> None:
    with pytest.raises(error, match=message):
        mo.CorrelatedPolicy.mixture(policies, weights)


# Functions


@pytest.mark.parametrize("shape", [(JOINT,), ACTIONS], ids=["flat", "shaped"])
def test_from_function(shape: tuple[int, ...]) -> None:
    game = make_game()

    def row(seed: int) -> Array:
        return np.random.default_rng(seed).dirichlet(np.ones(JOINT)).reshape(shape)

    stationary = mo.CorrelatedPolicy.from_function(game, row)
    np.testing.assert_array_equal(stationary.probabilities, [row(s).ravel() for s in range(STATES)])
    stepwise = mo.CorrelatedPolicy.from_function(game, lambda h, s: row(10 * h + s), stationary=False)
    expected = [[row(10 * h + s).ravel() for s in range(STATES)] for h in range(HORIZON)]
    np.testing.assert_array_equal(stepwise.probabilities, expected)


def test_from_function_of_all_states_at_once() -> None:
    game = make_game()
    rng = np.random.default_rng(0)
    table = rng.dirichlet(np.ones(game.num_joint_actions), size=(HORIZON, STATES))
    batched = mo.CorrelatedPolicy.from_function(
        game, lambda h, states: table[h][states], stationary=False, batched=True
    )
    np.testing.assert_array_equal(batched.probabilities, table)
    shaped = mo.CorrelatedPolicy.from_function(
        game, lambda states: table[0][states].reshape(-1, *game.actions), batched=True
    )
    np.testing.assert_array_equal(shaped.probabilities, table[0])
    with pytest.raises(PolicyShape, match=r"policy, step 0, all states: the rows have shape \(1, "):
        mo.CorrelatedPolicy.from_function(game, lambda h, states: table[h][:1], stationary=False, batched=True)


def test_from_function_keeps_fractions() -> None:
    rows: dict[int, list[Any]] = {0: [1, 0, 0, 0, 0, 0], 1: [Fraction(1, 3), Fraction(2, 3), 0, 0, 0, 0]}
    policy = mo.CorrelatedPolicy.from_function(make_game(), rows.__getitem__)
    assert fractions(policy).tolist() == [rows[0], rows[1]]


@pytest.mark.parametrize(
    ("f", "error", "message"),
    [
        pytest.param(lambda s: [0.5, 0.5], PolicyShape, "2 joint actions.*6", id="too-few"),
        pytest.param(lambda s: [1.0] + [0.0] * (5 + s), PolicyShape, "policy", id="depends-on-state"),
        pytest.param(lambda s: [[0.5], [0.25, 0.25]], PolicyShape, "state 0|policy", id="ragged"),
        pytest.param(lambda s: [s * 1.0, 0, 0, 0, 0, 0], PolicyDistribution, "state 0", id="row"),
        pytest.param(lambda s: [1 + s, -s, 0, 0, 0, 0], PolicyNumber, "state 1, joint action 1", id="negative"),
        pytest.param(lambda s: None, InvalidPolicy, "state 0|policy", id="none"),
        pytest.param(lambda s: "x", InvalidPolicy, "policy", id="string"),
        pytest.param(lambda s: [0, 0, 1, 0, 0, 0], IllegalAction, r"state 1.*\(0, 2\)", id="illegal"),
    ],
)
def test_bad_function(f: Callable[..., Any], error: type[InvalidPolicy], message: str) -> None:
    game = restricted()
    with pytest.raises(error, match=message):
        mo.CorrelatedPolicy.from_function(game, f)


def test_bad_function_of_steps() -> None:
    with pytest.raises(PolicyDistribution, match="step 2, state 1"):
        mo.CorrelatedPolicy.from_function(
            make_game(), lambda h, s: [1 - (h == 2 and s == 1), 0, 0, 0, 0, 0], stationary=False
        )
    with pytest.raises(InvalidPolicy, match="discounted"):
        mo.CorrelatedPolicy.from_function(
            make_game(horizon=None, discount=0.5), lambda h, s: [1, 0, 0, 0, 0, 0], stationary=False
        )


# Marginals


def test_marginal() -> None:
    game = make_game()
    generator = np.random.default_rng(0)
    for shape in ((STATES,), (HORIZON, STATES)):
        rows = generator.dirichlet(np.ones(JOINT), size=shape) * (1 + 1e-10)
        policy = mo.CorrelatedPolicy(rows)
        for agent, n in enumerate(ACTIONS):
            expected = np.zeros((*shape, n))
            for *lead, k in np.ndindex(*rows.shape):
                row = rows[tuple(lead)]
                expected[(*lead, game.joint_action(k)[agent])] += row[k] / row.sum()
            np.testing.assert_allclose(policy.marginal(agent, game), expected, rtol=1e-14)


def test_marginals_of_a_product_are_its_factors() -> None:
    generator = np.random.default_rng(1)
    factors = [generator.dirichlet(np.ones(n), size=STATES) for n in ACTIONS]
    policy = mo.CorrelatedPolicy.product(factors)
    for agent, factor in enumerate(factors):
        np.testing.assert_allclose(policy.marginal(agent, make_game()), factor, rtol=1e-14)


def test_marginal_on_a_game_that_does_not_fit() -> None:
    with pytest.raises(PolicyShape, match="joint actions"):
        mo.CorrelatedPolicy([[0.5, 0.5]]).marginal(0, make_game())


# Fit to a game


@pytest.mark.parametrize(
    ("probabilities", "changes", "error", "message"),
    [
        pytest.param(uniform()[:1], {}, PolicyShape, "1 states.*2", id="states"),
        pytest.param(np.full((2, 4), 0.25), {}, PolicyShape, "4 joint actions.*6", id="actions"),
        pytest.param(np.tile(uniform(), (2, 1, 1)), {}, PolicyShape, "2 steps.*3", id="too-few-steps"),
        pytest.param(np.tile(uniform(), (4, 1, 1)), {}, PolicyShape, "4 steps.*3", id="too-many-steps"),
        pytest.param(
            with_row(np.tile([1.0, 0, 0, 0, 0, 0], (2, 1)), (1,), [0.5, 0, 0, 0, 0, 0.5]),
            {"legal": "restricted"},
            IllegalAction,
            r"state 1: joint action \(1, 2\).*0\.5",
            id="illegal",
        ),
        pytest.param(
            with_row(np.tile([1.0, 0, 0, 0, 0, 0], (3, 2, 1)), (2, 1), [1 - 1e-300, 0, 1e-300, 0, 0, 0]),
            {"legal": "restricted"},
            IllegalAction,
            r"step 2, state 1: joint action \(0, 2\).*1e-300",
            id="illegal-at-step",
        ),
    ],
)
def test_policy_that_does_not_fit(
    probabilities: Array, changes: dict[str, Any], error: type[MailoptError], message: str
) -> None:
    game = restricted() if changes else make_game()
    policy = mo.CorrelatedPolicy(probabilities)
    with pytest.raises(error, match=message):
        policy.check(game)
    with pytest.raises(error, match=message):
        mo.regret(game, policy)


@pytest.mark.parametrize(
    ("probabilities", "changes"),
    [
        pytest.param(uniform(), {}, id="stationary"),
        pytest.param(STEPS, {}, id="per-step"),
        pytest.param(uniform(), {"horizon": None, "discount": 0.5}, id="discounted"),
        pytest.param(STEPS, {"horizon": None, "discount": 0.5}, id="discounted-per-step"),
    ],
)
def test_policy_that_fits(probabilities: Array, changes: dict[str, Any]) -> None:
    mo.CorrelatedPolicy(probabilities).check(make_game(**changes))
