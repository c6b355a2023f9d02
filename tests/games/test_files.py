"""Game and policy files: round trips, atomic writing, and rejection of everything that is not what it should be."""

from __future__ import annotations

import contextlib
import copy
import io
import itertools
import json
import os
import signal
import stat
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import sparse

import mailopt as mo
from mailopt.errors import (
    GameDistribution,
    GameNumber,
    GameShape,
    GameTooLarge,
    IllegalAction,
    InvalidFile,
    InvalidGame,
    InvalidHorizon,
    InvalidPolicy,
    MailoptError,
    MalformedFile,
    MissingTransition,
    PolicyDistribution,
    PolicyNumber,
    PolicyShape,
    UnsupportedVersion,
)

Array = npt.NDArray[Any]
SUFFIXES = [".json", ".npz"]
THIRD = Fraction(1, 3)


# Games and policies of every layout


def distributions(generator: np.random.Generator, *shape: int) -> Array:
    return generator.dirichlet(np.ones(shape[-1]), size=shape[:-1])


def make(transitions: Any, *, states: int = 3, actions: tuple[int, ...] = (2, 2), **changes: Any) -> mo.MarkovGame:
    generator = np.random.default_rng(7)
    shape = (len(actions), states, int(np.prod(actions)))
    arguments: dict[str, Any] = {
        "rewards": generator.normal(size=shape),
        "initial": distributions(generator, states),
        "actions": actions,
    }
    if "discount" not in changes:
        arguments["horizon"] = 3
    return mo.MarkovGame(transitions, **arguments | changes)


def dense(seed: int = 0) -> Array:
    return distributions(np.random.default_rng(seed), 3, 4, 3)


def spread(seed: int = 0, states: int = 12) -> sparse.csr_array:
    """Two successors in each row."""
    generator = np.random.default_rng(seed)
    rows = np.zeros((states * 4, states))
    for row in rows:
        row[generator.choice(states, size=2, replace=False)] = [0.1, 0.9]
    return sparse.csr_array(rows)


def successors(seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, 3, size=(3, 4))


def exact_rows() -> Array:
    rows: Array = np.empty((3, 4, 3), dtype=object)
    rows[...] = [THIRD, Fraction(1, 7), 1 - THIRD - Fraction(1, 7)]
    rows[0, 0] = [0.25, 0, 0.75]
    return rows


def exact_sparse() -> mo.SparseKernel:
    rows = np.zeros((12 * 4, 12))
    rows[:, 0], rows[:, 5] = 1 / 3, 2 / 3
    exact = {(s, a, 5 * k): Fraction(1 + k, 3) for s in range(12) for a in range(4) for k in range(2)}
    return mo.SparseKernel(sparse.csr_array(rows), exact=exact)


def partly_legal() -> mo.MarkovGame:
    legal = [np.array([[True, False], [True, True], [False, True]]), None]
    rows = dense()
    rows[0, 2:], rows[2, :2] = 0.0, 0.0
    return make(rows, legal=legal)


def partly_legal_deterministic() -> mo.MarkovGame:
    table = successors()
    table[0, 2:] = -1
    return make(table, legal=[np.array([[True, False], [True, True], [True, True]]), None])


GAMES: dict[str, Callable[[], mo.MarkovGame]] = {
    "dense": lambda: make(dense()),
    "sparse": lambda: make(spread(), states=12),
    "deterministic": lambda: make(successors()),
    "dense-per-step": lambda: make([dense(k) for k in range(3)]),
    "sparse-per-step": lambda: make([spread(k) for k in range(3)], states=12),
    "deterministic-per-step": lambda: make([successors(k) for k in range(3)]),
    "mixed-per-step": lambda: make([dense(), successors(), sparse.csr_array(dense(1).reshape(-1, 3))]),
    "rewards-per-step": lambda: make(dense(), rewards=np.random.default_rng(1).normal(size=(3, 2, 3, 4))),
    "no-rewards": lambda: make(dense(), rewards=np.zeros((2, 3, 4))),
    "discounted": lambda: make(dense(), discount=0.875),
    "discounted-exact": lambda: make(exact_rows(), discount=Fraction(9, 10)),
    "discounted-zero": lambda: make(successors(), discount=0),
    "legal": partly_legal,
    "legal-with-all-transitions": lambda: make(dense(), legal=[np.array([[True, False]] * 3), None]),
    "legal-deterministic": partly_legal_deterministic,
    "names": lambda: make(
        dense(),
        state_names=["start", "État 2", "1"],
        agent_names=["α", "b c"],
        action_names=[["", '\u0001"\\'], ["1", "0"]],
    ),
    "exact-dense": lambda: make(exact_rows(), initial=[THIRD, THIRD, THIRD]),
    "exact-sparse": lambda: make(exact_sparse(), states=12),
    "exact-per-step": lambda: make([exact_rows(), dense(), successors()]),
    "exact-rewards": lambda: make(
        successors(), rewards=np.array([2**60 + 1, -THIRD, 0.1] * 8, dtype=object).reshape(2, 3, 4)
    ),
    "exact-rewards-per-step": lambda: make(
        successors(), rewards=np.array([-(2**60) - 1, THIRD, 0] * 24, dtype=object).reshape(3, 2, 3, 4)
    ),
    "integers": lambda: make(successors(), rewards=np.full((2, 3, 4), 2**60 + 1, dtype=np.int64)),
    "huge-and-small": lambda: make(
        successors(), rewards=np.array([1e300, -5e-324, 2.0**-1000, 0.0, -0.0, 2**53] * 4).reshape(2, 3, 4)
    ),
    "off-by-1e-10": lambda: make(dense() * (1 + 1e-10), initial=[0.5, 0.25 + 1e-10, 0.25]),
    "tiny-probability": lambda: make(np.tile([1.0, 5e-324, 0.0], (3, 4, 1))),
    "one-agent": lambda: make(dense(), actions=(4,)),
    "three-agents": lambda: make(dense(), actions=(2, 1, 2)),
    "normal-form": mo.scenarios.chicken,
    "horizon-1-listed": lambda: make([dense()], horizon=1, rewards=np.ones((1, 2, 3, 4))),
}


@pytest.fixture(params=GAMES, name="game")
def _game(request: pytest.FixtureRequest) -> mo.MarkovGame:
    return GAMES[request.param]()


def assert_same_game(loaded: mo.MarkovGame, game: mo.MarkovGame) -> None:
    """Everything but the choice of layout is equal."""
    for name in (
        "actions",
        "horizon",
        "discount",
        "exact_discount",
        "state_names",
        "agent_names",
        "action_names",
        "exact_rewards",
        "exact_initial",
    ):
        assert getattr(loaded, name) == getattr(game, name), name
    np.testing.assert_array_equal(loaded.initial, game.initial)
    np.testing.assert_array_equal(loaded.initial_distribution, game.initial_distribution)
    np.testing.assert_array_equal(loaded.rewards, game.rewards)
    assert len(loaded.legal) == len(game.legal)
    for ours, theirs in zip(loaded.legal, game.legal, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert len(loaded.kernels) == len(game.kernels)
    for mine, other in zip(loaded.kernels, game.kernels, strict=True):
        np.testing.assert_array_equal(mine.stored_rows().toarray(), other.stored_rows().toarray())
        assert dict(mine.exact) == dict(other.exact)


def same_layout(loaded: mo.MarkovGame, game: mo.MarkovGame) -> bool:
    return [type(k) for k in loaded.kernels] == [type(k) for k in game.kernels]


def policies(game: mo.MarkovGame) -> dict[str, mo.CorrelatedPolicy]:
    """Stationary, per-step and exact policies of a game."""
    generator = np.random.default_rng(3)
    steps = 3 if game.horizon is None else game.horizon
    rows = generator.random((steps, *game.joint_legal.shape)) * game.joint_legal
    rows /= rows.sum(axis=-1, keepdims=True)
    uniform = np.array([[Fraction(int(k), int(row.sum())) for k in row] for row in game.joint_legal], dtype=object)
    return {
        "stationary": mo.CorrelatedPolicy(rows[0]),
        "per-step": mo.CorrelatedPolicy(rows),
        "exact": mo.CorrelatedPolicy(uniform),
        "exact-per-step": mo.CorrelatedPolicy(np.tile(uniform, (steps, 1, 1))),
        "off-by-1e-10": mo.CorrelatedPolicy(rows * (1 + 1e-10)),
    }


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_round_trip_of_a_game(game: mo.MarkovGame, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"game{suffix}"
    game.save(path)
    loaded = mo.load_game(path)
    assert_same_game(loaded, game)
    if suffix == ".npz":
        assert same_layout(loaded, game)
    again = tmp_path / f"again{suffix}"
    loaded.save(again)
    if suffix == ".json":
        assert again.read_bytes() == path.read_bytes()
    assert_same_game(mo.load_game(str(again)), game)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_round_trip_of_policies(game: mo.MarkovGame, suffix: str, tmp_path: Path) -> None:
    for name, policy in policies(game).items():
        path = tmp_path / f"{name}{suffix}"
        policy.save(path, game)
        loaded = mo.load_policy(path, game)
        np.testing.assert_array_equal(loaded.probabilities, policy.probabilities, err_msg=name)
        assert dict(loaded.exact) == dict(policy.exact), name


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_regret_of_what_was_loaded_is_bit_identical(game: mo.MarkovGame, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"game{suffix}"
    game.save(path)
    loaded = mo.load_game(path)
    for name, policy in policies(game).items():
        policy.save(tmp_path / f"{name}{suffix}", game)
        ours = mo.regret(loaded, mo.load_policy(tmp_path / f"{name}{suffix}", loaded))
        theirs = mo.regret(game, policy)
        if same_layout(loaded, game):
            assert ours.per_agent.tobytes() == theirs.per_agent.tobytes(), name
        else:
            scale = 1 + float(np.abs(game.rewards).max())
            np.testing.assert_allclose(ours.per_agent, theirs.per_agent, rtol=0, atol=1e-12 * scale, err_msg=name)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_zero_rewards_per_step(suffix: str, tmp_path: Path) -> None:
    game = make(dense(), rewards=np.zeros((3, 2, 3, 4)))
    game.save(tmp_path / f"game{suffix}")
    loaded = mo.load_game(tmp_path / f"game{suffix}")
    for step in range(3):
        np.testing.assert_array_equal(loaded.reward(step), game.reward(step))


def test_json_chooses_the_natural_layout(tmp_path: Path) -> None:
    for name, kind in (
        ("dense", mo.DenseKernel),
        ("sparse", mo.SparseKernel),
        ("deterministic", mo.DeterministicKernel),
    ):
        GAMES[name]().save(tmp_path / "game.json")
        assert type(mo.load_game(tmp_path / "game.json").kernels[0]) is kind


@pytest.mark.parametrize("suffix", [".JSON", ".Npz"])
def test_suffix_in_capitals(suffix: str, tmp_path: Path) -> None:
    GAMES["dense"]().save(tmp_path / f"game{suffix}")
    assert_same_game(mo.load_game(tmp_path / f"game{suffix}"), GAMES["dense"]())


@pytest.mark.parametrize("suffix", ["", ".txt", ".npy", ".json.gz", ".jso"])
def test_other_suffix(suffix: str, tmp_path: Path) -> None:
    game = mo.scenarios.chicken()
    path = tmp_path / f"game{suffix}"
    for call in (
        lambda: game.save(path),
        lambda: mo.load_game(path),
        lambda: mo.CorrelatedPolicy.uniform(game).save(path, game),
        lambda: mo.load_policy(path, game),
    ):
        with pytest.raises(InvalidFile, match=r"\.json or \.npz"):
            call()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_missing_file_is_an_os_error(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        mo.load_game(tmp_path / f"none{suffix}")
    with pytest.raises(FileNotFoundError):
        mo.scenarios.chicken().save(tmp_path / "none" / f"game{suffix}")


@pytest.mark.parametrize("digits", [3900, 4100, 4290, 5000])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_rational_with_thousands_of_digits(suffix: str, digits: int, tmp_path: Path) -> None:
    """It is kept, or refused with a word when it is saved; never saved and then unreadable."""
    big = 10**digits
    game = mo.MarkovGame.from_normal_form([[Fraction(big, 2 * big + 1), 0]])
    path = tmp_path / f"game{suffix}"
    try:
        game.save(path)
    except MailoptError:
        assert not list(tmp_path.iterdir())
        return
    assert_same_game(mo.load_game(path), game)


def test_names_that_end_in_nul() -> None:
    """NPZ cannot hold them, so no game has them."""
    with pytest.raises(GameShape, match="NUL"):
        make(dense(), state_names=["a", "a\0", "b"])


# Writing is atomic


@contextlib.contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Let every write beyond a size fail, as on a full disk."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("old", [None, b"old"], ids=["new", "replacing"])
@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("what", ["game", "policy"])
def test_full_disk_leaves_what_was_there(what: str, suffix: str, old: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / f"file{suffix}"
    if old is not None:
        path.write_bytes(old)
    game = GAMES["dense"]()
    with file_size_limit(100), pytest.raises(OSError, match="large"):
        game.save(path) if what == "game" else mo.CorrelatedPolicy.uniform(game).save(path, game)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == ({path.name: old} if old else {})


@pytest.mark.parametrize("function", ["replace", "chmod"])
@pytest.mark.parametrize("error", [OSError("no"), KeyboardInterrupt()], ids=["error", "interrupt"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_failure_at_any_stage_leaves_what_was_there(
    function: str, error: BaseException, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"game{suffix}"
    path.write_bytes(b"old")

    def fail(*_: object, **__: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(os, function, fail)
        with pytest.raises(type(error)):
            GAMES["dense"]().save(path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {path.name: b"old"}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_policy_that_does_not_fit_is_not_written(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"policy{suffix}"
    path.write_bytes(b"old")
    game = partly_legal()
    for policy, error in (
        (mo.CorrelatedPolicy(np.full((3, 4), 0.25)), IllegalAction),
        (mo.CorrelatedPolicy([[1.0]]), PolicyShape),
    ):
        with pytest.raises(error):
            policy.save(path, game)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {path.name: b"old"}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_file_is_replaced_and_has_ordinary_permissions(suffix: str, tmp_path: Path) -> None:
    path, plain = tmp_path / f"game{suffix}", tmp_path / "plain"
    plain.write_bytes(b"")
    mo.scenarios.chicken().save(path)
    GAMES["dense"]().save(path)
    assert_same_game(mo.load_game(path), GAMES["dense"]())
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
    assert {p.name for p in tmp_path.iterdir()} == {path.name, plain.name}


# JSON by hand

DOCUMENT: dict[str, Any] = {
    "format": "mailopt.game",
    "version": 1,
    "actions": [2, 1],
    "states": 2,
    "horizon": 2,
    "initial": [[0, 1]],
    "transitions": [
        [0, [0, 0], 1, 1],
        [0, [1, 0], 0, "1/3"],
        [0, [1, 0], 1, "2/3"],
        [1, [0, 0], 1, 1.0],
        [1, [1, 0], 1, 1],
    ],
    "rewards": [[0, [1, 0], [1, -2]]],
}
NAMES = {"state_names": ["s", "t"], "agent_names": ["u", "v"], "action_names": [["x", "y"], ["z"]]}
STEPS = [[*entry, step] for step in (0, 1) for entry in DOCUMENT["transitions"]]
DISCOUNTED = {"horizon": ..., "discount": "9/10"}


def document(**changes: Any) -> dict[str, Any]:
    """The document with fields replaced, or left out where the change is ``...``."""
    fields = copy.deepcopy(DOCUMENT) | changes
    return {key: value for key, value in fields.items() if value is not ...}


def write(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def load(tmp_path: Path, content: Any) -> mo.MarkovGame:
    return mo.load_game(write(tmp_path / "game.json", content))


def load_rows(
    tmp_path: Path, rows: Any, game: mo.MarkovGame, changes: Mapping[str, Any] = MappingProxyType({})
) -> mo.CorrelatedPolicy:
    content = {"format": "mailopt.policy", "version": 1, "rows": rows, **changes}
    return mo.load_policy(write(tmp_path / "policy.json", content), game)


def test_game_by_hand(tmp_path: Path) -> None:
    game = load(tmp_path, document())
    assert (game.actions, game.num_states, game.horizon, game.discount) == ((2, 1), 2, 2, None)
    assert game.initial.tolist() == [1.0, 0.0]
    rows = [[0, 1], [1 / 3, 2 / 3], [0, 1], [0, 1]]
    assert game.kernel(0).stored_rows().toarray().tolist() == rows
    assert dict(game.kernel(0).exact) == {(0, 1, 0): THIRD, (0, 1, 1): 1 - THIRD}
    assert game.rewards.tolist() == [[[0, 1], [0, 0]], [[0, -2], [0, 0]]]
    assert game.joint_legal.all()


def test_game_by_hand_with_names(tmp_path: Path) -> None:
    named = document(
        **NAMES,
        initial=[["s", 1]],
        transitions=[
            ["s", ["x", "z"], "t", 1],
            ["s", ["y", 0], 0, "1/3"],
            [0, [1, "z"], "t", "2/3"],
            ["t", [0, 0], "t", 1],
            ["t", ["y", "z"], 1, 1],
        ],
        rewards=[["s", ["y", "z"], [1, -2]]],
    )
    game = load(tmp_path, named)
    assert_same_game(game, load(tmp_path, document(**NAMES)))
    policy = load_rows(tmp_path, [["s", ["y", 0], "1/3"], [0, ["x", "z"], "2/3"], ["t", [1, 0], 1]], game)
    assert policy.probabilities.tolist() == [[2 / 3, 1 / 3], [0, 1]]
    assert dict(policy.exact) == {(0, 0): 1 - THIRD, (0, 1): THIRD}


def test_a_name_that_looks_like_an_index_is_a_name(tmp_path: Path) -> None:
    game = load(tmp_path, document(state_names=["1", "0"], initial=[["0", 1]]))
    assert game.initial.tolist() == [0.0, 1.0]


def test_game_by_hand_with_steps(tmp_path: Path) -> None:
    steps = [*DOCUMENT["transitions"]]
    steps = [[*e, 0] for e in steps] + [[s, [a, 0], 0, 1, 1] for s in (0, 1) for a in (0, 1)]
    game = load(tmp_path, document(transitions=steps, rewards=[[0, [1, 0], [1, -2], 1], [1, [0, 0], ["1/3", 0], 0]]))
    assert len(game.kernels) == 2
    assert game.kernel(0).stored_rows().toarray().tolist() == [[0, 1], [1 / 3, 2 / 3], [0, 1], [0, 1]]
    assert game.kernel(1).stored_rows().toarray().tolist() == [[1, 0]] * 4
    assert game.rewards.shape == (2, 2, 2, 2)
    assert {k: float(game.rewards[k]) for k in map(tuple, np.argwhere(game.rewards).tolist())} == {
        (0, 0, 1, 0): 1 / 3,
        (1, 0, 0, 1): 1.0,
        (1, 1, 0, 1): -2.0,
    }
    assert dict(game.exact_rewards) == {(0, 0, 1, 0): THIRD}


def test_game_by_hand_with_an_exact_discount(tmp_path: Path) -> None:
    game = load(tmp_path, document(**DISCOUNTED))
    assert (game.horizon, game.discount, game.exact_discount) == (None, 0.9, Fraction(9, 10))
    policy = load_rows(tmp_path, [[s, [s * h, 0], 1, h] for s in (0, 1) for h in (0, 1)], game)
    assert policy.num_steps == 2
    assert policy.probabilities.tolist() == [[[1, 0], [1, 0]], [[1, 0], [0, 1]]]


def test_game_by_hand_with_legal_actions(tmp_path: Path) -> None:
    rows = [entry for entry in DOCUMENT["transitions"] if entry[:2] != [1, [1, 0]]]
    game = load(tmp_path, document(transitions=rows, legal=[[1, [[0], [0]]]]))
    assert game.legal[0].tolist() == [[True, True], [True, False]]
    assert game.joint_legal.tolist() == [[True, True], [True, False]]


@pytest.mark.parametrize(
    ("given", "exact"),
    [
        (3, Fraction(3)),
        (2**60 + 1, Fraction(2**60 + 1)),
        (0.1, Fraction(0.1)),
        ("1/3", THIRD),
        ("-2/6", -THIRD),
        ("007", Fraction(7)),
        ("-0", Fraction(0)),
        (1e-5, Fraction(1e-5)),
    ],
    ids=repr,
)
def test_numbers_are_read_exactly(given: Any, exact: Fraction, tmp_path: Path) -> None:
    game = load(tmp_path, document(rewards=[[1, [0, 0], [0, given]]]))
    assert game.rewards[1, 1, 0] == float(exact)
    assert game.exact_rewards.get((1, 1, 0), Fraction(float(game.rewards[1, 1, 0]))) == exact


def test_missing_rewards_are_zero(tmp_path: Path) -> None:
    assert not load(tmp_path, document(rewards=[])).rewards.any()


# Malformed JSON


def entry(section: str, position: int, item: int, value: Any) -> dict[str, Any]:
    """A change to one item of one entry."""
    rows = copy.deepcopy(DOCUMENT[section])
    rows[position][item] = value
    return {section: rows}


def extra(section: str, *added: Any) -> dict[str, Any]:
    return {section: [*DOCUMENT[section], *added]}


NOT_NUMBERS: list[Any] = [
    True,
    False,
    None,
    [],
    [1],
    {},
    "",
    "1_0",
    "１/3",
    "٣",
    "1/0",
    " 1/3",
    "1/3 ",
    "1/3\n",
    "1 /3",
    "1/-3",
]
NOT_NUMBERS += ["+1", "1.5", "1e3", "nan", "inf", "0x1", "1//3", "1/", "/3", "--1", "1" * 5000, "1/" + "3" * 5000, "½"]
NOT_INTEGERS = [True, 1.0, "1", None, [1], {}, -1, 0]
NOT_STATES: list[Any] = [2, -1, 0.0, True, None, "s", [0], {}, 10**30]
NOT_JOINT: list[Any] = [
    0,
    [0],
    [0, 0, 0],
    [2, 0],
    [0, -1],
    [0.0, 0],
    [True, 0],
    ["x", 0],
    [[0], 0],
    None,
    {},
    "00",
    [10**30, 0],
]
NOT_LISTS: list[Any] = [None, {}, "", 1, True]
NOT_STEPS = [2, -1, True, 0.0, "0", None, [0], 10**30]


def short(value: object) -> str:
    return repr(value) if len(repr(value)) < 20 else repr(value)[:9] + ".." + str(len(repr(value)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        *[
            pytest.param(entry(section, 0, item, bad), f"{section}, entry 0", id=f"{section}-{short(bad)}")
            for section, item, values in (
                ("initial", 1, NOT_NUMBERS),
                ("initial", 0, NOT_STATES),
                ("transitions", 3, NOT_NUMBERS),
                ("transitions", 0, NOT_STATES),
                ("transitions", 2, NOT_STATES),
                ("transitions", 1, NOT_JOINT),
                ("rewards", 0, NOT_STATES),
                ("rewards", 1, NOT_JOINT),
                ("rewards", 2, [*NOT_LISTS, [], [1], [1, 2, 3]]),
            )
            for bad in values
        ],
        *[
            pytest.param(entry("rewards", 0, 2, [1, bad]), "rewards, entry 0", id=f"reward-{short(bad)}")
            for bad in NOT_NUMBERS
        ],
        *[pytest.param(DISCOUNTED | {"discount": bad}, "discount", id=f"discount-{short(bad)}") for bad in NOT_NUMBERS],
        *[
            pytest.param({field: bad}, field, id=f"{field}-{short(bad)}")
            for field in ("states", "horizon")
            for bad in NOT_INTEGERS
        ],
        *[
            pytest.param({"actions": bad}, "actions", id=f"actions-{short(bad)}")
            for bad in ([*NOT_LISTS, [], [2, 0], [2, -1], [2, True], [2, 1.0], [2, "1"], [[2], 1], [2, None]])
        ],
        *[
            pytest.param({field: bad}, field, id=f"{field}-{short(bad)}")
            for field in ("initial", "transitions", "rewards", "legal")
            for bad in NOT_LISTS
        ],
        *[
            pytest.param(
                {field: [*DOCUMENT.get(field, []), bad]}, rf"{field}, entry \d", id=f"{field}-entry-{short(bad)}"
            )
            for field in ("initial", "transitions", "rewards", "legal")
            for bad in (*NOT_LISTS, [], [0], [0] * 6)
        ],
        *[
            pytest.param({field: bad}, field, id=f"{field}-{short(bad)}")
            for field in ("state_names", "agent_names", "action_names")
            for bad in (*NOT_LISTS, [1, 2], [None, None], ["a", 1], [["a", "b"], 1], [["a", "b"], [1]])
        ],
        *[
            pytest.param({field: ...}, field, id=f"no-{field}")
            for field in ("format", "version", "actions", "states", "initial", "transitions")
        ],
        *[
            pytest.param(
                {"transitions": [*STEPS[:-1], [*STEPS[-1][:4], bad]]}, "entry 9.*step", id=f"step-{short(bad)}"
            )
            for bad in NOT_STEPS
        ],
        *[
            pytest.param(extra("rewards", [1, [0, 0], [1, 1], bad]), "entry 1.*step", id=f"reward-step-{short(bad)}")
            for bad in NOT_STEPS
        ],
        *[
            pytest.param({"legal": [[0, bad]]}, "legal, entry 0", id=f"legal-lists-{short(bad)}")
            for bad in (
                *NOT_LISTS,
                [],
                [[0]],
                [[0], [0], [0]],
                [[2], [0]],
                [[-1], [0]],
                [[True], [0]],
                [["x"], [0]],
                [0, 0],
            )
        ],
        *[
            pytest.param({"legal": [[bad, [[0], [0]]]]}, "legal, entry 0", id=f"legal-{short(bad)}")
            for bad in NOT_STATES
        ],
        pytest.param({"unknown": 1}, "unknown field 'unknown'", id="unknown-field"),
        pytest.param({"Rewards": []}, "unknown field 'Rewards'", id="capital"),
        pytest.param(extra("initial", [0, 1]), "initial, entry 1.*twice", id="initial-twice"),
        pytest.param({"initial": [[0, 0], [0, 1]]}, "initial, entry 1.*twice", id="initial-twice-first-zero"),
        pytest.param(extra("transitions", [0, [1, 0], 0, "1/3"]), "entry 5.*twice", id="transition-twice"),
        pytest.param(extra("transitions", [0, [1, 0], 0, 0]), "entry 5.*twice", id="transition-twice-zero"),
        pytest.param(
            NAMES | extra("transitions", ["s", ["y", "z"], "s", "1/3"]), "entry 5.*twice", id="transition-twice-by-name"
        ),
        pytest.param({"transitions": [*STEPS, STEPS[0]]}, "entry 10.*twice", id="transition-twice-at-a-step"),
        pytest.param(extra("rewards", [0, [1, 0], [0, 0]]), "rewards, entry 1.*twice", id="reward-twice"),
        pytest.param(
            {"rewards": [[0, [1, 0], [0, 0]], [0, [1, 0], [0, 0]]]}, "rewards, entry 1.*twice", id="zero-reward-twice"
        ),
        pytest.param({"legal": [[0, [[0], [0]]]] * 2}, "legal, entry 1", id="legal-state-twice"),
        pytest.param({"legal": [[0, [[0, 0], [0]]]]}, "legal, entry 0.*twice", id="legal-action-twice"),
        pytest.param({"transitions": [*STEPS[:-1], STEPS[-1][:4]]}, "transitions.*step", id="transitions-mixed"),
        pytest.param(extra("rewards", [1, [0, 0], [1, 1], 1]), "rewards.*step", id="rewards-mixed"),
        pytest.param(NAMES | entry("transitions", 0, 2, "u"), "transitions, entry 0.*'u'", id="unknown-state-name"),
        pytest.param(
            NAMES | entry("transitions", 0, 1, ["z", "z"]), "entry 0.*agent 0 'z'", id="action-of-other-agent"
        ),
    ],
)
def test_malformed_game(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(MalformedFile, match=message):
        load(tmp_path, document(**changes))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        pytest.param({"horizon": ...}, InvalidHorizon, "neither", id="neither-horizon-nor-discount"),
        pytest.param({"discount": "9/10"}, InvalidHorizon, "both", id="both"),
        pytest.param(DISCOUNTED | {"discount": 1}, InvalidHorizon, "discount is 1", id="discount-1"),
        pytest.param(DISCOUNTED | {"discount": "10/9"}, InvalidHorizon, "10/9", id="discount-10/9"),
        pytest.param(DISCOUNTED | {"discount": "-1/2"}, InvalidHorizon, "-1/2", id="discount-negative"),
        pytest.param({"initial": []}, GameDistribution, "initial", id="no-initial"),
        pytest.param({"initial": [[0, "1/3"], [1, "1/3"]]}, GameDistribution, "initial", id="initial-sum"),
        pytest.param({"initial": [[0, 2], [1, -1]]}, GameNumber, "initial.*state 1", id="initial-negative"),
        pytest.param(entry("transitions", 2, 3, "1/3"), GameDistribution, r"state 0, joint action \(1, 0\)", id="row"),
        pytest.param(
            {"transitions": [*DOCUMENT["transitions"][:3], [1, [0, 0], 0, -1], [1, [0, 0], 1, 2], [1, [1, 0], 1, 1]]},
            GameNumber,
            "state 1, joint action",
            id="negative",
        ),
        pytest.param({"transitions": []}, MissingTransition, "transition", id="no-transitions"),
        pytest.param(
            {"transitions": DOCUMENT["transitions"][:4]},
            MissingTransition,
            r"state 1, joint action \(1, 0\)",
            id="transition-missing",
        ),
        pytest.param(
            entry("transitions", 4, 3, 0), MissingTransition, r"state 1, joint action \(1, 0\)", id="zero-row"
        ),
        pytest.param({"transitions": STEPS[:5]}, MissingTransition, "step 1", id="step-missing"),
        pytest.param(
            {"transitions": STEPS[:9]}, MissingTransition, r"step 1, state 1, .*\(1, 0\)", id="missing-at-step"
        ),
        pytest.param({"legal": [[1, [[], [0]]]]}, GameShape, "agent 0.*state 1", id="no-legal-action"),
        pytest.param({"legal": [[1, [[0], []]]]}, GameShape, "agent 1.*state 1", id="no-legal-action-of-last"),
        pytest.param({"state_names": ["s"]}, GameShape, "state names", id="state-names-too-few"),
        pytest.param({"state_names": ["s", "t", "u"]}, GameShape, "state names", id="state-names-too-many"),
        pytest.param({"state_names": ["s", "s"]}, GameShape, "state names", id="state-names-twice"),
        pytest.param(
            {"state_names": ["s", "t", "u"], "initial": [["u", 1]]}, MailoptError, "state", id="name-beyond-the-states"
        ),
        pytest.param(
            {"state_names": ["s", "t", "u"]} | entry("transitions", 0, 2, "u"),
            MailoptError,
            "state",
            id="successor-beyond-the-states",
        ),
        pytest.param(
            {"state_names": ["s", "t", "u"]} | entry("rewards", 0, 0, "u"),
            MailoptError,
            "state",
            id="reward-beyond-the-states",
        ),
        pytest.param({"agent_names": ["u"]}, GameShape, "agent names", id="agent-names-too-few"),
        pytest.param({"action_names": [["x", "y"]]}, GameShape, "action names", id="action-names-of-one-agent"),
        pytest.param({"action_names": [["x", "y"], []]}, GameShape, "action names", id="action-names-too-few"),
        pytest.param(
            {"action_names": [["x", "y", "w"], ["z"]]} | entry("transitions", 4, 1, ["w", 0]),
            MailoptError,
            "action",
            id="name-beyond-the-actions",
        ),
        pytest.param(
            {"action_names": [["x", "y", "w"], ["z"]], "legal": [[0, [["w"], [0]]]]},
            MailoptError,
            "action",
            id="legal-name-beyond-the-actions",
        ),
        pytest.param(entry("rewards", 0, 2, [1, 10**400]), GameNumber, "rewards, entry 0", id="reward-too-large"),
        pytest.param(entry("rewards", 0, 2, [1, "1" * 4000]), GameNumber, "rewards, entry 0", id="reward-string-large"),
        pytest.param(entry("rewards", 0, 2, [1, "1/" + "3" * 4000]), GameNumber, "rewards, entry 0", id="reward-small"),
        pytest.param(entry("initial", 0, 1, "1" * 4000), GameNumber, "initial", id="initial-too-large"),
        pytest.param(entry("transitions", 0, 3, 10**400), GameNumber, "state 0, joint action", id="row-too-large"),
        pytest.param(DISCOUNTED | {"discount": "1/" + "3" * 4000}, GameNumber, "discount", id="discount-too-small"),
        pytest.param(DISCOUNTED | {"transitions": STEPS}, MailoptError, "step", id="discount-and-steps"),
        pytest.param(
            DISCOUNTED | {"rewards": [[0, [0, 0], [1, 1], 0]]}, MailoptError, "step", id="discount-and-reward-step"
        ),
        pytest.param(
            DISCOUNTED | {"rewards": [[0, [0, 0], [1, 1], 10**12]]},
            MailoptError,
            "",
            id="discount-and-late-reward-step",
        ),
        pytest.param({"format": "mailopt.policy"}, InvalidFile, "'mailopt.policy'.*'mailopt.game'", id="format"),
        pytest.param({"format": None}, InvalidFile, "format", id="format-null"),
        pytest.param({"format": ["mailopt.game"]}, InvalidFile, "format", id="format-list"),
        *[
            pytest.param({"version": version}, UnsupportedVersion, f"version {version}", id=f"version-{version}")
            for version in (0, 2, -1, 10**30)
        ],
        *[
            pytest.param({"version": version}, InvalidFile, "version", id=f"version-{version!r}")
            for version in (True, 1.0, "1", None, [1])
        ],
        pytest.param({"version": 2, "states": {}, "new": 1}, UnsupportedVersion, "version 2", id="version-first"),
    ],
)
def test_wrong_game(changes: dict[str, Any], error: type[MailoptError], message: str, tmp_path: Path) -> None:
    with pytest.raises(MailoptError) as caught:
        load(tmp_path, document(**changes))
    assert isinstance(caught.value, error)
    caught.match(message or ".")


@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        pytest.param('"states": 2', '"states": 2, "states": 2', MalformedFile, "'states'.*twice", id="field-twice"),
        pytest.param('"version": 1', '"version": 1, "version": 2', MalformedFile, "'version'", id="version-twice"),
        pytest.param('"states": 2', '"states": {"a": 1, "a": 1}', MalformedFile, "'a'.*twice", id="inner-key-twice"),
        pytest.param("[1, -2]", "[1, NaN]", MalformedFile, "NaN", id="nan"),
        pytest.param("[1, -2]", "[1, Infinity]", MalformedFile, "Infinity", id="infinity"),
        pytest.param("[1, -2]", "[1, -Infinity]", MalformedFile, "-Infinity", id="minus-infinity"),
        pytest.param("[1, -2]", "[1, 1e999]", MailoptError, "rewards, entry 0", id="1e999"),
        pytest.param("[1, -2]", "[1, -1e999]", MailoptError, "rewards, entry 0", id="-1e999"),
        pytest.param("[[0, 1]]", "[[0, 1e999]]", MailoptError, "initial", id="initial-1e999"),
        pytest.param("1, 1]]", "1, 1e999]]", MailoptError, "transitions", id="transition-1e999"),
        pytest.param('"horizon": 2', '"discount": 1e999', MailoptError, "discount", id="discount-1e999"),
        pytest.param('"horizon": 2', '"horizon": 1e999', MalformedFile, "horizon", id="horizon-1e999"),
        pytest.param('"horizon": 2', '"horizon": 2e0', MalformedFile, "horizon", id="horizon-2e0"),
        pytest.param("[1, -2]", "[1, " + "1" * 5000 + "]", MalformedFile, "", id="integer-of-5000-digits"),
        pytest.param("[1, -2]", "[1, 0" + "1" * 9 + "]", MalformedFile, "", id="leading-zero"),
        pytest.param("[1, -2]", "[1, -2,]", MalformedFile, "", id="trailing-comma"),
        pytest.param("[1, -2]", "[1, '2']", MalformedFile, "", id="single-quotes"),
        pytest.param('"format"', '/* */ "format"', MalformedFile, "", id="comment"),
        pytest.param('"format"', "'format'", MalformedFile, "", id="single-quoted-field"),
        pytest.param("}", "} {}", MalformedFile, "", id="two-documents"),
        pytest.param("}", "}\0", MalformedFile, "", id="nul"),
        pytest.param("{", "\ufeff{", MalformedFile, "", id="byte-order-mark"),
    ],
)
def test_malformed_text(old: str, new: str, error: type[MailoptError], message: str, tmp_path: Path) -> None:
    text = json.dumps(document())
    assert old in text
    with pytest.raises(error) as caught:
        load(tmp_path, text.replace(old, new, 1))
    caught.match(message or ".")


@pytest.mark.parametrize("content", ["", " ", "[]", "1", "null", '"mailopt.game"', "true", "{}", "nan", "\0"], ids=repr)
def test_other_json(content: str, tmp_path: Path) -> None:
    with pytest.raises(MalformedFile):
        load(tmp_path, content)


@pytest.mark.parametrize(
    "content", [b"\xff\xfe{\x00}\x00", b"\x80", b"PK\x03\x04", b"\x93NUMPY\x01\x00", bytes(range(256))], ids=repr
)
def test_bytes_that_are_no_text(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "game.json").write_bytes(content)
    with pytest.raises(MalformedFile):
        mo.load_game(tmp_path / "game.json")


@pytest.mark.parametrize("what", ["game", "policy"])
def test_truncated_json(what: str, tmp_path: Path) -> None:
    game = make(exact_rows(), actions=(4,))
    whole = tmp_path / "whole.json"
    if what == "game":
        game.save(whole)
    else:
        mo.CorrelatedPolicy.uniform(game).save(whole, game)
    content, path = whole.read_bytes().rstrip(), tmp_path / "part.json"
    for size in range(len(content)):
        path.write_bytes(content[:size])
        with pytest.raises(MalformedFile):
            mo.load_game(path) if what == "game" else mo.load_policy(path, game)


@pytest.mark.parametrize("position", ["field", "entry", "states", "format", "name", "number"])
def test_deep_nesting(position: str, tmp_path: Path) -> None:
    """At any depth, also just below the one where the parser gives up."""
    limit = sys.getrecursionlimit()
    templates: dict[str, dict[str, Any]] = {
        "field": {"unknown": "DEEP"},
        "entry": {"transitions": [[0, "DEEP", 0, 1]] * 4},
        "states": {"states": "DEEP"},
        "format": {"format": "DEEP"},
        "name": {"initial": [["DEEP", 1]]},
        "number": {"rewards": [[0, [0, 0], [0, "DEEP"]]]},
    }
    text = json.dumps(document(**templates[position]))
    for depth in (2, 10, 100, *range(max(200, limit - 400), limit + 20, 3), 10 * limit, 200_000):
        for opening, closing in (("[", "]"), ('{"a":', "}")):
            inner = opening * depth + "1" + closing * depth
            with pytest.raises(InvalidFile):
                load(tmp_path, text.replace('"DEEP"', inner))


# Absurd sizes


@contextlib.contextmanager
def little_time_and_memory(seconds: float = 5.0, extra_bytes: int = 2**30) -> Iterator[None]:
    """Fail when a gigabyte more is asked for, or when it takes seconds."""
    resource = pytest.importorskip("resource")
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except OSError:
        pytest.skip("needs /proc")

    def late(*_: object) -> None:
        raise AssertionError(f"takes more than {seconds} s")

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    before = signal.signal(signal.SIGALRM, late)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + extra_bytes, hard))
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


HUGE = 10**12
ONE_STATE: dict[str, Any] = {
    "states": 1,
    "actions": [1],
    "transitions": [[0, [0], 0, 1]],
    "rewards": [],
}


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        pytest.param({"states": HUGE}, MailoptError, id="states"),
        pytest.param({"states": 10**400}, MailoptError, id="states-of-400-digits"),
        pytest.param({"actions": [10**6, 10**6]}, MailoptError, id="actions"),
        pytest.param(
            ONE_STATE | {"actions": [10**9] * 50, "transitions": [[0, [0] * 50, 0, 1]]}, MailoptError, id="fifty-agents"
        ),
        pytest.param(
            ONE_STATE | {"actions": [16000, 16000], "transitions": [[0, [0, 0], 0, 1]]}, MailoptError, id="2^28"
        ),
        pytest.param(ONE_STATE | {"actions": [2**28], "transitions": [[0, [0], 0, 1]]}, MailoptError, id="one-agent"),
        pytest.param(
            ONE_STATE | {"states": 2**15, "transitions": [[0, [0], k, 2.0**-15] for k in range(2**15)]},
            MailoptError,
            id="many-states-from-one",
        ),
        pytest.param({"horizon": HUGE, "rewards": [[0, [0, 0], [1, 1], 0]]}, GameTooLarge, id="horizon-reward-at-step"),
        pytest.param({"horizon": HUGE, "transitions": STEPS}, MissingTransition, id="horizon-transitions-at-steps"),
        pytest.param(
            {"horizon": HUGE, "transitions": [[*row[:4], HUGE - 1] for row in STEPS[:5]]},
            MissingTransition,
            id="horizon-transitions-at-the-last-step",
        ),
    ],
)
def test_absurd_sizes_fail_fast(changes: dict[str, Any], error: type[MailoptError], tmp_path: Path) -> None:
    path = write(tmp_path / "game.json", document(**changes))
    with little_time_and_memory(), pytest.raises(error):
        mo.load_game(path)


def test_absurd_step_of_a_policy(tmp_path: Path) -> None:
    discounted, long = load(tmp_path, document(**DISCOUNTED)), load(tmp_path, document(horizon=HUGE))
    for game in (discounted, long):
        with little_time_and_memory(), pytest.raises(MailoptError):
            load_rows(tmp_path, [[0, [0, 0], 1, HUGE - 1]], game)


@pytest.mark.parametrize("member", ["initial", "rewards", "kernel_0_probabilities", "actions", "format"])
@pytest.mark.parametrize("shape", [(HUGE,), (10**6,) * 3, (2**62, 2**62), (-1,)], ids=str)
def test_absurd_shape_in_an_npz_header(member: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    members = npz_members(GAMES["dense"](), tmp_path)
    members[member] = npy_header({"descr": "<f8", "fortran_order": False, "shape": shape}) + bytes(64)
    with little_time_and_memory(), pytest.raises(MailoptError):
        mo.load_game(zipped(tmp_path / "game.npz", members))


# Malformed policies

POLICY_ROWS: list[Any] = [[0, [0, 0], 1], [1, [1, 0], "1/3"], [1, [0, 0], "2/3"]]
STEP_ROWS: list[Any] = [[*row, step] for step in (0, 1) for row in POLICY_ROWS]


def changed(position: int, item: int, value: Any) -> list[Any]:
    rows = copy.deepcopy(POLICY_ROWS)
    rows[position][item] = value
    return rows


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        *[
            pytest.param(changed(1, item, bad), MalformedFile, "rows, entry 1", id=f"{name}-{short(bad)}")
            for name, item, values in (("p", 2, NOT_NUMBERS), ("state", 0, NOT_STATES), ("joint", 1, NOT_JOINT))
            for bad in values
        ],
        *[
            pytest.param(
                [*STEP_ROWS[:-1], [*STEP_ROWS[-1][:3], bad]], MalformedFile, "entry 5.*step", id=f"step-{bad!r}"
            )
            for bad in NOT_STEPS
        ],
        *[pytest.param(bad, MalformedFile, "rows", id=f"rows-{short(bad)}") for bad in NOT_LISTS],
        *[
            pytest.param([*POLICY_ROWS, bad], MalformedFile, "rows, entry 3", id=f"entry-{short(bad)}")
            for bad in (*NOT_LISTS, [], [0], [0] * 5)
        ],
        pytest.param([*POLICY_ROWS, POLICY_ROWS[0]], MalformedFile, "entry 3.*twice", id="twice"),
        pytest.param([[0, [0, 0], 0], *POLICY_ROWS], MalformedFile, "entry 1.*twice", id="twice-first-zero"),
        pytest.param([*STEP_ROWS, STEP_ROWS[0]], MalformedFile, "entry 6.*twice", id="twice-at-step"),
        pytest.param([*STEP_ROWS[:-1], STEP_ROWS[-1][:3]], MalformedFile, "rows.*step", id="mixed"),
        pytest.param([], PolicyDistribution, "state 0", id="empty"),
        pytest.param(POLICY_ROWS[1:], PolicyDistribution, "state 0", id="row-missing"),
        pytest.param(STEP_ROWS[:-1], PolicyDistribution, "step 1, state 1", id="row-at-step-short"),
        pytest.param(STEP_ROWS[:3], PolicyDistribution, "step 1, state 0", id="step-missing"),
        pytest.param(changed(1, 2, "1/2"), PolicyDistribution, "state 1", id="sum"),
        pytest.param(changed(1, 2, 0.33333), PolicyDistribution, "state 1", id="sum-rounded"),
        pytest.param(
            [*POLICY_ROWS[:1], [1, [0, 0], -1], [1, [1, 0], 2]], PolicyNumber, "state 1, joint action 0", id="negative"
        ),
        pytest.param(changed(1, 2, 10**400), PolicyNumber, "state 1|entry 1", id="too-large"),
        pytest.param(changed(1, 2, "1/" + "3" * 4000), PolicyNumber, "state 1|entry 1", id="too-small"),
    ],
)
def test_wrong_policy(rows: Any, error: type[MailoptError], message: str, tmp_path: Path) -> None:
    game = load(tmp_path, document())
    with pytest.raises(error, match=message):
        load_rows(tmp_path, rows, game)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        pytest.param({"extra": 1}, MalformedFile, "'extra'", id="unknown-field"),
        pytest.param({"format": "mailopt.game"}, InvalidFile, "format", id="format"),
        pytest.param({"version": 2}, UnsupportedVersion, "version 2", id="version"),
        pytest.param({"rows": None}, MalformedFile, "rows", id="rows-null"),
    ],
)
def test_wrong_policy_fields(changes: dict[str, Any], error: type[MailoptError], message: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=message):
        load_rows(tmp_path, POLICY_ROWS, load(tmp_path, document()), changes)


def test_steps_of_a_discounted_policy_have_no_hole(tmp_path: Path) -> None:
    game = load(tmp_path, document(**DISCOUNTED))
    with pytest.raises(PolicyDistribution, match="step 1, state 0"):
        load_rows(tmp_path, [[*row, step] for step in (0, 2) for row in POLICY_ROWS], game)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_policy_of_another_game(suffix: str, tmp_path: Path) -> None:
    game, other = partly_legal(), GAMES["dense"]()
    path = tmp_path / f"policy{suffix}"
    mo.CorrelatedPolicy.uniform(other).save(path, other)
    with pytest.raises(IllegalAction, match=r"state 0.*\(1, 0\)"):
        mo.load_policy(path, game)
    with pytest.raises(MailoptError):
        mo.load_policy(path, mo.scenarios.chicken())
    with pytest.raises(InvalidFile, match="format"):
        mo.load_game(path)
    game.save(path)
    with pytest.raises(InvalidFile, match="format"):
        mo.load_policy(path, game)


# Malformed NPZ


def npz_members(game: mo.MarkovGame, tmp_path: Path) -> dict[str, bytes]:
    """The members of a game's archive, by array name."""
    path = tmp_path / "members.npz"
    game.save(path)
    with zipfile.ZipFile(path) as archive:
        return {name.removesuffix(".npy"): archive.read(name) for name in archive.namelist()}


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def npy(array: npt.ArrayLike) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(array), allow_pickle=True)
    return buffer.getvalue()


def npy_header(header: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue()


def test_rewritten_archive_loads(tmp_path: Path) -> None:
    """The helpers above change nothing by themselves."""
    game = GAMES["dense"]()
    assert_same_game(mo.load_game(zipped(tmp_path / "game.npz", npz_members(game, tmp_path))), game)


@pytest.mark.parametrize("kind", ["dense", "exact-sparse"])
def test_truncated_npz(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "game.npz"
    GAMES[kind]().save(path)
    content = path.read_bytes()
    for size in (*range(0, len(content), 7), *range(len(content) - 60, len(content))):
        path.write_bytes(content[:size])
        with pytest.raises(MalformedFile):
            mo.load_game(path)


DIRECTORY_ENTRY = b"PK\x01\x02"


@pytest.mark.parametrize("kind", ["legal-deterministic", "exact-sparse", "names"])
@pytest.mark.parametrize("mask", [0x01, 0x08, 0xFF], ids=hex)
def test_corrupted_npz(kind: str, mask: int, tmp_path: Path) -> None:
    """A flipped byte is noticed, or was of no consequence; every other byte of the directory, fewer before."""
    game, path = GAMES[kind](), tmp_path / "game.npz"
    game.save(path)
    content = path.read_bytes()
    directory = content.index(DIRECTORY_ENTRY)
    refused = 0
    wrong = set()
    for offset in (*range(0, directory, 17), *range(directory, len(content), 2)):
        path.write_bytes(content[:offset] + bytes([content[offset] ^ mask]) + content[offset + 1 :])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                assert_same_game(mo.load_game(path), game)
            except MailoptError:
                refused += 1
            except AssertionError:
                wrong.add("another game")
            except Exception as error:  # noqa: BLE001 - any other is a finding
                wrong.add(f"{type(error).__name__}: {error}")
    assert not wrong
    assert refused > 100


@pytest.mark.parametrize("kind", ["names", "legal-with-all-transitions"])
def test_entry_lost_from_the_directory(kind: str, tmp_path: Path) -> None:
    """The comment of one entry of the archive's directory is made to swallow the next entry."""
    game, path = GAMES[kind](), tmp_path / "game.npz"
    game.save(path)
    content = path.read_bytes()
    starts = [k for k in range(len(content)) if content.startswith(DIRECTORY_ENTRY, k)]
    for start, following in itertools.pairwise([*starts, content.index(b"PK\x05\x06")]):
        for lost in range(1, len(starts) - starts.index(start)):
            end = [*starts, content.index(b"PK\x05\x06")][starts.index(start) + 1 + lost]
            length = (end - following).to_bytes(2, "little")
            path.write_bytes(content[: start + 32] + length + content[start + 34 :])
            with pytest.raises(InvalidFile):
                mo.load_game(path)


def test_single_array_renamed(tmp_path: Path) -> None:
    for name, array in (("array", np.ones(3)), ("object", np.array([None]))):
        path = tmp_path / f"{name}.npz"
        path.write_bytes(npy(array))
        with pytest.raises(MalformedFile):
            mo.load_game(path)


class Malicious:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("member", ["format", "initial", "kernel_0_probabilities", "rewards", "unknown", None])
def test_pickles_are_not_executed(member: str | None, tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    content = npy(np.array([Malicious(mark)], dtype=object))
    np.load(io.BytesIO(content), allow_pickle=True)
    assert mark.exists()
    mark.unlink()
    path = tmp_path / "game.npz"
    if member is None:
        path.write_bytes(content)
    else:
        zipped(path, npz_members(GAMES["dense"](), tmp_path) | {member: content})
    for load_file in (mo.load_game, lambda p: mo.load_policy(p, GAMES["dense"]())):
        with pytest.raises(MalformedFile):
            load_file(path)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("kind", "changes", "error", "message"),
    [
        *[
            pytest.param("dense", {name: None}, MalformedFile, name, id=f"no-{name}")
            for name in ("format", "version", "actions", "initial", "rewards", "num_kernels")
        ],
        pytest.param("dense", {"horizon": None}, MailoptError, "horizon", id="no-horizon"),
        pytest.param("dense", {"kernel_0_probabilities": None}, MalformedFile, "kernel_0", id="no-kernel"),
        pytest.param("sparse", {"kernel_0_indptr": None}, MalformedFile, "kernel_0_indptr", id="no-indptr"),
        pytest.param("dense", {"unknown": [1]}, MalformedFile, "'unknown'", id="unknown"),
        pytest.param("dense", {"discount": 0.5}, MailoptError, "horizon|both", id="both-horizon-and-discount"),
        pytest.param("dense", {"format": "mailopt.policy"}, InvalidFile, "mailopt.policy", id="format"),
        pytest.param("dense", {"format": ["mailopt.game"]}, InvalidFile, "format", id="format-array"),
        pytest.param("dense", {"version": 2}, UnsupportedVersion, "version 2", id="version-2"),
        pytest.param("dense", {"version": 1.0}, InvalidFile, "version", id="version-float"),
        pytest.param("dense", {"version": True}, InvalidFile, "version", id="version-true"),
        pytest.param("dense", {"horizon": 3.0}, MalformedFile, "horizon", id="horizon-float"),
        pytest.param("dense", {"horizon": [3]}, MalformedFile, "horizon", id="horizon-array"),
        pytest.param("dense", {"horizon": True}, MalformedFile, "horizon", id="horizon-true"),
        pytest.param("dense", {"horizon": 0}, InvalidHorizon, "0", id="horizon-0"),
        pytest.param("dense", {"horizon": -1}, InvalidHorizon, "-1", id="horizon-negative"),
        pytest.param("dense", {"num_kernels": 0}, MailoptError, "kernel|transitions", id="no-kernels"),
        pytest.param("dense", {"num_kernels": -1}, MailoptError, "kernel|transitions", id="minus-one-kernels"),
        pytest.param("dense", {"num_kernels": HUGE}, MalformedFile, "kernel_1", id="too-many-kernels"),
        pytest.param("dense-per-step", {"num_kernels": 2}, MailoptError, "2 steps|kernel_2", id="one-kernel-too-few"),
        pytest.param("discounted", {"discount": 1.0}, InvalidHorizon, "1", id="discount-1"),
        pytest.param("discounted", {"discount": np.nan}, InvalidGame, "nan", id="discount-nan"),
        pytest.param("dense", {"actions": [2.0, 2.0]}, MalformedFile, "actions", id="actions-float"),
        pytest.param("dense", {"actions": 4}, MalformedFile, "actions", id="actions-scalar"),
        pytest.param("dense", {"actions": np.zeros(0, int)}, GameShape, "actions", id="actions-empty"),
        pytest.param("dense", {"actions": [10**6, 10**6]}, GameShape, "joint actions", id="actions-huge"),
        pytest.param("dense", {"actions": [2**32, 2**32]}, GameShape, "joint actions", id="actions-overflow"),
        pytest.param("dense", {"initial": [1, 0, 0]}, MalformedFile, "initial", id="initial-integers"),
        pytest.param("dense", {"initial": [1.0, 0.0]}, GameShape, "states", id="initial-too-short"),
        pytest.param("dense", {"initial": np.zeros(0)}, MailoptError, "initial", id="initial-empty"),
        pytest.param("sparse", {"initial": np.zeros(0)}, MailoptError, "initial|kernel_0", id="sparse-initial-empty"),
        pytest.param("dense", {"initial": [1.0, np.nan, 0.0]}, GameNumber, "state 1", id="initial-nan"),
        pytest.param("dense", {"rewards": np.full((2, 3, 4), np.inf)}, GameNumber, "rewards", id="rewards-inf"),
        pytest.param("dense", {"rewards": np.zeros((2, 3, 5))}, GameShape, "rewards", id="rewards-shape"),
        pytest.param("dense", {"rewards": np.zeros((2, 3, 4), "S1")}, MalformedFile, "rewards", id="rewards-bytes"),
        pytest.param(
            "dense", {"rewards": np.zeros((2, 3, 4), [("a", "f8")])}, MalformedFile, "rewards", id="structured"
        ),
        pytest.param("dense", {"rewards": np.zeros((2, 3, 4), "M8[s]")}, MalformedFile, "rewards", id="dates"),
        pytest.param("legal", {"legal_1": None}, MalformedFile, "legal_1", id="legal-of-one-agent"),
        pytest.param(
            "legal", {"legal_0": None}, MailoptError, r"legal_1|\(1, 0\): no successor", id="legal-of-the-other"
        ),
        pytest.param("legal", {"legal_0": np.ones((3, 2), int)}, MalformedFile, "legal_0", id="legal-integers"),
        pytest.param("legal", {"legal_0": np.ones((3, 3), bool)}, GameShape, "agent 0", id="legal-shape"),
        pytest.param("legal", {"legal_0": np.zeros((3, 2), bool)}, GameShape, "agent 0", id="legal-none"),
        pytest.param("names", {"state_names": ["a", "b"]}, GameShape, "state names", id="names-too-few"),
        pytest.param("names", {"state_names": ["a", "a", "b"]}, GameShape, "state names", id="names-twice"),
        pytest.param("names", {"state_names": [1, 2, 3]}, MalformedFile, "state_names", id="names-numbers"),
        pytest.param("names", {"action_names_1": None}, MailoptError, "action", id="action-names-of-one-agent"),
        pytest.param("names", {"action_names_0": None}, MalformedFile, "action_names_1", id="action-names-of-other"),
        pytest.param("deterministic", {"kernel_0_successors": np.full((3, 4), 3)}, GameNumber, "", id="successor"),
        pytest.param(
            "deterministic", {"kernel_0_successors": np.zeros((3, 4))}, MalformedFile, "", id="float-successors"
        ),
        pytest.param("deterministic", {"kernel_0_successors": np.full((3, 4), -1)}, MissingTransition, "", id="none"),
        pytest.param("sparse", {"kernel_0_indices": np.full(96, 12)}, MalformedFile, "kernel_0", id="column-too-large"),
        pytest.param("sparse", {"kernel_0_indices": np.full(96, -1)}, MalformedFile, "kernel_0", id="column-negative"),
        pytest.param("sparse", {"kernel_0_indices": np.zeros(95, int)}, MalformedFile, "kernel_0", id="columns-short"),
        pytest.param("sparse", {"kernel_0_indices": np.zeros(96)}, MalformedFile, "kernel_0", id="columns-float"),
        pytest.param(
            "sparse", {"kernel_0_indices": np.full(96, 2**63, np.uint64)}, MailoptError, "", id="columns-uint64"
        ),
        pytest.param("sparse", {"kernel_0_indptr": np.zeros(0, int)}, MalformedFile, "kernel_0", id="indptr-empty"),
        pytest.param("sparse", {"kernel_0_indptr": np.arange(49)[::-1]}, MalformedFile, "kernel_0", id="indptr-falls"),
        pytest.param("sparse", {"kernel_0_indptr": np.arange(0, 99, 2)}, MailoptError, "", id="indptr-too-long"),
        pytest.param("sparse", {"kernel_0_indptr": np.arange(0, 95, 2)}, MailoptError, "", id="indptr-too-short"),
        pytest.param("sparse", {"kernel_0_indptr": np.full(49, 2**62)}, MailoptError, "", id="indptr-huge"),
        pytest.param("sparse", {"kernel_0_data": np.full(96, np.nan)}, GameNumber, "", id="data-nan"),
        pytest.param("sparse", {"kernel_0_data": np.full(96, 0.6)}, GameDistribution, "state 0", id="data-sum"),
        *[
            pytest.param("exact-rewards", {"rewards_exact_index": index}, MailoptError, "rewards", id=f"index-{name}")
            for name, index in (
                ("too-large", np.full((16, 3), 3)),
                ("negative", np.full((16, 3), -1)),
                ("short", np.zeros((15, 3), int)),
                ("narrow", np.zeros((16, 2), int)),
                ("float", np.zeros((16, 3))),
                ("missing", None),
                ("uint64", np.full((16, 3), 2**64 - 1, np.uint64)),
                ("twice", np.zeros((16, 3), int)),
            )
        ],
        *[
            pytest.param("exact-rewards", {"rewards_exact_value": [v] * 16}, MailoptError, "rewards", id=f"value-{v}")
            for v in ("1/0", "x", "1_0", "１/3", "", "1/7", "1" * 5000)
        ],
        pytest.param("exact-rewards", {"rewards_exact_value": None}, MailoptError, "rewards", id="values-missing"),
        pytest.param("exact-rewards", {"rewards_exact_value": np.ones(16)}, MailoptError, "rewards", id="values-float"),
        *[
            pytest.param("exact-sparse", {"kernel_0_data_exact_index": index}, MailoptError, "", id=f"kernel-{name}")
            for name, index in (
                ("state-too-large", np.full((96, 3), 12)),
                ("state-negative", np.full((96, 3), -1)),
                ("other-entry", np.ones((96, 3), int)),
                ("narrow", np.zeros((96, 2), int)),
                ("next-too-large", np.tile([0, 0, 12], (96, 1))),
                ("next-far-too-large", np.tile([0, 0, 2**62], (96, 1))),
                ("action-too-large", np.tile([0, 4, 0], (96, 1))),
            )
        ],
        pytest.param("exact-sparse", {"kernel_0_data_exact_value": ["1/7"] * 96}, MailoptError, "", id="kernel-value"),
    ],
)
def test_wrong_npz(kind: str, changes: dict[str, Any], error: type[MailoptError], message: str, tmp_path: Path) -> None:
    members: dict[str, bytes | None] = dict(npz_members(GAMES[kind](), tmp_path))
    for name, array in changes.items():
        members[name] = None if array is None else npy(array)
    path = zipped(tmp_path / "game.npz", {k: v for k, v in members.items() if v is not None})
    with pytest.raises(error) as caught:
        mo.load_game(path)
    caught.match(message or ".")


def test_member_that_is_no_array(tmp_path: Path) -> None:
    members = npz_members(GAMES["dense"](), tmp_path)
    for name in (*members, "unknown"):
        for content in (b"", b"text", b"\x93NUMPY", b"\x93NUMPY\x09\x00", members["initial"][:-1]):
            path = zipped(tmp_path / "game.npz", members | {name: content})
            with pytest.raises(InvalidFile):
                mo.load_game(path)


def test_member_given_twice(tmp_path: Path) -> None:
    members = npz_members(GAMES["dense"](), tmp_path)
    path = zipped(tmp_path / "game.npz", members)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("horizon.npy", npy(np.int64(4)))
    with pytest.raises(MalformedFile, match="horizon"):
        mo.load_game(path)


def test_empty_archive(tmp_path: Path) -> None:
    with pytest.raises(MalformedFile, match="format"):
        mo.load_game(zipped(tmp_path / "game.npz", {}))


@pytest.mark.parametrize(
    ("probabilities", "error", "message"),
    [
        pytest.param(None, MalformedFile, "probabilities", id="missing"),
        pytest.param(np.ones(4), MalformedFile, "probabilities", id="one-dimension"),
        pytest.param(np.ones((3, 4), int), MalformedFile, "probabilities", id="integers"),
        pytest.param(np.ones((3, 4)), PolicyDistribution, "state 0", id="sum"),
        pytest.param(np.full((3, 4), np.nan), PolicyNumber, "state 0, joint action 0", id="nan"),
        pytest.param(np.full((2, 4), 0.25), PolicyShape, "2 states", id="states"),
        pytest.param(np.full((2, 3, 4), 0.25), PolicyShape, "2 steps", id="steps"),
        pytest.param(np.zeros((0, 3, 4)), InvalidPolicy, "empty", id="no-steps"),
    ],
)
def test_wrong_policy_npz(probabilities: Array | None, error: type[MailoptError], message: str, tmp_path: Path) -> None:
    members = {"format": npy("mailopt.policy"), "version": npy(np.int64(1))}
    if probabilities is not None:
        members["probabilities"] = npy(probabilities)
    path = zipped(tmp_path / "policy.npz", members)
    with pytest.raises(error, match=message):
        mo.load_policy(path, GAMES["dense"]())


def test_policy_npz_by_hand(tmp_path: Path) -> None:
    game = GAMES["dense"]()
    path = tmp_path / "policy.npz"
    np.savez(path, format="mailopt.policy", version=1, probabilities=np.full((3, 4), 0.25))
    assert mo.load_policy(path, game).probabilities.tolist() == [[0.25] * 4] * 3
