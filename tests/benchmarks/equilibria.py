"""What equilibria cost: Markov backward induction beside the bare time of the programs that were really needed.

    python tests/benchmarks/equilibria.py          # a minute or two; --quick for seconds, on a small game

The programs are recorded in one run and then handed to a bare, reused HiGHS object that checks nothing. Ratios are
medians over repetitions in which the two sides take turns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from unittest import mock

import numpy as np
from rich.table import Table

import mailopt as mo
from mailopt.equilibria import stages
from mailopt_solvers import LinearProgram, solve_batch
from tests.benchmarks.evaluation import random_game
from tests.benchmarks.lp_layer import bare_highs, bare_solve
from tests.benchmarks.turns import print_tables, side_by_side, timed


def recorded(game: mo.MarkovGame, deviations: mo.DeviationClass) -> list[LinearProgram]:
    """Programs that backward induction had to solve."""
    programs: list[LinearProgram] = []

    def record(pattern: LinearProgram, **parts: Any) -> Any:
        numbers = {name: values for name, values in parts.items() if isinstance(values, np.ndarray)}
        count = len(numbers["costs"])
        programs.extend(pattern.changed(**{name: values[k] for name, values in numbers.items()}) for k in range(count))
        return solve_batch(pattern, **parts)

    with mock.patch.object(stages, "solve_batch", record):
        mo.correlated_equilibrium(game, deviations=deviations)
    return programs


def induction(quick: bool) -> Table:
    """Backward induction over all stages against its programs alone."""
    states, horizon = (30, 5) if quick else (1000, 50)
    game, _ = random_game(states, (3, 3), "sparse", horizon)
    title = f"{states} states x {horizon} steps of 3 x 3 games, welfare"
    table = Table("class", "stages by program", "bare HiGHS s", "backward induction s", "ratio", title=title)
    for deviations in (mo.Swap(), mo.External()):
        programs = recorded(game, deviations)
        highs = bare_highs()
        found = side_by_side(
            {
                "bare": lambda programs=programs, highs=highs: [bare_solve(highs, p) for p in programs],  # type: ignore[misc]
                "ours": lambda deviations=deviations: mo.correlated_equilibrium(game, deviations=deviations),  # type: ignore[misc]
            },
            1 if quick else 5,
        )
        share = f"{len(programs)} of {states * horizon}"
        numbers = (f"{found['bare']:.2f}", f"{found['ours']:.2f}", f"{found['ours'] / found['bare']:.2f}")
        table.add_row(repr(deviations), share, *numbers)
    return table


def others(quick: bool) -> Table:
    """The other ways to an equilibrium, timed once."""
    states, horizon = (20, 4) if quick else (300, 20)
    game, _ = random_game(states, (3, 3), "sparse", horizon)
    learner = mo.CorrelatedPolicy.uniform(game)
    table = Table("what", "seconds", title=f"{states} states x {horizon} steps of 3 x 3 games")
    epsilon = mo.regret(game, learner).value / 4
    calls = {
        "egalitarian": lambda: mo.correlated_equilibrium(game, objective="egalitarian"),
        "repair of uniform play to a quarter of its regret, spend=False": lambda: mo.repair(
            game, learner, epsilon=epsilon, spend=False
        ),
        "the same, spend=True": lambda: mo.repair(game, learner, epsilon=epsilon),
    }
    for name, call in calls.items():
        table.add_row(name, f"{timed(call):.2f}")
    return table


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    print_tables(__doc__, (induction, others), arguments)


if __name__ == "__main__":
    main()
