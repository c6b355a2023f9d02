"""PettingZoo environments to play and not to look into, for learners that work from roll-outs."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mailopt.errors import GameTooLarge, InvalidOption, SimulatorFailed
from mailopt.games.sampling import random_generator, read_count
from mailopt.imitation.simulator import Simulator
from mailopt.interop.pettingzoo_world import Key, Observations, ParallelWorld, Position

_SEEDS = 2**31


class PettingZooSimulator(Simulator):
    """A PettingZoo environment to play, not to look into: for roll-outs of :func:`~mailopt.malice` and others.

    States are numbered by ``state_of``, or as they are met. The last state, S-1, stands for the end of an episode: the
    environment stays there.

    Parameters
    ----------
    env
        A parallel or AEC environment, as for :func:`~mailopt.interop.pettingzoo.unroll`.
    num_states
        S, the end included; if states are numbered as they are met, the most that there may be.
    horizon, discount, legal, homogeneous
        As for :class:`~mailopt.Simulator`. Where agents have action masks, ``legal`` must agree with them.
    state_of
        Function of the environment and the observations of all agents that returns the state, 0 to S-2. None: states
        are numbered as they are met, by ``key``.
    key
        As for :func:`~mailopt.interop.pettingzoo.unroll`; for ``state_of=None``.
    options
        Passed to ``reset``.

    Raises
    ------
    UnsupportedGame, MissingDependency
        As for :func:`~mailopt.interop.pettingzoo.unroll`.
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
                    f"legal= says {allowed.tolist()}; they must agree. explored() finds legal actions by itself"
                )
        return int(state)
