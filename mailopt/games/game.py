"""Markov games.

A Markov game has agents i = 0..m-1, states s, joint actions a = (a_0, .., a_{m-1}) flattened in C order, transition
probabilities P_h(s'|s,a), rewards r_{i,h}(s,a), an initial distribution, and either a horizon H (steps h = 0..H-1)
or a discount in [0, 1). One state and H = 1 make a normal-form game.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from mailopt.errors import InvalidGame, InvalidHorizon, MissingTransition, UnknownAgent
from mailopt.games.kernels import DenseKernel, DeterministicKernel, SparseKernel, TransitionKernel
from mailopt.games.numbers import (
    GAME,
    ROW_SUM_TOLERANCE,
    BoolArray,
    Exact,
    FloatArray,
    Number,
    NumberArray,
    as_given,
    nearest_double,
    normalised,
    read_array,
    read_numbers,
    require_probabilities,
    require_row_sums,
    row_sum_message,
)

if TYPE_CHECKING:
    from mailopt.games.estimate import EstimatedGame

_REWARD_AXES = ("step", "agent", "state", "joint action")
_Scalar = TypeVar("_Scalar", bound=np.generic)
Transitions: TypeAlias = Any  # arrays, scipy sparse matrices, kernels, or a list of H of these


@dataclass(frozen=True, eq=False, init=False, repr=False)
class MarkovGame:
    """A Markov game; validated when constructed, its arrays are read-only copies.

    Parameters
    ----------
    transitions
        One of: dense probabilities (S, A, S); a scipy sparse matrix (S*A, S) with row s*A + a; integer successors
        (S, A), -1 for none; a :class:`TransitionKernel`; or a list of H of these, one for each step (arrays,
        matrices or kernels: nested lists are read as one dense array).
        Entries may be ``fractions.Fraction``. A row p stands for p / sum(p); its sum must be within 1e-9 of one
        wherever the joint action is legal. Rows of illegal joint actions may be empty.
    rewards
        Shape (m, S, A), or (H, m, S, A) if they depend on the step.
    initial
        Initial distribution, shape (S,).
    actions
        Number of actions of each agent (n_0, .., n_{m-1}); A is their product.
    horizon
        Number of steps H >= 1; or
    discount
        discount factor in [0, 1); exactly one of the two. With a discount nothing may depend on the step.
    legal
        For each agent a (S, n_i) array of booleans, None for "all legal"; every agent needs a legal action in
        every state. A joint action is legal if each of its parts is.
    state_names, agent_names, action_names
        Optional names for people; action names as one list per agent.
    estimated_from
        The mark of a game that was estimated: from how many transitions. See :meth:`from_samples`.

    Attributes
    ----------
    kernels
        One :class:`TransitionKernel`, or H of them.
    initial_distribution
        Initial distribution, normalised, shape (S,); ``initial`` is as given.
    exact_rewards, exact_initial, exact_discount
        Exact rationals where the doubles are not exact (the kernels hold their own).

    Raises
    ------
    GameShape, GameNumber, GameDistribution, MissingTransition, InvalidHorizon
        All of them :class:`~mailopt.errors.InvalidGame`; the message names the place.

    Examples
    --------
    A coordination game played twice:

    >>> import numpy as np
    >>> import mailopt as mo
    >>> payoff = np.array([[1.0, 0.0], [0.0, 1.0]]).reshape(1, 4)
    >>> game = mo.MarkovGame(np.zeros((1, 4), dtype=int), [payoff, payoff], [1.0], (2, 2), horizon=2)
    >>> game
    MarkovGame(2 agents with (2, 2) actions, 1 state, horizon 2, deterministic transitions)
    """

    kernels: tuple[TransitionKernel, ...]
    rewards: FloatArray
    initial: FloatArray
    initial_distribution: FloatArray
    actions: tuple[int, ...]
    horizon: int | None
    discount: float | None
    legal: tuple[BoolArray, ...]
    joint_legal: BoolArray
    state_names: tuple[str, ...] | None
    agent_names: tuple[str, ...] | None
    action_names: tuple[tuple[str, ...], ...] | None
    estimated_from: int | None
    exact_rewards: Exact
    exact_initial: Exact
    exact_discount: Fraction | None

    def __init__(
        self,
        transitions: Transitions,
        rewards: NumberArray,
        initial: NumberArray,
        actions: Sequence[int],
        *,
        horizon: int | None = None,
        discount: Number | None = None,
        legal: Sequence[npt.ArrayLike | None] | None = None,
        state_names: Sequence[str] | None = None,
        agent_names: Sequence[str] | None = None,
        action_names: Sequence[Sequence[str]] | None = None,
        estimated_from: int | None = None,
    ) -> None:
        counts = read_actions(actions)
        steps, factor, exact_factor = _read_horizon(horizon, discount)
        start, exact_start = read_numbers(initial, GAME, "initial distribution", ("state",))
        if start.ndim != 1 or start.size == 0:
            raise GAME.shape(f"initial distribution has shape {start.shape}, expected (S,) with S >= 1")
        require_probabilities(start, GAME, "initial distribution", ("state",))
        require_row_sums(np.asarray(start.sum()), GAME, "initial distribution", ())
        num_states, num_agents, num_joint = start.size, len(counts), math.prod(counts)

        layouts = _split_steps(transitions, steps, (num_states, *counts, num_states))
        kernels = tuple(_read_kernel(t, h if len(layouts) > 1 else None) for h, t in enumerate(layouts))
        for step, kernel in enumerate(kernels):
            if (kernel.num_states, kernel.num_joint_actions) != (num_states, num_joint):
                prefix = f"step {step}: " if len(kernels) > 1 else ""
                raise GAME.shape(
                    f"{prefix}transitions are for {kernel.num_states} states and {kernel.num_joint_actions} joint "
                    f"actions, but the initial distribution has {num_states} states and the actions {counts} make "
                    f"{num_joint} joint actions"
                )
        values, exact_values = read_numbers(rewards, GAME, "rewards", _REWARD_AXES)
        one_step = (num_agents, num_states, num_joint)
        if values.shape not in ((one_step,) if steps is None else (one_step, (steps, *one_step))):
            raise GAME.shape(
                f"rewards have shape {values.shape}, expected (m, S, A) = {one_step}"
                + ("" if steps is None else f" or (H, m, S, A) = {(steps, *one_step)}")
                + "; joint actions are flattened in C order, A = n_0 * .. * n_(m-1)"
            )
        legal_actions = _read_legal(legal, counts, num_states)
        joint_legal = combine_legal(legal_actions)
        joint_legal.setflags(write=False)
        for step, kernel in enumerate(kernels):
            _check_rows(kernel, joint_legal, counts, step if len(kernels) > 1 else None)

        fields = {
            "kernels": kernels,
            "rewards": values,
            "initial": start,
            "initial_distribution": normalised(start, np.asarray(start.sum())),
            "actions": counts,
            "horizon": steps,
            "discount": factor,
            "legal": legal_actions,
            "joint_legal": joint_legal,
            "state_names": read_names(state_names, num_states, "state names"),
            "agent_names": read_names(agent_names, num_agents, "agent names"),
            "action_names": read_action_names(action_names, counts),
            "estimated_from": _read_mark(estimated_from),
            "exact_rewards": exact_values,
            "exact_initial": exact_start,
            "exact_discount": exact_factor,
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    @classmethod
    def from_normal_form(
        cls,
        payoffs: NumberArray,
        *,
        agent_names: Sequence[str] | None = None,
        action_names: Sequence[Sequence[str]] | None = None,
    ) -> MarkovGame:
        """Make a normal-form game: one state, horizon 1.

        Parameters
        ----------
        payoffs
            Shape (m, n_0, .., n_{m-1}): ``payoffs[i, a_0, .., a_{m-1}]`` is agent i's payoff, in absolute player
            order. Entries may be ``fractions.Fraction``.
        agent_names, action_names
            Optional names.

        Raises
        ------
        GameShape
            If the first axis does not count the others.

        Examples
        --------
        >>> import mailopt as mo
        >>> mo.MarkovGame.from_normal_form([[[3, 0], [5, 1]], [[3, 5], [0, 1]]])
        MarkovGame(2 agents with (2, 2) actions, 1 state, horizon 1, deterministic transitions)
        """
        tensor = read_array(payoffs, GAME, "payoffs")
        if tensor.ndim < 2 or tensor.shape[0] != tensor.ndim - 1 or tensor.size == 0:
            raise GAME.shape(f"payoffs have shape {tensor.shape}, expected (m, n_0, .., n_(m-1)), nothing empty")
        counts = tensor.shape[1:]
        return cls(
            DeterministicKernel(np.zeros((1, math.prod(counts)), dtype=np.int64)),
            tensor.reshape(tensor.shape[0], 1, -1),
            [1.0],
            counts,
            horizon=1,
            agent_names=agent_names,
            action_names=action_names,
        )

    @classmethod
    def from_samples(
        cls,
        states: npt.ArrayLike,
        joint_actions: npt.ArrayLike,
        rewards: npt.ArrayLike | None,
        next_states: npt.ArrayLike,
        *,
        num_states: int,
        actions: Sequence[int],
        initial: npt.ArrayLike | None = None,
        initial_states: npt.ArrayLike | None = None,
        horizon: int | None = None,
        discount: Number | None = None,
        steps: npt.ArrayLike | None = None,
        known_rewards: npt.ArrayLike | None = None,
        reward_range: tuple[float, float] | None = None,
        deterministic_rewards: bool = False,
        confidence: float = 0.95,
        unvisited: Literal["error", "stay"] = "error",
        legal: Sequence[npt.ArrayLike | None] | None = None,
        state_names: Sequence[str] | None = None,
        agent_names: Sequence[str] | None = None,
        action_names: Sequence[Sequence[str]] | None = None,
    ) -> EstimatedGame:
        """Estimate a game from logged transitions, with what the true one may be.

        The states must be those of a Markov game, and known. What is stated of the estimate holds with probability at
        least ``confidence`` over the log, however it was collected: by any policies, adaptive ones too, and stopped at
        any time. Then all of this holds at once:

        - each transition probability is within its Clopper-Pearson interval (Biometrika 26, 1934);
        - each mean reward that is observed with noise is within Hoeffding's bound of the mean of what was observed;
        - each entry of the initial distribution, if it is estimated, is within its Clopper-Pearson interval.

        delta = 1 - confidence is split evenly over these three kinds, as far as they are estimated, and over all of a
        kind (a union bound). Since it is not known beforehand how often a pair is visited, after n visits a statement
        is made at level alpha / (n (n + 1)), which sums to its share alpha over all n. Transition probabilities between
        their bounds that sum to one make a bounded-parameter game (Givan, Leach and Dean, *Artificial Intelligence*
        122, 2000), over which :func:`mailopt.estimated_regret` and the others maximise and minimise.

        Parameters
        ----------
        states, next_states
            Integers (N,): each row of the log is a transition.
        joint_actions
            Integers (N,) of flat joint actions, or (N, m) of one action per agent.
        rewards
            What each agent was paid, (N, m). None if rewards are known.
        num_states, actions, legal, state_names, agent_names, action_names
            S and the rest, as for the class.
        initial
            Initial distribution (S,), if it is known; else
        initial_states
            first states of independent episodes, integers.
        horizon, discount
            As for the class: exactly one of the two.
        steps
            Step of each row, integers (N,) below the horizon: transitions and rewards are estimated for each step.
            None: they are the same at all steps.
        known_rewards
            The rewards (m, S, A) or (H, m, S, A), if they are known.
        reward_range
            Lowest and highest reward that there may be; needed if rewards are not known.
        deterministic_rewards
            Whether a pair pays always the same, so that one visit tells.
        confidence
            Between 0 and 1.
        unvisited
            What to do where a legal pair was never played: ``"error"``; or ``"stay"``, to leave it where it is, with
            reward 0, in the point estimate. Bounds allow for anything there.

        Returns
        -------
        EstimatedGame
            Which is no MarkovGame; its ``point_estimate()`` is one, with the mark ``estimated_from``.

        Raises
        ------
        CoverageError
            Legal pairs were never played.
        InvalidGame, InvalidOption
            A row of the log, or an option, does not make sense; the message names it.

        Examples
        --------
        >>> import numpy as np
        >>> import mailopt as mo
        >>> rng = np.random.default_rng(0)
        >>> game = mo.scenarios.chicken()
        >>> joint = rng.integers(4, size=1000)
        >>> zeros = np.zeros(1000, dtype=int)
        >>> estimated = mo.MarkovGame.from_samples(
        ...     zeros, joint, game.rewards[:, 0, joint].T + rng.uniform(-1, 1, size=(1000, 2)), zeros,
        ...     num_states=1, actions=(2, 2), initial=[1.0], horizon=1, reward_range=(-1, 8),
        ... )
        >>> mo.estimated_regret(estimated, mo.CorrelatedPolicy.uniform(game))
        EstimatedRegret(0.249 in the point estimate; true regret 0 to 3.04 with confidence 0.95, from 1000 transitions)
        """
        from mailopt.games.logs import estimate_game  # noqa: PLC0415 - it imports this module

        return estimate_game(
            states,
            joint_actions,
            rewards,
            next_states,
            num_states=num_states,
            actions=actions,
            initial=initial,
            initial_states=initial_states,
            steps=steps,
            known_rewards=known_rewards,
            reward_range=reward_range,
            deterministic_rewards=deterministic_rewards,
            confidence=confidence,
            unvisited=unvisited,
            horizon=horizon,
            discount=discount,
            legal=legal,
            state_names=state_names,
            agent_names=agent_names,
            action_names=action_names,
        )

    def with_rewards(self, rewards: NumberArray) -> MarkovGame:
        """Return the same game with other rewards, (m, S, A) or (H, m, S, A).

        Raises
        ------
        GameShape, GameNumber
            As for the constructor.
        """
        return rebuilt(self, self.kernels, rewards)

    @property
    def num_agents(self) -> int:
        """Number of agents m."""
        return len(self.actions)

    @property
    def num_states(self) -> int:
        """Number of states S."""
        return int(self.initial.size)

    @property
    def is_normal_form(self) -> bool:
        """Whether there is one state and horizon 1."""
        return self.num_states == 1 and self.horizon == 1

    @property
    def num_joint_actions(self) -> int:
        """Number of joint actions A."""
        return math.prod(self.actions)

    @property
    def occupancy_mass(self) -> float:
        """Weight of the initial distribution in an occupancy of total mass 1: 1, discounted 1 - gamma.

        Values are inner products of rewards and occupancies divided by it.
        """
        return 1.0 if self.discount is None else 1.0 - self.discount

    def num_stages(self, *num_steps: int | None) -> int:
        """Return the number of stages T under policies (or deviations) of so many steps, None for stationary.

        A finite horizon has stages 0..H-1. A discounted game has stages 0..T-1, the last of which repeats for ever.
        """
        return self.horizon if self.horizon is not None else max(steps or 1 for steps in num_steps)

    def kernel(self, step: int) -> TransitionKernel:
        """Return the transition kernel at a step (for a discounted game always the same one)."""
        return self.kernels[step if len(self.kernels) > 1 else 0]

    def reward(self, step: int) -> FloatArray:
        """Return the rewards at a step, shape (m, S, A)."""
        return self.rewards if self.rewards.ndim == 3 else np.asarray(self.rewards[step])

    def joint_action(self, index: int) -> tuple[int, ...]:
        """Split a flat joint action into one action per agent."""
        return split_joint(index, self.actions)

    def joint_index(self, joint_action: Sequence[int]) -> int:
        """Flatten one action per agent into a joint action."""
        return int(flatten_joint(joint_action, self.actions))

    def check_agent(self, agent: int) -> None:
        """Raise :class:`~mailopt.errors.UnknownAgent` unless there is such an agent."""
        if not isinstance(agent, int | np.integer) or isinstance(agent, bool) or not 0 <= agent < self.num_agents:
            raise UnknownAgent(f"there is no agent {agent}; the game has agents 0 to {self.num_agents - 1}")

    def unfold(self, array: npt.NDArray[_Scalar], agent: int) -> npt.NDArray[_Scalar]:
        """Reshape a last axis of joint actions (.., A) to (.., n_i, A / n_i): agent i's action, then all others'."""
        lead, n = array.shape[:-1], self.actions[agent]
        right = math.prod(self.actions[agent + 1 :])
        return array.reshape(*lead, -1, n, right).swapaxes(-3, -2).reshape(*lead, n, -1)

    def fold(self, array: npt.NDArray[_Scalar], agent: int) -> npt.NDArray[_Scalar]:
        """Undo :meth:`unfold`: (.., n_i, A / n_i) to (.., A)."""
        lead, n = array.shape[:-2], self.actions[agent]
        right = math.prod(self.actions[agent + 1 :])
        return array.reshape(*lead, n, -1, right).swapaxes(-3, -2).reshape(*lead, -1)

    def agent_name(self, agent: int) -> str:
        """Name of an agent for people."""
        return f"agent {agent}" if self.agent_names is None else self.agent_names[agent]

    def state_name(self, state: int) -> str:
        """Name of a state for people."""
        return f"state {state}" if self.state_names is None else self.state_names[state]

    def action_name(self, agent: int, action: int) -> str:
        """Name of an agent's action for people."""
        return str(action) if self.action_names is None else self.action_names[agent][action]

    def save(self, path: str | Path) -> None:
        """Write the game to a ``.json`` or ``.npz`` file; see :func:`mailopt.load_game`."""
        from mailopt.games.files import save_game  # noqa: PLC0415 - files imports this module

        save_game(self, path)

    def __repr__(self) -> str:
        """Size in one line."""
        layout = type(self.kernels[0]).__name__.removesuffix("Kernel").lower()
        time = f"horizon {self.horizon}" if self.horizon is not None else f"discount {self.discount:g}"
        agents = f"{self.num_agents} agent{'s' * (self.num_agents > 1)} with {self.actions} actions"
        states = f"{self.num_states} state{'s' * (self.num_states > 1)}"
        mark = "" if self.estimated_from is None else f", estimated from {self.estimated_from} transitions"
        return f"MarkovGame({agents}, {states}, {time}, {layout} transitions{mark})"


def rebuilt(game: MarkovGame, kernels: Sequence[TransitionKernel], rewards: NumberArray) -> MarkovGame:
    """Return the same game with other transitions (one kernel, or one for each step) and rewards."""
    return MarkovGame(
        list(kernels) if len(kernels) > 1 else kernels[0],
        rewards,
        as_given(game.initial, game.exact_initial),
        game.actions,
        horizon=game.horizon,
        discount=game.discount if game.exact_discount is None else game.exact_discount,
        legal=game.legal,
        state_names=game.state_names,
        agent_names=game.agent_names,
        action_names=game.action_names,
        estimated_from=game.estimated_from,
    )


def check_game(game: object) -> None:
    """Raise :class:`~mailopt.errors.InvalidGame` unless this is a game."""
    if isinstance(game, MarkovGame):
        return
    from mailopt.games.estimate import EstimatedGame  # noqa: PLC0415 - it imports this module

    if isinstance(game, EstimatedGame):
        raise InvalidGame(
            "the game is an EstimatedGame, known from logged transitions only: mo.estimated_values, estimated_regret "
            "and estimated_regret_gap enclose what holds in the true game; .point_estimate() is a MarkovGame"
        )
    raise InvalidGame(f"the game is a {type(game).__name__}; give a MarkovGame")


def _read_mark(estimated_from: int | None) -> int | None:
    if estimated_from is None:
        return None
    if not isinstance(estimated_from, int | np.integer) or isinstance(estimated_from, bool) or estimated_from < 1:
        raise InvalidGame(f"estimated_from is {estimated_from!r}; give the number of transitions, or None")
    return int(estimated_from)


def flatten_joint(parts: Iterable[Any], counts: Iterable[int]) -> Any:
    """Flatten one action per agent, numbers or arrays of them, into joint actions in C order."""
    index: Any = 0
    for action, n in zip(parts, counts, strict=True):
        index = index * n + action
    return index


def split_joint(index: int, counts: Sequence[int]) -> tuple[int, ...]:
    """Undo :func:`flatten_joint` for one joint action."""
    parts = []
    for n in reversed(counts):
        index, action = divmod(int(index), n)
        parts.append(action)
    return tuple(reversed(parts))


def read_actions(actions: Sequence[int]) -> tuple[int, ...]:
    """Validate numbers of actions."""
    counts = tuple(_sequence(actions, "actions"))
    if not counts or not all(isinstance(n, int | np.integer) and not isinstance(n, bool) and n >= 1 for n in counts):
        raise GAME.shape(f"actions are {counts}; give the number of actions of each agent, each at least 1")
    return tuple(int(n) for n in counts)


def _read_horizon(horizon: int | None, discount: Number | None) -> tuple[int | None, float | None, Fraction | None]:
    if (horizon is None) == (discount is None):
        given = "neither is" if horizon is None else "both are"
        raise InvalidHorizon(f"exactly one of horizon and discount must be given, {given}")
    if horizon is not None:
        if not isinstance(horizon, int | np.integer) or isinstance(horizon, bool) or horizon < 1:
            raise InvalidHorizon(f"horizon is {horizon!r}; it must be an integer of at least 1")
        return int(horizon), None, None
    factor, exact = nearest_double(discount, GAME, "discount")
    if not 0 <= factor < 1:
        raise InvalidHorizon(f"discount is {discount}; it must be in [0, 1). For undiscounted games give a horizon")
    return None, factor, exact


def _split_steps(transitions: Transitions, horizon: int | None, unflattened: tuple[int, ...]) -> Sequence[object]:
    """Return one layout, or one for each step; recognise probabilities with one axis per agent as a mistake."""
    if isinstance(transitions, TransitionKernel) or sparse.issparse(transitions):
        return [transitions]
    if not isinstance(transitions, list | tuple) or not any(
        isinstance(t, np.ndarray | TransitionKernel) or sparse.issparse(t) for t in transitions
    ):
        transitions = read_array(transitions, GAME, "transitions")
        if transitions.shape == unflattened and len(unflattened) > 3 and len(transitions) != horizon:
            raise GAME.shape(
                f"transitions have shape {transitions.shape}, one axis per agent; flatten the joint actions with "
                f"transitions.reshape(S, A, S)"
            )
        if transitions.ndim != 4:
            return [transitions]
    if horizon is None:
        raise GAME.shape("transitions are given for each step, but a discounted game must not depend on the step")
    if len(transitions) != horizon:
        raise GAME.shape(f"transitions are given for {len(transitions)} steps, but the horizon is {horizon}")
    return list(transitions)


def _read_kernel(layout: object, step: int | None) -> TransitionKernel:
    try:
        return _kernel(layout)
    except InvalidGame as error:
        if step is None:
            raise
        raise type(error)(f"step {step}: {error}") from None


def _kernel(layout: object) -> TransitionKernel:
    if isinstance(layout, TransitionKernel):
        return layout
    if sparse.issparse(layout):
        return SparseKernel(layout)
    array = read_array(layout, GAME, "transitions")
    if array.ndim == 3:
        return DenseKernel(array)
    if array.ndim == 2 and array.dtype.kind in "iu":
        return DeterministicKernel(array)
    raise GAME.shape(
        f"transitions of shape {array.shape} and dtype {array.dtype}; give dense (S, A, S), scipy sparse (S*A, S), "
        f"integer successors (S, A), or a list of H of these"
    )


def _read_legal(
    legal: Sequence[npt.ArrayLike | None] | None, counts: tuple[int, ...], num_states: int
) -> tuple[BoolArray, ...]:
    given = [None] * len(counts) if legal is None else _sequence(legal, "legal actions")
    if len(given) != len(counts):
        raise GAME.shape(f"legal actions are given for {len(given)} agents, there are {len(counts)}")
    masks = []
    for agent, (mask, n) in enumerate(zip(given, counts, strict=True)):
        array = np.ones((num_states, n), dtype=bool)
        if mask is not None:
            array = read_array(mask, GAME, f"legal actions of agent {agent}").copy()
        if array.shape != (num_states, n) or array.dtype != bool:
            raise GAME.shape(
                f"legal actions of agent {agent} have shape {array.shape} and dtype {array.dtype}, "
                f"expected booleans of shape {(num_states, n)}"
            )
        stuck = np.flatnonzero(~array.any(axis=1))
        if stuck.size:
            raise GAME.shape(f"agent {agent} has no legal action in state {stuck[0]}; it needs at least one")
        array.setflags(write=False)
        masks.append(array)
    return tuple(masks)


def combine_legal(masks: Sequence[BoolArray]) -> BoolArray:
    """Legal joint actions, (S, A), from the legal actions of each agent, (S, n_i): legal in every part."""
    num_states = len(masks[0])
    joint = np.ones((num_states, 1), dtype=bool)
    for mask in masks:
        joint = (joint[:, :, None] & mask[:, None, :]).reshape(num_states, -1)
    return joint


def _check_rows(kernel: TransitionKernel, joint_legal: BoolArray, counts: tuple[int, ...], step: int | None) -> None:
    sums = kernel.row_sums
    prefix = "" if step is None else f"step {step}, "

    def where(bad: BoolArray) -> str:
        state, index = (int(k) for k in np.argwhere(bad)[0])
        return f"transitions, {prefix}state {state}, joint action {split_joint(index, counts)}"

    missing = joint_legal & (sums == 0)
    if missing.any():
        raise MissingTransition(where(missing) + ": no successor; give one, or declare an action of it illegal")
    wrong = (sums != 0) & (np.abs(sums - 1.0) > ROW_SUM_TOLERANCE)
    if wrong.any():
        raise GAME.distribution(row_sum_message(where(wrong), float(sums[wrong][0])))


def read_names(names: Sequence[str] | None, size: int, what: str) -> tuple[str, ...] | None:
    """Validate names: distinct strings, one for each."""
    if names is None:
        return None
    result = tuple(_sequence(names, what))
    if not all(isinstance(name, str) and "\0" not in name for name in result):
        raise GAME.shape(f"{what} must be strings without NUL characters")
    if len(result) != size or len(set(result)) != size:
        raise GAME.shape(f"{what}: {len(set(result))} distinct names given, expected {size}")
    return result


def read_action_names(
    names: Sequence[Sequence[str]] | None, counts: tuple[int, ...]
) -> tuple[tuple[str, ...], ...] | None:
    """Validate action names: one list for each agent."""
    if names is None:
        return None
    given = _sequence(names, "action names")
    if len(given) != len(counts):
        raise GAME.shape(f"action names are given for {len(given)} agents, there are {len(counts)}")
    return tuple(
        read_names(of_agent, n, f"action names of agent {agent}") or ()
        for agent, (of_agent, n) in enumerate(zip(given, counts, strict=True))
    )


def _sequence(values: Any, what: str) -> list[Any]:
    """Insist on something with members that is not a string."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise GAME.shape(f"{what}: {values!r} is not a sequence")
    return list(values)
