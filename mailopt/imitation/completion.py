"""What a learned policy does where no data tell it: an explicit rule, and the places where it was used."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from mailopt.deviations import DeviationClass, Swap
from mailopt.deviations.base import Recursive
from mailopt.errors import InvalidOption
from mailopt.evaluation.interval import least_regret_completion
from mailopt.games.game import MarkovGame
from mailopt.games.numbers import BoolArray, FloatArray
from mailopt.games.policy import CorrelatedPolicy
from mailopt.imitation.target import Target
from mailopt.programs.layout import Layout

Completion: TypeAlias = str | CorrelatedPolicy
RULES = ("uniform", "least_regret")


def check_completion(completion: object, layout: Layout) -> None:
    """Require a rule that the class of policies can follow.

    Raises
    ------
    InvalidOption
        No such rule.
    InvalidPolicyClass, InvalidPolicy
        The class cannot follow the policy, or the policy does not fit the game.
    """
    if isinstance(completion, CorrelatedPolicy):
        layout.fitting(completion)
    elif not isinstance(completion, str) or completion not in RULES:
        raise InvalidOption(f"completion is {completion!r:.80}; give 'uniform', 'least_regret' or a CorrelatedPolicy")
    elif completion == "least_regret" and layout.atoms is not None:
        raise InvalidOption(
            "completion is 'least_regret', which mixtures of given policies cannot follow; use 'uniform'"
        )


def wanted(
    layout: Layout, target: Target, completion: Completion, game: MarkovGame, deviations: DeviationClass
) -> FloatArray | None:
    """Rows (T, S, A) that a class with constraints is to come near to where it has no data; None if it has none.

    There the completion rule cannot just decide: what it says need not be in the class.
    """
    data = layout.with_data(target.known)
    if not layout.constraints or data.all():
        return None
    x = layout.uniform()
    if layout.atoms is None:
        counts = np.where(layout.allowed, layout.pulled_back(target.rows), 0.0)
        sums = counts.sum(axis=1, keepdims=True)
        x = np.where(sums > 0, counts / np.where(sums > 0, sums, 1.0), x)
    return layout.sigma(completed(layout, x, data, completion, game, deviations))


def completed(
    layout: Layout, x: FloatArray, data: BoolArray, completion: Completion, game: MarkovGame, deviations: DeviationClass
) -> FloatArray:
    """Return parameters (R, W) with the rows that have no data, where ``data`` (R,) is False, filled in.

    ``"uniform"`` spreads a row over what is allowed; a policy is followed (its mean over the places that share a row);
    ``"least_regret"`` takes the completion of least regret that :func:`mailopt.regret_interval` finds with the game's
    rewards, for the class of deviations, or for swap deviations if the class is not one that chooses stage by stage.
    """
    if data.all():
        return x
    x = x.copy()
    x[~data] = layout.uniform()[~data]
    if isinstance(completion, CorrelatedPolicy):
        x[~data] = layout.fitting(completion)[~data]
    elif completion == "least_regret":
        free = deviations if isinstance(deviations, Recursive) else Swap()
        best = least_regret_completion(game, layout.policy(x), ~data[layout.rows], free)
        x[~data] = layout.fitting(best)[~data]
    return x
