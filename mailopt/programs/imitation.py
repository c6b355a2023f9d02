"""The imitation program: the policy of a class that is nearest to an expert where given weights say it matters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from mailopt.errors import PolicyNumber, PolicyShape
from mailopt.games.game import MarkovGame, check_game
from mailopt.games.numbers import POLICY, ROW_SUM_TOLERANCE, BoolArray, FloatArray, IntArray, read_array
from mailopt.games.policy import CorrelatedPolicy
from mailopt.programs.feasibility import require_feasible
from mailopt.programs.layout import Layout
from mailopt.programs.policy_classes import PolicyClass, Tabular, check_policy_class
from mailopt_solvers import HighsSession, LinearProgram, ProgramBuilder, Solution

ANCHOR = 1e-6  # price of differing from the target where no weight says that it matters
_TIES = 0.1  # of that, where there is no target


def imitation(
    game: MarkovGame,
    target: npt.ArrayLike | CorrelatedPolicy,
    weights: npt.ArrayLike,
    policy_class: PolicyClass = Tabular(),  # noqa: B008 - a frozen object without state
    *,
    known: npt.ArrayLike | None = None,
) -> LinearProgram:
    """Linear program of imitation: stay near the target for the worst of several weightings of steps and states.

    With sigma in the class, the image of parameters x, and m_h(s, a) <= min(sigma_h(a|s), target_h(a|s))::

        minimise    theta
        subject to  theta >= sum_{h,s} w^n_h(s) TV_h(s)  for every n,    TV_h(s) = 1 - sum_a m_h(s, a)

    With one weighting, the expert's visits, this is behaviour cloning in total variation; with the visits of
    deviations, as importance weights times the expert's visits, it is the program of MALICE and BLADES. Where the
    target is not known TV counts as 1.

    Parameters
    ----------
    game
        The game; its dynamics and rewards play no part.
    target
        The expert, or its rows, (T, S, A) or (S, A), 0 where they are not known.
    weights
        Non-negative weights, (N, T, S), or (T, S) for one weighting.
    policy_class
        A polytope of policies: see :mod:`mailopt.policy_classes`.
    known
        Where the target is known, booleans (T, S) or (S,). None: where its row is not all 0.

    Returns
    -------
    A minimisation with variables ``x`` (R, W), the parameters, ``theta`` and ``m0``; rows ``one``, ``matched0``, and
    ``loss0``, ``loss1``, .. for the weightings.

    Raises
    ------
    InvalidGame, InvalidPolicyClass, InfeasibleClass
        The class does not fit the game, or holds no policy.
    PolicyShape, PolicyNumber
        Target, weights or mask of another shape; negative weights, a target that is no distribution.

    Examples
    --------
    >>> import mailopt as mo
    >>> from mailopt_solvers import solve
    >>> chain = mo.scenarios.aliased_chain(6, coverage=0.1)
    >>> visits = mo.occupancy(chain.game, chain.expert).sum(axis=2)
    >>> aliased = mo.policy_classes.Aggregated(chain.labels)
    >>> program = mo.programs.imitation(chain.game, chain.expert.probabilities, visits, aliased)
    >>> round(solve(program).objective, 9)       # the rarer of two states that look the same is given up
    0.5
    """
    check_game(game)
    layout = check_policy_class(policy_class).layout(game)
    rows = _array(target, layout.shape, "target")
    given = read_array(weights, POLICY, "weights")
    if given.dtype.kind not in "iuf":
        raise PolicyNumber(f"weights have dtype {given.dtype}; give numbers")
    given = given.astype(np.float64)
    given = given[None] if given.ndim == 2 else given
    if given.ndim != 3 or given.shape[1:] != layout.shape[:2]:
        raise PolicyShape(f"weights have shape {given.shape}, expected (N, T, S) with (T, S) = {layout.shape[:2]}")
    if not (np.isfinite(given).all() and (given >= 0).all() and (rows >= 0).all()):
        raise PolicyNumber("weights and target must be finite and not negative")
    given_mask = rows.any(axis=2) if known is None else np.asarray(known)
    if given_mask.dtype != np.bool_ or given_mask.shape not in (layout.shape[:2], layout.shape[1:2]):
        raise PolicyShape(
            f"known has shape {given_mask.shape} and dtype {given_mask.dtype}; give booleans (T, S) or (S,)"
        )
    mask: BoolArray = np.broadcast_to(given_mask, layout.shape[:2])
    bad = np.argwhere(mask & (np.abs(rows.sum(axis=2) - 1.0) > ROW_SUM_TOLERANCE))
    if len(bad):
        step, state = (int(k) for k in bad[0])
        raise PolicyNumber(
            f"target, step {step}, state {state}: the row is known and sums to {rows[step, state].sum()!r}"
        )
    master = Master(layout)
    master.add_cells(mask, rows)
    for cut in given:
        master.add_cut(cut)
    return master.session.program


def _array(values: npt.ArrayLike | CorrelatedPolicy, shape: tuple[int, int, int], what: str) -> FloatArray:
    if isinstance(values, CorrelatedPolicy):
        values = np.stack([values.at(h) for h in range(shape[0])])
    array = read_array(values, POLICY, what)
    if array.dtype.kind not in "iuf":
        raise PolicyNumber(f"{what} has dtype {array.dtype}; give numbers, or a CorrelatedPolicy")
    if array.shape not in (shape, shape[1:]):
        raise PolicyShape(f"{what} has shape {array.shape}, expected (T, S, A) = {shape} or (S, A)")
    return np.broadcast_to(array, shape)


@dataclass(frozen=True, eq=False)
class Cells:
    """A block of matched masses: its name, and the cells that each stands for, a matrix (block's size, T*S)."""

    name: str
    members: sparse.csr_array

    def row(self, weights: FloatArray) -> sparse.csr_array:
        """Coefficients in the loss row of a weighting (T, S)."""
        return sparse.csr_array((self.members @ weights.ravel())[None])


class Master:
    """The imitation program, which grows by cells (h, s) with a target and by weightings (cuts), re-solved warm.

    Parameters
    ----------
    layout
        Parameters of the class of policies.
    anchored
        Break ties: each row of parameters is pulled a little (``ANCHOR`` times the mean distance over its cells)
        towards the targets of its cells, so that what no cut weighs is imitated as well.
    per_round
        Whether each :meth:`add_cuts` gets a theta of its own, whose sum is minimised; else there is one theta for all.

    Attributes
    ----------
    session
        The program as it stands, in HiGHS.
    """

    def __init__(self, layout: Layout, *, anchored: bool = False, per_round: bool = False) -> None:
        self.layout, self.anchored, self.per_round = layout, anchored, per_round
        self.session = HighsSession(_base(layout, theta=not per_round))
        self._cuts: list[FloatArray] = []
        self._cells: list[Cells] = []
        self._rounds = 0
        self._of_row = np.bincount(layout.rows.ravel(), minlength=len(layout.allowed))
        if layout.constraints:
            require_feasible(self.session.program, [c.name for c in layout.constraints], "policy")

    def add_cells(self, where: BoolArray, target: FloatArray) -> None:
        """Add targets: cells (T, S) and their rows (T, S, A)."""
        self._add(f"{len(self._cells)}", where, target, ANCHOR if self.anchored else 0.0, counted=True)

    def add_ties(self, where: BoolArray, wanted: FloatArray) -> None:
        """Break what ties are left towards some rows (T, S, A) at cells (T, S) that no loss counts; once."""
        self._add("_ties", where, wanted, _TIES * ANCHOR, counted=False)

    def _add(self, name: str, where: BoolArray, target: FloatArray, price: float, *, counted: bool) -> None:
        steps, states, group = self._grouped(where, target)
        if not steps.size:
            return
        cell, actions = np.nonzero(target[steps, states])
        member = sparse.csr_array((np.ones(group.size), (group, np.flatnonzero(where))), shape=(steps.size, where.size))
        steps, states, members = steps[cell], states[cell], sparse.csr_array(member[cell])
        block = Cells(f"m{name}", members)
        terms = {f"loss{n}": block.row(cut) for n, cut in enumerate(self._cuts)} if counted else {}
        costs = -price * members.sum(axis=1) / self._of_row[self.layout.rows[steps, states]]
        self.session.add_variables(block.name, (steps.size,), terms, upper=target[steps, states, actions], costs=costs)
        matched = {"x": -self.layout.entries(steps, states, actions), block.name: sparse.eye_array(steps.size)}
        self.session.add_rows(f"matched{name}", (steps.size,), matched, upper=0.0)
        if counted:
            self._cells.append(block)

    def _grouped(self, where: BoolArray, target: FloatArray) -> tuple[IntArray, IntArray, IntArray]:
        """Find cells that share a row of parameters and a target, which share their matched masses.

        Returns the step and state of one cell of each group, and the group of each cell, in the order of ``where``.
        """
        steps, states = np.nonzero(where)
        if self.layout.atoms is not None or len(self.layout.allowed) == where.size or not steps.size:
            return steps, states, np.arange(steps.size)
        keys = np.column_stack((self.layout.rows[steps, states], target[steps, states] + 0.0))
        _, first, group = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        return steps[first], states[first], np.asarray(group).reshape(-1)

    def add_cut(self, weights: FloatArray) -> None:
        """Add one weighting (T, S)."""
        self.add_cuts([weights])

    def add_cuts(self, weightings: Sequence[FloatArray]) -> None:
        """Add the weightings of a round: theta >= sum w (1 - sum_a m) over all cells, those without a target at 1."""
        theta = "theta"
        if self.per_round:
            theta = f"theta{self._rounds}"
            self.session.add_variables(theta, (1,), costs=1.0)
        self._rounds += 1
        for weights in weightings:
            terms = {block.name: block.row(weights) for block in self._cells}
            terms[theta] = sparse.csr_array(np.ones((1, 1)))
            self.session.add_rows(f"loss{len(self._cuts)}", (1,), terms, lower=float(weights.sum()))
            self._cuts.append(weights)

    def solve(self, *, time_limit: float | None = None) -> Solution:
        """Solve, from where the last solve ended."""
        return self.session.solve(time_limit=time_limit).require_optimal()


def _base(layout: Layout, *, theta: bool) -> LinearProgram:
    """Parameters that make policies of the class; nothing is to be matched yet."""
    builder = ProgramBuilder("min")
    count, width = layout.allowed.shape
    x = builder.add_variables("x", (count, width), upper=np.where(layout.allowed, 1.0, 0.0))
    if theta:
        builder.add_variables("theta", (1,), costs=1.0)
    one = sparse.kron(sparse.eye_array(count), np.ones((1, width)), format="csr")
    builder.add_rows("one", (count,), {x: one}, lower=1.0, upper=1.0)
    for k, (_, matrix, lower, upper) in enumerate(layout.constraint_rows):
        builder.add_rows(f"constraint{k}", (matrix.shape[0],), {x: matrix}, lower=lower, upper=upper)
    return builder.build()
