"""Game and policy files: round trips in both formats, and writing whole or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import mailopt as mo
from mailopt.errors import (
    GameShape,
    IllegalAction,
    InvalidFile,
    MailoptError,
    PolicyShape,
)
from tests.games.file_cases import (
    GAMES,
    SUFFIXES,
    assert_same_game,
    dense,
    make,
    partly_legal,
    policies,
    same_layout,
)


@pytest.fixture(params=GAMES, name="game")
def _game(request: pytest.FixtureRequest) -> mo.MarkovGame:
    return GAMES[request.param]()


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
