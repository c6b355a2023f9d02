"""Equilibria against exact linear programs over every deviation, on games made to be awkward."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import product
from math import prod
from random import Random
from typing import Any

import cvxpy
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

import mailopt as mo
from mailopt_solvers import solve
from tests import exact_classes, exact_games, oracle, oracle_classes
from tests.equilibria import equilibrium_oracle
from tests.equilibria.equilibrium_oracle import (
    Egalitarian,
    Impossible,
    Linear,
    MinusDistance,
    MinusRegret,
    Objective,
    Stage,
    best,
    one_shot,
    optimise,
    stages_under,
)
from tests.exact_classes import COARSE, EXTERNAL, FOUR, INTERNAL, SWAP, Paired
from tests.oracle import ExactGame, Number, Policy, Row

cp: Any = cvxpy
TOLERANCE = 1e-6
PAYOFFS: dict[str, tuple[int, ...]] = {
    "plain": (3, 2),
    "square": (3, 3),
    "ties": (2, 3),
    "constant": (2, 2),
    "one action": (1, 3),
    "one agent": (4,),
    "three agents": (2, 2, 2),
    "four agents": (2, 1, 2, 2),
    "five agents": (2, 2, 2, 2, 2),
    "duplicates": (3, 3),
    "tiny": (2, 3),
    "huge": (3, 2),
    "unequal agents": (2, 2),
    "mixed": (3, 2),
    "nearly tied": (2, 2),
    "fractions": (2, 3),
    "far from zero": (3, 2),
    "illegal": (3, 3),
}
EVEN = [kind for kind in PAYOFFS if kind not in ("mixed", "nearly tied", "unequal agents")]


# Games


def form(kind: str, seed: int = 0) -> ExactGame:
    """Draw a normal-form game of a kind."""
    rng, actions = Random(f"{kind} {seed}"), PAYOFFS[kind]
    joints = list(product(*map(range, actions)))

    def payoff(agent: int) -> Number:
        if kind in ("square", "three agents", "five agents", "duplicates", "illegal"):
            return rng.randint(-5, 5)
        if kind == "far from zero":
            return 10**6 * (agent + 1) + rng.randint(0, 9)
        if kind == "ties":
            return rng.randint(-1, 1)
        if kind == "constant":
            return 3 - agent
        if kind in ("tiny", "huge"):
            return rng.randint(-9, 9) * (1e-6 if kind == "tiny" else 1e6)
        if kind == "unequal agents":
            return rng.randint(-9, 9) * (1e6 if agent else 1e-6)
        if kind == "mixed":
            return rng.choice((-1, 1)) * 10 ** rng.uniform(-6, 6)
        if kind == "nearly tied":
            return rng.randint(0, 1) + rng.randint(0, 3) * 2**-40
        return Fraction(rng.randint(-9, 9), 3) if kind == "fractions" else rng.gauss(0, 1)

    payoffs = [{a: payoff(i) for a in joints} for i in range(len(actions))]
    if kind == "duplicates":
        payoffs = [{a: table[tuple(min(b, 1) for b in a)] for a in joints} for table in payoffs]
    legal = None
    if kind == "illegal":
        legal = [[[b != rng.randrange(n) for b in range(n)]] for n in actions]
        for rows in legal:
            rows[0][rng.randrange(len(rows[0]))] = True
        for table in payoffs:
            table.update({a: 1000 for a in joints if not all(legal[i][0][b] for i, b in enumerate(a))})
    return normal_form([list(table.values()) for table in payoffs], actions, legal)


def normal_form(
    payoffs: Sequence[Sequence[Number]], actions: tuple[int, ...], legal: list[list[list[bool]]] | None = None
) -> ExactGame:
    rows: list[list[list[list[Number]]]] = [[[[1] for _ in range(prod(actions))]]]
    return oracle.exact_game(rows, [[[row] for row in payoffs]], [1], actions, horizon=1, legal=legal)


def library(game: ExactGame) -> mo.MarkovGame:
    """The same game for the library, in doubles where it can be."""
    if game.horizon != 1 or len(game.initial) > 1 or any(len(game.legal[i][0]) < n for i, n in enumerate(game.actions)):
        return exact_classes.library_game(game)
    flat = [v for i in game.agents for v in game.rewards[0][i][0]]
    doubles = all(Fraction(float(v)) == v for v in flat)
    payoffs = np.array([float(v) for v in flat] if doubles else flat, dtype=float if doubles else object)
    return mo.MarkovGame.from_normal_form(payoffs.reshape(len(game.actions), *game.actions))


def chicken() -> ExactGame:
    return normal_form([[0, 7, 2, 6], [0, 2, 7, 6]], (2, 2))


def classes(game: ExactGame, seed: int = 0) -> dict[str, Paired]:
    rng = Random(seed)
    return {
        "swap": SWAP,
        "external": EXTERNAL,
        "coarse": COARSE,
        "internal": INTERNAL,
        "partition": exact_classes.partition(rng, game),
        "restricted": exact_classes.restricted(rng, game, "swap"),
        "restricted internal": exact_classes.restricted(rng, game, "internal"),
    }


def stage_for(game: ExactGame, paired: Paired) -> Stage:
    assert paired.maps is not None
    return one_shot(game, paired.maps)


def objectives(game: ExactGame, stage: Stage, seed: int) -> dict[str, tuple[Any, Objective, Fraction]]:
    """The library's objective, the oracle's, and the range of its values."""
    rng = Random(seed)
    agent = rng.randrange(len(game.actions))
    weights = [rng.choice((-2, -1, 0, 0.5, 3)) for _ in game.agents]
    scores = [rng.randint(-4, 4) for _ in game.joint_actions]
    target = random_row(rng, stage.legal, len(scores))
    spans = [stage.span(i) for i in game.agents]
    shares = [abs(Fraction(w)) for w in weights]
    weighted = [
        sum((Fraction(w) * row[a] for w, row in zip(weights, stage.worth, strict=True)), Fraction(0))
        for a in range(len(scores))
    ]
    return {
        "welfare": (mo.objectives.Welfare(), Linear(stage.welfare), sum(spans, Fraction(0))),
        "weighted": (
            mo.objectives.Weighted(weights),
            Linear(weighted),
            oracle.dot(shares, spans),
        ),
        "joint actions": (mo.objectives.JointActions(scores), Linear([Fraction(v) for v in scores]), Fraction(8)),
        "preferred": (mo.objectives.Preferred(agent), Linear(stage.worth[agent]), spans[agent]),
        "egalitarian": (mo.objectives.Egalitarian(), Egalitarian(), max(spans)),
        "least regret": (mo.objectives.LeastRegret(), MinusRegret(), max(spans)),
        "nearest": (mo.objectives.Nearest(policy_of([[target]])), MinusDistance(target), Fraction(1)),
    }


def random_row(rng: Random, legal: Sequence[int], size: int) -> Row:
    chosen = rng.sample(list(legal), rng.randint(1, len(legal)))
    draws = rng.choices(chosen, k=8)
    return [Fraction(draws.count(a), 8) for a in range(size)]


def policy_of(rows: Policy) -> mo.CorrelatedPolicy:
    table = np.array([[[float(p) for p in row] for row in step] for step in rows])
    return mo.CorrelatedPolicy(table if len(table) > 1 else table[0])


def row_of(policy: mo.CorrelatedPolicy) -> Row:
    """The only row of a policy, as the exact distribution that it stands for."""
    steps = exact_classes.exact_policy_of(policy)
    assert len(steps) == len(steps[0]) == 1
    return steps[0][0]


def steps_of(policy: mo.CorrelatedPolicy, horizon: int) -> npt.NDArray[np.float64]:
    return np.array([policy.at(h) for h in range(horizon)])


def close(found: float | None, expected: Number, scale: Number = 1, tolerance: float = TOLERANCE) -> None:
    assert found is not None
    assert abs(float(Fraction(found) - Fraction(expected))) <= tolerance * float(scale) + 1e-300


def number(found: float | Fraction | None) -> float:
    """Objective of a normal form, which is never None."""
    assert found is not None
    return float(found)


def exact_row(given: Any) -> Row:
    """Probabilities of an exact result of a normal form, every one a fraction."""
    flat = list(np.asarray(given, dtype=object).flat)
    assert all(isinstance(p, Fraction) for p in flat)
    return flat


def small_markov(seed: int, *, horizon: int = 2, actions: tuple[int, ...] = (2, 2)) -> exact_games.Case:
    rng = Random(seed)
    return exact_games.random_case(
        seed,
        rng.choice((1, 2, 3)),
        actions,
        horizon=horizon,
        layout="mixed",
        numbers=rng.choice(("eighths", "fractions", "doubles")),
        varying=seed % 2 == 0,
        illegal=seed % 3 == 0,
        policy_steps=horizon if seed % 4 < 2 else 1,
    )


def small_discounted(seed: int, actions: tuple[int, ...] = (2, 2)) -> exact_games.Case:
    discounts: list[Number] = [0, 0.5, Fraction(1, 3), 0.8]
    return exact_games.random_case(
        seed, 2, actions, discount=discounts[seed % 4], illegal=seed % 3 == 0, policy_steps=1 + seed % 2
    )


def markov_regret(game: ExactGame, policy: Policy, paired: Paired) -> Fraction:
    return paired.regret(game, policy)


# The oracle itself


def test_the_oracle_knows_chicken() -> None:
    for paired in FOUR:
        stage = stage_for(chicken(), paired)
        values, x = optimise(stage, [Linear(stage.welfare)])
        assert values == [Fraction(21, 2)]
        assert x == [0, Fraction(1, 4), Fraction(1, 4), Fraction(1, 2)]
        assert best(stage, Egalitarian()) == Fraction(21, 4)
        assert len(equilibrium_oracle.vertices(stage)) == 5
        assert equilibrium_oracle.is_unique(stage, [Linear(stage.welfare)])
    assert equilibrium_oracle.least_regret(stage_for(chicken(), EXTERNAL)) == Fraction(-1, 2)
    assert equilibrium_oracle.pure_equilibria(stage_for(chicken(), SWAP)) == [1, 2]


@pytest.mark.parametrize("kind", ["plain", "square", "ties", "three agents", "five agents", "illegal"])
def test_the_oracle_agrees_with_scipy(kind: str) -> None:
    game = form(kind)
    for paired, epsilon in product(FOUR, (0, 0.25)):
        stage = stage_for(game, paired)
        bounds = [(0, None if a in stage.legal else 0) for a in range(len(stage.welfare))]
        found = linprog(
            -np.array(stage.welfare, dtype=float),
            A_ub=np.array(stage.rows, dtype=float),
            b_ub=np.full(len(stage.rows), epsilon),
            A_eq=np.ones((1, len(bounds))),
            b_eq=[1],
            bounds=bounds,
        )
        close(-found.fun, best(stage, Linear(stage.welfare), Fraction(epsilon)), 10)


# Normal forms


@pytest.mark.parametrize("name", list(classes(chicken())))
@pytest.mark.parametrize("kind", PAYOFFS)
def test_normal_forms(kind: str, name: str) -> None:
    game = form(kind)
    paired = classes(game)[name]
    stage, size = stage_for(game, paired), max(stage_for(game, paired).span(i) for i in game.agents)
    rng = Random(f"{kind} {name}")
    offered = objectives(game, stage, rng.randrange(100))
    for label in rng.sample(list(offered), 3):
        asked, objective, scale = offered[label]
        for share in (Fraction(0), Fraction(1, 8)):
            epsilon = float(share * size)
            found = mo.correlated_equilibrium(
                library(game), deviations=paired.library, objective=asked, epsilon=epsilon
            )
            assert found.policy.probabilities.shape == (1, len(stage.welfare))
            x = row_of(found.policy)
            assert all(x[a] == 0 for a in range(len(x)) if a not in stage.legal)
            # The regret of one agent is not excused by the payoffs of another.
            for i in game.agents:
                assert stage.agent_regret(x, i) <= Fraction(epsilon) + Fraction(TOLERANCE) * stage.span(i)
            assert Fraction(found.regret.lower) <= stage.regret(x) <= Fraction(found.regret.upper)
            for value, expected in zip(found.values.value, stage.values(x), strict=True):
                close(value, expected, size)
            optimum = best(stage, objective, Fraction(epsilon))
            sign = -1 if label in ("least regret", "nearest") else 1
            if kind in EVEN:
                close(sign * number(found.objective), optimum, scale)
                close(float(objective.value(stage, x)), optimum, scale)
            assert found.epsilon == epsilon
            assert found.exact is None


@pytest.mark.parametrize("kind", PAYOFFS)
def test_feasible(kind: str) -> None:
    game = form(kind, 1)
    for paired in FOUR:
        stage = stage_for(game, paired)
        for asked in ("feasible", mo.objectives.Feasible()):
            found = mo.correlated_equilibrium(library(game), deviations=paired.library, objective=asked)
            for i in game.agents:
                assert stage.agent_regret(row_of(found.policy), i) <= Fraction(TOLERANCE) * stage.span(i)


@pytest.mark.parametrize("seed", range(6))
def test_swap_regret_itself_is_at_most_epsilon(seed: int) -> None:
    """Epsilon for each recommendation would allow a regret of several epsilon."""
    game = form("square", seed)
    stage = stage_for(game, SWAP)
    separate = 0
    for epsilon in (Fraction(1, 16), Fraction(1, 2)):
        found = mo.correlated_equilibrium(library(game), epsilon=float(epsilon))
        assert stage.regret(row_of(found.policy)) <= epsilon + Fraction(1, 10**6)
        close(found.objective, best(stage, Linear(stage.welfare), epsilon), 10)
        internal = stage_for(game, INTERNAL)
        separate += best(internal, Linear(stage.welfare), epsilon) > best(stage, Linear(stage.welfare), epsilon)
    assert separate or seed != 3


@pytest.mark.parametrize("kind", ["plain", "square", "ties", "three agents", "duplicates", "illegal", "tiny"])
def test_epsilon_below_zero(kind: str) -> None:
    """Only a class without obedience can have negative regret."""
    game = form(kind)
    for name, paired in classes(game).items():
        stage = stage_for(game, paired)
        least = equilibrium_oracle.least_regret(stage)
        size = max(stage.span(i) for i in game.agents)
        with pytest.raises(mo.errors.NoEquilibrium):
            mo.correlated_equilibrium(
                library(game), deviations=paired.library, epsilon=float(min(least, Fraction(0)) - size / 50)
            )
        if least < -size / 50:
            assert name in ("external", "partition")
            epsilon = float(least + size / 50)
            found = mo.correlated_equilibrium(library(game), deviations=paired.library, epsilon=epsilon)
            assert stage.regret(row_of(found.policy)) <= Fraction(epsilon) + Fraction(TOLERANCE) * size
            close(found.objective, best(stage, Linear(stage.welfare), Fraction(epsilon)), size * 2)


def test_least_regret_of_chicken() -> None:
    found = mo.correlated_equilibrium(mo.scenarios.chicken(), deviations=mo.External(), objective="least_regret")
    close(found.objective, Fraction(-1, 2))
    with pytest.raises(mo.errors.NoEquilibrium):
        mo.correlated_equilibrium(mo.scenarios.chicken(), deviations=mo.External(), epsilon=-0.51)
    close(
        mo.correlated_equilibrium(mo.scenarios.chicken(), deviations=mo.External(), epsilon=-0.5).objective,
        best(stage_for(chicken(), EXTERNAL), Linear([Fraction(v) for v in (0, 9, 9, 12)]), Fraction(-1, 2)),
        7,
    )


def test_least_regret_of_unequal_agents() -> None:
    for payoffs in ([-6, -3, -8, 6], [3, 9, 5, -8]), ([1, 0, 0, 1], [0, 1, 1, 0]), ([2, -1, 0, 1], [1, 3, -2, 0]):
        small, large = [v * 1e-6 for v in payoffs[0]], [v * 1e6 for v in payoffs[1]]
        game = normal_form([small, large], (2, 2))
        for paired in FOUR:
            found = mo.correlated_equilibrium(
                library(game), deviations=paired.library, objective="least_regret", epsilon=0.1
            )
            close(found.objective, equilibrium_oracle.least_regret(stage_for(game, paired)), 1e6)


@pytest.mark.parametrize("kind", ["square", "ties", "three agents", "tiny", "huge", "illegal"])
def test_the_certified_regret_is_at_most_epsilon(kind: str) -> None:
    """The last bit counts too: an upper bound is either at most epsilon or not."""
    for seed in range(3):
        game = form(kind, seed)
        for paired in classes(game, seed).values():
            stage = stage_for(game, paired)
            epsilon = float(max(stage.span(i) for i in game.agents) / 8)
            for _, (asked, _, _) in zip(range(3), objectives(game, stage, seed).values(), strict=False):
                found = mo.correlated_equilibrium(
                    library(game), deviations=paired.library, objective=asked, epsilon=epsilon
                )
                assert found.regret.upper <= epsilon


@pytest.mark.parametrize(
    "thirds", [[[2, 2, -1, 1], [-2, -1, 0, 2]], [[-1, -2, 1, -2], [2, -1, -2, 1]], [[1, 2, 1, 0], [0, 0, 1, -1]]]
)
def test_thirds_in_doubles(thirds: list[list[int]]) -> None:
    """Sums and differences that should be zero are some 1e-17 instead."""
    game = normal_form([[v / 3 for v in row] for row in thirds], (2, 2))
    for paired in FOUR:
        stage = stage_for(game, paired)
        for asked, objective in (("welfare", Linear(stage.welfare)), ("egalitarian", Egalitarian())):
            found = mo.correlated_equilibrium(library(game), deviations=paired.library, objective=asked)
            close(found.objective, best(stage, objective), 3)


# Exactness


def check_exact(game: ExactGame, paired: Paired, asked: Any, objective: Objective, epsilon: Fraction) -> None:
    """Everything that an exact result says, without any tolerance."""
    stage = stage_for(game, paired)
    given = float(epsilon) if Fraction(float(epsilon)) == epsilon else epsilon
    found = mo.correlated_equilibrium(
        library(game), deviations=paired.library, objective=asked, epsilon=given, exact=True
    )
    assert found.exact is not None
    assert np.shape(found.exact.probabilities) == (1, len(stage.welfare))
    x = exact_row(found.exact.probabilities)
    assert sum(x) == 1
    assert min(x) >= 0
    assert all(x[a] == 0 for a in range(len(x)) if a not in stage.legal)
    assert stage.regret(x) <= epsilon
    assert found.exact.regret == stage.regret(x)
    assert isinstance(found.exact.regret, Fraction)
    assert list(found.exact.values) == stage.values(x)
    sign = -1 if isinstance(objective, MinusDistance | MinusRegret) else 1
    assert objective.value(stage, x) == best(stage, objective, epsilon)
    assert isinstance(found.exact.objective, Fraction)
    assert sign * found.exact.objective == best(stage, objective, epsilon)
    assert np.allclose(np.array(x, dtype=float), found.policy.probabilities[0], atol=1e-12)
    close(found.objective, found.exact.objective, max(1e-9, float(abs(found.exact.objective))))


@pytest.mark.parametrize("kind", PAYOFFS)
def test_exact_results(kind: str) -> None:
    game = form(kind, 2)
    rng = Random(kind)
    offered = classes(game)
    for name in rng.sample(list(offered), 3):
        paired = offered[name]
        stage = stage_for(game, paired)
        chosen = objectives(game, stage, rng.randrange(100))
        for label in rng.sample(list(chosen), 2):
            asked, objective, _ = chosen[label]
            for epsilon in (Fraction(0), stage.span(0) / 7):
                check_exact(game, paired, asked, objective, epsilon)


@pytest.mark.parametrize("kind", ["unequal agents", "mixed", "nearly tied", "tiny", "huge", "fractions"])
def test_exact_welfare_of_awkward_numbers(kind: str) -> None:
    for seed in range(4):
        game = form(kind, seed)
        for paired in (SWAP, EXTERNAL):
            check_exact(game, paired, "welfare", Linear(stage_for(game, paired).welfare), Fraction(0))


def test_exact_regret_below_zero() -> None:
    game, stage = chicken(), stage_for(chicken(), EXTERNAL)
    for epsilon in (Fraction(-1, 2), Fraction(-1, 3), Fraction(-1, 4)):
        check_exact(game, EXTERNAL, "welfare", Linear(stage.welfare), epsilon)
    with pytest.raises(mo.errors.NoEquilibrium):
        mo.correlated_equilibrium(library(game), deviations=mo.External(), epsilon=-0.5 - 2**-40, exact=True)


@given(st.data())
@settings(max_examples=40, deadline=None, derandomize=True, database=None)
def test_small_integers(data: st.DataObject) -> None:
    """Games of few small integers are full of ties."""
    actions = data.draw(st.sampled_from([(2, 2), (1, 2), (2, 3), (2, 2, 2), (3,)]))
    small = st.integers(-2, 2)
    payoffs = [data.draw(st.lists(small, min_size=prod(actions), max_size=prod(actions))) for _ in actions]
    game = normal_form(payoffs, actions)
    paired = data.draw(st.sampled_from(FOUR))
    epsilon = data.draw(st.sampled_from([Fraction(0), Fraction(1, 3), Fraction(1)]))
    stage = stage_for(game, paired)
    check_exact(game, paired, "welfare", Linear(stage.welfare), epsilon)
    check_exact(game, paired, "egalitarian", Egalitarian(), epsilon)


# Prices


@pytest.mark.parametrize("kind", [kind for kind in PAYOFFS if kind != "mixed"])
@pytest.mark.parametrize("exact", [False, True])
def test_multipliers(kind: str, exact: bool) -> None:
    """Nonnegative, complementary, and together they prove that the welfare is the best."""
    game = form(kind, 3)
    stage = stage_for(game, SWAP)
    size = max(stage.span(i) for i in game.agents)
    for share in (Fraction(0), Fraction(1, 16)):
        epsilon = Fraction(float(share * size))
        found = mo.correlated_equilibrium(library(game), epsilon=float(epsilon), exact=exact)
        result: Any = found.exact if exact else found
        x = exact_row(result.probabilities) if exact else row_of(found.policy)
        welfare = sum(stage.span(i) for i in game.agents)
        prices = [[[Fraction(p) for p in row] for row in table] for table in result.multipliers]
        slack = Fraction(0 if exact else TOLERANCE)
        reduced, bound = list(stage.welfare), Fraction(0)
        for i, table in enumerate(prices):
            n = game.actions[i]
            assert [len(row) for row in table] == [n] * n
            assert min(min(row) for row in table) >= -slack
            for a in game.legal[i][0]:
                tempted = [temptation(game, stage, x, i, a, b) for b in range(n)]
                most = max(tempted[b] for b in game.legal[i][0])
                for b in game.legal[i][0]:
                    assert table[a][b] * (most - tempted[b]) <= slack * max(welfare, Fraction(1, 10**9))
                    for k in stage.legal:
                        if game.joint_actions[k][i] == a:
                            gain = stage.worth[i][game.replaced(k, i, b)] - stage.worth[i][k]
                            reduced[k] -= table[a][b] * gain
            bound += epsilon * max(sum(row) for row in table)
        bound += max(reduced[k] for k in stage.legal)
        optimum = best(stage, Linear(stage.welfare), epsilon)
        # Any prices bound the welfare; these do so tightly.
        assert bound >= optimum - slack * welfare
        assert bound <= optimum + slack * welfare


def temptation(game: ExactGame, stage: Stage, x: Row, agent: int, told: int, played: int) -> Fraction:
    if played not in game.legal[agent][0]:
        return Fraction(0)
    here = [k for k in stage.legal if game.joint_actions[k][agent] == told]
    worth = stage.worth[agent]
    return sum((x[k] * (worth[game.replaced(k, agent, played)] - worth[k]) for k in here), Fraction(0))


@pytest.mark.parametrize("kind", ["plain", "ties", "constant", "one action", "one agent", "duplicates", "fractions"])
def test_unique(kind: str) -> None:
    for seed, paired in ((0, SWAP), (1, EXTERNAL), (2, SWAP)):
        game = form(kind, seed)
        stage = stage_for(game, paired)
        for asked, objective in (("welfare", Linear(stage.welfare)), ("egalitarian", Egalitarian())):
            expected = equilibrium_oracle.is_unique(stage, [objective])
            for exact in (False, True):
                found = mo.correlated_equilibrium(
                    library(game), deviations=paired.library, objective=asked, exact=exact
                )
                assert found.unique in (None, expected)


def test_unique_is_decided_in_plain_cases() -> None:
    assert mo.correlated_equilibrium(mo.scenarios.chicken()).unique is True
    assert mo.correlated_equilibrium(library(form("constant"))).unique is False
    assert mo.correlated_equilibrium(mo.scenarios.prisoners_dilemma()).unique is True
    assert mo.correlated_equilibrium(mo.scenarios.matching_pennies()).unique is True


def test_what_doubles_cannot_decide_is_left_open() -> None:
    """Without fractions, what looks like many optima may be one."""
    tick = 2**-40
    game = normal_form([[2 * tick, 2 * tick, 1, 1 + 2 * tick], [0, 1 + 3 * tick, 1 + 2 * tick, 1]], (2, 2))
    stage = stage_for(game, INTERNAL)
    assert equilibrium_oracle.is_unique(stage, [Linear(stage.welfare)])
    assert mo.correlated_equilibrium(library(game), deviations=mo.Internal(), exact=True).unique in (None, True)
    assert mo.correlated_equilibrium(library(game), deviations=mo.Internal()).unique in (None, True)


def test_markov_games_do_not_claim_uniqueness() -> None:
    assert mo.correlated_equilibrium(small_markov(1).game).unique is None


# Relations


@pytest.mark.parametrize("kind", EVEN)
def test_coarser_classes_allow_more(kind: str) -> None:
    game = form(kind, 4)
    stage = stage_for(game, SWAP)
    scale = sum(float(stage.span(i)) for i in game.agents)
    found = [
        number(mo.correlated_equilibrium(library(game), deviations=paired.library).objective)
        for paired in (SWAP, INTERNAL, COARSE, EXTERNAL)
    ]
    # Without slack, internal and swap are one, and so are coarse and external.
    close(found[0], found[1], scale)
    close(found[2], found[3], scale)
    assert found[0] <= found[2] + TOLERANCE * scale
    pure = [Linear(stage.welfare).weights[a] for a in equilibrium_oracle.pure_equilibria(stage)]
    assert all(found[0] >= float(w) - TOLERANCE * scale for w in pure)


@pytest.mark.parametrize("kind", ["ties", "square", "three agents", "constant", "duplicates", "illegal", "plain"])
@pytest.mark.parametrize("exact", [False, True])
def test_lexicographic(kind: str, exact: bool) -> None:
    game = form(kind, 5)
    for paired in (SWAP, EXTERNAL):
        stage = stage_for(game, paired)
        orders: list[tuple[list[Any], list[Objective]]] = [
            ([mo.objectives.Egalitarian(), mo.objectives.Welfare()], [Egalitarian(), Linear(stage.welfare)]),
            (
                [mo.objectives.Welfare(), mo.objectives.Preferred(0), mo.objectives.Preferred(1)],
                [Linear(stage.welfare), Linear(stage.worth[0]), Linear(stage.worth[1])],
            ),
            ([mo.objectives.Preferred(1), mo.objectives.LeastRegret()], [Linear(stage.worth[1]), MinusRegret()]),
        ]
        for asked, given_order in orders:
            expected = optimise(stage, given_order)[0]
            found = mo.correlated_equilibrium(
                library(game), deviations=paired.library, objective=mo.objectives.Lexicographic(asked), exact=exact
            )
            if found.exact is not None:
                x = exact_row(found.exact.probabilities)
                assert [o.value(stage, x) for o in given_order] == expected
            else:
                for objective, optimum in zip(given_order, expected, strict=True):
                    close(float(objective.value(stage, row_of(found.policy))), optimum, 20, 1e-5)
            close(found.objective, expected[0], 20)


@pytest.mark.parametrize("kind", ["plain", "ties", "constant", "one action", "three agents", "duplicates", "illegal"])
def test_entropy_and_gini(kind: str) -> None:
    game = form(kind, 6)
    for paired, epsilon in ((SWAP, 0.0), (EXTERNAL, 0.0), (SWAP, 0.2), (INTERNAL, 0.2)):
        stage = stage_for(game, paired)
        x = cp.Variable(len(stage.welfare), nonneg=True)
        rows = np.array(stage.rows, dtype=float)
        constraints: list[Any] = [cp.sum(x) == 1, rows @ x <= epsilon]
        constraints += [x[a] == 0 for a in range(len(stage.welfare)) if a not in stage.legal]
        for name, asked, expression in (
            ("entropy", mo.objectives.MaximumEntropy(), cp.sum(cp.entr(x))),
            ("gini", mo.objectives.MaximumGini(), 1 - cp.sum_squares(x)),
        ):
            problem = cp.Problem(cp.Maximize(expression), constraints)
            problem.solve(solver=cp.CLARABEL)
            for objective in (name, asked):
                found = mo.correlated_equilibrium(
                    library(game), deviations=paired.library, objective=objective, epsilon=epsilon
                )
                assert stage.regret(row_of(found.policy)) <= epsilon + 1e-5
                close(found.objective, float(problem.value), 1, 1e-5)
                assert np.abs(found.policy.probabilities[0] - x.value).max() < 5e-3


@pytest.mark.parametrize("objective", ["entropy", "gini"])
@pytest.mark.parametrize("seed", range(8))
def test_entropy_and_gini_of_markov_games(objective: str, seed: int) -> None:
    """The value of each stage is that of the stage's own recommendations, and these are equilibria."""
    case = small_markov(seed)
    for epsilon in (0.0, 0.25):
        found = mo.correlated_equilibrium(case.game, objective=objective, epsilon=epsilon)
        assert SWAP.regret(case.exact_game, exact_classes.exact_policy_of(found.policy)) <= epsilon + 1e-5
        for h, s in product(range(2), range(case.num_states)):
            row = found.policy.at(h)[s]
            spread = 1 - (row**2).sum() if objective == "gini" else -(row[row > 0] * np.log(row[row > 0])).sum()
            close(found.stage_objectives[h, s], float(spread), 1, 1e-5)


@pytest.mark.parametrize("objective", ["entropy", "gini"])
def test_entropy_and_gini_of_unequal_agents(objective: str) -> None:
    game = library(normal_form([[4e-6, -5e-6, -4e-6, 5e-6], [7e6, 2e6, 2e6, 1e6]], (2, 2)))
    none, one = [[False, False], [False, False]], [[False, False], [True, False]]
    for deviations in (mo.Restricted([none, one], mo.Internal()), mo.Swap()):
        for epsilon in (9e-7, 1e-3):
            found = mo.correlated_equilibrium(game, deviations=deviations, objective=objective, epsilon=epsilon)
            assert mo.regret(game, found.policy, deviations).value <= epsilon + TOLERANCE * 6e6


def test_entropy_of_games_that_ask_for_nothing() -> None:
    game = library(form("constant"))
    close(mo.correlated_equilibrium(game, objective="entropy").objective, float(np.log(4)))
    close(mo.correlated_equilibrium(game, objective="gini").objective, 0.75)
    pennies = mo.correlated_equilibrium(mo.scenarios.matching_pennies(), objective="entropy")
    assert np.allclose(pennies.policy.probabilities, 0.25, atol=1e-5)


# Programs


@pytest.mark.parametrize("kind", EVEN)
def test_programs(kind: str) -> None:
    game = form(kind, 7)
    for paired, share in product(FOUR, (Fraction(0), Fraction(1, 8))):
        stage = stage_for(game, paired)
        epsilon = float(share * stage.span(0))
        for label in ("welfare", "egalitarian"):
            program = mo.programs.equilibrium(library(game), paired.library, objective=label, epsilon=epsilon)
            assert program.variables["sigma"].shape == (len(stage.welfare),)
            assert {"one", *(f"incentive {i}" for i in game.agents)} <= set(program.rows)
            objective = Linear(stage.welfare) if label == "welfare" else Egalitarian()
            scale = sum(stage.span(i) for i in game.agents)
            sigma = [Fraction(p) for p in solve(program).require_optimal()["sigma"]]
            assert stage.regret(sigma) <= Fraction(epsilon) + Fraction(TOLERANCE) * scale
            close(float(objective.value(stage, sigma)), best(stage, objective, Fraction(epsilon)), scale)


def test_objectives_of_programs_are_scaled_by_powers_of_two() -> None:
    for kind in ("plain", "square", "tiny", "three agents"):
        game = form(kind, 7)
        stage = stage_for(game, SWAP)
        program = mo.programs.equilibrium(library(game))
        ratio = float(best(stage, Linear(stage.welfare))) / solve(program).require_optimal().objective
        assert ratio > 0
        close(float(np.log2(ratio)), round(np.log2(ratio)))


def test_programs_are_of_normal_forms() -> None:
    with pytest.raises(mo.MailoptError):
        mo.programs.equilibrium(small_markov(1).game)


# Polytopes


@pytest.mark.parametrize("paired", [SWAP, EXTERNAL, COARSE, INTERNAL], ids=["swap", "external", "coarse", "internal"])
@pytest.mark.parametrize("source", ["chicken", "constant", "one action", "unequal agents", "nearly tied", "2 x 2"])
def test_polytopes(source: str, paired: Paired) -> None:
    games = {"chicken": [chicken()], "2 x 2": [small_bimatrix(seed) for seed in range(5)]}
    for game in games.get(source) or [form(source)]:
        stage = stage_for(game, paired)
        corners = equilibrium_oracle.vertices(stage)
        polytope = mo.correlated_equilibrium_polytope(library(game), paired.library)
        assert len(polytope.vertices) == len(corners)
        assert {tuple(v) for v in polytope.vertices} == corners
        assert all(isinstance(p, Fraction) for v in polytope.vertices for p in v)
        assert polytope.dimension == equilibrium_oracle.dimension(corners)
        assert polytope.num_facets == equilibrium_oracle.facets(stage, corners)
        for corner in corners:
            assert polytope.contains(mo.CorrelatedPolicy(np.array([corner], dtype=object)))
        middle = [sum(column, Fraction(0)) / len(corners) for column in zip(*corners, strict=True)]
        assert polytope.contains(mo.CorrelatedPolicy(np.array([middle], dtype=object)))


def small_bimatrix(seed: int) -> ExactGame:
    rng = Random(seed)
    return normal_form([[rng.randint(-2, 2) for _ in range(4)] for _ in range(2)], (2, 2))


def test_a_larger_polytope() -> None:
    game = form("ties", 3)
    stage = stage_for(game, EXTERNAL)
    polytope = mo.correlated_equilibrium_polytope(library(game), mo.External())
    corners = equilibrium_oracle.vertices(stage)
    assert {tuple(v) for v in polytope.vertices} == corners
    assert polytope.num_facets == equilibrium_oracle.facets(stage, corners)


@pytest.mark.parametrize("kind", ["ties", "illegal", "one agent", "three agents", "constant"])
def test_equilibria_lie_in_the_polytope(kind: str) -> None:
    """Pure Nash equilibria do, and nothing that gains does, however little."""
    game = form(kind, 8)
    stage = stage_for(game, SWAP)
    polytope = mo.correlated_equilibrium_polytope(library(game))
    for a in stage.legal:
        row = [Fraction(a == b) for b in range(len(stage.welfare))]
        pure = mo.CorrelatedPolicy(np.array([row], dtype=object))
        assert polytope.contains(pure) == (stage.regret(row) <= 0)
    rng = Random(kind)
    for _ in range(10):
        row = random_row(rng, stage.legal, len(stage.welfare))
        assert polytope.contains(policy_of([[row]])) == (stage.regret(row) <= 0)
    for vertex in polytope.vertices:
        assert stage.regret(list(vertex)) == 0
        assert sum(vertex) == 1
    welfare = [Linear(stage.welfare).value(stage, list(vertex)) for vertex in polytope.vertices]
    assert max(welfare) == best(stage, Linear(stage.welfare))


@pytest.mark.parametrize("kind", ["fractions", "ties", "square", "unequal agents", "nearly tied", "illegal"])
def test_exact_equilibria_lie_in_the_polytope(kind: str) -> None:
    """To the last bit: the policy of an exact result holds its fractions."""
    for seed in range(3):
        game = form(kind, seed)
        for paired in (SWAP, EXTERNAL):
            polytope = mo.correlated_equilibrium_polytope(library(normal_corner(game)), paired.library)
            found = mo.correlated_equilibrium(library(normal_corner(game)), deviations=paired.library, exact=True)
            assert polytope.contains(found.policy)


def normal_corner(game: ExactGame) -> ExactGame:
    """The game with at most two actions for each agent, of which nothing is illegal."""
    if all(n <= 2 for n in game.actions):
        return game
    kept = [k for k, a in enumerate(game.joint_actions) if max(a) <= 1]
    actions = tuple(min(n, 2) for n in game.actions)
    return normal_form([[row[0][k] for k in kept] for row in game.rewards[0]], actions)


def test_containment_is_exact() -> None:
    polytope = mo.correlated_equilibrium_polytope(mo.scenarios.chicken())
    for shift, inside in ((Fraction(0), True), (Fraction(1, 10**30), False), (Fraction(-1, 10**30), True)):
        row = [Fraction(0), Fraction(1, 4), Fraction(1, 4) - shift, Fraction(1, 2) + shift]
        assert polytope.contains(mo.CorrelatedPolicy(np.array([row], dtype=object))) == inside


@pytest.mark.parametrize(
    "kind", ["plain", "square", "ties", "constant", "one action", "three agents", "huge", "illegal"]
)
def test_payoff_regions(kind: str) -> None:
    game = form(kind, 9)
    for paired in (SWAP, EXTERNAL):
        stage = stage_for(game, paired)
        pairs = [(0, 1), (1, 0)] if len(game.actions) == 2 else [(0, 1), (2, 0)]
        for agents in pairs:
            region = mo.payoff_region(library(game), paired.library, agents=agents)
            corners = np.array(region.vertices, dtype=float)
            size = float(max(stage.span(i) for i in game.agents)) or 1.0
            assert corners.ndim == 2
            assert corners.shape[1] == 2
            directions = [(1, 0), (0, 1), (-1, 0), (0, -1), (1, 1), (-2, 1), (3, -1), (-1, -5)]
            for direction in directions:
                weights = [
                    direction[0] * p + direction[1] * q
                    for p, q in zip(stage.worth[agents[0]], stage.worth[agents[1]], strict=True)
                ]
                close(float((corners @ direction).max()), best(stage, Linear(weights)), size * 10)
            for j in range(len(corners)) if len(corners) > 2 else []:
                a, b, c = corners[j - 2], corners[j - 1], corners[j]
                turn = (b[0] - a[0]) * (c[1] - b[1]) - (b[1] - a[1]) * (c[0] - b[0])
                assert turn > -1e-9 * size**2


def test_a_region_of_nearly_tied_payoffs() -> None:
    """Differences of a trillionth are lost on doubles, but are no reason to fail."""
    tick = 2**-40
    first, second = [1 + tick, 1 + tick, 1 + 2 * tick, 1], [1 + tick, 3 * tick, 0, 1 + 3 * tick]
    stage = stage_for(normal_form([first, second], (2, 2)), EXTERNAL)
    region = mo.payoff_region(library(normal_form([first, second], (2, 2))), mo.External())
    corners = np.array(region.vertices, dtype=float)
    for i, sign in product((0, 1), (1, -1)):
        # Every equilibrium lies inside; what lies outside by rounding is not held against it.
        weights = [sign * v for v in stage.worth[i]]
        assert float((sign * corners[:, i]).max()) >= float(best(stage, Linear(weights))) - TOLERANCE


# Zero-sum games


def zero_sum(game: ExactGame) -> ExactGame:
    return replace(game, rewards=[[step[0], [[-v for v in row] for row in step[0]]] for step in game.rewards])


@pytest.mark.parametrize("kind", [kind for kind, actions in PAYOFFS.items() if len(actions) == 2])
def test_matrix_games(kind: str) -> None:
    for seed in range(2):
        game = zero_sum(form(kind, seed))
        n, m = game.actions
        first, second = game.legal[0][0], game.legal[1][0]
        matrix = np.array(game.rewards[0][0][0], dtype=float).reshape(n, m)
        expected = equilibrium_oracle.shapley_backup(game, 0, [Fraction(0)])[0]
        size = float(np.ptp(matrix[np.ix_(first, second)])) or 1.0
        assert abs(scipy_value(matrix[np.ix_(first, second)]) - float(expected)) <= 1e-6 * size
        found = mo.zero_sum_equilibrium(library(game))
        close(found.value, expected, size, 1e-7)
        assert Fraction(found.lower) <= expected <= Fraction(found.upper)
        assert found.upper - found.lower <= 1e-6 * size
        x, y = (np.reshape(strategy, -1) for strategy in found.strategies)
        assert x.shape == (n,)
        assert y.shape == (m,)
        for strategy, legal in ((x, first), (y, second)):
            assert abs(strategy.sum() - 1) < 1e-9
            assert abs(strategy[legal].sum() - 1) < 1e-9
            assert strategy.min() >= 0
        assert (x @ matrix)[second].min() >= float(expected) - 1e-6 * size
        assert (matrix @ y)[first].max() <= float(expected) + 1e-6 * size
        assert np.allclose(found.policy.at(0)[0], np.outer(x, y).ravel(), atol=1e-9)
        assert found.regret.upper <= 1e-6 * size


def scipy_value(matrix: npt.NDArray[np.float64]) -> float:
    n, m = matrix.shape
    size = np.abs(matrix).max() or 1.0
    found = linprog(
        [0.0] * n + [-1.0],
        A_ub=np.hstack((-matrix.T / size, np.ones((m, 1)))),
        b_ub=np.zeros(m),
        A_eq=[[1.0] * n + [0.0]],
        b_eq=[1.0],
        bounds=[(0, None)] * n + [(None, None)],
    )
    return float(-found.fun * size)


@pytest.mark.parametrize("seed", range(8))
def test_zero_sum_markov_games(seed: int) -> None:
    game = zero_sum(small_markov(seed, horizon=3, actions=[(2, 2), (3, 2), (1, 3)][seed % 3]).exact_game)
    assert game.horizon is not None
    expected = [[Fraction(0) for _ in game.states]]
    for h in reversed(range(game.horizon)):
        expected.insert(0, equilibrium_oracle.shapley_backup(game, h, expected[0]))
    found = mo.zero_sum_equilibrium(library(game))
    close(found.value, oracle.dot(game.initial, expected[0]), 10)
    assert found.state_values.shape == (game.horizon, len(game.initial))
    assert np.abs(found.state_values - np.array(expected[:-1], dtype=float)).max() < 1e-5
    assert found.lower - 1e-12 <= float(oracle.dot(game.initial, expected[0])) <= found.upper + 1e-12
    policy = exact_classes.exact_policy_of(found.policy)
    assert EXTERNAL.regret(game, policy) <= 1e-6
    close(float(oracle.value(game, policy, 0)), found.value, 10)
    check_product(game, found, policy)


def check_product(game: ExactGame, found: Any, policy: Policy) -> None:
    first, second = (np.asarray(strategy) for strategy in found.strategies)
    steps = len(policy)
    shape = (steps, len(game.initial))
    first, second = first.reshape(*shape, game.actions[0]), second.reshape(*shape, game.actions[1])
    joint = (first[..., :, None] * second[..., None, :]).reshape(*shape, -1)
    assert np.abs(joint - np.array(policy, dtype=float)).max() < 1e-9


@pytest.mark.parametrize("seed", [*range(6), 27, 42])
def test_zero_sum_discounted_games(seed: int) -> None:
    game = zero_sum(small_discounted(seed, [(2, 2), (3, 2)][seed % 2]).exact_game)
    values = [Fraction(0) for _ in game.states]
    for _ in range(200):
        following = equilibrium_oracle.shapley_backup(game, 0, values)
        change = max(abs(float(a - b)) for a, b in zip(following, values, strict=True))
        values = [Fraction(float(v)) for v in following]
        if change < 1e-12:
            break
    found = mo.zero_sum_equilibrium(library(game))
    expected = float(oracle.dot(game.initial, values))
    close(found.value, Fraction(expected), 20)
    assert found.lower - 1e-9 <= expected <= found.upper + 1e-9
    # What is illegal pays 1000 at times, but does not count.
    paid = [game.rewards[0][i][s][a] for i in game.agents for s in game.states for a in legal_joint(game, s)]
    assert found.upper - found.lower <= 1e-9 * float((max(paid) - min(paid)) / (1 - game.discount)) + 1e-12
    assert found.state_values.shape == (len(game.initial),)
    assert np.abs(found.state_values - np.array(values, dtype=float)).max() < 1e-5
    policy = exact_classes.exact_policy_of(found.policy)
    assert EXTERNAL.regret(game, policy) <= 1e-5
    check_product(game, found, policy)


def test_zero_sum_ignores_what_is_illegal() -> None:
    """Nobody can be paid for a joint action that is illegal."""
    legal = [[[True, True, False]], [[True, True]]]
    payoffs = [[1, -1, -1, 1, 1000, 1000], [-1, 1, 1, -1, 1000, 1000]]
    game = normal_form(payoffs, (3, 2), legal)
    found = mo.zero_sum_equilibrium(library(game))
    close(found.value, 0)


def test_zero_sum_errors() -> None:
    with pytest.raises(mo.errors.InvalidGame):
        mo.zero_sum_equilibrium(mo.scenarios.chicken())
    with pytest.raises(mo.errors.InvalidGame):
        mo.zero_sum_equilibrium(library(form("three agents")))
    with pytest.raises(mo.errors.InvalidGame):
        mo.zero_sum_equilibrium(library(form("one agent")))


# Markov games by backward induction


@pytest.mark.parametrize("seed", range(14))
def test_backward_induction(seed: int) -> None:
    """Regret is within the bound, and each stage is the best there is, given what follows."""
    case = small_markov(seed, horizon=1 + seed % 3, actions=[(2, 2), (3, 2), (2, 2, 2), (1, 2)][seed % 4])
    game = case.exact_game
    assert game.horizon is not None
    paired = list(classes(game, seed).values())[seed % 7]
    assert paired.maps is not None
    for epsilon in (0.0, 0.375):
        found = mo.correlated_equilibrium(case.game, deviations=paired.library, epsilon=epsilon)
        policy = exact_classes.exact_policy_of(found.policy)
        assert found.policy.probabilities.shape[-2:] == (len(game.initial), len(game.joint_actions))
        assert (found.policy.num_steps or 1) == game.horizon
        regret = markov_regret(game, policy, paired)
        assert regret <= epsilon + 1e-6
        assert not epsilon or found.regret.upper <= epsilon
        measured = mo.regret(case.game, found.policy, paired.library)
        assert Fraction(measured.lower) <= regret <= Fraction(measured.upper)
        assert Fraction(found.regret.lower) <= regret <= Fraction(found.regret.upper)
        for i, value in enumerate(found.values.value):
            close(value, oracle.value(game, policy, i), 10)
        for h, s, stage in stages_under(game, paired.maps, policy):
            x = policy[h][s] if len(policy) > 1 else policy[0][s]
            slack = Fraction(epsilon) / game.horizon
            assert stage.regret(x) <= slack + Fraction(1, 10**6)
            close(float(oracle.dot(stage.welfare, x)), best(stage, Linear(stage.welfare), slack), 30)


@pytest.mark.parametrize("seed", range(8))
def test_exact_backward_induction(seed: int) -> None:
    case = small_markov(seed, horizon=2)
    game = case.exact_game
    assert game.horizon is not None
    paired = FOUR[seed % 4]
    assert paired.maps is not None
    for epsilon in (Fraction(0), Fraction(1, 4)):
        found = mo.correlated_equilibrium(case.game, deviations=paired.library, epsilon=float(epsilon), exact=True)
        assert found.exact is not None
        table = np.asarray(found.exact.probabilities, dtype=object)
        assert table.shape == (game.horizon, len(game.initial), len(game.joint_actions))
        policy: Policy = table.tolist()
        assert all(sum(row) == 1 and min(row) >= 0 for step in policy for row in step)
        regret = markov_regret(game, policy, paired)
        assert regret <= epsilon
        assert found.exact.regret == regret
        assert list(found.exact.values) == [oracle.value(game, policy, i) for i in game.agents]
        for h, s, stage in stages_under(game, paired.maps, policy):
            assert stage.regret(policy[h][s]) <= epsilon / game.horizon
            welfare = oracle.dot(stage.welfare, policy[h][s])
            assert welfare == best(stage, Linear(stage.welfare), epsilon / game.horizon)


@pytest.mark.parametrize("seed", range(6))
def test_other_objectives_of_markov_games(seed: int) -> None:
    case = small_markov(seed, horizon=2)
    game, rng = case.exact_game, Random(seed)
    scores = [[rng.randint(-3, 3) for _ in game.joint_actions] for _ in game.states]
    for name in ("preferred", "egalitarian", "least_regret", "joint actions", "nearest"):
        asked = {
            "preferred": mo.objectives.Preferred(1),
            "joint actions": mo.objectives.JointActions(scores),
            "nearest": mo.objectives.Nearest(case.sigma),
        }.get(name, name)
        found = mo.correlated_equilibrium(case.game, objective=asked, epsilon=0.25)
        policy = exact_classes.exact_policy_of(found.policy)
        assert SWAP.regret(game, policy) <= 0.25 + 1e-6
        assert SWAP.maps is not None
        for h, s, stage in stages_under(game, SWAP.maps, policy):
            wanted: dict[str, Objective] = {
                "preferred": Linear(stage.worth[1]),
                "egalitarian": Egalitarian(),
                "least_regret": MinusRegret(),
                "joint actions": Linear([Fraction(v) for v in scores[s]]),
                "nearest": MinusDistance(oracle.at(case.exact_sigma, h)[s]),
            }
            objective = wanted[name]
            close(float(objective.value(stage, policy[h][s])), best(stage, objective, Fraction(1, 8)), 20)


@pytest.mark.parametrize("seed", range(8))
def test_discounted_games(seed: int) -> None:
    case = small_discounted(seed)
    spread = float(np.ptp(np.asarray(case.game.rewards)[..., case.game.joint_legal]))
    allowance = 1e-3 if seed % 2 else 1e-6
    for paired, epsilon in ((SWAP, 0.0), (EXTERNAL, 0.5), (COARSE, 0.01)):
        found = mo.correlated_equilibrium(case.game, deviations=paired.library, epsilon=epsilon, tolerance=allowance)
        assert case.game.discount is not None
        bound = epsilon or allowance * spread / (1 - case.game.discount)
        assert found.regret.upper <= bound
        measured = mo.regret(case.game, found.policy, paired.library)
        assert measured.lower <= bound
        # The discounted regret once more, by plain recursion from far away.
        own = discounted_regret(case.exact_game, found.policy, paired)
        assert found.regret.lower - 1e-7 <= own <= found.regret.upper + 1e-7


def discounted_regret(game: ExactGame, policy: mo.CorrelatedPolicy, paired: Paired) -> float:
    """Value iteration on doubles, deviating and obeying."""
    assert paired.maps is not None
    steps = policy.num_steps or 1
    joints, gamma = game.joint_actions, float(game.discount)
    kernel = np.array(
        [[row or [Fraction(0)] * len(game.initial) for row in rows] for rows in game.transitions[0]], dtype=float
    )
    rounds = 1 if not gamma else int(np.ceil(np.log(1e-12) / np.log(gamma)))
    gains = []
    for i in game.agents:
        tables = [
            [
                np.array([game.replaced(k, i, stage.get(a[i], a[i])) for k, a in enumerate(joints)])
                for stage in paired.maps(game, i, 0, s)
            ]
            for s in game.states
        ]
        reward = np.array(game.rewards[0][i], dtype=float)
        deviating = np.zeros(len(game.initial))
        obeying = deviating.copy()
        for h in reversed(range(steps + rounds)):
            sigma = policy.at(h)
            q, obedient = reward + gamma * kernel @ deviating, reward + gamma * kernel @ obeying
            deviating = np.array([max(float(sigma[s] @ q[s][t]) for t in tables[s]) for s in game.states])
            obeying = (sigma * obedient).sum(axis=1)
        gains.append(float(np.array(game.initial, dtype=float) @ (deviating - obeying)))
    return max(gains)


# Repair


@pytest.mark.parametrize("kind", ["plain", "square", "ties", "three agents", "illegal", "duplicates", "tiny", "huge"])
def test_repair_of_normal_forms_is_nearest(kind: str) -> None:
    game = form(kind, 10)
    rng = Random(kind)
    for paired in FOUR:
        stage = stage_for(game, paired)
        size = max(stage.span(i) for i in game.agents)
        target = random_row(rng, stage.legal, len(stage.welfare))
        epsilon = float(size / 10)
        for spend in (True, False):
            found = mo.repair(
                library(game), policy_of([[target]]), epsilon=epsilon, deviations=paired.library, spend=spend
            )
            assert found.regret.upper <= epsilon
            x = row_of(found.policy)
            assert stage.regret(x) <= Fraction(epsilon)
            moved = float(np.ravel(found.moved)[0])
            close(moved, equilibrium_oracle.distance(x, target), 1, 1e-9)
            close(moved, -best(stage, MinusDistance(target), Fraction(epsilon)))
            close(found.distance, moved, 1, 1e-9)
            close(found.before.value, stage.regret(target), size)


@pytest.mark.parametrize("seed", range(12))
def test_repair_of_markov_games(seed: int) -> None:
    case = small_markov(seed, horizon=1 + seed % 3, actions=[(2, 2), (3, 2), (2, 2, 2)][seed % 3])
    game = case.exact_game
    assert game.horizon is not None
    paired = list(classes(game, seed).values())[seed % 7]
    assert paired.maps is not None
    before = markov_regret(game, case.exact_sigma, paired)
    for epsilon in (0.25, 1.0, 100.0):
        results = [
            mo.repair(case.game, case.sigma, epsilon=epsilon, deviations=paired.library, spend=spend)
            for spend in (True, False)
        ]
        for found in results:
            assert found.regret.upper <= epsilon
            policy = exact_classes.exact_policy_of(found.policy)
            regret = markov_regret(game, policy, paired)
            assert regret <= epsilon
            assert Fraction(found.regret.lower) <= regret <= Fraction(found.regret.upper)
            assert Fraction(found.before.lower) <= before <= Fraction(found.before.upper)
            assert found.moved.shape == (game.horizon, len(game.initial))
            check_moved(case, found)
            for i, (value, paid) in enumerate(zip(found.values.value, found.value_paid, strict=True)):
                close(value, oracle.value(game, policy, i), 10)
                close(paid, oracle.value(game, case.exact_sigma, i) - oracle.value(game, policy, i), 10)
        assert results[0].distance <= results[1].distance + 1e-9
        if before <= epsilon - 1e-6:
            assert results[0].distance == results[1].distance == 0
            continue
        plain = exact_classes.exact_policy_of(results[1].policy)
        for h, s, stage in stages_under(game, paired.maps, plain):
            target = oracle.at(case.exact_sigma, h)[s]
            slack = Fraction(epsilon) / game.horizon
            close(results[1].moved[h, s], -best(stage, MinusDistance(target), slack), 1, 1e-5)


def check_moved(case: exact_games.Case, found: Any) -> None:
    """The distances are those between what went in and what came out."""
    rows = np.atleast_2d(found.moved)
    for h, row in enumerate(rows):
        apart = np.abs(case.sigma.at(h) - found.policy.at(h)).sum(axis=1) / 2
        assert np.abs(apart - row).max() < 1e-9
    assert abs(found.distance - rows.mean()) < 1e-9


@pytest.mark.parametrize("seed", range(6))
def test_what_was_repaired_stays(seed: int) -> None:
    case = small_markov(seed)
    for spend in (True, False):
        once = mo.repair(case.game, case.sigma, epsilon=0.5, spend=spend)
        twice = mo.repair(case.game, once.policy, epsilon=0.5, spend=True)
        assert twice.distance == 0
        assert np.allclose(steps_of(twice.policy, 2), steps_of(once.policy, 2), atol=1e-12)
    equilibrium = mo.correlated_equilibrium(case.game)
    for spend in (True, False):
        kept = mo.repair(case.game, equilibrium.policy, epsilon=0.01, spend=spend)
        assert kept.distance < 1e-9
        assert np.allclose(steps_of(kept.policy, 2), steps_of(equilibrium.policy, 2), atol=1e-9)


def test_repair_without_any_slack() -> None:
    for seed in range(4):
        case = small_markov(seed)
        found = mo.repair(case.game, case.sigma, epsilon=0)
        assert SWAP.regret(case.exact_game, exact_classes.exact_policy_of(found.policy)) <= 1e-6
        check_moved(case, found)


@pytest.mark.parametrize("seed", range(4))
def test_repair_of_discounted_games(seed: int) -> None:
    case = small_discounted(seed)
    for paired, epsilon in ((SWAP, 0.5), (EXTERNAL, 0.05)):
        results = [
            mo.repair(case.game, case.sigma, epsilon=epsilon, deviations=paired.library, spend=spend)
            for spend in (True, False)
        ]
        for found in results:
            assert found.regret.upper <= epsilon
            own = discounted_regret(case.exact_game, found.policy, paired)
            assert own <= epsilon + 1e-9
            check_moved(case, found)
        if results[1].before.upper <= epsilon:
            assert results[0].distance == 0


# Imitation


@pytest.mark.parametrize("seed", range(6))
def test_imitation_with_all_known(seed: int) -> None:
    case = small_markov(seed)
    game = case.exact_game
    size = len(game.initial)
    for known in (None, np.ones(size, dtype=bool), np.ones((2, size), dtype=bool)):
        found = mo.regret_constrained_imitation(case.game, case.sigma, epsilon=0.5, known=known)
        assert found.regret.upper <= 0.5
        assert SWAP.regret(game, exact_classes.exact_policy_of(found.policy)) <= 0.5
        check_moved(case, found)
        plain = mo.repair(case.game, case.sigma, epsilon=0.5, spend=False)
        assert found.distance <= plain.distance + 1e-9


def test_imitation_where_nothing_is_known() -> None:
    """Elsewhere the objective alone decides."""
    for seed, epsilon in product(range(3), (0.25, 1.0)):
        game = form("square", seed)
        stage = stage_for(game, SWAP)
        target = [Fraction(a == 0) for a in range(9)]
        found = mo.regret_constrained_imitation(
            library(game), policy_of([[target]]), epsilon=epsilon, known=np.array([False])
        )
        assert found.regret.upper <= epsilon
        x = row_of(found.policy)
        close(float(Linear(stage.welfare).value(stage, x)), best(stage, Linear(stage.welfare), Fraction(epsilon)), 20)


@pytest.mark.parametrize("elsewhere", ["entropy", "gini", "egalitarian", "least_regret", "feasible"])
def test_imitation_with_other_objectives_elsewhere(elsewhere: str) -> None:
    for seed in (5001, 3):
        case = small_markov(seed, horizon=3)
        known = np.arange(3 * case.num_states).reshape(3, -1) % 4 == 2
        found = mo.regret_constrained_imitation(case.game, case.sigma, epsilon=0.3, known=known, elsewhere=elsewhere)
        assert found.regret.upper <= 0.3
        assert SWAP.regret(case.exact_game, exact_classes.exact_policy_of(found.policy)) <= 0.3


def test_imitation_of_an_equilibrium_is_the_expert() -> None:
    """Where the worst equilibria follow a departure nobody departs; the best ones would make it worth while."""
    for chain in (mo.scenarios.unvisited_chain(4), mo.scenarios.weighted_error_chain(4, error=0.1)):
        visited = mo.occupancy(chain.game, chain.expert).sum(axis=-1) > 0
        punish = mo.objectives.Weighted([-1, -1])
        found = mo.regret_constrained_imitation(chain.game, chain.expert, epsilon=0.5, known=visited, elsewhere=punish)
        assert found.regret.upper <= 0.5
        for h, s in np.argwhere(visited):
            assert np.allclose(found.policy.at(h)[s], chain.expert.at(h)[s], atol=1e-9)
        generous = mo.regret_constrained_imitation(chain.game, chain.expert, epsilon=0.5, known=visited)
        assert generous.regret.upper <= 0.5
        assert generous.distance > 0


# Mixtures


def every_gain(
    game: ExactGame, policies: Sequence[Policy], weights: Row, paired: Paired, agent: int
) -> tuple[Fraction, Fraction]:
    """Best gain of a deviation that is not told which policy was drawn, and of one that is; by enumeration."""
    assert paired.maps is not None
    assert game.horizon is not None
    drawn = [(sigma, oracle.value(game, sigma, agent)) for sigma in policies]
    gains = [
        [oracle.value(game, oracle.deviate(game, sigma, agent, phi), agent) - v for sigma, v in drawn]
        for phi in oracle_classes.class_deviations(game, agent, paired.maps, game.horizon)
    ]
    blind = max(oracle.dot(weights, row) for row in gains)
    told = oracle.dot(weights, [max(column) for column in zip(*gains, strict=True)])
    return blind, told


@pytest.mark.parametrize("seed", range(10))
def test_mixtures_of_two_steps(seed: int) -> None:
    case = exact_games.random_case(
        seed, 1 + seed % 2, (2, 2), horizon=2, varying=seed % 3 == 0, policy_steps=1 + seed % 2
    )
    game = case.exact_game
    others = [exact_classes.other_policy(case, seed + k) for k in (1, 2)]
    policies, rows = [case.sigma, *(p for p, _ in others)], [case.exact_sigma, *(r for _, r in others)]
    weights = [Fraction(1, 4), Fraction(1, 2), Fraction(1, 4)]
    for paired in (SWAP, EXTERNAL, COARSE, INTERNAL)[: 4 if seed % 2 == 0 else 2]:
        found = mo.mixture_regret(case.game, policies, [float(w) for w in weights], paired.library)
        gains = [every_gain(game, rows, weights, paired, i) for i in game.agents]
        blind, told = max(b for b, _ in gains), max(t for _, t in gains)
        assert found.lower <= float(blind) + 1e-9
        assert float(blind) <= found.upper + 1e-9
        close(found.announced, told, 10, 1e-9)
        assert found.upper <= found.announced + 1e-9
        alone = [mo.regret(case.game, p, paired.library).per_agent for p in policies]
        close(found.announced, max(np.array([0.25, 0.5, 0.25]) @ np.array(alone)), 10, 1e-9)


@pytest.mark.parametrize("kind", ["plain", "square", "ties", "three agents", "fractions", "illegal", "huge"])
def test_mixtures_of_one_step(kind: str) -> None:
    game = form(kind, 11)
    rng = Random(kind)
    weights = [Fraction(1, 8), Fraction(5, 8), Fraction(1, 4)]
    for name, paired in classes(game).items():
        stage = stage_for(game, paired)
        rows = [random_row(rng, stage.legal, len(stage.welfare)) for _ in weights]
        mixed = [oracle.dot(weights, list(column)) for column in zip(*rows, strict=True)]
        size = max(stage.span(i) for i in game.agents)
        policies = [policy_of([[row]]) for row in rows]
        found = mo.mixture_regret(library(game), policies, [float(w) for w in weights], paired.library)
        close(found.lower, stage.regret(mixed), size, 1e-9)
        close(found.upper, stage.regret(mixed), size, 1e-9)
        at_once = mo.CorrelatedPolicy.mixture(policies, [float(w) for w in weights])
        close(found.upper, Fraction(mo.regret(library(game), at_once, paired.library).value), size, 1e-9)
        told = max(oracle.dot(weights, [stage.agent_regret(row, i) for row in rows]) for i in game.agents)
        close(found.announced, told, size, 1e-9)
        assert name


def test_a_mixture_of_one() -> None:
    for seed in range(5):
        case = small_markov(seed)
        found = mo.mixture_regret(case.game, [case.sigma], [1.0])
        regret = SWAP.regret(case.exact_game, case.exact_sigma)
        for side in (found.announced, found.lower, found.upper):
            close(side, regret, 10, 1e-9)
        same = mo.mixture_regret(case.game, [case.sigma, case.sigma], [0.5, 0.5])
        close(same.announced, regret, 10, 1e-9)
        assert same.lower <= float(regret) + 1e-9
        assert float(regret) <= same.upper + 1e-9


def test_a_policy_that_is_never_drawn_does_not_matter() -> None:
    case = small_markov(5)
    other, _ = exact_classes.other_policy(case, 1)
    found = mo.mixture_regret(case.game, [case.sigma, other], [1.0, 0.0])
    regret = float(SWAP.regret(case.exact_game, case.exact_sigma))
    close(found.announced, Fraction(regret), 10, 1e-9)
    assert found.lower <= regret + 1e-9
    assert regret <= found.upper + 1e-9


# Builders for cvxpy


def maximum(expression: Any, constraints: list[Any]) -> float:
    problem = cp.Problem(cp.Maximize(expression), constraints)
    problem.solve(solver=cp.CLARABEL)
    assert problem.status == cp.OPTIMAL
    return float(problem.value)


@pytest.mark.parametrize("kind", ["plain", "square", "ties", "three agents", "illegal", "one agent"])
def test_cvx_obedience(kind: str) -> None:
    game = form(kind, 12)
    for paired, epsilon in product(FOUR, (0.0, 0.5)):
        stage = stage_for(game, paired)
        welfare = np.array(stage.welfare, dtype=float)
        for shape in ((len(welfare),), (1, len(welfare))):
            sigma = cp.Variable(shape)
            constraints = mo.cvx.obedience(library(game), sigma, deviations=paired.library, epsilon=epsilon)
            found = maximum(cp.sum(cp.multiply(welfare.reshape(shape), sigma)), constraints)
            close(found, best(stage, Linear(stage.welfare), Fraction(epsilon)), 10, 1e-5)


@pytest.mark.parametrize("seed", range(6))
def test_cvx_obedience_with_action_values(seed: int) -> None:
    """Every state by itself, with respect to what follows."""
    case = small_markov(seed)
    game = case.exact_game
    for paired, epsilon in ((SWAP, 0.0), (EXTERNAL, 0.25), (SWAP, 0.25)):
        assert paired.maps is not None
        stages = [stage for h, _, stage in stages_under(game, paired.maps, case.exact_sigma) if h == 0]
        worth = np.array([[stage.worth[i] for stage in stages] for i in game.agents], dtype=float)
        sigma = cp.Variable(worth.shape[1:])
        constraints = mo.cvx.obedience(
            case.game, sigma, deviations=paired.library, epsilon=epsilon, action_values=worth
        )
        expected = sum(best(stage, Linear(stage.welfare), Fraction(epsilon)) for stage in stages)
        close(maximum(cp.sum(cp.multiply(worth.sum(axis=0), sigma)), constraints), expected, 30, 1e-5)
        for i in game.agents:
            sigma.value = case.sigma.at(0)
            told: Any = mo.cvx.deviation_incentives(case.game, sigma, i, deviations=paired.library, action_values=worth)
            assert told.shape == (len(stages),)
            assert told.is_convex()
            for found, stage, row in zip(told.value, stages, case.exact_sigma[0], strict=True):
                close(float(found), stage.agent_regret(row, i), 10, 1e-9)


@pytest.mark.parametrize("kind", ["plain", "square", "three agents", "illegal"])
def test_cvx_incentives(kind: str) -> None:
    game = form(kind, 13)
    for name, paired in classes(game).items():
        stage = stage_for(game, paired)
        sigma = cp.Variable((1, len(stage.welfare)))
        told: list[Any] = [
            mo.cvx.deviation_incentives(library(game), sigma, i, deviations=paired.library) for i in game.agents
        ]
        row = random_row(Random(name), stage.legal, len(stage.welfare))
        sigma.value = np.array([row], dtype=float)
        for i in game.agents:
            close(float(np.ravel(told[i].value)[0]), stage.agent_regret(row, i), 10, 1e-9)
        legal = mo.cvx.obedience(library(game), sigma, deviations=paired.library, epsilon=1000.0)
        least = -maximum(-cp.max(cp.hstack(told)), legal)
        close(least, equilibrium_oracle.least_regret(stage), 10, 1e-5)


@pytest.mark.filterwarnings("ignore:The problem has an expression with dimension greater than 2")
@pytest.mark.parametrize("seed", range(8))
def test_cvx_flow(seed: int) -> None:
    """The best welfare of a planner whom nobody disobeys."""
    case = small_markov(seed) if seed % 2 else small_discounted(seed)
    game = case.exact_game
    measure = mo.occupancy(case.game, case.sigma)
    steps = game.horizon or 300
    values = [Fraction(0) for _ in game.states]
    for h in reversed(range(steps)):
        best_joint = [max(joint_worth(game, h, s, a, values) for a in legal_joint(game, s)) for s in game.states]
        values = [Fraction(float(v)) for v in best_joint]
    welfare = np.array([oracle.at(game.rewards, h) for h in range(game.horizon or 1)], dtype=float).sum(axis=1)
    length = 1.0 if game.horizon is not None else 1 / (1 - float(game.discount))
    for shape in (measure.shape, (-1, measure.shape[-1]), (-1,)):
        given_measure = measure.reshape(shape)
        mu = cp.Variable(given_measure.shape)
        constraints: list[Any] = mo.cvx.flow(case.game, mu)
        mu.value = given_measure
        assert max(float(np.max(c.violation())) for c in constraints) < 1e-9
        mu.value = given_measure + np.broadcast_to(np.where(case.game.joint_legal, 0.1, 0), measure.shape).reshape(
            shape
        )
        assert max(float(np.max(c.violation())) for c in constraints) > 1e-3
        flat = cp.reshape(mu, (mu.size,), order="C")
        found = maximum(cp.sum(cp.multiply(welfare.reshape(-1), flat)), constraints)
        close(found * length, oracle.dot(game.initial, values), 30, 1e-5)


def joint_worth(game: ExactGame, step: int, state: int, joint: int, following: Row) -> Fraction:
    """Sum over agents of the reward, and the value that follows once."""
    zero = [Fraction(0) for _ in following]
    rewards = sum((game.q_value(step, i, state, joint, zero) for i in game.agents), Fraction(0))
    return rewards + game.q_value(step, 0, state, joint, following) - game.q_value(step, 0, state, joint, zero)


def legal_joint(game: ExactGame, state: int) -> list[int]:
    return [k for k, a in enumerate(game.joint_actions) if all(b in game.legal[i][state] for i, b in enumerate(a))]


# Errors


def test_classes_that_are_not_offered() -> None:
    game = mo.scenarios.chicken()
    identity = mo.Deviation.identity(game, 0)
    for wrong in (mo.Limited(1), mo.Budget(1.0), mo.Stationary(), mo.Finite([identity])):
        with pytest.raises(mo.errors.InvalidDeviation):
            mo.correlated_equilibrium(game, deviations=wrong)
        with pytest.raises(mo.errors.InvalidDeviation):
            mo.repair(game, mo.CorrelatedPolicy.uniform(game), epsilon=0.1, deviations=wrong)
    with pytest.raises(mo.errors.InvalidDeviation):
        mo.correlated_equilibrium(game, deviations=mo.Partition([0, 0, 1]))


@pytest.mark.parametrize(
    ("error", "ask"),
    [
        (mo.errors.InvalidOption, lambda game: mo.correlated_equilibrium(game, epsilon=float("nan"))),
        (mo.errors.InvalidOption, lambda game: mo.correlated_equilibrium(game, epsilon=10**400)),
        (mo.errors.InvalidOption, lambda game: mo.correlated_equilibrium(game, objective="wellfare")),
        (mo.errors.InvalidOption, lambda game: ask(game, mo.objectives.Weighted([1, 2, 3]))),
        (mo.errors.InvalidOption, lambda game: ask(game, mo.objectives.JointActions([1, 2, 3]))),
        (mo.errors.InvalidOption, lambda game: ask(game, mo.objectives.JointActions(np.ones((2, 4))))),
        (mo.errors.UnknownAgent, lambda game: ask(game, mo.objectives.Preferred(2))),
        (mo.errors.UnknownAgent, lambda game: ask(game, mo.objectives.Preferred(-1))),
        (mo.errors.InvalidPolicy, lambda game: ask(game, mo.objectives.Nearest(mo.CorrelatedPolicy([[0.5, 0.5]])))),
        (mo.errors.InvalidOption, lambda game: mo.repair(game, mo.CorrelatedPolicy.uniform(game), epsilon=np.nan)),
        (mo.errors.InvalidPolicy, lambda game: mo.repair(game, mo.CorrelatedPolicy([[0.5, 0.5]]), epsilon=0.1)),
        (ValueError, lambda game: mo.mixture_regret(game, [mo.CorrelatedPolicy.uniform(game)], [0.5])),
        (ValueError, lambda game: mo.mixture_regret(game, [], [])),
        (ValueError, lambda game: mo.mixture_regret(game, [mo.CorrelatedPolicy.uniform(game)], [0.5, 0.5])),
        (mo.errors.UnknownAgent, lambda game: mo.payoff_region(game, agents=(0, 2))),
        (mo.errors.InvalidGame, lambda game: ask("chicken", "welfare")),
    ],
)
def test_typed_errors(error: type[Exception], ask: Callable[[mo.MarkovGame], object]) -> None:
    with pytest.raises(error) as raised:
        ask(mo.scenarios.chicken())
    assert isinstance(raised.value, mo.MailoptError)


def ask(game: Any, objective: Any) -> object:
    return mo.correlated_equilibrium(game, objective=objective)


def test_no_equilibrium_is_typed() -> None:
    assert issubclass(mo.errors.NoEquilibrium, mo.MailoptError)
    assert issubclass(mo.errors.NoEquilibrium, ValueError)
    for paired in (SWAP, COARSE, INTERNAL):
        for exact in (False, True):
            with pytest.raises(mo.errors.NoEquilibrium):
                mo.correlated_equilibrium(mo.scenarios.chicken(), deviations=paired.library, epsilon=-1e-3, exact=exact)
    with pytest.raises(mo.errors.NoEquilibrium):
        mo.correlated_equilibrium(small_markov(1).game, epsilon=-0.1)
    with pytest.raises(mo.errors.NoEquilibrium):
        mo.correlated_equilibrium(small_discounted(1).game, deviations=mo.External(), epsilon=-1000)
    with pytest.raises(Impossible):
        best(stage_for(chicken(), SWAP), MinusRegret(), Fraction(-1, 1000))
