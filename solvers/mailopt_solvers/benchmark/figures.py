"""Figures of a report; matplotlib is needed."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mailopt_solvers.benchmark.judging import TOLERANCES
from mailopt_solvers.benchmark.results import Record
from mailopt_solvers.benchmark.statistics import is_solved, performance_profile, settings_of
from mailopt_solvers.errors import MissingDependency

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#6E6E6E", "#000000")  # Okabe and Ito
_LOOKS = [(line, marker, colour) for line, marker in (("-", "o"), (":", "^")) for colour in _COLOURS]
_FALSE = "#D55E00"
_DEFAULT = "-default"
_RIGHT = ("axes fraction", "data")
_FLOOR = 1e-17  # errors below are drawn here


def draw(records: Sequence[Record], folder: Path, tolerances: str, time_limit: float) -> list[tuple[str, str]]:
    """Draw all figures of the cold track into a folder; returns their names and captions.

    Raises
    ------
    MissingDependency
        matplotlib is not installed.
    """
    styles = _styles(settings_of(records))
    drawn = (
        (
            "profile.png",
            f"Performance profiles at tolerance set {tolerances}: the share of instances that a solver setting solves "
            "within a multiple of the best time.",
            _profile(records, styles, tolerances, time_limit),
        ),
        (
            "error_time.png",
            "True error against time: each point is one instance, in grey those of all settings; crosses are claims of "
            f"an optimum whose error exceeds {TOLERANCES[tolerances]:g}.",
            _errors(records, tolerances),
        ),
        (
            "scaling.png",
            f"Seconds against nonzeros, by family, of what is solved at tolerance set {tolerances}.",
            _scaling(records, styles, tolerances, time_limit),
        ),
    )
    for name, _, figure in drawn:
        figure.savefig(folder / name, dpi=110)
    return [(name, caption) for name, caption, _ in drawn]


def _styles(settings: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Colour, line and marker of each setting; ``X-default`` has the colour of ``X``, dashed."""
    plain = [s for s in settings if not s.endswith(_DEFAULT) or s.removesuffix(_DEFAULT) not in settings]
    looks = {
        setting: {"color": colour, "ls": line, "marker": marker}
        for setting, (line, marker, colour) in zip(plain, cycle(_LOOKS), strict=False)
    }
    for setting in settings:
        if setting not in looks:
            look = looks[setting.removesuffix(_DEFAULT)]
            looks[setting] = {**look, "ls": "--" if look["ls"] == "-" else "-."}
    return {setting: looks[setting] for setting in settings}


def require_figures() -> None:
    """Raise :class:`MissingDependency` unless figures can be drawn."""
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingDependency("figures need matplotlib: pip install 'mailopt[plot]'; or do without figures")


def _figure(width: float, height: float) -> Figure:
    require_figures()
    from matplotlib.figure import Figure  # noqa: PLC0415 - optional

    return Figure(figsize=(width, height), layout="constrained")


def _profile(
    records: Sequence[Record], styles: dict[str, dict[str, Any]], tolerances: str, time_limit: float
) -> Figure:
    figure = _figure(8.5, 4.8)
    axes = figure.subplots()
    profiles = performance_profile(records, tolerances, time_limit)
    end = 2 * max([float(ratios[-1]) for ratios, _ in profiles.values() if ratios.size], default=1.0)
    for setting, (ratios, shares) in sorted(profiles.items(), key=lambda item: -len(item[1][0])):
        x = np.concatenate(([1.0], ratios, [end]))
        y = np.concatenate(([0.0], shares, shares[-1:] if shares.size else [0.0]))
        style = styles[setting]
        axes.step(x, y, where="post", color=style["color"], ls=style["ls"], label=setting)
    axes.set(xscale="log", xlim=(1, end), ylim=(0, 1.02))
    axes.set(xlabel="times the best time", ylabel="share of instances solved")
    _finish(axes)
    figure.legend(loc="outside right upper", frameon=False, fontsize="small")
    return figure


def _errors(records: Sequence[Record], tolerances: str) -> Figure:
    settings = settings_of(records)
    shown = [r for r in records if math.isfinite(r.objective_error) and r.seconds > 0]
    figure, grid = _grid(len(settings), sharex=True)
    for axes, setting in zip(grid, settings, strict=False):
        own = [r for r in shown if r.setting == setting]
        false = [r for r in own if r.claims_optimal and r.objective_error > TOLERANCES[tolerances]]
        for points, look in (
            (shown, {"s": 3, "color": "#DDDDDD"}),
            ([r for r in own if r not in false], {"s": 12, "color": _COLOURS[0]}),
            (false, {"s": 28, "color": _FALSE, "marker": "x", "linewidths": 1.2}),
        ):
            axes.scatter([r.seconds for r in points], [max(r.objective_error, _FLOOR) for r in points], **look)
        for name, value in TOLERANCES.items():
            axes.axhline(value, color="#BBBBBB", lw=0.8, zorder=0.9)
            axes.annotate(name, (0.99, value), xycoords=_RIGHT, ha="right", va="bottom", fontsize=6, color="#777777")
        if shown:
            axes.set(xscale="log", yscale="log")
        axes.set_title(setting, fontsize="small")
        _finish(axes)
    figure.supxlabel("seconds", fontsize="small")
    figure.supylabel("error against the known optimum, relative", fontsize="small")
    return figure


def _scaling(
    records: Sequence[Record], styles: dict[str, dict[str, Any]], tolerances: str, time_limit: float
) -> Figure:
    families = list(dict.fromkeys(record.family for record in records))
    figure, grid = _grid(len(families))
    for axes, family in zip(grid, families, strict=False):
        for setting, style in styles.items():
            own = sorted(
                (r.nonzeros, r.seconds)
                for r in records
                if (r.family, r.setting) == (family, setting) and is_solved(r, tolerances, time_limit)
            )
            if own:
                axes.plot(
                    *zip(*own, strict=True), color=style["color"], ls=style["ls"], marker=style["marker"], ms=3, lw=1
                )
        axes.set(xscale="log", yscale="log")
        sizes = sorted({r.nonzeros for r in records if r.family == family})
        axes.set_xticks(sizes, labels=[f"{size / 1000:.2g}k" if size >= 1000 else str(size) for size in sizes])
        axes.set_xticks([], minor=True)
        axes.set_title(family, fontsize="small")
        _finish(axes)
    handles = [grid[0].plot([], [], label=setting, **style, ms=3, lw=1)[0] for setting, style in styles.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=6, frameon=False, fontsize="x-small")
    figure.supxlabel("nonzeros", fontsize="small")
    figure.supylabel("seconds", fontsize="small")
    return figure


def _grid(count: int, *, sharex: bool = False) -> tuple[Figure, list[Any]]:
    """Make a figure of so many panels, four across."""
    across = min(4, count)
    down = -(-count // across)
    figure = _figure(3.0 * across, 2.2 * down + 0.8)
    panels = list(figure.subplots(down, across, squeeze=False, sharex=sharex, sharey=True).flat)
    for axes in panels[count:]:
        axes.set_visible(False)
    for axes in panels:
        axes.tick_params(labelsize="x-small")
    return figure, panels[:count]


def _finish(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, color="#EEEEEE", lw=0.6)
    axes.set_axisbelow(True)
