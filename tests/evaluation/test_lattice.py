"""Classes that count, are listed or keep to one map, against enumeration; and which class contains which."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pytest

import mailopt as mo
from mailopt.errors import GameTooLarge, InvalidDeviation, InvalidOption, UnknownAgent
from mailopt_solvers import solve
from tests import exact_games, oracle, oracle_classes
from tests.exact_games import Case
from tests.random_games import random_case

METHODS: tuple[Literal["dp", "lp"], ...] = ("dp", "lp")
FORMULATIONS: tuple[Literal["direct", "linked"], ...] = ("direct", "linked")
SHAPES = [(2, (2, 2), 2), (3, (2,), 2), (1, (3, 2), 2), (2, (2, 2, 2), 1), (1, (2, 3), 3), (2, (2, 2), 1)]


def tiny(seed: int, discounted: bool = False) -> Case:
    states, actions, horizon = SHAPES[seed % len(SHAPES)]
    limits: dict[str, Any] = {"discount": 0.75} if discounted else {"horizon": horizon}
    steps = 1 if seed % 2 or discounted else horizon
    return exact_games.random_case(seed, states, actions, **limits, illegal=seed % 3 == 0, policy_steps=steps)


def played_out(case: Case, best: mo.BestDeviation) -> float:
    """Value of a deviation that counts its departures, step by step from its choices."""
    game, sigma, rule = case.game, case.sigma, best.deviation
    assert isinstance(rule, mo.LimitedDeviation)
    layers = rule.at(0).shape[0]
    here, total = np.zeros((layers, game.num_states)), 0.0
    here[-1] = game.initial_distribution
    for h in range(game.horizon or 0):
        after = np.zeros_like(here)
        for j, s in np.argwhere(here > 0):
            for joint, p in enumerate(sigma.at(h)[s]):
                told = game.joint_action(joint)[best.agent]
                b = int(rule.at(h)[j, s, told].argmax())
                parts = list(game.joint_action(joint))
                parts[best.agent] = b
                mass, played = here[j, s] * p, game.joint_index(parts)
                total += mass * game.reward(h)[best.agent, s, played]
                assert b == told or j > 0 or p == 0
                after[max(j - (b != told), 0)] += (
                    mass * game.kernel(h).rows().toarray()[s * game.num_joint_actions + played]
                )
        here = after
    return total


@pytest.mark.parametrize("discounted", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_limited_is_the_best_of_all_that_depart_at_most_k_times(seed: int, discounted: bool) -> None:
    case = tiny(seed, discounted)
    inners = [(mo.Swap(), "swap"), (mo.External(), "external"), (mo.Coarse(), "coarse"), (mo.Internal(), "internal")]
    inner, kind = inners[seed % 4]
    maps = oracle_classes.stages(kind)  # type: ignore[arg-type]
    for agent in case.exact_game.agents:
        for k in (0, 1, 2):
            truth = oracle_classes.limited_value(case.exact_game, case.exact_sigma, agent, k, maps)
            if oracle_classes.limited_size(case.exact_game, case.exact_sigma, agent, k, maps) <= 500:
                every = oracle_classes.limited_value_by_enumeration(case.exact_game, case.exact_sigma, agent, k, maps)
                assert every == truth
            by_dp = mo.best_deviation(case.game, case.sigma, agent, mo.Limited(k, inner))
            by_lp = mo.best_deviation(case.game, case.sigma, agent, mo.Limited(k, inner), method="lp")
            for best in (by_dp, by_lp):
                assert Fraction(best.lower) <= truth <= Fraction(best.upper)
                assert best.value == pytest.approx(float(truth), abs=1e-9)
            if not discounted:
                if k:
                    assert played_out(case, by_dp) == pytest.approx(float(truth), abs=1e-9)
                    assert played_out(case, by_lp) == pytest.approx(float(truth), abs=1e-9)
                assert sum(d.probability for d in by_dp.departures(case.game, case.sigma)) <= k + 1e-9
            for form in FORMULATIONS:
                program = mo.programs.deviation(case.game, case.sigma, agent, mo.Limited(k, inner), formulation=form)
                assert solve(program).objective == pytest.approx(float(truth), abs=1e-8)


@pytest.mark.parametrize("discounted", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_budget_is_the_concave_hull_of_all_deterministic_deviations(seed: int, discounted: bool) -> None:
    case = tiny(seed, discounted)
    for agent in case.exact_game.agents:
        vertices = oracle_classes.budget_vertices_by_recursion(case.exact_game, case.exact_sigma, agent)
        for kappa in (0.0, 0.125, 0.5, 1.0, 2.5):
            truth = oracle_classes.budget_value(vertices, Fraction(kappa))
            for method in METHODS:
                best = mo.best_deviation(case.game, case.sigma, agent, mo.Budget(kappa), method=method)
                assert Fraction(best.lower) <= truth <= Fraction(best.upper)
                assert best.value == pytest.approx(float(truth), abs=1e-8)
                followed = mo.values(case.game, best.deviation.apply(case.game, case.sigma))
                assert followed.value[agent] == pytest.approx(float(truth), abs=1e-7)
                spent = sum(d.probability for d in best.departures(case.game, case.sigma))
                assert spent / case.game.occupancy_mass <= kappa + 1e-8


@pytest.mark.parametrize("seed", range(12))
def test_stationary_is_the_best_map_for_all_steps(seed: int) -> None:
    case = tiny(seed)
    for agent in case.exact_game.agents:
        truth = oracle_classes.stationary_value(case.exact_game, case.exact_sigma, agent)
        best = mo.best_deviation(case.game, case.sigma, agent, mo.Stationary())
        assert Fraction(best.lower) <= truth <= Fraction(best.upper)
        assert best.upper - best.lower <= 1e-9
        table = best.deviation.probabilities
        assert (table == table[0]).all() or best.deviation.num_steps is None
        assert best.method == "mip"


@pytest.mark.parametrize("discounted", [False, True])
@pytest.mark.parametrize("seed", range(10))
def test_a_list_is_worth_its_best_member(seed: int, discounted: bool) -> None:
    case, rng = tiny(seed, discounted), np.random.default_rng(seed)
    game, members = case.game, []
    for agent in range(game.num_agents):
        n = game.actions[agent]
        for _ in range(3):
            weights = (rng.random((game.num_states, n, n)) + 0.01) * game.legal[agent][:, None, :]
            members.append(mo.Deviation(agent, weights / weights.sum(axis=2, keepdims=True)))
    listed = mo.Finite(members)
    for agent in range(game.num_agents):
        truths = []
        for phi in listed.of(agent):
            rows = [[[Fraction(p) for p in row] for row in state] for state in phi.probabilities.tolist()]
            exact = [[{b: p / sum(row) for b, p in enumerate(row) if p} for row in state] for state in rows]
            deviated = oracle.deviate(case.exact_game, case.exact_sigma, agent, [exact])
            truths.append(oracle.value(case.exact_game, deviated, agent))
        best = mo.best_deviation(game, case.sigma, agent, listed)
        assert Fraction(best.lower) <= max(truths) <= Fraction(best.upper)
        assert best.deviation is listed.of(agent)[truths.index(max(truths))]
        assert best.method == "enumeration"


@pytest.mark.parametrize("seed", range(40))
def test_larger_classes_gain_no_less(seed: int) -> None:
    case = random_case(seed)
    game, policy = case.game, case.policy

    def gain(deviations: mo.DeviationClass) -> Any:
        return mo.regret(game, policy, deviations).per_agent

    slack, swap = 1e-9 * case.scale, gain(mo.Swap())
    chains: list[list[mo.DeviationClass]] = [
        [mo.External(), mo.Coarse(), mo.Swap()],
        [mo.Internal(), mo.Swap()],
        [mo.Limited(0), mo.Limited(1), mo.Limited(2), mo.Limited(4), mo.Swap()],
        [mo.Limited(1, mo.External()), mo.Limited(1)],
        [mo.Budget(0), mo.Budget(0.25), mo.Budget(0.5), mo.Budget(1), mo.Budget(3), mo.Swap()],
        [mo.Partition([[0] * n for n in game.actions]), mo.Partition([[0, *range(n - 1)] for n in game.actions])],
    ]
    if game.horizon is not None:
        chains.append([mo.Limited(1), mo.Budget(1)])
        if game.horizon <= 4:  # longer ones take the branch and bound minutes
            chains.append([mo.Stationary(), mo.Swap()])
        np.testing.assert_allclose(gain(mo.Limited(game.horizon)), swap, atol=slack)
    for chain in chains:
        gains = [gain(c) for c in chain]
        assert all((less <= more + slack).all() for less, more in pairwise(gains)), chain
    assert (abs(gain(mo.Limited(0))) <= slack).all()
    grid = np.array([gain(mo.Budget(kappa)) for kappa in (0.0, 0.5, 1.0, 1.5, 2.0)])
    assert (grid[:-2] + grid[2:] <= 2 * grid[1:-1] + slack).all()


def test_who_must_leave_twice_gains_nothing_by_leaving_once() -> None:
    """Told 0 twice; only to play 1 both times pays."""
    game = mo.MarkovGame([[0, 1], [1, 2], [2, 2]], [[[0, 0], [0, 0], [1, 1]]], [1, 0, 0], (2,), horizon=3)
    obey = mo.CorrelatedPolicy([[1.0, 0.0]] * 3)
    gains = [mo.regret(game, obey, mo.Limited(k)).value for k in (0, 1, 2, 3)]
    assert gains == [0, 0, 1, 1]
    assert mo.regret(game, obey, mo.Budget(1)).value == pytest.approx(0.5)


def test_what_makes_no_sense_is_refused() -> None:
    chicken = mo.scenarios.chicken()
    uniform = mo.CorrelatedPolicy.uniform(chicken)
    endless = mo.MarkovGame([[0, 0]], [[[0.0, 1.0]]], [1], (2,), discount=0.5)
    always = mo.Deviation.deterministic(0, [[1, 1]])
    for make in (
        lambda: mo.Limited(-1),
        lambda: mo.Limited(1.5),  # type: ignore[arg-type]
        lambda: mo.Limited(1, mo.Budget(1)),  # type: ignore[arg-type]
        lambda: mo.Budget(-1),
        lambda: mo.Budget(float("nan")),
        lambda: mo.Budget(Fraction(1, 3)),  # type: ignore[arg-type]
        lambda: mo.Finite(()),
        lambda: mo.Finite(always),  # type: ignore[arg-type]
        lambda: mo.regret(endless, mo.CorrelatedPolicy.uniform(endless), mo.Stationary()),
        lambda: mo.best_deviation(chicken, uniform, 1, mo.Finite((always,))),
        lambda: mo.regret(
            endless, mo.CorrelatedPolicy.uniform(endless), mo.Finite((mo.Deviation(0, np.ones((2, 1, 1))),))
        ),
        lambda: mo.programs.deviation(chicken, uniform, 0, mo.Finite((always,))),
        lambda: mo.best_deviation(chicken, uniform, 0, mo.Limited(1)).deviation.apply(chicken, uniform),
    ):
        with pytest.raises(InvalidDeviation):
            make()
    for deviations in (mo.Finite((always,)), mo.Stationary()):
        with pytest.raises(InvalidOption, match="must be one of 'auto'"):
            mo.regret(chicken, uniform, deviations, method="lp")
    with pytest.raises(UnknownAgent):
        mo.regret(chicken, uniform, mo.Finite((mo.Deviation.deterministic(2, [[1, 1]]),)))
    wide = mo.MarkovGame(np.zeros((60, 9), dtype=int), np.zeros((2, 60, 9)), np.eye(60)[0], (3, 3), horizon=2)
    with pytest.raises(GameTooLarge, match="540 variables"):
        mo.regret(wide, mo.CorrelatedPolicy.uniform(wide), mo.Stationary())
    assert mo.regret(chicken, uniform, mo.Finite((always,))).per_agent[1] == -np.inf


def test_classes_print_what_they_are() -> None:
    always = mo.Deviation.deterministic(0, [[1, 1]])
    shown = [mo.Limited(2), mo.Limited(1, mo.External()), mo.Budget(0.5), mo.Finite([always, always]), mo.Stationary()]
    assert [repr(c) for c in shown] == [
        "Limited(2)",
        "Limited(1, External())",
        "Budget(0.5)",
        "Finite(2 of agent 0)",
        "Stationary()",
    ]
    assert [c.contains_obedience for c in shown] == [True, True, True, False, True]
    assert [c.methods for c in shown] == [("dp", "lp")] * 3 + [("enumeration",), ("mip",)]
