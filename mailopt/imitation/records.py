"""What was recorded of an expert, episodes or counts, checked against the game that it comes from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mailopt.errors import (
    DemonstrationNumber,
    DemonstrationShape,
    EmptyDemonstrations,
    IllegalDemonstration,
    ImpossibleTransition,
    NotADistribution,
)
from mailopt.games.game import MarkovGame, flatten_joint
from mailopt.games.numbers import FloatArray, IntArray, NumberArray, Owner, place, read_array, read_numbers, require

DEMONSTRATIONS = Owner(DemonstrationShape, DemonstrationNumber, NotADistribution)
_AXES = ("step", "state", "joint action")
_POWER = 8  # roundings of a power, besides one of the discount itself for each factor


@dataclass(frozen=True, eq=False)
class Trajectories:
    """Episodes of one length; read-only.

    Attributes
    ----------
    states, joint_actions
        Integers (N, L), joint actions flat.
    weights
        Of the episodes, (N,); None: all 1.
    """

    states: IntArray
    joint_actions: IntArray
    weights: FloatArray | None

    def summed(self, game: MarkovGame) -> tuple[FloatArray, int]:
        """Sum of the weights of what was seen, (T, S, A): at each step, discounted over steps t, each at gamma^t.

        In units of a power of two, so that the largest weight is about 1. With it comes a bound on the roundings of a
        term: none if episodes are counted.
        """
        count, length = self.states.shape
        discounted = game.discount is not None
        steps, stages = np.arange(length), 1 if discounted else length
        shape = (stages, game.num_states, game.num_joint_actions)
        shares = float(game.discount or 0.0) ** steps if discounted else np.ones(length)
        of_episodes = np.ones(count) if self.weights is None else self.weights
        of_episodes = np.ldexp(of_episodes, -np.frexp(of_episodes.max())[1])  # neither too large nor too small to sum
        weights = np.outer(of_episodes, shares)
        stage = np.broadcast_to(np.minimum(steps, stages - 1), self.states.shape)
        places = np.ravel_multi_index((stage, self.states, self.joint_actions), shape).ravel()
        summed = np.bincount(places, weights=weights.ravel(), minlength=math.prod(shape))
        roundings = 0
        if discounted or self.weights is not None:
            roundings = int(np.bincount(places).max()) + 2 + (length + _POWER if discounted else 0)
        return summed.astype(np.float64, copy=False).reshape(shape), roundings


def read_trajectories(
    game: MarkovGame,
    states: npt.ArrayLike,
    joint_actions: npt.ArrayLike,
    weights: NumberArray | None,
    *,
    possible: bool = False,
) -> Trajectories:
    """Read and check episodes; see :class:`mailopt.Demonstrations` for what is raised.

    ``possible`` takes it for granted that starts and transitions can happen.
    """
    visited = read_array(states, DEMONSTRATIONS, "states")
    played = read_array(joint_actions, DEMONSTRATIONS, "joint actions")
    if visited.size == 0:
        raise EmptyDemonstrations("there are no episodes, or none with a step; give at least one")
    for what, array, sizes in (("states", visited, (2,)), ("joint actions", played, (2, 3))):
        if array.ndim not in sizes or array.dtype.kind not in "iu":
            raise DemonstrationShape(
                f"{what} have shape {array.shape} and dtype {array.dtype}, expected integers (episodes, steps)"
                + (", or with one action per agent as a last axis" if 3 in sizes else "")
            )
    if played.shape[:2] != visited.shape:
        raise DemonstrationShape(
            f"states have shape {visited.shape} and joint actions {played.shape}; give a joint action for each state"
        )
    if game.horizon is not None and visited.shape[1] != game.horizon:
        raise DemonstrationShape(f"episodes have {visited.shape[1]} steps, the game's horizon is {game.horizon}")
    bad = np.argwhere((visited < 0) | (visited >= game.num_states))
    if len(bad):
        raise DemonstrationShape(
            f"{_place(bad[0])}: there is no state {visited[tuple(bad[0])]}; the game has states 0 to "
            f"{game.num_states - 1}. Are these demonstrations of another game?"
        )
    visited, joint = _fixed(visited.astype(np.int64)), _fixed(_flat(game, played))
    illegal = np.argwhere(~game.joint_legal[visited, joint])
    if len(illegal):
        where = tuple(illegal[0])
        raise IllegalDemonstration(
            f"{_place(where)}, state {visited[where]}: joint action {game.joint_action(int(joint[where]))} is illegal "
            f"there"
        )
    if not possible:
        _require_possible(game, visited, joint)
    return Trajectories(visited, joint, None if weights is None else _read_weights(weights, len(visited)))


def read_counts(game: MarkovGame, counts: NumberArray) -> FloatArray:
    """Read and check counts; see :meth:`mailopt.Demonstrations.from_counts` for what is raised."""
    given, _ = read_numbers(counts, DEMONSTRATIONS, "counts", _AXES)
    one_step = (game.num_states, game.num_joint_actions)
    if game.horizon is not None and given.shape != (game.horizon, *one_step):
        expected = (game.horizon, *one_step)
        raise DemonstrationShape(f"counts have shape {given.shape}, expected (H, S, A) = {expected}")
    if given.shape[-2:] != one_step or given.size == 0:
        raise DemonstrationShape(
            f"counts have shape {given.shape}, expected (S, A) = {one_step}, or with a step in front"
        )
    require(given >= 0, given, DemonstrationNumber, "counts", _AXES, "is negative; counts must not be")
    require_legal(game, given)
    any_of = given.any(axis=(-2, -1))
    if game.horizon is None and not any_of.any():
        raise EmptyDemonstrations("counts: all are 0; there is nothing to learn from")
    if game.horizon is not None and not any_of.all():
        raise EmptyDemonstrations(f"counts: step {int(any_of.argmin())} has none; give each step some")
    return given


def scaled(game: MarkovGame, tables: FloatArray) -> FloatArray:
    """Multiply (T, S, A), each step by a power of two of its own (discounted one for all), so that sums are safe."""
    largest = tables.max(axis=(1, 2) if game.horizon is not None else None, keepdims=True)
    return np.asarray(np.ldexp(tables, -np.frexp(largest)[1]))


def require_legal(game: MarkovGame, table: FloatArray) -> None:
    """Raise at the first positive entry of an illegal joint action, (S, A) or (T, S, A)."""
    bad = np.argwhere((table > 0) & ~game.joint_legal)
    if len(bad):
        *where, action = (int(k) for k in bad[0])
        raise IllegalDemonstration(
            f"demonstrations, {place(_AXES[:-1], where)}: joint action {game.joint_action(action)} is illegal there"
        )


def _flat(game: MarkovGame, played: npt.NDArray[Any]) -> IntArray:
    """Flat joint actions, from flat ones or from one action per agent."""
    if played.ndim == 3 and played.shape[2] != game.num_agents:
        raise DemonstrationShape(
            f"joint actions have shape {played.shape}, expected one action for each of {game.num_agents} agents"
        )
    sizes = np.array(game.actions) if played.ndim == 3 else game.num_joint_actions
    bad = np.argwhere((played < 0) | (played >= sizes))
    if len(bad):
        where = tuple(bad[0])
        what = f"joint action {played[where]}" if played.ndim == 2 else f"action {played[where]} of agent {where[2]}"
        limit = (game.num_joint_actions if played.ndim == 2 else game.actions[where[2]]) - 1
        raise IllegalDemonstration(f"{_place(where[:2])}: there is no {what}; they are 0 to {limit}")
    joint = played.astype(np.int64)
    return joint if played.ndim == 2 else np.asarray(flatten_joint(np.moveaxis(joint, 2, 0), game.actions))


def _require_possible(game: MarkovGame, visited: IntArray, joint: IntArray) -> None:
    """Raise at the first start or transition of probability 0."""
    outside = np.flatnonzero(~(game.initial[visited[:, 0]] > 0))
    if outside.size:
        episode = int(outside[0])
        raise ImpossibleTransition(
            f"{_place((episode, 0))}: the episode starts in state {visited[episode, 0]}, where the game never starts"
        )
    possible = np.ones(visited.shape, dtype=bool)
    for h in range(visited.shape[1] - 1):
        chance = game.kernel(h).probability(visited[:, h], joint[:, h], visited[:, h + 1])
        possible[:, h] = chance > 0
    impossible = np.argwhere(~possible)
    if len(impossible):
        episode, step = (int(k) for k in impossible[0])
        raise ImpossibleTransition(
            f"{_place((episode, step))}: from state {visited[episode, step]} joint action "
            f"{game.joint_action(int(joint[episode, step]))} never leads to state {visited[episode, step + 1]}, which "
            f"comes next"
        )


def _read_weights(weights: NumberArray, count: int) -> FloatArray:
    given, _ = read_numbers(weights, DEMONSTRATIONS, "weights", ("episode",))
    if given.shape != (count,):
        raise DemonstrationShape(f"weights have shape {given.shape}, expected one for each of {count} episodes")
    require(given >= 0, given, DemonstrationNumber, "weights", ("episode",), "is negative; weights must not be")
    if not given.any():
        raise EmptyDemonstrations("all episodes have weight 0; give at least one of them more")
    return given


def _fixed(array: IntArray) -> IntArray:
    array.setflags(write=False)
    return array


def _place(where: Any) -> str:
    return f"episode {int(where[0])}, step {int(where[1])}"
