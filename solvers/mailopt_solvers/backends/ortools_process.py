"""GLOP and PDLP of OR-tools, each run in a process of its own.

Facts that shape this file (OR-tools 9.15): importing it and highspy into one process can crash both, so OR-tools is
never imported here; neither method can be stopped from outside by Python, but a process can be killed; GLOP's status
``INFEASIBLE`` also stands for "infeasible or unbounded"; ``NOT_SOLVED`` means any limit; row duals have the sign
convention of this package in both senses; options are fields of the parameter messages, an unknown field is refused.
Starting the process takes about half a second.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import io
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from mailopt_solvers.backends.one_sided import trivial_answer
from mailopt_solvers.errors import InvalidOption, SolverFailed
from mailopt_solvers.program import FloatArray, LinearProgram
from mailopt_solvers.solution import Termination
from mailopt_solvers.solver import Answer, Capability, Request, Solver

_WORKER = Path(__file__).with_name("ortools_worker.py")
_POLL = 0.02  # seconds between two looks at the clock and at the request to stop
_GRACE = 0.5  # seconds beyond its limit after which the process is killed
_TAIL = 1000  # characters of a crashed process' last words

_DEFAULTS: Mapping[str, Mapping[str, object]] = {
    "glop": {"primal_feasibility_tolerance": 1e-9, "dual_feasibility_tolerance": 1e-9},
    "pdlp": {
        "termination_criteria": {
            "simple_optimality_criteria": {"eps_optimal_absolute": 1e-9, "eps_optimal_relative": 1e-9}
        }
    },
}

_TERMINATIONS = {
    "OPTIMAL": Termination.OPTIMAL,
    "UNBOUNDED": Termination.UNBOUNDED,
    "INFEASIBLE": Termination.UNBOUNDED,  # GLOP: or infeasible; which of the two, the check finds out
    "PRIMAL_INFEASIBLE": Termination.INFEASIBLE,
    "DUAL_INFEASIBLE": Termination.UNBOUNDED,
    "PRIMAL_OR_DUAL_INFEASIBLE": Termination.UNBOUNDED,
    "TIME_LIMIT": Termination.TIME_LIMIT,
}


class Ortools(Solver):
    """Google OR-tools, in a process of its own.

    Parameters
    ----------
    method
        ``"glop"`` (simplex) or ``"pdlp"`` (first order).
    options
        Fields of ``GlopParameters`` or of ``PrimalDualHybridGradientParams``: numbers, truth values, names of enum
        values as strings, dicts for messages within messages. Tolerances are 1e-9 unless given.

    Examples
    --------
    >>> from mailopt_solvers import Ortools
    >>> Ortools("glop", use_dual_simplex=True).name
    'ortools'
    >>> Ortools("pdlp", termination_criteria={"iteration_limit": 1000}).name
    'ortools-pdlp'
    """

    backend: ClassVar[str] = "ortools"
    methods: ClassVar[tuple[str, ...]] = ("glop", "pdlp")

    def __init__(self, method: str | None = None, /, **options: object) -> None:
        super().__init__(method, **options)
        criteria = options.get("termination_criteria")
        if "max_time_in_seconds" in options or (isinstance(criteria, Mapping) and "time_sec_limit" in criteria):
            raise InvalidOption("the time limit of OR-tools has another place here: solve(..., time_limit=..)")
        try:
            json.dumps(options)
        except (TypeError, ValueError) as error:
            raise InvalidOption(f"{self!r}: options must be plain numbers, strings, lists and dicts: {error}") from None

    @property
    def capabilities(self) -> frozenset[Capability]:
        """A time limit, and stopping at once; no bases."""
        return frozenset({Capability.TIME_LIMIT, Capability.INTERRUPT})

    @property
    def tolerance(self) -> float:
        """1e-7; 1e-6 for the first-order method."""
        return 1e-6 if self.method == "pdlp" else 1e-7

    def missing(self) -> str | None:
        """Whether OR-tools is there; it is not imported."""
        return None if importlib.util.find_spec("ortools") else "pip install ortools"

    def run(self, program: LinearProgram, request: Request) -> Answer:
        """Send the program to a new process and wait for its answer, its time or the wish to stop.

        Raises
        ------
        InvalidOption
            A parameter that the method does not have, or a value that it does not take.
        SolverFailed
            The process crashed; the message has its last words.
        """
        started = time.perf_counter()
        version = importlib.metadata.version("ortools")
        defaults = _DEFAULTS[self.method]
        options = {**defaults, **self.options, "time_limit": request.time_limit}
        trivial = trivial_answer(program, version, options)
        if trivial is not None:
            return trivial
        ended = _exchange(self._message(program, request), request)
        passed = time.perf_counter() - started
        if ended.killed is not None:
            return Answer(ended.killed, version, ended.detail, options, solve_time=passed)
        if ended.code != 0:
            words = ended.errors.decode(errors="replace").strip()[-_TAIL:]
            raise SolverFailed(f"{self.name} {version}: the process ended with code {ended.code} and said: {words}")
        reply, x, row_duals = _read(ended.output)
        if "refused" in reply:
            raise InvalidOption(f"OR-tools {version} does not take {self!r}: {reply['refused']}")
        termination = Termination.TIME_LIMIT if reply.get("late") else Termination.FAILED
        termination = _TERMINATIONS.get(reply["status"], termination)
        return Answer(
            termination=termination,
            version=version,
            detail=reply["detail"],
            options=options,
            x=None if termination is Termination.UNBOUNDED else x,  # PDLP's is a ray then
            row_duals=row_duals,
            primal_ray=x if termination is Termination.UNBOUNDED else None,
            dual_ray=row_duals if termination is Termination.INFEASIBLE else None,
            iterations=reply.get("iterations"),
            build_time=max(0.0, passed - reply["seconds"]),
            solve_time=reply["seconds"],
        )

    def _message(self, program: LinearProgram, request: Request) -> bytes:
        """Program and request as an npz archive."""
        about = {
            "method": self.method,
            "defaults": _DEFAULTS[self.method],
            "options": dict(self.options),
            "sense": program.sense,
            "shape": [program.num_rows, program.num_variables],
            "ends": None if request.time_limit is None else time.time() + request.time_limit,
        }
        archive = io.BytesIO()
        np.savez(
            archive,
            request=np.array(json.dumps(about)),
            costs=program.costs,
            data=program.matrix.data,
            indices=program.matrix.indices,
            indptr=program.matrix.indptr,
            row_lower=program.row_lower,
            row_upper=program.row_upper,
            lower=program.lower,
            upper=program.upper,
        )
        return archive.getvalue()


@dataclass(frozen=True)
class _Ended:
    """How the process ended: its exit code and what it wrote, or how its run counts because it was killed."""

    code: int = 0
    output: bytes = b""
    errors: bytes = b""
    killed: Termination | None = None
    detail: str = ""


def _exchange(message: bytes, request: Request) -> _Ended:
    """Start the process, hand it the message and collect its answer; it is gone when this returns or raises."""
    deadline = None if request.time_limit is None else time.perf_counter() + request.time_limit + _GRACE
    command = (sys.executable, "-P", str(_WORKER))  # -P: this folder is not where its imports come from
    pipe = subprocess.PIPE
    with tempfile.TemporaryFile() as sent:  # not a pipe: communicate() sends no more input after its first timeout
        sent.write(message)
        sent.seek(0)
        with subprocess.Popen(command, stdin=sent, stdout=pipe, stderr=pipe) as process:
            try:
                while True:
                    try:
                        output, errors = process.communicate(timeout=_POLL)
                    except subprocess.TimeoutExpired:
                        if request.stop is not None and request.stop.is_set():
                            return _Ended(killed=Termination.FAILED, detail="killed: asked to stop")
                        if deadline is not None and time.perf_counter() >= deadline:
                            return _Ended(killed=Termination.TIME_LIMIT, detail="killed: its time was over")
                    else:
                        return _Ended(process.returncode, output, errors)
            finally:
                process.kill()


def _read(output: bytes) -> tuple[dict[str, Any], FloatArray | None, FloatArray | None]:
    """Take the answer apart."""
    with np.load(io.BytesIO(output), allow_pickle=False) as archive:
        arrays = dict(archive)
    return json.loads(str(arrays["reply"])), arrays.get("x"), arrays.get("row_duals")
