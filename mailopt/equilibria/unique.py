"""Whether the optimum of an equilibrium program is the only one.

The optimal distributions are a polytope F. It is a single point iff no distribution in F gives probability to a joint
action that ours does not, and every probability of ours is both the largest and the smallest in F.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from mailopt.games.numbers import as_fractions
from mailopt.games.policy import CorrelatedPolicy
from mailopt.programs.equilibrium import Epsilon, StageNumbers, StageProgram
from mailopt.programs.objectives import Convex, JointActions, Objective
from mailopt_solvers import HighsSession, solve_exact

_SAME = 1e-7


def is_unique(
    program: StageProgram, objectives: Sequence[Objective], epsilon: Epsilon, policy: CorrelatedPolicy, *, exact: bool
) -> bool:
    """Decide it for a normal form."""
    if isinstance(objectives[-1], Convex):
        return True  # strictly concave
    game = program.game
    probe = JointActions([0.0] * game.num_joint_actions)
    face = StageProgram(game, program.stagewise, [*program.objectives, probe], tight=epsilon == 0)
    q = as_fractions(game.rewards, game.exact_rewards) if exact else game.rewards
    payoffs = np.moveaxis(q if q.ndim == 3 else q[0], 1, 0)
    numbers = face.numbers(0, np.zeros(1, dtype=np.int64), payoffs, epsilon)
    row = policy.fractions()[0] if exact else policy.at(0)[0]
    largest = _exact_face(face, numbers) if exact else _face(face, numbers)
    same: Any = 0 if exact else _SAME
    legal = game.joint_legal[0]
    others = (np.asarray(row <= same) & legal).astype(np.float64)
    if others.any() and largest(others) > same:
        return False
    return all(
        largest(sign * np.eye(len(row))[a]) <= sign * row[a] + same
        for a in np.flatnonzero(row > same)
        for sign in (1, -1)
    )


def _face(face: StageProgram, numbers: StageNumbers) -> Any:
    last = len(face.objectives) - 1
    sigma = face.pattern.variables["sigma"].slice
    for j in range(last):
        found = HighsSession(numbers.program(0, j)).solve().require_optimal()
        numbers.keep(j, np.array([found.objective]))
    session = HighsSession(numbers.program(0, last))

    def largest(weights: np.ndarray[Any, Any]) -> float:
        costs = np.zeros(face.pattern.num_variables)
        costs[sigma] = weights
        session.set_costs(costs)
        return float(session.solve().require_optimal().objective)

    return largest


def _exact_face(face: StageProgram, numbers: StageNumbers) -> Any:
    last = len(face.objectives) - 1
    sigma = face.pattern.variables["sigma"].slice
    for j in range(last):
        numbers.keep(j, np.array([solve_exact(numbers.exact_program(0, j)).objective], dtype=object))

    def largest(weights: np.ndarray[Any, Any]) -> Fraction:
        numbers.costs[last][0, sigma] = [Fraction(float(w)) for w in weights]
        return solve_exact(numbers.exact_program(0, last)).objective

    return largest
