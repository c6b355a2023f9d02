"""What the LP layer costs beside HiGHS itself and beside cvxpy, as ratios measured side by side in one run.

    python tests/benchmarks/lp_layer.py          # a few minutes; --quick for seconds, without the large programs

Every number is a median over repetitions in which the two sides take turns, so that a noisy machine hurts both.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import cvxpy as cp
import highspy
import numpy as np
from rich.table import Table
from scipy import sparse

import mailopt as mo
from mailopt_solvers import Highs, HighsSession, LinearProgram, ProgramBuilder, solve, solve_batch
from mailopt_solvers.backends.highs import HighsModel
from tests.benchmarks.turns import print_tables, side_by_side

# Assembly and hand-over of large programs


def dense_discounted(states: int) -> tuple[mo.MarkovGame, mo.CorrelatedPolicy]:
    """Two agents with three actions each, dense transitions."""
    rng = np.random.default_rng(0)
    transitions = rng.dirichlet(np.ones(states), size=(states, 9))
    rewards = rng.normal(size=(2, states, 9))
    game = mo.MarkovGame(transitions, rewards, np.full(states, 1 / states), (3, 3), discount=0.95)
    return game, mo.CorrelatedPolicy(rng.dirichlet(np.ones(9), size=states))


def sparse_finite(states: int, horizon: int) -> tuple[mo.MarkovGame, mo.CorrelatedPolicy]:
    """The same with five successors per state and joint action."""
    rng = np.random.default_rng(0)
    rows = np.repeat(np.arange(states * 9), 5)
    entries = (rng.dirichlet(np.ones(5), size=states * 9).ravel(), (rows, rng.integers(states, size=rows.size)))
    transitions = sparse.csr_array(entries, shape=(states * 9, states))
    rewards = rng.normal(size=(2, states, 9))
    game = mo.MarkovGame(transitions, rewards, np.full(states, 1 / states), (3, 3), horizon=horizon)
    return game, mo.CorrelatedPolicy(rng.dirichlet(np.ones(9), size=states))


def hand_over(quick: bool) -> Table:
    """Time to assemble and hand over a deviation program against the time HiGHS needs to solve it."""
    table = Table("program", "nonzeros", "assembly s", "hand-over s", "HiGHS s", "ratio", title="Large programs")
    cases = {
        "dense discounted": dense_discounted(60 if quick else 330),
        "sparse, 20 steps": sparse_finite(40 if quick else 600, 20),
    }
    for name, (game, policy) in cases.items():
        started = time.perf_counter()
        program = mo.programs.deviation(game, policy, 0)
        built = time.perf_counter()
        model = HighsModel(Highs())
        model.load(program)
        loaded = time.perf_counter()
        model.highs.run()
        solved = time.perf_counter()
        costs = [built - started, loaded - built, solved - loaded]
        ratio = (loaded - started) / (solved - loaded)
        table.add_row(name, str(program.num_nonzeros), *(f"{c:.3f}" for c in costs), f"{ratio:.3f}")
    return table


# Small programs


def stage_program(rng: np.random.Generator, n: int = 3) -> LinearProgram:
    """Welfare-optimal correlated equilibrium of a random n x n game, with all entries of the matrix stored."""
    payoffs = rng.normal(size=(2, n, n))
    rows = []
    for told, played in ((a, b) for a in range(n) for b in range(n) if a != b):
        first, second = np.zeros((n, n)), np.zeros((n, n))
        first[told] = payoffs[0, told] - payoffs[0, played]
        second[:, told] = payoffs[1, :, told] - payoffs[1, :, played]
        rows += [first.ravel(), second.ravel()]
    matrix = np.array([*rows, np.ones(n * n)])
    m = len(matrix)
    every = (matrix.T.ravel(), np.tile(np.arange(m), n * n), np.arange(0, m * n * n + 1, m))
    return LinearProgram(
        payoffs.sum(axis=0).ravel(),
        sparse.csc_array(every, shape=matrix.shape),
        np.append(np.zeros(m - 1), 1.0),
        np.append(np.full(m - 1, np.inf), 1.0),
        np.zeros(n * n),
        np.full(n * n, np.inf),
        "max",
    )


def bare_highs() -> Any:
    """One HiGHS object with the options that the layer uses for small programs."""
    highs = highspy.Highs()  # type: ignore[no-untyped-call]
    highs.setOptionValue("output_flag", False)
    highs.setOptionValue("presolve", "off")
    highs.setOptionValue("primal_feasibility_tolerance", 1e-9)
    highs.setOptionValue("dual_feasibility_tolerance", 1e-9)
    return highs


def bare_solve(highs: Any, p: LinearProgram) -> tuple[np.ndarray, np.ndarray]:
    """Hand over, run and read back, with nothing checked."""
    highs.passModel(
        p.num_variables, p.num_rows, p.num_nonzeros, 1, -1, 0.0, p.costs, p.lower, p.upper, p.row_lower, p.row_upper,
        p.matrix.indptr, p.matrix.indices, p.matrix.data, np.zeros(p.num_variables, dtype=np.int32),
    )  # fmt: skip
    highs.run()
    answer = highs.getSolution()
    return np.array(answer.col_value), np.array(answer.row_dual)


def small(quick: bool) -> Table:
    """Stage programs of 3 x 3 games: the layer against a bare, reused highspy object on the same data."""
    rng = np.random.default_rng(0)
    programs = [stage_program(rng) for _ in range(30 if quick else 300)]
    costs, coefficients = (np.array([getattr(p.numbers, name) for p in programs]) for name in ("costs", "coefficients"))
    highs, session = bare_highs(), HighsSession(programs[0])

    def by_session() -> None:
        for c, a in zip(costs, coefficients, strict=True):
            session.update(costs=c, coefficients=a)
            session.solve()

    found = side_by_side(
        {
            "bare highspy, reused": lambda: [bare_solve(highs, p) for p in programs],
            "solve_batch": lambda: solve_batch(programs[0], costs=costs, coefficients=coefficients),
            "HighsSession.update, solve": by_session,
            "solve": lambda: [solve(p) for p in programs],
        },
        3 if quick else 15,
    )
    table = Table("way", "µs a program", "ratio", title=f"{len(programs)} stage programs of 3 x 3 games")
    for name, seconds in found.items():
        table.add_row(name, f"{1e6 * seconds / len(programs):.0f}", f"{seconds / found['bare highspy, reused']:.2f}")
    return table


# Against cvxpy


def random_rows(rng: np.random.Generator, m: int, n: int, density: float) -> tuple[Any, np.ndarray, np.ndarray]:
    """Matrix, costs and right-hand side of max c x, A x <= b, x >= 0."""
    matrix = sparse.random_array((m, n), density=density, rng=rng, format="csr", data_sampler=rng.random)
    bounding = sparse.csr_array((np.full(n, 0.5), (np.arange(n) % m, np.arange(n))), shape=(m, n))
    return sparse.csr_array(matrix + bounding), rng.uniform(0.5, 1.5, n), rng.uniform(1, 2, m)


def by_layer(matrix: Any, costs: np.ndarray, caps: np.ndarray) -> float:
    """Build and solve with this layer, answer checked."""
    builder = ProgramBuilder("max")
    x = builder.add_variables("x", costs.shape, costs=costs)
    builder.add_rows("caps", caps.shape, {x: matrix}, upper=caps)
    return solve(builder.build()).objective


def by_cvxpy(matrix: Any, costs: np.ndarray, caps: np.ndarray) -> float:
    """Build and solve with cvxpy in its best vectorised form, with HiGHS."""
    x = cp.Variable(costs.size, nonneg=True)
    problem = cp.Problem(cp.Maximize(costs @ x), [matrix @ x <= caps])
    return float(problem.solve(solver="HIGHS"))  # type: ignore[no-untyped-call]


def against_cvxpy(quick: bool) -> Table:
    """Build and solve the same programs with cvxpy and HiGHS."""
    rng = np.random.default_rng(0)
    sizes = [(5, 5, 0.5), (13, 9, 0.8), (20, 40, 0.5), (30, 55, 0.5), (100, 200, 0.2), (200, 400, 0.1)]
    if not quick:
        sizes += [(500, 700, 0.05), (1000, 1500, 0.02), (300, 20000, 0.02), (800, 1500, 0.1)]
    table = Table("rows", "columns", "nonzeros", "layer ms", "cvxpy ms", "ratio", "objectives differ by", title="cvxpy")
    for m, n, density in sizes:
        data = random_rows(rng, m, n, density)
        found = side_by_side(
            {"layer": lambda data=data: by_layer(*data), "cvxpy": lambda data=data: by_cvxpy(*data)},  # type: ignore[misc]
            3 if quick else 31 if data[0].nnz < 10_000 else 7,
        )
        table.add_row(
            *(str(k) for k in (m, n, data[0].nnz)),
            *(f"{1e3 * seconds:.2f}" for seconds in found.values()),
            f"{found['cvxpy'] / found['layer']:.2f}",
            f"{abs(by_layer(*data) - by_cvxpy(*data)):.0e}",
        )
    return table


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    print_tables(__doc__, (small, against_cvxpy, hand_over), arguments)


if __name__ == "__main__":
    main()
