"""Reading and writing games and policies: JSON for people and exact numbers, NPZ for large arrays.

Files are read strictly: an unknown field, a duplicate entry, a NaN or an ill-typed number is an error that names the
place. Files are written whole or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mailopt.errors import MailoptError
from mailopt.games import json_format, npz_format, storage
from mailopt.games.game import MarkovGame
from mailopt.games.policy import CorrelatedPolicy

_GAME = ("mailopt.game", 1)
_POLICY = ("mailopt.policy", 1)


def load_game(path: str | Path) -> MarkovGame:
    """Read a game from a ``.json`` or ``.npz`` file.

    The README shows the JSON format; :mod:`mailopt.games.npz_format` describes the arrays of the other.

    Raises
    ------
    MalformedFile, UnsupportedVersion
        The file is truncated, ill-typed, of another format or of an unknown version.
    InvalidGame
        The file is well-formed and the game in it is not.
    OSError
        The file cannot be opened.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> import mailopt as mo
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "chicken.json"
    >>> mo.scenarios.chicken().save(path)
    >>> mo.load_game(path)
    MarkovGame(2 agents with (2, 2) actions, 1 state, horizon 1, deterministic transitions)
    """
    npz = storage.is_npz(path)
    with naming(path):
        if npz:
            return npz_format.read_game(storage.read_npz(path, *_GAME))
        return json_format.read_game(storage.read_json(path, *_GAME))


def save_game(game: MarkovGame, path: str | Path) -> None:
    """Write a game to a ``.json`` or ``.npz`` file, whole or not at all."""
    if storage.is_npz(path):
        storage.write_npz(path, *_GAME, npz_format.game_arrays(game))
    else:
        storage.write_json(path, *_GAME, json_format.game_fields(game))


def game_content(game: MarkovGame) -> dict[str, object]:
    """Return the JSON object that a game file holds, exact numbers as strings."""
    return _content(*_GAME, json_format.game_fields(game))


def load_policy(path: str | Path, game: MarkovGame) -> CorrelatedPolicy:
    """Read a correlated policy for a game from a ``.json`` or ``.npz`` file.

    In JSON a missing entry is probability 0, and rows without a step make a stationary policy.

    Raises
    ------
    MalformedFile, UnsupportedVersion
        As for :func:`load_game`.
    InvalidPolicy
        The file is well-formed, but the policy is not one, or does not fit the game.
    OSError
        The file cannot be opened.
    """
    npz = storage.is_npz(path)
    with naming(path):
        if npz:
            policy = npz_format.read_policy(storage.read_npz(path, *_POLICY))
        else:
            policy = json_format.read_policy(storage.read_json(path, *_POLICY), game)
        policy.check(game)
    return policy


def save_policy(policy: CorrelatedPolicy, path: str | Path, game: MarkovGame) -> None:
    """Write a policy to a ``.json`` or ``.npz`` file, whole or not at all."""
    policy.check(game)
    if storage.is_npz(path):
        storage.write_npz(path, *_POLICY, npz_format.policy_arrays(policy))
    else:
        storage.write_json(path, *_POLICY, json_format.policy_fields(policy, game))


def policy_content(policy: CorrelatedPolicy, game: MarkovGame) -> dict[str, object]:
    """Return the JSON object that a policy file holds, exact numbers as strings."""
    policy.check(game)
    return _content(*_POLICY, json_format.policy_fields(policy, game))


def _content(name: str, version: int, fields: dict[str, object]) -> dict[str, object]:
    return {"format": name, "version": version, **{key: storage.plain(value) for key, value in fields.items()}}


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Begin the message of every error with the file's name."""
    try:
        yield
    except MailoptError as error:
        raise type(error)(f"{path}: {error}") from None
