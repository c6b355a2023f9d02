"""Demonstrations as files: episodes or counts, as JSON for people or as NPZ for many of them.

JSON: ``"episodes": [[[state, [a_0, ..]], ..], ..]`` with an optional ``"weights": [..]``, or ``"counts": [[state,
[a_0, ..], weight, step], ..]``, the step left out in a discounted game unless the expert has several. NPZ:
``states`` (N, L) and flat ``joint_actions`` (N, L) with an optional ``weights``, or ``counts``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mailopt.errors import DemonstrationShape, EmptyDemonstrations, MalformedFile
from mailopt.games import storage
from mailopt.games.files import naming
from mailopt.games.game import MarkovGame, check_game
from mailopt.games.json_format import Names, all_or_none, numbered_entries, put_once, read_step, require_size
from mailopt.games.numbers import Index, IntArray, Number, nearest_double
from mailopt.imitation.demonstrations import Demonstrations
from mailopt.imitation.records import DEMONSTRATIONS

_FORMAT = ("mailopt.demonstrations", 1)


def load_demonstrations(path: str | Path, game: MarkovGame) -> Demonstrations:
    """Read demonstrations in a game from a ``.json`` or ``.npz`` file.

    States and actions are given by index or, in JSON, by name. :mod:`mailopt.imitation.demonstration_files` describes
    both formats.

    Raises
    ------
    MalformedFile, UnsupportedVersion
        The file is truncated, ill-typed, of another format or of an unknown version.
    InvalidDemonstrations
        The file is well-formed, but the demonstrations in it do not make sense or are not of this game.
    OSError
        The file cannot be opened.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> import mailopt as mo
    >>> chain = mo.scenarios.unvisited_chain(3)
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "shown.json"
    >>> mo.sample_demonstrations(chain.game, chain.expert, 10, seed=0).save(path, chain.game)
    >>> mo.load_demonstrations(path, chain.game)
    Demonstrations(10 episodes, 3 of 18 (step, state) pairs seen)
    """
    check_game(game)
    npz = storage.is_npz(path)
    with naming(path):
        return _from_npz(storage.read_npz(path, *_FORMAT), game) if npz else _from_json(path, game)


def save_demonstrations(demonstrations: Demonstrations, path: str | Path, game: MarkovGame) -> None:
    """Write demonstrations to a ``.json`` or ``.npz`` file, whole or not at all."""
    demonstrations.check(game)
    if storage.is_npz(path):
        storage.write_npz(path, *_FORMAT, _arrays(demonstrations))
    else:
        storage.write_json(path, *_FORMAT, _fields(demonstrations, game))


def _counts(demonstrations: Demonstrations) -> npt.NDArray[np.float64]:
    return demonstrations.occupancy if demonstrations.counts is None else demonstrations.counts


def _arrays(demonstrations: Demonstrations) -> dict[str, npt.ArrayLike]:
    """Return the arrays of an NPZ file."""
    recorded = demonstrations.trajectories
    if recorded is None:
        return {"counts": _counts(demonstrations)}
    arrays: dict[str, npt.ArrayLike] = {"states": recorded.states, "joint_actions": recorded.joint_actions}
    return arrays if recorded.weights is None else arrays | {"weights": recorded.weights}


def _fields(demonstrations: Demonstrations, game: MarkovGame) -> dict[str, object]:
    """Return the fields of a JSON file."""
    joints = [list(game.joint_action(a)) for a in range(game.num_joint_actions)]
    recorded = demonstrations.trajectories
    if recorded is None:
        counts = _counts(demonstrations)
        found = (tuple(int(k) for k in index) for index in np.argwhere(counts > 0))
        return {"counts": [[at[-2], joints[at[-1]], float(counts[at]), *at[:-2]] for at in found]}
    fields: dict[str, object] = {
        "episodes": [
            [[s, joints[a]] for s, a in zip(path, plays, strict=True)]
            for path, plays in zip(recorded.states.tolist(), recorded.joint_actions.tolist(), strict=True)
        ]
    }
    return fields if recorded.weights is None else fields | {"weights": recorded.weights.tolist()}


def _from_npz(fields: storage.NpzFields, game: MarkovGame) -> Demonstrations:
    if "counts" in fields:
        counts = fields.take("counts", "fiu", 2, 3)
        fields.finish()
        return Demonstrations.from_counts(game, counts)
    states, joint = fields.take("states", "iu", 2), fields.take("joint_actions", "iu", 2)
    weights = fields.take("weights", "fiu", 1) if "weights" in fields else None
    fields.finish()
    return Demonstrations(game, states, joint, weights=weights)


def _from_json(path: str | Path, game: MarkovGame) -> Demonstrations:
    fields = storage.read_json(path, *_FORMAT)
    names = Names(game.num_states, game.actions, game.state_names, game.action_names)
    episodes = fields.take("episodes", storage.items, default=None)
    if episodes is None:
        counts = fields.take("counts", storage.items)
        fields.finish()
        return Demonstrations.from_counts(game, _read_counts(counts, names, game))
    weights = fields.take("weights", _numbers, default=None)
    fields.finish()
    return Demonstrations(game, *_read_episodes(episodes, names, game), weights=weights)


def _read_episodes(episodes: list[Any], names: Names, game: MarkovGame) -> tuple[IntArray, IntArray]:
    """Return states and flat joint actions, (N, L)."""
    if not episodes:
        raise EmptyDemonstrations("episodes: there are none; give at least one")
    length = len(storage.items(episodes[0], "episodes, entry 0")) if game.horizon is None else game.horizon
    states, joint = np.empty((2, len(episodes), length), dtype=np.int64)
    for n, given in enumerate(episodes):
        steps = numbered_entries(storage.items(given, f"episodes, entry {n}"), f"episode {n}", (2,))
        if len(steps) != length:
            raise DemonstrationShape(
                f"episode {n} has {len(steps)} steps, "
                + (f"the game's horizon is {length}" if game.horizon is not None else f"the first has {length}")
            )
        for h, (_, (state, actions)) in enumerate(steps):
            where = f"episode {n}, step {h}"
            states[n, h], joint[n, h] = names.state(state, where), names.joint(actions, where)
    return states, joint


def _read_counts(entries: list[Any], names: Names, game: MarkovGame) -> npt.NDArray[np.float64]:
    """Return counts (H, S, A), discounted (S, A) or (T, S, A)."""
    found: dict[int | None, dict[Index, Number]] = {}
    for place, entry in numbered_entries(entries, "counts", (3, 4)):
        step = read_step(entry[3:], game.horizon, place)
        if step is None and game.horizon is not None:
            if game.horizon > 1:
                raise MalformedFile(f"{place}: there is no step; the game's horizon is {game.horizon}")
            step = 0
        index: Index = (names.state(entry[0], place), names.joint(entry[1], place))
        put_once(found.setdefault(step, {}), index, storage.number(entry[2], place), place)
    all_or_none(found, "counts")
    if not found:
        raise EmptyDemonstrations("counts: there are none; give at least one")
    shape: tuple[int, ...] = (game.num_states, game.num_joint_actions)
    if None not in found:
        shape = (game.horizon or 1 + max(step for step in found if step is not None), *shape)
    require_size("counts", *shape)
    counts = np.zeros(shape)
    for step, table in found.items():
        for index, value in table.items():
            at = index if step is None else (step, *index)
            counts[at] = nearest_double(value, DEMONSTRATIONS, "counts", ("step", "state", "joint action"), at)[0]
    return counts


def _numbers(value: object, where: str) -> list[Number]:
    return [storage.number(entry, where) for entry in storage.items(value, where)]
