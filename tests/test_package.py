"""What importing costs, and what a large game costs."""

from __future__ import annotations

import subprocess
import sys

import mailopt as mo

HEAVY = ("cvxpy", "matplotlib", "pyspiel", "open_spiel", "highspy", "typer", "rich", "pandas")


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def test_importing_the_package_leaves_heavy_packages_alone() -> None:
    loaded = run(f"import mailopt, sys; print([name for name in {HEAVY!r} if name in sys.modules])")
    assert loaded == "[]"


def test_the_solver_layer_knows_nothing_of_games() -> None:
    assert run("import mailopt_solvers, sys; print('mailopt' in sys.modules)") == "False"


def test_every_public_name_exists() -> None:
    for name in mo.__all__:
        assert hasattr(mo, name)


def test_twenty_thousand_states_fit_in_a_gigabyte() -> None:
    """20000 states, 16 joint actions, 5 successors per row, horizon 20: peak memory of the whole process, in KiB.

    Not ru_maxrss, in which Linux counts the process that started this one.
    """
    peak = run(
        """
import re
from pathlib import Path
import numpy as np
from scipy import sparse
import mailopt as mo
rng = np.random.default_rng(0)
S, A, k = 20000, 16, 5
successors = rng.integers(0, S, (S * A, k))
rows = sparse.csr_array(
    (rng.dirichlet(np.ones(k), S * A).ravel(), successors.ravel(), np.arange(0, S * A * k + 1, k)), shape=(S * A, S)
)
game = mo.MarkovGame(rows, rng.normal(size=(2, S, A)), np.full(S, 1 / S), (4, 4), horizon=20)
learner = mo.CorrelatedPolicy(rng.dirichlet(np.ones(A), S))
expert = mo.CorrelatedPolicy(rng.dirichlet(np.ones(A), (20, S)))
gap = mo.regret_gap(game, learner, expert)
assert gap.policy.value > 0 and gap.expert.value > 0
print(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""
    )
    assert int(peak) < 10**6
