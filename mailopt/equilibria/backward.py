"""Backward induction: a stage equilibrium at each (step, state) given what follows.

Finite horizon: V_H = 0 and sigma_h is an equilibrium of the stage games Q = r + P V_{h+1}, whose regret is at most a
slack. The regret of the whole is at most sum_h max_s slack_h(s).

Discounted: a stationary policy tau serves as the end. Its values V and its regret from each state, at most D, are
known, and N steps before it are found by backward induction from V. The regret of the whole is at most sum_{h<N}
gamma^h slack_h + gamma^N D. The end comes from value iteration with stage equilibria (Shapley 1953 for zero-sum games);
if the policy that it has come to has regret small enough by itself, no steps before it are needed and the result is
stationary.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mailopt.deviations import DeviationClass
from mailopt.equilibria.stages import StageAnswer, Work, obeyed
from mailopt.errors import GameTooLarge, NoEquilibrium
from mailopt.evaluation.deviating import best_deviation
from mailopt.evaluation.regret import Regret, regret
from mailopt.evaluation.values import values
from mailopt.games.game import MarkovGame
from mailopt.games.numbers import FloatArray
from mailopt.games.policy import CorrelatedPolicy
from mailopt.progress import Progress, shown

StageRule = Callable[[int, FloatArray, float], StageAnswer]
"""From step, action values (m, S, A) and slack to equilibria of the stage games."""

_WARM = 32  # rounds of value iteration before steps are put in front
TRIES = 4  # of giving a little less than epsilon, so that rounding does not exceed it ...
_LESS = (0.0, 2e-9, 2e-8)  # ... of the range of returns: no solver sees what is below its tolerance
_MOST_ENTRIES = 1 << 27  # of the action values of all steps of a discounted game


@dataclass(frozen=True, eq=False)
class Induced:
    """What backward induction found.

    Attributes
    ----------
    answers
        The stages in order; of a discounted game the last repeats for ever.
    action_values
        Q_h(s, a) that each stage was solved for, (m, S, A) each.
    """

    answers: list[StageAnswer]
    action_values: list[FloatArray]

    def policy(self) -> CorrelatedPolicy:
        """Return the policy: (S, A) if there is one stage, else (T, S, A)."""
        rows = [answer.sigma for answer in self.answers]
        return CorrelatedPolicy(rows[0] if len(rows) == 1 else np.stack(rows))


def action_values(game: MarkovGame, step: int, following: FloatArray) -> FloatArray:
    """Q = r + P V, discounted r + gamma P V, (k, S, A), from values V (k, S) of the first k agents."""
    expected = game.kernel(step).expectation(following)
    if game.discount is not None:
        expected *= game.discount
    return np.asarray(game.reward(step)[: len(following)] + expected)


def induced(game: MarkovGame, rule: StageRule, slack: float, steps: int, end: FloatArray, advance: Progress) -> Induced:
    """Backward induction over the first steps, from the values (m, S) of what follows them."""
    answers, offered, following = [], [], end
    for step in reversed(range(steps)):
        q = action_values(game, step, following)
        answer = rule(step, q, slack)
        following = obeyed(answer.sigma, q)
        answers.append(answer)
        offered.append(q)
        advance(1)
    return Induced(answers[::-1], offered[::-1])


def discounted(
    game: MarkovGame,
    rule: StageRule,
    deviations: DeviationClass,
    slack: float,
    enough: float,
    advance: Progress,
    *,
    before: int = 0,
    start: FloatArray | None = None,
) -> Induced:
    """Backward induction in a discounted game.

    Parameters
    ----------
    game, rule, deviations
        What is solved.
    slack
        Regret that each stage may have.
    enough
        Regret that a stationary policy may have by itself; half of it is left to the end where steps come before it.
    before
        Number of steps that come before the stationary end in any case.
    start
        Values (m, S) from which value iteration begins; None for 0.

    Raises
    ------
    GameTooLarge
        The policy would have too many steps.
    """
    assert game.discount is not None
    current = np.zeros((game.num_agents, game.num_states)) if start is None else start
    for count in range(1, _WARM + 1):
        q = action_values(game, before, current)
        answer = rule(before, q, slack)
        current = obeyed(answer.sigma, q)
        advance(1)
        if count & (count - 1) == 0:  # 1, 2, 4, ..
            left, end = _shortfall(game, answer, deviations)
            if left <= enough:
                break
            current = end
    steps = before
    if left > enough:
        needed = (math.log(left) - math.log(enough / 2.0)) / -math.log(game.discount) if game.discount > 0 else 0.0
        if needed * q.size > _MOST_ENTRIES:
            raise GameTooLarge(
                f"the policy needs {needed:.3g} steps of {game.num_states} x {game.num_joint_actions} probabilities; "
                f"raise tolerance or epsilon"
            )
        steps = max(before, 1 + math.ceil(needed))
    first = induced(game, rule, slack, steps, end, advance)
    return Induced([*first.answers, answer], [*first.action_values, q])


def _shortfall(game: MarkovGame, answer: StageAnswer, deviations: DeviationClass) -> tuple[float, FloatArray]:
    """Largest regret of a stationary policy from any state, and its values (m, S)."""
    policy = CorrelatedPolicy(answer.sigma)
    obedience = values(game, policy).state_values
    assert obedience is not None  # the method is "dp"
    found = (best_deviation(game, policy, i, deviations).state_values for i in range(game.num_agents))
    bests = [of_agent.reshape(-1, game.num_states)[-1] for of_agent in found]
    return float((np.stack(bests) - obedience).max()), obedience


def within(
    game: MarkovGame,
    rule: StageRule,
    deviations: DeviationClass,
    epsilon: float,
    tolerance: float,
    progress: bool,
    work: Work,
    *,
    before: int = 0,
    start: FloatArray | None = None,
    tries: int = TRIES,
) -> tuple[CorrelatedPolicy, Induced, Regret]:
    """Solve backwards and evaluate; where rounding exceeds epsilon, again with a little less."""
    share = epsilon
    before = max(before, (deviations.num_steps or 1) - 1)
    best: tuple[CorrelatedPolicy, Induced, Regret] | None = None
    for attempt in range(tries):
        work.stages = work.programs = 0  # those of the last attempt count
        try:
            found = _once(game, rule, deviations, share, tolerance, progress, before, start)
        except NoEquilibrium:
            if best is None:
                raise
            break  # epsilon is the least regret
        policy = found.policy()
        certified = regret(game, policy, deviations)
        if best is None or certified.upper < best[2].upper:
            best = policy, found, certified
        excess = certified.upper - epsilon
        if epsilon == 0 or excess <= 0 or attempt == tries - 1:
            break
        span = reward_span(game, certified.agent) * (game.horizon or 1.0 / game.occupancy_mass)
        less = max(2.0 * excess, _LESS[attempt] * span)
        share -= min(less, share / 2.0) if epsilon > 0 else less
    assert best is not None
    return best


def _once(
    game: MarkovGame,
    rule: StageRule,
    deviations: DeviationClass,
    share: float,
    tolerance: float,
    progress: bool,
    before: int,
    start: FloatArray | None,
) -> Induced:
    """Solve backwards once, so that the regret is about ``share`` at most."""
    if game.horizon is not None:
        with shown(progress, "backward induction", game.horizon) as advance:
            nothing = np.zeros((game.num_agents, game.num_states))
            return induced(game, rule, share / game.horizon, game.horizon, nothing, advance)
    assert game.discount is not None
    slack = (1.0 - game.discount) * share / (2.0 if share > 0 else 1.0)
    least = tolerance * reward_span(game) / (1.0 - game.discount)
    enough = share if share > 0 else max(least, np.finfo(float).tiny)
    with shown(progress, "backward induction", None) as advance:
        return discounted(game, rule, deviations, slack, enough, advance, before=before, start=start)


def reward_span(game: MarkovGame, agent: int | None = None) -> float:
    """Largest less smallest reward of an agent, or of any of them, for legal joint actions."""
    rewards = game.rewards if agent is None else game.rewards[..., agent, :, :]
    legal = np.broadcast_to(game.joint_legal, rewards.shape)
    return float(rewards.max(where=legal, initial=-np.inf) - rewards.min(where=legal, initial=np.inf))
