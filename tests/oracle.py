"""Slow, exact evaluation of policies and deviations, to test the library against.

Everything here is plain Python on ``fractions.Fraction``, follows the definitions literally and imports nothing from
the library. A number stands for the rational that it stores and a probability row p for p / sum(p).

Indices: ``transitions[h][s][a]`` is the row over next states, ``rewards[h][i][s][a]`` the reward of agent i and
``policy[h][s][a]`` the probability of the joint action a, where joint actions are flattened in C order. A list over
steps stays at its last entry for all later steps, so that one entry means "the same at every step". A deviation is
``phi[h][s][a_i]``, a dictionary from the action played to its probability.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import product
from math import prod
from typing import Literal, TypeVar

Number = int | float | Fraction
Kind = Literal["swap", "external"]
Row = list[Fraction]
Policy = list[list[Row]]
Phi = list[list[list[dict[int, Fraction]]]]
T = TypeVar("T")


@dataclass(frozen=True)
class ExactGame:
    """A Markov game in rationals; ``legal[i][s]`` lists the legal actions, ``discount`` is 1 with a horizon."""

    actions: tuple[int, ...]
    transitions: list[list[list[Row]]]
    rewards: list[list[list[Row]]]
    initial: Row
    legal: list[list[list[int]]]
    horizon: int | None
    discount: Fraction

    @property
    def states(self) -> range:
        return range(len(self.initial))

    @property
    def agents(self) -> range:
        return range(len(self.actions))

    @cached_property
    def joint_actions(self) -> list[tuple[int, ...]]:
        return list(product(*(range(n) for n in self.actions)))

    def replaced(self, joint: int, agent: int, action: int) -> int:
        """Joint action with one agent's part replaced."""
        parts = list(self.joint_actions[joint])
        parts[agent] = action
        return self.joint_actions.index(tuple(parts))

    def q_value(self, step: int, agent: int, state: int, joint: int, following: Row) -> Fraction:
        """r + discount * E[following(s')]."""
        row = at(self.transitions, step)[state][joint]
        expected = sum((p * v for p, v in zip(row, following, strict=True) if p), Fraction(0))
        return at(self.rewards, step)[agent][state][joint] + self.discount * expected


def exact_game(
    transitions: Sequence[Sequence[Sequence[Sequence[Number]]]],
    rewards: Sequence[Sequence[Sequence[Sequence[Number]]]],
    initial: Sequence[Number],
    actions: Sequence[int],
    *,
    horizon: int | None = None,
    discount: Number | None = None,
    legal: Sequence[Sequence[Sequence[bool]]] | None = None,
) -> ExactGame:
    """Make an exact game; transitions and rewards are lists over steps, ``legal[i][s]`` a list of booleans."""
    assert (horizon is None) != (discount is None)
    if legal is None:
        legal = [[[True] * n for _ in initial] for n in actions]
    return ExactGame(
        tuple(actions),
        [[[normalised(row) for row in rows] for rows in kernel] for kernel in transitions],
        [[[[Fraction(r) for r in row] for row in rows] for rows in step] for step in rewards],
        normalised(initial),
        [[[b for b, ok in enumerate(row) if ok] for row in rows] for rows in legal],
        horizon,
        Fraction(1) if discount is None else Fraction(discount),
    )


def exact_policy(policy: Sequence[Sequence[Sequence[Number]]]) -> Policy:
    return [[normalised(row) for row in rows] for rows in policy]


def normalised(row: Sequence[Number]) -> Row:
    """P / sum(p); an empty row, as illegal joint actions may have, stays empty."""
    exact = [Fraction(p) for p in row]
    total = sum(exact, Fraction(0))
    return [p / total for p in exact] if total else exact


def at(steps: Sequence[T], step: int) -> T:
    return steps[min(step, len(steps) - 1)]


def dot(x: Sequence[Fraction], y: Sequence[Fraction]) -> Fraction:
    return sum((a * b for a, b in zip(x, y, strict=True)), Fraction(0))


def solve(matrix: Sequence[Row], right: Row) -> Row:
    """Solve a square linear system by Gauss-Jordan elimination."""
    rows = [[*row, b] for row, b in zip(matrix, right, strict=True)]
    for k in range(len(rows)):
        pivot = next(j for j in range(k, len(rows)) if rows[j][k])
        rows[k], rows[pivot] = rows[pivot], rows[k]
        rows[k] = [x / rows[k][k] for x in rows[k]]
        for j in range(len(rows)):
            if j != k and rows[j][k]:
                factor = rows[j][k]
                rows[j] = [x - factor * y for x, y in zip(rows[j], rows[k], strict=True)]
    return [row[-1] for row in rows]


def state_chain(game: ExactGame, step: int, rows: list[Row]) -> list[Row]:
    """Pr(s' | s) at a step if joint actions are drawn from the rows."""
    chain = [[Fraction(0) for _ in game.states] for _ in game.states]
    for s in game.states:
        for joint, weight in enumerate(rows[s]):
            if weight:
                for t, p in enumerate(at(game.transitions, step)[s][joint]):
                    chain[s][t] += weight * p
    return chain


def state_values(game: ExactGame, policy: Policy, agent: int) -> list[Row]:
    """V_h(s) of obedience for h = 0..H-1; discounted for each step of the policy."""

    def backup(step: int, following: Row) -> Row:
        rows = at(policy, step)
        return [
            sum((w * game.q_value(step, agent, s, a, following) for a, w in enumerate(rows[s]) if w), Fraction(0))
            for s in game.states
        ]

    zero = [Fraction(0) for _ in game.states]
    if game.horizon is not None:
        values, remaining = [zero], range(game.horizon)
    else:
        last = len(policy) - 1
        chain = state_chain(game, last, policy[last])
        matrix = [[(s == t) - game.discount * chain[s][t] for t in game.states] for s in game.states]
        values, remaining = [solve(matrix, backup(last, zero))], range(last)
    for step in reversed(remaining):
        values.insert(0, backup(step, values[0]))
    return values[: game.horizon]


def value(game: ExactGame, policy: Policy, agent: int) -> Fraction:
    """J_i(sigma)."""
    return dot(game.initial, state_values(game, policy, agent)[0])


def occupancy(game: ExactGame, policy: Policy) -> list[list[Row]]:
    """mu_h(s, a); discounted a list of one entry, of total mass 1."""

    def spread(weights: Row, rows: list[Row]) -> list[Row]:
        return [[weights[s] * p for p in rows[s]] for s in game.states]

    def forward(weights: Row, step: int) -> Row:
        chain = state_chain(game, step, at(policy, step))
        return [dot(weights, [chain[s][t] for s in game.states]) for t in game.states]

    weights = game.initial
    if game.horizon is not None:
        measure = []
        for step in range(game.horizon):
            measure.append(spread(weights, at(policy, step)))
            weights = forward(weights, step)
        return measure
    last = len(policy) - 1
    weights = [(1 - game.discount) * p for p in weights]
    total = [[Fraction(0) for _ in rows] for rows in policy[0]]
    for step in range(last):
        total = add(total, spread(weights, policy[step]))
        weights = [game.discount * p for p in forward(weights, step)]
    chain = state_chain(game, last, policy[last])
    matrix = [[(s == t) - game.discount * chain[s][t] for s in game.states] for t in game.states]
    return [add(total, spread(solve(matrix, weights), policy[last]))]


def add(x: list[Row], y: list[Row]) -> list[Row]:
    return [[a + b for a, b in zip(p, q, strict=True)] for p, q in zip(x, y, strict=True)]


def deviate(game: ExactGame, policy: Policy, agent: int, phi: Phi) -> Policy:
    """phi∘sigma: the agent hears its part of the joint action and plays what phi says, the others obey."""
    steps = max(len(policy), len(phi))
    result = [[[Fraction(0) for _ in game.joint_actions] for _ in game.states] for _ in range(steps)]
    for step in range(steps):
        for s in game.states:
            for joint, weight in enumerate(at(policy, step)[s]):
                if weight:
                    for b, p in at(phi, step)[s][game.joint_actions[joint][agent]].items():
                        result[step][s][game.replaced(joint, agent, b)] += weight * p
    return result


def deviations(game: ExactGame, agent: int, kind: Kind, steps: int) -> Iterator[Phi]:
    """Every deterministic deviation of the agent.

    Swap: all maps from (h, s, legal a) to a legal b. External: all maps from (h, s) to a legal b.
    """
    cells: list[list[list[dict[int, Fraction]]]] = []
    for s in game.states:
        legal = game.legal[agent][s]
        maps = product(legal, repeat=len(legal)) if kind == "swap" else ((b,) * len(legal) for b in legal)
        told = [dict(zip(legal, plays, strict=True)) for plays in maps]
        # Nobody is told an illegal action; the entry only fills the list.
        cells.append([[{m.get(a, legal[0]): Fraction(1)} for a in range(game.actions[agent])] for m in told])
    for rows in product(*(cells * steps)):
        yield [list(rows[k : k + len(cells)]) for k in range(0, len(rows), len(cells))]


def number_of_deviations(game: ExactGame, agent: int, kind: Kind, steps: int) -> int:
    sizes = [len(rows) for rows in game.legal[agent]]
    return int(prod(n**n if kind == "swap" else n for n in sizes) ** steps)


def best_by_enumeration(game: ExactGame, policy: Policy, agent: int, kind: Kind) -> Fraction:
    """Max over every deterministic deviation of J_i(phi∘sigma).

    Discounted, over those with as many steps as the policy: they contain an optimal one.
    """
    steps = game.horizon or len(policy)
    return max(value(game, deviate(game, policy, agent, phi), agent) for phi in deviations(game, agent, kind, steps))


def best_state_values(game: ExactGame, policy: Policy, agent: int, kind: Kind) -> list[Row]:
    """Value of deviating optimally from (h, s) on, by recursion; discounted, its last step by enumeration."""

    def backup(step: int, following: Row) -> Row:
        values = []
        for s in game.states:
            heard: dict[int, list[tuple[int, Fraction]]] = {}
            for joint, weight in enumerate(at(policy, step)[s]):
                if weight:
                    told = game.joint_actions[joint][agent] if kind == "swap" else 0
                    heard.setdefault(told, []).append((joint, weight))
            best = Fraction(0)
            for recommended in heard.values():
                best += max(
                    sum(
                        (
                            w * game.q_value(step, agent, s, game.replaced(a, agent, b), following)
                            for a, w in recommended
                        ),
                        Fraction(0),
                    )
                    for b in game.legal[agent][s]
                )
            values.append(best)
        return values

    if game.horizon is not None:
        values, remaining = [[Fraction(0) for _ in game.states]], range(game.horizon)
    else:
        last = len(policy) - 1
        stationary = [
            state_values(game, deviate(game, policy[last:], agent, phi), agent)[0]
            for phi in deviations(game, agent, kind, 1)
        ]
        tail = [max(values[s] for values in stationary) for s in game.states]
        # The optimality equation: nothing random, and nothing that depends on time, does better.
        assert backup(last, tail) == tail
        values, remaining = [tail], range(last)
    for step in reversed(remaining):
        values.insert(0, backup(step, values[0]))
    return values[: game.horizon]


def best_value(game: ExactGame, policy: Policy, agent: int, kind: Kind) -> Fraction:
    """Max over phi of J_i(phi∘sigma), by recursion."""
    return dot(game.initial, best_state_values(game, policy, agent, kind)[0])


def gains(game: ExactGame, policy: Policy, kind: Kind) -> list[Fraction]:
    """Each agent's best gain; the regret is their maximum."""
    return [best_value(game, policy, i, kind) - value(game, policy, i) for i in game.agents]
