"""The mark of numbers that are those of an estimated game, and so not of the true one."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

_Result = TypeVar("_Result")


def marked(game: object, result: _Result) -> _Result:
    """Let the print-out of a result say that its game was estimated, if it was.

    The result becomes an instance of a class that differs from its own in its print-out and the attribute
    ``estimated_from``.
    """
    estimated_from = getattr(game, "estimated_from", None)
    if estimated_from is not None:
        kind: Any = type(result)
        object.__setattr__(result, "__class__", _class_marked(kind, estimated_from))
    return result


@cache
def _class_marked(kind: Any, estimated_from: int) -> type:
    if hasattr(kind, "estimated_from"):
        return kind  # type: ignore[no-any-return]
    plain: Callable[[object], str] = kind.__repr__

    def text(self: object) -> str:
        return f"{plain(self)[:-1]}, of a game estimated from {estimated_from} transitions)"

    return type(kind.__name__, (kind,), {"__repr__": text, "__doc__": kind.__doc__, "estimated_from": estimated_from})
