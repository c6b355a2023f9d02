"""Budget curves: regret as a function of how often an agent may disobey in expectation."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from mailopt.deviations import Budget
from mailopt.errors import InvalidOption
from mailopt.evaluation.frontier import Frontier
from mailopt.evaluation.rounding import Enclosure
from mailopt.evaluation.rules import Problem
from mailopt.evaluation.values import Values, values
from mailopt.games.game import MarkovGame
from mailopt.games.marks import marked
from mailopt.games.numbers import FloatArray
from mailopt.games.policy import CorrelatedPolicy, check_policy


@dataclass(frozen=True, eq=False, repr=False)
class BudgetCurve:
    """Best gain against the expected number of departures: of one agent, or the largest over all agents.

    One agent's curve is concave, increasing and piecewise linear, and constant after its last breakpoint. The largest
    of several concave curves is piecewise linear and increasing, but need not be concave.

    Attributes
    ----------
    kappas
        Expected departures, ascending, (K,): the points asked for, or all breakpoints.
    values
        Best gain, or regret, at each, (K,).
    lower, upper
        lower <= true value <= upper at each, (K,).
    complete
        Whether ``values`` at the kappas, joined by straight lines, are the whole curve. If not, because points were
        asked for or there are more than ``max_breakpoints``, the curve is concave between them for each agent.
    per_agent
        The curves of all agents; empty for one agent's.
    """

    kappas: FloatArray
    values: FloatArray
    lower: FloatArray
    upper: FloatArray
    complete: bool
    per_agent: tuple[BudgetCurve, ...] = ()

    def __repr__(self) -> str:
        """Size and the largest gain in one line."""
        kind = "complete" if self.complete else "incomplete"
        return f"BudgetCurve({len(self.kappas)} points, {kind}, {self.values[-1]:.6g} at kappa {self.kappas[-1]:.6g})"


def budget_curve(
    game: MarkovGame, policy: CorrelatedPolicy, kappas: npt.ArrayLike | None = None, *, max_breakpoints: int = 100
) -> BudgetCurve:
    """Compute regret against the expected number of disobeyed recommendations: what kappa betrayals gain.

    The curve of agent i is V(kappa) - J_i(sigma), V the best value of :class:`~mailopt.Budget`; its breakpoints are
    deterministic deviations, found one by one with dynamic programs in which each departure costs the slope of a chord.
    Discounted, departures are discounted too.

    Parameters
    ----------
    game, policy
        The game and the policy.
    kappas
        Expected departures at which to compute the curve; None: at all breakpoints.
    max_breakpoints
        Most breakpoints of one agent; with more the curve is marked incomplete, and bounds say how far it can be off.

    Raises
    ------
    InvalidDeviation, InvalidOption
        A kappa is not finite or negative; max_breakpoints is not at least 2.
    InvalidPolicy, InvalidNumber, NotConverged
        As for :func:`mailopt.regret`.

    Examples
    --------
    >>> import mailopt as mo
    >>> chain = mo.scenarios.unvisited_chain(6)
    >>> curve = mo.budget_curve(chain.game, chain.learner)
    >>> curve.kappas, curve.values, curve.complete
    (array([0., 1.]), array([0., 5.]), True)
    """
    check_policy(game, policy)
    if not isinstance(max_breakpoints, int | np.integer) or max_breakpoints < 2:
        raise InvalidOption(f"max_breakpoints is {max_breakpoints!r}; it must be an integer of at least 2")
    asked = None
    if kappas is not None:
        asked = np.unique([Budget(kappa).kappa for kappa in np.asarray(kappas, dtype=float).ravel().tolist()])
        if not asked.size:
            raise InvalidOption("kappas is empty; give at least one number, or None for all breakpoints")
    obedience = values(game, policy)
    frontiers = [Frontier(Problem(game, policy), agent) for agent in range(game.num_agents)]
    whole = [asked is None and frontier.complete(max_breakpoints) for frontier in frontiers]
    own = [np.array([p.departures for p in frontier.points]) if asked is None else asked for frontier in frontiers]
    curves = [_curve(*parts, obedience) for parts in zip(frontiers, own, whole, strict=True)]
    together = asked if asked is not None else _all_breakpoints(curves)
    joined = [_curve(frontier, together, True, obedience) for frontier in frontiers]
    return marked(
        game,
        BudgetCurve(
            kappas=together,
            values=np.max([curve.values for curve in joined], axis=0),
            lower=np.max([curve.lower for curve in joined], axis=0),
            upper=np.max([curve.upper for curve in joined], axis=0),
            complete=all(whole),
            per_agent=tuple(curves),
        ),
    )


def _curve(frontier: Frontier, kappas: FloatArray, complete: bool, obedience: Values) -> BudgetCurve:
    """One agent's gains at some budgets."""
    found: list[tuple[float, Enclosure]] = []
    base = obedience.enclosure(frontier.agent)
    for kappa in kappas.tolist():
        if not complete:
            frontier.refine(kappa)
        value = sum(weight * point.outcome.value() for weight, point in frontier.mixture(kappa))
        found.append((value - float(obedience.value[frontier.agent]), frontier.enclosure(kappa) - base))
    gains, bounds = [gain for gain, _ in found], [enclosure for _, enclosure in found]
    ends = np.array([[e.lower, e.upper] for e in bounds])
    return BudgetCurve(kappas, np.array(gains), ends[:, 0], ends[:, 1], complete)


def _all_breakpoints(curves: list[BudgetCurve]) -> FloatArray:
    """Breakpoints of all curves, and where two of them cross."""
    points = np.unique(np.concatenate([curve.kappas for curve in curves]))
    heights = [np.interp(points, curve.kappas, curve.values) for curve in curves]
    crossings = []
    for one, other in combinations(heights, 2):
        apart = one - other
        for k in np.flatnonzero(apart[:-1] * apart[1:] < 0):
            share = apart[k] / (apart[k] - apart[k + 1])
            crossings.append(points[k] + share * (points[k + 1] - points[k]))
    return np.unique(np.concatenate((points, crossings)))
