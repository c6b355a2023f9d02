"""Rules for a policy that is not known everywhere: what it does elsewhere suits the deviator best, or least."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from mailopt.deviations import Limited, Stagewise
from mailopt.deviations.base import Recursive
from mailopt.evaluation.recursion import recursion
from mailopt.evaluation.rules import Deviate, Problem
from mailopt.evaluation.stages import distributions
from mailopt.games.numbers import BoolArray, FloatArray, IntArray
from mailopt.games.policy import CorrelatedPolicy
from mailopt_solvers import LinearProgram, ProgramBuilder, solve_batch


class Completion(Deviate):
    """The best of a class of deviations, where the policy may recommend anything at some (h, s).

    Attributes
    ----------
    unknown
        Where, (T, S).
    joint
        What is recommended there, (T, L, S, A).
    """

    def __init__(self, problem: Problem, agent: int, deviations: Recursive, unknown: BoolArray) -> None:
        super().__init__(problem, agent, deviations)
        self.unknown = unknown
        self.stage = Stage(problem, agent, deviations)
        self.joint = np.zeros((*self.choices.shape[:3], problem.game.num_joint_actions))

    def recommended(self, problem: Problem, step: int) -> FloatArray:
        """See :class:`Deviating`."""
        return np.where(self.unknown[step][:, None], self.joint[step], problem.policy.at(step))

    def decided(self, step: int) -> IntArray:
        """See :class:`Rule`: what is played, and the bits of what is recommended."""
        return np.concatenate((self.choices[step], self.joint[step].view(np.int64)), axis=-1)

    def restore(self, step: int, decided: IntArray) -> None:
        """See :class:`Rule`."""
        n = self.choices.shape[-1]
        self.choices[step] = decided[..., :n]
        self.joint[step] = np.ascontiguousarray(decided[..., n:]).view(np.float64)

    def completed(self, problem: Problem) -> CorrelatedPolicy:
        """Return the policy with what is recommended where it is not known (in the last layer, if there are more)."""
        rows = np.stack([self.recommended(problem, h)[-1] for h in range(problem.stages)])
        return CorrelatedPolicy(rows[0] if problem.game.horizon is None and len(rows) == 1 else rows)


class Collude(Completion):
    """Where the policy is not known, it recommends what suits the deviator best.

    V(s) = max of Q(s, (m(a_i), a_-i)) over the legal a and the maps m that the class allows at s. With departures to
    count, obeying is as good as anything, and there is a recommendation of its own for each number of departures left.
    """

    def backup(self, problem: Problem, step: int, q: FloatArray) -> FloatArray:
        """See :class:`Rule`."""
        values = super().backup(problem, step, q)
        states = np.flatnonzero(self.unknown[step])
        if states.size:
            told, action = self.stage.recommendation(step)
            offered = np.where(told[states] >= 0, q[0][:, states], -np.inf)
            best = offered.argmax(axis=2)
            values[0][:, states] = offered.max(axis=2)
            layers = np.arange(self.layers)[:, None]
            self.joint[step][:, states] = 0.0
            self.joint[step][layers, states, told[states, best]] = 1.0
            heard = self.stage.own[told[states, best]]
            self.choices[step][layers, states, heard] = action[best]
        return values


class Confound(Completion):
    """Where the policy is not known, it recommends what suits the deviator least.

    V(s) = min over distributions sigma(s) of joint actions of the best response to it: a linear program. The value kept
    is what its dual proves, a lower bound.
    """

    def backup(self, problem: Problem, step: int, q: FloatArray) -> FloatArray:
        """See :class:`Rule`."""
        values = super().backup(problem, step, q)
        states = np.flatnonzero(self.unknown[step])
        if states.size:
            values[0][:, states], self.joint[step][:, states] = self.stage.minimax(step, states, q[0][:, states])
        return values

    def selections(self, problem: Problem) -> int:
        """See :class:`Rule`: the dual weighs all maps."""
        return super().selections(problem) + 4 * len(self.stage.atoms.plays) + 8

    def continuation(self, problem: Problem, step: int) -> FloatArray | None:
        """See :class:`Rule`: the best deviation from what is recommended (Hoffman and Karp 1966)."""
        if not self.unknown[step].any():
            return None
        policy = CorrelatedPolicy(self.recommended(problem, step)[0])
        fixed = Problem(problem.game, policy, steps=problem.stages)
        outcome = recursion(fixed, [Deviate(fixed, self.agents[0], self.deviations)])[0]
        return np.asarray(outcome.state_values[step])


class Stage:
    """What one agent can do at one stage, and the least that a mediator can hold it to."""

    def __init__(self, problem: Problem, agent: int, deviations: Recursive) -> None:
        game = problem.game
        self.game, self.agent = game, agent
        self.limited = isinstance(deviations, Limited)
        inner = deviations.inner if isinstance(deviations, Limited) else deviations
        assert isinstance(inner, Stagewise)
        self.inner: Stagewise = inner
        self.atoms = inner.atoms(game.actions[agent], agent)
        self.grid = game.unfold(np.arange(game.num_joint_actions), agent)  # (n, K)
        self.own = np.empty(game.num_joint_actions, dtype=np.int64)  # the agent's part of each joint action
        self.own[self.grid] = np.arange(game.actions[agent])[:, None]
        self._program: LinearProgram | None = None

    def recommendation(self, step: int) -> tuple[IntArray, IntArray]:
        """Find what to recommend so that a joint action is played: (S, A), -1 if nothing will do; and its b, (A,)."""
        game, agent = self.game, self.agent
        n, legal = game.actions[agent], game.legal[agent]
        if self.limited:
            makes = np.broadcast_to(np.eye(n, dtype=bool), (game.num_states, n, n)) & legal[:, :, None]
        else:
            makes = (self.inner.choices(game, agent, step) > 0) & legal[:, :, None] & legal[:, None, :]
        obeys = makes[:, np.arange(n), np.arange(n)]
        heard = np.where(obeys, np.arange(n), np.where(makes.any(axis=1), makes.argmax(axis=1), -1))  # (S, b)
        told = np.where(heard[..., None] >= 0, self.grid[heard], -1)  # (S, b, K)
        joint = game.fold(told, agent)
        return np.where(game.joint_legal, joint, -1), self.own

    def minimax(self, step: int, states: IntArray, q: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Least best response at some states and what holds the agent to it.

        Parameters
        ----------
        step, states
            Where, (U,).
        q
            Action values, (L, U, A).

        Returns
        -------
        values, sigma
            Proved lower bounds (L, U), and recommendations (L, U, A).
        """
        legal = self.game.joint_legal[states]
        found = np.where(legal, q, np.inf).min(axis=2), np.zeros_like(q)
        values, sigma = found
        sigma[0][np.arange(len(states)), np.where(legal, q[0], np.inf).argmin(axis=1)] = 1.0
        for j in range(1 if self.limited else 0, len(q)):
            values[j], sigma[j] = self._solved(step, states, q[j], q[j - 1] if self.limited else q[j])
        return values, sigma

    def _solved(
        self, step: int, states: IntArray, obeying: FloatArray, departing: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        game = self.game
        program = self._pattern()
        legal, can = game.joint_legal[states], self.allowed(step, states)
        gains = self.gains(obeying, departing)
        rows, columns = program.matrix.indices, program.entry_columns
        picks, obey = program.rows["picks"].slice, program.rows["obey"].slice
        numbers = np.tile(program.matrix.data, (len(states), 1))
        joint = columns < game.num_joint_actions
        inside = joint & (rows >= picks.start) & (rows < picks.stop)
        numbers[:, inside] = -gains[:, rows[inside] - picks.start, columns[inside]]
        numbers[:, joint & (rows == obey.start)] = -obeying
        lower = np.tile(program.row_lower, (len(states), 1))
        lower[:, picks] = np.where(can, 0.0, -np.inf)
        upper = np.tile(program.upper, (len(states), 1))
        upper[:, : game.num_joint_actions] = np.where(legal, np.inf, 0.0)
        solved = solve_batch(program, coefficients=numbers, row_lower=lower, upper=upper)
        share = np.clip(solved.duals("obey"), 0.0, 1.0) if self.limited else np.zeros((len(states), 1))
        weights = np.where(can, np.maximum(solved.duals("picks"), 0.0), 0.0)
        for group in range(self.atoms.num_groups):
            members = np.flatnonzero(self.atoms.group == group)
            total = weights[:, members].sum(axis=1, keepdims=True)
            first = np.eye(len(members))[can[:, members].argmax(axis=1)]
            weights[:, members] = np.where(total > 0, weights[:, members] / np.where(total > 0, total, 1.0), first)
        proved = share * obeying + (1.0 - share) * np.einsum("uw,uwa->ua", weights, gains)
        return np.where(legal, proved, np.inf).min(axis=1), distributions(solved["sigma"], legal)

    def allowed(self, step: int, states: IntArray) -> BoolArray:
        """Tell which maps can be picked at some states, (U, W)."""
        allowed = self.inner.allowed_atoms(self.game, self.agent, step)
        return np.ones((len(states), len(self.atoms.plays)), dtype=bool) if allowed is None else allowed[states]

    def gains(self, obeying: FloatArray, departing: FloatArray) -> FloatArray:
        """Return what each map makes of each recommended joint action, (U, W, A), from action values (U, A)."""
        plays = self.atoms.plays
        stays, leaves = (self.game.unfold(q, self.agent)[:, np.maximum(plays, 0)] for q in (obeying, departing))
        obeys = (plays == np.arange(plays.shape[1]))[..., None]
        made = np.where(plays[..., None] >= 0, np.where(obeys, stays, leaves), 0.0)
        return self.game.fold(made, self.agent)

    def structure(self) -> tuple[sparse.csr_array, FloatArray]:
        """Return which joint actions each map hears, (W, A), and which group it is of, (W, groups)."""
        told = self.atoms.plays[:, self.own] >= 0
        picked = (np.arange(self.atoms.num_groups) == self.atoms.group[:, None]).astype(np.float64)
        return sparse.csr_array(told.astype(np.float64)), picked

    def _pattern(self) -> LinearProgram:
        """Minimise T >= sum_g t_g, t_g >= sum of sigma(a) Q(m(a)) over the a told in g, for each map m of g."""
        if self._program is None:
            size, atoms = self.game.num_joint_actions, self.atoms
            builder = ProgramBuilder("min")
            sigma = builder.add_variables("sigma", (size,))
            shares = builder.add_variables("t", (atoms.num_groups,), lower=-np.inf)
            total = builder.add_variables("T", (1,), lower=-np.inf, costs=1.0)
            told, picked = self.structure()
            builder.add_rows("one", (1,), {sigma: np.ones((1, size))}, lower=1.0, upper=1.0)
            builder.add_rows("picks", (len(picked),), {sigma: -told, shares: picked}, lower=0.0)
            builder.add_rows("total", (1,), {total: np.ones((1, 1)), shares: -np.ones((1, shares.size))}, lower=0.0)
            least = 0.0 if self.limited else -np.inf
            builder.add_rows("obey", (1,), {total: np.ones((1, 1)), sigma: -np.ones((1, size))}, lower=least)
            self._program = builder.build()
        return self._program
