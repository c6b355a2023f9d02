"""A completion that withstands all agents at once, where the policy is not known."""

from __future__ import annotations

import numpy as np

from mailopt.deviations import Stagewise
from mailopt.evaluation.completion import Stage
from mailopt.evaluation.rules import Problem
from mailopt.evaluation.stages import distributions, stage_gains
from mailopt.games.numbers import BoolArray, FloatArray, IntArray
from mailopt.games.policy import CorrelatedPolicy
from mailopt_solvers import LinearProgram, ProgramBuilder, solve_batch

_SWEEPS = 200  # of a discounted game's last stage
_STEADY = 1e-7  # change of its values, relative to the largest, at which it has come to rest


def withstanding(problem: Problem, deviations: Stagewise, unknown: BoolArray, floors: FloatArray) -> CorrelatedPolicy:
    """Complete a policy backwards so that no agent has much to gain by getting to where it is not known.

    At each unknown (h, s), given what follows, sigma(s) minimises max_i [V_i(s) - floor_i(s)] with V_i(s) the best
    response of agent i: a linear program. Stage by stage, so that it need not be the best of all.

    Parameters
    ----------
    problem, deviations
        The game, the policy and the class.
    unknown
        Where, (T, S).
    floors
        What is taken off each agent's value, (T, m, S).
    """
    game, stages = problem.game, problem.stages
    joint = _Joint(problem, deviations)
    values = np.zeros((game.num_agents, game.num_states))
    rows = np.stack([problem.policy.at(h) for h in range(stages)])

    def back(step: int, following: FloatArray) -> FloatArray:
        q = game.reward(step) + problem.discount * game.kernel(step).expectation(following)
        states = np.flatnonzero(unknown[step])
        if states.size:
            rows[step, states] = joint.solve(step, states, q[:, states], floors[step][:, states])
        gains = [stage_gains(game, rows[step], q[i], i) for i in range(game.num_agents)]
        return np.stack([deviations.best_response(game, i, step, g)[0] for i, g in enumerate(gains)])

    if game.discount is not None:
        for _ in range(_SWEEPS):
            before, values = values, back(stages - 1, values)
            if np.abs(values - before).max() <= _STEADY * (1.0 - game.discount) * np.abs(values).max():
                break
    for step in reversed(range(stages if game.discount is None else stages - 1)):
        values = back(step, values)
    return CorrelatedPolicy(rows[0] if stages == 1 and problem.policy.num_steps is None else rows)


class _Joint:
    """Stage programs over the best responses of all agents."""

    def __init__(self, problem: Problem, deviations: Stagewise) -> None:
        self.game = problem.game
        self.agents = [Stage(problem, agent, deviations) for agent in range(self.game.num_agents)]
        self.program = self._pattern()

    def solve(self, step: int, states: IntArray, q: FloatArray, floors: FloatArray) -> FloatArray:
        """Recommendations (U, A) at some states, from action values (m, U, A) and floors (m, U)."""
        program, count, size = self.program, len(states), self.game.num_joint_actions
        rows, columns = program.matrix.indices, program.entry_columns
        numbers = np.tile(program.matrix.data, (count, 1))
        lower = np.tile(program.row_lower, (count, 1))
        upper = np.tile(program.upper, (count, 1))
        legal = self.game.joint_legal[states]
        upper[:, :size] = np.where(legal, np.inf, 0.0)
        for agent, stage in enumerate(self.agents):
            picks = program.rows[f"picks{agent}"].slice
            gains = stage.gains(q[agent], q[agent])
            inside = (columns < size) & (rows >= picks.start) & (rows < picks.stop)
            numbers[:, inside] = -gains[:, rows[inside] - picks.start, columns[inside]]
            lower[:, picks] = np.where(stage.allowed(step, states), 0.0, -np.inf)
            lower[:, program.rows[f"total{agent}"].slice] = -floors[agent][:, None]
        solved = solve_batch(program, coefficients=numbers, row_lower=lower, upper=upper)
        return distributions(solved["sigma"], legal)

    def _pattern(self) -> LinearProgram:
        """Minimise T >= sum_g t_g - floor, t_g >= sum of sigma(a) Q(m(a)) over the a told in g, for agents and maps."""
        size = self.game.num_joint_actions
        builder = ProgramBuilder("min")
        sigma = builder.add_variables("sigma", (size,))
        total = builder.add_variables("T", (1,), lower=-np.inf, costs=1.0)
        builder.add_rows("one", (1,), {sigma: np.ones((1, size))}, lower=1.0, upper=1.0)
        for agent, stage in enumerate(self.agents):
            told, picked = stage.structure()
            shares = builder.add_variables(f"t{agent}", (picked.shape[1],), lower=-np.inf)
            builder.add_rows(f"picks{agent}", (len(picked),), {sigma: -told, shares: picked}, lower=0.0)
            ones = np.ones((1, shares.size))
            builder.add_rows(f"total{agent}", (1,), {total: np.ones((1, 1)), shares: -ones}, lower=0.0)
        return builder.build()
