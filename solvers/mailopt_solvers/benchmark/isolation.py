"""Runs tasks in processes of their own, with limits that hold; see :mod:`~mailopt_solvers.benchmark.fork_server`."""

from __future__ import annotations

import atexit
import os
import pickle
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from mailopt_solvers.benchmark.tasks import LENGTH, PATIENCE, READY, Outcome, Task, frame, line
from mailopt_solvers.errors import SolverFailed
from mailopt_solvers.files import write_all

_GRACE = 2.0  # seconds beyond its limit, and a tenth of it, after which a task is killed
_LATE = 5.0  # seconds beyond that, after which the process that should have killed it is
_START = 120.0  # seconds that loading modules may take
_THREADS = ("OMP", "OPENBLAS", "MKL", "BLIS", "VECLIB_MAXIMUM", "NUMEXPR")
_servers: dict[tuple[int, tuple[str, ...]], _Server] = {}


def run_isolated(task: Task, modules: tuple[str, ...] = ()) -> Outcome:
    """Do a task in a process of its own, which is killed with all that it started when its time is over.

    Parameters
    ----------
    task
        What to do.
    modules
        What to load beforehand, so that the task need not wait for it; what cannot be loaded is left to the task.

    Raises
    ------
    SolverFailed
        No process can be started here.
    """
    key = threading.get_ident(), modules
    server = _servers.get(key)
    if server is None or not server.alive:
        try:
            server = _Server(modules)
        except SolverFailed:
            server = _Server(())  # the task will end alike, alone
        _servers[key] = server
    return server.done(task)


@contextmanager
def servers_ended() -> Iterator[None]:
    """End the processes that wait for tasks of this one afterwards."""
    try:
        yield
    finally:
        _end_servers()


def _end_servers() -> None:
    while _servers:
        _servers.popitem()[1].end()


atexit.register(_end_servers)  # in the workers of an engine


class _Server:
    """A fork server, and the pipes to it."""

    def __init__(self, modules: tuple[str, ...]) -> None:
        environment = {**os.environ, **{f"{name}_NUM_THREADS": "1" for name in _THREADS}}
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)  # where solvers are found
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            (sys.executable, "-P", "-m", "mailopt_solvers.benchmark.fork_server", *modules),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            env=environment,
            start_new_session=True,
            bufsize=0,
        )
        if self._reply(time.monotonic() + _START) != READY:
            last = self._last_words()
            self.end()
            raise SolverFailed(f"the process that starts solvers does not start, with {', '.join(modules)}: {last}")

    @property
    def alive(self) -> bool:
        """Whether it can take a task."""
        return self._process.poll() is None

    def done(self, task: Task) -> Outcome:
        """Hand a task over and wait for the outcome, but not for ever."""
        patience = 1.1 * task.time_limit * len(task.programs) + _GRACE
        started = time.monotonic()
        try:
            self._send(frame(PATIENCE.pack(patience) + pickle.dumps(task)))
            reply = self._reply(started + patience + _LATE)
        except BaseException:
            self.end()
            raise
        if reply is None:  # the task did something to it
            passed, last = time.monotonic() - started, self._last_words()
            status = "crashed" if passed < patience else "out_of_time"
            self.end()
            return Outcome(status, detail=line(f"the process that started it is gone: {last}"), wall_seconds=passed)
        outcome = pickle.loads(reply)
        assert isinstance(outcome, Outcome)
        return outcome

    def _send(self, content: bytes) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it is gone, and there will be no reply
            write_all(self._process.stdin.fileno(), content)

    def _reply(self, deadline: float) -> bytes | None:
        """Read one frame; None if there is none by then."""
        assert self._process.stdout is not None
        source = self._process.stdout.fileno()
        parts: list[bytes] = []
        size, have = LENGTH.size, 0
        while True:
            ready, _, _ = select.select([source], [], [], max(0.0, deadline - time.monotonic()))
            part = os.read(source, min(1 << 20, size - have)) if ready else b""
            if not part:
                return None
            parts.append(part)
            have += len(part)
            if have == size:
                content = b"".join(parts)
                if size > LENGTH.size:
                    return content[LENGTH.size :]
                size += LENGTH.unpack(content)[0]

    def _last_words(self) -> str:
        self._words.seek(0)
        return self._words.read().decode(errors="replace")[-300:].strip()

    def end(self) -> None:
        """End it and all that it started."""
        self._process.terminate()  # it ends its tasks first
        try:
            self._process.wait(_LATE)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._words):
            if stream is not None:
                stream.close()
