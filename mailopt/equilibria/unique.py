"""Whether the optimum of an equilibrium program is the only one.

The optimal distributions are a polytope F. It is a single point iff no distribution in F gives probability to a joint
action that ours does not, and every probability of ours is both the largest and the smallest in F.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from mailopt.games.numbers import FloatArray, as_fractions
from mailopt.games.policy import CorrelatedPolicy
from mailopt.programs.equilibrium import StageProgram
from mailopt.programs.objectives import Convex, JointActions, Linear, Objective
from mailopt.programs.stage_numbers import Epsilon, StageNumbers
from mailopt_solvers import HighsSession, SolverError, solve_exact

_APART = 1e-9  # joint actions whose weights differ by more, relative to their range, are not equally good
_SAME = 1e-7  # probabilities that differ by less are the same
_DECIDED = 1e-14  # an optimum that falls short by more, relative to its range, may be none

Furthest = Callable[[FloatArray], npt.NDArray[Any]]


def is_unique(
    program: StageProgram, objectives: Sequence[Objective], epsilon: Epsilon, policy: CorrelatedPolicy, *, exact: bool
) -> bool | None:
    """Decide it for a normal form; None where doubles cannot."""
    if isinstance(objectives[-1], Convex):
        return True  # strictly concave
    game = program.game
    if not exact and len(objectives) == 1 and isinstance(objectives[0], Linear):
        weights = objectives[0].weights(np.moveaxis(game.reward(0), 1, 0), np.zeros(1, dtype=np.int64))[0]
        ranked = np.sort(weights[game.joint_legal[0]])
        best = policy.at(0)[0][weights.argmax()] == 1.0  # the best joint action for sure, and no other is as good
        if best and (ranked.size == 1 or ranked[-1] - ranked[-2] > _APART * (ranked[-1] - ranked[0])):
            return True
    probe = JointActions([0.0] * game.num_joint_actions)
    face = StageProgram(game, program.stagewise, [*program.objectives, probe], tight=epsilon == 0)
    q = as_fractions(game.rewards, game.exact_rewards) if exact else game.rewards
    payoffs = np.moveaxis(q if q.ndim == 3 else q[0], 1, 0)
    numbers = face.numbers(0, np.zeros(1, dtype=np.int64), payoffs, epsilon)
    row = policy.fractions()[0] if exact else policy.at(0)[0]
    furthest = _exact_face(face, numbers) if exact else _face(face, numbers)
    same: Any = 0 if exact else _SAME
    others = (np.asarray(row <= same) & game.joint_legal[0]).astype(np.float64)
    directions = [others] if others.any() else []
    directions += [sign * np.eye(len(row))[a] for a in np.flatnonzero(row > same) for sign in (1, -1)]
    doubtful = False
    for direction in directions:
        try:
            x = furthest(direction)
        except SolverError:
            return None  # an optimum that is one within the solver's tolerance only leaves no room for other points
        if np.abs(x[face.pattern.variables["sigma"].slice] - row).max() > same:
            if exact or (not numbers.unnoticed and _is_optimal(numbers, x)):
                return False
            doubtful = True
    return None if doubtful else True


def _face(face: StageProgram, numbers: StageNumbers) -> Furthest:
    """Find points of the optimal face that are furthest in a direction, in doubles."""
    last = len(face.objectives) - 1
    for j in range(last):
        numbers.keep(j, np.array([HighsSession(numbers.program(0, j)).solve().require_optimal().objective]))
    session = HighsSession(numbers.program(0, last))

    def furthest(direction: FloatArray) -> FloatArray:
        costs = np.zeros(face.pattern.num_variables)
        costs[face.pattern.variables["sigma"].slice] = direction + 2.0  # no cost is noise around 0
        session.set_costs(costs)
        return session.solve().require_optimal().x

    return furthest


def _exact_face(face: StageProgram, numbers: StageNumbers) -> Furthest:
    """Find points of the optimal face that are furthest in a direction, in fractions."""
    last = len(face.objectives) - 1
    for j in range(last):
        numbers.keep(j, np.array([solve_exact(numbers.exact_program(0, j)).objective], dtype=object))

    def furthest(direction: FloatArray) -> npt.NDArray[Any]:
        numbers.costs[last][0, face.pattern.variables["sigma"].slice] = [Fraction(float(w)) for w in direction]
        return np.array(solve_exact(numbers.exact_program(0, last)).x, dtype=object)

    return furthest


def _is_optimal(numbers: StageNumbers, x: FloatArray) -> bool:
    """Whether a point satisfies all rows, the kept objectives among them, up to rounding."""
    program = numbers.program(0, 0)
    activities = program.matrix @ x
    short = np.maximum(program.row_lower - activities, activities - program.row_upper).max()
    return bool(max(short, (program.lower - x).max(), (x - program.upper).max()) <= _DECIDED)
