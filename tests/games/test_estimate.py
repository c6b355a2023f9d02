"""Games estimated from logs: counts, point estimates, marks, files, and logs that make no sense."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

import mailopt as mo
from mailopt import errors
from mailopt.games import storage
from mailopt.games.estimate import binomial_bounds

STATES, ACTIONS, JOINT, HORIZON = 4, (2, 2), 4, 3


def true_game() -> mo.MarkovGame:
    rng = np.random.default_rng(0)
    rows = rng.dirichlet(np.ones(STATES), size=(STATES, JOINT)) * (rng.random((STATES, JOINT, STATES)) < 0.6)
    rows[..., 0] += 0.1
    return mo.MarkovGame(
        rows / rows.sum(axis=-1, keepdims=True),
        rng.random((2, STATES, JOINT)),
        rng.dirichlet(np.ones(STATES)),
        ACTIONS,
        horizon=HORIZON,
    )


def logged(game: mo.MarkovGame, count: int, seed: int, *, noise: float = 0.1) -> dict[str, Any]:
    """Each pair in turn, and what came of it."""
    rng = np.random.default_rng(seed)
    pairs = np.arange(count) % (STATES * JOINT)
    states, joint = pairs // JOINT, pairs % JOINT
    rewards = game.rewards[:, states, joint].T + rng.uniform(-noise, noise, size=(count, 2))
    return {
        "states": states,
        "joint_actions": joint,
        "rewards": rewards,
        "next_states": game.kernel(0).sample(states, joint, rng.random(count)),
        "num_states": STATES,
        "actions": ACTIONS,
        "initial": game.initial,
        "horizon": HORIZON,
        "reward_range": (-noise, 1 + noise),
    }


def estimate(**options: Any) -> mo.EstimatedGame:
    return mo.MarkovGame.from_samples(**options)


def test_counts_and_point_estimate() -> None:
    log = logged(true_game(), 1000, 0)
    estimated = estimate(**log)
    assert estimated.num_transitions == 1000
    assert estimated.visits.sum() == 1000
    frequencies = np.zeros((STATES, JOINT, STATES))
    sums = np.zeros((2, STATES, JOINT))
    for s, a, r, t in zip(log["states"], log["joint_actions"], log["rewards"], log["next_states"], strict=True):
        frequencies[s, a, t] += 1
        sums[:, s, a] += r
    visits = frequencies.sum(axis=-1)
    np.testing.assert_array_equal(estimated.visits[0], visits)
    point = estimated.point_estimate()
    np.testing.assert_allclose(
        point.kernel(0).rows().toarray().reshape(frequencies.shape), frequencies / visits[..., None]
    )
    np.testing.assert_allclose(point.rewards, sums / visits, rtol=1e-12)
    assert point.estimated_from == 1000
    assert (
        estimate(**(log | {"joint_actions": np.stack([log["joint_actions"] // 2, log["joint_actions"] % 2], 1)})).visits
        == estimated.visits
    ).all()


def test_point_estimates_approach_the_game() -> None:
    game = true_game()
    policy = mo.CorrelatedPolicy.uniform(game)
    far, near = (
        abs(mo.regret(estimate(**logged(game, n, 1)).point_estimate(), policy).value - mo.regret(game, policy).value)
        for n in (200, 200_000)
    )
    assert near < 0.005
    assert near < far


def test_by_step() -> None:
    game = true_game()
    log = logged(game, 3000, 0)
    steps = np.arange(3000) // 16 % HORIZON
    estimated = estimate(**log, steps=steps)
    assert estimated.visits.shape == (HORIZON, STATES, JOINT)
    for h in range(HORIZON):
        own = {
            key: value[steps == h]
            for key, value in log.items()
            if key in ("states", "joint_actions", "rewards", "next_states")
        }
        alone = estimate(**(log | own))
        np.testing.assert_array_equal(alone.visits[0], estimated.visits[h])
        np.testing.assert_allclose(alone.reward_means[0], estimated.reward_means[h], rtol=1e-12)
    assert len(estimated.point_estimate().kernels) == HORIZON


def test_binomial_bounds_are_those_of_scipy() -> None:
    level = 0.01
    for n in (1, 7, 200):
        for k in {0, 1, n // 2, n}:
            low, high = binomial_bounds(np.array([float(k)]), np.array([float(n)]), level)
            alpha = level / (n * (n + 1))
            exact = stats.binomtest(k, n).proportion_ci(1 - alpha, method="exact")
            np.testing.assert_allclose([low[0], high[0]], [exact.low, exact.high], rtol=1e-6, atol=1e-12)
    assert [float(bound[0]) for bound in binomial_bounds(np.zeros(1), np.zeros(1), level)] == [0.0, 1.0]


def test_shares_of_the_error_add_up() -> None:
    game = true_game()
    for changes in (
        {},
        {"initial": None, "initial_states": [0, 1, 1, 2]},
        {"deterministic_rewards": True, "rewards": None},
    ):
        log = logged(game, 320, 0, noise=0.0) | changes
        if log["rewards"] is None:
            log["rewards"] = game.rewards[:, log["states"], log["joint_actions"]].T
        estimated = estimate(**log, confidence=0.9)
        total = sum(estimated._levels[kind] * number for kind, number in statements(estimated).items())
        assert total == pytest.approx(0.1, rel=1e-12)


def statements(estimated: mo.EstimatedGame) -> dict[str, int]:
    """How many things are stated: with each number of visits n they are at level alpha / (n (n + 1)), in all alpha."""
    found = {"transition": STATES * JOINT * STATES}
    if estimated.rewards == "observed":
        found["reward"] = STATES * JOINT * 2
    if estimated.num_starts is not None:
        found["start"] = STATES
    return found


def test_deterministic_rows_become_known_fast() -> None:
    widths = []
    for n in (100, 1000):
        zeros = np.zeros(n, dtype=int)
        estimated = estimate(
            states=zeros, joint_actions=zeros, rewards=None, next_states=zeros + 1, num_states=2, actions=(1,),
            initial=[1, 0], horizon=2, known_rewards=np.zeros((1, 2, 1)), unvisited="stay",
        )  # fmt: skip
        low, high = estimated.transition_bounds(0, slice(0, 1))
        assert high[0, 1] == 1.0
        widths.append(high[0, 0] - low[0, 0])
    assert widths[0] > 6 * widths[1]  # as log(n) / n


def test_unvisited_pairs() -> None:
    log = logged(true_game(), 10, 0)
    with pytest.raises(
        errors.CoverageError, match=r"6 legal pairs .* state 2, joint action \(1, 0\).*unvisited='stay'"
    ):
        estimate(**log)
    estimated = estimate(**log, unvisited="stay")
    assert "6 of 16 legal" in repr(estimated)
    point = estimated.point_estimate()
    assert point.kernel(0).probability(np.array([3]), np.array([1]), np.array([3]))[0] == 1.0
    assert (point.rewards[:, 3, 1] == 0).all()
    low, high = estimated.transition_bounds(0, slice(13, 14))
    assert (low == 0).all()
    assert (high == 1).all()
    assert estimated.reward_bounds[0][0, 0, 3, 1] == pytest.approx(-0.1)
    masks = [
        np.array([[True, True]] * 2 + [[True, False]] + [[True, False]]),
        np.array([[True, True]] * 3 + [[True, False]]),
    ]
    log = {
        key: value[:10] if key in ("states", "joint_actions", "rewards", "next_states") else value
        for key, value in log.items()
    }
    with pytest.raises(errors.CoverageError, match="1 legal pairs"):
        estimate(**log, legal=masks)


def test_marks() -> None:
    estimated = estimate(**logged(true_game(), 320, 0))
    assert "320 transitions" in repr(estimated)
    assert "confidence 0.95" in repr(estimated)
    point = estimated.point_estimate()
    assert "estimated from 320 transitions" in repr(point)
    assert point.with_rewards(point.rewards).estimated_from == 320
    policy = mo.CorrelatedPolicy.uniform(point)
    shown = mo.sample_demonstrations(point, policy, 500, seed=0)
    everywhere = np.ones((HORIZON, STATES), dtype=bool)
    for found in (
        mo.values(point, policy),
        mo.values(point, policy, method="lp"),
        mo.regret(point, policy),
        mo.regret(point, policy, method="lp"),
        mo.best_deviation(point, policy, 0),
        mo.regret_gap(point, policy, policy),
        mo.value_gap(point, policy, policy),
        mo.budget_curve(point, policy),
        mo.coverage(point, policy),
        mo.concentrability(point, policy),
        mo.recoverability(point, policy),
        mo.deviation_weighted_loss(point, policy, policy),
        mo.regret_gap_bound(point, policy, policy),
        mo.regret_interval(point, policy, everywhere),
        mo.mixture_regret(point, [policy], [1.0]),
        mo.quantal_deviation(point, policy, 0, 1.0),
        mo.reward_free_value_gap(point, policy, policy),
        mo.reward_free_regret_gap(
            point, policy, policy, mo.Finite([mo.best_deviation(point, policy, i).deviation for i in (0, 1)])
        ),
        mo.correlated_equilibrium(point),
        mo.repair(point, policy, epsilon=0.5),
        mo.regret_constrained_imitation(point, policy, epsilon=0.5),
        mo.behavior_cloning(point, shown),
        mo.inverse_reinforcement_learning(point, shown),
        mo.malice(point, shown),
        mo.blades(point, policy),
    ):
        assert repr(found).endswith("of a game estimated from 320 transitions)")
        assert repr(found).count("estimated") == 1
    gap = mo.regret_gap(point, policy, policy)
    assert isinstance(gap, mo.RegretGap)
    assert replace(gap, value=0.0).value == 0.0
    assert "estimated" in repr(replace(gap, value=0.0))
    assert "estimated" not in repr(mo.regret(true_game(), policy))


@pytest.mark.parametrize("suffix", [".json", ".npz"])
def test_marks_in_files(suffix: str, tmp_path: Path) -> None:
    point = estimate(**logged(true_game(), 320, 0)).point_estimate()
    point.save(tmp_path / f"game{suffix}")
    assert mo.load_game(tmp_path / f"game{suffix}").estimated_from == 320
    true_game().save(tmp_path / f"game{suffix}")
    assert mo.load_game(tmp_path / f"game{suffix}").estimated_from is None
    assert b"estimated" not in (tmp_path / f"game{suffix}").read_bytes()


def test_estimates_are_not_taken_for_games() -> None:
    estimated = estimate(**logged(true_game(), 320, 0))
    point = estimated.point_estimate()
    policy = mo.CorrelatedPolicy.uniform(point)
    with pytest.raises(errors.InvalidGame, match=r"EstimatedGame.*estimated_regret.*point_estimate"):
        mo.regret(estimated, policy)  # type: ignore[arg-type]
    with pytest.raises(errors.InvalidGame, match="the game is a EstimatedRegret; give a MarkovGame"):
        mo.regret(mo.estimated_regret(estimated, policy), policy)  # type: ignore[arg-type]
    with pytest.raises(errors.NotCertifiable, match="estimated from 320 transitions"):
        mo.certify(point, policy)
    with pytest.raises(errors.InvalidGame, match="estimated_from is 0"):
        mo.MarkovGame([[[1.0]]], [[[0.0]]], [1.0], (1,), horizon=1, estimated_from=0)


@pytest.mark.parametrize("kind", ["observed", "deterministic", "known", "starts", "steps"])
def test_files(kind: str, tmp_path: Path) -> None:
    game = true_game()
    log = logged(game, 960, 0, noise=0.0) | {"state_names": ["a", "b", "c", "d"]}
    variants: dict[str, dict[str, Any]] = {
        "deterministic": {"deterministic_rewards": True},
        "known": {"rewards": None, "reward_range": None, "known_rewards": game.rewards},
        "starts": {"initial": None, "initial_states": [0, 1, 2, 3, 3]},
        "steps": {"steps": np.arange(960) // 16 % HORIZON, "unvisited": "stay"},
    }
    estimated = estimate(**(log | variants.get(kind, {})))
    estimated.save(tmp_path / "estimate.npz")
    back = mo.load_estimated_game(tmp_path / "estimate.npz")
    assert repr(back) == repr(estimated)
    policy = mo.CorrelatedPolicy.uniform(game)
    one, other = (mo.estimated_regret(e, policy) for e in (estimated, back))
    assert (one.value, one.lower, one.upper) == (other.value, other.lower, other.upper)
    assert back.shape.state_names == ("a", "b", "c", "d")
    with pytest.raises(errors.MalformedFile, match=r"format is 'mailopt\.estimated_game', expected 'mailopt\.game'"):
        mo.load_game(tmp_path / "estimate.npz")
    game.save(tmp_path / "game.npz")
    with pytest.raises(errors.MalformedFile, match=r"expected 'mailopt\.estimated_game'"):
        mo.load_estimated_game(tmp_path / "game.npz")
    with pytest.raises(errors.InvalidOption, match="npz files only"):
        estimated.save(tmp_path / "estimate.json")


def written(estimated: mo.EstimatedGame, path: Path, **changes: Any) -> Path:
    """Write a file of an estimated game with other arrays in it."""
    estimated.save(path)
    with np.load(path) as found:
        arrays = {key: found[key] for key in found.files if key not in ("format", "version")}
    storage.write_npz(path, "mailopt.estimated_game", 1, arrays | changes)
    return path


@pytest.mark.parametrize(
    "changes",
    [
        {"counts_0_data": np.zeros(58, dtype=np.int64)},
        {"counts_0_data": np.full(58, 5.5)},
        {"counts_0_indices": np.full(58, -1)},
        {"counts_0_indices": np.zeros(58, dtype=np.int64)},
        {"counts_0_indptr": np.zeros(17, dtype=np.int64)},
        {"num_counts": np.int64(2)},
        {"num_transitions": np.int64(321)},
        {"num_starts": np.int64(3)},
        {"reward_means": np.zeros((1, 2, 4, 3))},
        {"reward_means": np.full((1, 2, 4, 4), np.nan)},
        {"reward_means": np.full((1, 2, 4, 4), 7.0)},
        {"reward_range": np.array([0.0])},
        {"reward_range": np.array([1.0, 0.0])},
        {"rewards": np.array("known")},
        {"rewards": np.array("guessed")},
        {"confidence": np.array(1.0)},
        {"unvisited": np.array("guess")},
        {"surplus": np.zeros(1)},
    ],
    ids=str,
)
def test_files_that_make_no_sense(changes: dict[str, Any], tmp_path: Path) -> None:
    log = logged(true_game(), 320, 0) | {"initial": None, "initial_states": [0, 1, 2, 3, 3]}
    estimated = estimate(**log)
    stored = estimated.counts[0].nnz
    fitted = {
        key: np.resize(value, stored) if key in ("counts_0_data", "counts_0_indices") else value
        for key, value in changes.items()
    }
    path = tmp_path / "estimate.npz"
    assert repr(mo.load_estimated_game(written(estimated, path))) == repr(estimated)
    with pytest.raises(errors.MalformedFile, match=r"estimate\.npz"):
        mo.load_estimated_game(written(estimated, path, **fitted))


def test_exact_numbers_are_kept() -> None:
    quarters = [Fraction(1, 3), Fraction(1, 6), Fraction(1, 4), Fraction(1, 4)]
    log = logged(true_game(), 320, 0) | {"horizon": None, "discount": Fraction(1, 3), "initial": quarters}
    point = estimate(**log).point_estimate()
    assert point.exact_discount == Fraction(1, 3)
    assert point.exact_initial[0,] == Fraction(1, 3)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"states": [0.5] * 160}, errors.GameShape, "states have shape .* dtype float64"),
        ({"states": [9] * 160}, errors.GameNumber, "row 0 of states is 9; expected an integer from 0 to 3"),
        ({"next_states": [0] * 3}, errors.GameShape, r"next_states have shape \(3,\)"),
        ({"next_states": [0] * 159 + [-1]}, errors.GameNumber, "row 159 of next_states is -1.*leave out rows"),
        ({"joint_actions": [4] * 160}, errors.GameNumber, "row 0 of joint_actions is 4"),
        ({"joint_actions": [[0, 2]] * 160}, errors.GameNumber, "row 0 of actions of agent 1 is 2"),
        ({"rewards": [0.5] * 160}, errors.GameShape, r"rewards have shape \(160,\)"),
        (
            {"rewards": [[0.5, 2.0]] * 160},
            errors.GameNumber,
            r"row 0 of the log: the reward of agent 1 is 2\.0, outside",
        ),
        ({"rewards": [[0.5, np.nan]] * 160}, errors.GameNumber, "row 0, agent 1: nan must be finite"),
        ({"rewards": None}, errors.InvalidOption, "reward_range"),
        ({"reward_range": None}, errors.InvalidOption, "reward_range"),
        ({"reward_range": (1, 0)}, errors.InvalidOption, "lower first"),
        ({"known_rewards": np.zeros((2, 4, 4))}, errors.InvalidOption, "known_rewards are given"),
        ({"deterministic_rewards": True}, errors.InvalidGame, "leave deterministic_rewards out"),
        ({"initial": None}, errors.InvalidOption, "initial_states"),
        ({"initial_states": [0]}, errors.InvalidOption, "either initial"),
        ({"initial": [0.5, 0.2, 0.2, 0.2]}, errors.GameDistribution, "initial distribution"),
        ({"initial": None, "initial_states": []}, errors.GameShape, "initial_states"),
        ({"confidence": 1.0}, errors.InvalidOption, "confidence is 1.0"),
        ({"unvisited": "uniform"}, errors.InvalidOption, "unvisited is 'uniform'"),
        ({"steps": [3] * 160}, errors.GameNumber, "row 0 of steps is 3"),
        ({"discount": 0.5}, errors.InvalidHorizon, "."),
        ({"horizon": None, "discount": 0.5, "steps": [0] * 160}, errors.InvalidHorizon, "nothing depends on the step"),
        (
            {"legal": [[[True, False]] * 4, None]},
            errors.InvalidGame,
            r"row 2 of the log: joint action \(1, 0\) is illegal",
        ),
        ({"num_states": 0}, errors.GameShape, "num_states is 0"),
        ({"states": [[0], [1, 2]]}, errors.GameShape, "states is ragged"),
        ({"joint_actions": [[0], [1, 2]]}, errors.GameShape, "joint_actions is ragged"),
        ({"actions": ("a", "b")}, errors.GameShape, "actions are"),
        ({"initial": "abcd"}, errors.GameNumber, "initial distribution"),
        ({"rewards": [["a", "b"]] * 160}, errors.GameNumber, "rewards of the log"),
        ({"reward_range": 3}, errors.InvalidOption, "reward_range is 3"),
        ({"reward_range": (0, np.inf)}, errors.GameNumber, "reward_range, end 1"),
    ],
)
def test_logs_that_make_no_sense(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        estimate(**(logged(true_game(), 160, 0) | changes))
