"""Runs each solve in a process of its own, forked from one that has loaded what solvers need.

Started by :mod:`mailopt_solvers.benchmark.isolation` as ``python -m mailopt_solvers.benchmark.fork_server MODULE...``.
Says when it is ready, reads pickled tasks in frames from standard input, and answers each with one frame: the pickled
outcome; see :mod:`mailopt_solvers.benchmark.tasks`. This process itself solves nothing, so that no thread of a solver
is there when it forks.
"""

from __future__ import annotations

import importlib
import os
import pickle
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from mailopt_solvers.basis import Basis
from mailopt_solvers.benchmark.tasks import READY, Answered, Outcome, Task, frame, read_frame
from mailopt_solvers.errors import MailoptError
from mailopt_solvers.orphans import end_with_parent
from mailopt_solvers.solver import Request

_QUICK = 0.1  # seconds up to which a run is repeated
_TAIL = 300  # characters of a crashed process' last words


def main() -> None:
    """Serve tasks until standard input ends."""
    end_with_parent()
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what solvers print is not a reply
    for module in sys.argv[1:]:
        importlib.import_module(module)
    replies.write(frame(READY))
    replies.flush()
    while (message := read_frame(sys.stdin.buffer)) is not None:
        replies.write(frame(_forked(message)))
        replies.flush()


def _forked(message: bytes) -> bytes:
    """Do a task in a child, and return its pickled outcome."""
    reading, writing = os.pipe()
    with tempfile.TemporaryFile() as words:
        child = os.fork()
        if child == 0:
            try:
                end_with_parent()
                os.close(reading)
                os.dup2(words.fileno(), 2)
                os.dup2(2, 1)
                with os.fdopen(writing, "wb") as pipe:
                    pipe.write(pickle.dumps(_done(message)))
            except BaseException as error:  # noqa: BLE001 - told by the exit status and the last words
                os.write(2, f"{type(error).__name__}: {error}".encode())
                os._exit(1)
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            reply = pipe.read()
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        if code == 0 and reply:
            return reply
        words.seek(0)
        last = words.read().decode(errors="replace")[-_TAIL:].strip()
    memory = any(sign in last for sign in ("bad_alloc", "MemoryError", "annot allocate memory", "ut of memory"))
    ended = f"signal {-code}" if code < 0 else f"exit status {code}"
    return pickle.dumps(Outcome("out_of_memory" if memory else "crashed", detail=f"{ended}: {last}"))


def _done(message: bytes) -> Outcome:
    """Do a task, in this process."""
    before = _memory("VmRSS:")
    try:
        task: Task = pickle.loads(message)
        if task.memory_limit is not None:
            _limit_memory(task.memory_limit)
        outcome = _solved(task)
        quick = outcome.wall_seconds < _QUICK
        again = [_solved(task).answers for _ in range(task.repeats - 1 if quick else 0)]
        outcome = replace(outcome, answers=_timed(outcome.answers, again))
    except MemoryError as error:
        outcome = Outcome("out_of_memory", detail=f"MemoryError: {error}")
    except MailoptError as error:
        outcome = Outcome("refused", detail=str(error))
    except Exception as error:  # noqa: BLE001 - whatever a solver raises is its outcome
        outcome = Outcome("refused", detail=f"broke down with {type(error).__name__}: {error}")
    after = _memory("VmHWM:")
    memory = None if before is None or after is None else max(0, after - before)
    return replace(outcome, memory=memory)


def _solved(task: Task) -> Outcome:
    """Solve the programs once."""
    started = time.perf_counter()
    basis: Basis | None = None
    answers: list[Answered] = []
    status, version, detail = "failed", "", ""
    for program in task.programs:
        start = basis.continued(program) if task.warm and basis is not None else None
        answer = task.solver.run(program, Request(task.time_limit, start))
        status, version, detail, basis = answer.termination.name.lower(), answer.version, answer.detail, answer.basis
        answers.append(Answered(answer.x, answer.row_duals, answer.iterations, answer.solve_time, answer.build_time))
        if status != "optimal":
            break
    return Outcome(status, tuple(answers), version, " ".join(detail.split()), time.perf_counter() - started)


def _timed(answers: tuple[Answered, ...], again: list[tuple[Answered, ...]]) -> tuple[Answered, ...]:
    """Give answers the median times of repeated runs."""
    runs = [answers, *(other for other in again if len(other) == len(answers))]
    return tuple(
        replace(
            same[0],
            solve_seconds=float(np.median([a.solve_seconds for a in same])),
            build_seconds=float(np.median([a.build_seconds for a in same])),
        )
        for same in zip(*runs, strict=True)
    )


def _memory(what: str) -> int | None:
    """Bytes of this process, as Linux tells; None elsewhere."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(what)), None)


def _limit_memory(limit: int) -> None:
    """Let this process and those that it starts have so many more bytes of data each."""
    import resource  # noqa: PLC0415 - not everywhere

    most = (_memory("VmData:") or 0) + limit
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))


if __name__ == "__main__":
    main()
