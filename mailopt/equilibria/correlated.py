"""Correlated and coarse correlated equilibria of normal forms and of Markov games."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version

import numpy as np

from mailopt.deviations import DeviationClass, Swap, check_deviations
from mailopt.equilibria.backward import StageRule, within
from mailopt.equilibria.checks import allowed_regret, check_tolerance, highs_solver
from mailopt.equilibria.exact import ExactEquilibrium, exact_equilibrium
from mailopt.equilibria.optimum import attained, objective_bound
from mailopt.equilibria.stages import StageSolver, Work, objective_value
from mailopt.equilibria.unique import is_unique
from mailopt.evaluation.regret import Regret, regret
from mailopt.evaluation.rounding import Enclosure
from mailopt.evaluation.values import Values
from mailopt.games.game import MarkovGame, check_game
from mailopt.games.marks import marked
from mailopt.games.numbers import FloatArray
from mailopt.games.policy import CorrelatedPolicy
from mailopt.programs.objectives import (
    Egalitarian,
    LeastRegret,
    Nearest,
    Objective,
    Preferred,
    Weighted,
    Welfare,
    named,
    sequence,
)
from mailopt.programs.stage_numbers import Epsilon
from mailopt_solvers import Solver


@dataclass(frozen=True, eq=False, repr=False)
class CorrelatedEquilibrium:
    """A (coarse) correlated equilibrium, and what is known of it.

    Attributes
    ----------
    policy
        The recommendations: (S, A) for one step, (H, S, A) for a finite horizon; discounted (S, A), or (T, S, A) with
        the last step repeated for ever.
    goal
        What was optimised; in a Markov game at each stage, given what follows.
    objective
        The value reached, in units of the game, of the first objective if there are several. Of a Markov game the value
        from the start for objectives that are values of agents or regrets, else None.
    objective_lower, objective_upper
        lower <= true value that the policy reaches <= upper, rounding included; None where ``objective`` is. Weights
        that a Linear objective of one's own computes count as what they are.
    objective_bound
        No equilibrium of regret at most epsilon is better than this, proved with all rounding: an upper bound of what
        is maximised, a lower bound of a distance or a regret. That of entropy and Gini is tight unless a row holds with
        equality at every equilibrium. None for ``"feasible"``, several objectives, and Markov games; of an exact result
        the optimum itself, rounded to the safe side.
    stage_objectives
        The value reached at each stage, (T, S).
    values, regret
        Values of obedience and the regret for ``deviations``, with bounds, as :func:`mailopt.regret` finds them from
        the policy alone.
    deviations, epsilon
        What was asked for.
    multipliers
        For each agent the price of each temptation: at most so much would the (last) objective improve for each unit of
        regret that were allowed there; exactly so much where the optimum is not degenerate. Laid out as the atoms of
        the class: (n, n), told and played, for swap deviations, whose diagonal prices epsilon itself; (1, n) for
        external ones; (W,) for internal and coarse ones, obedience first. (T, S, ..) in front for Markov games. 0 where
        a stage was settled without a program, and for entropy and Gini where a row holds with equality at every
        equilibrium.
    exact
        Everything in fractions if that was asked for, else None.
    work
        What it took: stages, programs, seconds, the solver and its version, and the largest change that made the
        solver's points distributions.
    """

    policy: CorrelatedPolicy
    goal: Objective
    objective: float | None
    objective_lower: float | None
    objective_upper: float | None
    objective_bound: float | None
    stage_objectives: FloatArray
    values: Values
    regret: Regret
    deviations: DeviationClass
    epsilon: Epsilon
    multipliers: tuple[FloatArray, ...]
    exact: ExactEquilibrium | None
    work: Work
    _unique: Callable[[], bool | None] | None

    @cached_property
    def unique(self) -> bool | None:
        """Whether no other distribution is as good; decided by further programs when first asked for.

        In fractions exactly. In doubles up to 1e-7 in a probability, and what is equally good up to rounding (1e-14 of
        the range of payoffs) counts as equally good; None where the solver cannot tell. None for Markov games.
        """
        return None if self._unique is None else self._unique()

    def __repr__(self) -> str:
        """Class, objective and regret in one line."""
        value = "" if self.objective is None else f" {self.objective:.6g}"
        return (
            f"CorrelatedEquilibrium({self.deviations!r}, {self.goal!r}{value}, regret {self.regret.value:.3g} <= "
            f"{self.regret.upper:.3g}; {self.work.programs} of {self.work.stages} stages by program)"
        )


def correlated_equilibrium(
    game: MarkovGame,
    *,
    deviations: DeviationClass = Swap(),  # noqa: B008 - a frozen object without state
    objective: Objective | str = "welfare",
    epsilon: Epsilon = 0,
    solver: str | Solver = "auto",
    exact: bool = False,
    tolerance: float = 1e-6,
    progress: bool = False,
) -> CorrelatedEquilibrium:
    """Find a correlated equilibrium: recommendations that no agent gains more than epsilon from disobeying.

    A normal form takes one linear program, :func:`mailopt.programs.equilibrium`. A Markov game is solved backwards: at
    each (step, state) the stage game Q = r + P V is given an equilibrium that is best for the objective, with a share
    epsilon / H of the regret (discounted (1 - gamma) epsilon / 2, the rest for the end). That is optimal stage by
    stage, given what follows, and Markov perfect; it is **not** the best equilibrium of the whole game, which is no
    convex problem and may need recommendations that depend on the history (arXiv 2506.07186).

    Parameters
    ----------
    game
        A normal form or a Markov game.
    deviations
        Swap (correlated equilibria), External (coarse correlated equilibria), Coarse, Internal, Partition or
        Restricted.
    objective
        ``"feasible"``, ``"welfare"`` (sum of values), ``"egalitarian"`` (smallest value), ``"least_regret"``,
        ``"entropy"``, ``"gini"``, or an object of ``mo.objectives``: ``Weighted(w)``, ``JointActions(w)``,
        ``Preferred(agent)``, ``Nearest(policy)``, ``Lexicographic([..])``.
    epsilon
        Regret that is allowed, in units of reward. It bounds the regret itself, not each incentive row. Negative values
        ask for equilibria that are strict by as much, which only classes without obedience can have.
    solver
        ``"auto"``, ``"highs"`` or a :class:`mailopt_solvers.Highs` object. Entropy and Gini go to Clarabel.
    exact
        Solve in fractions: the regret is at most epsilon in rational arithmetic, and the policy holds its exact
        probabilities. For normal forms and small games of finite horizon; needs the ``exact`` extra. ``solver``,
        ``tolerance`` and ``progress`` play no part then.
    tolerance
        Discounted games with epsilon = 0: how much regret the end may leave, relative to (largest - smallest reward) /
        (1 - gamma).
    progress
        Show a progress bar.

    Returns
    -------
    CorrelatedEquilibrium
        Its ``.regret`` is computed from the policy alone. With epsilon > 0 ``.regret.upper`` is at most epsilon, unless
        epsilon is as small as what rounding leaves open; with epsilon = 0 it is what rounding and the solver's
        tolerance (1e-9 of the range of payoffs) leave. A discounted game gets a stationary policy if value iteration
        finds one, else one of T steps.

    Raises
    ------
    NoEquilibrium
        No recommendations have so little regret.
    InvalidOption, InvalidGame, InvalidDeviation, InvalidPolicy, UnknownAgent
        What was asked for does not make sense.
    GameTooLarge
        A discounted game would need too many steps.
    SolverError, NotConverged, InvalidNumber
        The computation failed.

    Notes
    -----
    Aumann (1974, 1987); Moulin and Vial (1978) for coarse ones; Papadimitriou and Roughgarden (2008) for the program.

    Examples
    --------
    The best correlated equilibrium of chicken:

    >>> import mailopt as mo
    >>> best = mo.correlated_equilibrium(mo.scenarios.chicken(), exact=True)
    >>> [str(p) for p in best.exact.probabilities[0]], str(best.exact.objective), best.exact.regret
    (['0', '1/4', '1/4', '1/2'], '21/2', Fraction(0, 1))
    """
    check_game(game)
    check_deviations(deviations, game)
    allowed = allowed_regret(epsilon, deviations)
    goal, highs = named(objective), highs_solver(solver)
    objectives = sequence(goal)
    check_tolerance(tolerance)
    single = game.is_normal_form
    found: ExactEquilibrium | None = None
    bound: float | None = None
    stages = StageSolver(game, deviations, objectives, tight=allowed == 0, solver=highs)
    started = time.perf_counter()
    if exact:
        found = exact_equilibrium(game, stages.program, objectives, allowed)
        policy, multipliers = found.policy, tuple(m.astype(np.float64) for m in found.multipliers)
        work = Work(
            found.stages, found.stages, time.perf_counter() - started, 0.0, "python-flint", version("python-flint")
        )
        offered = [q.astype(np.float64) for q in found.action_values]
        certified = regret(game, policy, deviations)
    else:
        rule: StageRule = stages.solve
        steps = max(goal.num_steps or 1 for goal in objectives)
        policy, induced, certified = within(
            game, rule, deviations, float(allowed), tolerance, progress, stages.work, before=steps - 1
        )
        multipliers = stages.program.laid_out([answer.multipliers for answer in induced.answers])
        offered, work = induced.action_values, stages.work
        if single and len(objectives) == 1:
            bound = objective_bound(game, stages.program, objectives[0], induced.answers[0], float(allowed))
    rows = [policy.at(h) for h in range(len(offered))]
    reached = np.stack(
        [
            objective_value(game, goal, h, q, sigma, stages.regrets(h, q, sigma))
            for h, (q, sigma) in enumerate(zip(offered, rows, strict=True))
        ]
    )
    enclosed = attained(game, objectives[0], policy, certified)
    if found is not None and found.objective is not None:
        enclosed = Enclosure.weighted([(found.objective, Enclosure(1.0, 1.0))])
        bound = enclosed.lower if isinstance(objectives[0], LeastRegret | Nearest) else enclosed.upper
    value = _from_start(objectives[0], certified)
    return marked(
        game,
        CorrelatedEquilibrium(
            policy=policy,
            goal=goal,
            objective=float(reached[0, 0]) if single and value is None else value,
            objective_lower=None if enclosed is None else enclosed.lower,
            objective_upper=None if enclosed is None else enclosed.upper,
            objective_bound=bound,
            stage_objectives=reached,
            values=certified.obedience,
            regret=certified,
            deviations=deviations,
            epsilon=epsilon,
            multipliers=multipliers,
            exact=found,
            work=work,
            _unique=(lambda: is_unique(stages.program, objectives, allowed, policy, exact=exact)) if single else None,
        ),
    )


def _from_start(first: Objective, certified: Regret) -> float | None:
    """Value of an objective from the start, for those that are values of agents or regrets."""
    value = certified.obedience.value
    if isinstance(first, Welfare):
        return float(value.sum())
    if isinstance(first, Weighted):
        return float(sum(float(w) * v for w, v in zip(first.agents, value, strict=True)))
    if isinstance(first, Preferred):
        return float(value[first.agent])
    if isinstance(first, Egalitarian):
        return float(value.min())
    return certified.value if isinstance(first, LeastRegret) else None
