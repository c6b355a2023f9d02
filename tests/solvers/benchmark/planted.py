"""Solvers with faults, in a module that other processes can import."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from typing import ClassVar

import numpy as np

from mailopt_solvers import Answer, Highs, LinearProgram, Request, Termination
from tests.solvers.bare_solver import BareSolver


class Planted(BareSolver):
    """Solves with HiGHS; each fault is a method."""

    backend: ClassVar[str] = "planted"
    methods: ClassVar[tuple[str, ...]] = (
        *("liar", "denier", "crasher", "hog", "sleeper", "thrower", "mute", "honest", "infinite", "huge", "listy"),
        *("wordy", "nothing", "server_killer", "group_killer", "daemon", "timeless"),
    )

    def run(self, program: LinearProgram, request: Request) -> Answer:
        truth = Highs("simplex").run(program, request)
        assert truth.x is not None
        if self.method in ("infinite", "huge"):
            return replace(truth, x=np.full_like(truth.x, np.inf if self.method == "infinite" else 1.7e308))
        if self.method == "listy":
            return replace(truth, x=truth.x.tolist(), iterations="many")  # type: ignore[arg-type]
        if self.method == "wordy":
            return replace(truth, detail="\ud800\n|" * 1000, version="v" * 10**6)
        if self.method == "nothing":
            return None  # type: ignore[return-value]
        if self.method == "server_killer":
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(600)
        if self.method == "group_killer":
            os.killpg(0, signal.SIGKILL)
        if self.method == "daemon":  # leaves a process behind that holds everything that it inherited
            command = [sys.executable, "-c", "import time; time.sleep(601)"]
            subprocess.Popen(command, start_new_session=True, close_fds=False)
        if self.method == "timeless":
            return replace(truth, solve_time=0.0, build_time=float("nan"))
        if self.method == "liar":  # a little off, and sure of it
            return Answer(Termination.OPTIMAL, "1", "solved!", {}, 0.99 * truth.x, truth.row_duals)
        if self.method == "denier":
            return Answer(Termination.INFEASIBLE, "1", "no solution", {})
        if self.method == "crasher":
            os.abort()
        if self.method == "hog":
            np.ones(1 << 34).sum()
        if self.method == "sleeper":
            with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]):
                time.sleep(600)
        if self.method == "thrower":
            raise ValueError("what is\na program?")
        if self.method == "mute":
            return Answer(Termination.OPTIMAL, "1", "optimal, believe me", {})
        return truth
