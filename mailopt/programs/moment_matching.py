"""The moment-matching program: an occupancy that no reward of a class can tell from the expert's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from mailopt.errors import InvalidNumber, InvalidOption, WrongShape
from mailopt.games.game import MarkovGame
from mailopt.games.numbers import FloatArray
from mailopt.programs.flow import flow
from mailopt.programs.layout import Constraint
from mailopt_solvers import Block, LinearProgram, ProgramBuilder

NORMS = ("linf", "l1", "simplex")


@dataclass(frozen=True, eq=False)
class Rewards:
    """A class of rewards: the unit box, or combinations of features with bounded weights.

    Attributes
    ----------
    features
        Rewards to combine, (K, T, S, A); None: the unit box, |f| <= 1.
    norm
        ``"linf"``: |w_k| <= 1; ``"l1"``: sum |w_k| <= 1; ``"simplex"``: w >= 0, sum w = 1.
    """

    features: FloatArray | None
    norm: str

    @classmethod
    def read(cls, features: npt.ArrayLike | None, norm: str, shape: tuple[int, int, int]) -> Rewards:
        """Validate features (K, S, A) or (K, T, S, A) for occupancies of a shape (T, S, A)."""
        if norm not in NORMS:
            raise InvalidOption(f"norm is {norm!r}; it must be one of {', '.join(map(repr, NORMS))}")
        if features is None:
            if norm != "linf":
                raise InvalidOption(f"norm {norm!r} bounds the weights of features; give features=, or norm='linf'")
            return cls(None, norm)
        array = np.asarray(features, dtype=np.float64)
        if array.ndim == 3:
            array = array[:, None]
        if array.ndim != 4 or not len(array) or array.shape[2:] != shape[1:] or array.shape[1] not in (1, shape[0]):
            raise WrongShape(
                f"features have shape {np.shape(features)}, expected (K, S, A) or (K, T, S, A) with (T, S, A) = {shape}"
            )
        if not np.isfinite(array).all():
            raise InvalidNumber("features have an entry that is not finite")
        return cls(np.broadcast_to(array, (len(array), *shape)), norm)

    def distance(self, apart: FloatArray) -> float:
        """Return max over f of <f, apart>."""
        if self.features is None:
            return float(np.abs(apart).sum())
        moments = np.tensordot(self.features, apart, axes=3)
        return float({"linf": np.abs(moments).sum(), "l1": np.abs(moments).max(), "simplex": moments.max()}[self.norm])


def moment_matching(
    game: MarkovGame,
    expected: FloatArray,
    rewards: Rewards,
    constraints: tuple[Constraint, ...] = (),
    mixture: FloatArray | None = None,
) -> LinearProgram:
    """Linear program whose optimum is the least of max_f <f, mu_E - mu> over a polytope of occupancies.

    Either ``mu`` (T, S, A) with its ``flow`` rows, or ``weights`` (K,) of given occupancies ``mixture`` (K, T, S, A).
    With moments M mu (the entries of mu themselves for the unit box), for |w_k| <= 1::

        minimise sum under + over    subject to  apart: M mu + under - over = M mu_E

    else, with rows ``behind`` for ``"l1"`` only::

        minimise bound    subject to  apart: bound + M mu >= M mu_E,   behind: bound - M mu >= -M mu_E

    The duals of ``apart``, less those of ``behind``, are the weights of the worst reward.
    """
    shape, size = expected.shape, expected.size
    builder = ProgramBuilder("min")
    to_mu: sparse.csr_array
    if mixture is not None:
        block = builder.add_variables("weights", (len(mixture),), upper=1.0)
        builder.add_rows("one", (1,), {block: np.ones((1, len(mixture)))}, lower=1.0, upper=1.0)
        to_mu = sparse.csr_array(mixture.reshape(len(mixture), size).T)
    else:
        base = flow(game)
        legal = np.broadcast_to(game.joint_legal, shape)
        block = builder.add_variables("mu", shape, upper=np.where(legal, 1.0, 0.0))
        rows = base.rows["flow"]
        side = base.row_lower[rows.slice].reshape(rows.shape)
        builder.add_rows("flow", rows.shape, {block: base.matrix.tocsr()[rows.slice]}, lower=side, upper=side)
        to_mu = sparse.eye_array(size, format="csr")
    for k, constraint in enumerate(constraints):
        matrix = constraint.matrix(shape, stationary=game.horizon is None)
        lower, upper = constraint.sides(matrix.shape[0])
        builder.add_rows(f"constraint{k}", lower.shape, {block: matrix @ to_mu}, lower=lower, upper=upper)
    if rewards.features is None:
        moments, goal, most = to_mu, expected.ravel(), np.ones(size)
    else:
        flat = rewards.features.reshape(len(rewards.features), size)
        moments, goal = sparse.csr_array(sparse.csr_array(flat) @ to_mu), flat @ expected.ravel()
        most = 2.0 * np.abs(rewards.features).max(axis=(2, 3)).sum(axis=1)  # a step has mass 1
    _measure(builder, block, moments, goal, most, rewards.norm)
    return builder.build()


def _measure(
    builder: ProgramBuilder, block: Block, moments: sparse.csr_array, goal: FloatArray, most: FloatArray, norm: str
) -> None:
    """Add the distance of moments from a goal, of which no entry exceeds ``most``."""
    count = goal.size
    if norm == "linf":
        under, over = (builder.add_variables(name, (count,), upper=most, costs=1.0) for name in ("under", "over"))
        eye = sparse.eye_array(count)
        builder.add_rows("apart", (count,), {block: moments, under: eye, over: -eye}, lower=goal, upper=goal)
        return
    far = float(most.max())
    bound = builder.add_variables("bound", (1,), lower=-far, upper=far, costs=1.0)
    ones = np.ones((count, 1))
    builder.add_rows("apart", (count,), {bound: ones, block: moments}, lower=goal)
    if norm == "l1":
        builder.add_rows("behind", (count,), {bound: ones, block: -moments}, lower=-goal)
