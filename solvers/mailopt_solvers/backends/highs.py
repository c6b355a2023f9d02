"""HiGHS through highspy, called directly.

Facts that shape this file (HiGHS 1.15): NaN passes silently, so programs are validated before; a bad option value
leaves the old one in force, so every status is checked and every option read back; matrix entries under
``small_matrix_value`` (1e-9 unless told) are dropped without a word, so it is lowered to its minimum; finite bounds
from ``infinite_bound`` (1e20 unless told) on become none; tolerances of 1e-7 leave incentive violations of that size,
and 1e-9 costs nothing extra; the time limit counts all runs of one object; the arrays of a program go over in one call;
with costs or bounds around its absolute tolerances it is wrong or gives up, unless they are scaled; what
is not simplex may return duals of the wrong sign for a maximisation, which goes over as a minimisation then, and may
crash the process when asked for a ray, which it is not asked for; branch and bound, asked for a ray, solves
the relaxation once more, and is not asked either.
"""

from __future__ import annotations

import importlib.util
import math
import threading
import time
from collections.abc import Callable, Collection
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from mailopt_solvers.basis import Basis, BasisStatus, StatusArray
from mailopt_solvers.errors import InvalidOption, SolverFailed
from mailopt_solvers.program import FloatArray, Frame, LinearProgram, Numbers
from mailopt_solvers.residuals import BoolArray
from mailopt_solvers.solution import Termination
from mailopt_solvers.solver import Answer, Capability, Request, Solver

if TYPE_CHECKING:
    import highspy

Number = TypeVar("Number", float, FloatArray)
OptionValue = bool | int | float | str

_OPTIONS: dict[str, OptionValue] = {
    "output_flag": False,
    "primal_feasibility_tolerance": 1e-9,
    "dual_feasibility_tolerance": 1e-9,
    "small_matrix_value": 1e-12,
    "infinite_bound": float("inf"),
    "infinite_cost": float("inf"),
}

_FOREVER = float("inf")
_BY_SIMPLEX = ("choose", "simplex")
_SMALL, _LARGE = 2.0**-8, 2.0**16  # costs or bounds all beyond these are scaled

_ARGUMENTS = {"solver": "the method: Highs('ipm')", "time_limit": "solve(..., time_limit=..)"}

_TERMINATIONS = {
    "kOptimal": Termination.OPTIMAL,
    "kInfeasible": Termination.INFEASIBLE,
    "kUnbounded": Termination.UNBOUNDED,
    "kUnboundedOrInfeasible": Termination.UNBOUNDED,  # which of the two, the check finds out
    "kTimeLimit": Termination.TIME_LIMIT,
}


class Highs(Solver):
    """HiGHS.

    Parameters
    ----------
    method
        ``"choose"`` (HiGHS decides, simplex as a rule; failures are followed by other methods), ``"simplex"``,
        ``"ipm"`` (interior point with crossover), ``"pdlp"`` (first order, low accuracy), ``"hipo"`` (interior point,
        needs ``highspy[extras]``).
    options
        HiGHS' own options. Feasibility tolerances are 1e-9 unless given. ``threads`` starts its pool of threads anew:
        not while another solve is running.

    Notes
    -----
    Costs, and bounds, that are all below 2^-8 or all above 2^16 are scaled by a power of two (HiGHS'
    ``user_objective_scale`` and ``user_bound_scale``) unless these options are given.

    Examples
    --------
    >>> from mailopt_solvers import Highs
    >>> Highs("ipm", ipm_optimality_tolerance=1e-10)
    Highs('ipm', ipm_optimality_tolerance=1e-10)
    """

    backend: ClassVar[str] = "highs"
    methods: ClassVar[tuple[str, ...]] = ("choose", "simplex", "ipm", "pdlp", "hipo")
    modules: ClassVar[tuple[str, ...]] = ("highspy",)

    def __init__(self, method: str | None = None, /, **options: OptionValue) -> None:
        super().__init__(method, **options)
        for name in options.keys() & _ARGUMENTS.keys():
            raise InvalidOption(f"option {name!r} of HiGHS has another place here: {_ARGUMENTS[name]}")
        if self.method in ("ipm", "hipo") and options.get("presolve") == "off":
            raise InvalidOption(
                f"HiGHS' {self.method} without presolve crashes the process on some infeasible and unbounded programs; "
                f"leave presolve on, or take 'simplex'"
            )

    @property
    def capabilities(self) -> frozenset[Capability]:
        """All but those of a first-order method, which knows no bases and runs on when asked to stop."""
        if self.method == "pdlp":
            return frozenset({Capability.TIME_LIMIT})
        every = frozenset(Capability)
        return every if self.method in ("choose", "simplex") else every - {Capability.START}

    @property
    def tolerance(self) -> float:
        """1e-7; 1e-4 for the first-order method."""
        return 1e-4 if self.method == "pdlp" else 1e-7

    def missing(self) -> str | None:
        """Whether highspy is there and, for ``"hipo"``, whether a real solve uses it."""
        if importlib.util.find_spec("highspy") is None:
            return "pip install highspy"
        return _missing_hipo() if self.method == "hipo" else None

    def run(self, program: LinearProgram, request: Request) -> Answer:
        """Solve from scratch, or from a basis.

        In the caller's own thread HiGHS' object is kept for the next program, for making one takes as long as solving a
        small program. It is not kept after a failure.
        """
        started = time.perf_counter()
        kept: dict[str, HighsModel] = _local.__dict__ if request.stop is None else {}
        model = kept.pop(repr(self), None) or HighsModel(self)
        model.load(program)
        if request.start is not None:
            model.set_basis(request.start)
        answer = model.run(program, request, build_time=time.perf_counter() - started)
        if len(kept) < _KEPT:
            kept[repr(self)] = model
        return answer

    def fallbacks(self) -> tuple[Solver, ...]:
        """Without presolve, by primal simplex, by interior point; none if the method was asked for by name."""
        if self.method != "choose":
            return ()
        plain: dict[str, OptionValue] = {**self._given(), "presolve": "off"}
        by_ipm = {name: value for name, value in self._given().items() if name != "presolve"}
        tries = (Highs(**plain), Highs("simplex", **plain, simplex_strategy=4), Highs("ipm", **by_ipm))
        return tuple(t for t in tries if t != self)

    def _given(self) -> dict[str, OptionValue]:
        return {k: v for k, v in self.options.items() if isinstance(v, bool | int | float | str)}


class HighsModel:
    """A HiGHS object, kept, with a program in it: hand over, change, run.

    Raises
    ------
    InvalidOption
        An option that HiGHS does not have, or a value that it does not take.
    SolverFailed
        HiGHS refused something else.
    """

    def __init__(self, solver: Highs) -> None:
        import highspy  # noqa: PLC0415 - a tenth of a second that importing the package need not cost

        self._highspy = highspy
        self.highs: Any = highspy.Highs()  # type: ignore[no-untyped-call]  # its stubs lack half of its methods
        self.version = self.highs.version()
        self._stop: threading.Event | None = None
        self._watched = False
        self._framed: Frame | None = None
        self._given = frozenset(solver.options)
        self._capabilities = solver.capabilities
        self._by_simplex = solver.method in _BY_SIMPLEX
        if "threads" in solver.options:  # else the number of the first run in this process stays
            highspy.Highs.resetGlobalScheduler(True)
        self._continuous = np.zeros(0, dtype=np.int32)  # tells HiGHS that no variable is an integer
        self._mixed = False
        self.options: dict[str, object] = {}
        settings = dict(_OPTIONS) | ({} if solver.method == "choose" else {"solver": solver.method})
        for name, value in (settings | dict(solver.options)).items():
            self._set(name, value)

    def _set(self, name: str, value: object) -> None:
        try:
            refused = self.highs.setOptionValue(name, value).name == "kError"
        except TypeError:
            refused = True
        found = None if refused else self.highs.getOptionValue(name)[1]
        if refused or found != value:
            known = self.highs.getOptionType(name)[0].name != "kError"
            fix = f"the value in force is {self.highs.getOptionValue(name)[1]!r}" if known else "it has no such option"
            raise InvalidOption(f"HiGHS {self.version} does not take option {name} = {value!r}; {fix}")
        self.options[name] = value

    def load(self, program: LinearProgram, integral: BoolArray | None = None) -> None:
        """Hand a whole program over, with flags (n,) of its integers if any; a basis from before is lost."""
        self._mixed = integral is not None
        self._check(self._pass(program, program.numbers, integral), "the program")
        self._scale(program)

    def _pass(self, pattern: LinearProgram, numbers: Numbers, integral: BoolArray | None = None) -> highspy.HighsStatus:
        matrix = pattern.matrix
        n, m = numbers.costs.size, numbers.row_lower.size
        if self._continuous.size != n:
            self._continuous = np.zeros(n, dtype=np.int32)
        status: highspy.HighsStatus = self.highs.passModel(
            n,
            m,
            matrix.nnz,
            1,  # by columns
            1 if pattern.sense == "min" or not self._by_simplex else -1,
            self._signed(pattern, pattern.offset),
            self._signed(pattern, numbers.costs),
            numbers.lower,
            numbers.upper,
            numbers.row_lower,
            numbers.row_upper,
            matrix.indptr,
            matrix.indices,
            numbers.coefficients,
            self._continuous if integral is None else integral.astype(np.int32),
        )
        return status

    def change(self, program: LinearProgram, parts: Collection[str]) -> None:
        """Bring costs and bounds up to those of a program of the same matrix."""
        self._scale(program)
        columns, rows = np.arange(program.num_variables, dtype=np.int32), np.arange(program.num_rows, dtype=np.int32)
        if "costs" in parts:
            self._check(
                self.highs.changeColsCost(columns.size, columns, self._signed(program, program.costs)), "the costs"
            )
        if "lower" in parts or "upper" in parts:
            self._check(self.highs.changeColsBounds(columns.size, columns, program.lower, program.upper), "the bounds")
        if "row_lower" in parts or "row_upper" in parts:
            self._check(
                self.highs.changeRowsBounds(rows.size, rows, program.row_lower, program.row_upper), "the row bounds"
            )

    def _scale(self, program: LinearProgram) -> None:
        """Let HiGHS, whose tolerances are absolute, see small or large costs and bounds in units of their own size."""
        sizes = {"user_objective_scale": program.costs}
        if program.frame is not self._framed:  # the same object as long as no bound changes
            self._framed = program.frame
            sizes["user_bound_scale"] = np.concatenate((program.frame.finite_lower, program.frame.finite_upper))
        for name, numbers in sizes.items():
            exponent = unit_exponent(numbers)
            if name not in self._given and exponent != self.options.get(name, 0):
                self._set(name, exponent)

    def add_columns(self, program: LinearProgram, start: int) -> None:
        """Append the variables of a program from one on, with their coefficients."""
        costs = self._signed(program, program.costs[start:])
        lower, upper, matrix = program.lower[start:], program.upper[start:], program.matrix[:, start:]
        self._check(
            self.highs.addCols(
                costs.size, costs, lower, upper, matrix.nnz, *_int32(matrix.indptr[:-1], matrix.indices), matrix.data
            ),
            "new variables",
        )

    def add_rows(self, lower: FloatArray, upper: FloatArray, matrix: sparse.csr_array) -> None:
        """Append rows with the coefficients of all variables."""
        self._check(
            self.highs.addRows(
                lower.size, lower, upper, matrix.nnz, *_int32(matrix.indptr[:-1], matrix.indices), matrix.data
            ),
            "new rows",
        )

    def set_basis(self, basis: Basis) -> None:
        """Start the next run from a basis."""
        if isinstance(basis, _HighsBasis):
            raw = basis.raw
        else:
            raw = self._highspy.HighsBasis()
            names = list(map(self._highspy.HighsBasisStatus, range(4)))
            raw.col_status = [names[k] for k in basis.variables]
            raw.row_status = [names[k] for k in basis.rows]
            raw.valid, raw.alien = True, False
        self._check(self.highs.setBasis(raw), "the basis")

    def set_point(self, x: FloatArray) -> None:
        """Offer a point to the next branch and bound; HiGHS ignores one that is not feasible."""
        raw = self._highspy.HighsSolution()
        raw.col_value, raw.value_valid = x.tolist(), True
        self._check(self.highs.setSolution(raw), "the starting point")

    def tree(self) -> tuple[float, int]:
        """Bound on the objective from the last branch and bound, and its nodes."""
        found = self.highs.getInfo()
        return float(found.mip_dual_bound), max(int(found.mip_node_count), 0)

    def prepare(self, request: Request) -> None:
        """Set the time limit of the next run and what stops it."""
        self._watch(request)
        self._limit(request)

    def solve_raw(self, pattern: LinearProgram, numbers: Numbers, x: FloatArray, row_duals: FloatArray) -> bool:
        """Solve the pattern with other numbers from scratch, fill in point and duals, say whether HiGHS claims them."""
        highs, error = self.highs, self._highspy.HighsStatus.kError
        if self._pass(pattern, numbers) == error or highs.run() == error:
            return False
        if highs.getModelStatus() != self._highspy.HighsModelStatus.kOptimal:
            return False
        answer = highs.getSolution()
        x[:], row_duals[:] = answer.col_value, self._signed(pattern, np.array(answer.row_dual))
        return True

    def _signed(self, pattern: LinearProgram, number: Number) -> Number:
        """Change the sign of costs or duals if maximisation goes over as minimisation."""
        return number if self._by_simplex or pattern.sense == "min" else -number

    def run(self, program: LinearProgram, request: Request, *, build_time: float = 0.0) -> Answer:
        """Solve what is loaded, which must be the given program, from the basis that is there."""
        highs = self.highs
        started = time.perf_counter()
        self.prepare(request)
        outcome = highs.run()
        status = highs.getModelStatus()
        detail = highs.modelStatusToString(status)
        termination = _TERMINATIONS.get(status.name, Termination.FAILED)
        if outcome.name == "kError" and termination not in (Termination.INFEASIBLE, Termination.UNBOUNDED):
            raise SolverFailed(f"HiGHS has no answer ({detail}) to {program!r}")
        if status.name == "kModelEmpty":  # without variables the rows read row_lower <= 0 <= row_upper
            satisfied = ((program.row_lower <= 0) & (program.row_upper >= 0)).all()
            termination = Termination.OPTIMAL if satisfied else Termination.INFEASIBLE
        answer = highs.getSolution()
        return Answer(
            termination=termination,
            version=self.version,
            detail=detail,
            options=self.options | {"time_limit": request.time_limit},
            x=np.array(answer.col_value) if answer.value_valid or program.num_variables == 0 else None,
            row_duals=self._signed(program, np.array(answer.row_dual))
            if answer.dual_valid
            else (np.zeros(program.num_rows) if program.num_variables == 0 else None),
            primal_ray=self._ray(highs.getPrimalRay) if termination is Termination.UNBOUNDED else None,
            dual_ray=self._ray(highs.getDualRay) if termination is Termination.INFEASIBLE else None,
            basis=self._final_basis(program),
            iterations=sum(max(int(highs.getInfoValue(name)[1]), 0) for name in _COUNTS),
            build_time=build_time,
            solve_time=time.perf_counter() - started,
        )

    def _limit(self, request: Request) -> None:
        if request.time_limit is not None:
            self._set("time_limit", self.highs.getRunTime() + request.time_limit)
        elif self.options.get("time_limit", _FOREVER) != _FOREVER:
            self._set("time_limit", _FOREVER)

    def _watch(self, request: Request) -> None:
        """Let the caller stop the run."""
        if request.stop is not None and not self._watched:
            for event in (self.highs.cbSimplexInterrupt, self.highs.cbIpmInterrupt, self.highs.cbMipInterrupt):
                event.subscribe(self._interrupt_if_asked)
            self._watched = True
        self._stop = request.stop

    def _interrupt_if_asked(self, event: object) -> None:
        if self._stop is not None and self._stop.is_set():
            event.interrupt()  # type: ignore[attr-defined]

    def _final_basis(self, program: LinearProgram) -> Basis | None:
        if program.num_variables == 0 and Capability.BASIS in self._capabilities:
            return _all_rows(program.num_rows)
        raw = self.highs.getBasis()
        return _HighsBasis(raw) if raw.valid else None

    def _ray(self, get: Callable[[], tuple[object, bool, FloatArray]]) -> FloatArray | None:
        if not self._by_simplex or self._mixed:
            return None
        _, exists, values = get()
        return np.array(values, dtype=np.float64) if exists else None

    def _check(self, status: highspy.HighsStatus, what: str) -> None:
        if status.name == "kError":
            raise SolverFailed(f"HiGHS {self.version} refused {what}")


_local = threading.local()
_KEPT = 4  # objects, one for each way of solving

_COUNTS = ("simplex_iteration_count", "ipm_iteration_count", "crossover_iteration_count", "pdlp_iteration_count")


class _HighsBasis(Basis):
    """HiGHS' own basis object, turned into arrays only when somebody looks."""

    def __init__(self, raw: highspy.HighsBasis) -> None:
        object.__setattr__(self, "raw", raw)

    raw: highspy.HighsBasis

    def __reduce__(self) -> tuple[type[Basis], tuple[StatusArray, StatusArray]]:
        """Pickle as a plain basis."""
        return Basis, (self.variables, self.rows)

    @cached_property
    def variables(self) -> StatusArray:
        """Statuses of the variables."""
        return _statuses(self.raw.col_status)

    @cached_property
    def rows(self) -> StatusArray:
        """Statuses of the rows."""
        return _statuses(self.raw.row_status)


def _all_rows(count: int) -> Basis:
    """Build the one basis of a program without variables."""
    return Basis(np.zeros(0, dtype=np.int8), np.full(count, BasisStatus.BASIC, dtype=np.int8))


def _statuses(values: list[highspy.HighsBasisStatus]) -> StatusArray:
    """Convert; "nonbasic" without saying where counts as free."""
    array = np.minimum(np.fromiter(map(int, values), dtype=np.int8, count=len(values)), 3)
    array.setflags(write=False)
    return array


def unit_exponent(numbers: FloatArray) -> int:
    """Power of two that brings the largest of small numbers, or the least of large ones, near 1; 0 for others."""
    sizes = np.abs(numbers)
    largest = float(sizes.max(initial=0.0))
    if 0.0 < largest < _SMALL:
        return -math.frexp(largest)[1]
    if largest > _LARGE:
        least = float(sizes[sizes > 0].min())
        return -math.frexp(least)[1] if least > _LARGE else 0
    return 0


def _int32(*arrays: npt.NDArray[np.integer]) -> list[npt.NDArray[np.int32]]:
    return [array.astype(np.int32, copy=False) for array in arrays]


@cache
def _missing_hipo() -> str | None:
    """Ask for HiPO on a small program; HiGHS without it refuses, or runs something else."""
    import highspy  # noqa: PLC0415

    fix = "this HiGHS has no HiPO; pip install 'highspy[extras]'"
    highs = highspy.Highs()  # type: ignore[no-untyped-call]
    highs.setOptionValue("output_flag", False)
    if highs.setOptionValue("solver", "hipo").name == "kError":
        return fix
    highs.setOptionValue("presolve", "off")
    one, index = np.ones(1), np.zeros(1, dtype=np.int32)
    highs.passModel(
        1, 1, 1, 1, 1, 0.0, one, 0 * one, 3 * one, one, 2 * one, np.array([0, 1], np.int32), index, one, index
    )
    highs.run()
    used = highs.getModelStatus().name == "kOptimal" and highs.getInfoValue("ipm_iteration_count")[1] > 0
    return None if used else fix
