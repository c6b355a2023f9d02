"""Logged transitions, read and checked, and counted for :class:`~mailopt.games.estimate.EstimatedGame`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import sparse

from mailopt.errors import CoverageError, GameNumber, GameShape, InvalidGame, InvalidHorizon, InvalidOption
from mailopt.games.blank import blank_game
from mailopt.games.estimate import EstimatedGame
from mailopt.games.game import MarkovGame, flatten_joint
from mailopt.games.numbers import GAME, FloatArray, IntArray, read_array, read_numbers


def estimate_game(
    states: npt.ArrayLike,
    joint_actions: npt.ArrayLike,
    rewards: npt.ArrayLike | None,
    next_states: npt.ArrayLike,
    *,
    num_states: int,
    actions: Sequence[int],
    initial: npt.ArrayLike | None,
    initial_states: npt.ArrayLike | None,
    steps: npt.ArrayLike | None,
    known_rewards: npt.ArrayLike | None,
    reward_range: tuple[float, float] | None,
    deterministic_rewards: bool,
    confidence: float,
    unvisited: Literal["error", "stay"],
    **shape: Any,
) -> EstimatedGame:
    """Do what :meth:`mailopt.MarkovGame.from_samples` says."""
    if unvisited not in ("error", "stay"):
        raise InvalidOption(f"unvisited is {unvisited!r}; it must be 'error' or 'stay'")
    if not isinstance(confidence, float | int) or not 0 < confidence < 1:
        raise InvalidOption(f"confidence is {confidence!r}; give a number between 0 and 1, such as 0.95")
    start, num_starts = _read_initial(initial, initial_states, num_states)
    length = max(read_array(states, GAME, "states").size, 1)
    game = blank_game(num_states, actions, start, **shape, estimated_from=length)
    log = _Log(game, states, joint_actions, next_states, steps)
    counts, visits = log.counts(), log.visits()
    if known_rewards is not None:
        if rewards is not None or reward_range is not None or deterministic_rewards:
            raise InvalidOption(
                "known_rewards are given; rewards=None then, and no reward_range or deterministic_rewards"
            )
        kind, means = "known", game.with_rewards(known_rewards).rewards
        means = means if means.ndim == 4 else means[None]
    else:
        if rewards is None or reward_range is None:
            raise InvalidOption("rewards need reward_range=(lowest, highest) that there may be; or give known_rewards")
        ends, _ = read_numbers(reward_range, GAME, "reward_range", ("end",))
        if ends.shape != (2,) or ends[0] > ends[1]:
            raise InvalidOption(f"reward_range is {reward_range}; give two finite numbers, the lower first")
        low, high = (float(end) for end in ends)
        kind = "deterministic" if deterministic_rewards else "observed"
        means = log.rewards(rewards, visits, low, high, deterministic=deterministic_rewards)
        reward_range = (low, high)
    estimated = EstimatedGame(
        game, counts, means, kind, reward_range, num_starts, log.length, float(confidence), unvisited
    )
    for array in (estimated.visits, estimated.unseen, means):
        array.setflags(write=False)
    if unvisited == "error" and estimated.unseen.any():
        places = [tuple(int(k) for k in place) for place in np.argwhere(estimated.unseen)[:3]]
        named = ", ".join(
            (f"step {h}, " if len(counts) > 1 else "") + f"{game.state_name(s)}, joint action {game.joint_action(a)}"
            for h, s, a in places
        )
        raise CoverageError(
            f"{int(estimated.unseen.sum())} legal pairs of state and joint action were never seen, the first of them "
            f"{named}. Say legal= if they cannot be played; else unvisited='stay' leaves them where they are in the "
            "point estimate, while bounds allow for anything"
        )
    return estimated


class _Log:
    """Logged transitions, checked against the shape of the game."""

    def __init__(
        self,
        game: MarkovGame,
        states: npt.ArrayLike,
        joint_actions: npt.ArrayLike,
        next_states: npt.ArrayLike,
        steps: npt.ArrayLike | None,
    ) -> None:
        self.game = game
        self.states = _indices(states, "states", None, game.num_states)
        self.length = self.states.size
        self.following = _indices(next_states, "next_states", self.length, game.num_states)
        self.joint = self._joint(joint_actions)
        if steps is not None and game.horizon is None:
            raise InvalidHorizon("steps are given, but in a discounted game nothing depends on the step")
        self.stages = 1 if steps is None else int(game.horizon or 1)
        given = np.zeros(self.length, dtype=np.int64) if steps is None else steps
        self.steps = _indices(given, "steps", self.length, self.stages)
        wrong = np.flatnonzero(~game.joint_legal[self.states, self.joint])
        if wrong.size:
            t = int(wrong[0])
            raise InvalidGame(
                f"row {t} of the log: joint action {game.joint_action(int(self.joint[t]))} is illegal in "
                f"{game.state_name(int(self.states[t]))}"
            )

    def _joint(self, given: npt.ArrayLike) -> IntArray:
        array = read_array(given, GAME, "joint_actions")
        if array.ndim == 2 and array.shape == (self.length, self.game.num_agents):
            own = [
                _indices(array[:, i], f"actions of {self.game.agent_name(i)}", self.length, n)
                for i, n in enumerate(self.game.actions)
            ]
            return np.asarray(flatten_joint(own, self.game.actions))
        return _indices(array, "joint_actions", self.length, self.game.num_joint_actions)

    @cached_property
    def places(self) -> IntArray:
        """Row of step, state and joint action."""
        return np.asarray((self.steps * self.game.num_states + self.states) * self.game.num_joint_actions + self.joint)

    def counts(self) -> tuple[sparse.csr_array, ...]:
        size = self.game.num_states * self.game.num_joint_actions
        ones = (np.ones(self.length, dtype=np.int64), (self.places, self.following))
        whole = sparse.coo_array(ones, shape=(self.stages * size, self.game.num_states)).tocsr()
        return tuple(whole[h * size : (h + 1) * size] for h in range(self.stages))

    def visits(self) -> FloatArray:
        found = np.bincount(self.places, minlength=self.stages * self.game.joint_legal.size)
        return found.reshape(self.stages, *self.game.joint_legal.shape).astype(np.float64)

    def rewards(
        self, given: npt.ArrayLike, visits: FloatArray, low: float, high: float, *, deterministic: bool
    ) -> FloatArray:
        """Mean rewards (T, m, S, A), 0 where there are none."""
        array, _ = read_numbers(given, GAME, "rewards of the log", ("row", "agent"))
        if array.shape != (self.length, self.game.num_agents):
            raise GameShape(
                f"rewards have shape {array.shape}, expected one of each agent in each row of the log, "
                f"{(self.length, self.game.num_agents)}"
            )
        bad = np.argwhere(~((array >= low) & (array <= high)))
        if bad.size:
            t, i = (int(k) for k in bad[0])
            raise GameNumber(
                f"row {t} of the log: the reward of {self.game.agent_name(i)} is {array[t, i]}, outside of the "
                f"reward_range {(low, high)}"
            )
        flat = np.zeros((visits.size, self.game.num_agents))
        if deterministic:
            flat[self.places[::-1]] = array[::-1]  # the first of each place stands
            apart = np.argwhere(array != flat[self.places])
            if apart.size:
                t, i = (int(k) for k in apart[0])
                raise InvalidGame(
                    f"row {t} of the log: the reward of {self.game.agent_name(i)} is {array[t, i]}, but it was "
                    f"{flat[self.places[t], i]} in the same state and joint action; leave deterministic_rewards out"
                )
        else:
            np.add.at(flat, self.places, array)
            flat /= np.maximum(visits.reshape(-1, 1), 1.0)
        return np.ascontiguousarray(np.moveaxis(flat.reshape(*visits.shape, -1), -1, 1))


def _read_initial(
    initial: npt.ArrayLike | None, initial_states: npt.ArrayLike | None, num_states: int
) -> tuple[npt.ArrayLike, int | None]:
    if not isinstance(num_states, int | np.integer) or num_states < 1:
        raise GameShape(f"num_states is {num_states!r}; give an integer of at least 1")
    if (initial is None) == (initial_states is None):
        raise InvalidOption(
            "give either initial=, the initial distribution, or initial_states=, first states of episodes"
        )
    if initial is not None:
        return initial, None
    starts = _indices(initial_states, "initial_states", None, num_states)
    return np.bincount(starts, minlength=num_states) / starts.size, starts.size


def _indices(given: Any, what: str, length: int | None, most: int) -> IntArray:
    """Read integers 0 to most - 1."""
    array = read_array(given, GAME, what)
    if (
        array.ndim != 1
        or array.dtype.kind not in "iu"
        or array.size == 0
        or (length is not None and array.size != length)
    ):
        raise GameShape(
            f"{what} have shape {array.shape} and dtype {array.dtype}, expected integers of shape "
            f"({'N' if length is None else length},), at least one"
        )
    bad = np.flatnonzero((array < 0) | (array >= most))
    if bad.size:
        unseen = "; leave out rows whose successor was not seen" if what == "next_states" else ""
        raise GameNumber(f"row {bad[0]} of {what} is {array[bad[0]]}; expected an integer from 0 to {most - 1}{unseen}")
    return array.astype(np.int64)
