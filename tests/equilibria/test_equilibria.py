"""What equilibria say of themselves: bounds of the optimum, shapes, provenance, discounted ends, convex programs."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import cvxpy
import numpy as np
import pytest

import mailopt as mo
from mailopt import errors
from mailopt.games.numbers import FloatArray
from mailopt_solvers import Highs, solve
from tests.random_games import random_case

cp: Any = cvxpy  # its names are made at run time
OBJECTIVES = mo.objectives
CLASSES = [mo.Swap(), mo.External(), mo.Coarse(), mo.Internal(), mo.Partition([0, 0, 1])]


def untyped(value: object) -> Any:
    """Pass something of the wrong type."""
    return value


def integers(seed: int, *actions: int) -> mo.MarkovGame:
    rng = np.random.default_rng(seed)
    return mo.MarkovGame.from_normal_form(rng.integers(-5, 6, (len(actions), *actions)) / 3)


@pytest.mark.parametrize("deviations", CLASSES, ids=repr)
@pytest.mark.parametrize("seed", range(4))
def test_no_equilibrium_beats_the_bound(deviations: mo.DeviationClass, seed: int) -> None:
    """The bound holds for the exact optimum, and is close to it; a distance is bounded from below."""
    game = integers(seed, 3, 3)
    target = mo.CorrelatedPolicy(np.random.default_rng(seed).dirichlet(np.ones(9))[None])
    goals = [OBJECTIVES.Welfare(), OBJECTIVES.Egalitarian(), OBJECTIVES.Weighted([-2, 1]), OBJECTIVES.Nearest(target)]
    for goal in goals:
        for epsilon in (Fraction(0), Fraction(1, 7)):
            found = mo.correlated_equilibrium(game, deviations=deviations, objective=goal, epsilon=epsilon)
            best = mo.correlated_equilibrium(game, deviations=deviations, objective=goal, epsilon=epsilon, exact=True)
            assert best.exact is not None
            assert best.exact.objective is not None
            assert found.objective_bound is not None
            ahead = Fraction(found.objective_bound) - best.exact.objective
            if isinstance(goal, OBJECTIVES.Nearest):
                ahead = -ahead
            assert 0 <= ahead <= 1e-7
            assert best.exact.regret <= epsilon


def test_shapes_and_provenance() -> None:
    chicken = mo.correlated_equilibrium(mo.scenarios.chicken())
    assert chicken.policy.probabilities.shape == (1, 4)
    assert [m.shape for m in chicken.multipliers] == [(2, 2), (2, 2)]
    assert (chicken.work.stages, chicken.work.programs, chicken.work.solver) == (1, 1, "highs")
    assert chicken.work.rounding < 1e-9
    assert repr(chicken) == (
        "CorrelatedEquilibrium(Swap(), Welfare() 10.5, regret 0 <= 3.91e-14; 1 of 1 stages by program)"
    )
    dilemma = mo.correlated_equilibrium(
        mo.scenarios.prisoners_dilemma(), objective=OBJECTIVES.JointActions([0, 0, 0, 1])
    )
    assert (dilemma.work.stages, dilemma.work.programs) == (1, 0)
    chain = mo.scenarios.unvisited_chain(3)
    markov = mo.correlated_equilibrium(chain.game, deviations=mo.External())
    assert markov.policy.probabilities.shape == (3, 6, 4)
    assert [m.shape for m in markov.multipliers] == [(3, 6, 1, 2)] * 2
    assert markov.stage_objectives.shape == (3, 6)
    assert markov.objective == pytest.approx(float(markov.values.value.sum()))
    assert (markov.unique, markov.objective_bound) == (None, None)
    exact = mo.correlated_equilibrium(chain.game, exact=True)
    assert exact.exact is not None
    assert exact.exact.probabilities.shape == (3, 6, 4)
    assert exact.exact.regret == 0


def test_one_agent_is_a_decision_process() -> None:
    rng = np.random.default_rng(5)
    transitions = rng.dirichlet(np.ones(4), (4, 3))
    rewards = rng.normal(size=(1, 4, 3))
    for time in ({"horizon": 5}, {"discount": 0.8}):
        game = mo.MarkovGame(transitions, rewards, np.full(4, 0.25), (3,), **time)
        found = mo.correlated_equilibrium(game)
        best = mo.best_deviation(game, mo.CorrelatedPolicy.uniform(game), 0).value
        assert found.values.value[0] == pytest.approx(best, abs=1e-5)
        assert found.work.programs == 0


def test_discounted_ends() -> None:
    """Value iteration that comes to rest gives a stationary policy, else steps are put in front of one."""
    kinds = set()
    for seed in range(0, 24, 2):
        case = random_case(seed)
        assert case.game.discount is not None
        if case.game.discount > 0.95:
            continue
        for epsilon in (0.0, 0.05 * case.scale):
            found = mo.correlated_equilibrium(case.game, objective="egalitarian", epsilon=epsilon)
            kinds.add(found.policy.num_steps is None)
            span = float(np.ptp(case.game.rewards[:, case.game.joint_legal]))
            allowed = epsilon or 1e-6 * span / (1.0 - case.game.discount) + 1e-9 * case.scale
            assert found.regret.upper <= allowed
    assert kinds == {True, False}


def test_the_progress_bar_is_shown_if_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    chain = mo.scenarios.unvisited_chain(3)
    mo.correlated_equilibrium(chain.game)
    assert capsys.readouterr().out == ""
    mo.correlated_equilibrium(chain.game, progress=True)
    assert "backward induction" in capsys.readouterr().out


def test_solvers() -> None:
    game = mo.scenarios.shapley()
    for solver in ("highs", Highs("simplex"), Highs("ipm")):
        found = mo.correlated_equilibrium(game, solver=solver)
        assert found.objective == pytest.approx(1.0)
    with pytest.raises(errors.InvalidOption, match="HiGHS"):
        mo.correlated_equilibrium(game, solver="scipy")


def test_the_program_has_the_optimum_of_the_result() -> None:
    game = integers(3, 3, 2, 2)
    for objective in ("welfare", "egalitarian"):
        program = mo.programs.equilibrium(game, objective=objective)
        found = mo.correlated_equilibrium(game, objective=objective)
        ratio = solve(program).objective / (found.objective or 1.0)
        assert np.log2(ratio) == pytest.approx(round(np.log2(ratio)), abs=1e-9)


def test_mixtures_need_a_deviation_of_each_agent() -> None:
    game = mo.scenarios.chicken()
    policy = mo.CorrelatedPolicy.uniform(game)
    only = mo.Finite([mo.Deviation.deterministic(0, [[0, 0]])])
    with pytest.raises(errors.InvalidDeviation, match="agent 1"):
        mo.mixture_regret(game, [policy], [1.0], only)
    with pytest.raises(errors.InvalidPolicy, match="at least one"):
        mo.mixture_regret(game, [], [])
    with pytest.raises(errors.InvalidDeviation, match="Limited"):
        mo.mixture_regret(game, [policy], [1.0], mo.Limited(1))


def test_convex_programs_of_ones_own() -> None:
    """The fairest equilibrium occupancy-wise: largest log-welfare over the equilibria of chicken, symmetric."""
    game = mo.scenarios.chicken()
    sigma: Any = cp.Variable((1, 4))
    payoffs = [cp.sum(cp.multiply(game.rewards[i], sigma)) for i in range(2)]
    problem = cp.Problem(cp.Maximize(cp.log(payoffs[0]) + cp.log(payoffs[1])), mo.cvx.obedience(game, sigma))
    problem.solve(solver=cp.CLARABEL)
    assert sigma.value == pytest.approx(np.array([[0, 0.25, 0.25, 0.5]]), abs=1e-5)
    gains: list[Any] = [mo.cvx.deviation_incentives(game, sigma, i) for i in range(2)]
    assert [float(g.value[0]) for g in gains] == pytest.approx([0.0, 0.0], abs=1e-6)
    mu = cp.Variable(4)
    best = cp.Problem(cp.Maximize(game.rewards[0] @ mu), mo.cvx.flow(game, mu))
    assert best.solve(solver=cp.CLARABEL) == pytest.approx(7.0, abs=1e-6)


@pytest.mark.parametrize(
    ("error", "ask"),
    [
        (errors.InvalidOption, lambda g: mo.cvx.flow(g, cp.Variable)),
        (errors.GameShape, lambda g: mo.cvx.flow(g, cp.Variable(5))),
        (errors.GameShape, lambda g: mo.cvx.obedience(g, cp.Variable(4), action_values=np.zeros(3))),
        (errors.GameNumber, lambda g: mo.cvx.obedience(g, cp.Variable(4), action_values=np.full((2, 1, 4), np.nan))),
        (errors.InvalidOption, lambda g: mo.payoff_region(g, agents=(0, 0))),
        (errors.InvalidGame, mo.zero_sum_equilibrium),
        (errors.InvalidOption, lambda g: mo.repair(g, mo.CorrelatedPolicy.uniform(g), epsilon=float("inf"))),
        (errors.NoEquilibrium, lambda g: mo.repair(g, mo.CorrelatedPolicy.uniform(g), epsilon=-1)),
    ],
)
def test_typed_errors(error: type[Exception], ask: Any) -> None:
    with pytest.raises(error):
        ask(mo.scenarios.chicken())


def test_large_games_are_refused_by_the_enumeration() -> None:
    payoffs: FloatArray = np.zeros((2, 6, 6))
    with pytest.raises(errors.GameTooLarge, match="36 joint actions"):
        mo.correlated_equilibrium_polytope(mo.MarkovGame.from_normal_form(payoffs))


def test_a_target_with_steps_keeps_them_in_a_discounted_game() -> None:
    game = mo.MarkovGame(np.zeros((1, 4), dtype=int), np.zeros((2, 1, 4)), [1.0], (2, 2), discount=0.5)
    target = mo.CorrelatedPolicy([[[1, 0, 0, 0]], [[0, 0, 0, 1]]])
    found = mo.correlated_equilibrium(game, objective=OBJECTIVES.Nearest(target))
    assert found.policy.probabilities.tolist() == target.probabilities.tolist()


@pytest.mark.parametrize("ratio", [1e-6, 1e-9, 1e-12])
def test_payoffs_of_different_units(ratio: float) -> None:
    """Each agent's payoffs count in their own units, so that egalitarian optima are those of fractions."""
    game = mo.scenarios.chicken()
    unequal = mo.MarkovGame.from_normal_form((game.rewards[:, 0] * [[1.0], [ratio]]).reshape(2, 2, 2) / 7)
    found = mo.correlated_equilibrium(unequal, objective="egalitarian")
    exact = mo.correlated_equilibrium(unequal, objective="egalitarian", exact=True)
    assert exact.exact is not None
    assert exact.exact.objective is not None
    assert found.objective == pytest.approx(float(exact.exact.objective), rel=1e-6)
    assert found.unique in (exact.unique, None)


def test_an_agent_without_a_choice_does_not_set_the_units() -> None:
    payoffs = np.zeros((3, 2, 2, 1))
    payoffs[:2, [0, 1], [0, 1]] = 1e-13
    game = mo.MarkovGame.from_normal_form(payoffs)
    found = mo.correlated_equilibrium(game, deviations=mo.External(), objective="least_regret", epsilon=1e-13)
    assert found.regret.value <= 1e-20


@pytest.mark.parametrize("discount", [0.9, 0.999, 0.9999])
def test_zero_sum_games_of_long_horizon(discount: float) -> None:
    rng = np.random.default_rng(0)
    rewards = rng.normal(size=(6, 9))
    transitions = rng.dirichlet(np.ones(6), (6, 9))
    game = mo.MarkovGame(transitions, [rewards, -rewards], np.full(6, 1 / 6), (3, 3), discount=discount)
    found = mo.zero_sum_equilibrium(game)
    assert found.upper - found.lower <= 1e-9 * float(np.ptp(rewards)) / (1 - discount)


def test_stationary_policies_stay_stationary() -> None:
    game = mo.scenarios.chicken()
    for discount, epsilon in ((0.0, 0.1), (0.8, 0.05)):
        repeated = mo.MarkovGame(np.zeros((1, 4), dtype=int), game.rewards, [1.0], (2, 2), discount=discount)
        assert mo.correlated_equilibrium(repeated, epsilon=epsilon).policy.num_steps is None
        assert mo.repair(repeated, mo.CorrelatedPolicy.uniform(repeated), epsilon=epsilon).policy.num_steps is None


def test_regions_have_no_corner_on_an_edge() -> None:
    payoffs = [[[2, 0, 0], [2, 0, 2], [0, 1, 0]], [[1, 2, 2], [2, 2, 1], [2, 1, 0]]]
    game = mo.MarkovGame.from_normal_form(payoffs)
    corners = [len(mo.payoff_region(game, d).vertices) for d in (mo.External(), mo.Coarse())]
    assert corners == [3, 3]


def test_masks_of_steps_in_ones_own_programs() -> None:
    transitions = np.zeros((1, 4), dtype=int)
    game = mo.MarkovGame(transitions, mo.scenarios.chicken().rewards, [1.0], (2, 2), horizon=2)
    free, bound = np.ones((1, 2, 2), dtype=bool), np.eye(2, dtype=bool)[None]
    deviations = mo.Restricted([np.stack([free, bound])] * 2)
    sigma: Any = cp.Variable(4)
    best = []
    for step in (0, 1):
        rules = mo.cvx.obedience(game, sigma, deviations=deviations, action_values=game.reward(0), step=step)
        best.append(cp.Problem(cp.Maximize(game.rewards.sum(axis=0)[0] @ sigma), rules).solve(solver=cp.CLARABEL))
    assert best == pytest.approx([10.5, 12.0], abs=1e-6)


@pytest.mark.parametrize(
    ("error", "ask"),
    [
        (errors.InvalidOption, lambda g: mo.programs.equilibrium(g, objective="entropy")),
        (errors.InvalidOption, lambda g: mo.correlated_equilibrium(g, objective=OBJECTIVES.Objective())),
        (errors.InvalidOption, lambda g: mo.correlated_equilibrium(g, objective=OBJECTIVES.Linear())),
        (errors.InvalidOption, lambda g: mo.payoff_region(g, agents=untyped(1))),
        (errors.InvalidPolicy, lambda g: mo.mixture_regret(g, untyped(mo.CorrelatedPolicy.uniform(g)), [1])),
        (errors.InvalidGame, lambda g: mo.cvx.flow(untyped(None), untyped(g))),
        (errors.InvalidNumber, lambda g: mo.correlated_equilibrium(g.with_rewards(g.rewards * 1e307))),
    ],
)
def test_more_typed_errors(error: type[Exception], ask: Any) -> None:
    with pytest.raises(error):
        ask(mo.scenarios.chicken())


def test_finite_lists_of_a_mixture_are_decided() -> None:
    case = random_case(3)
    rng = np.random.default_rng(0)
    policies = [mo.CorrelatedPolicy.uniform(case.game), case.policy]
    lists = []
    for agent, n in enumerate(case.game.actions):
        choices = [np.flatnonzero(mask)[rng.integers(mask.sum(), size=n)] for mask in case.game.legal[agent]]
        lists.append(mo.Deviation.deterministic(agent, np.stack(choices)))
    found = mo.mixture_regret(case.game, policies, [0.25, 0.75], mo.Finite(lists))
    assert 0 <= found.upper - found.lower <= 1e-9 * case.scale


def test_hostile_units_do_not_stop_the_solver() -> None:
    """An epsilon that is plenty for one agent, and earlier objectives that leave no room beside their optima."""
    small, large = [[-3e-5, 2e-5], [2e-5, -1e-5], [-4e-5, -4e-5]], [[-2e7, -2e7], [1e7, -2e7], [-3e7, 3e7]]
    game = mo.MarkovGame.from_normal_form([small, large])
    assert mo.correlated_equilibrium(game, objective="entropy", epsilon=1.8e7).regret.upper <= 1.8e7
    poor = mo.MarkovGame.from_normal_form([[[-3e-8], [-2e-8]], [[-0.01], [0.0]]])
    for deviations in (mo.Swap(), mo.External()):
        both = OBJECTIVES.Lexicographic(["egalitarian", "welfare"])
        found = mo.correlated_equilibrium(poor, deviations=deviations, objective=both)
        assert found.policy.probabilities[0, 1] == pytest.approx(1.0)
