"""Regret of a correlated policy, and the regret gap of a learner over an expert."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mailopt.deviations import Deviation, DeviationClass, Swap, check_deviations
from mailopt.evaluation.deviating import BestDeviation, by_program, by_recursion
from mailopt.evaluation.stages import Method, resolve
from mailopt.evaluation.values import Values, values
from mailopt.games.game import MarkovGame
from mailopt.games.numbers import FloatArray
from mailopt.games.policy import CorrelatedPolicy


@dataclass(frozen=True, eq=False, repr=False)
class Regret:
    """Regret R(sigma) = max_i max_phi [J_i(phi∘sigma) - J_i(sigma)].

    Attributes
    ----------
    value
        The regret; negative only if obedience is not in the class (or by rounding).
    per_agent
        Each agent's best gain, shape (m,).
    agent
        The agent that gains most.
    obedience
        Values of obedience J_i(sigma).
    best
        That agent's best deviation, with its occupancy and values.
    method
        ``"dp"`` or ``"lp"``.
    truncation_error
        Bound on the error of ``per_agent`` that stopping an infinite recursion caused; 0 for a finite horizon.
    """

    value: float
    per_agent: FloatArray
    agent: int
    obedience: Values
    best: BestDeviation
    method: str
    truncation_error: float

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
    policy, expert
        The two sides.
    """

    value: float
    policy: Regret
    expert: Regret

    @property
    def truncation_error(self) -> float:
        """Bound on the error of ``value`` that stopping infinite recursions caused; 0 for a finite horizon."""
        return self.policy.truncation_error + self.expert.truncation_error

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
    obedience = values(game, policy, method=method)
    check_deviations(deviations, game)
    agents = range(game.num_agents)
    if resolve(method) == "lp":
        found = [by_program(game, policy, i, deviations, obedience) for i in agents]
        per_agent = np.array([best.gain for best in found])
        agent = int(per_agent.argmax())
        best, error = found[agent], 0.0
    else:
        recursions = by_recursion(game, policy, agents, deviations)
        per_agent = np.array([r.value(game) for r in recursions]) - obedience.value
        agent = int(per_agent.argmax())
        best = recursions[agent].describe(game, policy, obedience)
        error = max(r.truncation_error for r in recursions) + obedience.truncation_error
    return Regret(float(per_agent[agent]), per_agent, agent, obedience, best, best.method, error)


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
    return RegretGap(ours.value - theirs.value, ours, theirs)
