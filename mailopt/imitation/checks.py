"""What learners ask of their options."""

from __future__ import annotations

import math

from mailopt.errors import InvalidDemonstrations, InvalidOption
from mailopt.games.game import MarkovGame
from mailopt.games.policy import CorrelatedPolicy
from mailopt.imitation.demonstrations import Demonstrations


def require_amount(name: str, value: object, *, positive: bool = False) -> None:
    """Require a finite number of at least 0, or above it."""
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    if not (number > 0 if positive else number >= 0) or number == math.inf:
        raise InvalidOption(f"{name} is {value!r}; give a number {'above' if positive else 'of at least'} 0")


def require_count(name: str, value: object, *, least: int = 1) -> None:
    """Require an integer of at least so much."""
    if type(value) is not int or value < least:
        raise InvalidOption(f"{name} is {value!r}; give an integer of at least {least}")


def check_demonstrations(demonstrations: object, game: MarkovGame) -> None:
    """Require demonstrations that fit the game."""
    if not isinstance(demonstrations, Demonstrations):
        hint = "Demonstrations(game, states, joint_actions) or Demonstrations.from_counts(game, counts)"
        if isinstance(demonstrations, CorrelatedPolicy):
            hint = "Demonstrations.from_policy(game, policy), or sample_demonstrations(game, policy, episodes, seed=..)"
        raise InvalidDemonstrations(f"the demonstrations are a {type(demonstrations).__name__}; give {hint}")
    demonstrations.check(game)


def counted(number: int, what: str) -> str:
    """Say how many, for people."""
    return f"{number} {what}{'' if number == 1 else 's'}"
