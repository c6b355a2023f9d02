"""Measuring things side by side."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import numpy as np
from rich.console import Console
from rich.table import Table


def timed(call: Callable[[], object]) -> float:
    """Seconds of one call."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def side_by_side(calls: dict[str, Callable[[], object]], repetitions: int) -> dict[str, float]:
    """Median seconds of each call; they take turns, after one turn that does not count."""
    turns = [{name: timed(call) for name, call in calls.items()} for _ in range(repetitions + 1)][1:]
    return {name: float(np.median([turn[name] for turn in turns])) for name in calls}


def print_tables(
    about: str | None, tables: Sequence[Callable[[bool], Table]], arguments: Sequence[str] | None = None
) -> None:
    """Print tables, each made with or without ``--quick``."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small instances, few repetitions: shows that it runs")
    quick = parser.parse_args(arguments).quick
    console = Console()
    for table in tables:
        console.print(table(quick))
