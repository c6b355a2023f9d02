"""The interval of the regret of a partly known policy: how what is known may be given, and what is refused."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import mailopt as mo
from mailopt.errors import CoverageError, InvalidDeviation, InvalidPolicy, PolicyShape
from tests import oracle, oracle_constants
from tests.evaluation.test_interval import HALF, Hidden, hidden
from tests.exact_classes import FOUR, library_game, library_policy
from tests.oracle_classes import stages

# How known may be given


def same(one: mo.RegretInterval, other: mo.RegretInterval) -> bool:
    return (one.lower, one.upper, one.priorities) == (other.lower, other.upper, other.priorities)


def test_known_as_masks_and_as_demonstrations() -> None:
    chain = mo.scenarios.unvisited_chain(4)
    game, sigma = chain.game, chain.learner
    path = np.array([[0, 2, 4, 6]])
    per_step = np.zeros((4, 8), dtype=bool)
    per_step[np.arange(4), path[0]] = True
    found = mo.regret_interval(game, sigma, per_step)
    assert found.upper == pytest.approx(3)
    for given in (path, path.tolist(), np.repeat(path, 5, axis=0), path.astype(np.uint8), per_step.tolist()):
        assert same(mo.regret_interval(game, sigma, given), found)
    by_state = np.arange(8) % 2 == 0
    always = mo.regret_interval(game, sigma, by_state)
    assert same(always, mo.regret_interval(game, sigma, np.stack([by_state] * 4)))
    assert always.upper == pytest.approx(3)
    detour = np.array([[0, 2, 4, 6], [0, 1, 3, 5], [0, 1, 4, 6]])
    assert mo.regret_interval(game, chain.expert, detour).upper == pytest.approx(0, abs=1e-9)
    assert mo.regret_interval(game, chain.expert, detour[[0, 2]]).upper == pytest.approx(2)


def test_known_in_discounted_games() -> None:
    """From state 0 a departure leads to state 1, which pays 1 for ever if the policy lets it."""
    exact = oracle.exact_game([[[[1, 0], [0, 1]], [[0, 1]] * 2]], [[[[0, 0], [0, 1]]]], [1, 0], (2,), discount=HALF)
    game, sigma = library_game(exact), mo.CorrelatedPolicy([[1.0, 0.0], [1.0, 0.0]])
    found = mo.regret_interval(game, sigma, [True, False], mo.Limited(1))
    assert (found.lower, found.upper) == pytest.approx((0, 1), abs=1e-9)
    found = mo.regret_interval(game, sigma, [True, False], mo.External())
    assert found.upper == pytest.approx(1, abs=1e-9)
    for given in ([[True, False]], [[0, 0, 0]], [[0], [0]]):
        assert same(mo.regret_interval(game, sigma, np.array(given), mo.External()), found)
    # Unknown at step 1 only, in state 1: one reward of 1/2 there, and none after it as there no departure is left.
    later = [[True, True], [True, False], [True, True]]
    found = mo.regret_interval(game, sigma, later, mo.Limited(1))
    assert (found.lower, found.upper) == pytest.approx((0, 0.5), abs=1e-9)
    assert [(p.step, p.state) for p in found.priorities] == [(1, 1)]
    assert found.priorities[0].weight == pytest.approx(0.5)


@pytest.mark.parametrize("told", [0, 1])
def test_limited_in_a_discounted_game_has_an_interval(told: int) -> None:
    """Everything leads to state 0, so that state 1, which pays 1 for action 1, is never seen; nothing can be gained."""
    exact = oracle.exact_game([[[[1, 0]] * 2] * 2], [[[[0, 0], [0, 1]]]], [1, 0], (2,), discount=HALF)
    sigma = mo.CorrelatedPolicy.deterministic(library_game(exact), [[0], [told]])
    found = mo.regret_interval(library_game(exact), sigma, [True, False], mo.Limited(1))
    assert (found.lower, found.upper) == pytest.approx((0, 0), abs=1e-9)


@pytest.mark.parametrize("seed", range(8))
def test_masks_of_more_steps_than_the_policy_has_are_those_of_a_longer_policy(seed: int) -> None:
    given = hidden(seed, (3, (2, 2), HALF, 1))
    twice = Hidden(given.exact, given.policy * 2, [(1, s) for _, s in given.unknown])
    for paired in FOUR:
        found = mo.regret_interval(given.game, library_policy(given.policy), twice.known, paired.library)
        other = twice.interval(paired.library)
        assert (found.lower, found.upper) == (other.lower, other.upper)
        assert paired.maps is not None
        low, high = oracle_constants.regret_interval(twice.exact, twice.policy, twice.unknown, paired.maps).regret
        assert found.lower <= low
        assert high <= found.upper <= float(high) + 1e-9


@pytest.mark.parametrize("seed", range(12))
def test_masks_of_allowed_actions_may_have_more_steps_than_the_policy(seed: int) -> None:
    given = hidden(seed, (3, (2, 2), HALF, 1))
    allowed = [np.random.default_rng([seed, i]).random((2, 3, 2, 2)) < 0.5 for i in range(2)]
    maps = stages("swap", masks=[mask.tolist() for mask in allowed])
    for unknown in (given.unknown, [(1, s) for _, s in given.unknown]):
        twice = Hidden(given.exact, given.policy * 2, unknown)
        found = mo.regret_interval(given.game, library_policy(given.policy), twice.known, mo.Restricted(allowed))
        low, high = oracle_constants.regret_interval(twice.exact, twice.policy, twice.unknown, maps).regret
        assert found.lower <= low
        assert high <= found.upper <= float(high) + 1e-9


# Errors


def test_places_that_obedience_reaches_must_be_known() -> None:
    chain = mo.scenarios.unvisited_chain(3)
    known = mo.occupancy(chain.game, chain.expert).sum(axis=2) > 0
    known[1, 2] = False
    with pytest.raises(CoverageError, match=r"reaches 1 places .*\(step 1, state 2\)"):
        mo.regret_interval(chain.game, chain.learner, known)
    with pytest.raises(CoverageError, match=r"\(step 0, state 0\), \(step 1, state 2\), \(step 2, state 4\)"):
        mo.regret_interval(chain.game, chain.learner, np.zeros(6, dtype=bool))
    wide = mo.MarkovGame(np.arange(7)[:, None], np.zeros((1, 7, 1)), np.ones(7) / 7, (1,), discount=0.5)
    with pytest.raises(CoverageError, match=r"reaches 7 places .*\(step 0, state 4\), \.\."):
        mo.regret_interval(wide, mo.CorrelatedPolicy(np.ones((7, 1))), np.zeros(7, dtype=bool))


def test_a_place_of_vanishing_probability_must_be_known_too() -> None:
    rare = Fraction(1, 10**300)
    exact = oracle.exact_game([[[[1 - rare, rare]], [[0, 1]]]], [[[[0], [1]]]], [1, 0], (1,), horizon=2)
    with pytest.raises(CoverageError, match=r"\(step 1, state 1\)"):
        mo.regret_interval(library_game(exact), mo.CorrelatedPolicy([[1.0], [1.0]]), [True, False])


@pytest.mark.parametrize(
    "known",
    [
        pytest.param(np.ones((3, 5), dtype=bool), id="states"),
        pytest.param(np.ones((2, 6), dtype=bool), id="steps"),
        pytest.param(np.ones(5, dtype=bool), id="states-of-all-steps"),
        pytest.param(np.ones((3, 6)), id="floats"),
        pytest.param(np.ones((1, 3, 6), dtype=bool), id="axes"),
        pytest.param(np.array([[0, 2]]), id="demonstrations-steps"),
        pytest.param(np.array([0, 2, 4]), id="demonstrations-axes"),
        pytest.param(np.zeros((0, 3), dtype=int), id="demonstrations-none"),
        pytest.param([["a", "b", "c"]], id="text"),
        pytest.param(True, id="scalar"),
        pytest.param(None, id="none"),
    ],
)
def test_known_that_makes_no_sense(known: Any) -> None:
    chain = mo.scenarios.unvisited_chain(3)
    with pytest.raises(PolicyShape, match=r"booleans \(T, S\) or \(S,\), S = 6 and T = 3"):
        mo.regret_interval(chain.game, chain.learner, known)


def test_a_state_that_there_is_not_is_named() -> None:
    chain = mo.scenarios.unvisited_chain(3)
    for state in (6, -1):
        with pytest.raises(PolicyShape, match=rf"episode 0, step 2: {state} is none of the states 0 to 5"):
            mo.regret_interval(chain.game, chain.learner, np.array([[0, 2, state]]))


def test_integers_that_may_be_a_mask_are_refused() -> None:
    game = mo.MarkovGame(np.zeros((2, 4), dtype=int), np.zeros((2, 2, 4)), [1, 0], (2, 2), horizon=2)
    uniform = mo.CorrelatedPolicy.uniform(game)
    with pytest.raises(PolicyShape, match="may mean a mask"):
        mo.regret_interval(game, uniform, np.array([[1, 0], [1, 0]]))
    assert mo.regret_interval(game, uniform, np.array([[True, False], [True, False]])).upper < 1e-9


def test_classes_and_policies_that_do_not_fit() -> None:
    chain = mo.scenarios.unvisited_chain(3)
    known = np.ones(6, dtype=bool)
    listed = mo.Finite((mo.Deviation.identity(chain.game, 0),))
    for c in (mo.Budget(1.0), mo.Stationary(), listed):
        with pytest.raises(InvalidDeviation, match=r"no interval is known for .*Swap\(\)"):
            mo.regret_interval(chain.game, chain.learner, known, c)
    with pytest.raises(InvalidPolicy):
        mo.regret_interval(chain.game, mo.CorrelatedPolicy([[1.0]]), known)
    with pytest.raises(InvalidDeviation, match="labels"):
        mo.regret_interval(chain.game, chain.learner, known, mo.Partition([0, 1, 2]))
