"""Regret of a correlated policy, and the regret gap of a learner over an expert."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mailopt.deviations import Deviation, DeviationClass, Swap, check_deviations
from mailopt.evaluation.best import BestDeviation
from mailopt.evaluation.by_program import by_program
from mailopt.evaluation.deviating import describe, problem_of
from mailopt.evaluation.rounding import Enclosure, highest
from mailopt.evaluation.search import resolve_method, search
from mailopt.evaluation.stages import Method
from mailopt.evaluation.values import Values, values
from mailopt.games.game import MarkovGame
from mailopt.games.marks import marked
from mailopt.games.numbers import FloatArray
from mailopt.games.policy import CorrelatedPolicy, check_policy


@dataclass(frozen=True, eq=False, repr=False)
class Regret:
    """Regret R(sigma) = max_i max_phi [J_i(phi∘sigma) - J_i(sigma)].

    Attributes
    ----------
    value
        The regret; negative only if obedience is not in the class (or by rounding).
    lower, upper
        lower <= true regret <= upper, rounding and truncation included.
    per_agent
        Each agent's best gain, shape (m,); minus infinity for an agent that a Finite list has nothing for.
    agent
        The agent that gains most.
    obedience
        Values of obedience J_i(sigma).
    best
        That agent's best deviation, with its occupancy and values.
    method
        ``"dp"``, ``"lp"``, ``"enumeration"`` or ``"mip"``.
    """

    value: float
    lower: float
    upper: float
    per_agent: FloatArray
    agent: int
    obedience: Values
    best: BestDeviation
    method: str

    def __repr__(self) -> str:
        """Regret, agent and class in one line."""
        return f"Regret({self.value:.6g}, agent {self.agent}, {self.best.deviations!r}, {self.method})"

    @property
    def deviation(self) -> Deviation:
        """The deviation that attains the regret."""
        return self.best.deviation


@dataclass(frozen=True, eq=False, repr=False)
class RegretGap:
    """Regret gap R(policy) - R(expert).

    Attributes
    ----------
    value
        The gap; signed.
    lower, upper
        lower <= true gap <= upper.
    policy, expert
        The two sides.
    """

    value: float
    lower: float
    upper: float
    policy: Regret
    expert: Regret

    def __repr__(self) -> str:
        """Gap and its two sides in one line."""
        return f"RegretGap({self.value:.6g}, policy {self.policy.value:.6g}, expert {self.expert.value:.6g})"


def regret(
    game: MarkovGame,
    policy: CorrelatedPolicy,
    deviations: DeviationClass = Swap(),  # noqa: B008 - a frozen object without state
    *,
    method: Method = "auto",
) -> Regret:
    """Regret: the most that an agent gains by deviating while the others obey.

    A policy is an eps-correlated equilibrium iff its regret for :class:`~mailopt.Swap` is at most eps, and an
    eps-coarse correlated equilibrium iff its regret for :class:`~mailopt.External` is.

    Parameters
    ----------
    game, policy, deviations, method
        As for :func:`mailopt.best_deviation`.

    Returns
    -------
    Regret
        ``.value``, ``.per_agent``, the agent that gains most and its best deviation ``.best``.

    Raises
    ------
    InvalidPolicy, InvalidDeviation, InvalidNumber, NotConverged, SolverError
        As for :func:`mailopt.best_deviation`.

    Examples
    --------
    >>> import mailopt as mo
    >>> chicken = mo.scenarios.chicken()
    >>> uniform = mo.CorrelatedPolicy.uniform(chicken)
    >>> mo.regret(chicken, uniform).value, mo.regret(chicken, uniform, mo.External()).value
    (0.25, 0.25)
    >>> mo.regret(chicken, mo.CorrelatedPolicy([[0, 0.5, 0.5, 0]]), mo.External()).value
    -0.5
    """
    check_policy(game, policy)
    check_deviations(deviations, game)
    chosen = resolve_method(deviations, method)
    obedience = values(game, policy, method="lp" if chosen == "lp" else "dp")
    agents = range(game.num_agents)
    if chosen == "lp":
        bests = [by_program(game, policy, i, deviations, obedience) for i in agents]
        per_agent = np.array([best.gain for best in bests])
        agent = int(per_agent.argmax())
        best, bounds = bests[agent], highest(Enclosure(best.gain_lower, best.gain_upper) for best in bests)
    else:
        found = search(problem_of(game, policy, deviations), agents, deviations)
        gains = [-np.inf if f is None else f.value - obedience.value[i] for i, f in enumerate(found)]
        per_agent = np.array(gains)
        agent = int(per_agent.argmax())
        bounds = highest(f.enclosure - obedience.enclosure(f.agent) for f in found if f is not None)
        highest_gain = found[agent]
        assert highest_gain is not None
        best = describe(highest_gain, deviations, obedience)
    value = float(per_agent[agent])
    return marked(game, Regret(value, bounds.lower, bounds.upper, per_agent, agent, obedience, best, chosen))


def regret_gap(
    game: MarkovGame,
    policy: CorrelatedPolicy,
    expert: CorrelatedPolicy,
    deviations: DeviationClass = Swap(),  # noqa: B008 - a frozen object without state
    *,
    method: Method = "auto",
) -> RegretGap:
    """Regret gap R(policy) - R(expert): how much more an agent can gain by deviating than under the expert.

    Parameters
    ----------
    game, policy, deviations, method
        As for :func:`mailopt.best_deviation`.
    expert
        The policy to compare with.

    Returns
    -------
    RegretGap
        ``.value``, and the two regrets ``.policy`` and ``.expert``.

    Raises
    ------
    InvalidPolicy, InvalidDeviation, InvalidNumber, NotConverged, SolverError
        As for :func:`mailopt.best_deviation`.

    Notes
    -----
    Source: Tang et al., *Multi-Agent Imitation Learning: Value is Easy, Regret is Hard*, NeurIPS 2024.

    Examples
    --------
    >>> import mailopt as mo
    >>> chain = mo.scenarios.covered_chain(4, coverage=0.25, error=0.125)
    >>> mo.regret_gap(chain.game, chain.learner, chain.expert).value
    1.125
    """
    ours = regret(game, policy, deviations, method=method)
    theirs = regret(game, expert, deviations, method=method)
    gap = Enclosure(ours.lower, ours.upper) - Enclosure(theirs.lower, theirs.upper)
    return marked(game, RegretGap(ours.value - theirs.value, gap.lower, gap.upper, ours, theirs))
