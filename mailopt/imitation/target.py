"""What is known of the expert, as learners use it: rows at some steps and states, and a distance from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mailopt.errors import InvalidPolicyClass
from mailopt.games.numbers import BoolArray, FloatArray
from mailopt.games.policy import CorrelatedPolicy
from mailopt.imitation.demonstrations import Demonstrations
from mailopt.programs.layout import Layout


@dataclass(frozen=True, eq=False)
class Target:
    """Rows of the expert where they are known.

    Attributes
    ----------
    known
        Where, (T, S).
    rows
        sigma_{E,h}(a|s), (T, S, A); 0 where not known.
    roundings
        Bound on the roundings of an entry before its row was normalised.
    """

    known: BoolArray
    rows: FloatArray
    roundings: int = 0

    @property
    def support(self) -> int:
        """Most entries of a row, or more, so that four times as many roundings cover those of the entries too."""
        return int(np.count_nonzero(self.rows, axis=2).max(initial=1)) + -(-self.roundings // 4)

    def distance(self, policy: CorrelatedPolicy) -> FloatArray:
        """TV(sigma_h(s), sigma_{E,h}(s)) where the expert is known and 1 elsewhere, (T, S)."""
        apart = np.stack([np.abs(policy.at(h) - rows).sum(axis=1) for h, rows in enumerate(self.rows)]) / 2
        return np.where(self.known, apart, 1.0)


def target_of(demonstrations: Demonstrations) -> Target:
    """Return what demonstrations show."""
    return Target(np.asarray(demonstrations.visits > 0), demonstrations.rows, demonstrations.roundings)


def layout_for(layout: Layout, stages: int) -> Layout:
    """Lay a class out over the stages of an expert.

    Raises
    ------
    InvalidPolicyClass
        The class has more stages than what is known of the expert.
    """
    if layout.stages > stages:
        raise InvalidPolicyClass(
            f"policies of the class have {layout.stages} steps and the expert is known for {stages}; give a class "
            f"of no more steps"
        )
    return layout.extended(stages)
