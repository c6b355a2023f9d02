"""What evaluation costs: enclosures beside the bare recursion, and the constants of theory on large games.

    python tests/benchmarks/evaluation.py          # minutes; --quick for seconds, on small games

Ratios are medians over repetitions in which the two sides take turns; the constants are timed once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from rich.table import Table
from scipy import sparse

import mailopt as mo
from mailopt.deviations import Stagewise
from mailopt.evaluation.recursion import recursion
from mailopt.evaluation.rules import Deviate, Obey, Problem
from mailopt.evaluation.stages import stage_gains
from tests.benchmarks.turns import print_tables, side_by_side, timed

HORIZON = 20


def random_game(
    states: int, actions: tuple[int, ...], layout: str, horizon: int = HORIZON
) -> tuple[mo.MarkovGame, mo.CorrelatedPolicy]:
    """Rewards in [0, 1]; five successors per state and joint action if sparse, one if deterministic."""
    rng, joint = np.random.default_rng(0), math.prod(actions)
    transitions: object = rng.integers(states, size=(states, joint))
    if layout == "dense":
        transitions = rng.dirichlet(np.ones(states), size=(states, joint))
    if layout == "sparse":
        rows = np.repeat(np.arange(states * joint), 5)
        entries = (rng.dirichlet(np.ones(5), size=states * joint).ravel(), (rows, rng.integers(states, size=rows.size)))
        transitions = sparse.csr_array(entries, shape=(states * joint, states))
    rewards, start = rng.random((len(actions), states, joint)), np.full(states, 1 / states)
    game = mo.MarkovGame(transitions, rewards, start, actions, horizon=horizon)
    return game, mo.CorrelatedPolicy(rng.dirichlet(np.ones(joint), size=states))


def bare(game: mo.MarkovGame, policy: mo.CorrelatedPolicy, deviations: Stagewise) -> None:
    """Values and best deviations by the recursion alone: no centring, no bounds."""
    values = np.zeros((game.num_agents, game.num_states))
    best = values.copy()
    for h in reversed(range(game.horizon or 0)):
        sigma, kernel = policy.at(h), game.kernel(h)
        values = np.einsum("sa,ksa->ks", sigma, game.reward(h) + kernel.expectation(values))
        q = game.reward(h) + kernel.expectation(best)
        for i in range(game.num_agents):
            best[i] = deviations.best_response(game, i, h, stage_gains(game, sigma, q[i], i))[0]


def enclosed(game: mo.MarkovGame, policy: mo.CorrelatedPolicy, deviations: Stagewise) -> None:
    """The same with what every result carries."""
    problem, agents = Problem(game, policy), range(game.num_agents)
    for rules in ([Obey(agents)], [Deviate(problem, i, deviations) for i in agents]):
        for outcome in recursion(problem, rules):
            outcome.enclosure()


def enclosures(quick: bool) -> Table:
    """Enclosed evaluation beside the bare recursion."""
    sizes: list[tuple[str, int, tuple[int, ...]]] = [("dense", 50, (2, 2)), ("sparse", 100, (3, 3))]
    if not quick:
        sizes += [("dense", 20, (3, 3)), ("sparse", 2000, (2, 2)), ("sparse", 2000, (5, 5)), ("dense", 500, (2, 2))]
        sizes += [("dense", 2000, (2, 2)), ("deterministic", 2000, (5, 5)), ("sparse", 500, (3, 3, 3))]
    table = Table("game", "class", "bare ms", "enclosed ms", "ratio", "relative half-width", title="enclosures, H = 20")
    for layout, states, actions in sizes:
        game, policy = random_game(states, actions, layout)
        for deviations in (mo.Swap(), mo.External()):
            calls: dict[str, Callable[[], object]] = {
                "bare": lambda: bare(game, policy, deviations),  # noqa: B023 - called at once
                "enclosed": lambda: enclosed(game, policy, deviations),  # noqa: B023
            }
            found = side_by_side(calls, 3 if quick else 15)
            width = mo.best_deviation(game, policy, 0, deviations)
            table.add_row(
                f"{layout} S = {states}, A = {math.prod(actions)}",
                repr(deviations),
                *(f"{1e3 * seconds:.2f}" for seconds in found.values()),
                f"{found['enclosed'] / found['bare']:.2f}",
                f"{(width.upper - width.lower) / 2 / HORIZON:.0e}",
            )
    return table


def constants(quick: bool) -> Table:
    """Coverage, concentrability, recoverability and loss on a sparse game."""
    states = 100 if quick else 2000
    game, expert = random_game(states, (2, 2), "sparse")
    varying = mo.CorrelatedPolicy(np.stack([expert.at(0)] * HORIZON))
    learner = mo.CorrelatedPolicy.mixture([expert, mo.CorrelatedPolicy.uniform(game)], [0.9, 0.1])
    table = Table("constant", "seconds", title=f"sparse, S = {states}, A = 4, H = {HORIZON}")
    calls: dict[str, Callable[[], object]] = {
        "coverage": lambda: mo.coverage(game, expert),
        "concentrability, stationary expert": lambda: mo.concentrability(game, expert),
        "concentrability, expert per step": lambda: mo.concentrability(game, varying),
        "recoverability": lambda: mo.recoverability(game, expert),
        "deviation-weighted loss": lambda: mo.deviation_weighted_loss(game, learner, expert),
        "regret gap bound": lambda: mo.regret_gap_bound(game, learner, expert),
        "budget curve, 20 breakpoints": lambda: mo.budget_curve(game, learner, max_breakpoints=20),
    }
    for name, call in calls.items():
        table.add_row(name, f"{timed(call):.2f}")
    return table


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    print_tables(__doc__, (enclosures, constants), arguments)


if __name__ == "__main__":
    main()
