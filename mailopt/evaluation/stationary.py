"""Deviations that do not depend on the step: a 0-1 program finds the best one, dynamic programs prove it.

A deviation phi: S x A_i -> A_i is fixed once for all steps, so that a backward recursion cannot choose it. HiGHS solves
the 0-1 program of :func:`mailopt.programs.deviation`, up to its tolerances. The bounds are rigorous all the same: the
lower one is the value of the deviation found, the upper one comes from a branch and bound of its own, in which a
partial deviation (what may be played where) is bounded by the best *step-dependent* one within it, a dynamic program.
"""

from __future__ import annotations

import heapq
from itertools import count

import numpy as np

from mailopt.deviations import Stationary, Swap
from mailopt.deviations.deviation import legal_choices
from mailopt.errors import GameTooLarge
from mailopt.evaluation.reach import most_likely
from mailopt.evaluation.recursion import Outcome, recursion
from mailopt.evaluation.rounding import Enclosure
from mailopt.evaluation.rules import Deviate, Play, Problem
from mailopt.games.game import MarkovGame
from mailopt.games.numbers import BoolArray, IntArray
from mailopt.programs import deviation as deviation_program
from mailopt_solvers import LinearProgram, solve_mixed_integer

MOST_CHOICES = 400  # 0-1 variables that have a choice: legal (state, recommendation, action)
MOST_NODES = 20_000  # partial deviations that are bounded before the search stops with the bound it has
_GAP = 1e-12  # of the largest value: what is not worth a branch


class _Partial(Swap):
    """Swap deviations of which some are ruled out at every step."""

    def __init__(self, open_: BoolArray) -> None:
        object.__setattr__(self, "open", open_)

    def allowed(self, game: MarkovGame, agent: int, step: int) -> BoolArray | None:
        return self.open  # type: ignore[no-any-return, attr-defined]


def best_stationary(problem: Problem, agent: int) -> tuple[Outcome, Enclosure]:
    """Find the best stationary deviation of one agent.

    Returns
    -------
    outcome, enclosure
        The deviation found, evaluated, and what encloses the best value.

    Raises
    ------
    GameTooLarge
        More than 400 choices.
    SolverError
        HiGHS failed.
    """
    game, n = problem.game, problem.game.actions[agent]
    legal = game.legal[agent]
    choices = int((legal.sum(axis=1) ** 2)[legal.sum(axis=1) > 1].sum())
    if choices > MOST_CHOICES:
        raise GameTooLarge(
            f"the best stationary deviation of agent {agent} is a 0-1 program with {choices} variables, and "
            f"{MOST_CHOICES} is the limit; use Swap(), which bounds it, or a game with fewer states or actions"
        )

    program = _tightened(deviation_program(_with_rewards(problem), problem.policy, agent, Stationary()), problem, agent)
    chosen = solve_mixed_integer(program, ["x"]).require_optimal()["x"].argmax(axis=2)
    tried = (legal_choices(game, agent, phi) for phi in (np.tile(np.arange(n), (len(chosen), 1)), chosen))
    best = max((_play(problem, agent, phi) for phi in tried), key=Outcome.value)
    return _prove(problem, agent, best)


def _tightened(program: LinearProgram, problem: Problem, agent: int) -> LinearProgram:
    """Replace z <= x by z_h(s, a, b) <= M_h(s) x(s, a, b), M_h(s) the most that a deviation can be at (h, s)."""
    reach, error = most_likely(problem, agent, Swap(), lambda _: None)
    n = problem.game.actions[agent]
    most = np.repeat((reach + error) * (1.0 + 1e-9), n * n)
    matrix, same, x = program.matrix, program.rows["same"].slice, program.variables["x"].slice
    columns = program.entry_columns
    tied = (matrix.indices >= same.start) & (columns >= x.start) & (columns < x.stop) & (matrix.indices < same.stop)
    data = matrix.data.copy()
    data[tied] *= most[matrix.indices[tied] - same.start]
    return program.changed(coefficients=data)


def _prove(problem: Problem, agent: int, best: Outcome) -> tuple[Outcome, Enclosure]:
    """Bound the value of every stationary deviation, best first; what is found on the way may be better."""
    game, n = problem.game, problem.game.actions[agent]
    told = np.stack([game.unfold(problem.policy.at(h), agent).sum(axis=2) for h in range(problem.stages)])
    legal = game.legal[agent]
    number = count()
    nodes: list[tuple[float, int, Outcome, BoolArray]] = []

    def push(open_: BoolArray) -> None:
        rule = Deviate(problem, agent, _Partial(open_))
        outcome = recursion(problem, [rule])[0]
        heapq.heappush(nodes, (-outcome.enclosure().upper, next(number), outcome, open_))

    push(np.broadcast_to(legal[:, None, :], (game.num_states, n, n)))
    gap = _GAP * float(np.abs(nodes[0][2].state_values).max())
    proved = best.enclosure().upper
    while nodes and -nodes[0][0] > best.enclosure().lower + gap and next(number) < MOST_NODES:
        bound, _, outcome, open_ = heapq.heappop(nodes)
        rule = outcome.rule
        assert isinstance(rule, Play)
        mass = outcome.visits()[:, 0, :, None] * told
        votes = np.einsum("hsa,hsab->sab", mass, rule.choices[:, 0, :, :, None] == np.arange(n))
        phi = np.where(votes.max(axis=2) > 0, votes.argmax(axis=2), rule.choices[0, 0])
        candidate = _play(problem, agent, legal_choices(game, agent, phi))
        if candidate.value() > best.value():
            best = candidate
        disputed = votes.sum(axis=2) - votes.max(axis=2)
        if not disputed.max() > 0:  # the bound is attained by one stationary deviation
            proved = max(proved, -bound)
            continue
        s, a = np.unravel_index(int(disputed.argmax()), disputed.shape)
        for b in np.flatnonzero(open_[s, a]):
            narrower = open_.copy()
            narrower[s, a] = np.arange(n) == b
            push(narrower)
    left = -nodes[0][0] if nodes else proved
    return best, Enclosure(best.enclosure().lower, max(proved, left, best.enclosure().upper))


def _play(problem: Problem, agent: int, phi: IntArray) -> Outcome:
    return recursion(problem, [Play(agent, phi[None, None])])[0]


def _with_rewards(problem: Problem) -> MarkovGame:
    """Put the rewards of the problem into its game."""
    game = problem.game
    if problem.rewards is None:
        return game
    shape = (game.horizon or 1, game.num_agents, game.num_states, game.num_joint_actions)
    return game.with_rewards(np.broadcast_to(problem.rewards, shape))
