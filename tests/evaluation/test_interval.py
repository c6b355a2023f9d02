"""The interval of the regret of a partly known policy, against all its completions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from random import Random
from typing import Any

import numpy as np
import pytest

import mailopt as mo
from tests import oracle, oracle_constants
from tests.exact_classes import (
    COARSE,
    EXTERNAL,
    FOUR,
    INTERNAL,
    SWAP,
    Paired,
    every_class,
    exact_policy_of,
    free,
    library_game,
    library_policy,
    limited,
    restricted,
)
from tests.oracle import ExactGame, Policy
from tests.oracle_classes import Mask, stages
from tests.test_oracle_classes import Shape, tiny

HALF = Fraction(1, 2)
SHAPES: list[Shape] = [
    (3, (2, 2), 2, 2),
    (3, (3, 2), 2, 1),
    (4, (2,), 3, 3),
    (3, (2, 2), HALF, 1),
    (3, (2,), HALF, 2),
    (2, (2, 2), 3, 1),
    (3, (2, 2, 2), 2, 1),
    (3, (1, 3), 3, 3),
    (2, (3,), Fraction(2, 3), 2),
    (3, (2, 2), 4, 1),
    (3, (2, 2), HALF, 2),
]
Cells = list[tuple[int, int]]


@dataclass(frozen=True)
class Hidden:
    """A game, a policy with a row for each step, and what obedience does not reach and nobody knows."""

    exact: ExactGame
    policy: Policy
    unknown: Cells

    @property
    def game(self) -> mo.MarkovGame:
        return library_game(self.exact)

    @property
    def sigma(self) -> mo.CorrelatedPolicy:
        return library_policy(self.policy)

    @property
    def known(self) -> Any:
        mask = np.ones((len(self.policy), len(self.exact.initial)), dtype=bool)
        for place in self.unknown:
            mask[place] = False
        return mask

    def interval(self, deviations: mo.DeviationClass) -> mo.RegretInterval:
        return mo.regret_interval(self.game, self.sigma, self.known, deviations)


def hidden(seed: int, shape: Shape, count: int | None = None) -> Hidden:
    """Draw a game in which obedience keeps to the first half of the states, and cells among the others."""
    game, policy = tiny(seed, shape)
    (policy,) = oracle_constants.padded(game, policy)
    size = len(game.initial)
    home = max(1, size // 2)

    def inward(row: oracle.Row) -> oracle.Row:
        kept = [p if s < home else Fraction(0) for s, p in enumerate(row)]
        return oracle.normalised(kept) if any(kept) else [Fraction(s == 0) for s in range(size)]

    kernels = []
    for h, kernel in enumerate(game.transitions):
        steps = policy if len(game.transitions) == 1 else [policy[h]]
        kernels.append(
            [
                [inward(row) if any(step[s][j] for step in steps) else row for j, row in enumerate(rows)]
                for s, rows in enumerate(kernel)
            ]
        )
    cells = [(h, s) for h in range(len(policy)) for s in range(home, size)]
    many = min(len(cells), count or (2 if len(game.joint_actions) < 5 else 1))
    return Hidden(
        replace(game, transitions=kernels, initial=inward(game.initial)), policy, Random(seed).sample(cells, many)
    )


def some(seed: int) -> Hidden:
    return hidden(seed, SHAPES[seed % len(SHAPES)])


def larger(seed: int) -> Hidden:
    """More cells than can be completed in all ways."""
    return hidden(seed, SHAPES[seed % len(SHAPES)], 20)


# Against brute force


@pytest.mark.parametrize("seed", range(90))
def test_the_interval_holds_the_regret_of_all_completions_and_its_upper_end_is_one(seed: int) -> None:
    given = some(seed)
    offered = every_class(seed, given.exact)[:10]
    for k in {seed % 10, (seed + 3) % 10, (7 * seed + 5) % 10}:
        paired = offered[k]
        assert paired.maps is not None
        units = 2 if len(given.exact.joint_actions) <= 4 and len(given.unknown) < 2 else 1
        low, high = oracle_constants.regret_interval(
            given.exact, given.policy, given.unknown, paired.maps, units
        ).regret
        found = given.interval(paired.library)
        assert found.lower <= low
        assert high <= found.upper <= float(high) + 1e-9
        assert found.attained
        assert found.upper_regret.value == pytest.approx(found.upper, abs=1e-9)
        completed = paired.regret(given.exact, exact_policy_of(found.upper_completion))
        assert float(completed) == pytest.approx(float(high), abs=1e-9)
        assert_completions(given, found)
        milder = paired.regret(given.exact, exact_policy_of(found.lower_completion))
        assert float(milder) == pytest.approx(found.lower_regret.value, abs=1e-9)
        assert found.lower <= milder <= found.upper
        if len(given.exact.actions) == 1:
            assert found.lower_regret.value == pytest.approx(found.lower, abs=1e-9)


@pytest.mark.parametrize("seed", range(80))
def test_the_lower_end_is_attained_if_one_agent_alone_cares(seed: int) -> None:
    """All others are paid nothing, so that the stage minimax of one agent is the least regret."""
    given = larger(seed)
    who = seed % len(given.exact.actions)
    game = given.game.with_rewards(given.game.rewards * (np.arange(given.game.num_agents) == who)[:, None, None])
    offered = every_class(seed, given.exact)[:10]
    for paired in (offered[seed % 10], offered[(seed + 5) % 10]):
        found = mo.regret_interval(game, given.sigma, given.known, paired.library)
        assert found.lower_regret.value == pytest.approx(found.lower, abs=1e-8)


def assert_completions(given: Hidden, found: mo.RegretInterval) -> None:
    """They do as the policy where it is known, and what is legal elsewhere; both regrets lie in the interval."""
    sigma, game, known = given.sigma, given.game, given.known
    for completion in (found.upper_completion, found.lower_completion):
        completion.check(game)
        for h in range(len(given.policy)):
            np.testing.assert_allclose(completion.at(h)[known[h]], sigma.at(h)[known[h]], rtol=1e-15)
    for regret in (found.lower_regret, found.upper_regret):
        assert regret.upper >= found.lower
        assert regret.lower <= found.upper


@pytest.mark.parametrize("seed", range(60))
def test_limited_has_an_outer_bound(seed: int) -> None:
    given = some(seed)
    paired = limited(1 + seed % 2, (SWAP, EXTERNAL, INTERNAL, restricted(Random(seed), given.exact, "swap"))[seed % 4])
    found = given.interval(paired.library)
    completions = list(oracle_constants.completions(given.exact, given.policy, given.unknown))
    for completed in completions[:: max(1, len(completions) // 20)]:
        assert found.lower <= paired.regret(given.exact, completed) <= found.upper
    assert not found.attained
    assert_completions(given, found)


@pytest.mark.parametrize("seed", range(24))
def test_limited_is_between_obedience_and_its_inner_class(seed: int) -> None:
    given = larger(seed)
    ends = [given.interval(c).upper for c in (mo.Limited(0), mo.Limited(1), mo.Limited(2), mo.Limited(9), mo.Swap())]
    assert all(low <= high + 1e-9 for low, high in pairwise(ends))
    assert ends[0] == pytest.approx(0, abs=1e-9)
    if given.exact.horizon is not None:
        assert ends[-2] == pytest.approx(ends[-1], abs=1e-9)


@pytest.mark.parametrize("seed", range(40))
def test_random_completions_of_many_cells_are_inside(seed: int) -> None:
    given, rng = larger(seed), np.random.default_rng(seed)
    game, sigma, known = given.game, given.sigma, given.known
    offered = every_class(seed, given.exact)
    for paired in (offered[seed % 10], offered[(seed + 5) % 10], offered[11]):
        found = given.interval(paired.library)
        assert_completions(given, found)
        for sharp in (0.05, 0.05, 1.0):
            rows = np.stack([sigma.at(h) for h in range(len(given.policy))])
            drawn = rng.dirichlet(np.full(game.num_joint_actions, sharp), rows.shape[:2]) + 1e-12
            drawn = drawn * game.joint_legal
            rows = np.where(known[..., None], rows, drawn / drawn.sum(axis=2, keepdims=True))
            regret = mo.regret(game, mo.CorrelatedPolicy(rows), paired.library)
            assert found.lower <= regret.upper
            assert regret.lower <= found.upper


# Hand-made


@pytest.mark.parametrize("horizon", [1, 2, 3, 6])
@pytest.mark.parametrize("reward", [1, Fraction(1, 3), 1000])
def test_the_expert_of_the_chain_hides_all_regret_that_its_learner_can_have(horizon: int, reward: Any) -> None:
    chain = mo.scenarios.unvisited_chain(horizon, reward=reward)
    known = mo.occupancy(chain.game, chain.expert).sum(axis=2) > 0
    for policy in (chain.learner, chain.expert):
        found = mo.regret_interval(chain.game, policy, known)
        assert found.lower == 0
        assert 0 <= found.lower_regret.value <= found.upper
        assert found.upper >= reward * (horizon - 1)
        assert found.upper == pytest.approx(float(reward * (horizon - 1)), abs=1e-9)
        expected = {(h, 2 * h - 1): float(reward) for h in range(1, horizon)}
        assert {(p.step, p.state): p.weight for p in found.priorities} == pytest.approx(expected)


def test_a_mask_keeps_the_deviator_from_the_best_joint_action() -> None:
    """At the unknown state action 1 would pay 1, but a constant may play 0 only."""
    exact = oracle.exact_game([[[[1, 0], [0, 1]], [[0, 1]] * 2]], [[[[0, 0], [0, 1]]]], [1, 0], (2,), horizon=2)
    mask: Mask = [[[[True] * 2] * 2, [[True, False]] * 2]]
    given = Hidden(exact, oracle.exact_policy([[[1, 0], [1, 0]]] * 2), [(1, 1)])
    for inner, kind, high in (
        (mo.External(), "external", 0),
        (mo.Partition([0, 0]), "partition", 0),
        (mo.Coarse(), "coarse", 1),
        (mo.Swap(), "swap", 1),
        (mo.Internal(), "internal", 1),
    ):
        paired = free(mo.Restricted([np.array(mask[0])], inner), stages(kind, cells=[[0, 0]], masks=[mask]))  # type: ignore[arg-type]
        assert paired.maps is not None
        brute = oracle_constants.regret_interval(exact, given.policy, given.unknown, paired.maps).regret
        assert brute == (Fraction(0), Fraction(high))
        found = given.interval(paired.library)
        assert (found.lower, found.upper) == pytest.approx((0, high), abs=1e-9)
        assert found.upper_regret.value == pytest.approx(high, abs=1e-9)


@pytest.mark.parametrize(("paired", "low", "high"), [(SWAP, 0.0, 2.0), (COARSE, 0.0, 2.0), (EXTERNAL, -2.0, 2.0)])
def test_an_unknown_game_of_matching_pennies_hides_its_value(paired: Paired, low: float, high: float) -> None:
    """The deviator gives up 2 to get to pennies that pay 4 or 0; mixed recommendations hold it to 2."""
    kernel = [[[0, 1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]], [[0, 1, 0]] * 4, [[0, 0, 1]] * 4]
    pays = [[0, 0, 0, 0], [2, 2, 2, 2], [4, 0, 0, 4]]
    exact = oracle.exact_game([kernel], [[pays, [[0] * 4] * 3]], [1, 0, 0], (2, 2), horizon=2)
    given = Hidden(exact, oracle.exact_policy([[[1, 0, 0, 0]] * 3] * 2), [(1, 2)])
    found = given.interval(paired.library)
    assert found.upper == pytest.approx(high, abs=1e-9)
    assert found.lower_regret.value == pytest.approx(0, abs=1e-9)
    assert low - 1e-9 <= found.lower <= 0
    assert [(p.step, p.state) for p in found.priorities] == [(1, 2)]
    assert found.priorities[0].weight == pytest.approx(2, abs=1e-9)


# What the interval must do


@pytest.mark.parametrize("seed", range(60))
def test_with_everything_known_it_is_the_regret(seed: int) -> None:
    given = some(seed)
    offered = every_class(seed, given.exact)
    for paired in offered[seed % 3 : 14 : 3]:
        exact = paired.regret(given.exact, given.policy)
        found = mo.regret_interval(given.game, given.sigma, np.ones(given.known.shape, dtype=bool), paired.library)
        assert found.lower <= exact <= found.upper <= found.lower + 1e-9
        assert found.priorities == []
        for completion in (found.upper_completion, found.lower_completion):
            for h in range(len(given.policy)):
                np.testing.assert_allclose(completion.at(h), given.sigma.at(h), rtol=1e-15)


@pytest.mark.parametrize("seed", range(36))
def test_to_know_one_more_cell_never_widens_it(seed: int) -> None:
    given = larger(seed)
    offered = every_class(seed, given.exact)
    for paired in (offered[seed % 10], offered[10 + seed % 4]):
        before = given.interval(paired.library)
        unknown = list(given.unknown)
        while unknown:
            unknown.pop()
            after = replace(given, unknown=unknown).interval(paired.library)
            assert before.lower - 1e-9 <= after.lower
            assert after.upper <= before.upper + 1e-9
            before = after


@pytest.mark.parametrize("seed", range(30))
def test_rows_that_are_not_known_play_no_part(seed: int) -> None:
    given = larger(seed)
    for c in (mo.Swap(), mo.External(), mo.Limited(1)):
        found = given.interval(c)
        rows = np.stack([given.sigma.at(h) for h in range(len(given.policy))])
        legal = given.game.joint_legal
        rows = np.where(given.known[..., None], rows, legal / legal.sum(axis=1, keepdims=True))
        other = mo.regret_interval(given.game, mo.CorrelatedPolicy(rows), given.known, c)
        assert (other.lower, other.upper) == pytest.approx((found.lower, found.upper), abs=1e-12)
        assert [(p.step, p.state) for p in other.priorities] == [(p.step, p.state) for p in found.priorities]


@pytest.mark.parametrize("seed", range(33))
def test_no_row_of_the_top_cell_shrinks_the_upper_end_by_more_than_its_weight(seed: int) -> None:
    """However the policy turns out there, the deviator can go on as before and lose no more."""
    given = larger(seed)
    if given.exact.horizon is None:
        return
    rng = np.random.default_rng(seed)
    game = given.game
    for paired in [*FOUR, every_class(seed, given.exact)[4 + seed % 6]]:
        found = given.interval(paired.library)
        weights = [p.weight for p in found.priorities]
        assert weights == sorted(weights, reverse=True)
        assert all(w >= -1e-9 for w in weights)
        for top in found.priorities[:2]:
            assert (top.step, top.state) in given.unknown
            known = given.known
            known[top.step, top.state] = True
            legal = np.flatnonzero(game.joint_legal[top.state])
            for row in [*np.eye(game.num_joint_actions)[legal], *rng.dirichlet(np.ones(len(legal)), 3)]:
                rows = np.stack([given.sigma.at(h) for h in range(len(given.policy))])
                rows[top.step, top.state] = row if len(row) == game.num_joint_actions else 0
                rows[top.step, top.state, legal] = row[legal] if len(row) == game.num_joint_actions else row
                less = mo.regret_interval(game, mo.CorrelatedPolicy(rows), known, paired.library)
                assert less.upper >= found.upper - top.weight - 1e-9
