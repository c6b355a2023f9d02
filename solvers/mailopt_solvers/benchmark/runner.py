"""Runs solvers on a collection: isolated, limited, resumable, on one machine or a cluster."""

from __future__ import annotations

import json
import math
import os
import platform
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mailopt_solvers.backends.cvxpy_bridge import Cvxpy
from mailopt_solvers.backends.highs import Highs
from mailopt_solvers.backends.ortools_process import Ortools
from mailopt_solvers.backends.scipy_linprog import Scipy
from mailopt_solvers.benchmark.instances import Collection, Entry, KnownOptimum
from mailopt_solvers.benchmark.isolation import run_isolated, servers_ended
from mailopt_solvers.benchmark.judging import Judgement, judged
from mailopt_solvers.benchmark.results import ABOUT, Key, Record, Results, append, appending, require_same_run
from mailopt_solvers.benchmark.tasks import Answered, Outcome, Task
from mailopt_solvers.dispatch import is_amount
from mailopt_solvers.engines import Engine
from mailopt_solvers.errors import InvalidOption, SolverNotInstalled, WorkerLost
from mailopt_solvers.files import replacing
from mailopt_solvers.program import LinearProgram
from mailopt_solvers.registry import solver_named
from mailopt_solvers.solver import Capability, Solver

DEFAULT_MATRIX: Mapping[str, Solver] = {
    "highs-simplex": Highs("simplex"),
    "highs-simplex-no-presolve": Highs("simplex", presolve="off"),
    "highs-ipm": Highs("ipm"),
    "highs-pdlp": Highs("pdlp"),
    "highs-hipo": Highs("hipo"),
    "scipy": Scipy(),
    "clarabel": Cvxpy("clarabel"),
    "scs": Cvxpy("scs"),
    "osqp": Cvxpy("osqp"),
    "glop": Ortools("glop"),
    "ortools-pdlp": Ortools("pdlp"),
    "highs-simplex-default": Highs(
        "simplex", primal_feasibility_tolerance=1e-7, dual_feasibility_tolerance=1e-7, small_matrix_value=1e-9
    ),
    "clarabel-default": Cvxpy("clarabel", tol_feas=1e-8, tol_gap_abs=1e-8, tol_gap_rel=1e-8),
    "scs-default": Cvxpy("scs", eps_abs=1e-4, eps_rel=1e-4),
    "osqp-default": Cvxpy("osqp", eps_abs=1e-3, eps_rel=1e-3, polishing=False),
    "ortools-pdlp-default": Ortools(
        "pdlp",
        termination_criteria={
            "simple_optimality_criteria": {"eps_optimal_absolute": 1e-6, "eps_optimal_relative": 1e-6}
        },
    ),
}
"""Solver settings by name: asked for 1e-9 (OSQP 1e-7) or, ``-default``, for what the solver's authors chose; what is
not installed is skipped with its reason."""

Progress = Callable[[int, int], None]
_PACKAGES = ("mailopt", "numpy", "scipy", "highspy", "cvxpy", "clarabel", "scs", "osqp", "ortools")


@dataclass(frozen=True)
class Settings:
    """Limits of each run.

    Attributes
    ----------
    time_limit
        Seconds for each program. A process that goes on for a tenth and two seconds more is killed. What takes longer
        in all, in a sequence, counts as not solved.
    memory_limit
        Bytes of data that solving may add, or None; Linux only.
    repeats
        How often what takes less than a tenth of a second is solved; the median time counts.

    Raises
    ------
    InvalidOption
        Not such numbers, or a memory limit where there is none to be had.
    """

    time_limit: float = 10.0
    memory_limit: int | None = 4 << 30 if sys.platform == "linux" else None
    repeats: int = 3

    def __post_init__(self) -> None:
        """Validate."""
        if not is_amount(self.time_limit) or not 0 < self.time_limit < math.inf:
            raise InvalidOption(f"time_limit is {self.time_limit!r}; give seconds, more than 0")
        if not isinstance(self.repeats, int) or self.repeats < 1:
            raise InvalidOption(f"repeats is {self.repeats!r}; give a number, at least 1")
        if self.memory_limit is not None:
            if not isinstance(self.memory_limit, int) or self.memory_limit < 1:
                raise InvalidOption(f"memory_limit is {self.memory_limit!r}; give bytes, or None")
            if sys.platform != "linux":
                raise InvalidOption("memory_limit can be enforced on Linux only; give None here")


def run_benchmark(
    collection: Collection,
    folder: str | Path,
    solvers: Mapping[str, Solver] | Sequence[str] | None = None,
    *,
    settings: Settings = Settings(),
    engine: Engine = Engine(),  # noqa: B008 - a frozen object
    progress: Progress | None = None,
) -> Results:
    """Run solvers on a collection, and keep one row of results for each setting, instance and track.

    Each solve has a process of its own. Every row is on disk as soon as it is known, so that a run which was killed
    goes on by repeating the call: what is done is kept, what was under way is done again. More solvers can be added to
    the results of a run later.

    Parameters
    ----------
    collection
        The instances.
    folder
        Where results go: ``results.csv`` and ``run.json``.
    solvers
        Names of settings in :data:`DEFAULT_MATRIX` or of solvers; or solver objects by name; None: the whole default
        matrix. Solver objects of one's own must be in a module that other processes can import.
    settings
        Limits.
    engine
        Where it runs.
    progress
        Called with the numbers of rows that are done and of all, at first and after each.

    Returns
    -------
    Results
        Complete unless a worker was lost twice over a task, which is left undone then.

    Raises
    ------
    InvalidOption
        Other settings, or another collection, than those of the results that are there; another process is writing
        there; no solver can be used.
    SolverNotInstalled
        A solver that was named cannot be used here.
    MalformedCollection, MalformedResults
        Files that cannot be read, or have changed.
    WorkerLost
        Some tasks are left undone; repeat the call to try them again.
    """
    target = Path(folder)
    chosen, skipped = chosen_solvers(solvers)
    target.mkdir(parents=True, exist_ok=True)
    about: dict[str, Any] = {
        "collection": {"name": collection.name, "digest": collection.digest},
        "settings": asdict(settings),
        "machines": {},
        "skipped": {},
    }
    with servers_ended(), appending(target) as (records, file):
        about = require_same_run(target, about, records)
        for record in records:
            if record.setting in chosen and record.solver != repr(chosen[record.setting]):
                raise InvalidOption(
                    f"{target} holds results of {record.solver} as {record.setting!r}, which is now "
                    f"{chosen[record.setting]!r}; give it another name, or choose another folder"
                )
        about["skipped"] = {name: why for name, why in {**about["skipped"], **skipped}.items() if name not in chosen}
        _write_about(target, about)
        tasks = list(_left(collection, chosen, settings, {record.key for record in records}))
        done, total = len(records), len(records) + len(tasks)
        if progress is not None:
            progress(done, total)
        lost: list[Key] = []
        with closing(engine.each(_record, tasks)) as outcomes:
            for index, found in outcomes:
                if isinstance(found, WorkerLost):
                    lost.append(tasks[index].key)
                    continue
                record, machine = found
                if record.machine not in about["machines"]:
                    about["machines"][record.machine] = machine
                    _write_about(target, about)
                append(file, record)
                done += 1
                if progress is not None:
                    progress(done, total)
    if lost:
        raise WorkerLost(
            f"{len(lost)} tasks are left undone because each lost its worker twice: "
            f"{'; '.join(' '.join(key) for key in lost[:3])}; what else was done is in {target}"
        )
    return Results.load(target)


def chosen_solvers(solvers: Mapping[str, Solver] | Sequence[str] | None) -> tuple[dict[str, Solver], dict[str, str]]:
    """Return settings to run by name, and those that are skipped with the reason.

    Raises
    ------
    SolverNotInstalled
        A solver that was named cannot be used here.
    """
    if isinstance(solvers, Mapping):
        return dict(solvers), {}
    if solvers is not None:
        named: dict[str, Solver] = {}
        for name in solvers:
            solver = DEFAULT_MATRIX.get(name) or solver_named(name)
            why = solver.missing()
            if why is not None:
                raise SolverNotInstalled(f"solver setting {name!r} cannot be used here: {why}")
            named[name] = solver
        return named, {}
    missing = {name: solver.missing() for name, solver in DEFAULT_MATRIX.items()}
    return (
        {name: solver for name, solver in DEFAULT_MATRIX.items() if missing[name] is None},
        {name: why for name, why in missing.items() if why is not None},
    )


@dataclass(frozen=True)
class _Work:
    """One task for a worker."""

    entry: Entry
    programs: tuple[LinearProgram, ...]
    setting: str
    solver: Solver
    track: str
    settings: Settings

    @property
    def key(self) -> Key:
        return self.entry.name, self.setting, self.track


def _left(collection: Collection, solvers: Mapping[str, Solver], settings: Settings, done: set[Key]) -> Iterator[_Work]:
    """Yield what is left to do, instance by instance so that solvers are compared side by side."""
    for entry in collection.entries:
        todo = [
            (setting, solver, track)
            for setting, solver in solvers.items()
            for track in _tracks(entry, solver)
            if (entry.name, setting, track) not in done
        ]
        if todo:
            programs = collection.programs(entry)
            yield from (_Work(entry, programs, setting, solver, track, settings) for setting, solver, track in todo)


def _tracks(entry: Entry, solver: Solver) -> tuple[str, ...]:
    return ("cold", "warm") if entry.is_sequence and Capability.START in solver.capabilities else ("cold",)


def _record(work: _Work) -> tuple[Record, dict[str, Any]]:
    """Do a task on a worker; returns the row and what its machine is."""
    limits = work.settings
    task = Task(
        work.solver, work.programs, work.track == "warm", limits.time_limit, limits.memory_limit, limits.repeats
    )
    modules = (*work.solver.modules, type(work.solver).__module__)
    outcome = run_isolated(task, modules)
    last, answers = work.entry.programs[-1], outcome.answers
    judgement = _judged(work, outcome)
    machine = _machine()
    name = f"{machine['host']}/{machine['cpu']}"
    record = Record(
        instance=work.entry.name,
        family=work.entry.family,
        size=work.entry.size,
        seed=work.entry.seed,
        digest=work.entry.digest,
        track=work.track,
        setting=work.setting,
        solver=repr(work.solver),
        version=outcome.version,
        rows=last.rows,
        columns=last.columns,
        nonzeros=last.nonzeros,
        status=outcome.status,
        seconds=math.fsum(a.solve_seconds for a in answers) if answers else math.nan,
        build_seconds=math.fsum(a.build_seconds for a in answers) if answers else math.nan,
        wall_seconds=outcome.wall_seconds,
        iterations=_iterations(answers),
        **asdict(judgement),
        memory=-1 if outcome.memory is None else outcome.memory,
        machine=name,
        detail=outcome.detail,
    )
    return record, machine


def _judged(work: _Work, outcome: Outcome) -> Judgement:
    """Judge all programs of a task; nothing is known of it unless each was answered."""
    if len(outcome.answers) < len(work.programs):
        return Judgement()
    optima: list[KnownOptimum] = [part.optimum for part in work.entry.programs]
    found = [
        judged(program, optimum, answer.x, answer.row_duals)
        for program, optimum, answer in zip(work.programs, optima, outcome.answers, strict=True)
    ]
    worst = found[0]
    for judgement in found[1:]:
        worst = worst.worst(judgement)
    return worst


def _iterations(answers: Sequence[Answered]) -> int:
    counts = [a.iterations for a in answers if a.iterations is not None]
    return sum(counts) if answers and len(counts) == len(answers) else -1


@lru_cache(maxsize=1)
def _machine() -> dict[str, Any]:
    """Describe the machine and the software that a worker has."""
    software = {}
    for package in _PACKAGES:
        try:
            software[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "host": platform.node(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "threads": 1,
        "software": software,
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _write_about(folder: Path, about: Mapping[str, Any]) -> None:
    with replacing(folder / ABOUT) as file:
        file.write(json.dumps(about, indent=1).encode())
