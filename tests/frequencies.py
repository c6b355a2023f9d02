"""Sampled frequencies against exact probabilities, with a bound that chance practically never crosses."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

LEAST = 5.0  # expected count of a cell of its own; rarer cells are pooled
UNLIKELY = 20.0  # minus the logarithm of how likely a crossing is


def excess(counts: npt.ArrayLike, probabilities: npt.ArrayLike) -> float:
    """Pearson's statistic of multinomial counts over its bound: at most 1 but for a chance of about exp(-20).

    A chi-square variable with k degrees of freedom is above k + 2 sqrt(k x) + 2 x with probability at most exp(-x)
    (Laurent and Massart 2000, lemma 1). Infinite if something happened that has probability 0.
    """
    seen, chance = np.ravel(counts).astype(float), np.ravel(probabilities).astype(float)
    assert abs(chance.sum() - 1.0) < 1e-9
    if (seen[chance <= 0] > 0).any():
        return np.inf
    total = seen.sum()
    often = total * chance >= LEAST
    cells = [(seen[often], total * chance[often])]
    rest, expected = seen[~often].sum(), total * chance[~often].sum()
    if expected >= LEAST:
        cells.append((np.array([rest]), np.array([expected])))
    else:
        assert rest <= 60  # Poisson of mean 5
    statistic = sum(float(((x - e) ** 2 / e).sum()) for x, e in cells)
    k = max(sum(len(x) for x, _ in cells) - 1, 1)
    return statistic / float(k + 2 * np.sqrt(k * UNLIKELY) + 2 * UNLIKELY)
