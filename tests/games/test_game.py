"""Construction of Markov games: what is rejected and how, what is copied, kept exact and reshaped."""

from __future__ import annotations

import dataclasses
import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import mailopt as mo
from mailopt.errors import (
    GameDistribution,
    GameNumber,
    GameShape,
    InvalidGame,
    InvalidHorizon,
    MailoptError,
    MissingTransition,
)

STATES, ACTIONS, JOINT, HORIZON = 2, (2, 3), 6, 3
NAN, INF = math.nan, math.inf
Array = npt.NDArray[Any]


def probabilities() -> Array:
    """Dense transitions of the base game; every row is (1/4, 3/4)."""
    return np.tile([0.25, 0.75], (STATES, JOINT, 1))


def base(**changes: Any) -> dict[str, Any]:
    """Arguments of a valid game, with some replaced; None for horizon drops it."""
    arguments: dict[str, Any] = {
        "transitions": probabilities(),
        "rewards": np.zeros((2, STATES, JOINT)),
        "initial": [0.5, 0.5],
        "actions": ACTIONS,
        "horizon": HORIZON,
    }
    return arguments | changes


def with_entry(array: npt.ArrayLike, index: tuple[int | slice, ...], value: Any, dtype: Any = None) -> Array:
    """Copy of an array with one entry (or row) replaced."""
    result = np.array(array, dtype=dtype)
    result[index] = value
    return result


def per_step(step: int, layout: Any) -> list[Any]:
    """Valid transitions for each step but one."""
    result: list[Any] = [probabilities() for _ in range(HORIZON)]
    result[step] = layout
    return result


def sparse_with(row: int, column: int, value: float) -> sparse.csr_array:
    """Sparse transitions of the base game with one entry replaced."""
    return sparse.csr_array(with_entry(probabilities().reshape(-1, STATES), (row, column), value))


def masks(agent: int, state: int, action: int, value: bool) -> list[Array]:
    """All actions legal, but for one entry."""
    result = [np.ones((STATES, n), dtype=bool) for n in ACTIONS]
    result[agent][state, action] = value
    return result


def test_base_is_valid() -> None:
    """Every rejection below is due to its one change."""
    game = mo.MarkovGame(**base())
    assert (game.num_agents, game.num_states, game.num_joint_actions, game.horizon) == (2, STATES, JOINT, HORIZON)
    assert game.discount is None
    assert all(kernel is game.kernels[0] for kernel in map(game.kernel, range(HORIZON)))


JOINT_2 = r"joint action (2|\(0, 2\))"  # flat index 2 is (0, 2)
TRANSITION_ROWS = [
    pytest.param(
        with_entry(probabilities(), (1, 2), [0.25, 0.75 + 1e-6]),
        GameDistribution,
        rf"state 1, {JOINT_2}.*within 1e-09",
        id="row-1e-6-too-large",
    ),
    pytest.param(
        with_entry(probabilities(), (1, 2), [0.25, 0.75 - 1e-6]), GameDistribution, rf"state 1, {JOINT_2}", id="low"
    ),
    pytest.param(with_entry(probabilities(), (1, 2), [1, 1]), GameDistribution, rf"state 1, {JOINT_2}.*2\.0", id="two"),
    pytest.param(with_entry(probabilities(), (1, 2), 0), MissingTransition, rf"state 1, {JOINT_2}", id="zero-row"),
    pytest.param(
        with_entry(probabilities(), (1, 2), [-0.25, 1.25]),
        GameNumber,
        rf"state 1, {JOINT_2}, next state 0: -0\.25",
        id="negative",
    ),
    pytest.param(
        with_entry(probabilities(), (1, 2, 1), NAN), GameNumber, rf"state 1, {JOINT_2}, next state 1: nan", id="nan"
    ),
    pytest.param(
        with_entry(probabilities(), (1, 2, 1), INF), GameNumber, rf"state 1, {JOINT_2}, next state 1: inf", id="inf"
    ),
    pytest.param(
        with_entry(probabilities(), (1, 2, 1), Fraction(-1, 3), object),
        GameNumber,
        rf"state 1, {JOINT_2}, next state 1",
        id="negative-fraction",
    ),
    pytest.param(
        with_entry(probabilities(), (1, 2, 1), "3/4", object),
        GameNumber,
        rf"state 1, {JOINT_2}, next state 1: '3/4'",
        id="string",
    ),
    pytest.param(
        with_entry(probabilities(), (1, 2, 1), True, object),
        GameNumber,
        rf"state 1, {JOINT_2}, next state 1: True",
        id="boolean",
    ),
    pytest.param(
        with_entry(probabilities(), (1, 2, 1), None, object),
        GameNumber,
        rf"state 1, {JOINT_2}, next state 1: None",
        id="none-entry",
    ),
    pytest.param(
        with_entry(probabilities(), (1, 2, 1), Fraction(1, 10**400), object),
        GameNumber,
        rf"state 1, {JOINT_2}, next state 1",
        id="underflow",
    ),
    pytest.param(
        with_entry(probabilities(), (1, 2, 1), 10**400, object),
        GameNumber,
        rf"state 1, {JOINT_2}, next state 1",
        id="overflow",
    ),
    pytest.param(sparse_with(8, 1, 0.75 + 1e-6), GameDistribution, rf"state 1, {JOINT_2}", id="sparse-row"),
    pytest.param(
        sparse_with(8, 1, -0.75), GameNumber, rf"state 1, {JOINT_2}, next state 1: -0\.75", id="sparse-negative"
    ),
    pytest.param(sparse_with(8, 1, NAN), GameNumber, rf"state 1, {JOINT_2}, next state 1: nan", id="sparse-nan"),
    pytest.param(sparse_with(8, 1, INF), GameNumber, rf"state 1, {JOINT_2}, next state 1: inf", id="sparse-inf"),
    pytest.param(
        sparse.csr_array(with_entry(probabilities().reshape(-1, STATES), (8,), 0)),
        MissingTransition,
        rf"state 1, {JOINT_2}",
        id="sparse-empty-row",
    ),
    pytest.param(
        with_entry(np.zeros((STATES, JOINT), dtype=int), (1, 2), -1),
        MissingTransition,
        rf"state 1, {JOINT_2}",
        id="no-successor",
    ),
    pytest.param(
        with_entry(np.zeros((STATES, JOINT), dtype=int), (1, 2), -2),
        GameNumber,
        rf"state 1, {JOINT_2}.*-2",
        id="successor-minus-2",
    ),
    pytest.param(
        with_entry(np.zeros((STATES, JOINT), dtype=int), (1, 2), 2),
        GameNumber,
        rf"state 1, {JOINT_2}.*2",
        id="successor-too-large",
    ),
    pytest.param(
        with_entry(np.zeros((STATES, JOINT), dtype=np.uint64), (1, 2), 2**64 - 1),
        GameNumber,
        rf"state 1, {JOINT_2}",
        id="successor-uint64",
    ),
]


@pytest.mark.parametrize(("transitions", "error", "message"), TRANSITION_ROWS)
def test_bad_transition_names_its_place(transitions: Any, error: type[InvalidGame], message: str) -> None:
    with pytest.raises(InvalidGame, match=message) as caught:
        mo.MarkovGame(**base(transitions=transitions))
    assert type(caught.value) is error


@pytest.mark.parametrize(("transitions", "error", "message"), TRANSITION_ROWS)
def test_bad_transition_at_a_step_names_the_step(transitions: Any, error: type[InvalidGame], message: str) -> None:
    with pytest.raises(InvalidGame, match=f"step 1.*{message}") as caught:
        mo.MarkovGame(**base(transitions=per_step(1, transitions)))
    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("transitions", "message"),
    [
        pytest.param(np.full((STATES, JOINT), 0.5), "float64", id="float-successors"),
        pytest.param(np.zeros((STATES, JOINT), dtype=bool), "bool", id="boolean-successors"),
        pytest.param(np.zeros((STATES, JOINT - 1), dtype=int), "5 joint actions", id="successors-A"),
        pytest.param(np.zeros((STATES + 1, JOINT), dtype=int), "3 states", id="successors-S"),
        pytest.param(np.zeros((0, 0), dtype=int), "transitions", id="successors-empty"),
        pytest.param(np.full((2, JOINT, 3), 1 / 3), r"\(2, 6, 3\)", id="dense-not-square"),
        pytest.param(np.full((3, JOINT, 3), 1 / 3), "3 states", id="dense-S"),
        pytest.param(np.full((2, JOINT + 1, 2), 0.5), "7 joint actions", id="dense-A"),
        pytest.param(np.zeros((0, 0, 0)), "transitions", id="dense-empty"),
        pytest.param(np.ones(2), r"\(2,\)", id="one-dimension"),
        pytest.param(1.0, r"\(\)", id="scalar"),
        pytest.param(None, "transitions", id="none"),
        pytest.param([], "transitions", id="empty-list"),
        pytest.param({}, "transitions", id="dict"),
        pytest.param("1", "transitions", id="string"),
        pytest.param(np.ones((1, 1, 1, 1, 1)), "transitions", id="five-dimensions"),
        pytest.param([[[0.25, 0.75], [1.0]], [[0.25, 0.75]]], "ragged", id="ragged"),
        pytest.param(sparse.csr_array((JOINT, STATES)), "transitions", id="sparse-one-state-missing"),
        pytest.param(sparse.csr_array((2 * JOINT + 1, STATES)), r"\(13, 2\)", id="sparse-rows"),
        pytest.param(sparse.csr_array((2 * JOINT, STATES + 1)), "transitions", id="sparse-columns"),
        pytest.param(sparse.csr_array((0, 2)), "transitions", id="sparse-empty"),
        pytest.param(sparse.coo_array(np.array([1.0, 0.0])), "transitions", id="sparse-one-dimension"),
        pytest.param([probabilities()] * (HORIZON - 1), "2 steps.*3", id="list-too-short"),
        pytest.param([probabilities()] * (HORIZON + 1), "4 steps.*3", id="list-too-long"),
        pytest.param(np.tile(probabilities(), (2, 1, 1, 1)), "2 steps.*3", id="array-too-short"),
        pytest.param(per_step(1, np.full((3, JOINT, 3), 1 / 3)), "step 1", id="step-of-other-size"),
        pytest.param(per_step(1, np.ones(2)), "step 1", id="step-of-no-layout"),
        pytest.param(per_step(1, None), "step 1", id="step-none"),
        pytest.param(per_step(1, [[[1.0], [0.25, 0.75]]]), "step 1", id="step-ragged"),
    ],
)
def test_transitions_of_wrong_shape(transitions: Any, message: str) -> None:
    with pytest.raises(GameShape, match=message):
        mo.MarkovGame(**base(transitions=transitions))


@pytest.mark.parametrize(
    "transitions",
    [
        pytest.param([probabilities()] * HORIZON, id="list"),
        pytest.param([probabilities()], id="list-of-one"),
        pytest.param(np.tile(probabilities(), (HORIZON, 1, 1, 1)), id="array"),
    ],
)
def test_steps_with_a_discount(transitions: Any) -> None:
    with pytest.raises(GameShape, match="step"):
        mo.MarkovGame(**base(transitions=transitions, horizon=None, discount=0.5))


def test_step_rewards_with_a_discount() -> None:
    with pytest.raises(GameShape, match="rewards"):
        mo.MarkovGame(**base(rewards=np.zeros((HORIZON, 2, STATES, JOINT)), horizon=None, discount=0.5))


@pytest.mark.parametrize(
    ("rewards", "error", "message"),
    [
        pytest.param(
            with_entry(np.zeros((2, 2, 6)), (1, 0, 4), NAN),
            GameNumber,
            "rewards, agent 1, state 0, joint action 4: nan",
            id="nan",
        ),
        pytest.param(
            with_entry(np.zeros((2, 2, 6)), (1, 0, 4), -INF),
            GameNumber,
            "rewards, agent 1, state 0, joint action 4: -inf",
            id="minus-inf",
        ),
        pytest.param(
            with_entry(np.zeros((3, 2, 2, 6)), (2, 1, 0, 4), INF),
            GameNumber,
            "rewards, step 2, agent 1, state 0, joint action 4: inf",
            id="inf-at-step",
        ),
        pytest.param(
            with_entry(np.zeros((2, 2, 6)), (1, 0, 4), "1", object),
            GameNumber,
            "agent 1, state 0, joint action 4: '1'",
            id="string-entry",
        ),
        pytest.param(
            with_entry(np.zeros((2, 2, 6)), (1, 0, 4), 10**400, object),
            GameNumber,
            "agent 1, state 0, joint action 4.*too large",
            id="overflow",
        ),
        pytest.param(
            with_entry(np.zeros((2, 2, 6)), (1, 0, 4), Fraction(-1, 10**400), object),
            GameNumber,
            "agent 1, state 0, joint action 4.*too small",
            id="underflow",
        ),
        pytest.param(np.zeros((2, 2, 6), dtype=bool), GameNumber, "rewards.*bool", id="boolean"),
        pytest.param(np.zeros((2, 2, 6), dtype=complex), GameNumber, "rewards.*complex", id="complex"),
        pytest.param(np.full((2, 2, 6), "0"), GameNumber, "rewards", id="strings"),
        pytest.param(np.zeros((2, 2, 5)), GameShape, r"\(2, 2, 5\).*\(2, 2, 6\)", id="A"),
        pytest.param(np.zeros((2, 3, 6)), GameShape, r"\(2, 3, 6\)", id="S"),
        pytest.param(np.zeros((1, 2, 6)), GameShape, r"\(1, 2, 6\)", id="m"),
        pytest.param(np.zeros((2, 2, 2, 6)), GameShape, r"\(2, 2, 2, 6\).*\(3, 2, 2, 6\)", id="H"),
        pytest.param(np.zeros((2, 2, 2, 3)), GameShape, r"\(2, 2, 2, 3\)", id="not-flattened"),
        pytest.param(np.zeros((1, 3, 2, 2, 6)), GameShape, "5 dimensions", id="five-dimensions"),
        pytest.param(np.zeros((2, 6)), GameShape, r"\(2, 6\)", id="two-dimensions"),
        pytest.param(0.0, GameShape, "rewards", id="scalar"),
        pytest.param([], GameShape, "rewards", id="empty"),
        pytest.param([[[0.0] * 6, [0.0] * 5], [[0.0] * 6] * 2], GameShape, "rewards.*ragged", id="ragged"),
        pytest.param(None, InvalidGame, "rewards", id="none"),
        pytest.param(NAN, InvalidGame, "rewards", id="scalar-nan"),
        pytest.param(sparse.csr_array((2, 6)), InvalidGame, "rewards", id="sparse"),
    ],
)
def test_bad_rewards(rewards: Any, error: type[InvalidGame], message: str) -> None:
    with pytest.raises(error, match=message):
        mo.MarkovGame(**base(rewards=rewards))


@pytest.mark.parametrize(
    ("initial", "error", "message"),
    [
        pytest.param([0.5, 0.5 + 1e-6], GameDistribution, "initial distribution", id="1e-6-too-large"),
        pytest.param([0.5, 0.5 - 1e-6], GameDistribution, "initial distribution", id="1e-6-too-small"),
        pytest.param([0.0, 0.0], GameDistribution, "initial distribution", id="zero"),
        pytest.param([1.5, -0.5], GameNumber, "initial distribution, state 1: -0.5", id="negative"),
        pytest.param([0.5, NAN], GameNumber, "initial distribution, state 1: nan", id="nan"),
        pytest.param([INF, 0.5], GameNumber, "initial distribution, state 0: inf", id="inf"),
        pytest.param([True, False], GameNumber, "initial distribution", id="boolean"),
        pytest.param(["1", "0"], GameNumber, "initial distribution", id="strings"),
        pytest.param([1.0], GameShape, "1 states", id="too-short"),
        pytest.param([1.0, 0.0, 0.0], GameShape, "3 states", id="too-long"),
        pytest.param([[0.5, 0.5]], GameShape, "initial distribution", id="two-dimensions"),
        pytest.param([], GameShape, r"\(0,\)", id="empty"),
        pytest.param(1.0, GameShape, r"\(\)", id="scalar"),
        pytest.param([[0.5], [0.25, 0.25]], GameShape, "initial distribution.*ragged", id="ragged"),
        pytest.param(None, InvalidGame, "initial distribution", id="none"),
        pytest.param(NAN, InvalidGame, "initial distribution", id="scalar-nan"),
        pytest.param({0: 1.0}, InvalidGame, "initial distribution", id="dict"),
    ],
)
def test_bad_initial(initial: Any, error: type[InvalidGame], message: str) -> None:
    with pytest.raises(error, match=message):
        mo.MarkovGame(**base(initial=initial))


@pytest.mark.parametrize(
    ("legal", "message"),
    [
        pytest.param([np.ones((2, 2), bool)], "1 agents, there are 2", id="one-agent-missing"),
        pytest.param([None, None, None], "3 agents, there are 2", id="one-agent-more"),
        pytest.param([None, np.ones((2, 2), bool)], r"agent 1 .*\(2, 2\).*\(2, 3\)", id="n"),
        pytest.param([np.ones((3, 2), bool), None], r"agent 0 .*\(3, 2\).*\(2, 2\)", id="S"),
        pytest.param([None, np.ones((3, 2, 3), bool)], "agent 1 ", id="per-step"),
        pytest.param([None, np.ones((2, 3), int)], "agent 1 .*int64", id="integers"),
        pytest.param([None, np.ones((2, 3))], "agent 1 .*float64", id="floats"),
        pytest.param([None, [[True], [True, False, True]]], "agent 1 ", id="ragged"),
        pytest.param([None, with_entry(np.ones((2, 3), bool), (1,), False)], "agent 1 .*state 1", id="none-legal"),
        pytest.param([True, True], "agent 0", id="scalar"),
    ],
)
def test_bad_legal_actions(legal: Any, message: str) -> None:
    with pytest.raises(GameShape, match=message):
        mo.MarkovGame(**base(legal=legal))


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        pytest.param((), "each agent", id="no-agent"),
        pytest.param((2, 0), r"\(2, 0\)", id="zero"),
        pytest.param((2, -3), r"\(2, -3\)", id="negative"),
        pytest.param((6, True), r"\(6, True\)", id="true"),
        pytest.param((6, np.True_), "True", id="numpy-true"),
        pytest.param((2, 3.0), r"3\.0", id="float"),
        pytest.param(("2", "3"), "'2'", id="strings"),
        pytest.param("23", "'23'", id="string"),
        pytest.param((2, None), "None", id="none-entry"),
        pytest.param(6, "6", id="not-a-sequence"),
        pytest.param(None, "None", id="none"),
    ],
)
def test_bad_actions(actions: Any, message: str) -> None:
    with pytest.raises(GameShape, match=message):
        mo.MarkovGame(**base(actions=actions))


@pytest.mark.parametrize(
    ("time", "error", "message"),
    [
        pytest.param({"horizon": None}, InvalidHorizon, "neither", id="neither"),
        pytest.param({"horizon": 3, "discount": 0.5}, InvalidHorizon, "both", id="both"),
        pytest.param({"horizon": 0}, InvalidHorizon, "0", id="horizon-0"),
        pytest.param({"horizon": -1}, InvalidHorizon, "-1", id="horizon-negative"),
        pytest.param({"horizon": True}, InvalidHorizon, "True", id="horizon-true"),
        pytest.param({"horizon": 3.0}, InvalidHorizon, r"3\.0", id="horizon-float"),
        pytest.param({"horizon": NAN}, InvalidHorizon, "nan", id="horizon-nan"),
        pytest.param({"horizon": "3"}, InvalidHorizon, "'3'", id="horizon-string"),
        pytest.param({"horizon": Fraction(3)}, InvalidHorizon, "Fraction", id="horizon-fraction"),
        pytest.param({"horizon": None, "discount": 1}, InvalidHorizon, "discount is 1", id="discount-1"),
        pytest.param({"horizon": None, "discount": 1.0}, InvalidHorizon, "discount is 1", id="discount-1.0"),
        pytest.param({"horizon": None, "discount": Fraction(1)}, InvalidHorizon, "discount is 1", id="discount-1/1"),
        pytest.param(
            {"horizon": None, "discount": 1 - Fraction(1, 2**80)}, InvalidHorizon, "discount", id="discount-rounds-1"
        ),
        pytest.param({"horizon": None, "discount": 1.5}, InvalidHorizon, r"1\.5", id="discount-1.5"),
        pytest.param({"horizon": None, "discount": -0.1}, InvalidHorizon, r"-0\.1", id="discount-negative"),
        pytest.param({"horizon": None, "discount": NAN}, InvalidGame, "discount.*nan", id="discount-nan"),
        pytest.param({"horizon": None, "discount": INF}, InvalidGame, "discount.*inf", id="discount-inf"),
        pytest.param({"horizon": None, "discount": True}, InvalidGame, "discount.*True", id="discount-true"),
        pytest.param({"horizon": None, "discount": "0.9"}, InvalidGame, "discount.*'0.9'", id="discount-string"),
        pytest.param({"horizon": None, "discount": 0.5j}, InvalidGame, "discount", id="discount-complex"),
        pytest.param({"horizon": None, "discount": [0.5]}, InvalidGame, "discount", id="discount-list"),
    ],
)
def test_bad_time(time: dict[str, Any], error: type[InvalidGame], message: str) -> None:
    with pytest.raises(error, match=message):
        mo.MarkovGame(**base(**time))


@pytest.mark.parametrize(
    "time",
    [
        pytest.param({"horizon": np.int64(3)}, id="numpy-horizon"),
        pytest.param({"horizon": None, "discount": 0}, id="discount-0"),
        pytest.param({"horizon": None, "discount": np.float64(0.5)}, id="numpy-discount"),
    ],
)
def test_good_time(time: dict[str, Any]) -> None:
    game = mo.MarkovGame(**base(**time))
    assert type(game.horizon) in (int, type(None))
    assert type(game.discount) in (float, type(None))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        pytest.param({"state_names": ["a"]}, "state names.*2", id="states-too-few"),
        pytest.param({"state_names": ["a", "b", "c"]}, "state names.*2", id="states-too-many"),
        pytest.param({"state_names": ["a", "a"]}, "state names", id="states-duplicate"),
        pytest.param({"state_names": ["a", 1]}, "state names.*strings", id="states-not-strings"),
        pytest.param({"agent_names": ["a"]}, "agent names.*2", id="agents-too-few"),
        pytest.param({"agent_names": ["a", "a"]}, "agent names", id="agents-duplicate"),
        pytest.param({"agent_names": [None, "a"]}, "agent names.*strings", id="agents-not-strings"),
        pytest.param({"action_names": [["a", "b"]]}, "action names.*1 agents", id="actions-agent-missing"),
        pytest.param({"action_names": [["a", "b"], ["a", "b"]]}, "agent 1.*3", id="actions-too-few"),
        pytest.param({"action_names": [["a", "a"], ["a", "b", "c"]]}, "agent 0", id="actions-duplicate"),
        pytest.param({"action_names": [["a", "b"], ["a", "b", 3]]}, "agent 1.*strings", id="actions-not-strings"),
    ],
)
def test_bad_names(names: dict[str, Any], message: str) -> None:
    with pytest.raises(GameShape, match=message):
        mo.MarkovGame(**base(**names))


@pytest.mark.parametrize(
    ("payoffs", "error", "message"),
    [
        pytest.param(np.zeros((2, 2, 2, 2)), GameShape, r"\(2, 2, 2, 2\)", id="two-agents-three-axes"),
        pytest.param(np.zeros((3, 2, 2)), GameShape, r"\(3, 2, 2\)", id="three-agents-two-axes"),
        pytest.param(np.zeros((2, 2, 0)), GameShape, r"\(2, 2, 0\)", id="agent-without-action"),
        pytest.param(np.zeros(2), GameShape, r"\(2,\)", id="one-dimension"),
        pytest.param(1.0, GameShape, r"\(\)", id="scalar"),
        pytest.param(None, GameShape, "payoffs", id="none"),
        pytest.param([], GameShape, "payoffs", id="empty"),
        pytest.param([[[1, 0], [0]], [[1, 0], [0, 1]]], GameShape, "payoffs.*ragged", id="ragged"),
        pytest.param([[[1, 0], [0, NAN]], [[1, 0], [0, 1]]], GameNumber, "agent 0, .*joint action 3: nan", id="nan"),
        pytest.param([[[1, 0], [0, 1]], [[1, "x"], [0, 1]]], GameNumber, "payoffs|rewards", id="string"),
        pytest.param([[[True, False], [True, True]]] * 2, GameNumber, "bool", id="boolean"),
    ],
)
def test_bad_normal_form(payoffs: Any, error: type[InvalidGame], message: str) -> None:
    with pytest.raises(error, match=message):
        mo.MarkovGame.from_normal_form(payoffs)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        pytest.param({"agent_names": ["a"]}, "agent names", id="agents"),
        pytest.param({"action_names": [["a", "b"], ["c"]]}, "agent 1", id="actions"),
    ],
)
def test_bad_normal_form_names(names: dict[str, Any], message: str) -> None:
    with pytest.raises(GameShape, match=message):
        mo.MarkovGame.from_normal_form(np.zeros((2, 2, 2)), **names)


def test_normal_form_is_in_absolute_player_order() -> None:
    payoffs = np.arange(3 * 2 * 3 * 4).reshape(3, 2, 3, 4)
    game = mo.MarkovGame.from_normal_form(payoffs)
    assert (game.actions, game.horizon, game.num_states) == ((2, 3, 4), 1, 1)
    for index, profile in enumerate(itertools.product(range(2), range(3), range(4))):
        assert game.joint_action(index) == profile
        assert game.joint_index(profile) == index
        assert [game.rewards[i, 0, index] for i in range(3)] == [payoffs[(i, *profile)] for i in range(3)]


# Illegal joint actions


ILLEGAL = {(0, k) for k in (3, 4, 5)}  # agent 0 may not play 1 in state 0


@pytest.mark.parametrize("layout", ["dense", "sparse", "deterministic"])
@pytest.mark.parametrize("steps", [False, True], ids=["stationary", "per-step"])
def test_illegal_joint_actions_need_no_transition(layout: str, steps: bool) -> None:
    rows = with_entry(probabilities(), (0, slice(3, None)), 0.0)
    successors = with_entry(np.zeros((STATES, JOINT), int), (0, slice(3, None)), -1)
    given = {"dense": rows, "sparse": sparse.csr_array(rows.reshape(-1, STATES)), "deterministic": successors}[layout]
    transitions = [given] * HORIZON if steps else given
    game = mo.MarkovGame(**base(transitions=transitions, legal=masks(0, 0, 1, False)))
    assert {tuple(map(int, k)) for k in np.argwhere(~game.joint_legal)} == ILLEGAL
    assert {tuple(map(int, k)) for k in np.argwhere(game.kernel(1).row_sums == 0)} == ILLEGAL
    with pytest.raises(MissingTransition, match=r"state 0, joint action \(1, 0\)"):
        mo.MarkovGame(**base(transitions=transitions))
    with pytest.raises(MissingTransition, match=r"state 0, joint action \(1, 0\)"):
        mo.MarkovGame(**base(transitions=transitions, legal=masks(1, 0, 1, False)))


def test_row_of_an_illegal_joint_action_is_empty_or_a_distribution() -> None:
    rows = with_entry(probabilities(), (0, 4), [0.25, 0.25])
    with pytest.raises(GameDistribution, match=r"state 0, joint action \(1, 1\)"):
        mo.MarkovGame(**base(transitions=rows, legal=masks(0, 0, 1, False)))


def test_joint_legal_is_the_product() -> None:
    legal = [np.array([[True, False], [True, True]]), np.array([[True, False, True], [False, True, True]])]
    game = mo.MarkovGame(**base(legal=legal))
    for state in range(STATES):
        for k, (a, b) in enumerate(itertools.product(range(2), range(3))):
            assert game.joint_legal[state, k] == (legal[0][state, a] and legal[1][state, b])


# Rows within the tolerance


def test_rows_off_by_less_than_the_tolerance_are_normalised() -> None:
    off = 1e-10
    rows = np.tile([0.5, 0.5 + off], (STATES, JOINT, 1))
    initial = [0.5 - off, 0.5]
    assert rows[0, 0].sum() != 1.0
    assert sum(initial) != 1.0
    for layout in (rows, sparse.csr_array(rows.reshape(-1, STATES)), [rows] * HORIZON):
        game = mo.MarkovGame(**base(transitions=layout, initial=initial, rewards=np.ones((2, STATES, JOINT))))
        kernel = game.kernel(0)
        assert game.initial.tolist() == initial
        assert game.initial_distribution.tolist() == [p / sum(initial) for p in initial]
        np.testing.assert_array_equal(kernel.stored_rows().toarray(), rows.reshape(-1, STATES))
        np.testing.assert_allclose(kernel.rows().toarray().sum(axis=1), 1.0, rtol=0, atol=2e-16)
        value = mo.values(game, mo.CorrelatedPolicy.uniform(game)).value
        np.testing.assert_allclose(value, HORIZON, rtol=0, atol=1e-14)


# Copies


def arrays(game: mo.MarkovGame) -> dict[str, Array]:
    found: dict[str, Array] = {
        name: getattr(game, name) for name in ("rewards", "initial", "initial_distribution", "joint_legal")
    }
    found |= {f"legal {agent}": mask for agent, mask in enumerate(game.legal)}
    for step, kernel in enumerate(game.kernels):
        rows = kernel.stored_rows()
        found |= {f"row sums {step}": kernel.row_sums, f"data {step}": rows.data}
        found |= {f"indices {step}": rows.indices, f"indptr {step}": rows.indptr}
        for name in ("probabilities", "successors"):
            if hasattr(kernel, name):
                found[f"{name} {step}"] = getattr(kernel, name)
    return found


@pytest.mark.parametrize("layout", ["dense", "csr", "csc", "coo", "deterministic", "list", "four-dimensions"])
def test_input_is_copied_and_read_only(layout: str) -> None:
    rows = probabilities()
    flat = rows.reshape(-1, STATES).copy()
    successors = np.zeros((STATES, JOINT), dtype=np.int64)
    steps = np.tile(rows, (HORIZON, 1, 1, 1))
    csr, csc, coo = sparse.csr_array(flat), sparse.csc_array(flat), sparse.coo_array(flat)
    listed = [rows.copy(), csr.copy(), successors.copy()]
    given: Any = {
        "dense": rows,
        "csr": csr,
        "csc": csc,
        "coo": coo,
        "deterministic": successors,
        "list": listed,
        "four-dimensions": steps,
    }[layout]
    rewards, initial, legal = np.zeros((2, STATES, JOINT)), np.array([0.5, 0.5]), masks(0, 0, 1, True)
    game = mo.MarkovGame(given, rewards, initial, ACTIONS, horizon=HORIZON, legal=legal)
    before = {name: array.copy() for name, array in arrays(game).items()}
    for array in (rows, successors, steps, csr.data, csc.data, coo.data, listed[0], listed[2], rewards, initial):
        array[...] = 7
    csr.indices[:], listed[1].data[:] = 0, 7
    legal[0][:] = False
    if layout == "list":
        listed.pop()
    after = arrays(game)
    for name, array in before.items():
        np.testing.assert_array_equal(after[name], array, err_msg=name)
    frozen = ("rewards", "initial", "joint_legal", "legal", "row sums", "probabilities", "successors")
    for name, array in after.items():
        if name.startswith(frozen):
            assert not array.flags.writeable, name
    for name in ("rewards", "horizon", "kernels"):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(game, name, None)


def test_writing_to_stored_rows_does_not_change_the_kernel() -> None:
    flat = probabilities().reshape(-1, STATES)
    for layout in (probabilities(), sparse.csr_array(flat)):
        game = mo.MarkovGame(**base(transitions=layout))
        rows = game.kernel(0).stored_rows()
        if rows.data.flags.writeable:
            rows.data[:] = 7
        np.testing.assert_array_equal(game.kernel(0).stored_rows().toarray(), flat)


# Exact numbers


def test_exact_rationals_are_kept_beside_nearest_doubles() -> None:
    third = Fraction(1, 3)
    rows: Array = np.empty((2, 1, 2), dtype=object)
    rows[0, 0], rows[1, 0] = [third, 2 * third], [Fraction(1, 4), 0.75]
    big = 2**60 + 1
    game = mo.MarkovGame(
        rows, [[[big], [Fraction(-1, 10)]]], [third, 1 - third], (1,), discount=Fraction(9, 10), state_names=["a", "b"]
    )
    assert dict(game.kernels[0].exact) == {(0, 0, 0): third, (0, 0, 1): 2 * third}
    assert game.kernels[0].stored_rows().toarray().tolist() == [[1 / 3, 2 / 3], [0.25, 0.75]]
    assert dict(game.exact_rewards) == {(0, 0, 0): Fraction(big), (0, 1, 0): Fraction(-1, 10)}
    assert game.rewards.tolist() == [[[2.0**60], [-0.1]]]
    assert dict(game.exact_initial) == {(0,): third, (1,): 1 - third}
    assert game.initial.tolist() == [1 / 3, 2 / 3]
    assert (game.exact_discount, game.discount) == (Fraction(9, 10), 0.9)


def test_exact_rationals_of_each_step() -> None:
    steps = [[[[Fraction(k, 7), 1 - Fraction(k, 7)]], [[1, 0]]] for k in (1, 2)]
    rewards = [[[[Fraction(k, 3)], [0]]] for k in (1, 2)]
    game = mo.MarkovGame(steps, rewards, [1, 0], (1,), horizon=2)
    assert [game.kernel(h).exact[0, 0, 0] for h in (0, 1)] == [Fraction(1, 7), Fraction(2, 7)]
    assert dict(game.exact_rewards) == {(0, 0, 0, 0): Fraction(1, 3), (1, 0, 0, 0): Fraction(2, 3)}


def test_what_doubles_hold_has_no_exact_overlay() -> None:
    game = mo.MarkovGame([[[Fraction(1)]]], [[[2**60]]], [1], (1,), discount=Fraction(1, 2))
    assert not game.kernels[0].exact
    assert not game.exact_rewards
    assert not game.exact_initial
    assert game.exact_discount is None


@pytest.mark.parametrize("value", [2**53 + 1, -(2**53) - 1, 2**62 + 3, 2**63 - 1])
def test_integer_arrays_beyond_doubles_are_exact(value: int) -> None:
    game = mo.MarkovGame.from_normal_form(np.array([[value, 1]], dtype=np.int64))
    assert dict(game.exact_rewards) == {(0, 0, 0): Fraction(value)}
    assert game.rewards[0, 0, 0] == float(value)


def test_uint64_is_exact() -> None:
    game = mo.MarkovGame.from_normal_form(np.array([[2**64 - 1, 1]], dtype=np.uint64))
    assert dict(game.exact_rewards) == {(0, 0, 0): Fraction(2**64 - 1)}


@given(st.fractions(), st.fractions(min_value=0, max_value=1))
def test_nearest_doubles(reward: Fraction, probability: Fraction) -> None:
    game = mo.MarkovGame([[[1, 0]], [[0, 1]]], [[[reward], [0]]], [probability, 1 - probability], (1,), horizon=1)
    for double, exact, index, true in (
        (game.rewards[0, 0, 0], game.exact_rewards, (0, 0, 0), reward),
        (game.initial[0], game.exact_initial, (0,), probability),
    ):
        assert double == float(true)
        assert exact.get(index, Fraction(float(double))) == true


# Joint actions


def naive_unfold(game: mo.MarkovGame, array: Array, agent: int) -> Array:
    others = [range(n) for i, n in enumerate(game.actions) if i != agent]
    result = np.empty((*array.shape[:-1], game.actions[agent], math.prod(len(r) for r in others)))
    for own in range(game.actions[agent]):
        for k, rest in enumerate(itertools.product(*others)):
            joint = (*rest[:agent], own, *rest[agent:])
            result[..., own, k] = array[..., game.joint_index(joint)]
    return result


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=4),
    st.lists(st.integers(1, 3), max_size=2),
    st.data(),
)
def test_unfold_and_fold(actions: list[int], lead: list[int], data: st.DataObject) -> None:
    agent = data.draw(st.integers(0, len(actions) - 1))
    game = mo.MarkovGame.from_normal_form(np.zeros((len(actions), *actions)))
    array = np.arange(math.prod((*lead, *actions)), dtype=float).reshape(*lead, math.prod(actions))
    unfolded = game.unfold(array, agent)
    np.testing.assert_array_equal(unfolded, naive_unfold(game, array, agent))
    np.testing.assert_array_equal(game.fold(unfolded, agent), array)


@pytest.mark.parametrize("agent", [-1, 2])
def test_marginal_of_an_agent_that_does_not_exist(agent: int) -> None:
    game = mo.MarkovGame.from_normal_form(np.zeros((2, 2, 2)))
    policy = mo.CorrelatedPolicy.uniform(game)
    with pytest.raises((MailoptError, IndexError)):
        policy.marginal(agent, game)


def test_names_for_people() -> None:
    plain = mo.MarkovGame(**base())
    assert (plain.state_name(1), plain.agent_name(1), plain.action_name(1, 2)) == ("state 1", "agent 1", "2")
    named = mo.MarkovGame(
        **base(state_names=["s", "t"], agent_names=["u", "v"], action_names=[["a", "b"], ["c", "d", "e"]])
    )
    assert (named.state_name(1), named.agent_name(1), named.action_name(1, 2)) == ("t", "v", "e")
