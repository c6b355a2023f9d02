"""Dynamic program, linear program (both formulations) and the explicit deviation, on hundreds of random games."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

import mailopt as mo
from mailopt_solvers import solve
from tests.random_games import Case, random_case

TOLERANCE = 1e-9  # relative to reward scale times horizon
CASES = range(400)


def assert_close(case: Case, actual: object, expected: object) -> None:
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), rtol=0, atol=TOLERANCE * case.scale)


def discounted_game(rng: np.random.Generator, states: int, discount: float) -> mo.MarkovGame:
    rows, rewards = rng.dirichlet(np.ones(states), (states, 4)), rng.normal(size=(2, states, 4))
    return mo.MarkovGame(rows, rewards, np.ones(states) / states, (2, 2), discount=discount)


@pytest.mark.parametrize("seed", CASES)
def test_the_routes_agree(seed: int) -> None:
    case = random_case(seed)
    game, policy = case.game, case.policy
    assert_close(case, mo.values(game, policy, method="lp").value, mo.values(game, policy).value)
    for deviations in (mo.Swap(), mo.External()):
        by_dp, by_lp = (mo.regret(game, policy, deviations, method=method) for method in ("dp", "lp"))
        assert_close(case, by_lp.per_agent, by_dp.per_agent)
        assert_close(case, by_lp.value, by_dp.value)
        assert by_dp.lower <= by_dp.value <= by_dp.upper <= by_dp.lower + TOLERANCE * case.scale
        assert max(by_dp.lower, by_lp.lower) <= min(by_dp.upper, by_lp.upper)
        for agent in range(game.num_agents):
            best = mo.best_deviation(game, policy, agent, deviations)
            other = mo.best_deviation(game, policy, agent, deviations, method="lp")
            assert_close(case, other.value, best.value)
            for found in (best, other):
                explicit = mo.values(game, found.deviation.apply(game, policy)).value[agent]
                assert_close(case, explicit, found.value)
            reached = other.state_occupancy > 1e-6
            assert_close(case, other.state_values[reached], best.state_values[reached])


@pytest.mark.parametrize("seed", range(0, 400, 8))
@pytest.mark.parametrize("deviations", [mo.Swap(), mo.External()], ids=repr)
def test_both_formulations_have_the_same_optimum_and_occupancies_of_a_deviation(
    seed: int, deviations: mo.DeviationClass
) -> None:
    case = random_case(seed)
    for agent in range(case.game.num_agents):
        best = mo.best_deviation(case.game, case.policy, agent, deviations)
        for formulation in ("direct", "linked"):
            program = mo.programs.deviation(case.game, case.policy, agent, deviations, formulation=formulation)
            assert_close(case, solve(program).require_optimal().objective, best.value)


@pytest.mark.parametrize("seed", range(0, 400, 8))
def test_occupancies_agree_and_account_for_the_value(seed: int) -> None:
    case = random_case(seed)
    game, policy = case.game, case.policy
    by_flow = mo.occupancy(game, policy, method="lp")
    by_push = mo.occupancy(game, policy)
    np.testing.assert_allclose(by_flow, by_push, rtol=0, atol=1e-9)
    for agent in range(game.num_agents):
        best = mo.best_deviation(game, policy, agent)
        moved = mo.occupancy(game, best.deviation.apply(game, policy))
        states = best.state_occupancy if game.horizon is not None else np.atleast_2d(best.state_occupancy).sum(axis=0)
        np.testing.assert_allclose(moved.sum(axis=-1), states, rtol=0, atol=1e-9)
        np.testing.assert_allclose(
            best.occupancy.sum(axis=-1), np.repeat(best.state_occupancy[..., None], game.actions[agent], -1), atol=1e-12
        )


def test_the_objective_of_the_flow_program_is_the_best_joint_plan() -> None:
    """With one agent, nobody else's recommendation matters: the flow program and the best deviation coincide."""
    for seed in range(0, 400, 5):
        case = random_case(seed)
        if case.game.num_agents > 1:
            continue
        rewards = [case.game.reward(h)[0] for h in range(case.game.horizon or 1)]
        best = solve(mo.programs.flow(case.game, objective=np.stack(rewards))).require_optimal().objective
        assert_close(case, mo.best_deviation(case.game, case.policy, 0).value, best)


def test_a_discounted_policy_of_several_steps_repeats_its_last_one() -> None:
    rng = np.random.default_rng(5)
    game = discounted_game(rng, 3, 0.9)
    rows = rng.dirichlet(np.ones(4), (2, 3))
    short, long = mo.CorrelatedPolicy(rows), mo.CorrelatedPolicy(rows[[0, 1, 1, 1, 1]])
    constant = mo.CorrelatedPolicy(rows[[0, 0, 0]])
    np.testing.assert_allclose(mo.regret(game, long).per_agent, mo.regret(game, short).per_agent, atol=1e-10)
    np.testing.assert_allclose(mo.occupancy(game, long), mo.occupancy(game, short), atol=1e-12)
    np.testing.assert_allclose(
        mo.regret(game, constant).per_agent, mo.regret(game, mo.CorrelatedPolicy(rows[0])).per_agent, atol=1e-10
    )


@pytest.mark.parametrize("discount", [0.9, 0.999, 0.99999])
def test_large_discounts_state_their_error(discount: float) -> None:
    rng = np.random.default_rng(7)
    game = discounted_game(rng, 5, discount)
    policy = mo.CorrelatedPolicy.uniform(game)
    found = mo.regret(game, policy)
    assert found.upper - found.lower <= 1e-9 / (1 - discount)
    lp = mo.regret(game, policy, method="lp")
    np.testing.assert_allclose(found.per_agent, lp.per_agent, rtol=0, atol=1e-9 / (1 - discount))


def test_a_game_beyond_direct_solves_agrees_with_a_sum_over_steps() -> None:
    """Above 2000 states the linear systems are solved iteratively."""
    rng = np.random.default_rng(3)
    states, discount = 2500, 0.9
    game = mo.MarkovGame(
        rng.integers(0, states, (states, 4)),
        rng.normal(size=(2, states, 4)),
        np.ones(states) / states,
        (2, 2),
        discount=discount,
    )
    policy = mo.CorrelatedPolicy(rng.dirichlet(np.ones(4), states))
    steps = 300
    finite = mo.MarkovGame(
        game.kernels[0],
        game.rewards * discount ** np.arange(steps)[:, None, None, None],
        game.initial,
        game.actions,
        horizon=steps,
    )
    np.testing.assert_allclose(mo.values(game, policy).value, mo.values(finite, policy).value, atol=1e-10)
    np.testing.assert_allclose(mo.regret(game, policy).per_agent, mo.regret(finite, policy).per_agent, atol=1e-10)
    weights = (1 - discount) * discount ** np.arange(steps)
    summed = np.tensordot(weights, mo.occupancy(finite, policy), axes=1)
    np.testing.assert_allclose(mo.occupancy(game, policy), summed, atol=1e-12)


@pytest.mark.parametrize("method", ["dp", "lp"])
def test_one_state_one_action_has_no_regret(method: Literal["dp", "lp"]) -> None:
    """A discounted stream of -1 cannot be improved on; published code prints 20."""
    game = mo.MarkovGame(np.zeros((1, 1), dtype=int), -np.ones((1, 1, 1)), [1.0], (1,), discount=0.95)
    found = mo.regret(game, mo.CorrelatedPolicy([[1.0]]), method=method)
    np.testing.assert_allclose(found.obedience.value, [-20.0], atol=1e-9)
    np.testing.assert_allclose(found.value, 0.0, atol=1e-9)


def test_an_unknown_method_is_an_error() -> None:
    case = random_case(1)
    with pytest.raises(mo.errors.InvalidOption, match="'simplex'"):
        mo.regret(case.game, case.policy, method="simplex")  # type: ignore[arg-type]


def test_an_unknown_agent_is_an_error() -> None:
    case = random_case(1)
    methods: list[Literal["dp", "lp"]] = ["dp", "lp"]
    for method in methods:
        with pytest.raises(mo.errors.UnknownAgent, match="no agent 9"):
            mo.best_deviation(case.game, case.policy, 9, method=method)


def test_values_that_overflow_are_an_error() -> None:
    game = mo.MarkovGame(np.zeros((1, 1), dtype=int), np.full((1, 1, 1), 1e308), [1.0], (1,), horizon=3)
    with pytest.raises(mo.errors.InvalidNumber, match="overflow"), np.errstate(over="ignore"):
        mo.values(game, mo.CorrelatedPolicy([[1.0]]))


def test_ties_go_to_obedience() -> None:
    game = mo.MarkovGame.from_normal_form(np.zeros((2, 3, 3)))
    best = mo.best_deviation(game, mo.CorrelatedPolicy.uniform(game), 0)
    assert best.departures(game, mo.CorrelatedPolicy.uniform(game)) == []
