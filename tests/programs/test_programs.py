"""The occupancy programs as objects: shapes, sizes, what their rows and duals mean."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

import mailopt as mo
from mailopt_solvers import LinearProgram, solve
from tests.random_games import random_case, random_policy


def sparse_game(states: int, horizon: int) -> mo.MarkovGame:
    """Four successors for each of 3 x 3 joint actions."""
    rng = np.random.default_rng(0)
    joint, successors = 9, 4
    columns = np.concatenate([rng.choice(states, successors, replace=False) for _ in range(states * joint)])
    data = rng.dirichlet(np.ones(successors), states * joint).ravel()
    pointers = np.arange(0, data.size + 1, successors)
    rows = sparse.csr_array((data, columns, pointers), shape=(states * joint, states))
    rewards = rng.normal(size=(2, states, joint))
    return mo.MarkovGame(rows, rewards, np.full(states, 1 / states), (3, 3), horizon=horizon)


def nonzeros(program: LinearProgram, rows: str, variables: str) -> int:
    r, v = program.rows[rows].slice, program.variables[variables].slice
    return int(program.matrix[r, :][:, v].nnz)


def test_linked_flow_rows_have_the_nonzeros_of_the_kernel() -> None:
    game = sparse_game(states=60, horizon=3)
    policy = mo.CorrelatedPolicy.uniform(game)
    linked = mo.programs.deviation(game, policy, 0)
    direct = mo.programs.deviation(game, policy, 0, formulation="direct")
    moves = 2  # between three steps
    assert nonzeros(linked, "flow", "y") == moves * game.kernels[0].num_nonzeros
    assert nonzeros(direct, "flow", "z") > 2 * nonzeros(linked, "flow", "y")
    assert "y" not in direct.variables


@pytest.mark.parametrize("deviations", [mo.Swap(), mo.External()], ids=repr)
def test_blocks_have_the_documented_shapes(deviations: mo.DeviationClass) -> None:
    game = sparse_game(states=5, horizon=3)
    policy = mo.CorrelatedPolicy.uniform(game)
    cells = 3 if isinstance(deviations, mo.Swap) else 1
    program = mo.programs.deviation(game, policy, 1, deviations)
    assert {name: block.shape for name, block in program.variables.items()} == {
        "D": (3, 5),
        "z": (3, 5, cells, 3),
        "y": (3, 5, 9),
    }
    assert {name: block.shape for name, block in program.rows.items()} == {
        "told": (3, 5, cells),
        "link": (3, 5, 9),
        "flow": (3, 5),
    }


@pytest.mark.parametrize("formulation", ["direct", "linked"])
@pytest.mark.parametrize("seed", range(30))
def test_the_solution_is_an_occupancy_and_its_duals_are_values(seed: int, formulation: str) -> None:
    """D is a distribution, z splits it, the duals satisfy the Bellman inequality and price the start."""
    case = random_case(seed)
    game, policy = case.game, case.policy
    program = mo.programs.deviation(game, policy, 0, formulation=formulation)  # type: ignore[arg-type]
    solution = solve(program).require_optimal()
    states, z = solution["D"], solution["z"]
    assert z.min() >= -1e-9
    np.testing.assert_allclose(z.sum(axis=3), np.repeat(states[:, :, None], z.shape[2], axis=2), atol=1e-9)
    if game.horizon is not None:
        np.testing.assert_allclose(states.sum(axis=1), 1.0, atol=1e-9)
    else:
        np.testing.assert_allclose(states.sum(), 1.0, atol=1e-9)
    duals = solution.duals("flow")
    start = game.initial_distribution * (1.0 if game.discount is None else 1.0 - game.discount)
    np.testing.assert_allclose(duals[0] @ start, solution.objective, atol=1e-9 * case.scale)
    exact = mo.best_deviation(game, policy, 0).state_values
    scale = 1.0 if game.discount is None else 1.0 - game.discount
    assert (scale * duals >= np.reshape(exact, duals.shape) - 1e-7 * case.scale).all()


def test_flow_with_a_policy_has_one_feasible_point() -> None:
    game = sparse_game(states=6, horizon=4)
    policy = random_policy(np.random.default_rng(1), game, 4)
    expected = mo.occupancy(game, policy)
    rng = np.random.default_rng(2)
    for _ in range(3):
        objective = rng.normal(size=expected.shape)
        found = solve(mo.programs.flow(game, policy=policy, objective=objective)).require_optimal()
        np.testing.assert_allclose(found["mu"], expected, atol=1e-9)


def test_flow_gives_no_mass_to_illegal_joint_actions() -> None:
    legal = [np.array([[True, False]]), np.array([[True, True]])]
    rewards = np.array([[[0.0, 1.0, 5.0, 5.0]]] * 2)
    game = mo.MarkovGame(np.zeros((1, 4), dtype=int), rewards, [1.0], (2, 2), horizon=2, legal=legal)
    solution = solve(mo.programs.flow(game, objective=game.rewards[0])).require_optimal()
    assert solution.objective == pytest.approx(2.0)
    assert solution["mu"][:, :, 2:].max() == 0.0


def test_discounted_flow_has_total_mass_one_and_the_value_as_objective() -> None:
    game = mo.MarkovGame(np.zeros((1, 2), dtype=int), np.array([[[1.0, 3.0]]]), [1.0], (2,), discount=0.9)
    solution = solve(mo.programs.flow(game, objective=game.rewards[0])).require_optimal()
    assert solution["mu"].sum() == pytest.approx(1.0)
    assert solution.objective == pytest.approx(30.0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda g, p: mo.programs.deviation(g, p, 2), mo.errors.UnknownAgent, "no agent 2"),
        (lambda g, p: mo.programs.deviation(g, p, 0, formulation="K"), mo.errors.InvalidOption, "'K'"),  # type: ignore[arg-type]
        (lambda g, p: mo.programs.flow(g, objective=np.zeros(3)), mo.errors.WrongShape, r"\(3,\)"),
        (lambda g, p: mo.programs.flow(g, objective=np.full((1, 4), np.nan)), mo.errors.InvalidNumber, "finite"),
        (
            lambda g, p: mo.programs.flow(g, policy=mo.CorrelatedPolicy(np.ones((2, 4)) / 4)),
            mo.errors.PolicyShape,
            "2 states",
        ),
    ],
    ids=["agent", "formulation", "objective shape", "objective NaN", "policy"],
)
def test_bad_input(call: object, error: type[Exception], message: str) -> None:
    game = mo.scenarios.chicken()
    assert callable(call)
    with pytest.raises(error, match=message):
        call(game, mo.CorrelatedPolicy.uniform(game))
