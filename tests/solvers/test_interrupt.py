"""Ctrl-C in a process of its own: it ends at once, with KeyboardInterrupt and nothing worse."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

SCRIPT = """
import signal, sys
import numpy as np
from scipy import sparse
from mailopt_solvers import HighsSession, ProgramBuilder, solve, solve_batch, solve_mixed_integer
signal.signal(signal.SIGINT, signal.default_int_handler)
rng = np.random.default_rng(0)
builder = ProgramBuilder("max")
x = builder.add_variables("x", (2500,), costs=rng.random(2500), upper=1.0)
builder.add_rows("caps", (2000,), {x: sparse.random_array((2000, 2500), density=0.03, rng=rng)}, upper=1.0)
program = builder.build()
if sys.argv[1] == "cvxpy-scs":
    import cvxpy
print("ready", flush=True)
if sys.argv[1] == "batch":
    solve_batch(program, costs=rng.random((5, 2500)))
elif sys.argv[1] == "session":
    HighsSession(program).solve()
elif sys.argv[1] == "mixed-integer":
    split = ProgramBuilder()  # tiny, and hopeless: half the sum of each row
    z, off = split.add_variables("z", (50,), upper=1.0), split.add_variables("off", (6,), costs=1.0)
    rows = rng.integers(0, 100, size=(6, 50)).astype(float)
    split.add_rows("rows", (6,), {z: rows, off: np.eye(6)}, lower=rows.sum(axis=1) // 2)
    split.add_rows("more", (6,), {z: rows, off: -np.eye(6)}, upper=rows.sum(axis=1) // 2)
    solve_mixed_integer(split.build(), ["z"])
else:
    solve(program, sys.argv[1])
print("it ended by itself")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal")
@pytest.mark.parametrize(
    "way", ["highs", "highs-ipm", "cvxpy-scs", "ortools-pdlp", "batch", "session", "mixed-integer"]
)
def test_ctrl_c_ends_a_process(way: str) -> None:
    command = [sys.executable, "-c", SCRIPT, way]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.7)
        process.send_signal(signal.SIGINT)
        try:
            said, errors = process.communicate(timeout=20)
        finally:
            process.kill()
    assert "it ended by itself" not in said
    assert "KeyboardInterrupt" in errors
    assert "terminate" not in errors
    assert process.returncode in (-signal.SIGINT, 130, 1)
