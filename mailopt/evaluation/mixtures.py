"""Regret of a mixture: one of several policies is drawn for the whole episode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mailopt.deviations import Deviation, DeviationClass, Finite, Stagewise, Swap, check_deviations
from mailopt.errors import InvalidDeviation, PolicyShape
from mailopt.evaluation.deviating import best_deviation
from mailopt.evaluation.recursion import visits_of
from mailopt.evaluation.regret import regret
from mailopt.evaluation.rounding import Enclosure, highest
from mailopt.evaluation.rules import Follow, Problem
from mailopt.evaluation.stages import stage_gains
from mailopt.games.game import MarkovGame
from mailopt.games.marks import marked
from mailopt.games.numbers import FloatArray, NumberArray, normalised
from mailopt.games.policy import CorrelatedPolicy, check_policy, read_weights

_STARTS = 8  # policies, the likeliest first, from whose best deviations the ascent begins
_SWEEPS = 50  # of the ascent


@dataclass(frozen=True, eq=False, repr=False)
class MixtureRegret:
    """Regret of a mixture of policies, one of which is drawn for the whole episode.

    Attributes
    ----------
    announced
        The regret if agents are told which policy was drawn, max_i sum_k w_k max_phi [J_i(phi∘sigma_k) - J_i(sigma_k)].
    announced_lower, announced_upper
        It lies between these, rounding included.
    lower, upper
        If agents are not told, and use one deviation phi_h(b|s, a_i) whatever was drawn, the regret lies between these,
        rounding included.
        ``lower`` is proved by ``deviation``. ``upper`` is ``announced_upper``, or less: for one step the regret of the
        policy in which the draw is made afresh, for Finite that of the best of the list; there the two are equal up to
        rounding.
    agent, deviation
        The agent and the deviation that prove ``lower``.
    """

    announced: float
    announced_lower: float
    announced_upper: float
    lower: float
    upper: float
    agent: int
    deviation: Deviation

    def __repr__(self) -> str:
        """Bounds in one line."""
        return f"MixtureRegret({self.lower:.6g} to {self.upper:.6g}, {self.announced:.6g} if announced)"


def mixture_regret(
    game: MarkovGame,
    policies: Sequence[CorrelatedPolicy],
    weights: NumberArray,
    deviations: DeviationClass = Swap(),  # noqa: B008 - a frozen object without state
) -> MixtureRegret:
    """Regret of drawing one of several policies for a whole episode, such as the iterates of a learner.

    With weights w the value of a deviation phi that does not know the draw is sum_k w_k J_i(phi∘sigma_k). To maximise
    it over phi is a decision process with several models, for which no efficient method is known; it is enclosed: from
    above by the regret if the draw is announced, from below by the best deviation that was found, by ascent over the
    steps from several starts.

    Parameters
    ----------
    game
        The game.
    policies, weights
        The policies and the probabilities with which they are drawn; rows must sum to one within 1e-9.
    deviations
        Swap, External, Coarse, Internal, Partition, Restricted or Finite.

    Raises
    ------
    InvalidPolicy, InvalidDeviation
        Policies or weights that do not fit; a class whose deviations cannot be evaluated under another policy.
    NotConverged, InvalidNumber
        As for :func:`mailopt.regret`.

    Examples
    --------
    Two pure equilibria of chicken, drawn by a coin. Agents who are not told the draw are told their own part anyway:

    >>> import mailopt as mo
    >>> chicken = mo.scenarios.chicken()
    >>> pure = [mo.CorrelatedPolicy.deterministic(chicken, [pair]) for pair in ([0, 1], [1, 0])]
    >>> mo.mixture_regret(chicken, pure, [0.5, 0.5], mo.External())
    MixtureRegret(-0.5 to -0.5, 0 if announced)
    """
    shares = _shares(game, policies, weights)
    check_deviations(deviations, game)
    if not isinstance(deviations, Stagewise | Finite):
        raise InvalidDeviation(f"the regret of a mixture is not known for {deviations!r}; use Swap(), External(), ..")
    if isinstance(deviations, Finite) and not all(deviations.of(i) for i in range(game.num_agents)):
        missing = next(i for i in range(game.num_agents) if not deviations.of(i))
        raise InvalidDeviation(f"{deviations!r} has no deviation of agent {missing}; give each agent at least one")
    agents = range(game.num_agents)
    bests = [[best_deviation(game, policy, i, deviations) for policy in policies] for i in agents]
    gains = [sum(w * best.gain for w, best in zip(shares, row, strict=True)) for row in bests]
    announced = highest(_weighted(shares, [Enclosure(b.gain_lower, b.gain_upper) for b in row]) for row in bests)
    steps = {p.num_steps for p in policies if p.num_steps is not None}
    together = CorrelatedPolicy.mixture(list(policies), shares) if len(steps) <= 1 else None
    candidates: list[tuple[float, int, Deviation]] = []
    tops: list[float] = []
    for i in agents:
        if isinstance(deviations, Stagewise):
            starts = [bests[i][k].deviation for k in np.argsort(-shares, kind="stable")[:_STARTS]]
            if together is not None:
                starts.append(best_deviation(game, together, i, deviations).deviation)
            if game.horizon is not None:
                starts += [_ascended(game, policies, shares, i, deviations, start) for start in starts]
        else:
            starts = deviations.of(i)
        for phi in starts:
            proved = [best_deviation(game, policy, i, Finite([phi])) for policy in policies]
            bound = _weighted(shares, [Enclosure(b.gain_lower, b.gain_upper) for b in proved])
            candidates.append((bound.lower, i, phi))
            tops.append(bound.upper)
    lower, agent, deviation = max(candidates, key=lambda found: found[0])
    upper = max(tops) if isinstance(deviations, Finite) else announced.upper
    if game.horizon == 1 and together is not None:
        scale = float(np.abs(np.where(game.joint_legal, game.rewards, 0.0)).max())
        roundings = len(policies) + 2 * max(p.support for p in (together, *policies)) + 8
        slack = roundings * 2.0**-50 * scale  # of mixing in doubles
        upper = min(upper, regret(game, together, deviations).upper + slack)
    return marked(
        game, MixtureRegret(float(max(gains)), announced.lower, announced.upper, lower, upper, agent, deviation)
    )


def _shares(game: MarkovGame, policies: Sequence[CorrelatedPolicy], weights: NumberArray) -> FloatArray:
    if not isinstance(policies, Sequence) or not policies:
        raise PolicyShape("policies must be a list of at least one policy")
    for policy in policies:
        check_policy(game, policy)
    mix, _ = read_weights(weights, len(policies))
    return normalised(mix, np.asarray(mix.sum()))


def _weighted(shares: FloatArray, parts: Sequence[Enclosure]) -> Enclosure:
    """Enclose a weighted sum."""
    size = sum(float(w) * max(abs(p.lower), abs(p.upper)) for w, p in zip(shares, parts, strict=True))
    slack = (len(parts) + 4) * 2.0**-52 * size
    lower = sum(float(w) * p.lower for w, p in zip(shares, parts, strict=True)) - slack
    upper = sum(float(w) * p.upper for w, p in zip(shares, parts, strict=True)) + slack
    return Enclosure(lower, upper)


def _ascended(
    game: MarkovGame,
    policies: Sequence[CorrelatedPolicy],
    shares: FloatArray,
    agent: int,
    deviations: Stagewise,
    start: Deviation,
) -> Deviation:
    """Improve a deviation backwards, step by step, given where it leads under each policy, until nothing helps."""
    assert game.horizon is not None
    phi = [start.at(h) for h in range(game.horizon)]
    n = game.actions[agent]
    reached = -np.inf
    for _ in range(_SWEEPS):
        follow = Follow(Deviation(agent, np.stack(phi)))
        visits = [visits_of(Problem(game, policy), follow)[:, 0] for policy in policies]
        following = [np.zeros((1, game.num_states)) for _ in policies]
        for h in reversed(range(game.horizon)):
            gains = []
            for k, policy in enumerate(policies):
                q = game.reward(h)[agent] + game.kernel(h).expectation(following[k])[0]
                gains.append(stage_gains(game, policy.at(h), q, agent))
            total = sum(w * d[h][:, None, None] * c for w, d, c in zip(shares, visits, gains, strict=True))
            _, choices = deviations.best_response(game, agent, h, np.asarray(total)[None])
            phi[h] = np.eye(n)[choices[0]]
            following = [np.einsum("sab,sab->s", phi[h], c)[None] for c in gains]
        value = float(sum(w * (v[0] @ game.initial_distribution) for w, v in zip(shares, following, strict=True)))
        if value <= reached + 1e-13 * abs(value):
            break
        reached = value
    return Deviation(agent, np.stack(phi))
