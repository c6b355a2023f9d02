"""Slow, exact equilibria of tiny stages, to test the library against.

Plain Python on ``fractions.Fraction``, like ``tests.oracle``, and nothing from the library. A stage is one state at one
step: what each joint action is worth to each agent, and one row for each agent and each map from recommendations to
actions that the class admits, namely what the agent gains if that joint action is recommended. The regret of a
distribution is the largest row, without any variable that stands for a maximum. Linear programs over it are solved by
the simplex method on fractions, and vertices are found by trying every basis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import combinations, product

from tests.oracle import ExactGame, Policy, Row, dot, state_values
from tests.oracle_classes import Maps

ZERO, ONE = Fraction(0), Fraction(1)
Form = dict[int, Fraction]


class Impossible(Exception):
    """No point satisfies the constraints."""


# Linear programs


def maximise(objective: Row, rows: Sequence[Row], right: Sequence[Fraction]) -> tuple[Fraction, Row]:
    """Max objective·x over rows·x <= right and x >= 0: its value and a vertex that attains it.

    The textbook's dictionary, x_basic = right - rows·x_free, with a first phase and the least-index rule once ties
    make the largest coefficient stall.
    """
    n, m = len(objective), len(rows)
    free, basic = list(range(n)), list(range(n, n + m))
    table, values = [list(row) for row in rows], list(right)
    if min(values, default=ZERO) < 0:
        # Every row may be exceeded by the last variable, which is then made as small as it can be.
        helper = n + m
        free.append(helper)
        for row in table:
            row.append(-ONE)
        costs, total = [ZERO] * n + [-ONE], [ZERO]
        worst = min(range(m), key=lambda i: values[i])
        _pivot(table, values, costs, total, worst, n)
        free[n], basic[worst] = basic[worst], free[n]
        _improve(table, values, costs, total, free, basic)
        if total[0] < 0:
            raise Impossible
        if helper in basic:
            i = basic.index(helper)
            j = next(j for j in range(len(free)) if table[i][j])
            _pivot(table, values, costs, total, i, j)
            free[j], basic[i] = basic[i], free[j]
        gone = free.index(helper)
        free.pop(gone)
        for row in table:
            row.pop(gone)
    costs, total = [objective[k] if k < n else ZERO for k in free], [ZERO]
    for i, k in enumerate(basic):
        if k < n and objective[k]:
            total[0] += objective[k] * values[i]
            costs = [c - objective[k] * a for c, a in zip(costs, table[i], strict=True)]
    _improve(table, values, costs, total, free, basic)
    x = [ZERO] * (n + m)
    for k, v in zip(basic, values, strict=True):
        x[k] = v
    return total[0], x[:n]


def _improve(
    table: list[Row], values: Row, costs: Row, total: list[Fraction], free: list[int], basic: list[int]
) -> None:
    stalled = 0
    while entering := [j for j, c in enumerate(costs) if c > 0]:
        j = min(entering, key=lambda k: free[k]) if stalled > 10 else max(entering, key=lambda k: costs[k])
        ratios = [(values[i] / row[j], basic[i], i) for i, row in enumerate(table) if row[j] > 0]
        if not ratios:
            raise AssertionError("the program is unbounded")
        step, _, i = min(ratios)
        stalled = 0 if step else stalled + 1
        _pivot(table, values, costs, total, i, j)
        free[j], basic[i] = basic[i], free[j]


def _pivot(table: list[Row], values: Row, costs: Row, total: list[Fraction], i: int, j: int) -> None:
    """Exchange the basic variable of row i with the free one of column j."""
    pivot = table[i][j]
    row = [a / pivot for a in table[i]]
    row[j] = 1 / pivot
    value = values[i] / pivot
    for k, other in enumerate(table):
        if k != i and other[j]:
            factor = other[j]
            other[j] = ZERO
            table[k] = [a - factor * b if b else a for a, b in zip(other, row, strict=True)]
            values[k] -= factor * value
    table[i], values[i] = row, value
    factor = costs[j]
    costs[j] = ZERO
    costs[:] = [c - factor * b if b else c for c, b in zip(costs, row, strict=True)]
    total[0] += factor * value


@dataclass
class Program:
    """A linear program in nonnegative columns, written row by row."""

    columns: int
    rows: list[tuple[Form, Fraction]] = field(default_factory=list)

    def column(self) -> int:
        self.columns += 1
        return self.columns - 1

    def at_most(self, form: Form, bound: Fraction) -> None:
        self.rows.append((form, bound))

    def maximise(self, form: Form) -> tuple[Fraction, Row]:
        rows = [self._dense(row) for row, _ in self.rows]
        return maximise(self._dense(form), rows, [bound for _, bound in self.rows])

    def _dense(self, form: Form) -> Row:
        return [form.get(k, ZERO) for k in range(self.columns)]


# Stages


@dataclass(frozen=True)
class Stage:
    """Payoffs ``worth[i][a]``, which joint actions are legal, and the rows ``gains[i][map][a]`` of each agent."""

    worth: list[Row]
    legal: list[int]
    gains: list[list[Row]]

    @property
    def rows(self) -> list[Row]:
        return [row for rows in self.gains for row in rows]

    def regret(self, x: Row) -> Fraction:
        """Max over agents and maps of what the map gains; negative if obedience is no map and beats them all."""
        return max(dot(row, x) for row in self.rows)

    def agent_regret(self, x: Row, agent: int) -> Fraction:
        return max(dot(row, x) for row in self.gains[agent])

    def values(self, x: Row) -> Row:
        return [dot(row, x) for row in self.worth]

    def span(self, agent: int) -> Fraction:
        """Range of an agent's payoffs."""
        here = [self.worth[agent][a] for a in self.legal]
        return max(here) - min(here)

    @property
    def welfare(self) -> Row:
        return [sum(column, ZERO) for column in zip(*self.worth, strict=True)]


def stage_of(game: ExactGame, maps: Maps, worth: list[Row], step: int = 0, state: int = 0) -> Stage:
    """Stage with the given worth of joint actions."""
    joints = game.joint_actions
    legal = [k for k, a in enumerate(joints) if all(b in game.legal[i][state] for i, b in enumerate(a))]
    index = {a: k for k, a in enumerate(joints)}

    def row(agent: int, stage: dict[int, int]) -> Row:
        gains = [ZERO] * len(joints)
        for k in legal:
            played = list(joints[k])
            played[agent] = stage[played[agent]]
            gains[k] = worth[agent][index[tuple(played)]] - worth[agent][k]
        return gains

    return Stage(worth, legal, [[row(i, stage) for stage in maps(game, i, step, state)] for i in game.agents])


def one_shot(game: ExactGame, maps: Maps) -> Stage:
    """Stage of a normal-form game."""
    return stage_of(game, maps, [list(game.rewards[0][i][0]) for i in game.agents])


def stage_under(game: ExactGame, maps: Maps, policy: Policy, step: int, state: int) -> Stage:
    """Stage at (h, s) if the policy is obeyed from step h + 1 on."""
    return next(stage for h, s, stage in stages_under(game, maps, policy) if (h, s) == (step, state))


def stages_under(game: ExactGame, maps: Maps, policy: Policy) -> list[tuple[int, int, Stage]]:
    """Every (h, s) of a finite horizon with its stage, later steps obeying the policy."""
    assert game.horizon is not None
    zero = [ZERO for _ in game.states]
    ahead = [[*state_values(game, policy, i)[1:], zero] for i in game.agents]
    joints = range(len(game.joint_actions))
    found = []
    for h, s in product(range(game.horizon), game.states):
        legal = stage_of(game, maps, [[ZERO for _ in joints] for _ in game.agents], h, s).legal
        worth = [[game.q_value(h, i, s, a, ahead[i][h]) if a in legal else ZERO for a in joints] for i in game.agents]
        found.append((h, s, stage_of(game, maps, worth, h, s)))
    return found


def pure_equilibria(stage: Stage) -> list[int]:
    """Joint actions from which no agent gains by any map."""
    return [a for a in stage.legal if all(row[a] <= 0 for row in stage.rows)]


# Objectives: each adds its columns and rows and returns the form to maximise.


@dataclass(frozen=True)
class Linear:
    """Sum of weights(a) x(a)."""

    weights: Row

    def form(self, stage: Stage, program: Program) -> Form:
        return dict(enumerate(self.weights))

    def value(self, stage: Stage, x: Row) -> Fraction:
        return dot(self.weights, x)


@dataclass(frozen=True)
class Egalitarian:
    """Smallest value of an agent."""

    def form(self, stage: Stage, program: Program) -> Form:
        up, down = program.column(), program.column()
        for row in stage.worth:
            program.at_most({up: ONE, down: -ONE, **{a: -v for a, v in enumerate(row)}}, ZERO)
        return {up: ONE, down: -ONE}

    def value(self, stage: Stage, x: Row) -> Fraction:
        return min(stage.values(x))


@dataclass(frozen=True)
class MinusRegret:
    """Minus the regret."""

    def form(self, stage: Stage, program: Program) -> Form:
        up, down = program.column(), program.column()
        for row in stage.rows:
            program.at_most({up: ONE, down: -ONE, **dict(enumerate(row))}, ZERO)
        return {up: ONE, down: -ONE}

    def value(self, stage: Stage, x: Row) -> Fraction:
        return -stage.regret(x)


@dataclass(frozen=True)
class MinusDistance:
    """Minus the total variation distance to a target: the mass above it."""

    target: Row

    def form(self, stage: Stage, program: Program) -> Form:
        form = {}
        for a, p in enumerate(self.target):
            excess = program.column()
            program.at_most({a: ONE, excess: -ONE}, p)
            form[excess] = -ONE
        return form

    def value(self, stage: Stage, x: Row) -> Fraction:
        return -distance(self.target, x)


Objective = Linear | Egalitarian | MinusRegret | MinusDistance


def distance(x: Row, y: Row) -> Fraction:
    """Total variation distance."""
    return sum((abs(p - q) for p, q in zip(x, y, strict=True)), ZERO) / 2


def optimise(stage: Stage, objectives: Sequence[Objective], epsilon: Fraction = ZERO) -> tuple[Row, Row]:
    """Maximise each objective among the optima of those before it; their values, and an optimal distribution."""
    size = len(stage.welfare)
    program = Program(size)
    _restrict(program, stage, epsilon)
    values, x = [], list[Fraction]()
    for objective in objectives:
        form = objective.form(stage, program)
        best, x = program.maximise(form)
        program.at_most({k: -v for k, v in form.items()}, -best)
        values.append(best)
        assert objective.value(stage, x[:size]) == best
    assert stage.regret(x[:size]) <= epsilon
    assert sum(x[:size]) == 1
    return values, x[:size]


def best(stage: Stage, objective: Objective, epsilon: Fraction = ZERO) -> Fraction:
    """Optimum of one objective."""
    return optimise(stage, [objective], epsilon)[0][0]


def is_unique(stage: Stage, objectives: Sequence[Objective], epsilon: Fraction = ZERO) -> bool:
    """Whether there is only one optimal distribution: no coordinate can move in it."""
    x = optimise(stage, objectives, epsilon)[1]
    for a in stage.legal:
        for sign in (ONE, -ONE):
            coordinate = Linear([sign * (a == b) for b in range(len(x))])
            if optimise(stage, [*objectives, coordinate], epsilon)[0][-1] != sign * x[a]:
                return False
    return True


def least_regret(stage: Stage) -> Fraction:
    """Smallest regret of any distribution."""
    program = Program(len(stage.welfare))
    _restrict(program, stage, None)
    return -program.maximise(MinusRegret().form(stage, program))[0]


def _restrict(program: Program, stage: Stage, epsilon: Fraction | None) -> None:
    """Require a distribution over legal joint actions whose every row is at most epsilon."""
    everything = dict.fromkeys(range(program.columns), ONE)
    program.at_most(everything, ONE)
    program.at_most(dict.fromkeys(everything, -ONE), -ONE)
    program.at_most({a: ONE for a in everything if a not in stage.legal}, ZERO)
    if epsilon is not None:
        for row in stage.rows:
            if any(row) or epsilon < 0:
                program.at_most(dict(enumerate(row)), epsilon)


# Polytopes


def vertices(stage: Stage) -> set[tuple[Fraction, ...]]:
    """Every vertex of the polytope of equilibria: each choice of as many tight constraints as there are unknowns."""
    legal = stage.legal
    constraints = {tuple(Fraction(a == b) for b in legal) for a in legal}
    constraints |= {tuple(-row[b] for b in legal) for row in stage.rows if any(row)}
    found = set()
    for tight in combinations(sorted(constraints), len(legal) - 1):
        point = unique_solution([[ONE] * len(legal), *map(list, tight)], [ONE] + [ZERO] * (len(legal) - 1))
        if point is not None and all(dot(list(row), point) >= 0 for row in constraints):
            whole = dict(zip(legal, point, strict=True))
            found.add(tuple(whole.get(a, ZERO) for a in range(len(stage.welfare))))
    return found


def facets(stage: Stage, corners: set[tuple[Fraction, ...]]) -> int:
    """Number of facets: different sets of vertices on one constraint of one dimension less than the whole."""
    size = len(stage.welfare)
    constraints = [[Fraction(a == b) for b in range(size)] for a in stage.legal]
    constraints += [[-v for v in row] for row in stage.rows]
    whole = dimension(corners)
    faces = {frozenset(x for x in corners if dot(row, list(x)) == 0) for row in constraints}
    return sum(dimension(set(face)) == whole - 1 for face in faces if face)


def dimension(points: set[tuple[Fraction, ...]]) -> int:
    """Affine dimension."""
    first, *others = sorted(points)
    return rank([[p - q for p, q in zip(x, first, strict=True)] for x in others])


def rank(matrix: Sequence[Row]) -> int:
    rows, count = [list(row) for row in matrix], 0
    for j in range(len(rows[0]) if rows else 0):
        pivot = next((i for i in range(count, len(rows)) if rows[i][j]), None)
        if pivot is None:
            continue
        rows[count], rows[pivot] = rows[pivot], rows[count]
        for i in range(count + 1, len(rows)):
            if rows[i][j]:
                factor = rows[i][j] / rows[count][j]
                rows[i] = [a - factor * b for a, b in zip(rows[i], rows[count], strict=True)]
        count += 1
    return count


def unique_solution(matrix: Sequence[Row], right: Row) -> Row | None:
    """Solution of a square system, None if it is singular."""
    rows = [[*row, b] for row, b in zip(matrix, right, strict=True)]
    for k in range(len(rows)):
        pivot = next((j for j in range(k, len(rows)) if rows[j][k]), None)
        if pivot is None:
            return None
        rows[k], rows[pivot] = rows[pivot], rows[k]
        rows[k] = [x / rows[k][k] for x in rows[k]]
        for j in range(len(rows)):
            if j != k and rows[j][k]:
                factor = rows[j][k]
                rows[j] = [x - factor * y for x, y in zip(rows[j], rows[k], strict=True)]
    return [row[-1] for row in rows]


# Zero-sum games


def matrix_value(matrix: Sequence[Row]) -> Fraction:
    """Value of the matrix game to the row player, who maximises."""
    least = min(min(row) for row in matrix)
    # With payoffs of at least one: max sum(y) over matrix y <= 1 is one over the value.
    shifted = [[v - least + 1 for v in row] for row in matrix]
    total, _ = maximise([ONE] * len(shifted[0]), shifted, [ONE] * len(shifted))
    return 1 / total + least - 1


def shapley_backup(game: ExactGame, step: int, following: Row) -> Row:
    """Value to agent 0 of each state's matrix game r + discount * E[following]."""
    values = []
    for s in game.states:
        first, second = game.legal[0][s], game.legal[1][s]
        joint = {(a, b): game.joint_actions.index((a, b)) for a in first for b in second}
        values.append(matrix_value([[game.q_value(step, 0, s, joint[a, b], following) for b in second] for a in first]))
    return values
