"""Exact solutions: against brute force over all vertices, where doubles mislead, and proofs that hold as written."""

from __future__ import annotations

import itertools
import math
import random
import sys
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from mailopt_solvers import (
    Block,
    ExactProgram,
    ExactSolution,
    Highs,
    Infeasible,
    InvalidOption,
    InvalidProgram,
    LinearProgram,
    SolverFailed,
    SolverNotInstalled,
    Termination,
    TimeLimit,
    Unbounded,
    UnknownBlock,
    solve,
    solve_exact,
)
from mailopt_solvers.basis import Basis
from mailopt_solvers.exact import kernel, proofs
from mailopt_solvers.exact import solve as exact
from mailopt_solvers.exact.pivots import pivoted
from mailopt_solvers.exact.refinement import Pair, Refinement

F = Fraction
INF = math.inf
Row = list[Fraction]


def dense(program: ExactProgram) -> list[Row]:
    """The matrix as nested lists."""
    table = [[F(0)] * program.num_variables for _ in range(program.num_rows)]
    for i, j, value in program.matrix.entries():
        table[i][j] = value
    return table


def times(row: Iterable[Fraction], x: Iterable[Fraction]) -> Fraction:
    return sum((a * b for a, b in zip(row, x, strict=True)), F(0))


def within(value: Fraction, low: Fraction | None, high: Fraction | None) -> bool:
    return (low is None or low <= value) and (high is None or value <= high)


def is_feasible(program: ExactProgram, x: Sequence[Fraction]) -> bool:
    return all(map(within, x, program.lower, program.upper)) and all(
        map(within, (times(row, x) for row in dense(program)), program.row_lower, program.row_upper)
    )


def check(solution: ExactSolution) -> None:
    """Check everything that a solution claims, in plain arithmetic."""
    program = solution.program
    table = dense(program)
    columns = [[row[j] for row in table] for j in range(program.num_variables)]
    sign = 1 if program.sense == "min" else -1
    if solution.termination is Termination.OPTIMAL:
        y = solution.row_duals
        assert is_feasible(program, solution.x)
        assert all(type(v) is Fraction for v in (*solution.x, *y, *solution.reduced_costs, solution.objective))
        assert list(solution.reduced_costs) == [
            c - times(column, y) for c, column in zip(program.costs, columns, strict=True)
        ]
        dual = program.offset
        for price, low, high in zip(
            (*y, *solution.reduced_costs),
            (*program.row_lower, *program.lower),
            (*program.row_upper, *program.upper),
            strict=True,
        ):
            bound = low if price * sign > 0 else high
            assert price == 0 or bound is not None
            dual += price * (bound or 0)
        assert dual == solution.objective == times(program.costs, solution.x) + program.offset
        assert solution.require_optimal() is solution
    elif solution.termination is Termination.INFEASIBLE:
        ray = solution.dual_ray
        assert ray is not None
        needed = F(0)
        for price, low, high in zip(ray, program.row_lower, program.row_upper, strict=True):
            side = low if price > 0 else high
            assert price == 0 or side is not None
            needed += price * (side or 0)
        for column, low, high in zip(columns, program.lower, program.upper, strict=True):
            pull = times(column, ray)
            reach = high if pull > 0 else low
            assert pull == 0 or reach is not None
            needed -= pull * (reach or 0)
        assert needed > 0
        with pytest.raises(Infeasible):
            solution.require_optimal()
    else:
        assert solution.termination is Termination.UNBOUNDED
        direction = solution.primal_ray
        assert direction is not None
        assert is_feasible(program, solution.x)
        assert times(program.costs, direction) * sign < 0
        moves = [*direction, *(times(row, direction) for row in table)]
        for move, low, high in zip(
            moves, (*program.lower, *program.row_lower), (*program.upper, *program.row_upper), strict=True
        ):
            assert move == 0 or (low if move < 0 else high) is None
        with pytest.raises(Unbounded):
            solution.objective  # noqa: B018


def solved(program: ExactProgram | LinearProgram) -> ExactSolution:
    solution = solve_exact(program)
    check(solution)
    return solution


def linear_solve(table: Sequence[Row], right: Sequence[Fraction]) -> Row | None:
    """Gauss and Jordan; None if singular."""
    rows = [[*row, b] for row, b in zip(table, right, strict=True)]
    for k in range(len(rows)):
        pivot = next((i for i in range(k, len(rows)) if rows[i][k]), None)
        if pivot is None:
            return None
        rows[k], rows[pivot] = rows[pivot], rows[k]
        rows[k] = [a / rows[k][k] for a in rows[k]]
        for i, row in enumerate(rows):
            if i != k and row[k]:
                rows[i] = [a - row[k] * b for a, b in zip(row, rows[k], strict=True)]
    return [row[-1] for row in rows]


def best_vertex(program: ExactProgram, size: int) -> Fraction | None:
    """Optimum over all vertices of the program within -size <= x <= size, or None without any."""
    n = program.num_variables
    planes: list[tuple[Row, Fraction]] = []
    for j in range(n):
        unit = [F(int(k == j)) for k in range(n)]
        low, high = program.lower[j], program.upper[j]
        planes += [(unit, b) for b in {F(-size) if low is None else low, F(size) if high is None else high}]
    for row, low, high in zip(dense(program), program.row_lower, program.row_upper, strict=True):
        planes += [(row, b) for b in {low, high} if b is not None]
    best: Fraction | None = None
    better: Callable[[Fraction, Fraction], Fraction] = min if program.sense == "min" else max
    for chosen in itertools.combinations(planes, n):
        x = linear_solve([row for row, _ in chosen], [b for _, b in chosen])
        if x is None or max(map(abs, x)) > size or not is_feasible(program, x):
            continue
        value = times(program.costs, x) + program.offset
        best = value if best is None else better(best, value)
    return best


def random_program(rng: random.Random, n: int, m: int, number: Callable[[], Fraction]) -> ExactProgram:
    """Rows and bounds of all kinds around a point, which may miss them by a bit."""
    x = [number() for _ in range(n)]
    table = [[number() for _ in range(n)] for _ in range(m)]
    shift = rng.choice([0, 0, 1])

    def bounds(at: Fraction) -> tuple[Fraction | None, Fraction | None]:
        kind = rng.randrange(6)
        below, above = at - abs(number()) * rng.randrange(2), at + abs(number()) * rng.randrange(2)
        return [(None, None), (below, None), (None, above), (at, at), (below, above), (below, None)][kind]

    box = [bounds(v) for v in x]
    sides = [bounds(times(row, x) + shift * number()) for row in table]
    return ExactProgram(
        [number() for _ in range(n)],
        table,
        [low for low, _ in sides],
        [high for _, high in sides],
        [low for low, _ in box],
        [high for _, high in box],
        rng.choice(["min", "max"]),
        number(),
    )


@pytest.mark.parametrize("seed", range(60))
def test_brute_force(seed: int) -> None:
    """Small integers make ties and redundant rows likely; thirds are no doubles."""
    rng = random.Random(seed)
    wide = seed % 2
    program = random_program(
        rng,
        rng.randint(1, 3),
        rng.randint(0, 3),
        lambda: F(rng.randint(-2, 2), rng.randint(1, 3) if wide else 1),
    )
    solution = solved(program)
    near, far = best_vertex(program, 10**6), best_vertex(program, 2 * 10**6)
    if near is None:
        assert solution.termination is Termination.INFEASIBLE
    elif near != far:
        assert solution.termination is Termination.UNBOUNDED
    else:
        assert solution.objective == near


def test_brute_force_sees_every_outcome() -> None:
    """The random programs above are of all kinds, so that the comparison means something."""
    seen = set()
    for seed in range(60):
        rng = random.Random(seed)
        size = rng.randint(1, 3), rng.randint(0, 3)
        wide = seed % 2
        number = lambda: F(rng.randint(-2, 2), rng.randint(1, 3) if wide else 1)  # noqa: B023, E731
        seen.add(solve_exact(random_program(rng, *size, number)).termination)
    assert seen == {Termination.OPTIMAL, Termination.INFEASIBLE, Termination.UNBOUNDED}


@pytest.mark.parametrize("digits", [10, 13, 20, 30])
def test_differences_that_doubles_do_not_see(digits: int) -> None:
    """Matrices, bounds and costs that differ in late digits: the tests check the proofs, whatever the outcome."""
    rng = random.Random(digits)
    hows = set()
    for _ in range(40):
        program = random_program(
            rng,
            rng.randint(1, 6),
            rng.randint(1, 6),
            lambda: F(rng.randint(-2, 2)) + F(rng.randint(-2, 2), 10**digits),
        )
        hows.add(solved(program).how)
    assert len(hows) > 2  # more than first bases


@pytest.mark.parametrize("stage", ["refinement", "pivots"])
def test_each_remedy_alone(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dense ties broken by 1e-20: the first basis is wrong, and each of the remedies finds the right one."""
    rng = random.Random(5)
    n, m, tiny = 12, 16, 10**20

    def noise() -> Fraction:
        return F(rng.randint(-3, 3), tiny)

    program = ExactProgram(
        [1 + noise() for _ in range(n)],
        [*(rng.sample([1, -1] * 4 + [0] * 4, n) for _ in range(m)), [1] * n],  # 0 where x is uniform
        [*(-abs(noise()) for _ in range(m)), 1],
        [*(None for _ in range(m)), 1],
        [0] * n,
        [None] * n,
        "max",
    )
    expected = solved(program)
    assert expected.how != "first basis"
    if stage == "refinement":
        monkeypatch.setattr(exact, "pivoted", lambda *_: None)
    else:
        monkeypatch.setattr(exact._Search, "_refined", lambda *_: None)
    found = solved(program)
    assert stage in found.how
    assert found.objective == expected.objective


@pytest.mark.parametrize("sense", ["min", "max"])
@pytest.mark.parametrize("zoom", [(0, 0), (9, 3), (2, 11)])
def test_corrected_program(sense: Any, zoom: tuple[int, int]) -> None:
    """Around any pair at all, the solution of the corrected program leads to the optimum of the program."""
    rng = random.Random(3)
    n, m = 7, 5
    units = [F(2) ** rng.randint(-20, 20) for _ in range(n)]
    program = ExactProgram(
        [rng.randint(-9, 9) * u for u in units],
        [[F(rng.randint(-9, 9)) * u / 2 ** (3 * i) for u in units] for i in range(m)],
        [F(-rng.randint(0, 9), 2 ** (3 * i)) for i in range(m)],
        [*(F(rng.randint(1, 9), 2 ** (3 * i)) for i in range(m - 1)), None],
        [*(-rng.randint(0, 5) / u for u in units)],
        [*(rng.randint(1, 5) / u for u in units)],
        sense,
    )
    expected = solved(program)
    scaled = Refinement(program)
    pair = Pair.of(
        program,
        [F(rng.randint(-9, 9)) / u for u in units],
        [F(rng.randint(-9, 9), 7) * 2 ** (3 * i) for i in range(m)],
    )
    assert scaled.violations(pair) != (None, None)
    corrected = scaled.corrected(pair, zoom)
    assert np.abs(corrected.matrix.data[corrected.matrix.data != 0]).min() > 2**-5
    assert np.abs(corrected.matrix.data).max() < 2**5
    answer = solve(corrected, Highs("simplex", presolve="off")).require_optimal()
    assert answer.basis is not None
    basis = scaled.restricted(answer.basis)
    better = scaled.moved(pair, zoom, answer.x, answer.row_duals, basis)
    assert [float(a * u) for a, u in zip(better.x, units, strict=True)] == pytest.approx(
        [float(a * u) for a, u in zip(expected.x, units, strict=True)], abs=1e-6
    )
    assert [float(b / 2 ** (3 * i)) for i, b in enumerate(better.y)] == pytest.approx(
        [float(b / 2 ** (3 * i)) for i, b in enumerate(expected.row_duals)], abs=1e-6
    )
    assert scaled.distance(better) < -20
    best = Pair.of(program, list(expected.x), list(expected.row_duals))
    assert scaled.violations(best) == (None, None)
    assert scaled.zoom(best, zoom, stalled=False) == zoom
    assert min(scaled.zoom(best, zoom, stalled=True)) > max(zoom)
    assert expected.basis is not None
    extended = scaled.extended(expected.basis)
    extended.require_fit(corrected)
    again = scaled.restricted(extended)
    assert (again.variables == expected.basis.variables).all()
    assert (again.rows == expected.basis.rows).all()


def test_pivots_from_the_slack_basis() -> None:
    """Exact simplex alone, far from the optimum, on programs that have one."""
    rng = random.Random(11)
    count = 0
    while count < 25:
        program = random_program(rng, rng.randint(1, 5), rng.randint(1, 5), lambda: F(rng.randint(-3, 3)))
        solution = solve_exact(program)
        if solution.termination is not Termination.OPTIMAL:
            continue
        count += 1
        slack = Basis(np.zeros(program.num_variables, dtype=int), np.ones(program.num_rows, dtype=int))
        basis = pivoted(program, slack, kernel.Clock(None), 1000)
        assert basis is not None
        x, y = kernel.basic_solution(program, basis, kernel.Clock(None))
        assert proofs.why_not_optimal(program, x, y) is None
        assert program.objective(x) == solution.objective
    assert pivoted(program, slack, kernel.Clock(None), 0) is None


def between(low: Any, high: Any, *, as_rows: bool) -> ExactProgram:
    """Maximise x over low <= x <= high, each a row of its own."""
    if as_rows:
        return ExactProgram([1], [[1], [1]], [low, None], [None, high], [None], [None], "max")
    return ExactProgram([1], [[1]], [low], [None], [None], [high], "max")


@pytest.mark.parametrize("as_rows", [False, True])
def test_feasible_by_nothing(as_rows: bool) -> None:
    third, hair = F(1, 3), F(1, 10**30)
    assert solved(between("1/3", "1/3", as_rows=as_rows)).objective == third
    assert solved(between(third, third + hair, as_rows=as_rows)).objective == third + hair
    assert solved(between(third + hair, third, as_rows=as_rows)).termination is Termination.INFEASIBLE
    # three tenths of a double are no three tenths
    assert solved(between(F(3, 10), 0.1 * 3, as_rows=as_rows)).objective == F(0.1 * 3)
    assert solved(between(0.1 * 3, F(3, 10), as_rows=as_rows)).termination is Termination.INFEASIBLE


def test_feasible_although_doubles_say_no() -> None:
    """x + y = 1, x + (1 + e) y = 1 + e / 2: one point, which a matrix of doubles does not have."""
    e = F(1, 10**25)
    program = ExactProgram([1, 0], [[1, 1], [1, 1 + e]], [1, 1 + e / 2], [1, 1 + e / 2], [0, 0], [None, None])
    assert solved(program).x == (F(1, 2), F(1, 2))
    apart = ExactProgram([1, 0], [[1, 1], [1, 1]], [1, 1 + e], [1, 1 + e], [0, 0], [None, None])
    assert solved(apart).termination is Termination.INFEASIBLE


def test_unbounded_by_nothing() -> None:
    """Maximise x - y with x <= (1 + e) y: bounded for e <= 0 only."""
    for e, termination in ((F(1, 10**25), Termination.UNBOUNDED), (-F(1, 10**25), Termination.OPTIMAL)):
        program = ExactProgram([1, -1], [[1, -1 - e]], [None], [0], [0, 0], [None, None], "max")
        assert solved(program).termination is termination


@pytest.mark.parametrize("digits", [9, 10, 12, 16, 25])
def test_tiny_payoff_differences(digits: int) -> None:
    """The best of three actions is the best by 1e-digits."""
    tiny = F(1, 10**digits)
    program = ExactProgram([1, 1 + tiny, 1 - tiny], [[1, 1, 1]], [1], [1], [0] * 3, [None] * 3, "max")
    solution = solved(program)
    assert solution.objective == 1 + tiny
    assert list(solution["x"]) == [0, 1, 0]


@pytest.mark.parametrize("seed", range(4))
def test_badly_scaled(seed: int) -> None:
    """Entries from 1e-8 to 1e8: the optimum is that of the same program in better units."""
    rng = random.Random(seed)
    n, m = 8, 6
    table = [[F(rng.randint(1, 9)) for _ in range(n)] for _ in range(m)]
    costs = [F(rng.randint(1, 9)) for _ in range(n)]
    rows, columns = ([F(10) ** rng.randint(-4, 4) for _ in range(k)] for k in (m, n))

    def scaled(by_row: Sequence[Fraction], by_column: Sequence[Fraction]) -> ExactProgram:
        return ExactProgram(
            [c * s for c, s in zip(costs, by_column, strict=True)],
            [[r * a * s for a, s in zip(row, by_column, strict=True)] for r, row in zip(by_row, table, strict=True)],
            [None] * m,
            by_row,
            [0] * n,
            [None] * n,
            "max",
        )

    plain, wild = solved(scaled([F(1)] * m, [F(1)] * n)), solved(scaled(rows, columns))
    assert wild.objective == plain.objective


def correlated_equilibrium(payoffs: Sequence[Sequence[Sequence[int]]]) -> ExactProgram:
    """Welfare-maximal correlated equilibrium of a two-player game: incentive rows and probabilities."""
    k = len(payoffs[0])
    coefficients: dict[tuple[int, int], int] = {}
    count = 0
    for told, instead in itertools.permutations(range(k), 2):
        for other in range(k):
            coefficients[count, told * k + other] = payoffs[0][told][other] - payoffs[0][instead][other]
            coefficients[count + 1, other * k + told] = payoffs[1][other][told] - payoffs[1][other][instead]
        count += 2
    coefficients |= {(count, j): 1 for j in range(k * k)}
    return ExactProgram(
        [payoffs[0][a][b] + payoffs[1][a][b] for a in range(k) for b in range(k)],
        coefficients,
        [0] * count + [1],
        [None] * count + [1],
        [0] * (k * k),
        [None] * (k * k),
        "max",
        variables={"sigma": Block("sigma", 0, (k, k))},
        rows={"incentives": Block("incentives", 0, (count,)), "total": Block("total", count, ())},
    )


@pytest.mark.parametrize("seed", range(5))
def test_correlated_equilibrium(seed: int) -> None:
    rng = random.Random(seed)
    game = [[[rng.randint(0, 20) for _ in range(5)] for _ in range(5)] for _ in range(2)]
    solution = solved(correlated_equilibrium(game))
    sigma = solution["sigma"]
    assert sigma.shape == (5, 5)
    assert sigma.dtype == object
    assert sigma.sum() == 1
    for a, b in itertools.permutations(range(5), 2):
        assert sum((sigma[a, c] * (game[0][a][c] - game[0][b][c]) for c in range(5)), F(0)) >= 0
        assert sum((sigma[c, a] * (game[1][c][a] - game[1][c][b]) for c in range(5)), F(0)) >= 0
    assert solution.duals("total").shape == ()
    assert solution.duals("total")[()] == solution.objective  # the value of one unit of probability
    assert solution.reduced("sigma").shape == (5, 5)
    doubles = solve(solution.program.rounded())
    assert doubles.objective == pytest.approx(float(solution.objective), abs=1e-7)


def test_chicken() -> None:
    """Aumann's game of chicken: the best correlated equilibrium has welfare 21/2 with probabilities 1/2, 1/4, 1/4."""
    solution = solved(correlated_equilibrium([[[6, 2], [7, 0]], [[6, 7], [2, 0]]]))
    assert solution.objective == F(21, 2)
    assert solution["sigma"].tolist() == [[F(1, 2), F(1, 4)], [F(1, 4), F(0)]]


def test_flow() -> None:
    """Occupancies of 100 states over 20 stages: 2000 rows, whose exact value backward induction also finds."""
    rng = np.random.default_rng(0)
    states, stages, actions = 100, 20, 3
    rewards = rng.integers(0, 10, (stages, states, actions))
    ways = rng.integers(0, states, (stages, states, actions, 3))  # each with probability 1/3
    n = rewards.size
    coefficients: dict[tuple[int, int], Fraction] = {}
    for j, (h, s, a) in enumerate(np.ndindex(rewards.shape)):
        coefficients[h * states + s, j] = F(1)
        for t in ways[h, s, a] if h + 1 < stages else ():
            position = (h + 1) * states + int(t), j
            coefficients[position] = coefficients.get(position, F(0)) - F(1, 3)
    inflow = [F(1, states)] * states + [F(0)] * (states * (stages - 1))
    solution = solved_fast(
        ExactProgram(rewards.ravel(), coefficients, inflow, inflow, [0] * n, [None] * n, sense="max")
    )
    values: list[Any] = [F(0)] * states
    for h in reversed(range(stages)):
        values = [
            max(
                int(rewards[h, s, a]) + (sum((values[t] for t in ways[h, s, a]), F(0)) / 3 if h + 1 < stages else 0)
                for a in range(actions)
            )
            for s in range(states)
        ]
    assert solution.objective == sum(values, F(0)) / states


def solved_fast(program: ExactProgram) -> ExactSolution:
    """Solve a program that is too large for the dense check; the package's own proof is the check."""
    solution = solve_exact(program)
    assert proofs.why_not_optimal(program, solution.x, solution.row_duals) is None
    return solution


@pytest.mark.parametrize("seed", range(4))
def test_kernel_in_any_order(seed: int) -> None:
    """Blocks of 1, 3 and 4 equations that need each other in one direction, shuffled: as by elimination."""
    rng = random.Random(seed)
    sizes = [1, 3, 1, 4, 1, 1, 3]
    size = sum(sizes)
    label = [k for k, s in enumerate(sizes) for _ in range(s)]
    table = [
        [
            F(rng.randint(1, 9), rng.randint(1, 9)) if label[i] == label[j] or (label[i] > label[j] and i % 2) else F(0)
            for j in range(size)
        ]
        for i in range(size)
    ]
    rng.shuffle(table)
    order = rng.sample(range(size), size)
    table = [[row[j] for j in order] for row in table]
    right = [F(rng.randint(-9, 9)) for _ in range(size)]
    costs = [F(rng.randint(-9, 9)) for _ in range(size)]
    program = ExactProgram(costs, table, right, right, [None] * size, [None] * size)
    basis = Basis(np.ones(size, dtype=int), np.zeros(size, dtype=int))
    blocks = kernel.Kernel(program, basis, kernel.Clock(None))._blocks
    assert sorted(len(rows) for rows, _ in blocks) == sorted(sizes)
    x, y = kernel.basic_solution(program, basis, kernel.Clock(None))
    assert x == linear_solve(table, right)
    assert y == linear_solve([list(column) for column in zip(*table, strict=True)], costs)


def test_singular_bases() -> None:
    clock = kernel.Clock(None)
    for table in ([[1, 1], [1, 1]], [[1, 0], [1, 0]], [[0, 0], [0, 1]]):
        program = ExactProgram([1, 1], table, [0, 0], [0, 0], [0, 0], [1, 1])
        with pytest.raises(kernel.SingularBasis):
            kernel.basic_solution(program, Basis(np.ones(2, dtype=int), np.zeros(2, dtype=int)), clock)
    with pytest.raises(kernel.SingularBasis, match="1 basic variables for 2 tight rows"):
        kernel.basic_solution(program, Basis(np.array([1, 0]), np.zeros(2, dtype=int)), clock)


def test_proofs_fail_when_anything_is_off() -> None:
    """The proof of an optimum takes no other point and no other prices, however near."""
    program = ExactProgram([3, 2], [[1, 1], [1, 3]], [None, None], [4, 6], [0, 0], [None, None], "max", offset="1/7")
    solution = solved(program)
    assert solution.objective == F(85, 7)
    hair = F(1, 10**40)
    for part, k in itertools.product(range(2), range(2)):
        for way in (-hair, hair):
            pair = [list(solution.x), list(solution.row_duals)]
            pair[part][k] += way
            assert proofs.why_not_optimal(program, pair[0], pair[1]) is not None
    assert "do not fit" in str(proofs.why_not_optimal(program, solution.x[:1], solution.row_duals))
    assert proofs.why_not_farkas(program, [F(0), F(0)]) is not None
    assert proofs.why_not_direction(program, [F(0), F(0)]) is not None
    assert proofs.why_not_direction(program, [F(1), F(0)]) is not None


def test_long_numbers() -> None:
    """A denominator of more than 4300 digits, which Python does not print, neither stops the solver nor the repr."""
    big = 10**4999 + 7
    program = ExactProgram([1], [[1]], [None], [F(1, 3) + F(1, big)], [0], [None], "max")
    solution = solved(program)
    assert solution.objective == F(1, 3) + F(1, big)
    assert "about 0.333333" in repr(solution)
    chain = 250  # x_k+1 = x_k * a / b, with 53 bits a step
    rng = np.random.default_rng(1)
    steps = rng.random(chain) + 0.5
    matrix = sparse.csc_array(
        sparse.eye_array(chain + 1) - sparse.diags_array(steps, offsets=-1, shape=(chain + 1,) * 2)
    )
    sides = np.zeros(chain + 1)
    sides[0] = 1.0
    free = np.full(chain + 1, INF)
    last = np.zeros(chain + 1)
    last[-1] = 1.0
    long = solve_exact(LinearProgram(last, sparse.csc_array(matrix), sides, sides, -free, free))
    assert long.objective == math.prod((F(s) for s in steps.tolist()), start=F(1))
    assert long.objective.denominator.bit_length() > 10_000


@pytest.mark.parametrize("sense", ["min", "max"])
def test_without_rows_or_variables(sense: Any) -> None:
    box = solved(ExactProgram([2, -1, 0], [], [], [], [0, -1, None], [1, "1/2", None], sense, offset=5))
    assert box.objective == (F(9, 2) if sense == "min" else F(8))
    assert solved(ExactProgram([], [[]], [0], [1], [], [], sense, offset="1/3")).objective == F(1, 3)
    assert solved(ExactProgram([], [[]], [1], [1], [], [], sense)).termination is Termination.INFEASIBLE
    assert solved(ExactProgram([], [], [], [], [], [], sense)).objective == 0
    assert solved(ExactProgram([1], [], [], [], [None], [None], sense)).termination is Termination.UNBOUNDED


def test_doubles_are_what_they_are() -> None:
    program = LinearProgram(
        np.array([0.1, 0.2, 0.3, 0.4]),
        sparse.csc_array(np.array([[0.0, 1.0, -1.0, 0.0]])),
        np.array([-INF]),
        np.array([0.0]),
        np.zeros(4),
        np.ones(4),
        sense="max",
        offset=0.7,
        variables={"z": Block("z", 0, (2, 2))},
    )
    solution = solved(program)
    assert solution.objective == F(0.1) + F(0.2) + F(0.3) + F(0.4) + F(0.7) != F(17, 10)
    assert solution["z"].tolist() == [[1, 1], [1, 1]]
    back = ExactProgram.of(program).rounded()
    for name in ("costs", "row_lower", "row_upper", "lower", "upper"):
        np.testing.assert_array_equal(getattr(back, name), getattr(program, name))
    assert (back.matrix != program.matrix).nnz == 0
    assert (back.sense, back.offset, dict(back.variables)) == (program.sense, program.offset, dict(program.variables))


def test_forms_of_input_agree() -> None:
    table = [[1, 0.5], ["1/3", F(2)]]
    rest = ([None, -INF], [3, INF], [0, 0], [np.float64(INF), None])
    programs = [
        ExactProgram([1, np.int64(2)], matrix, *rest)
        for matrix in (
            table,
            np.array(table, dtype=object),
            {(0, 0): 1, (0, 1): "0.5", (1, 0): F(1, 3), (np.int64(1), 1): np.float32(2)},
        )
    ]
    assert all(dense(p) == [[1, F(1, 2)], [F(1, 3), 2]] for p in programs)
    assert programs[0].costs == (F(1), F(2))
    assert programs[0].row_lower == (None, None)
    assert programs[0].upper == (None, None)
    doubled = sparse.coo_array(([0.25, 0.25, 0.0], ([0, 0, 1], [1, 1, 0])), shape=(2, 2))
    assert dense(ExactProgram([0, 0], doubled, *rest)) == [[0, F(1, 2)], [0, 0]]
    assert len(ExactProgram([0, 0], doubled, *rest).matrix.values) == 1
    assert dense(ExactProgram([0, 0], sparse.csr_matrix(np.eye(2, dtype=int)), *rest)) == [[1, 0], [0, 1]]


def bad(**parts: Any) -> None:
    """A program of one row and two variables with something replaced."""
    given: dict[str, Any] = {
        "costs": [1, 1],
        "matrix": [[1, 1]],
        "row_lower": [0],
        "row_upper": [1],
        "lower": [0, 0],
        "upper": [1, 1],
        "variables": {"z": Block("z", 0, (1, 2))},
        "rows": {"r": Block("r", 0, (1,))},
    }
    ExactProgram(**(given | parts))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"costs": [1, "one"]}, r"cost of variable z\[0, 1\] is 'one'"),
        ({"costs": [1, math.nan]}, r"cost of variable z\[0, 1\] is nan"),
        ({"costs": [1, True]}, r"z\[0, 1\] is True"),
        ({"costs": [1, "1/0"]}, r"z\[0, 1\] is '1/0'"),
        ({"costs": np.ones((1, 2))}, r"costs has shape \(1, 2\)"),
        ({"costs": 3}, "costs is 3"),
        ({"matrix": [[1, INF]]}, r"coefficient of variable z\[0, 1\] in row r\[0\] is inf"),
        ({"matrix": {(0, 1): None}}, r"coefficient of variable z\[0, 1\] in row r\[0\] is None"),
        ({"matrix": {(0, 2): 1}}, r"entry at \(0, 2\)"),
        ({"matrix": {(0, -1): 1}}, r"entry at \(0, -1\)"),
        ({"matrix": {0: 1}}, "entry at 0"),
        ({"matrix": [[1, 1, 1]]}, r"matrix has shape \(1, 3\)"),
        ({"matrix": [[1, 1], [1]]}, "different lengths"),
        ({"matrix": np.ones((2, 2))}, r"matrix has shape \(2, 2\)"),
        ({"matrix": sparse.csc_array(np.ones((2, 1)))}, r"matrix has shape \(2, 1\)"),
        ({"matrix": sparse.csc_array(np.ones((1, 2)) * 1j)}, "real numbers"),
        ({"matrix": 1}, "matrix is 1"),
        ({"matrix": "11"}, "matrix is '11'"),
        ({"row_lower": [INF]}, r"lower bound of row r\[0\] is inf"),
        ({"row_upper": [-INF]}, r"upper bound of row r\[0\] is -inf"),
        ({"row_upper": ["x"]}, r"upper bound of row r\[0\] is 'x'"),
        ({"row_upper": [1, 1]}, "2 upper bounds for 1 rows"),
        ({"upper": [1]}, "1 upper bounds for 2 variables"),
        ({"lower": [0, F(4, 3)]}, r"variable z\[0, 1\] has lower bound 4/3 > upper bound 1"),
        ({"row_lower": ["1.0000000000000000000000001"]}, r"row r\[0\] has lower bound"),
        ({"sense": "up"}, "'min' or 'max'"),
        ({"offset": "much"}, "offset is 'much'"),
        ({"variables": {"z": Block("z", 0, (3,))}}, "cover 3 of 2"),
    ],
)
def test_input_errors(parts: dict[str, Any], message: str) -> None:
    bad()
    with pytest.raises(InvalidProgram, match=message):
        bad(**parts)


def test_frozen() -> None:
    program = ExactProgram([1], [[1]], [0], [1], [0], [1])
    with pytest.raises(AttributeError):
        program.costs = ()  # type: ignore[misc]
    solution = solve_exact(program)
    with pytest.raises(AttributeError):
        solution.how = ""  # type: ignore[misc]
    with pytest.raises(UnknownBlock, match="'y'"):
        solution["y"]
    with pytest.raises(UnknownBlock, match="'x'"):
        solution.duals("x")
    assert repr(solution) == "ExactSolution(optimal, objective 0, first basis)"


def test_calls_that_make_no_sense(monkeypatch: pytest.MonkeyPatch) -> None:
    program = ExactProgram([1], [[1]], [0], [1], [0], [1])
    with pytest.raises(InvalidProgram, match="give a LinearProgram"):
        solve_exact("program")  # type: ignore[arg-type]
    with pytest.raises(InvalidOption, match="time_limit"):
        solve_exact(program, time_limit=-1)
    with pytest.raises(InvalidProgram, match="no double holds"):
        solve_exact(ExactProgram([10**400], [[1]], [0], [1], [0], [1]))
    monkeypatch.setitem(sys.modules, "flint", None)
    with pytest.raises(SolverNotInstalled, match="pip install python-flint"):
        solve_exact(program)


def test_time_limit_wherever_it_strikes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is looked at several times, and whenever it says stop there is no solution."""
    program = ExactProgram([1, 1], [[2, 1], [1, 3]], [None, None], [1, 1], [0, 0], [None, None], "max")
    with pytest.raises(TimeLimit, match="0 s"):
        solve_exact(program, time_limit=0)
    looks = 0

    def look(_: kernel.Clock) -> None:
        nonlocal looks
        looks += 1
        if looks == stop:
            raise TimeLimit("over")

    monkeypatch.setattr(kernel.Clock, "check", look)
    stop = 0
    solve_exact(program, time_limit=60)
    total = looks
    assert total >= 4  # at the start, around the solver, and before blocks
    for stop in range(1, total + 1):  # noqa: B007 - read by look
        looks = 0
        with pytest.raises(TimeLimit):
            solve_exact(program, time_limit=60)


def test_no_way_out_says_what_was_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact._Search, "_attempt", lambda *_: None)
    monkeypatch.setattr(exact._Search, "_refined", lambda *_: None)
    with pytest.raises(SolverFailed, match="no exact optimum of ExactProgram"):
        solve_exact(ExactProgram([1], [[1]], [0], [1], [0], [1]))


def test_a_wrong_result_does_not_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a stage returns is proved again."""
    wrong = exact._Found([F(1)], [F(0)], None, "guess")
    monkeypatch.setattr(exact._Search, "from_doubles", lambda _: wrong)
    with pytest.raises(SolverFailed, match="fails its proof"):
        solve_exact(ExactProgram([1], [[1]], [0], [1], [0], [1]))
