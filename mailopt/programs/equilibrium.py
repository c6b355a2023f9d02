"""The equilibrium program: distributions of recommendations that no agent gains from disobeying.

For a stage with action values Q_i(a) (payoffs of a normal form) and a class of deviations whose atoms w fall into
groups g of recommendations (one group for each recommendation under swap deviations, one for all under external ones),
what agent i gains by picking w is

    G_i(w) = sum over a with a_i in g(w) of sigma(a) [Q_i(w(a_i), a_-i) - Q_i(a)],

its regret is sum_g max_{w in g} G_i(w), and the program is

    optimise    the objective
    subject to  one:          sum_a sigma(a) = 1,  sigma >= 0
                incentive i:  G_i(w) <= t_i(g)                for every atom w of agent i
                slack i:      sum_g t_i(g) <= epsilon.

With a single group, or where epsilon = 0 and every group contains obedience, the t_i are not needed. Bounding each
G_i(w) by epsilon instead would allow a swap regret of several epsilon.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from mailopt.deviations import DeviationClass, Stagewise, Swap, check_deviations
from mailopt.errors import InvalidDeviation, InvalidGame, InvalidOption
from mailopt.games.game import MarkovGame
from mailopt.games.numbers import FloatArray, IntArray
from mailopt.programs.objectives import (
    Convex,
    Egalitarian,
    LeastRegret,
    Linear,
    Nearest,
    Objective,
    sequence,
)
from mailopt_solvers import Block, ExactProgram, LinearProgram, ProgramBuilder

Numbers = npt.NDArray[Any]  # doubles, or objects that are fractions
Epsilon = float | Fraction
_LARGEST_EXPONENT = 1000
_UNNOTICED = 1e-12  # of the largest coefficient of an agent


def equilibrium(
    game: MarkovGame,
    deviations: DeviationClass = Swap(),  # noqa: B008 - a frozen object without state
    *,
    objective: Objective | str = "welfare",
    epsilon: Epsilon = 0,
) -> LinearProgram:
    """Linear program over the (coarse) correlated equilibria of a normal form::

        maximise    the objective, welfare: sum_i sum_a u_i(a) sigma(a)
        subject to  one:          sum_a sigma(a) = 1,  sigma >= 0
                    incentive i:  G_i(w) <= t_i(g)       for every atom w of agent i, in the order of the class
                    slack i:      sum_g t_i(g) <= epsilon

    G_i(w) is what agent i gains by atom w of the class: for swap deviations w = (told a, plays b) and G_i(w) = sum_k
    sigma(a, k) [u_i(b, k) - u_i(a, k)]. The t_i are left out where they are not needed.

    Parameters
    ----------
    game
        A game with one state and horizon 1.
    deviations
        Swap (correlated equilibria), External (coarse ones), Coarse, Internal, Partition or Restricted.
    objective
        A name or an object of ``mo.objectives`` with a linear program; of a lexicographic one the first is taken.
    epsilon
        Regret that is allowed.

    Returns
    -------
    A maximisation (of minus the regret or distance where less is better) with variables ``sigma`` (A,). Rows of an
    agent are scaled by a power of two, so that its largest difference of payoffs is between 1/2 and 1, and differences
    below 1e-12 of that are left out; the objective is scaled likewise. ``correlated_equilibrium`` scales back.

    Raises
    ------
    InvalidGame, InvalidDeviation, InvalidOption
        No normal form; a class without such a program; no such objective or epsilon.

    Examples
    --------
    >>> import mailopt as mo
    >>> from mailopt_solvers import solve
    >>> chicken = mo.scenarios.chicken()
    >>> solve(mo.programs.equilibrium(chicken))["sigma"].round(12)
    array([0.  , 0.25, 0.25, 0.5 ])
    """  # noqa: D400 - the program ends the first line
    if not isinstance(game, MarkovGame):
        raise InvalidGame(f"the game is a {type(game).__name__}; give a MarkovGame")
    if game.num_states > 1 or game.horizon != 1:
        raise InvalidGame(
            f"{game!r} is no normal form; its equilibria are those of a program for each stage, see "
            f"correlated_equilibrium"
        )
    objectives = sequence(objective)[:1]
    stage = StageProgram(game, deviations, objectives, tight=check_epsilon(epsilon) == 0)
    numbers = stage.numbers(0, np.zeros(1, dtype=np.int64), np.moveaxis(game.reward(0), 1, 0), float(epsilon))
    found = numbers.program(0)
    offset = float(numbers.offsets[0][0] * numbers.cost_scales[0][0])
    sides = (found.row_lower, found.row_upper, found.lower, found.upper)
    return LinearProgram(found.costs, found.matrix, *sides, found.sense, offset, found.variables, found.rows)


def check_epsilon(epsilon: object) -> Epsilon:
    """Require a finite number."""
    if isinstance(epsilon, int | float | Fraction | np.integer | np.floating) and not isinstance(epsilon, bool):
        exact = Fraction(int(epsilon)) if isinstance(epsilon, int | np.integer) else epsilon
        with suppress(OverflowError):
            if np.isfinite(float(exact)):
                return exact if isinstance(exact, Fraction) else float(exact)
    raise InvalidOption(f"epsilon is {epsilon!r}; give a finite number, in units of reward")


class StageProgram:
    """The pattern of the equilibrium programs of all stages of a game, and the numbers of any of them.

    Parameters
    ----------
    game, deviations
        The game and the class of deviations.
    objectives
        What to optimise, one after the other; a convex one at the end is not part of the pattern.
    tight
        Whether epsilon is 0, so that classes of which every group contains obedience need no t.

    Attributes
    ----------
    pattern
        A program of the right shape, without its numbers.
    """

    def __init__(
        self, game: MarkovGame, deviations: DeviationClass, objectives: Sequence[Objective], *, tight: bool
    ) -> None:
        check_deviations(deviations, game)
        if not isinstance(deviations, Stagewise):
            raise InvalidDeviation(
                f"{deviations!r} has no equilibrium program; give Swap() (correlated equilibria), External() (coarse "
                f"ones), Coarse(), Internal(), Partition(..) or Restricted(..)"
            )
        for objective in objectives:
            objective.check(game)
        self.game, self.stagewise = game, deviations
        self.objectives = tuple(o for o in objectives if not isinstance(o, Convex))
        self._count = len(objectives)
        self.atoms = [deviations.atoms(n, i) for i, n in enumerate(game.actions)]
        self.simple = [
            atoms.num_groups == 1 or (tight and all(atom is not None for atom in atoms.obeying)) for atoms in self.atoms
        ]
        if any(isinstance(o, LeastRegret) for o in self.objectives):
            self.simple = [False] * game.num_agents
        self._entries: dict[str, tuple[Block, Block, IntArray, IntArray]] = {}
        self.pattern = self._assembled()
        self._base = self.pattern.matrix.data
        self._keys = (
            np.repeat(np.arange(self.pattern.num_variables), np.diff(self.pattern.matrix.indptr))
            * self.pattern.num_rows
            + self.pattern.matrix.indices
        )
        self._positions = {
            name: np.searchsorted(self._keys, (columns + variables.start) * self.pattern.num_rows + rows + block.start)
            for name, (block, variables, rows, columns) in self._entries.items()
        }

    def _assembled(self) -> LinearProgram:
        game, builder = self.game, ProgramBuilder("max")
        size = game.num_joint_actions
        sigma = builder.add_variables("sigma", (size,))
        builder.add_rows("one", (1,), {sigma: np.ones((1, size))}, lower=1.0, upper=1.0)
        least = None
        if any(isinstance(o, LeastRegret) for o in self.objectives):
            least = builder.add_variables("e", (1,), lower=-np.inf)
        self._told = []
        for i, atoms in enumerate(self.atoms):
            count = len(atoms.plays)
            atom, told = np.nonzero((atoms.plays >= 0) & (atoms.plays != np.arange(game.actions[i])))
            grid = game.unfold(np.arange(size), i)  # (n, K)
            obeyed, deviated = grid[told], grid[atoms.plays[atom, told]]
            self._told.append((obeyed.ravel(), deviated.ravel()))
            rows, columns = np.repeat(atom, grid.shape[1]), obeyed.ravel()
            name = f"incentive {i}"
            terms: dict[Block, Any] = {sigma: _ones(rows, columns, (count, size))}
            if self.simple[i]:
                self._note(name, builder.add_rows(name, atoms.shape, terms, upper=0.0), sigma, rows, columns)
                continue
            excess = builder.add_variables(f"t {i}", (atoms.num_groups,), lower=-np.inf)
            terms[excess] = -_ones(np.arange(count), atoms.group, (count, atoms.num_groups))
            self._note(name, builder.add_rows(name, atoms.shape, terms, upper=0.0), sigma, rows, columns)
            ones = np.ones((1, atoms.num_groups))
            builder.add_rows(f"slack {i}", (1,), {excess: ones}, upper=0.0)
            if least is not None:
                every = np.arange(atoms.num_groups)
                terms = {excess: _ones(every * 0, every, ones.shape), least: -np.ones((1, 1))}
                self._note(
                    f"worst {i}", builder.add_rows(f"worst {i}", (1,), terms, upper=0.0), excess, every * 0, every
                )
        for j, objective in enumerate(self.objectives):
            self._add_objective(builder, j, objective, sigma, least)
        return builder.build()

    def _note(self, name: str, block: Block, variables: Block, rows: IntArray, columns: IntArray) -> None:
        """Remember where numbers that vary will stand."""
        self._entries[name] = block, variables, rows, columns

    def _add_objective(
        self, builder: ProgramBuilder, j: int, objective: Objective, sigma: Block, least: Block | None
    ) -> None:
        """Add what an objective needs, and a row that keeps it at its optimum if another one follows."""
        size, last = sigma.size, j == self._count - 1
        measured, width = sigma, size
        if isinstance(objective, Egalitarian):
            agents = self.game.num_agents
            measured, width = builder.add_variables(f"least {j}", (1,), lower=-np.inf), 1
            terms = {sigma: np.ones((agents, size)), measured: -np.ones((agents, 1))}
            block = builder.add_rows(f"floor {j}", (agents,), terms, lower=0.0)
            rows, columns = np.divmod(np.arange(agents * size), size)
            self._note(f"floor {j}", block, sigma, rows, columns)
        elif isinstance(objective, LeastRegret):
            assert least is not None
            measured, width = least, 1
        elif isinstance(objective, Nearest):
            measured, width = builder.add_variables(f"over {j}", (size,)), size
            under = builder.add_variables(f"under {j}", (size,))
            eye = sparse.eye_array(size)
            builder.add_rows(f"distance {j}", (size,), {sigma: eye, measured: -eye, under: eye}, lower=0.0, upper=0.0)
        if not last:
            every = np.arange(width)
            block = builder.add_rows(f"kept {j}", (1,), {measured: np.ones((1, width))})
            self._note(f"kept {j}", block, measured, every * 0, every)

    def measured(self, j: int) -> Block:
        """Return the variables that objective j is a sum of."""
        objective = self.objectives[j]
        if isinstance(objective, Egalitarian):
            return self.pattern.variables[f"least {j}"]
        if isinstance(objective, LeastRegret):
            return self.pattern.variables["e"]
        return self.pattern.variables[f"over {j}" if isinstance(objective, Nearest) else "sigma"]

    def numbers(self, step: int, states: IntArray, q: Numbers, epsilon: Epsilon) -> StageNumbers:
        """Numbers of the programs at some states.

        Parameters
        ----------
        step, states
            Where, (K,).
        q
            Action values (K, m, A), doubles or fractions.
        epsilon
            Regret that is allowed at each stage.
        """
        return StageNumbers(self, step, states, q, epsilon)

    def incentives(self, agent: int) -> tuple[IntArray, IntArray, IntArray]:
        """For each entry of an agent's incentive rows its atom, the joint action obeyed and the one played instead."""
        return (self._entries[f"incentive {agent}"][2], *self._told[agent])

    def positions(self, name: str) -> IntArray:
        """Where the numbers of this name stand among the stored entries of A."""
        return self._positions[name]

    def differences(self, agent: int, q: Numbers) -> Numbers:
        """Q_i(w(a_i), a_-i) - Q_i(a) in the order of the entries of ``incentive i``, (K, entries)."""
        obeyed, deviated = self._told[agent]
        return np.asarray(q[:, agent, deviated] - q[:, agent, obeyed])


class StageNumbers:
    """The numbers of K equilibrium programs, in the units of the solver, and how to get back to those of the game.

    Attributes
    ----------
    coefficients, row_lower, row_upper, lower, upper
        Parts of the programs, each with K in front; minus and plus infinity where there is no bound.
    costs
        For each objective its costs, (K, n), in the solver's units.
    scales
        Factor of each agent's rows, (K, m); powers of two.
    cost_scales
        Factor of each objective, (K,).
    offsets
        What the solver's objective leaves out, in the units of the game, for each objective (K,).
    unnoticed
        Whether differences were left out because they are too small for a solver of doubles.
    """

    def __init__(self, stage: StageProgram, step: int, states: IntArray, q: Numbers, epsilon: Epsilon) -> None:
        self.stage, self.states, self.q = stage, states, q
        pattern, game, count = stage.pattern, stage.game, len(q)
        self.exact = q.dtype == object
        kind: Any = object if self.exact else np.float64
        epsilon = Fraction(epsilon) if self.exact else float(epsilon)
        legal = game.joint_legal[states]

        def spread(values: FloatArray) -> Numbers:
            return np.tile(_exactly(values) if self.exact else values, (count, 1))

        self.coefficients = spread(stage._base)
        self.row_lower, self.row_upper = spread(pattern.row_lower), spread(pattern.row_upper)
        self.lower, self.upper = spread(pattern.lower), spread(pattern.upper)
        self.upper[:, pattern.variables["sigma"].slice] = np.where(legal, np.inf, _zero(self.exact))
        self.scales = np.empty((count, game.num_agents), dtype=kind)
        differences = []
        for i in range(game.num_agents):
            found = stage.differences(i, q)
            obeyed, deviated = stage._told[i]
            found = np.where(legal[:, obeyed] & legal[:, deviated], found, _zero(self.exact))
            self.scales[:, i] = powers(found)
            differences.append(found)
        self.unnoticed = False
        common = self.scales.min(axis=1) if count else self.scales[:, 0]
        for i in range(game.num_agents):
            scaled = differences[i] * self.scales[:, i, None]
            kept = scaled if self.exact else _noticed(scaled)
            self.unnoticed |= not self.exact and bool((kept != scaled).any())
            self.coefficients[:, stage.positions(f"incentive {i}")] = kept
            incentive = pattern.rows[f"incentive {i}"].slice
            allowed = stage.stagewise.allowed_atoms(game, i, step)
            bounded = incentive if stage.simple[i] else pattern.rows[f"slack {i}"].slice
            afforded = self.scales[:, i, None] * epsilon
            self.row_upper[:, bounded] = afforded if self.exact else _noticed(afforded)
            if "e" in pattern.variables:
                share = (common / self.scales[:, i])[:, None]
                self.coefficients[:, stage.positions(f"worst {i}")] = share if self.exact else _noticed(share)
            if allowed is not None:
                self.row_upper[:, incentive] = np.where(allowed[states], self.row_upper[:, incentive], np.inf)
        self.costs: list[Numbers] = []
        self.cost_scales: list[Numbers] = []
        self.offsets: list[Numbers] = []
        for j, objective in enumerate(stage.objectives):
            self._price(j, objective, step, legal, common)

    def _price(self, j: int, objective: Objective, step: int, legal: npt.NDArray[np.bool_], common: Numbers) -> None:
        stage, pattern, q = self.stage, self.stage.pattern, self.q
        zero = _zero(self.exact)
        costs = np.full((len(q), pattern.num_variables), zero, dtype=self.coefficients.dtype)
        here = stage.measured(j).slice
        scale = np.full(len(q), zero + 1, dtype=self.coefficients.dtype)
        offset = np.full(len(q), zero, dtype=self.coefficients.dtype)
        if isinstance(objective, Linear):
            weights = np.where(legal, objective.weights(q, self.states), zero)
            offset = _below(weights, legal)
            apart = np.where(legal, weights - offset[:, None], zero)
            scale = powers(apart)
            costs[:, here] = apart * scale[:, None]
        elif isinstance(objective, Egalitarian):
            values = np.where(legal[:, None], q, zero)
            offset = _below(
                values.reshape(len(q), -1), np.repeat(legal[:, None], q.shape[1], axis=1).reshape(len(q), -1)
            )
            apart = np.where(legal[:, None], values - offset[:, None, None], zero)
            scale = powers(apart.reshape(len(q), -1))
            entries = apart * scale[:, None, None]
            self.coefficients[:, stage.positions(f"floor {j}")] = entries.reshape(len(q), -1)
            costs[:, here] = zero + 1
        elif isinstance(objective, LeastRegret):
            scale = common
            costs[:, here] = zero - 1
        else:
            assert isinstance(objective, Nearest)
            target = target_rows(objective, step, self.states, self.exact)
            rows = pattern.rows[f"distance {j}"].slice
            self.row_lower[:, rows] = self.row_upper[:, rows] = target
            costs[:, here] = zero - 1
        if f"kept {j}" in pattern.rows:
            self.coefficients[:, stage.positions(f"kept {j}")] = costs[:, here]
        self.costs.append(costs)
        self.cost_scales.append(scale)
        self.offsets.append(offset)

    def keep(self, j: int, optimum: Numbers) -> None:
        """Keep objective j, in the solver's units, at its optimum."""
        self.row_lower[:, self.stage.pattern.rows[f"kept {j}"].slice] = optimum[:, None]

    def parts(self, j: int) -> dict[str, Numbers]:
        """Return everything that varies, with the costs of objective j."""
        return {
            "costs": self.costs[j] if self.costs else np.tile(self.stage.pattern.costs, (len(self.q), 1)),
            "coefficients": self.coefficients,
            "row_lower": self.row_lower,
            "row_upper": self.row_upper,
            "lower": self.lower,
            "upper": self.upper,
        }

    def program(self, k: int, j: int = 0) -> LinearProgram:
        """Return the k-th program with the costs of objective j, in doubles."""
        return self.stage.pattern.changed(**{name: values[k] for name, values in self.parts(j).items()})

    def exact_program(self, k: int, j: int = 0) -> ExactProgram:
        """Return the k-th program in fractions."""
        pattern = self.stage.pattern
        parts = {name: values[k] for name, values in self.parts(j).items()}
        columns = np.repeat(np.arange(pattern.num_variables), np.diff(pattern.matrix.indptr))
        places = zip(pattern.matrix.indices.tolist(), columns.tolist(), strict=True)
        return ExactProgram(
            list(parts["costs"]),
            dict(zip(places, parts["coefficients"].tolist(), strict=True)),
            list(parts["row_lower"]),
            list(parts["row_upper"]),
            list(parts["lower"]),
            list(parts["upper"]),
            "max",
            0,
            pattern.variables,
            pattern.rows,
        )


def target_rows(objective: Nearest, step: int, states: IntArray, exact: bool) -> Numbers:
    """Rows of the target at some states, normalised, (K, A)."""
    target = objective.target
    if not exact:
        return target.at(step)[states]
    fractions = target.fractions()
    rows = fractions if fractions.ndim == 2 else fractions[min(step, len(fractions) - 1)]
    return np.asarray(rows[states])


def powers(values: Numbers) -> Numbers:
    """Power of two that brings the largest of some numbers between 1/2 and 1, (K, N) to (K,); 1 if all are 0."""
    if values.dtype == object:
        largest = [max((abs(v) for v in row), default=Fraction(0)) for row in values]
        found = np.empty(len(largest), dtype=object)
        for k, v in enumerate(largest):
            found[k] = Fraction(1) if not v else Fraction(2) ** (v.denominator.bit_length() - v.numerator.bit_length())
        return found
    largest = np.abs(values).max(axis=1, initial=0.0)
    exponents = np.clip(np.frexp(largest)[1], -_LARGEST_EXPONENT, _LARGEST_EXPONENT)
    return np.where(largest > 0, np.ldexp(1.0, -exponents), 1.0)


def _noticed(scaled: FloatArray) -> FloatArray:
    """Drop coefficients that no solver of doubles would take notice of."""
    return np.where(np.abs(scaled) < _UNNOTICED, 0.0, scaled)


def _below(values: Numbers, legal: npt.NDArray[np.bool_]) -> Numbers:
    """Take the least legal entry of each row less the row's range.

    Objectives measured from there are between once and twice their range: no cost is noise around 0.
    """
    if values.dtype == object:
        rows = [[v for v, good in zip(row, mask, strict=True) if good] for row, mask in zip(values, legal, strict=True)]
        found = np.empty(len(rows), dtype=object)
        for k, row in enumerate(rows):
            found[k] = 2 * min(row) - max(row)
        return found
    low, high = np.where(legal, values, np.inf).min(axis=1), np.where(legal, values, -np.inf).max(axis=1)
    return np.asarray(low - (high - low))


def _ones(rows: IntArray, columns: IntArray, shape: tuple[int, int]) -> sparse.coo_array:
    return sparse.coo_array((np.ones(rows.size), (rows, columns)), shape=shape)


def _zero(exact: bool) -> Any:
    return Fraction(0) if exact else 0.0


def _exactly(values: FloatArray) -> Numbers:
    found = np.empty(values.shape, dtype=object)
    for k, value in enumerate(values):
        found[k] = Fraction(value) if np.isfinite(value) else float(value)
    return found
