"""PettingZoo environments, one position at a time: deep copies, keys and legal actions.

A position is reached by a seed and a history of joint actions. It holds a copy of the environment while there is room
for it; later, and where an environment cannot be copied, it is played there again.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mailopt.errors import InvalidOption, MissingDependency, UnsupportedGame
from mailopt.interop.enumeration import Outcomes

Observations = Mapping[Any, Any]  # of each agent that is there
Key = Callable[[Any, Observations], Hashable]  # of environment and observations

_MOST_COPIES = 1000
_LONGEST_TEXT = 60


def import_pettingzoo() -> Any:
    """Import PettingZoo, or say how to install it."""
    try:
        import pettingzoo  # noqa: PLC0415 - optional
    except ImportError as error:
        raise MissingDependency("PettingZoo is not installed: pip install 'mailopt[games]'") from error
    return pettingzoo


def parallel(env: Any) -> Any:
    """Return a PettingZoo environment in its parallel form.

    An AEC environment is converted by PettingZoo: ``aec_to_parallel`` where its metadata say that it is
    parallelizable, else ``turn_based_aec_to_parallel``, in which one agent moves at a time.

    Raises
    ------
    MissingDependency
        PettingZoo is not installed.
    UnsupportedGame
        Something else was given, or it has no ``possible_agents``.
    """
    pettingzoo = import_pettingzoo()
    from pettingzoo.utils import conversions  # noqa: PLC0415 - optional

    if isinstance(env, pettingzoo.AECEnv):
        simultaneous = env.metadata.get("is_parallelizable", False)
        env = conversions.aec_to_parallel(env) if simultaneous else conversions.turn_based_aec_to_parallel(env)
    if not isinstance(env, pettingzoo.ParallelEnv):
        raise UnsupportedGame(f"a {type(env).__name__} is no PettingZoo environment; give an AECEnv or a ParallelEnv")
    if not getattr(env, "possible_agents", None):
        raise UnsupportedGame(f"{env} does not list its possible_agents; a game has a fixed set of agents")
    return env


def copied(env: Any) -> Any:
    """Return a deep copy of an environment in the state that it is in.

    ``copy.deepcopy`` alone would not do: gymnasium's ``EzPickle``, from which most PettingZoo environments derive,
    makes it construct a new environment instead, and the state is lost. Spaces are shared: they do not change.
    """
    from gymnasium import Env, Space  # noqa: PLC0415 - optional, comes with PettingZoo
    from gymnasium.utils import EzPickle  # noqa: PLC0415
    from pettingzoo import AECEnv, ParallelEnv  # noqa: PLC0415

    memo: dict[int, Any] = {}
    layers, found = [env], {id(env): env}
    while layers:
        layer = layers.pop()
        if isinstance(layer, EzPickle):
            memo[id(layer)] = object.__new__(type(layer))
        for part in vars(layer).values():
            for value in part.values() if isinstance(part, dict) else (part,):
                if isinstance(value, Space):
                    memo[id(value)] = value
                elif isinstance(value, AECEnv | ParallelEnv | Env | EzPickle) and id(value) not in found:
                    found[id(value)] = value
                    layers.append(value)
    for number, layer in found.items():
        if number in memo:
            memo[number].__dict__.update(copy.deepcopy(vars(layer), memo))
    return copy.deepcopy(env, memo)


def default_key(agents: Sequence[Any], legal: Sequence[Sequence[int]], observations: Observations) -> Hashable:
    """Return all that the agents see: who is there, legal actions and observations."""
    return tuple(
        (a, tuple(c), _frozen(observations[a])) for a, c in zip(agents, legal, strict=True) if a in observations
    )


@dataclass
class Position:
    """An environment after a seed and a history."""

    env: Any  # None where it was given up
    seed: int
    played: tuple[tuple[int, ...], ...]
    observations: Observations
    legal: tuple[tuple[int, ...], ...]
    mover: int
    over: bool
    truncated: bool
    key: Hashable = None
    kept: bool = False  # whether its environment counts among the copies that are held


class ParallelWorld:
    """A parallel environment whose chance is all in its seed, to enumerate or to play."""

    def __init__(
        self, env: Any, seeds: Sequence[int] = (0,), options: Mapping[str, Any] | None = None, key: Key | None = None
    ) -> None:
        self.env = parallel(env)
        self.agents = list(self.env.possible_agents)
        self.num_players = len(self.agents)
        self.seeds = list(seeds)
        self._first_actions, self.num_actions = _action_ranges(self.env)
        self._options, self._given_key = options, key
        self._copies, self._copyable = 0, True
        self._expanded = 0

    def __str__(self) -> str:
        return str(self.env)

    def starts(self) -> Outcomes:
        """See :class:`World`."""
        try:
            envs = [copied(self.env) for _ in self.seeds]
        except Exception:  # noqa: BLE001 - whatever it is that cannot be copied
            envs, self._copyable = [self.env for _ in self.seeds], False
        return [(1.0 / len(envs), self.started(env, seed)) for env, seed in zip(envs, self.seeds, strict=True)]

    def follow(self, position: Position, actions: tuple[int, ...]) -> tuple[Outcomes, list[float]]:
        """See :class:`World`."""
        after, rewards = self.stepped(position, self._ready(position), actions)
        first = tuple(choices[0] if choices else 0 for choices in position.legal)
        if actions == first:
            self._require_repeatable(position, actions, after, rewards)
        return [(1.0, after)], rewards

    def is_over(self, position: Position) -> bool:
        """See :class:`World`."""
        return position.over

    def is_cut_off(self, position: Position) -> bool:
        """See :class:`World`."""
        return position.truncated

    def key(self, position: Position) -> Hashable:
        """See :class:`World`."""
        return position.key

    def label(self, position: Position) -> str:
        """See :class:`World`."""
        seed = f"seed {position.seed}: " if len(self.seeds) > 1 else ""
        if self._given_key is not None:
            return f"{seed}{position.key[1] if seed else position.key}"  # type: ignore[index]
        seen = "; ".join(f"{agent} {_in_one_line(seen)}" for agent, seen in position.observations.items())
        return f"{seed}{seen}"

    def mover(self, position: Position) -> int:
        """See :class:`World`."""
        return position.mover

    def legal(self, position: Position) -> tuple[tuple[int, ...], ...]:
        """See :class:`World`."""
        return position.legal

    def action_name(self, position: Position, player: int, action: int) -> str:
        """See :class:`World`."""
        return str(self._first_actions[player] + action)

    def history(self, position: Position) -> object:
        """See :class:`World`."""
        return f"seed {position.seed}, {[list(actions) for actions in position.played]}"

    def keep(self, position: Position) -> None:
        """See :class:`World`. Its environment is kept if there is room."""
        position.kept = self._copyable and self._copies < _MOST_COPIES
        if position.kept:
            self._copies += 1
        else:
            position.env = None

    def release(self, position: Position) -> None:
        """See :class:`World`."""
        self._copies -= position.kept
        position.env, position.kept = None, False

    def started(self, env: Any, seed: int) -> Position:
        """Reset an environment, in place."""
        try:
            observations, infos = env.reset(seed=seed, options=None if self._options is None else dict(self._options))
        except Exception as error:
            raise UnsupportedGame(f"{self}: reset raised {error!r}, with seed {seed}") from error
        return self.position(env, seed, (), observations, infos, truncated=False)

    def stepped(self, position: Position, env: Any, actions: Sequence[int]) -> tuple[Position, list[float]]:
        """Play one joint action in an environment at this position, in place; 0 for agents without a choice."""
        there = list(env.agents)
        returned = self._step(position, env, actions)
        if not isinstance(returned, tuple) or len(returned) != 5:
            raise UnsupportedGame(
                f"{self}: step returned {returned!r:.80}, expected (observations, rewards, terminations, truncations, "
                "infos)"
            )
        observations, paid, terminations, truncations, infos = returned
        truncated = any(truncations.values()) and not all(terminations.values())
        played = (*position.played, tuple(actions))
        after = self.position(env, position.seed, played, observations, infos, truncated=truncated)
        if terminations and all(terminations[agent] or truncations[agent] for agent in terminations):
            after.over = True
        unpaid = [agent for agent in self.agents if agent in there and agent not in paid]
        if unpaid:
            raise UnsupportedGame(f"{self}, {self.history(after)}: step returned no reward of agent {unpaid[0]!r}")
        rewards = [float(paid.get(agent, 0.0)) for agent in self.agents]
        if not np.isfinite(rewards).all():
            raise UnsupportedGame(f"{self}, {self.history(after)}: the rewards are {dict(paid)}")
        return after, rewards

    def _step(self, position: Position, env: Any, actions: Sequence[int]) -> Any:
        try:
            return env.step(self.chosen(env, actions))
        except Exception as error:
            raise UnsupportedGame(
                f"{self}: step({self.chosen(env, actions)}) raised {error!r}, after {self.history(position)}"
            ) from error

    def chosen(self, env: Any, actions: Sequence[int]) -> dict[Any, int]:
        """Name the actions of the agents who are there as the environment does."""
        return {
            agent: self._first_actions[i] + actions[i] for i, agent in enumerate(self.agents) if agent in env.agents
        }

    def position(
        self,
        env: Any,
        seed: int,
        played: tuple[tuple[int, ...], ...],
        observations: Observations,
        infos: Mapping[Any, Any],
        *,
        truncated: bool,
    ) -> Position:
        """Describe where an environment is, from what its ``reset`` or ``step`` returned last."""
        unknown = [agent for agent in env.agents if agent not in self.agents]
        if unknown:
            raise UnsupportedGame(f"{self}: the agent {unknown[0]!r} appears, which possible_agents does not list")
        active = getattr(getattr(env, "aec_env", None), "agent_selection", None) if _takes_turns(env) else None
        legal = tuple(
            _choices(agent, count, observations, infos) if agent in env.agents and active in (None, agent) else ()
            for agent, count in zip(self.agents, self.num_actions, strict=True)
        )
        mover = -1 if active is None else self.agents.index(active)
        # what was observed is copied: environments may write into the same arrays again
        seen = {agent: copy.deepcopy(observations[agent]) for agent in self.agents if agent in observations}
        position = Position(env, seed, played, seen, legal, mover, not env.agents, truncated)
        chosen = default_key(self.agents, legal, seen) if self._given_key is None else self._called(env, seen)
        if not isinstance(chosen, Hashable):
            raise InvalidOption(f"key= returned a {type(chosen).__name__}, which is not hashable; return a tuple")
        position.key = (seed, chosen) if len(self.seeds) > 1 else chosen
        return position

    def _called(self, env: Any, seen: Observations) -> Hashable:
        assert self._given_key is not None
        try:
            return self._given_key(env, seen)
        except Exception as error:
            raise InvalidOption(
                f"the function that names states raised {error!r}; it is called with the environment and observations"
            ) from error

    def _ready(self, position: Position) -> Any:
        """Return an environment at a position, to be played on."""
        if not self._copyable:
            return self._replayed(position)
        if position.env is None:
            position.env = self._replayed(position)
        try:
            return copied(position.env)
        except Exception:  # noqa: BLE001 - whatever it is that cannot be copied
            self._copyable = False
            return self._replayed(position)

    def _replayed(self, position: Position) -> Any:
        """Play the environment to a position from the start."""
        env = copied(self.env) if self._copyable else self.env
        again = self.started(env, position.seed)
        for actions in position.played[:-1]:
            self._step(position, env, actions)
        if position.played:
            again, _ = self.stepped(replace(position, played=position.played[:-1]), env, position.played[-1])
        if again.key != position.key:
            raise self._not_repeatable(position)
        return env

    def _require_repeatable(
        self, position: Position, actions: tuple[int, ...], after: Position, rewards: list[float]
    ) -> None:
        """Play a joint action again, now and then from the start of the episode, and compare."""
        self._expanded += 1
        if self._expanded & (self._expanded - 1) == 0:  # 1, 2, 4, 8, ..
            self.release(position)
        again, paid = self.stepped(position, self._ready(position), actions)
        if (again.key, again.over, paid) != (after.key, after.over, rewards):
            raise self._not_repeatable(after)

    def _not_repeatable(self, position: Position) -> UnsupportedGame:
        return UnsupportedGame(
            f"{self}: the same seed and actions led to different things ({self.history(position)}): chance is not all "
            "in the seed of reset(), or the environment keeps something that deep copies do not take along. Play it, "
            "with PettingZooSimulator"
        )


def _takes_turns(env: Any) -> bool:
    from pettingzoo.utils.conversions import turn_based_aec_to_parallel_wrapper  # noqa: PLC0415 - optional

    return isinstance(env, turn_based_aec_to_parallel_wrapper)


def _action_ranges(env: Any) -> tuple[list[int], list[int]]:
    """First action and number of actions of each agent."""
    from gymnasium.spaces import Discrete  # noqa: PLC0415 - optional, comes with PettingZoo

    spaces = [env.action_space(agent) for agent in env.possible_agents]
    for agent, space in zip(env.possible_agents, spaces, strict=True):
        if not isinstance(space, Discrete):
            raise UnsupportedGame(
                f"{env}: agent {agent!r} has the action space {space}; a Markov game needs Discrete ones. Wrap the "
                "environment so that its actions are numbers"
            )
    return [int(space.start) for space in spaces], [int(space.n) for space in spaces]


def _choices(agent: Any, count: int, observations: Observations, infos: Mapping[Any, Any]) -> tuple[int, ...]:
    """Legal actions of an agent: those of its action mask, in its observation or its info, else all."""
    seen = observations.get(agent)
    mask = seen.get("action_mask") if isinstance(seen, Mapping) else None
    if mask is None:
        mask = infos.get(agent, {}).get("action_mask")
    if mask is None:
        return tuple(range(count))
    flags = np.asarray(mask)
    if flags.shape != (count,):
        raise UnsupportedGame(f"the action mask of agent {agent!r} has shape {flags.shape}, expected ({count},)")
    return tuple(int(k) for k in np.flatnonzero(flags))


def _frozen(observation: Any) -> Hashable:
    """Return something hashable that is equal just where observations are."""
    if isinstance(observation, Mapping):
        return tuple(sorted((str(name), _frozen(part)) for name, part in observation.items()))
    if isinstance(observation, list | tuple):
        return tuple(_frozen(part) for part in observation)
    array: npt.NDArray[Any] = np.asarray(observation)
    if array.dtype == object:
        if not isinstance(observation, Hashable):
            raise UnsupportedGame(f"an observation holds a {type(observation).__name__}; give key=")
        return observation
    return array.shape, array.dtype.str, array.tobytes()


def _in_one_line(observation: Any) -> str:
    """Text of an observation, for people; without its action mask."""
    if isinstance(observation, Mapping):
        parts = {name: part for name, part in observation.items() if name != "action_mask"}
        observation = next(iter(parts.values())) if len(parts) == 1 else parts
    if isinstance(observation, np.ndarray | np.generic):
        observation = observation.tolist()
    text = " ".join(str(observation).split())
    return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 2] + ".."
