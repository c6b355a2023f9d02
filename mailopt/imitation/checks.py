"""What learners ask of their options."""

from __future__ import annotations

import math

from mailopt.errors import InvalidOption


def require_amount(name: str, value: object, *, positive: bool = False) -> None:
    """Require a finite number of at least 0, or above it."""
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    if not (number > 0 if positive else number >= 0) or number == math.inf:
        raise InvalidOption(f"{name} is {value!r}; give a number {'above' if positive else 'of at least'} 0")


def require_count(name: str, value: object, *, least: int = 1) -> None:
    """Require an integer of at least so much."""
    if type(value) is not int or value < least:
        raise InvalidOption(f"{name} is {value!r}; give an integer of at least {least}")
