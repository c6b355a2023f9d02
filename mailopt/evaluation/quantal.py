"""Boundedly rational agents: what a logit response gains."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mailopt.deviations import Deviation
from mailopt.errors import InvalidOption, UnsupportedGame
from mailopt.evaluation.recursion import recursion
from mailopt.evaluation.rules import Deviating, Follow, Problem, charged_gains
from mailopt.evaluation.values import values
from mailopt.games.game import MarkovGame
from mailopt.games.marks import marked
from mailopt.games.numbers import FloatArray
from mailopt.games.policy import CorrelatedPolicy, check_policy


@dataclass(frozen=True, eq=False, repr=False)
class QuantalDeviation:
    """How a boundedly rational agent responds to its recommendations.

    Attributes
    ----------
    agent, temperature
        Who, and the lambda of its logit response.
    value
        J_i(phi∘sigma) of the response.
    lower, upper
        lower <= true value of ``deviation`` <= upper.
    gain
        value - J_i(sigma); negative if the agent would do better to obey.
    gain_lower, gain_upper
        The same for the gain.
    deviation
        The response phi_h(b | s, a).
    """

    agent: int
    temperature: float
    value: float
    lower: float
    upper: float
    gain: float
    gain_lower: float
    gain_upper: float
    deviation: Deviation

    def __repr__(self) -> str:
        """Agent, temperature and gain in one line."""
        return f"QuantalDeviation(agent {self.agent}, temperature {self.temperature:g}, gain {self.gain:.6g})"


def quantal_deviation(game: MarkovGame, policy: CorrelatedPolicy, agent: int, temperature: float) -> QuantalDeviation:
    """Logit response of an agent to its recommendations while the others obey.

    At each (h, s), told a, the agent plays b with probability proportional to exp(q_h(s, a, b) / lambda), where
    q_h(s, a, b) is its expected return if it plays b now and responds in this way ever after. As lambda goes to 0 this
    is a best swap deviation, as it grows the agent plays at random.

    Parameters
    ----------
    game, policy
        A game with a finite horizon, and the policy that the others obey.
    agent
        The agent.
    temperature
        lambda > 0, in units of reward.

    Raises
    ------
    UnsupportedGame
        A discounted game: there this response has no unique continuation (the Boltzmann operator is no contraction,
        Asadi and Littman 2017).
    InvalidPolicy, UnknownAgent, InvalidOption, InvalidNumber
        The policy or the agent does not fit; the temperature is not positive and finite; the numbers overflow.

    Notes
    -----
    Source: McKelvey and Palfrey, *Quantal response equilibria for extensive form games*, Experimental Economics 1998.

    Examples
    --------
    >>> import mailopt as mo
    >>> chain = mo.scenarios.unvisited_chain(6)
    >>> [round(mo.quantal_deviation(chain.game, chain.learner, 0, t).gain, 3) for t in (0.01, 1.0, 100.0)]
    [5.0, 3.563, 1.272]
    """
    check_policy(game, policy)
    game.check_agent(agent)
    if not isinstance(temperature, int | float | np.number) or not (math.isfinite(temperature) and temperature > 0):
        raise InvalidOption(f"temperature is {temperature!r}; it must be a positive number")
    if game.horizon is None:
        raise UnsupportedGame("a logit response has no unique continuation in a discounted game; give a finite horizon")
    problem = Problem(game, policy)
    rule = _Logit(problem, agent, float(temperature))
    recursion(problem, [rule])
    outcome = recursion(problem, [Follow(rule.deviation(game))])[0]
    obedience, enclosure = values(game, policy), outcome.enclosure()
    gain = enclosure - obedience.enclosure(agent)
    return marked(
        game,
        QuantalDeviation(
            agent=agent,
            temperature=float(temperature),
            value=outcome.value(),
            lower=enclosure.lower,
            upper=enclosure.upper,
            gain=outcome.value() - float(obedience.value[agent]),
            gain_lower=gain.lower,
            gain_upper=gain.upper,
            deviation=rule.deviation(game),
        ),
    )


class _Logit(Deviating):
    """The agent plays each action in proportion to the exponential of its expected return."""

    def __init__(self, problem: Problem, agent: int, temperature: float) -> None:
        super().__init__(agent)
        n = problem.game.actions[agent]
        self.temperature = temperature
        self.phi = np.zeros((problem.stages, problem.game.num_states, n, n))

    def backup(self, problem: Problem, step: int, q: FloatArray) -> FloatArray:
        """See :class:`Rule`."""
        agent = self.agents[0]
        gains = charged_gains(problem, step, q[0, 0], agent)
        told = problem.game.unfold(problem.policy.at(step), agent).sum(axis=2)[..., None]
        returns = np.where(told > 0, gains / np.where(told > 0, told, 1.0), 0.0)
        returns = np.where(problem.game.legal[agent][:, None, :], returns, -np.inf)
        weights = np.exp((returns - returns.max(axis=2, keepdims=True)) / self.temperature)
        self.phi[step] = weights / weights.sum(axis=2, keepdims=True)
        return np.asarray((self.phi[step] * gains).sum(axis=(1, 2)))[None, None]

    def plays(self, problem: Problem, step: int) -> FloatArray:
        """See :class:`Deviating`."""
        return np.asarray(self.phi[step])[None]

    def deviation(self, game: MarkovGame) -> Deviation:
        """See :class:`Deviating`."""
        return Deviation(self.agents[0], self.phi)
