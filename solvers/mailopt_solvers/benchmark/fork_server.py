"""Runs each solve in a process of its own, forked from one that has loaded what solvers need.

Started by :mod:`mailopt_solvers.benchmark.isolation` as ``python -m mailopt_solvers.benchmark.fork_server MODULE...``.
Says when it is ready, reads pickled tasks in frames from standard input, and answers each with one frame: the pickled
outcome; see :mod:`mailopt_solvers.benchmark.tasks`. This process itself solves nothing, so that no thread of a solver
is there when it forks. It ends what a task started when the task is over, and when its own parent ends.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import pickle
import select
import signal
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import FrameType

import numpy as np

from mailopt_solvers.basis import Basis
from mailopt_solvers.benchmark.tasks import LENGTH, PATIENCE, READY, Answered, Outcome, Task, frame, line, read_frame
from mailopt_solvers.errors import MailoptError
from mailopt_solvers.files import write_all
from mailopt_solvers.orphans import end_with_parent
from mailopt_solvers.program import FloatArray, LinearProgram
from mailopt_solvers.solution import Termination
from mailopt_solvers.solver import Answer, Request

_QUICK = 0.1  # seconds up to which a run is repeated
_LOOK = 0.05  # seconds between looks whether a task died without a word
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER: what a task leaves behind becomes a child of this process


def main() -> None:
    """Serve tasks until standard input ends."""
    signal.signal(signal.SIGTERM, _end)
    end_with_parent(signal.SIGTERM)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SUBREAPER, 1)
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what solvers print is not a reply
    for module in sys.argv[1:]:
        with suppress(Exception):  # the task that needs it will say so
            importlib.import_module(module)
    replies.write(frame(READY))
    replies.flush()
    while (message := read_frame(sys.stdin.buffer)) is not None:
        replies.write(frame(pickle.dumps(_forked(message, replies.fileno()))))
        replies.flush()


def _end(_signal: int, _frame: FrameType | None) -> None:
    _end_descendants()
    os._exit(1)


def _forked(message: bytes, replies: int) -> Outcome:
    """Do a task in a child that has a group of its own, and end whatever it started."""
    (patience,) = PATIENCE.unpack(message[: PATIENCE.size])
    deadline = time.monotonic() + patience
    reading, writing = os.pipe()
    with tempfile.TemporaryFile() as words:
        child = os.fork()
        if child == 0:
            os.close(replies)
            os.close(reading)
            _child(message[PATIENCE.size :], writing, words.fileno())
        os.close(writing)
        reply, status = _awaited(child, reading, deadline)
        os.close(reading)
        _end_descendants(child)
        if reply is not None:
            outcome = pickle.loads(reply)
            assert isinstance(outcome, Outcome)
            return outcome
        words.seek(0)
        last = words.read().decode(errors="replace")
    if status is None:
        return Outcome("out_of_time", detail=f"killed after {patience:g} s")
    code = os.waitstatus_to_exitcode(status)
    memory = any(sign in last for sign in ("bad_alloc", "MemoryError", "annot allocate memory", "ut of memory"))
    ended = f"signal {-code}" if code < 0 else f"exit status {code}"
    return Outcome("out_of_memory" if memory else "crashed", detail=line(f"{ended}: {last[-200:]}"))


def _child(message: bytes, reply: int, words: int) -> None:
    """Do a task in a fresh child, and end."""
    try:
        os.setpgid(0, 0)
        end_with_parent()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(words, 1)
        os.dup2(words, 2)
        write_all(reply, frame(pickle.dumps(_done(message))))
    except BaseException as error:  # noqa: BLE001 - told by the exit status and the last words
        os.write(2, f"{type(error).__name__}: {error}".encode(errors="replace"))
        os._exit(1)
    os._exit(0)


def _awaited(child: int, source: int, deadline: float) -> tuple[bytes | None, int | None]:
    """Wait for the reply of a child, or for its end; returns the reply and the status, each None if there is none."""
    content, size, open_ = b"", LENGTH.size, True
    status: int | None = None
    while time.monotonic() < deadline:
        dead = status is not None
        ready, _, _ = select.select([source] if open_ else [], [], [], _LOOK)
        part = os.read(source, 1 << 20) if ready else b""
        content += part
        if len(content) >= size == LENGTH.size:
            size += LENGTH.unpack(content[: LENGTH.size])[0]
        if len(content) == size > LENGTH.size:
            return content[LENGTH.size :], status
        if ready and not part:
            open_ = False  # it ended, or closed what it should write to
        if dead and not part:
            break
        if not dead:
            pid, found = os.waitpid(child, os.WNOHANG)
            status = found if pid else None
    return None, status


def _end_descendants(group: int | None = None) -> None:
    """Kill and reap all that descends from this process; where there is no /proc, a group of processes."""
    while True:
        if group is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)
        found = _descendants()
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG if found else 0)[0]:
                pass
        if not found:
            return
        time.sleep(0.001)


def _descendants() -> list[int]:
    """Find the living processes that descend from this one, where there is a /proc."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent = entry.read_text(errors="replace").rpartition(")")[2].split()[:2]
            if state != "Z":
                parents[int(entry.parent.name)] = int(parent)
    found = [os.getpid()]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found[1:]


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
        outcome = Outcome("out_of_memory", detail=line(f"MemoryError: {error}"))
    except MailoptError as error:
        outcome = Outcome("refused", detail=line(error))
    except Exception as error:  # noqa: BLE001 - whatever a solver raises is its outcome
        outcome = Outcome("refused", detail=line(f"broke down with {type(error).__name__}: {error}"))
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
        began = time.perf_counter()
        answer = task.solver.run(program, Request(task.time_limit, start))
        wall = time.perf_counter() - began
        if not isinstance(answer, Answer) or not isinstance(answer.termination, Termination):
            return Outcome("refused", detail=line(f"returned {answer!r:.80} instead of an Answer"))
        status, version, detail = answer.termination.name.lower(), line(answer.version), line(answer.detail)
        basis = answer.basis if isinstance(answer.basis, Basis) else None
        answers.append(_answered(program, answer, wall))
        if status != "optimal":
            break
    return Outcome(status, tuple(answers), version, detail, time.perf_counter() - started)


def _answered(program: LinearProgram, answer: Answer, wall: float) -> Answered:
    """Take from an answer what has the right form; times that cannot be are those of the clock on the wall."""
    build = _seconds(answer.build_time, wall) or 0.0
    iterations = answer.iterations
    counted = isinstance(iterations, int | np.integer) and not isinstance(iterations, bool) and iterations >= 0
    return Answered(
        _vector(answer.x, program.num_variables),
        _vector(answer.row_duals, program.num_rows),
        int(iterations) if counted and iterations is not None else None,
        _seconds(answer.solve_time, wall) or max(0.0, wall - build),
        build,
    )


def _vector(values: object, size: int) -> FloatArray | None:
    """Return an array of so many finite doubles; None for anything else."""
    if not isinstance(values, np.ndarray) or values.shape != (size,) or values.dtype.kind not in "iuf":
        return None
    array = np.array(values, dtype=np.float64)
    return array if np.isfinite(array).all() else None


def _seconds(value: object, wall: float) -> float | None:
    """Return a time that the solver may have taken, None for anything else."""
    return float(value) if isinstance(value, int | float) and 0 < value <= wall else None


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
    return next((1024 * int(found.split()[1]) for found in lines if found.startswith(what)), None)


def _limit_memory(limit: int) -> None:
    """Let this process and those that it starts have so many more bytes of data each."""
    import resource  # noqa: PLC0415 - not everywhere

    most = (_memory("VmData:") or 0) + limit
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))


if __name__ == "__main__":
    main()
