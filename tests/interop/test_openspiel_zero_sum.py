"""Values of zero-sum games, against OpenSpiel's solvers and against symmetry."""

from __future__ import annotations

import numpy as np
import pyspiel
import pytest
from open_spiel.python.algorithms import sequence_form_lp, value_iteration
from scipy.optimize import linprog

import mailopt as mo
from mailopt.games.numbers import FloatArray
from mailopt.interop.openspiel import unroll

SOLVED = [
    "goofspiel(num_cards=3,imp_info=False,points_order=descending)",
    "goofspiel(num_cards=3,imp_info=False,points_order=random)",
    "goofspiel(num_cards=4,imp_info=False,points_order=ascending)",
    "oshi_zumo(coins=4,min_bid=1)",
    "oshi_zumo(coins=3,min_bid=0,horizon=3)",
    "matrix_rps()",
    "matrix_mp()",
    "blotto(coins=4,fields=3)",
    "nim(pile_sizes=1;2;2)",
    "connect_four(rows=3,columns=3,x_in_row=3)",
]


@pytest.mark.parametrize("spec", SOLVED)
def test_values_agree_with_openspiel(spec: str) -> None:
    """OpenSpiel's value iteration where nodes are simultaneous, its sequence-form program for small games."""
    spiel = pyspiel.load_game(spec)
    simultaneous = spiel.get_type().dynamics == pyspiel.GameType.Dynamics.SIMULTANEOUS
    found = mo.zero_sum_equilibrium(unroll(spec).game)
    assert found.upper - found.lower <= 1e-9
    theirs = []
    if simultaneous and spiel.new_initial_state().is_simultaneous_node():
        values = value_iteration.value_iteration(spiel, -1, 1e-9)
        theirs.append(values[str(spiel.new_initial_state())])
    if not spec.startswith(("goofspiel(num_cards=4", "connect_four")):
        turns = pyspiel.convert_to_turn_based(spiel) if simultaneous else spiel
        theirs.append(sequence_form_lp.solve_zero_sum_game(turns)[0])
    assert theirs or spec.startswith("connect_four")
    for value in theirs:
        assert found.value == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize(
    "spec",
    [
        "goofspiel(num_cards=4,imp_info=False,points_order=random)",
        "oshi_zumo(coins=5,min_bid=1)",
        "oshi_zumo(coins=5,min_bid=0,horizon=4)",
        "matrix_rps()",
    ],
)
def test_symmetric_games_are_worth_nothing(spec: str) -> None:
    found = mo.zero_sum_equilibrium(unroll(spec).game)
    assert found.lower <= 0 <= found.upper
    assert found.upper - found.lower <= 1e-9


def test_discounted_markov_soccer() -> None:
    """The start is symmetric (Littman 1994), so the value is 0; Shapley's value iteration finds the same elsewhere."""
    game = unroll("markov_soccer()", discount=0.5).game
    found = mo.zero_sum_equilibrium(game, tolerance=1e-8)
    assert found.lower <= 0 <= found.upper
    assert found.upper - found.lower <= 1e-7
    values = np.zeros(game.num_states)
    for _ in range(40):
        values = shapley(game, values)
    assert np.abs(values - found.state_values).max() <= 1e-6


def shapley(game: mo.MarkovGame, values: FloatArray) -> FloatArray:
    """Back values up once, each stage game by a program of its own."""
    assert game.discount is not None
    q = game.reward(0)[0] + game.discount * game.kernel(0).expectation(values[None])[0]
    following = np.empty_like(values)
    known: dict[bytes, float] = {}
    for s in range(game.num_states):
        matrix = q[s].reshape(game.actions)[np.ix_(game.legal[0][s], game.legal[1][s])]
        key = matrix.tobytes() + bytes(matrix.shape)
        if key not in known:
            known[key] = matrix_value(matrix)
        following[s] = known[key]
    return following


def matrix_value(matrix: FloatArray) -> float:
    """Value of a matrix game."""
    if matrix.min(axis=1).max() >= matrix.max(axis=0).min():
        return float(matrix.min(axis=1).max())
    rows, columns = matrix.shape
    found = linprog(
        np.append(np.zeros(rows), -1.0),
        A_ub=np.hstack([-matrix.T, np.ones((columns, 1))]),
        b_ub=np.zeros(columns),
        A_eq=np.append(np.ones(rows), 0.0)[None],
        b_eq=[1.0],
        bounds=[*[(0.0, None)] * rows, (None, None)],
    )
    return -float(found.fun)
