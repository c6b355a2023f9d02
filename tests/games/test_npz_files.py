"""NPZ archives: rejection of everything damaged, absurd or malicious."""

from __future__ import annotations

import io
import itertools
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mailopt as mo
from mailopt.errors import (
    GameDistribution,
    GameNumber,
    GameShape,
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
from tests.games.file_cases import (
    GAMES,
    HUGE,
    Array,
    assert_same_game,
    little_time_and_memory,
    npy,
    npy_header,
    npz_members,
    zipped,
)


@pytest.mark.parametrize("member", ["initial", "rewards", "kernel_0_probabilities", "actions", "format"])
@pytest.mark.parametrize("shape", [(HUGE,), (10**6,) * 3, (2**62, 2**62), (-1,)], ids=str)
def test_absurd_shape_in_an_npz_header(member: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    members = npz_members(GAMES["dense"](), tmp_path)
    members[member] = npy_header({"descr": "<f8", "fortran_order": False, "shape": shape}) + bytes(64)
    with little_time_and_memory(), pytest.raises(MailoptError):
        mo.load_game(zipped(tmp_path / "game.npz", members))


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
