"""Claim: value is easy and regret is hard, and what a training loss says of the regret gap depends on the learner.

Table 1 of Tang et al. (NeurIPS 2024), measured on their chain games. First the learners as they are: where the expert
never goes, behaviour cloning and inverse reinforcement learning match its value and give regret away. Then each learner
gets an error: of all policies whose own training loss, a step, is at most eps, the worst for the regret gap. On the
covered chain it plays (1, 0) instead of (1, 1) on odd states with some probability p. An agent that is told 1 there can
play 0 and is paid u with probability p, and obeying pays nothing, so that the gap is u (H - 1) p. No policy has a
larger one: the other agent plays 0 with at most the probability by which the policy errs.

    python examples/value_is_easy_regret_is_hard.py [figure.png]
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import mailopt as mo

LEARNERS = ("J-BC", "J-IRL", "MALICE", "BLADES")
NEEDS = {"J-BC": "nothing", "J-IRL": "nothing", "MALICE": "coverage, dynamics", "BLADES": "queries, dynamics"}
BOUNDS = {"J-BC": "eps u H / beta", "J-IRL": "eps u H / beta", "MALICE": "eps u H", "BLADES": "eps u H"}


@dataclass(frozen=True)
class Setting:
    """A covered chain, and the error a step."""

    horizon: int = 10
    coverage: float = 0.2
    reward: float = 1.0
    error: float = 0.01


SWEEPS = {
    "horizon": (5, 10, 20, 40),
    "coverage": (0.05, 0.1, 0.2, 0.4),
    "error": (0.0025, 0.005, 0.01, 0.02),
    "reward": (0.5, 1.0, 2.0, 4.0),
}


def erring(chain: mo.scenarios.Scenario, rate: float) -> mo.CorrelatedPolicy:
    """Play (1, 0) instead of (1, 1) at this rate on the odd states that a deviation can reach."""
    rows = np.array(chain.expert.probabilities)
    rows[1:-1:2] = [0.0, 0.0, rate, 1.0 - rate]
    return mo.CorrelatedPolicy(rows)


def training_loss(learner: str, chain: mo.scenarios.Scenario, policy: mo.CorrelatedPolicy) -> float:
    """Return what the learner minimises, a step."""
    game, expert, horizon = chain.game, chain.expert, chain.game.horizon or 1
    if learner == "J-BC":
        apart = np.abs(policy.probabilities - expert.probabilities).sum(axis=1) / 2
        return float((mo.occupancy(game, expert).sum(axis=2) * apart).sum()) / horizon
    if learner == "J-IRL":
        return float(np.abs(mo.occupancy(game, policy) - mo.occupancy(game, expert)).sum()) / 2 / horizon
    return mo.deviation_weighted_loss(game, policy, expert).value / horizon  # BLADES: after asking wherever one can go


def worst(learner: str, setting: Setting) -> tuple[float, float, float]:
    """Regret gap of the worst policy whose training loss a step is at most the error, that loss, and 2 w L."""
    horizon = setting.horizon
    chain = mo.scenarios.covered_chain(horizon, coverage=setting.coverage, error=0, reward=setting.reward)
    weight = setting.coverage if learner in ("J-BC", "J-IRL") else 1.0  # of an odd state in the loss of the learner
    rate = setting.error * horizon / (horizon - 1) / weight
    assert rate <= 1.0, "the error must be small"
    policy = erring(chain, rate)
    gap, certified = (f(chain.game, policy, chain.expert).value for f in (mo.regret_gap, mo.regret_gap_bound))
    return gap, training_loss(learner, chain, policy), certified


def bound(learner: str, setting: Setting) -> float:
    """Return the right-hand side of Table 1, without its constant."""
    found = setting.error * setting.reward * setting.horizon
    return found / setting.coverage if learner in ("J-BC", "J-IRL") else found


def swept(learner: str, name: str) -> list[float]:
    """Worst regret gaps as one parameter changes."""
    gaps = []
    for value in SWEEPS[name]:
        changed: dict[str, Any] = {name: value}
        setting = replace(Setting(), **changed)
        gap, loss, _ = worst(learner, setting)
        assert loss <= setting.error * (1 + 1e-9)
        assert abs(gap - bound(learner, setting)) <= 1e-9 * gap  # the constant is 1 here
        gaps.append(gap)
    return gaps


def slope(name: str, gaps: list[float]) -> float:
    """Exponent of the parameter in the gap."""
    return float(np.polyfit(np.log(SWEEPS[name]), np.log(gaps), 1)[0])


def learners(console: Console) -> None:
    """Run the learners as they are: where the expert does not go, and where two states look the same."""
    unvisited = mo.scenarios.unvisited_chain(10)
    aliased = mo.scenarios.aliased_chain(10, coverage=0.1)
    classes = {"unvisited": mo.policy_classes.Tabular(), "aliased": mo.policy_classes.Aggregated(aliased.labels or ())}
    table = Table("chain", "learner", "value gap", "regret gap", "loss L", "note", title="Learners, H = 10, u = 1")
    for name, chain in (("unvisited", unvisited), ("aliased", aliased)):
        game, expert = chain.game, chain.expert
        shown = mo.sample_demonstrations(game, expert, 10_000, seed=0)
        careless = mo.CorrelatedPolicy.deterministic(game, np.zeros((game.num_states, 2), dtype=int))
        choices: dict[str, Any] = {"policy_class": classes[name], "completion": careless}
        calls: dict[str, Callable[[], mo.Imitation]] = {
            "J-BC": lambda: mo.behavior_cloning(game, shown, **choices),  # noqa: B023 - called at once
            "J-IRL": lambda: mo.inverse_reinforcement_learning(game, shown, **choices),  # noqa: B023
            "MALICE": lambda: mo.malice(game, shown, **choices),  # noqa: B023
            "BLADES": lambda: mo.blades(game, expert, **choices),  # noqa: B023
        }
        for learner, call in calls.items():
            try:
                result = call()
            except (mo.errors.CoverageError, mo.errors.InvalidPolicyClass) as refused:
                table.add_row(name, learner, "-", "-", "-", f"{type(refused).__name__}")
                continue
            value = mo.value_gap(game, result.policy, expert).value
            gap = mo.regret_gap(game, result.policy, expert)
            loss = mo.deviation_weighted_loss(game, result.policy, expert).value
            note = f"{result.queries} queries" if isinstance(result, mo.Blades) else ""
            table.add_row(name, learner, f"{value:.4f}", f"{gap.value:.4f}", f"{loss:.4f}", note)
    console.print(table)


def table_one(console: Console) -> None:
    """Print the worst gaps and their exponents."""
    title = "Worst regret gap at a training loss of eps a step (eps = 0.01, H = 10, u = 1, beta = 0.2), and exponents"
    table = Table(
        "learner", "needs", "bound", "worst gap", "gap / bound", "2 w L", "eps", "u", "H", "1 / beta", title=title
    )
    for learner in LEARNERS:
        slopes = {name: slope(name, swept(learner, name)) for name in SWEEPS}
        gap, _, certified = worst(learner, Setting())
        exponents = (slopes["error"], slopes["reward"], slopes["horizon"], -slopes["coverage"])
        shown = (f"{e + 0.0:.2f}" for e in (abs(e) if abs(e) < 5e-3 else e for e in exponents))
        ratio = gap / bound(learner, Setting())
        table.add_row(
            learner, NEEDS[learner], f"O({BOUNDS[learner]})", f"{gap:.4f}", f"{ratio:.2f}", f"{certified:.2f}", *shown
        )
    console.print(table)


def equivalences(console: Console) -> None:
    """Equal regret for all rewards and deviations implies equal value; the converse fails."""
    chain = mo.scenarios.unvisited_chain(4)
    value = mo.reward_free_value_gap(chain.game, chain.learner, chain.expert)
    regret = mo.reward_free_regret_gap(chain.game, chain.learner, chain.expert)
    console.print(
        f"unvisited chain: for no reward in the unit box do the values differ (at most {value.upper:.0e}), yet for one "
        f"the regrets do, by {regret.lower:.3g}"
    )
    assert value.upper < 1e-9
    assert regret.lower > 1
    rng, pairs, told = np.random.default_rng(0), 10, 0
    for _ in range(pairs):
        game = mo.MarkovGame(rng.integers(2, size=(2, 4)), np.zeros((2, 2, 4)), [0.5, 0.5], (2, 2), horizon=2)
        one, other = (mo.CorrelatedPolicy(rng.dirichlet(np.ones(4), size=2)) for _ in range(2))
        differ = mo.reward_free_value_gap(game, one, other).lower > 1e-6
        apart = max(mo.reward_free_regret_gap(game, *pair).lower for pair in ((one, other), (other, one)))
        told += differ and apart > 1e-6
    console.print(
        f"pairs of policies whose values differ for some reward: their regrets do as well in {told} of {pairs}"
    )
    assert told == pairs


def draw(path: str) -> None:
    """Draw the worst gap of each learner against each parameter."""
    figure = mo.plotting.new_figure(9.6, 3.2)
    labels = {"horizon": "horizon H", "coverage": "coverage beta", "error": "error eps a step", "reward": "reward u"}
    styles = {"J-BC": ("o", mo.plotting.ORANGE), "J-IRL": ("x", mo.plotting.PURPLE)}
    styles |= {"MALICE": ("s", mo.plotting.BLUE), "BLADES": ("+", mo.plotting.GREEN)}
    for axes, name in zip(figure.subplots(1, 4, sharey=True), SWEEPS, strict=True):
        for learner, (marker, colour) in styles.items():
            axes.loglog(
                SWEEPS[name], swept(learner, name), color=colour, marker=marker, ms=7, mfc="none", label=learner
            )
        axes.set_xlabel(labels[name])
        axes.set_xticks(SWEEPS[name], [f"{value:g}" for value in SWEEPS[name]])
        axes.minorticks_off()
        axes.grid(alpha=0.25)
    figure.axes[0].set_ylabel("worst regret gap")
    figure.axes[0].legend(frameon=False)
    figure.suptitle("Same training loss a step: cloning loses a factor 1 / beta, MALICE and BLADES do not")
    mo.plotting.saved(figure, path)


def main() -> None:
    console = Console(width=120)
    learners(console)
    table_one(console)
    equivalences(console)
    if len(sys.argv) > 1:
        draw(sys.argv[1])


if __name__ == "__main__":
    main()
