"""Demonstrations against counting in fractions and exact occupancies; what is no demonstration."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import mailopt as mo
from mailopt.errors import (
    DemonstrationNumber,
    DemonstrationShape,
    EmptyDemonstrations,
    IllegalAction,
    IllegalDemonstration,
    ImpossibleTransition,
    InvalidDemonstrations,
    InvalidDeviation,
    InvalidGame,
    InvalidOption,
)
from mailopt.games.numbers import FloatArray
from mailopt.imitation.demonstrations import Demonstrations, sample_demonstrations
from tests import oracle
from tests.frequencies import excess
from tests.imitation.imitation_oracle import counted, known_rows
from tests.random_games import random_case, random_policy

STEPS = 5  # of an episode of a discounted game


def steps_of(game: mo.MarkovGame) -> int | None:
    return STEPS if game.horizon is None else None


def sampled(seed: int, episodes: int = 40) -> tuple[mo.MarkovGame, Demonstrations]:
    case = random_case(seed)
    return case.game, sample_demonstrations(case.game, case.policy, episodes, seed=seed, steps=steps_of(case.game))


def frequencies(game: mo.MarkovGame, policy: mo.CorrelatedPolicy, length: int) -> FloatArray:
    """Pr(s_t = s, a_t = a) at the first steps, by pushing forward."""
    here, result = game.initial_distribution, []
    for t in range(length):
        result.append(here[:, None] * policy.at(t))
        here = game.kernel(t if game.horizon is not None else 0).push_forward(result[-1])
    return np.stack(result)


def assert_same(one: Demonstrations, other: Demonstrations) -> None:
    np.testing.assert_array_equal(one.occupancy, other.occupancy)
    np.testing.assert_array_equal(one.rows, other.rows)
    assert (one.episodes, one.horizon, one.discount) == (other.episodes, other.horizon, other.discount)


# Sampling


@pytest.mark.parametrize("seed", range(16))
def test_sampled_frequencies_are_those_of_the_policy(seed: int) -> None:
    case = random_case(seed)
    game = case.game
    shown = sample_demonstrations(game, case.policy, 20_000, seed=seed, steps=steps_of(game))
    assert shown.trajectories is not None
    states, joint = shown.trajectories.states, shown.trajectories.joint_actions
    true = frequencies(game, case.policy, states.shape[1])
    for t, chances in enumerate(true):
        counts = np.zeros(chances.shape)
        np.add.at(counts, (states[:, t], joint[:, t]), 1)
        assert excess(counts, chances) <= 1
    if game.horizon is not None:
        np.testing.assert_allclose(mo.occupancy(game, case.policy), true, atol=1e-13)
        np.testing.assert_allclose(shown.occupancy, true, atol=0.05)
    else:
        shares = game.discount ** np.arange(STEPS) if game.discount is not None else np.ones(STEPS)
        cut = np.tensordot(shares / shares.sum(), true, axes=1)
        np.testing.assert_allclose(shown.occupancy[0], cut, atol=0.05)


def test_successive_pairs_follow_the_kernel_of_their_step() -> None:
    """Marginals alone would not notice episodes that are mixed up."""
    case = random_case(19)
    game = case.game
    assert len(game.kernels) > 1
    shown = sample_demonstrations(game, case.policy, 20_000, seed=1)
    assert shown.trajectories is not None
    states, joint = shown.trajectories.states, shown.trajectories.joint_actions
    true = frequencies(game, case.policy, len(game.kernels))
    for h in range(len(game.kernels) - 1):
        rows = game.kernel(h).rows().toarray().reshape(*game.joint_legal.shape, -1)
        counts = np.zeros(rows.shape)
        np.add.at(counts, (states[:, h], joint[:, h], states[:, h + 1]), 1)
        assert excess(counts, true[h][:, :, None] * rows) <= 1
        if h + 2 < len(game.kernels):
            other = game.kernel(h + 1).rows().toarray().reshape(rows.shape)
            assert excess(counts, true[h][:, :, None] * other) > 1  # the bound tells steps apart


def test_sampling_is_repeatable() -> None:
    case = random_case(1)
    one, other, third = (sample_demonstrations(case.game, case.policy, 50, seed=s) for s in (3, 3, 4))
    assert_same(one, other)
    assert (one.occupancy != third.occupancy).any()
    generator = np.random.default_rng(3)
    assert_same(sample_demonstrations(case.game, case.policy, 50, seed=generator), one)
    assert (sample_demonstrations(case.game, case.policy, 50, seed=generator).occupancy != one.occupancy).any()


def test_options_of_sampling() -> None:
    chain, case = mo.scenarios.unvisited_chain(3), random_case(0)
    assert case.game.horizon is None
    with pytest.raises(InvalidOption, match="episodes is 0"):
        sample_demonstrations(chain.game, chain.expert, 0, seed=0)
    with pytest.raises(InvalidOption, match="seed is None"):
        sample_demonstrations(chain.game, chain.expert, 1, seed=None)  # type: ignore[arg-type]
    with pytest.raises(InvalidOption, match="steps is 3, but the game has horizon 3"):
        sample_demonstrations(chain.game, chain.expert, 1, seed=0, steps=3)
    with pytest.raises(InvalidOption, match="give the length of an episode"):
        sample_demonstrations(case.game, case.policy, 1, seed=0)
    game = mo.MarkovGame([[0, -1]], np.zeros((1, 1, 2)), [1.0], (2,), horizon=1, legal=[[[True, False]]])
    with pytest.raises(IllegalAction):
        sample_demonstrations(game, mo.CorrelatedPolicy([[0.5, 0.5]]), 1, seed=0)


# Episodes


def exact_shape(game: mo.MarkovGame) -> oracle.ExactGame:
    """The oracle's game as far as counting needs it."""
    return oracle.exact_game(
        [[[[1] + [0] * (game.num_states - 1)] * game.num_joint_actions] * game.num_states],
        [[[[0] * game.num_joint_actions] * game.num_states] * game.num_agents],
        [1] + [0] * (game.num_states - 1),
        game.actions,
        horizon=game.horizon,
        discount=game.discount,
    )


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", range(10))
def test_episodes_are_counted_as_in_fractions(seed: int, weighted: bool) -> None:
    game, shown = sampled(seed, episodes=12)
    assert shown.trajectories is not None
    states, joint = shown.trajectories.states.tolist(), shown.trajectories.joint_actions.tolist()
    weights = [float(w) for w in np.random.default_rng(seed).integers(0, 9, 12) / 8] if weighted else None
    found = Demonstrations(game, states, joint, weights=weights)
    measure = counted(exact_shape(game), states, joint, weights)
    assert found.num_stages == len(measure) == (game.horizon or 1)
    np.testing.assert_allclose(found.occupancy, np.array(measure, dtype=float), rtol=1e-14, atol=0)
    rows = known_rows(measure)
    for h, s in np.ndindex(found.seen.shape):
        expected = rows[h][s]
        assert found.seen[h, s] == (expected is not None)
        nothing = [Fraction(0)] * game.num_joint_actions
        assert found.rows[h, s].tolist() == pytest.approx([float(x) for x in expected or nothing])
    np.testing.assert_array_equal(found.visits, found.occupancy.sum(axis=2))
    np.testing.assert_array_equal(found.rows.any(axis=2), found.seen)
    assert found.episodes == 12
    assert found.expert is None


@pytest.mark.parametrize("seed", range(6))
def test_weights_stand_for_repetition(seed: int) -> None:
    game, shown = sampled(seed, episodes=3)
    assert shown.trajectories is not None
    states, joint = shown.trajectories.states, shown.trajectories.joint_actions
    repeated = Demonstrations(game, np.repeat(states, [2, 0, 4], axis=0), np.repeat(joint, [2, 0, 4], axis=0))
    kinds: list[list[Any]] = [[2, 0, 4], [Fraction(1, 2), 0, 1], [2.0**-1060, 0, 2.0**-1059], [2.0**1022, 0, 2.0**1023]]
    for weights in kinds:
        found = Demonstrations(game, states, joint, weights=weights)
        np.testing.assert_allclose(found.occupancy, repeated.occupancy, rtol=1e-14, atol=0)
        np.testing.assert_allclose(found.rows, repeated.rows, rtol=1e-14, atol=0)
        assert found.episodes == 3


@pytest.mark.parametrize("seed", range(6))
def test_one_action_for_each_agent_or_flat(seed: int) -> None:
    game, shown = sampled(seed, episodes=5)
    assert shown.trajectories is not None
    joint = shown.trajectories.joint_actions
    split = [[game.joint_action(a) for a in episode] for episode in joint.tolist()]
    found = Demonstrations(game, shown.trajectories.states.astype(np.uint8), split)
    assert_same(found, shown)
    assert found.trajectories is not None
    np.testing.assert_array_equal(found.trajectories.joint_actions, joint)


def test_everything_is_read_only_and_copied() -> None:
    states = np.zeros((2, 3), dtype=np.int64)
    chain = mo.scenarios.unvisited_chain(3).game
    states[:] = [0, 2, 4]
    joint, weights = np.zeros_like(states), np.ones(2)
    shown = Demonstrations(chain, states, joint, weights=weights)
    states[:], joint[:], weights[:] = 1, 1, 0
    assert shown.trajectories is not None
    assert shown.trajectories.states.tolist() == [[0, 2, 4]] * 2
    assert shown.trajectories.joint_actions.tolist() == [[0, 0, 0]] * 2
    for array in (
        shown.occupancy,
        shown.rows,
        shown.visits,
        shown.seen,
        shown.trajectories.states,
        shown.trajectories.joint_actions,
        shown.trajectories.weights,
        Demonstrations.from_policy(chain, mo.scenarios.unvisited_chain(3).expert).occupancy,
        Demonstrations.from_counts(chain, shown.occupancy).counts,
    ):
        assert array is not None
        assert not array.flags.writeable


# Bad episodes


def small_game(**changes: Any) -> mo.MarkovGame:
    """State 0 goes to 1 on joint action (0, 0), stays on (0, 1), has no other; state 1 goes anywhere at step 0 only."""
    first = np.zeros((3, 4, 3))
    first[0, 0, 1] = first[0, 1, 0] = 1.0
    first[1] = 1 / 3
    first[2, :, 2] = 1.0
    second = first.copy()
    second[1] = [0.0, 1.0, 0.0]
    arguments: dict[str, Any] = {"horizon": 3, "legal": [[[True, False], [True, True], [True, True]], None], **changes}
    transitions = [first, second, second] if arguments.get("horizon") else first
    return mo.MarkovGame(transitions, np.zeros((2, 3, 4)), [0.5, 0.5, 0.0], (2, 2), **arguments)


GOOD_STATES, GOOD_ACTIONS = [[1, 2, 2], [0, 1, 1]], [[3, 2, 1], [0, 1, 2]]

BAD = [
    pytest.param([], [], {}, EmptyDemonstrations, "there are no episodes", id="empty"),
    pytest.param([[], []], [[], []], {}, EmptyDemonstrations, "none with a step", id="no-steps"),
    pytest.param([1, 2, 2], [3, 2, 1], {}, DemonstrationShape, r"states have shape \(3,\)", id="one-episode-bare"),
    pytest.param([[1.0, 2.0, 2.0]], [[3, 2, 1]], {}, DemonstrationShape, "dtype float64", id="floats"),
    pytest.param([[True] * 3], [[3, 2, 1]], {}, DemonstrationShape, "dtype bool", id="booleans"),
    pytest.param([[2**70, 2, 2]], [[3, 2, 1]], {}, DemonstrationShape, "dtype object", id="huge"),
    pytest.param([[1, 2, 2], [0, 1]], GOOD_ACTIONS, {}, DemonstrationShape, "states is ragged", id="ragged"),
    pytest.param(GOOD_STATES, [[3, 2, 1], [0]], {}, DemonstrationShape, "joint actions is ragged", id="ragged-actions"),
    pytest.param(GOOD_STATES, [[3, 2, 1]], {}, DemonstrationShape, "a joint action for each state", id="fewer-actions"),
    pytest.param([[1, 2]], [[3, 2]], {}, DemonstrationShape, "2 steps, the game's horizon is 3", id="horizon"),
    pytest.param(
        GOOD_STATES,
        np.zeros((2, 3, 3), dtype=int),
        {},
        DemonstrationShape,
        "one action for each of 2 agents",
        id="agents",
    ),
    pytest.param(
        [[1, 2, 3]], [[3, 2, 1]], {}, DemonstrationShape, "episode 0, step 2: there is no state 3", id="state"
    ),
    pytest.param(
        [[1, -1, 2]], [[3, 2, 1]], {}, DemonstrationShape, "episode 0, step 1: there is no state -1", id="less"
    ),
    pytest.param(
        np.array([[1, 2, 2**63 + 1]], dtype=np.uint64),
        [[3, 2, 1]],
        {},
        DemonstrationShape,
        "episode 0, step 2: there is no state 9223372036854775809",
        id="unsigned",
    ),
    pytest.param(
        GOOD_STATES,
        [[3, 2, 1], [0, 4, 2]],
        {},
        IllegalDemonstration,
        "episode 1, step 1: there is no joint action 4; they are 0 to 3",
        id="joint-action",
    ),
    pytest.param(
        GOOD_STATES,
        [[[1, 1], [1, 0], [0, 1]], [[0, 0], [0, 1], [1, 2]]],
        {},
        IllegalDemonstration,
        "episode 1, step 2: there is no action 2 of agent 1; they are 0 to 1",
        id="action",
    ),
    pytest.param(
        GOOD_STATES,
        [[3, 2, 1], [2, 1, 2]],
        {},
        IllegalDemonstration,
        r"episode 1, step 0, state 0: joint action \(1, 0\) is illegal there",
        id="illegal",
    ),
    pytest.param(
        [[1, 2, 2], [2, 2, 2]],
        GOOD_ACTIONS,
        {},
        ImpossibleTransition,
        "episode 1, step 0: the episode starts in state 2",
        id="start",
    ),
    pytest.param(
        [[1, 2, 2], [0, 0, 1]],
        [[3, 2, 1], [0, 0, 0]],
        {},
        ImpossibleTransition,
        r"episode 1, step 0: from state 0 joint action \(0, 0\) never leads to state 0",
        id="transition",
    ),
    pytest.param(
        [[1, 2, 2], [1, 1, 0]],
        [[3, 2, 1], [0, 2, 0]],
        {},
        ImpossibleTransition,
        r"episode 1, step 1: from state 1 joint action \(1, 0\) never leads to state 0, which comes next",
        id="transition-of-another-step",
    ),
    pytest.param(GOOD_STATES, GOOD_ACTIONS, {"weights": [1]}, DemonstrationShape, "each of 2 episodes", id="weights"),
    pytest.param(
        GOOD_STATES,
        GOOD_ACTIONS,
        {"weights": [1, -2]},
        DemonstrationNumber,
        "episode 1: -2.0 is negative",
        id="negative",
    ),
    pytest.param(
        GOOD_STATES,
        GOOD_ACTIONS,
        {"weights": [np.nan, 1]},
        DemonstrationNumber,
        "episode 0: nan must be finite",
        id="nan",
    ),
    pytest.param(GOOD_STATES, GOOD_ACTIONS, {"weights": ["1", 1]}, DemonstrationNumber, "weights has dtype", id="text"),
    pytest.param(GOOD_STATES, GOOD_ACTIONS, {"weights": [0, 0]}, EmptyDemonstrations, "have weight 0", id="no-weight"),
]


@pytest.mark.parametrize(("states", "joint", "options", "error", "message"), BAD)
def test_bad_episodes(states: Any, joint: Any, options: dict[str, Any], error: type[Exception], message: str) -> None:
    Demonstrations(small_game(), GOOD_STATES, GOOD_ACTIONS)
    with pytest.raises(error, match=message) as caught:
        Demonstrations(small_game(), states, joint, **options)
    assert type(caught.value) is error
    assert isinstance(caught.value, InvalidDemonstrations)


def test_the_game_is_checked_too() -> None:
    chain = mo.scenarios.unvisited_chain(3)
    for make in (
        lambda game: Demonstrations(game, [[0]], [[0]]),
        lambda game: Demonstrations.from_counts(game, [[[1]]]),
        lambda game: Demonstrations.from_policy(game, chain.expert),
        lambda game: Demonstrations.from_policy(chain.game, chain.expert).check(game),
    ):
        with pytest.raises(InvalidGame, match="give a MarkovGame"):
            make(chain)


# Counts


@pytest.mark.parametrize("seed", range(8))
def test_counts_are_normalised_step_by_step(seed: int) -> None:
    case = random_case(seed)
    game, generator = case.game, np.random.default_rng(seed)
    stages = game.horizon or 3
    counts = generator.integers(0, 5, (stages, *game.joint_legal.shape)) * game.joint_legal
    counts[:, 0] += game.joint_legal[0]
    found = Demonstrations.from_counts(game, counts)
    total = counts.sum(axis=(1, 2), keepdims=True) if game.horizon is not None else counts.sum()
    np.testing.assert_allclose(found.occupancy, counts / total, rtol=1e-15)
    assert found.num_stages == stages
    np.testing.assert_array_equal(found.seen, counts.sum(axis=2) > 0)
    sums = np.maximum(counts.sum(axis=2, keepdims=True), 1)
    np.testing.assert_array_equal(found.rows, counts / sums)
    np.testing.assert_array_equal(Demonstrations.from_counts(game, counts * 0.25).occupancy, found.occupancy)
    if game.horizon is None:
        once = Demonstrations.from_counts(game, counts[0])
        np.testing.assert_array_equal(once.occupancy, counts[:1] / counts[0].sum())
        np.testing.assert_array_equal(Demonstrations.from_counts(game, counts[:1]).occupancy, once.occupancy)
    assert (found.episodes, found.trajectories, found.expert) == (None, None, None)


@pytest.mark.parametrize("seed", range(6))
def test_counting_episodes_by_hand_is_the_same(seed: int) -> None:
    game, shown = sampled(seed)
    again = Demonstrations.from_counts(game, shown.occupancy if game.horizon is not None else shown.occupancy[0])
    np.testing.assert_allclose(again.occupancy, shown.occupancy, rtol=1e-14)
    np.testing.assert_allclose(again.rows, shown.rows, rtol=1e-14)


@pytest.mark.parametrize("power", [-1070, -30, 0, 1021])
def test_the_unit_of_counts_makes_no_difference(power: int) -> None:
    for game in (small_game(), small_game(horizon=None, discount=0.5)):
        counts = filled(_000=3.0, _122=2.0)
        unit = Demonstrations.from_counts(game, counts)
        assert_same(Demonstrations.from_counts(game, np.ldexp(counts, power)), unit)
        assert unit.rows[0, 0, 0] == unit.rows[0, 1, 0] == 1.0


def filled(**entries: float) -> FloatArray:
    counts = np.zeros((3, 3, 4))
    counts[:, 1, 0] = 1.0
    for place, value in entries.items():
        counts[tuple(int(k) for k in place[1:])] = value
    return counts


@pytest.mark.parametrize(
    ("counts", "error", "message"),
    [
        pytest.param(
            np.ones((3, 4)), DemonstrationShape, r"\(3, 4\), expected \(H, S, A\) = \(3, 3, 4\)", id="no-step"
        ),
        pytest.param(np.ones((2, 3, 4)), DemonstrationShape, r"expected \(H, S, A\)", id="horizon"),
        pytest.param([[1], [1, 2]], DemonstrationShape, "ragged", id="ragged"),
        pytest.param(
            filled(_201=-1.0), DemonstrationNumber, "step 2, state 0, joint action 1: -1.0 is negative", id="negative"
        ),
        pytest.param(filled(_012=np.inf), DemonstrationNumber, "step 0, state 1, joint action 2: inf", id="infinite"),
        pytest.param(filled(_110=0.0), EmptyDemonstrations, "step 1 has none", id="step-without"),
        pytest.param(np.zeros((3, 3, 4)), EmptyDemonstrations, "step 0 has none", id="zero"),
        pytest.param(
            filled(_203=1.0),
            IllegalDemonstration,
            r"step 2, state 0: joint action \(1, 1\) is illegal",
            id="illegal",
        ),
        pytest.param(filled().astype(str), DemonstrationNumber, "dtype", id="text"),
    ],
)
def test_bad_counts(counts: Any, error: type[Exception], message: str) -> None:
    Demonstrations.from_counts(small_game(), filled())
    with pytest.raises(error, match=message):
        Demonstrations.from_counts(small_game(), counts)


def test_bad_discounted_counts() -> None:
    game = small_game(horizon=None, discount=0.5)
    with pytest.raises(DemonstrationShape, match=r"\(3, 5\), expected \(S, A\) = \(3, 4\), or with a step"):
        Demonstrations.from_counts(game, np.ones((3, 5)))
    with pytest.raises(DemonstrationShape, match=r"\(0, 3, 4\)"):
        Demonstrations.from_counts(game, np.ones((0, 3, 4)))
    with pytest.raises(EmptyDemonstrations, match="all are 0"):
        Demonstrations.from_counts(game, np.zeros((2, 3, 4)))
    with pytest.raises(IllegalDemonstration, match="demonstrations, state 0"):
        Demonstrations.from_counts(game, np.ones((3, 4)))


# The exact expert


@pytest.mark.parametrize("seed", range(30))
def test_the_exact_expert_shows_its_own_rows_where_it_goes(seed: int) -> None:
    case = random_case(seed)
    game, policy = case.game, case.policy
    found = Demonstrations.from_policy(game, policy)
    stages = game.num_stages(policy.num_steps)
    assert found.num_stages == stages
    assert found.expert is policy
    whole = found.occupancy if game.horizon is not None else found.occupancy.sum(axis=0)
    np.testing.assert_allclose(whole, mo.occupancy(game, policy), atol=1e-12)
    reached = reachable(game, policy, stages)
    np.testing.assert_array_equal(found.seen, reached)
    for h in range(stages):
        np.testing.assert_array_equal(found.rows[h], policy.at(h) * reached[h][:, None])
    again = Demonstrations.from_counts(game, found.occupancy)
    np.testing.assert_allclose(again.rows, found.rows, atol=1e-9)


def reachable(game: mo.MarkovGame, policy: mo.CorrelatedPolicy, stages: int) -> FloatArray:
    """Where a policy can go, by sets; the last stage of a discounted game has all later ones."""
    here = {s for s in range(game.num_states) if game.initial[s] > 0}
    result = np.zeros((stages, game.num_states), dtype=bool)
    more = 0 if game.discount is None or game.discount == 0 else game.num_states + 1
    for t in range(stages + more if game.discount != 0 else 1):
        stage = min(t, stages - 1)
        result[stage, list(here)] = True
        rows = game.kernel(t if game.horizon is not None else 0).stored_rows()
        here = {
            int(k)
            for s in here
            for a in np.flatnonzero(policy.at(t)[s])
            for k in rows.indices[slice(*rows.indptr[s * game.num_joint_actions + a :][:2])]
        }
    return result


def test_places_that_are_reached_too_rarely_for_a_double_are_seen() -> None:
    rows = np.zeros((3, 1, 3))
    rows[0, 0], rows[1, 0], rows[2, 0] = [1.0, 1e-200, 0.0], [1.0, 0.0, 1e-200], [0.0, 0.0, 1.0]
    game = mo.MarkovGame(rows, np.zeros((1, 3, 1)), [1.0, 0.0, 0.0], (1,), horizon=3)
    found = Demonstrations.from_policy(game, mo.CorrelatedPolicy(np.ones((3, 1))))
    assert found.seen[2].tolist() == [True, True, True]
    assert 0 < found.visits[2, 2] < 1e-300


# Fitting a game, and printing


def test_check() -> None:
    game = small_game()
    shown = Demonstrations(game, GOOD_STATES, GOOD_ACTIONS)
    shown.check(game)
    shown.check(game.with_rewards(np.ones((2, 3, 4))))
    longer = mo.MarkovGame(game.kernel(0), np.zeros((2, 3, 4)), [1, 0, 0], (2, 2), horizon=4, legal=game.legal)
    discounted = [small_game(horizon=None, discount=d) for d in (0.5, 0.25)]
    relabelled = mo.MarkovGame(np.zeros((3, 4), dtype=int), np.zeros((1, 3, 4)), [1, 0, 0], (4,), horizon=3)
    stricter = small_game(legal=[[[True, False], [True, False], [True, True]], None])
    for other, message in (
        (longer, "a game with horizon 3, this game has horizon 4"),
        (discounted[0], "a game with horizon 3, this game has horizon None"),
        (relabelled, r"actions \(2, 2\), this game has actions \(4,\)"),
        (mo.scenarios.unvisited_chain(3).game, "states 3, this game has states 6"),
    ):
        with pytest.raises(DemonstrationShape, match=message):
            shown.check(other)
    with pytest.raises(IllegalDemonstration, match=r"step 0, state 1: joint action \(1, 1\) is illegal"):
        shown.check(stricter)
    one = Demonstrations(discounted[0], GOOD_STATES, GOOD_ACTIONS)
    with pytest.raises(DemonstrationShape, match=r"discount 0.5, this game has discount 0.25"):
        one.check(discounted[1])


def test_summary_of_the_exact_expert_counts_what_coverage_counts() -> None:
    for scenario in (
        mo.scenarios.unvisited_chain(5),
        mo.scenarios.covered_chain(5, coverage=0.25, error=0.125),
    ):
        shown = Demonstrations.from_policy(scenario.game, scenario.expert)
        for deviations in (mo.Swap(), mo.Limited(1), mo.External()):
            found = mo.coverage(scenario.game, scenario.expert, deviations)
            text = shown.summary(scenario.game, deviations).splitlines()
            assert text[0] == "exact expert, 5 steps"
            reached, uncovered = int(found.reachable.sum()), len(found.uncovered)
            assert text[2].startswith(
                f"{deviations!r} from the expert reaches {reached} pairs, {uncovered} of them unseen"
            )
            assert all(f"({h}, {s})" in text[2] for h, s in sorted(found.uncovered)[:3])


@pytest.mark.parametrize("seed", range(24))
def test_summary_of_many_episodes_is_that_of_the_expert(seed: int) -> None:
    case = random_case(seed)
    game = case.game
    exact = Demonstrations.from_policy(game, case.policy)
    shown = Demonstrations.from_counts(game, exact.occupancy)
    lines = [d.summary(game, mo.Swap()).splitlines() for d in (exact, shown)]
    assert lines[0][1] == lines[1][1]
    numbers = [[word for word in line[2].split() if word.strip(",").isdigit()] for line in lines]
    if game.horizon is not None:
        assert int(numbers[0][0]) == mo.coverage(game, case.policy).reachable.sum()
    assert int(numbers[1][0]) >= int(numbers[0][0])  # anybody may do anything where nothing was seen
    assert lines[1][2].startswith("Swap() from what was seen reaches")
    seen, pairs = int(exact.seen.sum()), exact.seen.size
    assert lines[0][1].startswith(f"seen: {seen} of {pairs} (step, state) pairs, ")
    assert repr(shown) == f"Demonstrations(counts, {seen} of {pairs} (step, state) pairs seen)"


def test_summary_takes_all_agents_and_all_later_steps_together() -> None:
    """Agent 0 alone can leave state 0, for state 1; from there all go on to state 2 and stay."""
    moves = np.array([[0, 0, 1, 1], [2] * 4, [2] * 4])
    cases: list[tuple[dict[str, Any], str]] = [
        ({"horizon": 3}, "6 pairs, 3 of them unseen: (1, 1), (2, 1), (2, 2)"),
        ({"discount": 0.5}, "3 pairs, 2 of them unseen: (0, 1), (0, 2)"),
    ]
    for time, expected in cases:
        game = mo.MarkovGame(moves, np.zeros((2, 3, 4)), [1.0, 0.0, 0.0], (2, 2), **time)
        expert = mo.CorrelatedPolicy(np.tile([1.0, 0.0, 0.0, 0.0], (3, 1)))
        last = Demonstrations.from_policy(game, expert).summary(game, mo.Limited(1)).splitlines()[-1]
        assert last == f"Limited(1) from the expert reaches {expected}"


def test_summary_of_episodes() -> None:
    game = small_game()
    shown = Demonstrations(game, GOOD_STATES, GOOD_ACTIONS)
    assert repr(shown) == "Demonstrations(2 episodes, 6 of 9 (step, state) pairs seen)"
    assert shown.summary(game) == ("2 episodes, 3 steps\nseen: 6 of 9 (step, state) pairs, 6 of 30 with a joint action")
    with pytest.raises(InvalidDeviation, match="not known"):
        shown.summary(game, mo.Stationary())
    discounted = small_game(horizon=None, discount=0.5)
    one = Demonstrations(discounted, GOOD_STATES[:1], GOOD_ACTIONS[:1])
    assert one.summary(discounted).startswith("1 episode, 3 steps, discount 0.5\nseen: 2 of 3 (step, state) pairs")


def test_policies_of_other_sizes_are_refused() -> None:
    game = small_game()
    other = random_policy(np.random.default_rng(0), mo.scenarios.chicken())
    with pytest.raises(mo.errors.PolicyShape):
        Demonstrations.from_policy(game, other)
