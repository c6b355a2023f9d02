"""MPS files: nothing is lost on the way out and back, and what cannot be held is an error."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from mailopt_solvers import InvalidProgram, LinearProgram, ProgramBuilder, read_mps, solve, write_mps

INF = math.inf
DOUBLES = st.floats(-1e12, 1e12, allow_subnormal=False)


def same(one: LinearProgram, two: LinearProgram) -> None:
    for name in ("costs", "row_lower", "row_upper", "lower", "upper"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name), err_msg=name)
    np.testing.assert_array_equal(one.matrix.toarray(), two.matrix.toarray())
    assert (one.sense, one.offset) == (two.sense, two.offset)
    assert dict(one.variables) == dict(two.variables)
    assert dict(one.rows) == dict(two.rows)


def kinds() -> LinearProgram:
    """Every kind of row and bound, awkward numbers, blocks of every number of axes."""
    builder = ProgramBuilder("max", offset=0.1 + 0.2)
    z = builder.add_variables("z", (2, 3), costs=np.arange(6.0).reshape(2, 3) / 7, upper=np.pi)
    free = builder.add_variables("free", (), lower=-INF, costs=-1e-300)
    lows = np.array([-INF, -5.0, 0.0, 3.0, -3.0, 2.5e-8])
    highs = np.array([-2.0, INF, 0.0, 1 / 3 + 3, -3.0, 1e300])
    bounds = builder.add_variables("bounds", (6,), lower=lows, upper=highs)
    generator = np.random.default_rng(0)
    matrices = {b: sparse.csr_array(generator.normal(size=(6, b.size)).round(1) / 3) for b in (z, free, bounds)}
    builder.add_rows(
        "kinds",
        (3, 2),
        matrices,
        lower=np.array([[-INF, 1 / 3], [1 / 3, -INF], [-1 / 7, -2.0]]),
        upper=np.array([[1 / 3, INF], [1 / 3, INF], [1 / 3, 1e17]]),
    )
    builder.add_rows("empty", (1,), {}, lower=-1.0, upper=2.0)
    return builder.build()


def test_every_kind(tmp_path: Path) -> None:
    program = kinds()
    write_mps(program, tmp_path / "kinds.mps")
    same(read_mps(tmp_path / "kinds.mps"), program)
    assert [file.name for file in tmp_path.iterdir()] == ["kinds.mps"]


@settings(deadline=None, max_examples=60)
@given(st.data(), st.integers(1, 4), st.integers(0, 4), st.sampled_from(["min", "max"]))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, data: Any, n: int, m: int, sense: Any) -> None:
    def vector(size: int) -> Any:
        return np.array(data.draw(st.lists(DOUBLES, min_size=size, max_size=size)), dtype=np.float64)

    matrix = np.where(np.abs(entries := vector(m * n)) < 1e-11, 0.0, entries).reshape(m, n)
    low, high = vector(n), np.full(n, INF)
    program = LinearProgram(vector(n), sparse.csc_array(matrix), np.full(m, -INF), vector(m), low, high, sense)
    path = tmp_path_factory.mktemp("mps") / "p.mps"
    write_mps(program, path)
    same(read_mps(path), program)


def test_the_same_optimum(tmp_path: Path) -> None:
    builder = ProgramBuilder("max", offset=2.0)
    x = builder.add_variables("x", (2,), upper=np.array([1.0, 3.0]), costs=np.array([1.0, 2.0]))
    builder.add_rows("cap", (1,), {x: sparse.csr_array([[1.0, 1.0]])}, lower=1.0, upper=3.5)
    write_mps(builder.build(), tmp_path / "p.mps")
    solution = solve(read_mps(tmp_path / "p.mps"))
    assert solution.objective == 8.5
    np.testing.assert_array_equal(solution["x"], [0.5, 3.0])
    np.testing.assert_array_equal(solution.duals("cap"), [1.0])


FOREIGN = """* names that are no blocks, two entries a line, a range on an equality, an upper bound only
NAME          OTHER
ROWS
 N  COST
 L  LIM1
 G  LIM2
 E  MYEQN
COLUMNS
    XONE      COST         1.0   LIM1         1.0
    XONE      LIM2         1.0
    YTWO      COST         2.0   LIM1         1.0
    YTWO      MYEQN       -1.0
    ZTHREE    COST        -1.0   MYEQN        1.0
RHS
    RHS       LIM1         4.0   LIM2         1.0
    RHS       MYEQN        7.0
RANGES
    RNG       MYEQN       -2.5
BOUNDS
 UP BND       XONE         4.0
 LO BND       YTWO        -1.0
 UP BND       YTWO         1.0
ENDATA
"""


def test_a_file_of_somebody_else(tmp_path: Path) -> None:
    (tmp_path / "other.mps").write_text(FOREIGN)
    program = read_mps(tmp_path / "other.mps")
    assert list(program.variables) == ["XONE", "YTWO", "ZTHREE"]
    assert list(program.rows) == ["LIM1", "LIM2", "MYEQN"]
    np.testing.assert_array_equal(program.row_lower, [-INF, 1.0, 4.5])
    np.testing.assert_array_equal(program.row_upper, [4.0, INF, 7.0])
    np.testing.assert_array_equal(program.upper, [4.0, 1.0, INF])
    solution = solve(program)
    assert float(solution["XONE"]) == 1.0
    assert solution.objective == pytest.approx(1.0 + 2 * -1.0 - 6.0)


@pytest.mark.parametrize(
    "names", [["z[0]", "z[2]"], ["z[1]", "z[0]"], ["z[0]", "a", "z[1]"], ["z[0,0]", "z[1,1]"], ["z[x]"]]
)
def test_names_that_are_no_complete_block(tmp_path: Path, names: list[str]) -> None:
    columns = "\n".join(f" {name} COST 1.0" for name in names)
    (tmp_path / "p.mps").write_text(f"NAME p FREE\nROWS\n N COST\nCOLUMNS\n{columns}\nRHS\nENDATA\n")
    assert list(read_mps(tmp_path / "p.mps").variables) == names


@pytest.mark.parametrize("name", ["a b", "a[0]", "objective", "$x", "ä"])
def test_names_that_mps_cannot_hold(tmp_path: Path, name: str) -> None:
    builder = ProgramBuilder()
    builder.add_variables(name, (2,))
    with pytest.raises(InvalidProgram, match="cannot be a name"):
        write_mps(builder.build(), tmp_path / "p.mps")
    assert not list(tmp_path.iterdir())


@settings(deadline=None, max_examples=200)
@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_ranges_come_back_exactly_or_not_at_all(
    tmp_path_factory: pytest.TempPathFactory, one: float, other: float
) -> None:
    low, high = np.array([min(one, other)]), np.array([max(one, other)])
    program = LinearProgram(np.ones(1), sparse.csc_array(np.ones((1, 1))), low, high, np.zeros(1), np.ones(1))
    path = tmp_path_factory.mktemp("mps") / "p.mps"
    try:
        write_mps(program, path)
    except InvalidProgram as error:
        assert "split it into two rows" in str(error)  # noqa: PT017 - either outcome is right
        assert not path.exists()
        return
    same(read_mps(path), program)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("this is no MPS file\n", "not an MPS file", id="no-mps"),
        pytest.param(
            FOREIGN.replace("    XONE      COST", "    M1 'MARKER' 'INTORG'\n    XONE      COST", 1),
            "integer",
            id="integer",
        ),
        pytest.param(
            FOREIGN.replace("LIM2         1.0\n    YTWO", "LIM2       1e-13\n    YTWO", 1), "1e-12", id="small"
        ),
    ],
)
def test_files_that_are_no_linear_program(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "p.mps").write_text(text)
    with pytest.raises(InvalidProgram, match=message):
        read_mps(tmp_path / "p.mps")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_mps(tmp_path / "none.mps")
    with pytest.raises(FileNotFoundError):
        write_mps(kinds(), tmp_path / "none" / "p.mps")
