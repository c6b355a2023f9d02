"""Bounds of what equilibria reach and of what none can beat, against fractions: on the right side, and narrow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal, localcontext
from fractions import Fraction
from importlib import import_module
from random import Random
from typing import Any

import numpy as np
import pytest

import mailopt as mo
from mailopt.equilibria import optimum
from tests import exact_classes, oracle
from tests.equilibria import equilibrium_oracle
from tests.equilibria.equilibrium_oracle import MinusDistance, Stage, best, optimise
from tests.equilibria.test_against_oracle import (
    EVEN,
    PAYOFFS,
    classes,
    form,
    library,
    normal_form,
    objectives,
    policy_of,
    random_row,
    row_of,
    small_markov,
    stage_for,
)
from tests.exact_classes import EXTERNAL, SWAP, Paired
from tests.oracle import Number, Policy, Row

LESS_IS_BETTER = ("least regret", "nearest")
NAMES = ["swap", "external", "coarse", "internal", "partition", "restricted"]
NARROW = 1e-9


def enclosed(lower: float | None, value: Fraction, upper: float | None, scale: float) -> float:
    """Width relative to a scale."""
    assert lower is not None
    assert upper is not None
    assert Fraction(lower) <= value <= Fraction(upper)
    return (upper - lower) / scale if scale else upper - lower


def largest(stage: Stage) -> float:
    """Largest payoff of a legal joint action, which decides how exactly doubles know a sum."""
    return float(max(abs(row[a]) for row in stage.worth for a in stage.legal))


def exactly(policy: mo.CorrelatedPolicy) -> Policy:
    """What a policy stands for, with the fractions that it was given."""
    rows = policy.fractions()
    return [[list(row) for row in step] for step in (rows if rows.ndim == 3 else rows[None])]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", PAYOFFS)
def test_what_is_reached_and_what_cannot_be_beaten(kind: str, name: str) -> None:
    game = form(kind, 2)
    paired = classes(game)[name]
    stage, rng = stage_for(game, paired), Random(f"{kind} {name}")
    size, range_ = largest(stage), float(max(stage.span(i) for i in game.agents))
    offered = objectives(game, stage, rng.randrange(100))
    for label in rng.sample(list(offered), 4):
        asked, objective, _ = offered[label]
        for epsilon in (0.0, range_ / 8):
            found = mo.correlated_equilibrium(
                library(game), deviations=paired.library, objective=asked, epsilon=epsilon
            )
            sign = -1 if label in LESS_IS_BETTER else 1
            scale = 1.0 if label == "nearest" else 10.0 * (1.0 if label == "joint actions" else size)
            reached = sign * objective.value(stage, row_of(found.policy))
            assert enclosed(found.objective_lower, reached, found.objective_upper, scale) <= NARROW
            assert found.objective_lower is not None
            assert found.objective_upper is not None
            assert found.objective is not None
            assert found.objective_lower <= found.objective <= found.objective_upper
            assert found.objective_bound is not None
            ahead = Fraction(found.objective_bound) - sign * best(stage, objective, Fraction(epsilon))
            assert sign * ahead >= 0
            if kind in EVEN:
                assert abs(float(ahead)) <= 1e-7 * scale


@pytest.mark.parametrize("kind", ["fractions", "square", "illegal", "three agents"])
def test_exact_results(kind: str) -> None:
    """Both are as narrow as doubles can be."""
    game = form(kind, 3)
    stage = stage_for(game, SWAP)
    for label, (asked, objective, _) in objectives(game, stage, 3).items():
        found = mo.correlated_equilibrium(library(game), objective=asked, exact=True)
        sign = -1 if label in LESS_IS_BETTER else 1
        optimum_ = sign * best(stage, objective)
        assert enclosed(found.objective_lower, optimum_, found.objective_upper, 1.0) <= 1e-13
        assert found.objective_bound in (found.objective_lower, found.objective_upper)
        assert found.objective_bound is not None
        assert sign * (Fraction(found.objective_bound) - optimum_) >= 0


def entropy(row: Row) -> Fraction:
    """-sum p log p to forty digits."""
    with localcontext() as context:
        context.prec = 60
        logs = [(p, (Decimal(p.numerator) / Decimal(p.denominator)).ln()) for p in row if p]
        return -sum((p * Fraction(log) for p, log in logs), Fraction(0))


def gini(row: Row) -> Fraction:
    return 1 - sum((p * p for p in row), Fraction(0))


@pytest.mark.parametrize("goal", ["entropy", "gini"])
@pytest.mark.parametrize("paired", [SWAP, EXTERNAL], ids=["swap", "external"])
@pytest.mark.parametrize("kind", ["plain", "square", "ties", "fractions", "illegal", "one agent", "three agents"])
def test_entropy_and_gini(kind: str, paired: Paired, goal: str) -> None:
    """No mixture of exact equilibria beats the bound, which is tight where there is room for regret."""
    game, measured = form(kind, 4), entropy if goal == "entropy" else gini
    stage, rng = stage_for(game, paired), Random(kind)
    size = float(max(stage.span(i) for i in game.agents))
    for epsilon in (0.0, size / 10):
        found = mo.correlated_equilibrium(library(game), deviations=paired.library, objective=goal, epsilon=epsilon)
        assert enclosed(found.objective_lower, measured(row_of(found.policy)), found.objective_upper, 1.0) <= 1e-12
        assert found.objective is not None
        assert found.objective_bound is not None
        if epsilon:
            assert found.objective - 1e-9 <= found.objective_bound <= found.objective + 1e-6
        goals = [[Fraction(rng.randint(-9, 9)) for _ in stage.welfare] for _ in range(3)]
        corners = [optimise(stage, [equilibrium_oracle.Linear(weights)], Fraction(epsilon))[1] for weights in goals]
        for shares in ((1, 0, 0), (1, 1, 0), (1, 1, 1), (2, 3, 5)):
            mixed = [
                Fraction(oracle.dot(list(map(Fraction, shares)), list(p)), sum(shares))
                for p in zip(*corners, strict=True)
            ]
            assert measured(mixed) <= Fraction(found.objective_bound)


@pytest.mark.parametrize("seed", range(10))
def test_markov_games(seed: int) -> None:
    """Objectives that are values of agents, or regrets, from the start."""
    case = small_markov(seed)
    game = case.exact_game
    paired = list(classes(game, seed).values())[seed % 7]
    for label in ("welfare", "weighted", "preferred", "egalitarian", "least regret"):
        weights = [Fraction(1, 3), Fraction(-2), Fraction(5, 7)][: len(game.actions)]
        asked: dict[str, Any] = {
            "welfare": "welfare",
            "weighted": mo.objectives.Weighted(weights),
            "preferred": mo.objectives.Preferred(1),
            "egalitarian": "egalitarian",
            "least regret": "least_regret",
        }
        found = mo.correlated_equilibrium(case.game, deviations=paired.library, objective=asked[label], epsilon=0.5)
        policy = exact_classes.exact_policy_of(found.policy)
        values = [oracle.value(game, policy, i) for i in game.agents]
        true = {
            "welfare": sum(values, Fraction(0)),
            "weighted": oracle.dot(weights, values),
            "preferred": values[1],
            "egalitarian": min(values),
            "least regret": paired.regret(game, policy),
        }[label]
        assert enclosed(found.objective_lower, true, found.objective_upper, 10.0) <= 1e-12
        assert found.objective_bound is None
    for objective in ("entropy", mo.objectives.JointActions([1.0] * len(game.joint_actions))):
        found = mo.correlated_equilibrium(case.game, objective=objective)
        assert (found.objective, found.objective_lower, found.objective_upper) == (None, None, None)


def test_payoffs_that_are_no_doubles(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bound from doubles below the fractions would be beaten by the exact optimum; the rounding is needed."""

    def beaten(third: Fraction) -> bool:
        base = 10**6
        game = normal_form([[base + third, base, base, base], [-base] * 4], (2, 2))
        found = mo.correlated_equilibrium(library(game))
        assert found.objective_bound is not None
        return Fraction(found.objective_bound) < third

    payoffs = [Fraction(k, 3 * 7**j) for j in range(8) for k in (1, 2, 4, 5)]
    assert not any(map(beaten, payoffs))
    monkeypatch.setattr(optimum, "gamma", lambda _: 0.0)
    monkeypatch.setattr(optimum, "TINY", 0.0)
    assert sum(map(beaten, payoffs)) > 3


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["plain", "square", "fractions", "illegal", "duplicates", "tiny", "huge"])
def test_repairs_of_normal_forms(kind: str, name: str) -> None:
    game, rng = form(kind, 5), Random(kind)
    paired = classes(game)[name]
    stage = stage_for(game, paired)
    size = max(stage.span(i) for i in game.agents)
    target = random_row(rng, stage.legal, len(stage.welfare))
    weights = [Fraction(rng.randint(1, 9)) if a in stage.legal else Fraction(0) for a in range(len(target))]
    thirds = [w / sum(weights) for w in weights]
    for row, given in (
        (target, policy_of([[target]])),
        (thirds, mo.CorrelatedPolicy(np.array([thirds], dtype=object))),
    ):
        for epsilon in (float(size / 10), float(size * 10)):
            found = mo.regret_constrained_imitation(library(game), given, epsilon=epsilon, deviations=paired.library)
            x = exactly(found.policy)[0][0]
            moved = equilibrium_oracle.distance(x, row)
            assert enclosed(found.distance_lower, moved, found.distance_upper, 1.0) <= 1e-12
            assert found.distance_bound is not None
            least = -best(stage, MinusDistance(row), Fraction(epsilon))
            assert Fraction(found.distance_bound) <= least
            assert float(least) - found.distance_bound <= 1e-7
            for i, worth in enumerate(stage.worth):
                paid = oracle.dot(worth, row) - oracle.dot(worth, x)
                ends = float(found.value_paid_lower[i]), float(found.value_paid_upper[i])
                assert enclosed(ends[0], paid, ends[1], largest(stage)) <= 1e-12
                assert ends[0] <= found.value_paid[i] <= ends[1]


@pytest.mark.parametrize("seed", range(8))
def test_repairs_of_markov_games(seed: int) -> None:
    case = small_markov(seed, horizon=1 + seed % 3)
    game = case.exact_game
    assert game.horizon is not None
    known = np.random.default_rng(seed).random((game.horizon, len(game.initial))) < 0.7
    given: list[Any] = [mo.repair(case.game, case.sigma, epsilon=epsilon) for epsilon in (0.25, 100.0)]
    given.append(mo.regret_constrained_imitation(case.game, case.sigma, epsilon=0.25, known=known))
    for found in given:
        policy = exactly(found.policy)
        everywhere = found is not given[-1]
        apart = [
            equilibrium_oracle.distance(oracle.at(policy, h)[s], oracle.at(case.exact_sigma, h)[s])
            for h in range(game.horizon)
            for s in game.states
            if everywhere or known[h, s]
        ]
        mean = sum(apart, Fraction(0)) / max(1, len(apart))
        assert enclosed(found.distance_lower, mean, found.distance_upper, 1.0) <= 1e-12
        assert found.distance_lower <= found.distance <= found.distance_upper
        if not case.game.is_normal_form:
            assert (found.distance_bound is None) == (found.distance > 0)
        for i in game.agents:
            paid = oracle.value(game, case.exact_sigma, i) - oracle.value(game, policy, i)
            ends = float(found.value_paid_lower[i]), float(found.value_paid_upper[i])
            assert enclosed(ends[0], paid, ends[1], 10.0) <= 1e-12


def test_distances_are_sums_that_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of 64 joint actions whose doubles do not sum to exactly one."""

    def missed(seed: int) -> bool:
        rng = np.random.default_rng(seed)
        game = mo.MarkovGame.from_normal_form(rng.integers(-9, 10, (2, 8, 8)))
        row = rng.dirichlet(np.full(64, 0.2))
        given = mo.CorrelatedPolicy((row * (1 + 5e-10 * rng.random(64)))[None])
        found = mo.repair(game, given, epsilon=0.5, deviations=mo.External())
        moved = equilibrium_oracle.distance(exactly(given)[0][0], exactly(found.policy)[0][0])
        assert found.distance_upper - found.distance_lower <= 1e-12
        return not Fraction(found.distance_lower) <= moved <= Fraction(found.distance_upper)

    assert not any(map(missed, range(15)))
    monkeypatch.setattr(import_module("mailopt.equilibria.repair"), "gamma", lambda _: 0.0)
    assert any(map(missed, range(15)))


def support(stage: Stage, agents: Sequence[int], weights: Sequence[Fraction]) -> Fraction:
    """Most of a combination of two payoffs that an equilibrium gives."""
    first, second = (stage.worth[i] for i in agents)
    goal = [weights[0] * p + weights[1] * q for p, q in zip(first, second, strict=True)]
    return best(stage, equilibrium_oracle.Linear(goal))


@pytest.mark.parametrize("paired", [SWAP, EXTERNAL], ids=["swap", "external"])
@pytest.mark.parametrize(
    "kind", ["plain", "square", "ties", "constant", "one action", "three agents", "huge", "illegal", "fractions"]
)
def test_payoff_regions(kind: str, paired: Paired) -> None:
    for seed in range(3):
        game = form(kind, seed)
        stage, size = stage_for(game, paired), 1e-300
        agents = (0, len(game.actions) - 1)
        region = mo.payoff_region(library(game), paired.library, agents=agents)
        count = len(region.vertices)
        assert region.edges.shape == (count if count > 2 else 4, 3)
        assert region.lower.shape == region.upper.shape == region.vertices.shape
        size = max(size, largest(stage))
        for corner, policy in enumerate(region.policies):
            for k, i in enumerate(agents):
                value = oracle.dot(stage.worth[i], row_of(policy))
                ends = float(region.lower[corner, k]), float(region.upper[corner, k])
                assert enclosed(ends[0], value, ends[1], size) <= 1e-12
                assert ends[0] <= region.vertices[corner, k] <= ends[1]
        for first, second, bound in region.edges.tolist():
            most = support(stage, agents, (Fraction(first), Fraction(second)))
            scale = size * (abs(first) + abs(second))
            assert 0 <= Fraction(bound) - most <= Fraction(1e-8 * scale)
        if count > 2:
            across = [region.edges[j, :2] @ region.vertices[k % count] for j in range(count) for k in (j, j + 1)]
            assert across == pytest.approx(np.repeat(region.edges[:, 2], 2).tolist(), abs=1e-7 * size)


def test_regions_whose_payoffs_are_no_doubles(monkeypatch: pytest.MonkeyPatch) -> None:
    """As above: without the rounding some half-plane would cut off an equilibrium."""

    def cut(third: Fraction) -> bool:
        base = 10**6
        first: list[Number] = [base + third, base - 1, base - 1, base]
        game = normal_form([first, [-base, -base - 1, -base - 1, -base + third]], (2, 2))
        stage = stage_for(game, SWAP)
        edges = mo.payoff_region(library(game)).edges.tolist()
        return any(Fraction(b) < support(stage, (0, 1), (Fraction(w), Fraction(v))) for w, v, b in edges)

    payoffs = [Fraction(k, 3 * 7**j) for j in range(6) for k in (1, 2)]
    assert not any(map(cut, payoffs))
    monkeypatch.setattr(optimum, "gamma", lambda _: 0.0)
    monkeypatch.setattr(optimum, "TINY", 0.0)
    assert any(map(cut, payoffs))


@pytest.mark.parametrize("seed", range(6))
def test_mixtures_of_many_joint_actions(seed: int) -> None:
    """Rows of 64 joint actions whose sums round, drawn from with weights that round as well."""
    rng = Random(seed)
    size = 64
    payoffs = [[Fraction(rng.randint(-999, 999), 997) for _ in range(size)] for _ in range(2)]
    game = normal_form(payoffs, (8, 8))
    rows = [[Fraction(rng.random()) for _ in range(size)] for _ in range(3)]
    rows = [[p / sum(row) for p in row] for row in rows]
    policies = [policy_of([[row]]) for row in rows]
    weights = [0.2, 0.3, 0.5]
    found = mo.mixture_regret(library(game), policies, weights)
    total = sum(map(Fraction, weights), Fraction(0))
    mixed = [
        sum((Fraction(w) * p for w, p in zip(weights, column, strict=True)), Fraction(0)) / total
        for column in zip(*(row_of(policy) for policy in policies), strict=True)
    ]
    gains = []
    for i, table in enumerate(payoffs):
        total_gain = Fraction(0)
        for told in range(8):
            group = [a for a, joint in enumerate(game.joint_actions) if joint[i] == told]
            total_gain += max(
                sum((mixed[a] * (table[game.replaced(a, i, b)] - table[a]) for a in group), Fraction(0))
                for b in range(8)
            )
        gains.append(total_gain)
    true = max(gains)
    assert enclosed(found.lower, true, found.upper, 1.0) <= 1e-12


def test_results_can_be_told_apart_from_what_they_claim() -> None:
    """The bound is about all equilibria, the enclosure about the one that is returned."""
    chicken = mo.scenarios.chicken()
    found = mo.correlated_equilibrium(chicken, objective="feasible")
    assert (found.objective, found.objective_bound) == (0.0, None)
    least = mo.correlated_equilibrium(chicken, deviations=mo.External(), objective="least_regret")
    assert least.objective_bound is not None
    assert least.objective_upper is not None
    assert least.objective_bound <= least.objective_upper < least.objective_bound + 1e-9
    assert replace(least, objective=None).objective is None
