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
import numpy.typing as npt

from mailopt.errors import GameTooLarge, InvalidOption, SimulatorFailed, UnsupportedGame
from mailopt.games.game import MarkovGame
from mailopt.games.numbers import FloatArray, Number
from mailopt.games.policy import CorrelatedPolicy
from mailopt.games.sampling import random_generator, read_count, read_steps
from mailopt.imitation.demonstrations import Demonstrations
from mailopt.imitation.simulator import Simulator
from mailopt.interop.enumeration import Time, enumerate_game
from mailopt.interop.pettingzoo_world import Key, Observations, ParallelWorld, Position

_SEEDS = 2**31


@dataclass(frozen=True, eq=False)
class UnrolledEnvironment:
    """A PettingZoo environment as a Markov game; made by :func:`unroll`.

    Attributes
    ----------
    game
        The Markov game. Agents are ``possible_agents``, with their names; action k is the k-th of the action space. An
        agent without a choice (one that is not to move, or has left) has the single legal action 0. The last state is
        the end of all episodes.
    observations
        For each state what the agents who are there observe in it, a dictionary; None for the last.
    """

    game: MarkovGame
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
            the ``action_mask``. NaN where an agent observes nothing, as in the last state.

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
                f"step {step}: the play reaches {self._world.label(position)!r}, which unrolling did not find there: "
                "it had other seeds, or the key merges different states"
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

    def reset(self, seed: int | None = None) -> None:
        """Begin an episode, of this seed; needed where there are several."""
        self._seed, self._step = self._world.seeds[0] if seed is None else seed, 0

    def act(self, env: Any, observations: Observations, infos: Mapping[Any, Any] | None = None) -> dict[Any, int]:
        """Return what each agent is recommended, in the action spaces of the environment.

        Parameters
        ----------
        env
            The parallel environment.
        observations, infos
            What its ``reset`` or ``step`` returned last.

        Raises
        ------
        UnsupportedGame
            The game has no such state at this step.
        """
        position = self._world.position(env, self._seed, (), observations, infos or {}, truncated=False)
        joint = self.recommend(self._state_of(position, self._step), self._step)
        self._step += 1
        return self._world.chosen(env, self._game.joint_action(joint))

    def recommend(self, state: int, step: int) -> int:
        """Draw a flat joint action for a state of the Markov game."""
        return int(self._policy.sample(step, np.array([state]), self._rng.random(1))[0])


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
    will bring. Chance that is no function of the seed is found out where it shows (every node plays one joint action
    twice, some are played again from the start) and refused.

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
        A discount in [0, 1) instead: no horizon, and the number of steps is not part of the state. Where the
        environment truncates an episode at a state from which it also goes on, that is an error: raise its limit.
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
        with a discount, a truncation where the environment also goes on.
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
    chosen = [int(seed) for seed in seeds]
    if not chosen or len(set(chosen)) < len(chosen):
        raise InvalidOption(f"seeds are {chosen}; give at least one, each once")
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
    return UnrolledEnvironment(found.game, observations, world, found.index)


class PettingZooSimulator(Simulator):
    """A PettingZoo environment to play, not to look into: for roll-outs of :func:`~mailopt.malice` and others.

    States are numbered by ``state_of``, or as they are met. The last state, S-1, stands for the end of an episode: the
    environment stays there.

    Parameters
    ----------
    env
        A parallel or AEC environment, as for :func:`unroll`.
    num_states
        S, the end included; if states are numbered as they are met, the most that there may be.
    horizon, discount, legal, homogeneous
        As for :class:`~mailopt.Simulator`. Where agents have action masks, ``legal`` must agree with them.
    state_of
        Function of the environment and the observations of all agents that returns the state, 0 to S-2. None: states
        are numbered as they are met, by ``key``.
    key
        As for :func:`unroll`; for ``state_of=None``.
    options
        Passed to ``reset``.

    Raises
    ------
    UnsupportedGame, MissingDependency
        As for :func:`unroll`.
    InvalidGame, InvalidOption
        As for :class:`~mailopt.Simulator`; ``state_of`` and ``key`` are both given.

    Examples
    --------
    >>> import numpy as np
    >>> import pettingzoo
    >>> from mailopt.interop.pettingzoo import PettingZooSimulator
    >>> env = pettingzoo.make("parallel", "classic/rps-v2", max_cycles=100)
    >>> simulator = PettingZooSimulator(env, num_states=11, horizon=5)
    >>> simulator.reset(np.random.default_rng(0)), simulator.step(1), simulator.step(5), simulator.step(1)
    (0, 1, 2, 1)
    """

    def __init__(
        self,
        env: Any,
        *,
        num_states: int,
        horizon: int | None = None,
        discount: float | None = None,
        legal: Sequence[npt.ArrayLike | None] | None = None,
        homogeneous: bool = True,
        state_of: Callable[[Any, Observations], int] | None = None,
        key: Key | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        if state_of is not None and key is not None:
            raise InvalidOption("state_of= and key= are both given; states are numbered by one of them")
        self._world = ParallelWorld(env, options=options, key=key if state_of is None else state_of)
        super().__init__(
            num_states,
            self._world.num_actions,
            horizon=horizon,
            discount=discount,
            legal=legal,
            homogeneous=homogeneous,
        )
        self._numbered = state_of is not None
        self._numbers: dict[Hashable, int] = {}
        self._position: Position | None = None

    @classmethod
    def explored(
        cls,
        env: Any,
        episodes: int,
        *,
        seed: int | np.random.Generator,
        horizon: int | None = None,
        discount: float | None = None,
        key: Key | None = None,
        options: Mapping[str, Any] | None = None,
        max_states: int = 100_000,
    ) -> PettingZooSimulator:
        """Make a simulator of the states that random play meets, with the actions that are legal in them.

        For environments with action masks, or that take turns, whose legal actions must be known beforehand. A state
        that is first met later is an error.

        Parameters
        ----------
        env, horizon, discount, key, options
            As for the class.
        episodes
            How many to play, uniformly among legal actions; with a discount each to its end.
        seed
            An integer, or a generator to draw from.
        max_states
            Most states to find.

        Raises
        ------
        GameTooLarge
            ``max_states`` was reached.
        InvalidOption, UnsupportedGame, MissingDependency
            As for the class.

        Examples
        --------
        >>> import pettingzoo
        >>> from mailopt.interop.pettingzoo import PettingZooSimulator
        >>> env = pettingzoo.make("aec", "classic/tictactoe-v3")
        >>> PettingZooSimulator.explored(env, 100, seed=0, horizon=2).num_states
        11
        """
        rng, world = random_generator(seed), ParallelWorld(env, options=options, key=key)
        numbers: dict[Hashable, int] = {}
        legal: list[tuple[tuple[int, ...], ...]] = []
        for _ in range(read_count(episodes, "episodes")):
            position = world.started(world.env, int(rng.integers(_SEEDS)))
            while not position.over and (horizon is None or len(position.played) < horizon):
                if position.key not in numbers:
                    numbers[position.key] = len(numbers)
                    legal.append(position.legal)
                    if len(numbers) + 1 > max_states:
                        raise GameTooLarge(
                            f"{world}: random play met more than max_states={max_states} states, the end included, "
                            f"within {episodes} episodes; raise max_states, or give a coarser key="
                        )
                actions = [int(rng.choice(choices)) if choices else 0 for choices in position.legal]
                position, _ = world.stepped(position, position.env, actions)
        masks = [np.zeros((len(legal) + 1, n), dtype=bool) for n in world.num_actions]
        for s, choices_there in enumerate([*legal, ((),) * world.num_players]):
            for mask, choices in zip(masks, choices_there, strict=True):
                mask[s, list(choices or (0,))] = True
        simulator = cls(
            env, num_states=len(legal) + 1, horizon=horizon, discount=discount, legal=masks, key=key, options=options
        )
        simulator._numbers.update(numbers)
        return simulator

    def reset(self, rng: np.random.Generator) -> int:
        """See :class:`~mailopt.Simulator`. The seed of the environment is drawn from the generator."""
        self._position = self._world.started(self._world.env, int(rng.integers(_SEEDS)))
        return self._arrived()

    def step(self, joint_action: int) -> int:
        """See :class:`~mailopt.Simulator`.

        Raises
        ------
        SimulatorFailed
            No episode was started; the action is masked; more states than ``num_states``; ``state_of`` returned none.
        """
        if self._position is None:
            raise SimulatorFailed("no episode was started; call reset(rng) first")
        if not self._position.over:
            actions = self.blank_game().joint_action(joint_action)
            self._position, _ = self._world.stepped(self._position, self._position.env, actions)
        return self._arrived()

    def observations(self) -> Observations:
        """Return what the agents observe now."""
        return {} if self._position is None else self._position.observations

    def _arrived(self) -> int:
        assert self._position is not None
        if self._position.over:
            return self.num_states - 1
        if self._numbered:
            state: Any = self._position.key
            if not isinstance(state, int | np.integer) or not 0 <= state < self.num_states - 1:
                raise SimulatorFailed(f"state_of returned {state!r:.80}; give an integer 0 to {self.num_states - 2}")
        else:
            state = self._numbers.setdefault(self._position.key, len(self._numbers))
            if state >= self.num_states - 1:
                raise SimulatorFailed(
                    f"more than num_states={self.num_states} states were met, the end included; raise num_states "
                    "(or the episodes of explored()), or give a coarser key="
                )
        for agent, choices in enumerate(self._position.legal):
            allowed = np.flatnonzero(self.legal[agent][state])
            if tuple(int(a) for a in allowed) != (choices or (0,)):
                raise SimulatorFailed(
                    f"state {state}: agent {self._world.agents[agent]!r} may play {list(choices or (0,))} there, "
                    f"legal= says {allowed.tolist()}; they must agree"
                )
        return int(state)


def _numbers(observation: Any) -> FloatArray:
    """Flatten an observation, without its action mask."""
    if isinstance(observation, Mapping):
        parts = [_numbers(observation[name]) for name in sorted(observation) if name != "action_mask"]
        return np.concatenate(parts) if parts else np.zeros(0)
    try:
        return np.asarray(observation, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError) as error:
        raise UnsupportedGame(f"an observation is no array of numbers: {observation!r:.80}") from error
