"""Every class of deviations against all deviations of tiny games, and against each other on random games."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mailopt as mo
from mailopt.errors import InvalidDeviation
from mailopt_solvers import solve
from tests import exact_games, oracle
from tests.exact_games import Case
from tests.random_games import random_case

Stage = dict[int, int]
"""What is played at the legal recommendations of one (step, state)."""
Rule = Callable[[int, int, Stage], bool]

TINY = [
    (1, 1, (3,), 1),
    (1, 1, (3, 2), 1),
    (1, 2, (2, 2), 2),
    (2, 2, (2, 2), 1),
    (2, 1, (3, 2), 1),
    (1, 1, (2, 3, 2), 1),
    (3, 1, (2, 2), 1),
]


def tiny_case(seed: int, shape: tuple[int, int, tuple[int, ...], int], discount: float | None = None) -> Case:
    states, horizon, actions, steps = shape
    limits: dict[str, Any] = {"horizon": horizon} if discount is None else {"discount": discount}
    return exact_games.random_case(seed, states, actions, **limits, illegal=seed % 2 == 1, policy_steps=steps)


def coarse(_: int, __: int, plays: Stage) -> bool:
    return all(a == b for a, b in plays.items()) or len(set(plays.values())) == 1


def internal(_: int, __: int, plays: Stage) -> bool:
    return sum(a != b for a, b in plays.items()) <= 1


def by_cell(cells: list[int]) -> Rule:
    def rule(_: int, __: int, plays: Stage) -> bool:
        return all(len({b for a, b in plays.items() if cells[a] == cell}) <= 1 for cell in cells)

    return rule


def masked(mask: Any, inner: Rule) -> Rule:
    def rule(step: int, state: int, plays: Stage) -> bool:
        here = mask[min(step, len(mask) - 1)] if mask.ndim == 4 else mask
        here = here[state] if here.ndim == 3 else here
        return all(a == b or here[a, b] for a, b in plays.items()) and inner(step, state, plays)

    return rule


def whatever(_: int, __: int, ___: Stage) -> bool:
    return True


def classes(case: Case, seed: int) -> list[tuple[mo.DeviationClass, list[Rule]]]:
    """Classes with, for each agent, the rule that says which stages belong to them."""
    game, generator = case.game, np.random.default_rng(seed)
    m = game.num_agents
    cells = [generator.integers(0, 2, size=n).tolist() for n in game.actions]
    steps = () if game.horizon is None else (game.horizon,)
    masks = [
        generator.random((*shape, n, n)) < 0.5
        for n, shape in zip(game.actions, ((), (game.num_states,), (*steps, game.num_states)) * m, strict=False)
    ]
    one_for_all = [np.ones((n, n), dtype=bool) for n in game.actions]
    for mask, n in zip(one_for_all, game.actions, strict=True):
        mask[:, generator.integers(n)] = n == 2
    return [
        (mo.Coarse(), [coarse] * m),
        (mo.Internal(), [internal] * m),
        (mo.Partition(cells), [by_cell(c) for c in cells]),
        (mo.Restricted(masks), [masked(k, whatever) for k in masks]),
        (mo.Restricted(masks, mo.Coarse()), [masked(k, coarse) for k in masks]),
        (mo.Restricted(masks, mo.Internal()), [masked(k, internal) for k in masks]),
        (
            mo.Restricted(one_for_all, mo.Partition(cells)),
            [masked(k, by_cell(c)) for k, c in zip(one_for_all, cells, strict=True)],
        ),
    ]


def members(case: Case, agent: int, rule: Rule) -> list[oracle.Phi]:
    """Deviations that the rule allows at every step and state."""
    exact = case.exact_game
    steps = exact.horizon or len(case.exact_sigma)

    def fits(phi: oracle.Phi) -> bool:
        return all(
            rule(h, s, {a: next(iter(phi[h][s][a])) for a in exact.legal[agent][s]})
            for h in range(len(phi))
            for s in exact.states
        )

    return [phi for phi in oracle.deviations(exact, agent, "swap", steps) if fits(phi)]


@pytest.mark.parametrize("discount", [None, 0.75], ids=["finite", "discounted"])
@pytest.mark.parametrize("shape", TINY, ids=str)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_best_of_all_members(
    seed: int, shape: tuple[int, int, tuple[int, ...], int], discount: float | None
) -> None:
    case = tiny_case(seed, shape, discount)
    exact, game, sigma = case.exact_game, case.game, case.sigma
    for deviations, rules in classes(case, seed):
        for agent in exact.agents:
            candidates = members(case, agent, rules[agent])
            if not candidates:
                with pytest.raises(InvalidDeviation, match="nothing to play"):
                    mo.best_deviation(game, sigma, agent, deviations)
                continue
            every = [
                oracle.value(exact, oracle.deviate(exact, case.exact_sigma, agent, phi), agent) for phi in candidates
            ]
            for method in ("dp", "lp"):
                best = mo.best_deviation(game, sigma, agent, deviations, method=method)
                assert best.value == pytest.approx(float(max(every)), abs=1e-9)
                deviated = best.deviation.apply(game, sigma)
                assert mo.values(game, deviated).value[agent] == pytest.approx(best.value, abs=1e-9)
                assert_member(case, best, rules[agent])
            for formulation in ("direct", "linked"):
                program = mo.programs.deviation(game, sigma, agent, deviations, formulation=formulation)
                assert solve(program).objective == pytest.approx(float(max(every)), abs=1e-9)


def assert_member(case: Case, best: mo.BestDeviation, rule: Rule) -> None:
    """The deviation found is one of its class."""
    table = best.deviation.probabilities
    for h, step in enumerate(table if table.ndim == 4 else table[None]):
        for s in case.exact_game.states:
            plays = {a: int(step[s, a].argmax()) for a in case.exact_game.legal[best.agent][s]}
            assert rule(h, s, plays)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6))
def test_inclusions(seed: int) -> None:
    """A larger class gains at least as much, and classes that are the same gain the same."""
    random = Random(seed)
    case = random_case(seed)
    game, sigma = case.game, case.policy

    def gains(deviations: mo.DeviationClass) -> Any:
        return mo.regret(game, sigma, deviations).per_agent

    swap, external, coarse_, internal_ = (gains(d) for d in (mo.Swap(), mo.External(), mo.Coarse(), mo.Internal()))
    rounding = 1e-9 * (1 + np.abs(swap))
    assert (external <= coarse_ + rounding).all()
    assert (coarse_ <= swap + rounding).all()
    assert (internal_ <= swap + rounding).all()
    assert (np.minimum(coarse_, internal_) >= -rounding).all()
    fine = [[random.randrange(3) for _ in range(n)] for n in game.actions]
    rough = [[0 if k == 2 else k for k in row] for row in fine]
    assert (gains(mo.Partition(rough)) <= gains(mo.Partition(fine)) + rounding).all()
    assert (gains(mo.Partition(fine)) <= swap + rounding).all()
    np.testing.assert_allclose(gains(mo.Partition([list(range(n)) for n in game.actions])), swap, atol=1e-9)
    np.testing.assert_allclose(gains(mo.Partition([["x"] * n for n in game.actions])), external, atol=1e-9)
    everything: list[Any] = [None] * game.num_agents
    np.testing.assert_allclose(gains(mo.Restricted(everything, mo.Internal())), internal_, atol=1e-9)
    nothing = [np.zeros((n, n), dtype=bool) for n in game.actions]
    np.testing.assert_allclose(gains(mo.Restricted(nothing)), 0.0, atol=1e-9)
    some = [np.random.default_rng(seed).random((n, n)) < 0.5 for n in game.actions]
    assert (gains(mo.Restricted(some)) <= swap + rounding).all()


def test_leaving_twice() -> None:
    """Leaving once anywhere gains nothing; leaving at both steps gains 1."""
    transitions = [[[0, 1, 0], [0, 0, 1]], [[0, 1, 0], [0, 1, 0]], [[0, 1, 0], [0, 0, 1]]]
    rewards = np.zeros((1, 3, 2))
    rewards[0, 2] = [-1.0, 1.0]
    game = mo.MarkovGame(transitions, rewards, [1.0, 0.0, 0.0], (2,), horizon=2)
    obey = mo.CorrelatedPolicy.deterministic(game, [[0], [0], [0]])
    for deviations in (mo.Swap(), mo.Internal(), mo.External(), mo.Coarse()):
        for method in ("dp", "lp"):
            assert mo.regret(game, obey, deviations, method=method).value == pytest.approx(1.0)
    once = mo.Deviation.deterministic(0, [[[1, 1], [0, 1], [0, 1]], [[0, 1], [0, 1], [0, 1]]])
    assert mo.values(game, once.apply(game, obey)).value[0] == -1.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda: mo.Partition(3), "labels", id="partition-number"),
        pytest.param(lambda: mo.Partition([]), "labels", id="partition-empty"),
        pytest.param(lambda: mo.Partition([[0, 1], 2]), "labels", id="partition-mixed"),
        pytest.param(lambda: mo.Partition([0.5, 1.0]), "integers or strings", id="partition-fractions"),
        pytest.param(
            lambda: mo.Restricted(np.ones((2, 2), dtype=bool)),  # type: ignore[arg-type]
            "for each agent",
            id="masks-array",
        ),
        pytest.param(lambda: mo.Restricted([[[1, 0], [0, 1]]]), "booleans", id="mask-integers"),
        pytest.param(lambda: mo.Restricted([[True]]), "booleans", id="mask-shape"),
        pytest.param(lambda: mo.Restricted([None], mo.Swap), "inner", id="inner-type"),  # type: ignore[arg-type]
    ],
)
def test_classes_that_make_no_sense(make: Callable[[], mo.DeviationClass], message: str) -> None:
    with pytest.raises(InvalidDeviation, match=message):
        make()


@pytest.mark.parametrize(
    ("deviations", "message"),
    [
        pytest.param(mo.Partition([0, 1, 2]), "2 actions", id="partition-length"),
        pytest.param(mo.Partition([[0, 1]]), "for 1 agents", id="partition-agents"),
        pytest.param(mo.Restricted([None]), "1 masks", id="masks-agents"),
        pytest.param(mo.Restricted([None, np.ones((3, 3), dtype=bool)]), "shape", id="mask-actions"),
        pytest.param(mo.Restricted([None, np.ones((2, 2, 2), dtype=bool)]), "shape", id="mask-states"),
        pytest.param(mo.Restricted([None, np.ones((3, 1, 2, 2), dtype=bool)]), "shape", id="mask-steps"),
    ],
)
def test_classes_that_do_not_fit(deviations: mo.DeviationClass, message: str) -> None:
    chicken = mo.scenarios.chicken()
    with pytest.raises(InvalidDeviation, match=message):
        mo.regret(chicken, mo.CorrelatedPolicy.uniform(chicken), deviations)
