"""Zero-sum games of two agents: value and optimal strategies, by minimax programs stage by stage.

Stage games Q(a_0, a_1) of agent 0 that have a saddle point in pure actions need no program; the others take

    maximise v  subject to  sum_{a_0} x(a_0) Q(a_0, a_1) >= v for every a_1,  sum x = 1,  x >= 0,

whose row duals are agent 1's strategy (von Neumann 1928; Shapley 1953 for Markov games).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse import linalg

from mailopt.deviations import External
from mailopt.equilibria.backward import action_values, reward_span
from mailopt.equilibria.checks import check_tolerance
from mailopt.equilibria.stages import Work
from mailopt.errors import InvalidGame, NotConverged
from mailopt.evaluation.deviating import best_deviation
from mailopt.evaluation.regret import Regret, regret
from mailopt.games.game import MarkovGame, check_game
from mailopt.games.marks import marked
from mailopt.games.numbers import FloatArray, IntArray
from mailopt.games.policy import CorrelatedPolicy
from mailopt.programs.stage_numbers import powers
from mailopt.progress import shown
from mailopt_solvers import LinearProgram, ProgramBuilder, solve_batch

_ROUNDS = 500  # of strategy iteration
_IMPROVEMENTS = 200  # of an answer to a strategy
_NOISE = 1e-13  # relative to the values: what is better by less is not


@dataclass(frozen=True, eq=False, repr=False)
class ZeroSumEquilibrium:
    """Value and optimal strategies of a zero-sum game.

    Attributes
    ----------
    value
        What agent 0 gets if both play their strategies; agent 1 gets minus that.
    lower, upper
        lower <= value of the game <= upper: agent 0's strategy guarantees the one and agent 1's the other, whatever the
        opponent does; proved by best responses, rounding included.
    strategies
        Of agents 0 and 1, (S, n_i) for one step or a discounted game, else (H, S, n_i).
    policy
        Their product.
    state_values
        V_h(s) of agent 0 if both play their strategies, (S,) for one step or a discounted game, else (H, S).
    regret
        What the agent who gains most could gain against the other's strategy, with bounds.
    work
        What it took.
    """

    value: float
    lower: float
    upper: float
    strategies: tuple[FloatArray, FloatArray]
    policy: CorrelatedPolicy
    state_values: FloatArray
    regret: Regret
    work: Work

    def __repr__(self) -> str:
        """Value and its bounds in one line."""
        return f"ZeroSumEquilibrium({self.value:.6g}, within {self.upper - self.lower:.1g})"


def zero_sum_equilibrium(game: MarkovGame, *, tolerance: float = 1e-9, progress: bool = False) -> ZeroSumEquilibrium:
    """Value and optimal strategies of a zero-sum game of two agents, one-shot or Markov.

    A finite horizon is solved backwards, V_h(s) = max_x min_y x' (r + P V_{h+1})(s) y. A discounted game is solved by
    strategy iteration: agent 1's stage strategies, agent 0's best response to them, stage games on its values, and so
    on (Hoffman and Karp 1966).

    Parameters
    ----------
    game
        Two agents whose rewards add up to exactly 0 for every legal joint action.
    tolerance
        Discounted: done when both strategies guarantee the same from every state, up to this times (largest - smallest
        reward) / (1 - gamma).
    progress
        Show a progress bar.

    Raises
    ------
    InvalidGame
        Not two agents, or not zero-sum; the message names the place.
    NotConverged
        The bounds of a discounted game did not come together.
    InvalidOption, SolverError, InvalidNumber
        A tolerance outside (0, 1); the computation failed.

    Examples
    --------
    >>> import mailopt as mo
    >>> found = mo.zero_sum_equilibrium(mo.scenarios.rock_paper_scissors())
    >>> round(found.value, 12) + 0.0, found.strategies[0].round(6)
    (0.0, array([[0.333333, 0.333333, 0.333333]]))
    """
    check_game(game)
    check_tolerance(tolerance)
    require_zero_sum(game, "use correlated_equilibrium")
    stages = _Minimax(game)
    if game.horizon is not None:
        following = np.zeros(game.num_states)
        rows = []
        with shown(progress, "backward induction", game.horizon) as advance:
            for step in reversed(range(game.horizon)):
                following, x, y = stages.solve(action_values(game, step, following[None])[0])
                rows.append((x, y))
                advance(1)
        first, second = (np.stack(parts[::-1]) for parts in zip(*rows, strict=True))
        if game.horizon == 1:
            first, second = first[0], second[0]
        return marked(game, _certified(game, (first, second), stages.work))
    goal = tolerance * reward_span(game) / game.occupancy_mass
    close = goal * game.occupancy_mass / 4.0
    current = np.zeros(game.num_states)
    answers = np.zeros(game.num_states, dtype=np.int64)
    apart = np.inf
    with shown(progress, "strategy iteration", None) as advance:
        for _ in range(_ROUNDS):
            found, x, y = stages.solve(action_values(game, 0, current[None])[0])
            before, (current, answers) = current, _answered(game, y, answers)
            if min(np.abs(found - before).max(), np.abs(found - current).max()) <= close:
                policy = CorrelatedPolicy.product([x, y])
                best, opposed = (best_deviation(game, policy, i, External()).state_values for i in range(2))
                apart = float((best + opposed).max())
                if apart <= goal:
                    return marked(game, _certified(game, (x, y), stages.work))
            advance(1)
    raise NotConverged(
        f"after {_ROUNDS} rounds what the strategies guarantee in some state is "
        f"{'far' if apart == np.inf else f'{apart:.3g}'} apart, more than {goal:.3g}; raise tolerance = {tolerance:g}"
    )


def _answered(game: MarkovGame, y: FloatArray, answers: IntArray) -> tuple[FloatArray, IntArray]:
    """Values (S,) of agent 0's best answer to a strategy of agent 1, by policy iteration from earlier answers."""
    assert game.discount is not None
    everywhere, legal = np.arange(game.num_states), game.legal[0]
    answers = np.where(legal[everywhere, answers], answers, legal.argmax(axis=1))
    found = np.zeros(game.num_states)
    for _ in range(_IMPROVEMENTS):
        weights = (np.eye(game.actions[0])[answers][:, :, None] * y[:, None]).reshape(game.num_states, -1)
        matrix = game.kernel(0).state_matrix(weights)
        reward = np.einsum("sa,sa->s", weights, np.where(game.joint_legal, game.reward(0)[0], 0.0))
        if isinstance(matrix, np.ndarray):
            found = np.linalg.solve(np.eye(game.num_states) - game.discount * matrix, reward)
        else:
            left = sparse.eye_array(game.num_states) - game.discount * matrix
            found = linalg.spsolve(sparse.csc_array(left), reward)
        q = np.einsum("sab,sb->sa", action_values(game, 0, found[None])[0].reshape(game.num_states, *game.actions), y)
        q = np.where(legal, q, -np.inf)
        better = q.max(axis=1) > q[everywhere, answers] + _NOISE * (1.0 + np.abs(found).max())
        if not better.any():
            break
        answers = np.where(better, q.argmax(axis=1), answers)
    return np.atleast_1d(found), answers


def require_zero_sum(game: MarkovGame, instead: str) -> None:
    """Raise unless there are two agents whose rewards add up to exactly 0; the message says what to do instead.

    Raises
    ------
    InvalidGame
        The message names the place.
    """
    if game.num_agents != 2:
        raise InvalidGame(f"a zero-sum game has two agents, this one has {game.num_agents}")
    rewards = game.rewards[None] if game.rewards.ndim == 3 else game.rewards
    wrong = np.argwhere((rewards.sum(axis=1) != 0) & game.joint_legal)
    if wrong.size:
        step, state, action = (int(k) for k in wrong[0])
        where = f"step {step}, " if game.rewards.ndim == 4 else ""
        pays = ", ".join(f"{float(r)!r}" for r in rewards[step, :, state, action])
        raise InvalidGame(
            f"the game is not zero-sum: {where}state {state}, joint action {game.joint_action(action)} pays {pays}; "
            f"{instead}"
        )


def _certified(game: MarkovGame, strategies: tuple[FloatArray, FloatArray], work: Work) -> ZeroSumEquilibrium:
    """Prove bounds by best responses."""
    policy = CorrelatedPolicy.product(list(strategies))
    found = regret(game, policy, External())
    bests = [best_deviation(game, policy, i, External()) for i in range(2)]
    state_values = found.obedience.state_values
    assert state_values is not None  # the method is "dp"
    state_values = state_values[..., 0, :]
    return ZeroSumEquilibrium(
        value=float(found.obedience.value[0]),
        lower=-bests[1].upper,
        upper=bests[0].upper,
        strategies=strategies,
        policy=policy,
        state_values=state_values[0] if game.horizon == 1 else state_values,
        regret=found,
        work=work,
    )


class _Minimax:
    """Solves the stage games of all states."""

    def __init__(self, game: MarkovGame) -> None:
        self.game = game
        self.work = Work()
        self._program = self._pattern()

    def _pattern(self) -> LinearProgram:
        rows, columns = self.game.actions
        builder = ProgramBuilder("max")
        x = builder.add_variables("x", (rows,))
        v = builder.add_variables("v", (1,), lower=-np.inf, costs=1.0)
        builder.add_rows("against", (columns,), {x: np.ones((columns, rows)), v: -np.ones((columns, 1))}, lower=0.0)
        builder.add_rows("one", (1,), {x: np.ones((1, rows))}, lower=1.0, upper=1.0)
        return builder.build()

    def solve(self, q: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Solve for values (S,) and strategies (S, n_0), (S, n_1), from action values (S, A) of agent 0."""
        game = self.game
        first, second = game.legal
        matrix = q.reshape(game.num_states, *game.actions)
        worst = np.where(second[:, None], matrix, np.inf).min(axis=2)  # of each row
        best = np.where(first[:, :, None], matrix, -np.inf).max(axis=1)  # of each column
        worst, best = np.where(first, worst, -np.inf), np.where(second, best, np.inf)
        values = worst.max(axis=1)
        x, y = np.eye(game.actions[0])[worst.argmax(axis=1)], np.eye(game.actions[1])[best.argmin(axis=1)]
        open_states = np.flatnonzero(values < best.min(axis=1))
        self.work.stages += game.num_states
        self.work.programs += len(open_states)
        if open_states.size:
            values[open_states], x[open_states], y[open_states] = self._mixed(matrix[open_states], open_states)
        return values, x, y

    def _mixed(self, matrix: FloatArray, states: IntArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        program, count = self._program, len(states)
        first, second = (legal[states] for legal in self.game.legal)
        legal = (first[:, :, None] & second[:, None]).reshape(count, -1)
        flat = matrix.reshape(count, -1)
        low, high = np.where(legal, flat, np.inf).min(axis=1), np.where(legal, flat, -np.inf).max(axis=1)
        centre = low / 2 + high / 2
        apart = np.where(legal, flat - centre[:, None], 0.0)
        scale = powers(apart)
        scaled = (apart * scale[:, None]).reshape(matrix.shape)
        rows, columns = program.matrix.indices, program.entry_columns
        inside = (columns < self.game.actions[0]) & (rows < self.game.actions[1])
        coefficients = np.tile(program.matrix.data, (count, 1))
        coefficients[:, inside] = scaled[:, columns[inside], rows[inside]]
        lower = np.tile(program.row_lower, (count, 1))
        lower[:, : self.game.actions[1]] = np.where(second, 0.0, -np.inf)
        upper = np.tile(program.upper, (count, 1))
        upper[:, : self.game.actions[0]] = np.where(first, np.inf, 0.0)
        solved = solve_batch(program, coefficients=coefficients, row_lower=lower, upper=upper)
        self.work.solve_time += solved.solve_time
        self.work.solver, self.work.version = solved.solver, solved.version
        x, y = self.work.distributions(solved["x"], first), self.work.distributions(-solved.duals("against"), second)
        return solved.objective / scale + centre, x, y
