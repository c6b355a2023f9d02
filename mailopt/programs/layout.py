"""Parameters of a class of policies in a game: which rows there are, what they may choose from, how sigma follows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

from mailopt.errors import InvalidPolicyClass
from mailopt.games.game import MarkovGame
from mailopt.games.numbers import BoolArray, FloatArray, IntArray
from mailopt.games.policy import CorrelatedPolicy, check_policy


@dataclass(frozen=True, eq=False)
class Constraint:
    """Linear constraints lower <= <coefficients, sigma> <= upper.

    Attributes
    ----------
    coefficients
        As given: an array (T, S, A) or (S, A), or a matrix (rows, T*S*A), sparse or not.
    lower, upper
        A number, or one for each row.
    name
        For messages.
    """

    coefficients: Any
    lower: FloatArray
    upper: FloatArray
    name: str

    def matrix(self, shape: tuple[int, int, int], *, stationary: bool) -> sparse.csr_array:
        """Coefficients as a matrix (rows, T*S*A), for policies of a shape (T, S, A)."""
        size = int(np.prod(shape))
        given = self.coefficients
        if not sparse.issparse(given):
            array = np.asarray(given)
            if array.shape == shape:
                given = array.reshape(1, size)
            elif array.shape == shape[1:] and (stationary or shape[0] == 1):
                given = np.concatenate((array.reshape(1, -1), np.zeros((1, size - array.size))), axis=1)
            else:
                given = array
        if given.ndim != 2 or given.shape[1] != size or given.dtype.kind not in "iuf":
            raise InvalidPolicyClass(
                f"{named(self.name)}: coefficients have shape {given.shape} and dtype {given.dtype}; give "
                f"numbers (T, S, A) = {shape}, or a matrix (rows, T*S*A) with {size} columns"
                + (f", or (S, A) = {shape[1:]}" if stationary else "")
            )
        matrix = sparse.csr_array(given, dtype=np.float64)
        if not np.isfinite(matrix.data).all():
            raise InvalidPolicyClass(f"{named(self.name)}: a coefficient is not finite")
        return matrix

    def sides(self, rows: int) -> tuple[FloatArray, FloatArray]:
        """Return the bounds of so many rows."""
        for side in (self.lower, self.upper):
            if side.shape not in ((), (rows,)):
                raise InvalidPolicyClass(
                    f"{named(self.name)}: a bound has shape {side.shape}; the coefficients make {rows} rows"
                )
        return np.broadcast_to(self.lower, (rows,)), np.broadcast_to(self.upper, (rows,))


@dataclass(frozen=True, eq=False)
class Layout:
    """Parameters of a class of policies in a game.

    Attributes
    ----------
    game
        The game.
    stationary
        Whether policies of the class are stationary.
    rows
        Row r(h, s) of parameters, (T, S); rows are numbered 0..R-1.
    allowed
        Which choices have a chance at all, (R, W).
    atoms
        What each choice recommends, (T or 1, S, W, A); None if the choices are the joint actions themselves.
    constraints
        Linear constraints on sigma.
    """

    game: MarkovGame
    stationary: bool
    rows: IntArray
    allowed: BoolArray
    atoms: FloatArray | None
    constraints: tuple[Constraint, ...]

    @property
    def stages(self) -> int:
        """Number of stages T."""
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (T, S, A) of sigma."""
        return self.stages, self.game.num_states, self.game.num_joint_actions

    def extended(self, stages: int) -> Layout:
        """Spread the last stage of a discounted game over so many, as demonstrations of a longer expert need it."""
        if self.stages >= stages:
            return self
        return replace(self, rows=self.rows[np.minimum(np.arange(stages), self.stages - 1)])

    def sigma(self, x: FloatArray) -> FloatArray:
        """Return sigma, (T, S, A), from parameters (R, W)."""
        chosen = x[self.rows]
        if self.atoms is None:
            return chosen
        return np.asarray(
            np.einsum("tsw,tswa->tsa", chosen, np.broadcast_to(self.atoms, (*chosen.shape, self.shape[2])))
        )

    def pulled_back(self, slopes: FloatArray) -> FloatArray:
        """Turn slopes with respect to sigma, (T, S, A), into slopes with respect to the parameters, (R, W)."""
        if self.atoms is not None:
            slopes = np.einsum(
                "tsa,tswa->tsw", slopes, np.broadcast_to(self.atoms, (*slopes.shape[:2], *self.atoms.shape[2:]))
            )
        result = np.zeros(self.allowed.shape)
        np.add.at(result, self.rows, slopes)
        return result

    def policy(self, x: FloatArray) -> CorrelatedPolicy:
        """Return the policy with these parameters."""
        sigma = self.sigma(x)
        return CorrelatedPolicy(sigma[0] if self.stationary else sigma)

    def entries(self, steps: IntArray, states: IntArray, actions: IntArray) -> sparse.csr_array:
        """Return the map from parameters to some entries sigma_h(a|s): a matrix (K, R*W)."""
        width, row = self.allowed.shape[1], self.rows[steps, states]
        size = (steps.size, self.allowed.size)
        if self.atoms is None:
            return sparse.csr_array((np.ones(steps.size), row * width + actions, np.arange(steps.size + 1)), shape=size)
        weights = self.atoms[np.minimum(steps, len(self.atoms) - 1), states, :, actions]
        columns = (row * width)[:, None] + np.arange(width)
        pointers = np.arange(0, weights.size + 1, width)
        matrix = sparse.csr_array((weights.ravel(), columns.ravel(), pointers), shape=size)
        matrix.eliminate_zeros()
        return matrix

    @cached_property
    def constraint_rows(self) -> list[tuple[str, sparse.csr_array, FloatArray, FloatArray]]:
        """Constraints on the parameters: name, matrix (rows, R*W), and their two sides."""
        if not self.constraints:
            return []
        every = np.indices(self.shape).reshape(3, -1)
        spread = self.entries(*every)
        found = []
        for constraint in self.constraints:
            matrix = constraint.matrix(self.shape, stationary=self.stationary)
            found.append((constraint.name, sparse.csr_array(matrix @ spread), *constraint.sides(matrix.shape[0])))
        return found

    def reproducing(self, known: BoolArray, target: FloatArray) -> FloatArray | None:
        """Return parameters (R, W) that reproduce the target rows exactly where they are known, or None.

        None if states that share a row have different targets, a target is not allowed, or that is not plain to see:
        with constraints, or choices that are policies. Rows without a target are 0.
        """
        if self.atoms is not None or self.constraints:
            return None
        x = np.zeros(self.allowed.shape)
        x[self.rows[known]] = target[known]
        same = np.array_equal(x[self.rows[known]], target[known])
        return x if same and not x[~self.allowed].any() else None

    def with_data(self, known: BoolArray) -> BoolArray:
        """Tell which rows some known (h, s) belongs to, (R,)."""
        found = np.zeros(len(self.allowed), dtype=bool)
        found[self.rows[known]] = True
        return found

    def uniform(self) -> FloatArray:
        """Spread every row evenly over what is allowed, (R, W)."""
        return np.asarray(self.allowed / self.allowed.sum(axis=1, keepdims=True))

    def fitting(self, policy: CorrelatedPolicy) -> FloatArray:
        """Return parameters (R, W) of a policy; the mean over the (h, s) that share a row.

        Raises
        ------
        InvalidPolicyClass
            The choices are policies themselves, or the mean recommends what is illegal in a state of the row.
        """
        if self.atoms is not None:
            raise InvalidPolicyClass("mixtures of given policies cannot follow another policy; complete by 'uniform'")
        check_policy(self.game, policy)
        total, count = np.zeros(self.allowed.shape), np.zeros(len(self.allowed))
        for h, rows in enumerate(self.rows):
            np.add.at(total, rows, policy.at(h))
            np.add.at(count, rows, 1.0)
        bad = np.argwhere((total > 0) & ~self.allowed)
        if bad.size:
            row, action = (int(k) for k in bad[0])
            step, state = (int(k) for k in np.argwhere(self.rows == row)[0])
            raise InvalidPolicyClass(
                f"the policy recommends {self.game.joint_action(action)} at step {step}, state {state}, which is "
                f"illegal in another state that shares its row"
            )
        return np.asarray(total / count[:, None])


def named(name: str) -> str:
    """Name a constraint in messages."""
    return f"constraint {name!r}"
