"""Programs that change: every warm answer is the cold one, and what a warm start spoils is mended and recorded."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from mailopt_solvers import (
    Answer,
    Basis,
    BasisStatus,
    Highs,
    HighsSession,
    Infeasible,
    InvalidOption,
    InvalidProgram,
    LinearProgram,
    ProgramBuilder,
    Solver,
    SolverFailed,
    Termination,
    UnknownBlock,
    solve,
)
from mailopt_solvers.backends.highs import HighsModel
from tests.solvers.random_programs import random_program, split, vectors

INF = np.inf


def square(**options: Any) -> LinearProgram:
    """Maximise x + 2y on [0, 2]^2."""
    builder = ProgramBuilder("max", **options)
    x = builder.add_variables("x", (2,), upper=2.0, costs=np.array([1.0, 2.0]))
    builder.add_rows("sum", (1,), {x: sparse.csr_array([[1.0, 1.0]])}, upper=3.0)
    return builder.build()


def check(session: HighsSession) -> None:
    """The session's answer is that of a fresh solve of the same data."""
    program = session.program
    fresh = dataclasses.replace(program)
    try:
        cold = solve(fresh, Highs("simplex", presolve="off"))
    except SolverFailed:
        return
    warm = session.solve()
    assert warm.program is program
    assert warm.termination is cold.termination
    if cold.termination is Termination.OPTIMAL:
        assert warm.objective == pytest.approx(cold.objective, rel=1e-9, abs=1e-9)
        assert max(warm.primal_residual, warm.dual_residual, warm.gap) <= 1e-7


def bounded(program: LinearProgram) -> npt.NDArray[np.bool_]:
    return np.isfinite(program.lower) & np.isfinite(program.upper)


CHANGES: dict[str, Callable[[HighsSession, np.random.Generator, int], None]] = {}


def change(function: Callable[[HighsSession, np.random.Generator, int], None]) -> None:
    CHANGES[function.__name__] = function


@change
def costs(session: HighsSession, generator: np.random.Generator, _: int) -> None:
    session.set_costs(np.where(bounded(session.program), vectors(generator, session.program.num_variables), 0.0))


@change
def block_of_costs(session: HighsSession, generator: np.random.Generator, _: int) -> None:
    block = session.program.variables["first"]
    session.set_costs(np.where(bounded(session.program)[block.slice], vectors(generator, block.size), 0.0), "first")


@change
def bounds(session: HighsSession, generator: np.random.Generator, _: int) -> None:
    lower = vectors(generator, session.program.variables["second"].size)
    session.set_bounds(lower=lower, upper=lower + generator.integers(0, 5), block="second")


@change
def row_bounds(session: HighsSession, generator: np.random.Generator, _: int) -> None:
    upper = session.program.row_upper
    session.set_row_bounds(lower=np.where(np.isfinite(upper), upper - generator.integers(0, 9), -3.0))


@change
def coefficients(session: HighsSession, generator: np.random.Generator, _: int) -> None:
    session.update(coefficients=vectors(generator, session.program.num_nonzeros))


@change
def row(session: HighsSession, generator: np.random.Generator, number: int) -> None:
    size = session.program.variables["first"].size
    coefficients = sparse.csr_array(vectors(generator, 2 * size).reshape(2, size))
    session.add_rows(f"row{number}", (2,), {"first": coefficients}, lower=-5.0, upper=np.array([4.0, INF]))


@change
def column(session: HighsSession, generator: np.random.Generator, number: int) -> None:
    size = session.program.rows["second"].size
    entries = sparse.csr_array(vectors(generator, size).reshape(size, 1))
    session.add_variables(f"column{number}", (1,), {"second": entries}, lower=-1.0, upper=2.0, costs=1.0)


@change
def another_program(session: HighsSession, _: np.random.Generator, number: int) -> None:
    session.load(split(random_program(number)))


@settings(deadline=None, max_examples=120)
@given(st.integers(0, 10**6), st.lists(st.sampled_from(sorted(CHANGES)), min_size=1, max_size=8))
def test_every_change_gives_the_cold_answer(seed: int, changes: list[str]) -> None:
    generator = np.random.default_rng(seed)
    session = HighsSession(split(random_program(seed)))
    check(session)
    for number, name in enumerate(changes):
        CHANGES[name](session, generator, number)
        if generator.random() < 0.8:  # several changes may come between two solves
            check(session)


def test_warm_starts_are_warm() -> None:
    program = random_program(3, n=30, m=20)
    session = HighsSession(program, Highs("simplex", presolve="off"))
    first = session.solve()
    assert first.iterations
    assert session.solve().iterations == 0
    session.set_costs(program.costs * 2.0)
    assert session.solve().iterations == 0
    fresh = HighsSession(program, Highs("simplex", presolve="off"))
    assert first.basis is not None
    fresh.set_basis(first.basis)
    assert fresh.solve().iterations == 0
    fresh.set_basis(Basis(first.basis.variables, first.basis.rows))
    assert fresh.solve().iterations == 0
    assert solve(program, Highs("simplex"), start=first).iterations == 0


def test_solutions_keep_their_program() -> None:
    session = HighsSession(square())
    before = session.solve()
    session.set_costs(np.array([3.0, 0.0]))
    after = session.solve()
    assert (before.objective, after.objective) == (5.0, 6.0)
    np.testing.assert_array_equal(before.program.costs, [1.0, 2.0])


def test_infeasible_and_back() -> None:
    session = HighsSession(square())
    session.set_row_bounds(lower=5.0, upper=INF, block="sum")
    with pytest.raises(Infeasible):
        session.solve().require_optimal()
    session.set_row_bounds(lower=-INF, upper=3.0)
    assert session.solve().objective == 5.0


def spoil(monkeypatch: pytest.MonkeyPatch, runs: int, how: Callable[[Answer], Answer]) -> list[int]:
    """Let the first so many runs of HiGHS return something else; count all runs."""
    true, count = HighsModel.run, [0]

    def run(self: HighsModel, *arguments: Any, **options: Any) -> Answer:
        count[0] += 1
        answer = true(self, *arguments, **options)
        return how(answer) if count[0] <= runs else answer

    monkeypatch.setattr(HighsModel, "run", run)
    return count


def wrong(answer: Answer) -> Answer:
    return dataclasses.replace(answer, x=np.zeros(2))


def raising(_: Answer) -> Answer:
    raise SolverFailed("broken on purpose")


def nothing(answer: Answer) -> Answer:
    return dataclasses.replace(answer, termination=Termination.FAILED, x=None, row_duals=None)


@pytest.mark.parametrize("how", [wrong, raising, nothing])
@pytest.mark.parametrize("runs", [1, 2, 3])
def test_a_spoilt_warm_start_is_mended(how: Any, runs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    session = HighsSession(square())
    session.solve()
    session.set_costs(np.array([2.0, 1.0]))
    count = spoil(monkeypatch, runs, how)
    solution = session.solve()
    assert solution.objective == 5.0
    assert len(solution.attempts) == runs
    assert count[0] == runs + 1
    assert "from the last basis" in solution.attempts[0]
    assert runs < 2 or "from scratch" in solution.attempts[1]
    assert runs < 3 or "simplex_strategy=4" in solution.attempts[2]
    assert session.solve().attempts == ()


def test_when_nothing_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    session = HighsSession(square())
    session.solve()
    spoil(monkeypatch, 100, wrong)
    with pytest.raises(SolverFailed, match=r"attempts failed.*from the last basis.*from scratch.*ipm"):
        session.solve()
    monkeypatch.undo()
    assert session.solve().objective == 5.0


def test_a_method_asked_for_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    session = HighsSession(square(), Highs("simplex"))
    spoil(monkeypatch, 1, wrong)
    with pytest.raises(SolverFailed, match="gap"):
        session.solve()


def test_time_limit() -> None:
    generator = np.random.default_rng(0)
    builder = ProgramBuilder("max")
    x = builder.add_variables("x", (300,), costs=generator.random(300))
    builder.add_rows("caps", (300,), {x: sparse.csr_array(generator.random((300, 300)))}, upper=1.0)
    session = HighsSession(builder.build())
    assert session.solve(time_limit=0.0).termination is Termination.TIME_LIMIT
    unhurried = session.solve()
    assert unhurried.objective == pytest.approx(solve(builder.build()).objective)
    assert session.solve(time_limit=60.0).iterations == 0  # the limit counts from now, not from the first solve


def test_names_and_shapes() -> None:
    session = HighsSession(square())
    cut = session.add_rows("cut", (2, 1), {"x": sparse.csr_array(np.eye(2))}, upper=np.array([[1.0], [1.5]]))
    more = session.add_variables("more", (1, 2), {"cut": sparse.csr_array(np.ones((2, 2)))}, upper=0.25, costs=9.0)
    solution = session.solve()
    assert (cut.shape, more.shape) == ((2, 1), (1, 2))
    assert (solution["more"].shape, solution.duals("cut").shape, solution.reduced("more").shape) == (
        (1, 2),
        (2, 1),
        (1, 2),
    )
    np.testing.assert_allclose(solution["more"], 0.25)
    np.testing.assert_allclose(solution["x"], [0.5, 1.0])


@pytest.mark.parametrize(
    ("call", "error"),
    [
        pytest.param(lambda s: s.set_costs(np.ones(3)), InvalidProgram, id="costs-length"),
        pytest.param(lambda s: s.set_costs(np.array([1.0, np.nan])), InvalidProgram, id="costs-nan"),
        pytest.param(lambda s: s.set_costs(1.0, "y"), UnknownBlock, id="costs-block"),
        pytest.param(lambda s: s.set_costs(np.ones(3), "x"), InvalidProgram, id="costs-block-shape"),
        pytest.param(lambda s: s.set_bounds(lower=3.0), InvalidProgram, id="bounds-crossed"),
        pytest.param(lambda s: s.set_bounds(upper=-INF), InvalidProgram, id="bounds-infinite"),
        pytest.param(lambda s: s.set_row_bounds(lower=np.nan, block="sum"), InvalidProgram, id="rows-nan"),
        pytest.param(lambda s: s.update(coefficients=np.ones(5)), InvalidProgram, id="coefficients-length"),
        pytest.param(lambda s: s.update(offset=np.ones(1)), InvalidProgram, id="unknown-part"),
        pytest.param(lambda s: s.add_rows("sum", (1,), {}), InvalidProgram, id="rows-twice"),
        pytest.param(
            lambda s: s.add_rows("r", (1,), {"x": sparse.csr_array(np.ones((1, 3)))}), InvalidProgram, id="rows-shape"
        ),
        pytest.param(
            lambda s: s.add_rows("r", (1,), {"y": sparse.csr_array(np.ones((1, 2)))}), UnknownBlock, id="rows-block"
        ),
        pytest.param(
            lambda s: s.add_variables("v", (2,), {"sum": sparse.csr_array(np.full((1, 2), INF))}),
            InvalidProgram,
            id="columns-infinite",
        ),
        pytest.param(
            lambda s: s.set_basis(Basis(np.zeros(2, dtype=int), np.zeros(1, dtype=int))), InvalidProgram, id="no-basic"
        ),
        pytest.param(
            lambda s: s.set_basis(Basis(np.zeros(3, dtype=int), np.ones(1, dtype=int))), InvalidProgram, id="basis-size"
        ),
        pytest.param(lambda s: s.solve(time_limit=-1.0), InvalidOption, id="time-limit"),
    ],
)
def test_errors_leave_the_session_as_it_was(call: Callable[[HighsSession], object], error: type[Exception]) -> None:
    session = HighsSession(square())
    assert session.solve().objective == 5.0
    program = session.program
    with pytest.raises(error):
        call(session)
    assert session.program is program
    assert session.solve().objective == 5.0


@pytest.mark.parametrize("solver", ["highs", None, Solver])
def test_only_highs(solver: Any) -> None:
    if solver is None:
        assert HighsSession(square(), None).solve().solver == "highs"
        return
    with pytest.raises(InvalidOption):
        HighsSession(square(), solver)


def test_statuses_of_a_basis() -> None:
    basis = solve(square(), Highs("simplex")).basis
    assert basis is not None
    # x = (1, 2): the first is basic, the second at its upper bound, the row too
    assert basis.variables.tolist() == [BasisStatus.BASIC, BasisStatus.UPPER]
    assert basis.rows.tolist() == [BasisStatus.UPPER]
    with pytest.raises(InvalidProgram, match="statuses"):
        Basis(np.array([0, 7]), np.array([1]))
