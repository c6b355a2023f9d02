"""The process that OR-tools runs in ends when it should."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

HARD = """
import numpy as np
from scipy import sparse
from mailopt_solvers import ProgramBuilder, solve
rng = np.random.default_rng(0)
builder = ProgramBuilder("max")
x = builder.add_variables("x", (800,), costs=rng.random(800))
builder.add_rows("caps", (700,), {x: sparse.csr_array(rng.random((700, 800)))}, upper=1.0)
print("ready", flush=True)
solve(builder.build(), "ortools-pdlp")
"""


def children(pid: int) -> list[int]:
    """Processes whose parent this is."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:  # it ended meanwhile
            continue
        if int(text.rpartition(")")[2].split()[1]) == pid:
            found.append(int(stat.parent.name))
    return found


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_nothing_is_left_behind_when_the_parent_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", HARD], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "ready\n"
        deadline = time.monotonic() + 30
        while not children(parent.pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(1.0)  # into the solver
        workers = children(parent.pid)
        assert workers
        parent.kill()
    while any(map(is_running, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_running, workers))
