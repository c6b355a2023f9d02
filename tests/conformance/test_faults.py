"""A solver that lies, breaks down or hangs: never a wrong point, always an error that names it and says what."""

from __future__ import annotations

import _thread
import itertools
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest

from mailopt_solvers import (
    Answer,
    Basis,
    Highs,
    LinearProgram,
    Request,
    Solution,
    Solver,
    SolverError,
    SolverFailed,
    Termination,
    TimeLimit,
    WrongAnswer,
    solve,
)
from mailopt_solvers.program import FloatArray
from tests.conformance import certificates
from tests.conformance.programs import INF, INSTANCES, SENSES, known_pair, mirrored, program, rescaled
from tests.solvers.bare_solver import BareSolver

Lie = Callable[[LinearProgram, Answer, Request], Any]
NAN = np.nan

TRUTH = program([1, 2], [[1, 1]], 1, 4, upper=3)
"""Optimum 1 at (1, 0) with row dual 1."""


class Liar(BareSolver):
    """HiGHS with its answers passed through a lie: the first only, or that to every program."""

    backend: ClassVar[str] = "liar"
    methods: ClassVar[tuple[str, ...]] = ("lie",)

    def __init__(self, lie: Lie, always: bool = False, **options: object) -> None:
        super().__init__(**options)
        self._lie = lie
        self._always = always
        self.requests: list[Request] = []

    def run(self, program: LinearProgram, request: Request) -> Any:
        self.requests.append(request)
        truth = replace(Highs().run(program, Request()), options=dict(self.options), version="1.0")
        return self._lie(program, truth, request) if self._always or len(self.requests) == 1 else truth


def change(**parts: Any) -> Lie:
    """The correct answer with some parts replaced."""
    return lambda _, truth, __: replace(truth, **parts)


def claim(termination: Termination, **parts: Any) -> Lie:
    """A claim without anything to show for it, but for the given parts."""
    nothing: dict[str, Any] = {"x": None, "row_duals": None, "primal_ray": None, "dual_ray": None, "basis": None}
    return change(termination=termination, **(nothing | parts))


def outcome(lp: LinearProgram, solver: Solver, time_limit: float | None = None) -> Solution | SolverError:
    """What a user sees; an error of no type of this library is a failure here."""
    try:
        solution = solve(lp, solver, time_limit=time_limit)
        return solution.require_optimal()
    except SolverError as error:
        return error


def assert_refused(found: Solution | SolverError, *kinds: type[SolverError], says: str = "") -> None:
    assert isinstance(found, SolverError), found
    assert type(found) in kinds, repr(found)
    assert "liar" in str(found)
    assert says in str(found)


def array(*values: float) -> FloatArray:
    return np.array(values, dtype=np.float64)


# The truth passes


@pytest.mark.parametrize("instance", INSTANCES, ids=str)
def test_the_truth_passes(instance: Any) -> None:
    solution = solve(instance.program, Liar(change()))
    assert solution.termination is instance.termination
    assert solution.solver == "liar"


# Wrong points and duals

WRONG: Mapping[str, tuple[dict[str, Any], str]] = {
    "infeasible-row": ({"x": array(0, 0)}, "primal residual"),
    "infeasible-bound": ({"x": array(3.5, -2.5)}, "primal residual"),
    "infeasible-a-little": ({"x": array(1 - 1e-5, 0)}, "primal residual"),
    "suboptimal": ({"x": array(0, 1)}, "gap"),
    "suboptimal-a-little": ({"x": array(1 + 1e-5, 0)}, "gap"),
    "worst": ({"x": array(1, 3)}, "gap"),
    "wrong-duals": ({"row_duals": array(0.5)}, "gap"),
    "duals-of-other-sign": ({"row_duals": array(-1)}, "gap"),
    "zero-duals": ({"row_duals": array(0)}, "gap"),
    "huge-duals": ({"row_duals": array(1e300)}, ""),
    "suboptimal-with-duals-to-match": ({"x": array(0, 1), "row_duals": array(2)}, "gap"),
    "nan": ({"x": array(NAN, 0)}, "point"),
    "inf": ({"x": array(INF, 0)}, "point"),
    "huge": ({"x": array(1e300, 1e300)}, ""),
    "dual-nan": ({"row_duals": array(NAN)}, "row duals"),
    "dual-inf": ({"row_duals": array(-INF)}, "row duals"),
    "no-point": ({"x": None}, "point"),
    "no-duals": ({"row_duals": None}, "row duals"),
    "short": ({"x": array(1)}, "point"),
    "long": ({"x": array(1, 0, 0)}, "point"),
    "empty": ({"x": array()}, "point"),
    "two-dimensional": ({"x": array(1, 0)[None]}, "point"),
    "dual-two-dimensional": ({"row_duals": array(1)[None]}, "row duals"),
    "scalar": ({"x": np.float64(1.0)}, "point"),
    "strings": ({"x": np.array(["1", "0"])}, "point"),
    "objects": ({"x": np.array([None, 0], dtype=object)}, "point"),
    "complex": ({"x": np.array([1 + 1j, 0])}, ""),
    "text": ({"x": "10"}, "point"),
    "wrong-list": ({"x": [0.0, 0.0]}, ""),
    "ragged-list": ({"x": [[1.0], 0.0]}, ""),
}


@pytest.mark.parametrize("always", [False, True], ids=["once", "always"])
@pytest.mark.parametrize("name", WRONG)
def test_wrong_parts(name: str, always: bool) -> None:
    parts, says = WRONG[name]
    assert_refused(outcome(TRUTH, Liar(change(**parts), always)), WrongAnswer, says=says)


@pytest.mark.parametrize(
    "x", [[1.0, 0.0], (1.0, 0.0), np.array([1, 0]), np.array([1, 0], np.float32), np.array([True, False])], ids=repr
)
def test_right_numbers_of_another_type(x: Any) -> None:
    """Refused by name, or taken as doubles; never half taken."""
    found = outcome(TRUTH, Liar(change(x=x)))
    if isinstance(found, SolverError):
        assert_refused(found, WrongAnswer)
    else:
        assert isinstance(found.x, np.ndarray)
        assert found.x.dtype == np.float64
        assert found.x.tolist() == [1.0, 0.0]


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("sense", SENSES)
def test_every_disturbed_entry_is_noticed(seed: int, sense: Any) -> None:
    """Nondegenerate programs: moving any entry of the point by 1% makes it infeasible or worse."""
    pair = known_pair(seed, sense=sense)
    for j, way in itertools.product(range(pair.x.size), (1, -1)):
        moved = pair.x + way * 0.01 * (1 + np.abs(pair.x)) * np.eye(pair.x.size)[j]
        lie = change(x=moved, row_duals=pair.row_duals.copy())
        found = outcome(pair.program, Liar(lie))
        if isinstance(found, Solution):  # the direction may be free of charge
            assert certificates.primal_violation(pair.program, found.x) <= 1e-6
            assert found.objective == pytest.approx(float(pair.optimum), abs=1e-5)
        else:
            assert_refused(found, WrongAnswer)


@pytest.mark.parametrize(
    "other",
    [
        replace(TRUTH, row_lower=array(2)),
        replace(TRUTH, costs=array(2, 1)),
        replace(TRUTH, costs=array(-1, 2)),
        mirrored(replace(TRUTH, costs=-TRUTH.costs)),
        replace(TRUTH, upper=array(0.5, 3)),
        program([1, 2, 3], [[1, 1, 1]], 1, 4, upper=3),
        program([1, 2], [[1, 1], [1, 0]], [1, 0], 4, upper=3),
        program([]),
    ],
    ids=["row", "costs", "sign", "sense", "bound", "wider", "longer", "empty"],
)
def test_answer_to_another_program(other: LinearProgram) -> None:
    stale = Highs().run(other, Request())
    lie = claim(stale.termination, x=stale.x, row_duals=stale.row_duals)
    assert_refused(outcome(TRUTH, Liar(lie)), WrongAnswer)


# Claims

INFEASIBLE, UNBOUNDED = program([1, 1], [[1, 1]], 5, INF, upper=2), program([-1, 0], [[1, -1]], 0, 0)


@pytest.mark.parametrize("always", [False, True], ids=["once", "always"])
@pytest.mark.parametrize(
    ("lp", "lie"),
    [
        pytest.param(TRUTH, claim(Termination.INFEASIBLE), id="feasible-called-infeasible"),
        *(
            pytest.param(TRUTH, claim(Termination.INFEASIBLE, dual_ray=ray), id=f"bogus-farkas-{k}")
            for k, ray in enumerate([array(1), array(-1), array(0), array(NAN), array(), array(1, 1), array(1e300)])
        ),
        pytest.param(TRUTH, claim(Termination.UNBOUNDED), id="bounded-called-unbounded"),
        pytest.param(TRUTH, claim(Termination.UNBOUNDED, x=array(1, 0)), id="with-a-point"),
        *(
            pytest.param(TRUTH, claim(Termination.UNBOUNDED, x=array(1, 0), primal_ray=ray), id=f"bogus-ray-{k}")
            for k, ray in enumerate(
                [array(-1, 0), array(0, 0), array(1, -1), array(NAN, 1), array(1), array(-1e300, 0)]
            )
        ),
        pytest.param(UNBOUNDED, claim(Termination.INFEASIBLE), id="unbounded-called-infeasible"),
        pytest.param(UNBOUNDED, claim(Termination.INFEASIBLE, dual_ray=array(1)), id="unbounded-bogus-farkas"),
        pytest.param(
            INFEASIBLE, claim(Termination.OPTIMAL, x=array(2, 2), row_duals=array(1)), id="infeasible-called-optimal"
        ),
        pytest.param(INFEASIBLE, claim(Termination.OPTIMAL, x=array(2, 3), row_duals=array(1)), id="beyond-bounds"),
        pytest.param(
            UNBOUNDED, claim(Termination.OPTIMAL, x=array(0, 0), row_duals=array(0)), id="unbounded-called-optimal"
        ),
        pytest.param(UNBOUNDED, claim(Termination.OPTIMAL, x=array(9, 9), row_duals=array(-1)), id="unbounded-far-out"),
        pytest.param(TRUTH, claim(Termination.OPTIMAL), id="optimal-without-anything"),
    ],
)
def test_false_claims(lp: LinearProgram, lie: Lie, always: bool) -> None:
    with pytest.raises((WrongAnswer, SolverFailed), match="liar") as caught:
        solve(lp, Liar(lie, always))
    assert type(caught.value) in (WrongAnswer, SolverFailed)


@pytest.mark.parametrize("lp", [INFEASIBLE, mirrored(INFEASIBLE)], ids=SENSES)
def test_infeasible_called_unbounded_is_infeasible(lp: LinearProgram) -> None:
    """Solvers that say "infeasible or unbounded" must not turn one into the other."""
    solution = solve(lp, Liar(claim(Termination.UNBOUNDED)))
    assert solution.termination is Termination.INFEASIBLE
    assert solution.dual_ray is not None
    assert certificates.farkas_margin(lp, solution.dual_ray) > 0


def test_nearly_parallel_rows_are_not_infeasible() -> None:
    """x = z and x = (1 + 2^-34) z - 1 meet at z = 2^34, far out but there; y = (1, -1) proves nothing."""
    lp = program([0, 0], [[1, -1], [1, -(1 + 2.0**-34)]], [0, -1], [0, -1], lower=-INF)
    assert certificates.primal_violation(lp, array(2.0**34, 2.0**34)) == 0
    for ray in (array(1, -1), array(-1, 1)):
        found = outcome(lp, Liar(claim(Termination.INFEASIBLE, dual_ray=ray)))
        assert_refused(found, WrongAnswer, SolverFailed)


def test_nearly_a_direction_is_not_unbounded() -> None:
    """max x over 2^-34 x + z <= 1, x, z >= 0 is 2^34; along (1, -2^-34) z would turn negative."""
    lp = program([1, 0], [[2.0**-34, 1]], -INF, 1, sense="max")
    assert solve(lp, "highs").termination is not Termination.UNBOUNDED
    lie = claim(Termination.UNBOUNDED, x=array(0, 0), primal_ray=array(1, -(2.0**-34)))
    assert_refused(outcome(lp, Liar(lie)), WrongAnswer, SolverFailed)


@pytest.mark.parametrize("x", [None, array(1, 0), array(0, 0), array(NAN, 0)], ids=["none", "best", "bad", "nan"])
def test_time_limit_is_no_success(x: FloatArray | None) -> None:
    lie = change(termination=Termination.TIME_LIMIT, x=x)
    assert solve(TRUTH, Liar(lie)).termination is Termination.TIME_LIMIT
    assert_refused(outcome(TRUTH, Liar(lie)), TimeLimit, says="time limit")


def test_failure_with_a_proof_is_an_optimum() -> None:
    solution = solve(TRUTH, Liar(change(termination=Termination.FAILED))).require_optimal()
    assert solution.x.tolist() == [1.0, 0.0]


@pytest.mark.parametrize("name", WRONG)
def test_failure_without_a_proof_stays_one(name: str) -> None:
    lie = change(termination=Termination.FAILED, **WRONG[name][0])
    assert_refused(outcome(TRUTH, Liar(lie)), SolverFailed, WrongAnswer)


# What comes back is no answer at all


@pytest.mark.parametrize("value", [None, 1.0, "optimal", {"x": [1, 0]}, Termination.OPTIMAL, Answer], ids=repr)
def test_no_answer(value: object) -> None:
    assert_refused(outcome(TRUTH, Liar(lambda *_: value)), SolverFailed, says=repr(value)[:40])


@pytest.mark.parametrize("time_limit", [None, 20.0])
@pytest.mark.parametrize("error", [ValueError, RuntimeError, MemoryError, OSError, AssertionError, SystemExit])
def test_breakdown(error: type[BaseException], time_limit: float | None) -> None:
    """Whatever a solver raises, even an attempt to end the process, is a failed solve."""

    def lie(*_: object) -> Answer:
        raise error("of the solver's own")

    found = outcome(TRUTH, Liar(lie), time_limit)
    assert_refused(found, SolverFailed, says=error.__name__)
    assert "of the solver's own" in str(found)
    assert isinstance(found, SolverFailed)
    assert isinstance(found.__cause__, error)


def test_breakdown_of_the_proof() -> None:
    """Should the solver be asked to prove its claim, and break down over it, that is a failure like any other."""
    calls: list[int] = []

    def lie(_: LinearProgram, truth: Answer, __: Request) -> Answer:
        calls.append(1)
        if len(calls) > 1:
            raise ValueError("second time")
        return replace(truth, termination=Termination.INFEASIBLE)

    found = outcome(TRUTH, Liar(lie, True))
    assert_refused(found, SolverFailed, WrongAnswer, says="second time" if len(calls) > 1 else "infeasible")


@pytest.mark.parametrize(
    "in_force", [{}, {"gap": 2}, {"gap": None}, {"GAP": 1}], ids=["none", "another-value", "unset", "another-name"]
)
def test_ignored_option(in_force: dict[str, object]) -> None:
    assert_refused(outcome(TRUTH, Liar(change(options=in_force), gap=1)), WrongAnswer, says="gap")
    assert isinstance(outcome(TRUTH, Liar(change(), gap=1)), Solution)


@pytest.mark.parametrize("sizes", [(1, 1), (3, 1), (2, 0), (0, 0)], ids=str)
def test_basis_of_another_program(sizes: tuple[int, int]) -> None:
    """A basis that does not fit is refused or left out."""
    basis = Basis(np.zeros(sizes[0], dtype=np.int8), np.ones(sizes[1], dtype=np.int8))
    found = outcome(TRUTH, Liar(change(basis=basis)))
    if isinstance(found, Solution):
        assert found.basis is None
    else:
        assert_refused(found, WrongAnswer)


def test_answer_is_not_shared_with_the_solver() -> None:
    """A solver that reuses its memory cannot change a checked answer, and its memory stays writable."""
    memory = array(1, 0)
    solution = solve(TRUTH, Liar(change(x=memory[:]))).require_optimal()
    memory[:] = 7.0
    assert solution.x.tolist() == [1.0, 0.0]
    owned = array(1, 0)
    solve(TRUTH, Liar(change(x=owned)))
    assert owned.flags.writeable


# Small and large numbers

SMALL, LARGE = 2.0**-30, 2.0**30


@pytest.mark.parametrize("matrix", [SMALL, 1.0, LARGE])
@pytest.mark.parametrize("bounds", [SMALL, 1.0, LARGE])
@pytest.mark.parametrize("costs", [SMALL, 1.0, LARGE])
def test_wrong_in_any_units(costs: float, bounds: float, matrix: float) -> None:
    """Other units make no wrong point right and no right point wrong."""
    lp = rescaled(TRUTH, costs, bounds, matrix)
    x, y = array(1, 0) * bounds, array(1) * costs / matrix
    honest = outcome(lp, Liar(change(x=x.copy(), row_duals=y.copy())))
    assert isinstance(honest, Solution), honest
    points = [array(0, 0), array(0.5, 0), array(1.01, 0), array(0.99, 0), array(0, 1), array(3, 3), array(-1, 2)]
    for wrong, duals in itertools.product(points, (y, 0 * y, -y, 2 * y)):
        lie = change(x=wrong * bounds, row_duals=duals.copy())
        assert_refused(outcome(lp, Liar(lie)), WrongAnswer)


@pytest.mark.parametrize("size", [2.0**-24, SMALL, 2.0**-60], ids=str)
def test_infeasible_point_of_a_small_program_without_costs(size: float) -> None:
    """x >= size: the point 0 is as wrong as it can be, whatever the units."""
    lp = program([0], [[1]], size, INF)
    assert_refused(outcome(lp, Liar(change(x=array(0), row_duals=array(0)))), WrongAnswer)
    bounded = program([0], lower=size)
    assert_refused(outcome(bounded, Liar(change(x=array(0)))), WrongAnswer)


def test_small_infeasible_program_is_not_optimal() -> None:
    lp = program([0], [[1], [1]], [SMALL, -INF], [INF, 0])
    assert_refused(outcome(lp, Liar(claim(Termination.OPTIMAL, x=array(0), row_duals=array(0, 0)))), WrongAnswer)


def test_row_in_small_units() -> None:
    """min x over 2^-30 x >= 2^-30 is 1; the point 0 violates all of the row, though by little in absolute terms."""
    lp = program([1], [[SMALL]], SMALL, INF)
    assert_refused(outcome(lp, Liar(change(x=array(0), row_duals=array(0)))), WrongAnswer)


def test_row_in_small_units_beside_others() -> None:
    lp = program([1, 1], [[SMALL, 0], [0, 1]], [SMALL, 1], INF)
    assert_refused(outcome(lp, Liar(change(x=array(0, 1), row_duals=array(0, 1)))), WrongAnswer)


@pytest.mark.parametrize("noise", [1e-9, -1e-12, 1e-15, 1e-300])
def test_noise_of_the_duals_is_no_gap(noise: float) -> None:
    """Without costs any feasible point is optimal and duals are noise; that is no reason to refuse it."""
    lp = program([0, 0], [[1, 1]], 1, 1, upper=1)
    found = outcome(lp, Liar(change(x=array(0.5, 0.5), row_duals=array(noise))))
    assert isinstance(found, Solution), found


UNITS = [10.0**k for k in (-12, -9, -6, -3, 0, 3, 6, 9, 12)]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("sense", SENSES)
@pytest.mark.parametrize("bounds", UNITS)
@pytest.mark.parametrize("costs", UNITS)
def test_highs_in_any_units(costs: float, bounds: float, sense: Any, seed: int) -> None:
    """A well-conditioned program in other units is still solved, at the first attempt, and right."""
    pair = known_pair(seed, bounded=True, sense=sense)
    solution = solve(rescaled(pair.program, costs, bounds), "highs").require_optimal()
    assert solution.attempts == ()
    assert solution.objective / (costs * bounds) == pytest.approx(float(pair.optimum), rel=1e-9, abs=1e-9)
    assert certificates.primal_violation(pair.program, solution.x / bounds) <= 1e-9


# Hanging, and Ctrl-C


def hang(_: LinearProgram, __: Answer, request: Request, seconds: float = 30.0) -> Answer:
    """Ignore the time limit; but end with the test."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not (request.stop is not None and request.stop.is_set()):
        time.sleep(0.02)
    return claim(Termination.FAILED)(_, __, request)  # type: ignore[no-any-return]


def test_hanging_past_the_time_limit() -> None:
    liar = Liar(hang)
    started = time.monotonic()
    assert_refused(outcome(TRUTH, liar, 0.05), TimeLimit, says="still running")
    assert time.monotonic() - started < 10
    stop = liar.requests[0].stop
    assert stop is not None
    assert stop.is_set()


def test_hanging_in_the_proof() -> None:
    """The claim comes at once; should the solver be asked to prove it, it hangs."""
    calls: list[int] = []

    def lie(lp: LinearProgram, truth: Answer, request: Request) -> Any:
        calls.append(1)
        return hang(lp, truth, request) if len(calls) > 1 else claim(Termination.INFEASIBLE)(lp, truth, request)

    started = time.monotonic()
    found = outcome(TRUTH, Liar(lie, True), 0.05)
    assert time.monotonic() - started < 10
    if len(calls) > 1:
        assert_refused(found, TimeLimit, says="still running")
    else:
        assert_refused(found, WrongAnswer, says="infeasible")


def test_late_answer_is_ignored() -> None:
    """What a solver says after it was left behind changes nothing."""
    done = threading.Event()

    def lie(_: LinearProgram, truth: Answer, request: Request) -> Answer:
        assert request.stop is not None
        request.stop.wait(20)
        done.set()
        return truth

    found = outcome(TRUTH, Liar(lie), 0.01)
    assert_refused(found, TimeLimit)
    assert done.wait(10)


def _signal_main() -> None:
    """What Ctrl-C does."""
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, signal.SIGINT)


@pytest.mark.parametrize("time_limit", [8.0, None])
@pytest.mark.parametrize(
    "press",
    [
        pytest.param(_signal_main, id="signal-to-main-thread"),
        pytest.param(lambda: os.kill(os.getpid(), signal.SIGINT), id="signal-to-process"),
        pytest.param(_thread.interrupt_main, id="interrupt_main"),
        pytest.param(lambda: signal.raise_signal(signal.SIGINT), id="raise_signal"),
    ],
)
def test_ctrl_c(press: Callable[[], None], time_limit: float | None) -> None:
    """It ends the wait, not after the time limit but now, and the solver is asked to stop."""
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("signals go to the main thread")
    liar = Liar(hang)
    timer = threading.Timer(0.3, press)
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    started = time.monotonic()
    try:
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            solve(TRUTH, liar, time_limit=time_limit)
    finally:
        timer.join()
        signal.signal(signal.SIGINT, previous)
    assert time.monotonic() - started < 6
    if time_limit is not None:
        stop = liar.requests[0].stop
        assert stop is not None
        assert stop.is_set()
