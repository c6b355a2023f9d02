"""The backward recursion behind every number: one sweep for any rules of play, with a bound on its error.

A finite-horizon game has stages h = 0..H-1 and continuation 0 after the last. A discounted game under policies of T
steps (1 if they are stationary) has stages 0..T-1, the last of which repeats for ever. V is carried with its centre c
taken out, and what rounding may have done is added up from stage to stage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
from scipy import sparse

from mailopt.evaluation.discounted import StateMatrix, discounted_values, discounted_visits, fixed_point
from mailopt.evaluation.rounding import SLACK, Enclosure, gamma, inflated, start_error, step_error
from mailopt.evaluation.rules import Obey, Problem, Rule
from mailopt.evaluation.stages import overflow_is_checked, require_finite
from mailopt.games.kernels import TransitionKernel
from mailopt.games.numbers import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a recursion found for one rule.

    Attributes
    ----------
    problem, rule
        What was evaluated.
    state_values
        V_h^j(s), shape (T, k, L, S).
    errors
        Bound on the error of every state value of a stage, (T, k): rounding and truncation.
    """

    problem: Problem
    rule: Rule
    state_values: FloatArray
    errors: FloatArray

    def value(self, row: int = 0) -> float:
        """Value from the start, in the last layer."""
        return self._start[0][row]

    def enclosure(self, row: int = 0) -> Enclosure:
        """Enclose the true value from the start."""
        value, error = self._start
        return Enclosure.around(float(value[row]), float(error[row]))

    @cached_property
    def _start(self) -> tuple[list[float], FloatArray]:
        values = self.state_values[0, :, -1]
        rho = self.problem.game.initial_distribution
        with overflow_is_checked():
            centre = middle(values.min(axis=1), values.max(axis=1))
            spread = values - centre[:, None]
            value = spread @ rho + centre
            error = start_error(self.errors[0], int(np.count_nonzero(rho)), np.abs(spread).max(axis=1), value)
            return [float(v) for v in require_finite(value)], require_finite(error)

    def action_values(self, step: int) -> FloatArray:
        """Q_h(s, a) of the first agent in each layer, (L, S, A), off by no more than the stage's state values."""
        problem, values = self.problem, self.state_values[:, :1]
        after = step if problem.game.discount is not None and step == problem.stages - 1 else step + 1
        following = values[after] if after < problem.stages else np.zeros_like(values[step])
        centre = middle(following.min(axis=(1, 2)), following.max(axis=(1, 2)))
        q = look_ahead(problem, step, self.rule.agents[:1], following, centre)[0]
        return np.asarray(q + problem.discount * centre[0])

    def visits(self, through: BoolArray | None = None) -> FloatArray:
        """Where the rule leads, see :func:`visits_of`."""
        return visits_of(self.problem, self.rule, through)


def visits_of(problem: Problem, rule: Rule, through: BoolArray | None = None) -> FloatArray:
    """Where a rule, as it has decided, leads: distribution over layers and states at each stage, (T, L, S).

    Discounted: 1 - gamma times the discounted visits, those of the repeating last stage summed up. With ``through``,
    (T, S), what arrives where it is False goes no further: only first visits are counted there.
    """
    game, layers = problem.game, rule.layers
    result = np.zeros((problem.stages, layers, game.num_states))
    result[0, -1] = game.occupancy_mass * game.initial_distribution
    for h in range(len(result) - 1):
        onwards = result[h] if through is None else result[h] * through[h]
        for to, source, weights in rule.moves(problem, h):
            result[h + 1, to] += game.kernel(h).push_forward(onwards[source][:, None] * weights)
        result[h + 1] *= problem.discount
    if game.discount is not None:
        matrix = _matrix(problem, rule, len(result) - 1, None if through is None else through[-1])
        result[-1] = discounted_visits(matrix, result[-1].ravel(), game.discount).reshape(layers, -1)
    return result


def occupancy_of(problem: Problem, rule: Rule) -> FloatArray:
    """Joint actions that are played where a rule, as it has decided, leads: (T, S, A), all layers together."""
    visits = visits_of(problem, rule)
    result = np.zeros((problem.stages, problem.game.num_states, problem.game.num_joint_actions))
    for h in range(problem.stages):
        for _, source, weights in rule.moves(problem, h):
            result[h] += visits[h, source][:, None] * weights
    return result


def look_ahead(
    problem: Problem, step: int, agents: Sequence[int], following: FloatArray | None, centre: FloatArray
) -> FloatArray:
    """Compute action values with the centre of the following values taken out: Q - gamma c, shape (k, L, S, A).

    Parameters
    ----------
    problem, step
        What and where.
    agents
        Whose rewards, (k,).
    following
        Values of the next stage (k, L, S), None for 0.
    centre
        c, (k,).
    """
    game, rewards = problem.game, problem.reward(step, agents)
    if following is None:
        return np.broadcast_to(rewards[:, None], (len(agents), 1, game.num_states, game.num_joint_actions))
    k, layers, size = following.shape
    apart = following - centre[:, None, None]
    expected = game.kernel(step).expectation(apart.reshape(k * layers, size)).reshape(k, layers, size, -1)
    if game.discount is not None:
        expected *= game.discount
    expected += rewards[:, None]
    return expected


class _Sweep:
    """Rules of as many layers that are evaluated together, one value function for each agent of each rule."""

    def __init__(self, problem: Problem, rules: Sequence[Rule]) -> None:
        self.problem, self.rules = problem, rules
        self.agents = [agent for rule in rules for agent in rule.agents]
        self.layers = rules[0].layers
        ends = np.cumsum([len(rule.agents) for rule in rules])
        self.rows = [slice(int(end) - len(rule.agents), int(end)) for end, rule in zip(ends, rules, strict=True)]

    def backup(self, step: int, following: FloatArray | None, low: FloatArray, high: FloatArray) -> FloatArray:
        """Values of a stage, (k, L, S), from those of the next and their range (k,)."""
        centre = middle(low, high)
        q = look_ahead(self.problem, step, self.agents, following, centre)
        if q.shape[1] != self.layers:
            q = np.broadcast_to(q, (q.shape[0], self.layers, *q.shape[2:]))
        parts = [rule.backup(self.problem, step, q[rows]) for rule, rows in zip(self.rules, self.rows, strict=True)]
        values = parts[0] if len(parts) == 1 else np.concatenate(parts)
        values += (self.problem.discount * centre)[:, None, None]
        return values

    def rounding(
        self, steps: IntArray, following: tuple[FloatArray, FloatArray], values: tuple[FloatArray, FloatArray]
    ) -> FloatArray:
        """Bound on what backups add to the error, (T, k), from the ranges of the following and the resulting values."""
        problem = self.problem
        scale = problem.scale(steps, self.agents)
        centre, spread = middle_and_spread(*following)
        kernels = problem.game.kernels
        additions = np.array([[expectation_roundings(kernel)] for kernel in kernels])
        return step_error(
            expectation=(additions[np.minimum(steps, len(kernels) - 1)], spread),
            stage=(
                max(rule.selections(problem) for rule in self.rules),
                inflated(problem.discount * spread + scale + abs(problem.toll)),
            ),
            centre=np.abs(centre),
            values=np.maximum(np.abs(values[0]), np.abs(values[1])),
            given=problem.given_error(scale),
        )


def expectation_roundings(kernel: TransitionKernel) -> int:
    """Count the roundings of a term of gamma E[V' - c]: product, sum, the row's sum, division, centre, discount."""
    return 2 * kernel.summands + 4 + 3 * bool(kernel.exact)


def recursion(problem: Problem, rules: Sequence[Rule]) -> list[Outcome]:
    """Evaluate rules of as many layers in one backward sweep.

    Raises
    ------
    InvalidNumber
        The numbers overflow.
    NotConverged
        A discounted fixed point is not known well enough.
    """
    game, stages, sweep = problem.game, problem.stages, _Sweep(problem, rules)
    k = len(sweep.agents)
    values = np.empty((stages, k, sweep.layers, game.num_states))
    low, high, errors = np.zeros((3, stages + 1, k))
    last = stages if game.discount is None else stages - 1
    with overflow_is_checked():
        if game.discount is not None:
            for rule, rows in zip(rules, sweep.rows, strict=True):
                values[last, rows], errors[last, rows] = _forever(problem, rule, last)
            low[last], high[last] = values[last].min(axis=(1, 2)), values[last].max(axis=(1, 2))
        for h in reversed(range(last)):
            following = values[h + 1] if h + 1 < stages else None
            values[h] = sweep.backup(h, following, low[h + 1], high[h + 1])
            low[h], high[h] = values[h].min(axis=(1, 2)), values[h].max(axis=(1, 2))
        require_finite(low)
        require_finite(high)
        if last:
            ranges = (low[1 : last + 1], high[1 : last + 1]), (low[:last], high[:last])
            rounding = sweep.rounding(np.arange(last), *ranges)
            for h in reversed(range(last)):
                errors[h] = (problem.discount * errors[h + 1] + rounding[h]) * SLACK
            require_finite(errors)
    return [
        Outcome(problem, rule, values[:, rows], errors[:stages, rows])
        for rule, rows in zip(rules, sweep.rows, strict=True)
    ]


def witnessed(problem: Problem, rule: Rule, values: FloatArray) -> Enclosure:
    """Enclose what a rule is worth from the start by any value functions at all, (T, L, S).

    With T_h the backup of the rule, monotone and T(V + c) = T V + gamma c, and lo_h <= T_h V_{h+1} - V_h <= hi_h, the
    true value is between rho V_0 + sum_h gamma^h lo_h and the same with hi; the last stage of a discounted game counts
    1 / (1 - gamma) times. The better the values, the narrower the enclosure.
    """
    game, stages, sweep = problem.game, problem.stages, _Sweep(problem, [rule])
    exact = None if game.discount is None else Fraction(game.exact_discount or game.discount)
    low, high, off = 0.0, 0.0, 0.0
    with overflow_is_checked():
        for h in range(stages):
            repeats = exact is not None and h == stages - 1
            following = values[h] if repeats else values[h + 1] if h + 1 < stages else np.zeros_like(values[h])
            ends = np.array([following.min()]), np.array([following.max()])
            backed = sweep.backup(h, following[None], *ends)
            rounding = float(
                sweep.rounding(np.array([h]), ends, (backed.min(axis=(1, 2)), backed.max(axis=(1, 2))))[0, 0]
            )
            change = backed[0] - values[h]
            weight = 1.0 if exact is None else float(exact**h / (1 - exact) if repeats else exact**h)
            off += weight * (rounding + gamma(stages + 8) * float(np.abs(change).max()))
            low, high = low + weight * float(change.min()), high + weight * float(change.max())
        first = Outcome(problem, rule, values[:, None], np.zeros((stages, 1))).enclosure()
        require_finite(np.array([low, high, off]))
    off = float(inflated(np.asarray(off)))
    return first + Enclosure(low - off, high + off)


def _forever(problem: Problem, rule: Rule, step: int) -> tuple[FloatArray, FloatArray]:
    """Values (k, L, S) of a discounted game whose stage repeats for ever, and bounds on their errors (k,)."""
    game, sweep = problem.game, _Sweep(problem, [rule])
    k, layers, size = len(rule.agents), rule.layers, game.num_states
    shape = (k, layers, size)

    def backup(current: FloatArray) -> tuple[FloatArray, FloatArray, IntArray | None]:
        ends = current.min(axis=1), current.max(axis=1)
        values = sweep.backup(step, current.reshape(shape), *ends)
        rounding = sweep.rounding(np.array([step]), ends, (values.min(axis=(1, 2)), values.max(axis=(1, 2))))[0]
        choices = rule.decided(step)
        return values.reshape(k, -1), rounding, None if choices is None else choices.copy()

    def evaluate(guess: FloatArray) -> FloatArray:
        known = rule.continuation(problem, step)
        if known is not None:
            return known.reshape(k, -1)
        rewards = np.zeros(shape)
        here = problem.reward(step, rule.agents)
        for _, source, weights in rule.moves(problem, step):
            rewards[:, source] += np.einsum("sa,ksa->ks", weights, np.broadcast_to(here, (k, *weights.shape)))
        rewards -= rule.toll(problem, step)
        return discounted_values(_matrix(problem, rule, step), rewards.reshape(k, -1), problem.discount, guess)

    nothing = np.zeros(k)
    obeyed = Obey(rule.agents).backup(problem, step, look_ahead(problem, step, rule.agents, None, nothing))
    start = np.broadcast_to(obeyed, shape).reshape(k, -1)
    exact = game.exact_discount if game.exact_discount is not None else game.discount
    assert exact is not None
    values, choices, errors = fixed_point(backup, evaluate, start, exact)
    if choices is not None:
        rule.restore(step, choices)
    return values.reshape(shape), inflated(errors)


def _matrix(problem: Problem, rule: Rule, step: int, through: BoolArray | None = None) -> StateMatrix:
    """State-to-state matrix of a rule at a step, over layers times states; nothing leaves where it goes not through."""
    kernel, moves = problem.game.kernel(step), rule.moves(problem, step)
    if through is not None:
        moves = [(to, source, weights * through[:, None]) for to, source, weights in moves]
    parts = {(source, to): kernel.state_matrix(weights) for to, source, weights in moves}
    if rule.layers == 1:
        return parts[0, 0]
    size, blocks = problem.game.num_states, range(rule.layers)
    zero = sparse.csr_array((size, size))
    return sparse.csr_array(
        sparse.block_array([[sparse.csr_array(parts.get((i, j), zero)) for j in blocks] for i in blocks])
    )


def middle(low: FloatArray, high: FloatArray) -> FloatArray:
    """Middle of a range."""
    return np.asarray(low + 0.5 * (high - low))


def middle_and_spread(low: FloatArray, high: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Middle of a range, and the largest distance from it."""
    centre = middle(low, high)
    return centre, np.maximum(high - centre, centre - low)
