"""The deviation-weighted loss, and the bound that it sets on the regret gap."""

from __future__ import annotations

from fractions import Fraction
from random import Random

import numpy as np
import pytest

import mailopt as mo
from mailopt.errors import InvalidDeviation
from tests import oracle, oracle_classes, oracle_constants
from tests.exact_classes import (
    COARSE,
    EXTERNAL,
    FOUR,
    INTERNAL,
    SWAP,
    Paired,
    any_case,
    attained,
    budget,
    every_class,
    exact_phi,
    finite,
    library_game,
    library_policy,
    limited,
    listed_class,
    other_policy,
    partition,
    stationary,
)
from tests.oracle import ExactGame, Number, Policy
from tests.oracle_classes import class_size, stages, steps_of, with_state_rewards
from tests.random_games import random_case, random_policy

HALF = Fraction(1, 2)
WEIGHTS = (1e-3, 1e-2, 0.2, 1.0)


# The deviation-weighted loss


def charged(game: ExactGame, learner: Policy, expert: Policy) -> tuple[ExactGame, Policy]:
    """Game whose states pay the distance, and the learner with a row for each step that matters."""
    learner, expert = oracle_constants.padded(game, learner, expert)
    return with_state_rewards(game, oracle_constants.total_variation(game, learner, expert)), learner


def few(game: ExactGame, most: int) -> bool:
    """Whether all stationary swaps can be listed."""
    return sum(class_size(game, i, stages("swap"), 1) for i in game.agents) <= most


@pytest.mark.parametrize("seed", range(150))
def test_the_loss_is_that_of_the_oracle_and_attained(seed: int) -> None:
    case = any_case(seed, most_states=3)
    game = case.exact_game
    expert, exact = other_policy(case, -seed - 1, steps=1 + seed % 2 if game.horizon is None else None)
    paid, learner = charged(game, case.exact_sigma, exact)
    offered = every_class(seed, game)
    chosen = [offered[(2 * seed + k) % len(offered)] for k in range(2)] + [budget((0, 0.25, 1, 3.5)[seed % 4])]
    if game.horizon and few(game, 100):
        chosen.append(stationary())
    for paired in chosen:
        losses = [paired.best(paid, learner, i) for i in game.agents]
        loss = max(value for value in losses if value is not None)
        if paired.maps:
            assert loss == oracle_constants.loss(game, case.exact_sigma, exact, paired.maps, identity=False)
        found = mo.deviation_weighted_loss(case.game, case.sigma, expert, paired.library)
        assert found.lower <= loss <= found.upper
        assert found.lower <= found.value <= found.upper <= found.lower + 1e-9
        shown = [-np.inf if value is None else float(value) for value in losses]
        np.testing.assert_allclose(found.per_agent, shown, atol=1e-9)
        assert found.agent == found.best.agent == found.deviation.agent
        assert shown[found.agent] == pytest.approx(float(loss), abs=1e-9)
        obeyed = oracle.value(paid, learner, 0)
        assert found.best.gain == pytest.approx(float(loss - obeyed), abs=1e-9)
        if game.horizon or not isinstance(paired.library, mo.Limited):
            assert float(attained(paid, learner, found.deviation)) == pytest.approx(float(loss), abs=1e-9)
        if isinstance(paired.library, mo.Budget):
            spent = oracle_classes.disobedience(game, learner, found.agent, exact_phi(found.deviation))
            assert float(spent) <= paired.library.kappa + 1e-9


@pytest.mark.parametrize("seed", range(20))
def test_the_loss_ignores_the_rewards_and_is_zero_for_the_expert(seed: int) -> None:
    case = any_case(seed)
    expert, _ = other_policy(case, -seed - 1)
    rich = case.game.with_rewards(case.game.rewards * 1e6 + 3)
    for c in (mo.Swap(), mo.External(), mo.Limited(1)):
        lost = mo.deviation_weighted_loss(case.game, case.sigma, expert, c)
        assert mo.deviation_weighted_loss(rich, case.sigma, expert, c).value == lost.value
        assert mo.deviation_weighted_loss(case.game, expert, expert, c).value == 0


# The bound on the regret gap


def listed(rng: Random, game: mo.MarkovGame) -> mo.Finite:
    """One to four random deviations of random agents."""

    def row(i: int, s: int) -> list[float]:
        legal = game.legal[i][s].tolist()
        weights = [ok * (rng.random() < 0.5) for ok in legal]
        return (
            [w / sum(weights) for w in weights]
            if any(weights)
            else [float(b == legal.index(True)) for b in range(len(legal))]
        )

    def phi(i: int) -> mo.Deviation:
        n = game.actions[i]
        return mo.Deviation(i, np.array([[row(i, s) for _ in range(n)] for s in range(game.num_states)]))

    return mo.Finite(tuple(phi(rng.randrange(game.num_agents)) for _ in range(rng.randint(1, 4))))


@pytest.mark.parametrize("seed", range(250))
def test_the_regret_gap_is_within_its_bound(seed: int) -> None:
    """Eight classes each, the learner near the expert or far: 2000 triples."""
    case, rng = random_case(seed), Random(seed)
    game, expert = case.game, case.policy
    other = random_policy(np.random.default_rng([seed, 1]), game, expert.num_steps)
    weight = WEIGHTS[seed % len(WEIGHTS)]
    learner = mo.CorrelatedPolicy.mixture([other, expert], [weight, 1 - weight])
    cells = [[rng.randrange(2) for _ in range(n)] for n in game.actions]
    for c in (
        mo.Swap(),
        mo.External(),
        mo.Coarse(),
        mo.Internal(),
        mo.Limited(1),
        mo.Limited(2, mo.External()),
        mo.Partition(cells),
        listed(rng, game),
    ):
        gap = mo.regret_gap(game, learner, expert, c)
        bound = mo.regret_gap_bound(game, learner, expert, c)
        assert bound.value == min(bound.absolute, bound.span)
        assert gap.lower <= bound.value
        assert gap.upper - gap.lower <= 1e-9 * case.scale
        assert bound.absolute == pytest.approx(4 * bound.recoverability * bound.loss, rel=1e-12)
        assert bound.span == pytest.approx(2 * bound.width * bound.loss, rel=1e-12)


@pytest.mark.parametrize("seed", [seed for seed in range(1, 120, 2) if random_case(seed).game.num_states < 3])
def test_the_regret_gap_of_deviations_that_keep_to_one_step_is_within_its_bound(seed: int) -> None:
    case = random_case(seed)
    game, expert = case.game, case.policy
    other = random_policy(np.random.default_rng([seed, 2]), game, expert.num_steps)
    weight = WEIGHTS[seed // 2 % len(WEIGHTS)]
    learner = mo.CorrelatedPolicy.mixture([other, expert], [weight, 1 - weight])
    gap = mo.regret_gap(game, learner, expert, mo.Stationary())
    assert gap.lower <= mo.regret_gap_bound(game, learner, expert, mo.Stationary()).value
    assert gap.upper - gap.lower <= 1e-9 * case.scale


@pytest.mark.parametrize("seed", range(60))
def test_the_bound_is_no_less_than_the_exact_ones(seed: int) -> None:
    """Loss, u and w over all deviations and the identity, in rationals."""
    case = any_case(seed, most_states=2)
    game = case.exact_game
    rng = Random(seed)
    offered: list[Paired] = [*FOUR, partition(rng, game)]
    expert, exact = other_policy(case, -seed - 1)
    for paired in offered[seed % 2 :: 2]:
        assert paired.maps is not None
        if sum(class_size(game, i, paired.maps, steps_of(game, exact)) for i in game.agents) > 150:
            continue
        gap = oracle_constants.regret_gap(game, case.exact_sigma, exact, paired.maps)
        played, _, absolute = oracle_constants.gap_bounds(game, case.exact_sigma, exact, paired.maps)
        assert abs(gap) <= min(played, absolute)
        bound = mo.regret_gap_bound(case.game, case.sigma, expert, paired.library)
        assert min(played, absolute) <= bound.value
        assert played <= bound.span
        assert absolute <= bound.absolute
        loss = oracle_constants.loss(game, case.exact_sigma, exact, paired.maps)
        assert loss <= bound.loss <= float(loss) + 1e-9
        assert oracle_constants.recoverability(game, exact, paired.maps)[0] <= bound.recoverability
    for paired in (limited(1), limited(2, EXTERNAL), finite(rng, game)):
        gap = paired.regret(game, case.exact_sigma) - paired.regret(game, exact)
        assert gap <= mo.regret_gap_bound(case.game, case.sigma, expert, paired.library).value


def torn(eps: Fraction) -> tuple[ExactGame, Policy, Policy]:
    """From state 0 obedience leads to state 1, action 1 to state 2, where only agent 1 has a choice.

    The learner's error costs agent 0 in state 1 what it brings in state 2.
    """
    one, two = list[Number]((0, 1, 0)), list[Number]((0, 0, 1))
    kernel = [[one, one, two, two], [one] * 4, [two] * 4]
    pays: list[list[Number]] = [[0] * 4, [2, 0, 9, 9], [0, 2, 9, 9]]
    legal = [[[True, True], [True, False], [True, False]], [[True, False], [True, True], [True, True]]]
    game = oracle.exact_game([kernel], [[pays, [[0, 0, 0, 0]] * 3]], [1, 0, 0], (2, 2), horizon=2, legal=legal)
    expert = oracle.exact_policy([[[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0]]])
    erring = [[expert[0][s][0] - eps, expert[0][s][1] + eps, Fraction(0), Fraction(0)] for s in (1, 2)]
    return game, [[expert[0][0], *erring]], expert


@pytest.mark.parametrize("eps", [Fraction(1, 2), Fraction(1, 3), Fraction(1, 1000), Fraction(1, 10**9)])
@pytest.mark.parametrize(
    "paired", [SWAP, EXTERNAL, COARSE, INTERNAL, limited(1), stationary()], ids=lambda p: repr(p.library)
)
def test_both_forms_of_the_bound_are_tight(paired: Paired, eps: Fraction) -> None:
    """Obeying falls by w TV = 2 u TV and deviating rises by as much: the gap is 2 w L = 4 u L."""
    game, learner, expert = torn(eps)
    gap = paired.regret(game, learner) - paired.regret(game, expert)
    assert gap == 4 * eps
    given = library_game(game), library_policy(learner), library_policy(expert)
    bound = mo.regret_gap_bound(*given, paired.library)
    assert gap <= bound.value
    assert bound.span == pytest.approx(float(gap), rel=1e-12)
    assert bound.absolute == pytest.approx(float(gap), rel=1e-12)
    measured = mo.regret_gap(*given, paired.library)
    assert measured.lower <= gap <= measured.upper


def only_obedience_errs(n: int) -> tuple[ExactGame, Policy, Policy]:
    """Obedience goes to state 1, where the learner costs both agents 2; a constant does with probability 1 / n."""
    joints = [(a, b) for a in range(n) for b in range(n)]
    kernel: list[list[list[Number]]] = [
        [[0, a == b, a != b] for a, b in joints],
        [[0, 0, 1] for _ in joints],
        [[0, 0, 1] for _ in joints],
    ]
    pays: list[list[Number]] = [[0 for _ in joints], [1 - 2 * b for _, b in joints], [0 for _ in joints]]
    one = [b == 0 for b in range(n)]
    legal = [[[True] * n, one, one], [[True] * n, [b < 2 for b in range(n)], one]]
    game = oracle.exact_game([kernel], [[pays] * 2], [1, 0, 0], (n, n), horizon=2, legal=legal)
    expert, learner = (
        oracle.exact_policy([[[a == b for a, b in joints], *([j == k for j in range(n * n)] for k in (played, 0))]])
        for played in (0, 1)
    )
    return game, learner, expert


def test_without_obedience_the_bound_of_external_deviations_would_be_false() -> None:
    game, learner, expert = only_obedience_errs(5)
    assert EXTERNAL.regret(game, learner) - EXTERNAL.regret(game, expert) == 2
    given = library_game(game), library_policy(learner), library_policy(expert)
    lost = mo.deviation_weighted_loss(*given, mo.External())
    assert lost.lower <= Fraction(1, 5) <= lost.upper
    u = mo.recoverability(given[0], given[2], mo.External())
    assert 4 * u.upper * lost.upper < 2
    bound = mo.regret_gap_bound(*given, mo.External())
    assert (bound.loss, bound.value) == pytest.approx((1, 4))
    assert bound.value >= 2


def test_a_list_without_obedience_is_bounded_together_with_it() -> None:
    game, learner, expert = only_obedience_errs(20)
    constant = listed_class({0: [[[[{0: Fraction(1)}] * 20] * 3]]}, game)
    gap = constant.regret(game, learner) - constant.regret(game, expert)
    assert gap == 2 - Fraction(2, 20)
    given = library_game(game), library_policy(learner), library_policy(expert)
    assert mo.deviation_weighted_loss(*given, constant.library).value == pytest.approx(1 / 20)
    assert gap <= mo.regret_gap_bound(*given, constant.library).value


def test_budgets_have_no_such_bound() -> None:
    chain = mo.scenarios.unvisited_chain(3)
    with pytest.raises(InvalidDeviation, match=r"Budget\(1.*under the policy and under the expert.*Swap\(\)"):
        mo.regret_gap_bound(chain.game, chain.learner, chain.expert, mo.Budget(1))
