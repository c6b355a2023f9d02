"""Demonstrations: what is known of an expert, from trajectories, counts, or the expert itself.

All of them come down to an occupancy mu_E,h(s, a) and the rows sigma_E,h(a|s) that it shows; where the demonstrations
never go there are none.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mailopt.deviations import DeviationClass
from mailopt.errors import (
    DemonstrationShape,
)
from mailopt.evaluation.occupancy import stage_occupancy
from mailopt.evaluation.reach import occupancy_error, support_of
from mailopt.evaluation.rounding import SLACK, TINY, gamma
from mailopt.evaluation.rules import Obey, Problem
from mailopt.games.game import MarkovGame, check_game
from mailopt.games.numbers import BoolArray, FloatArray, NumberArray
from mailopt.games.policy import CorrelatedPolicy, check_policy
from mailopt.games.sampling import RowSampler, random_generator, read_count, read_steps
from mailopt.imitation.records import Trajectories, read_counts, read_trajectories, require_legal, scaled
from mailopt.imitation.simulator import Simulator, roll_out


@dataclass(frozen=True, eq=False, init=False, repr=False)
class Demonstrations:
    """What an expert was seen to do; validated when constructed, its arrays are read-only.

    Made from recorded episodes; :meth:`from_counts` and :meth:`from_policy` are the other ways. With T stages (the
    horizon H; discounted 1, or as many as the expert or the counts have) the occupancy mu_E has mass 1 at each step,
    discounted in all. Episodes of a discounted game are cut off after L steps: step t counts gamma^t, and what was
    recorded is normalised to mass 1, so that L should be a few times 1 / (1 - gamma).

    Parameters
    ----------
    game
        The game in which they were recorded; or a :class:`~mailopt.Simulator` of it, against whose hidden dynamics
        starts and transitions are not checked.
    states
        Integers (N, H), discounted (N, L) for any L >= 1: the state at each step of each episode.
    joint_actions
        Integers (N, H) of flat joint actions, or (N, H, m) of one action per agent.
    weights
        Non-negative weights of the episodes, (N,), not all of them 0. None: all 1.

    Attributes
    ----------
    occupancy
        mu_E,h(s, a), shape (T, S, A).
    rows
        sigma_E,h(a|s), shape (T, S, A): mu_E,h(s, a) / mu_E,h(s) where it is seen, 0 elsewhere.
    episodes
        Number of episodes N; None for counts and for an exact expert.
    expert
        The expert of :meth:`from_policy`; None elsewhere.
    trajectories
        The recorded episodes: ``.states`` and ``.joint_actions`` (N, H), ``.weights`` (N,) or None. None for counts and
        for an exact expert.
    counts
        What :meth:`from_counts` was given. None elsewhere.
    error
        Bound on how far rounding has moved ``occupancy``: the sum over h, s and a of the distances from the exact one
        of what was given, doubles taken as they are.
    roundings
        Bound on the roundings of an entry of ``rows`` before it was normalised.
    actions, horizon, discount
        Those of the game.

    Raises
    ------
    EmptyDemonstrations
        No episodes, or all of weight 0.
    DemonstrationShape
        Shapes or dtypes that are wrong, another number of steps than the horizon, a state that does not exist.
    IllegalDemonstration
        A joint action that does not exist or is illegal in its state.
    ImpossibleTransition
        A start or a transition of probability 0.
    DemonstrationNumber
        A weight that is negative or no finite number.
        All of them are :class:`~mailopt.errors.InvalidDemonstrations`; the message names episode, step and state.

    Examples
    --------
    >>> import mailopt as mo
    >>> chain = mo.scenarios.unvisited_chain(3)
    >>> shown = mo.Demonstrations(chain.game, [[0, 2, 4]], [[0, 0, 0]])
    >>> shown
    Demonstrations(1 episode, 3 of 18 (step, state) pairs seen)
    >>> shown.rows[1, 2]
    array([1., 0., 0., 0.])
    """

    occupancy: FloatArray
    rows: FloatArray
    episodes: int | None
    expert: CorrelatedPolicy | None
    trajectories: Trajectories | None
    counts: FloatArray | None
    error: float
    roundings: int
    actions: tuple[int, ...]
    horizon: int | None
    discount: float | None

    def __init__(
        self,
        game: MarkovGame | Simulator,
        states: npt.ArrayLike,
        joint_actions: npt.ArrayLike,
        *,
        weights: NumberArray | None = None,
    ) -> None:
        shape = game.blank_game() if isinstance(game, Simulator) else game
        check_game(shape)
        recorded = read_trajectories(shape, states, joint_actions, weights, possible=isinstance(game, Simulator))
        self._count(shape, *recorded.summed(shape), trajectories=recorded)

    @classmethod
    def from_counts(cls, game: MarkovGame, counts: NumberArray) -> Demonstrations:
        """Make demonstrations from how often each joint action was seen in each state.

        Counts hold no transitions, so that none are checked.

        Parameters
        ----------
        game
            The game.
        counts
            Non-negative numbers (H, S, A), each step with some of them positive and normalised to mass 1; discounted
            (S, A), or (T, S, A) for an expert of T steps, normalised in all. ``Fraction`` entries are rounded to
            doubles.

        Raises
        ------
        EmptyDemonstrations
            A step without counts; discounted, no counts at all.
        DemonstrationShape, DemonstrationNumber, IllegalDemonstration
            As for the constructor; the message names step, state and joint action.

        Examples
        --------
        >>> import mailopt as mo
        >>> mo.Demonstrations.from_counts(mo.scenarios.chicken(), [[[2, 1, 1, 0]]]).occupancy
        array([[[0.5 , 0.25, 0.25, 0.  ]]])
        """
        check_game(game)
        given = read_counts(game, counts)
        self = cls.__new__(cls)
        self._count(game, scaled(game, given.reshape(-1, game.num_states, game.num_joint_actions)), 0, counts=given)
        return self

    @classmethod
    def from_policy(cls, game: MarkovGame, policy: CorrelatedPolicy) -> Demonstrations:
        """Make demonstrations of the exact expert: its occupancy, and its own rows wherever it goes.

        ``seen`` is exactly where the expert can go: elsewhere the occupancy is 0, without the rounding of a discounted
        solve, and a place that is reached too rarely for a double is given the smallest normal one.

        Raises
        ------
        InvalidGame, InvalidPolicy
            The policy does not fit the game.

        Examples
        --------
        >>> import mailopt as mo
        >>> chain = mo.scenarios.unvisited_chain(3)
        >>> mo.Demonstrations.from_policy(chain.game, chain.expert)
        Demonstrations(exact expert, 3 of 18 (step, state) pairs seen)
        """
        check_policy(game, policy)
        problem = Problem(game, policy)
        reached = support_of(problem, Obey(range(game.num_agents)))
        own = np.stack([policy.at(h) for h in range(problem.stages)]) * reached[:, :, None]
        mu = stage_occupancy(game, policy, method="dp")
        faint = reached & ~(mu.sum(axis=2) > 0)
        mu = np.where(faint[:, :, None], np.finfo(np.float64).tiny * own, np.where(reached[:, :, None], mu, 0.0))
        self = cls.__new__(cls)
        error = occupancy_error(problem, Obey(range(game.num_agents))) + 2 * TINY * mu.size
        self._fill(game, mu, own, error=error, roundings=0, expert=policy)
        return self

    def _count(self, game: MarkovGame, summed: FloatArray, roundings: int, **source: Any) -> None:
        """Fill in the fields from how much of what was seen, (T, S, A), after so many roundings of a term."""
        axes = (1, 2) if game.horizon is not None else None
        occupancy = summed / summed.sum(axis=axes, keepdims=True)
        terms = int(np.count_nonzero(summed, axis=axes).max())
        error = gamma(2 * roundings + terms + 2) * (game.horizon or 1) + 4 * TINY * summed.size
        seen = occupancy.sum(axis=2) > 0
        sums = np.where(seen, summed.sum(axis=2), 1.0)
        rows = np.where(seen[:, :, None], summed / sums[:, :, None], 0.0)
        self._fill(game, occupancy, rows, error=error * SLACK, roundings=2 * roundings, **source)

    def _fill(
        self,
        game: MarkovGame,
        occupancy: FloatArray,
        rows: FloatArray,
        *,
        error: float,
        roundings: int,
        trajectories: Trajectories | None = None,
        counts: FloatArray | None = None,
        expert: CorrelatedPolicy | None = None,
    ) -> None:
        """Fill in the fields."""
        for array in (occupancy, rows):
            array.setflags(write=False)
        fields = {
            "occupancy": occupancy,
            "rows": rows,
            "episodes": None if trajectories is None else len(trajectories.states),
            "expert": expert,
            "trajectories": trajectories,
            "counts": counts,
            "error": error,
            "roundings": roundings,
            "actions": game.actions,
            "horizon": game.horizon,
            "discount": game.discount,
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    @property
    def num_stages(self) -> int:
        """Number of stages T."""
        return len(self.occupancy)

    @cached_property
    def visits(self) -> FloatArray:
        """Occupancy of states mu_E,h(s), shape (T, S)."""
        visits: FloatArray = self.occupancy.sum(axis=2)
        visits.setflags(write=False)
        return visits

    @cached_property
    def seen(self) -> BoolArray:
        """Where the demonstrations go, mu_E,h(s) > 0, shape (T, S)."""
        seen = self.visits > 0
        seen.setflags(write=False)
        return seen

    def check(self, game: MarkovGame) -> None:
        """Raise unless the demonstrations fit the game.

        Raises
        ------
        DemonstrationShape
            States, actions, horizon or discount differ.
        IllegalDemonstration
            A demonstrated joint action is illegal in this game.
        """
        check_game(game)
        for what, here, there in (
            ("states", self.occupancy.shape[1], game.num_states),
            ("actions", self.actions, game.actions),
            ("horizon", self.horizon, game.horizon),
            ("discount", self.discount, game.discount),
        ):
            if here != there:
                raise DemonstrationShape(
                    f"the demonstrations are of a game with {what} {here}, this game has {what} {there}"
                )
        require_legal(game, self.occupancy)

    def summary(self, game: MarkovGame, deviations: DeviationClass | None = None) -> str:
        """Say in a few lines what was seen.

        Parameters
        ----------
        game
            The game.
        deviations
            Deviations of which to say where they lead and nothing was seen: deviations from the expert if it is known
            exactly, else from the rows that were seen. Where nothing was seen anybody may then do anything, so that
            places are counted that deviations from the true expert may not reach.

        Raises
        ------
        DemonstrationShape, IllegalDemonstration, InvalidDeviation
            The demonstrations or the class do not fit the game; what the class reaches is not known.

        Examples
        --------
        >>> import mailopt as mo
        >>> chain = mo.scenarios.unvisited_chain(3)
        >>> print(mo.Demonstrations.from_policy(chain.game, chain.expert).summary(chain.game, mo.Swap()))
        exact expert, 3 steps
        seen: 3 of 18 (step, state) pairs, 3 of 72 with a joint action
        Swap() from the expert reaches 5 pairs, 2 of them unseen: (1, 1), (2, 3)
        """
        from mailopt.imitation.summary import summary  # noqa: PLC0415 - it imports this module

        return summary(self, game, deviations)

    def save(self, path: str | Path, game: MarkovGame) -> None:
        """Write the demonstrations to a ``.json`` or ``.npz`` file; see :func:`mailopt.load_demonstrations`.

        Episodes and counts come back as they were. An exact expert is not kept: its occupancy is written as counts, so
        that the rows come back to within rounding; save the policy beside it.
        """
        from mailopt.imitation.demonstration_files import save_demonstrations  # noqa: PLC0415 - it imports this module

        save_demonstrations(self, path, game)

    def __repr__(self) -> str:
        """Source and what was seen in one line."""
        return f"Demonstrations({self.source}, {int(self.seen.sum())} of {self.seen.size} (step, state) pairs seen)"

    @property
    def source(self) -> str:
        """Where they come from, for people."""
        if self.episodes is None:
            return "counts" if self.expert is None else "exact expert"
        return f"{self.episodes} episode{'s' * (self.episodes > 1)}"


def sample_demonstrations(
    game: MarkovGame | Simulator,
    policy: CorrelatedPolicy,
    episodes: int,
    *,
    seed: int | np.random.Generator,
    steps: int | None = None,
) -> Demonstrations:
    """Play a policy in a game, everybody obeying, and record it.

    Parameters
    ----------
    game, policy
        The game, or a :class:`~mailopt.Simulator` of it, and the expert.
    episodes
        How many.
    seed
        An integer, or a generator to draw from.
    steps
        Length of an episode of a discounted game, which is cut off there.

    Raises
    ------
    InvalidGame, InvalidPolicy
        The policy does not fit the game.
    InvalidOption
        ``episodes`` or ``seed`` is no such thing; ``steps`` is missing, or given for a game with a horizon.
    SimulatorFailed
        As for :class:`~mailopt.Simulator`.

    Examples
    --------
    >>> import mailopt as mo
    >>> chain = mo.scenarios.covered_chain(4, coverage=0.25, error=0.125)
    >>> mo.sample_demonstrations(chain.game, chain.expert, 1000, seed=0)
    Demonstrations(1000 episodes, 8 of 32 (step, state) pairs seen)
    """
    if isinstance(game, Simulator):
        length = read_steps(game.horizon, steps)
        runs = roll_out(game, policy, episodes, random_generator(seed), steps=steps)
        return Demonstrations(game, runs.state.reshape(-1, length), runs.joint_action.reshape(-1, length))
    check_policy(game, policy)
    rng, count = random_generator(seed), read_count(episodes, "episodes")
    states = np.empty((count, read_steps(game.horizon, steps)), dtype=np.int64)
    joint = np.empty_like(states)
    here = RowSampler.dense(game.initial[None]).draw(np.zeros(count, dtype=np.int64), rng.random(count))
    for h in range(states.shape[1]):
        if h > 0:
            here = game.kernel(h - 1).sample(here, joint[:, h - 1], rng.random(count))
        states[:, h], joint[:, h] = here, policy.sample(h, here, rng.random(count))
    return Demonstrations(game, states, joint)
