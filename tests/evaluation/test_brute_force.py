"""Values, best deviations and regret against exact rationals and against every deviation of tiny games."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import product
from random import Random
from typing import Literal, get_args

import numpy as np
import pytest

import mailopt as mo
from mailopt_solvers import solve
from tests import oracle
from tests.exact_games import Case, Layout, Numbers, random_case
from tests.oracle import Kind, Number

METHODS: tuple[Literal["dp", "lp"], ...] = ("dp", "lp")
FORMULATIONS: tuple[Literal["direct", "linked"], ...] = ("direct", "linked")
CLASSES: dict[Kind, mo.Swap | mo.External] = {"swap": mo.Swap(), "external": mo.External()}
TOLERANCE = 1e-9

# (states, horizon, actions of each agent): few enough deviations to try them all
TINY: list[tuple[int, int, tuple[int, ...]]] = [
    (1, 1, (3,)),
    (2, 2, (2,)),
    (2, 3, (2,)),
    (3, 1, (2,)),
    (1, 1, (2, 3)),
    (1, 2, (2, 2)),
    (1, 3, (2, 2)),
    (1, 2, (3, 2)),
    (2, 1, (2, 3)),
    (2, 2, (2, 2)),
    (2, 2, (1, 2)),
    (3, 1, (2, 2)),
    (1, 1, (2, 1, 3)),
    (1, 2, (2, 2, 2)),
    (2, 1, (2, 2, 2)),
    (3, 1, (1, 2, 2)),
]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
NUMBERS: tuple[Numbers, ...] = get_args(Numbers)


def finite_case(seed: int, num_states: int, horizon: int, actions: tuple[int, ...], numbers: Numbers) -> Case:
    """Cycle through layouts, stationary and step-dependent games and policies, all actions legal or not."""
    return random_case(
        seed,
        num_states,
        actions,
        horizon=horizon,
        layout="mixed" if seed % 4 == 3 else LAYOUTS[seed % 4],
        numbers=numbers,
        varying=seed % 4 == 3 or seed % 5 < 2,
        illegal=seed % 3 == 0,
        policy_steps=horizon if seed % 2 else 1,
    )


def check(case: Case, *, enumerate_all: bool) -> None:
    """Compare all that the library says about a case with the oracle."""
    game, sigma = case.game, case.sigma
    exact, exact_sigma = case.exact_game, case.exact_sigma
    values = [oracle.value(exact, exact_sigma, i) for i in exact.agents]
    measure = oracle.occupancy(exact, exact_sigma)
    expected_measure = np.array(measure, dtype=float).reshape(mo.occupancy(game, sigma).shape)
    for method in METHODS:
        assert_close(mo.values(game, sigma, method=method).value, values)
        assert_close(mo.occupancy(game, sigma, method=method), expected_measure)
    assert_close(mo.values(game, sigma).state_values, oracle_state_values(case))
    for kind, deviations in CLASSES.items():
        optimal = [oracle.best_state_values(exact, exact_sigma, i, kind) for i in exact.agents]
        best = [oracle.dot(exact.initial, steps[0]) for steps in optimal]
        expected = [b - v for b, v in zip(best, values, strict=True)]
        for i in exact.agents:
            if enumerate_all:
                assert oracle.best_by_enumeration(exact, exact_sigma, i, kind) == best[i]
            for method in METHODS:
                found = mo.best_deviation(game, sigma, i, deviations, method=method)
                assert_close(found.value, best[i])
                assert_close(found.gain, expected[i])
                check_witness(case, kind, found, optimal[i])
            for formulation in FORMULATIONS:
                program = mo.programs.deviation(game, sigma, i, deviations, formulation=formulation)
                assert_close(solve(program).require_optimal().objective, best[i])
        for method in METHODS:
            regret = mo.regret(game, sigma, deviations, method=method)
            assert_close(regret.per_agent, expected)
            assert_close(regret.value, max(expected))
            assert_close(regret.per_agent[regret.agent], max(expected))
            assert regret.deviation.agent == regret.agent


def check_witness(case: Case, kind: Kind, best: mo.BestDeviation, optimal: list[oracle.Row]) -> None:
    """The deviation that is returned is in its class, legal, and worth what is claimed: by the oracle's account."""
    exact, agent, value = case.exact_game, best.agent, oracle.dot(case.exact_game.initial, optimal[0])
    table = best.deviation.probabilities
    if table.ndim == 3:
        table = table[None]
    phi: oracle.Phi = []
    for step in table:
        phi.append([])
        for s, plays in enumerate(step):
            legal = exact.legal[agent][s]
            assert set(np.unique(plays[legal])) <= {0.0, 1.0}
            assert (plays[legal][:, legal].sum(axis=1) == 1).all()
            if kind == "external":
                assert (plays[legal] == plays[legal[0]]).all()
            phi[-1].append([{b: Fraction(p) for b, p in enumerate(row) if p} for row in plays.tolist()])
    deviated = oracle.deviate(exact, case.exact_sigma, agent, phi)
    assert_close(oracle.value(exact, deviated, agent), value)
    # The program's duals are value functions only where the deviation goes.
    table = np.array(squeeze(case, optimal), dtype=float)
    known = best.state_occupancy > 1e-6 if best.method == "lp" else np.full(table.shape, True)
    assert_close(best.state_values[known], table[known])
    applied = best.deviation.apply(case.game, case.sigma)
    assert_close(mo.values(case.game, applied).value[agent], value)
    reached = np.array(oracle.occupancy(exact, deviated), dtype=float).sum(axis=-1)
    if exact.horizon is not None:
        assert_close(best.state_occupancy, reached)
        if best.method == "dp":
            check_departures(case, best, phi, deviated)
    else:
        assert_close(np.atleast_2d(best.state_occupancy).sum(axis=0), reached[0])
    told = np.broadcast_to(best.deviation.probabilities, best.occupancy.shape)
    assert_close(best.occupancy, best.state_occupancy[..., None, None] * told)


def check_departures(case: Case, best: mo.BestDeviation, phi: oracle.Phi, deviated: oracle.Policy) -> None:
    """Exactly the (h, s, told, played) with positive probability of disobeying, and that probability."""
    exact = case.exact_game
    expected: dict[tuple[int, int, int, int], Fraction] = {}
    for h, rows in enumerate(oracle.occupancy(exact, deviated)):
        for s, joint in product(exact.states, range(len(exact.joint_actions))):
            told = exact.joint_actions[joint][best.agent]
            (played,) = oracle.at(phi, h)[s][told]
            probability = sum(rows[s]) * oracle.at(case.exact_sigma, h)[s][joint]
            if played != told and probability > 0:
                key = (h, s, told, played)
                expected[key] = expected.get(key, Fraction(0)) + probability
    departures = best.departures(case.game, case.sigma)
    found = {(d.step, d.state, d.recommended, d.played): d.probability for d in departures}
    assert len(found) == len(departures)
    assert found.keys() == expected.keys()
    assert_close([found[key] for key in expected], list(expected.values()))


def oracle_state_values(case: Case) -> object:
    per_agent = [oracle.state_values(case.exact_game, case.exact_sigma, i) for i in case.exact_game.agents]
    return squeeze(case, [list(step) for step in zip(*per_agent, strict=True)])


def squeeze(case: Case, steps: list[object] | list[oracle.Row]) -> object:
    """Drop the axis of steps from discounted values under a stationary policy."""
    return steps[0] if case.horizon is None and len(case.policy) == 1 else steps


def assert_close(found: object, expected: object) -> None:
    left, right = np.array(found, dtype=float), np.array(expected, dtype=float)
    assert left.shape == right.shape
    np.testing.assert_allclose(left, right, rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("shape", TINY, ids=str)
def test_tiny_finite_games_by_enumeration(shape: tuple[int, int, tuple[int, ...]]) -> None:
    num_states, horizon, actions = shape
    for seed in range(7):
        numbers: Numbers = "fractions" if seed == 6 else "eighths"
        case = finite_case(7 * TINY.index(shape) + seed, num_states, horizon, actions, numbers)
        most = max(oracle.number_of_deviations(case.exact_game, i, "swap", horizon) for i in range(len(actions)))
        check(case, enumerate_all=most < 1000 or seed == 6)


@pytest.mark.parametrize("seed", range(30))
def test_larger_finite_games_by_recursion(seed: int) -> None:
    rng = Random(seed)
    actions = rng.choice(((2,), (4,), (2, 3), (3, 3), (2, 2, 2), (1, 3, 2)))
    case = finite_case(seed, rng.randint(1, 3), rng.randint(1, 4), actions, "doubles" if seed % 4 else "fractions")
    check(case, enumerate_all=False)


DISCOUNTS: tuple[Number, ...] = (0, Fraction(1, 2), 0.9)
# (states, steps of the policy, actions)
DISCOUNTED: list[tuple[int, int, tuple[int, ...]]] = [
    (1, 1, (3,)),
    (1, 1, (2, 2)),
    (1, 3, (2, 2)),
    (2, 1, (2,)),
    (2, 2, (2,)),
    (2, 1, (2, 3)),
    (2, 2, (2, 2)),
    (3, 1, (2, 2)),
    (3, 1, (1, 2)),
    (2, 1, (2, 2, 2)),
]


@pytest.mark.parametrize("discount", DISCOUNTS, ids=str)
@pytest.mark.parametrize("shape", DISCOUNTED, ids=str)
def test_tiny_discounted_games_by_enumeration(shape: tuple[int, int, tuple[int, ...]], discount: Number) -> None:
    num_states, policy_steps, actions = shape
    for seed in range(3):
        case = random_case(
            100 + 3 * DISCOUNTED.index(shape) + seed,
            num_states,
            actions,
            discount=discount,
            layout=LAYOUTS[(seed + num_states) % 3],
            numbers="fractions" if seed == 2 else "eighths",
            illegal=seed == 1,
            policy_steps=policy_steps,
        )
        check(case, enumerate_all=True)


@pytest.mark.parametrize("seed", range(8))
def test_nearly_undiscounted_games(seed: int) -> None:
    """At discount 0.999 every value is a thousand times a reward; the tolerance stays relative to it."""
    case = random_case(seed, 3, (2, 2), discount=0.999, layout=LAYOUTS[seed % 3], numbers="doubles")
    check(case, enumerate_all=False)


def test_external_regret_is_signed() -> None:
    """Coordination by a coin: whoever ignores the coin loses half; nothing may be cut off at zero."""
    game = mo.MarkovGame.from_normal_form([[[1, 0], [0, 1]], [[2, 0], [0, 2]]])
    coin = mo.CorrelatedPolicy([[0.5, 0, 0, 0.5]])
    for method in METHODS:
        regret = mo.regret(game, coin, mo.External(), method=method)
        assert_close(regret.per_agent, [-0.5, -1.0])
        assert_close(regret.value, -0.5)
        assert regret.agent == 0
        assert_close(mo.best_deviation(game, coin, 1, mo.External(), method=method).gain, -1.0)
        assert_close(mo.regret(game, coin, method=method).per_agent, [0.0, 0.0])


@pytest.mark.parametrize("seed", range(12))
def test_negative_external_regret_over_several_steps(seed: int) -> None:
    """Where a joint draw of matching actions pays a bonus, every agent strictly loses by ignoring it."""
    discount = 0.5 if seed % 3 == 2 else None
    base = random_case(
        seed,
        2,
        (2, 2),
        horizon=None if discount else 1 + seed % 3,
        discount=discount,
        layout=LAYOUTS[seed % 2],
    )
    matching: list[list[list[Number]]] = [[[0.5, 0, 0, 0.5], [0.25, 0, 0, 0.75]]]
    rewards = [
        [[[x + 40 * (a in (0, 3)) for a, x in enumerate(row)] for row in rows] for rows in step]
        for step in base.rewards
    ]
    case = replace(base, rewards=rewards, policy=matching)
    assert max(oracle.gains(case.exact_game, case.exact_sigma, "external")) < -1
    check(case, enumerate_all=True)


@pytest.mark.parametrize("seed", range(20))
def test_gaps_between_two_policies(seed: int) -> None:
    """Value gap max_i [J_i(expert) - J_i(policy)] and regret gap R(policy) - R(expert), of different agents even."""
    case = random_case(seed, 2, (2, 3), horizon=2, varying=True, policy_steps=2)
    other = random_case(seed + 1000, 2, (2, 3), horizon=2, policy_steps=1)
    exact = case.exact_game
    differences = [
        oracle.value(exact, other.exact_sigma, i) - oracle.value(exact, case.exact_sigma, i) for i in exact.agents
    ]
    for method in METHODS:
        value_gap = mo.value_gap(case.game, case.sigma, other.sigma, method=method)
        assert_close(value_gap.value, max(differences))
        assert_close(value_gap.per_agent, differences)
        assert_close(differences[value_gap.agent], max(differences))
        for kind, deviations in CLASSES.items():
            expected = max(oracle.gains(exact, case.exact_sigma, kind)) - max(
                oracle.gains(exact, other.exact_sigma, kind)
            )
            assert_close(mo.regret_gap(case.game, case.sigma, other.sigma, deviations, method=method).value, expected)


@pytest.mark.parametrize("seed", range(20))
def test_value_of_a_randomised_deviation(seed: int) -> None:
    """An explicit deviation, random and different at each step, is applied as defined: J_i(phi∘sigma)."""
    rng = np.random.default_rng(seed)
    discount = Fraction(1, 2) if seed % 2 else None
    case = random_case(
        seed, 2, (2, 3), horizon=None if discount else 2, discount=discount, policy_steps=1 + seed % 3 // 2
    )
    for agent, n in enumerate(case.actions):
        table = rng.integers(0, 5, size=(2, 2, n, n)) + np.eye(n)
        table /= table.sum(axis=-1, keepdims=True)
        phi = [[[dict(enumerate(oracle.normalised(row))) for row in rows] for rows in step] for step in table.tolist()]
        deviated = oracle.deviate(case.exact_game, case.exact_sigma, agent, phi)
        applied = mo.Deviation(agent, table).apply(case.game, case.sigma)
        expected = [oracle.value(case.exact_game, deviated, i) for i in case.exact_game.agents]
        assert_close(mo.values(case.game, applied).value, expected)
        best = mo.best_deviation(case.game, case.sigma, agent)
        assert best.value >= float(expected[agent]) - TOLERANCE


@pytest.mark.parametrize("discount", [None, 0.5], ids=["finite", "discounted"])
@pytest.mark.parametrize("layout", ["dense", "sparse"])
@pytest.mark.parametrize("what", ["transitions", "initial", "policy"])
def test_rows_stand_for_their_normalisation(what: str, layout: Layout, discount: float | None) -> None:
    """Rows whose sums are off by 9e-10 mean p / sum(p); with rewards of 1e6 the difference cannot be missed."""
    base = random_case(
        5, 2, (2, 2), horizon=None if discount else 2, discount=discount, layout=layout, numbers="doubles"
    )

    def shrunk(row: list[Number]) -> list[Number]:
        return [float(p) * (1 - 9e-10) for p in row]

    transitions, initial, policy = base.transitions, base.initial, base.policy
    if what == "transitions":
        transitions = [[[shrunk(row) for row in rows] for rows in kernel] for kernel in transitions]
    elif what == "initial":
        initial = shrunk(initial)
    else:
        policy = [[shrunk(row) for row in rows] for rows in policy]
    rewards: list[list[list[list[Number]]]] = [
        [[[float(r) + 1e6 for r in row] for row in rows] for rows in step] for step in base.rewards
    ]
    case = replace(base, transitions=transitions, rewards=rewards, initial=initial, policy=policy)
    exact = case.exact_game
    for method in METHODS:
        np.testing.assert_allclose(
            mo.values(case.game, case.sigma, method=method).value,
            [float(oracle.value(exact, case.exact_sigma, i)) for i in exact.agents],
            rtol=1e-12,
        )
        for kind, deviations in CLASSES.items():
            for i in exact.agents:
                best = mo.best_deviation(case.game, case.sigma, i, deviations, method=method)
                expected = float(oracle.best_value(exact, case.exact_sigma, i, kind))
                np.testing.assert_allclose(best.value, expected, rtol=1e-12)


@pytest.mark.parametrize("seed", range(16))
def test_the_best_joint_policy_by_the_flow_program(seed: int) -> None:
    """The free flow program is the optimum of a single agent that holds all legal joint actions."""
    discount = 0.5 if seed % 2 else None
    case = random_case(seed, 3, (2, 2), horizon=None if discount else 2, discount=discount, illegal=seed % 4 < 2)
    exact = case.exact_game
    legal = [
        [
            joint
            for joint, parts in enumerate(exact.joint_actions)
            if all(b in exact.legal[i][s] for i, b in enumerate(parts))
        ]
        for s in exact.states
    ]
    for agent in exact.agents:
        alone = replace(exact, actions=(4,), rewards=[[exact.rewards[0][agent]]], legal=[legal])
        best = oracle.best_value(alone, case.exact_sigma, 0, "external")
        program = mo.programs.flow(case.game, objective=case.game.rewards[agent])
        assert_close(solve(program).require_optimal().objective, best)
