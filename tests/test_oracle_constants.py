"""The exact oracle of constants against enumeration, and against numbers known by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import product
from random import Random

import pytest

from tests import oracle, oracle_classes, oracle_constants
from tests.oracle import ExactGame, Number, Policy, dot, value
from tests.oracle_classes import Maps, Mask, stages
from tests.test_oracle_classes import HALF, SWAP, Shape, classes, few_games, policy_of, tiny


@few_games
def test_reach_by_recursion_is_that_of_all_members(seed: int, shape: Shape) -> None:
    game, policy = tiny(seed, shape)
    for maps in classes(seed, game, policy):
        for i in game.agents:
            reach = oracle_constants.reach(game, policy, i, maps)
            assert reach == oracle_constants.reach_by_enumeration(game, policy, i, maps)
        beta = oracle_constants.coverage(game, policy, maps)
        concentrability = oracle_constants.concentrability(game, policy, maps)
        uncovered = oracle_constants.uncovered(game, policy, maps)
        assert (beta == 0) == (concentrability is None) == bool(uncovered)
        assert concentrability is None or concentrability <= 1 / beta


@few_games
def test_the_regret_gap_is_within_its_bounds(seed: int, shape: Shape) -> None:
    game, learner = tiny(seed, shape)
    expert = policy_of(Random(-seed - 1), game, shape[-1])
    for maps in classes(seed, game, learner)[seed % 2 :: 2]:
        loss = oracle_constants.loss(game, learner, expert, maps)
        assert loss == oracle_constants.loss_by_enumeration(game, learner, expert, maps)
        gap = oracle_constants.regret_gap(game, learner, expert, maps)
        played, span, absolute = oracle_constants.gap_bounds(game, learner, expert, maps)
        assert abs(gap) <= played <= span <= absolute


def test_the_bound_needs_the_identity() -> None:
    """Obedience goes to state 1, where the learner costs both agents 2; a constant does with probability 1/5."""
    n = 5
    joints = list(product(range(n), repeat=2))
    there = [[0, 1, 0] if a == b else [0, 0, 1] for a, b in joints]
    pays = [[0] * n * n, [1 - 2 * b for _, b in joints], [0] * n * n]
    legal = [
        [[True] * n, *[[b == 0 for b in range(n)]] * 2],
        [[True] * n, [b < 2 for b in range(n)], [b == 0 for b in range(n)]],
    ]
    game = oracle.exact_game(
        [[there] + [[[0, 0, 1]] * n * n] * 2], [[pays] * 2], [1, 0, 0], (n, n), horizon=2, legal=legal
    )
    expert, learner = (
        oracle.exact_policy(
            [[[a == b for a, b in joints], [j == played for j in range(n * n)], [j == 0 for j in range(n * n)]]]
        )
        for played in (0, 1)
    )
    maps = stages("external")
    assert oracle_constants.regret_gap(game, learner, expert, maps) == 2
    assert oracle_constants.loss(game, learner, expert, maps, identity=False) == Fraction(1, n)
    assert oracle_constants.gap_bounds(game, learner, expert, maps, identity=False)[2] == Fraction(8, n)
    assert oracle_constants.gap_bounds(game, learner, expert, maps)[2] == 8


def test_spans_of_swap_do_not_bound_the_gap_of_limited() -> None:
    """The gap of Limited(2) is 5/2 eps, and twice the span of Swap times the loss is 2 eps."""
    eps = Fraction(1, 8)
    # State 0 pays by the joint action and goes to state 1 with a chance that depends on it, else to 3, the end. States
    # 1 and 2 come one after the other, and each pays 1 for a departure.
    pays = [0, 1, 0, 0, 0, 1]
    follows: list[Fraction] = [HALF, 0 * HALF, HALF, 2 * HALF, HALF, HALF]
    start: list[list[Number]] = [[0, c, 0, 1 - c] for c in follows]
    rest: list[list[list[Number]]] = [[[0, 0, 1, 0]] * 6, [[0, 0, 0, 1]] * 6, [[0, 0, 0, 1]] * 6]
    leave = [0] * 3 + [1] * 3
    game = oracle.exact_game(
        [[start, *rest]], [[[pays, leave, leave, [0] * 6], [[0] * 6] * 4]], [1, 0, 0, 0], (2, 3), horizon=3
    )
    obey: list[Number] = [1, 0, 0, 0, 0, 0]
    learner = oracle.exact_policy([[[0, 0, 1 - eps, eps, 0, 0], obey, obey, obey]])
    expert = oracle.exact_policy([[[0, eps, 1 - eps, 0, 0, 0], obey, obey, obey]])
    gains = [oracle_classes.limited_value(game, p, 0, 2) - value(game, p, 0) for p in (learner, expert)]
    assert gains[0] - gains[1] == 5 * eps / 2
    assert oracle_constants.loss(game, learner, expert, SWAP) == eps
    span = oracle_constants.recoverability(game, expert, swap_where_it_matters)[1]
    assert span == 1


def swap_where_it_matters(game: ExactGame, agent: int, step: int, state: int) -> list[oracle_classes.Stage]:
    """Swap of agent 0 in state h at step h; what it does elsewhere gives no span that is not there already."""
    return (SWAP if agent == 0 and state == step else oracle_classes.obedient)(game, agent, step, state)


@pytest.mark.parametrize(
    ("seed", "shape"),
    [(0, (2, (2,), 2, 2)), (1, (2, (2, 2), 1, 1)), (2, (3, (2,), HALF, 2)), (3, (2, (2, 2), HALF, 1))],
    ids=str,
)
def test_reward_free_gap_is_that_of_the_worst_signs(seed: int, shape: Shape) -> None:
    game, learner = tiny(seed, shape)
    expert = policy_of(Random(-seed - 1), game, shape[-1])
    steps = game.horizon or 1
    worst = Fraction(0)
    for signs in product((-1, 1), repeat=steps * len(game.initial) * len(game.joint_actions)):
        entries = iter(signs)
        pays = [[[Fraction(next(entries)) for _ in game.joint_actions] for _ in game.states] for _ in range(steps)]
        paid = replace(game, rewards=[[rows for _ in game.agents] for rows in pays])
        worst = max(worst, value(paid, expert, 0) - value(paid, learner, 0))
    assert oracle_constants.reward_free_value_gap(game, learner, expert) == worst


# Regret intervals


def hidden(seed: int, shape: Shape) -> tuple[ExactGame, Policy, list[tuple[int, int]]]:
    """Game where obedience stays in state 0, a policy, and one or two (h, s) that obedience does not reach."""
    game, policy = tiny(seed, shape)
    (policy,) = oracle_constants.padded(game, policy)
    home = [Fraction(s == 0) for s in game.states]
    moves = [
        [
            [home if p else oracle.at(game.transitions, h)[s][joint] for joint, p in enumerate(drawn)]
            for s, drawn in enumerate(step)
        ]
        for h, step in enumerate(policy)
    ]
    cells = [(h, s) for h in range(1 if game.horizon else 0, len(policy)) for s in game.states[1:]]
    unknown = Random(seed).sample(cells, 2 if len(game.joint_actions) < 5 else 1)
    return replace(game, transitions=moves, initial=home), policy, unknown


def colluding_value(
    game: ExactGame, policy: Policy, unknown: list[tuple[int, int]], agent: int, maps: Maps
) -> Fraction:
    """Best value if the mediator helps: at an unknown (h, s) the best legal joint action under the best stage."""
    following = [Fraction(0) for _ in game.states]
    for h in reversed(range(game.horizon or 0)):

        def best(s: int, drawn: list[Fraction], h: int = h, following: list[Fraction] = following) -> Fraction:
            return max(
                sum(
                    (
                        w * game.q_value(h, agent, s, game.replaced(j, agent, stage[parts[agent]]), following)
                        for j, (w, parts) in enumerate(zip(drawn, game.joint_actions, strict=True))
                        if w
                    ),
                    Fraction(0),
                )
                for stage in maps(game, agent, h, s)
            )

        pure = [[Fraction(j == k) for j in range(len(game.joint_actions))] for k in range(len(game.joint_actions))]
        following = [
            max(best(s, pure[j]) for j in oracle_constants.legal_joints(game, s))
            if (h, s) in unknown
            else best(s, policy[h][s])
            for s in game.states
        ]
    return dot(game.initial, following)


UNKNOWN: list[Shape] = [(3, (2, 2), 2, 2), (3, (3, 2), 2, 1), (4, (2,), 3, 3), (3, (2, 2), HALF, 1), (3, (2,), HALF, 2)]


@pytest.mark.parametrize(("seed", "shape"), [(seed, shape) for shape in UNKNOWN for seed in range(3)], ids=str)
def test_the_largest_regret_is_at_a_pure_completion(seed: int, shape: Shape) -> None:
    game, policy, unknown = hidden(seed, shape)
    for maps in classes(seed, game, policy)[seed::3]:
        pure = oracle_constants.regret_interval(game, policy, unknown, maps)
        mixed = oracle_constants.regret_interval(game, policy, unknown, maps, units=2)
        assert mixed.regret[1] == pure.regret[1]
        assert [high for _, high in mixed.per_agent] == [high for _, high in pure.per_agent]
        assert all(low <= less for (low, _), (less, _) in zip(mixed.per_agent, pure.per_agent, strict=True))
        assert max(low for low, _ in mixed.per_agent) <= mixed.regret[0] <= pure.regret[0]
        if game.horizon is not None:
            for i, (_, high) in enumerate(pure.per_agent):
                assert high == colluding_value(game, policy, unknown, i, maps) - value(game, policy, i)


def test_a_mask_keeps_the_deviator_from_the_best_joint_action() -> None:
    """At the unknown state action 1 would pay 1, but a constant may play 0 only."""
    game = oracle.exact_game([[[[1, 0], [0, 1]], [[0, 1]] * 2]], [[[[0, 0], [0, 1]]]], [1, 0], (2,), horizon=2)
    mask: Mask = [[[[True] * 2] * 2, [[True, False]] * 2]]
    policy = oracle.exact_policy([[[1, 0], [1, 0]]])
    for kind, high in (("external", 0), ("coarse", 1), ("swap", 1), ("internal", 1)):
        maps = stages(kind, masks=[mask])  # type: ignore[arg-type]
        assert oracle_constants.regret_interval(game, policy, [(1, 1)], maps).regret == (Fraction(0), Fraction(high))


# The chains of the paper


def chain(horizon: int, beta: Fraction) -> tuple[ExactGame, Callable[[Fraction], Policy]]:
    """Chain game with u = 1, and its policies that play (0, 0) on odd states with a given probability, or (1, 1)."""
    states = range(2 * horizon)

    def after(s: int, joint: int) -> int:
        if s == 0:
            return 2 if joint == 0 else 1
        return 1 if s == states[-1] else min(s + 2, 2 * horizon - 2 - s % 2)

    game = oracle.exact_game(
        [[[[t == after(s, joint) for t in states] for joint in range(4)] for s in states]],
        [[[[s % 2 * (joint == 0) for joint in range(4)] for s in states]] * 2],
        [1 - beta, *[0] * (2 * horizon - 2), beta],
        (2, 2),
        horizon=horizon,
    )
    return game, lambda p: oracle.exact_policy([[[p, 0, 0, 1 - p] if s % 2 else [1, 0, 0, 0] for s in states]])


@pytest.mark.parametrize("horizon", [2, 3, 4])
def test_the_chains_have_their_regret_gaps(horizon: int) -> None:
    beta, eps, steps = Fraction(1, 10), Fraction(1, 20), horizon - 1
    game, policy = chain(horizon, Fraction(0))
    expert, learner, gentle = policy(Fraction(0)), policy(Fraction(1)), policy(eps)
    assert oracle_constants.recoverability(game, expert, oracle_classes.obedient) == (Fraction(1), Fraction(1))
    assert oracle_constants.regret_gap(game, learner, expert, SWAP) == steps
    assert oracle_constants.reward_free_value_gap(game, learner, expert) == 0
    assert oracle_constants.loss(game, learner, expert, SWAP) == steps
    assert oracle_constants.regret_gap(game, gentle, expert, SWAP) == eps * steps
    assert oracle_constants.uncovered(game, expert, SWAP) == [(h, 2 * h - 1) for h in range(1, horizon)]
    game, policy = chain(horizon, beta)
    expert, learner = policy(Fraction(0)), policy(eps / beta)
    assert oracle_constants.regret_gap(game, learner, expert, SWAP) == (1 - beta) * steps * eps / beta
    assert oracle_constants.coverage(game, expert, SWAP) == beta
    assert oracle_constants.concentrability(game, expert, SWAP) == 1 / beta
