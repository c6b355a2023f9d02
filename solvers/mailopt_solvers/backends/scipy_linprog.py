"""HiGHS as it comes with SciPy, through ``scipy.optimize.linprog``.

Facts that shape this file (SciPy 1.17): an option that linprog does not know, or whose value it does not take, is a
warning and the default stays in force, so warnings about options are errors here; options cannot be read back; rows go
over one-sided; without variables there is an error; no point comes back with a time or iteration limit; "unbounded or
infeasible" is status 4, told from breakdowns by its text only; matrix entries below 1e-9 are dropped and bounds from
1e20 on are none, which the check of the answer finds out where it matters.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import time
import warnings
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from mailopt_solvers.backends.one_sided import OneSided, trivial_answer
from mailopt_solvers.errors import InvalidOption
from mailopt_solvers.program import LinearProgram
from mailopt_solvers.solution import Termination
from mailopt_solvers.solver import Answer, Capability, Request, Solver

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult

_OPTIONS: dict[str, object] = {
    "disp": False,
    "presolve": True,
    "primal_feasibility_tolerance": 1e-9,
    "dual_feasibility_tolerance": 1e-9,
}
_NAMES = (*_OPTIONS, "maxiter", "ipm_optimality_tolerance", "simplex_dual_edge_weight_strategy")

_TERMINATIONS = {0: Termination.OPTIMAL, 2: Termination.INFEASIBLE, 3: Termination.UNBOUNDED}


class Scipy(Solver):
    """``scipy.optimize.linprog``.

    Parameters
    ----------
    method
        ``"highs"`` (HiGHS decides), ``"highs-ds"`` (dual simplex) or ``"highs-ipm"`` (interior point with crossover).
    options
        Those of linprog: ``presolve``, ``maxiter``, ``primal_feasibility_tolerance``, ``dual_feasibility_tolerance``
        (both 1e-9 unless given), ``ipm_optimality_tolerance``, ``simplex_dual_edge_weight_strategy``, ``disp``.

    Examples
    --------
    >>> from mailopt_solvers import Scipy
    >>> Scipy("highs-ds", presolve=False).name
    'scipy-highs-ds'
    """

    backend: ClassVar[str] = "scipy"
    methods: ClassVar[tuple[str, ...]] = ("highs", "highs-ds", "highs-ipm")
    modules: ClassVar[tuple[str, ...]] = ("scipy.optimize",)

    def __init__(self, method: str | None = None, /, **options: object) -> None:
        super().__init__(method, **options)
        if "time_limit" in options:
            raise InvalidOption("option 'time_limit' of linprog has another place here: solve(..., time_limit=..)")
        unknown = [name for name in options if name not in _NAMES]
        if unknown:
            raise InvalidOption(f"linprog has no option {', '.join(map(repr, unknown))}; it has {', '.join(_NAMES)}")

    @property
    def capabilities(self) -> frozenset[Capability]:
        """A time limit; linprog returns no basis and runs on when asked to stop."""
        return frozenset({Capability.TIME_LIMIT})

    @property
    def tolerance(self) -> float:
        """1e-7, as for HiGHS itself."""
        return 1e-7

    def missing(self) -> str | None:
        """Never: SciPy is a dependency."""
        return None if importlib.util.find_spec("scipy") else "pip install scipy"

    def run(self, program: LinearProgram, request: Request) -> Answer:
        """Split the rows, call linprog, put the prices together again."""
        started = time.perf_counter()
        version = importlib.metadata.version("scipy")
        options = {**_OPTIONS, **self.options, "time_limit": request.time_limit}
        trivial = trivial_answer(program, version, options)
        if trivial is not None:
            return trivial
        form = OneSided.of(program)
        built = time.perf_counter()
        found = self._linprog(program, form, options)
        return Answer(
            termination=_termination(found),
            version=version,
            detail=str(found.message),
            options=options,
            x=None if found.x is None else np.array(found.x),
            row_duals=None if found.x is None else form.row_duals(found.eqlin.marginals, found.ineqlin.marginals),
            iterations=int(found.nit or 0) + int(found.crossover_nit or 0),
            build_time=built - started,
            solve_time=time.perf_counter() - built,
        )

    def fallbacks(self) -> tuple[Solver, ...]:
        """Without presolve, which takes some unbounded programs for infeasible; none if a method was asked for."""
        if self.method != self.methods[0] or "presolve" in self.options:
            return ()
        return (Scipy(**self.options, presolve=False),)

    def _linprog(self, program: LinearProgram, form: OneSided, options: dict[str, object]) -> OptimizeResult:
        from scipy.optimize import OptimizeWarning, linprog  # noqa: PLC0415 - not needed to import the package

        with warnings.catch_warnings():  # the defaults do not warn, and this is not safe in threads
            warnings.simplefilter("error", OptimizeWarning)
            try:
                return linprog(
                    form.costs,
                    A_ub=form.inequalities if form.most.size else None,
                    b_ub=form.most if form.most.size else None,
                    A_eq=form.equations if form.right.size else None,
                    b_eq=form.right if form.right.size else None,
                    bounds=np.column_stack((program.lower, program.upper)),
                    method=self.method,
                    options={name: value for name, value in options.items() if value is not None},
                )
            except (OptimizeWarning, TypeError) as error:  # a name or value that it does not take, or its type
                raise InvalidOption(f"linprog does not take {self!r}: {error}") from error


def _termination(found: OptimizeResult) -> Termination:
    """Read linprog's status and, where that says too little, its message, which quotes HiGHS."""
    if found.status == 1 and "time limit" in found.message.lower():
        return Termination.TIME_LIMIT
    if found.status == 4 and "unbounded or infeasible" in found.message.lower():
        return Termination.UNBOUNDED  # which of the two, the check finds out
    return _TERMINATIONS.get(found.status, Termination.FAILED)
