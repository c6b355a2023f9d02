"""Values and regret in a game that is known from logged transitions: bounds that hold with a stated confidence.

Let P be any game within the bounds of the estimate. Values of obedience and of the best deviation are maximised and
minimised over P by backward induction, in which a row p between its bounds l <= p <= u attains the largest p V by
filling up the successors in the order of V. Lower bounds of the best deviation let the deviation be chosen against the
worst P.

The regret is bounded in two ways, and the better bound taken: by the difference of these values; and by a recursion for
the gain W = V^phi - V^sigma itself, in which rewards and prospects of what is obeyed cancel,

    W_h(s) = max_phi sum_a sigma_h(a|s) [1{b != a} (Q_h(s, b) - Q_h(s, a)) + gamma P(.|s, b) W_{h+1}],  b = phi(a),

with Q the values of obeying from the next step on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mailopt.deviations import DeviationClass, Stagewise, Swap, check_deviations
from mailopt.errors import InvalidDeviation, InvalidGame
from mailopt.evaluation.regret import Regret, regret
from mailopt.evaluation.stages import stage_gains
from mailopt.evaluation.values import values
from mailopt.games.estimate import EstimatedGame
from mailopt.games.numbers import FloatArray
from mailopt.games.policy import CorrelatedPolicy, check_policy

_CHUNK = 2**22  # entries of rows that are filled up at once
_SWEEPS = 100_000
_SETTLED = 1e-8  # of the largest value there may be: how far a discounted bound may be from the best one


@dataclass(frozen=True, eq=False, repr=False)
class EstimatedValues:
    """Values of obedience in an estimated game.

    Attributes
    ----------
    value
        J_i(sigma) in the point estimate, (m,).
    lower, upper
        With probability at least ``confidence``, lower <= J_i(sigma) <= upper in the true game, (m,).
    confidence, num_transitions
        Those of the estimated game.
    """

    value: FloatArray
    lower: FloatArray
    upper: FloatArray
    confidence: float
    num_transitions: int

    def __repr__(self) -> str:
        """Bounds and confidence in one line."""
        true = ", ".join(f"{low:.3g} to {high:.3g}" for low, high in zip(self.lower, self.upper, strict=True))
        point = ", ".join(f"{value:.3g}" for value in self.value)
        return f"EstimatedValues({point} in the point estimate; true values {true}{_said(self)})"


@dataclass(frozen=True, eq=False, repr=False)
class EstimatedRegret:
    """Regret in an estimated game.

    Attributes
    ----------
    value
        The regret in the point estimate.
    lower, upper
        With probability at least ``confidence``, lower <= regret <= upper in the true game.
    per_agent_lower, per_agent_upper
        The same of each agent's best gain, (m,).
    confidence, num_transitions
        Those of the estimated game.
    point_estimate
        The regret in the point estimate, with its best deviation.
    """

    value: float
    lower: float
    upper: float
    per_agent_lower: FloatArray
    per_agent_upper: FloatArray
    confidence: float
    num_transitions: int
    point_estimate: Regret

    def __repr__(self) -> str:
        """Bounds and confidence in one line."""
        true = f"true regret {self.lower:.3g} to {self.upper:.3g}"
        return f"EstimatedRegret({self.value:.3g} in the point estimate; {true}{_said(self)})"


@dataclass(frozen=True, eq=False, repr=False)
class EstimatedRegretGap:
    """Regret gap in an estimated game.

    Attributes
    ----------
    value
        The gap in the point estimate.
    lower, upper
        With probability at least ``confidence``, lower <= gap <= upper in the true game.
    policy, expert
        The two sides; their bounds hold at the same time.
    confidence, num_transitions
        Those of the estimated game.
    """

    value: float
    lower: float
    upper: float
    policy: EstimatedRegret
    expert: EstimatedRegret
    confidence: float
    num_transitions: int

    def __repr__(self) -> str:
        """Bounds and confidence in one line."""
        true = f"true regret gap {self.lower:.3g} to {self.upper:.3g}"
        return f"EstimatedRegretGap({self.value:.3g} in the point estimate; {true}{_said(self)})"


def estimated_values(game: EstimatedGame, policy: CorrelatedPolicy) -> EstimatedValues:
    """Values of obedience in an estimated game, with bounds on the true ones.

    Parameters
    ----------
    game
        What :meth:`mailopt.MarkovGame.from_samples` returned; it says what is assumed, and which inequalities are used.
    policy
        The policy.

    Raises
    ------
    InvalidGame, InvalidPolicy
        This is no estimated game; the policy does not fit it.

    Examples
    --------
    >>> import numpy as np
    >>> import mailopt as mo
    >>> estimated = mo.MarkovGame.from_samples(
    ...     [0] * 900, [0, 1, 2] * 300, None, [0, 0, 1] * 300, num_states=2, actions=(4,), initial=[1, 0], horizon=2,
    ...     known_rewards=[[[0, 0, 1, 0], [5, 5, 5, 5]]], unvisited="stay",
    ... )
    >>> estimated_policy = mo.CorrelatedPolicy([[0, 0, 1, 0], [1, 0, 0, 0]])
    >>> mo.estimated_values(estimated, estimated_policy)
    EstimatedValues(6 in the point estimate; true values 5.77 to 6 with confidence 0.95, from 900 transitions)
    """
    _check(game, policy)
    bounds = _Bounds(game, policy)
    obey = bounds.obey()
    low, high = (bounds.start(table, side) for side, table in ((-1, obey[0]), (1, obey[1])))
    value = values(game.point_estimate(), policy).value
    return EstimatedValues(value, low, high, game.confidence, game.num_transitions)


def estimated_regret(
    game: EstimatedGame,
    policy: CorrelatedPolicy,
    deviations: DeviationClass = Swap(),  # noqa: B008 - a frozen object without state
) -> EstimatedRegret:
    """Regret in an estimated game, with bounds on the true one.

    The bounds of several policies, classes and gaps hold at the same time, with the one confidence.

    Parameters
    ----------
    game, policy
        As for :func:`mailopt.estimated_values`.
    deviations
        Swap, External, Coarse, Internal, Partition or Restricted.

    Raises
    ------
    InvalidDeviation
        Another class, or one that does not fit the game.
    InvalidGame, InvalidPolicy
        As for :func:`mailopt.estimated_values`.

    Examples
    --------
    >>> import numpy as np
    >>> import mailopt as mo
    >>> joint, zeros = np.arange(4000) % 4, np.zeros(4000, dtype=int)
    >>> chicken = mo.scenarios.chicken()
    >>> estimated = mo.MarkovGame.from_samples(
    ...     zeros, joint, chicken.rewards[:, 0, joint].T, zeros, num_states=1, actions=(2, 2), initial=[1], horizon=1,
    ...     reward_range=(0, 7),
    ... )
    >>> mo.estimated_regret(estimated, mo.CorrelatedPolicy.uniform(chicken), mo.External())
    EstimatedRegret(0.25 in the point estimate; true regret -0.279 to 0.779 with confidence 0.95, from 4000 transitions)
    """
    _check(game, policy)
    check_deviations(deviations, game.shape)
    if not isinstance(deviations, Stagewise):
        raise InvalidDeviation(
            f"bounds in an estimated game are not known for {deviations!r}; use Swap(), External(), .."
        )
    bounds, agents = _Bounds(game, policy), range(game.shape.num_agents)
    obey = bounds.obey()
    low, high = np.empty(len(agents)), np.empty(len(agents))
    obeyed = [bounds.start(obey[0], -1), bounds.start(obey[1], 1)]
    for i in agents:
        best = [bounds.start(bounds.deviate(i, deviations, side), side)[0] for side in (-1, 1)]
        gain = [bounds.start(bounds.gain(i, deviations, obey, side), side)[0] for side in (-1, 1)]
        low[i] = max(best[0] - obeyed[1][i], gain[0])
        if bounds.may_obey(i, deviations):
            low[i] = max(low[i], 0.0)  # whatever the game, obeying gains nothing
        high[i] = min(best[1] - obeyed[0][i], gain[1])
    found = regret(game.point_estimate(), policy, deviations)
    return EstimatedRegret(
        found.value, float(low.max()), float(high.max()), low, high, game.confidence, game.num_transitions, found
    )


def estimated_regret_gap(
    game: EstimatedGame,
    policy: CorrelatedPolicy,
    expert: CorrelatedPolicy,
    deviations: DeviationClass = Swap(),  # noqa: B008 - a frozen object without state
) -> EstimatedRegretGap:
    """Regret gap R(policy) - R(expert) in an estimated game, with bounds on the true one.

    Parameters
    ----------
    game, policy, deviations
        As for :func:`mailopt.estimated_regret`.
    expert
        The policy to compare with.

    Raises
    ------
    InvalidGame, InvalidPolicy, InvalidDeviation
        As for :func:`mailopt.estimated_regret`.
    """
    ours, theirs = (estimated_regret(game, sigma, deviations) for sigma in (policy, expert))
    return EstimatedRegretGap(
        ours.value - theirs.value,
        float(np.nextafter(ours.lower - theirs.upper, -np.inf)),
        float(np.nextafter(ours.upper - theirs.lower, np.inf)),
        ours,
        theirs,
        game.confidence,
        game.num_transitions,
    )


def _said(found: EstimatedValues | EstimatedRegret | EstimatedRegretGap) -> str:
    return f" with confidence {found.confidence:g}, from {found.num_transitions} transitions"


def _check(game: EstimatedGame, policy: CorrelatedPolicy) -> None:
    if not isinstance(game, EstimatedGame):
        raise InvalidGame(f"the game is a {type(game).__name__}; give what MarkovGame.from_samples returned")
    check_policy(game.shape, policy)


class _Bounds:
    """Recursions over all games within the bounds. Tables of values are (stages + 1, K, S); side is 1 or -1.

    Each step adds a slack that covers its roundings: sums of fewer than ``terms`` products of which none is larger than
    the length of the game times the largest reward.
    """

    def __init__(self, game: EstimatedGame, policy: CorrelatedPolicy) -> None:
        self.game, self.policy, self.shape = game, policy, game.shape
        self.stages = self.shape.num_stages(policy.num_steps)
        self.factor = 1.0 if self.shape.discount is None else self.shape.discount
        self.rewards = {-1: game.reward_bounds[0], 1: game.reward_bounds[1]}
        legal = self.shape.joint_legal
        ends = [float(np.where(legal, r, 0.0).min()) for r in self.rewards.values()]
        ends += [float(np.where(legal, r, 0.0).max()) for r in self.rewards.values()]
        self.low, self.high = min(ends), max(ends)
        terms = self.shape.num_states + 4 * self.shape.num_joint_actions + 40
        length = 1.0 / self.shape.occupancy_mass if self.shape.horizon is None else float(self.shape.horizon)
        self.slack = 16 * terms * 2.0**-53 * length * max(abs(self.low), abs(self.high))  # no number is larger

    def obey(self) -> dict[int, FloatArray]:
        """Least (0) and largest (1) values of obedience of all agents."""
        result = {}
        for k, side in enumerate((-1, 1)):

            def step(h: int, ahead: FloatArray, side: int = side) -> FloatArray:
                return np.asarray(np.einsum("sa,isa->is", self.policy.at(h), self.prospects(h, ahead, side)))

            result[k] = self.recursion(step, self.shape.num_agents, side, self.low, self.high)
        return result

    def deviate(self, agent: int, deviations: Stagewise, side: int) -> FloatArray:
        """Bound the value of the best deviation of an agent."""

        def step(h: int, ahead: FloatArray) -> FloatArray:
            q = self.prospects(h, ahead, side, agent)[0]
            best, _ = deviations.best_response(
                self.shape, agent, h, stage_gains(self.shape, self.policy.at(h), q, agent)[None]
            )
            return best

        return self.recursion(step, 1, side, self.low, self.high)

    def gain(self, agent: int, deviations: Stagewise, obey: dict[int, FloatArray], side: int) -> FloatArray:
        """Bound what an agent gains by its best deviation."""
        span = self.high - self.low
        diagonal = np.arange(self.shape.actions[agent])

        def step(h: int, ahead: FloatArray) -> FloatArray:
            sigma, later = self.policy.at(h), min(h + 1, len(obey[0]) - 1)
            ours = self.prospects(h, obey[1 if side > 0 else 0][later][agent : agent + 1], side, agent)[0]
            theirs = self.prospects(h, obey[0 if side > 0 else 1][later][agent : agent + 1], -side, agent)[0]
            obeyed = (self.shape.unfold(sigma, agent) * self.shape.unfold(theirs, agent)).sum(axis=-1)
            gains = stage_gains(self.shape, sigma, ours, agent) - obeyed[:, :, None]
            gains[:, diagonal, diagonal] = 0.0
            gains += stage_gains(self.shape, sigma, self.factor * self.extreme(h, ahead, side)[0], agent)
            best, _ = deviations.best_response(self.shape, agent, h, gains[None])
            return best

        return self.recursion(step, 1, side, -span, span)

    def may_obey(self, agent: int, deviations: Stagewise) -> bool:
        """Whether the class contains obedience: whether a charge on all else can be avoided."""
        charge = np.broadcast_to(
            np.eye(self.shape.actions[agent]) - 1.0, (1, self.shape.num_states, *[self.shape.actions[agent]] * 2)
        )
        told = self.shape.legal[agent][None, :, :, None]
        bests = (deviations.best_response(self.shape, agent, h, charge * told)[0] for h in range(self.stages))
        return all(bool((best == 0).all()) for best in bests)

    def prospects(self, h: int, ahead: FloatArray, side: int, agent: int | None = None) -> FloatArray:
        """Bound Q = r + gamma P V, (K, S, A), of all agents or of one."""
        rewards = self.rewards[side][min(h, len(self.rewards[side]) - 1)]
        own = rewards if agent is None else rewards[agent : agent + 1]
        return np.asarray(own + self.factor * self.extreme(h, ahead, side))

    def extreme(self, h: int, ahead: FloatArray, side: int) -> FloatArray:
        """Largest (side 1) or least p V over rows p within their bounds, from (K, S) to (K, S, A)."""
        stage = min(h, len(self.game.counts) - 1)
        size, width = self.shape.joint_legal.size, self.shape.num_states
        result = np.empty((len(ahead), size))
        rows = max(_CHUNK // width, 1)
        for first in range(0, size, rows):
            some = slice(first, min(first + rows, size))
            lower, upper = self.game.transition_bounds(stage, some)
            for k, table in enumerate(ahead):
                result[k, some] = _filled(lower, upper, side * table) * side
        return result.reshape(len(ahead), *self.shape.joint_legal.shape)

    def start(self, table: FloatArray, side: int) -> FloatArray:
        """Bound the value at the start, (K,)."""
        lower, upper = self.game.initial_bounds
        found = np.array([float(_filled(lower[None], upper[None], side * row)[0]) * side for row in table[0]])
        return found + side * self.slack

    def recursion(
        self, step: Callable[[int, FloatArray], FloatArray], count: int, side: int, low: float, high: float
    ) -> FloatArray:
        """Go backwards from nothing; discounted, from what :meth:`forever` finds."""
        table = np.zeros((self.stages + 1, count, self.shape.num_states))
        later = range(self.stages)
        if self.shape.horizon is None:
            table[self.stages - 1 :] = self.forever(lambda ahead: step(self.stages - 1, ahead), count, side, low, high)
            later = range(self.stages - 1)
        for h in reversed(later):
            table[h] = step(h, table[h + 1]) + side * self.slack
        return table

    def forever(
        self, step: Callable[[FloatArray], FloatArray], count: int, side: int, low: float, high: float
    ) -> FloatArray:
        """Bound the fixed point V* of a discounted step T, monotone and with T(V + c) = T V + gamma c, (K, S).

        If V' bounds T V from above, V* <= V' + gamma / (1 - gamma) max(V' - V), for any V at all; likewise from below.
        """
        mass, last = self.shape.occupancy_mass, np.zeros((count, self.shape.num_states))
        bound = np.full(last.shape, np.inf)
        tail, largest = self.factor / mass, max(abs(low), abs(high)) / mass
        for _ in range(_SWEEPS):
            better = side * step(last) + self.slack
            change = better - side * last
            most, least = change.max(axis=1, keepdims=True), change.min(axis=1, keepdims=True)
            bound = np.minimum(bound, better + tail * most + self.slack / mass)
            last = side * better
            if (tail * (most - least) <= _SETTLED * largest + self.slack).all():
                break
        return side * bound


def _filled(lower: FloatArray, upper: FloatArray, values: FloatArray) -> FloatArray:
    """Largest p V over lower <= p <= upper with sum 1, from (R, S) and (S,) to (R,)."""
    order = np.argsort(-values, kind="stable")
    room = (upper - lower)[:, order]
    spare = 1.0 - lower.sum(axis=1, keepdims=True)
    before = np.cumsum(room, axis=1) - room
    added = np.clip(spare - before, 0.0, room)
    return np.asarray(lower @ values + added @ values[order])
