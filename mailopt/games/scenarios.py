"""Named games: the chain games on which value is easy and regret is hard, and classic one-shot games.

The chain games follow Tang et al., *Multi-Agent Imitation Learning: Value is Easy, Regret is Hard* (NeurIPS 2024).
Two agents with two actions walk through states s_0, .., s_{2H-1}: from s_0 to s_2 on (0, 0) and to s_1 on anything
else, then from s_j to s_{j+2} whatever they do; s_{2H-2} and s_{2H-3} absorb. Even states pay nothing, odd states
pay ``reward`` to both agents for (0, 0). The expert plays (0, 0) on even states and (1, 1) on odd ones, so that it
never sees an odd state, and no deviation from it gains. In the covered and aliased chains a second start, s_{2H-1},
is drawn with probability ``coverage``; it moves to s_1 and pays like any odd state.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from mailopt.errors import InvalidGame, InvalidHorizon
from mailopt.games.game import MarkovGame
from mailopt.games.numbers import Number
from mailopt.games.policy import CorrelatedPolicy

_AGREE, _REFUSE = 0, 3  # the joint actions (0, 0) and (1, 1)


@dataclass(frozen=True, eq=False)
class Scenario:
    """A game with an expert and a learner whose regret gap is known in closed form.

    Attributes
    ----------
    game, expert, learner
        The game and the two correlated policies.
    regret_gap
        The exact regret gap of the learner for swap deviations, as a formula evaluated on the inputs.
    labels
        For a class of policies that cannot tell some states apart: states with the same label share a row.
    """

    game: MarkovGame
    expert: CorrelatedPolicy
    learner: CorrelatedPolicy
    regret_gap: Number
    labels: tuple[int, ...] | None = None


def unvisited_chain(horizon: int, *, reward: Number = 1) -> Scenario:
    """Chain whose odd states no demonstration visits; the learner plays (0, 0) there.

    Expert and learner have the same occupancies, so the value gap is 0; the regret gap is ``reward * (H - 1)``.

    Examples
    --------
    >>> import mailopt as mo
    >>> chain = mo.scenarios.unvisited_chain(5)
    >>> mo.value_gap(chain.game, chain.learner, chain.expert).value
    0.0
    >>> mo.regret_gap(chain.game, chain.learner, chain.expert).value
    4.0
    """
    return weighted_error_chain(horizon, error=1, reward=reward)


def weighted_error_chain(horizon: int, *, error: Number, reward: Number = 1) -> Scenario:
    """Chain without a second start; the learner errs with probability ``error`` on every odd state.

    The error counts on the states that deviations reach, so the regret gap is ``reward * error * (H - 1)``.
    """
    _require_fraction("error", error)
    game = _chain(horizon, reward, coverage=0)
    return Scenario(game, _expert(horizon), _erring(horizon, error), reward * error * (horizon - 1))


def covered_chain(horizon: int, *, coverage: Number, error: Number, reward: Number = 1) -> Scenario:
    """Chain whose odd states the expert visits with probability ``coverage`` at every step.

    The learner errs there with probability ``error / coverage``, so that its behaviour-cloning error (total
    variation under the expert's visits, averaged over steps) is ``error``, and its regret gap is
    ``(1 - coverage) (H - 1) reward error / coverage``.
    """
    _require_fraction("coverage", coverage)
    if not 0 <= error <= coverage or coverage == 0:
        raise InvalidGame(f"error is {error}; it must be between 0 and the coverage {coverage}, which must be positive")
    rate = error / coverage if isinstance(error, float) or isinstance(coverage, float) else Fraction(error) / coverage
    game = _chain(horizon, reward, coverage)
    gap = (1 - coverage) * (horizon - 1) * reward * rate
    return Scenario(game, _expert(horizon), _erring(horizon, rate), gap)


def aliased_chain(horizon: int, *, coverage: Number, reward: Number = 1) -> Scenario:
    """Covered chain for policies that cannot tell s_{2k} from s_{2k-1} (k >= 1).

    The learner is what behaviour cloning makes of that class when ``coverage < 1/2``: it follows the more frequent
    even chain, so it errs on every aliased odd state; its regret gap is ``(1 - coverage) (H - 1) reward``.
    ``labels`` tells which states share a row; s_0 and s_{2H-1} share theirs with no other state.
    """
    if not 0 < coverage < 0.5:
        raise InvalidGame(f"coverage is {coverage}; it must be between 0 and 1/2, exclusive")
    game = _chain(horizon, reward, coverage)
    learner = _policy([_AGREE] * (2 * horizon - 1) + [_REFUSE])
    labels = tuple((s + 1) // 2 for s in range(2 * horizon))
    return Scenario(game, _expert(horizon), learner, (1 - coverage) * (horizon - 1) * reward, labels)


def chicken() -> MarkovGame:
    """Chicken: dare or yield (Aumann, Subjectivity and correlation in randomized strategies, 1974)."""
    return _bimatrix([[0, 7], [2, 6]], [[0, 2], [7, 6]], [["dare", "yield"]] * 2)


def battle_of_the_sexes() -> MarkovGame:
    """Battle of the sexes (Luce and Raiffa, Games and Decisions, 1957)."""
    return _bimatrix([[2, 0], [0, 1]], [[1, 0], [0, 2]], [["fight", "ballet"]] * 2)


def shapley() -> MarkovGame:
    """Shapley's game, on which fictitious play cycles (Shapley, Some topics in two-person games, 1964)."""
    return _bimatrix([[1, 0, 0], [0, 1, 0], [0, 0, 1]], [[0, 1, 0], [0, 0, 1], [1, 0, 0]], None)


def matching_pennies() -> MarkovGame:
    """Pennies that match are agent 0's (von Neumann, Zur Theorie der Gesellschaftsspiele, 1928)."""
    return _bimatrix([[1, -1], [-1, 1]], [[-1, 1], [1, -1]], [["heads", "tails"]] * 2)


def rock_paper_scissors() -> MarkovGame:
    """Rock, paper, scissors (a standard symmetric zero-sum game of value 0; Osborne and Rubinstein 1994)."""
    wins = [[0, -1, 1], [1, 0, -1], [-1, 1, 0]]
    return _bimatrix(wins, (-np.array(wins)).tolist(), [["rock", "paper", "scissors"]] * 2)


def prisoners_dilemma() -> MarkovGame:
    """Prisoner's dilemma with payoffs 5, 3, 1, 0 (Axelrod, The Evolution of Cooperation, 1984)."""
    return _bimatrix([[3, 0], [5, 1]], [[3, 5], [0, 1]], [["cooperate", "defect"]] * 2)


def traffic_light() -> MarkovGame:
    """Two cars at a crossing (Nisan, Roughgarden, Tardos, Vazirani, Algorithmic Game Theory, 2007, section 1.3)."""
    return _bimatrix([[-100, 1], [0, 0]], [[-100, 0], [1, 0]], [["cross", "stop"]] * 2)


def _bimatrix(first: list[list[int]], second: list[list[int]], names: list[list[str]] | None) -> MarkovGame:
    return MarkovGame.from_normal_form([first, second], action_names=names)


def _chain(horizon: int, reward: Number, coverage: Number) -> MarkovGame:
    if type(horizon) is not int or horizon < 1:
        raise InvalidHorizon(f"horizon is {horizon!r}; it must be an integer of at least 1")
    if reward < 0:
        raise InvalidGame(f"reward is {reward}; it must not be negative, or deviating would not pay")
    num_states = 2 * horizon
    successors = np.repeat(np.minimum(np.arange(num_states) + 2, num_states - 1)[:, None], 4, axis=1)
    for absorbing in range(max(num_states - 3, 0), num_states - 1):
        successors[absorbing] = absorbing
    if horizon > 1:
        successors[0] = [2, 1, 1, 1]
        successors[num_states - 1] = 1
    rewards = np.zeros((2, num_states, 4), dtype=object)
    rewards[:, 1::2, _AGREE] = reward
    initial = np.zeros(num_states, dtype=object)
    initial[0], initial[-1] = 1 - coverage, coverage
    return MarkovGame(
        successors,
        rewards,
        initial,
        (2, 2),
        horizon=horizon,
        state_names=[f"s{k}" for k in range(num_states)],
    )


def _expert(horizon: int) -> CorrelatedPolicy:
    return _policy([_AGREE, _REFUSE] * horizon)


def _erring(horizon: int, rate: Number) -> CorrelatedPolicy:
    """Play (0, 0) on odd states with the given probability, else as the expert."""
    rows = np.zeros((2 * horizon, 4), dtype=object)
    rows[::2, _AGREE] = 1
    rows[1::2, _AGREE], rows[1::2, _REFUSE] = rate, 1 - rate
    return CorrelatedPolicy(rows)


def _policy(joint_actions: list[int]) -> CorrelatedPolicy:
    return CorrelatedPolicy(np.eye(4)[joint_actions])


def _require_fraction(what: str, value: Number) -> None:
    if not 0 <= value <= 1:
        raise InvalidGame(f"{what} is {value}; it must be between 0 and 1")
