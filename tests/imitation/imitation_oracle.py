"""Slow, independent answers of imitation, to test the library against.

Plain Python on ``fractions.Fraction`` where a number is evaluated, ``scipy.optimize.linprog`` over everything that can
be enumerated where one is optimised; nothing from the library. Indices as in ``tests.oracle``; ``known[h][s]`` is the
expert's row at (h, s), None where nobody knows it, and stays at its last step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linprog

from tests.oracle import ExactGame, Number, Phi, Policy, Row, at, deviate, deviations, occupancy, value
from tests.oracle_classes import Maps, class_deviations, disobedience, limited_game, steps_of, with_state_rewards
from tests.oracle_classes import stages as oracle_stages
from tests.oracle_constants import visits

Known = Sequence[Sequence[Row | None]]
Best = Callable[[ExactGame, Policy, int], Fraction | None]
Floats = npt.NDArray[np.float64]


# Demonstrations, by counting


def counted(
    game: ExactGame,
    states: Sequence[Sequence[int]],
    joints: Sequence[Sequence[int]],
    weights: Sequence[Number] | None = None,
) -> list[list[Row]]:
    """Empirical occupancy mu_E[h][s][a]: mass 1 at each step; discounted one step, t counts gamma^t, mass 1 in all."""
    given = [Fraction(w) for w in weights] if weights is not None else [Fraction(1)] * len(states)
    stages = game.horizon or 1
    table = [[[Fraction(0) for _ in game.joint_actions] for _ in game.states] for _ in range(stages)]
    for weight, path, plays in zip(given, states, joints, strict=True):
        for step, (s, a) in enumerate(zip(path, plays, strict=True)):
            table[min(step, stages - 1)][s][a] += weight * game.discount**step
    return [normalised_step(step) for step in table]


def normalised_step(step: list[Row]) -> list[Row]:
    total = sum((sum(row, Fraction(0)) for row in step), Fraction(0))
    return [[x / total for x in row] for row in step]


def known_rows(measure: Sequence[Sequence[Row]]) -> list[list[Row | None]]:
    """Rows of an occupancy where it has mass."""
    return [[[x / sum(row) for x in row] if sum(row) else None for row in step] for step in measure]


def everything_known(expert: Policy) -> list[list[Row | None]]:
    return [list(step) for step in expert]


def stage_measure(game: ExactGame, policy: Policy) -> list[list[Row]]:
    """Occupancy by step; discounted by step of the policy, all later ones in the last, total mass 1."""
    if game.horizon is not None:
        return occupancy(game, policy)
    found = []
    for step in range(len(policy)):
        # Moving everything from this step on into an absorbing copy is what the tail of the series says.
        shifted = occupancy_from(game, policy, step)
        following = occupancy_from(game, policy, step + 1) if step + 1 < len(policy) else None
        found.append(shifted if following is None else subtract(shifted, following))
    return found


def occupancy_from(game: ExactGame, policy: Policy, step: int) -> list[Row]:
    """(1 - gamma) sum over t >= step of gamma^t Pr(s_t = s, a_t = a)."""
    weights = game.initial
    for h in range(step):
        weights = [
            sum(
                (
                    weights[s] * p * game.transitions[0][s][a][t]
                    for s in game.states
                    for a, p in enumerate(policy[h][s])
                    if p
                ),
                Fraction(0),
            )
            for t in game.states
        ]
    later = occupancy(replace(game, initial=weights), policy[step:])[0]
    return [[game.discount**step * x for x in row] for row in later]


def subtract(x: list[Row], y: list[Row]) -> list[Row]:
    return [[a - b for a, b in zip(p, q, strict=True)] for p, q in zip(x, y, strict=True)]


# The deviation-weighted loss


def total_variation(p: Row, q: Row) -> Fraction:
    return sum((abs(a - b) for a, b in zip(p, q, strict=True)), Fraction(0)) / 2


def charges(policy: Policy, known: Known) -> list[Row]:
    """TV(sigma_h(s), sigma_E,h(s)) where the expert's row is known, 1 elsewhere."""

    def charge(mine: Row, theirs: Row | None) -> Fraction:
        return Fraction(1) if theirs is None else total_variation(mine, theirs)

    steps = range(max(len(policy), len(known)))
    return [[charge(p, q) for p, q in zip(at(policy, h), at(known, h), strict=True)] for h in steps]


def paid(game: ExactGame, policy: Policy, known: Known) -> tuple[ExactGame, Policy]:
    """Game whose reward is the charge, and the policy with as many steps as that has."""
    found = charges(policy, known)
    return with_state_rewards(game, found), [at(policy, h) for h in range(len(found))]


def losses(game: ExactGame, policy: Policy, known: Known, best: Best) -> list[Fraction | None]:
    """Largest charge that each agent's deviations collect; ``best`` says max over phi of J_i(phi∘sigma)."""
    charged, padded = paid(game, policy, known)
    return [best(charged, padded, i) for i in game.agents]


def loss(game: ExactGame, policy: Policy, known: Known, best: Best) -> Fraction:
    """L(sigma) = max over i and phi of sum_h E_{s ~ d^{phi∘sigma}_h} [TV, or 1 where nothing is known]."""
    return max(found for found in losses(game, policy, known, best) if found is not None)


def loss_over(game: ExactGame, policy: Policy, known: Known, phis: Iterable[tuple[int, Phi]]) -> Fraction:
    """The same as a maximum over given deviations, each with its agent: sum_h <d_h of phi∘sigma, charge_h>."""
    charged, padded = paid(game, policy, known)
    return max(value(charged, deviate(charged, padded, i, phi), i) for i, phi in phis)


def all_deviations(game: ExactGame, policy: Policy, maps: Maps) -> Iterator[tuple[int, Phi]]:
    for i in game.agents:
        for phi in class_deviations(game, i, maps, steps_of(game, policy)):
            yield i, phi


def obedient_loss(game: ExactGame, policy: Policy, known: Known) -> Fraction:
    """sum_h E_{s ~ d^sigma_h} of the charge: nobody deviates."""
    charged, padded = paid(game, policy, known)
    return value(charged, padded, 0)


def cloning_loss(measure: Sequence[Sequence[Row]], policy: Policy) -> Fraction:
    """sum_h E_{s ~ d_E,h} TV(sigma_h(s), sigma_E,h(s))."""
    rows = known_rows(measure)
    total = Fraction(0)
    for h, step in enumerate(measure):
        for s, mass in enumerate(step):
            row = rows[h][s]
            if row is not None:
                total += sum(mass, Fraction(0)) * total_variation(at(policy, h)[s], row)
    return total


# Classes of policies


@dataclass(frozen=True)
class Polytope:
    """Policies sigma = matrix @ x, flattened over (T, S, A), with x >= 0, equal @ x = right and lower <= rows @ sigma.

    Upper ends are lower ends of the negative row.
    """

    shape: tuple[int, int, int]
    matrix: Floats
    equal: Floats
    right: Floats
    rows: Floats
    lower: Floats

    def subject_to(self, coefficients: Floats, *, lower: float | None = None, upper: float | None = None) -> Polytope:
        extra = np.atleast_2d(coefficients.reshape(-1, self.matrix.shape[0]))
        rows, ends = [self.rows], [self.lower]
        for sign, end in ((1.0, lower), (-1.0, upper)):
            if end is not None:
                rows.append(sign * extra)
                ends.append(np.full(len(extra), sign * end))
        return replace(self, rows=np.vstack(rows), lower=np.concatenate(ends))

    def distance(self, policy: Policy) -> float:
        """L1 distance of a policy from the class."""
        target = flat(policy, self.shape)
        size, n = self.matrix.shape
        cost = np.concatenate((np.zeros(n), np.ones(2 * size)))
        link = np.hstack((self.matrix, np.eye(size), -np.eye(size)))
        equal = np.vstack((np.hstack((self.equal, np.zeros((len(self.equal), 2 * size)))), link))
        upper = np.hstack((-self.rows @ self.matrix, np.zeros((len(self.rows), 2 * size))))
        return solve_program(cost, upper, -self.lower, equal, np.concatenate((self.right, target)))[0]


def some_member(polytope: Polytope, seed: int) -> Floats:
    """A policy of the class, flattened: the mean of two of its vertices."""
    rng = np.random.default_rng(seed)
    upper, n = -polytope.rows @ polytope.matrix, polytope.matrix.shape[1]
    corners = [
        solve_program(np.asarray(rng.normal(size=n)), upper, -polytope.lower, polytope.equal, polytope.right)[1]
        for _ in range(2)
    ]
    return np.asarray(polytope.matrix @ (corners[0] + corners[1]) / 2)


def flat(policy: Policy, shape: tuple[int, int, int]) -> Floats:
    """Policy as one vector over (T, S, A), its last step repeated."""
    return np.array([at(policy, h) for h in range(shape[0])], dtype=float).ravel()


def legal_joint(game: ExactGame, state: int) -> list[bool]:
    return [all(b in game.legal[i][state] for i, b in enumerate(joint)) for joint in game.joint_actions]


def aggregated(game: ExactGame, labels: Sequence[Sequence[int]]) -> Polytope:
    """Policies that share a row among all (h, s) of one label; ``labels[h][s]``, as many steps as the policies have."""
    shape = (len(labels), len(game.initial), len(game.joint_actions))
    names = sorted({k for step in labels for k in step})
    matrix = np.zeros((*shape, len(names), shape[2]))
    barred = np.zeros((len(names), shape[2]), dtype=bool)
    for h, step in enumerate(labels):
        for s, label in enumerate(step):
            matrix[h, s, :, names.index(label), :] = np.eye(shape[2])
            barred[names.index(label)] |= ~np.array(legal_joint(game, s))
    columns = len(names) * shape[2]
    sums: Floats = np.repeat(np.eye(len(names)), shape[2], axis=1)
    zeros = np.eye(columns)[barred.ravel()]
    size = int(np.prod(shape))
    return Polytope(
        shape,
        matrix.reshape(size, columns),
        np.vstack((sums, zeros)),
        np.concatenate((np.ones(len(names)), np.zeros(len(zeros)))),
        np.zeros((0, size)),
        np.zeros(0),
    )


def tabular(game: ExactGame, stages: int) -> Polytope:
    n = len(game.initial)
    return aggregated(game, [[h * n + s for s in game.states] for h in range(stages)])


def stationary(game: ExactGame, stages: int) -> Polytope:
    return aggregated(game, [list(game.states) for _ in range(stages)])


def mixture(game: ExactGame, policies: Sequence[Policy], stages: int, *, per_step: bool) -> Polytope:
    """sigma_h(.|s) = sum_k w(k | s) policy_k,h(.|s); ``per_step``: the weights may differ from step to step."""
    shape = (stages, len(game.initial), len(game.joint_actions))
    groups = [[h * shape[1] * per_step + s for s in game.states] for h in range(stages)]
    count = max(max(row) for row in groups) + 1
    matrix = np.zeros((*shape, count, len(policies)))
    for h, s in product(range(stages), game.states):
        for k, policy in enumerate(policies):
            matrix[h, s, :, groups[h][s], k] = [float(p) for p in at(policy, h)[s]]
    size = int(np.prod(shape))
    return Polytope(
        shape,
        matrix.reshape(size, -1),
        np.repeat(np.eye(count), len(policies), axis=1),
        np.ones(count),
        np.zeros((0, size)),
        np.zeros(0),
    )


# Linear programs


def solve_program(
    cost: Floats, upper: Floats, ends: Floats, equal: Floats, right: Floats, free: int = 0
) -> tuple[float, Floats]:
    """Minimise cost x with upper x <= ends, equal x = right, x >= 0 but for the last ``free`` variables."""
    bounds: list[tuple[float | None, None]] = [(0, None)] * (len(cost) - free) + [(None, None)] * free
    found: Any = linprog(
        cost,
        A_ub=upper if len(upper) else None,
        b_ub=ends if len(upper) else None,
        A_eq=equal if len(equal) else None,
        b_eq=right if len(equal) else None,
        bounds=bounds,
        method="highs",
        options={"primal_feasibility_tolerance": 1e-9, "dual_feasibility_tolerance": 1e-9},
    )
    if found.status == 2:
        raise Infeasible
    assert found.status == 0, found.message
    return float(found.fun), np.asarray(found.x, dtype=float)


class Infeasible(Exception):
    """No point satisfies the rows."""


def cloning_optimum(measure: Sequence[Sequence[Row]], polytope: Polytope) -> float:
    """Least sum_h E_{d_E,h} TV(sigma_h(s), sigma_E,h(s)) over the class."""
    rows = known_rows(measure)
    weights = np.array([[[float(sum(row))] * polytope.shape[2] for row in step] for step in measure])
    target = np.array([[row or [Fraction(0)] * polytope.shape[2] for row in step] for step in rows], dtype=float)
    return _least(polytope, target.ravel(), weights.ravel()[None], np.zeros(1), 0.0)


def weighted_minimax(
    polytope: Polytope, known: Known, weights: Floats, costs: Floats | None = None, kappa: float = 0.0
) -> float:
    """Min over sigma of max over j of sum over (h, s) of weights[j, h, s] TV, or 1 where nothing is known.

    With ``costs`` the maximum is over mixtures of the j whose mean cost is at most ``kappa``.
    """
    shape = polytope.shape
    rows = [list(at(known, h)) for h in range(shape[0])]
    unknown = np.array([[row is None for row in step] for step in rows])
    target = np.array([[row or [Fraction(0)] * shape[2] for row in step] for step in rows], dtype=float).ravel()
    constant = weights[:, unknown].sum(axis=1)
    each = np.repeat(np.where(unknown, 0.0, weights)[..., None], shape[2], axis=-1).reshape(len(weights), -1)
    return _least(polytope, target, each, constant, kappa, costs)


def _least(
    polytope: Polytope, target: Floats, weights: Floats, constant: Floats, kappa: float, costs: Floats | None = None
) -> float:
    """Min of t + kappa l with t + costs l >= constant + weights @ p, p >= sigma - target, p >= 0, l >= 0.

    Both rows sum to one, so that TV is the sum over actions of the positive part of sigma - target.
    """
    size, n = polytope.matrix.shape
    count = len(weights)
    fare = np.zeros(count) if costs is None else costs
    # Columns: x (n), p (size), l, t (free).
    above = np.hstack((polytope.matrix, -np.eye(size), np.zeros((size, 2))))
    worst = np.hstack((np.zeros((count, n)), weights, -fare[:, None], -np.ones((count, 1))))
    linear = np.hstack((-polytope.rows @ polytope.matrix, np.zeros((len(polytope.rows), size + 2))))
    used = weights.any(axis=0)
    upper = np.vstack((above[used], worst, linear))
    ends = np.concatenate((target[used], -constant, -polytope.lower))
    equal = np.hstack((polytope.equal, np.zeros((len(polytope.equal), size + 2))))
    cost = np.concatenate((np.zeros(n + size), [0.0 if costs is None else kappa, 1.0]))
    return solve_program(cost, upper, ends, equal, polytope.right, free=1)[0]


def least_swap_value(payoffs: Floats, actions: Sequence[int]) -> float:
    """Min over sigma of max over agents of sum_a max_b sum_k sigma(a, k) r_i(b, k), payoffs (agent, joint action)."""
    joints = list(product(*map(range, actions)))
    told = [(i, a) for i, n in enumerate(actions) for a in range(n)]
    # Columns: sigma, one value for each agent and recommendation, t.
    width = len(joints) + len(told) + 1
    rows = []
    for column, (i, a) in enumerate(told):
        for b in range(actions[i]):
            row = np.zeros(width)
            for k, joint in enumerate(joints):
                if joint[i] == a:
                    row[k] = payoffs[i, joints.index((*joint[:i], b, *joint[i + 1 :]))]
            row[len(joints) + column] = -1.0
            rows.append(row)
    for i in range(len(actions)):
        row = np.array([0.0] * len(joints) + [float(j == i) for j, _ in told] + [-1.0])
        rows.append(row)
    cost = np.eye(width)[-1]
    ones = np.concatenate((np.ones(len(joints)), np.zeros(width - len(joints))))[None]
    return solve_program(cost, np.array(rows), np.zeros(len(rows)), ones, np.ones(1), free=width - len(joints))[0]


# Where deviations from a policy go: every member of a class


def deviation_visits(game: ExactGame, policy: Policy, maps: Maps) -> Floats:
    """The same in doubles, (count, H, S), discounted (count, 1, S)."""
    return np.array(exact_visits(game, policy, maps), dtype=float)


def exact_visits(game: ExactGame, policy: Policy, maps: Maps) -> list[list[Row]]:
    """d_h(s) of every phi∘sigma; discounted sum_t gamma^t Pr(s_t = s), in one row.

    With a horizon what a deviation plays where it never comes does not matter, and is not enumerated.
    """
    if game.horizon is None:
        phis = all_deviations(game, policy, maps)
        found = {tuple(map(tuple, visits(game, deviate(game, policy, i, phi)))) for i, phi in phis}
        return [[[x / (1 - game.discount) for x in row] for row in path] for path in sorted(found)]
    paths: set[tuple[tuple[Fraction, ...], ...]] = set()
    for i in game.agents:
        ahead: set[tuple[tuple[Fraction, ...], ...]] = {(tuple(game.initial),)}
        for h in range(game.horizon - 1):
            ahead = {(*path, d) for path in ahead for d in _following(game, policy, maps, i, h, path[-1])}
        paths |= ahead
    return [[list(row) for row in path] for path in sorted(paths)]


def _following(
    game: ExactGame, policy: Policy, maps: Maps, agent: int, step: int, here: Sequence[Fraction]
) -> set[tuple[Fraction, ...]]:
    """Distributions over states at the next step, one for each choice of stages where the agent can be."""
    found = {tuple(Fraction(0) for _ in game.states)}
    for s in game.states:
        if not here[s]:
            continue
        flows = set()
        for stage in maps(game, agent, step, s):
            flow = [Fraction(0) for _ in game.states]
            for joint, weight in enumerate(at(policy, step)[s]):
                if weight:
                    played = game.replaced(joint, agent, stage[game.joint_actions[joint][agent]])
                    for t, p in enumerate(at(game.transitions, step)[s][played]):
                        flow[t] += here[s] * weight * p
            flows.add(tuple(flow))
        found = {tuple(a + b for a, b in zip(x, y, strict=True)) for x in found for y in flows}
    return found


def mass(game: ExactGame) -> float:
    """Total of the occupancy over that of the sum of steps."""
    return 1.0 if game.horizon is not None else float(1 - game.discount)


def listed_visits(game: ExactGame, policy: Policy, phis: Iterable[tuple[int, Phi]]) -> Floats:
    return np.array([visits(game, deviate(game, policy, i, phi)) for i, phi in phis], dtype=float) / mass(game)


def limited_visits(game: ExactGame, policy: Policy, k: int, maps: Maps) -> Floats:
    """The same for at most k departures, by every choice of a stage for each (step, state, departures left)."""
    assert game.horizon is not None
    found = set()
    for i in game.agents:
        chooser = limited_game(game, policy, i, k, maps)
        idle = [Fraction(m == 0) for m in range(chooser.actions[0])]
        start: Policy = [[idle for _ in chooser.states]] * game.horizon
        for phi in deviations(chooser, 0, "external", game.horizon):
            nodes = visits(chooser, deviate(chooser, start, 0, phi))
            found.add(
                tuple(
                    tuple(sum(row[s * (k + 1) : (s + 1) * (k + 1)], Fraction(0)) for s in game.states) for row in nodes
                )
            )
    return np.array(sorted(found), dtype=float)


def budget_visits(game: ExactGame, policy: Policy, maps: Maps, agent: int) -> tuple[Floats, Floats]:
    """Visits of every deterministic deviation of an agent, and what each disobeys."""
    found = {
        (
            tuple(map(tuple, visits(game, deviate(game, policy, agent, phi)))),
            disobedience(game, policy, agent, phi),
        )
        for phi in class_deviations(game, agent, maps, steps_of(game, policy))
    }
    listed = sorted(found)
    return np.array([d for d, _ in listed], dtype=float) / mass(game), np.array([c for _, c in listed], dtype=float)


def budget_minimax(game: ExactGame, policy: Policy, polytope: Polytope, known: Known, kappa: float) -> float:
    """Min over sigma of max over agents and mixtures of deviations within the budget, by rows for the mixtures.

    The mixtures of two deviations that spend the budget, and the deviations that stay within it, are enough: the
    maximum of a linear function under one budget is at one of them.
    """
    rows = []
    for i in game.agents:
        weights, costs = budget_visits(game, policy, oracle_stages("swap"), i)
        rows += [d for d, c in zip(weights, costs, strict=True) if c <= kappa]
        for d, c in zip(weights, costs, strict=True):
            for e, f in zip(weights, costs, strict=True):
                if c < kappa < f:
                    part = (kappa - c) / (f - c)
                    rows.append((1 - part) * d + part * e)
    return weighted_minimax(polytope, known, np.array(rows))


# Inverse reinforcement learning


def flow_rows(game: ExactGame, stages: int) -> tuple[Floats, Floats]:
    """Equations of occupancies (T, S, A) flattened; illegal joint actions have none."""
    S, A = len(game.initial), len(game.joint_actions)
    rows = np.zeros((stages, S, stages, S, A))
    right = np.zeros((stages, S))
    factor = float(game.discount)
    right[0] = [float(p) * (1.0 if game.horizon is not None else 1.0 - factor) for p in game.initial]
    for h, t in product(range(stages), range(S)):
        rows[h, t, h, t] += 1.0
    for h, s, a in product(range(stages), range(S), range(A)):
        into = [h + 1] if h + 1 < stages else []
        if game.horizon is None and h + 1 == stages:
            into = [h]
        for later in into:
            kernel = at(game.transitions, h)[s][a]
            for t, p in enumerate(kernel):
                rows[later, t, h, s, a] -= factor * float(p)
    size = stages * S * A
    barred = ~np.array([legal_joint(game, s) for _ in range(stages) for s in game.states]).ravel()
    return (
        np.vstack((rows.reshape(stages * S, size), np.eye(size)[barred])),
        np.concatenate((right.ravel(), np.zeros(int(barred.sum())))),
    )


@dataclass(frozen=True)
class Measures:
    """Occupancies mu = matrix @ x with x >= 0, equal @ x = right, and rows @ mu <= ends."""

    matrix: Floats
    equal: Floats
    right: Floats
    rows: Floats
    ends: Floats

    def at_most(self, coefficients: Floats, end: float) -> Measures:
        extra = coefficients.reshape(1, -1)
        return replace(self, rows=np.vstack((self.rows, extra)), ends=np.append(self.ends, end))


def flow_measures(game: ExactGame, stages: int) -> Measures:
    equal, right = flow_rows(game, stages)
    size = equal.shape[1]
    return Measures(np.eye(size), equal, right, np.zeros((0, size)), np.zeros(0))


def mixed_measures(game: ExactGame, policies: Sequence[Policy], stages: int) -> Measures:
    """Convex hull of the occupancies of policies."""
    padded = [[at(policy, h) for h in range(stages)] for policy in policies]
    columns = np.array([stage_measure(game, policy) for policy in padded], dtype=float).reshape(len(policies), -1)
    ones = np.ones((1, len(policies)))
    return Measures(columns.T, ones, np.ones(1), np.zeros((0, columns.shape[1])), np.zeros(0))


def matching_optimum(measures: Measures, expert: Floats, features: Floats | None, norm: str) -> float:
    """Min over mu of max over f of <f, mu_E - mu>; without features f in the unit box."""
    size, n = measures.matrix.shape
    tests = np.eye(size) if features is None else features.reshape(len(features), -1)
    moments, aim = tests @ measures.matrix, tests @ expert.ravel()
    k = len(tests)
    together = features is None or norm == "linf"
    # Columns: x, slack (one for each row if they add up, else one), free.
    slacks = k if together else 1
    link = -np.eye(k) if together else -np.ones((k, 1))
    below = np.hstack((-moments, link))
    above = np.hstack((moments, link))
    linear = np.hstack((measures.rows @ measures.matrix, np.zeros((len(measures.rows), slacks))))
    upper = np.vstack((below, linear) if norm == "simplex" else (below, above, linear))
    ends = np.concatenate((-aim, measures.ends) if norm == "simplex" else (-aim, aim, measures.ends))
    equal = np.hstack((measures.equal, np.zeros((len(measures.equal), slacks))))
    cost = np.concatenate((np.zeros(n), np.ones(slacks)))
    return solve_program(cost, upper, ends, equal, measures.right, free=slacks)[0]


# Many losses at once, in doubles, and the least of them


@dataclass(frozen=True)
class Batch:
    """Losses of many policies of a game with a horizon, against what is known; class of ``kind`` for all agents."""

    game: ExactGame
    known: Known
    kind: str

    def losses(self, policies: Floats) -> Floats:
        """L of each of the policies (N, H, S, A)."""
        game = self.game
        assert game.horizon is not None
        kernels = [np.array(k, dtype=float) for k in game.transitions]
        worst = np.full(len(policies), -np.inf)
        for i in game.agents:
            V = np.zeros((len(policies), len(game.initial)))
            for h in reversed(range(game.horizon)):
                sigma = policies[:, h]
                following = np.einsum("sat,nt->nsa", at(kernels, h), V)
                V = self._charge(sigma, h) + self._backup(sigma, following, i)
            worst = np.maximum(worst, V @ np.array(game.initial, dtype=float))
        return worst

    def _charge(self, sigma: Floats, step: int) -> Floats:
        charge = np.ones(sigma.shape[:2])
        for s, row in enumerate(at(self.known, step)):
            if row is not None:
                charge[:, s] = np.abs(sigma[:, s] - np.array(row, dtype=float)).sum(axis=1) / 2
        return charge

    def _backup(self, sigma: Floats, following: Floats, agent: int) -> Floats:
        """Best expectation of what follows: told a, the agent plays b, and C(a, b) = sum_k sigma(a, k) Q(b, k)."""
        game = self.game
        C = np.zeros((*sigma.shape[:2], game.actions[agent], game.actions[agent]))
        for joint, parts in enumerate(game.joint_actions):
            for b in range(game.actions[agent]):
                C[:, :, parts[agent], b] += sigma[:, :, joint] * following[:, :, game.replaced(joint, agent, b)]
        found = np.zeros(sigma.shape[:2])
        for s in game.states:
            legal = game.legal[agent][s]
            here = C[:, s][:, legal][:, :, legal]
            told, over = here.max(axis=2).sum(axis=1), here.sum(axis=1).max(axis=1)
            obeyed = np.trace(here, axis1=1, axis2=2)
            found[:, s] = {"swap": told, "external": over, "coarse": np.maximum(obeyed, over)}[self.kind]
        return found


def simplex_grid(size: int, parts: int) -> Floats:
    """All distributions over ``size`` things in multiples of 1 / parts."""
    points = [p for p in product(range(parts + 1), repeat=size - 1) if sum(p) <= parts]
    return np.array([[*p, parts - sum(p)] for p in points], dtype=float) / parts


def least_loss(batch: Batch, polytope: Polytope, groups: int, *, parts: int = 12, keep: int = 24) -> float:
    """Least loss over a class of ``groups`` simplices of equal size: a grid, then finer steps from its best points.

    An upper bound of the minimum, close to it where the grid is fine for the number of dimensions.
    """
    size = polytope.matrix.shape[1] // groups
    barred = {int(np.flatnonzero(row)[0]) for row, end in zip(polytope.equal, polytope.right, strict=True) if end == 0}
    rows = simplex_grid(size, parts)

    def values(points: Floats) -> Floats:
        return batch.losses((points @ polytope.matrix.T).reshape(-1, *polytope.shape))

    def allowed(group: int) -> Floats:
        closed = [k for k in range(size) if group * size + k in barred]
        return np.array([row for row in rows if not row[closed].any()])

    grid = np.array([np.concatenate(p) for p in product(*(allowed(g) for g in range(groups)))])
    found = values(grid)
    order = np.argsort(found)[:keep]
    points, best = grid[order], found[order]
    moves = [
        (g * size + a, g * size + b)
        for g, a, b in product(range(groups), range(size), range(size))
        if a != b and g * size + b not in barred
    ]
    pairs = [(m,) for m in moves] + [(m, n) for m in moves for n in moves if m < n]
    step = 1.0 / parts
    while step > 1e-6:
        tried = np.repeat(points[:, None], len(pairs), axis=1)
        for j, chosen in enumerate(pairs):
            for source, aim in chosen:
                amount = np.minimum(step, tried[:, j, source])
                tried[:, j, source] -= amount
                tried[:, j, aim] += amount
        outcome = values(tried.reshape(-1, points.shape[1])).reshape(len(points), -1)
        choice = outcome.argmin(axis=1)
        lower = outcome[np.arange(len(points)), choice]
        moved = lower < best - 1e-12
        points = np.where(moved[:, None], tried[np.arange(len(points)), choice], points)
        best = np.where(moved, lower, best)
        if not moved.any():
            step /= 2
    return float(best.min())


# The chain games, as plain numbers


def chain_game(horizon: int, coverage: Fraction, reward: Fraction = Fraction(1)) -> ExactGame:
    """s_0 to s_2 on (0, 0), else to s_1, then s_j to s_{j+2}; s_{2H-1} starts with probability ``coverage``."""
    size = 2 * horizon
    joints = list(product(range(2), repeat=2))

    def following(s: int, joint: tuple[int, ...]) -> int:
        if horizon == 1 or s in (size - 2, size - 3):
            return s
        if s == 0:
            return 2 if joint == (0, 0) else 1
        return 1 if s == size - 1 else s + 2

    moves = [[[Fraction(following(s, a) == t) for t in range(size)] for a in joints] for s in range(size)]
    pays = [[reward * (s % 2 == 1 and a == (0, 0)) for a in joints] for s in range(size)]
    initial = [Fraction(0)] * size
    initial[0] += 1 - coverage
    initial[-1] += coverage
    legal = [[[0, 1] for _ in range(size)] for _ in range(2)]
    return ExactGame((2, 2), [moves], [[pays, pays]], initial, legal, horizon, Fraction(1))


def agreeing(chances: Sequence[Number]) -> Policy:
    """Stationary policy that plays (0, 0) in each state with the given probability, else (1, 1)."""
    return [[[Fraction(p), Fraction(0), Fraction(0), 1 - Fraction(p)] for p in chances]]


def chain_labels(horizon: int) -> list[int]:
    return [(s + 1) // 2 for s in range(2 * horizon)]
