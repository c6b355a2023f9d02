"""Slow, exact constants of a game and a policy, to test the library against.

Like ``tests.oracle_classes``: plain Python on ``fractions.Fraction``, nothing from the library. A class is a function
that lists the stages it permits; "and the identity" adds the deviation that obeys everywhere to the class.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

from tests.oracle import ExactGame, Phi, Policy, Row, at, deviate, occupancy, state_values, value
from tests.oracle_classes import (
    Maps,
    as_phi,
    class_deviations,
    class_value,
    class_value_by_enumeration,
    finite_value,
    obedience,
    steps_of,
    with_state_rewards,
)


def members(game: ExactGame, policy: Policy, agent: int, maps: Maps, *, identity: bool) -> Iterator[Phi]:
    """Every deviation of the class, with as many steps as the policy if discounted; and perhaps the identity."""
    if identity:
        yield as_phi(game, agent, [[obedience(game, agent, s) for s in game.states]])
    yield from class_deviations(game, agent, maps, steps_of(game, policy))


def padded(game: ExactGame, *policies: Policy) -> list[Policy]:
    """The policies with one row for each step; discounted, with as many steps as the longest."""
    steps = game.horizon or max(map(len, policies))
    return [[at(policy, h) for h in range(steps)] for policy in policies]


# Coverage and concentrability


def visits(game: ExactGame, policy: Policy) -> list[Row]:
    """Pr(s_h = s); discounted, one row of total 1."""
    return [[sum(row, Fraction(0)) for row in rows] for rows in occupancy(game, policy)]


def reach(game: ExactGame, policy: Policy, agent: int, maps: Maps) -> list[Row]:
    """Max over the class of Pr(s_h = s), for each (h, s) by its own recursion; discounted, of d(s), in one row."""

    def best(pays: list[Row]) -> Fraction:
        return class_value(with_state_rewards(game, pays), policy, agent, maps)

    if game.horizon is None:
        return [[(1 - game.discount) * best([[Fraction(s == t) for t in game.states]]) for s in game.states]]
    steps = range(game.horizon)
    return [
        [best([[Fraction((h, s) == (g, t)) for t in game.states] for g in steps]) for s in game.states] for h in steps
    ]


def reach_by_enumeration(game: ExactGame, policy: Policy, agent: int, maps: Maps) -> list[Row]:
    """The same, as a maximum over every member of the class."""
    everything = [
        visits(game, deviate(game, policy, agent, phi)) for phi in members(game, policy, agent, maps, identity=False)
    ]
    return [[max(column) for column in zip(*rows, strict=True)] for rows in zip(*everything, strict=True)]


def reached(game: ExactGame, policy: Policy, maps: Maps) -> dict[tuple[int, int], tuple[Fraction, Fraction]]:
    """(h, s) that a deviation of some agent reaches: the largest such probability, and that of obedience."""
    by_agent = [reach(game, policy, i, maps) for i in game.agents]
    most = {
        (h, s): (max(rows[h][s] for rows in by_agent), d)
        for h, row in enumerate(visits(game, policy))
        for s, d in enumerate(row)
    }
    return {cell: pair for cell, pair in most.items() if pair[0]}


def coverage(game: ExactGame, policy: Policy, maps: Maps) -> Fraction:
    """Beta: the least probability under obedience of an (h, s) that a deviation reaches."""
    return min(d for _, d in reached(game, policy, maps).values())


def uncovered(game: ExactGame, policy: Policy, maps: Maps) -> list[tuple[int, int]]:
    """(h, s) that a deviation reaches and obedience does not, the most probable first."""
    cells = {cell: most for cell, (most, d) in reached(game, policy, maps).items() if not d}
    return sorted(cells, key=lambda cell: (-cells[cell], cell))


def concentrability(game: ExactGame, policy: Policy, maps: Maps) -> Fraction | None:
    """C: the largest ratio of Pr(s_h = s) under a deviation to that under obedience, None if infinite."""
    pairs = reached(game, policy, maps).values()
    return max(most / d for most, d in pairs) if all(d for _, d in pairs) else None


# Recoverability


def legal_joints(game: ExactGame, state: int) -> list[int]:
    return [
        joint
        for joint, parts in enumerate(game.joint_actions)
        if all(b in game.legal[i][state] for i, b in enumerate(parts))
    ]


def deviated_q(game: ExactGame, policy: Policy, agent: int, phi: Phi) -> Iterator[tuple[int, int, Fraction, Row]]:
    """(h, s, V_h(s), Q_h(s, .)) of phi∘sigma, over all joint actions; discounted, for each step of the policy."""
    deviated = deviate(game, policy, agent, phi)
    values = state_values(game, deviated, agent)
    after = values if game.horizon is None else [*values, [Fraction(0)] * len(game.initial)]
    for h, row in enumerate(values):
        for s, v in enumerate(row):
            joints = range(len(game.joint_actions))
            yield h, s, v, [game.q_value(h, agent, s, a, at(after, h + 1)) for a in joints]


def recoverability(game: ExactGame, policy: Policy, maps: Maps, *, identity: bool = True) -> tuple[Fraction, Fraction]:
    """Max over agents, the class (and the identity), h, s and legal joint actions of |Q - V|, and of max Q - min Q."""
    u = span = Fraction(0)
    for i in game.agents:
        for phi in members(game, policy, i, maps, identity=identity):
            for _, s, v, q in deviated_q(game, policy, i, phi):
                legal = [q[a] for a in legal_joints(game, s)]
                u = max(u, max(legal) - v, v - min(legal))
                span = max(span, max(legal) - min(legal))
    return u, span


def played_span(game: ExactGame, learner: Policy, expert: Policy, maps: Maps, *, identity: bool = True) -> Fraction:
    """Span of Q of phi∘expert over the joint actions that phi∘learner or phi∘expert plays."""
    learner, expert = padded(game, learner, expert)
    span = Fraction(0)
    for i in game.agents:
        for phi in members(game, expert, i, maps, identity=identity):
            both = deviate(game, learner, i, phi), deviate(game, expert, i, phi)
            for h, s, _, q in deviated_q(game, expert, i, phi):
                played = [q[a] for a in range(len(q)) if any(policy[h][s][a] for policy in both)]
                span = max(span, max(played) - min(played))
    return span


# Loss, regret and their bounds


def total_variation(game: ExactGame, learner: Policy, expert: Policy) -> list[Row]:
    """TV(sigma_h(s), sigma_E,h(s)), half the L1 distance, for each row of policies of equal length."""
    return [
        [sum((abs(p - q) for p, q in zip(*rows, strict=True)), Fraction(0)) / 2 for rows in zip(*both, strict=True)]
        for both in zip(learner, expert, strict=True)
    ]


def loss(game: ExactGame, learner: Policy, expert: Policy, maps: Maps, *, identity: bool = True) -> Fraction:
    """L: max over agents and the class (and the identity) of sum_h E TV, the states being those of phi∘learner.

    Discounted, the sum of gamma^t E TV, not normalised.
    """
    learner, expert = padded(game, learner, expert)
    charged = with_state_rewards(game, total_variation(game, learner, expert))
    return max([class_value(charged, learner, i, maps) for i in game.agents] + [value(charged, learner, 0)] * identity)


def loss_by_enumeration(
    game: ExactGame, learner: Policy, expert: Policy, maps: Maps, *, identity: bool = True
) -> Fraction:
    """The same, as a maximum over every member of the class."""
    learner, expert = padded(game, learner, expert)
    charged = with_state_rewards(game, total_variation(game, learner, expert))
    return max(
        finite_value(charged, learner, i, members(game, learner, i, maps, identity=identity)) for i in game.agents
    )


def regrets(game: ExactGame, policy: Policy, maps: Maps) -> list[Fraction]:
    """Each agent's best gain over the class as it is: negative if the class cannot obey and loses."""
    return [class_value(game, policy, i, maps) - value(game, policy, i) for i in game.agents]


def regrets_by_enumeration(game: ExactGame, policy: Policy, maps: Maps) -> list[Fraction]:
    return [class_value_by_enumeration(game, policy, i, maps) - value(game, policy, i) for i in game.agents]


def regret_gap(game: ExactGame, learner: Policy, expert: Policy, maps: Maps) -> Fraction:
    """R(learner) - R(expert)."""
    return max(regrets(game, learner, maps)) - max(regrets(game, expert, maps))


def gap_bounds(
    game: ExactGame, learner: Policy, expert: Policy, maps: Maps, *, identity: bool = True
) -> tuple[Fraction, Fraction, Fraction]:
    """Bounds on |regret gap|, the sharpest first: 2 L times the span over what is played, or over all; 4 u L."""
    learner, expert = padded(game, learner, expert)
    u, span = recoverability(game, expert, maps, identity=identity)
    weight = 2 * loss(game, learner, expert, maps, identity=identity)
    return weight * played_span(game, learner, expert, maps, identity=identity), weight * span, weight * 2 * u


def reward_free_value_gap(game: ExactGame, learner: Policy, expert: Policy) -> Fraction:
    """Max over rewards r_h(s, a) in [-1, 1] of J(expert) - J(learner): the L1 distance of the occupancies."""
    distance = sum(
        (
            abs(p - q)
            for both in zip(occupancy(game, learner), occupancy(game, expert), strict=True)
            for rows in zip(*both, strict=True)
            for p, q in zip(*rows, strict=True)
        ),
        Fraction(0),
    )
    return distance if game.horizon is not None else distance / (1 - game.discount)


# Regret from partial knowledge


@dataclass(frozen=True)
class Interval:
    """Least and largest regret over the completions tried, of each agent and of the worst agent."""

    per_agent: list[tuple[Fraction, Fraction]]
    regret: tuple[Fraction, Fraction]


def compositions(total: int, parts: int) -> Iterator[tuple[int, ...]]:
    """Ways to write the total as an ordered sum of non-negative parts."""
    if parts == 1:
        yield (total,)
        return
    for first in range(total + 1):
        for rest in compositions(total - first, parts - 1):
            yield (first, *rest)


def completions(
    game: ExactGame, policy: Policy, unknown: Collection[tuple[int, int]], units: int = 1
) -> Iterator[Policy]:
    """Policies whose unknown (h, s) draw legal joint actions with multiples of 1 / units; with 1, the pure ones."""
    (known,) = padded(game, policy)

    def rows(state: int) -> Iterator[Row]:
        legal = legal_joints(game, state)
        for shares in compositions(units, len(legal)):
            row = [Fraction(0) for _ in game.joint_actions]
            for joint, share in zip(legal, shares, strict=True):
                row[joint] = Fraction(share, units)
            yield row

    for chosen in product(*(list(rows(s)) for _, s in unknown)):
        drawn = dict(zip(unknown, chosen, strict=True))
        yield [[drawn.get((h, s), row) for s, row in enumerate(step)] for h, step in enumerate(known)]


def regret_interval(
    game: ExactGame, policy: Policy, unknown: Collection[tuple[int, int]], maps: Maps, units: int = 1
) -> Interval:
    """Regret over the completions of the unknown (h, s) by multiples of 1 / units, pure ones included.

    The largest is the supremum over all completions, the least only an upper bound on the infimum. Obedience must
    reach no unknown (h, s).
    """
    (known,) = padded(game, policy)
    hidden = [[Fraction((h, s) in unknown) for s in game.states] for h in range(len(known))]
    assert value(with_state_rewards(game, hidden), known, 0) == 0
    found = [regrets(game, completed, maps) for completed in completions(game, policy, unknown, units)]
    worst = [max(gains) for gains in found]
    return Interval([(min(g), max(g)) for g in zip(*found, strict=True)], (min(worst), max(worst)))
