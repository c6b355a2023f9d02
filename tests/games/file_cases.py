"""Games of every layout as files, files by hand, and guards, shared by the file tests."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import signal
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

Array = npt.NDArray[Any]
SUFFIXES = [".json", ".npz"]
THIRD = Fraction(1, 3)


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


@contextlib.contextmanager
def little_time_and_memory(seconds: float = 60.0, extra_bytes: int = 2**30) -> Iterator[None]:
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
