"""Deviation classes in the form that certificates hold."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from mailopt.deviations import (
    Budget,
    Coarse,
    Deviation,
    DeviationClass,
    External,
    Finite,
    Internal,
    Limited,
    Partition,
    Restricted,
    Swap,
)
from mailopt.errors import InvalidDeviation
from mailopt.games.game import MarkovGame

_NAMES = {Swap: "swap", External: "external", Coarse: "coarse", Internal: "internal"}


def class_content(deviations: DeviationClass, game: MarkovGame) -> dict[str, object]:
    """Return the JSON object that says which deviations are considered.

    Raises
    ------
    InvalidDeviation
        A class that no certificate can speak of.
    """
    kind = type(deviations)
    if kind in _NAMES:
        return {"class": _NAMES[kind]}
    if isinstance(deviations, Partition):
        cells = [deviations.atoms(n, agent).groups.tolist() for agent, n in enumerate(game.actions)]
        return {"class": "partition", "cells": cells}
    if isinstance(deviations, Restricted):
        masks = [None if mask is None else mask.reshape(_mask_shape(mask.shape)).tolist() for mask in deviations.masks]
        return {"class": "restricted", "allowed": masks, "inner": class_content(deviations.inner, game)}
    if isinstance(deviations, Limited):
        return {"class": "limited", "k": deviations.k, "inner": class_content(deviations.inner, game)}
    if isinstance(deviations, Budget):
        return {"class": "budget", "kappa": deviations.kappa}
    if isinstance(deviations, Finite):
        return {"class": "finite", "deviations": [_listed(phi, game) for phi in deviations.deviations]}
    raise InvalidDeviation(
        f"{deviations!r} cannot be certified; Swap() contains every deviation that depends on the step, state and "
        f"recommendation, so its regret bounds that of any such class from above"
    )


def _mask_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Four axes: steps, states (or one for all), recommendations, actions."""
    return (1,) * (4 - len(shape)) + shape


def _listed(phi: Deviation, game: MarkovGame) -> dict[str, object]:
    told = game.legal[phi.agent][:, :, None]  # what is illegal is never recommended
    steps: Iterable[int | None] = [None] if phi.num_steps is None else range(phi.num_steps)
    rows: list[list[object]] = []
    for step in steps:
        here = phi.probabilities if step is None else phi.probabilities[step]
        for s, a, b in np.argwhere((here > 0) & told).tolist():
            rows.append([s, a, b, float(here[s, a, b]), *([] if step is None else [step])])
    return {"agent": int(phi.agent), "rows": rows}
