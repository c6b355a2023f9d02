"""Pictures of results; matplotlib is needed (the ``plot`` extra)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mailopt.errors import MissingDependency

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mailopt.imitation.results import Imitation, Round

# Okabe and Ito's colours, which colour-blind eyes tell apart
BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#6E6E6E"


def learning_curve(result: Imitation, path: str | Path | None = None) -> Figure:
    """Draw the deviation-weighted loss, the regret gap and its bound against rounds, or against queries.

    Parameters
    ----------
    result
        What a learner returned. Gaps are drawn if it was told the whole expert.
    path
        Where to save the figure, ``.png``, ``.svg`` or ``.pdf``; None: nowhere.

    Raises
    ------
    MissingDependency
        matplotlib is not installed.
    """
    figure = new_figure(6.4, 4.0)
    axes = figure.subplots()
    queries = any(found.queries for found in result.history)
    iterates = [found for found in result.history if found.kind == "iterate"]
    averages = [found for found in result.history if found.kind == "average"]
    where, where_averages = (
        [found.queries if queries else found.index for found in kind] for kind in (iterates, averages)
    )
    marker, single = "o" if len(iterates) <= 30 else "", len(iterates) == 1
    label = "bound on the deviation-weighted loss" if result.algorithm == "BLADES" else "deviation-weighted loss"
    if result.loss is None:
        label = "deviation-weighted loss in roll-outs"
    axes.plot(where, _column(iterates, "loss"), color=BLUE, marker=marker, label=label)
    if averages:
        axes.plot(where_averages, _column(averages, "loss"), color=BLUE, ls="--", label=f"{label}, average")
    for name, text, colour, style in (
        ("regret_gap", "regret gap", ORANGE, "-"),
        ("gap_bound", "bound on the regret gap", GREEN, "-."),
        ("expert_loss", "loss against the expert", PURPLE, "--"),
        ("value_gap", "value gap", GREY, ":"),
    ):
        values = _column(iterates, name)
        if np.isfinite(values).any():
            axes.plot(
                where,
                values,
                color=colour,
                ls=style,
                marker=marker if single or name == "regret_gap" else "",
                label=text,
            )
        if name == "regret_gap" and np.isfinite(_column(averages, name)).any():
            axes.plot(where_averages, _column(averages, name), color=colour, ls="--", label=f"{text}, average")
    axes.set_xlabel("queries to the expert" if queries else "round")
    axes.set_title(f"{result.algorithm}: {result.stopped}", fontsize="medium")
    _finish(axes)
    return saved(figure, path)


def new_figure(width: float, height: float) -> Figure:
    """Make a figure of so many inches without touching any screen."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - optional
    except ImportError as error:
        raise MissingDependency("matplotlib is not installed: pip install 'mailopt[plot]'") from error
    return Figure(figsize=(width, height), layout="constrained")


def saved(figure: Figure, path: str | Path | None) -> Figure:
    """Save a figure, if asked to."""
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure


def _finish(axes: object) -> None:
    """Start at 0, spare the frame, name the lines."""
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))  # type: ignore[attr-defined]
    axes.spines[["top", "right"]].set_visible(False)  # type: ignore[attr-defined]
    axes.grid(alpha=0.25)  # type: ignore[attr-defined]
    axes.legend(frameon=False)  # type: ignore[attr-defined]


def _column(history: Sequence[Round], name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    values = [getattr(found, name) for found in history]
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
