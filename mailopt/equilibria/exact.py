"""Equilibria in fractions, and their regret in rational arithmetic.

The programs are those of :mod:`mailopt.programs.equilibrium` with fractions for numbers. Nothing here rounds: numbers
of the game are the exact rationals that were given, doubles the dyadic rationals that they store, and a row p of
probabilities stands for p / sum(p).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from mailopt.equilibria.checks import too_little
from mailopt.errors import InvalidOption, NoEquilibrium
from mailopt.games.game import MarkovGame
from mailopt.games.numbers import as_fractions
from mailopt.games.policy import CorrelatedPolicy
from mailopt.programs.equilibrium import StageProgram
from mailopt.programs.objectives import (
    Convex,
    LeastRegret,
    Nearest,
    Objective,
)
from mailopt.programs.stage_numbers import Epsilon
from mailopt_solvers import Infeasible, solve_exact

Fractions = npt.NDArray[Any]


@dataclass(frozen=True, eq=False, repr=False)
class ExactEquilibrium:
    """An equilibrium in fractions.

    Attributes
    ----------
    probabilities
        Exact probabilities, (S, A) for one step, else (H, S, A).
    objective
        Exact optimum of the (first) objective of a normal form; None for Markov games, where each stage has its own.
    values
        Exact values of obedience J_i(sigma).
    regret
        Exact regret for the class of deviations, max_i max_phi J_i(phi∘sigma) - J_i(sigma).
    multipliers
        As in :class:`~mailopt.CorrelatedEquilibrium`, exactly.
    """

    probabilities: Fractions
    objective: Fraction | None
    values: tuple[Fraction, ...]
    regret: Fraction
    multipliers: tuple[Fractions, ...]
    policy: CorrelatedPolicy
    action_values: list[Fractions]

    @property
    def stages(self) -> int:
        """Number of stage games."""
        return sum(q.shape[1] for q in self.action_values)

    def __repr__(self) -> str:
        """Values and regret in one line."""
        values = ", ".join(f"{float(v):.6g}" for v in self.values)
        return f"ExactEquilibrium(values {values}, regret {float(self.regret):.6g}, exactly)"


def exact_equilibrium(
    game: MarkovGame, program: StageProgram, objectives: Sequence[Objective], epsilon: Epsilon
) -> ExactEquilibrium:
    """Find an equilibrium of a game of finite horizon, in fractions."""
    if game.horizon is None:
        raise InvalidOption("exact=True needs a finite horizon; discounted equilibria are limits of value iteration")
    if any(isinstance(o, Convex) for o in objectives):
        raise InvalidOption(f"{objectives[-1]!r} is no linear program; exact=True needs a linear objective")
    slack = Fraction(epsilon) / game.horizon
    chain = ExactGame(game)
    following = np.full((game.num_agents, game.num_states), Fraction(0), dtype=object)
    rows, offered, prices, objective = [], [], [], None
    for step in reversed(range(game.horizon)):
        q = chain.action_values(step, following)
        sigma = np.full((game.num_states, game.num_joint_actions), Fraction(0), dtype=object)
        multipliers = [np.full((game.num_states, len(a.plays)), Fraction(0), dtype=object) for a in program.atoms]
        for s in range(game.num_states):
            solved = solve_stage(program, step, s, q, slack)
            sigma[s], objective = solved.row, solved.objective
            for i, of_agent in enumerate(solved.multipliers):
                multipliers[i][s] = of_agent
        following = (sigma * q).sum(axis=2)
        rows.append(sigma)
        offered.append(q)
        prices.append(multipliers)
    stacked = np.stack(rows[::-1])
    values, best = chain.evaluated(program, stacked)
    single = game.horizon == 1
    return ExactEquilibrium(
        probabilities=stacked[0] if single else stacked,
        objective=objective if game.is_normal_form else None,
        values=tuple(values),
        regret=max(b - v for b, v in zip(best, values, strict=True)),
        multipliers=program.laid_out(prices[::-1]),
        policy=CorrelatedPolicy(stacked[0] if single else stacked),
        action_values=offered[::-1],
    )


@dataclass(frozen=True, eq=False)
class ExactStage:
    """The equilibrium of one stage game: its row (A,), prices of the incentive rows, value of the first objective."""

    row: Fractions
    multipliers: list[Fractions]
    objective: Fraction


def solve_stage(program: StageProgram, step: int, state: int, q: Fractions, slack: Fraction) -> ExactStage:
    """Solve one stage game, given the action values of all."""
    states = np.array([state])
    numbers = program.numbers(step, states, np.moveaxis(q[:, states], 1, 0), slack)
    last = len(program.objectives) - 1
    optima: list[Fraction] = []
    for j in range(last + 1):
        solution = solve_exact(numbers.exact_program(0, j))
        try:
            optima.append(solution.require_optimal().objective)
        except Infeasible as error:
            raise _impossible(program, step, state, q, slack) from error
        if j < last:
            numbers.keep(j, np.array(optima[-1:], dtype=object))
    factors = [numbers.scales[0, i] / numbers.cost_scales[last][0] for i in range(q.shape[0])]
    multipliers = [solution.duals(f"incentive {i}").ravel() * factors[i] for i in range(q.shape[0])]
    value = optima[0] / numbers.cost_scales[0][0] + numbers.offsets[0][0]
    less_is_better = isinstance(program.objectives[0], LeastRegret | Nearest)
    return ExactStage(solution["sigma"], multipliers, Fraction(-value if less_is_better else value))


def _impossible(program: StageProgram, step: int, state: int, q: Fractions, slack: Fraction) -> NoEquilibrium:
    least = StageProgram(program.game, program.stagewise, [LeastRegret()], tight=False)
    states = np.array([state])
    numbers = least.numbers(step, states, np.moveaxis(q[:, states], 1, 0), Fraction(0))
    for i in range(program.game.num_agents):
        numbers.row_upper[:, least.pattern.rows[f"slack {i}"].slice] = np.inf
    regret = -solve_exact(numbers.exact_program(0)).objective / numbers.cost_scales[0][0]
    return too_little(program.game, program.stagewise, step, state, float(slack), f"exactly {regret}")


class ExactGame:
    """A game of finite horizon in fractions."""

    def __init__(self, game: MarkovGame) -> None:
        self.game = game
        self._rewards = as_fractions(game.rewards, game.exact_rewards)
        start = as_fractions(game.initial, game.exact_initial)
        self._initial = start / start.sum()
        self._moves: dict[int, list[tuple[int, int, int, Fraction]]] = {}

    def action_values(self, step: int, following: Fractions) -> Fractions:
        """Q = r + P V, (m, S, A), from V (m, S)."""
        q = self._rewards.copy() if self._rewards.ndim == 3 else self._rewards[step].copy()
        if following.any():
            for state, action, reached, share in self._transitions(step):
                q[:, state, action] += share * following[:, reached]
        return q

    def _transitions(self, step: int) -> list[tuple[int, int, int, Fraction]]:
        """Transitions (state, joint action, next state, probability) of a step."""
        step = step if len(self.game.kernels) > 1 else 0
        if step not in self._moves:
            self._moves[step] = self._normalised(step)
        return self._moves[step]

    def _normalised(self, step: int) -> list[tuple[int, int, int, Fraction]]:
        kernel = self.game.kernel(step)
        entries = [(s, a, t, Fraction(p)) for s, a, t, p in kernel.entries()]
        sums: dict[tuple[int, int], Fraction] = {}
        for s, a, _, p in entries:
            sums[s, a] = sums.get((s, a), Fraction(0)) + p
        return [(s, a, t, p / sums[s, a]) for s, a, t, p in entries]

    def evaluated(self, program: StageProgram, rows: Fractions) -> tuple[list[Fraction], list[Fraction]]:
        """Values of obedience, and of each agent's best deviation, from the start."""
        game = self.game
        agents = range(game.num_agents)
        obeying = np.full((game.num_agents, game.num_states), Fraction(0), dtype=object)
        best = obeying.copy()
        for step in reversed(range(len(rows))):
            sigma = rows[step]
            obeying = (sigma * self.action_values(step, obeying)).sum(axis=2)
            q = self.action_values(step, best)
            best = np.stack([self._best(program, step, i, sigma, q[i]) for i in agents])
        return [Fraction(obeying[i] @ self._initial) for i in agents], [
            Fraction(best[i] @ self._initial) for i in agents
        ]

    def _best(self, program: StageProgram, step: int, agent: int, sigma: Fractions, q: Fractions) -> Fractions:
        """Best stage values of one agent, (S,): sum over groups of the max over atoms."""
        game, atoms = self.game, program.atoms[agent]
        told, own = game.unfold(sigma, agent), game.unfold(q, agent)  # (S, n, K)
        allowed = program.stagewise.allowed_atoms(game, agent, step)
        found = np.empty(game.num_states, dtype=object)
        for s in range(game.num_states):
            gains = told[s] @ own[s].T
            total = Fraction(0)
            for g in range(atoms.num_groups):
                worth = [
                    sum((gains[a, b] for a, b in enumerate(atoms.plays[w]) if b >= 0), start=Fraction(0))
                    for w in np.flatnonzero(atoms.group == g)
                    if allowed is None or allowed[s, w]
                ]
                total += max(worth)
            found[s] = total
        return found
