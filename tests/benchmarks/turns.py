"""Measuring things side by side."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np


def timed(call: Callable[[], object]) -> float:
    """Seconds of one call."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def side_by_side(calls: dict[str, Callable[[], object]], repetitions: int) -> dict[str, float]:
    """Median seconds of each call; they take turns, after one turn that does not count."""
    turns = [{name: timed(call) for name, call in calls.items()} for _ in range(repetitions + 1)][1:]
    return {name: float(np.median([turn[name] for turn in turns])) for name in calls}
