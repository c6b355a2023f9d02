"""Batches: each answer is that of solving the program alone, and one bad program is named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import sparse

from mailopt_solvers import (
    Highs,
    Infeasible,
    InvalidOption,
    InvalidProgram,
    MailoptError,
    ProgramBuilder,
    TimeLimit,
    Unbounded,
    solve,
    solve_batch,
)
from mailopt_solvers.backends.highs import HighsModel
from tests.solvers.random_programs import random_program, vectors

PATTERN = random_program(5, n=5, m=4)


def parts_of(seed: int, names: tuple[str, ...], count: int = 7) -> dict[str, Any]:
    """Random numbers around those of the pattern that leave optima."""
    generator = np.random.default_rng(seed)
    p = PATTERN
    finite = np.isfinite(p.lower) & np.isfinite(p.upper)
    every = {
        "costs": np.array([np.where(finite, vectors(generator, p.num_variables), 0.0) for _ in range(count)]),
        "coefficients": p.matrix.data * generator.choice([0.5, 1.0, 2.0], size=(count, 1)),
        "row_lower": p.row_lower - generator.integers(0, 4, size=(count, p.num_rows)),
        "row_upper": p.row_upper + generator.integers(0, 4, size=(count, p.num_rows)),
        "lower": p.lower - generator.integers(0, 4, size=(count, p.num_variables)),
        "upper": p.upper + generator.integers(0, 4, size=(count, p.num_variables)),
    }
    return {name: every[name] for name in names}


@pytest.mark.parametrize(
    "names",
    [
        ("costs",),
        ("lower", "upper"),
        ("row_lower",),
        ("row_upper", "costs"),
        ("costs", "row_lower", "row_upper", "lower", "upper"),
    ],
    ids="+".join,
)
def test_a_batch_is_its_programs(names: tuple[str, ...]) -> None:
    parts = parts_of(1, names)
    batch = solve_batch(PATTERN, **parts)
    assert len(batch) == 7
    for k in range(7):
        alone = solve(PATTERN.changed(**{name: values[k] for name, values in parts.items()}))
        assert batch.objective[k] == pytest.approx(alone.objective, abs=1e-9)
        program = alone.program
        activities = program.matrix @ batch.x[k]
        assert (activities >= program.row_lower - 1e-9).all()
        assert (activities <= program.row_upper + 1e-9).all()
        np.testing.assert_allclose(batch.reduced_costs[k], program.costs - program.matrix.T @ batch.row_duals[k])
    assert batch.attempts == {}


def test_coefficients_vary() -> None:
    """Maximise x + y with a x + b y <= c, 0 <= x, y <= 4."""
    builder = ProgramBuilder("max", offset=1.0)
    x = builder.add_variables("x", (1, 2), upper=4.0, costs=1.0)
    builder.add_rows("cap", (1,), {x: sparse.csr_array([[1.0, 1.0]])}, upper=1.0)
    batch = solve_batch(
        builder.build(), coefficients=np.array([[0.5, 1.0], [2.0, 1.0], [1.0, 0.125]]), row_upper=np.full((3, 1), 2.5)
    )
    np.testing.assert_allclose(batch.objective, [5.5, 3.5, 7.0])
    np.testing.assert_allclose(batch["x"], [[[4.0, 0.5]], [[0.0, 2.5]], [[2.0, 4.0]]])
    np.testing.assert_allclose(batch.duals("cap"), [[1.0], [1.0], [1.0]])


def test_a_wrong_answer_is_solved_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = parts_of(2, ("costs",))
    true = solve_batch(PATTERN, **parts).objective
    honest, calls = HighsModel.solve_raw, [0]

    def lying(self: HighsModel, pattern: Any, numbers: Any, x: Any, row_duals: Any) -> bool:
        calls[0] += 1
        claims = honest(self, pattern, numbers, x, row_duals)
        if calls[0] == 3:
            x += 1.0
        if calls[0] == 5:
            row_duals[:] = np.nan
        return claims and calls[0] != 6

    monkeypatch.setattr(HighsModel, "solve_raw", lying)
    batch = solve_batch(PATTERN, **parts)
    assert sorted(batch.attempts) == [2, 4, 5]
    np.testing.assert_allclose(batch.objective, true)


@pytest.mark.parametrize(
    ("parts", "error", "message"),
    [
        pytest.param({}, InvalidProgram, "at least one part", id="nothing"),
        pytest.param({"weights": np.ones((2, 5))}, InvalidProgram, "weights", id="unknown"),
        pytest.param({"costs": np.ones(5)}, InvalidProgram, r"expected \(K, 5\)", id="one-axis"),
        pytest.param({"costs": np.ones((2, 4))}, InvalidProgram, r"expected \(K, 5\)", id="width"),
        pytest.param({"costs": np.ones((2, 5)), "lower": np.zeros((3, 5))}, InvalidProgram, "lengths", id="lengths"),
        pytest.param({"costs": np.array([[1.0] * 5, [np.nan] * 5])}, InvalidProgram, r"program 1 of 2.*cost", id="nan"),
        pytest.param({"upper": np.full((3, 5), -99.0)}, InvalidProgram, r"program 0 of 3.*lower bound", id="crossed"),
    ],
)
def test_bad_numbers(parts: dict[str, Any], error: type[MailoptError], message: str) -> None:
    with pytest.raises(error, match=message):
        solve_batch(PATTERN, **parts)


def test_a_program_without_optimum_is_named() -> None:
    one = random_program(0, n=1, m=1).changed(
        costs=np.ones(1), lower=np.zeros(1), upper=np.ones(1), row_lower=np.zeros(1), row_upper=np.ones(1)
    )
    coefficients = np.ones((3, one.num_nonzeros))
    low = np.array([[0.0], [2.0], [0.5]])
    with pytest.raises(Infeasible, match="program 1 of 3"):
        solve_batch(one, coefficients=coefficients, row_lower=low, row_upper=low + 1.0)
    sign = 1.0 if one.sense == "max" else -1.0
    with pytest.raises(Unbounded, match="program 2 of 3"):
        solve_batch(
            one,
            costs=np.full((3, 1), sign),
            row_upper=np.full((3, 1), np.inf),
            upper=np.array([[1.0], [1.0], [np.inf]]),
            coefficients=coefficients,
        )


def test_limits_and_solvers() -> None:
    with pytest.raises(TimeLimit, match="after 0 of 7"):
        solve_batch(PATTERN, time_limit=0.0, **parts_of(3, ("costs",)))
    with pytest.raises(InvalidOption):
        solve_batch(PATTERN, solver="highs", **parts_of(3, ("costs",)))  # type: ignore[arg-type]
    assert solve_batch(PATTERN, solver=Highs("ipm"), **parts_of(3, ("costs",))).solver == "highs-ipm"
