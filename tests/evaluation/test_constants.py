"""Coverage, concentrability and recoverability against the exact oracle."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
    INTERNAL,
    SWAP,
    Paired,
    any_case,
    every_class,
    finite,
    free,
    library_game,
    library_policy,
    limited,
    listed_class,
    other_policy,
    stationary,
)
from tests.oracle import ExactGame, Number, Phi, Policy
from tests.oracle_classes import Maps, class_size, or_obey, steps_of

HALF = Fraction(1, 2)


Members = Callable[[ExactGame, Policy, int], Iterator[Phi]]


def obeying(game: ExactGame, _: Policy, agent: int) -> Iterator[Phi]:
    yield oracle_classes.as_phi(game, agent, [[oracle_classes.obedience(game, agent, s) for s in game.states]])


def places(array: object) -> set[tuple[int, int]]:
    return {(int(h), int(s)) for h, s in np.argwhere(np.atleast_2d(np.asarray(array)))}


# Coverage and concentrability


def assert_coverage(game: mo.MarkovGame, sigma: mo.CorrelatedPolicy, exact: ExactGame, told: Policy, c: Paired) -> None:
    """Both constants, all their tables, and the places where they are attained."""
    reach, visits = c.reach(exact, told), oracle_constants.visits(exact, told)
    pairs = {
        (h, s): (most, visits[h][s]) for h, row in enumerate(reach) for s, most in enumerate(row) if most
    }  # reached at all
    open_ = {cell for cell, (_, d) in pairs.items() if not d}
    found = mo.coverage(game, sigma, c.library)
    assert found.lower <= min(d for _, d in pairs.values()) <= found.upper
    assert found.lower <= found.value <= found.upper <= found.lower + 1e-9
    assert places(found.reachable) == set(pairs)
    assert {(h or 0, s) for h, s in found.uncovered} == open_
    assert len(found.uncovered) == len(open_)
    assert all((h is None) == (exact.horizon is None) for h, _ in [*found.uncovered, (found.step, found.state)])
    np.testing.assert_allclose(np.atleast_2d(found.expert), np.array(visits, dtype=float), rtol=1e-9, atol=1e-15)
    assert found.expert[(found.step, found.state) if exact.horizon else found.state] == found.value

    strongest = mo.concentrability(game, sigma, c.library)
    np.testing.assert_allclose(np.atleast_2d(strongest.reach), np.array(reach, dtype=float), rtol=1e-9, atol=1e-12)
    if open_:
        assert strongest.value == strongest.lower == strongest.upper == np.inf
        assert places(strongest.ratios == np.inf) == open_
    else:
        assert strongest.lower <= max(most / d for most, d in pairs.values()) <= strongest.upper
        assert strongest.lower <= strongest.value <= strongest.upper <= strongest.lower * (1 + 1e-7)
    assert strongest.worst(1)[0] == (strongest.step, strongest.state, strongest.value)


@pytest.mark.parametrize("seed", range(300))
def test_coverage_and_concentrability_are_those_of_the_oracle(seed: int) -> None:
    case = any_case(seed)
    offered = every_class(seed, case.exact_game)
    for k in range(2):
        paired = offered[(2 * seed + k) % len(offered)]
        assert_coverage(case.game, case.sigma, case.exact_game, case.exact_sigma, paired)


def test_a_place_that_no_listed_deviation_reaches_does_not_count() -> None:
    """The expert goes to state 1 with probability 1/8, the only deviation never; both are certain of state 2."""
    kernel = [[[0, 0, 1], [0, 1, 0]], [[0, 0, 1]] * 2, [[0, 0, 1]] * 2]
    game = oracle.exact_game([kernel], [[[[0, 0]] * 3]], [1, 0, 0], (2,), horizon=2)
    expert = oracle.exact_policy([[[7, 1], [1, 0], [1, 0]]])
    stay: Phi = [[[{0: Fraction(1)}] * 2] * 3]
    only = listed_class({0: [stay]}, game)
    assert only.reach(game, expert) == [[1, 0, 0], [0, 0, 1]]
    assert_coverage(library_game(game), library_policy(expert), game, expert, only)


def test_nothing_beyond_the_first_step_counts_with_discount_0() -> None:
    kernel = [[[0, 1], [0, 1]], [[0, 1], [0, 1]]]
    game = oracle.exact_game([kernel], [[[[0, 0]] * 2]], [1, 0], (2,), discount=0)
    expert = oracle.exact_policy([[[1, 0]] * 2, [[1, 1]] * 2])
    assert SWAP.reach(game, expert) == [[1, 0]]
    assert_coverage(library_game(game), library_policy(expert), game, expert, SWAP)


def test_what_is_too_unlikely_for_a_double_is_covered() -> None:
    """State 2 has probability 1e-400 under the expert, and 1e-200 under a deviation."""
    rare = Fraction(1, 10**200)
    kernel: list[list[list[Number]]] = [[[1 - rare, rare, 0], [0, 1, 0]], [[0, 1 - rare, rare]] * 2, [[0, 0, 1]] * 2]
    game = oracle.exact_game([kernel], [[[[0, 0]] * 3]], [1, 0, 0], (2,), horizon=3)
    expert = oracle.exact_policy([[[1, 0]] * 3])
    found = mo.coverage(library_game(game), library_policy(expert))
    assert found.uncovered == []
    assert found.lower <= oracle_constants.coverage(game, expert, oracle_classes.stages("swap")) <= found.upper < 1e-200
    most = oracle_constants.concentrability(game, expert, oracle_classes.stages("swap"))
    assert most == 1 / rare
    strongest = mo.concentrability(library_game(game), library_policy(expert))
    assert strongest.lower <= most <= strongest.upper


@pytest.mark.parametrize(("first", "best"), [(False, 1), (True, 1)])
def test_masks_of_steps_count_in_discounted_games(first: bool, best: int) -> None:
    """Action 1 pays 1, the agent is told 0; it may leave from step 1 on, or at step 0 only."""
    game = oracle.exact_game([[[[1], [1]]]], [[[[0, 1]]]], [1], (2,), discount=HALF)
    sigma = mo.CorrelatedPolicy([[1.0, 0.0]])
    mask = np.array([np.full((1, 2, 2), first), np.full((1, 2, 2), not first)])
    for method in ("dp", "lp"):
        assert mo.regret(library_game(game), sigma, mo.Restricted([mask]), method=method).value == pytest.approx(best)


@pytest.mark.parametrize("seed", range(60))
def test_masks_of_steps_count_in_all_that_is_said_of_discounted_games(seed: int) -> None:
    """Masks of up to three steps, and policies of one or two."""
    case, rng = any_case(seed, discounted=True, most_states=2), np.random.default_rng(seed)
    game, size = case.exact_game, case.num_states
    steps = 2 + seed % 2
    masks = [rng.random((steps, size, n, n)) < 0.5 for n in case.actions]
    inner, kind = ((mo.Swap(), "swap"), (mo.Internal(), "internal"), (mo.Coarse(), "coarse"))[seed % 3]
    maps = oracle_classes.stages(kind, masks=[mask.tolist() for mask in masks])  # type: ignore[arg-type]
    masked = free(mo.Restricted(masks, inner), maps)
    expert, exact = other_policy(case, -seed - 1)
    ours, theirs = ([oracle.at(policy, h) for h in range(steps)] for policy in (case.exact_sigma, exact))
    assert_coverage(case.game, case.sigma, game, ours, masked)
    for paired in (masked, limited(1, masked)):
        true = paired.regret(game, ours)
        for method in ("dp", "lp"):
            found = mo.regret(case.game, case.sigma, paired.library, method=method)
            assert found.lower <= true <= found.upper <= found.lower + 1e-6
        known = mo.regret_interval(case.game, case.sigma, np.ones(size, dtype=bool), paired.library)
        assert known.lower <= true <= known.upper
    loss = oracle_constants.loss(game, ours, theirs, maps, identity=False)
    lost = mo.deviation_weighted_loss(case.game, case.sigma, expert, masked.library)
    assert lost.lower <= loss <= lost.upper <= lost.lower + 1e-9
    bound = mo.regret_gap_bound(case.game, case.sigma, expert, masked.library)
    assert masked.regret(game, ours) - masked.regret(game, theirs) <= bound.value
    if sum(class_size(game, i, maps, steps) for i in game.agents) <= 100:
        u = exact_recoverability(game, ours, masked.members or obeying)
        assert_recoverability(mo.recoverability(case.game, case.sigma, masked.library), u, exact=False)
        assert oracle_constants.gap_bounds(game, ours, theirs, maps)[0] <= bound.span


@pytest.mark.parametrize("seed", range(40))
def test_what_is_said_for_each_step_anew_is_the_same(seed: int) -> None:
    """A kernel, rewards, a policy and masks of H equal steps against one of each."""
    case = any_case(seed, discounted=False)
    game = mo.MarkovGame(
        case.game.kernel(0), case.game.reward(0), case.game.initial, case.actions, horizon=4, legal=case.game.legal
    )
    sigma = mo.CorrelatedPolicy(case.sigma.at(0))
    longer = mo.MarkovGame(
        [game.kernel(0)] * 4, np.stack([game.rewards] * 4), game.initial, case.actions, horizon=4, legal=game.legal
    )
    steps = mo.CorrelatedPolicy(np.stack([sigma.probabilities] * 4))
    rng = np.random.default_rng(seed)
    masks = [rng.random((game.num_states, n, n)) < 0.5 for n in case.actions]
    for one, four in (
        (mo.Restricted(masks), mo.Restricted([np.stack([mask] * 4) for mask in masks])),
        (mo.Swap(), mo.Swap()),
        (mo.Limited(2), mo.Limited(2)),
    ):
        short, long = mo.concentrability(game, sigma, one), mo.concentrability(longer, steps, four)
        np.testing.assert_allclose(short.reach, long.reach, atol=1e-14)
        np.testing.assert_allclose(short.ratios, long.ratios, rtol=1e-12)
        few, many = mo.coverage(game, sigma, one), mo.coverage(longer, steps, four)
        assert few.uncovered == many.uncovered
        assert few.value == pytest.approx(many.value, rel=1e-12)
        u, w = mo.recoverability(game, sigma, one), mo.recoverability(longer, steps, four)
        assert (u.lower, u.upper) == pytest.approx((w.lower, w.upper), abs=1e-12)


@pytest.mark.parametrize("seed", range(0, 60, 2))
def test_a_budget_reaches_what_swaps_reach(seed: int) -> None:
    case = any_case(seed)
    for kappa, same in ((0.25, mo.Swap()), (0.0, mo.Limited(0))):
        spent, free_ = (mo.coverage(case.game, case.sigma, c) for c in (mo.Budget(kappa), same))
        assert spent.uncovered == free_.uncovered
        assert spent.value == free_.value


def test_classes_whose_reach_is_not_known_are_refused() -> None:
    chain = mo.scenarios.unvisited_chain(3)
    for refusing in (mo.coverage, mo.concentrability):
        with pytest.raises(InvalidDeviation, match=r"Stationary\(\).*Swap\(\)"):
            refusing(chain.game, chain.expert, mo.Stationary())
    with pytest.raises(InvalidDeviation, match=r"concentrability.*Budget.*Swap\(\)"):
        mo.concentrability(chain.game, chain.expert, mo.Budget(0.5))
    with pytest.raises(InvalidDeviation, match="concentrability"):
        mo.concentrability(chain.game, chain.expert, mo.Budget(0.0))


# The chains of the paper


@pytest.mark.parametrize("horizon", [2, 3, 5])
def test_the_constants_of_the_chains(horizon: int) -> None:
    beta, error, reward, steps = Fraction(1, 10), Fraction(1, 20), 3, horizon - 1
    unseen = mo.scenarios.unvisited_chain(horizon, reward=reward)
    covered = mo.scenarios.covered_chain(horizon, coverage=beta, error=error, reward=reward)
    gentle = mo.scenarios.weighted_error_chain(horizon, error=error, reward=reward)
    assert sorted(mo.coverage(unseen.game, unseen.expert).uncovered) == [(h, 2 * h - 1) for h in range(1, horizon)]
    assert mo.concentrability(unseen.game, unseen.expert).value == np.inf
    seen, strongest = mo.coverage(covered.game, covered.expert), mo.concentrability(covered.game, covered.expert)
    assert seen.lower <= beta <= seen.upper
    assert strongest.lower <= 1 / beta <= strongest.upper
    assert seen.uncovered == []
    for chain, loss, gap in (
        (unseen, Fraction(steps), Fraction(reward * steps)),
        (gentle, error * steps, error * reward * steps),
        (covered, error / beta * (steps + beta), (1 - beta) * steps * reward * error / beta),
    ):
        u = mo.recoverability(chain.game, chain.expert, mo.Limited(0))
        assert u.exact
        assert u.lower <= reward <= u.upper <= u.lower + 1e-9
        assert u.span_lower <= reward <= u.span_upper <= u.span_lower + 1e-9
        lost = mo.deviation_weighted_loss(chain.game, chain.learner, chain.expert)
        assert lost.lower <= loss <= lost.upper <= lost.lower + 1e-9
        measured = mo.regret_gap(chain.game, chain.learner, chain.expert)
        assert measured.lower <= gap <= measured.upper
        bound = mo.regret_gap_bound(chain.game, chain.learner, chain.expert)
        assert gap <= bound.value


# Recoverability


def exact_recoverability(game: ExactGame, sigma: Policy, members: Members) -> tuple[Fraction, Fraction]:
    """Largest |Q - V| and largest range of Q over the members alone, agents without any left out."""
    forms = []
    for i in game.agents:
        for phi in members(game, sigma, i):
            for _, s, v, q in oracle_constants.deviated_q(game, sigma, i, phi):
                legal = [q[a] for a in oracle_constants.legal_joints(game, s)]
                forms.append((max(max(legal) - v, v - min(legal)), max(legal) - min(legal)))
    return max(u for u, _ in forms), max(span for _, span in forms)


def assert_recoverability(found: mo.Recoverability, exactly: tuple[Fraction, Fraction], *, exact: bool) -> None:
    assert found.lower <= exactly[0] <= found.upper
    assert found.span_lower <= exactly[1] <= found.span_upper
    assert found.exact == exact
    assert (found.lower, found.upper) == (max(p[0] for p in found.per_agent), max(p[1] for p in found.per_agent))
    if exact:
        assert max(found.upper - found.lower, found.span_upper - found.span_lower) <= 1e-9


@pytest.mark.parametrize("seed", range(120))
def test_recoverability_of_lists_and_of_obedience_is_exact(seed: int) -> None:
    case = any_case(seed)
    game, sigma = case.exact_game, case.exact_sigma
    listed = finite(Random(seed), game)
    assert listed.members is not None
    found = mo.recoverability(case.game, case.sigma, listed.library)
    assert_recoverability(found, exact_recoverability(game, sigma, listed.members), exact=True)
    found = mo.recoverability(case.game, case.sigma, mo.Limited(0))
    exactly = exact_recoverability(game, sigma, obeying)
    assert exactly == oracle_constants.recoverability(game, sigma, oracle_classes.obedient)
    assert_recoverability(found, exactly, exact=True)


@pytest.mark.parametrize("seed", range(1, 100))
def test_recoverability_of_all_other_classes_is_enclosed(seed: int) -> None:
    """Against every member, obedience only if it is one; Stationary's members are those that keep to one step's."""
    case = any_case(seed, most_states=2)
    game, sigma = case.exact_game, case.exact_sigma
    steps = steps_of(game, sigma)
    offered = every_class(seed, game)[:10]
    for paired in offered[seed % 3 :: 3] + ([stationary()] if game.horizon else []):
        maps, times = (paired.maps, steps) if paired.maps else (oracle_classes.stages("swap"), 1)
        assert paired.members is not None
        if sum(class_size(game, i, maps, times) for i in game.agents) <= 150:
            found = mo.recoverability(case.game, case.sigma, paired.library)
            exactly = exact_recoverability(game, sigma, paired.members)
            assert_recoverability(found, exactly, exact=False)
            if paired.maps:
                assert exactly == oracle_constants.recoverability(game, sigma, maps, identity=False)


def leaving_once(maps: Maps) -> Members:
    """Deviations that obey at all steps but one; they make at most one departure."""

    def members(game: ExactGame, _: Policy, agent: int) -> Iterator[Phi]:
        steps = game.horizon or 0
        for chosen in range(steps):

            def here(g: ExactGame, i: int, h: int, s: int, chosen: int = chosen) -> list[oracle_classes.Stage]:
                return or_obey(maps)(g, i, h, s) if h == chosen else [oracle_classes.obedience(g, i, s)]

            yield from oracle_classes.class_deviations(game, agent, here, steps)

    return members


@pytest.mark.parametrize("seed", range(60))
def test_recoverability_of_limited_encloses_what_few_departures_can_do(seed: int) -> None:
    case = any_case(seed, discounted=False, most_states=2, agents=1 + seed % 2)
    game, sigma = case.exact_game, case.exact_sigma
    for inner in (SWAP, EXTERNAL, COARSE, INTERNAL)[seed % 2 :: 2]:
        assert inner.maps is not None
        once = exact_recoverability(game, sigma, leaving_once(inner.maps))
        u, span = exact_recoverability(game, sigma, obeying)
        for k in (1, 2):
            found = mo.recoverability(case.game, case.sigma, limited(k, inner).library)
            assert found.lower <= once[0] <= found.upper
            assert found.span_lower <= once[1] <= found.span_upper
            assert found.lower == pytest.approx(float(u))
            assert found.span_lower == pytest.approx(float(span))
