"""Run by :mod:`mailopt_solvers.backends.ortools_process` in a process of its own: a program in, an answer out.

Reads an npz archive from standard input and writes one to standard output. Uses nothing of ``mailopt_solvers``.
"""

from __future__ import annotations

import ctypes
import io
import json
import os
import signal
import sys
import threading
import time
from typing import Any

import numpy as np
from google.protobuf import json_format, text_format
from scipy import sparse

Reply = dict[str, Any]

_LOOK = 0.5  # seconds between looks for the parent
_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG


def main() -> None:
    """Answer one request; what the solvers print goes to standard error."""
    _end_with_parent()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with np.load(io.BytesIO(sys.stdin.buffer.read()), allow_pickle=False) as archive:
        program = dict(archive)
    request = json.loads(str(program["request"]))
    matrix = sparse.csc_matrix((program["data"], program["indices"], program["indptr"]), shape=request["shape"])
    try:
        reply = (_pdlp if request["method"] == "pdlp" else _glop)(program, matrix, request)
    except json_format.ParseError as error:
        reply = {"refused": str(error)}
    arrays = {name: reply.pop(name) for name in ("x", "row_duals") if name in reply}
    with answers:
        np.savez(answers, reply=np.array(json.dumps(reply)), **arrays)


def _end_with_parent() -> None:
    """See that this process ends when the one that wants its answer does, however that ends.

    Linux can be asked to do it; elsewhere a thread looks, which cannot while PDLP runs.
    """
    parent = os.getppid()

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK)
        os._exit(1)

    threading.Thread(target=look, daemon=True).start()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL)


def _glop(program: Reply, matrix: sparse.csc_matrix, request: Reply) -> Reply:
    """Simplex, through the interface that takes a whole program at once."""
    from ortools.glop import parameters_pb2  # noqa: PLC0415 - what the other method does not need
    from ortools.linear_solver.python import model_builder_helper  # noqa: PLC0415

    parameters = _parameters(parameters_pb2.GlopParameters(), request)
    model = model_builder_helper.ModelBuilderHelper()
    model.fill_model_from_sparse_data(
        program["lower"],
        program["upper"],
        program["costs"],
        program["row_lower"],
        program["row_upper"],
        sparse.csr_matrix(matrix),
    )
    model.set_maximize(request["sense"] == "max")
    solver = model_builder_helper.ModelSolverHelper("glop")
    solver.set_solver_specific_parameters(text_format.MessageToString(parameters))
    if request["ends"] is not None:
        solver.set_time_limit_in_seconds(max(0.0, request["ends"] - time.time()))
    started = time.perf_counter()
    solver.solve(model)
    reply = {
        "status": solver.status().name,
        "detail": " ".join(filter(None, (solver.status().name, solver.status_string()))),
        "seconds": time.perf_counter() - started,
        "late": request["ends"] is not None and time.time() >= request["ends"],
    }
    if reply["status"] == "INVALID_SOLVER_PARAMETERS":
        return {"refused": solver.status_string()}
    if solver.has_solution():
        reply |= {"x": solver.variable_values(), "row_duals": solver.dual_values()}
    return reply


def _pdlp(program: Reply, matrix: sparse.csc_matrix, request: Reply) -> Reply:
    """First-order method, called directly for its log; a maximisation is the minimisation of the negated costs."""
    from ortools.pdlp import solve_log_pb2, solvers_pb2  # noqa: PLC0415
    from ortools.pdlp.python import pdlp  # noqa: PLC0415

    parameters = _parameters(solvers_pb2.PrimalDualHybridGradientParams(), request)
    if request["ends"] is not None:
        parameters.termination_criteria.time_sec_limit = max(0.0, request["ends"] - time.time())
    sign = 1.0 if request["sense"] == "min" else -1.0
    qp = pdlp.QuadraticProgram()
    qp.resize_and_initialize(*request["shape"][::-1])
    qp.objective_vector = sign * program["costs"]
    qp.variable_lower_bounds, qp.variable_upper_bounds = program["lower"], program["upper"]
    qp.constraint_lower_bounds, qp.constraint_upper_bounds = program["row_lower"], program["row_upper"]
    qp.constraint_matrix = matrix
    started = time.perf_counter()
    result = pdlp.primal_dual_hybrid_gradient(qp, parameters)
    log = result.solve_log
    reason = solve_log_pb2.TerminationReason.Name(log.termination_reason).removeprefix("TERMINATION_REASON_")
    if reason == "INVALID_PARAMETER":
        return {"refused": log.termination_string}
    return {
        "status": reason,
        "detail": " ".join(filter(None, (reason, log.termination_string))),
        "seconds": time.perf_counter() - started,
        "iterations": log.iteration_count,
        "x": np.array(result.primal_solution),
        "row_duals": sign * np.array(result.dual_solution),
    }


def _parameters(message: Any, request: Reply) -> Any:
    """Fill in the defaults, then the options; a name or value that is not in the message is a ParseError."""
    for options in (request["defaults"], request["options"]):
        json_format.ParseDict(options, message)
    return message


if __name__ == "__main__":
    main()
