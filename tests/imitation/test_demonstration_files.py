"""Files of demonstrations: round trips, files by hand, and files that were tampered with."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mailopt as mo
from mailopt.errors import (
    DemonstrationNumber,
    DemonstrationShape,
    EmptyDemonstrations,
    GameTooLarge,
    IllegalDemonstration,
    ImpossibleTransition,
    InvalidDemonstrations,
    InvalidFile,
    MalformedFile,
    UnsupportedVersion,
)
from mailopt.imitation.demonstration_files import load_demonstrations
from mailopt.imitation.demonstrations import Demonstrations
from tests.imitation.test_demonstrations import GOOD_ACTIONS, GOOD_STATES, assert_same, sampled, small_game
from tests.random_games import random_case

SUFFIXES = [".json", ".npz"]
FORMAT = {"format": "mailopt.demonstrations", "version": 1}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("seed", range(8))
def test_episodes_come_back_as_they_were(tmp_path: Path, suffix: str, seed: int) -> None:
    game, shown = sampled(seed, episodes=7)
    assert shown.trajectories is not None
    weights = np.random.default_rng(seed).random(7)
    states, joint = shown.trajectories.states, shown.trajectories.joint_actions
    for case in (shown, Demonstrations(game, states, joint, weights=weights)):
        path = tmp_path / f"shown{suffix}"
        case.save(path, game)
        loaded = load_demonstrations(path, game)
        assert_same(loaded, case)
        assert loaded.trajectories is not None
        assert case.trajectories is not None
        for name in ("states", "joint_actions", "weights"):
            np.testing.assert_array_equal(getattr(loaded.trajectories, name), getattr(case.trajectories, name))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("seed", range(8))
def test_counts_come_back_as_they_were(tmp_path: Path, suffix: str, seed: int) -> None:
    case = random_case(seed)
    game, generator = case.game, np.random.default_rng(seed)
    stages = game.horizon or 3
    counts = generator.random((stages, *game.joint_legal.shape)) * game.joint_legal
    shapes = [counts] if game.horizon is not None else [counts, counts[0]]
    for given in shapes:
        shown = Demonstrations.from_counts(game, given)
        path = tmp_path / f"shown{suffix}"
        shown.save(path, game)
        loaded = load_demonstrations(path, game)
        assert_same(loaded, shown)
        np.testing.assert_array_equal(loaded.counts, given)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("seed", range(8))
def test_an_exact_expert_is_saved_as_counts(tmp_path: Path, suffix: str, seed: int) -> None:
    case = random_case(seed)
    shown = Demonstrations.from_policy(case.game, case.policy)
    path = tmp_path / f"shown{suffix}"
    shown.save(path, case.game)
    loaded = load_demonstrations(path, case.game)
    np.testing.assert_allclose(loaded.occupancy, shown.occupancy, rtol=1e-9, atol=1e-300)
    np.testing.assert_allclose(loaded.rows, shown.rows, atol=1e-9)
    assert loaded.expert is None


def test_saving_checks_the_game_and_the_suffix(tmp_path: Path) -> None:
    game = small_game()
    shown = Demonstrations(game, GOOD_STATES, GOOD_ACTIONS)
    with pytest.raises(DemonstrationShape):
        shown.save(tmp_path / "shown.json", mo.scenarios.chicken())
    with pytest.raises(MalformedFile, match="suffix must be"):
        shown.save(tmp_path / "shown.csv", game)
    assert list(tmp_path.iterdir()) == []


def named_game() -> mo.MarkovGame:
    return mo.MarkovGame(
        [[1, 0], [1, 1]],
        np.zeros((2, 2, 2)),
        [1.0, 0.0],
        (2, 1),
        horizon=2,
        state_names=["start", "end"],
        action_names=[["go", "stay"], ["watch"]],
    )


def loaded_json(tmp_path: Path, game: mo.MarkovGame, fields: dict[str, Any]) -> Demonstrations:
    path = tmp_path / "shown.json"
    path.write_text(json.dumps(FORMAT | fields))
    return load_demonstrations(path, game)


def test_json_by_hand(tmp_path: Path) -> None:
    game = named_game()
    episodes = [
        [["start", ["stay", 0]], [0, ["go", "watch"]]],
        [[0, [0, 0]], ["end", [1, "watch"]]],
    ]
    shown = loaded_json(tmp_path, game, {"episodes": episodes, "weights": ["1/4", 0.75]})
    assert shown.occupancy.tolist() == [[[0.75, 0.25], [0, 0]], [[0.25, 0], [0, 0.75]]]
    counts = [["start", ["go", 0], 3, 0], [0, [1, 0], "1", 0], [0, [0, 0], 1, 1], ["end", [1, 0], 3.0, 1]]
    assert loaded_json(tmp_path, game, {"counts": counts}).occupancy.tolist() == shown.occupancy.tolist()


def discounted_game() -> mo.MarkovGame:
    return mo.MarkovGame([[1, 0], [1, 1]], np.zeros((2, 2, 2)), [1.0, 0.0], (2, 1), discount=0.5)


def test_discounted_json_by_hand(tmp_path: Path) -> None:
    game = discounted_game()
    once = loaded_json(tmp_path, game, {"counts": [[0, [0, 0], 1], [1, [1, 0], 3]]})
    assert once.occupancy.tolist() == [[[0.25, 0], [0, 0.75]]]
    twice = loaded_json(tmp_path, game, {"counts": [[0, [0, 0], 1, 0], [1, [1, 0], 3, 2]]})
    assert twice.occupancy.tolist() == [[[0.25, 0], [0, 0]], [[0, 0], [0, 0]], [[0, 0], [0, 0.75]]]
    path = loaded_json(tmp_path, game, {"episodes": [[[0, [0, 0]], [1, [1, 0]], [1, [0, 0]]]]})
    assert path.occupancy.tolist() == [[[4 / 7, 0], [1 / 7, 2 / 7]]]


STEP = [0, [1, 0]]

MUTANTS = [
    pytest.param({"episodes": []}, EmptyDemonstrations, "episodes: there are none", id="none"),
    pytest.param({"episodes": [[]]}, DemonstrationShape, "episode 0 has 0 steps", id="no-step"),
    pytest.param({"episodes": [[STEP, STEP], [STEP]]}, DemonstrationShape, "episode 1 has 1 steps", id="short"),
    pytest.param({"episodes": [[STEP] * 3]}, DemonstrationShape, "the game's horizon is 2", id="long"),
    pytest.param(
        {"episodes": [[STEP, [0]]]}, MalformedFile, "episode 0, entry 1: expected a list of 2", id="no-action"
    ),
    pytest.param({"episodes": [STEP]}, MalformedFile, "episode 0, entry 0", id="bare-episode"),
    pytest.param({"episodes": {"0": []}}, MalformedFile, "episodes: expected a list", id="object"),
    pytest.param({"episodes": [[STEP, 7]]}, MalformedFile, "episode 0, entry 1", id="number-for-a-step"),
    pytest.param({"episodes": [[STEP, ["away", [0, 0]]]]}, MalformedFile, "step 1: state is 'away'", id="name"),
    pytest.param({"episodes": [[STEP, [2, [0, 0]]]]}, MalformedFile, "state is 2, out of range 0 to 1", id="state"),
    pytest.param({"episodes": [[STEP, [0, [0, 1]]]]}, MalformedFile, "step 1: action of agent 1 is 1", id="action"),
    pytest.param({"episodes": [[STEP, [0, [0]]]]}, MalformedFile, "step 1: .* one action per agent", id="agents"),
    pytest.param({"episodes": [[STEP, [True, [0, 0]]]]}, MalformedFile, "state is True", id="boolean"),
    pytest.param({"episodes": [[STEP, [0.0, [0, 0]]]]}, MalformedFile, "state is 0.0", id="float"),
    pytest.param(
        {"episodes": [[STEP, [1, [0, 0]]]]}, ImpossibleTransition, "episode 0, step 0: from state 0", id="jump"
    ),
    pytest.param({"episodes": [[[1, [0, 0]]] * 2]}, ImpossibleTransition, "starts in state 1", id="start"),
    pytest.param({"weights": [1, 2]}, DemonstrationShape, "each of 1 episodes", id="weights"),
    pytest.param({"weights": [-1]}, DemonstrationNumber, "episode 0: -1.0 is negative", id="negative"),
    pytest.param({"weights": [0]}, EmptyDemonstrations, "weight 0", id="weightless"),
    pytest.param({"weights": ["one"]}, MalformedFile, "weights: expected a number", id="word"),
    pytest.param({"weights": [True]}, MalformedFile, "weights: expected a number", id="true"),
    pytest.param({"weights": 1}, MalformedFile, "weights: expected a list", id="scalar"),
    pytest.param({"episodes": ...}, MalformedFile, "field 'counts' is missing", id="nothing"),
    pytest.param({"counts": []}, MalformedFile, "unknown field 'counts'", id="both"),
    pytest.param({"more": 1}, MalformedFile, "unknown field 'more'", id="unknown"),
    pytest.param({"version": 2}, UnsupportedVersion, "version 2 is not supported", id="version"),
    pytest.param({"version": True}, MalformedFile, "version is True", id="version-true"),
    pytest.param({"format": "mailopt.policy"}, MalformedFile, "format is 'mailopt.policy'", id="format"),
]
COUNT = [0, [0, 0], 1, 0]
COUNT_MUTANTS = [
    pytest.param([], EmptyDemonstrations, "counts: there are none", id="none"),
    pytest.param([COUNT], EmptyDemonstrations, "step 1 has none", id="step-without"),
    pytest.param(
        [COUNT, [0, [0, 0], 1]], MalformedFile, "entry 1: there is no step; the game's horizon is 2", id="no-step"
    ),
    pytest.param([COUNT, [0, [0, 0], 1, 2]], MalformedFile, "entry 1: step is 2, out of range 0 to 1", id="late"),
    pytest.param([COUNT, [0, [0, 0], 1, -1]], MalformedFile, "entry 1: step is -1", id="early"),
    pytest.param([COUNT, COUNT], MalformedFile, "entry 1: this entry is given twice", id="twice"),
    pytest.param([COUNT, [0, [0, 0], "x", 1]], MalformedFile, "entry 1: expected a number", id="word"),
    pytest.param(
        [COUNT, [0, [0, 0], -1, 1]], DemonstrationNumber, "step 1, state 0, joint action 0: -1.0", id="negative"
    ),
    pytest.param([COUNT, [0, [0, 0]]], MalformedFile, "entry 1: expected a list of 3 or 4", id="short"),
    pytest.param([COUNT, 3], MalformedFile, "entry 1: expected a list", id="number"),
]


@pytest.mark.parametrize(("changes", "error", "message"), MUTANTS)
def test_mutated_episodes(tmp_path: Path, changes: dict[str, Any], error: type[Exception], message: str) -> None:
    good = {"episodes": [[STEP, STEP]], "weights": [2]}
    loaded_json(tmp_path, named_game(), good)
    fields = {key: value for key, value in (copy.deepcopy(good) | changes).items() if value is not ...}
    with pytest.raises(error, match=message) as caught:
        loaded_json(tmp_path, named_game(), fields)
    assert str(caught.value).startswith(str(tmp_path / "shown.json"))


@pytest.mark.parametrize(("counts", "error", "message"), COUNT_MUTANTS)
def test_mutated_counts(tmp_path: Path, counts: Any, error: type[Exception], message: str) -> None:
    loaded_json(tmp_path, named_game(), {"counts": [COUNT, [0, [0, 0], 1, 1]]})
    with pytest.raises(error, match=message):
        loaded_json(tmp_path, named_game(), {"counts": counts})


def test_mutated_discounted_files(tmp_path: Path) -> None:
    game = discounted_game()
    for fields, error, message in (
        ({"counts": [[0, [0, 0], 1], [0, [0, 0], 1, 0]]}, MalformedFile, "some entries have a step and some have none"),
        ({"counts": [[0, [0, 0], 1, 10**12]]}, GameTooLarge, "exceeds the limit"),
        ({"counts": [[0, [0, 0], 0]]}, EmptyDemonstrations, "all are 0"),
        ({"episodes": [[STEP, STEP], [STEP]]}, DemonstrationShape, "episode 1 has 1 steps, the first has 2"),
        ({"episodes": [[]]}, EmptyDemonstrations, "none with a step"),
    ):
        with pytest.raises(error, match=message):
            loaded_json(tmp_path, game, fields)


def test_a_count_without_a_step_needs_no_step_where_there_is_one_only(tmp_path: Path) -> None:
    chicken = mo.scenarios.chicken()
    for entry in ([0, [0, 1], 2], [0, [0, 1], 2, 0]):
        assert loaded_json(tmp_path, chicken, {"counts": [entry]}).occupancy.tolist() == [[[0, 1, 0, 0]]]


def test_doubled_fields_and_bad_numbers(tmp_path: Path) -> None:
    path = tmp_path / "shown.json"
    for text, message in (
        ('{"format": "mailopt.demonstrations", "version": 1, "counts": [], "counts": []}', "given twice"),
        ('{"format": "mailopt.demonstrations", "version": 1, "counts": [[0, [0, 0], NaN]]}', "NaN is not a number"),
        ('{"format": "mailopt.demonstrations", "version": 1, "counts": [[0, [0, 0], 1', "truncated"),
        ("[]", "expected a JSON object"),
    ):
        path.write_text(text)
        with pytest.raises(MalformedFile, match=message):
            load_demonstrations(path, named_game())
    path.write_text('{"format": "mailopt.demonstrations", "version": 1, "counts": [[0, [0, 0], 1e999]]}')
    with pytest.raises(DemonstrationNumber, match="inf must be finite"):
        load_demonstrations(path, mo.scenarios.chicken())
    with pytest.raises(FileNotFoundError):
        load_demonstrations(tmp_path / "absent.json", named_game())


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        pytest.param({"states": None}, MalformedFile, "array 'states' is missing", id="no-states"),
        pytest.param({"joint_actions": None}, MalformedFile, "array 'joint_actions' is missing", id="no-actions"),
        pytest.param({"states": np.zeros((1, 2))}, MalformedFile, "array 'states' has dtype float64", id="floats"),
        pytest.param({"states": np.zeros(2, dtype=int)}, MalformedFile, "'states' has dtype", id="flat"),
        pytest.param({"joint_actions": np.zeros((1, 2, 2), dtype=int)}, MalformedFile, "'joint_actions'", id="split"),
        pytest.param({"weights": np.ones((1, 1))}, MalformedFile, "'weights'", id="weights"),
        pytest.param({"weights": np.ones(2)}, DemonstrationShape, "each of 1 episodes", id="more-weights"),
        pytest.param({"weights": np.array([np.nan])}, DemonstrationNumber, "nan must be finite", id="nan"),
        pytest.param({"states": np.array([[0, 9]])}, DemonstrationShape, "step 1: there is no state 9", id="state"),
        pytest.param({"joint_actions": np.array([[1, 5]])}, IllegalDemonstration, "no joint action 5", id="action"),
        pytest.param({"counts": np.ones((2, 2, 2))}, MalformedFile, "unknown array", id="both"),
        pytest.param({"more": np.ones(2)}, MalformedFile, "unknown array 'more'", id="unknown"),
        pytest.param({"version": np.int64(2)}, UnsupportedVersion, "version 2", id="version"),
    ],
)
def test_mutated_archives(tmp_path: Path, changes: dict[str, Any], error: type[Exception], message: str) -> None:
    good: dict[str, Any] = {
        "format": np.array(FORMAT["format"]),
        "version": np.int64(1),
        "states": np.array([[0, 0]]),
        "joint_actions": np.array([[1, 1]]),
    }
    path = tmp_path / "shown.npz"
    np.savez(path, **good)
    assert load_demonstrations(path, named_game()).episodes == 1
    np.savez(path, **{key: value for key, value in (good | changes).items() if value is not None})
    with pytest.raises(error, match=message):
        load_demonstrations(path, named_game())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_damaged_files_are_refused_or_harmless(tmp_path: Path, suffix: str) -> None:
    """A byte changed or cut off is a typed error, or a file that still makes sense."""
    game, shown = sampled(3, episodes=3)
    path = tmp_path / f"shown{suffix}"
    shown.save(path, game)
    content, generator = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for _ in range(150):
        position = int(generator.integers(len(content)))
        damaged = bytearray(content)
        damaged[position] ^= 1 << int(generator.integers(8))
        path.write_bytes(bytes(damaged) if generator.random() < 0.7 else content[:position])
        try:
            load_demonstrations(path, game).check(game)
        except (InvalidFile, InvalidDemonstrations):
            refused += 1
    assert refused >= 100
