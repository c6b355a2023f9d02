"""Every solver that cvxpy knows for linear programs, through cvxpy.

Facts that shape this file (cvxpy 1.9): importing it takes a second or two and imports every solver that is installed,
so it happens in ``run`` only; ``Problem.solve`` warns and raises about inaccurate answers, so the solver is called by
way of ``get_problem_data``, which does neither and hands the answer back; a maximisation goes over as a minimisation;
most solvers refuse unknown options, but the interfaces to GLPK, CVXOPT, PROXQP, QOCO, DAQP and Xpress ignore them
without a word, so theirs are listed here; interior point methods need a fixed variable to be an equation. OR-tools'
solvers are left out, because OR-tools must not share a process with highspy: see ``ortools_process``. PROXQP takes many
feasible programs for infeasible and QOCO recognises no infeasible ones; the check of the answer finds that out. OSQP
often runs out of iterations on degenerate programs of a few dozen rows.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy import sparse

from mailopt_solvers.backends.one_sided import OneSided, trivial_answer
from mailopt_solvers.errors import InvalidOption, SolverFailed
from mailopt_solvers.program import FloatArray, LinearProgram
from mailopt_solvers.solution import Termination
from mailopt_solvers.solver import Answer, Capability, Request, Solver

if TYPE_CHECKING:
    import cvxpy


@dataclass(frozen=True)
class _Software:
    """What is particular to a solver behind cvxpy.

    Attributes
    ----------
    package
        The Python package it comes in.
    tolerance
        See :attr:`Solver.tolerance`.
    defaults
        Options in force unless given.
    time_limit, second
        Its option for the time limit, if it has one, and what a second is there.
    within
        The one option of cvxpy's that holds all its options as a dict, if there is one.
    known
        Names of its options where cvxpy ignores others.
    """

    package: str
    tolerance: float = 1e-7
    defaults: Mapping[str, object] = field(default_factory=dict)
    time_limit: str | None = None
    second: float = 1.0
    within: str | None = None
    known: frozenset[str] | None = None


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ABSTOL = {"abstol": 1e-9, "reltol": 1e-9}
_EPS = {"eps_abs": 1e-9, "eps_rel": 1e-9}
_OSQP = {"eps_abs": 1e-7, "eps_rel": 1e-7, "eps_prim_inf": 1e-8, "eps_dual_inf": 1e-8}

_SOFTWARE: Mapping[str, _Software] = {
    "clarabel": _Software(
        "clarabel", 1e-7, {"tol_feas": 1e-9, "tol_gap_abs": 1e-9, "tol_gap_rel": 1e-9}, time_limit="time_limit"
    ),
    "scs": _Software("scs", 1e-6, {**_EPS, "max_iters": 200_000}, time_limit="time_limit_secs"),
    "osqp": _Software(
        "osqp",
        1e-6,
        {**_OSQP, "max_iter": 200_000, "polishing": True},
        time_limit="time_limit",
    ),
    "highs": _Software(
        "highspy",
        1e-7,
        {"primal_feasibility_tolerance": 1e-9, "dual_feasibility_tolerance": 1e-9, "small_matrix_value": 1e-12},
        time_limit="time_limit",
    ),
    "ecos": _Software("ecos", 1e-7, {**_ABSTOL, "feastol": 1e-9}),
    "glpk": _Software(
        "cvxopt",
        1e-7,
        {"tol_bnd": 1e-9, "tol_dj": 1e-9},
        time_limit="tm_lim",
        second=1000,
        within="glpk",
        known=_names("tol_bnd tol_dj tol_piv it_lim meth pricing r_test presolve out_frq out_dly obj_ll obj_ul"),
    ),
    "cvxopt": _Software(
        "cvxopt",
        1e-7,
        {**_ABSTOL, "feastol": 1e-9, "kktsolver": "robust"},  # the other one wants independent rows
        known=_names("maxiters max_iters abstol reltol feastol refinement kktsolver"),
    ),
    "piqp": _Software("piqp", 1e-7, {**_EPS, "eps_duality_gap_abs": 1e-9}),
    "proxqp": _Software(
        "proxsuite", 1e-7, {"eps_abs": 1e-9}, known=_names("backend eps_abs eps_rel max_iter rho mu_eq mu_in")
    ),
    "qpalm": _Software("qpalm", 1e-6, _EPS, time_limit="time_limit"),
    "qoco": _Software(
        "qoco",
        1e-7,
        _ABSTOL,
        known=_names(
            "max_iters ruiz_iters max_ir_iters ir_tol abstol reltol abstol_inacc reltol_inacc "
            "kkt_static_reg_P kkt_static_reg_A kkt_static_reg_G kkt_dynamic_reg"
        ),
    ),
    "daqp": _Software(
        "daqp",
        1e-7,
        {"primal_tol": 1e-9, "dual_tol": 1e-9},
        known=_names(
            "primal_tol dual_tol zero_tol pivot_tol progress_tol cycle_tol iter_limit fval_bound eps_prox eta_prox"
        ),
    ),
    "gurobi": _Software("gurobipy", 1e-7, {"FeasibilityTol": 1e-9, "OptimalityTol": 1e-9}, time_limit="TimeLimit"),
    "copt": _Software("coptpy", 1e-7, {"FeasTol": 1e-9, "DualTol": 1e-9}, time_limit="TimeLimit"),
    "mosek": _Software("mosek", 1e-6, time_limit="MSK_DPAR_OPTIMIZER_MAX_TIME", within="mosek_params"),
    "xpress": _Software("xpress", 1e-7, {"feastol": 1e-9, "optimalitytol": 1e-9}, time_limit="timelimit"),
    "cplex": _Software(
        "cplex",
        1e-7,
        {"simplex.tolerances.feasibility": 1e-9, "simplex.tolerances.optimality": 1e-9},
        time_limit="timelimit",
        within="cplex_params",
    ),
}

_TERMINATIONS = {
    "optimal": Termination.OPTIMAL,
    "infeasible": Termination.INFEASIBLE,
    "unbounded": Termination.UNBOUNDED,
    "infeasible_or_unbounded": Termination.UNBOUNDED,  # which of the two, the check finds out
}


class Cvxpy(Solver):
    """A solver of cvxpy's.

    Parameters
    ----------
    method
        cvxpy's name of the solver in lower case, ``"clarabel"`` first.
    options
        The solver's own, as for ``cvxpy.Problem.solve``; those that cvxpy wants in a dict (``glpk``, ``mosek_params``,
        ``cplex_params``) are given here like all others.

    Examples
    --------
    >>> from mailopt_solvers import Cvxpy
    >>> Cvxpy("scs", eps_abs=1e-6).name
    'cvxpy-scs'
    """

    backend: ClassVar[str] = "cvxpy"
    methods: ClassVar[tuple[str, ...]] = tuple(_SOFTWARE)
    modules: ClassVar[tuple[str, ...]] = ("cvxpy",)

    def __init__(self, method: str | None = None, /, **options: object) -> None:
        super().__init__(method, **options)
        if self._software.time_limit in options:
            raise InvalidOption(f"{self._software.time_limit!r} has another place here: solve(..., time_limit=..)")
        known = self._known() if options else None
        unknown = [name for name in options if known is not None and name not in known]
        if unknown or "verbose" in options:
            raise InvalidOption(f"{self.name} has no option {', '.join(unknown) or 'verbose'}; {_listed(known)}")

    @property
    def _software(self) -> _Software:
        return _SOFTWARE[self.method]

    def _known(self) -> frozenset[str] | None:
        """Names that a silent interface takes; Xpress has too many to list and is asked."""
        if self.method == "xpress" and importlib.util.find_spec("xpress"):
            import xpress  # noqa: PLC0415 - only who uses it has it

            return frozenset(vars(xpress.controls))
        return self._software.known

    @property
    def capabilities(self) -> frozenset[Capability]:
        """A time limit, if the solver has one."""
        return frozenset({Capability.TIME_LIMIT} if self._software.time_limit else ())

    @property
    def tolerance(self) -> float:
        """1e-7, more for solvers that do not get there."""
        return self._software.tolerance

    def missing(self) -> str | None:
        """Whether cvxpy and the solver's package are there; neither is imported."""
        absent = [name for name in ("cvxpy", self._software.package) if importlib.util.find_spec(name) is None]
        return f"pip install {' '.join(absent)}" if absent else None

    def run(self, program: LinearProgram, request: Request) -> Answer:
        """Hand over at most two constraints and the bounds, and put the prices together again."""
        started = time.perf_counter()
        versions = (f"{name} {importlib.metadata.version(name)}" for name in ("cvxpy", self._software.package))
        version = ", ".join(versions)
        options = {**self._software.defaults, **self.options}
        in_force = {**options, "time_limit": request.time_limit}
        trivial = trivial_answer(program, version, in_force)
        if trivial is not None:
            return trivial
        import cvxpy  # noqa: PLC0415 - takes a second or two

        form = OneSided.of(program)
        x, problem, constraints = _problem(program, form)
        try:
            data, chain, inverse = problem.get_problem_data(self.method.upper(), solver_opts=dict(options))
            built = time.perf_counter()
            left = None if request.time_limit is None else request.time_limit - (built - started)
            if left is not None and left <= 0:
                return Answer(Termination.TIME_LIMIT, version, "not started: no time left", in_force)
            raw = chain.solve_via_data(problem, data, solver_opts=self._passed(options, left))
            if _interrupted(raw):
                raise KeyboardInterrupt
            found = chain.invert(raw, inverse)
        except Exception as error:
            words = f"{type(error).__name__}: {error}"
            if any(name in str(error) for name in self.options) or (self.options and isinstance(error, TypeError)):
                raise InvalidOption(f"{version} does not take {self!r}: {words}") from error
            if isinstance(error, cvxpy.error.SolverError):
                raise SolverFailed(f"{version}: {words}") from error
            raise
        solved = time.perf_counter()
        termination = _TERMINATIONS.get(found.status, Termination.FAILED)
        if termination is Termination.FAILED and left is not None and solved - built >= left:
            termination = Termination.TIME_LIMIT
        point = found.primal_vars.get(x.id) if found.primal_vars else None
        duals = _row_duals(form, constraints, found.dual_vars or {})
        return Answer(
            termination=termination,
            version=version,
            detail=found.status,
            options=in_force,
            x=None if point is None else np.array(point, dtype=np.float64).reshape(-1),
            row_duals=None if point is None else duals,
            dual_ray=duals if termination is Termination.INFEASIBLE else None,
            iterations=_count(found.attr.get("num_iters")),
            build_time=built - started,
            solve_time=solved - built,
        )

    def _passed(self, options: Mapping[str, object], left: float | None) -> dict[str, object]:
        """Options as cvxpy wants them."""
        software = self._software
        passed = dict(options)
        if left is not None and software.time_limit is not None:
            passed[software.time_limit] = left if software.second == 1.0 else max(1, round(left * software.second))
        return passed if software.within is None else {software.within: passed}


def _problem(
    program: LinearProgram, form: OneSided
) -> tuple[cvxpy.Variable, cvxpy.Problem, tuple[cvxpy.Constraint | None, cvxpy.Constraint | None]]:
    """Build the problem: equations, with those of fixed variables below; inequalities; bounds of the variable."""
    import cvxpy  # noqa: PLC0415

    fixed = program.lower == program.upper
    lower, upper = np.where(fixed, -np.inf, program.lower), np.where(fixed, np.inf, program.upper)
    x = cvxpy.Variable(program.num_variables, bounds=[lower, upper])
    rows = sparse.vstack((form.equations, sparse.eye_array(fixed.size, format="csr")[fixed]), format="csr")
    sides = np.concatenate((form.right, program.lower[fixed]))
    equations = rows @ x == sides if sides.size else None
    inequalities = form.inequalities @ x <= form.most if form.most.size else None
    constraints = [c for c in (equations, inequalities) if c is not None]
    return x, cvxpy.Problem(cvxpy.Minimize(form.costs @ x), constraints), (equations, inequalities)


def _row_duals(
    form: OneSided, constraints: tuple[cvxpy.Constraint | None, cvxpy.Constraint | None], found: Mapping[int, Any]
) -> FloatArray | None:
    """Row duals from cvxpy's multipliers, which are the negated rates of change; None if there are none."""
    rates = []
    for constraint, size in zip(constraints, (form.right.size, form.most.size), strict=True):
        values = np.zeros(0) if constraint is None else found.get(constraint.id)
        if values is None:
            return None
        rates.append(-np.asarray(values, dtype=np.float64).reshape(-1)[:size])
    return form.row_duals(*rates)


def _interrupted(raw: Any) -> bool:
    """Whether SCS or OSQP, which take Ctrl-C for themselves, saw one."""
    info = raw.get("info", {}) if isinstance(raw, dict) else getattr(raw, "info", None)
    status = info.get("status") if isinstance(info, dict) else getattr(info, "status", None)
    return status in ("interrupted", "solver interrupted")


def _count(iterations: object) -> int | None:
    return int(iterations) if isinstance(iterations, int | np.integer) and iterations >= 0 else None


def _listed(known: frozenset[str] | None) -> str:
    return f"it has {', '.join(sorted(known)[:30])}" if known else "output is off"
