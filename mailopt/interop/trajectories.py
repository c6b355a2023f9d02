"""Demonstrations from recorded episodes of other libraries, by the structure that these document.

An episode of T steps has T actions and T + 1 observations, the last of which is where it ended. What is observed is
turned into a state of the game by a function that the caller gives. Fields are read by their names, so that
``imitation`` itself, which needs old versions of other packages, need not be installed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mailopt.errors import DemonstrationShape, EmptyDemonstrations, MalformedFile, MissingDependency
from mailopt.games.game import MarkovGame, check_game
from mailopt.games.numbers import NumberArray
from mailopt.imitation.demonstrations import Demonstrations

StateOf = Callable[[Any, int], int]  # of an observation and its step
ActionOf = Callable[[Any], Any]  # of a recorded action


def from_imitation(
    game: MarkovGame,
    trajectories: Iterable[Any],
    state_of: StateOf,
    action_of: ActionOf | None = None,
    *,
    weights: NumberArray | None = None,
) -> Demonstrations:
    """Read trajectories of the ``imitation`` library.

    An episode that is shorter than the horizon must have ended by itself (``terminal``), in a state that stays where it
    is for ever with some joint action; it is continued there, with the first such action. With a discount, all episodes
    are continued so to the length of the longest.

    Parameters
    ----------
    game
        The game.
    trajectories
        ``imitation.data.types.Trajectory``, or anything with its fields: ``obs`` (T + 1, ..), ``acts`` (T, ..) and
        ``terminal``.
    state_of
        Function of an observation and its step that returns the state.
    action_of
        Function of a recorded action that returns a flat joint action, or one action of each agent. None: it is one.
    weights
        As for :class:`~mailopt.Demonstrations`.

    Raises
    ------
    EmptyDemonstrations
        No trajectories.
    DemonstrationShape
        Numbers of observations and actions that do not fit together; an episode that is too long, too short, or cut
        off; one without the fields, or of which ``state_of`` or ``action_of`` makes nothing. The message names it.
    InvalidDemonstrations
        As for :class:`~mailopt.Demonstrations`.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> import numpy as np
    >>> import mailopt as mo
    >>> from mailopt.interop.trajectories import from_imitation
    >>> chain = mo.scenarios.unvisited_chain(3)
    >>> shown = SimpleNamespace(obs=np.array([[0.0], [2.0], [4.0], [5.0]]), acts=np.zeros((3, 2), int), terminal=True)
    >>> from_imitation(chain.game, [shown], lambda seen, step: int(seen[0]))
    Demonstrations(1 episode, 3 of 18 (step, state) pairs seen)
    """
    return _read(game, _fields(trajectories, ("obs", "acts", "terminal")), state_of, action_of, weights)


def from_minari(
    game: MarkovGame,
    dataset: Any,
    state_of: StateOf,
    action_of: ActionOf | None = None,
    *,
    weights: NumberArray | None = None,
) -> Demonstrations:
    """Read episodes of Minari; short ones as :func:`from_imitation` does.

    Parameters
    ----------
    game, state_of, action_of, weights
        As for :func:`from_imitation`. Of a dictionary or tuple of arrays, each step's part is passed on as one.
    dataset
        A ``minari.MinariDataset``, or its episodes (``EpisodeData``, or anything with ``observations`` (T + 1, ..),
        ``actions`` (T, ..) and ``terminations`` (T,)), or the path of its ``main_data.hdf5``.

    Raises
    ------
    EmptyDemonstrations, DemonstrationShape, InvalidDemonstrations
        As for :func:`from_imitation`.
    MalformedFile
        The file is no such file.
    MissingDependency
        h5py, which reads files, is not installed.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> import numpy as np
    >>> import mailopt as mo
    >>> from mailopt.interop.trajectories import from_minari
    >>> chain = mo.scenarios.unvisited_chain(3)
    >>> shown = SimpleNamespace(
    ...     observations={"room": np.array([0, 2, 4, 5])}, actions=np.zeros((3, 2), int), terminations=[False] * 3
    ... )
    >>> from_minari(chain.game, [shown], lambda seen, step: seen["room"])
    Demonstrations(1 episode, 3 of 18 (step, state) pairs seen)
    """
    if isinstance(dataset, str | Path):
        episodes = _from_file(Path(dataset))
    else:
        given = dataset.iterate_episodes() if hasattr(dataset, "iterate_episodes") else dataset
        episodes = _fields(given, ("observations", "actions", "terminations"))
    return _read(game, episodes, state_of, action_of, weights)


def _fields(episodes: Iterable[Any], names: tuple[str, str, str]) -> Iterator[tuple[Any, Any, Any]]:
    if not isinstance(episodes, Iterable):
        raise DemonstrationShape(f"episodes are a {type(episodes).__name__}; give a list of them")
    for k, episode in enumerate(episodes):
        missing = [name for name in names if not hasattr(episode, name)]
        if missing:
            raise DemonstrationShape(f"episode {k} is a {type(episode).__name__} without {', '.join(missing)}")
        yield tuple(getattr(episode, name) for name in names)


def _from_file(path: Path) -> Iterator[tuple[Any, Any, Any]]:
    try:
        import h5py  # noqa: PLC0415 - optional
    except ImportError as error:
        raise MissingDependency("h5py is not installed: pip install 'mailopt[learned]'") from error
    try:
        with h5py.File(path, "r") as file:
            for name in sorted(file, key=lambda name: int(name.removeprefix("episode_"))):
                yield tuple(_arrays(file[name][part], h5py) for part in ("observations", "actions", "terminations"))
    except (OSError, KeyError, ValueError, TypeError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise MalformedFile(f"{path} is no main_data.hdf5 of Minari: {error}") from error


def _arrays(stored: Any, h5py: Any) -> Any:
    """Read a dataset, or a group of them: a tuple if its members are numbered, else a dictionary."""
    if not isinstance(stored, h5py.Group):
        return stored[:]
    parts = {name: _arrays(stored[name], h5py) for name in stored}
    if parts and all(name.startswith("_index_") for name in parts):
        return tuple(parts[f"_index_{k}"] for k in range(len(parts)))
    return parts


def _read(
    game: MarkovGame,
    episodes: Iterable[tuple[Any, Any, Any]],
    state_of: StateOf,
    action_of: ActionOf | None,
    weights: NumberArray | None,
) -> Demonstrations:
    check_game(game)
    states: list[list[int]] = []
    joint: list[list[int]] = []
    lasts: list[tuple[int, bool]] = []
    for k, (seen, played, ends) in enumerate(episodes):
        observations, sizes = _lengths(seen), _lengths(played)
        length = max(sizes, default=0)
        if length == 0 or sizes != {length} or observations != {length + 1}:
            raise DemonstrationShape(
                f"episode {k} has {_said(observations)} observations and {_said(sizes)} actions; T actions, at least "
                "one, go with T + 1 observations"
            )
        if game.horizon is not None and length > game.horizon:
            raise DemonstrationShape(f"episode {k} has {length} steps, the game's horizon is {game.horizon}")
        states.append([_state(game, _at(seen, t), state_of, k, t) for t in range(length)])
        joint.append([_joint(game, _at(played, t), action_of, k, t) for t in range(length)])
        known = game.horizon is None or length < game.horizon
        last = _state(game, _at(seen, length), state_of, k, length) if known else -1
        lasts.append((last, bool(np.reshape(ends, -1)[-1])))
    if not states:
        raise EmptyDemonstrations("there are no episodes")
    longest = max(map(len, states)) if game.horizon is None else game.horizon
    for k, (visited, actions, (last, terminal)) in enumerate(zip(states, joint, lasts, strict=True)):
        missing = longest - len(visited)
        if missing:
            visited.extend([last] * missing)
            actions.extend([_staying(game, last, len(actions), terminal, k, longest)] * missing)
    return Demonstrations(game, np.array(states), np.array(joint), weights=weights)


def _staying(game: MarkovGame, state: int, step: int, terminal: bool, episode: int, longest: int) -> int:
    """Return a joint action with which the state stays where it is, from a step on."""
    where = f"episode {episode} ends after {step} of {longest} steps in {game.state_name(state)}"
    if not terminal:
        raise DemonstrationShape(f"{where}, cut off; leave it out, or cut all episodes, and the horizon, to one length")
    steps = range(step, longest) if len(game.kernels) > 1 else range(1)
    here = np.array([state])
    for action in np.flatnonzero(game.joint_legal[state]):
        if all(game.kernel(h).probability(here, np.array([action]), here)[0] == 1.0 for h in steps):
            return int(action)
    raise DemonstrationShape(f"{where}, where the game goes on: no joint action stays there for ever")


def _state(game: MarkovGame, seen: Any, state_of: StateOf, episode: int, step: int) -> int:
    try:
        state = state_of(seen, step)
    except Exception as error:
        raise DemonstrationShape(f"episode {episode}, step {step}: state_of raised {error!r}") from error
    if not isinstance(state, int | np.integer) or isinstance(state, bool) or not 0 <= state < game.num_states:
        raise DemonstrationShape(
            f"episode {episode}, step {step}: state_of returned {state!r:.80}; a state is an integer 0 to "
            f"{game.num_states - 1}"
        )
    return int(state)


def _joint(game: MarkovGame, action: Any, action_of: ActionOf | None, episode: int, step: int) -> int:
    try:
        given = np.asarray(action if action_of is None else action_of(action))
    except Exception as error:
        raise DemonstrationShape(
            f"episode {episode}, step {step}: action_of made nothing of {action!r:.80}: {error!r}"
        ) from error
    fits = given.dtype.kind in "iu" and (given.size == 1 or given.shape == (game.num_agents,))
    counts = (game.num_joint_actions,) if given.size == 1 and game.num_agents > 1 else game.actions
    if not fits or (given.reshape(-1) < 0).any() or (given.reshape(-1) >= np.array(counts)).any():
        raise DemonstrationShape(
            f"episode {episode}, step {step}: the action is {action!r:.80}; give a flat joint action, 0 to "
            f"{game.num_joint_actions - 1}, or one action of each agent, {game.actions} in number, by action_of="
        )
    return int(given.reshape(-1)[0]) if given.size == 1 else game.joint_index([int(a) for a in given])


def _lengths(recorded: Any) -> set[int]:
    """Numbers of steps of recorded arrays; one number, if all is well."""
    if isinstance(recorded, Mapping | tuple):
        parts = recorded.values() if isinstance(recorded, Mapping) else recorded
        return {length for part in parts for length in _lengths(part)}
    return {len(recorded)} if hasattr(recorded, "__len__") and getattr(recorded, "ndim", 1) > 0 else set()


def _said(lengths: set[int]) -> str:
    return " or ".join(map(str, sorted(lengths))) or "no"


def _at(recorded: Any, step: int) -> Any:
    """One step's part of recorded arrays."""
    if isinstance(recorded, Mapping):
        return {name: _at(part, step) for name, part in recorded.items()}
    if isinstance(recorded, tuple):
        return tuple(_at(part, step) for part in recorded)
    return recorded[step]
