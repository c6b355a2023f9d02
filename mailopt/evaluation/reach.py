"""Where deviations can lead: to which states at all, and with what probability at most."""

from __future__ import annotations

import numpy as np

from mailopt.deviations import Atoms, Budget, Deviation, DeviationClass, Finite, Limited, Stagewise, Swap
from mailopt.deviations.base import Recursive
from mailopt.errors import InvalidDeviation
from mailopt.evaluation.recursion import visits_of
from mailopt.evaluation.rounding import SLACK, TINY, gamma
from mailopt.evaluation.rules import Deviating, Follow, Problem, Rule
from mailopt.games.game import MarkovGame
from mailopt.games.kernels import DenseKernel
from mailopt.games.numbers import BoolArray, FloatArray
from mailopt.games.policy import CorrelatedPolicy
from mailopt.progress import Progress

_BLOCK = 4_000_000  # action values that are held at once
_WIDTH = 1e-13  # half-width at which a discounted fixed point is done


class Wander(Deviating):
    """The agent plays at random whatever some member of a class might."""

    def __init__(self, problem: Problem, agent: int, deviations: Recursive) -> None:
        super().__init__(agent)
        self.deviations = deviations
        self.layers = deviations.layers(problem.game)

    def plays(self, problem: Problem, step: int) -> FloatArray:
        """See :class:`Deviating`."""
        game, agent = problem.game, self.agents[0]
        limited = isinstance(self.deviations, Limited)
        inner = self.deviations.inner if isinstance(self.deviations, Limited) else self.deviations
        assert isinstance(inner, Stagewise)
        phi = inner.choices(game, agent, step)
        if not limited:
            return np.asarray(phi / phi.sum(axis=2, keepdims=True))[None]
        obey = np.broadcast_to(np.eye(game.actions[agent]), phi.shape)
        phi = phi + obey
        return np.stack([obey] + [phi / phi.sum(axis=2, keepdims=True)] * (self.layers - 1))

    def backup(self, problem: Problem, step: int, q: FloatArray) -> FloatArray:
        """Not needed."""
        raise NotImplementedError

    def deviation(self, game: MarkovGame) -> Deviation:
        """Not needed."""
        raise NotImplementedError


def wandering(problem: Problem, agent: int, deviations: DeviationClass) -> list[Rule]:
    """Rules that together lead wherever some deviation of the class can.

    Raises
    ------
    InvalidDeviation
        This is not known for the class.
    """
    if isinstance(deviations, Finite):
        return [Follow(phi) for phi in deviations.of(agent)]
    return [Wander(problem, agent, free_class(deviations))]


def free_class(deviations: DeviationClass) -> Recursive:
    """Class of the same reach whose choices are free at each stage; Budget reaches what Swap does, however rarely."""
    if isinstance(deviations, Budget):
        return Swap() if deviations.kappa > 0 else Limited(0)
    if not isinstance(deviations, Recursive):
        raise InvalidDeviation(
            f"where {deviations!r} can lead is not known; use Swap(), which can lead to no less, or Finite([..])"
        )
    return deviations


def support_of(problem: Problem, rule: Rule) -> BoolArray:
    """States to which a rule leads at all at each stage, (T, S); the last of a discounted game has all later ones."""
    game, stages = problem.game, problem.stages
    reached = np.zeros((stages, rule.layers, game.num_states), dtype=bool)
    reached[0, -1] = game.initial_distribution > 0

    def advance(step: int, here: BoolArray) -> BoolArray:
        there = np.zeros_like(here)
        for to, source, weights in rule.moves(problem, step):
            leaving = (here[source][:, None] & (weights > 0)).astype(np.float64)
            there[to] |= game.kernel(step).push_forward(leaving) > 0
        return there

    for h in range(stages - 1 if game.discount != 0 else 0):
        reached[h + 1] = advance(h, reached[h])
    while game.discount:
        more = reached[-1] | advance(stages - 1, reached[-1])
        if (more == reached[-1]).all():
            break
        reached[-1] = more
    return np.asarray(reached.any(axis=1))


def chances(problem: Problem, rule: Rule) -> tuple[FloatArray, FloatArray]:
    """Distribution over states at each stage, (T, S), and bounds on the errors of its entries; discounted (1, S)."""
    game = problem.game
    visits = visits_of(problem, rule).sum(axis=1)
    kernel = max((game.kernel(h) for h in range(problem.stages)), key=lambda k: k.summands)
    sums = game.num_states * game.num_joint_actions + 2 * kernel.summands + rule.selections(problem) + rule.layers + 8
    if game.discount is None:
        steps = np.arange(1, len(visits) + 1)[:, None]
        return visits, gamma(steps * (sums + 3)) * visits + 8 * sums * TINY
    inflow = game.occupancy_mass * game.initial_distribution
    residual = 0.0
    for h in range(len(visits)):
        moved = np.zeros(game.num_states)
        for _, _, weights in rule.moves(problem, h):
            moved += game.discount * game.kernel(h).push_forward(visits[h][:, None] * weights)
        last = h == len(visits) - 1
        residual += float(np.abs(visits[h] - inflow - (moved if last else 0.0)).sum())
        inflow = moved
    error = (residual + gamma(2 * sums)) / game.occupancy_mass * (1 + 2.0**-40)
    return visits.sum(axis=0)[None], np.full((1, game.num_states), error)


def occupancy_error(problem: Problem, rule: Rule) -> float:
    """Bound on how far :func:`occupancy_of` is from the true occupancy: the sum over all stages, states and actions."""
    error = chances(problem, rule)[1]
    visits = float(error.sum()) if problem.game.discount is None else float(error[0, 0])
    steps = problem.game.horizon or 1
    roundings = rule.selections(problem) + problem.stages + 8
    played = gamma(roundings) * steps + 8 * TINY * steps * problem.policy.probabilities.size
    return float((visits + played) * SLACK)


def most_likely(
    problem: Problem, agent: int, deviations: Recursive, advance: Progress
) -> tuple[FloatArray, FloatArray]:
    """Largest probability of each state at each step over all deviations of the class.

    max over phi of Pr(s_h = s), shape (H, S); discounted, of (1 - gamma) sum_t gamma^t Pr(s_t = s), shape (1, S). The
    targets s of a step share one backward sweep, V(s') = [s' = s] at the step and V = T_h V' before, T_h the backup of
    the class without rewards; if nothing depends on the step, T^n serves all steps.

    Returns
    -------
    reach, errors
        And a bound on the error of each entry.
    """
    game, stages = problem.game, problem.stages
    sweep = _Sweep(game, problem.policy, agent, deviations)
    size = game.num_states
    block = max(1, _BLOCK // (size * game.num_joint_actions * sweep.layers))
    rho = game.initial_distribution
    reach = np.zeros((stages if game.discount is None else 1, size))
    error = np.zeros_like(reach)
    for start in range(0, size, block):
        targets = np.arange(start, min(start + block, size))
        aim = np.zeros((sweep.layers, size, targets.size))
        aim[:, targets, np.arange(targets.size)] = 1.0
        if game.discount is not None:
            reach[0, targets], error[0, targets] = sweep.discounted(aim, stages, rho)
            advance(targets.size)
        elif sweep.same:
            for h in range(stages):
                reach[h, targets] = rho @ aim[-1]
                aim = sweep.back(0, aim) if h + 1 < stages else aim
                advance(targets.size)
        else:
            for h in range(stages):
                following = aim
                for step in reversed(range(h)):
                    following = sweep.back(step, following)
                reach[h, targets] = rho @ following[-1]
                advance(targets.size)
    if game.discount is None:
        steps = np.arange(1, stages + 1)[:, None]
        error = gamma(steps * sweep.roundings + 3 * size) * reach + 8 * sweep.roundings * steps * TINY
    return reach, error


class _Sweep:
    """Backups of one agent's class without rewards, for many targets at once; targets are the last axis."""

    def __init__(self, game: MarkovGame, policy: CorrelatedPolicy, agent: int, deviations: Recursive) -> None:
        self.game, self.policy, self.agent, self.deviations = game, policy, agent, deviations
        self.layers = deviations.layers(game)
        inner = deviations.inner if isinstance(deviations, Limited) else deviations
        assert isinstance(inner, Stagewise)
        self.inner: Stagewise = inner
        self.atoms: Atoms = inner.atoms(game.actions[agent], agent)
        self.same = len(game.kernels) == 1 and policy.num_steps is None and self.inner.num_steps is None
        self.matrices = [
            (kernel.rows().toarray() if isinstance(kernel, DenseKernel) else kernel.rows()) for kernel in game.kernels
        ]
        selections = 3 * policy.support + 2 * game.actions[agent] + 12
        unblocked = any(isinstance(kernel, DenseKernel) for kernel in game.kernels)
        summands = game.num_states if unblocked else max(kernel.summands for kernel in game.kernels)
        self.roundings = 2 * summands + selections

    def back(self, step: int, following: FloatArray) -> FloatArray:
        """One stage back, (L, S, B) to (L, S, B)."""
        game, agent = self.game, self.agent
        n, size = game.actions[agent], game.num_states
        right = int(np.prod(game.actions[agent + 1 :]))
        told = game.unfold(self.policy.at(step), agent)[:, None]  # (S, 1, n, K)
        matrix = self.matrices[step if len(self.matrices) > 1 else 0]
        gains = []
        for values in following:
            q = np.asarray(matrix @ values).reshape(size, -1, n, right, values.shape[-1])
            q = q.transpose(0, 2, 1, 3, 4).reshape(size, n, -1, values.shape[-1])
            gains.append(told @ q)  # (S, b, a, B)
        if not isinstance(self.deviations, Limited):
            return self._best(gains[0], gains[0], step)[None]
        result = np.stack([np.einsum("saab->sb", g) for g in gains])
        for j in range(1, self.layers):
            np.maximum(result[j], self._best(gains[j], gains[j - 1], step), out=result[j])
        return result

    def _best(self, obeying: FloatArray, departing: FloatArray, step: int) -> FloatArray:
        """Sum over groups of the best atom's gain, (S, B)."""
        allowed = self.inner.allowed_atoms(self.game, self.agent, step)
        total: FloatArray = np.zeros((obeying.shape[0], obeying.shape[-1]))
        for group in range(self.atoms.num_groups):
            best: FloatArray | None = None
            for atom in np.flatnonzero(self.atoms.group == group):
                played = self.atoms.plays[atom]
                parts = [(obeying if a == b else departing)[:, b, a] for a, b in enumerate(played) if b >= 0]
                value = parts[0] if len(parts) == 1 else np.add.reduce(parts)
                if allowed is not None:
                    value = np.where(allowed[:, atom, None], value, -np.inf)
                best = value.copy() if best is None else np.maximum(best, value, out=best)
            assert best is not None
            total += best
        return total

    def discounted(self, aim: FloatArray, stages: int, rho: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Reach and its error for the targets of a discounted game, by value iteration with MacQueen's bounds."""
        discount = float(self.game.discount or 0.0)
        mass = self.game.occupancy_mass
        factor = discount / mass
        rounding = gamma(self.roundings + 8) / mass
        goal, values, width = mass * aim, mass * aim, np.inf
        while True:
            backed = goal + discount * self.back(stages - 1, values)
            change = backed - values
            low, high = change.min(axis=(0, 1)), change.max(axis=(0, 1))
            previous, width = width, float(factor * 0.5 * (high - low).max())
            values = backed
            if width <= max(_WIDTH, 4 * rounding) or width >= previous * (1 - 1e-9):
                break
        values = values + factor * 0.5 * (low + high)
        error = factor * 0.5 * (high - low)
        for step in reversed(range(stages - 1)):
            values = goal + discount * self.back(step, values)
        return rho @ values[-1], (error + stages * rounding) * (1 + 2.0**-40)
