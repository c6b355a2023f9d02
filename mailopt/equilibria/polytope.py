"""The polytope of all (coarse) correlated equilibria of a normal form, and the payoffs that they can give."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from mailopt.deviations import DeviationClass, Swap
from mailopt.equilibria.optimum import Tolls
from mailopt.errors import GameTooLarge, InvalidGame, InvalidOption, MissingDependency
from mailopt.evaluation.stages import distributions
from mailopt.evaluation.values import values
from mailopt.games.game import MarkovGame, check_game
from mailopt.games.marks import marked
from mailopt.games.numbers import FloatArray, as_fractions
from mailopt.games.policy import CorrelatedPolicy, check_policy
from mailopt.programs.equilibrium import StageProgram
from mailopt.programs.objectives import JointActions
from mailopt_solvers import HighsSession, Solution

_MOST_JOINT_ACTIONS = 32
_MOST_ROWS = 4096
_APART = 1e-9  # of the range of payoffs: what is closer to an edge than this is on it

Row = tuple[Fraction, ...]


@dataclass(frozen=True, eq=False, repr=False)
class CorrelatedEquilibriumPolytope:
    """All (coarse) correlated equilibria of a normal form, exactly.

    Attributes
    ----------
    game, deviations
        Whose equilibria.
    vertices
        The extreme equilibria: probabilities of joint actions, in fractions, in lexicographic order.
    dimension
        Dimension of the polytope. It never is empty: every game has a Nash equilibrium.
    num_facets
        Number of facets.
    """

    game: MarkovGame
    deviations: DeviationClass
    vertices: tuple[Row, ...]
    dimension: int
    num_facets: int
    _rows: tuple[Row, ...]

    def contains(self, policy: CorrelatedPolicy) -> bool:
        """Whether a policy is an equilibrium, decided in rational arithmetic.

        Doubles are the dyadic rationals that they store, so that a rounded 1/3 usually is outside; give fractions.

        Raises
        ------
        InvalidPolicy
            It does not fit the game.
        """
        check_policy(self.game, policy)
        sigma = policy.fractions().reshape(-1)
        return all(sum((g * p for g, p in zip(row, sigma, strict=True)), start=Fraction(0)) <= 0 for row in self._rows)

    def __repr__(self) -> str:
        """Dimension and counts in one line."""
        return (
            f"CorrelatedEquilibriumPolytope({self.deviations!r}: dimension {self.dimension}, {len(self.vertices)} "
            f"vertices, {self.num_facets} facets)"
        )


def correlated_equilibrium_polytope(
    game: MarkovGame,
    deviations: DeviationClass = Swap(),  # noqa: B008 - a frozen object without state
) -> CorrelatedEquilibriumPolytope:
    """Vertices, facets and dimension of the set of (coarse) correlated equilibria of a small normal form, exactly.

    Vertices are enumerated by the double description method of the Parma Polyhedra Library (the ``polytope`` extra) in
    rational arithmetic. Their number grows fast: 2 x 2 games have at most 5, 3 x 3 games can have hundreds.

    Parameters
    ----------
    game
        A game with one state and horizon 1, of at most 32 joint actions. Doubles are the dyadic rationals that they
        store.
    deviations
        Swap, External, Coarse, Internal, Partition or Restricted.

    Raises
    ------
    InvalidGame, InvalidDeviation
        No normal form; a class without such a polytope.
    GameTooLarge
        Too many joint actions.
    MissingDependency
        pplpy is not installed.

    Notes
    -----
    Nau, Gomez Canovas and Hansen, "On the geometry of Nash equilibria and correlated equilibria" (2004).

    Examples
    --------
    >>> import mailopt as mo
    >>> mo.correlated_equilibrium_polytope(mo.scenarios.chicken())
    CorrelatedEquilibriumPolytope(Swap(): dimension 3, 5 vertices, 6 facets)
    """
    _require_normal_form(game)
    size = game.num_joint_actions
    if size > _MOST_JOINT_ACTIONS:
        raise GameTooLarge(
            f"the game has {size} joint actions; vertices are enumerated for at most {_MOST_JOINT_ACTIONS}. "
            f"payoff_region and correlated_equilibrium work for larger games"
        )
    ppl = _parma()
    rows = _incentive_rows(game, deviations)
    system = ppl.Constraint_System()
    variables = [ppl.Variable(k) for k in range(size)]
    for k, legal in enumerate(game.joint_legal[0]):
        system.insert(variables[k] >= 0 if legal else variables[k] == 0)
    system.insert(sum(variables[1:], start=ppl.Linear_Expression(variables[0])) == 1)
    for row in rows:
        common = math.lcm(*(g.denominator for g in row))
        system.insert(ppl.Linear_Expression([int(g * common) for g in row], 0) <= 0)
    polyhedron = ppl.C_Polyhedron(size, "universe")
    polyhedron.add_constraints(system)
    assert not polyhedron.is_empty()  # every game has a Nash equilibrium, from which no deviation gains
    vertices = sorted(
        tuple(Fraction(int(c), int(point.divisor())) for c in point.coefficients())
        for point in polyhedron.minimized_generators()
    )
    facets = sum(constraint.is_inequality() for constraint in polyhedron.minimized_constraints())
    dimension = int(polyhedron.affine_dimension())
    return marked(
        game,
        CorrelatedEquilibriumPolytope(game, deviations, tuple(vertices), dimension, facets if dimension else 0, rows),
    )


@dataclass(frozen=True, eq=False, repr=False)
class PayoffRegion:
    """Payoffs of two agents over all (coarse) correlated equilibria of a normal form: a convex polygon.

    Attributes
    ----------
    agents
        The two agents.
    vertices
        Corners counterclockwise, (V, 2); a segment has two and a single point one.
    lower, upper
        lower <= true payoffs of the ``policies`` <= upper, rounding included, (V, 2).
    edges
        Half-planes whose intersection contains the region, proved with all rounding, (E, 3): no equilibrium has w J_i +
        v J_j > b, for every row (w, v, b). One for each edge, counterclockwise from that between the first two corners;
        four for a segment or a point.
    policies
        For each corner a policy that gives it: an equilibrium up to the solver's tolerance.
    deviations
        The class.
    """

    agents: tuple[int, int]
    vertices: FloatArray
    lower: FloatArray
    upper: FloatArray
    edges: FloatArray
    policies: tuple[CorrelatedPolicy, ...]
    deviations: DeviationClass

    def __repr__(self) -> str:
        """Agents and number of corners in one line."""
        one, other = self.agents
        return f"PayoffRegion(agents {one} and {other}, {self.deviations!r}, {len(self.vertices)} corners)"


def payoff_region(
    game: MarkovGame,
    deviations: DeviationClass = Swap(),  # noqa: B008 - a frozen object without state
    *,
    agents: Sequence[int] = (0, 1),
) -> PayoffRegion:
    """All pairs of payoffs that (coarse) correlated equilibria of a normal form can give, for plotting.

    The polygon's support function max_sigma w_0 J_i(sigma) + w_1 J_j(sigma) is a linear program. Corners are found by
    asking, for the direction across each edge between two known ones, whether anything lies further out; a warm-started
    program each, about two for each corner.

    Parameters
    ----------
    game
        A game with one state and horizon 1.
    deviations
        Swap, External, Coarse, Internal, Partition or Restricted.
    agents
        The two agents whose payoffs are the coordinates.

    Raises
    ------
    InvalidGame, InvalidDeviation, InvalidOption, UnknownAgent
        No normal form; a class without such a polytope; not two different agents.
    SolverError
        The solver failed.

    Examples
    --------
    >>> import mailopt as mo
    >>> region = mo.payoff_region(mo.scenarios.chicken())
    >>> region.vertices.round(9) + 0.0
    array([[2.  , 7.  ],
           [3.6 , 3.6 ],
           [7.  , 2.  ],
           [5.25, 5.25]])
    """
    _require_normal_form(game)
    pair = tuple(agents) if isinstance(agents, Sequence | np.ndarray) else ()
    for agent in pair:
        game.check_agent(agent)
    if len(pair) != 2 or pair[0] == pair[1]:
        raise InvalidOption(f"agents is {agents!r}; give two different agents")
    search = _Support(game, deviations, (int(pair[0]), int(pair[1])))
    right, left = search.furthest(1.0, 0.0), search.furthest(-1.0, 0.0)
    corners = [left, *search.beyond(left, right, -1.0), right, *search.beyond(right, left, 1.0)]
    order = _hull(np.array([payoffs for payoffs, _ in corners]) / search.spans)
    policies = tuple(CorrelatedPolicy(corners[k][1][None]) for k in order)
    paid = [values(game, policy) for policy in policies]
    vertices, lower, upper = np.array([[v.value, v.lower, v.upper] for v in paid])[..., list(pair)].swapaxes(0, 1)
    edges = np.array([search.edge(normal) for normal in _normals(vertices / search.spans)])
    return marked(game, PayoffRegion((int(pair[0]), int(pair[1])), vertices, lower, upper, edges, policies, deviations))


_Corner = tuple[FloatArray, FloatArray]  # payoffs (2,), probabilities (A,)


class _Support:
    """Finds the equilibrium furthest out in a direction."""

    def __init__(self, game: MarkovGame, deviations: DeviationClass, pair: tuple[int, int]) -> None:
        goal = JointActions(np.zeros(game.num_joint_actions))
        stage = StageProgram(game, deviations, [goal], tight=True)
        q = np.moveaxis(game.reward(0), 1, 0)
        numbers = stage.numbers(0, np.zeros(1, dtype=np.int64), q, 0.0)
        self._game, self._stage, self._scales = game, stage, numbers.scales[0]
        self._session = HighsSession(numbers.program(0))
        self._sigma = stage.pattern.variables["sigma"]
        self._legal = game.joint_legal[0]
        self.payoffs = np.where(self._legal, q[0, list(pair)], 0.0)
        legal = self.payoffs[:, self._legal]
        spans = np.ptp(legal, axis=1)
        self.spans = np.where(spans > 0, spans, 1.0)
        self._measured = (self.payoffs - legal.min(axis=1)[:, None]) / self.spans[:, None]

    def furthest(self, first: float, second: float) -> _Corner:
        """Maximise first * J_i + second * J_j, the payoffs measured by their ranges."""
        row = distributions(self._solved(first, second)["sigma"][None], self._legal)[0]
        return self.payoffs @ row, row

    def edge(self, normal: FloatArray) -> FloatArray:
        """Prove how far out the region goes in a direction, in units of the game: a row (w, v, b)."""
        solution = self._solved(float(normal[0]), float(normal[1]))
        prices = [scale * solution.duals(f"incentive {i}").ravel() for i, scale in enumerate(self._scales)]
        weights = normal / self.spans
        tolls = Tolls.of(self._game, self._stage, prices)
        sizes = np.abs(weights) @ np.abs(self.payoffs)
        return np.array([*weights, tolls.bound(self._legal, weights @ self.payoffs, sizes, 0.0)])

    def _solved(self, first: float, second: float) -> Solution:
        worth = np.array([first, second]) @ self._measured
        costs = np.zeros(self._session.program.num_variables)
        costs[self._sigma.slice] = worth - worth.min() + 1.0  # no cost is noise around 0
        self._session.set_costs(costs)
        return self._session.solve().require_optimal()

    def beyond(self, start: _Corner, end: _Corner, vertical: float) -> list[_Corner]:
        """Corners to the right of the way from one to another; if they are the same, those above or below."""
        found: list[_Corner] = []
        todo = [(start, end)]
        while todo:
            one, other = todo.pop()
            way = (other[0] - one[0]) / self.spans
            normal = np.array([way[1], -way[0]])
            if np.abs(way).max() <= _APART:
                if found:
                    continue
                normal = np.array([0.0, vertical])
            normal /= np.abs(normal).max()
            middle = self.furthest(float(normal[0]), float(normal[1]))
            if normal @ ((middle[0] - one[0]) / self.spans) > _APART:
                found.append(middle)
                todo += [(one, middle), (middle, other)]
        return found


def _hull(points: FloatArray) -> list[int]:
    """Corners of the convex hull, counterclockwise from the lowest left one; points that are the same count once."""
    kept: list[int] = []
    by_first = np.argsort(points[:, 0], kind="stable")
    column = np.empty(len(points), dtype=np.int64)  # points of the same column differ by rounding alone
    column[by_first] = np.concatenate(([0], np.cumsum(np.diff(points[by_first, 0]) > _APART)))
    for k in np.lexsort((points[:, 1], column)):
        if not any(np.abs(points[k] - points[j]).max() <= _APART for j in kept):
            kept.append(int(k))

    def chain(order: list[int]) -> list[int]:
        found: list[int] = []
        for k in order:
            while (
                len(found) > 1
                and _turn(points[found[-2]], points[found[-1]], points[k])
                <= _APART * np.abs(points[k] - points[found[-2]]).max()
            ):
                found.pop()
            found.append(k)
        return found

    return (chain(kept)[:-1] + chain(kept[::-1])[:-1]) or kept


def _normals(corners: FloatArray) -> FloatArray:
    """Directions out of a polygon, across its edges; of a segment also along it, of a point along the axes."""
    ways = np.roll(corners, -1, axis=0) - corners
    if len(corners) == 1:
        ways = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    out = np.stack([ways[:, 1], -ways[:, 0]], axis=1)
    if len(corners) == 2:
        out = np.concatenate((out, ways))
    return np.asarray(out / np.abs(out).max(axis=1, keepdims=True))


def _turn(a: FloatArray, b: FloatArray, c: FloatArray) -> float:
    return float((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))


def _incentive_rows(game: MarkovGame, deviations: DeviationClass) -> tuple[Row, ...]:
    """Rows g with g sigma <= 0: for each agent and each choice of one atom in every group, what it gains."""
    stage = StageProgram(game, deviations, [], tight=True)
    q = as_fractions(game.rewards, game.exact_rewards)
    payoffs = (q if q.ndim == 3 else q[0])[:, 0]
    rows: dict[Row, None] = {}
    for i, atoms in enumerate(stage.atoms):
        gains = stage.gains(i, payoffs[i])
        allowed = stage.stagewise.allowed_atoms(game, i, 0)
        members = [
            [w for w in np.flatnonzero(atoms.group == g) if allowed is None or allowed[0, w]]
            for g in range(atoms.num_groups)
        ]
        if stage.simple[i]:  # each atom by itself; the others of its choice obey
            choices: Any = ((w,) for group in members for w in group)
        else:
            if math.prod(len(group) for group in members) > _MOST_ROWS:
                raise GameTooLarge(f"{deviations!r} has more than {_MOST_ROWS} combinations for agent {i}")
            choices = itertools.product(*members)
        for choice in choices:
            row = tuple(gains[list(choice)].sum(axis=0))
            if any(row):
                rows[row] = None
    return tuple(rows)


def _require_normal_form(game: MarkovGame) -> None:
    check_game(game)
    if not game.is_normal_form:
        raise InvalidGame(f"{game!r} is no normal form; the equilibria of a Markov game are no polytope")


def _parma() -> Any:
    try:
        import ppl  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingDependency(
            "vertices are enumerated by pplpy (the extra 'polytope'), which is not installed; install it with: "
            "pip install pplpy"
        ) from error
    return ppl
