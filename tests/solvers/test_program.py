"""Linear programs as data: what is rejected and how, blocks, copies, and the builder."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from mailopt_solvers import Block, InvalidProgram, LinearProgram, ProgramBuilder, UnknownBlock

NAN, INF = math.nan, math.inf
Array = npt.NDArray[np.float64]
BLOCKS = {"z": Block("z", 0, (2, 2)), "t": Block("t", 4, (1,))}
ROWS = {"flow": Block("flow", 0, (2,)), "cap": Block("cap", 2, (1, 1))}


def base(**changes: Any) -> dict[str, Any]:
    """Arguments of a valid program with 3 rows and 5 variables, with some replaced."""
    arguments: dict[str, Any] = {
        "costs": np.ones(5),
        "matrix": sparse.csc_array(np.arange(15.0).reshape(3, 5)),
        "row_lower": np.full(3, -1.0),
        "row_upper": np.full(3, 1.0),
        "lower": np.zeros(5),
        "upper": np.full(5, INF),
        "variables": BLOCKS,
        "rows": ROWS,
    }
    return arguments | changes


def entry(values: npt.ArrayLike, position: Any, value: float) -> Array:
    array = np.array(values, dtype=np.float64)
    array[position] = value
    return array


def matrix_with(row: int, column: int, value: float) -> sparse.csc_array:
    return sparse.csc_array(entry(np.arange(15.0).reshape(3, 5), (row, column), value))


def test_base_is_valid() -> None:
    program = LinearProgram(**base())
    assert (program.num_rows, program.num_variables, program.num_nonzeros) == (3, 5, 14)
    assert "3 rows, 5 variables: z[2, 2], t[1]; 14 nonzeros" in repr(program)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        *[
            pytest.param({"costs": entry(np.ones(5), 3, bad)}, rf"cost.*z\[1, 1\] is {bad}", id=f"cost-{bad}")
            for bad in (NAN, INF, -INF)
        ],
        *[
            pytest.param({"matrix": matrix_with(2, 4, bad)}, rf"t\[0\].*cap\[0, 0\] is {bad}", id=f"coefficient-{bad}")
            for bad in (NAN, INF, -INF)
        ],
        pytest.param({"matrix": matrix_with(1, 0, NAN)}, r"z\[0, 0\].*flow\[1\] is nan", id="coefficient-first"),
        *[
            pytest.param({field: entry(value, k, bad)}, rf"{side} bound.*{place} is {bad}", id=f"{field}-{bad}")
            for field, value, k, side, place, infinity in (
                ("row_lower", -np.ones(3), 2, "lower", r"cap\[0, 0\]", INF),
                ("row_upper", np.ones(3), 1, "upper", r"flow\[1\]", -INF),
                ("lower", np.zeros(5), 2, "lower", r"z\[1, 0\]", INF),
                ("upper", np.ones(5), 4, "upper", r"t\[0\]", -INF),
            )
            for bad in (NAN, infinity)
        ],
        pytest.param({"row_lower": entry(-np.ones(3), 1, 2.0)}, r"row flow\[1\].*2\.0 > .*1\.0", id="rows-crossed"),
        pytest.param(
            {"lower": entry(np.zeros(5), 4, 1), "upper": np.full(5, 0.5)}, r"t\[0\].*1\.0 > .*0\.5", id="crossed"
        ),
        pytest.param({"costs": np.ones(4)}, "5 columns.*4 costs", id="costs-too-few"),
        pytest.param({"costs": np.ones((5, 1))}, r"costs.*\(5, 1\)", id="costs-two-dimensions"),
        pytest.param({"costs": 1.0}, r"costs.*\(\)", id="costs-scalar"),
        pytest.param({"costs": "abcde"}, "costs", id="costs-string"),
        pytest.param({"costs": [1, [2, 3], 4, 5, 6]}, "costs", id="costs-ragged"),
        pytest.param({"costs": [1j] * 5}, "costs", id="costs-complex"),
        pytest.param({"matrix": sparse.csc_array((3, 4))}, "4 columns.*5 costs", id="columns"),
        pytest.param({"matrix": sparse.csc_array((2, 5))}, "row", id="rows"),
        pytest.param({"matrix": np.ones(5)}, "matrix", id="matrix-one-dimension"),
        pytest.param({"matrix": sparse.coo_array(np.ones(5))}, "matrix", id="sparse-matrix-one-dimension"),
        pytest.param({"matrix": "A"}, "matrix", id="matrix-string"),
        pytest.param({"matrix": None}, "matrix", id="matrix-none"),
        pytest.param({"matrix": matrix_with(0, 0, 1).astype(complex)}, "matrix|coefficient", id="matrix-complex"),
        pytest.param({"row_lower": -np.ones(2)}, "2 lower bounds for 3 rows", id="row-lower-too-few"),
        pytest.param({"row_upper": np.ones(4)}, "4 upper bounds for 3 rows", id="row-upper-too-many"),
        pytest.param({"lower": np.zeros(6)}, "6 lower bounds for 5 variables", id="lower-too-many"),
        pytest.param({"upper": np.ones((5, 1))}, r"upper bounds.*\(5, 1\)", id="upper-two-dimensions"),
        pytest.param({"upper": 1.0}, r"upper bounds.*\(\)", id="upper-scalar"),
        pytest.param({"upper": None}, "upper bounds", id="upper-none"),
        pytest.param({"sense": "maximise"}, "'maximise'.*'min' or 'max'", id="sense"),
        pytest.param({"sense": None}, "None", id="sense-none"),
        *[pytest.param({"offset": bad}, f"offset is {bad}", id=f"offset-{bad}") for bad in (NAN, INF, -INF)],
        pytest.param({"offset": None}, "offset", id="offset-none"),
        pytest.param({"offset": "0"}, "offset", id="offset-string"),
        pytest.param({"variables": {"z": BLOCKS["z"]}}, "cover 4 of 5 variables", id="blocks-too-few"),
        pytest.param({"rows": ROWS | {"x": Block("x", 3, (1,))}}, "cover 4 of 3 rows", id="blocks-too-many"),
        pytest.param({"variables": {"z": Block("z", 0, (4,)), "t": Block("t", 3, (1,))}}, "'t'", id="overlap"),
        pytest.param({"variables": {"z": Block("z", 0, (4,)), "t": Block("t", 5, (1,))}}, "'t'", id="gap"),
        pytest.param({"variables": {"z": Block("y", 0, (5,))}}, "'z'", id="other-name"),
        pytest.param({"variables": {"z": Block("z", 0, (-1, -5))}}, "'z'", id="negative-shape"),
    ],
)
def test_bad_program(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidProgram, match=message):
        LinearProgram(**base(**changes))


def test_default_blocks() -> None:
    program = LinearProgram(**base(variables={}, rows={}))
    assert dict(program.variables) == {"x": Block("x", 0, (5,))}
    assert dict(program.rows) == {"rows": Block("rows", 0, (3,))}
    with pytest.raises(InvalidProgram, match=r"x\[3\] is nan"):
        LinearProgram(**base(variables={}, rows={}, costs=entry(np.ones(5), 3, NAN)))


def test_message_of_a_member_after_an_empty_block() -> None:
    blocks = {"none": Block("none", 0, (0, 3)), "x": Block("x", 0, (5,))}
    with pytest.raises(InvalidProgram, match=r"x\[0\] is nan"):
        LinearProgram(**base(variables=blocks, costs=entry(np.ones(5), 0, NAN)))


def test_input_is_copied_and_read_only() -> None:
    arguments = base(variables=dict(BLOCKS), rows=dict(ROWS))
    program = LinearProgram(**arguments)
    before = program.matrix.toarray()
    for name in ("costs", "row_lower", "row_upper", "lower", "upper"):
        kept = getattr(program, name).copy()
        arguments[name][:] = 7
        np.testing.assert_array_equal(getattr(program, name), kept)
        assert not getattr(program, name).flags.writeable
    arguments["matrix"].data[:] = 7
    arguments["variables"].clear()
    np.testing.assert_array_equal(program.matrix.toarray(), before)
    for array in (program.matrix.data, program.matrix.indices, program.matrix.indptr):
        assert not array.flags.writeable
    assert list(program.variables) == ["z", "t"]
    with pytest.raises(TypeError):
        program.variables["y"] = Block("y", 5, (1,))  # type: ignore[index]
    with pytest.raises(dataclasses.FrozenInstanceError):
        program.offset = 1.0  # type: ignore[misc]


@pytest.mark.parametrize("layout", ["csr", "csc", "coo", "lil", "dok", "dia", "bsr"])
def test_any_sparse_format_and_duplicates(layout: str) -> None:
    dense = np.array([[0.0, 2.0], [3.0, 0.0], [0.0, 5.0]])
    given_ = sparse.coo_array(dense).asformat(layout)
    bounds: dict[str, Any] = {
        "row_lower": np.zeros(3),
        "row_upper": np.ones(3),
        "lower": np.zeros(2),
        "upper": np.ones(2),
    }
    np.testing.assert_array_equal(LinearProgram(np.zeros(2), given_, **bounds).matrix.toarray(), dense)
    twice = sparse.coo_array(([1.0, 1.0, 3.0, 5.0], ([0, 0, 1, 2], [1, 1, 0, 1])), shape=(3, 2))
    program = LinearProgram(np.zeros(2), twice, **bounds)
    assert program.num_nonzeros == 3
    np.testing.assert_array_equal(program.matrix.toarray(), dense)


# The builder


def test_builder_lays_blocks_one_after_another() -> None:
    builder = ProgramBuilder("max", offset=2.5)
    x = builder.add_variables("x", (2,), costs=np.array([1.0, 2.0]), upper=3.0)
    none = builder.add_variables("none", (0,))
    y = builder.add_variables("y", (2, 2), lower=-INF, costs=-1.0)
    builder.add_rows("first", (1,), {y: sparse.csr_array(np.arange(1.0, 5.0)[None])}, lower=0.5, upper=0.5)
    builder.add_rows(
        "second", (2, 1), {x: sparse.eye_array(2), y: sparse.csr_array((2, 4))}, upper=np.array([[1.0], [2.0]])
    )
    program = builder.build()
    assert (x.slice, none.slice, y.slice) == (slice(0, 2), slice(2, 2), slice(2, 6))
    assert (program.sense, program.offset) == ("max", 2.5)
    assert program.costs.tolist() == [1, 2, -1, -1, -1, -1]
    assert program.lower.tolist() == [0, 0, -INF, -INF, -INF, -INF]
    assert program.upper.tolist() == [3, 3, INF, INF, INF, INF]
    assert program.matrix.toarray().tolist() == [[0, 0, 1, 2, 3, 4], [1, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0]]
    assert program.row_lower.tolist() == [0.5, -INF, -INF]
    assert program.row_upper.tolist() == [0.5, 1.0, 2.0]
    assert dict(program.variables) == {"x": x, "none": none, "y": y}
    assert list(program.rows) == ["first", "second"]


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.lists(st.integers(0, 3), max_size=3).map(tuple), min_size=1, max_size=4),
    st.lists(st.integers(0, 3), max_size=3),
    st.integers(0, 99),
)
def test_builder_stacks_matrices(shapes: list[tuple[int, ...]], heights: list[int], seed: int) -> None:
    generator = np.random.default_rng(seed)
    builder = ProgramBuilder()
    blocks = [builder.add_variables(f"v{k}", shape) for k, shape in enumerate(shapes)]
    expected = np.zeros((sum(heights), sum(b.size for b in blocks)))
    first = 0
    for k, height in enumerate(heights):
        used = [block for block in blocks if generator.random() < 0.6]
        terms = {block: generator.integers(-2, 3, size=(height, block.size)).astype(float) for block in used}
        builder.add_rows(f"r{k}", (height,), {block: sparse.coo_array(m) for block, m in terms.items()}, upper=1.0)
        for block, matrix in terms.items():
            expected[first : first + height, block.slice] = matrix
        first += height
    program = builder.build()
    np.testing.assert_array_equal(program.matrix.toarray(), expected)
    assert program.num_nonzeros >= np.count_nonzero(expected)


def test_builder_can_go_on_after_build() -> None:
    builder = ProgramBuilder()
    builder.add_variables("x", (1,))
    first = builder.build()
    builder.add_variables("y", (2,))
    assert list(first.variables) == ["x"]
    assert builder.build().num_variables == 3


def test_empty_program() -> None:
    program = ProgramBuilder().build()
    assert (program.num_rows, program.num_variables) == (0, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param({"name": "x"}, "'x' exists already", id="name-twice"),
        pytest.param({"costs": np.ones(3)}, r"costs of block 'y'.*\(3,\).*\(2, 2\)", id="costs-shape"),
        pytest.param({"lower": np.zeros((2, 3))}, r"lower of block 'y'.*\(2, 3\)", id="lower-shape"),
        pytest.param({"upper": np.ones((1, 2, 2))}, r"upper of block 'y'.*\(1, 2, 2\)", id="upper-shape"),
        pytest.param({"costs": "cheap"}, "costs of block 'y'", id="costs-string"),
        pytest.param({"costs": [1, [2, 3]]}, "costs of block 'y'", id="costs-ragged"),
        pytest.param({"shape": (-1,)}, "'y'", id="negative-shape"),
        pytest.param({"shape": (-1, -1)}, "'y'", id="shape-of-negative-factors"),
        pytest.param({"shape": (2.5,)}, "'y'", id="fractional-shape"),
        pytest.param({"shape": 3}, "'y'", id="shape-no-tuple"),
    ],
)
def test_bad_variables(arguments: dict[str, Any], message: str) -> None:
    builder = ProgramBuilder()
    builder.add_variables("x", (1,))
    given_: dict[str, Any] = {"name": "y", "shape": (2, 2)} | arguments
    with pytest.raises(InvalidProgram, match=message):
        builder.add_variables(given_.pop("name"), given_.pop("shape"), **given_)
    builder.add_variables("y", (2, 2))  # the failure left no trace
    assert builder.build().num_variables == 5


FOREIGN = ProgramBuilder().add_variables("x", (4,))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param({"name": "r"}, "'r' exists already", id="name-twice"),
        pytest.param({"terms": {FOREIGN: sparse.eye_array(2, 4)}}, "'s'.*'x'", id="block-of-another-builder"),
        pytest.param({"terms": {Block("w", 0, (3,)): sparse.eye_array(2, 3)}}, "'w'.*'x'", id="unknown-block"),
        pytest.param({"columns": 2}, r"'s'.*'x'.*\(2, 2\).*\(2, 3\)", id="columns"),
        pytest.param({"height": 3}, r"'s'.*'x'.*\(3, 3\).*\(2, 3\)", id="rows"),
        pytest.param({"lower": np.zeros(3)}, r"lower of block 's'.*\(3,\).*\(2,\)", id="lower-shape"),
        pytest.param({"upper": np.zeros((2, 2))}, r"upper of block 's'.*\(2, 2\)", id="upper-shape"),
    ],
)
def test_bad_rows(arguments: dict[str, Any], message: str) -> None:
    builder = ProgramBuilder()
    x = builder.add_variables("x", (3,))
    builder.add_rows("r", (1,), {x: sparse.csr_array(np.ones((1, 3)))}, upper=1.0)
    given_ = dict(arguments)
    terms = {x: sparse.csr_array(np.ones((given_.pop("height", 2), given_.pop("columns", 3))))}
    terms = given_.pop("terms", terms)
    with pytest.raises((InvalidProgram, UnknownBlock), match=message):
        builder.add_rows(given_.pop("name", "s"), (2,), terms, **given_)
    builder.add_rows("s", (2,), {x: sparse.csr_array(np.ones((2, 3)))}, upper=1.0)  # the failure left no trace
    assert builder.build().num_rows == 3


@pytest.mark.parametrize(
    ("costs", "coefficient", "upper", "message"),
    [
        pytest.param(NAN, 1.0, 1.0, r"y\[1, 0\]", id="cost"),
        pytest.param(1.0, NAN, 1.0, r"y\[1, 0\].*r\[0, 2\]", id="coefficient"),
        pytest.param(1.0, 1.0, NAN, r"r\[0, 2\]", id="bound"),
    ],
)
def test_build_names_blocks_and_index(costs: float, coefficient: float, upper: float, message: str) -> None:
    builder = ProgramBuilder()
    builder.add_variables("x", (3,))
    y = builder.add_variables("y", (2, 2), costs=entry(np.ones((2, 2)), (1, 0), costs))
    matrix = sparse.csr_array(entry(np.ones((3, 4)), (2, 2), coefficient))

    def add_and_build() -> None:
        builder.add_rows("r", (1, 3), {y: matrix}, upper=entry(np.ones((1, 3)), (0, 2), upper))
        builder.build()

    with pytest.raises(InvalidProgram, match=message):
        add_and_build()
