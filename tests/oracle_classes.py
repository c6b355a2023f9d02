"""Slow, exact values of the classes of deviations, to test the library against.

Plain Python on ``fractions.Fraction``, like ``tests.oracle``, and nothing from the library. A stage is what an agent
plays at one (step, state): a dictionary from the legal recommendations to the legal actions played. A class is a
function (game, agent, step, state) that lists the stages it permits there; where it may be left out, it is swap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise, product
from math import prod
from typing import Literal

from tests.oracle import (
    ExactGame,
    Phi,
    Policy,
    Row,
    at,
    best_by_enumeration,
    deviate,
    dot,
    number_of_deviations,
    solve,
    value,
)

Kind = Literal["swap", "external", "coarse", "internal", "partition"]
Stage = dict[int, int]
Maps = Callable[[ExactGame, int, int, int], list[Stage]]
Mask = Sequence[Sequence[Sequence[Sequence[bool]]]]
Point = tuple[Fraction, Fraction]


def one_stage_maps(
    game: ExactGame,
    agent: int,
    state: int,
    kind: Kind,
    *,
    cells: Sequence[int] | None = None,
    allowed: Sequence[Sequence[bool]] | None = None,
) -> list[Stage]:
    """Every stage of a kind at a state: all maps from legal a to legal b that the definition admits.

    ``cells[a]`` is the cell of a partition. ``allowed[a][b]`` says which b may be played when told a, and b = a always
    may. A partition or a constant therefore plays b only if b is allowed for every legal a that it is played for.
    """

    def fits(stage: Stage) -> bool:
        if kind == "external":
            return len(set(stage.values())) == 1
        if kind == "coarse":
            return stage == obedience(game, agent, state) or len(set(stage.values())) == 1
        if kind == "internal":
            return sum(a != b for a, b in stage.items()) <= 1
        if kind == "partition":
            assert cells is not None
            return all(stage[a] == stage[c] for a in stage for c in stage if cells[a] == cells[c])
        return True

    legal = game.legal[agent][state]
    maps = (dict(zip(legal, plays, strict=True)) for plays in product(legal, repeat=len(legal)))
    return [
        stage
        for stage in maps
        if fits(stage) and all(a == b or allowed is None or allowed[a][b] for a, b in stage.items())
    ]


def stages(
    kind: Kind, *, cells: Sequence[Sequence[int]] | None = None, masks: Sequence[Mask | None] | None = None
) -> Maps:
    """Class of a kind, with ``cells[agent][a]`` and ``masks[agent][h][s][a][b]``; a mask stays at its last step."""

    def maps(game: ExactGame, agent: int, step: int, state: int) -> list[Stage]:
        mask = masks[agent] if masks else None
        allowed = at(mask, step)[state] if mask is not None else None
        return one_stage_maps(game, agent, state, kind, cells=cells[agent] if cells else None, allowed=allowed)

    return maps


def obedience(game: ExactGame, agent: int, state: int) -> Stage:
    return {a: a for a in game.legal[agent][state]}


def obedient(game: ExactGame, agent: int, step: int, state: int) -> list[Stage]:
    """Class of obedience alone."""
    return [obedience(game, agent, state)]


def or_obey(maps: Maps) -> Maps:
    """Class that may also obey at any (step, state)."""

    def more(game: ExactGame, agent: int, step: int, state: int) -> list[Stage]:
        permitted, obey = maps(game, agent, step, state), obedience(game, agent, state)
        return permitted if obey in permitted else [*permitted, obey]

    return more


def as_phi(game: ExactGame, agent: int, chosen: Sequence[Sequence[Stage]]) -> Phi:
    """Deviation that plays ``chosen[h][s]``; nobody is told an illegal action, the entry only fills the list."""
    told = range(game.actions[agent])
    return [
        [[{stage.get(a, game.legal[agent][s][0]): Fraction(1)} for a in told] for s, stage in enumerate(row)]
        for row in chosen
    ]


def steps_of(game: ExactGame, policy: Policy) -> int:
    return game.horizon or len(policy)


# Enumeration


def options(game: ExactGame, agent: int, maps: Maps, steps: int) -> list[list[list[Stage]]]:
    return [[maps(game, agent, h, s) for s in game.states] for h in range(steps)]


def class_size(game: ExactGame, agent: int, maps: Maps, steps: int) -> int:
    return prod(len(here) for row in options(game, agent, maps, steps) for here in row)


def class_deviations(game: ExactGame, agent: int, maps: Maps, steps: int) -> Iterator[Phi]:
    """Every deterministic deviation whose stages the class permits at each (step, state)."""
    n = len(game.initial)
    cells = [here for row in options(game, agent, maps, steps) for here in row]
    for chosen in product(*cells):
        yield as_phi(game, agent, [chosen[k : k + n] for k in range(0, len(chosen), n)])


def finite_value(game: ExactGame, policy: Policy, agent: int, given: Iterable[Phi]) -> Fraction:
    """Max of J_i(phi∘sigma) over the given deviations, random ones included."""
    return max(value(game, deviate(game, policy, agent, phi), agent) for phi in given)


def class_value_by_enumeration(game: ExactGame, policy: Policy, agent: int, maps: Maps) -> Fraction:
    """Max over every member; discounted, over those with as many steps as the policy."""
    return finite_value(game, policy, agent, class_deviations(game, agent, maps, steps_of(game, policy)))


def stationary_value(game: ExactGame, policy: Policy, agent: int, maps: Maps | None = None) -> Fraction:
    """Max over every deterministic deviation that does not depend on h; the class is that of step 0."""
    return finite_value(game, policy, agent, class_deviations(game, agent, maps or stages("swap"), 1))


# Recursion


def layer(
    game: ExactGame,
    policy: Policy,
    agent: int,
    maps: Maps,
    below: list[Row] | None = None,
    charge: Fraction = Fraction(0),
) -> tuple[list[Row], list[list[Stage]]]:
    """Values V_h(s) of the best stages from (h, s) on, and such stages.

    After a departure the game goes on with the values ``below`` (V itself without them), and each departure costs
    ``charge``. With a horizon the values end with V_H = 0; discounted, the last of them repeats itself.
    """
    steps = steps_of(game, policy)
    permitted = options(game, agent, maps, steps)
    zero = [Fraction(0) for _ in game.states]

    def heard(step: int, s: int, told: int, b: int) -> Iterator[tuple[int, Fraction]]:
        """Joint actions played, and their probabilities, when the agent is told one action and plays b."""
        for joint, weight in enumerate(at(policy, step)[s]):
            if weight and game.joint_actions[joint][agent] == told:
                yield game.replaced(joint, agent, b), weight

    def c(step: int, s: int, told: int, b: int, following: Row) -> Fraction:
        """C(s, a, b) = sum_k sigma(a, k | s) Q(s, b, k), less the charge for a departure."""
        paid = charge * (told != b)
        plays = heard(step, s, told, b)
        return sum((w * (game.q_value(step, agent, s, joint, following) - paid) for joint, w in plays), Fraction(0))

    def choose(step: int, stay: Row) -> tuple[Row, list[Stage]]:
        leave = stay if below is None else at(below, step + 1)
        values, chosen = [], []
        for s in game.states:
            legal = game.legal[agent][s]
            table = {(a, b): c(step, s, a, b, stay if a == b else leave) for a in legal for b in legal}
            totals = [sum((table[told] for told in stage.items()), Fraction(0)) for stage in permitted[step][s]]
            values.append(max(totals))
            chosen.append(permitted[step][s][totals.index(values[-1])])
        return values, chosen

    def evaluate(chosen: list[Stage]) -> Row:
        """Values of the same stages for ever: V = right + discount * stays V."""
        last, right = steps - 1, list(zero)
        matrix = [[Fraction(s == t) for t in game.states] for s in game.states]
        for s in game.states:
            for a, b in chosen[s].items():
                leaves = below is not None and a != b
                after = below[-1] if below is not None and leaves else zero
                right[s] += c(last, s, a, b, after)
                for joint, weight in [] if leaves else heard(last, s, a, b):
                    row = at(game.transitions, last)[s][joint]
                    matrix[s] = [x - game.discount * weight * p for x, p in zip(matrix[s], row, strict=True)]
        return solve(matrix, right)

    if game.horizon is not None:
        values, chosen, remaining = [zero], list[list[Stage]](), range(steps)
    else:
        # Policy iteration ends at the solution of the optimality equation, which is unique.
        tail = [here[0] for here in permitted[-1]]
        fixed = evaluate(tail)
        while (better := choose(steps - 1, fixed))[0] != fixed:
            tail = better[1]
            fixed = evaluate(tail)
        values, chosen, remaining = [fixed], [tail], range(steps - 1)
    for step in reversed(remaining):
        best, how = choose(step, values[0])
        values.insert(0, best)
        chosen.insert(0, how)
    return values, chosen


def class_value(game: ExactGame, policy: Policy, agent: int, maps: Maps) -> Fraction:
    """Max over the class of J_i(phi∘sigma), by recursion: V_h(s) = max over stages of sum_a C(a, stage(a))."""
    return dot(game.initial, layer(game, policy, agent, maps)[0][0])


# Limited: at most k disobeyed recommendations


def limited_value(game: ExactGame, policy: Policy, agent: int, k: int, maps: Maps | None = None) -> Fraction:
    """Max with at most k departures along a trajectory; at each (h, s) a stage of the class, or obedience."""
    values, _ = layer(game, policy, agent, obedient)
    for _ in range(k):
        values, _ = layer(game, policy, agent, or_obey(maps or stages("swap")), below=values)
    return dot(game.initial, values[0])


def limited_game(game: ExactGame, policy: Policy, agent: int, k: int, maps: Maps) -> ExactGame:
    """Game of one player who chooses stages; its states (s, departures left) are numbered s (k + 1) + left."""
    steps, layers = steps_of(game, policy), k + 1
    nodes = list(product(game.states, range(layers)))
    free = or_obey(maps)
    permitted = [
        [free(game, agent, h, s) if left else obedient(game, agent, h, s) for s, left in nodes] for h in range(steps)
    ]
    sizes = [max(len(row[x]) for row in permitted) for x in range(len(nodes))]

    def outcome(step: int, node: int, action: int) -> tuple[Fraction, Row]:
        here = permitted[step][node]
        stage = here[min(action, len(here) - 1)]
        s, left = nodes[node]
        reward, row = Fraction(0), [Fraction(0) for _ in nodes]
        for joint, weight in enumerate(at(policy, step)[s]):
            if weight:
                told = game.joint_actions[joint][agent]
                played = game.replaced(joint, agent, stage[told])
                reward += weight * at(game.rewards, step)[agent][s][played]
                for t, p in enumerate(at(game.transitions, step)[s][played]):
                    if p:
                        row[nodes.index((t, left - (stage[told] != told)))] += weight * p
        return reward, row

    outcomes = [[[outcome(h, x, m) for m in range(max(sizes))] for x in range(len(nodes))] for h in range(steps)]
    return ExactGame(
        (max(sizes),),
        [[[row for _, row in node] for node in step] for step in outcomes],
        [[[[reward for reward, _ in node] for node in step]] for step in outcomes],
        [game.initial[s] * (left == k) for s, left in nodes],
        [[list(range(n)) for n in sizes]],
        game.horizon,
        game.discount,
    )


def limited_size(game: ExactGame, policy: Policy, agent: int, k: int, maps: Maps) -> int:
    steps = steps_of(game, policy)
    return number_of_deviations(limited_game(game, policy, agent, k, maps), 0, "external", steps)


def limited_value_by_enumeration(game: ExactGame, policy: Policy, agent: int, k: int, maps: Maps) -> Fraction:
    """Max over every choice of a stage for each (step, departures left, state)."""
    chooser = limited_game(game, policy, agent, k, maps)
    idle = [Fraction(m == 0) for m in range(chooser.actions[0])]
    return best_by_enumeration(chooser, [[idle for _ in chooser.states]] * steps_of(game, policy), 0, "external")


# Budget: at most kappa disobeyed recommendations in expectation


def with_state_rewards(game: ExactGame, rewards: Sequence[Row]) -> ExactGame:
    """Pay ``rewards[h][s]`` to every agent, whatever is played."""
    per_step = [[[r] * len(game.joint_actions) for r in row] for row in rewards]
    return replace(game, rewards=[[rows for _ in game.agents] for rows in per_step])


def disobedience(game: ExactGame, policy: Policy, agent: int, phi: Phi) -> Fraction:
    """Expected number of disobeyed recommendations; discounted, of their discounted, unnormalised number."""

    def leaves(step: int, s: int) -> Fraction:
        parts = zip(at(policy, step)[s], game.joint_actions, strict=True)
        return sum((w * (1 - at(phi, step)[s][a[agent]].get(a[agent], Fraction(0))) for w, a in parts), Fraction(0))

    charges = [[leaves(h, s) for s in game.states] for h in range(max(steps_of(game, policy), len(phi)))]
    return value(with_state_rewards(game, charges), deviate(game, policy, agent, phi), agent)


def upper_hull(points: Iterable[Point]) -> list[Point]:
    """Vertices of the least concave, increasing function above the points (cost, value)."""
    hull: list[Point] = []
    for cost, gain in sorted(points, key=lambda point: (point[0], -point[1])):
        if hull and gain <= hull[-1][1]:
            continue
        while len(hull) > 1 and slope(hull[-2], hull[-1]) <= slope(hull[-2], (cost, gain)):
            hull.pop()
        hull.append((cost, gain))
    return hull


def slope(left: Point, right: Point) -> Fraction:
    return (right[1] - left[1]) / (right[0] - left[0])


def budget_vertices(game: ExactGame, policy: Policy, agent: int) -> list[Point]:
    """Vertices (kappa, best value) of the budget curve, from (disobedience, value) of every deterministic swap."""
    return upper_hull(
        (disobedience(game, policy, agent, phi), value(game, deviate(game, policy, agent, phi), agent))
        for phi in class_deviations(game, agent, stages("swap"), steps_of(game, policy))
    )


def budget_vertices_by_recursion(game: ExactGame, policy: Policy, agent: int) -> list[Point]:
    """The same: a best swap with the slope between two known points as its charge lies above their line, or none."""

    def best(charge: Fraction) -> Point:
        phi = as_phi(game, agent, layer(game, policy, agent, stages("swap"), charge=charge)[1])
        return disobedience(game, policy, agent, phi), value(game, deviate(game, policy, agent, phi), agent)

    def between(left: Point, right: Point) -> list[Point]:
        if left[0] == right[0]:
            return []
        charge = slope(left, right)
        middle = best(charge)
        if middle[1] - charge * middle[0] == left[1] - charge * left[0]:
            return []
        return [*between(left, middle), middle, *between(middle, right)]

    start, end = (Fraction(0), value(game, policy, agent)), best(Fraction(0))
    return upper_hull([start, *between(start, end), end])


def budget_value(vertices: Sequence[Point], kappa: Fraction) -> Fraction:
    """Best value with at most kappa disobeyed recommendations in expectation."""
    for left, right in pairwise(vertices):
        if kappa < right[0]:
            return left[1] + slope(left, right) * (kappa - left[0])
    return vertices[-1][1]
