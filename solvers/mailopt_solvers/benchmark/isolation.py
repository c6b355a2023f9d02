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
from contextlib import suppress

from mailopt_solvers.benchmark.tasks import LENGTH, READY, Outcome, Task, frame
from mailopt_solvers.errors import SolverFailed

_GRACE = 2.0  # seconds beyond its limit, and a tenth of it, after which a task is killed
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
        What to load beforehand, so that the task need not wait for it.

    Raises
    ------
    SolverFailed
        No process could be started.
    """
    key = threading.get_ident(), modules
    server = _servers.get(key)
    if server is None or not server.alive:
        server = _servers[key] = _Server(modules)
    return server.done(task)


def close_servers() -> None:
    """End the processes that wait for tasks of this one."""
    while _servers:
        _servers.popitem()[1].kill()


atexit.register(close_servers)


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
            self.kill()
            raise SolverFailed(f"the process that starts solvers did not load {', '.join(modules)}: {last}")

    @property
    def alive(self) -> bool:
        """Whether it can take a task."""
        return self._process.poll() is None

    def done(self, task: Task) -> Outcome:
        """Hand a task over and wait for the outcome, but not for ever."""
        limit = 1.1 * task.time_limit * len(task.programs) + _GRACE
        started = time.monotonic()
        assert self._process.stdin is not None
        try:
            _send(self._process.stdin.fileno(), frame(pickle.dumps(task)))
            reply = self._reply(started + limit)
        except BaseException:
            self.kill()
            raise
        if reply is None:
            died = self._process.poll()
            last = self._last_words()
            self.kill()
            if died is not None:
                raise SolverFailed(f"the process that starts solvers ended with {died}: {last}")
            return Outcome("out_of_time", detail=f"killed after {limit:g} s", wall_seconds=time.monotonic() - started)
        outcome = pickle.loads(reply)
        assert isinstance(outcome, Outcome)
        return outcome

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
        return self._words.read().decode(errors="replace")[-500:].strip()

    def kill(self) -> None:
        """End it and all that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._words):
            if stream is not None:
                stream.close()


def _send(target: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(target, view) :]
