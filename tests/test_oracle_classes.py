"""The exact oracle of deviation classes against enumeration, and against numbers known by hand."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise, product
from random import Random
from typing import get_args

import pytest

from tests import oracle, oracle_classes, oracle_constants
from tests.oracle import ExactGame, Number, Policy, value
from tests.oracle_classes import Kind, Maps, Mask, stages

Tiny = tuple[ExactGame, Policy]
SWAP = stages("swap")
HALF = Fraction(1, 2)
Shape = tuple[int, tuple[int, ...], int | Fraction, int]
"""States, actions, horizon or discount, steps of the policy."""
SHAPES: list[Shape] = [
    (1, (3,), 1, 1),
    (1, (2, 2), 3, 3),
    (2, (2, 2), 2, 1),
    (3, (2, 2), 1, 1),
    (2, (3, 2), 1, 1),
    (1, (2, 3, 2), 1, 1),
    (2, (2,), 2, 2),
    (1, (3, 2), HALF, 1),
    (2, (2, 2), HALF, 2),
    (3, (2,), Fraction(3, 4), 1),
    (1, (2, 2, 2), Fraction(1, 3), 2),
    (2, (2,), Fraction(0), 1),
]


def row(rng: Random, support: list[int], length: int) -> list[Number]:
    """Random distribution on about half of the support."""
    chosen = [k for k in support if rng.random() < 0.5] or [rng.choice(support)]
    return [rng.randint(1, 3) if k in chosen else 0 for k in range(length)]


def policy_of(rng: Random, game: ExactGame, steps: int) -> Policy:
    n = len(game.joint_actions)
    return oracle.exact_policy(
        [[row(rng, oracle_constants.legal_joints(game, s), n) for s in game.states] for _ in range(steps)]
    )


def tiny(seed: int, shape: Shape) -> Tiny:
    """Random game and policy: odd seeds have illegal actions, two in three a kernel and rewards for each step."""
    states, actions, length, steps = shape
    rng = Random(seed)
    legal = [[[seed % 2 == 0 or rng.random() < 0.6 for _ in range(n)] for _ in range(states)] for n in actions]
    for rows in legal:
        for allowed in rows:
            allowed[rng.randrange(len(allowed))] = True
    n = len(list(product(*map(range, actions))))
    times = length if isinstance(length, int) and seed % 3 else 1
    game = oracle.exact_game(
        [[[row(rng, list(range(states)), states) for _ in range(n)] for _ in range(states)] for _ in range(times)],
        [[[[rng.randint(-6, 6) for _ in range(n)] for _ in range(states)] for _ in actions] for _ in range(times)],
        row(rng, list(range(states)), states),
        actions,
        horizon=length if isinstance(length, int) else None,
        discount=None if isinstance(length, int) else length,
        legal=legal,
    )
    return game, policy_of(rng, game, steps)


def classes(seed: int, game: ExactGame, policy: Policy) -> list[Maps]:
    """One class of each kind, and one under a random mask, that have something to play everywhere."""
    rng = Random(seed)
    steps = oracle_classes.steps_of(game, policy)
    cells = [[rng.randrange(2) for _ in range(n)] for n in game.actions]

    def mask(n: int) -> Mask:
        return [[[[rng.random() < 0.6 for _ in range(n)] for _ in range(n)] for _ in game.states] for _ in range(steps)]

    found = [stages(kind, cells=cells) for kind in get_args(Kind)]
    found += [stages(kind, cells=cells, masks=[mask(n) for n in game.actions]) for kind in get_args(Kind)]
    return [maps for maps in found if all(oracle_classes.class_size(game, i, maps, steps) for i in game.agents)]


every_game = pytest.mark.parametrize(
    ("seed", "shape"), [(seed, shape) for shape in SHAPES for seed in range(3)], ids=str
)
few_games = pytest.mark.parametrize(("seed", "shape"), list(enumerate(SHAPES)), ids=str)
finite_games = pytest.mark.parametrize(
    ("seed", "shape"), [case for case in enumerate(SHAPES) if isinstance(case[1][2], int)], ids=str
)


@every_game
def test_recursion_is_the_best_of_all_members(seed: int, shape: Shape) -> None:
    game, policy = tiny(seed, shape)
    for maps in classes(seed, game, policy):
        best = oracle_constants.regrets(game, policy, maps)
        assert best == oracle_constants.regrets_by_enumeration(game, policy, maps)


@every_game
def test_swap_and_external_are_those_of_the_oracle(seed: int, shape: Shape) -> None:
    game, policy = tiny(seed, shape)
    assert oracle_constants.regrets(game, policy, SWAP) == oracle.gains(game, policy, "swap")
    assert oracle_constants.regrets(game, policy, stages("external")) == oracle.gains(game, policy, "external")


@every_game
def test_larger_classes_gain_more(seed: int, shape: Shape) -> None:
    game, policy = tiny(seed, shape)
    rough, fine = [[0] * n for n in game.actions], [list(range(n)) for n in game.actions]
    middle = [[k // 2 for k in range(n)] for n in game.actions]
    nothing: list[Mask] = [[[[[False] * n] * n] * len(game.initial)] for n in game.actions]
    for i in game.agents:
        obey = value(game, policy, i)
        best = {
            kind: oracle_classes.class_value(game, policy, i, stages(kind, cells=middle)) for kind in get_args(Kind)
        }
        assert best["external"] <= best["coarse"] <= best["swap"]
        assert obey <= min(best["coarse"], best["internal"])
        assert best["internal"] <= best["swap"]
        assert best["external"] <= best["partition"] <= best["swap"]
        for same, kind in (("external", stages("partition", cells=rough)), ("swap", stages("partition", cells=fine))):
            assert oracle_classes.class_value(game, policy, i, kind) == best[same]
        for kind in get_args(Kind):
            if kind in {"swap", "coarse", "internal"}:
                assert oracle_classes.class_value(game, policy, i, stages(kind, masks=nothing)) == obey


def test_numbers_of_stages() -> None:
    game, _ = tiny(0, (1, (4,), 1, 1))
    sizes = {kind: len(stages(kind, cells=[[0, 1, 0, 1]])(game, 0, 0, 0)) for kind in get_args(Kind)}
    assert sizes == {"swap": 4**4, "external": 4, "coarse": 5, "internal": 13, "partition": 16}
    only_two = [[b == 2 for b in range(4)] for _ in range(4)]
    masked = {
        kind: oracle_classes.one_stage_maps(game, 0, 0, kind, cells=[0, 1, 2, 2], allowed=only_two)
        for kind in get_args(Kind)
    }
    sizes = {kind: len(maps) for kind, maps in masked.items()}
    assert sizes == {"swap": 8, "external": 1, "coarse": 2, "internal": 4, "partition": 4}
    assert masked["external"] == [dict.fromkeys(range(4), 2)]


# Limited


@every_game
def test_limited_is_the_best_choice_for_each_number_of_departures_left(seed: int, shape: Shape) -> None:
    game, policy = tiny(seed, shape)
    tried = 0
    for maps in classes(seed, game, policy)[seed % 2 :: 2]:
        for i, k in product(game.agents, (1, 2)):
            if oracle_classes.limited_size(game, policy, i, k, maps) <= 90:
                every = oracle_classes.limited_value_by_enumeration(game, policy, i, k, maps)
                assert oracle_classes.limited_value(game, policy, i, k, maps) == every
                tried += 1
    assert tried


@every_game
def test_limited_increases_to_the_whole_class(seed: int, shape: Shape) -> None:
    game, policy = tiny(seed, shape)
    for maps in classes(seed, game, policy):
        for i in game.agents:
            whole = oracle_classes.class_value(game, policy, i, oracle_classes.or_obey(maps))
            curve = [oracle_classes.limited_value(game, policy, i, k, maps) for k in range((game.horizon or 3) + 2)]
            assert curve[0] == value(game, policy, i)
            assert all(less <= more for less, more in pairwise([*curve, whole]))
            if game.horizon is not None:
                assert curve[game.horizon] == curve[-1] == whole
            else:  # It does as well until the departures are spent, which takes at least as many steps.
                spent = game.discount ** (len(curve) - 1)
                assert whole - curve[-1] <= spent * 12 / (1 - game.discount)


@finite_games
def test_deviations_with_few_departures_are_in_limited(seed: int, shape: Shape) -> None:
    game, policy = tiny(seed, shape)
    steps = oracle_classes.steps_of(game, policy)
    for phi in oracle_classes.class_deviations(game, 0, SWAP, steps):
        counts = {(s, 0) for s in game.states if game.initial[s]}
        for h in range(steps):
            after = set()
            for s, count in counts:
                for joint, weight in enumerate(oracle.at(policy, h)[s]):
                    if weight:
                        told = game.joint_actions[joint][0]
                        (b,) = phi[h][s][told]
                        reached = oracle.at(game.transitions, h)[s][game.replaced(joint, 0, b)]
                        after |= {(t, count + (b != told)) for t, p in enumerate(reached) if p}
            counts = after
        most = max(count for _, count in counts)
        limited = oracle_classes.limited_value(game, policy, 0, most)
        assert oracle_classes.finite_value(game, policy, 0, [phi]) <= limited


def leave_twice() -> Tiny:
    """Leaving once gains nothing; leaving at both steps gains 1, and leaving first and then obeying loses 1."""
    transitions = [[[0, 1, 0], [0, 0, 1]], [[0, 1, 0], [0, 1, 0]], [[0, 1, 0], [0, 0, 1]]]
    game = oracle.exact_game([transitions], [[[[0, 0], [0, 0], [-1, 1]]]], [1, 0, 0], (2,), horizon=2)
    return game, oracle.exact_policy([[[1, 0]] * 3])


def test_leaving_twice_is_worth_it_and_once_is_not() -> None:
    game, policy = leave_twice()
    assert [oracle_classes.limited_value(game, policy, 0, k) for k in range(4)] == [0, 0, 1, 1]
    assert [oracle_classes.limited_value(game, policy, 0, k, stages("external")) for k in range(3)] == [0, 0, 1]
    vertices = oracle_classes.budget_vertices(game, policy, 0)
    assert vertices == [(Fraction(0), Fraction(0)), (Fraction(2), Fraction(1))]
    assert oracle_classes.budget_value(vertices, Fraction(1)) == HALF
    forever = replace(game, horizon=None, discount=HALF)
    # After the first departure each one is paid 1, and running out of them -1.
    paid = [oracle_classes.limited_value(forever, policy, 0, k) for k in range(4)]
    assert paid == [0, 0, HALF - HALF**2, HALF + HALF**2 - HALF**3]


# Budget


@every_game
def test_the_budget_curve_is_concave_from_obedience_to_swap(seed: int, shape: Shape) -> None:
    game, policy = tiny(seed, shape)
    for i in game.agents:
        vertices = oracle_classes.budget_vertices(game, policy, i)
        assert vertices == oracle_classes.budget_vertices_by_recursion(game, policy, i)
        assert vertices[0] == (Fraction(0), value(game, policy, i))
        assert vertices[-1][1] == oracle_classes.class_value(game, policy, i, SWAP)
        slopes = [oracle_classes.slope(*ends) for ends in pairwise(vertices)]
        assert all(steep > flat > 0 for steep, flat in pairwise([*slopes, Fraction(1, 10**9)]))
        for cost, best in vertices:
            assert oracle_classes.budget_value(vertices, cost) == best
        assert oracle_classes.budget_value(vertices, vertices[-1][0] + 1) == vertices[-1][1]
        if game.horizon is not None:
            for k in range(game.horizon + 1):
                limited = oracle_classes.limited_value(game, policy, i, k)
                assert limited <= oracle_classes.budget_value(vertices, Fraction(k))


@few_games
def test_random_deviations_lie_under_the_budget_curve(seed: int, shape: Shape) -> None:
    game, policy = tiny(seed, shape)
    rng, vertices = Random(seed), oracle_classes.budget_vertices(game, policy, 0)
    n = game.actions[0]
    for _ in range(5):
        phi = [
            [[dict(enumerate(oracle.normalised(row(rng, game.legal[0][s], n)))) for _ in range(n)] for s in game.states]
            for _ in range(oracle_classes.steps_of(game, policy))
        ]
        cost = oracle_classes.disobedience(game, policy, 0, phi)
        assert oracle_classes.finite_value(game, policy, 0, [phi]) <= oracle_classes.budget_value(vertices, cost)


@every_game
def test_stationary_deviations_gain_no_more(seed: int, shape: Shape) -> None:
    game, policy = tiny(seed, shape)
    for maps in (SWAP, stages("coarse")):
        for i in game.agents:
            every = oracle_classes.class_value(game, policy, i, maps)
            stationary = oracle_classes.stationary_value(game, policy, i, maps)
            assert value(game, policy, i) <= stationary <= every
            if oracle_classes.steps_of(game, policy) == 1:
                assert stationary == every
