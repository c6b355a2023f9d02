"""What learners cost and what they reach: warm programs, the minimax, questions asked, demonstrations needed.

    python tests/benchmarks/imitation.py          # some ten minutes; --quick for seconds, on small games

Times are of solves that take turns in one run: each program of MALICE is solved from where the last one ended and,
right after, from scratch.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from unittest import mock

import numpy as np
from rich.table import Table

import mailopt as mo
from mailopt.games.numbers import BoolArray, FloatArray
from mailopt.interop.openspiel import unroll
from mailopt.programs.imitation import Master
from mailopt_solvers import HighsSession, Solution
from tests.benchmarks.evaluation import random_game
from tests.benchmarks.turns import print_tables, timed


def warm(quick: bool) -> Table:
    """Rounds of MALICE from the last basis, against each from scratch."""
    table = Table("game", "rule", "programs", "rows", "warm s", "scratch s", "ratio", title="Programs of MALICE")
    solve = Master.solve
    for states, horizon, labels in ((20, 5, 6),) if quick else ((40, 8, 10), (100, 10, 25), (300, 10, 60)):
        game, _ = random_game(states, (3, 3), "sparse", horizon)
        rng = np.random.default_rng(0)
        expert = mo.CorrelatedPolicy(rng.dirichlet(np.full(9, 0.3), size=states))
        shown = mo.Demonstrations.from_policy(game, expert)
        aliased = mo.policy_classes.Aggregated(rng.integers(labels, size=states))
        for rule in ("cutting_plane", "follow_the_leader"):
            seconds: list[tuple[float, float]] = []

            def both(master: Master, *, seconds: list[tuple[float, float]] = seconds) -> Solution:
                found: list[Solution] = []
                here = timed(lambda: found.append(solve(master)))
                program = master.session.program
                seconds.append((here, timed(lambda: found.append(HighsSession(program).solve()))))
                assert abs(found[0].objective - found[1].objective) <= 1e-6 * (1 + abs(found[1].objective))
                return found[0]

            with mock.patch.object(Master, "solve", both):
                learned = mo.malice(
                    game, shown, policy_class=aliased, rule=rule, rounds=6 if quick else 51, patience=51, tolerance=0.0
                )
            ours, scratch = np.sum(seconds, axis=0)
            sizes = (f"{len(seconds)}", f"{learned.history[-1].rows or max(r.rows for r in learned.history)}")
            name = f"{states} states, {horizon} steps, {labels} labels"
            table.add_row(name, rule, *sizes, f"{ours:.2f}", f"{scratch:.2f}", f"{ours / scratch:.2f}")
    return table


def minimax(quick: bool) -> Table:
    """Exact loss of MALICE against the least that a refined grid finds, on tiny games."""
    count = 4 if quick else 60
    title = f"Exact loss over the least on refined grids, {count} games of 3 states, 3 steps, mixtures of two policies"
    table = Table("rule", "median", "largest", "within 6%", title=title)
    ratios: dict[str, list[float]] = {"cutting_plane": [], "follow_the_leader": [], "follow_the_regularised_leader": []}
    for seed in range(count):
        rng = np.random.default_rng(seed)
        kernel, start = rng.dirichlet(np.full(3, 0.5), size=(3, 4)), rng.dirichlet(np.ones(3))
        game = mo.MarkovGame(kernel, np.zeros((2, 3, 4)), start, (2, 2), horizon=3)
        expert, *members = (mo.CorrelatedPolicy(rng.dirichlet(np.full(4, 0.3), size=3)) for _ in range(3))
        shown, mixing = mo.Demonstrations.from_policy(game, expert), mo.policy_classes.Mixture(members)
        least = least_on_grids(game, expert, members)
        for rule, found in ratios.items():
            loss = mo.malice(game, shown, policy_class=mixing, rule=rule).loss
            assert loss is not None
            found.append(loss.value / least)
    for rule, found in ratios.items():
        good = f"{sum(r <= 1.06 for r in found)} of {count}"
        table.add_row(rule, f"{np.median(found):.4f}", f"{max(found):.4f}", good)
    return table


def least_on_grids(game: mo.MarkovGame, expert: mo.CorrelatedPolicy, members: Sequence[mo.CorrelatedPolicy]) -> float:
    """Least loss of mixtures of two policies, their weights in three states on ever finer grids around the best."""
    one, other = (member.probabilities for member in members)
    least, centre, width = np.inf, np.full(3, 0.5), 0.5
    for _ in range(7):
        grids = [np.clip(np.linspace(c - width, c + width, 7), 0.0, 1.0) for c in centre]
        for weights in itertools.product(*grids):
            share = np.array(weights)[:, None]
            policy = mo.CorrelatedPolicy(share * one + (1.0 - share) * other)
            loss = mo.deviation_weighted_loss(game, policy, expert).value
            if loss < least:
                least, centre = loss, np.array(weights)
        width /= 2.0
    return least


def layered(width: int, layers: int, successors: int) -> mo.MarkovGame:
    """Deterministic game whose states lie in layers; a joint action leads to one of few states of the next layer."""
    rng = np.random.default_rng(0)
    following = rng.integers(width, size=(layers, width, successors)) + width * np.minimum(
        np.arange(1, layers + 1), layers - 1
    ).reshape(-1, 1, 1)
    chosen = rng.integers(successors, size=(layers, width, 9))
    table = np.take_along_axis(following, chosen, axis=2).reshape(layers * width, 9)
    start = np.zeros(layers * width)
    start[0] = 1.0
    return mo.MarkovGame(table, rng.random((2, layers * width, 9)), start, (3, 3), horizon=layers)


def questions(quick: bool) -> Table:
    """Questions that certify a loss of at most 0.01, and what others would have known by then."""
    title = "Questions until the certified loss is at most 0.01; bounds if the expert's visits are asked for instead"
    table = Table("game", "all", "reachable", "BLADES", "bound", "visits", "bound", "as many", "s", title=title)
    for name, game, expert in question_games(quick):
        started = time.perf_counter()
        found = mo.blades(game, Asked(expert), epsilon=0.01, per_round=25)
        seconds = time.perf_counter() - started
        shown = mo.Demonstrations.from_policy(game, expert)
        few = sampled(shown, found.queries)
        bounds = [f"{known_bound(game, shown, where):.3g}" for where in (shown.seen, few)]
        counts = (
            f"{shown.seen.size}",
            f"{found.reachable}",
            f"{found.queries} ({found.queries / shown.seen.size:.1%})",
        )
        table.add_row(name, *counts, f"{found.bound:.2g}", f"{int(shown.seen.sum())}", *bounds, f"{seconds:.1f}")
    return table


class Asked:
    """An expert that only answers, so that no gaps are computed for the history."""

    def __init__(self, policy: mo.CorrelatedPolicy) -> None:
        self.policy = policy

    def query(self, step: int, state: int) -> FloatArray:
        """Return the row of the policy."""
        return np.asarray(self.policy.at(step)[state])


def known_bound(game: mo.MarkovGame, shown: mo.Demonstrations, where: BoolArray) -> float:
    """Certified loss of behaviour cloning where the expert was asked, with a distance of 1 elsewhere."""
    asked = np.where(where[..., None], shown.occupancy, 0.0)
    if game.horizon is not None:  # a step of which nothing was asked has to have something: what it has least of
        for h in np.flatnonzero(~asked.any(axis=(1, 2))):
            state = np.where(shown.visits[h] > 0, shown.visits[h], np.inf).argmin()
            asked[h, state] = shown.occupancy[h, state]
    learned = mo.behavior_cloning(game, mo.Demonstrations.from_counts(game, asked))
    assert learned.loss is not None
    return learned.loss.value


def sampled(shown: mo.Demonstrations, count: int) -> BoolArray:
    """So many places (step, state), drawn from the expert's own visits."""
    visits = shown.visits.ravel() / shown.visits.sum()
    number = min(count, int(np.count_nonzero(visits)))
    where = np.zeros(visits.size, dtype=bool)
    where[np.random.default_rng(0).choice(visits.size, size=number, replace=False, p=visits)] = True
    return where.reshape(shown.visits.shape)


def question_games(quick: bool) -> list[tuple[str, mo.MarkovGame, mo.CorrelatedPolicy]]:
    """Games with an expert."""
    chain = mo.scenarios.unvisited_chain(6 if quick else 70)
    deep = layered(5, 6, 2) if quick else layered(5, 45, 2)
    sparse, _ = random_game(10 if quick else 200, (3, 3), "sparse", 5 if quick else 20)
    games = [
        ("chain", chain.game, chain.expert),
        ("layered, deterministic", deep, mo.correlated_equilibrium(deep).policy),
        ("random sparse", sparse, mo.correlated_equilibrium(sparse).policy),
    ]
    cards = unroll(f"goofspiel(num_cards={3 if quick else 4},imp_info=False,points_order=descending)").game
    games.append(("goofspiel", cards, mo.zero_sum_equilibrium(cards).policy))
    if not quick:
        coins = unroll("oshi_zumo(coins=5,size=2,horizon=6)").game
        soccer = unroll("markov_soccer", discount=0.9).game
        games += [
            (name, g, mo.zero_sum_equilibrium(g).policy)
            for name, g in (("oshi_zumo 5", coins), ("markov_soccer", soccer))
        ]
    return games


def episodes(quick: bool) -> Table:
    """Value gap and regret gap of every learner against the number of demonstrations."""
    table = Table(
        "game",
        "expert",
        "episodes",
        "seen",
        "learner",
        "value gap",
        "regret gap",
        "width",
        title="Demonstrations and gaps",
    )
    for name, game, kind, expert in demonstrated_games(quick):
        blades = mo.blades(game, expert)
        row = (f"{blades.queries} queries", f"{blades.queries}", "BLADES")
        table.add_row(name, kind, *row, *gaps(game, blades.policy, expert))
        for count in (10, 100) if quick else (10, 100, 1000, 10_000, 100_000):
            shown = mo.sample_demonstrations(game, expert, count, seed=0)
            learned = {
                "J-BC": mo.behavior_cloning(game, shown),
                "J-BC, least regret": mo.behavior_cloning(game, shown, completion="least_regret"),
                "J-IRL": mo.inverse_reinforcement_learning(game, shown),
                "MALICE": mo.malice(game, shown, uncovered="charge", rounds=20),
            }
            for learner, found in learned.items():
                seen = f"{int(shown.seen.sum())} of {blades.reachable}"
                table.add_row("", "", f"{count}", seen, learner, *gaps(game, found.policy, expert))
    return table


def gaps(game: mo.MarkovGame, policy: mo.CorrelatedPolicy, expert: mo.CorrelatedPolicy) -> tuple[str, str, str]:
    """Both gaps, and how far the regret gap's bounds are apart."""
    gap = mo.regret_gap(game, policy, expert)
    return f"{mo.value_gap(game, policy, expert).value:.4f}", f"{gap.value:.4f}", f"{gap.upper - gap.lower:.0e}"


def demonstrated_games(quick: bool) -> list[tuple[str, mo.MarkovGame, str, mo.CorrelatedPolicy]]:
    """OpenSpiel games with a Nash expert and one with a correlated expert."""
    cards = unroll(f"goofspiel(num_cards={3 if quick else 4},imp_info=False,points_order=random)").game
    games = [("goofspiel", cards, "Nash", mo.zero_sum_equilibrium(cards).policy)]
    if not quick:
        coins = unroll("oshi_zumo(coins=6,size=2,horizon=6)").game
        games.append(("oshi_zumo 6", coins, "Nash", mo.zero_sum_equilibrium(coins).policy))
        fair = mo.correlated_equilibrium(cards, objective="egalitarian").policy
        games.append(("goofspiel", cards, "correlated", fair))
    return games


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    print_tables(__doc__, (warm, minimax, questions, episodes), arguments)


if __name__ == "__main__":
    main()
