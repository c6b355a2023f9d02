"""What a proof costs: making a certificate, and checking it with nothing but Python.

    python tests/benchmarks/certificates.py          # a minute; --quick for seconds, on small games

Two agents with 2 x 2 actions, horizon 20, a policy and an expert that depend on the step; in doubles. Beside it, what
the dynamic program takes for the same numbers. The checker runs on the files in a process of its own: its time includes
Python's start, and the peak memory is the largest of such processes so far.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.table import Table
from scipy import sparse

import mailopt as mo
from mailopt.certificates import checker
from tests.benchmarks.turns import print_tables, timed

HORIZON = 20


def random_game(states: int, successors: int) -> tuple[mo.MarkovGame, mo.CorrelatedPolicy, mo.CorrelatedPolicy]:
    """Rewards in [-1, 1]; so many successors for each state and joint action."""
    rng = np.random.default_rng(0)
    rows = np.repeat(np.arange(states * 4), successors)
    columns = np.concatenate([rng.choice(states, successors, replace=False) for _ in range(states * 4)])
    weights = rng.dirichlet(np.ones(successors), size=states * 4).ravel()
    transitions = sparse.csr_array((weights, (rows, columns)), shape=(states * 4, states))
    rewards, start = rng.uniform(-1, 1, (2, states, 4)), np.full(states, 1 / states)
    game = mo.MarkovGame(transitions, rewards, start, (2, 2), horizon=HORIZON)
    learner, expert = (mo.CorrelatedPolicy(rng.dirichlet(np.ones(4), size=(HORIZON, states))) for _ in range(2))
    return game, learner, expert


def check_by_itself(paths: Sequence[Path]) -> None:
    """Run the checker as a sceptic does."""
    subprocess.run([sys.executable, "-I", "-S", checker.__file__, *map(str, paths)], check=True, capture_output=True)


def proofs(quick: bool) -> Table:
    """Regret of a policy, and its gap to an expert: evaluated, certified, checked."""
    columns = ("S, successors", "claim", "dp s", "certify s", "check s", "peak MB", "width")
    table = Table(*columns, title="certificates")
    cases = ((50, 5), (20, 20)) if quick else ((2000, 10), (500, 500))
    with tempfile.TemporaryDirectory() as folder:
        for states, successors in cases:
            game, learner, expert = random_game(states, successors)
            paths = [Path(folder) / f"{name}.json" for name in ("certificate", "game", "policy", "expert")]
            game.save(paths[1])
            learner.save(paths[2], game)
            expert.save(paths[3], game)
            for claim in ("regret", "gap"):
                other = None if claim == "regret" else expert
                evaluated = timed(lambda: (mo.regret(game, learner), other and mo.regret(game, other)))  # noqa: B023
                made: list[mo.Certificate] = []
                certified = timed(lambda: made.append(mo.certify(game, learner, other)))  # noqa: B023
                made[0].save(paths[0])
                checked = timed(lambda: check_by_itself(paths if other else paths[:3]))  # noqa: B023
                peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
                numbers = f"{evaluated:.3f}", f"{certified:.1f}", f"{checked:.1f}", f"{peak:.0f}"
                width = f"{float(made[0].upper - made[0].lower):.1g}"
                table.add_row(f"{states}, {successors}", claim, *numbers, width)
    return table


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    print_tables(__doc__, (proofs,), arguments)


if __name__ == "__main__":
    main()
