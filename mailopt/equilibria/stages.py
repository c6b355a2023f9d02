"""Equilibria of many stage games at once: what needs no program is settled first, the rest goes to one HiGHS object.

A stage game has action values Q_i(s, a), in a normal form the payoffs, at a stage of a Markov game rewards plus what
follows. Every point of the solver is turned into a distribution (entries below 0 by the solver's tolerance become 0,
and the sum is divided out), and what that changed is recorded; nothing is claimed of a policy but what its evaluation
proves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mailopt.deviations import DeviationClass
from mailopt.equilibria.checks import too_little
from mailopt.equilibria.convex import convex_point
from mailopt.errors import NoEquilibrium
from mailopt.evaluation.stages import distributions, require_finite, stage_gains
from mailopt.games.game import MarkovGame
from mailopt.games.numbers import BoolArray, FloatArray, IntArray
from mailopt.programs.equilibrium import StageProgram
from mailopt.programs.objectives import (
    Convex,
    Egalitarian,
    LeastRegret,
    Lexicographic,
    Linear,
    MaximumEntropy,
    MaximumGini,
    Nearest,
    Objective,
)
from mailopt.programs.stage_numbers import StageNumbers, require_range, target_rows
from mailopt_solvers import BatchSolution, Highs, Infeasible, SolverError, solve_batch

_CHUNK = 1 << 22  # coefficients handed over at once
_ROOM = 1e-8  # what a kept objective may lose, relative to its range, before a convex one: it needs an interior
_GIVES_WAY = (1e-9, 1e-8, 1e-7, 0.0)  # what earlier objectives may lose, relative to their range, if they must
_PASSED = 1e-12  # how far, relative to the range of its weights, a settled cell may be from the best joint action


@dataclass
class Work:
    """What the stages cost so far.

    Attributes
    ----------
    stages
        Stage games that were settled, those of warm-ups included; of repeated attempts the last counts.
    programs
        Linear (or convex) programs among them that had to be solved.
    solve_time
        Seconds in the solver, its checks included.
    rounding
        Largest change of an entry made to turn a solver's point into a distribution.
    solver, version
        Who solved them; empty if nobody had to.
    """

    stages: int = 0
    programs: int = 0
    solve_time: float = 0.0
    rounding: float = 0.0
    solver: str = ""
    version: str = ""

    def distributions(self, points: FloatArray, legal: BoolArray) -> FloatArray:
        """Turn the solver's points into distributions, and remember what that changed."""
        found = distributions(points, legal)
        self.rounding = max(self.rounding, float(np.abs(found - points).max()))
        return found


@dataclass(frozen=True, eq=False)
class StageAnswer:
    """Equilibria of the stage games of all states at one step.

    Attributes
    ----------
    sigma
        Distributions of recommendations, (S, A).
    multipliers
        For each agent the prices of the incentive rows, (S, W): what the objective would gain for each unit of regret
        that is allowed there.
    shares
        For an egalitarian objective how much each agent's value counts at the optimum, (S, m); else 0.
    """

    sigma: FloatArray
    multipliers: list[FloatArray]
    shares: FloatArray


@dataclass
class StageSolver:
    """Solves the stage games of a game for an objective.

    Attributes
    ----------
    game, deviations, objectives
        What is solved.
    tight
        Whether no slack is ever given.
    solver
        The :class:`Highs` object that solves the programs; None for the default.
    work
        What was done so far.
    """

    game: MarkovGame
    deviations: DeviationClass
    objectives: Sequence[Objective]
    tight: bool
    solver: Highs | None = None
    work: Work = field(default_factory=Work)

    def __post_init__(self) -> None:
        """Assemble the pattern."""
        self.program = StageProgram(self.game, self.deviations, self.objectives, tight=self.tight)

    def solve(self, step: int, q: FloatArray, epsilon: float, needed: BoolArray | None = None) -> StageAnswer:
        """Find an equilibrium of each state's stage game.

        Parameters
        ----------
        step
            The step.
        q
            Action values (m, S, A).
        epsilon
            Regret that each stage may have.
        needed
            States to solve, (S,); the rows of others stay 0.

        Raises
        ------
        NoEquilibrium
            No distribution has so little regret in some state.
        SolverError
            The solver failed.
        """
        game, size = self.game, self.game.num_states
        q = np.where(game.joint_legal, q, 0.0)
        require_range(q)
        answer = StageAnswer(
            np.zeros((size, game.num_joint_actions)),
            [np.zeros((size, len(a.plays))) for a in self.program.atoms],
            np.zeros((size, game.num_agents)),
        )
        todo = np.ones(size, dtype=bool) if needed is None else needed.copy()
        self.work.stages += int(todo.sum())
        todo &= ~self._settle(step, q, epsilon, todo, answer)
        states = np.flatnonzero(todo)
        width = max(1, _CHUNK // (1 + self.program.pattern.num_nonzeros))
        for start in range(0, len(states), width):
            self._solve(step, states[start : start + width], q, epsilon, answer)
        return answer

    def regrets(self, step: int, q: FloatArray, sigma: FloatArray) -> FloatArray:
        """Stage regret of each agent under distributions sigma (S, A), (m, S)."""
        found = np.empty(q.shape[:2])
        for i in range(self.game.num_agents):
            apart = q[i] - obeyed(sigma, q[i])[:, None]  # obeying is worth 0, up to rounding
            best, _ = self.program.stagewise.best_response(
                self.game, i, step, stage_gains(self.game, sigma, apart, i)[None]
            )
            found[i] = best[0] - obeyed(sigma, apart)
        return found

    def pure_regrets(self, step: int, q: FloatArray) -> FloatArray:
        """Stage regret of each joint action recommended for sure, (S, A); infinite where it is illegal."""
        game = self.game
        found = np.full((game.num_states, game.num_joint_actions), -np.inf)
        for i in range(game.num_agents):
            pairs = (self.program.stagewise.choices(game, i, step) > 0) & game.legal[i][:, None, :]
            own = game.unfold(q[i], i)  # (S, n, K)
            best = np.full(own.shape, -np.inf)
            for b in range(game.actions[i]):
                np.maximum(best, np.where(pairs[:, :, b, None], own[:, b, None, :], -np.inf), out=best)
            np.maximum(found, game.fold(best - own, i), out=found)
        return np.asarray(np.where(game.joint_legal, found, np.inf))

    def _settle(self, step: int, q: FloatArray, epsilon: float, todo: BoolArray, answer: StageAnswer) -> BoolArray:
        """Settle the states where the answer is plain: a mask, (S,)."""
        first, game = self.objectives[0], self.game
        everywhere = np.arange(game.num_states)
        if len(self.objectives) == 1 and isinstance(first, Linear):
            weights = first.weights(np.moveaxis(q, 1, 0), everywhere)
            weights = np.where(game.joint_legal, weights, -np.inf)
            stable = self.pure_regrets(step, q) <= epsilon
            best = np.where(stable, weights, -np.inf)
            chosen = best.argmax(axis=1)
            top = weights.max(axis=1)
            spread = top - np.where(game.joint_legal, weights, np.inf).min(axis=1)
            settled: BoolArray = (
                todo & stable[everywhere, chosen] & (best[everywhere, chosen] >= top - _PASSED * spread)
            )
            answer.sigma[settled, chosen[settled]] = 1.0
            return settled
        if len(self.objectives) == 1 and isinstance(first, Nearest):
            target = target_rows(first, step, everywhere, exact=False)
            settled = todo & (self.regrets(step, q, target) <= epsilon).all(axis=0)
            answer.sigma[settled] = target[settled]
            return settled
        return np.zeros(game.num_states, dtype=bool)

    def _solve(self, step: int, states: IntArray, q: FloatArray, epsilon: float, answer: StageAnswer) -> None:
        """Solve the programs of some states."""
        numbers = self.program.numbers(step, states, np.moveaxis(q[:, states], 1, 0), epsilon)
        count = len(self.program.objectives)
        convex = self.objectives[-1] if isinstance(self.objectives[-1], Convex) else None
        self.work.programs += len(states)
        optima: list[FloatArray] = []
        for j in range(count):
            try:
                solved = self._batch(numbers, j, optima)
            except Infeasible as error:
                raise self.impossible(step, states, q, epsilon) from error
            self.work.solve_time += solved.solve_time
            self.work.solver, self.work.version = solved.solver, solved.version
            if f"kept {j}" in self.program.pattern.rows:
                optima.append(solved.objective)
                numbers.keep(j, solved.objective - (0.0 if convex is None else _ROOM))
        if convex is None:
            points = solved["sigma"]
            if f"floor {count - 1}" in self.program.pattern.rows:
                units = -numbers.coefficients[:, self.program.positions(f"least {count - 1}")]  # of each agent's floor
                answer.shares[states] = units * np.maximum(-solved.duals(f"floor {count - 1}"), 0.0)
            for i in range(self.game.num_agents):
                prices = solved.duals(f"incentive {i}").reshape(len(states), -1)
                answer.multipliers[i][states] = _in_units(prices, numbers.scales[:, i], numbers.cost_scales[count - 1])
        else:
            points = np.empty((len(states), self.game.num_joint_actions))
            for k in range(len(states)):
                program = numbers.program(k, 0)
                try:
                    found = convex_point(program, convex)
                except Infeasible as error:
                    raise self.impossible(step, states, q, epsilon) from error
                points[k] = found.x
                self.work.solve_time += found.solve_time
                self.work.solver, self.work.version = found.solver, found.version
                for i in range(self.game.num_agents):
                    prices = found.duals[program.rows[f"incentive {i}"].slice]
                    of_one = _in_units(prices[None], numbers.scales[k : k + 1, i], np.ones(1))
                    answer.multipliers[i][states[k]] = of_one[0]
        answer.sigma[states] = self.work.distributions(points, self.game.joint_legal[states])

    def _batch(self, numbers: StageNumbers, j: int, optima: list[FloatArray]) -> BatchSolution:
        """Optimise objective j; earlier ones give way a little where doubles leave no room beside their optima."""
        for room in _GIVES_WAY if optima else _GIVES_WAY[-1:]:
            try:
                return solve_batch(self.program.pattern, solver=self.solver, time_limit=None, **numbers.parts(j))
            except SolverError:
                if room == _GIVES_WAY[-1]:
                    raise
                for k, optimum in enumerate(optima):
                    numbers.keep(k, optimum - room)
        raise AssertionError  # the last one returned or raised

    def impossible(self, step: int, states: IntArray, q: FloatArray, epsilon: float) -> NoEquilibrium:
        """Say where and by how much too little regret was asked for."""
        least = StageProgram(self.game, self.deviations, [LeastRegret()], tight=False)
        numbers = least.numbers(step, states, np.moveaxis(q[:, states], 1, 0), np.inf)  # no bound but the objective
        found = solve_batch(least.pattern, solver=self.solver, time_limit=None, **numbers.parts(0))
        regrets = 0.0 - found.objective / numbers.cost_scales[0]
        worst = int(regrets.argmax())
        return too_little(self.game, self.deviations, step, int(states[worst]), epsilon, f"{regrets[worst]:.6g}")


def _in_units(prices: FloatArray, scales: FloatArray, cost_scales: FloatArray) -> FloatArray:
    """Turn duals in the solver's units, (K, W), into objective per unit of regret."""
    positive = np.maximum(prices, 0.0)
    with np.errstate(over="ignore", invalid="ignore"):
        found = np.where(positive > 0, positive * (scales / cost_scales)[:, None], 0.0)
    return require_finite(found)


def obeyed(sigma: FloatArray, q: FloatArray) -> FloatArray:
    """Values of obeying, (.., S), from distributions (S, A) and action values (.., S, A)."""
    return np.asarray(np.einsum("sa,...sa->...s", sigma, q))


def objective_value(
    game: MarkovGame, objective: Objective, step: int, q: FloatArray, sigma: FloatArray, regrets: FloatArray
) -> FloatArray:
    """Value of an objective at each state, (S,), of distributions sigma (S, A) with stage regrets (m, S)."""
    states = np.arange(len(sigma))
    if isinstance(objective, Lexicographic):
        return objective_value(game, objective.objectives[0], step, q, sigma, regrets)
    if isinstance(objective, Linear):
        return obeyed(sigma, np.where(game.joint_legal, objective.weights(np.moveaxis(q, 1, 0), states), 0.0))
    if isinstance(objective, Egalitarian):
        return np.asarray(obeyed(sigma, q).min(axis=0))
    if isinstance(objective, LeastRegret):
        return np.asarray(regrets.max(axis=0))
    if isinstance(objective, Nearest):
        return np.asarray(np.abs(sigma - target_rows(objective, step, states, exact=False)).sum(axis=1) / 2)
    if isinstance(objective, MaximumEntropy):
        return np.asarray(-(sigma * np.log(np.where(sigma > 0, sigma, 1.0))).sum(axis=1))
    assert isinstance(objective, MaximumGini)
    return np.asarray(1.0 - (sigma**2).sum(axis=1))
