"""The chain games against the numbers of the theory, and the classic games against what is known about them."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import product
from typing import Any, Literal

import numpy as np
import pytest

import mailopt as mo
from tests import oracle
from tests.oracle import Number

Method = Literal["dp", "lp"]
METHODS: tuple[Method, ...] = ("dp", "lp")
CLASSES: tuple[mo.Swap | mo.External, ...] = (mo.Swap(), mo.External())

HORIZONS = (1, 2, 3, 6, 11)
REWARDS: tuple[Number, ...] = (2.5, Fraction(2, 3))
ERRORS: tuple[Number, ...] = (0, 0.125, 0.3, Fraction(1, 3), 1)
# (coverage, error)
COVERED: tuple[tuple[Number, Number], ...] = (
    (0.25, 0.125),
    (0.1, 0.01),
    (0.3, 0.3),
    (0.5, 0),
    (1, 0.25),
    (Fraction(1, 3), Fraction(1, 7)),
    (Fraction(1, 10), Fraction(1, 10)),
)


def near(expected: object) -> Any:
    """Within 1e-9, relatively or absolutely."""
    return pytest.approx(expected, rel=1e-9, abs=1e-9)


def check_gap(chain: mo.scenarios.Scenario, expected: Number) -> None:
    """The regret gap by every route; the expert's regret is zero. Ignoring recommendations gains as much here."""
    assert float(chain.regret_gap) == near(float(expected))
    for deviations, method in product(CLASSES, METHODS):
        gap = mo.regret_gap(chain.game, chain.learner, chain.expert, deviations, method=method)
        assert gap.value == near(float(expected))
        assert gap.expert.value == pytest.approx(0, abs=1e-9)
        assert gap.policy.value == near(float(expected))
        assert gap.policy.per_agent == near([float(expected)] * 2)


def check_value_gap(chain: mo.scenarios.Scenario, expected: Number) -> None:
    for method in METHODS:
        gap = mo.value_gap(chain.game, chain.learner, chain.expert, method=method)
        assert gap.value == near(float(expected))
        assert gap.per_agent == near([float(expected)] * 2)


def summed_loss(chain: mo.scenarios.Scenario) -> float:
    """Behaviour cloning's loss: sum_h E_{s ~ expert} TV(learner(s), expert(s))."""
    distance = np.abs(chain.learner.probabilities - chain.expert.probabilities).sum(axis=1) / 2
    return float((mo.occupancy(chain.game, chain.expert).sum(axis=2) @ distance).sum())


# ---- chain games


@pytest.mark.parametrize("reward", REWARDS, ids=str)
@pytest.mark.parametrize("horizon", HORIZONS)
def test_unvisited_chain(horizon: int, reward: Number) -> None:
    """Equal occupancies, value gap 0, regret gap u (H - 1)."""
    chain = mo.scenarios.unvisited_chain(horizon, reward=reward)
    check_gap(chain, reward * (horizon - 1))
    check_value_gap(chain, 0)
    learner, expert = (mo.occupancy(chain.game, policy) for policy in (chain.learner, chain.expert))
    assert (learner == expert).all()
    assert (chain.learner.probabilities != chain.expert.probabilities).any()
    assert summed_loss(chain) == 0


def test_unvisited_chain_is_exact_in_doubles() -> None:
    """All numbers are small integers: not even the last digit may be off, however long the chain."""
    for horizon in (2, 5, 300):
        chain = mo.scenarios.unvisited_chain(horizon)
        assert mo.value_gap(chain.game, chain.learner, chain.expert).value == 0
        assert mo.regret_gap(chain.game, chain.learner, chain.expert).value == horizon - 1


def test_unvisited_chain_deviation_leaves_for_the_odd_chain() -> None:
    """The best deviation refuses at the start, then plays 0 where told 0."""
    chain = mo.scenarios.unvisited_chain(5)
    for agent, method in product(range(2), METHODS):
        best = mo.best_deviation(chain.game, chain.learner, agent, method=method)
        visited = best.state_occupancy.argmax(axis=1)
        assert visited.tolist() == [0, 1, 3, 5, 7]
        assert best.state_occupancy.max(axis=1) == near(np.ones(5))
        assert best.deviation.at(0)[0, 0].tolist() == [0, 1]
        assert best.deviation.at(1)[1, 0].tolist() == [1, 0]


@pytest.mark.parametrize("reward", REWARDS, ids=str)
@pytest.mark.parametrize("horizon", HORIZONS)
@pytest.mark.parametrize(("coverage", "error"), COVERED, ids=str)
def test_covered_chain(horizon: int, coverage: Number, error: Number, reward: Number) -> None:
    """Per-step error eps, value gap -u H eps, regret gap (1 - beta) (H - 1) u eps / beta."""
    chain = mo.scenarios.covered_chain(horizon, coverage=coverage, error=error, reward=reward)
    beta, eps, u = float(coverage), float(error), float(reward)
    check_gap(chain, (1 - beta) * (horizon - 1) * u * eps / beta)
    check_value_gap(chain, -u * horizon * eps)
    assert summed_loss(chain) == near(horizon * eps)
    # From the second step on, the odd state is visited with probability beta, the even one otherwise.
    visits = mo.occupancy(chain.game, chain.expert).sum(axis=2)
    for h in range(1, horizon):
        assert visits[h, 2 * h - 1] == near(beta)
        assert visits[h, 2 * h] == near(1 - beta)


@pytest.mark.parametrize("reward", REWARDS, ids=str)
@pytest.mark.parametrize("horizon", HORIZONS)
@pytest.mark.parametrize("error", ERRORS, ids=str)
def test_weighted_error_chain(horizon: int, error: Number, reward: Number) -> None:
    """Regret gap u eps (H - 1); obedience never sees an odd state."""
    chain = mo.scenarios.weighted_error_chain(horizon, error=error, reward=reward)
    check_gap(chain, float(reward) * float(error) * (horizon - 1))
    check_value_gap(chain, 0)
    assert summed_loss(chain) == 0
    best = mo.best_deviation(chain.game, chain.learner, 0)
    distance = np.abs(chain.learner.probabilities - chain.expert.probabilities).sum(axis=1) / 2
    if horizon > 1 and error != 0:
        weighted = float((best.state_occupancy @ distance).sum())
        assert weighted == near(float(error) * (horizon - 1))


@pytest.mark.parametrize("reward", REWARDS, ids=str)
@pytest.mark.parametrize("horizon", HORIZONS)
@pytest.mark.parametrize("coverage", [0.1, 0.25, 0.49, Fraction(1, 3)], ids=str)
def test_aliased_chain(horizon: int, coverage: Number, reward: Number) -> None:
    """Regret gap (1 - beta) (H - 1) u of the learner that follows the more frequent chain."""
    chain = mo.scenarios.aliased_chain(horizon, coverage=coverage, reward=reward)
    beta, u = float(coverage), float(reward)
    check_gap(chain, (1 - beta) * (horizon - 1) * u)
    check_value_gap(chain, -beta * (horizon - 1) * u)
    assert chain.labels is not None
    assert len(chain.labels) == 2 * horizon
    # The learner belongs to the class, the expert does not; s_0 and s_{2H-1} share their rows with nobody.
    rows: dict[int, set[tuple[float, ...]]] = {}
    for state, label in enumerate(chain.labels):
        rows.setdefault(label, set()).add(tuple(chain.learner.probabilities[state].tolist()))
    assert all(len(row) == 1 for row in rows.values())
    sizes = [chain.labels.count(label) for label in chain.labels]
    assert sizes == [1, *[2] * (2 * horizon - 2), 1]
    assert all(chain.labels[2 * k] == chain.labels[2 * k - 1] for k in range(1, horizon))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("coverage", [0.1, Fraction(1, 10)], ids=str)
def test_aliased_chain_published_numbers(coverage: Number, method: Method) -> None:
    """H = 6, beta = 0.1, u = 1: 4.5 for behaviour cloning, 2.25 for the balanced policy of the same class."""
    chain = mo.scenarios.aliased_chain(6, coverage=coverage)
    gap = mo.regret_gap(chain.game, chain.learner, chain.expert, method=method)
    assert gap.value == pytest.approx(4.5, abs=1e-12)
    assert float(chain.regret_gap) == pytest.approx(4.5, abs=1e-15)
    rows = np.tile([0.5, 0, 0, 0.5], (12, 1))
    rows[0], rows[-1] = chain.expert.probabilities[0], chain.expert.probabilities[-1]
    balanced = mo.CorrelatedPolicy(rows)
    gap = mo.regret_gap(chain.game, balanced, chain.expert, method=method)
    assert gap.value == pytest.approx(2.25, abs=1e-12)


@pytest.mark.parametrize(
    "chain",
    [
        mo.scenarios.unvisited_chain(3, reward=Fraction(1, 3)),
        mo.scenarios.covered_chain(3, coverage=Fraction(1, 3), error=Fraction(1, 7), reward=Fraction(2, 3)),
        mo.scenarios.weighted_error_chain(2, error=Fraction(1, 3)),
        mo.scenarios.aliased_chain(3, coverage=Fraction(1, 3)),
    ],
    ids=["unvisited", "covered", "weighted-error", "aliased"],
)
def test_formulas_stay_rational(chain: mo.scenarios.Scenario) -> None:
    """From fractions the closed form is a fraction, no rounded double."""
    assert isinstance(chain.regret_gap, Fraction)
    assert chain.regret_gap.denominator in (3, 21, 63, 7, 9)


@pytest.mark.parametrize("reward", [-1, Fraction(-1, 3)], ids=str)
def test_punishing_odd_states_is_refused_or_has_the_right_formula(reward: Number) -> None:
    """With u < 0 nobody wants to go there, so u eps (H - 1) would not be the gap."""
    makers: list[Callable[[], mo.scenarios.Scenario]] = [
        lambda: mo.scenarios.unvisited_chain(4, reward=reward),
        lambda: mo.scenarios.weighted_error_chain(4, error=0.5, reward=reward),
        lambda: mo.scenarios.covered_chain(4, coverage=0.25, error=0.125, reward=reward),
        lambda: mo.scenarios.aliased_chain(4, coverage=0.25, reward=reward),
    ]
    for make in makers:
        try:
            chain = make()
        except mo.errors.InvalidGame:
            continue
        assert float(chain.regret_gap) == near(mo.regret_gap(chain.game, chain.learner, chain.expert).value)


def chain_by_definition(
    horizon: int, beta: Fraction, u: Fraction
) -> tuple[list[list[list[Fraction]]], list[list[Fraction]], list[Fraction]]:
    """Transitions, each agent's rewards and the initial distribution, written from the definition alone."""
    count = 2 * horizon
    transitions = [[[Fraction(0)] * count for _ in range(4)] for _ in range(count)]
    for s in range(count):
        for joint in range(4):
            if s in (count - 2, count - 3):
                target = s
            elif s == 0:
                target = 2 if joint == 0 else 1
            elif s == count - 1:
                target = 1
            else:
                target = s + 2
            transitions[s][joint][target] = Fraction(1)
    rewards = [[u if s % 2 and joint == 0 else Fraction(0) for joint in range(4)] for s in range(count)]
    initial = [Fraction(0)] * count
    initial[0], initial[-1] = 1 - beta, beta
    return transitions, rewards, initial


@pytest.mark.parametrize("horizon", [2, 3, 5])
def test_the_chains_are_the_games_defined_and_the_formulas_hold_in_rationals(horizon: int) -> None:
    """Table by table, then gains in exact arithmetic: equal to the closed forms, with no tolerance."""
    beta, eps, u = Fraction(1, 3), Fraction(1, 7), Fraction(5, 2)
    chains = {
        "covered": mo.scenarios.covered_chain(horizon, coverage=beta, error=eps, reward=u),
        "aliased": mo.scenarios.aliased_chain(horizon, coverage=beta, reward=u),
        "weighted": mo.scenarios.weighted_error_chain(horizon, error=eps, reward=u),
    }
    rates = {"covered": eps / beta, "aliased": Fraction(1), "weighted": eps}
    for name, chain in chains.items():
        transitions, rewards, initial = chain_by_definition(horizon, Fraction(0) if name == "weighted" else beta, u)
        game = oracle.exact_game([transitions], [[rewards, rewards]], initial, (2, 2), horizon=horizon)
        stored = chain.game.kernel(0).rows().toarray().reshape(2 * horizon, 4, -1)
        # The last odd state is a second start; nothing else ever leads there.
        assert (stored == np.array(transitions, dtype=float)).all()
        assert (chain.game.reward(0) == np.array([rewards, rewards], dtype=float)).all()
        assert chain.game.initial_distribution.tolist() == [float(p) for p in initial]
        refuse = [Fraction(x) for x in (0, 0, 0, 1)]
        agree = refuse[::-1]
        err = [rates[name], Fraction(0), Fraction(0), 1 - rates[name]]
        expert = [[agree, refuse] * horizon]
        learner = [[agree, err] * horizon]
        if name == "aliased":
            learner[0][-1] = refuse
        assert (chain.expert.probabilities == np.array(expert[0], dtype=float)).all()
        assert (chain.learner.probabilities == np.array(learner[0], dtype=float)).all()
        for kind in ("swap", "external"):
            assert max(oracle.gains(game, expert, kind)) == 0
            assert max(oracle.gains(game, learner, kind)) == chain.regret_gap


# ---- classic games


def pure(game: mo.MarkovGame, *joint: int) -> mo.CorrelatedPolicy:
    return mo.CorrelatedPolicy.deterministic(game, [list(joint)])


def independent(*factors: list[Fraction]) -> mo.CorrelatedPolicy:
    return mo.CorrelatedPolicy.product([[factor] for factor in factors])


def correlated(*weights: int) -> mo.CorrelatedPolicy:
    return mo.CorrelatedPolicy([[Fraction(w, sum(weights)) for w in weights]])


def check_known(
    game: mo.MarkovGame, sigma: mo.CorrelatedPolicy, *, regret: float, values: tuple[float, ...] | None = None
) -> None:
    for method in METHODS:
        assert mo.regret(game, sigma, method=method).value == pytest.approx(regret, abs=1e-12)
        if values is not None:
            assert mo.values(game, sigma, method=method).value == pytest.approx(values, abs=1e-12)


def pure_regrets(game: mo.MarkovGame) -> list[list[float]]:
    rows, columns = map(range, game.actions)
    return [[mo.regret(game, pure(game, a, b)).value for b in columns] for a in rows]


def test_chicken() -> None:
    """A third on each cell but the crash is a correlated equilibrium of value 5."""
    game = mo.scenarios.chicken()
    check_known(game, correlated(0, 1, 1, 1), regret=0, values=(5, 5))
    # Told to yield, the agent stays only as long as the other dares at least half as often as it yields.
    check_known(game, correlated(0, 1, 1, 2), regret=0, values=(5.25, 5.25))
    check_known(game, correlated(0, 1, 1, 3), regret=0.2)
    check_known(game, independent([Fraction(1, 3), Fraction(2, 3)], [Fraction(1, 3), Fraction(2, 3)]), regret=0)
    assert pure_regrets(game) == [[2, 0], [0, 1]]


def test_battle_of_the_sexes() -> None:
    """Two pure equilibria, the coin between them, and a mixed one worth less than either."""
    game = mo.scenarios.battle_of_the_sexes()
    assert pure_regrets(game) == [[0, 1], [2, 0]]
    check_known(game, correlated(1, 0, 0, 1), regret=0, values=(1.5, 1.5))
    mixed = independent([Fraction(2, 3), Fraction(1, 3)], [Fraction(1, 3), Fraction(2, 3)])
    check_known(game, mixed, regret=0, values=(2 / 3, 2 / 3))


def test_shapley() -> None:
    """No pure equilibrium; the uniform one is worth 1/3; a sixth on each paying cell is correlated, worth 1/2."""
    game = mo.scenarios.shapley()
    assert pure_regrets(game) == [[1] * 3] * 3
    check_known(game, independent([Fraction(1, 3)] * 3, [Fraction(1, 3)] * 3), regret=0, values=(1 / 3, 1 / 3))
    check_known(game, correlated(1, 1, 0, 0, 1, 1, 1, 0, 1), regret=0, values=(0.5, 0.5))


def test_matching_pennies() -> None:
    """Zero-sum; any other policy than the uniform one leaves somebody a gain."""
    game = mo.scenarios.matching_pennies()
    assert (game.rewards[0] == -game.rewards[1]).all()
    assert pure_regrets(game) == [[2, 2], [2, 2]]
    check_known(game, mo.CorrelatedPolicy.uniform(game), regret=0, values=(0, 0))
    check_known(game, correlated(1, 0, 0, 1), regret=2, values=(1, -1))
    for weights in product(range(3), repeat=4):
        if 0 < sum(weights) != 4 * weights[0]:
            assert mo.regret(game, correlated(*weights)).value > 0.1


def test_rock_paper_scissors() -> None:
    """Paper beats rock, scissors beat paper, rock beats scissors; value 0."""
    game = mo.scenarios.rock_paper_scissors()
    assert (game.rewards[0] == -game.rewards[1]).all()
    beats = {(1, 0), (2, 1), (0, 2)}
    for a, b in product(range(3), repeat=2):
        expected = 1 if (a, b) in beats else -1 if (b, a) in beats else 0
        check_known(game, pure(game, a, b), regret=1 if a == b else 2, values=(expected, -expected))
    check_known(game, mo.CorrelatedPolicy.uniform(game), regret=0, values=(0, 0))


def test_prisoners_dilemma() -> None:
    """Defection dominates: only both defecting has no regret, and cooperating is worth more to both."""
    game = mo.scenarios.prisoners_dilemma()
    assert pure_regrets(game) == [[2, 1], [1, 0]]
    check_known(game, pure(game, 1, 1), regret=0, values=(1, 1))
    check_known(game, pure(game, 0, 0), regret=2, values=(3, 3))
    for weights in product(range(3), repeat=4):
        if any(weights[:3]):
            # Told to cooperate, defecting gains 2 against a cooperator and 1 against a defector.
            cc, cd, dc, dd = weights
            expected = max(2 * cc + cd, 2 * cc + dc) / (cc + cd + dc + dd)
            check_known(game, correlated(*weights), regret=expected)


def test_traffic_light() -> None:
    """The light lets one car pass; without it cars cross once in 101 times and are worth nothing."""
    game = mo.scenarios.traffic_light()
    check_known(game, correlated(0, 1, 1, 0), regret=0, values=(0.5, 0.5))
    assert pure_regrets(game) == [[100, 0], [0, 1]]
    rare = [Fraction(1, 101), Fraction(100, 101)]
    check_known(game, independent(rare, rare), regret=0, values=(0, 0))
    # Whoever ignores the light loses by it, but nothing forces external regret to be zero.
    for method in METHODS:
        assert mo.regret(game, correlated(0, 1, 1, 0), mo.External(), method=method).value == near(-0.5)
