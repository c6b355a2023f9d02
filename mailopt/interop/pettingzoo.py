"""PettingZoo environments as Markov games, and as simulators where they are too large for that.

An environment has no probabilities to read: all its chance is drawn from the seed of ``reset``. :func:`unroll` follows
every joint action on deep copies and returns the game of the seeds that it is given, exactly.
:class:`PettingZooSimulator` plays an environment as it is, for learners that work from roll-outs.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mailopt.errors import InvalidOption, UnsupportedGame
from mailopt.games.game import MarkovGame
from mailopt.games.numbers import FloatArray, Number
from mailopt.games.policy import CorrelatedPolicy
from mailopt.games.sampling import random_generator, read_count, read_steps
from mailopt.imitation.demonstrations import Demonstrations
from mailopt.interop.enumeration import Time, enumerate_game
from mailopt.interop.pettingzoo_simulator import PettingZooSimulator
from mailopt.interop.pettingzoo_world import Key, Observations, ParallelWorld, Position, import_pettingzoo, parallel

__all__ = ["EnvironmentPolicy", "PettingZooSimulator", "UnrolledEnvironment", "make", "parallel", "unroll"]


@dataclass(frozen=True, eq=False)
class UnrolledEnvironment:
    """A PettingZoo environment as a Markov game; made by :func:`unroll`.

    Attributes
    ----------
    game
        The Markov game. Agents are ``possible_agents``, with their names; action k is the k-th of the action space, be
        it ever legal or not. An agent without a choice (one that is not to move, or has left) has the single legal
        action 0. The last state is the end of all episodes.
    seeds
        The seeds whose chance it holds.
    observations
        For each state what the agents who are there observe in it, a dictionary; None for the last.
    """

    game: MarkovGame
    seeds: tuple[int, ...]
    observations: tuple[Observations | None, ...] = field(repr=False)
    _world: ParallelWorld = field(repr=False)
    _index: Mapping[tuple[Hashable, int, int], int] = field(repr=False)  # of (key, agent to move, depth)

    def features(self, agent: int | None = None) -> FloatArray:
        """Return observations as one row of numbers for each state, for models to read.

        Parameters
        ----------
        agent
            Whose observations; None for all agents', one after the other.

        Returns
        -------
        FloatArray
            Shape (S, d). Observations are flattened; of a dictionary all parts in the order of their names, without
            the ``action_mask``. NaN where an agent observes nothing: where it has left, and in the last state. The
            time, which is part of the states unless ``time="step"``, is not among them.

        Raises
        ------
        UnknownAgent
            There is no such agent.
        UnsupportedGame
            Observations of one agent have different sizes, or are no numbers.

        Examples
        --------
        >>> import pettingzoo
        >>> from mailopt.interop.pettingzoo import unroll
        >>> env = unroll(pettingzoo.make("parallel", "classic/rps-v2", max_cycles=1))
        >>> env.features()
        array([[ 3.,  3.],
               [nan, nan]])
        """
        if agent is None:
            return np.concatenate([self.features(i) for i in range(self.game.num_agents)], axis=1)
        self.game.check_agent(agent)
        name = self._world.agents[agent]
        rows = [None if seen is None or name not in seen else _numbers(seen[name]) for seen in self.observations]
        sizes = {row.size for row in rows if row is not None}
        if len(sizes) > 1:
            raise UnsupportedGame(f"observations of agent {name!r} have different sizes: {sorted(sizes)}")
        table = np.full((self.game.num_states, *(sizes or {0})), np.nan)
        for s, row in enumerate(rows):
            if row is not None:
                table[s] = row
        return table

    def export(self, policy: CorrelatedPolicy, *, seed: int | np.random.Generator) -> EnvironmentPolicy:
        """Turn a policy of the Markov game into one that acts in the environment; see :class:`EnvironmentPolicy`.

        Raises
        ------
        InvalidPolicy
            The policy does not fit the game.
        """
        policy.check(self.game)
        return EnvironmentPolicy(self.game, policy, self._world, self._state_of, random_generator(seed))

    def play_outs(
        self, policy: CorrelatedPolicy, episodes: int, *, seed: int | np.random.Generator, steps: int | None = None
    ) -> Demonstrations:
        """Play the environment itself (in place) and record it in the states of the Markov game.

        An episode that ends early stays in the last state, with joint action 0.

        Parameters
        ----------
        policy
            What all agents obey.
        episodes
            How many; each starts with one of the seeds, drawn.
        seed
            An integer, or a generator to draw from: seeds and recommendations.
        steps
            Length of an episode if the environment was unrolled with a discount, which is cut off there.

        Raises
        ------
        InvalidPolicy, InvalidOption
            The policy does not fit the game; ``steps`` is missing, or given without a discount.
        UnsupportedGame
            A play reached what unrolling did not: the key merges different states.

        Examples
        --------
        >>> import mailopt as mo
        >>> import pettingzoo
        >>> from mailopt.interop.pettingzoo import unroll
        >>> env = unroll(pettingzoo.make("parallel", "classic/rps-v2", max_cycles=3))
        >>> env.play_outs(mo.CorrelatedPolicy.uniform(env.game), 100, seed=0)
        Demonstrations(100 episodes, 19 of 60 (step, state) pairs seen)
        """
        rng, count = random_generator(seed), read_count(episodes, "episodes")
        length = read_steps(self.game.horizon, steps)
        acting = self.export(policy, seed=rng)
        states = np.full((count, length), self.game.num_states - 1)
        joint = np.zeros_like(states)
        env = self._world.env
        for episode in range(count):
            chosen = self._world.seeds[int(rng.integers(len(self._world.seeds)))]
            position = self._world.started(env, chosen)
            for step in range(length):
                states[episode, step] = self._state_of(position, step)
                if position.over:
                    break
                joint[episode, step] = acting.recommend(states[episode, step], step)
                actions = self.game.joint_action(joint[episode, step])
                position, _ = self._world.stepped(position, position.env, actions)
        return Demonstrations(self.game, states, joint)

    def _state_of(self, position: Position, step: int) -> int:
        """State of a position after so many steps."""
        if position.over:
            return self.game.num_states - 1
        depth = step if self.game.discount is None else 0
        state = self._index.get((position.key, position.mover, depth), -1)
        if state < 0:
            raise UnsupportedGame(
                f"step {step}: the play reaches {self._world.label(position)!r}, which unrolling did not find there. "
                "Other chance than that of its seeds leads there, or a key merges different states; or, acting in the "
                "environment, reset() was forgotten or infos were not passed on"
            )
        return state


class EnvironmentPolicy:
    """A policy of the Markov game, acting in the environment; made by :meth:`UnrolledEnvironment.export`.

    The mediator's recommendations, obeyed by all agents:

    .. code-block:: python

        observations, infos = env.reset(seed=0)
        acting.reset(seed=0)
        while env.agents:
            actions = acting.act(env, observations, infos)
            observations, rewards, terminations, truncations, infos = env.step(actions)
    """

    def __init__(
        self,
        game: MarkovGame,
        policy: CorrelatedPolicy,
        world: ParallelWorld,
        state_of: Callable[[Position, int], int],
        rng: np.random.Generator,
    ) -> None:
        self._game, self._policy, self._world = game, policy, world
        self._state_of, self._rng = state_of, rng
        self._seed, self._step = world.seeds[0], 0

    def reset(self, seed: int | None = None, step: int = 0) -> None:
        """Begin an episode, of this seed (needed where there are several), or go to one of its steps.

        Raises
        ------
        InvalidOption
            The game has no such seed, or several and none is given.
        """
        known = self._world.seeds
        if (seed is None and len(known) > 1) or (seed is not None and seed not in known):
            raise InvalidOption(
                f"seed is {seed}; the environment was unrolled with the seeds {known}, give one of them"
            )
        self._seed, self._step = known[0] if seed is None else seed, step

    def act(self, env: Any, observations: Observations, infos: Mapping[Any, Any] | None = None) -> dict[Any, int]:
        """Draw what each agent is recommended, in the action spaces of the environment, and go on to the next step.

        Parameters
        ----------
        env
            The parallel environment.
        observations, infos
            What its ``reset`` or ``step`` returned last.

        Raises
        ------
        UnsupportedGame
            The game has no such state at this step; the environment is not in its parallel form.
        """
        joint = self.recommend(self._state(env, observations, infos), self._step)
        self._step += 1
        return self._world.chosen(env, self._game.joint_action(joint))

    def joint_action_probabilities(
        self, env: Any, observations: Observations, infos: Mapping[Any, Any] | None = None
    ) -> list[tuple[dict[Any, int], float]]:
        """Return the actions that may be recommended together and their probabilities; for the same step.

        Parameters
        ----------
        env, observations, infos
            As for :meth:`act`.

        Raises
        ------
        UnsupportedGame
            The game has no such state at this step.
        """
        row = self._policy.at(self._step)[self._state(env, observations, infos)]
        return [
            (self._world.chosen(env, self._game.joint_action(int(joint))), float(row[joint]))
            for joint in np.flatnonzero(row)
        ]

    def recommend(self, state: int, step: int) -> int:
        """Draw a flat joint action for a state of the Markov game."""
        return int(self._policy.sample(step, np.array([state]), self._rng.random(1))[0])

    def _state(self, env: Any, observations: Observations, infos: Mapping[Any, Any] | None) -> int:
        if hasattr(env, "agent_selection"):
            raise UnsupportedGame(f"{env} is an AEC environment; act in mailopt.interop.pettingzoo.parallel(env)")
        position = self._world.position(env, self._seed, (), observations, infos or {}, truncated=False)
        return self._state_of(position, self._step)


def make(name: str) -> Any:
    """Make an environment of PettingZoo's registry by its name, such as ``"classic/tictactoe-v3"``.

    Raises
    ------
    UnsupportedGame
        PettingZoo has none of this name, or cannot make it.
    MissingDependency
        PettingZoo is not installed.
    """
    pettingzoo = import_pettingzoo()
    try:
        return pettingzoo.make("aec", name)
    except Exception as error:
        raise UnsupportedGame(f"PettingZoo cannot make {name!r}: {error}") from error


def unroll(
    env: Any,
    *,
    seeds: Sequence[int] = (0,),
    time: Time = "layered",
    horizon: int | None = None,
    discount: Number | None = None,
    key: Key | None = None,
    options: Mapping[str, Any] | None = None,
    max_states: int = 100_000,
) -> UnrolledEnvironment:
    """Turn a PettingZoo environment into a Markov game, by playing every joint action on deep copies of it.

    With one seed the game is deterministic. With several, an episode starts with each of them with the same
    probability, and states of different seeds are different: agents of a Markov game know the state, and so what a seed
    will bring. Values and regret of an environment with chance are those of agents who foresee that of its seeds; where
    nobody does, log its transitions for :meth:`mailopt.MarkovGame.from_samples`.

    Chance that is no function of the seed is found out where it shows (every node plays one joint action twice, some
    are played again from the start) and refused.

    Parameters
    ----------
    env
        A parallel environment with ``Discrete`` action spaces, or an AEC environment, which PettingZoo converts:
        ``aec_to_parallel`` if it is parallelizable, else ``turn_based_aec_to_parallel``. One that cannot be copied is
        played instead, again and again from ``reset``, which is slower.
    seeds
        What ``reset`` is called with.
    time
        With ``"layered"`` the number of steps made so far is part of the state; with ``"step"`` it is not, and
        transitions and rewards are given for each step. See :func:`mailopt.interop.openspiel.unroll`.
    horizon
        Most steps of an episode; for environments that do not end. Nothing is paid after them.
    discount
        A discount in [0, 1) instead: no horizon, and the number of steps is not part of the state. An episode that the
        environment truncates is an error: raise its limit. Positions are followed where they are first found, so that
        a distant limit is never met.
    key
        Function of the environment and the observations of all agents (a dictionary) that identifies a state. The
        default is all that agents see: who is there, their observations and legal actions. Positions that it merges
        must have the same future, which is compared for two of them.
    options
        Passed to ``reset``.
    max_states
        Most states to find, the end included. For ``"step"`` a state counts at each step that reaches it.

    Raises
    ------
    UnsupportedGame
        This is no such environment; its actions are not ``Discrete``; the same seed and actions lead to different
        things; states with the same key differ in their legal actions or in what happens next; nothing is to decide;
        with a discount, a truncation.
    GameTooLarge
        ``max_states`` was reached, or the arrays would be too large; the message says what to do.
    InvalidOption, InvalidHorizon
        An option that does not make sense.
    MissingDependency
        PettingZoo is not installed.

    Examples
    --------
    Rock, paper, scissors, three times; agents see the last move:

    >>> import pettingzoo
    >>> from mailopt.interop.pettingzoo import unroll
    >>> env = pettingzoo.make("parallel", "classic/rps-v2", max_cycles=3)
    >>> unroll(env).game
    MarkovGame(2 agents with (3, 3) actions, 20 states, horizon 3, deterministic transitions)
    >>> unroll(env, time="step").game
    MarkovGame(2 agents with (3, 3) actions, 11 states, horizon 3, deterministic transitions)
    """
    chosen = [int(seed) for seed in seeds] if isinstance(seeds, Sequence) else []
    if not chosen or len(set(chosen)) < len(chosen):
        raise InvalidOption(f"seeds are {seeds!r}; give a list of at least one, each once")
    world = ParallelWorld(env, chosen, options, key)
    found = enumerate_game(
        world,
        time=time,
        horizon=horizon,
        discount=discount,
        max_states=max_states,
        roll_outs="mailopt.interop.pettingzoo.PettingZooSimulator",
        agent_names=[str(agent) for agent in world.agents],
    )
    observations = (*(nodes[0].position.observations for nodes in found.states), None)
    return UnrolledEnvironment(found.game, tuple(chosen), observations, world, found.index)


def _numbers(observation: Any) -> FloatArray:
    """Flatten an observation, without its action mask."""
    if isinstance(observation, Mapping):
        parts = [_numbers(observation[name]) for name in sorted(observation) if name != "action_mask"]
        return np.concatenate(parts) if parts else np.zeros(0)
    try:
        return np.asarray(observation, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError) as error:
        raise UnsupportedGame(f"an observation is no array of numbers: {observation!r:.80}") from error
