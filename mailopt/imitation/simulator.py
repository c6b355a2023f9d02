"""Simulators: games that can be played but not looked into, and roll-outs in them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mailopt.deviations import Deviation
from mailopt.errors import IllegalAction, InvalidHorizon, InvalidOption, SimulatorFailed
from mailopt.games.blank import blank_game
from mailopt.games.game import MarkovGame, check_game
from mailopt.games.numbers import FloatArray, IntArray
from mailopt.games.policy import CorrelatedPolicy, check_policy
from mailopt.games.sampling import RowSampler, random_generator, read_count, read_steps
from mailopt.imitation.players import Player, player_of


class Simulator(ABC):
    """A game whose dynamics are hidden: it can be started and played, nothing else.

    Subclass it, call this constructor, and write :meth:`reset` and :meth:`step`. Rewards play no part.

    Parameters
    ----------
    num_states
        S; states are 0..S-1.
    actions
        Number of actions of each agent (n_0, .., n_{m-1}).
    horizon, discount
        As for :class:`mailopt.MarkovGame`: exactly one of the two.
    legal
        For each agent a (S, n_i) array of booleans, None for "all legal".
    homogeneous
        Whether transitions are the same at all steps; with a discount they must be.

    Raises
    ------
    InvalidGame, InvalidOption
        Sizes, horizon or legal actions that do not make sense.

    Examples
    --------
    >>> import mailopt as mo
    >>> class Coin(mo.Simulator):
    ...     def __init__(self):
    ...         super().__init__(2, (2, 2), horizon=3)
    ...     def reset(self, rng):
    ...         self.rng = rng
    ...         return 0
    ...     def step(self, joint_action):
    ...         return int(self.rng.integers(2))
    >>> Coin().blank_game()
    MarkovGame(2 agents with (2, 2) actions, 2 states, horizon 3, deterministic transitions)
    """

    def __init__(
        self,
        num_states: int,
        actions: Sequence[int],
        *,
        horizon: int | None = None,
        discount: float | None = None,
        legal: Sequence[npt.ArrayLike | None] | None = None,
        homogeneous: bool = True,
    ) -> None:
        count = read_count(num_states, "num_states")
        if discount is not None and not homogeneous:
            raise InvalidHorizon("a discounted simulator must not depend on the step; leave homogeneous=True")
        self._blank = blank_game(
            count, actions, np.full(count, 1.0 / count), horizon=horizon, discount=discount, legal=legal
        )
        self.num_states, self.actions = self._blank.num_states, self._blank.actions
        self.horizon, self.discount, self.legal = self._blank.horizon, self._blank.discount, self._blank.legal
        self.homogeneous = homogeneous

    @abstractmethod
    def reset(self, rng: np.random.Generator) -> int:
        """Start an episode and return its first state. All chance of the episode comes from the generator."""

    @abstractmethod
    def step(self, joint_action: int) -> int:
        """Play a flat joint action and return the next state. The last step of an episode is not asked for."""

    def blank_game(self) -> MarkovGame:
        """Return a game of the same shape, in which every state stays where it is and nothing is paid."""
        return self._blank


class GameSimulator(Simulator):
    """A game as a simulator.

    Parameters
    ----------
    game
        The game.

    Examples
    --------
    >>> import numpy as np
    >>> import mailopt as mo
    >>> simulator = mo.GameSimulator(mo.scenarios.unvisited_chain(3).game)
    >>> simulator.reset(np.random.default_rng(0)), simulator.step(1), simulator.step(0)
    (0, 1, 3)
    """

    def __init__(self, game: MarkovGame) -> None:
        check_game(game)
        super().__init__(
            game.num_states,
            game.actions,
            horizon=game.horizon,
            discount=game.discount,
            legal=game.legal,
            homogeneous=len(game.kernels) == 1,
        )
        self.game = game
        self._starts = RowSampler.dense(game.initial[None])
        self._rng: np.random.Generator | None = None
        self._step, self._state = 0, 0

    def reset(self, rng: np.random.Generator) -> int:
        """See :class:`Simulator`."""
        self._rng, self._step = rng, 0
        self._state = int(self.start(1, rng)[0])
        return self._state

    def step(self, joint_action: int) -> int:
        """See :class:`Simulator`.

        Raises
        ------
        SimulatorFailed
            No episode was started, or it is over.
        IllegalAction
            The joint action does not exist or is illegal in the present state.
        """
        if self._rng is None or (self.horizon is not None and self._step >= self.horizon):
            raise SimulatorFailed("no episode was started, or it is over; call reset(rng) first")
        if not (0 <= joint_action < self.game.num_joint_actions and self.game.joint_legal[self._state, joint_action]):
            raise IllegalAction(f"joint action {joint_action} is illegal in state {self._state}, or does not exist")
        here, played = np.array([self._state]), np.array([joint_action])
        self._state = int(self.follow(self._step, here, played, self._rng)[0])
        self._step += 1
        return self._state

    def start(self, count: int, rng: np.random.Generator) -> IntArray:
        """Draw the first states of so many episodes."""
        return self._starts.draw(np.zeros(count, dtype=np.int64), rng.random(count))

    def follow(self, step: int, states: IntArray, joint_actions: IntArray, rng: np.random.Generator) -> IntArray:
        """Draw the next states of episodes that are at this step."""
        return self.game.kernel(step).sample(states, joint_actions, rng.random(len(states)))


@dataclass(frozen=True, eq=False)
class RollOuts:
    """What happened in roll-outs, one entry for each step of each episode, one episode after the other.

    Attributes
    ----------
    episode, step, state, joint_action
        Where, and the flat joint action that was played (not what was recommended).
    following
        The next state; -1 at the end of an episode.
    num_episodes, num_states
        How many there were.
    """

    episode: IntArray
    step: IntArray
    state: IntArray
    joint_action: IntArray
    following: IntArray
    num_episodes: int
    num_states: int

    def visits(self, num_stages: int) -> FloatArray:
        """Mean number of visits an episode, (T, S); steps past T-1 count for T-1.

        It estimates Pr(s_h = s); discounted, gamma^t Pr(s_t = s), because episodes stop at random.
        """
        places = np.minimum(self.step, num_stages - 1) * self.num_states + self.state
        counts = np.bincount(places, minlength=num_stages * self.num_states)
        return np.asarray(counts.reshape(num_stages, self.num_states) / self.num_episodes)


def roll_out(
    simulator: Simulator,
    policy: CorrelatedPolicy,
    episodes: int,
    rng: np.random.Generator,
    deviation: Deviation | None = None,
    *,
    steps: int | None = None,
) -> RollOuts:
    """Play episodes in a simulator: everybody obeys, or one agent follows a deviation.

    With a discount an episode stops after each step with probability 1 - gamma. A
    :class:`~mailopt.LimitedDeviation` starts every episode with the departures it has and loses one whenever it plays
    another action than the one recommended.

    Parameters
    ----------
    simulator
        What to play in. Episodes of a :class:`GameSimulator` itself are played side by side, all others one by one.
    policy
        What the mediator recommends.
    episodes
        How many.
    rng
        Where all chance comes from.
    deviation
        What one agent does instead of obeying.
    steps
        Length of an episode with a discount, which is then not stopped at random.

    Raises
    ------
    SimulatorFailed
        The simulator raised (the cause is attached), or returned anything but an integer 0..S-1; the message names
        episode and step.
    InvalidPolicy, InvalidDeviation, InvalidOption
        The policy or the deviation does not fit; ``episodes`` is no number of episodes.

    Examples
    --------
    >>> import numpy as np
    >>> import mailopt as mo
    >>> from mailopt.imitation.simulator import roll_out
    >>> chain = mo.scenarios.unvisited_chain(3)
    >>> always_one = mo.Deviation.deterministic(0, np.ones((6, 2), dtype=int))
    >>> runs = roll_out(mo.GameSimulator(chain.game), chain.learner, 10, np.random.default_rng(0), always_one)
    >>> runs.visits(3)
    array([[1., 0., 0., 0., 0., 0.],
           [0., 1., 0., 0., 0., 0.],
           [0., 0., 0., 1., 0., 0.]])
    """
    if not isinstance(simulator, Simulator):
        raise InvalidOption(f"the simulator is a {type(simulator).__name__}; give a Simulator")
    count, rng = read_count(episodes, "episodes"), random_generator(rng)
    check_policy(simulator.blank_game(), policy)
    length = simulator.horizon if steps is None else read_steps(simulator.horizon, steps)
    player = None if deviation is None else player_of(simulator.blank_game(), deviation)
    if type(simulator) is GameSimulator:
        columns = _played(_Together(simulator), np.arange(count), simulator, policy, player, rng, length)
    else:
        one_by_one = [
            _played(_Alone(simulator, k), np.array([k]), simulator, policy, player, rng, length) for k in range(count)
        ]
        columns = [np.concatenate(column) for column in zip(*one_by_one, strict=True)]
    order = np.lexsort((columns[1], columns[0]))
    episode, step, state, joint_action, following = (column[order] for column in columns)
    return RollOuts(episode, step, state, joint_action, following, count, simulator.num_states)


class _Together:
    """Episodes of a game, side by side."""

    def __init__(self, simulator: GameSimulator) -> None:
        self.simulator = simulator

    def start(self, count: int, rng: np.random.Generator) -> IntArray:
        return self.simulator.start(count, rng)

    def follow(self, step: int, states: IntArray, joint_actions: IntArray, rng: np.random.Generator) -> IntArray:
        return self.simulator.follow(step, states, joint_actions, rng)


class _Alone:
    """One episode of any simulator, whose answers are checked."""

    def __init__(self, simulator: Simulator, episode: int) -> None:
        self.simulator, self.episode = simulator, episode

    def start(self, count: int, rng: np.random.Generator) -> IntArray:
        try:
            state = self.simulator.reset(rng)
        except Exception as error:
            raise SimulatorFailed(f"episode {self.episode}, step 0: reset raised {error!r}") from error
        return self._checked(state, 0)

    def follow(self, step: int, states: IntArray, joint_actions: IntArray, rng: np.random.Generator) -> IntArray:
        try:
            state = self.simulator.step(int(joint_actions[0]))
        except Exception as error:
            raise SimulatorFailed(
                f"episode {self.episode}, step {step}: state {states[0]}, joint action {joint_actions[0]}: step raised "
                f"{error!r}"
            ) from error
        return self._checked(state, step + 1)

    def _checked(self, state: object, step: int) -> IntArray:
        size = self.simulator.num_states
        if not isinstance(state, int | np.integer) or isinstance(state, bool) or not 0 <= state < size:
            raise SimulatorFailed(
                f"episode {self.episode}, step {step}: the simulator returned {state!r:.80}; a state is an integer "
                f"0 to {size - 1}"
            )
        return np.array([state], dtype=np.int64)


def _played(
    source: _Together | _Alone,
    episodes: IntArray,
    simulator: Simulator,
    policy: CorrelatedPolicy,
    player: Player | None,
    rng: np.random.Generator,
    length: int | None,
) -> list[IntArray]:
    """Play episodes side by side; columns episode, step, state, joint action, following."""
    columns: list[list[IntArray]] = [[] for _ in range(5)]
    states, step = source.start(len(episodes), rng), 0
    if player is not None:
        player.start(len(episodes))
    while len(episodes):
        told = policy.sample(step, states, rng.random(len(states)))
        joint = told if player is None else player.play(step, states, told, rng)
        if length is not None:
            going = np.full(len(episodes), step + 1 < length)
        else:
            going = rng.random(len(episodes)) < (simulator.discount or 0.0)
        following = np.full(len(episodes), -1)
        if going.any():
            following[going] = source.follow(step, states[going], joint[going], rng)
        steps = np.full(len(episodes), step)
        for column, found in zip(columns, (episodes, steps, states, joint, following), strict=True):
            column.append(found)
        episodes, states, step = episodes[going], following[going], step + 1
        if player is not None:
            player.keep(going)
    return [np.concatenate(column) for column in columns]
