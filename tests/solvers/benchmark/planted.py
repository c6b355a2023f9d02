"""Solvers with faults, in a module that other processes can import."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import ClassVar

import numpy as np

from mailopt_solvers import Answer, Capability, Highs, LinearProgram, Request, Solver, Termination


class Planted(Solver):
    """Solves with HiGHS; each fault is a method."""

    backend: ClassVar[str] = "planted"
    methods: ClassVar[tuple[str, ...]] = ("liar", "denier", "crasher", "hog", "sleeper", "thrower", "mute", "honest")

    @property
    def capabilities(self) -> frozenset[Capability]:
        return frozenset()

    @property
    def tolerance(self) -> float:
        return 1e-7

    def missing(self) -> str | None:
        return None

    def run(self, program: LinearProgram, request: Request) -> Answer:
        truth = Highs("simplex").run(program, request)
        if self.method == "liar" and truth.x is not None:  # a little off, and sure of it
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
