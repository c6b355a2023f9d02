"""Where deviations from a policy lead, and what they find there: exactly, or by roll-outs in a simulator."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from scipy import sparse

from mailopt.deviations import (
    Deviation,
    DeviationClass,
    Finite,
    Limited,
    LimitedDeviation,
    Restricted,
    Stationary,
    Swap,
)
from mailopt.errors import InvalidDeviation, InvalidOption
from mailopt.evaluation.loss import DeviationWeightedLoss, charged, gathered_loss
from mailopt.evaluation.reach import support_of, wandering
from mailopt.evaluation.recursion import visits_of
from mailopt.evaluation.rules import Problem
from mailopt.evaluation.search import Found, search
from mailopt.games.game import MarkovGame, check_game
from mailopt.games.numbers import BoolArray, FloatArray
from mailopt.games.policy import CorrelatedPolicy
from mailopt.imitation.simulator import RollOuts, Simulator, roll_out

_TRIES = 10  # from which on frequencies stand for a joint action
_MOST_PLANS = 1000
Environment: TypeAlias = MarkovGame | Simulator


@dataclass(frozen=True, eq=False)
class Assessment:
    """The worst deviation of each agent for a distance, and where it leads.

    Attributes
    ----------
    value, lower, upper
        The largest expected sum of distances that a deviation finds, and its bounds; those of roll-outs are minus
        infinity and infinity.
    visits
        For each agent that has a deviation, worst first: expected visits of its worst one, (T, S); discounted, the
        visit at time t counts gamma^t.
    frontier
        For the same agents the expected first visits, (T, S), of what is not known; empty if that was not asked for.
    loss
        The same as a result; None from roll-outs.
    found
        For the same agents the worst deviation as it was found; empty from roll-outs.
    """

    value: float
    lower: float
    upper: float
    visits: list[FloatArray]
    frontier: list[FloatArray]
    loss: DeviationWeightedLoss | None
    found: Sequence[Found] = ()


class Dynamics(ABC):
    """Where deviations lead.

    Attributes
    ----------
    game
        A game of the right shape; its dynamics are those of the environment only if they are known.
    known
        Whether they are.
    """

    game: MarkovGame
    known: bool

    @abstractmethod
    def assess(
        self, policy: CorrelatedPolicy, distance: FloatArray, support: int, known: BoolArray | None = None
    ) -> Assessment:
        """Find the worst deviations from a policy for a distance (T, S) that comes from rows of so many entries.

        With ``known``, (T, S), also where they first meet what is not known.
        """

    @abstractmethod
    def wandered(self, policy: CorrelatedPolicy, stages: int, known: BoolArray | None = None) -> FloatArray:
        """Visits (T, S) of agents that deviate at random, positive wherever a deviation is known to lead.

        With ``known``, (T, S), only first visits of what is not known.
        """


class Known(Dynamics):
    """Dynamics that are known: everything is exact."""

    known = True

    def __init__(self, game: MarkovGame, deviations: DeviationClass) -> None:
        self.game, self.deviations = game, deviations

    def assess(
        self, policy: CorrelatedPolicy, distance: FloatArray, support: int, known: BoolArray | None = None
    ) -> Assessment:
        """See :class:`Dynamics`."""
        problem = charged(self.game, policy, distance, max(support, policy.support), self.deviations)
        found = search(problem, range(self.game.num_agents), self.deviations)
        loss = gathered_loss(problem, found, self.deviations)
        ranked = sorted((f for f in found if f is not None), key=lambda f: -f.value)
        mass = self.game.occupancy_mass
        visits = [folded(f.occupancy()[:, :, 0].sum(axis=-1) / mass, len(distance)) for f in ranked]
        frontier = []
        if known is not None:
            through = known[np.minimum(np.arange(problem.stages), len(known) - 1)]
            for f in ranked:
                met: FloatArray = np.zeros(through.shape)
                for weight, outcome in f.parts:
                    strange = support_of(problem, outcome.rule) & ~through
                    met += np.where(strange, weight * outcome.visits(through).sum(axis=1), 0.0)
                frontier.append(folded(met / mass, len(distance)))
        return Assessment(loss.value, loss.lower, loss.upper, visits, frontier, loss, ranked)

    def wandered(self, policy: CorrelatedPolicy, stages: int, known: BoolArray | None = None) -> FloatArray:
        """See :class:`Dynamics`."""
        problem = Problem(self.game, policy, steps=max(stages, self.deviations.num_steps or 1))
        free = Swap() if isinstance(self.deviations, Stationary) else self.deviations
        total: FloatArray = np.zeros((stages, self.game.num_states))
        through = None if known is None else known[np.minimum(np.arange(problem.stages), len(known) - 1)]
        for agent in range(self.game.num_agents):
            for rule in wandering(problem, agent, free):
                reached, visits = support_of(problem, rule), visits_of(problem, rule, through).sum(axis=1)
                if through is None:
                    visits = np.maximum(visits, np.finfo(float).tiny)  # reached, however rarely
                else:
                    reached = reached & ~through
                total += folded(np.where(reached, visits, 0.0), stages)
        return total


class Sampled(Dynamics):
    """Dynamics that only a simulator knows.

    Roll-outs are counted; the worst deviation is planned on the frequencies, where a joint action that was tried fewer
    than ten times leads to a place with distance 1 for ever, so that deviations seek what is not known. That is
    repeated until the worst deviation no longer meets such a joint action as often as once in so many episodes. It is
    then rolled out itself: its visits, and the loss, are means over episodes.
    """

    known = False

    def __init__(self, simulator: Simulator, deviations: DeviationClass, episodes: int, seed: int) -> None:
        self.simulator, self.deviations, self.episodes = simulator, deviations, episodes
        self.rng = np.random.default_rng(seed)
        self.game = simulator.blank_game()
        shape = (self.game.num_states, self.game.num_joint_actions)
        steps = 1 if simulator.homogeneous or simulator.horizon is None else simulator.horizon
        self._tried = [sparse.csr_array((shape[0] * shape[1], shape[0])) for _ in range(steps)]
        self._starts = np.zeros(shape[0])
        self._reached: BoolArray | None = None

    def assess(
        self, policy: CorrelatedPolicy, distance: FloatArray, support: int, known: BoolArray | None = None
    ) -> Assessment:
        """See :class:`Dynamics`."""
        stages = len(distance)
        if not self._starts.any():
            self._count(roll_out(self.simulator, policy, self.episodes, self.rng), stages)
        widened = np.concatenate((distance, np.ones((stages, 1))), axis=1)
        for _ in range(_MOST_PLANS):
            problem = charged(self._model(), _widened(policy), widened, support, self.deviations)
            found = [f for f in search(problem, range(self.game.num_agents), self.deviations) if f is not None]
            unsure = [f for f in found if self._strange(f) * self.episodes >= 1]
            for f in unsure:
                self._rolled(policy, f, stages)
            if not unsure:
                break
        rolled = []
        for f in found:
            runs = self._rolled(policy, f, stages)
            visits = runs.visits(stages)
            met = np.zeros_like(visits) if known is None else _first_visits(runs, known)
            rolled.append((float((visits * distance).sum()), visits, met))
        rolled.sort(key=lambda found: -found[0])
        frontier = [] if known is None else [met for _, _, met in rolled]
        return Assessment(rolled[0][0], -np.inf, np.inf, [visits for _, visits, _ in rolled], frontier, None)

    def _rolled(self, policy: CorrelatedPolicy, found: Found, stages: int) -> RollOuts:
        """Roll a planned deviation out, and count."""
        deviation = _narrowed(found.deviation(found.occupancy()))
        runs = roll_out(self.simulator, policy, self.episodes, self.rng, deviation)
        self._count(runs, stages)
        return runs

    def _strange(self, found: Found) -> float:
        """Frequency at which a planned deviation is where a joint action leads that was hardly tried."""
        return float(found.occupancy()[:, self.game.num_states, 0].sum(axis=-1).max())

    def wandered(self, policy: CorrelatedPolicy, stages: int, known: BoolArray | None = None) -> FloatArray:
        """See :class:`Dynamics`: where roll-outs have led so far."""
        if self._reached is None:
            self._count(roll_out(self.simulator, policy, self.episodes, self.rng), stages)
        assert self._reached is not None
        reached = self._reached if known is None else self._reached & ~known
        return reached.astype(np.float64)

    def _count(self, runs: RollOuts, stages: int) -> None:
        """Add what happened in roll-outs."""
        size, joint = self.game.num_states, self.game.num_joint_actions
        goes_on = runs.following >= 0
        for h in range(len(self._tried)):
            here = goes_on & (runs.step == h) if len(self._tried) > 1 else goes_on
            rows, columns = runs.state[here] * joint + runs.joint_action[here], runs.following[here]
            counted = sparse.coo_array((np.ones(rows.size), (rows, columns)), shape=(size * joint, size))
            self._tried[h] = sparse.csr_array(self._tried[h] + counted.tocsr())
        self._starts += np.bincount(runs.state[runs.step == 0], minlength=size)
        visited = runs.visits(stages) > 0
        self._reached = visited if self._reached is None else self._reached | visited

    def _model(self) -> MarkovGame:
        """Game of the frequencies, with one more state for what was hardly tried."""
        game, size = self.game, self.game.num_states
        kernels = []
        for counts in self._tried:
            sums = np.asarray(counts.sum(axis=1)).ravel()
            tried = sums >= _TRIES
            rows = sparse.csr_array(sparse.diags_array(np.where(tried, 1.0 / np.maximum(sums, 1.0), 0.0)) @ counts)
            unseen = sparse.csr_array((~tried).astype(np.float64)[:, None])
            stays = np.zeros((game.num_joint_actions, size + 1))
            stays[:, size] = 1.0
            kernels.append(sparse.vstack([sparse.hstack([rows, unseen]), sparse.csr_array(stays)], format="csr"))
        return MarkovGame(
            kernels if len(kernels) > 1 else kernels[0],
            np.zeros((game.num_agents, size + 1, game.num_joint_actions)),
            np.append(self._starts / self._starts.sum(), 0.0),
            game.actions,
            horizon=game.horizon,
            discount=game.discount,
            legal=[np.concatenate((mask, np.ones((1, mask.shape[1]), dtype=bool))) for mask in game.legal],
        )


def dynamics_of(
    environment: Environment, deviations: DeviationClass, episodes: int | None, seed: int | None
) -> Dynamics:
    """Take a game for what it is, or a simulator with so many episodes for each question.

    Raises
    ------
    InvalidGame, InvalidOption
        Neither; ``episodes`` and ``seed`` are missing for a simulator, or given for a game.
    """
    if isinstance(environment, Simulator):
        for name, value in (("episodes", episodes), ("seed", seed)):
            if type(value) is not int or value < (1 if name == "episodes" else 0):
                raise InvalidOption(f"{name} is {value!r}; a simulator needs an integer, such as episodes=1000, seed=0")
        assert episodes is not None
        assert seed is not None
        inner = deviations.inner if isinstance(deviations, Limited) else deviations
        if isinstance(inner, Finite | Restricted | Stationary):
            raise InvalidDeviation(
                f"{deviations!r} has tables over the states, and deviations in a simulator are planned on a model "
                f"with one state more; use Swap, External, Coarse, Internal, Partition, Budget, or Limited"
            )
        return Sampled(environment, deviations, episodes, seed)
    check_game(environment)
    if episodes is not None or seed is not None:
        raise InvalidOption("episodes and seed are for simulators; a game is evaluated exactly. Leave them out")
    return Known(environment, deviations)


def folded(visits: FloatArray, stages: int) -> FloatArray:
    """Let stages past the last count for the last, (T', S) to (T, S)."""
    result = np.zeros((stages, visits.shape[1]))
    np.add.at(result, np.minimum(np.arange(len(visits)), stages - 1), visits)
    return result


def _first_visits(runs: RollOuts, known: BoolArray) -> FloatArray:
    """Mean first visits an episode, (T, S), of what is not known."""
    stages, size = known.shape
    stage = np.minimum(runs.step, stages - 1)
    strange = np.flatnonzero(~known[stage, runs.state])
    first = strange[np.unique(runs.episode[strange], return_index=True)[1]]  # entries of an episode are in order
    counts = np.bincount(stage[first] * size + runs.state[first], minlength=stages * size)
    return np.asarray(counts.reshape(stages, size) / runs.num_episodes)


def _widened(policy: CorrelatedPolicy) -> CorrelatedPolicy:
    """Add a state in which the first joint action is recommended."""
    rows = policy.probabilities
    extra = np.zeros((*rows.shape[:-2], 1, rows.shape[-1]))
    extra[..., 0] = 1.0
    return CorrelatedPolicy(np.concatenate((rows, extra), axis=-2))


def _narrowed(deviation: Deviation) -> Deviation:
    """Drop the added state."""
    if isinstance(deviation, LimitedDeviation):
        return LimitedDeviation(deviation.agent, deviation.choices[..., :-1, :])
    return Deviation(deviation.agent, deviation.probabilities[..., :-1, :, :])
